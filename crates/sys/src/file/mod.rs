//! Files, directories and names: one system call each, no policy.
//!
//! A file that is created, changed or removed is given by an open directory and a name in it. A path
//! of several components is only opened with [`open_dir_beneath`] and its variants, which follow no
//! symlink, or with [`open_dir_following`], which says so. Functions that take a [`Path`] are for paths that
//! the user gave. All descriptors are close-on-exec.
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

/// The longest path that the kernel accepts in one call, with the final NUL: `PATH_MAX`.
pub const PATH_BYTES_MAX: usize = 4096;

/// The longest name that common file systems accept: `NAME_MAX`.
pub const NAME_BYTES_MAX: usize = 255;

pub use beneath::open_dir_beneath_noatime as open_dir_untouched; // old path, removed with the renaming
pub use beneath::open_dir_path_beneath as reach_dir_beneath; // old path, removed with the renaming
pub use dir_entry::move_noreplace as move_new; // old path, removed with the renaming
pub use dir_entry::rename as replace; // old path, removed with the renaming
pub use dir_entry::rename_noreplace as rename_new; // old path, removed with the renaming
pub use open::create_through_symlink as create_through; // old path, removed with the renaming
pub use open::open_noatime as open_untouched; // old path, removed with the renaming
pub use stat::stat_at_following as stat_at_end; // old path, removed with the renaming
