//! Whole file systems: reads their type and free space, and flushes them to stable storage.

use super::{Result, retry};
use nix::sys::statfs::{Statfs, fstatfs, statfs};
use nix::sys::statvfs::{Statvfs, fstatvfs, statvfs};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

/// The space of a file system that this user may still use.
#[derive(Clone, Copy, Debug)]
pub struct FreeSpace {
    /// The number of free bytes.
    pub bytes: u64,
    /// The number of free inodes; `None` if the file system has no fixed number of inodes.
    pub entries: Option<u64>,
}

/// Common types of file systems with their magic numbers: statfs(2) and `linux/magic.h`.
const TYPES: [(u32, &str); 22] = [
    (0xef53, "ext4"), // also ext2 and ext3
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
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
];

/// Returns the type of the file system of `path`, or its magic number if the type is not in `TYPES`.
pub fn kind(path: &Path) -> Result<String> {
    let magic = magic_of(&statfs(path)?);
    Ok(name_of(magic).map_or_else(|| format!("{magic:#x}"), str::to_owned))
}

/// Returns the magic number, which has 32 bits. The width and the sign of the field depend on the C library.
fn magic_of(found: &Statfs) -> u32 {
    found.filesystem_type().0 as u32
}

fn name_of(magic: u32) -> Option<&'static str> {
    TYPES.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

/// Returns the ID of the file system of `path`, which survives that another disk gets the same device number; 0 if it has
/// none.
pub fn id(path: &Path) -> Result<u64> {
    Ok(statvfs(path)?.filesystem_id())
}

/// Whether a file system of this type is in memory, without a disk to write to.
pub fn is_in_memory(kind: &str) -> bool {
    matches!(kind, "tmpfs" | "ramfs")
}

/// The magic number of `/proc`: `PROC_SUPER_MAGIC`.
const PROC: u32 = 0x9fa0;

/// Whether `path` is in `/proc`. Returns false if that cannot be found out.
pub fn is_proc(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| magic_of(&found) == PROC)
}

/// The types of file systems that do not support reflinks.
const WITHOUT_REFLINK: [&str; 5] = ["ext4", "tmpfs", "ramfs", "vfat", "exfat"];

/// Whether the file system of an open directory may support reflinks. Returns true for unknown types.
pub fn may_reflink(dir: impl AsFd) -> bool {
    !is_one_of(dir, &WITHOUT_REFLINK)
}

/// The types of file systems that store times in nanoseconds. (ext4 with inodes of 128 bytes does not, but shows
/// that in all its times.)
const EXACT_TIMES: [&str; 9] =
    ["ext4", "xfs", "btrfs", "tmpfs", "ramfs", "overlayfs", "zfs", "f2fs", "bcachefs"];

/// Whether the file system of an open file stores times in nanoseconds. Returns false for unknown types.
pub fn stores_nanoseconds(file: impl AsFd) -> bool {
    is_one_of(file, &EXACT_TIMES)
}

/// The types of file systems that take the time of a status change (ctime) from the clock of this kernel. Those of an
/// overlay come from its layers.
const KERNEL_CTIMES: [&str; 7] = ["ext4", "xfs", "btrfs", "f2fs", "zfs", "tmpfs", "overlayfs"];

/// Whether the file system of an open file takes ctimes from the clock of this kernel, and not from that of a
/// server. Returns false for unknown types.
pub fn has_kernel_ctimes(file: impl AsFd) -> bool {
    is_one_of(file, &KERNEL_CTIMES)
}

/// The types of file systems that list a name with the bytes that it was created with. (Some of them can ignore case in some
/// directories.)
const LIST_AS_CREATED: [&str; 7] = ["ext4", "xfs", "btrfs", "tmpfs", "ramfs", "f2fs", "overlayfs"];

/// Whether the file system of an open directory lists each name with the bytes that it was created with. Returns false for
/// unknown types.
pub fn lists_names_as_created(dir: impl AsFd) -> bool {
    is_one_of(dir, &LIST_AS_CREATED)
}

/// The types of network file systems.
const NETWORKS: [&str; 5] = ["nfs", "cifs", "smb2", "9p", "ceph"];

/// Whether an open directory is on a network file system. Returns false for unknown types.
pub fn is_network(dir: impl AsFd) -> bool {
    is_one_of(dir, &NETWORKS)
}

/// The types of file systems that one machine alone mounts.
const LOCAL: [&str; 12] = [
    "ext4",
    "xfs",
    "btrfs",
    "tmpfs",
    "ramfs",
    "overlayfs",
    "zfs",
    "f2fs",
    "vfat",
    "exfat",
    "ntfs3",
    "bcachefs",
];

/// Whether other machines may have mounted the file system of an open directory, too. Returns true for unknown
/// types, and for FUSE.
pub fn may_be_shared(dir: impl AsFd) -> bool {
    !is_one_of(dir, &LOCAL)
}

/// Whether an open directory is on a FUSE file system.
pub fn is_fuse(dir: impl AsFd) -> bool {
    is_one_of(dir, &["fuse"])
}

/// The types of file systems whose fcntl(2) locks exclude processes on all machines.
const LOCKING: [&str; 6] = ["nfs", "ceph", "lustre", "gpfs", "gfs2", "ocfs2"];

/// Whether fcntl(2) locks on an open file exclude processes on other machines. Returns false for unknown types,
/// and for a mount whose options say that its locks stay on this machine.
pub fn carries_locks(file: impl AsFd) -> bool {
    is_one_of(&file, &LOCKING) && !keeps_locks_here(file)
}

/// Whether the mount of an open file has NFS's option `nolock` or one of `local_lock`.
fn keeps_locks_here(file: impl AsFd) -> bool {
    let fd = file.as_fd().as_raw_fd();
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read(&format!("/proc/self/fdinfo/{fd}"));
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(str::trim);
    let mounts = read("/proc/self/mountinfo");
    let mount = mounts.lines().find(|line| line.split(' ').next() == id);
    let local = ["nolock", "local_lock=all", "local_lock=posix"];
    // Without /proc the options are unknown; then the locks count as local.
    mount.is_none_or(|mount| mount.split([' ', ',']).any(|option| local.contains(&option)))
}

fn is_one_of(dir: impl AsFd, names: &[&str]) -> bool {
    let name = fstatfs(dir).ok().and_then(|found| name_of(magic_of(&found)));
    name.is_some_and(|name| names.contains(&name))
}

/// Returns the free space of the file system of `path`.
pub fn free_space(path: &Path) -> Result<FreeSpace> {
    statvfs(path).map(|found| free_space_of(&found))
}

/// Returns the free space of the file system of an open directory.
pub fn free_space_at(dir: impl AsFd) -> Result<FreeSpace> {
    fstatvfs(dir).map(|found| free_space_of(&found))
}

fn free_space_of(found: &Statvfs) -> FreeSpace {
    let bytes = found.blocks_available().saturating_mul(found.fragment_size());
    // Some FUSE file systems (rclone) report no free inodes at all.
    let entries =
        (found.files() > 0 && found.files_available() > 0).then(|| found.files_available());
    FreeSpace { bytes, entries }
}

/// The types of file systems that store the data of a file in whole blocks, however short it is.
const IN_BLOCKS: [&str; 3] = ["ext4", "xfs", "tmpfs"];

/// Returns the size of the blocks in which the file system of an open directory stores the data of a file, in bytes; `None` if
/// it may store a short file in less.
pub fn block_bytes(dir: impl AsFd) -> Option<u64> {
    let is_known = is_one_of(&dir, &IN_BLOCKS);
    let found = fstatvfs(dir).ok().filter(|_| is_known)?;
    Some(found.fragment_size()).filter(|bytes| *bytes > 0)
}

/// Returns the number of free inodes of the file system of an open directory; `None` if it has no fixed number of inodes.
///
/// Unlike [`FreeSpace::entries`], that may be 0: the caller knows that the file system is full.
pub fn free_inodes(dir: impl AsFd) -> Result<Option<u64>> {
    let found = fstatvfs(dir)?;
    Ok((found.files() > 0).then(|| found.files_available()))
}

/// Flushes the file system that `file` is on to stable storage.
pub fn sync(file: impl AsFd) -> Result<()> {
    retry(|| nix::unistd::syncfs(&file))
}

/// Flushes all file systems to stable storage: sync(2). On Linux this call waits until the data is written.
pub fn sync_all() {
    nix::unistd::sync();
}
