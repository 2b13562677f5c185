//! Memory that a process shares with the children that it forks.
//!
//! An anonymous mapping of `memmap2` is private, so a fork would copy it. Therefore the memory is a memfd, a
//! file without a name in any directory. The memfd is sealed, so no process can shorten it while another uses
//! it.

use super::{Errno, retry};
use memmap2::{MmapOptions, MmapRaw};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::unistd::ftruncate;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// A mapping that is shared with all processes forked after its creation.
///
/// It begins at a page boundary, is filled with zeros at first, and never changes its size.
#[derive(Debug)]
pub struct SharedMemory {
    map: MmapRaw,
}

impl SharedMemory {
    /// Maps `bytes` bytes. The mapping has the name `name` in `/proc/PID/maps`.
    ///
    /// A page takes up memory only after a process has touched it. The error says which memory could not be
    /// created.
    pub fn create(name: &str, bytes: usize) -> io::Result<Self> {
        let failed = |cause: io::Error| {
            let message = format!("cannot create {bytes} bytes of shared memory '{name}': {cause}");
            io::Error::new(cause.kind(), message)
        };
        let file = if files_are_limited() {
            File::options().read(true).write(true).open("/dev/zero").map(OwnedFd::from)
        } else {
            sealed_file(name, bytes).map_err(io::Error::from)
        };
        let file = file.map_err(failed)?;
        let map = MmapOptions::new().len(bytes).map_raw(&file).map_err(failed)?;
        Ok(Self { map })
    }

    /// Returns the address of the first byte. It is valid for reads and writes of [`len`](Self::len) bytes as
    /// long as `self` lives. Other processes write to the same memory.
    pub fn as_ptr(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    /// Returns the size in bytes.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether the size is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether the size of files is limited (`ulimit -f`). The limit applies to a memfd, too. In this case a
/// mapping of `/dev/zero` is used, which is shared memory without a size or a name.
fn files_are_limited() -> bool {
    getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
}

fn sealed_file(name: &str, bytes: usize) -> super::Result<OwnedFd> {
    let size = libc::off_t::try_from(bytes).map_err(|_| Errno::EFBIG)?;
    let file = memfd(name)?;
    retry(|| ftruncate(&file, size))?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
}

/// Creates a memfd that can never be executed. Linux 6.3 and later can be configured to require this of every
/// memfd; earlier kernels do not know the flag.
pub(super) fn memfd(name: &str) -> super::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let not_executable = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    match memfd_create(name, flags | not_executable) {
        Err(Errno::EINVAL) => memfd_create(name, flags),
        made => made,
    }
}

#[cfg(all(test, not(miri)))] // Miri has no memfd
mod tests {
    use super::*;

    #[test]
    fn it_is_filled_with_zeros_and_can_be_written() {
        let memory = SharedMemory::create("test", 10_000).expect("memory");
        assert_eq!(memory.len(), 10_000);
        // SAFETY: 10,000 bytes are mapped, and no other reference to them exists.
        let bytes = unsafe { std::slice::from_raw_parts_mut(memory.as_ptr(), memory.len()) };
        assert!(bytes.iter().all(|&byte| byte == 0));
        bytes.fill(7);
        assert_eq!(bytes[9_999], 7);
    }

    #[test]
    fn its_size_is_sealed() {
        let file = sealed_file("test", 4096).expect("file");
        assert_eq!(ftruncate(&file, 0), Err(Errno::EPERM));
        assert_eq!(ftruncate(&file, 8192), Err(Errno::EPERM));
    }

    #[test]
    fn an_error_says_what_failed() {
        let error = SharedMemory::create("test", usize::MAX).expect_err("too large");
        assert!(
            error
                .to_string()
                .starts_with("cannot create 18446744073709551615 bytes of shared memory 'test': ")
        );
    }
}
