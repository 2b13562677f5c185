//! How an entry ends: what came of it, or why it did not come to its end.

use crate::error::{EntryError, Op};
use crate::hash::Digest;
use crate::ipc::wire::event::Details;
use pcopy_sys::Errno;
use pcopy_sys::file::Identity;

/// How an entry ended well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Copied,
    Linked,
    Skipped,
}

/// What came of an entry that is in the copy now.
pub(crate) struct Applied {
    pub(crate) done: Done,
    /// An attribute that could not be given to it; it is whole without.
    pub(crate) lacking: Option<EntryError>,
    /// The inode whose other names become links to it, if it has or may have others.
    pub(crate) leads: Option<Identity>,
    /// How it came to be, for `--verbose` and `--debug`.
    pub(crate) details: Details,
    /// The digest of its bytes, if they were read and that is wanted. Boxed, because results are moved for
    /// each file, and digests seldom wanted.
    pub(crate) digest: Option<Box<Digest>>,
    /// Whether it took much longer than it takes to hand an entry over.
    pub(crate) heavy: bool,
}

/// Why an entry did not come to its end.
pub(crate) enum Unfinished {
    /// Something failed.
    Failed(EntryError),
    /// The run is ending: the file in progress is dropped.
    Dropped,
    /// Another name of this inode is copied; this one becomes a link to it at the end.
    Deferred(Identity),
    /// The user is to be asked whether the existing file may be replaced.
    Ask {
        /// Its permission bits.
        mode: u32,
        /// Whether it could be written.
        writable: bool,
    },
}

impl Applied {
    /// It ended so, without anything more to be said.
    pub(crate) fn plain(done: Done) -> Self {
        let (details, digest) = (Details::default(), None);
        Self { done, lacking: None, leads: None, details, digest, heavy: false }
    }

    /// It is a link to an entry with this digest.
    pub(crate) fn linked(done: Done, digest: Option<Digest>) -> Self {
        Self { digest: digest.map(Box::new), ..Self::plain(done) }
    }

    /// The same for an entry that the other names of `inode` become links to.
    pub(crate) fn leading(self, inode: Option<Identity>) -> Self {
        Self { leads: inode, ..self }
    }
}

impl Unfinished {
    /// The failure, if it is one.
    pub(crate) fn error(&self) -> Option<EntryError> {
        if let Self::Failed(error) = self { Some(*error) } else { None }
    }

    /// Whether the source changed while it was read: the file has what was read.
    pub(crate) fn keeps_what_was_read(&self) -> bool {
        self.error().is_some_and(|error| error.op == Op::Changed)
    }

    /// The entry's end all the same, if nothing but an attribute is lacking.
    pub(crate) fn or_lacking(self, leads: Option<Identity>) -> Result<Applied, Self> {
        match self {
            Self::Failed(error) if error.op.leaves_entry_complete() => {
                Ok(Applied { lacking: Some(error), leads, ..Applied::plain(Done::Copied) })
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

/// The source is not what it was when it was listed, or when it was opened.
pub(crate) fn changed() -> Unfinished {
    Op::Changed.error()(Errno::ESTALE).into()
}
