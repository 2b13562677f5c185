//! The one door to atomics, cells and sleep: the real ones, or loom's, which weaves the steps of
//! several threads in every order.

#[cfg(loom)]
pub(crate) mod loom;
#[cfg(not(loom))]
mod std;

#[cfg(loom)]
pub(crate) use self::loom::{AtomicU32, AtomicU64, UnsafeCell, Word, fence};
#[cfg(not(loom))]
pub(crate) use self::std::{AtomicU32, AtomicU64, UnsafeCell, Word, fence};
