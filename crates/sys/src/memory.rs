//! Memory that a process shares with the children it forks.
//!
//! An anonymous map of `memmap2` is private and copied at the fork, so the memory is a file that
//! has no place in any folder: a memfd. It is sealed, so nobody can shorten it under a peer.
#![allow(unsafe_code)] // a mapping is memory that the compiler knows nothing about

use super::{Errno, retry};
use memmap2::{MmapOptions, MmapRaw};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::unistd::ftruncate;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// A mapping that is shared by everybody forked after it was made.
///
/// It begins at a page, is filled with zeros at first, and has its size for good.
#[derive(Debug)]
pub struct SharedMemory {
    map: MmapRaw,
}

impl SharedMemory {
    /// Maps `bytes` bytes under a name that shows in `/proc/PID/maps`.
    ///
    /// Pages cost memory only when they are touched. The error says what was tried.
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

    /// The first byte. Valid for reads and writes of [`len`](Self::len) bytes as long as `self`
    /// lives; other processes write there too.
    pub fn as_ptr(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is not one byte in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether files may not become as large as they like (`ulimit -f`), which would concern ours, too.
/// Then a mapping of `/dev/zero` has to do, which is shared memory without a size or a name.
fn files_are_limited() -> bool {
    getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
}

fn sealed_file(name: &str, bytes: usize) -> super::Result<OwnedFd> {
    let size = libc::off_t::try_from(bytes).map_err(|_| Errno::EFBIG)?;
    let file = unnamed_file(name)?;
    retry(|| ftruncate(&file, size))?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
}

/// Says that it will never be a program: kernels since 6.3 can be told to insist on that, and
/// those before do not know the flag.
pub(super) fn unnamed_file(name: &str) -> super::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let not_a_program = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    match memfd_create(name, flags | not_a_program) {
        Err(Errno::EINVAL) => memfd_create(name, flags),
        made => made,
    }
}

#[cfg(all(test, not(miri)))] // miri knows no memfd
mod tests {
    use super::*;

    #[test]
    fn it_is_filled_with_zeros_and_can_be_written() {
        let memory = SharedMemory::create("test", 10_000).expect("memory");
        assert_eq!(memory.len(), 10_000);
        // SAFETY: 10,000 bytes are mapped, and nobody else knows of them.
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
    fn an_error_names_what_was_tried() {
        let error = SharedMemory::create("test", usize::MAX).expect_err("too large");
        assert!(
            error
                .to_string()
                .starts_with("cannot create 18446744073709551615 bytes of shared memory 'test': ")
        );
    }
}
