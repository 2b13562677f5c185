//! Measures the cost of a message that passes through the ring: `cargo bench --bench ring`.
//!
//! Each line of output is the median of several runs, in nanoseconds per message pushed and taken.

use pcopy_ring::{HeapRing, MayWait, NeverWait, Pushers, SharedQueue, SharedRing};
use pcopy_sys::process::{Death, Pid, fork_child, join};
use std::time::{Duration, Instant};

const RUNS: usize = 7;
const MESSAGES: u32 = 200_000;
const LIMIT: Duration = Duration::from_secs(60);

fn main() {
    for bytes in [64, 1024, 16_000] {
        report(&format!("1 process, {bytes} B"), || alone(bytes));
    }
    for (processes, bytes) in [(2, 64), (2, 1024), (8, 64), (8, 1024)] {
        let name = format!("{processes} processes, {bytes} B");
        report(&name, || together(processes / 2, bytes));
    }
    report("1 thread, never waits", one_thread::<NeverWait>);
    report("1 thread, may wait", one_thread::<MayWait>);
}

fn report(name: &str, mut run: impl FnMut() -> Duration) {
    let mut times: Vec<Duration> = (0..RUNS).map(|_| run()).collect();
    times.sort_unstable();
    let [fastest, median] = [0, RUNS / 2].map(|at| times[at].as_nanos() / u128::from(MESSAGES));
    println!("{name:<24} {median:>6} ns per message (fastest {fastest})");
}

/// One process pushes and takes in turn, in the type of ring that pcopy uses. Measures the cost of the
/// instructions alone.
fn alone(bytes: usize) -> Duration {
    let ring = SharedRing::create().expect("ring");
    let (message, mut into) = (vec![1; bytes], Vec::new());
    let start = Instant::now();
    for _ in 0..MESSAGES {
        ring.try_push(&message).expect("room");
        ring.try_take(&mut into).expect("a message");
    }
    start.elapsed()
}

/// Equal numbers of processes push and take at the same time. Measures sleeps and the transfer of cache
/// lines, too.
fn together(pairs: u32, bytes: usize) -> Duration {
    let [queue, gate] = [(); 2].map(|()| SharedQueue::create().expect("queue"));
    let (each, message) = (MESSAGES / pairs, vec![1; bytes]);
    let push = || (0..each).for_each(|_| queue.push_within(&message, LIMIT).expect("room"));
    let take = || {
        let mut into = Vec::new();
        (0..each).for_each(|_| queue.take(&mut into).expect("a message"));
    };
    let children: Vec<Pid> =
        (0..pairs).flat_map(|_| [child(&gate, &push), child(&gate, &take)]).collect();
    let start = Instant::now();
    gate.close();
    for child in children {
        assert_eq!(join(child).expect("wait"), Death::Exited(0));
    }
    start.elapsed()
}

/// Pushes and takes in one thread. The difference between the two types `P` is the cost of looking, after
/// each take, for a pusher that waits.
fn one_thread<P: Pushers>() -> Duration {
    let ring = HeapRing::<64, P>::on_heap(256);
    let mut into = Vec::new();
    let start = Instant::now();
    for _ in 0..MESSAGES {
        ring.try_push(&[1; 64]).expect("room");
        ring.try_take(&mut into).expect("a message");
    }
    start.elapsed()
}

/// Forks a process that runs `work` as soon as `gate` is closed.
fn child(gate: &SharedQueue, work: &dyn Fn()) -> Pid {
    let wait_and_work = || {
        gate.take(&mut Vec::new()).expect_err("the gate is only ever closed");
        work();
        0
    };
    fork_child(wait_and_work).expect("fork")
}
