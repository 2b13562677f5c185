//! How many copiers are at work, where the user has left it to the run.
//!
//! As many as there are processors, to begin with: while all is in memory, more of them only get in
//! one another's way. Measured on two processors, 100,000 small files, two copiers and eight: tmpfs
//! 0.36 s and 0.37 s, xfs 1.4 s and 1.8 s. On a cold disk they sleep most of the time, and more of
//! them keep its queue full. Which it is shows in the run itself: whoever sleeps uses no processor. So
//! there are four times as many as long as they sleep, work waits, and the last step has paid. Where
//! they sleep a little, they may be waiting for one another, as on btrfs, whose trees have few locks
//! (100,000 small files, one copier 1.8 s, two 2.0 s): then half of them are tried, and kept if they do
//! as much.
//!
//! One that is not wanted any more is not ended, because it holds work that it has not come to. It
//! rests, and wakes when somebody is hungry.

use std::time::Duration;

/// How long a number is tried, at least.
pub(super) const TRIAL: Duration = Duration::from_millis(50);

/// How long what a trial has shown holds good. What is copied may be of another kind by then.
const REST: Duration = Duration::from_secs(3);

/// Copiers that use less of their processors, in percent, sleep most of the time.
const SLEEPY_PERCENT: u32 = 40;

/// Copiers that use more do not wait for one another.
const BUSY_PERCENT: u32 = 75;

/// How many times as many copiers are tried where they sleep: a cold run of half a second has no time for
/// small steps (18,000 files: twice as many each time 0.50 s, four times 0.40 s, 32 from the beginning 0.26 s).
const GROWTH: u16 = 4;

/// What more copiers must do, and half of them, in percent of what was done before.
const MORE_PERCENT: u128 = 110;
const FEWER_PERCENT: u128 = 97;

/// What was seen of a run at one moment.
#[derive(Clone, Copy, Default)]
pub(super) struct Sample {
    /// Since the round began.
    pub(super) at: Duration,
    /// What has been done, in bytes; an entry counts as some thousand.
    pub(super) work: u128,
    /// The processor time that all copiers have used.
    pub(super) used: Duration,
    /// Whether there is work that nobody has taken.
    pub(super) waits: bool,
}

/// The number of copiers at work, from 1.
pub(super) struct Crew {
    active: u16,
    first: u16,
    most: u16,
    last: Sample,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// The number has shown no fault.
    Steady,
    /// It was `from` before, with which `work` bytes were done in a second.
    Trying { from: u16, work: u128 },
    /// A trial has shown it to be the better one.
    Proven { until: Duration },
}

impl Crew {
    /// `first` copiers to begin with, one for each processor that is to be used, and never more than
    /// `most`.
    pub(super) fn new(first: u16, most: u16) -> Self {
        let first = first.min(most);
        let (last, state) = (Sample::default(), State::Steady);
        Self { active: first, first, most, last, state }
    }

    /// How many are to be at work now.
    pub(super) fn active(&self) -> u16 {
        self.active
    }

    /// Whether their number is left to the run.
    pub(super) fn is_free(&self) -> bool {
        self.most > self.first
    }

    /// Whether it is time for another sample.
    pub(super) fn is_curious(&self, at: Duration) -> bool {
        self.is_free() && at.saturating_sub(self.last.at) >= TRIAL
    }

    /// Draws its conclusions.
    pub(super) fn observe(&mut self, now: Sample) {
        let took = now.at.saturating_sub(self.last.at);
        let work = per_second(now.work.saturating_sub(self.last.work), took);
        let used = now.used.saturating_sub(self.last.used);
        let could = took * u32::from(self.active.min(self.first));
        let uses = |percent: u32| used * 100 >= could * percent;
        self.last = now;
        match self.state {
            State::Trying { from, work: before } => {
                let more = self.active > from;
                let enough = before * if more { MORE_PERCENT } else { FEWER_PERCENT };
                let pays = work * 100 >= enough;
                if !pays {
                    self.active = from;
                }
                if !(pays && more) {
                    self.state = State::Proven { until: now.at + REST };
                    return;
                }
            }
            State::Proven { until } if now.at < until => return,
            State::Proven { .. } | State::Steady => {}
        }
        self.state = State::Steady;
        let next = if self.active < self.first && now.waits {
            self.first
        } else if !uses(SLEEPY_PERCENT) && now.waits {
            self.active.saturating_mul(GROWTH).min(self.most)
        } else if uses(SLEEPY_PERCENT) && !uses(BUSY_PERCENT) {
            (self.active / 2).max(1)
        } else {
            self.active
        };
        if next != self.active {
            self.state = State::Trying { from: self.active, work };
            self.active = next;
        }
    }
}

fn per_second(work: u128, took: Duration) -> u128 {
    work * 1_000_000 / took.as_micros().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run in which `done` copiers do that much in a trial's time and use the processors for
    /// that share of it.
    fn run(crew: &mut Crew, turns: u32, waits: bool, done: impl Fn(u16) -> (u128, u32)) {
        for _ in 0..turns {
            let (work, percent) = done(crew.active());
            let last = crew.last;
            crew.observe(Sample {
                at: last.at + TRIAL,
                work: last.work + work,
                used: last.used + TRIAL * percent / 100,
                waits,
            });
        }
    }

    #[test]
    fn copiers_that_use_the_processors_are_enough() {
        let mut crew = Crew::new(2, 16);
        run(&mut crew, 50, true, |_| (1000, 190));
        assert_eq!(crew.active(), 2);
    }

    #[test]
    fn copiers_that_sleep_become_more_as_long_as_it_pays() {
        let mut crew = Crew::new(2, 32);
        run(&mut crew, 10, true, |active| (u128::from(active.min(8)) * 100, 20));
        assert_eq!(crew.active(), 8);
    }

    #[test]
    fn what_did_not_pay_is_tried_again_after_a_while() {
        let mut crew = Crew::new(2, 32);
        run(&mut crew, 3, true, |_| (100, 20));
        assert_eq!(crew.active(), 2);
        run(&mut crew, 80, true, |active| (u128::from(active) * 100, 20));
        assert_eq!(crew.active(), 32);
    }

    #[test]
    fn where_no_work_waits_nobody_else_is_called() {
        let mut crew = Crew::new(2, 16);
        run(&mut crew, 50, false, |_| (100, 20));
        assert_eq!(crew.active(), 2);
    }

    #[test]
    fn copiers_that_wait_for_one_another_become_fewer_if_these_do_as_much() {
        let mut crew = Crew::new(2, 32);
        run(&mut crew, 5, true, |active| (100, if active == 1 { 95 } else { 120 }));
        assert_eq!(crew.active(), 1);
        let mut crew = Crew::new(2, 32);
        run(&mut crew, 5, true, |active| (u128::from(active) * 100, u32::from(active) * 60));
        assert_eq!(crew.active(), 2);
    }

    #[test]
    fn fewer_become_more_again_where_the_tree_is_of_another_kind() {
        let mut crew = Crew::new(2, 32);
        run(&mut crew, 5, true, |active| (100, if active == 1 { 95 } else { 120 }));
        assert_eq!(crew.active(), 1);
        run(&mut crew, 80, true, |active| (u128::from(active) * 100, u32::from(active) * 97));
        assert_eq!(crew.active(), 2);
    }

    #[test]
    fn who_says_a_number_gets_that() {
        let mut crew = Crew::new(5, 5);
        run(&mut crew, 50, true, |active| (u128::from(active) * 100, 20));
        assert_eq!(crew.active(), 5);
        assert_eq!(Crew::new(16, 8).active(), 8);
    }
}
