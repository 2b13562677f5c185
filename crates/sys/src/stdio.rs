//! What the program was given as standard output.

use std::sync::atomic::{AtomicBool, Ordering};

static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Runs before `main`: the standard library opens `/dev/null` in place of a closed standard
/// output, and after that nobody can tell that the output went nowhere.
extern "C" fn look_at_stdout() {
    // SAFETY: F_GETFD takes no further argument and changes nothing.
    let closed = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) } == -1;
    STDOUT_WAS_CLOSED.store(closed, Ordering::Relaxed);
}

// SAFETY: the loader calls what stands in `.init_array` once, before `main`, as a C function;
// it may pass arguments, which a C function may leave unread.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look_at_stdout;

/// Whether standard output was closed when the program was started (`pcopy >&-`).
pub fn stdout_was_closed() -> bool {
    STDOUT_WAS_CLOSED.load(Ordering::Relaxed)
}
