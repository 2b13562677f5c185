//! All that the user sees while a run is on: names, messages, the progress line.

use super::output::Output;
use super::progress::Line;
use crate::options::When;
use pcopy_sys::{Errno, stdio};
use std::io::{IsTerminal, Stderr, Stdout, stderr, stdout};
use std::os::fd::BorrowedFd;

/// What the user wants to see.
#[derive(Clone, Debug)]
pub struct Show {
    /// How the program is called in its messages.
    pub program: String,
    /// Nothing but errors.
    pub quiet: bool,
    /// When to draw the progress line.
    pub progress: When,
}

pub(super) struct Screen {
    names: Output<Stdout>,
    messages: Output<Stderr>,
    line: Option<Line>,
    program: String,
    quiet: bool,
    draws: bool,
}

impl Screen {
    pub(super) fn new(show: Show) -> Self {
        let closed = stdio::stdout_was_closed().then_some(Errno::EBADF);
        let draws = match show.progress {
            When::Always => true,
            When::Never => false,
            When::Auto => !show.quiet && stderr().is_terminal(),
        };
        Self {
            names: Output::new(stdout(), closed),
            messages: Output::new(stderr(), None),
            line: None,
            program: show.program,
            quiet: show.quiet,
            draws,
        }
    }

    /// Whether a progress line is wanted at all.
    pub(super) fn draws(&self) -> bool {
        self.draws
    }

    /// The progress line, once it was begun.
    pub(super) fn line(&mut self) -> Option<&mut Line> {
        self.line.as_mut()
    }

    /// Begins the progress line.
    pub(super) fn begin_line(&mut self) {
        self.line = Some(Line::new());
    }

    /// Takes the progress line away.
    pub(super) fn end_line(&mut self) {
        if let Some(line) = self.line.take() {
            line.clear();
        }
    }

    /// A finished name, for `-v`.
    pub(super) fn name(&mut self, name: &str) {
        self.names.line(name);
    }

    /// Lines that are not for people alone: bytes as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.names.bytes(bytes);
    }

    /// An error.
    pub(super) fn error(&mut self, message: &str) {
        self.messages.line(&format!("{}: {message}", self.program));
    }

    /// A question, with the cursor behind it.
    pub(super) fn ask(&mut self, question: &str) {
        self.messages.text(&format!("{}: {question}", self.program));
    }

    /// Something that is good to know.
    pub(super) fn notice(&mut self, message: &str) {
        if !self.quiet {
            self.error(message);
        }
    }

    /// A line without the program's name before it: the last one.
    pub(super) fn plain(&mut self, message: &str) {
        if !self.quiet {
            self.messages.line(message);
        }
    }

    /// Writes what can be written at once, with the progress line out of its way.
    pub(super) fn flush(&mut self) {
        if self.names.waiting().is_none() && self.messages.waiting().is_none() {
            return;
        }
        let (names, messages) = (&mut self.names, &mut self.messages);
        let mut write = || {
            names.flush();
            messages.flush();
        };
        match &self.line {
            Some(line) => line.hide_while(write),
            None => write(),
        }
    }

    /// The streams that wait to be written to.
    pub(super) fn waiting(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.names.waiting().into_iter().chain(self.messages.waiting())
    }

    /// Whether the copiers should wait until what they said has been read.
    pub(super) fn is_full(&self) -> bool {
        self.names.is_full() || self.messages.is_full()
    }

    /// The run is being ended: nobody waits any more for what is read too slowly.
    pub(super) fn stop_waiting_for_reader(&mut self) {
        self.names.lose_what_does_not_fit();
        self.messages.lose_what_does_not_fit();
    }

    /// Why names could not be written to standard output, if so.
    pub(super) fn names_failure(&self) -> Option<Errno> {
        self.names.failure()
    }
}
