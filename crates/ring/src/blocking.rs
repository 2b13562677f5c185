//! The calls that sleep: take, and push with a limit.

use super::storage::Storage;
use super::{MayWait, PushError, Pushers, Ring, TakeError};
use std::time::Duration;

impl<S: Storage, P: Pushers> Ring<S, P> {
    /// Takes the oldest message into `into`, which is cleared first; sleeps until there is one.
    ///
    /// Fails with [`Closed`](TakeError::Closed) when there will never be one, and with
    /// [`Stopped`](TakeError::Stopped) as soon as the ring is stopped, even if messages are left.
    /// There is no other error.
    pub fn take(&self, into: &mut Vec<u8>) -> Result<(), TakeError> {
        self.take_before(None, into)
    }

    /// As [`take`](Self::take), for at most `limit`: then [`TimedOut`](TakeError::TimedOut).
    ///
    /// The first look comes before the clock, so even a limit of zero takes what is there.
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
    /// Pushes a copy of `message`; sleeps until there is room, for at most `limit`: then
    /// [`TimedOut`](PushError::TimedOut).
    ///
    /// Fails at once with [`Closed`](PushError::Closed), [`Stopped`](PushError::Stopped) or
    /// [`TooLong`](PushError::TooLong). The first look comes before the clock. If all peers wait for
    /// room, none takes: a peer that can do the work itself should [`try_push`](Self::try_push).
    pub fn push_within(&self, message: &[u8], limit: Duration) -> Result<(), PushError> {
        let look = || match self.try_push(message) {
            Err(PushError::Full) => None,
            found => Some(found),
        };
        let pushed = self.header().pushers.wait(Some(limit), look, || self.can_push());
        pushed.unwrap_or(Err(PushError::TimedOut))
    }
}
