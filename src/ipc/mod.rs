//! Data that the processes of a run exchange: tasks, reports, shared memory, and memory that copiers inherit
//! by fork(2).
//!
//! The processes are one parent, which controls the run, and copiers, which copy.

pub(crate) mod fingerprint;
pub(crate) mod in_parent;
pub(crate) mod inherited;
pub(crate) mod memory;
pub(crate) mod wire;
