//! Data that the parent collects and that copiers inherit by fork(2). Copiers only read it.

pub(crate) mod built_dirs;
pub(crate) mod digests;
pub(crate) mod link_groups;
pub(crate) mod prompt;
pub(crate) mod removals;
