//! The only source of atomics, cells and sleep: the standard library and the kernel's futex, or loom, which
//! runs the steps of several threads in every order.

#[cfg(loom)]
pub(crate) mod loom;
#[cfg(not(loom))]
mod std;

#[cfg(loom)]
pub(crate) use self::loom::{AtomicU32, AtomicU64, UnsafeCell, Word, fence};
#[cfg(not(loom))]
pub(crate) use self::std::{AtomicU32, AtomicU64, UnsafeCell, Word, fence};
