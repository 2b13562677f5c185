//! Reads type, size, owner, times and identity of a file: stat(2).

use crate::{Errno, Result, retry};
use nix::fcntl::AtFlags;
use nix::sys::stat;
use nix::sys::time::TimeSpec;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

/// The type of a file, from a directory listing or from its mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A FIFO, a socket, or a block or character device.
    Special,
    /// The directory listing does not give the type; [`stat_at`] returns it.
    Unknown,
}

/// The result of stat(2).
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Stat(libc::stat);

/// A timestamp: seconds since the epoch, and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Stamp {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: i64,
}

/// Device and inode number, which together identify an inode on this machine.
pub type Identity = (u64, u64);

impl Stat {
    /// Returns the type of the file; never [`Kind::Unknown`].
    pub fn kind(&self) -> Kind {
        match self.type_bits() {
            libc::S_IFREG => Kind::File,
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFLNK => Kind::Symlink,
            _ => Kind::Special,
        }
    }

    /// Returns the permission bits with set-user-ID, set-group-ID and sticky bit: `mode & 07777`.
    pub fn permissions(&self) -> u32 {
        self.0.st_mode & 0o7777
    }

    /// Returns this status with other permission bits.
    pub fn with_permissions(mut self, permissions: u32) -> Self {
        self.0.st_mode = self.type_bits() | permissions & 0o7777;
        self
    }

    /// Returns file type and permission bits.
    pub fn mode(&self) -> u32 {
        self.0.st_mode
    }

    /// Returns the file type bits of the mode. Unlike [`Kind`], they distinguish a FIFO from a socket.
    pub fn type_bits(&self) -> u32 {
        self.0.st_mode & libc::S_IFMT
    }

    /// Whether the file is a FIFO.
    pub fn is_fifo(&self) -> bool {
        self.type_bits() == libc::S_IFIFO
    }

    /// Whether the file is a socket.
    pub fn is_socket(&self) -> bool {
        self.type_bits() == libc::S_IFSOCK
    }

    /// Whether the file is a block device.
    pub fn is_block_device(&self) -> bool {
        self.type_bits() == libc::S_IFBLK
    }

    /// Whether the file is a block or character device.
    pub fn is_device(&self) -> bool {
        matches!(self.type_bits(), libc::S_IFBLK | libc::S_IFCHR)
    }

    /// Whether the file is the null device, which `/dev/null` is, whatever its name.
    pub fn is_null_device(&self) -> bool {
        self.type_bits() == libc::S_IFCHR && self.device() == libc::makedev(1, 3)
    }

    /// Returns the size in bytes. For a symlink, this is the length of its target.
    pub fn size(&self) -> u64 {
        u64::try_from(self.0.st_size).unwrap_or(0)
    }

    /// Returns the device and inode number.
    pub fn identity(&self) -> Identity {
        (self.0.st_dev, self.0.st_ino)
    }

    /// Returns the number of hard links.
    pub fn links(&self) -> u64 {
        self.0.st_nlink
    }

    /// Returns the number of the device that a device file represents.
    pub fn device(&self) -> u64 {
        self.0.st_rdev
    }

    /// Returns the user ID of the owner.
    pub fn owner(&self) -> u32 {
        self.0.st_uid
    }

    /// Returns the group ID of the owner.
    pub fn group(&self) -> u32 {
        self.0.st_gid
    }

    /// Returns the time of the last access.
    pub fn accessed(&self) -> Stamp {
        Stamp { seconds: self.0.st_atime, nanoseconds: self.0.st_atime_nsec }
    }

    /// Whether the file's data was modified later than the data of `other`.
    pub fn is_newer_than(&self, other: &Stat) -> bool {
        let when = |stat: &Stat| (stat.0.st_mtime, stat.0.st_mtime_nsec);
        when(self) > when(other)
    }

    /// Returns the time of the last data modification.
    pub fn modified(&self) -> Stamp {
        Stamp { seconds: self.0.st_mtime, nanoseconds: self.0.st_mtime_nsec }
    }

    /// Returns the time of the last status change, which no program can set.
    pub fn changed(&self) -> Stamp {
        Stamp { seconds: self.0.st_ctime, nanoseconds: self.0.st_ctime_nsec }
    }

    /// Returns the number of allocated bytes, which is less than the size if the file has holes.
    pub fn allocated(&self) -> u64 {
        u64::try_from(self.0.st_blocks).unwrap_or(0).saturating_mul(512)
    }
}

/// What a directory says about the entries that are created in it.
#[derive(Clone, Copy, Debug)]
pub struct DirStat {
    /// The device of the file system that the directory is on.
    pub device: u64,
    /// The permission bits, with the set-ID and sticky bits.
    pub permissions: u32,
    /// Whether entries can be added, but neither renamed nor removed (`chattr +a`). False if the file system or
    /// the kernel does not say it.
    pub is_append_only: bool,
}

/// Returns the status of an open directory.
pub fn stat_dir(dir: BorrowedFd<'_>) -> Result<DirStat> {
    match statx(dir, c"", 0, libc::STATX_MODE) {
        Ok(found) => Ok(DirStat {
            device: libc::makedev(found.stx_dev_major, found.stx_dev_minor),
            permissions: u32::from(found.stx_mode) & 0o7777,
            is_append_only: found.stx_attributes & libc::STATX_ATTR_APPEND as u64 != 0,
        }),
        // A sandbox may not know statx(2).
        Err(_) => stat_fd(dir).map(|stat| DirStat {
            device: stat.identity().0,
            permissions: stat.permissions(),
            is_append_only: false,
        }),
    }
}

/// Whether an open directory is where something is mounted. Without an answer of the kernel (before Linux 5.8), it is if the
/// directory above is on another file system.
pub fn is_mount_point(dir: BorrowedFd<'_>) -> Result<bool> {
    let mount_root = libc::STATX_ATTR_MOUNT_ROOT as u64;
    match statx(dir, c"", 0, libc::STATX_MODE) {
        Ok(found) if found.stx_attributes_mask & mount_root != 0 => {
            Ok(found.stx_attributes & mount_root != 0)
        }
        _ => {
            let (here, above) = (stat_fd(dir)?.identity(), stat_at(dir, c"..")?.identity());
            Ok(here.0 != above.0 || here == above)
        }
    }
}

/// Returns the identity of the file `name` in a directory, or with an empty name that of the open file itself. A
/// network file system or FUSE asks its server, instead of answering from its cache. Does not follow a symlink.
pub fn fresh_identity(at: BorrowedFd<'_>, name: &CStr) -> Result<Identity> {
    let found = statx(at, name, libc::AT_STATX_FORCE_SYNC, libc::STATX_INO)?;
    Ok((libc::makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino))
}

/// Calls statx(2) for `name`, or with an empty name for the open file itself. Does not follow a symlink.
fn statx(at: BorrowedFd<'_>, name: &CStr, flags: i32, wanted: u32) -> Result<libc::statx> {
    let flags = flags | libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    retry(|| {
        let buffer = found.as_mut_ptr();
        // SAFETY: the name is a NUL-terminated string and the buffer has the type that the call fills; both
        // outlive the call.
        let result = unsafe { libc::statx(at.as_raw_fd(), name.as_ptr(), flags, wanted, buffer) };
        Errno::result(result)
    })?;
    // SAFETY: a structure of numbers may be all zeros, and the call has filled it.
    Ok(unsafe { found.assume_init() })
}

impl From<Stamp> for TimeSpec {
    fn from(stamp: Stamp) -> Self {
        TimeSpec::new(stamp.seconds, stamp.nanoseconds)
    }
}

/// Returns the status of an open file.
pub fn stat_fd(file: impl AsFd) -> Result<Stat> {
    with_stat(file, |stat| *stat)
}

/// Calls `look` with the status of an open file, and returns what `look` returns. For a status that is not kept: this
/// saves copying it (144 bytes on x86-64).
pub fn with_stat<T>(file: impl AsFd, look: impl FnOnce(&Stat) -> T) -> Result<T> {
    let (fd, mut found) = (file.as_fd().as_raw_fd(), MaybeUninit::uninit());
    // SAFETY: there is room for the status.
    retry(|| Errno::result(unsafe { libc::fstat(fd, found.as_mut_ptr()) }))?;
    let found = found.as_ptr().cast::<Stat>();
    // SAFETY: the call has succeeded, so it has written the status, and `Stat` is `repr(transparent)` over it.
    Ok(look(unsafe { &*found }))
}

/// Returns the type of an entry that a listing has shown with the type `listed`: asks for it if the listing does not have
/// types.
pub fn listed_kind(dir: impl AsFd, (listed, name): (Kind, &CStr)) -> Kind {
    match listed {
        Kind::Unknown => stat_at(dir, name).map_or(listed, |stat| stat.kind()),
        known => known,
    }
}

/// Returns the status of `name` in `dir`. If `name` is a symlink, returns the status of the symlink itself.
pub fn stat_at(dir: impl AsFd, name: &CStr) -> Result<Stat> {
    retry(|| stat::fstatat(&dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)).map(Stat)
}

/// Returns the status of `name` in `dir`. If `name` is a symlink, returns the status of the file that it
/// points to.
pub fn stat_at_following(dir: impl AsFd, name: &CStr) -> Result<Stat> {
    retry(|| stat::fstatat(&dir, name, AtFlags::empty())).map(Stat)
}

/// Returns the status of the user's `path`. Follows a symlink in the last component only if `follow` is set.
pub fn stat_path(path: &Path, follow: bool) -> Result<Stat> {
    retry(|| if follow { stat::stat(path) } else { stat::lstat(path) }).map(Stat)
}
