//! Advisory locks on whole files and directories: flock(2).

use crate::{Errno, Result, retry};
use std::os::fd::{AsRawFd, BorrowedFd};

/// The kind of lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// Other processes may hold a shared lock at the same time, but no process may hold an exclusive lock.
    Shared,
    /// No other process may hold a lock.
    Exclusive,
}

/// Takes a lock, which lasts until the last copy of the descriptor is closed. Fails with `EAGAIN` if another
/// process holds a conflicting lock.
pub fn lock(file: BorrowedFd<'_>, lock: Lock) -> Result<()> {
    let how = match lock {
        Lock::Shared => libc::LOCK_SH,
        Lock::Exclusive => libc::LOCK_EX,
    };
    // SAFETY: flock(2) takes two numbers. (nix's lock type is not used: it unlocks when it is dropped, but
    // children must inherit the lock with the descriptor.)
    retry(|| Errno::result(unsafe { libc::flock(file.as_raw_fd(), how | libc::LOCK_NB) }).map(drop))
}
