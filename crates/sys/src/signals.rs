//! Signals as something to read, and the ways to act on them.

use super::{Result, retry};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, raise, sigaction, sigprocmask,
};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// What somebody wants of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// INT, TERM, HUP: end, by this signal.
    End(i32),
    /// TSTP: halt until CONT.
    Halt,
    /// CONT: go on.
    Proceed,
    /// USR1: say how far it came.
    Status,
    /// CHLD: a child ended.
    Child,
    /// WINCH: the terminal has another size.
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

/// The signals of this process, to be polled and read.
pub struct Signals(SignalFd);

impl Signals {
    /// Takes over the signals that pcopy answers to; they no longer interrupt anything.
    ///
    /// A HUP, INT or TSTP that was ignored when the program started (`nohup`, a shell's `&`) stays so.
    pub fn watch() -> Result<Self> {
        // A parent that ignored it would have left us without word of our own children's ends.
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: SIG_DFL runs no code of ours.
        unsafe { sigaction(Signal::SIGCHLD, &default) }?;
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // Beyond a limit on file sizes (ulimit -f) a write then fails with EFBIG, as that file's
        // failure; the signal would kill the process.
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

    /// The next wish, if there is one; never waits.
    pub fn next_wish(&self) -> Result<Option<Wish>> {
        let Some(info) = retry(|| self.0.read_signal())? else { return Ok(None) };
        let number = i32::try_from(info.ssi_signo).unwrap_or(0);
        Ok(match Signal::try_from(number)? {
            Signal::SIGTSTP => Some(Wish::Halt),
            Signal::SIGCONT => Some(Wish::Proceed),
            Signal::SIGUSR1 => Some(Wish::Status),
            Signal::SIGCHLD => Some(Wish::Child),
            Signal::SIGWINCH => Some(Wish::Resize),
            _ => Some(Wish::End(number)),
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn is_ignored(signal: Signal) -> bool {
    // SAFETY: with a null action sigaction only writes the old one, into a whole structure.
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

/// In a child: leaves it to the parent to answer what a terminal sends to the whole group.
pub fn leave_to_parent() -> Result<()> {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGPIPE,
        // A file that may not become so large is that file's failure.
        Signal::SIGXFSZ,
    ] {
        // SAFETY: SIG_IGN runs no code of ours.
        unsafe { sigaction(signal, &ignore) }?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// Halts this process as TSTP does by itself; returns when it goes on.
pub fn halt_self() -> Result<()> {
    let set = SigSet::from(Signal::SIGTSTP);
    raise(Signal::SIGTSTP)?;
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None)?; // it halts here
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)
}

/// Ends this process as one that writes to a pipe which nobody reads.
pub fn die_by_pipe() -> ! {
    die_by(libc::SIGPIPE)
}

/// Ends this process by `signal`, so that a shell sees what happened.
pub fn die_by(signal: i32) -> ! {
    if let Ok(signal) = Signal::try_from(signal) {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: SIG_DFL runs no code of ours.
        let restored = unsafe { sigaction(signal, &default) };
        let unblocked = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&SigSet::from(signal)), None);
        if restored.is_ok() && unblocked.is_ok() && raise(signal).is_ok() {
            // The raise above is the last thing that a process with this default does.
        }
    }
    super::process::exit(128 + signal)
}
