//! The ring under loom: every order of steps, up to a number of preemptions.
//!
//! `RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --release -p pcopy-ring --lib`
//!
//! Waits have no time limit here, so whoever sleeps and is not woken is a deadlock, and loom says
//! so. The bounds were chosen so that all of it takes about two minutes on one core. Where sleepers
//! matter, the first thread only joins: loom starts the others when it blocks, and so needs no
//! preemption to bring them to sleep in every order.

use crate::{HeapRing, PushError, TakeError};
use loom::model::Builder;
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::time::Duration;

pub(super) type Ring = HeapRing<8>;

pub(super) const EVER: Duration = Duration::MAX;

/// Runs `scenario` in every order in which threads are preempted at most `preemptions` times.
pub(super) fn weave(preemptions: usize, scenario: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(scenario);
}

pub(super) fn ring() -> Arc<Ring> {
    Arc::new(Ring::on_heap(2))
}

/// The numbers that were taken, by all takers together.
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

pub(super) fn push(ring: &Ring, number: u8) {
    ring.push_within(&message(number), EVER).expect("room, in the end");
}

fn join<const N: usize>(threads: [thread::JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().expect("no panic");
    }
}

/// Takes until there is nothing more, and says why.
pub(super) fn take_all(ring: &Ring, taken: &Taken) -> TakeError {
    let mut into = Vec::new();
    loop {
        match ring.take(&mut into) {
            Ok(()) => taken.add(&into),
            Err(end) => return end,
        }
    }
}

/// Two pushers, two takers, two slots, three messages: everything at once.
#[test]
fn loom_each_message_is_taken_once() {
    weave(2, || {
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

/// A pusher, a taker, two slots, five messages: both meet full and empty, and laps go round.
#[test]
fn loom_laps_keep_the_order() {
    weave(3, || {
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

/// Nobody looks again after its one take, so each of two sleepers needs a wake-up of its own, even
/// when the second message was there first.
#[test]
fn loom_two_sleepers_are_woken_for_two_messages() {
    weave(1, || {
        let ring = ring();
        let taker = |ring: Arc<Ring>| move || assert_eq!(ring.take(&mut Vec::new()), Ok(()));
        let pusher = |ring: Arc<Ring>| move || assert_eq!(ring.try_push(&message(0)), Ok(()));
        join([
            thread::spawn(taker(ring.clone())),
            thread::spawn(taker(ring.clone())),
            thread::spawn(pusher(ring.clone())),
            thread::spawn(pusher(ring)),
        ]);
    });
}

/// The same for pushers that wait for room.
#[test]
fn loom_two_sleepers_are_woken_for_two_rooms() {
    weave(1, || {
        let ring = ring();
        push(&ring, 0);
        push(&ring, 1);
        let pusher = |ring: Arc<Ring>| move || push(&ring, 2);
        let taker = |ring: Arc<Ring>| move || assert_eq!(ring.try_take(&mut Vec::new()), Ok(()));
        join([
            thread::spawn(pusher(ring.clone())),
            thread::spawn(pusher(ring.clone())),
            thread::spawn(taker(ring.clone())),
            thread::spawn(taker(ring)),
        ]);
    });
}

/// What was pushed before the close is taken, and what came later was refused; both takers leave,
/// even if the close came while the pusher was writing.
#[test]
fn loom_a_closed_ring_is_drained() {
    weave(1, || {
        let (ring, taken) = (ring(), Taken::none());
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

/// A task pushes two others and is done; copiers finish them; then, and not before, all leave.
#[test]
fn loom_the_last_one_to_finish_closes() {
    weave(3, || {
        let (ring, taken) = (ring(), Taken::none());
        let copier = |ring: Arc<Ring>, taken: Taken| {
            move || {
                let mut into = Vec::new();
                while ring.take(&mut into).is_ok() {
                    taken.add(&into);
                    if into == message(0) {
                        ring.try_push(&message(1)).expect("room, and not closed");
                    }
                    assert!(!ring.is_closed(), "closed over an unfinished task");
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

/// One sleeps for a message, one for room; both leave at once.
#[test]
fn loom_stop_ends_every_wait() {
    weave(3, || {
        let (empty, full) = (ring(), ring());
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
