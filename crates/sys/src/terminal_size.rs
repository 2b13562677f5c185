//! Reads the size of the terminal.

use std::os::fd::{AsFd, AsRawFd};

/// Returns the number of columns of the terminal; `None` if `stream` is not a terminal or does not report its
/// size.
pub fn width(stream: impl AsFd) -> Option<u16> {
    // SAFETY: TIOCGWINSZ writes one `winsize`, for which there is room, and any bits are a valid value of it.
    let size = unsafe {
        let mut size = std::mem::zeroed::<libc::winsize>();
        if libc::ioctl(stream.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) != 0 {
            return None;
        }
        size
    };
    // Without rows, indicatif takes the width for unknown, too.
    (size.ws_row > 0 && size.ws_col > 0).then_some(size.ws_col)
}
