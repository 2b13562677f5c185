//! What the parent gathers and copiers inherit by the fork: read only there.

pub mod digests;
pub mod link_groups;
pub mod prompt;
