//! Standard streams and other descriptors that this process has inherited. None of the standard descriptors stays
//! closed.

use crate::{Errno, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Which of the three standard streams were closed when the program was started: bit N for descriptor N.
static CLOSED: AtomicU8 = AtomicU8::new(0);

static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);

/// Checks the standard streams and SIGPIPE before `main` runs, because the standard library changes both: it opens
/// `/dev/null` in place of a closed stream, and ignores SIGPIPE.
///
/// Opens something else in place of each closed stream. Otherwise a file of the copy could get the number of
/// standard output, and messages would be written into it. And if the standard library cannot open `/dev/null`, as
/// in a container without `/dev`, it aborts the program; so it must find all three open.
extern "C" fn check_streams() {
    for number in 0..3_u8 {
        // SAFETY: F_GETFD takes no further argument and changes nothing.
        let closed = unsafe { libc::fcntl(i32::from(number), libc::F_GETFD) } == -1;
        if closed {
            CLOSED.fetch_or(1 << number, Ordering::Relaxed);
            // The kernel chooses the lowest number that is free. All lower numbers are in use by now.
            let opened = unwritable_memory().or_else(root);
            debug_assert!(opened.is_none_or(|opened| opened == i32::from(number)));
        }
    }
    // SAFETY: with a null action, sigaction only writes the old action, for which there is room.
    let ignored = unsafe {
        let mut old = std::mem::zeroed::<libc::sigaction>();
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), &raw mut old) == 0
            && old.sa_sigaction == libc::SIG_IGN
    };
    SIGPIPE_IGNORED.store(ignored, Ordering::Relaxed);
}

/// Creates an empty file without a name that refuses to be written. Needs neither `/dev` nor `/proc`.
fn unwritable_memory() -> Option<i32> {
    // SAFETY: the name is a C string, which the call only reads.
    let file = unsafe { libc::memfd_create(c"closed".as_ptr(), libc::MFD_ALLOW_SEALING) };
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    // SAFETY: both calls take numbers. If they fail, what is written into the file is lost.
    unsafe {
        libc::fchmod(file, 0); // so `/dev/stdin` cannot be opened, except by root
        libc::fcntl(file, libc::F_ADD_SEALS, seals);
    }
    (file >= 0).then_some(file)
}

/// Opens the root directory, which can neither be read nor written.
fn root() -> Option<i32> {
    // SAFETY: the path is a C string, which the call only reads. Without O_CREAT, no mode is needed.
    let dir = unsafe { libc::open(c"/".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY) };
    (dir >= 0).then_some(dir)
}

// SAFETY: the loader calls each function in `.init_array` once, before `main`, as a C function. The loader
// may pass arguments, which a C function may ignore.
// Miri would call it, too, and has no sigaction.
#[used]
#[cfg_attr(not(miri), unsafe(link_section = ".init_array"))]
static CHECK: extern "C" fn() = check_streams;

/// Whether standard output was closed when the program was started (`pcopy >&-`).
pub fn stdout_was_closed() -> bool {
    was_closed(1)
}

/// Whether SIGPIPE was ignored when the program was started.
pub fn sigpipe_was_ignored() -> bool {
    SIGPIPE_IGNORED.load(Ordering::Relaxed)
}

fn was_closed(number: u32) -> bool {
    number < 3 && CLOSED.load(Ordering::Relaxed) & 1 << number != 0
}

/// Returns another descriptor for the open file that descriptor `number` of this process refers to. Fails
/// with `EBADF` if it was closed when the program was started, or is not open for writing.
///
/// The caller must not have opened a file yet that could have this number.
pub fn inherited(number: u32) -> Result<OwnedFd> {
    let fd = RawFd::try_from(number).map_err(|_| Errno::EBADF)?;
    if was_closed(number) {
        return Err(Errno::EBADF);
    }
    // SAFETY: the descriptor is only used in the calls of this function. If it is not open, they fail.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    if flags & OFlag::O_ACCMODE == OFlag::O_RDONLY || flags.contains(OFlag::O_PATH) {
        return Err(Errno::EBADF);
    }
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: fcntl has returned a new descriptor, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}
