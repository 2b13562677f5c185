//! The result of an entry: [`Applied`] if the entry is in the copy now, otherwise [`Unfinished`].

use crate::error::{EntryError, Op};
use crate::hash::Digest;
use crate::ipc::wire::event::Details;
use pcopy_sys::Errno;
use pcopy_sys::file::Identity;

/// How an entry ended successfully.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Copied,
    Linked,
    Skipped,
}

/// The result of an entry that is in the copy now.
pub(crate) struct Applied {
    pub(crate) done: Done,
    /// The failure to set one of its attributes; the entry is complete without that attribute.
    pub(crate) attribute_error: Option<EntryError>,
    /// The source inode, if it has or may have other names; these become hard links to this entry.
    pub(crate) leads: Option<Identity>,
    /// How the entry was copied, for `--verbose` and `--debug`.
    pub(crate) details: Details,
    /// The digest of its data, if the data was read and the options require a digest. Boxed, because pcopy
    /// moves a result for each file, and options seldom require digests.
    pub(crate) digest: Option<Box<Digest>>,
    /// Whether copying the entry took much longer than handing it over to another copier would have taken.
    pub(crate) heavy: bool,
}

/// Why an entry is not in the copy, or not yet.
pub(crate) enum Unfinished {
    /// An operation failed.
    Failed(EntryError),
    /// The run is ending, and the copier has aborted the file in progress.
    Dropped,
    /// Another name of this inode is copied, and this name becomes a hard link to it at the end.
    Deferred(Identity),
    /// The user must be asked whether the existing file may be replaced.
    Ask {
        /// The permission bits of the existing file.
        mode: u32,
        /// Whether the user may write to the existing file.
        writable: bool,
    },
}

impl Applied {
    /// Returns a result that has no further details.
    pub(crate) fn plain(done: Done) -> Self {
        let (details, digest) = (Details::default(), None);
        Self { done, attribute_error: None, leads: None, details, digest, heavy: false }
    }

    /// Returns the result of a hard link to an entry with this digest.
    pub(crate) fn linked(done: Done, digest: Option<Digest>) -> Self {
        Self { digest: digest.map(Box::new), ..Self::plain(done) }
    }

    /// Returns the same result, with `inode` as the inode whose other names become hard links to this entry.
    pub(crate) fn leading(self, inode: Option<Identity>) -> Self {
        Self { leads: inode, ..self }
    }
}

impl Unfinished {
    /// Returns the failure, if this is one.
    pub(crate) fn error(&self) -> Option<EntryError> {
        if let Self::Failed(error) = self { Some(*error) } else { None }
    }

    /// Whether the source changed while a copier read it. The target then keeps the data that was read.
    pub(crate) fn keeps_what_was_read(&self) -> bool {
        self.error().is_some_and(|error| error.op == Op::Changed)
    }

    /// If the entry lacks nothing but an attribute, returns its result; otherwise returns `self` as an error.
    pub(crate) fn unless_complete(self, leads: Option<Identity>) -> Result<Applied, Self> {
        match self {
            Self::Failed(error) if error.op.leaves_entry_complete() => {
                Ok(Applied { attribute_error: Some(error), leads, ..Applied::plain(Done::Copied) })
            }
            other => Err(other),
        }
    }
}

impl From<EntryError> for Unfinished {
    fn from(error: EntryError) -> Self {
        Self::Failed(error)
    }
}

/// Returns the failure for a source that has changed since it was listed or opened.
pub(crate) fn changed() -> Unfinished {
    Op::Changed.error()(Errno::ESTALE).into()
}
