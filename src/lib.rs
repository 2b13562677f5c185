//! pcopy copies a folder with several processes.
//!
//! The library exists for the program `pcopy` (see `main.rs`), its tests and its benches.
//! Its modules are floors: each uses only the floors below it (`tests/layers.rs` checks that).

pub mod ipc;
pub mod sys;
