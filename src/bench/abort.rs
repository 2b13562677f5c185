//! Why a benchmark ends before its results are complete: an error, or a signal.

use crate::error::Refusal;
use crate::sanitize::quote;
use pcopy_sys::Errno;
use pcopy_sys::signals::{Signals, Wish};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Ends the benchmark. The working directories are removed before the program exits.
#[derive(Debug)]
pub enum Abort {
    /// An error, with the message that is printed.
    Error(Refusal),
    /// SIGINT, SIGTERM or SIGHUP, by number; the benchmark dies by the same signal.
    Signal(i32),
}

impl Abort {
    /// An error with the message `cannot ACTION 'THING': CAUSE`.
    pub(super) fn cannot(action: &str, thing: &Path, error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Refusal::cannot(action, thing, Errno::from_raw(number)).into(),
            // Not a system call's error: a symlink loop that `walkdir` has found, for example.
            None => {
                let thing = quote(thing.as_os_str().as_encoded_bytes());
                Self::error(format!("cannot {action} {thing}: {error}"))
            }
        }
    }

    /// An error with this message and no hint.
    pub(super) fn error(message: String) -> Self {
        Self::Error(Refusal { message, hint: None })
    }
}

impl From<Refusal> for Abort {
    fn from(refusal: Refusal) -> Self {
        Self::Error(refusal)
    }
}

/// The signals that end a benchmark, read from a signalfd.
///
/// SIGTSTP is read and ignored: the clock would run on while the programs are suspended, and the
/// run would measure the pause.
pub(super) struct SignalWatch(Signals);

impl SignalWatch {
    /// Blocks the signals; from now on they arrive only through [`check`](Self::check).
    pub(super) fn start() -> Result<Self, Abort> {
        let signals = Signals::watch();
        signals.map(Self).map_err(|errno| Abort::error(format!("cannot watch signals: {errno}")))
    }

    /// Fails if a signal to end has arrived. Does not wait.
    pub(super) fn check(&self) -> Result<(), Abort> {
        loop {
            match self.0.next_wish() {
                Ok(Some(Wish::End(signal))) => return Err(Abort::Signal(signal)),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }
}

impl AsFd for SignalWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
