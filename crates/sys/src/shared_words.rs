//! An array of atomic numbers that several processes share.

use super::shared_memory::SharedMemory;
use std::io;
use std::ops::Deref;
use std::sync::atomic::AtomicU64;

/// A shared array of words, which are zero at first. Children that are forked later see the same array.
pub struct SharedWords {
    memory: SharedMemory,
    count: usize,
}

impl SharedWords {
    /// Maps `count` words. The mapping has the name `name` in `/proc/PID/maps`.
    pub fn create(name: &str, count: usize) -> io::Result<Self> {
        let memory = SharedMemory::create(name, count * size_of::<AtomicU64>())?;
        Ok(Self { memory, count })
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, holds `count` words, lives as long as `self`, and is
        // sealed against shrinking. Any bits are a valid AtomicU64, and all accesses are atomic.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast::<AtomicU64>(), self.count) }
    }
}
