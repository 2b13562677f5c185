//! The standard descriptors: none of them stays closed, and whether standard output was closed when the program
//! was started.

use std::sync::atomic::{AtomicBool, Ordering};

static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Opens something in place of each closed standard descriptor, before `main` runs. Otherwise a file of the copy
/// could get the number of standard output, and messages would be written into it.
///
/// The standard library would open `/dev/null`, and would abort the program if that fails, as in a container
/// without `/dev`. So it must find all three open. Afterwards pcopy could not tell that standard output was
/// closed, so that is noted here.
extern "C" fn open_closed() {
    for descriptor in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: F_GETFD takes no further argument and changes nothing.
        let closed = unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1;
        if !closed {
            continue;
        }
        if descriptor == libc::STDOUT_FILENO {
            STDOUT_WAS_CLOSED.store(true, Ordering::Relaxed);
        }
        // The kernel chooses the lowest number that is free. All lower numbers are in use by now.
        let opened = unwritable_memory().or_else(root);
        debug_assert!(opened.is_none_or(|opened| opened == descriptor));
    }
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
#[used]
#[unsafe(link_section = ".init_array")]
static OPEN: extern "C" fn() = open_closed;

/// Whether standard output was closed when the program was started (`pcopy >&-`).
pub fn stdout_was_closed() -> bool {
    STDOUT_WAS_CLOSED.load(Ordering::Relaxed)
}
