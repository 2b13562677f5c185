//! Sleep and wake-up: how a peer that found nothing waits for a peer that publishes something.

use super::sync::{AtomicU32, Word, fence};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::{Duration, Instant};

/// How long a peer sleeps at most before it looks again, even without a notification.
///
/// A peer may die after it has published something and before it notifies; this is the only cost.
pub(super) const NAP: Duration = Duration::from_millis(100);

/// Wake all sleepers.
pub(super) const ALL: u32 = u32::MAX;

/// An event count: a peer that publishes something notifies, and makes a system call only if another
/// peer sleeps. Why no wake-up is lost is argued in the [crate](super).
#[repr(C)]
pub(super) struct EventCount {
    /// The number of notifications; the word to sleep on.
    notified: Word,
    /// How many peers sleep or are about to. One that was killed in its sleep is counted for ever.
    sleepers: AtomicU32,
}

impl EventCount {
    pub(super) fn new() -> Self {
        Self { notified: Word::new(0), sleepers: AtomicU32::new(0) }
    }

    /// Waits until `look` finds something, for at most `limit`; `None` if it did not.
    ///
    /// One notification wakes one sleeper, which may find nothing yet, because a slower peer holds
    /// the slot before. So a sleeper that found something notifies the next one if there is `more`.
    pub(super) fn wait<T>(
        &self,
        limit: Option<Duration>,
        mut look: impl FnMut() -> Option<T>,
        more: impl FnOnce() -> bool,
    ) -> Option<T> {
        if let Some(found) = look() {
            return Some(found);
        }
        // A limit beyond the range of the clock is no limit.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let nap =
                deadline.map_or(NAP, |end| NAP.min(end.saturating_duration_since(Instant::now())));
            if nap.is_zero() {
                return None;
            }
            if let Some(found) = self.sleep(nap, &mut look).or_else(&mut look) {
                if more() {
                    self.notify(1);
                }
                return Some(found);
            }
        }
    }

    /// Announces a sleeper, looks once more, and sleeps if there is still nothing.
    fn sleep<T>(&self, nap: Duration, look: &mut impl FnMut() -> Option<T>) -> Option<T> {
        let notified = self.notified.value.load(Acquire); // pairs with NOTIFIED
        self.sleepers.fetch_add(1, Relaxed);
        fence(SeqCst); // ANNOUNCED: pairs with PUBLISHED; one of the two peers sees the other
        let found = look();
        if found.is_none() {
            self.notified.wait(notified, nap);
        }
        self.sleepers.fetch_sub(1, Relaxed);
        found
    }

    /// Wakes up to `count` sleepers, if there are any. The caller has published what they wait for.
    pub(super) fn notify(&self, count: u32) {
        fence(SeqCst); // PUBLISHED: pairs with ANNOUNCED
        if self.sleepers() > 0 {
            self.notify_always(count);
        }
    }

    /// Notifies without a look at the number of sleepers.
    pub(super) fn notify_always(&self, count: u32) {
        self.notified.value.fetch_add(1, Release); // NOTIFIED
        self.notified.wake(count);
    }

    pub(super) fn sleepers(&self) -> u32 {
        self.sleepers.load(Relaxed)
    }
}
