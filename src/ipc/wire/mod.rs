//! What crosses a process border as bytes: tasks through the ring, reports through a pipe.

pub mod difference;
pub mod event;
pub mod fields;
pub mod frame_check;
pub mod task;
