//! Data that the processes of a run exchange: tasks, reports, shared memory, and memory that copiers inherit
//! by fork(2).
//!
//! The processes are one parent, which controls the run, and copiers, which copy.

pub mod fingerprint;
pub mod inherited;
pub mod memory;
pub mod wire;
