//! Parallel directory copy for Linux.
//!
//! The library exists for the program `pcopy` (see `main.rs`), its tests and its benches.
//! Its modules are floors: each uses only the floors below it (`tests/it/layers.rs` checks that).
//! ARCHITECTURE.md tells how a copy goes through them.

// In the data path no result may be dropped unseen; tests may.
#![cfg_attr(not(test), deny(clippy::let_underscore_must_use))]
#![forbid(unsafe_code)]

#[cfg(feature = "bench")]
pub mod bench;
pub mod cli;
pub mod copier;
pub mod error;
pub mod hash;
pub mod ipc;
pub mod manifest;
pub mod options;
pub mod outcome;
pub mod parent;
pub mod plan;
pub mod policy;
pub mod sanitize;
pub mod shell_quote;
pub mod staging;
pub mod ui;
