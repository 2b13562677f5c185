//! Whole file systems: their type, their free space, and flushing them to stable storage.

use super::{Result, retry};
use nix::sys::statfs::{Statfs, fstatfs, statfs};
use nix::sys::statvfs::{Statvfs, fstatvfs, statvfs};
use std::os::fd::AsFd;
use std::path::Path;

/// The free space of a file system that this user may use.
#[derive(Clone, Copy, Debug)]
pub struct FreeSpace {
    /// Bytes.
    pub bytes: u64,
    /// Inodes; `None` if the file system has no fixed number of them.
    pub entries: Option<u64>,
}

/// Common types of file systems by their magic numbers: statfs(2) and `linux/magic.h`.
const TYPES: [(u32, &str); 18] = [
    (0xef53, "ext4"), // ext2 and ext3, too
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x794c_7630, "overlayfs"),
    (0x6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x2fc1_2fc1, "zfs"),
    (0xf2f5_2010, "f2fs"),
    (0x6573_5546, "fuse"),
    (0x0102_1997, "9p"),
    (0x4d44, "vfat"),
    (0x2011_bab0, "exfat"),
    (0x7366_746e, "ntfs3"),
    (0xca45_1a4e, "bcachefs"),
    (0x00c3_6400, "ceph"),
];

/// The type of the file system of `path`, or its magic number if the type is not known here.
pub fn kind(path: &Path) -> Result<String> {
    let magic = magic_of(&statfs(path)?);
    Ok(name_of(magic).map_or_else(|| format!("{magic:#x}"), str::to_owned))
}

/// Magic numbers have 32 bits; the width and the sign of the field depend on the C library.
fn magic_of(found: &Statfs) -> u32 {
    found.filesystem_type().0 as u32
}

fn name_of(magic: u32) -> Option<&'static str> {
    TYPES.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

/// Whether a file system of this type has no disk to write to.
pub fn is_in_memory(kind: &str) -> bool {
    matches!(kind, "tmpfs" | "ramfs")
}

/// The types that have no reflinks.
const WITHOUT_REFLINK: [&str; 5] = ["ext4", "tmpfs", "ramfs", "vfat", "exfat"];

/// Whether the file system of an open directory may support reflinks: true for unknown types.
pub fn may_reflink(dir: impl AsFd) -> bool {
    !is_one_of(dir, &WITHOUT_REFLINK)
}

/// The types of network file systems.
const NETWORKS: [&str; 5] = ["nfs", "cifs", "smb2", "9p", "ceph"];

/// Whether an open directory is on a network file system: false for unknown types.
pub fn is_network(dir: impl AsFd) -> bool {
    is_one_of(dir, &NETWORKS)
}

fn is_one_of(dir: impl AsFd, names: &[&str]) -> bool {
    let name = fstatfs(dir).ok().and_then(|found| name_of(magic_of(&found)));
    name.is_some_and(|name| names.contains(&name))
}

/// The free space of the file system of `path`.
pub fn free_space(path: &Path) -> Result<FreeSpace> {
    statvfs(path).map(|found| free_space_of(&found))
}

/// The free space of the file system of an open directory.
pub fn free_space_at(dir: impl AsFd) -> Result<FreeSpace> {
    fstatvfs(dir).map(|found| free_space_of(&found))
}

fn free_space_of(found: &Statvfs) -> FreeSpace {
    let bytes = found.blocks_available().saturating_mul(found.fragment_size());
    let entries = (found.files() > 0).then(|| found.files_available());
    FreeSpace { bytes, entries }
}

/// Flushes the file system of `file` to stable storage.
pub fn sync(file: impl AsFd) -> Result<()> {
    retry(|| nix::unistd::syncfs(&file))
}

/// Flushes all file systems to stable storage: sync(2), which waits on Linux.
pub fn sync_all() {
    nix::unistd::sync();
}

pub use self::FreeSpace as Room; // old path, removed with the renaming
pub use self::free_space as room; // old path, removed with the renaming
pub use self::free_space_at as room_at; // old path, removed with the renaming
pub use self::is_network as is_on_network; // old path, removed with the renaming
pub use self::may_reflink as may_share_bytes; // old path, removed with the renaming
