//! Tests that a busy machine disturbs: signals, kills, deaths, progress, retries, measurements.
//!
//! They run one at a time, whatever `--test-threads` says: with its first sandbox (`common::run_alone`), a
//! test takes a lock of the whole test program, and holds it until the test ends.

#[cfg(feature = "bench")]
mod bench;
#[allow(dead_code, unused_imports, unused_macros)] // it uses a part
#[path = "../common/mod.rs"]
mod common;
mod compat_kills;
mod dead_disk;
mod deaths;
mod kills;
mod large_shared;
mod processes;
mod progress;
mod retries;
mod signals;
#[path = "../common/terminal.rs"]
mod terminal;
