//! What the processes of a run share: the ring of tasks, the counters, the reports.

pub mod counters;
pub mod difference;
pub mod digests;
pub mod event;
pub mod fingerprint;
pub mod forecast;
pub mod frame_check;
pub mod fs_caps;
pub mod inode_set;
pub mod large_files;
pub mod link_groups;
pub mod name_queue;
pub mod outbox;
pub mod prompt;
pub mod ring;
pub mod task;
pub mod wire;
