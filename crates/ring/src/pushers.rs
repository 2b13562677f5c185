//! Whether the pushers of a ring may wait for room: part of the ring's type.
//!
//! A pusher that sleeps must be woken, so every take has to look for one after it has freed its slot,
//! with a `SeqCst` fence between the two. Where pushes never wait, a take does neither.

/// Whether the pushers of a ring may wait for room: [`MayWait`] or [`NeverWait`].
pub trait Pushers: sealed::Sealed + Send + Sync + 'static {
    /// Whether a take has to wake a pusher that waits for room.
    const MAY_WAIT: bool;
}

/// Pushers may wait for room, with [`push_within`](super::Ring::push_within); each take looks for one
/// to wake.
pub enum MayWait {}

/// Pushers never wait: the caller of [`try_push`](super::Ring::try_push) decides what to do about a
/// full ring. A take wakes no pusher and has no fence.
pub enum NeverWait {}

impl Pushers for MayWait {
    const MAY_WAIT: bool = true;
}

impl Pushers for NeverWait {
    const MAY_WAIT: bool = false;
}

mod sealed {
    /// The argument in the crate covers these two types.
    pub trait Sealed {}
    impl Sealed for super::MayWait {}
    impl Sealed for super::NeverWait {}
}
