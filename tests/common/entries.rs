//! Creates entries and sets attributes that `std` cannot, and reads attributes that tests compare.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// A time: seconds since 1970, which may be negative, and nanoseconds.
pub(crate) type Time = (i64, i64);

/// Creates a `fifo`, a `socket`, or a `char` or `block` device.
pub(crate) fn node(path: &Path, kind: &str, major: u64, minor: u64) {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    let kind = match kind {
        "fifo" => SFlag::S_IFIFO,
        "socket" => SFlag::S_IFSOCK,
        "char" => SFlag::S_IFCHR,
        "block" => SFlag::S_IFBLK,
        other => panic!("{other:?} is no kind of node"),
    };
    mknod(path, kind, Mode::from_bits_truncate(0o600), makedev(major, minor)).unwrap();
}

/// Creates a symlink. Returns false if the text is too long for the file system; some allow only 1023 bytes.
pub(crate) fn symlink_if_it_fits(text: impl AsRef<OsStr>, path: &Path) -> bool {
    match std::os::unix::fs::symlink(text.as_ref(), path) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidFilename => false,
        done => done.map(|()| true).unwrap(),
    }
}

/// Sets the times of an entry. If the entry is a symlink, sets the times of the symlink itself.
pub(crate) fn set_times(path: &Path, accessed: Time, modified: Time) {
    use nix::sys::{stat, time::TimeSpec};
    let spec = |time: Time| TimeSpec::new(time.0, time.1);
    let nofollow = stat::UtimensatFlags::NoFollowSymlink;
    stat::utimensat(nix::fcntl::AT_FDCWD, path, &spec(accessed), &spec(modified), nofollow)
        .unwrap();
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Returns the permission bits of an entry, with the set-ID bits and the sticky bit.
pub(crate) fn mode_of(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

pub(crate) fn modified(path: impl AsRef<Path>) -> Time {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.mtime(), metadata.mtime_nsec())
}

pub(crate) fn inode(path: impl AsRef<Path>) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

pub(crate) fn exists(path: impl AsRef<Path>) -> bool {
    fs::symlink_metadata(path).is_ok()
}
