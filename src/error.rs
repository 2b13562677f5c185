//! What can go wrong, by its consequence. `ui` turns it into messages.
//!
//! A [`Refusal`] ends the run before anything was touched. An [`EntryError`] is the failure of one
//! entry; the run continues. [`Unavailable`] is a resource that the run as a whole needs and that the
//! kernel does not grant.

use crate::sanitize::quote;
use pcopy_sys::{Errno, describe};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;

/// The run was not started; nothing was touched. Exit code 3.
#[derive(Debug)]
pub struct Refusal {
    /// What is wrong: in lower case, the file in quotes, the cause.
    pub message: String,
    /// What the user can do about it, if anything.
    pub hint: Option<&'static str>,
}

impl Refusal {
    /// A refusal in the form `cannot ACT 'THING': CAUSE`.
    pub fn cannot(act: &str, thing: &Path, cause: Errno) -> Self {
        let thing = quote(thing.as_os_str().as_encoded_bytes());
        Self { message: format!("cannot {act} {thing}: {}", describe(cause)), hint: None }
    }

    /// The same refusal with advice.
    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        if let Some(hint) = self.hint {
            write!(out, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

/// The kernel denied something that the run as a whole needs.
#[derive(Debug)]
pub struct Unavailable {
    /// What was requested.
    pub what: &'static str,
    /// The kernel's error.
    pub source: std::io::Error,
}

impl Unavailable {
    /// For `map_err`: adds what was requested.
    pub fn because(what: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self { what, source: errno.into() }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot {}: {}", self.what, self.source)
    }
}

impl std::error::Error for Unavailable {}

/// Makes [`Op`] and the list of all of them from one table.
macro_rules! ops {
    ($($(#[$doc:meta])* $op:ident $(= $tag:literal)?,)+) => {
        /// What a copier was doing when an entry failed; decides the wording of the message.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum Op {
            $($(#[$doc])* $op $(= $tag)?,)+
        }

        impl Op {
            pub(crate) const ALL: &[Op] = &[$(Op::$op),+];
        }
    };
}

ops! {
    /// Opening a source file.
    OpenSource = 1,
    /// Opening or listing a source directory.
    ReadDirectory,
    /// Calling stat(2) for a source entry.
    Stat,
    /// Reading a source file or symlink.
    Read,
    /// Creating a file, symlink, FIFO, socket or device.
    Create,
    /// Creating a directory.
    CreateDirectory,
    /// Opening a target directory, or preparing it for use.
    OpenTarget,
    /// Writing file data.
    Write,
    /// Setting times.
    SetTimes,
    /// Setting permission bits.
    SetPermissions,
    /// Setting the owner and group to the source's.
    SetOwner,
    /// Setting an ACL.
    SetAccessList,
    /// Listing the source's extended attributes.
    ReadAttributes,
    /// Setting extended attributes.
    SetAttributes,
    /// Closing the target, where a network file system reports late write errors.
    Close,
    /// Renaming the finished entry into place.
    Publish,
    /// Creating a hard link to another name of the same file.
    Link,
    /// The source changed while it was read.
    Changed,
    /// A directory would be copied into itself.
    IntoItself,
    /// The source is a symlink to the file that it would replace.
    SameFile,
    /// Backing up an existing destination entry.
    Backup,
    /// The backup would overwrite the source.
    BackupIsSource,
    /// This run created the destination entry, from another source of the same name.
    JustCreated,
    /// Following a symlink.
    Follow,
    /// A symlink leads to a directory that contains it.
    Cycle,
    /// The destination entry exists, and the options make that an error.
    NotReplaced,
    /// Copiers died while they copied it, repeatedly.
    KillsCopiers,
    /// Cloning the source (reflink).
    Clone,
    /// Reading the target of a symlink.
    ReadSymlink,
    /// Calling stat(2) for a destination entry.
    StatTarget,
    /// Creating a copy of a source symlink.
    CreateSymlink,
    /// Creating a FIFO.
    CreateFifo,
    /// Creating a socket or a device.
    CreateNode,
    /// Creating a symlink to the source.
    SymlinkTo,
    /// Creating a hard link to the source.
    HardLinkTo,
    /// The directory was already copied, for another operand.
    DirectoryAgain,
    /// A directory would replace something that is not a directory.
    DirectoryOverFile,
    /// Something that is not a directory would replace a directory.
    FileOverDirectory,
    /// Removing an existing destination entry.
    Remove,
    /// It would be written through a symlink that this run created.
    ThroughJustCreated,
    /// It would be written through a dangling symlink.
    Dangling,
    /// A relative symlink to the source would not lead there from another directory.
    RelativeSymlink,
    /// Flushing what was written to stable storage.
    Sync,
    /// What was read back from the disk is not what was written.
    Verify,
    /// Reading a finished file in the target.
    ReadBack,
    /// A name of a manifest leads through a symlink.
    ThroughSymlink,
}

impl Op {
    pub(crate) fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|&op| op as u8 == tag)
    }

    /// For `map_err`: an error of this operation.
    pub fn error(self) -> impl Fn(Errno) -> EntryError {
        move |errno| EntryError { op: self, errno }
    }

    /// Whether the cause is a change of the source during the run: the entry is gone, or was replaced.
    pub fn means_vanished(self, errno: Errno) -> bool {
        match self {
            Op::OpenSource | Op::Stat | Op::Read | Op::ReadDirectory | Op::ReadSymlink => {
                errno == Errno::ENOENT
            }
            Op::Changed => true,
            _ => false,
        }
    }

    /// Whether the entry is complete but for the attribute that this operation would have set.
    pub fn leaves_entry_complete(self) -> bool {
        matches!(self, Op::SetOwner | Op::SetAccessList | Op::SetAttributes)
    }

    /// Whether the operation concerns the source; the message then names the source.
    pub fn concerns_source(self) -> bool {
        use Op::{
            Changed, Cycle, Follow, IntoItself, KillsCopiers, OpenSource, Read, ReadAttributes,
            ReadDirectory, ReadSymlink, Stat,
        };
        matches!(
            self,
            OpenSource
                | ReadDirectory
                | Stat
                | Read
                | ReadAttributes
                | ReadSymlink
                | Follow
                | Cycle
                | Changed
                | IntoItself
                | KillsCopiers
        )
    }
}

/// Why one entry was not copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryError {
    /// What the copier was doing.
    pub op: Op,
    /// The kernel's error.
    pub errno: Errno,
}

impl Hash for EntryError {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.op, self.errno as i32).hash(state);
    }
}

/// Whether the only cause is that the system lacks a capability that the options require.
pub fn lacks_capability(error: EntryError) -> bool {
    error.op == Op::Clone && means_unsupported(error.errno)
}

/// Whether the error says that one file cannot be cloned to the other, so that another way to copy may
/// succeed.
///
/// Because of the file systems or the kernel: `EOPNOTSUPP`, `EXDEV`, `ENOTTY`, `ENOSYS`. Because of the
/// files: `EINVAL` (one of them has no copy-on-write, or another block size), `ETXTBSY` (it is a swap
/// file), `EPERM` and `EACCES` (a security module forbids it), `EBADF` (the file system does not accept
/// one of the descriptors).
pub fn means_unsupported(errno: Errno) -> bool {
    use Errno::{EACCES, EBADF, EINVAL, ENOSYS, ENOTTY, EOPNOTSUPP, EPERM, ETXTBSY, EXDEV};
    matches!(
        errno,
        EOPNOTSUPP | EXDEV | ENOTTY | ENOSYS | EINVAL | ETXTBSY | EPERM | EACCES | EBADF
    )
}

/// Whether a retry may succeed: transient errors of disks and network file systems.
pub fn is_transient(error: EntryError) -> bool {
    let passing = matches!(error.errno, Errno::EIO | Errno::ESTALE | Errno::ETIMEDOUT);
    passing && !matches!(error.op, Op::Changed | Op::KillsCopiers) // errno is ours, not the kernel's
}

/// Whether no other entry can be written either: the target is full, over quota, read-only or failing.
pub fn ends_the_run(error: EntryError) -> bool {
    let lost = matches!(error.errno, Errno::ENOSPC | Errno::EDQUOT | Errno::EROFS | Errno::EIO);
    // ENOSPC for an extended attribute can mean that its own small store is full. EIO for a clone can
    // come from reading the source. A file that cannot be read back says nothing about the others.
    let concerns_one_entry = matches!(error.op, Op::SetAttributes | Op::ReadBack)
        || error.op == Op::Clone && error.errno == Errno::EIO;
    lost && !error.op.concerns_source() && !concerns_one_entry
}
