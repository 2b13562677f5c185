//! Advisory locks on whole files and directories: flock(2).

use crate::{Errno, Result, retry};
use std::os::fd::{AsRawFd, BorrowedFd};

/// The kind of lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// Other processes may have a shared lock at the same time, and none may have an exclusive one.
    Shared,
    /// No other process may have a lock.
    Exclusive,
}

/// Takes a lock, which lasts until the last copy of the descriptor is closed; `EAGAIN` if another process
/// has a conflicting one.
pub fn lock(file: BorrowedFd<'_>, lock: Lock) -> Result<()> {
    let how = match lock {
        Lock::Shared => libc::LOCK_SH,
        Lock::Exclusive => libc::LOCK_EX,
    };
    // SAFETY: flock(2) takes two numbers. (nix's guard would unlock when it is dropped, but the
    // children must inherit the lock with the descriptor.)
    retry(|| Errno::result(unsafe { libc::flock(file.as_raw_fd(), how | libc::LOCK_NB) }).map(drop))
}
