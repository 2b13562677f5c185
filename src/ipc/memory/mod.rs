//! Memory, besides the task ring, that all processes of a run share.

pub mod counters;
pub mod forecast;
pub mod fs_caps;
pub mod inode_set;
pub mod large_files;
pub mod outbox;
