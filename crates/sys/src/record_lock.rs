//! Mutual exclusion between the processes of a run: POSIX record locks, fcntl(2).
//!
//! The locks are on bytes of a memfd, which only these processes have open, one byte for each thing.
//! They belong to the process, so they end when it dies. A lock that another program holds on the
//! thing itself does not matter.

use super::file::Identity;
use super::shared_memory::memfd;
use super::{Result, retry};
use nix::fcntl::{FcntlArg, fcntl};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long to sleep before a failed lock is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// The file whose bytes are locked. Must be created before the first fork.
#[derive(Debug)]
pub struct RecordLocks {
    file: OwnedFd,
}

/// A lock of this process, released when dropped. A process holds at most one of each kind.
#[derive(Debug)]
pub struct RecordLock<'a> {
    locks: &'a RecordLocks,
    byte: libc::off_t,
}

impl RecordLocks {
    /// Creates the file, without locks.
    pub fn create() -> Result<Self> {
        Ok(Self { file: memfd("pcopy-turns")? })
    }

    /// Waits until no other process has the lock on this inode, and takes it.
    ///
    /// Two inodes may share a byte: then one process waits without need. If the kernel is out of
    /// locks, no process waits.
    pub fn lock_inode(&self, inode: Identity) -> RecordLock<'_> {
        let mut hasher = DefaultHasher::new();
        inode.hash(&mut hasher);
        let byte = libc::off_t::try_from(hasher.finish() >> 2).unwrap_or(0);
        if retry(|| self.set(byte, libc::F_WRLCK)).is_err() {
            // ENOLCK: continue as if no other process had it.
        }
        RecordLock { locks: self, byte }
    }

    /// Takes a shared lock on `number`; `EAGAIN` while another process has an exclusive one.
    ///
    /// Unlike inodes, no two numbers share a byte.
    pub fn try_lock_shared(&self, number: u16) -> Result<RecordLock<'_>> {
        let byte = libc::off_t::from(number);
        fcntl(&self.file, FcntlArg::F_SETLK(&lock(byte, libc::F_RDLCK)))?;
        Ok(RecordLock { locks: self, byte })
    }

    /// Waits until no other process has a shared lock on `number`.
    pub fn wait_until_unlocked(&self, number: u16) {
        let byte = libc::off_t::from(number);
        while self.set(byte, libc::F_WRLCK).is_err() {
            // A handled signal, or ENOLCK, which passes: other processes may still have the lock.
            std::thread::sleep(PAUSE);
        }
        drop(RecordLock { locks: self, byte });
    }

    /// Old name, removed with the renaming.
    pub fn wait_for(&self, thing: Identity) -> RecordLock<'_> {
        self.lock_inode(thing)
    }

    /// Old name, removed with the renaming.
    pub fn share(&self, number: u16) -> Result<RecordLock<'_>> {
        self.try_lock_shared(number)
    }

    /// Old name, removed with the renaming.
    pub fn wait_for_all(&self, number: u16) {
        self.wait_until_unlocked(number);
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
        if self.locks.set(self.byte, libc::F_UNLCK).is_err() {
            // Then it is released when the process ends.
        }
    }
}

pub use self::RecordLock as Turn; // old path, removed with the renaming
pub use self::RecordLocks as Turns; // old path, removed with the renaming
