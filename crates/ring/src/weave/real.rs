//! The real ones.

use pcopy_sys::futex;
use std::time::Duration;

pub(in super::super) use std::sync::atomic::{AtomicU32, AtomicU64, fence};

/// `std::cell::UnsafeCell` with the face of loom's, which notices two who touch it at once.
#[repr(transparent)]
pub(in super::super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(in super::super) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    pub(in super::super) fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
        look(self.0.get())
    }

    pub(in super::super) fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
        change(self.0.get())
    }
}

/// A word to sleep on.
#[repr(transparent)]
pub(in super::super) struct Word {
    pub(in super::super) value: AtomicU32,
}

impl Word {
    pub(in super::super) const fn new(value: u32) -> Self {
        Self { value: AtomicU32::new(value) }
    }

    /// Sleeps while the word is `expected`, for at most `limit`. Whatever ends it: look again.
    pub(in super::super) fn wait(&self, expected: u32, limit: Duration) {
        futex::wait(&self.value, expected, Some(limit));
    }

    /// Wakes up to `count` sleepers.
    pub(in super::super) fn wake(&self, count: u32) {
        futex::wake(&self.value, count);
    }
}
