//! Taking turns: of several processes, one at a time does something with a thing.
//!
//! Record locks on a file that nobody else knows, one byte for each thing. They belong to the
//! process, so they go with it whenever it dies, and a lock that some other program holds on the
//! thing itself keeps nobody waiting.

use super::file::Identity;
use super::memory::unnamed_file;
use super::{Result, retry};
use nix::fcntl::{FcntlArg, fcntl};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long it is waited for the kernel to have a lock to give.
const PAUSE: Duration = Duration::from_millis(10);

/// Where turns are taken. Must be made before the first fork.
#[derive(Debug)]
pub struct Turns {
    file: OwnedFd,
}

/// The turn of this process; it ends when this is dropped. Of one kind a process takes one at a time.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    byte: libc::off_t,
}

impl Turns {
    /// Nobody's turn yet.
    pub fn create() -> Result<Self> {
        Ok(Self { file: unnamed_file("pcopy-turns")? })
    }

    /// Waits until no other process has the turn for this thing.
    ///
    /// Two things may share a byte: then one waits without need. If the kernel has no lock to give,
    /// nobody waits.
    pub fn wait_for(&self, thing: Identity) -> Turn<'_> {
        let mut hasher = DefaultHasher::new();
        thing.hash(&mut hasher);
        let byte = libc::off_t::try_from(hasher.finish() >> 2).unwrap_or(0);
        if retry(|| self.set(byte, libc::F_WRLCK)).is_err() {
            // ENOLCK: as if there were no other.
        }
        Turn { turns: self, byte }
    }

    /// Takes a turn that others may have at the same time; `EAGAIN` while somebody has it alone.
    ///
    /// `number` is the thing: no two share one.
    pub fn share(&self, number: u16) -> Result<Turn<'_>> {
        let byte = libc::off_t::from(number);
        fcntl(&self.file, FcntlArg::F_SETLK(&lock(byte, libc::F_RDLCK)))?;
        Ok(Turn { turns: self, byte })
    }

    /// Waits until nobody else has a turn that was shared.
    pub fn wait_for_all(&self, number: u16) {
        let byte = libc::off_t::from(number);
        while self.set(byte, libc::F_WRLCK).is_err() {
            // A handled signal, or ENOLCK, which passes: others may still be at it.
            std::thread::sleep(PAUSE);
        }
        drop(Turn { turns: self, byte });
    }

    fn set(&self, byte: libc::off_t, kind: libc::c_int) -> Result<()> {
        fcntl(&self.file, FcntlArg::F_SETLKW(&lock(byte, kind))).map(drop)
    }
}

fn lock(byte: libc::off_t, kind: libc::c_int) -> libc::flock {
    // SAFETY: all fields are numbers, for which zero bits are a value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::c_short::try_from(kind).unwrap_or_default();
    lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default();
    lock.l_start = byte;
    lock.l_len = 1;
    lock
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.turns.set(self.byte, libc::F_UNLCK).is_err() {
            // Then it ends with the process.
        }
    }
}
