//! The ring's tests: against a model, among threads, scribbled over, and woven by loom.

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
