//! The calls that may sleep: take, with or without a time limit, and push with a time limit.

use super::storage::Storage;
use super::{MayWait, PushError, Pushers, Ring, TakeError};
use std::time::Duration;

impl<S: Storage, P: Pushers> Ring<S, P> {
    /// Takes the oldest message into `into`, which is cleared first. Sleeps until the ring has a message.
    ///
    /// Fails with [`Closed`](TakeError::Closed) if no message will ever come, and with
    /// [`Stopped`](TakeError::Stopped) as soon as the ring is stopped, even if messages are left. Other
    /// errors are not possible.
    pub fn take(&self, into: &mut Vec<u8>) -> Result<(), TakeError> {
        self.take_before(None, into)
    }

    /// Like [`take`](Self::take), but fails with [`TimedOut`](TakeError::TimedOut) after `limit`.
    ///
    /// It looks for a message before it reads the clock. So even with a limit of zero it takes a message that
    /// is ready.
    pub fn take_within(&self, into: &mut Vec<u8>, limit: Duration) -> Result<(), TakeError> {
        self.take_before(Some(limit), into)
    }

    fn take_before(&self, limit: Option<Duration>, into: &mut Vec<u8>) -> Result<(), TakeError> {
        let look = || match self.try_take(into) {
            Err(TakeError::Empty) => None,
            found => Some(found),
        };
        let taken = self.header().takers.wait(limit, look, || self.can_take());
        taken.unwrap_or(Err(TakeError::TimedOut))
    }
}

impl<S: Storage> Ring<S, MayWait> {
    /// Pushes a copy of `message`. Sleeps until a slot is free, but fails with
    /// [`TimedOut`](PushError::TimedOut) after `limit`.
    ///
    /// Fails at once with [`Closed`](PushError::Closed), [`Stopped`](PushError::Stopped) or
    /// [`TooLong`](PushError::TooLong). It looks for a free slot before it reads the clock. If all peers wait
    /// for room, no peer takes messages. So a peer that can do the work itself should call
    /// [`try_push`](Self::try_push) instead.
    pub fn push_within(&self, message: &[u8], limit: Duration) -> Result<(), PushError> {
        let look = || match self.try_push(message) {
            Err(PushError::Full) => None,
            found => Some(found),
        };
        let pushed = self.header().pushers.wait(Some(limit), look, || self.can_push());
        pushed.unwrap_or(Err(PushError::TimedOut))
    }
}
