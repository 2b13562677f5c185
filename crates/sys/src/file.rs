//! Files, directories and names: one system call each, no policy.
//!
//! Everything that is created, changed or removed is named by a directory that is already open
//! and one component below it; a path of several components is only ever opened through
//! [`open_dir_beneath`], which follows no symlink. All descriptors are close-on-exec.

use super::{Result, retry};
use nix::errno::Errno;
use nix::fcntl::{self, AtFlags, OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::{self, Mode, SFlag, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{self, AccessFlags, Gid, Uid, UnlinkatFlags};
use std::ffi::{CStr, CString, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// The longest path that the kernel takes in one call, with its final NUL: `PATH_MAX`.
pub const PATH_BYTES_MAX: usize = 4096;

/// The longest single name that any common file system takes: `NAME_MAX`.
pub const NAME_BYTES_MAX: usize = 255;

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

/// An entry whose owner or attributes are meant.
#[derive(Clone, Copy)]
pub enum Node<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// What has this name in a directory; a symlink is itself.
    Named(BorrowedFd<'a>, &'a CStr),
}

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

/// Opens a directory that the user named, to reach what is in it; this one call follows symlinks.
///
/// A directory that may be passed through but not read (`0711`) is opened as a path only, which is
/// enough for all but listing and locking it.
pub fn open_dir(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let open = |flags| retry(|| fcntl::open(path, flags, Mode::empty()));
    match open(OFlag::O_RDONLY | flags) {
        Err(Errno::EACCES) => open(OFlag::O_PATH | flags),
        result => result,
    }
}

/// Whether the effective user may list the directory at `path`, which is followed.
pub fn may_read_dir(path: &Path) -> Result<()> {
    let access = AccessFlags::R_OK | AccessFlags::X_OK;
    retry(|| unistd::faccessat(fcntl::AT_FDCWD, path, access, AtFlags::AT_EACCESS))
}

/// Opens the directory `name` in `dir`; a symlink is `ENOTDIR`.
pub fn open_dir_at(dir: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    retry(|| fcntl::openat(&dir, name, DIRECTORY, Mode::empty()))
}

const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Opens the directory at `path`, which may be longer than `PATH_MAX`, below `root`.
///
/// No component may be a symlink or lead out of `root`, whoever swaps what meanwhile.
pub fn open_dir_beneath(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    open_beneath(root, path, DIRECTORY)
}

/// The same, only to reach what is in it by name: it need not be readable, and cannot be listed.
pub fn reach_dir_beneath(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    open_beneath(root, path, DIRECTORY.union(OFlag::O_PATH))
}

/// The same as [`open_dir_beneath`], without leaving a time of access if we may: it must be our own.
pub fn open_dir_untouched(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    match open_beneath(root, path, DIRECTORY.union(OFlag::O_NOATIME)) {
        Err(Errno::EPERM) => open_beneath(root, path, DIRECTORY),
        result => result,
    }
}

fn open_beneath(root: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> Result<OwnedFd> {
    let mut rest = path;
    let mut opened: Option<OwnedFd> = None;
    while !rest.is_empty() || opened.is_none() {
        let (head, tail) = split_path(rest);
        let base = opened.as_ref().map_or(root, AsFd::as_fd);
        opened = Some(open_piece(base, head, flags)?);
        rest = tail;
    }
    opened.ok_or(Errno::EINVAL)
}

/// Opens the directory at `path`, which may be longer than `PATH_MAX`, wherever symlinks lead.
pub fn open_dir_following(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut rest = path;
    let mut opened: Option<OwnedFd> = None;
    while !rest.is_empty() || opened.is_none() {
        let (head, tail) = split_path(rest);
        let base = opened.as_ref().map_or(root, AsFd::as_fd);
        let head = if head.is_empty() { b"." } else { head };
        opened = Some(retry(|| fcntl::openat(base, head, flags, Mode::empty()))?);
        rest = tail;
    }
    opened.ok_or(Errno::EINVAL)
}

/// Cuts `path` at a slash so that the first part is short enough for one call.
fn split_path(path: &[u8]) -> (&[u8], &[u8]) {
    if path.len() < PATH_BYTES_MAX {
        return (path, &[]);
    }
    match path[..PATH_BYTES_MAX].iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (path, &[]), // one name of 4 KiB: the kernel will say ENAMETOOLONG
    }
}

/// How often a path is tried while others rename; who says the same more often means something else.
const TRIES_MAX: u32 = 1000;

fn open_piece(base: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let how = OpenHow::new().flags(flags).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS,
    );
    let mut tries = 0;
    loop {
        tries += 1;
        match retry(|| fcntl::openat2(base, path, how)) {
            // A rename somewhere on the system while ".." was looked at; openat2(2) says try again.
            Err(Errno::EAGAIN) if tries < TRIES_MAX => {}
            // Linux before 5.6, or a sandbox that does not know the call.
            Err(Errno::ENOSYS | Errno::EPERM) => return open_by_component(base, path, flags),
            result => return result,
        }
    }
}

fn open_by_component(base: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> Result<OwnedFd> {
    let mut opened: Option<OwnedFd> = None;
    for name in path.split(|&byte| byte == b'/') {
        if name == b".." {
            return Err(Errno::EXDEV); // what RESOLVE_BENEATH says of a way out
        }
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let parent = opened.as_ref().map_or(base, AsFd::as_fd);
        opened = Some(retry(|| fcntl::openat(parent, name.as_c_str(), flags, Mode::empty()))?);
    }
    opened.ok_or(Errno::EINVAL)
}

/// Opens the parent of an open directory.
pub fn open_parent(dir: impl AsFd) -> Result<OwnedFd> {
    retry(|| fcntl::openat(&dir, c"..", DIRECTORY, Mode::empty()))
}

/// Opens a source file for reading.
///
/// Follows a symlink only if `follow`, never waits for the other end of a FIFO, never takes a
/// terminal.
pub fn open_source(dir: impl AsFd, name: &CStr, follow: bool) -> Result<OwnedFd> {
    let nofollow = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    open_to_read(dir, name, nofollow)
}

fn open_to_read(dir: impl AsFd, name: &CStr, more: OFlag) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    retry(|| fcntl::openat(&dir, name, flags | more, Mode::empty()))
}

/// Opens a file to read it without leaving a time of access, if we may: it must be our own.
///
/// Never follows a symlink, never waits for the other end of a FIFO.
pub fn open_untouched(dir: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    match open_to_read(&dir, name, OFlag::O_NOFOLLOW | OFlag::O_NOATIME) {
        Err(Errno::EPERM) => open_to_read(&dir, name, OFlag::O_NOFOLLOW),
        result => result,
    }
}

/// Opens a source to read it whatever it is: a FIFO waits for its writer, a terminal for its user.
pub fn open_stream(dir: impl AsFd, name: &CStr, follow: bool) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let nofollow = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    retry(|| fcntl::openat(&dir, name, flags | nofollow, Mode::empty()))
}

/// Opens a file that is there for writing, and cuts nothing off; a symlink is followed only if
/// `follow`, and is `ELOOP` otherwise.
pub fn open_target(dir: impl AsFd, name: &CStr, follow: bool) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let nofollow = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    retry(|| fcntl::openat(&dir, name, flags | nofollow, Mode::empty()))
}

/// Opens a file that another copier writes, to write in it, too. Never waits: what has the name by now
/// may be a FIFO.
pub fn open_shared_target(dir: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY
        | OFlag::O_NOCTTY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_CLOEXEC;
    retry(|| fcntl::openat(&dir, name, flags, Mode::empty()))
}

/// Creates the file that the symlink `name` leads to, open for writing.
pub fn create_through(dir: impl AsFd, name: &CStr, permissions: u32) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    retry(|| fcntl::openat(&dir, name, flags, Mode::from_bits_truncate(permissions)))
}

/// Whether the effective user may write the file `name`, which is followed.
pub fn may_write_at(dir: impl AsFd, name: &CStr) -> bool {
    retry(|| unistd::faccessat(&dir, name, AccessFlags::W_OK, AtFlags::AT_EACCESS)).is_ok()
}

/// Opens what has the user's `path` for writing and cuts nothing off; symlinks are followed.
pub fn open_to_write(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    retry(|| fcntl::open(path, flags, Mode::empty()))
}

/// Creates a file that must not exist, open for writing.
pub fn create_file(dir: impl AsFd, name: &CStr, permissions: u32) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY
        | OFlag::O_CREAT
        | OFlag::O_EXCL
        | OFlag::O_NOFOLLOW
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    retry(|| fcntl::openat(&dir, name, flags, Mode::from_bits_truncate(permissions)))
}

/// Closes a descriptor and tells what the kernel says: a full network disk may say it only here.
pub fn close(file: OwnedFd) -> Result<()> {
    match unistd::close(file) {
        // Linux has closed it all the same; to close again would hit somebody else's number.
        Err(Errno::EINTR) => Ok(()),
        result => result,
    }
}

/// Waits until the disk has all of an open file, or directory, that was written until now.
pub fn sync(file: impl AsFd) -> Result<()> {
    retry(|| unistd::fsync(file.as_fd()))
}

/// Reads up to `buffer.len()` bytes; 0 at the end.
pub fn read(file: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    retry(|| unistd::read(file.as_fd(), buffer))
}

/// Writes all of `bytes`; a write of nothing counts as an I/O error.
pub fn write_all(file: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match write(&file, bytes)? {
            0 => return Err(Errno::EIO),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}

/// Writes some of `bytes` and says how many.
pub fn write(file: impl AsFd, bytes: &[u8]) -> Result<usize> {
    retry(|| unistd::write(file.as_fd(), bytes))
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
pub fn stat_at_end(dir: impl AsFd, name: &CStr) -> Result<Stat> {
    retry(|| stat::fstatat(&dir, name, AtFlags::empty())).map(Stat)
}

/// What the user's `path` is; symlinks are followed only if `follow`.
pub fn stat_path(path: &Path, follow: bool) -> Result<Stat> {
    retry(|| if follow { stat::stat(path) } else { stat::lstat(path) }).map(Stat)
}

/// Makes a directory.
pub fn make_dir(dir: impl AsFd, name: &CStr, permissions: u32) -> Result<()> {
    retry(|| stat::mkdirat(&dir, name, Mode::from_bits_truncate(permissions)))
}

/// Makes a directory at the user's `path`, the part before the last component of which is followed.
pub fn make_dir_at_path(path: &Path, permissions: u32) -> Result<()> {
    retry(|| stat::mkdirat(fcntl::AT_FDCWD, path, Mode::from_bits_truncate(permissions)))
}

/// Makes a FIFO, a socket or a device, as `like` is one.
pub fn make_node(dir: impl AsFd, name: &CStr, like: &Stat, permissions: u32) -> Result<()> {
    let kind = SFlag::from_bits_truncate(like.type_bits());
    retry(|| stat::mknodat(&dir, name, kind, Mode::from_bits_truncate(permissions), like.device()))
}

/// Makes a symlink that says `text`.
pub fn make_symlink(text: &CStr, dir: impl AsFd, name: &CStr) -> Result<()> {
    retry(|| unistd::symlinkat(text, &dir, name))
}

/// The text of a symlink.
pub fn read_symlink(dir: impl AsFd, name: &CStr) -> Result<OsString> {
    retry(|| fcntl::readlinkat(&dir, name))
}

/// Removes a name that is not a directory.
pub fn unlink(dir: impl AsFd, name: &CStr) -> Result<()> {
    retry(|| unistd::unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir))
}

/// Removes an empty directory.
pub fn remove_dir(dir: impl AsFd, name: &CStr) -> Result<()> {
    retry(|| unistd::unlinkat(&dir, name, UnlinkatFlags::RemoveDir))
}

/// Gives an entry that is not a directory a second name; `EEXIST` if it is taken. A symlink is itself
/// unless `follow`.
pub fn link(
    from: BorrowedFd<'_>,
    name: &CStr,
    to: BorrowedFd<'_>,
    second: &CStr,
    follow: bool,
) -> Result<()> {
    let flags = if follow { AtFlags::AT_SYMLINK_FOLLOW } else { AtFlags::empty() };
    retry(|| unistd::linkat(from, name, to, second, flags))
}

/// Renames within one directory, in place of whatever file has the new name.
pub fn replace(dir: impl AsFd, from: &CStr, to: &CStr) -> Result<()> {
    retry(|| fcntl::renameat(dir.as_fd(), from, dir.as_fd(), to))
}

/// Renames within one directory; `EEXIST` if the new name is taken.
pub fn rename_new(dir: BorrowedFd<'_>, from: &CStr, to: &CStr) -> Result<()> {
    move_new(dir, from, dir, to)
}

/// Moves `name` to another directory of the file system; `EEXIST` if the new name is taken.
pub fn move_new(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>, new: &CStr) -> Result<()> {
    // SAFETY: both names are NUL-terminated strings that outlive the call.
    let rename = || unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            from.as_raw_fd(),
            name.as_ptr(),
            to.as_raw_fd(),
            new.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    match retry(|| Errno::result(rename())) {
        // A file system without the flag (some FUSE and network ones): look, then rename.
        Err(Errno::EINVAL | Errno::ENOSYS) => match stat_at(to, new) {
            Err(Errno::ENOENT) => retry(|| fcntl::renameat(from, name, to, new)),
            Ok(_) => Err(Errno::EEXIST),
            Err(errno) => Err(errno),
        },
        result => result.map(drop),
    }
}

/// Sets access and modification time of an open file.
pub fn set_times(file: impl AsFd, accessed: Stamp, modified: Stamp) -> Result<()> {
    retry(|| stat::futimens(&file, &accessed.into(), &modified.into()))
}

/// Sets access and modification time of `name`; of a symlink, its own.
pub fn set_times_at(dir: impl AsFd, name: &CStr, accessed: Stamp, modified: Stamp) -> Result<()> {
    let nofollow = UtimensatFlags::NoFollowSymlink;
    retry(|| stat::utimensat(&dir, name, &accessed.into(), &modified.into(), nofollow))
}

/// Sets the permission bits of an open file.
pub fn set_permissions(file: impl AsFd, permissions: u32) -> Result<()> {
    retry(|| stat::fchmod(&file, Mode::from_bits_truncate(permissions)))
}

/// Sets the permission bits of `name`, which must not be a symlink.
pub fn set_permissions_at(dir: impl AsFd, name: &CStr, permissions: u32) -> Result<()> {
    let nofollow = stat::FchmodatFlags::NoFollowSymlink;
    retry(|| stat::fchmodat(&dir, name, Mode::from_bits_truncate(permissions), nofollow))
}

/// Gives an entry to a group and, unless `user` is `None`, to a user.
///
/// The kernel takes set-id bits and capabilities away from a file that changes hands.
pub fn set_owner(node: Node<'_>, user: Option<u32>, group: u32) -> Result<()> {
    let (user, group) = (user.map(Uid::from_raw), Some(Gid::from_raw(group)));
    retry(|| match node {
        Node::Open(file) => unistd::fchown(file, user, group),
        Node::Named(dir, name) => {
            unistd::fchownat(dir, name, user, group, AtFlags::AT_SYMLINK_NOFOLLOW)
        }
    })
}

/// Whether the effective user may add and remove names in `path`, which is followed.
pub fn may_write_dir(path: &Path) -> Result<()> {
    let access = AccessFlags::W_OK | AccessFlags::X_OK;
    retry(|| unistd::faccessat(fcntl::AT_FDCWD, path, access, AtFlags::AT_EACCESS))
}

/// How a directory is kept from other runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// Others may share it; nobody may own it.
    Shared,
    /// Ours alone.
    Exclusive,
}

/// Takes a lock that lasts until the last copy of the descriptor is closed; `EAGAIN` if refused.
pub fn lock(file: BorrowedFd<'_>, lock: Lock) -> Result<()> {
    let how = match lock {
        Lock::Shared => libc::LOCK_SH,
        Lock::Exclusive => libc::LOCK_EX,
    };
    // SAFETY: flock(2) takes two numbers. (nix's guard would unlock when it is dropped, but the
    // lock must pass to the children with the descriptor.)
    retry(|| Errno::result(unsafe { libc::flock(file.as_raw_fd(), how | libc::LOCK_NB) }).map(drop))
}
