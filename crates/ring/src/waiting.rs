//! Pushing and taking with patience.

use super::storage::Storage;
use super::{PushError, Ring, TakeError};
use std::time::Duration;

impl<S: Storage> Ring<S> {
    /// Takes the oldest message into `into`, which is cleared first; sleeps until there is one.
    ///
    /// Ends with [`Closed`](TakeError::Closed) when nothing will ever come, and with
    /// [`Stopped`](TakeError::Stopped) at once when the ring is stopped, even with messages left.
    /// There is no other error.
    pub fn take(&self, into: &mut Vec<u8>) -> Result<(), TakeError> {
        self.take_before(None, into)
    }

    /// As [`take`](Self::take), for at most `limit`: then [`TimedOut`](TakeError::TimedOut).
    ///
    /// It looks before it looks at the clock, so even a limit of zero takes what is there.
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

    /// Pushes a copy of `message`; sleeps until there is room, for at most `limit`: then
    /// [`TimedOut`](PushError::TimedOut).
    ///
    /// Ends at once with [`Closed`](PushError::Closed), [`Stopped`](PushError::Stopped) or
    /// [`TooLong`](PushError::TooLong). It looks before it looks at the clock. Beware of all
    /// copiers waiting for room and none taking: a copier that can do the work itself should
    /// [`try_push`](Self::try_push).
    pub fn push_within(&self, message: &[u8], limit: Duration) -> Result<(), PushError> {
        let look = || match self.try_push(message) {
            Err(PushError::Full) => None,
            found => Some(found),
        };
        let pushed = self.header().pushers.wait(Some(limit), look, || self.can_push());
        pushed.unwrap_or(Err(PushError::TimedOut))
    }
}
