//! The two reasons why a benchmark ends before its results are complete: an error or a signal.

use crate::error::Refusal;
use crate::sanitize::quote;
use pcopy_sys::Errno;
use pcopy_sys::signals::{Request, Signals};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Why the benchmark ends early. The program removes its working directories before it exits.
#[derive(Debug)]
pub enum Abort {
    /// An error with the message to print.
    Error(Refusal),
    /// The number of the signal SIGINT, SIGTERM or SIGHUP. The benchmark then dies by the same signal.
    Signal(i32),
}

impl Abort {
    /// Returns an error with the message `cannot ACTION 'THING': CAUSE`.
    pub(super) fn cannot(action: &str, thing: &Path, error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Refusal::cannot(action, thing, Errno::from_raw(number)).into(),
            // The error does not come from a system call; for example, `walkdir` has found a symlink loop.
            None => {
                let thing = quote(thing.as_os_str().as_encoded_bytes());
                Self::error(format!("cannot {action} {thing}: {error}"))
            }
        }
    }

    /// Returns an error with this message and no hint.
    pub(super) fn error(message: String) -> Self {
        Self::Error(Refusal { message, hint: None })
    }
}

impl From<Refusal> for Abort {
    fn from(refusal: Refusal) -> Self {
        Self::Error(refusal)
    }
}

/// Watches for the signals that end a benchmark, with a signalfd.
///
/// SIGTSTP is read and ignored. If it suspended the programs, the clock would run on, and the measured time
/// would include the pause.
pub(super) struct SignalWatch(Signals);

impl SignalWatch {
    /// Blocks the signals. From then on only [`check`](Self::check) receives them.
    pub(super) fn start() -> Result<Self, Abort> {
        let signals = Signals::watch();
        signals.map(Self).map_err(|errno| Abort::error(format!("cannot watch signals: {errno}")))
    }

    /// Returns an error if a signal that ends the benchmark has arrived. Does not wait.
    pub(super) fn check(&self) -> Result<(), Abort> {
        loop {
            match self.0.next_request() {
                Ok(Some(Request::End(signal))) => return Err(Abort::Signal(signal)),
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
