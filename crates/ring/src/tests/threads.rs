//! Tests with real threads, the real futex and a ring on the heap. Their runs are too long for loom; they
//! also run under Miri.

use crate::{HeapRing, MayWait, NeverWait, PushError, Pushers, TakeError};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn every_number_arrives_once_and_in_the_order_of_its_pusher() {
    const EACH: u64 = if cfg!(miri) { 30 } else { 20_000 };
    const PUSHERS: u64 = 3;
    let ring = HeapRing::<16, MayWait>::on_heap(4);
    let taken = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for pusher in 0..PUSHERS {
            ring.task_begun();
            let ring = &ring;
            scope.spawn(move || {
                for number in pusher * EACH..(pusher + 1) * EACH {
                    ring.push_within(&number.to_le_bytes(), LONG).expect("room within the limit");
                }
                ring.task_done();
            });
        }
        for _ in 0..3 {
            scope.spawn(|| {
                let mut mine = Vec::new();
                let mut into = Vec::new();
                while ring.take(&mut into).is_ok() {
                    mine.push(u64::from_le_bytes(into[..].try_into().expect("8 bytes")));
                    ring.task_done();
                }
                for pusher in 0..PUSHERS {
                    assert!(mine.iter().filter(|&number| number / EACH == pusher).is_sorted());
                }
                taken.lock().expect("no poison").append(&mut mine);
            });
        }
    });
    let mut taken = taken.into_inner().expect("no poison");
    taken.sort_unstable();
    assert!(taken.into_iter().eq(0..PUSHERS * EACH));
}

#[test]
fn a_push_wakes_a_sleeping_taker_long_before_its_nap_ends() {
    wake_a_taker_often::<MayWait>();
}

#[test]
fn a_push_that_never_waits_wakes_a_sleeping_taker_long_before_its_nap_ends() {
    wake_a_taker_often::<NeverWait>();
}

fn wake_a_taker_often<P: Pushers>() {
    if cfg!(miri) {
        return; // Miri's clock is virtual
    }
    let ring = HeapRing::<16, P>::on_heap(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut into = Vec::new();
            for _ in 0..50 {
                ring.take(&mut into).expect("a message");
            }
        });
        let start = Instant::now();
        for _ in 0..50 {
            while ring.sleepers() == 0 {
                thread::yield_now();
            }
            ring.try_push(b"wake up").expect("room");
            while !ring.is_empty() {
                thread::yield_now();
            }
        }
        assert!(start.elapsed() < Duration::from_secs(2), "50 naps would take 5 s");
    });
}

#[test]
fn close_and_stop_end_every_wait() {
    for stop in [false, true] {
        let [empty, full] = [(); 2].map(|()| HeapRing::<16, MayWait>::on_heap(2));
        full.try_push(b"").expect("room");
        full.try_push(b"").expect("room");
        thread::scope(|scope| {
            let taker = scope.spawn(|| empty.take(&mut Vec::new()));
            let pusher = scope.spawn(|| full.push_within(b"", LONG));
            thread::sleep(Duration::from_millis(10));
            for ring in [&empty, &full] {
                if stop { ring.stop() } else { ring.close() }
            }
            let take = if stop { TakeError::Stopped } else { TakeError::Closed };
            let push = if stop { PushError::Stopped } else { PushError::Closed };
            assert_eq!(taker.join().expect("taker"), Err(take));
            assert_eq!(pusher.join().expect("pusher"), Err(push));
        });
    }
}
