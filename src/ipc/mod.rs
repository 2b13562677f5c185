//! What the processes of a run share: the ring of tasks, shared memory, reports.

pub mod fingerprint;
pub mod inherited;
pub mod memory;
pub mod wire;
