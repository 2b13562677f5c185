//! What a walk can do with the entries that it visits: compare them, copy them, count them, or find out what a
//! copy would do; and the removal of what only the target has.

pub(super) mod compare;
pub(crate) mod copy;
pub(super) mod count;
pub(super) mod dry_run;
pub(crate) mod remove;
