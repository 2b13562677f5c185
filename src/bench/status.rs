//! The line that says how far a benchmark is, for whoever sits before it.

use std::io::{IsTerminal, Write, stderr};

/// One line on standard error, if that is a terminal.
pub(super) struct Status {
    draws: bool,
    shown: bool,
}

impl Status {
    /// Nothing is shown yet.
    pub(super) fn new() -> Self {
        Self { draws: stderr().is_terminal(), shown: false }
    }

    /// Shows `text` in place of what was shown.
    pub(super) fn show(&mut self, text: &str) {
        if self.draws {
            self.shown = true;
            // Cut where a narrow terminal ends, or it could not be erased.
            let width = crate::sys::terminal::width(stderr()).map_or(79, |width| width - 1);
            let text: String = text.chars().take(width.into()).collect();
            put(&format!("\r\x1b[2K{text}"));
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            put("\r\x1b[2K");
        }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        self.clear();
    }
}

fn put(text: &str) {
    let mut out = stderr();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        // Nobody sees it then, and nothing depends on it.
    }
}
