//! The ring's tests: against a model, among threads, scribbled over, and woven by loom.

#[cfg(not(loom))]
mod model;
#[cfg(not(loom))]
mod scribble;
#[cfg(not(loom))]
mod threads;
#[cfg(loom)]
mod vanishing;
#[cfg(loom)]
mod weaving;
