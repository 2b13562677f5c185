//! Files, directories and names: one function for each system call, without decisions about what to copy.
//!
//! A file that is created, changed or removed is named by an open directory and a name in it. Only
//! [`open_dir_beneath`] and its variants, which follow no symlink, and [`open_dir_following`], which follows
//! them, open paths of several components. Functions with a [`Path`] parameter are for paths that the user
//! gave. All descriptors are close-on-exec.
//!
//! [`Path`]: std::path::Path

mod beneath;
mod dir_entry;
mod flock;
mod metadata;
mod open;
mod read_write;
mod stat;

pub use beneath::*;
pub use dir_entry::*;
pub use flock::*;
pub use metadata::*;
pub use open::*;
pub use read_write::*;
pub use stat::*;

/// The length of the longest path that the kernel accepts in one call, with the final NUL: `PATH_MAX`.
pub const PATH_BYTES_MAX: usize = 4096;

/// The length of the longest name that common file systems accept: `NAME_MAX`.
pub const NAME_BYTES_MAX: usize = 255;
