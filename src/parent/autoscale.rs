//! How many copiers are at work, where `-j` does not set it.
//!
//! At first as many as there are CPUs: while everything is in memory, more copiers only contend for the
//! same locks. Measured on two CPUs, 100,000 small files, two copiers and eight: tmpfs 0.36 s and 0.37
//! s, xfs 1.4 s and 1.8 s. On a cold disk copiers sleep most of the time, and more of them keep its
//! queue full. The run itself shows which it is, because a sleeping copier uses no CPU time. So the
//! number is quadrupled as long as copiers sleep, tasks wait, and the last step has made the run
//! faster. Where copiers sleep a little, they may be waiting for one another, as on btrfs, whose trees
//! have few locks (100,000 small files, one copier 1.5 s, two 1.8 s): then half of them are tried, and
//! that number stays if it does as much.
//!
//! One moment says little: two copiers on xfs wait for one another while their directories happen to
//! lie in one allocation group, and then one copier does as much (with one moment as the measure: 1.3
//! s, as with one copier; two take 1.0 s). So a trial is compared with the mean of what a number has
//! done, and the first moments, in which copiers are still being forked, are not counted.
//!
//! A copier that is not wanted any more is not ended, because it may hold tasks. It sleeps, and wakes
//! when the other copiers have too few tasks.

use std::time::Duration;

/// How long a number of copiers is tried, at least.
const TRIAL: Duration = Duration::from_millis(50);

/// How long it takes, with a margin, until the first copiers are forked and at work.
const START: Duration = Duration::from_millis(20);

/// How long the result of a trial is relied on; other kinds of files may be copied by then.
const REST: Duration = Duration::from_secs(3);

/// Copiers that use less of their CPUs than this, in percent, sleep most of the time.
const SLEEPY_PERCENT: u128 = 40;

/// Copiers that use more than this, in percent, do not wait for one another.
const BUSY_PERCENT: u128 = 70;

/// By which factor the number grows where copiers sleep: a cold run of half a second has no time for
/// small steps (18,000 files: factor two 0.50 s, factor four 0.40 s, 32 copiers from the beginning 0.26
/// s).
const GROWTH: u16 = 4;

/// How many samples of a number are taken before fewer copiers are tried.
const SAMPLES: u32 = 4;

/// How much more copiers must do, and how much fewer must, in percent of what was done before.
const MORE_PERCENT: u128 = 110;
const FEWER_PERCENT: u128 = 97;

/// A sample of a round.
#[derive(Clone, Copy, Default)]
pub(super) struct Sample {
    /// Since the round began.
    pub(super) at: Duration,
    /// What has been done, in bytes; see `position::weight`.
    pub(super) work: u128,
    /// The CPU time that all copiers have used.
    pub(super) used: Duration,
    /// Whether there are tasks that no copier has taken.
    pub(super) waits: bool,
}

/// The number of copiers at work, from 1.
pub(super) struct Autoscale {
    active: u16,
    first: u16,
    most: u16,
    last: Sample,
    usual: Usual,
    state: State,
}

/// What a number of copiers usually does: a mean in which older samples weigh less.
#[derive(Clone, Copy, Default)]
struct Usual {
    /// How many samples it comes from.
    samples: u32,
    /// Bytes a second.
    work: u128,
    /// How much of the CPUs was used, in percent.
    use_percent: u128,
}

impl Usual {
    fn add(&mut self, work: u128, use_percent: u128) {
        self.samples = self.samples.saturating_add(1);
        let weight = u128::from(self.samples.min(SAMPLES));
        let mean = |old: u128, new: u128| (old * (weight - 1) + new) / weight;
        self.work = mean(self.work, work);
        self.use_percent = mean(self.use_percent, use_percent);
    }
}

#[derive(Clone, Copy)]
enum State {
    /// Copiers are being forked.
    Beginning,
    /// There is no reason for another number.
    Steady,
    /// Another number is tried; with `from` copiers, `work` bytes were done in a second.
    Trying { from: u16, work: u128 },
    /// A trial has shown this number to be the better one.
    Proven { until: Duration },
}

impl Autoscale {
    /// `first` copiers to begin with, one for each CPU that is to be used, and never more than `most`.
    pub(super) fn new(first: u16, most: u16) -> Self {
        let first = first.min(most);
        let (last, usual) = (Sample::default(), Usual::default());
        Self { active: first, first, most, last, usual, state: State::Beginning }
    }

    /// How many copiers are to be at work now.
    pub(super) fn active(&self) -> u16 {
        self.active
    }

    /// After which time another sample is wanted; `None` if the user has given the number.
    pub(super) fn interval(&self) -> Option<Duration> {
        let interval = if matches!(self.state, State::Beginning) { START } else { TRIAL };
        (self.most > self.first).then_some(interval)
    }

    /// Whether it is time for another sample.
    pub(super) fn wants_sample(&self, at: Duration) -> bool {
        self.interval().is_some_and(|interval| at.saturating_sub(self.last.at) >= interval)
    }

    /// Takes a sample and decides about the number.
    pub(super) fn observe(&mut self, now: Sample) {
        let elapsed = now.at.saturating_sub(self.last.at);
        let work = per_second(now.work.saturating_sub(self.last.work), elapsed);
        let used = now.used.saturating_sub(self.last.used);
        let could = elapsed * u32::from(self.active.min(self.first));
        let use_percent = used.as_micros() * 100 / could.as_micros().max(1);
        self.last = now;
        self.usual.add(work, use_percent);
        match self.state {
            State::Beginning => {
                self.switch_to(self.active, State::Steady);
                return;
            }
            State::Trying { from, work: before } => {
                let more = self.active > from;
                let enough = before * if more { MORE_PERCENT } else { FEWER_PERCENT };
                let pays = work > 0 && work * 100 >= enough;
                if !(pays && more) {
                    let best = if pays { self.active } else { from };
                    self.switch_to(best, State::Proven { until: now.at + REST });
                    return;
                }
            }
            State::Proven { until } if now.at < until => return,
            State::Proven { .. } | State::Steady => {}
        }
        self.state = State::Steady;
        let next = self.next(now.waits);
        if next != self.active {
            let (from, work) = (self.active, self.usual.work);
            self.switch_to(next, State::Trying { from, work });
        }
    }

    /// The number to try next, judged by what the present one usually does.
    fn next(&self, waits: bool) -> u16 {
        let Usual { samples, use_percent, .. } = self.usual;
        if self.active < self.first && waits {
            self.first
        } else if use_percent < SLEEPY_PERCENT {
            if waits { self.active.saturating_mul(GROWTH).min(self.most) } else { self.active }
        } else if use_percent < BUSY_PERCENT && samples >= SAMPLES {
            (self.active / 2).max(1)
        } else {
            self.active
        }
    }

    fn switch_to(&mut self, active: u16, state: State) {
        if active != self.active || matches!(self.state, State::Beginning) {
            self.usual = Usual::default();
        }
        (self.active, self.state) = (active, state);
    }
}

fn per_second(work: u128, elapsed: Duration) -> u128 {
    work * 1_000_000 / elapsed.as_micros().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run in which a number of copiers does what `done` says during each trial: bytes, and the share
    /// of CPU time in percent.
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
    fn copiers_that_keep_the_cpus_busy_are_enough() {
        let mut autoscale = Autoscale::new(2, 16);
        run(&mut autoscale, 50, true, |_| (1000, 190));
        assert_eq!(autoscale.active(), 2);
    }

    #[test]
    fn the_number_grows_while_copiers_sleep_and_the_run_gets_faster() {
        let mut autoscale = Autoscale::new(2, 32);
        run(&mut autoscale, 10, true, |active| (u128::from(active.min(8)) * 100, 20));
        assert_eq!(autoscale.active(), 8);
    }

    #[test]
    fn a_failed_trial_is_repeated_after_a_while() {
        let mut autoscale = Autoscale::new(2, 32);
        run(&mut autoscale, 4, true, |_| (100, 20));
        assert_eq!(autoscale.active(), 2);
        run(&mut autoscale, 80, true, |active| (u128::from(active) * 100, 20));
        assert_eq!(autoscale.active(), 32);
    }

    #[test]
    fn without_waiting_tasks_the_number_does_not_grow() {
        let mut autoscale = Autoscale::new(2, 16);
        run(&mut autoscale, 50, false, |_| (100, 20));
        assert_eq!(autoscale.active(), 2);
    }

    #[test]
    fn copiers_that_wait_for_one_another_are_halved_if_half_does_as_much() {
        let mut autoscale = Autoscale::new(2, 32);
        run(&mut autoscale, 10, true, |active| (100, if active == 1 { 95 } else { 120 }));
        assert_eq!(autoscale.active(), 1);
        let mut autoscale = Autoscale::new(2, 32);
        run(&mut autoscale, 10, true, |active| (u128::from(active) * 100, u32::from(active) * 60));
        assert_eq!(autoscale.active(), 2);
    }

    #[test]
    fn a_moment_of_contention_does_not_reduce_the_number() {
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
    fn samples_taken_while_copiers_are_forked_are_not_counted() {
        let mut autoscale = Autoscale::new(2, 32);
        run(&mut autoscale, 1, true, |_| (1, 1));
        run(&mut autoscale, 20, true, |_| (100, 120));
        assert!(autoscale.active() <= 2);
    }

    #[test]
    fn a_reduced_number_grows_again_when_the_files_change() {
        let mut autoscale = Autoscale::new(2, 32);
        run(&mut autoscale, 10, true, |active| (100, if active == 1 { 95 } else { 120 }));
        assert_eq!(autoscale.active(), 1);
        run(&mut autoscale, 80, true, |active| (u128::from(active) * 100, u32::from(active) * 97));
        assert_eq!(autoscale.active(), 2);
    }

    #[test]
    fn a_given_number_of_copiers_stays() {
        let mut autoscale = Autoscale::new(5, 5);
        run(&mut autoscale, 50, true, |active| (u128::from(active) * 100, 20));
        assert_eq!(autoscale.active(), 5);
        assert_eq!(Autoscale::new(16, 8).active(), 8);
    }
}
