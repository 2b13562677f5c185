//! Chooses how many copiers work at a time, if the user does not set the number with `-j`.
//!
//! A run begins with as many copiers as there are CPUs, but with at least two. While all data is in memory,
//! copiers beyond that number only contend for the same locks. Measured with 100,000 small files on two CPUs:
//! two copiers took 0.36 s on tmpfs and 1.4 s on xfs, eight copiers 0.37 s and 1.8 s. On a cold disk, copiers
//! sleep most of the time, and more copiers keep the queue of the disk full. The run itself shows which case
//! applies, because a sleeping copier uses no CPU time.
//!
//! The parent multiplies the number by four as long as three conditions hold: copiers sleep most of the time,
//! some tasks have not been taken by a copier, and the last increase made the run faster. If copiers sleep
//! only a little, they may be waiting for each other, as on btrfs, whose metadata trees have few locks
//! (100,000 small files take 1.5 s with one copier, and 1.8 s with two). Then the parent tries half the
//! number, and keeps it if that many copiers do (almost) as much work in the same time.
//!
//! One short sample is not reliable. Two copiers on xfs wait for each other while their directories happen to
//! lie in one allocation group. During that time one copier does as much work as two. When a single sample
//! decided, such a run was reduced to one copier and took 1.3 s; with two copiers until the end, it takes
//! 1.0 s. Therefore a trial is compared with the mean of the samples before it, and a sample is not counted
//! while copiers are still being forked.
//!
//! When the number is reduced, the surplus copiers do not exit, because they may hold tasks. They sleep, and
//! wake when the other copiers have too few tasks.

use std::time::Duration;

/// The minimum duration of the trial of a number of copiers.
const TRIAL: Duration = Duration::from_millis(50);

/// The time, with a margin, until the first copiers are forked and at work.
const START: Duration = Duration::from_millis(20);

/// How long the result of a trial is valid. After that time the run may copy other kinds of files.
const REST: Duration = Duration::from_secs(3);

/// If copiers use less than this percentage of their CPUs, they sleep most of the time.
const SLEEPY_PERCENT: u128 = 40;

/// If copiers use more than this percentage of their CPUs, they do not wait for each other.
const BUSY_PERCENT: u128 = 70;

/// The factor by which the number of copiers grows if they sleep. A run of half a second from a cold disk has
/// no time for small steps. With 18,000 files, a run with factor two took 0.50 s, with factor four 0.40 s,
/// and with 32 copiers from the beginning 0.26 s.
const GROWTH: u16 = 4;

/// How many samples the mean must contain before fewer copiers are tried.
const SAMPLES: u32 = 4;

/// The work, in percent of the work before a trial, that more copiers (`MORE_PERCENT`) or fewer copiers
/// (`FEWER_PERCENT`) must do to be kept.
const MORE_PERCENT: u128 = 110;
const FEWER_PERCENT: u128 = 97;

/// One measurement of a round.
#[derive(Clone, Copy, Default)]
pub(super) struct Sample {
    /// The time since the round began.
    pub(super) at: Duration,
    /// The work done since the round began, in bytes; see `position::weight`.
    pub(super) work: u128,
    /// The CPU time that all copiers have used since they were forked.
    pub(super) used: Duration,
    /// Whether there are tasks that no copier has taken yet.
    pub(super) waits: bool,
}

/// The controller of the number of copiers at work, which is at least 1.
pub(super) struct Autoscale {
    active: u16,
    first: u16,
    most: u16,
    last: Sample,
    usual: Usual,
    state: Regime,
}

/// The usual performance of the current number of copiers: a mean in which older samples count less.
#[derive(Clone, Copy, Default)]
struct Usual {
    /// How many samples the mean contains.
    samples: u32,
    /// Work in bytes per second.
    work: u128,
    /// The use of the CPUs, in percent.
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
enum Regime {
    /// The parent is still forking the first copiers.
    Beginning,
    /// The current number stays until a sample calls for another one.
    Steady,
    /// Another number is being tried; before the trial, `from` copiers did `work` bytes per second.
    Trying { from: u16, work: u128 },
    /// A trial has shown that the current number is the better one; it stays until this time.
    Proven { until: Duration },
}

impl Autoscale {
    /// Creates a controller that begins with `first` copiers, one for each CPU to use, and never chooses more
    /// than `most`.
    pub(super) fn new(first: u16, most: u16) -> Self {
        let first = first.min(most);
        let (last, usual) = (Sample::default(), Usual::default());
        Self { active: first, first, most, last, usual, state: Regime::Beginning }
    }

    /// Returns how many copiers are to be at work now.
    pub(super) fn active(&self) -> u16 {
        self.active
    }

    /// Returns the time between two samples; `None` if the user has set the number.
    pub(super) fn interval(&self) -> Option<Duration> {
        let interval = if matches!(self.state, Regime::Beginning) { START } else { TRIAL };
        (self.most > self.first).then_some(interval)
    }

    /// Whether it is time for another sample.
    pub(super) fn wants_sample(&self, at: Duration) -> bool {
        self.interval().is_some_and(|interval| at.saturating_sub(self.last.at) >= interval)
    }

    /// Evaluates a sample and chooses the number of copiers.
    pub(super) fn observe(&mut self, now: Sample) {
        let elapsed = now.at.saturating_sub(self.last.at);
        let work = per_second(now.work.saturating_sub(self.last.work), elapsed);
        let used = now.used.saturating_sub(self.last.used);
        let could = elapsed * u32::from(self.active.min(self.first));
        let use_percent = used.as_micros() * 100 / could.as_micros().max(1);
        self.last = now;
        self.usual.add(work, use_percent);
        match self.state {
            Regime::Beginning => {
                self.switch_to(self.active, Regime::Steady);
                return;
            }
            Regime::Trying { from, work: before } => {
                let more = self.active > from;
                let enough = before * if more { MORE_PERCENT } else { FEWER_PERCENT };
                let pays = work > 0 && work * 100 >= enough;
                if !(pays && more) {
                    let best = if pays { self.active } else { from };
                    self.switch_to(best, Regime::Proven { until: now.at + REST });
                    return;
                }
            }
            Regime::Proven { until } if now.at < until => return,
            Regime::Proven { .. } | Regime::Steady => {}
        }
        self.state = Regime::Steady;
        let next = self.next(now.waits);
        if next != self.active {
            let (from, work) = (self.active, self.usual.work);
            self.switch_to(next, Regime::Trying { from, work });
        }
    }

    /// Returns the number to try next, based on the usual performance of the current number.
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

    fn switch_to(&mut self, active: u16, state: Regime) {
        if active != self.active || matches!(self.state, Regime::Beginning) {
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

    /// Simulates a run. For a number of copiers, `done` returns what they do during a trial: how many bytes,
    /// and how much CPU time in percent of the trial.
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
