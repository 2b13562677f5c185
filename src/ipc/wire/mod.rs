//! The byte formats of data that goes from one process to another: tasks through the ring, reports through a
//! pipe.

pub mod difference;
pub mod event;
pub mod fields;
pub mod frame_check;
pub mod task;
