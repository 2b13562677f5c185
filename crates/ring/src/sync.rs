//! The only module from which the crate takes atomics, cells and sleep. They come from the standard library
//! and the kernel's futex or, in the tests that run every order of the threads' steps, from loom.

#[cfg(loom)]
pub(crate) mod loom;
#[cfg(not(loom))]
mod std;

#[cfg(loom)]
pub(crate) use self::loom::{AtomicU32, AtomicU64, UnsafeCell, Word, fence};
#[cfg(not(loom))]
pub(crate) use self::std::{AtomicU32, AtomicU64, UnsafeCell, Word, fence};
