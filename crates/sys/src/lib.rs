//! The kernel's interface as pcopy uses it: one function for each system call, without decisions about what
//! to copy.
//!
//! Only this crate uses `nix`, `libc` and `memmap2`. Errors are the kernel's own numbers ([`Errno`]); the
//! callers decide what an error means for a run.
// Unsafe code is needed for system calls that nix lacks, and for memory shared with other processes.
#![allow(unsafe_code)]
// Ignored results are forbidden in the code that moves data; tests may ignore results.
#![cfg_attr(not(test), deny(clippy::let_underscore_must_use))]

pub mod accounts;
pub mod dir_reader;
mod exit;
pub mod file;
pub mod file_data;
pub mod futex;
pub mod getopt;
pub mod host;
pub mod lock_holders;
pub mod mounts;
pub mod pattern;
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

pub use exit::exit;
pub use nix::errno::Errno;

/// The result of a system call.
pub type Result<T> = std::result::Result<T, Errno>;

/// Returns the C library's message for an error, such as `Permission denied`.
pub fn describe(errno: Errno) -> String {
    let error = std::io::Error::from(errno).to_string();
    // The standard library appends the error number, as in "Permission denied (os error 13)". It is removed
    // here.
    error.split(" (os error").next().unwrap_or(&error).to_owned()
}

/// Repeats `call` while it fails with `EINTR`. On FUSE and network file systems any call may be interrupted,
/// also when the user suspends and resumes the run.
fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}
