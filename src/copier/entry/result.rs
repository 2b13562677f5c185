//! The result of an entry: [`Applied`] if the entry is in the copy now, otherwise [`Unfinished`].

use crate::error::{AttributeError, EntryError, Op};
use crate::hash::Digest;
use crate::ipc::wire::event::Details;
use crate::ipc::wire::itemized::Itemized;
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
    /// The attributes that it lacks.
    pub(crate) attribute_errors: AttributeErrors,
    /// The source inode, if it has or may have other names; these become hard links to this entry.
    pub(crate) leads: Option<Identity>,
    /// How the entry was copied, for `--verbose` and `--debug`.
    pub(crate) details: Details,
    /// What the copy has changed of an existing entry, for `--itemize-changes`; boxed, because it is seldom asked for.
    pub(crate) itemized: Option<Box<Itemized>>,
    /// The digest of its data, if the data was read and the options require a digest. Boxed, because pcopy
    /// moves a result for each file, and options seldom require digests.
    pub(crate) digest: Option<Box<Digest>>,
    /// Whether copying the entry took much longer than handing it over to another copier would have taken.
    pub(crate) heavy: bool,
}

/// The attributes that the copy of an entry lacks: at most one error for each operation. Nearly always there is
/// none, and pcopy moves one of these for each file, so the list is boxed.
#[derive(Default)]
#[expect(clippy::box_collection)] // 8 bytes instead of 24
pub(crate) struct AttributeErrors(Option<Box<Vec<AttributeError>>>);

impl AttributeErrors {
    /// Adds an error. A second error of one operation takes the place of the first if only the second is a
    /// failure; otherwise it is dropped.
    pub(in crate::copier) fn add(&mut self, error: AttributeError) {
        let all = self.0.get_or_insert_default();
        match all.iter_mut().find(|known| known.error.op == error.error.op) {
            Some(known) if error.required && !known.required => *known = error,
            Some(_) => {}
            None => all.push(error),
        }
    }

    /// Adds all errors of `other`.
    pub(super) fn append(&mut self, other: Self) {
        other.iter().for_each(|error| self.add(error));
    }

    /// Removes the errors for which `stays` is false.
    pub(super) fn retain(&mut self, stays: impl Fn(&AttributeError) -> bool) {
        if let Some(all) = &mut self.0 {
            all.retain(stays);
        }
    }

    pub(in crate::copier) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether an operation has failed.
    pub(in crate::copier) fn has(&self, op: Op) -> bool {
        self.iter().any(|known| known.error.op == op)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = AttributeError> {
        self.0.as_deref().into_iter().flatten().copied()
    }
}

/// Why an entry is not in the copy, or not yet.
pub(crate) enum Unfinished {
    /// An operation failed.
    Failed(EntryError),
    /// The target refused a write that was not in order, from the beginning of a new file to its end. The
    /// copier can try again with a new file.
    OutOfOrder(EntryError),
    /// The run is ending, and the copier has aborted the file in progress.
    Dropped,
    /// The source is not of the type with which the copier was to copy it; nothing was done.
    OtherType,
    /// Another name of this inode is copied, and this name becomes a hard link to it at the end.
    Deferred(Identity),
    /// A directory of the target is in the way, and `--delete` may remove it at the end.
    HeldBack,
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
        let attribute_errors = AttributeErrors::default();
        Self { done, attribute_errors, leads: None, details, itemized: None, digest, heavy: false }
    }

    /// Returns the result of a hard link to an entry with this digest.
    pub(crate) fn linked(done: Done, digest: Option<Digest>) -> Self {
        Self { digest: digest.map(Box::new), ..Self::plain(done) }
    }

    /// Returns the same result, with these attributes as those that the entry lacks.
    pub(crate) fn lacking(self, attribute_errors: AttributeErrors) -> Self {
        Self { attribute_errors, ..self }
    }

    /// Returns the same result, with `inode` as the inode whose other names become hard links to this entry.
    pub(crate) fn leading(self, inode: Option<Identity>) -> Self {
        Self { leads: inode, ..self }
    }
}

impl Unfinished {
    /// Returns the failure, if this is one.
    pub(crate) fn error(&self) -> Option<EntryError> {
        match self {
            Self::Failed(error) | Self::OutOfOrder(error) => Some(*error),
            Self::OtherType => changed().error(),
            _ => None,
        }
    }

    /// Whether the source changed while a copier read it. The target then keeps the data that was read.
    pub(crate) fn keeps_what_was_read(&self) -> bool {
        self.error().is_some_and(|error| error.op == Op::Changed)
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
