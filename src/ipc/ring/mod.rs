//! The task ring.
