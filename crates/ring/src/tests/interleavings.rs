//! Tests under loom, which runs every order of steps up to a number of preemptions.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --release -p pcopy-ring --lib
//! ```
//!
//! Waits have no time limit under loom. So a sleeper that no peer wakes is a deadlock, which loom reports.
//! The bounds are chosen so that all tests together take about three minutes on one CPU. In tests of
//! sleepers, the first thread only joins the other threads. When it blocks, loom may switch to any other
//! thread without using up a preemption, so the tests reach every order in which the other threads fall
//! asleep.
//!
//! Scenarios that push only with `try_push` run twice: with pushers that may wait, and with pushers that
//! never wait. In the second case a take executes no fence, so the fence of a take cannot hide that a fence
//! is missing elsewhere.

use crate::{HeapRing, MayWait, NeverWait, PushError, Pushers, TakeError};
use loom::model::Builder;
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::time::Duration;

pub(super) type Ring<P> = HeapRing<8, P>;

/// A limit that never passes.
pub(super) const EVER: Duration = Duration::MAX;

/// Runs `scenario` in every order in which threads are preempted at most `preemptions` times.
pub(super) fn explore(preemptions: usize, scenario: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(scenario);
}

pub(super) fn ring<P: Pushers>() -> Arc<Ring<P>> {
    Arc::new(Ring::on_heap(2))
}

/// The numbers that all takers together have taken.
#[derive(Clone)]
pub(super) struct Taken(Arc<Mutex<Vec<u8>>>);

impl Taken {
    pub(super) fn none() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }

    pub(super) fn add(&self, message: &[u8]) {
        assert_eq!(message.len(), 2, "not a whole message");
        assert_eq!(message[0], !message[1], "not a whole message");
        self.0.lock().expect("no poison").push(message[0]);
    }

    pub(super) fn sorted(&self) -> Vec<u8> {
        let mut numbers = self.0.lock().expect("no poison").clone();
        numbers.sort_unstable();
        numbers
    }
}

pub(super) fn message(number: u8) -> [u8; 2] {
    [number, !number]
}

pub(super) fn push(ring: &Ring<MayWait>, number: u8) {
    ring.push_within(&message(number), EVER).expect("room, in the end");
}

fn join<const N: usize>(threads: [thread::JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().expect("no panic");
    }
}

/// Takes messages until a take fails, and returns the error.
pub(super) fn take_all<P: Pushers>(ring: &Ring<P>, taken: &Taken) -> TakeError {
    let mut into = Vec::new();
    loop {
        match ring.take(&mut into) {
            Ok(()) => taken.add(&into),
            Err(end) => return end,
        }
    }
}

/// Two pushers, two takers, two slots and three messages: all mechanisms at once.
#[test]
fn loom_each_message_is_taken_once() {
    explore(2, || {
        let (ring, taken) = (ring(), Taken::none());
        push(&ring, 0);
        let pusher = |number| {
            let ring = ring.clone();
            move || push(&ring, number)
        };
        let taker = |count| {
            let (ring, taken) = (ring.clone(), taken.clone());
            move || {
                let mut into = Vec::new();
                for _ in 0..count {
                    assert_eq!(ring.take(&mut into), Ok(()));
                    taken.add(&into);
                }
            }
        };
        let others = [thread::spawn(pusher(1)), thread::spawn(pusher(2)), thread::spawn(taker(2))];
        taker(1)();
        join(others);
        assert_eq!(taken.sorted(), [0, 1, 2]);
    });
}

/// A pusher, a taker, two slots and five messages. The pusher finds the ring full, and the taker finds it
/// empty, over three laps.
#[test]
fn loom_laps_keep_the_order() {
    explore(3, || {
        let ring = ring();
        let pusher = thread::spawn({
            let ring = ring.clone();
            move || {
                (0..5).for_each(|number| push(&ring, number));
                ring.close();
            }
        });
        let mut into = Vec::new();
        for number in 0..5 {
            assert_eq!(ring.take(&mut into), Ok(()));
            assert_eq!(into, message(number));
        }
        assert_eq!(ring.take(&mut into), Err(TakeError::Closed));
        pusher.join().expect("pusher");
    });
}

/// Each taker takes one message and never looks again. So each of two sleepers needs a wake-up of its own,
/// even if the second message is ready first.
#[test]
fn loom_two_sleepers_are_woken_for_two_messages() {
    two_sleepers_are_woken_for_two_messages::<MayWait>();
}

#[test]
fn loom_two_sleepers_are_woken_for_two_messages_of_pushers_that_never_wait() {
    two_sleepers_are_woken_for_two_messages::<NeverWait>();
}

fn two_sleepers_are_woken_for_two_messages<P: Pushers>() {
    explore(1, || {
        let ring = ring::<P>();
        let taker = |ring: Arc<Ring<P>>| move || assert_eq!(ring.take(&mut Vec::new()), Ok(()));
        let pusher = |ring: Arc<Ring<P>>| move || assert_eq!(ring.try_push(&message(0)), Ok(()));
        join([
            thread::spawn(taker(ring.clone())),
            thread::spawn(taker(ring.clone())),
            thread::spawn(pusher(ring.clone())),
            thread::spawn(pusher(ring)),
        ]);
    });
}

/// Like the test above, for pushers that wait for room.
#[test]
fn loom_two_sleepers_are_woken_for_two_free_slots() {
    explore(1, || {
        let ring = ring();
        push(&ring, 0);
        push(&ring, 1);
        let pusher = |ring: Arc<Ring<MayWait>>| move || push(&ring, 2);
        let taker =
            |ring: Arc<Ring<MayWait>>| move || assert_eq!(ring.try_take(&mut Vec::new()), Ok(()));
        join([
            thread::spawn(pusher(ring.clone())),
            thread::spawn(pusher(ring.clone())),
            thread::spawn(taker(ring.clone())),
            thread::spawn(taker(ring)),
        ]);
    });
}

/// A message pushed before the close is taken, and a later one is refused. Both takers leave, even if the
/// close came while the pusher was writing.
#[test]
fn loom_a_closed_ring_is_drained() {
    a_closed_ring_is_drained::<MayWait>();
}

#[test]
fn loom_a_closed_ring_is_drained_where_pushers_never_wait() {
    a_closed_ring_is_drained::<NeverWait>();
}

fn a_closed_ring_is_drained<P: Pushers>() {
    explore(1, || {
        let (ring, taken) = (ring::<P>(), Taken::none());
        let taker = || {
            let (ring, taken) = (ring.clone(), taken.clone());
            thread::spawn(move || assert_eq!(take_all(&ring, &taken), TakeError::Closed))
        };
        let takers = [taker(), taker()];
        let pusher = thread::spawn({
            let ring = ring.clone();
            move || ring.try_push(&message(7))
        });
        let closer = thread::spawn({
            let ring = ring.clone();
            move || ring.close()
        });
        let pushed = pusher.join().expect("pusher");
        join(takers);
        join([closer]);
        match pushed {
            Ok(()) => assert_eq!(taken.sorted(), [7]),
            Err(error) => assert_eq!((error, taken.sorted()), (PushError::Closed, vec![])),
        }
    });
}

/// A copier takes a task, pushes the task that follows from it, and finishes the first one. Both copiers
/// leave when both tasks are done, and not before.
#[test]
fn loom_the_last_task_to_finish_closes_the_ring() {
    the_last_task_to_finish_closes_the_ring::<MayWait>();
}

#[test]
fn loom_the_last_task_to_finish_closes_the_ring_where_pushers_never_wait() {
    the_last_task_to_finish_closes_the_ring::<NeverWait>();
}

fn the_last_task_to_finish_closes_the_ring<P: Pushers>() {
    explore(3, || {
        let (ring, taken) = (ring::<P>(), Taken::none());
        let copier = |ring: Arc<Ring<P>>, taken: Taken| {
            move || {
                let mut into = Vec::new();
                while ring.take(&mut into).is_ok() {
                    taken.add(&into);
                    if into == message(0) {
                        ring.try_push(&message(1)).expect("room, and not closed");
                    }
                    assert!(!ring.is_closed(), "closed while a task is unfinished");
                    ring.task_done();
                }
            }
        };
        ring.try_push(&message(0)).expect("room");
        let other = thread::spawn(copier(ring.clone(), taken.clone()));
        copier(ring.clone(), taken.clone())();
        join([other]);
        assert_eq!(taken.sorted(), [0, 1]);
        assert!(ring.is_closed());
    });
}

/// A taker sleeps until a message comes, and a pusher until a slot is free. Both leave when their ring is
/// stopped.
#[test]
fn loom_stop_ends_every_wait() {
    explore(3, || {
        let (empty, full) = (ring::<NeverWait>(), ring());
        push(&full, 0);
        push(&full, 1);
        let taker = thread::spawn({
            let ring = empty.clone();
            move || assert_eq!(ring.take(&mut Vec::new()), Err(TakeError::Stopped))
        });
        let pusher = thread::spawn({
            let ring = full.clone();
            move || assert_eq!(ring.push_within(&message(2), EVER), Err(PushError::Stopped))
        });
        empty.stop();
        full.stop();
        taker.join().expect("taker");
        pusher.join().expect("pusher");
    });
}
