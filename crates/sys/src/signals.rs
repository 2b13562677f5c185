//! Reads signals from a descriptor, lets a child ignore signals, and performs the default action of a signal.

use super::{Result, retry};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, raise, sigaction, sigprocmask,
};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// What the user or the kernel asks of the program with a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// SIGINT, SIGTERM or SIGHUP: clean up and die by this signal, whose number is given.
    End(i32),
    /// SIGTSTP: suspend until SIGCONT comes.
    Suspend,
    /// SIGCONT: resume.
    Resume,
    /// SIGUSR1: print the progress.
    Status,
    /// SIGCHLD: a child has ended.
    Child,
    /// SIGWINCH: the size of the terminal has changed.
    Resize,
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

/// A descriptor from which this process reads its signals: signalfd(2).
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals that pcopy handles, so that only this descriptor receives them.
    ///
    /// If SIGHUP, SIGINT or SIGTSTP was ignored when the program started (`nohup`, a shell's `&`), it stays
    /// ignored.
    pub fn watch() -> Result<Self> {
        // If the program that started this process ignored SIGCHLD, this process has inherited that. It would
        // not notice the end of its own children.
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: SIG_DFL runs no code of ours.
        unsafe { sigaction(Signal::SIGCHLD, &default) }?;
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // A write beyond the limit of file sizes (`ulimit -f`) then fails with EFBIG, which is an error of
        // that file. With the default action the signal would kill the process.
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

    /// Returns the next request, if one has arrived. Never waits.
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
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn is_ignored(signal: Signal) -> bool {
    // SAFETY: with a null action, sigaction only writes the old action, for which there is room.
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

/// Makes a child ignore the signals that a terminal sends to the whole process group, because the parent
/// handles them. The child also ignores SIGPIPE and SIGXFSZ, and blocks no signals.
pub fn leave_to_parent() -> Result<()> {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGPIPE,
        // Then a write beyond the limit of file sizes fails with EFBIG, and only that file fails.
        Signal::SIGXFSZ,
    ] {
        // SAFETY: SIG_IGN runs no code of ours.
        unsafe { sigaction(signal, &ignore) }?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// Suspends this process with the default action of SIGTSTP. Returns when the process is resumed.
pub fn suspend_self() -> Result<()> {
    let set = SigSet::from(Signal::SIGTSTP);
    raise(Signal::SIGTSTP)?;
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None)?; // the process is suspended in this call
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)
}

/// The number of the signal that a write to a pipe without readers sends.
pub const SIGPIPE: i32 = libc::SIGPIPE;

/// Ends this process by SIGPIPE, as a write to a pipe without readers does.
pub fn die_by_pipe() -> ! {
    die_by(SIGPIPE)
}

/// Ends this process by `signal`, so that a shell reports that this signal killed it.
pub fn die_by(signal: i32) -> ! {
    if let Ok(signal) = Signal::try_from(signal) {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: SIG_DFL runs no code of ours.
        let restored = unsafe { sigaction(signal, &default) };
        let unblocked = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&SigSet::from(signal)), None);
        if restored.is_ok() && unblocked.is_ok() && raise(signal).is_ok() {
            // The default action has not ended the process, so the process exits below.
        }
    }
    super::exit(128 + signal)
}
