//! Locks on what a run builds: flock(2) on the staged file or directory itself.
//!
//! The kernel releases a lock when the last process of the run exits, whatever ends it.

use pcopy_sys::Errno;
use pcopy_sys::file::{self, Lock};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long copiers may outlive a parent that was killed.
const ORPHANS_LIVE: Duration = Duration::from_secs(1);

/// Locks a staged file that this run has just created; false if another run builds it.
///
/// Only the run that has the lock builds the file: without the lock, one run could rename what the other has
/// half written. Before this run had the lock, the other run may have taken the file for a leftover and
/// removed its name.
pub(crate) fn lock_new(file: &OwnedFd) -> bool {
    !is_locked(file) && file::stat_fd(file).is_ok_and(|stat| stat.links() > 0)
}

/// Locks an open file; true if another run has locked it.
pub(crate) fn is_locked(file: impl AsFd) -> bool {
    file::lock(file.as_fd(), Lock::Exclusive) == Err(Errno::EAGAIN)
}

/// Locks a directory; waits for up to 1 s if another process has locked it.
///
/// Copiers whose parent was killed live on while they are in a system call, and a user who reruns the command
/// at once wants the copy to resume.
pub(crate) fn lock_soon(dir: BorrowedFd<'_>, lock: Lock) -> Result<(), Errno> {
    let begun = Instant::now();
    loop {
        match file::lock(dir, lock) {
            Err(Errno::EAGAIN) if begun.elapsed() < ORPHANS_LIVE => {
                std::thread::sleep(ORPHANS_LIVE / 50)
            }
            result => return result,
        }
    }
}
