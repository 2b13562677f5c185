//! How a copier repeats a system call or the copy of an entry after a transient error (`--retries`).

use std::time::Duration;

/// The pause before the first repetition. Each later pause is longer by this time, up to ten times as long.
const PAUSE: Duration = Duration::from_millis(100);

/// Calls `act`, and repeats it up to `retries` times as long as `may_pass` returns true for its error.
pub(super) fn retry<T, E>(
    retries: u16,
    may_pass: impl Fn(&E) -> bool,
    mut act: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut result = act();
    for attempt in 1..=u32::from(retries) {
        if !result.as_ref().is_err_and(&may_pass) {
            break;
        }
        std::thread::sleep((PAUSE * attempt).min(PAUSE * 10));
        result = act();
    }
    result
}
