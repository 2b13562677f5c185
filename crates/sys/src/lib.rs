//! The kernel's interface as pcopy uses it: one function per system call, no policy.
//!
//! `nix`, `libc` and `memmap2` are used here and nowhere else. Errors are the kernel's own
//! numbers ([`Errno`]); the callers decide what they mean for a run.
// System calls that nix lacks, and memory shared with other processes.
#![allow(unsafe_code)]
// In the data path no result may be ignored; tests may.
#![cfg_attr(not(test), deny(clippy::let_underscore_must_use))]

pub mod dir_reader;
mod exit;
pub mod file;
pub mod file_data;
pub mod futex;
pub mod getopt;
pub mod poll;
pub mod process;
pub mod record_lock;
pub mod selinux;
pub mod shared_memory;
pub mod shared_words;
pub mod signals;
pub mod statfs;
pub mod stdio;
pub mod terminal_size;
pub mod xattr;

pub use dir_reader as listing; // old path, removed with the renaming
pub use file_data as bytes; // old path, removed with the renaming
pub use record_lock as turns; // old path, removed with the renaming
pub use selinux as context; // old path, removed with the renaming
pub use shared_words as words; // old path, removed with the renaming
pub use statfs as volume; // old path, removed with the renaming
pub use terminal_size as terminal; // old path, removed with the renaming

pub use exit::exit;
pub use nix::errno::Errno;

/// What a system call returns.
pub type Result<T> = std::result::Result<T, Errno>;

/// The message of the C library for an error: `Permission denied`.
pub fn describe(errno: Errno) -> String {
    let error = std::io::Error::from(errno).to_string();
    // The standard library adds the number: "Permission denied (os error 13)".
    error.split(" (os error").next().unwrap_or(&error).to_owned()
}

/// Repeats `call` while it fails with `EINTR`. On FUSE and network file systems any call may be
/// interrupted, also by suspending and resuming the run.
fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}
