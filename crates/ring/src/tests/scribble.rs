//! Tests with garbage in the shared memory: no call may panic, access memory outside a slot, or loop for
//! ever.

use super::queue_model::Dice;
use crate::{HeapRing, MayWait, NeverWait, Pushers, TakeError};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const SEEDS: u64 = if cfg!(miri) { 50 } else { 20_000 };

#[test]
fn an_impossible_length_gives_an_empty_message() {
    for len in [9, u64::from(u32::MAX) + 1, u64::MAX] {
        let ring = HeapRing::<8, NeverWait>::on_heap(2);
        ring.try_push(b"message").expect("room");
        ring.slot(0).scribble(len);
        let mut into = Vec::new();
        assert_eq!(ring.try_take(&mut into), Ok(()));
        assert!(into.is_empty());
    }
}

#[test]
fn garbage_in_any_word_makes_no_call_hang() {
    scribble_over_every_word::<MayWait>();
}

#[test]
fn garbage_in_any_word_makes_no_call_hang_where_pushers_never_wait() {
    scribble_over_every_word::<NeverWait>();
}

fn scribble_over_every_word<P: Pushers>() {
    for seed in 0..SEEDS {
        let ring = HeapRing::<8, P>::on_heap(4);
        let mut dice = Dice(seed);
        let mut into = Vec::new();
        for _ in 0..20 {
            let garbage = dice.word();
            match dice.roll(5) {
                0 => ring.header().head.store(garbage, Relaxed),
                1 => ring.header().tail.store(garbage, Relaxed),
                2 => ring.header().unfinished.store(garbage, Relaxed),
                3 => ring.slot(garbage).turn.store(dice.word(), Relaxed),
                _ => ring.slot(garbage).scribble(dice.word()),
            }
            let _ = ring.try_push(b"message");
            let _ = ring.try_take(&mut into);
            let _ = ring.take_within(&mut into, Duration::ZERO);
            assert!(into.len() <= 8 && ring.len() <= 4, "seed {seed}");
            ring.task_done();
        }
        ring.stop();
        assert_eq!(ring.take(&mut into), Err(TakeError::Stopped));
    }
}
