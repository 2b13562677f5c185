//! Compares a ring that one thread uses with a `VecDeque`.

use crate::{HeapRing, MayWait, NeverWait, PushError, Pushers, TakeError};
use std::collections::VecDeque;
use std::time::Duration;

const SEEDS: u64 = if cfg!(miri) { 20 } else { 20_000 };
const STEPS: u32 = 100;
const BYTES: usize = 24;

/// A small random number generator. The same seed gives the same test run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.mix() % sides
    }

    /// Returns any number. Numbers near 0, 2^63 and 2^64 come more often than others.
    pub(super) fn word(&mut self) -> u64 {
        let base = [0, 1 << 63, u64::MAX, self.mix()][self.roll(4) as usize];
        base.wrapping_add(self.roll(9)).wrapping_sub(4)
    }

    fn mix(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15); // splitmix64
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn message(&mut self) -> Vec<u8> {
        let length = self.roll(BYTES as u64 + 2); // the longest one does not fit into a slot
        (0..length).map(|_| self.roll(256) as u8).collect()
    }
}

/// The model: the required behaviour of a ring, written without tickets.
#[derive(Default)]
struct Model {
    queue: VecDeque<Vec<u8>>,
    capacity: usize,
    unfinished: u64,
    closed: bool,
    stopped: bool,
}

impl Model {
    fn push(&mut self, message: &[u8]) -> Result<(), PushError> {
        if message.len() > BYTES {
            return Err(PushError::TooLong);
        } else if self.stopped {
            return Err(PushError::Stopped);
        } else if self.closed {
            return Err(PushError::Closed);
        } else if self.queue.len() == self.capacity {
            return Err(PushError::Full);
        }
        self.unfinished += 1;
        self.queue.push_back(message.to_vec());
        Ok(())
    }

    fn take(&mut self) -> Result<Vec<u8>, TakeError> {
        match self.queue.pop_front() {
            _ if self.stopped => Err(TakeError::Stopped),
            Some(message) => Ok(message),
            None if self.closed => Err(TakeError::Closed),
            None => Err(TakeError::Empty),
        }
    }

    fn task_done(&mut self) {
        self.closed |= self.unfinished == 1;
        self.unfinished = self.unfinished.saturating_sub(1);
    }
}

#[test]
fn a_ring_does_what_a_queue_does() {
    compare_with_the_model::<MayWait>();
}

#[test]
fn a_ring_whose_pushers_never_wait_does_what_a_queue_does() {
    compare_with_the_model::<NeverWait>();
}

fn compare_with_the_model<P: Pushers>() {
    for seed in 0..SEEDS {
        let capacity = [2, 4, 8][seed as usize % 3];
        let ring = HeapRing::<BYTES, P>::on_heap(capacity);
        let mut model = Model { capacity, ..Model::default() };
        let mut dice = Dice(seed);
        let mut into = b"left over".to_vec();
        for step in 0..STEPS {
            let at = || format!("seed {seed}, step {step}");
            match dice.roll(100) {
                0..45 => {
                    let message = dice.message();
                    assert_eq!(ring.try_push(&message), model.push(&message), "{}", at());
                }
                45..90 => {
                    let taken = ring.try_take(&mut into).map(|()| into.clone());
                    assert_eq!(taken, model.take(), "{}", at());
                    assert!(taken.is_ok() || into.is_empty(), "{}", at());
                }
                90..96 => {
                    ring.task_done();
                    model.task_done();
                }
                96 => {
                    ring.task_begun();
                    model.unfinished += 1;
                }
                97 if dice.roll(4) == 0 => {
                    ring.close();
                    model.closed = true;
                }
                98 if dice.roll(4) == 0 => {
                    ring.stop();
                    model.stopped = true;
                }
                _ => {}
            }
            if !model.stopped {
                assert_eq!(ring.len(), model.queue.len(), "{}", at());
                assert_eq!(ring.is_empty(), model.queue.is_empty(), "{}", at());
                assert_eq!(ring.is_full(), model.queue.len() == capacity, "{}", at());
            }
            assert_eq!(ring.unfinished(), model.unfinished, "{}", at());
            assert_eq!(ring.is_closed(), model.closed, "{}", at());
            assert_eq!(ring.is_stopped(), model.stopped, "{}", at());
            assert_eq!((ring.capacity(), ring.sleepers()), (capacity, 0), "{}", at());
        }
    }
}

#[test]
fn calls_with_a_limit_do_the_same_and_time_out() {
    let (ring, soon) = (HeapRing::<BYTES, MayWait>::on_heap(2), Duration::from_millis(2));
    let mut into = Vec::new();
    assert_eq!(ring.take_within(&mut into, soon), Err(TakeError::TimedOut));
    assert_eq!(ring.push_within(b"one", Duration::ZERO), Ok(()));
    assert_eq!(ring.push_within(b"two", Duration::MAX), Ok(()));
    assert_eq!(ring.push_within(b"three", soon), Err(PushError::TimedOut));
    assert_eq!(ring.push_within(&[0; BYTES + 1], soon), Err(PushError::TooLong));
    assert_eq!(ring.take_within(&mut into, Duration::ZERO).map(|()| &into[..]), Ok(&b"one"[..]));
    ring.close();
    assert_eq!(ring.push_within(b"late", soon), Err(PushError::Closed));
    assert_eq!(ring.take(&mut into).map(|()| &into[..]), Ok(&b"two"[..]));
    assert_eq!(ring.take(&mut into), Err(TakeError::Closed));
    ring.stop();
    assert_eq!(ring.push_within(b"late", soon), Err(PushError::Stopped));
    assert_eq!(ring.take(&mut into), Err(TakeError::Stopped));
}

#[test]
fn the_last_task_to_finish_closes_the_ring() {
    let ring = HeapRing::<BYTES, NeverWait>::on_heap(2);
    ring.task_begun();
    ring.try_push(b"task").expect("room");
    ring.task_done();
    assert!(!ring.is_closed());
    ring.task_done();
    assert!(ring.is_closed());
}
