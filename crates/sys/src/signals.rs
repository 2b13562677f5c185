//! Signals that are read from a descriptor, and the default actions done on request.

use super::{Result, retry};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, raise, sigaction, sigprocmask,
};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// What a signal asks of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// INT, TERM, HUP: end, killed by this signal.
    End(i32),
    /// TSTP: suspend until CONT.
    Suspend,
    /// CONT: resume.
    Resume,
    /// USR1: print the progress.
    Status,
    /// CHLD: a child ended.
    Child,
    /// WINCH: the size of the terminal changed.
    Resize,
}

#[allow(non_upper_case_globals, reason = "the old names of two variants")]
impl Request {
    /// Old name, removed with the renaming.
    pub const Halt: Self = Self::Suspend;
    /// Old name, removed with the renaming.
    pub const Proceed: Self = Self::Resume;
}

const WATCHED: [Signal; 8] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGTSTP,
    Signal::SIGCONT,
    Signal::SIGUSR1,
    Signal::SIGCHLD,
    Signal::SIGWINCH,
];

/// The signals of this process, to poll and read: signalfd(2).
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals that pcopy handles, so that they are only read from here.
    ///
    /// A HUP, INT or TSTP that was ignored when the program started (`nohup`, a shell's `&`) stays
    /// ignored.
    pub fn watch() -> Result<Self> {
        // If the parent ignored SIGCHLD, this process inherited that, and would not see its own
        // children end.
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: SIG_DFL runs no code of ours.
        unsafe { sigaction(Signal::SIGCHLD, &default) }?;
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // A write beyond the limit of file sizes (ulimit -f) then fails with EFBIG, which is an error
        // of that file; the signal would kill the process.
        // SAFETY: SIG_IGN runs no code of ours.
        unsafe { sigaction(Signal::SIGXFSZ, &ignore) }?;
        let mut set = SigSet::empty();
        for signal in WATCHED {
            if !is_ignored(signal) {
                set.add(signal);
            }
        }
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
        SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map(Self)
    }

    /// The next request, if there is one; never waits.
    pub fn next_request(&self) -> Result<Option<Request>> {
        let Some(info) = retry(|| self.0.read_signal())? else { return Ok(None) };
        let number = i32::try_from(info.ssi_signo).unwrap_or(0);
        Ok(match Signal::try_from(number)? {
            Signal::SIGTSTP => Some(Request::Suspend),
            Signal::SIGCONT => Some(Request::Resume),
            Signal::SIGUSR1 => Some(Request::Status),
            Signal::SIGCHLD => Some(Request::Child),
            Signal::SIGWINCH => Some(Request::Resize),
            _ => Some(Request::End(number)),
        })
    }

    /// Old name, removed with the renaming.
    pub fn next_wish(&self) -> Result<Option<Request>> {
        self.next_request()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn is_ignored(signal: Signal) -> bool {
    // SAFETY: with a null action sigaction only writes the old one, for which there is room.
    let old = unsafe {
        let mut old = std::mem::zeroed::<libc::sigaction>();
        if libc::sigaction(signal as i32, std::ptr::null(), &raw mut old) != 0 {
            return false;
        }
        old
    };
    old.sa_sigaction == libc::SIG_IGN
        && matches!(signal, Signal::SIGINT | Signal::SIGHUP | Signal::SIGTSTP)
}

/// In a child: ignores what a terminal sends to the whole process group, which the parent handles.
pub fn leave_to_parent() -> Result<()> {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGPIPE,
        // As in `watch`: a file that is too large is an error of that file.
        Signal::SIGXFSZ,
    ] {
        // SAFETY: SIG_IGN runs no code of ours.
        unsafe { sigaction(signal, &ignore) }?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// Suspends this process with the default action of TSTP; returns when it is resumed.
pub fn suspend_self() -> Result<()> {
    let set = SigSet::from(Signal::SIGTSTP);
    raise(Signal::SIGTSTP)?;
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None)?; // it is suspended here
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)
}

/// Ends this process by SIGPIPE, as a write to a pipe without readers does.
pub fn die_by_pipe() -> ! {
    die_by(libc::SIGPIPE)
}

/// Ends this process by `signal`, so that a shell sees it killed by that signal.
pub fn die_by(signal: i32) -> ! {
    if let Ok(signal) = Signal::try_from(signal) {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: SIG_DFL runs no code of ours.
        let restored = unsafe { sigaction(signal, &default) };
        let unblocked = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&SigSet::from(signal)), None);
        if restored.is_ok() && unblocked.is_ok() && raise(signal).is_ok() {
            // Not reached for signals whose default action ends the process.
        }
    }
    super::exit(128 + signal)
}

pub use self::Request as Wish; // old path, removed with the renaming
pub use self::suspend_self as halt_self; // old path, removed with the renaming
