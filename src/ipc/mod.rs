//! What the processes of a run share: the ring of tasks, the counters, the reports.

pub mod abilities;
pub mod counters;
pub mod difference;
pub mod firsts;
pub mod forecast;
pub mod groups;
pub mod hashed;
pub mod large;
pub mod mark;
pub mod names;
pub mod outbox;
pub mod putoff;
pub mod report;
pub mod seal;
pub mod task;
pub mod wire;

pub use pcopy_ring as ring;
