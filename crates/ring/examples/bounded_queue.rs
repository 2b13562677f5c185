//! Uses the ring as a bounded queue between processes, and shows what the others see when one of them is
//! killed.
//!
//! ```text
//! cargo run -p pcopy-ring --example bounded_queue
//! ```
//!
//! The example checks its own results, and `cargo test` runs it, too.
#![forbid(unsafe_code)]

use pcopy_ring::{PushError, SharedQueue, TakeError};
use pcopy_sys::process::{self, Death, Pid};
use pcopy_sys::shared_words::SharedWords;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::Duration;

const PRODUCERS: u64 = 3;
const CONSUMERS: u64 = 3;
/// The number of messages that each producer pushes.
const EACH: u64 = 20_000;
/// The time that a producer waits for room before it gives up.
const LIMIT: Duration = Duration::from_secs(1);
/// The exit status of a producer that has given up waiting for room.
const NO_ROOM: i32 = 2;

fn main() -> io::Result<()> {
    fill_and_drain()?;
    produce_and_consume(false)?;
    produce_and_consume(true)
}

/// Shows a full, an empty and a closed queue, in one process.
fn fill_and_drain() -> io::Result<()> {
    let queue = SharedQueue::create()?;
    while queue.try_push(b"message").is_ok() {}
    assert!(queue.is_full() && queue.len() == queue.capacity());
    assert_eq!(queue.try_push(b"one more"), Err(PushError::Full));
    assert_eq!(queue.push_within(b"one more", Duration::from_millis(10)), Err(PushError::TimedOut));
    queue.close();
    assert_eq!(queue.try_push(b"too late"), Err(PushError::Closed));
    let (mut message, mut taken) = (Vec::new(), 0);
    while queue.take(&mut message).is_ok() {
        taken += 1; // messages in a closed queue can still be taken
    }
    assert!(taken == queue.capacity() && queue.is_empty());
    assert_eq!(queue.take(&mut message), Err(TakeError::Closed));
    println!("one process: {taken} messages filled the queue, and came out of it after the close");
    Ok(())
}

/// Lets several processes push and several take. If `kill_one` is set, kills a consumer at a random moment.
fn produce_and_consume(kill_one: bool) -> io::Result<()> {
    // All children must share the queue and the counters, so both are created before the first fork.
    let queue = SharedQueue::create()?;
    let seen = SharedWords::create("example", (PRODUCERS * EACH) as usize)?;
    let mut consumers = fork_each(CONSUMERS, |_| consume(&queue, &seen))?;
    let producers = fork_each(PRODUCERS, |producer| produce(&queue, producer))?;
    if kill_one {
        let victim = consumers.remove(0);
        sleep(Duration::from_millis(5));
        process::kill(victim)?;
        assert!(matches!(process::join(victim)?, Death::Killed(_)));
    }
    for producer in producers {
        match process::join(producer)? {
            Death::Exited(0) => {}
            // The killed consumer died while it read a slot. No process repairs the slot, so all others leave
            // the queue.
            Death::Exited(NO_ROOM) if kill_one => queue.stop(),
            death => panic!("a producer ended with {death:?}"),
        }
    }
    queue.close();
    for consumer in consumers {
        assert_eq!(process::join(consumer)?, Death::Exited(0));
    }
    let count = |times: u64| seen.iter().filter(|seen| seen.load(Relaxed) == times).count();
    let (missing, once) = (count(0), count(1));
    assert_eq!(missing + once, seen.len(), "a message was taken twice");
    if queue.is_stopped() {
        println!("a consumer killed: the queue was stopped with {missing} messages not taken");
    } else {
        // The killed consumer may have died after it took a message and before it counted the message.
        assert!(missing <= usize::from(kill_one), "{missing} messages are lost");
        let who = if kill_one { "a consumer killed" } else { "all survive" };
        println!("{who}: of {} messages, {once} were seen, each once", seen.len());
    }
    Ok(())
}

fn produce(queue: &SharedQueue, producer: u64) -> i32 {
    for number in producer * EACH..(producer + 1) * EACH {
        match queue.push_within(&number.to_le_bytes(), LIMIT) {
            Ok(()) => {}
            Err(PushError::Stopped) => return 0,
            Err(PushError::TimedOut) => return NO_ROOM,
            Err(error) => panic!("message {number}: {error:?}"),
        }
    }
    0
}

fn consume(queue: &SharedQueue, seen: &SharedWords) -> i32 {
    let mut message = Vec::new();
    // The loop ends when the queue is stopped, or when it is closed and empty.
    while queue.take(&mut message).is_ok() {
        let number = u64::from_le_bytes(message[..].try_into().expect("8 bytes"));
        seen[number as usize].fetch_add(1, Relaxed);
    }
    0
}

/// Forks `count` processes. Each process runs `work` with its index and exits with the status that `work`
/// returns.
fn fork_each(count: u64, work: impl Fn(u64) -> i32) -> io::Result<Vec<Pid>> {
    (0..count).map(|index| Ok(process::fork_child(|| work(index))?)).collect()
}
