//! How a copier repeats a system call or the copy of an entry after a transient error (`--retries`).

use crate::error::is_transient_errno;
use pcopy_sys::Errno;
use std::time::Duration;

/// The pause before the first repetition. Each later pause is longer by this time, up to ten times as long.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits before repetition `attempt`, which counts from 1.
pub(super) fn pause(attempt: u32) {
    std::thread::sleep((PAUSE * attempt).min(PAUSE * 10));
}

/// Makes a call, and repeats it up to `retries` times as long as its error is transient.
pub(super) fn retry<T>(
    retries: u16,
    mut call: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let mut result = call();
    for attempt in 1..=u32::from(retries) {
        if !result.as_ref().is_err_and(|&errno| is_transient_errno(errno)) {
            break;
        }
        pause(attempt);
        result = call();
    }
    result
}
