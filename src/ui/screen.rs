//! Prints the events of a run on standard output and standard error, and draws the progress line.

use super::lost_attributes::LostAttributes;
use super::output::Output;
use super::progress::{Doing, ProgressLine};
use crate::error::EntryError;
use crate::options::{Compat, Verbosity, When};
use crate::parent::run_event::{At, RunEvent, Sink};
use crate::sanitize::{escape, sanitize};
use pcopy_sys::file::{self, Identity};
use pcopy_sys::{Errno, process, stdio};
use std::collections::HashMap;
use std::io::{IsTerminal, Stderr, Stdout, stderr, stdout};
use std::os::fd::{AsFd, BorrowedFd};

/// What the user wants to see, and in which form.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name that messages begin with.
    pub program: String,
    /// Whether messages are pcopy's own or GNU cp's.
    pub compat: Compat,
    /// How much is printed.
    pub verbosity: Verbosity,
    /// When to draw the progress line.
    pub progress: When,
    /// The open file that the run writes the data of its source to, if that is an inherited descriptor: it may be
    /// standard output or standard error.
    pub data: Option<Identity>,
}

/// How many failures of one kind are named on a terminal. More would push what the user has to see out of sight.
const NAMED_MAX: u64 = 20;

/// Prints one event on the screen.
pub(super) type Render = fn(&RunEvent<'_>, &mut Screen);

/// Standard output, standard error and the progress line.
pub struct Screen {
    output: Output<Stdout>,
    messages: Output<Stderr>,
    line: Option<ProgressLine>,
    draws: When,
    program: String,
    quiet: bool,
    /// Whether the last line of a complete run is printed.
    summarizes: bool,
    /// Whether standard output has the data of the source, so that names are printed on standard error.
    has_data_on_stdout: bool,
    render: Render,
    /// The number of failures of each kind so far; `None` if standard error is no terminal, where all are named.
    failures: Option<HashMap<EntryError, u64>>,
    /// What entries lack; printed at the end.
    pub(super) lost_attributes: LostAttributes,
}

impl Screen {
    /// Returns a screen on the streams of this process. `render` turns events into text.
    pub(super) fn new(settings: Settings, render: Render) -> Self {
        let closed = stdio::stdout_was_closed().then_some(Errno::EBADF);
        let is_data = |stream: BorrowedFd<'_>| {
            settings
                .data
                .is_some_and(|data| file::stat_fd(stream).is_ok_and(|stat| stat.identity() == data))
        };
        let has_data_on_stderr = is_data(stderr().as_fd());
        let quiet = settings.verbosity == Verbosity::Quiet;
        let is_terminal = stderr().is_terminal();
        let draws = match settings.progress {
            _ if has_data_on_stderr => When::Never,
            When::Auto if quiet || !is_terminal => When::Never,
            progress => progress,
        };
        let is_wanted =
            settings.verbosity >= Verbosity::Verbose || settings.progress == When::Always;
        Self {
            output: Output::new(stdout(), closed),
            messages: Output::new(stderr(), None),
            line: None,
            draws,
            program: settings.program,
            quiet,
            summarizes: !quiet && !has_data_on_stderr && (is_terminal || is_wanted),
            has_data_on_stdout: is_data(stdout().as_fd()),
            render,
            failures: is_terminal.then(HashMap::new),
            lost_attributes: LostAttributes::default(),
        }
    }

    /// Prints a line on standard output, or on standard error if standard output has the data of the source.
    pub(super) fn print(&mut self, line: &str) {
        if self.has_data_on_stdout {
            self.messages.line(line);
        } else {
            self.output.line(line);
        }
    }

    /// Prints lines on standard output. On a terminal, control characters in them are replaced; elsewhere
    /// they are kept.
    pub(super) fn print_bytes(&mut self, lines: &[u8]) {
        if stdout().is_terminal() {
            self.output.bytes(sanitize(lines).as_bytes());
        } else {
            self.output.bytes(lines);
        }
    }

    /// Prints an error message.
    pub(super) fn error(&mut self, message: &str) {
        self.messages.line(&format!("{}: {message}", self.program));
    }

    /// Prints the failure of an entry. On a terminal, only the first ones of each kind are printed.
    pub(super) fn failure(&mut self, error: EntryError, message: &str) {
        if let Some(failures) = &mut self.failures {
            let number = failures.entry(error).or_default();
            *number += 1;
            if *number > NAMED_MAX {
                return;
            }
        }
        self.error(message);
    }

    /// Returns the number of failures that [`failure`](Self::failure) has not printed.
    pub(super) fn unnamed_failures(&self) -> u64 {
        let numbers = self.failures.iter().flat_map(HashMap::values);
        numbers.map(|number| number.saturating_sub(NAMED_MAX)).sum()
    }

    /// Prints a question. The user types the answer on the same line.
    pub(super) fn prompt(&mut self, question: &str) {
        self.messages.bytes(format!("{}: {question}", self.program).as_bytes());
    }

    /// Prints a message that `--quiet` suppresses.
    pub(super) fn notice(&mut self, message: &str) {
        if !self.quiet {
            self.error(message);
        }
    }

    /// Prints a message that `--quiet` suppresses, without the program's name before it.
    pub(super) fn plain(&mut self, message: &str) {
        if !self.quiet {
            self.messages.line(message);
        }
    }

    /// Prints a message for a person, who may have meant something else: only on a terminal.
    pub(super) fn on_terminal(&mut self, message: &str) {
        if self.failures.is_some() {
            self.plain(message);
        }
    }

    /// Prints the last line of a complete run: on a terminal, or if the options ask for it. So a run that
    /// succeeds is silent in a script and in cron(8).
    pub(super) fn summary(&mut self, line: &str) {
        if self.summarizes {
            self.messages.line(line);
        }
    }
}

impl Sink for Screen {
    fn emit(&mut self, event: &RunEvent<'_>) {
        if let RunEvent::Progress { position, at } = event {
            let name = match at {
                At::Entry { name, .. } => escape(name),
                At::Flushing | At::Finishing => String::new(),
            };
            let doing = match at {
                At::Flushing => Doing::Flushing,
                _ if self.is_full() => Doing::Printing(&name),
                At::Entry { .. } | At::Finishing => Doing::Entry(&name),
            };
            self.line.get_or_insert_with(ProgressLine::new).update(position, doing);
        } else {
            (self.render)(event, self);
        }
    }

    /// Whether to draw the progress line now. A run in the background of a shell would draw over the prompt.
    fn wants_progress(&self) -> bool {
        match self.draws {
            When::Always => true,
            When::Never => false,
            When::Auto => process::is_in_foreground(stderr()),
        }
    }

    fn clear_progress(&mut self) {
        if let Some(line) = self.line.take() {
            line.clear();
        }
    }

    fn redraw_progress(&mut self) {
        if let Some(line) = &self.line {
            line.redraw();
        }
    }

    /// Writes as much as the streams accept at once. The progress line is removed for that time.
    fn flush(&mut self) {
        if self.output.waiting().is_none() && self.messages.waiting().is_none() {
            return;
        }
        let (output, messages) = (&mut self.output, &mut self.messages);
        let mut write = || {
            output.flush();
            messages.flush();
        };
        match &self.line {
            Some(line) => line.hide_while(write),
            None => write(),
        }
    }

    fn unwritten(&self) -> Vec<BorrowedFd<'_>> {
        self.output.waiting().into_iter().chain(self.messages.waiting()).collect()
    }

    fn is_full(&self) -> bool {
        self.output.is_full() || self.messages.is_full()
    }

    fn stop_waiting_for_reader(&mut self) {
        self.output.drop_overflow();
        self.messages.drop_overflow();
    }

    fn output_failure(&self) -> Option<Errno> {
        self.output.failure()
    }
}
