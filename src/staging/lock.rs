//! Locks on what a run builds: flock(2) on the staged file or directory itself.
//!
//! However a run ends, the kernel releases its locks when its last process exits.

use pcopy_sys::Errno;
use pcopy_sys::file::{self, Lock, Stat};
use pcopy_sys::lock_holders::{lock_holders, mark, unmark};
use pcopy_sys::process;
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

/// Locks a directory against other runs of pcopy. Returns false if another run works in it, after waiting for up
/// to 1 s: copiers whose parent was killed live until their current system call ends, and a user who reruns the
/// command at once expects that the run resumes.
///
/// A script may hold a lock on the directory while it runs pcopy, as `flock backup pcopy src backup` does. That is
/// no conflict. This run then works without a lock, and marks its descriptor instead, so that another run which
/// the script starts at the same time finds it.
pub(crate) fn lock_against_runs(dir: BorrowedFd<'_>, lock: Lock, stat: &Stat) -> bool {
    let begun = Instant::now();
    loop {
        if file::lock(dir, lock) != Err(Errno::EAGAIN) {
            return true;
        }
        if mark(dir, lock).is_ok() && !is_held_by_run(stat.identity().1, lock) {
            if lock == Lock::Exclusive && file::lock(dir, Lock::Shared).is_err() {
                // Then the lock of the script is exclusive, and no run can have another one.
            }
            return true;
        }
        if begun.elapsed() > ORPHANS_LIVE {
            return false;
        }
        // Two runs that see each other's marks must not wait for each other, nor try again at the same moments.
        if unmark(dir).is_err() {
            return false;
        }
        std::thread::sleep(ORPHANS_LIVE / (10 + std::process::id() % 30));
    }
}

/// Whether another run of pcopy works in a directory, which some process has locked.
fn is_held_by_run(inode: u64, lock: Lock) -> bool {
    let Some(holders) = lock_holders(inode) else { return true };
    let own = process::own_name();
    let is_pcopy = |name: &String| *name == own || name.starts_with("pcopy");
    let conflicts = |other: Lock| lock == Lock::Exclusive || other == Lock::Exclusive;
    let is_run = holders.names.iter().any(is_pcopy)
        || holders.marked.iter().any(|(name, other)| is_pcopy(name) && conflicts(*other));
    // The lock may belong to a run that `/proc` does not show, in another container for example.
    is_run || lock == Lock::Exclusive && (holders.is_hidden || !holders.is_shown)
}
