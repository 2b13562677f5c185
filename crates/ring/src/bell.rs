//! Sleep: how one who found nothing waits for one who brings something.

use super::weave::{AtomicU32, Word, fence};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::{Duration, Instant};

/// How long a sleeper sleeps before it looks again by itself, should nobody ring.
///
/// A peer may die between bringing something and ringing; this is all that it costs.
pub(super) const NAP: Duration = Duration::from_millis(100);

/// Wake everybody.
pub(super) const ALL: u32 = u32::MAX;

/// An event count: whoever brings something rings, and pays for a system call only if somebody
/// sleeps. Why no ring is missed stands in the [module](super).
#[repr(C)]
pub(super) struct Bell {
    /// How often it rang; the word to sleep on.
    rung: Word,
    /// How many sleep, or are about to. One that was killed in its sleep is counted for ever.
    sleepers: AtomicU32,
}

impl Bell {
    pub(super) fn new() -> Self {
        Self { rung: Word::new(0), sleepers: AtomicU32::new(0) }
    }

    /// Waits until `look` finds something, for at most `limit`; `None` when it did not.
    ///
    /// One ring wakes one sleeper, and that one may have been woken for something that it could
    /// not reach yet, because a slower peer was before it. So a sleeper that finds something rings
    /// for the next one if there is `more`.
    pub(super) fn wait<T>(
        &self,
        limit: Option<Duration>,
        mut look: impl FnMut() -> Option<T>,
        more: impl FnOnce() -> bool,
    ) -> Option<T> {
        if let Some(found) = look() {
            return Some(found);
        }
        // A limit beyond what the clock can say is none.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let nap =
                deadline.map_or(NAP, |end| NAP.min(end.saturating_duration_since(Instant::now())));
            if nap.is_zero() {
                return None;
            }
            if let Some(found) = self.sleep(nap, &mut look).or_else(&mut look) {
                if more() {
                    self.ring(1);
                }
                return Some(found);
            }
        }
    }

    /// Announces a sleeper, looks once more, and sleeps if there is still nothing.
    fn sleep<T>(&self, nap: Duration, look: &mut impl FnMut() -> Option<T>) -> Option<T> {
        let rung = self.rung.value.load(Acquire); // pairs with RUNG
        self.sleepers.fetch_add(1, Relaxed);
        fence(SeqCst); // ANNOUNCED: pairs with PUBLISHED; one of us two sees the other
        let found = look();
        if found.is_none() {
            self.rung.wait(rung, nap);
        }
        self.sleepers.fetch_sub(1, Relaxed);
        found
    }

    /// Wakes up to `count` of those who sleep, if any do. What they should find is there already.
    pub(super) fn ring(&self, count: u32) {
        fence(SeqCst); // PUBLISHED: pairs with ANNOUNCED
        if self.sleepers() > 0 {
            self.ring_anyway(count);
        }
    }

    /// Rings without asking whether somebody sleeps.
    pub(super) fn ring_anyway(&self, count: u32) {
        self.rung.value.fetch_add(1, Release); // RUNG
        self.rung.wake(count);
    }

    pub(super) fn sleepers(&self) -> u32 {
        self.sleepers.load(Relaxed)
    }
}
