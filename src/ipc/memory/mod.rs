//! Memory, besides the task ring, that all processes of a run share.

pub(crate) mod counters;
pub(crate) mod forecast;
pub(crate) mod fs_caps;
pub(crate) mod inode_set;
pub(crate) mod large_files;
pub(crate) mod outbox;
