//! Extended attributes: xattr(7).
//!
//! ACLs, capabilities and security contexts are extended attributes, too.
//!
//! A [`Node::Named`] entry, which cannot always be opened, is accessed through `/proc`. Where there is no
//! `/proc`, there are two other ways. The calls `getxattrat` and so on, which take a directory and a name, exist
//! since Linux 6.13. Before, the directory becomes the current directory for the time of the call.

use super::file::Node;
use super::{Errno, Result, retry};
use nix::fcntl::{self, AT_FDCWD, OFlag};
use nix::sys::stat::Mode;
use nix::unistd;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

/// The numbers of the system calls that take a directory and a name; libc does not have them yet. They are the
/// same on all architectures with 64 bits except Alpha and MIPS, for which Rust has no such target with glibc.
const SETXATTRAT: libc::c_long = 463;
const GETXATTRAT: libc::c_long = 464;
const LISTXATTRAT: libc::c_long = 465;
const REMOVEXATTRAT: libc::c_long = 466;

/// The argument of `setxattrat` and `getxattrat` that holds the value.
#[repr(C)]
struct XattrArgs {
    value: u64,
    size: u32,
    flags: u32,
}

/// The attribute that holds the access ACL of a file.
pub const ACCESS_ACL: &CStr = c"system.posix_acl_access";

/// The attribute that holds the default ACL of a directory. New files in the directory inherit this ACL.
pub const DEFAULT_ACL: &CStr = c"system.posix_acl_default";

/// Reads the names of all visible attributes, each followed by a NUL. Reads none if the file system does not
/// support attributes, or if the entry does not exist any more.
pub fn list(node: Node<'_>, names: &mut Vec<u8>) -> Result<()> {
    fill(names, |buffer, size| {
        // SAFETY: `buffer` has room for `size` bytes, and name and path are NUL-terminated.
        node.call(|target| unsafe {
            match target {
                XattrTarget::Fd(fd) => libc::flistxattr(fd, buffer.cast(), size),
                XattrTarget::At(dir, entry) => {
                    libc::syscall(LISTXATTRAT, dir, entry.as_ptr(), NOFOLLOW, buffer, size) as isize
                }
                XattrTarget::Path(path) => libc::llistxattr(path.as_ptr(), buffer.cast(), size),
            }
        })
    })
    .or_else(|errno| match errno {
        Errno::EOPNOTSUPP | Errno::ENOENT | Errno::ENOSYS => {
            names.clear();
            Ok(())
        }
        errno => Err(errno),
    })
}

/// Reads the value of the attribute `name`. Fails with `ENODATA` if the attribute does not exist.
pub fn get(node: Node<'_>, name: &CStr, value: &mut Vec<u8>) -> Result<()> {
    fill(value, |buffer, size| {
        // SAFETY: as in `list`; the name is NUL-terminated, too.
        node.call(|target| unsafe {
            match target {
                XattrTarget::Fd(fd) => libc::fgetxattr(fd, name.as_ptr(), buffer.cast(), size),
                XattrTarget::At(dir, entry) => {
                    let args = XattrArgs { value: buffer as u64, size: size as u32, flags: 0 };
                    at_with_value(GETXATTRAT, (dir, entry), name, &args)
                }
                XattrTarget::Path(path) => {
                    libc::lgetxattr(path.as_ptr(), name.as_ptr(), buffer.cast(), size)
                }
            }
        })
    })
}

/// Sets the attribute `name`.
pub fn set(node: Node<'_>, name: &CStr, value: &[u8]) -> Result<()> {
    let (start, size) = (value.as_ptr().cast(), value.len());
    // SAFETY: `value` is `size` bytes long, and name and path are NUL-terminated.
    let result = node.call(|target| unsafe {
        match target {
            XattrTarget::Fd(fd) => libc::fsetxattr(fd, name.as_ptr(), start, size, 0) as isize,
            XattrTarget::At(dir, entry) => {
                let args = XattrArgs { value: start as u64, size: size as u32, flags: 0 };
                at_with_value(SETXATTRAT, (dir, entry), name, &args)
            }
            XattrTarget::Path(path) => {
                libc::lsetxattr(path.as_ptr(), name.as_ptr(), start, size, 0) as isize
            }
        }
    });
    result.map(drop)
}

/// Removes the attribute `name`. Succeeds if the attribute does not exist.
pub fn remove(node: Node<'_>, name: &CStr) -> Result<()> {
    // SAFETY: name and path are NUL-terminated.
    let result = node.call(|target| unsafe {
        match target {
            XattrTarget::Fd(fd) => libc::fremovexattr(fd, name.as_ptr()) as isize,
            XattrTarget::At(dir, entry) => {
                let (entry, name) = (entry.as_ptr(), name.as_ptr());
                libc::syscall(REMOVEXATTRAT, dir, entry, NOFOLLOW, name) as isize
            }
            XattrTarget::Path(path) => libc::lremovexattr(path.as_ptr(), name.as_ptr()) as isize,
        }
    });
    match result {
        Ok(_) | Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Whether the directory has a default ACL.
pub fn has_default_acl(dir: BorrowedFd<'_>) -> bool {
    // SAFETY: for a buffer of size 0 the kernel writes nothing and only returns the size of the value. The name
    // is NUL-terminated.
    let size = Node::Open(dir).call(|target| unsafe {
        let (name, nothing) = (DEFAULT_ACL.as_ptr(), std::ptr::null_mut());
        match target {
            XattrTarget::Fd(fd) => libc::fgetxattr(fd, name, nothing, 0),
            XattrTarget::At(dir, entry) => {
                let args = XattrArgs { value: 0, size: 0, flags: 0 };
                at_with_value(GETXATTRAT, (dir, entry), DEFAULT_ACL, &args)
            }
            XattrTarget::Path(path) => libc::lgetxattr(path.as_ptr(), name, nothing, 0),
        }
    });
    size.is_ok_and(|size| size > 0)
}

/// Returns the permission bits that the directory's default ACL permits for new files in the directory.
pub fn default_acl_permissions(dir: BorrowedFd<'_>) -> Result<u32> {
    /// An ACL begins with a version; then come the entries, each with a tag, permissions and an ID. All
    /// numbers are little-endian.
    const HEADER_BYTES: usize = 4;
    const ENTRY_BYTES: usize = 8;
    const OWNER: u16 = 0x01;
    const GROUP: u16 = 0x04;
    const MASK: u16 = 0x10;
    const OTHER: u16 = 0x20;
    let mut list = Vec::new();
    get(Node::Open(dir), DEFAULT_ACL, &mut list)?;
    let entries = list.get(HEADER_BYTES..).ok_or(Errno::EINVAL)?;
    let of = |wanted: u16| {
        let mut found = entries.chunks_exact(ENTRY_BYTES);
        found
            .find(|entry| u16::from_le_bytes([entry[0], entry[1]]) == wanted)
            .map(|entry| u32::from(entry[2]) & 0o7)
    };
    let group = of(MASK).or(of(GROUP)).unwrap_or(0);
    Ok(of(OWNER).unwrap_or(0) << 6 | group << 3 | of(OTHER).unwrap_or(0))
}

/// The entry whose attributes a call accesses.
#[derive(Clone, Copy)]
enum XattrTarget<'a> {
    Fd(i32),
    /// A name in an open directory.
    At(i32, &'a CStr),
    Path(&'a CStr),
}

/// The flag of the calls that take a directory and a name: a symlink itself is meant.
const NOFOLLOW: libc::c_int = libc::AT_SYMLINK_NOFOLLOW;

/// Calls `setxattrat` or `getxattrat`.
///
/// # Safety
///
/// `args` must describe a value that the call may access.
unsafe fn at_with_value(
    call: libc::c_long,
    (dir, entry): (i32, &CStr),
    name: &CStr,
    args: &XattrArgs,
) -> isize {
    let args_bytes = size_of::<XattrArgs>();
    let (entry, name, args) = (entry.as_ptr(), name.as_ptr(), std::ptr::from_ref(args));
    // SAFETY: both names are NUL-terminated, and the caller vouches for the value.
    unsafe { libc::syscall(call, dir, entry, NOFOLLOW, name, args, args_bytes) as isize }
}

impl Node<'_> {
    fn call(self, call: impl Fn(XattrTarget<'_>) -> isize) -> Result<usize> {
        let call = |target: XattrTarget<'_>| retry(|| Errno::result(call(target)));
        let returned = match self {
            Node::Open(file) => match call(XattrTarget::Fd(file.as_raw_fd())) {
                Err(Errno::EBADF) => call_named(file, c".", call), // a directory, opened with O_PATH
                result => result,
            },
            Node::Named(dir, name) => call_named(dir, name, call),
        };
        returned.and_then(|size| usize::try_from(size).map_err(|_| Errno::EINVAL))
    }
}

/// Makes a call for the entry `name` of a directory, in the first of the three ways that works.
fn call_named(
    dir: BorrowedFd<'_>,
    name: &CStr,
    call: impl Fn(XattrTarget<'_>) -> Result<isize>,
) -> Result<isize> {
    // Programs such as fakeroot see calls of the C library only, so these come first.
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    match call(XattrTarget::Path(&path)) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => {} // there is no /proc, or the entry is gone
        result => return result,
    }
    match call(XattrTarget::At(dir.as_raw_fd(), name)) {
        Err(Errno::ENOSYS | Errno::EPERM) => {} // an old kernel, or a sandbox that does not know the call
        result => return result,
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let before = retry(|| fcntl::openat(AT_FDCWD, c".", flags, Mode::empty()))?;
    unistd::fchdir(dir)?;
    let result = call(XattrTarget::Path(name));
    unistd::fchdir(before)?;
    result
}

/// Calls `call` to fill `buffer`. Enlarges the buffer until the result fits.
fn fill(buffer: &mut Vec<u8>, call: impl Fn(*mut u8, usize) -> Result<usize>) -> Result<()> {
    /// Large enough for nearly all attributes, so that one call suffices.
    const FIRST_BYTES: usize = 1024;
    /// More than the 64 KiB that the kernel allows. The limit prevents an endless loop if a file system
    /// returns ERANGE for any size.
    const MOST_BYTES: usize = 1024 * 1024;
    buffer.clear();
    buffer.reserve(FIRST_BYTES);
    loop {
        let room = buffer.capacity();
        match call(buffer.as_mut_ptr(), room) {
            Ok(size) => {
                // SAFETY: the kernel has written `size` bytes, and not more than there was room for.
                unsafe { buffer.set_len(size.min(room)) };
                return Ok(());
            }
            // The result is larger than the buffer, or has grown between two calls.
            Err(Errno::ERANGE) if room < MOST_BYTES => buffer.reserve(room * 4),
            Err(errno) => return Err(errno),
        }
    }
}
