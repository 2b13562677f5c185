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
#[allow(dead_code)] // `it` uses all of it
#[path = "../common/failing.rs"]
mod failing;
mod kills;
mod large_shared;
#[path = "../common/limited.rs"]
mod limited;
mod processes;
mod progress;
mod retries;
mod signals;
mod single_process;
#[path = "../common/terminal.rs"]
mod terminal;
mod timeouts;
