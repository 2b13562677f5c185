//! The atomics of the standard library, and sleep with the kernel's futex.

use pcopy_sys::futex;
use std::time::Duration;

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, fence};

/// `std::cell::UnsafeCell` with the interface of loom's cell. Loom's cell detects concurrent access.
#[repr(transparent)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    pub(crate) fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
        look(self.0.get())
    }

    pub(crate) fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
        change(self.0.get())
    }
}

/// A word that peers can sleep on: a futex.
#[repr(transparent)]
pub(crate) struct Word {
    pub(crate) value: AtomicU32,
}

impl Word {
    pub(crate) const fn new(value: u32) -> Self {
        Self { value: AtomicU32::new(value) }
    }

    /// Sleeps while the word is `expected`, for at most `limit`. The caller must look again, whatever ended
    /// the sleep.
    pub(crate) fn wait(&self, expected: u32, limit: Duration) {
        futex::wait(&self.value, expected, Some(limit));
    }

    /// Wakes up to `count` sleepers.
    pub(crate) fn wake(&self, count: u32) {
        futex::wake(&self.value, count);
    }
}
