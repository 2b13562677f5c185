//! The kernel in our words: one call each, no policy.
//!
//! `nix`, `libc` and `memmap2` are used here and nowhere else. Errors are the kernel's own
//! numbers ([`Errno`]); what they mean for a run is decided above.
// System calls that nix lacks, and memory shared with other processes.
#![allow(unsafe_code)]
// In the data path no result may be dropped unseen; tests may.
#![cfg_attr(not(test), deny(clippy::let_underscore_must_use))]

pub mod bytes;
pub mod context;
pub mod file;
pub mod futex;
pub mod getopt;
pub mod listing;
pub mod memory;
pub mod poll;
pub mod process;
pub mod signals;
pub mod stdio;
pub mod terminal;
pub mod turns;
pub mod volume;
pub mod words;
pub mod xattr;

pub use nix::errno::Errno;

/// What a system call returns.
pub type Result<T> = std::result::Result<T, Errno>;

/// Says why, as the C library does: `Permission denied`.
pub fn describe(errno: Errno) -> String {
    let error = std::io::Error::from(errno).to_string();
    // The standard library adds the number: "Permission denied (os error 13)".
    error.split(" (os error").next().unwrap_or(&error).to_owned()
}

/// Does `call` again for as long as a signal gets in its way: on FUSE and network disks that may be any
/// call, also when a run is halted and goes on.
fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}
