//! The cost of a message through the ring: `cargo bench --bench ring`.
//!
//! Prints the median and the fastest of several runs, in nanoseconds per message pushed and taken.
#![allow(unsafe_code)] // fork

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use pcopy_ring::SharedRing;
use std::time::{Duration, Instant};

const RUNS: usize = 7;
const MESSAGES: u32 = 200_000;
const TIMEOUT: Duration = Duration::from_secs(60);

fn main() {
    for bytes in [64, 1024, 16_000] {
        report(&format!("1 process, {bytes} B"), || in_one_process(bytes));
    }
    for (processes, bytes) in [(2, 64), (2, 1024), (8, 64), (8, 1024)] {
        let name = format!("{processes} processes, {bytes} B");
        report(&name, || between_processes(processes / 2, bytes));
    }
}

fn report(name: &str, mut run: impl FnMut() -> Duration) {
    let mut times: Vec<Duration> = (0..RUNS).map(|_| run()).collect();
    times.sort_unstable();
    let [fastest, median] = [0, RUNS / 2].map(|at| times[at].as_nanos() / u128::from(MESSAGES));
    println!("{name:<24} {median:>6} ns per message (fastest {fastest})");
}

/// One process pushes and takes in turn: the cost of the instructions alone.
fn in_one_process(bytes: usize) -> Duration {
    let ring = SharedRing::create().expect("cannot create a ring");
    let (message, mut into) = (vec![1; bytes], Vec::new());
    let start = Instant::now();
    for _ in 0..MESSAGES {
        ring.try_push(&message).expect("the ring is full");
        ring.try_take(&mut into).expect("the ring is empty or closed");
    }
    start.elapsed()
}

/// As many processes push as take, all at once: includes sleeping, waking, and cache lines that
/// move between CPUs.
fn between_processes(pairs: u32, bytes: usize) -> Duration {
    let [ring, gate] = [(); 2].map(|()| SharedRing::create().expect("cannot create a ring"));
    let (each, message) = (MESSAGES / pairs, vec![1; bytes]);
    let push =
        || (0..each).for_each(|_| ring.push_within(&message, TIMEOUT).expect("the ring is full"));
    let take = || {
        let mut into = Vec::new();
        (0..each).for_each(|_| ring.take(&mut into).expect("the ring is empty or closed"));
    };
    let children: Vec<Pid> =
        (0..pairs).flat_map(|_| [child(&gate, &push), child(&gate, &take)]).collect();
    // All processes start when the gate is closed.
    let start = Instant::now();
    gate.close();
    for child in children {
        waitpid(child, None).expect("cannot wait");
    }
    start.elapsed()
}

/// Forks a process that waits until `gate` is closed, and then does `work`.
fn child(gate: &SharedRing, work: &dyn Fn()) -> Pid {
    // SAFETY: this process has one thread.
    match unsafe { fork() }.expect("cannot fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            gate.take(&mut Vec::new()).expect_err("the gate has no messages");
            work();
            std::process::exit(0);
        }
    }
}
