//! The end of a process.

/// Exits at once: no destructors, no exit handlers, no second flush of the parent's buffers.
pub fn exit(status: i32) -> ! {
    // SAFETY: _exit(2) takes a number and does not return.
    unsafe { libc::_exit(status) }
}
