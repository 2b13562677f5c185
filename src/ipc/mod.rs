//! What the processes of a run share: tasks and reports, shared memory, what copiers inherit by fork(2).

pub mod fingerprint;
pub mod inherited;
pub mod memory;
pub mod wire;
