//! Parallel directory copy for Linux.
//!
//! This library exists for the program `pcopy` (see `main.rs`), its tests and its benchmarks. Its modules
//! form layers: each module uses only modules of lower layers (`tests/it/layers.rs` checks that).
//! ARCHITECTURE.md describes how a copy proceeds through the layers.

// Code that copies data must not discard the result of a call; tests may.
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
