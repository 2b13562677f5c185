//! Sleep and wake-up: a taker that finds no message, or a pusher that finds no room, sleeps until another
//! peer publishes a message or a free slot.

use super::sync::{AtomicU32, Word, fence};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::{Duration, Instant};

/// The longest time that a peer sleeps before it looks again, even without a notification.
///
/// A peer may die after it has published something and before it notifies. Then a sleeper finds what was
/// published at most this much later.
pub(super) const NAP: Duration = Duration::from_millis(100);

/// The count with which [`EventCount::notify_always`] wakes all sleepers.
pub(super) const ALL: u32 = u32::MAX;

/// An event count, on which peers sleep. A peer that publishes something calls `notify`, which makes a system
/// call only if another peer sleeps. The documentation of the [crate](super) argues that no wake-up is lost.
#[repr(C)]
pub(super) struct EventCount {
    /// The number of notifications. Peers sleep on this word until it changes.
    notified: Word,
    /// The number of peers that sleep or are about to sleep. A peer that was killed in its sleep stays
    /// counted.
    sleepers: AtomicU32,
}

impl EventCount {
    pub(super) fn new() -> Self {
        Self { notified: Word::new(0), sleepers: AtomicU32::new(0) }
    }

    /// Calls `look` until it finds something, and sleeps between the calls. Returns `None` if `limit` passes
    /// first.
    ///
    /// One notification wakes one sleeper, which may find nothing yet, because a slower peer still uses the
    /// preceding slot. So a sleeper that found something notifies the next sleeper if `more` returns true,
    /// which means that another sleeper would find something, too.
    pub(super) fn wait<T>(
        &self,
        limit: Option<Duration>,
        mut look: impl FnMut() -> Option<T>,
        more: impl FnOnce() -> bool,
    ) -> Option<T> {
        if let Some(found) = look() {
            return Some(found);
        }
        // If the deadline is beyond the range of the clock, there is no limit.
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

    /// Announces a sleeper and looks once more. Sleeps if `look` still finds nothing.
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

    /// Wakes up to `count` sleepers, if there are any. The caller has already published what the sleepers
    /// wait for.
    pub(super) fn notify(&self, count: u32) {
        fence(SeqCst); // PUBLISHED: pairs with ANNOUNCED
        if self.sleepers() > 0 {
            self.notify_always(count);
        }
    }

    /// Wakes up to `count` sleepers, without a look at the number of sleepers.
    pub(super) fn notify_always(&self, count: u32) {
        self.notified.value.fetch_add(1, Release); // NOTIFIED
        self.notified.wake(count);
    }

    pub(super) fn sleepers(&self) -> u32 {
        self.sleepers.load(Relaxed)
    }
}
