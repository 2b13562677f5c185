//! Tests in which a peer dies at each of its steps. Loom interleaves the steps of this peer with those of
//! another peer.
//!
//! Each test runs its scenario with the peer dying before step 0, step 1 and so on, until the peer completes
//! all of its steps. The main thread notices the death and stops the ring, as pcopy's parent process does.
//! The surviving peer must end (otherwise loom finds a deadlock), and no message may be taken twice.

use super::interleavings::{EVER, Ring, Taken, explore, message, ring, take_all};
use crate::sync::loom::die_before_step;
use crate::{MayWait, NeverWait, PushError, Pushers, TakeError};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// A scenario: what happens before the threads start, what the dying peer does, what the survivor does
/// meanwhile, and which numbers have been taken in the end if the peer did not die.
struct Scenario<P: Pushers> {
    before: fn(&Ring<P>),
    peer: fn(&Ring<P>, &Taken),
    survivor: fn(&Ring<P>, &Taken),
    taken_without_a_death: &'static [u8],
    /// The smallest number of steps that the peer must have. If steps were not counted, the peer would have
    /// none.
    steps_min: usize,
}

impl<P: Pushers> Scenario<P> {
    fn survives_a_death_at_each_step(&'static self, preemptions: usize) {
        for step in 0.. {
            let died = Arc::new(AtomicBool::new(false));
            let seen = died.clone();
            explore(preemptions, move || self.run(step, &seen));
            if !died.load(Relaxed) {
                assert!(step >= self.steps_min, "a peer of only {step} steps");
                return;
            }
        }
    }

    fn run(&'static self, step: usize, died: &AtomicBool) {
        let (ring, taken) = (ring(), Taken::none());
        (self.before)(&ring);
        let survivor = thread::spawn({
            let (ring, taken) = (ring.clone(), taken.clone());
            move || (self.survivor)(&ring, &taken)
        });
        let peer = thread::spawn({
            let (ring, taken) = (ring.clone(), taken.clone());
            move || die_before_step(step, || (self.peer)(&ring, &taken))
        });
        if peer.join().expect("peer") {
            died.store(true, Relaxed);
            ring.stop();
            survivor.join().expect("survivor");
            assert_eq!(ring.try_push(&message(9)), Err(PushError::Stopped));
            let numbers = taken.sorted();
            assert!(numbers.is_sorted_by(|one, next| one < next), "taken twice: {numbers:?}");
        } else {
            survivor.join().expect("survivor");
            ring.close();
            assert_eq!(take_all(&ring, &taken), TakeError::Closed);
            assert_eq!(taken.sorted(), self.taken_without_a_death);
        }
    }
}

fn nothing<P: Pushers>(_: &Ring<P>) {}

/// Fills both slots, unless the ring is stopped meanwhile. The callers make sure that both slots are free.
fn fill<P: Pushers>(ring: &Ring<P>) {
    for number in [0, 1] {
        match ring.try_push(&message(number)) {
            Ok(()) => {}
            Err(end) => assert_eq!(end, PushError::Stopped),
        }
    }
}

fn take_one<P: Pushers>(ring: &Ring<P>, taken: &Taken) {
    let mut into = Vec::new();
    match ring.take(&mut into) {
        Ok(()) => taken.add(&into),
        Err(end) => assert_eq!(end, TakeError::Stopped),
    }
}

fn push_one(ring: &Ring<MayWait>, number: u8) {
    match ring.push_within(&message(number), EVER) {
        Ok(()) => {}
        Err(end) => assert_eq!(end, PushError::Stopped),
    }
}

#[test]
fn loom_a_dying_pusher() {
    static SCENARIO: Scenario<MayWait> = pusher_dies();
    SCENARIO.survives_a_death_at_each_step(2);
}

#[test]
fn loom_a_dying_pusher_that_never_waits() {
    static SCENARIO: Scenario<NeverWait> = pusher_dies();
    SCENARIO.survives_a_death_at_each_step(2);
}

const fn pusher_dies<P: Pushers>() -> Scenario<P> {
    Scenario {
        before: nothing,
        peer: |ring, _| fill(ring),
        survivor: |ring, taken| {
            take_one(ring, taken);
            take_one(ring, taken);
        },
        taken_without_a_death: &[0, 1],
        steps_min: 5,
    }
}

#[test]
fn loom_a_dying_taker() {
    static SCENARIO: Scenario<MayWait> = Scenario {
        before: fill,
        peer: take_one,
        survivor: |ring, taken| {
            take_one(ring, taken);
            push_one(ring, 2);
        },
        taken_without_a_death: &[0, 1, 2],
        steps_min: 5,
    };
    SCENARIO.survives_a_death_at_each_step(3);
}

#[test]
fn loom_a_dying_taker_that_slept() {
    static SCENARIO: Scenario<MayWait> = Scenario {
        before: nothing,
        peer: take_one,
        survivor: |ring, taken| {
            push_one(ring, 0);
            push_one(ring, 1);
            take_one(ring, taken);
        },
        taken_without_a_death: &[0, 1],
        steps_min: 5,
    };
    SCENARIO.survives_a_death_at_each_step(2);
}

#[test]
fn loom_a_dying_taker_that_slept_while_pushers_never_wait() {
    static SCENARIO: Scenario<NeverWait> = Scenario {
        before: nothing,
        peer: take_one,
        survivor: |ring, taken| {
            fill(ring);
            take_one(ring, taken);
        },
        taken_without_a_death: &[0, 1],
        steps_min: 5,
    };
    SCENARIO.survives_a_death_at_each_step(2);
}

#[test]
fn loom_a_dying_taker_that_a_pusher_waits_for() {
    static SCENARIO: Scenario<MayWait> = Scenario {
        before: fill,
        peer: take_one,
        survivor: |ring, _| push_one(ring, 2),
        taken_without_a_death: &[0, 1, 2],
        steps_min: 5,
    };
    SCENARIO.survives_a_death_at_each_step(3);
}

#[test]
fn loom_a_dying_pusher_that_slept() {
    static SCENARIO: Scenario<MayWait> = Scenario {
        before: fill,
        peer: |ring, _| push_one(ring, 2),
        survivor: take_one,
        taken_without_a_death: &[0, 1, 2],
        steps_min: 5,
    };
    SCENARIO.survives_a_death_at_each_step(3);
}

#[test]
fn loom_a_dying_closer() {
    static SCENARIO: Scenario<MayWait> = closer_dies();
    SCENARIO.survives_a_death_at_each_step(3);
}

#[test]
fn loom_a_dying_closer_where_pushers_never_wait() {
    static SCENARIO: Scenario<NeverWait> = closer_dies();
    SCENARIO.survives_a_death_at_each_step(3);
}

const fn closer_dies<P: Pushers>() -> Scenario<P> {
    Scenario {
        before: |ring| ring.task_begun(),
        peer: |ring, _| ring.task_done(),
        survivor: |ring, taken| _ = take_all(ring, taken),
        taken_without_a_death: &[],
        // The steps are: count the task as done, close the ring, and notify each kind of peer that may wait.
        steps_min: if P::MAY_WAIT { 6 } else { 4 },
    }
}
