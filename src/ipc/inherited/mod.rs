//! Data that the parent collects and that copiers (processes that copy) inherit by fork(2). Copiers only read
//! it.

pub mod digests;
pub mod link_groups;
pub mod prompt;
