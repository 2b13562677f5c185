//! A line on the terminal that shows what the benchmark is doing.

use std::io::{IsTerminal, Write, stderr};

/// One line on standard error, if that is a terminal. It is erased on drop.
pub(super) struct StatusLine {
    is_enabled: bool,
    is_shown: bool,
}

/// Return to the first column and erase the line.
const ERASE: &str = "\r\x1b[2K";

impl StatusLine {
    /// A line that is still empty.
    pub(super) fn new() -> Self {
        Self { is_enabled: stderr().is_terminal(), is_shown: false }
    }

    /// Replaces the line with `text`.
    pub(super) fn show(&mut self, text: &str) {
        if self.is_enabled {
            self.is_shown = true;
            // Cut to the width of the terminal: a line that wraps cannot be erased.
            let width = pcopy_sys::terminal::width(stderr()).map_or(79, |width| width - 1);
            let text: String = text.chars().take(width.into()).collect();
            write_to_stderr(&format!("{ERASE}{text}"));
        }
    }

    /// Erases the line.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            write_to_stderr(ERASE);
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.clear();
    }
}

fn write_to_stderr(text: &str) {
    let mut out = stderr();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        // Only the display is lost.
    }
}
