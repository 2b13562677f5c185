//! Sleeps until a word in shared memory changes: futex(2).
//!
//! Several processes may have mapped the word at different addresses. The kernel identifies the word by its
//! page if `FUTEX_PRIVATE_FLAG` is not set, so this module does not set the flag.

use super::Errno;
use nix::sys::time::TimeSpec;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// The longest limit, 68 years. This number of seconds fits into the time type of every C library.
const LIMIT_MAX: Duration = Duration::from_secs(i32::MAX as u64);

/// The reason why a wait ended. Whatever the reason, the caller must check again whether the condition that
/// it waits for is true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// A call of [`wake`], or no cause at all: the kernel permits spurious wake-ups.
    Called,
    /// The word was not `expected`, so the process did not sleep.
    Changed,
    /// The limit passed.
    TimedOut,
    /// The process handled a signal.
    Interrupted,
}

/// Sleeps while `word` is `expected`, for at most `limit`; without a limit, until [`wake`] is called.
///
/// No call of [`wake`] takes effect between the comparison and the start of the sleep. So if another process
/// changes the word first and calls `wake` afterwards, this process does not sleep through the change.
pub fn wait(word: &AtomicU32, expected: u32, limit: Option<Duration>) -> Woken {
    let limit = limit.map(|limit| TimeSpec::from_duration(limit.min(LIMIT_MAX)));
    let limit = limit.as_ref().map_or(ptr::null(), |limit| ptr::from_ref(limit.as_ref()));
    // SAFETY: `word` is a live, aligned 32-bit word and the kernel only reads it; `limit` is null
    // or points to a timespec that outlives the call.
    let slept =
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, limit) };
    if slept == 0 {
        return Woken::Called;
    }
    match Errno::last() {
        Errno::EAGAIN => Woken::Changed,
        Errno::ETIMEDOUT => Woken::TimedOut,
        Errno::EINTR => Woken::Interrupted,
        errno => unreachable!("futex wait on a valid word and limit: {errno}"),
    }
}

/// Wakes up to `count` sleepers on `word`, in any process. Returns how many it has woken.
pub fn wake(word: &AtomicU32, count: u32) -> u32 {
    let count = count.min(i32::MAX as u32); // the kernel reads it as a signed number
    // SAFETY: `word` is a live, aligned 32-bit word; waking neither reads nor writes it.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count) };
    woken.try_into().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::SeqCst;
    use std::time::Instant;

    #[test]
    fn a_wait_on_a_changed_word_returns_at_once() {
        assert_eq!(wait(&AtomicU32::new(1), 0, None), Woken::Changed);
    }

    #[test]
    fn a_wait_ends_when_its_limit_passes() {
        let (start, limit) = (Instant::now(), Duration::from_millis(5));
        assert_eq!(wait(&AtomicU32::new(0), 0, Some(limit)), Woken::TimedOut);
        assert!(start.elapsed() >= limit);
    }

    #[test]
    fn a_sleeper_is_woken_after_the_word_has_changed() {
        let word = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                word.store(1, SeqCst);
                wake(&word, 1);
            });
            while word.load(SeqCst) == 0 {
                wait(&word, 0, None);
            }
        });
    }

    #[test]
    fn a_wake_without_sleepers_wakes_none() {
        assert_eq!(wake(&AtomicU32::new(0), u32::MAX), 0);
    }
}
