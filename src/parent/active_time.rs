//! The time that a run has worked: the time since it began, without the times in which it was suspended.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Looks that are further apart than this, before the run was continued, mean that the run was suspended. The parent
/// looks at least ten times per second.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A clock that stands still while the run is suspended.
pub(super) struct ActiveTime {
    begun: Instant,
    /// When the run was last seen working.
    seen: Cell<Instant>,
    suspended: Cell<Duration>,
}

impl ActiveTime {
    pub(super) fn begin() -> Self {
        let begun = Instant::now();
        Self { begun, seen: Cell::new(begun), suspended: Cell::new(Duration::ZERO) }
    }

    /// Returns the time that the run has worked.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed().saturating_sub(self.suspended.get())
    }

    /// Notes that the run works.
    pub(super) fn look(&self) {
        self.seen.set(Instant::now());
    }

    /// Notes that the run has been continued, by SIGCONT: it may have been suspended since the last look.
    pub(super) fn note_continued(&self) {
        let gap = self.seen.get().elapsed();
        if gap > LONGEST_PAUSE {
            self.suspended.set(self.suspended.get() + gap);
        }
        self.look();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_does_not_count_and_a_busy_second_does() {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        let time = ActiveTime {
            begun: long_ago,
            seen: Cell::new(long_ago + Duration::from_secs(10)),
            suspended: Cell::new(Duration::ZERO),
        };
        assert_eq!(time.elapsed().as_secs(), 100);
        time.note_continued();
        assert_eq!(time.elapsed().as_secs(), 10);
        time.note_continued();
        assert_eq!(time.elapsed().as_secs(), 10);
    }
}
