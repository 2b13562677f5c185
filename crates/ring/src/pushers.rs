//! The two kinds of pushers: those that may wait for room, and those that never wait. The kind is part of the
//! ring's type.
//!
//! A pusher that sleeps must be woken. So every take must look for a sleeping pusher after it has freed its
//! slot, with a `SeqCst` fence before the look. In a ring whose pushers never wait, a take needs neither the
//! look nor the fence.

/// Says whether the pushers of a ring may wait for room: [`MayWait`] or [`NeverWait`].
pub trait Pushers: sealed::Sealed + Send + Sync + 'static {
    /// Whether a take must wake a pusher that waits for room.
    const MAY_WAIT: bool;
}

/// Pushers may wait for room, with [`push_within`](super::Ring::push_within). Each take looks for a waiting
/// pusher and wakes it.
pub enum MayWait {}

/// Pushers never wait. The caller of [`try_push`](super::Ring::try_push) decides what to do if the ring is
/// full. A take wakes no pusher and executes no fence.
pub enum NeverWait {}

impl Pushers for MayWait {
    const MAY_WAIT: bool = true;
}

impl Pushers for NeverWait {
    const MAY_WAIT: bool = false;
}

mod sealed {
    /// Prevents other types from implementing [`Pushers`](super::Pushers): the proof in the crate's
    /// documentation covers only these two.
    pub trait Sealed {}
    impl Sealed for super::MayWait {}
    impl Sealed for super::NeverWait {}
}
