//! Advisory locks on whole files and directories: flock(2), and fcntl(2) for those that reach other machines.

use crate::{Errno, Result, retry};
use nix::fcntl::{FcntlArg, fcntl};
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

/// Takes an exclusive open-file-description lock on a whole file that is open for writing. It lasts until the
/// last copy of the descriptor is closed. Fails with `EAGAIN` if the file is locked through another descriptor.
pub fn lock_record(file: BorrowedFd<'_>) -> Result<()> {
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let taken = retry(|| fcntl(file, FcntlArg::F_OFD_SETLK(&lock)));
    match taken {
        Err(Errno::EACCES) => Err(Errno::EAGAIN), // POSIX permits both
        taken => taken.map(drop),
    }
}
