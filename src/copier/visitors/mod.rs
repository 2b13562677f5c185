//! What is done with the entries that a walk visits: they are copied, compared or counted.

pub(super) mod compare;
pub(crate) mod copy;
pub(super) mod count;
