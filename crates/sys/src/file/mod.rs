//! Files, directories and names: one system call each, no policy.
//!
//! Everything that is created, changed or removed is named by a directory that is already open
//! and one component below it; a path of several components is only ever opened through
//! [`open_dir_beneath`], which follows no symlink. All descriptors are close-on-exec.

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

/// The longest path that the kernel takes in one call, with its final NUL: `PATH_MAX`.
pub const PATH_BYTES_MAX: usize = 4096;

/// The longest single name that any common file system takes: `NAME_MAX`.
pub const NAME_BYTES_MAX: usize = 255;

pub use beneath::open_dir_beneath_noatime as open_dir_untouched; // old path, removed with the renaming
pub use beneath::open_dir_path_beneath as reach_dir_beneath; // old path, removed with the renaming
pub use dir_entry::move_noreplace as move_new; // old path, removed with the renaming
pub use dir_entry::rename as replace; // old path, removed with the renaming
pub use dir_entry::rename_noreplace as rename_new; // old path, removed with the renaming
pub use open::create_through_symlink as create_through; // old path, removed with the renaming
pub use open::open_noatime as open_untouched; // old path, removed with the renaming
pub use stat::stat_at_following as stat_at_end; // old path, removed with the renaming
