//! What a run reports, as data, and the sink that takes it.
//!
//! The parent and its phases report what happened; `ui` decides on which stream and in which words it
//! is shown, and whether at all. Nothing here is text but file names and the texts of refusals.

use super::position::Position;
use crate::error::{EntryError, Unavailable};
use crate::ipc::memory::counters::Totals;
use crate::ipc::wire::difference::Difference;
use crate::ipc::wire::event::Details;
use crate::outcome::{Left, Outcome};
use crate::plan::Note;
use pcopy_sys::Errno;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

/// An entry and its place in the target, as the user would name them; not escaped.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The source.
    pub source: &'a [u8],
    /// What it becomes.
    pub target: &'a [u8],
}

/// One thing that a run reports.
pub enum RunEvent<'a> {
    /// Planning has found this.
    Note(&'a Note),
    /// An entry is about to be copied, or a directory was made; only where the policy announces early.
    Announced(Names<'a>),
    /// An entry is complete (`--verbose`).
    Done {
        /// Which.
        names: Names<'a>,
        /// How it was made.
        details: Details,
        /// What is appended to the name of a simple backup.
        suffix: &'a [u8],
    },
    /// An existing destination file was left as it is (`--debug`).
    Skipped {
        /// The file.
        target: &'a [u8],
    },
    /// An entry could not be copied, compared or finished.
    Failed {
        /// Why.
        error: EntryError,
        /// Which.
        names: Names<'a>,
    },
    /// A source entry was there when its directory was listed, and gone when it was to be read.
    Vanished {
        /// What was tried.
        error: EntryError,
        /// Which.
        names: Names<'a>,
        /// Whether it was to be compared, and not copied.
        compared: bool,
    },
    /// A name could not become a hard link and was copied as a file of its own.
    LinkFailed {
        /// The error of the system call.
        errno: Errno,
        /// The name.
        target: &'a [u8],
        /// Whether this stands for all links that follow, which are not reported.
        and_others: bool,
    },
    /// The user is asked whether an existing file may be replaced.
    Prompt(Prompt<'a>),
    /// An entry of the copy is not as it should be.
    Differs {
        /// The entry.
        target: &'a [u8],
        /// In what.
        difference: Difference,
    },
    /// Two names are one file in the source and two in the target, or the other way round.
    LinkDiffers {
        /// One name.
        target: &'a [u8],
        /// The other.
        other: &'a [u8],
    },
    /// A source was not found inside an existing directory, and the user may have meant the directory
    /// itself.
    ComparedInside,
    /// What is left to copy does not fit into the target.
    SpaceShort {
        /// What is left.
        left: Left,
        /// What is free.
        free: Free,
        /// A file or directory on the file system that is short of it.
        target: &'a [u8],
    },
    /// The progress line changes.
    Progress {
        /// How far the run has come.
        position: Position,
        /// What is being done.
        at: At<'a>,
    },
    /// The user has asked for the state of the run (`SIGUSR1`).
    Status {
        /// What was counted.
        totals: Totals,
        /// How many entries there are, once that is known.
        entries: Option<u64>,
        /// Since the run began.
        elapsed: Duration,
        /// What is being done.
        at: At<'a>,
    },
    /// Lines of a manifest for standard output. The names in them are not escaped: escape them before writing to
    /// a terminal.
    ManifestLines(&'a [u8]),
    /// The manifest could not be written.
    ManifestFailed {
        /// What failed.
        op: ManifestOp,
        /// The manifest, as the user named it.
        path: &'a Path,
        /// The error of the system call.
        errno: Errno,
    },
    /// The machine has denied something that the run cannot do without.
    Unavailable(&'a Unavailable),
    /// The process could not be suspended.
    CannotSuspend(Errno),
    /// What was asked for on standard output could not be written there.
    OutputLost(Errno),
    /// The run is over.
    Ended(&'a Outcome),
}

/// A question to the user.
#[derive(Clone, Copy, Debug)]
pub struct Prompt<'a> {
    /// The file that would be replaced.
    pub target: &'a [u8],
    /// Its permission bits.
    pub mode: u32,
    /// Whether it can be written.
    pub writable: bool,
    /// Whether it would be removed first.
    pub removes: bool,
}

/// What is short on a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Free {
    /// Only so many bytes are free.
    Bytes(u64),
    /// Only so many further files can be made.
    Entries(u64),
}

/// What a run is doing.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// It copies; one of the entries that are in progress, as the user would name it.
    Entry {
        /// Its name; empty if no copier is at an entry.
        name: &'a [u8],
        /// How many copiers are alive.
        copiers: usize,
    },
    /// It waits until written data is on stable storage.
    Flushing,
    /// All copiers have exited, and directories are being finished and published.
    Finishing,
}

/// A step of writing a manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ManifestOp {
    /// Creating or renaming the file.
    Create,
    /// Opening what is no regular file.
    Open,
    /// Writing.
    Write,
    /// Flushing it to stable storage.
    Flush,
    /// Setting the times of its directory back to those of the source.
    SetDirTimes,
}

/// Where the events of a run go.
///
/// The parent never waits for a sink: what cannot be written at once is kept, and the parent polls
/// the streams along with everything else. All methods but [`emit`](Self::emit) do nothing by default.
pub trait Sink {
    /// Takes one event.
    fn emit(&mut self, event: &RunEvent<'_>);

    /// Whether [`RunEvent::Progress`] is wanted.
    fn wants_progress(&self) -> bool {
        false
    }

    /// Removes the progress line until the next [`RunEvent::Progress`].
    fn clear_progress(&mut self) {}

    /// Draws the progress line again after something else was written to the terminal.
    fn redraw_progress(&mut self) {}

    /// Writes what can be written without waiting.
    fn flush(&mut self) {}

    /// The streams to which something is still to be written.
    fn unwritten(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    /// Whether so much is unwritten that no more events should be produced.
    fn is_full(&self) -> bool {
        false
    }

    /// From now on, drops the output that does not fit into the buffer: the run is being ended and waits for no
    /// reader.
    fn stop_waiting_for_reader(&mut self) {}

    /// Why standard output could not be written, if it could not.
    fn output_failure(&self) -> Option<Errno> {
        None
    }
}
