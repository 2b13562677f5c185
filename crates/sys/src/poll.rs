//! Waiting for several descriptors at once: ppoll(2).

use super::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::time::TimeSpec;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// What a descriptor is watched for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Data can be read, or the other end is closed.
    Readable,
    /// Data can be written without waiting, or the other end is closed.
    Writable,
}

/// Waits for at most `limit` until at least one of `watched` is ready; returns which of them are.
///
/// A signal that interrupts the wait ends it with none ready.
pub fn wait(watched: &[(BorrowedFd<'_>, Event)], limit: Duration) -> Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> = watched
        .iter()
        .map(|&(fd, event)| match event {
            Event::Readable => PollFd::new(fd, PollFlags::POLLIN),
            Event::Writable => PollFd::new(fd, PollFlags::POLLOUT),
        })
        .collect();
    // poll(2) takes whole milliseconds, so the last one of a wait would be a busy loop.
    match nix::poll::ppoll(&mut polled, Some(TimeSpec::from_duration(limit)), None) {
        Ok(_) => Ok(polled.iter().map(|fd| fd.any().unwrap_or(false)).collect()),
        Err(Errno::EINTR) => Ok(vec![false; watched.len()]),
        Err(errno) => Err(errno),
    }
}
