//! The terminal's size.

use std::os::fd::{AsFd, AsRawFd};

/// How many columns the terminal has; `None` if it is none, or does not say.
pub fn width(stream: impl AsFd) -> Option<u16> {
    // SAFETY: TIOCGWINSZ writes one `winsize`, for which there is room; any bits are one.
    let size = unsafe {
        let mut size = std::mem::zeroed::<libc::winsize>();
        if libc::ioctl(stream.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) != 0 {
            return None;
        }
        size
    };
    (size.ws_col > 0).then_some(size.ws_col)
}
