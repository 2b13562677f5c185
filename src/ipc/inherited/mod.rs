//! What the parent collects and copiers inherit by fork(2); they only read it.

pub mod digests;
pub mod link_groups;
pub mod prompt;
