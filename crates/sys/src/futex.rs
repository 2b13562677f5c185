//! Sleeping until a word in shared memory changes.
//!
//! The word may lie in memory that several processes have mapped at different addresses: the
//! kernel finds it by its page, so these are the shared futexes, not the `PRIVATE` ones.
#![allow(unsafe_code)] // libc has no wrapper for futex(2); the raw system call is all there is

use super::Errno;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Why a wait ended. None of them says that the word has changed: look again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// Somebody called [`wake`], or nobody did: the kernel may end a wait without a reason.
    Called,
    /// The word was not `expected` any more, so there was no sleep.
    Changed,
    /// The limit passed.
    TimedOut,
    /// A signal was handled meanwhile.
    Interrupted,
}

/// Sleeps while `word` is `expected`, for at most `limit`; without a limit, until called.
///
/// Comparing and falling asleep are one step for [`wake`]: whoever changes the word first and
/// wakes afterwards is never missed.
pub fn wait(word: &AtomicU32, expected: u32, limit: Option<Duration>) -> Woken {
    let limit = limit.map(|limit| libc::timespec {
        tv_sec: limit.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
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

/// Wakes up to `count` of those who sleep on `word`, in whichever process; says how many.
pub fn wake(word: &AtomicU32, count: u32) -> u32 {
    let count = count.min(i32::MAX as u32); // the kernel takes it as signed
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
    fn a_word_that_has_changed_is_not_waited_for() {
        assert_eq!(wait(&AtomicU32::new(1), 0, None), Woken::Changed);
    }

    #[test]
    fn a_wait_ends_when_its_limit_passes() {
        let (start, limit) = (Instant::now(), Duration::from_millis(5));
        assert_eq!(wait(&AtomicU32::new(0), 0, Some(limit)), Woken::TimedOut);
        assert!(start.elapsed() >= limit);
    }

    #[test]
    fn a_sleeper_is_woken_by_who_changes_the_word() {
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
    fn waking_nobody_wakes_nobody() {
        assert_eq!(wake(&AtomicU32::new(0), u32::MAX), 0);
    }
}
