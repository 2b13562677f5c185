//! Locks on a whole directory.

use crate::{Errno, Result, retry};
use std::os::fd::{AsRawFd, BorrowedFd};

/// How a directory is kept from other runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// Others may share it; nobody may own it.
    Shared,
    /// Ours alone.
    Exclusive,
}

/// Takes a lock that lasts until the last copy of the descriptor is closed; `EAGAIN` if refused.
pub fn lock(file: BorrowedFd<'_>, lock: Lock) -> Result<()> {
    let how = match lock {
        Lock::Shared => libc::LOCK_SH,
        Lock::Exclusive => libc::LOCK_EX,
    };
    // SAFETY: flock(2) takes two numbers. (nix's guard would unlock when it is dropped, but the
    // lock must pass to the children with the descriptor.)
    retry(|| Errno::result(unsafe { libc::flock(file.as_raw_fd(), how | libc::LOCK_NB) }).map(drop))
}
