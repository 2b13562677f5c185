//! A peer that stops for ever at each of its steps, woven with the others by loom.
//!
//! Each test runs its scenario with the peer stopping before step 0, step 1 and so on, until it
//! gets through all of them. Then somebody notices the death and sets stop, as the supervisor
//! does. The others must end (else loom finds a deadlock), and nothing may be taken twice.

use super::weaving::{Ring, Taken, message, ring, take_all, weave};
use crate::ipc::ring::weave::woven::vanish_after;
use crate::ipc::ring::{PushError, TakeError};
use loom::sync::Arc;
use loom::thread;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const EVER: Duration = Duration::MAX;

/// A fresh ring, what the peer does with it, and a witness who works beside it until told to end.
struct Scenario {
    prepare: fn(&Ring),
    peer: fn(&Ring, &Taken),
    witness: fn(&Ring, &Taken),
    /// What has been taken when nobody vanished and the ring was closed.
    whole: &'static [u8],
}

impl Scenario {
    fn survives_a_death_at_each_step(self, preemptions: usize) {
        let scenario = Arc::new(self);
        for step in 0.. {
            static VANISHED: AtomicBool = AtomicBool::new(false);
            let vanished = std::sync::Arc::new(AtomicBool::new(false));
            let (scenario, seen) = (scenario.clone(), vanished.clone());
            weave(preemptions, move || scenario.run(step, &seen));
            let _ = &VANISHED;
            if !vanished.load(Relaxed) {
                assert!(step > 5, "the peer had no steps to speak of");
                break;
            }
        }
    }

    fn run(&self, step: usize, seen: &AtomicBool) {
        let (ring, taken) = (ring(), Taken::none());
        (self.prepare)(&ring);
        let spawn = |work: fn(&Ring, &Taken)| {
            let (ring, taken) = (ring.clone(), taken.clone());
            move || work(&ring, &taken)
        };
        let witness = thread::spawn(spawn(self.witness));
        let peer = spawn(self.peer);
        let peer = thread::spawn(move || vanish_after(step, peer));
        if peer.join().expect("peer") {
            seen.store(true, Relaxed);
            ring.stop();
        } else {
            ring.close();
        }
        witness.join().expect("witness");
        let mut numbers = taken.sorted();
        if !ring.is_stopped() {
            take_all(&ring, &taken);
            assert_eq!(taken.sorted(), self.whole);
        }
        numbers.dedup();
        assert_eq!(numbers, taken.sorted(), "taken twice");
    }
}
