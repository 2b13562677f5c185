//! Locks on what a run builds: flock(2) on the staged file or directory itself.
//!
//! However a run ends, the kernel releases its locks when its last process exits.

use pcopy_sys::Errno;
use pcopy_sys::file::{self, Lock};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long copiers may live after their parent was killed.
const ORPHANS_LIVE: Duration = Duration::from_secs(1);

/// Locks a staged file that this run has just created. Returns false if another run has locked the file or
/// removed it.
///
/// Only the run that has the lock builds the file. Without the lock, one run could rename a file that another
/// run has only half written. Between the creation and the lock, another run may have taken the file for a
/// leftover and removed its name.
pub(crate) fn lock_new(file: &OwnedFd) -> bool {
    try_lock(file) && file::stat_fd(file).is_ok_and(|stat| stat.links() > 0)
}

/// Locks an open file. Returns false if another run has locked it. A file on a file system without locks
/// counts as locked.
pub(crate) fn try_lock(file: impl AsFd) -> bool {
    file::lock(file.as_fd(), Lock::Exclusive) != Err(Errno::EAGAIN)
}

/// Locks a directory. If another process has locked it, waits for up to 1 s.
///
/// Copiers whose parent was killed live until their current system call ends. A user who reruns the command
/// at once expects that the run resumes.
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
