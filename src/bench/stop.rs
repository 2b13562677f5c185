//! What ends a benchmark early.

use crate::error::Refusal;
use crate::quote::quote;
use crate::sys::Errno;
use crate::sys::signals::{Signals, Wish};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// The benchmark is not begun, or does not go on; whatever it made is removed.
#[derive(Debug)]
pub enum Stop {
    /// Something is wrong, and the user can be told what.
    Refused(Refusal),
    /// A signal asked for it.
    Signal(i32),
}

impl Stop {
    /// In the form `cannot ACT 'THING': CAUSE`.
    pub fn cannot(act: &str, thing: &Path, error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Refusal::cannot(act, thing, Errno::from_raw(number)).into(),
            // Not the kernel's own words; a walk that meets itself, for one.
            None => {
                let thing = quote(thing.as_os_str().as_encoded_bytes());
                Self::refuse(format!("cannot {act} {thing}: {error}"))
            }
        }
    }

    /// With a message of its own.
    pub fn refuse(message: String) -> Self {
        Self::Refused(Refusal { message, hint: None })
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Listens for signals that end the benchmark.
///
/// TSTP is heard and not obeyed: a clock that goes on while all else is halted measures nothing.
pub struct Watch(Signals);

impl Watch {
    /// From now on signals wait until somebody looks.
    pub fn begin() -> Result<Self, Stop> {
        let watched = Signals::watch();
        watched.map(Self).map_err(|errno| Stop::refuse(format!("cannot watch signals: {errno}")))
    }

    /// Fails if a signal asked for the end; never waits.
    pub fn look(&self) -> Result<(), Stop> {
        loop {
            match self.0.next_wish() {
                Ok(Some(Wish::End(signal))) => return Err(Stop::Signal(signal)),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
