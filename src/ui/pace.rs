//! How fast a run advances now, from its positions in the last seconds.

use super::numbers::{self, Unit};
use crate::ipc::memory::counters::Count;
use crate::parent::position::{Position, copied};
use std::collections::VecDeque;
use std::time::Duration;

/// Positions that are older count no more. A run that skips what an earlier run has copied is fast, and then slow.
const WINDOW: Duration = Duration::from_secs(5);

/// The part of the window that shows whether the run copies or skips now.
const NOW: Duration = Duration::from_secs(1);

/// How often a position is kept.
const STEP: Duration = Duration::from_millis(200);

/// A run that has not advanced for this time is said to wait.
const STALL: Duration = Duration::from_secs(3);

/// What a run had done at one time. Weights are those of [`Position`].
#[derive(Clone, Copy, Default)]
struct Done {
    at: Duration,
    /// Entries created, and bytes written or, in a comparison, compared.
    entries: u64,
    bytes: u64,
    copied: u128,
    /// The weight of what was settled without being copied.
    skipped: u128,
    /// Bytes of files that may be skipped, because they were compared so far: the run advances.
    compared: u64,
}

impl Done {
    fn of(position: &Position) -> Self {
        let (entries, bytes) = copied(&position.totals, position.compares);
        Self {
            at: position.elapsed,
            entries,
            bytes,
            copied: position.copied_weight(),
            skipped: position.skipped_weight(),
            compared: position.totals.get(Count::BytesCompared),
        }
    }

    fn whole(&self) -> u128 {
        self.copied + self.skipped
    }
}

/// The latest positions of a run.
#[derive(Default)]
pub(super) struct Pace {
    /// The positions in the window, and the last one before it.
    kept: VecDeque<Done>,
    latest: Done,
    /// When the run last advanced.
    advanced: Duration,
    /// The unit of the rate, which stays the same through the run.
    unit: Option<Unit>,
}

impl Pace {
    /// Notes the position that the run has now.
    pub(super) fn note(&mut self, position: &Position) {
        let now = Done::of(position);
        if self.kept.is_empty() {
            self.kept.push_back(Done::default());
        }
        if (now.whole(), now.compared) != (self.latest.whole(), self.latest.compared) {
            self.advanced = now.at;
        }
        self.latest = now;
        let is_due = |last: &Done| now.at.saturating_sub(last.at) >= STEP;
        if self.kept.back().is_some_and(is_due) {
            self.kept.push_back(now);
        }
        let is_old = |done: &Done| now.at.saturating_sub(done.at) >= WINDOW;
        while self.kept.get(1).is_some_and(is_old) {
            self.kept.pop_front();
        }
    }

    /// Returns the time since the run last advanced, if the run waits.
    pub(super) fn stalled(&self) -> Option<Duration> {
        Some(self.latest.at.saturating_sub(self.advanced)).filter(|&time| time >= STALL)
    }

    /// Formats how much is copied per second; `None` if nothing was copied in the window, or the run waits. `work` has the entries and
    /// the bytes of the whole run, as far as they are known.
    pub(super) fn rate(&mut self, work: (u64, u64)) -> Option<String> {
        let since = self.kept.front().copied().unwrap_or_default();
        let entries = self.latest.entries.saturating_sub(since.entries);
        let bytes = self.latest.bytes.saturating_sub(since.bytes);
        if entries == 0 && bytes == 0 {
            return None;
        }
        let (all, all_bytes) = if work.0 > 0 { work } else { (entries, bytes) };
        let unit = *self.unit.get_or_insert(Unit::of(all, all_bytes));
        let amount = if unit == Unit::Bytes { bytes } else { entries };
        let is_shown = amount > 0 && self.stalled().is_none();
        is_shown.then(|| numbers::rate(amount, self.latest.at.saturating_sub(since.at), unit))
    }

    /// Estimates the time that the run needs for the weight `left`; `None` if it cannot be known.
    pub(super) fn time_for(&self, left: u128) -> Option<Duration> {
        let (copied, skipped, seconds) = self.since(WINDOW)?;
        let (lately_copied, lately_skipped, _) = self.since(NOW)?;
        let all = copied + skipped;
        if all == 0.0 || seconds == 0.0 {
            return None;
        }
        // What is left is copied and skipped in the shares of the last second, at the speeds of the whole window.
        let lately = lately_copied + lately_skipped;
        let share = if lately > 0.0 { lately_copied / lately } else { copied / all };
        let speed = if copied > 0.0 && share > 0.0 { copied / share } else { all } / seconds;
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        Duration::try_from_secs_f64(left as f64 / speed).ok()
    }

    /// Returns the weights that were copied and skipped in the last `time`, and how many seconds it has.
    fn since(&self, time: Duration) -> Option<(f64, f64, f64)> {
        let is_recent = |done: &&Done| self.latest.at.saturating_sub(done.at) >= time;
        let since = self.kept.iter().rev().find(is_recent).or(self.kept.front())?;
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let grown = |now: u128, then: u128| now.saturating_sub(then) as f64;
        let seconds = self.latest.at.saturating_sub(since.at).as_secs_f64();
        let copied = grown(self.latest.copied, since.copied);
        Some((copied, grown(self.latest.skipped, since.skipped), seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::memory::counters::Totals;
    use crate::ipc::memory::forecast::Work;

    const MB: u64 = 1_000_000;

    fn position(milliseconds: u64, counts: &[(Count, u64)]) -> Position {
        let mut totals = Totals::default();
        for &(count, value) in counts {
            totals.set(count, value);
        }
        let (work, elapsed) = (Work::default(), Duration::from_millis(milliseconds));
        Position { totals, work, elapsed, reads_back: false, compares: false }
    }

    fn seconds(pace: &Pace, left: u128) -> f64 {
        pace.time_for(left).unwrap().as_secs_f64()
    }

    #[test]
    fn a_slower_disk_is_seen_within_the_window() {
        let mut pace = Pace::default();
        for tenth in 1..=100 {
            // 100 MB/s, and from the third second on 10 MB/s
            let bytes = if tenth <= 30 { tenth * 10 } else { 300 + (tenth - 30) } * MB;
            pace.note(&position(tenth * 100, &[(Count::Bytes, bytes)]));
        }
        assert_eq!(pace.rate((1, 1000 * MB)).unwrap(), "10 MB/s");
        let left = seconds(&pace, u128::from(100 * MB));
        assert!((9.0..11.0).contains(&left), "{left}");
    }

    #[test]
    fn what_is_skipped_first_does_not_shorten_the_rest() {
        let mut pace = Pace::default();
        // 1 GB is skipped at once; then 10 MB/s are copied
        for tenth in 1..=20 {
            let counts = [(Count::BytesSkipped, 1000 * MB), (Count::Bytes, tenth * MB)];
            pace.note(&position(tenth * 100, &counts));
        }
        let left = seconds(&pace, u128::from(100 * MB));
        assert!((9.0..11.0).contains(&left), "{left}");
    }

    #[test]
    fn what_is_skipped_all_along_shortens_the_rest() {
        let mut pace = Pace::default();
        for tenth in 1..=50 {
            let counts = [(Count::BytesSkipped, tenth * 9 * MB), (Count::Bytes, tenth * MB)];
            pace.note(&position(tenth * 100, &counts));
        }
        let left = seconds(&pace, u128::from(1000 * MB));
        assert!((9.0..11.0).contains(&left), "{left}");
        let mut pace = Pace::default();
        for tenth in 1..=50 {
            pace.note(&position(tenth * 100, &[(Count::BytesSkipped, tenth * 10 * MB)]));
        }
        assert_eq!(pace.rate((1, 1000 * MB)), None);
        let left = seconds(&pace, u128::from(1000 * MB));
        assert!((9.0..11.0).contains(&left), "{left}");
    }

    #[test]
    fn a_run_that_does_not_advance_waits() {
        let mut pace = Pace::default();
        pace.note(&position(500, &[(Count::Copied, 1)]));
        for tenth in 6..=60 {
            pace.note(&position(tenth * 100, &[(Count::Copied, 1)]));
            assert_eq!(pace.stalled().is_some(), tenth >= 35, "{tenth}");
        }
        assert_eq!(pace.stalled(), Some(Duration::from_millis(5500)));
        assert_eq!(pace.time_for(100), None);
    }

    #[test]
    fn the_unit_of_the_rate_stays() {
        let mut pace = Pace::default();
        pace.note(&position(1000, &[(Count::Copied, 2000), (Count::Bytes, 1000)]));
        assert_eq!(pace.rate((0, 0)).unwrap(), "2,000/s");
        pace.note(&position(2000, &[(Count::Copied, 2001), (Count::Bytes, 500 * MB)]));
        assert_eq!(pace.rate((3000, 1000 * MB)).unwrap(), "1,000/s");
    }
}
