//! What a file is, from `stat` or from a directory listing.

use crate::{Result, retry};
use nix::fcntl::AtFlags;
use nix::sys::stat;
use nix::sys::time::TimeSpec;
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::Path;

/// What an entry is, from a directory listing or from its mode.
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
    /// The listing did not say; ask [`stat_at`].
    Unknown,
}

/// What `stat` says of an entry.
#[derive(Clone, Copy)]
pub struct Stat(libc::stat);

/// A time stamp, in seconds since the epoch and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: i64,
}

/// The two numbers that make an inode unique on this machine.
pub type Identity = (u64, u64);

impl Stat {
    /// What the entry is; never [`Kind::Unknown`].
    pub fn kind(&self) -> Kind {
        match self.type_bits() {
            libc::S_IFREG => Kind::File,
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFLNK => Kind::Symlink,
            _ => Kind::Special,
        }
    }

    /// Permission bits with set-user-id, set-group-id and sticky: `mode & 07777`.
    pub fn permissions(&self) -> u32 {
        self.0.st_mode & 0o7777
    }

    /// Type and permission bits.
    pub fn mode(&self) -> u32 {
        self.0.st_mode
    }

    /// The bits of the mode that say what the entry is; they tell a FIFO from a socket.
    pub fn type_bits(&self) -> u32 {
        self.0.st_mode & libc::S_IFMT
    }

    /// Whether it is a FIFO.
    pub fn is_fifo(&self) -> bool {
        self.type_bits() == libc::S_IFIFO
    }

    /// Length in bytes; of a symlink, that of its text.
    pub fn size(&self) -> u64 {
        u64::try_from(self.0.st_size).unwrap_or(0)
    }

    /// Device and inode number.
    pub fn identity(&self) -> Identity {
        (self.0.st_dev, self.0.st_ino)
    }

    /// How many names it has.
    pub fn links(&self) -> u64 {
        self.0.st_nlink
    }

    /// Which device a device file stands for.
    pub fn device(&self) -> u64 {
        self.0.st_rdev
    }

    /// The user who owns it.
    pub fn owner(&self) -> u32 {
        self.0.st_uid
    }

    /// The group that owns it.
    pub fn group(&self) -> u32 {
        self.0.st_gid
    }

    /// Last access.
    pub fn accessed(&self) -> Stamp {
        Stamp { seconds: self.0.st_atime, nanoseconds: self.0.st_atime_nsec }
    }

    /// Whether its contents were changed later than the other's.
    pub fn is_newer_than(&self, other: &Stat) -> bool {
        let when = |stat: &Stat| (stat.0.st_mtime, stat.0.st_mtime_nsec);
        when(self) > when(other)
    }

    /// Last change of the contents.
    pub fn modified(&self) -> Stamp {
        Stamp { seconds: self.0.st_mtime, nanoseconds: self.0.st_mtime_nsec }
    }

    /// Last change of anything, which nobody can set.
    pub fn changed(&self) -> Stamp {
        Stamp { seconds: self.0.st_ctime, nanoseconds: self.0.st_ctime_nsec }
    }

    /// Bytes that take room; less than the size if there are holes.
    pub fn allocated(&self) -> u64 {
        u64::try_from(self.0.st_blocks).unwrap_or(0).saturating_mul(512)
    }
}

impl From<Stamp> for TimeSpec {
    fn from(stamp: Stamp) -> Self {
        TimeSpec::new(stamp.seconds, stamp.nanoseconds)
    }
}

/// What an open file is.
pub fn stat_fd(file: impl AsFd) -> Result<Stat> {
    retry(|| stat::fstat(&file)).map(Stat)
}

/// What `name` in `dir` is; a symlink is itself.
pub fn stat_at(dir: impl AsFd, name: &CStr) -> Result<Stat> {
    retry(|| stat::fstatat(&dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)).map(Stat)
}

/// What `name` in `dir` leads to, if it is a symlink.
pub fn stat_at_following(dir: impl AsFd, name: &CStr) -> Result<Stat> {
    retry(|| stat::fstatat(&dir, name, AtFlags::empty())).map(Stat)
}

/// What the user's `path` is; symlinks are followed only if `follow`.
pub fn stat_path(path: &Path, follow: bool) -> Result<Stat> {
    retry(|| if follow { stat::stat(path) } else { stat::lstat(path) }).map(Stat)
}
