//! The one door to atomics, cells and sleep: the real ones, or loom's, which weaves the steps of
//! several threads in every order.

#[cfg(not(loom))]
mod real;
#[cfg(loom)]
pub(super) mod woven;

#[cfg(not(loom))]
pub(super) use real::{AtomicU32, AtomicU64, UnsafeCell, Word, fence};
#[cfg(loom)]
pub(super) use woven::{AtomicU32, AtomicU64, UnsafeCell, Word, fence};
