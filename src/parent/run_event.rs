//! The events that a run reports, as data, and the sink that receives them.
//!
//! The parent and its phases emit an event for whatever happens. `ui` decides whether to show it, on which
//! stream and in which words. Events contain no text except file names and the messages of errors.

use super::position::Position;
use crate::error::{AttributeError, EntryError, Unavailable};
use crate::ipc::memory::counters::Totals;
use crate::ipc::wire::difference::Difference;
use crate::ipc::wire::event::Details;
use crate::ipc::wire::itemized::Itemized;
use crate::outcome::{Left, Outcome};
use crate::plan::Note;
use pcopy_sys::Errno;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

/// The source and the target of an entry, as the user would name them; not escaped.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The path of the source.
    pub source: &'a [u8],
    /// The path of the target.
    pub target: &'a [u8],
}

/// An event of a run.
pub enum RunEvent<'a> {
    /// A note that results from planning.
    Note(&'a Note),
    /// An entry is about to be copied, or a directory was created; only if the policy announces entries
    /// early.
    Announced(Names<'a>),
    /// An entry is complete (`--verbose`).
    Done {
        /// The entry.
        names: Names<'a>,
        /// How the entry was copied.
        details: Details,
        /// The suffix of a simple backup.
        suffix: &'a [u8],
    },
    /// What is changed of an entry (`--itemize-changes`).
    Itemized {
        /// The path of the entry, relative to DST.
        name: &'a [u8],
        /// What is changed.
        item: Itemized,
    },
    /// An entry that only the target had was removed (`--verbose`).
    Removed {
        /// The path of the entry.
        target: &'a [u8],
        /// Whether it was a directory.
        is_dir: bool,
        /// Whether it would be removed, in a dry run.
        is_dry: bool,
    },
    /// An entry that only the target had was removed, or in a dry run would be (`--itemize-changes`).
    ItemizedRemoval {
        /// The path of the entry, relative to DST.
        name: &'a [u8],
        /// Whether it was a directory.
        is_dir: bool,
    },
    /// Nothing is removed from the copy of a source.
    RemovalsWithheld {
        /// The source and its copy.
        names: Names<'a>,
        /// Why.
        why: Withheld,
    },
    /// Nothing is removed at all, because it would be too much (`--max-delete`).
    TooManyRemovals {
        /// How many entries would be removed.
        count: u64,
        /// How many entries the target has.
        all: u64,
        /// The paths of the first ones.
        names: &'a [Vec<u8>],
        /// The command that removes them.
        command: Option<&'a str>,
    },
    /// An existing destination file was left as it is (`--debug`).
    Skipped {
        /// The path of the file in the target.
        target: &'a [u8],
    },
    /// An entry could not be copied, compared or finished.
    Failed {
        /// Why it failed.
        error: EntryError,
        /// The entry.
        names: Names<'a>,
    },
    /// An entry lacks an attribute that was to be preserved, and is complete otherwise.
    AttributeFailed {
        /// Which attribute, why, and whether that is a failure.
        lost: AttributeError,
        /// The entry.
        names: Names<'a>,
    },
    /// A source entry existed when its directory was listed, and was gone or changed when it was read.
    Vanished {
        /// The operation that found this, and its error.
        error: EntryError,
        /// The entry.
        names: Names<'a>,
        /// Whether the entry was to be compared, and not copied.
        compared: bool,
    },
    /// A name could not become a hard link, so it was copied as a separate file.
    LinkFailed {
        /// The error of the system call.
        errno: Errno,
        /// The name in the target.
        target: &'a [u8],
        /// Whether this event stands for all later links, too, which are not reported.
        and_others: bool,
    },
    /// The user is asked whether an existing file may be replaced.
    Prompt(Prompt<'a>),
    /// An entry of the copy differs from its source.
    Differs {
        /// The entry of the copy.
        target: &'a [u8],
        /// How the entry differs.
        difference: Difference,
    },
    /// Two names are one file in the source and two files in the target, or the other way round.
    LinkDiffers {
        /// One of the two names.
        target: &'a [u8],
        /// The other name.
        other: &'a [u8],
    },
    /// The comparison looked for a source inside an existing directory and did not find it there. The user
    /// may have meant to compare with the directory itself.
    ComparedInside,
    /// What is left to copy does not fit into the target.
    SpaceShort {
        /// What is left to copy.
        left: Left,
        /// How much is free.
        free: Free,
        /// A path on the file system that lacks space.
        target: &'a [u8],
    },
    /// Many bytes of files that have the size and modification time of their copies are about to be compared, because
    /// they may have changed. `--ignore-ctime` would skip them.
    ComparesMuch,
    /// The disk has not answered for a time (`--timeout`), so the run ends.
    TimedOut {
        /// That time.
        limit: Duration,
        /// The path of the entry that a copier waits at; `None` while data is flushed.
        at: Option<&'a [u8]>,
    },
    /// The progress line needs an update.
    Progress {
        /// The progress of the run.
        position: Position,
        /// The current activity of the run.
        at: At<'a>,
    },
    /// The target is full, because its file system lacks free inodes.
    FewInodes {
        /// The number of inodes that are free.
        inodes: u64,
        /// The number of bytes that are free.
        bytes: u64,
        /// The path of the first target.
        target: &'a [u8],
    },
    /// The user asks for the state of the run (`SIGUSR1`).
    Status {
        /// The counts of the run.
        totals: Totals,
        /// The total number of entries, if it is known already.
        entries: Option<u64>,
        /// The time since the run began.
        elapsed: Duration,
        /// The current activity of the run.
        at: At<'a>,
    },
    /// Lines of a manifest for standard output. The names in them are not escaped; the sink must escape them
    /// before it writes to a terminal.
    ManifestLines(&'a [u8]),
    /// The manifest (the list of file hashes) could not be written.
    ManifestFailed {
        /// The step that failed.
        op: ManifestOp,
        /// The path of the manifest, as the user gave it.
        path: &'a Path,
        /// The error of the system call.
        errno: Errno,
    },
    /// The plan (`--plan`) could not be written.
    PlanFailed {
        /// The path of the file, as the user gave it.
        path: &'a Path,
        /// The error of the system call.
        errno: Errno,
    },
    /// The kernel denied a resource that the run needs.
    Unavailable(&'a Unavailable),
    /// The process could not be suspended.
    CannotSuspend(Errno),
    /// Output that the user asked for could not be written to standard output.
    OutputLost(Errno),
    /// Not the same is mounted at this directory as at the beginning (`--require-mount`).
    MountChanged(&'a Path),
    /// The run has ended.
    Ended(&'a Outcome),
}

/// Why nothing is removed from the copy of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Withheld {
    /// A part of the source could not be read, so what is extraneous cannot be known.
    SourceUnread,
    /// The source is not the directory that it was, or a file system in it was unmounted.
    SourceChanged,
}

/// A prompt for the user.
#[derive(Clone, Copy, Debug)]
pub struct Prompt<'a> {
    /// The file that would be replaced.
    pub target: &'a [u8],
    /// The permission bits of that file.
    pub mode: u32,
    /// Whether the user may write to that file.
    pub writable: bool,
    /// Whether the file would be removed before it is replaced.
    pub removes: bool,
}

/// Which resource of a file system is short.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Free {
    /// The number of bytes that are free.
    Bytes(u64),
    /// The number of files that can still be created.
    Entries(u64),
}

/// The current activity of a run.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// The run copies or compares.
    Entry {
        /// The name of an entry in progress, as the user would write it; empty if no copier works on an
        /// entry.
        name: &'a [u8],
        /// How many copiers are alive.
        copiers: usize,
    },
    /// The run waits until written data is on stable storage.
    Flushing,
    /// All copiers have exited, and the parent finishes and publishes directories (renames them into place).
    Finishing,
}

/// A step of writing a manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ManifestOp {
    /// Creating or renaming the file.
    Create,
    /// Opening an existing file that is not a regular file.
    Open,
    /// Writing the lines.
    Write,
    /// Flushing the file to stable storage.
    Flush,
    /// Setting the times of the manifest's directory back to those of its source.
    SetDirTimes,
}

/// The receiver of the events of a run.
///
/// The parent never waits for a sink. The sink buffers output that it cannot write at once, and the parent
/// polls the streams of the sink together with its other descriptors. By default, all methods except
/// [`emit`](Self::emit) do nothing.
pub trait Sink {
    /// Receives one event.
    fn emit(&mut self, event: &RunEvent<'_>);

    /// Whether the sink shows [`RunEvent::Progress`].
    fn wants_progress(&self) -> bool {
        false
    }

    /// Removes the progress line until the next [`RunEvent::Progress`].
    fn clear_progress(&mut self) {}

    /// Draws the progress line again after something else was written to the terminal.
    fn redraw_progress(&mut self) {}

    /// Writes as much buffered output as possible without waiting.
    fn flush(&mut self) {}

    /// Returns the streams to which the sink still has to write.
    fn unwritten(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    /// Whether the sink has so much buffered output that the parent must not produce more events.
    fn is_full(&self) -> bool {
        false
    }

    /// From now on, drops output that does not fit into the buffer: the run is ending and does not wait for a
    /// reader.
    fn stop_waiting_for_reader(&mut self) {}

    /// Returns why standard output could not be written; `None` if there was no error.
    fn output_failure(&self) -> Option<Errno> {
        None
    }
}
