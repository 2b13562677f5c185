//! Finds out whether standard output was closed when the program was started.

use std::sync::atomic::{AtomicBool, Ordering};

static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Checks standard output before `main` runs. The standard library opens `/dev/null` in place of a closed
/// standard output. Afterwards pcopy could not distinguish this from a `/dev/null` that the user wanted.
extern "C" fn check_stdout() {
    // SAFETY: F_GETFD takes no further argument and changes nothing.
    let closed = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) } == -1;
    STDOUT_WAS_CLOSED.store(closed, Ordering::Relaxed);
}

// SAFETY: the loader calls each function in `.init_array` once, before `main`, as a C function. The loader
// may pass arguments, which a C function may ignore.
#[used]
#[unsafe(link_section = ".init_array")]
static CHECK: extern "C" fn() = check_stdout;

/// Whether standard output was closed when the program was started (`pcopy >&-`).
pub fn stdout_was_closed() -> bool {
    STDOUT_WAS_CLOSED.load(Ordering::Relaxed)
}
