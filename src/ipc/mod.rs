//! What the processes of a run share: the ring of tasks, the counters, the reports.

pub mod ring;
