//! Waits for several descriptors at once: ppoll(2).

use super::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::time::TimeSpec;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// The event for which a descriptor is watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// Data can be read, or the other end of the pipe is closed.
    Readable,
    /// Data can be written without waiting, or the other end of the pipe is closed.
    Writable,
}

/// Waits for at most `limit` until at least one of `watched` is ready. Returns for each of them whether it is
/// ready.
///
/// If a signal interrupts the wait, returns at once and reports none as ready.
pub fn wait(watched: &[(BorrowedFd<'_>, Readiness)], limit: Duration) -> Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> = watched
        .iter()
        .map(|&(fd, event)| match event {
            Readiness::Readable => PollFd::new(fd, PollFlags::POLLIN),
            Readiness::Writable => PollFd::new(fd, PollFlags::POLLOUT),
        })
        .collect();
    // ppoll(2) takes nanoseconds. poll(2) takes whole milliseconds, so a caller would call it in a busy loop
    // during the last millisecond of a wait.
    match nix::poll::ppoll(&mut polled, Some(TimeSpec::from_duration(limit)), None) {
        Ok(_) => Ok(polled.iter().map(|fd| fd.any().unwrap_or(false)).collect()),
        Err(Errno::EINTR) => Ok(vec![false; watched.len()]),
        Err(errno) => Err(errno),
    }
}
