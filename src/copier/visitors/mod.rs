//! What a walk can do with the entries that it visits: compare them, copy them, or count them.

pub(super) mod compare;
pub(crate) mod copy;
pub(super) mod count;
