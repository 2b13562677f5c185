//! File systems as a whole: what they are, how much room they have, and to the disk with them.

use super::{Result, retry};
use nix::sys::statfs::{Statfs, fstatfs, statfs};
use nix::sys::statvfs::{Statvfs, fstatvfs, statvfs};
use std::os::fd::AsFd;
use std::path::Path;

/// What is left on a file system for this user.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Bytes.
    pub bytes: u64,
    /// Entries; `None` where the file system makes room for them as they come.
    pub entries: Option<u64>,
}

/// The kinds that people copy between, by their numbers (statfs(2) and `linux/magic.h`).
const KINDS: [(i64, &str); 18] = [
    (0xef53, "ext4"), // ext2 and ext3 have the same number
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

/// The kind of file system that `path` lies on, or its number where it is not known here.
pub fn kind(path: &Path) -> Result<String> {
    let number = number_of(&statfs(path)?);
    Ok(name_of(number).map_or_else(|| format!("{number:#x}"), str::to_owned))
}

fn number_of(found: &Statfs) -> i64 {
    #[allow(clippy::useless_conversion, reason = "the type differs between C libraries")]
    i64::from(found.filesystem_type().0)
}

fn name_of(number: i64) -> Option<&'static str> {
    KINDS.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// Whether a file system of this kind has no disk to write to.
pub fn is_in_memory(kind: &str) -> bool {
    matches!(kind, "tmpfs" | "ramfs")
}

/// Those of them in which no two files share their bytes.
const WITHOUT_CLONES: [&str; 5] = ["ext4", "tmpfs", "ramfs", "vfat", "exfat"];

/// Whether files on the file system of an open directory may share their bytes, as far as is known.
pub fn may_share_bytes(dir: impl AsFd) -> bool {
    !is_one_of(dir, &WITHOUT_CLONES)
}

/// Those of them that lie elsewhere.
const NETWORKS: [&str; 5] = ["nfs", "cifs", "smb2", "9p", "ceph"];

/// Whether an open directory lies on another machine, as far as is known.
pub fn is_on_network(dir: impl AsFd) -> bool {
    is_one_of(dir, &NETWORKS)
}

fn is_one_of(dir: impl AsFd, names: &[&str]) -> bool {
    let name = fstatfs(dir).ok().and_then(|found| name_of(number_of(&found)));
    name.is_some_and(|name| names.contains(&name))
}

/// How much room is left where `path` lies.
pub fn room(path: &Path) -> Result<Room> {
    statvfs(path).map(|said| room_of(&said))
}

/// How much room is left where an open directory lies.
pub fn room_at(dir: impl AsFd) -> Result<Room> {
    fstatvfs(dir).map(|said| room_of(&said))
}

fn room_of(said: &Statvfs) -> Room {
    let bytes = said.blocks_available().saturating_mul(said.fragment_size());
    let entries = (said.files() > 0).then(|| said.files_available());
    Room { bytes, entries }
}

/// Writes all that waits in memory for the file system of `file` to its disk.
pub fn sync(file: impl AsFd) -> Result<()> {
    retry(|| nix::unistd::syncfs(&file))
}

/// Writes all that waits in memory for any disk.
pub fn sync_all() {
    nix::unistd::sync();
}
