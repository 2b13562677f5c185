//! What is done with the entries that a walk comes to: they are copied, or compared.

pub(super) mod compare;
pub(crate) mod copy;
