//! A peer that stops for ever at each of its steps, woven with the others by loom.
//!
//! Each test runs its scenario with the peer stopping before step 0, step 1 and so on, until it
//! gets through all of them. Somebody notices the death and sets stop, as the supervisor does.
//! The others must end (else loom finds a deadlock), and nothing may be taken twice.

use super::weaving::{EVER, Ring, Taken, message, push, ring, take_all, weave};
use crate::weave::woven::vanish_after;
use crate::{PushError, TakeError};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// What is in the ring at first, what the peer does with it, what a witness does meanwhile, and
/// what has been taken in the end if nobody vanished.
struct Scenario {
    before: fn(&Ring),
    peer: fn(&Ring, &Taken),
    witness: fn(&Ring, &Taken),
    whole: &'static [u8],
}

impl Scenario {
    fn survives_a_death_at_each_step(&'static self, preemptions: usize) {
        for step in 0.. {
            let vanished = Arc::new(AtomicBool::new(false));
            let seen = vanished.clone();
            weave(preemptions, move || self.run(step, &seen));
            if !vanished.load(Relaxed) {
                assert!(step >= 5, "a peer of {step} steps? they are not counted");
                return;
            }
        }
    }

    fn run(&'static self, step: usize, vanished: &AtomicBool) {
        let (ring, taken) = (ring(), Taken::none());
        (self.before)(&ring);
        let witness = thread::spawn({
            let (ring, taken) = (ring.clone(), taken.clone());
            move || (self.witness)(&ring, &taken)
        });
        let peer = thread::spawn({
            let (ring, taken) = (ring.clone(), taken.clone());
            move || vanish_after(step, || (self.peer)(&ring, &taken))
        });
        if peer.join().expect("peer") {
            vanished.store(true, Relaxed);
            ring.stop();
            witness.join().expect("witness");
            assert_eq!(ring.try_push(&message(9)), Err(PushError::Stopped));
            let numbers = taken.sorted();
            assert!(numbers.is_sorted_by(|one, next| one < next), "taken twice: {numbers:?}");
        } else {
            witness.join().expect("witness");
            ring.close();
            assert_eq!(take_all(&ring, &taken), TakeError::Closed);
            assert_eq!(taken.sorted(), self.whole);
        }
    }
}

fn nothing(_: &Ring) {}

fn fill(ring: &Ring) {
    push(ring, 0);
    push(ring, 1);
}

fn take_one(ring: &Ring, taken: &Taken) {
    let mut into = Vec::new();
    match ring.take(&mut into) {
        Ok(()) => taken.add(&into),
        Err(end) => assert_eq!(end, TakeError::Stopped),
    }
}

fn push_one(ring: &Ring, number: u8) {
    match ring.push_within(&message(number), EVER) {
        Ok(()) => {}
        Err(end) => assert_eq!(end, PushError::Stopped),
    }
}

#[test]
fn loom_vanishing_pusher() {
    static SCENARIO: Scenario = Scenario {
        before: nothing,
        peer: |ring, _| fill(ring),
        witness: |ring, taken| {
            take_one(ring, taken);
            take_one(ring, taken);
        },
        whole: &[0, 1],
    };
    SCENARIO.survives_a_death_at_each_step(2);
}

#[test]
fn loom_vanishing_taker() {
    static SCENARIO: Scenario = Scenario {
        before: fill,
        peer: take_one,
        witness: |ring, taken| {
            take_one(ring, taken);
            push_one(ring, 2);
        },
        whole: &[0, 1, 2],
    };
    SCENARIO.survives_a_death_at_each_step(3);
}

#[test]
fn loom_vanishing_taker_that_slept() {
    static SCENARIO: Scenario = Scenario {
        before: nothing,
        peer: take_one,
        witness: |ring, taken| {
            push_one(ring, 0);
            push_one(ring, 1);
            take_one(ring, taken);
        },
        whole: &[0, 1],
    };
    SCENARIO.survives_a_death_at_each_step(2);
}

#[test]
fn loom_vanishing_taker_that_somebody_waits_for() {
    static SCENARIO: Scenario = Scenario {
        before: fill,
        peer: take_one,
        witness: |ring, _| push_one(ring, 2),
        whole: &[0, 1, 2],
    };
    SCENARIO.survives_a_death_at_each_step(3);
}

#[test]
fn loom_vanishing_pusher_that_slept() {
    static SCENARIO: Scenario = Scenario {
        before: fill,
        peer: |ring, _| push_one(ring, 2),
        witness: take_one,
        whole: &[0, 1, 2],
    };
    SCENARIO.survives_a_death_at_each_step(3);
}

#[test]
fn loom_vanishing_closer() {
    static SCENARIO: Scenario = Scenario {
        before: |ring| ring.task_begun(),
        peer: |ring, _| ring.task_done(),
        witness: |ring, taken| _ = take_all(ring, taken),
        whole: &[],
    };
    SCENARIO.survives_a_death_at_each_step(3);
}
