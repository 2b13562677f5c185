//! The ring's tests: against a model, with garbage in the ring's memory, with threads, and under loom.

#[cfg(loom)]
mod deaths_at_each_step;
#[cfg(loom)]
mod interleavings;
#[cfg(not(loom))]
mod queue_model;
#[cfg(not(loom))]
mod scribble;
#[cfg(not(loom))]
mod threads;
