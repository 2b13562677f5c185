//! Tests the ring between real processes: every task is seen once, and no process hangs when others are
//! killed.
//!
//! A child forked from a test harness with threads would inherit locks that no thread releases. So this
//! program has no harness: it has one thread, and prints the lines that libtest would print.
#![allow(unsafe_code)] // fork

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, alarm, fork};
use pcopy_ring::{PushError, SharedRing, TakeError};
use pcopy_sys::shared_words::SharedWords;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::{Duration, Instant};

const PROCESSES: u64 = 8;
const TASKS: u64 = 100_000;
const SOON: Duration = Duration::from_secs(20);

fn main() {
    let tests: [(&str, fn()); 3] = [
        ("every_task_is_seen_once", every_task_is_seen_once),
        ("killed_processes_hang_no_others", killed_processes_hang_no_others),
        ("a_killed_sleeper_costs_nothing_but_a_call", a_killed_sleeper_costs_nothing_but_a_call),
    ];
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let wanted = arguments.next().unwrap_or_default();
    let listing = std::env::args().any(|argument| argument == "--list");
    let mut passed = 0;
    for (name, test) in tests.into_iter().filter(|(name, _)| name.contains(&wanted)) {
        if listing {
            println!("{name}: test");
            continue;
        }
        test(); // a failure panics, and its message is the report
        println!("test {name} ... ok");
        passed += 1;
    }
    if !listing {
        println!(
            "\ntest result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out"
        );
    }
}

/// Each task pushes two others, like a tree of directories, up to a fixed number of tasks. A process that
/// finds the ring full does the task itself, as a copier does.
fn every_task_is_seen_once() {
    let (ring, seen) = shared();
    ring.try_push(&task(1)).expect("room");
    let children = fork_all(|| work(&ring, &seen));
    for child in children {
        assert_eq!(ends(child), WaitStatus::Exited(child, 0));
    }
    assert!(seen[1..].iter().all(|count| count.load(Relaxed) == 1));
    assert_eq!((ring.unfinished(), ring.is_closed(), ring.len()), (0, true, 0));
}

/// Each round kills some processes at varying moments. The others end after the ring is stopped.
fn killed_processes_hang_no_others() {
    let mut killed_at_work = 0;
    for round in 0..60 {
        let (ring, seen) = shared();
        ring.try_push(&task(1)).expect("room");
        let children = fork_all(|| work(&ring, &seen));
        let (doomed, others) = children.split_at(1 + round % 5);
        for &child in doomed {
            sleep(Duration::from_micros((round as u64 * 7919) % 1500));
            kill(child, Signal::SIGKILL).expect("kill");
        }
        for &child in doomed {
            let killed = WaitStatus::Signaled(child, Signal::SIGKILL, false);
            killed_at_work += usize::from(ends(child) == killed && !ring.is_closed());
        }
        ring.stop();
        for &child in others {
            assert_eq!(ends(child), WaitStatus::Exited(child, 0), "round {round}");
        }
        assert!(seen.iter().all(|count| count.load(Relaxed) <= 1), "round {round}");
        assert_eq!(ring.take(&mut Vec::new()), Err(TakeError::Stopped));
    }
    assert!(killed_at_work > 20, "only {killed_at_work} were killed before the work was done");
}

fn a_killed_sleeper_costs_nothing_but_a_call() {
    let (ring, seen) = shared();
    let children = fork_all(|| work(&ring, &seen));
    let start = Instant::now();
    while ring.sleepers() < PROCESSES as usize {
        assert!(start.elapsed() < SOON, "{} asleep", ring.sleepers());
        sleep(Duration::from_millis(1));
    }
    for &child in &children[1..] {
        kill(child, Signal::SIGKILL).expect("kill");
        ends(child);
    }
    ring.try_push(&task(TASKS)).expect("room"); // it has no children
    assert_eq!(ends(children[0]), WaitStatus::Exited(children[0], 0));
    assert_eq!(seen[TASKS as usize].load(Relaxed), 1);
}

/// The work of every process: takes tasks until the ring is closed or stopped. Task `n` pushes `2n` and
/// `2n + 1`.
fn work(ring: &SharedRing, seen: &SharedWords) {
    let mut into = Vec::new();
    while ring.take(&mut into).is_ok() {
        let mut mine = vec![number(&into)];
        while let Some(number) = mine.pop() {
            seen[number as usize].fetch_add(1, Relaxed);
            for next in (2 * number..=2 * number + 1).filter(|&next| next <= TASKS) {
                match ring.try_push(&task(next)) {
                    Ok(()) | Err(PushError::Stopped) => {}
                    Err(PushError::Full) => mine.push(next),
                    Err(error) => panic!("task {next}: {error:?}"),
                }
            }
        }
        ring.task_done();
    }
}

/// Returns the message of a task: its number, and a varying number of further bytes, all of which must
/// arrive.
fn task(number: u64) -> Vec<u8> {
    let mut message = number.to_le_bytes().to_vec();
    message.resize(8 + number as usize % 200, number as u8);
    message
}

fn number(message: &[u8]) -> u64 {
    let (number, rest) = message.split_at(8);
    let number = u64::from_le_bytes(number.try_into().expect("8 bytes"));
    assert_eq!(rest.len(), number as usize % 200, "task {number} is torn");
    assert!(rest.iter().all(|&byte| byte == number as u8), "task {number} is torn");
    number
}

fn shared() -> (SharedRing, SharedWords) {
    let seen = SharedWords::create("pcopy-test", TASKS as usize + 1).expect("memory");
    (SharedRing::create().expect("ring"), seen)
}

/// Forks all processes. Each runs `work` and ends. An alarm ends a process that hangs.
fn fork_all(work: impl Fn()) -> Vec<Pid> {
    let fork_one = |_| {
        // SAFETY: this process has one thread.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                alarm::set(SOON.as_secs() as u32 * 2);
                work();
                std::process::exit(0);
            }
        }
    };
    (0..PROCESSES).map(fork_one).collect()
}

/// Waits for the end of a child, and returns how it ended. Fails if the child does not end soon.
fn ends(child: Pid) -> WaitStatus {
    let start = Instant::now();
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)).expect("wait") {
            WaitStatus::StillAlive if start.elapsed() < SOON => sleep(Duration::from_millis(1)),
            WaitStatus::StillAlive => panic!("process {child} hangs"),
            end => return end,
        }
    }
}
