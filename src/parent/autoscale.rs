//! How many copiers are at work, where the user has left it to the run.
//!
//! As many as there are processors, to begin with: while all is in memory, more of them only get in
//! one another's way. Measured on two processors, 100,000 small files, two copiers and eight: tmpfs
//! 0.36 s and 0.37 s, xfs 1.4 s and 1.8 s. On a cold disk they sleep most of the time, and more of
//! them keep its queue full. Which it is shows in the run itself: whoever sleeps uses no processor. So
//! there are four times as many as long as they sleep, work waits, and the last step has paid. Where
//! they sleep a little, they may be waiting for one another, as on btrfs, whose trees have few locks
//! (100,000 small files, one copier 1.5 s, two 1.8 s): then half of them are tried, and kept if they do
//! as much.
//!
//! A moment says little: two copiers on xfs wait for one another while their folders happen to lie in one
//! allocation group, and then one does as much (one moment judged by itself: 1.3 s, as with one copier; two
//! take 1.0 s). So it is what a number does as a rule that counts, against which a trial is held, and the
//! first moments, in which copiers are still being forked, count for nothing.
//!
//! One that is not wanted any more is not ended, because it holds work that it has not come to. It
//! rests, and wakes when somebody is hungry.

use std::time::Duration;

/// How long a number is tried, at least.
const TRIAL: Duration = Duration::from_millis(50);

/// How long it takes until all that are wanted in the beginning are forked and at work, with room.
const START: Duration = Duration::from_millis(20);

/// How long what a trial has shown holds good. What is copied may be of another kind by then.
const REST: Duration = Duration::from_secs(3);

/// Copiers that use less of their processors, in percent, sleep most of the time.
const SLEEPY_PERCENT: u128 = 40;

/// Copiers that use more do not wait for one another.
const BUSY_PERCENT: u128 = 70;

/// How many times as many copiers are tried where they sleep: a cold run of half a second has no time for
/// small steps (18,000 files: twice as many each time 0.50 s, four times 0.40 s, 32 from the beginning 0.26 s).
const GROWTH: u16 = 4;

/// How many trials' time a number is looked at before fewer are tried.
const LOOKS: u32 = 4;

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
pub(super) struct Autoscale {
    active: u16,
    first: u16,
    most: u16,
    last: Sample,
    habit: Habit,
    state: State,
}

/// What a number of copiers does as a rule: a mean in which what was a while ago counts less and less.
#[derive(Clone, Copy, Default)]
struct Habit {
    /// How many looks it comes from.
    looks: u32,
    /// The bytes that were done in a second.
    work: u128,
    /// The part of the processors that was used, in percent.
    use_percent: u128,
}

impl Habit {
    fn add(&mut self, work: u128, use_percent: u128) {
        self.looks = self.looks.saturating_add(1);
        let weight = u128::from(self.looks.min(LOOKS));
        let mean = |old: u128, new: u128| (old * (weight - 1) + new) / weight;
        self.work = mean(self.work, work);
        self.use_percent = mean(self.use_percent, use_percent);
    }
}

#[derive(Clone, Copy)]
enum State {
    /// Copiers are being forked.
    Beginning,
    /// The number has shown no fault.
    Steady,
    /// It was `from` before, with which `work` bytes were done in a second.
    Trying { from: u16, work: u128 },
    /// A trial has shown it to be the better one.
    Proven { until: Duration },
}

impl Autoscale {
    /// `first` copiers to begin with, one for each processor that is to be used, and never more than
    /// `most`.
    pub(super) fn new(first: u16, most: u16) -> Self {
        let first = first.min(most);
        let (last, habit) = (Sample::default(), Habit::default());
        Self { active: first, first, most, last, habit, state: State::Beginning }
    }

    /// How many are to be at work now.
    pub(super) fn active(&self) -> u16 {
        self.active
    }

    /// After which time another sample is wanted; `None` if the number was named by the user.
    pub(super) fn beat(&self) -> Option<Duration> {
        let beat = if matches!(self.state, State::Beginning) { START } else { TRIAL };
        (self.most > self.first).then_some(beat)
    }

    /// Whether it is time for another sample.
    pub(super) fn is_curious(&self, at: Duration) -> bool {
        self.beat().is_some_and(|beat| at.saturating_sub(self.last.at) >= beat)
    }

    /// Draws its conclusions.
    pub(super) fn observe(&mut self, now: Sample) {
        let took = now.at.saturating_sub(self.last.at);
        let work = per_second(now.work.saturating_sub(self.last.work), took);
        let used = now.used.saturating_sub(self.last.used);
        let could = took * u32::from(self.active.min(self.first));
        let use_percent = used.as_micros() * 100 / could.as_micros().max(1);
        self.last = now;
        self.habit.add(work, use_percent);
        match self.state {
            State::Beginning => {
                self.turn_to(self.active, State::Steady);
                return;
            }
            State::Trying { from, work: before } => {
                let more = self.active > from;
                let enough = before * if more { MORE_PERCENT } else { FEWER_PERCENT };
                let pays = work > 0 && work * 100 >= enough;
                if !(pays && more) {
                    let best = if pays { self.active } else { from };
                    self.turn_to(best, State::Proven { until: now.at + REST });
                    return;
                }
            }
            State::Proven { until } if now.at < until => return,
            State::Proven { .. } | State::Steady => {}
        }
        self.state = State::Steady;
        let next = self.next(now.waits);
        if next != self.active {
            let (from, work) = (self.active, self.habit.work);
            self.turn_to(next, State::Trying { from, work });
        }
    }

    /// What number is to be tried, by what is usual with the present one.
    fn next(&self, waits: bool) -> u16 {
        let Habit { looks, use_percent, .. } = self.habit;
        if self.active < self.first && waits {
            self.first
        } else if use_percent < SLEEPY_PERCENT {
            if waits { self.active.saturating_mul(GROWTH).min(self.most) } else { self.active }
        } else if use_percent < BUSY_PERCENT && looks >= LOOKS {
            (self.active / 2).max(1)
        } else {
            self.active
        }
    }

    fn turn_to(&mut self, active: u16, state: State) {
        if active != self.active || matches!(self.state, State::Beginning) {
            self.habit = Habit::default();
        }
        (self.active, self.state) = (active, state);
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
    fn run(autoscale: &mut Autoscale, turns: u32, waits: bool, done: impl Fn(u16) -> (u128, u32)) {
        for _ in 0..turns {
            let (work, percent) = done(autoscale.active());
            let last = autoscale.last;
            autoscale.observe(Sample {
                at: last.at + TRIAL,
                work: last.work + work,
                used: last.used + TRIAL * percent / 100,
                waits,
            });
        }
    }

    #[test]
    fn copiers_that_use_the_processors_are_enough() {
        let mut autoscale = Autoscale::new(2, 16);
        run(&mut autoscale, 50, true, |_| (1000, 190));
        assert_eq!(autoscale.active(), 2);
    }

    #[test]
    fn copiers_that_sleep_become_more_as_long_as_it_pays() {
        let mut autoscale = Autoscale::new(2, 32);
        run(&mut autoscale, 10, true, |active| (u128::from(active.min(8)) * 100, 20));
        assert_eq!(autoscale.active(), 8);
    }

    #[test]
    fn what_did_not_pay_is_tried_again_after_a_while() {
        let mut autoscale = Autoscale::new(2, 32);
        run(&mut autoscale, 4, true, |_| (100, 20));
        assert_eq!(autoscale.active(), 2);
        run(&mut autoscale, 80, true, |active| (u128::from(active) * 100, 20));
        assert_eq!(autoscale.active(), 32);
    }

    #[test]
    fn where_no_work_waits_nobody_else_is_called() {
        let mut autoscale = Autoscale::new(2, 16);
        run(&mut autoscale, 50, false, |_| (100, 20));
        assert_eq!(autoscale.active(), 2);
    }

    #[test]
    fn copiers_that_wait_for_one_another_become_fewer_if_these_do_as_much() {
        let mut autoscale = Autoscale::new(2, 32);
        run(&mut autoscale, 10, true, |active| (100, if active == 1 { 95 } else { 120 }));
        assert_eq!(autoscale.active(), 1);
        let mut autoscale = Autoscale::new(2, 32);
        run(&mut autoscale, 10, true, |active| (u128::from(active) * 100, u32::from(active) * 60));
        assert_eq!(autoscale.active(), 2);
    }

    #[test]
    fn a_moment_in_which_they_wait_for_one_another_is_not_the_rule() {
        let mut autoscale = Autoscale::new(2, 32);
        for _ in 0..20 {
            run(&mut autoscale, 4, true, |active| {
                (u128::from(active) * 100, u32::from(active) * 95)
            });
            run(&mut autoscale, 1, true, |active| (100, if active == 1 { 95 } else { 70 }));
        }
        assert_eq!(autoscale.active(), 2);
    }

    #[test]
    fn what_is_done_while_they_are_forked_counts_for_nothing() {
        let mut autoscale = Autoscale::new(2, 32);
        run(&mut autoscale, 1, true, |_| (1, 1));
        run(&mut autoscale, 20, true, |_| (100, 120));
        assert!(autoscale.active() <= 2);
    }

    #[test]
    fn fewer_become_more_again_where_the_tree_is_of_another_kind() {
        let mut autoscale = Autoscale::new(2, 32);
        run(&mut autoscale, 10, true, |active| (100, if active == 1 { 95 } else { 120 }));
        assert_eq!(autoscale.active(), 1);
        run(&mut autoscale, 80, true, |active| (u128::from(active) * 100, u32::from(active) * 97));
        assert_eq!(autoscale.active(), 2);
    }

    #[test]
    fn who_says_a_number_gets_that() {
        let mut autoscale = Autoscale::new(5, 5);
        run(&mut autoscale, 50, true, |active| (u128::from(active) * 100, 20));
        assert_eq!(autoscale.active(), 5);
        assert_eq!(Autoscale::new(16, 8).active(), 8);
    }
}
