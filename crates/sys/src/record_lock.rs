//! Mutual exclusion between the processes of one run: POSIX record locks, fcntl(2).
//!
//! Each lock is on one byte of a memfd, which only these processes have open. So locks that other programs
//! hold on the files themselves do not matter. A record lock belongs to a process, and ends when the process
//! dies.

use super::file::Identity;
use super::shared_memory::memfd;
use super::{Errno, Result, retry};
use nix::fcntl::{FcntlArg, fcntl};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The pause before a failed lock is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// How often a lock may be refused for a reason that does not pass, before a process goes on without it.
const REFUSALS_MAX: u32 = 100;

/// How often a process tries to release a lock. The kernel does not refuse that; a sandbox may.
const UNLOCK_ATTEMPTS: u32 = 5;

/// The memfd whose bytes are locked. It must be created before the first fork.
#[derive(Debug)]
pub struct RecordLocks {
    file: OwnedFd,
}

/// A lock that this process holds. Dropping the value releases the lock. The callers hold at most one lock on
/// an inode and one lock on a number at a time.
#[derive(Debug)]
pub struct RecordLock<'a> {
    locks: &'a RecordLocks,
    byte: libc::off_t,
}

impl RecordLocks {
    /// Creates the memfd, without locks.
    pub fn create() -> Result<Self> {
        Ok(Self { file: memfd("pcopy-turns")? })
    }

    /// Waits until no other process holds the lock on this inode, then takes it.
    ///
    /// Two inodes may share a byte; then one process waits without need. If the kernel has no locks left, the
    /// call returns at once, without a lock.
    pub fn lock_inode(&self, inode: Identity) -> RecordLock<'_> {
        let mut hasher = DefaultHasher::new();
        inode.hash(&mut hasher);
        let byte = libc::off_t::try_from(hasher.finish() >> 2).unwrap_or(0);
        if retry(|| self.set(byte, libc::F_WRLCK)).is_err() {
            // ENOLCK: continue as if no other process held the lock.
        }
        RecordLock { locks: self, byte }
    }

    /// Takes a shared lock on `number`. Fails with `EAGAIN` while another process holds an exclusive lock.
    ///
    /// Each number has a byte of its own; two inodes may share one.
    pub fn try_lock_shared(&self, number: u16) -> Result<RecordLock<'_>> {
        let byte = libc::off_t::from(number);
        fcntl(&self.file, FcntlArg::F_SETLK(&lock(byte, libc::F_RDLCK)))?;
        Ok(RecordLock { locks: self, byte })
    }

    /// Waits until no other process holds a shared lock on `number`.
    ///
    /// Where record locks are refused (by a sandbox), the call returns after a second: then no other process has
    /// got a shared lock either.
    pub fn wait_until_unlocked(&self, number: u16) {
        let byte = libc::off_t::from(number);
        let mut refused = 0;
        while let Err(errno) = self.set(byte, libc::F_WRLCK) {
            // After a handled signal, and after ENOLCK, which is temporary, other processes may still hold the
            // lock.
            refused += u32::from(!matches!(errno, Errno::EINTR | Errno::ENOLCK));
            if refused > REFUSALS_MAX {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        drop(RecordLock { locks: self, byte });
    }

    fn set(&self, byte: libc::off_t, kind: libc::c_int) -> Result<()> {
        fcntl(&self.file, FcntlArg::F_SETLKW(&lock(byte, kind))).map(drop)
    }
}

fn lock(byte: libc::off_t, kind: libc::c_int) -> libc::flock {
    // SAFETY: all fields are numbers, for which zeros are a valid value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::c_short::try_from(kind).unwrap_or_default();
    lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default();
    lock.l_start = byte;
    lock.l_len = 1;
    lock
}

impl Drop for RecordLock<'_> {
    fn drop(&mut self) {
        // If the lock stayed, another process could wait for ever, although no process needs the lock any more.
        for _ in 0..UNLOCK_ATTEMPTS {
            if self.locks.set(self.byte, libc::F_UNLCK).is_ok() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        // The kernel then releases the lock when the process ends.
    }
}
