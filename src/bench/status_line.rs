//! A line on the terminal that shows what the benchmark is doing.

use std::io::{IsTerminal, Write, stderr};

/// A line on standard error that is shown only on a terminal. Dropping it erases the line.
pub(super) struct StatusLine {
    is_enabled: bool,
    is_shown: bool,
}

/// The escape sequence that returns to the first column and erases the line.
const ERASE: &str = "\r\x1b[2K";

impl StatusLine {
    /// Returns a line that is still empty.
    pub(super) fn new() -> Self {
        Self { is_enabled: stderr().is_terminal(), is_shown: false }
    }

    /// Replaces the line with `text`.
    pub(super) fn show(&mut self, text: &str) {
        if self.is_enabled {
            self.is_shown = true;
            // The text is cut to the width of the terminal, because a line that wraps cannot be erased.
            let width = pcopy_sys::terminal_size::width(stderr()).map_or(79, |width| width - 1);
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
        // Only the status line is lost; the results are not affected.
    }
}
