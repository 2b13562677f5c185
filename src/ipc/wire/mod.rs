//! The byte formats of data that goes from one process to another: tasks through the ring, reports through a
//! pipe.

pub(crate) mod difference;
pub(crate) mod event;
pub(crate) mod extraneous;
pub(crate) mod fields;
pub(crate) mod frame_check;
pub(crate) mod itemized;
pub(crate) mod planned;
pub(crate) mod task;
