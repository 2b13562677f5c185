//! The kinds of errors. They differ in whether the run begins and whether it continues. `ui` turns them
//! into messages.
//!
//! A [`Refusal`] means that the run did not begin and that nothing in the target was changed. An
//! [`EntryError`] is the failure of one entry (a file or directory to be copied); the run continues with the
//! other entries. An [`AttributeError`] says what a complete entry lacks. [`Unavailable`] means that the kernel
//! denied a resource that the whole run needs.

use crate::sanitize::quote;
use pcopy_sys::{Errno, describe};
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;

/// Why a run does not begin; nothing in the target was changed. The exit code is 3, or 1 in GNU cp
/// compatibility mode.
#[derive(Debug)]
pub struct Refusal {
    /// The message: in lower case, with the file name in quotes and the cause at the end.
    pub message: String,
    /// What the user can do about the problem, if anything.
    pub hint: Option<Cow<'static, str>>,
}

impl Refusal {
    /// Returns a refusal with the message `cannot ACT 'THING': CAUSE`.
    pub fn cannot(act: &str, thing: &Path, cause: Errno) -> Self {
        let thing = quote(thing.as_os_str().as_encoded_bytes());
        Self { message: format!("cannot {act} {thing}: {}", describe(cause)), hint: None }
    }

    /// Returns the same refusal with a hint for the user.
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(out, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

/// The kernel denied a resource that the whole run needs.
#[derive(Debug)]
pub struct Unavailable {
    /// What pcopy requested, as a verb phrase that follows "cannot".
    pub what: &'static str,
    /// The error of the system call.
    pub source: std::io::Error,
}

impl Unavailable {
    /// Returns a function for `map_err` that adds `what` to an errno.
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

/// Defines [`Op`] and the list of all its variants from one table.
macro_rules! ops {
    ($($(#[$doc:meta])* $op:ident $(= $tag:literal)?,)+) => {
        /// The operation or check that failed for an entry; decides the wording of the message.
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
    /// Opening a target directory, or making it accessible to its owner.
    OpenTarget,
    /// Writing file data.
    Write,
    /// Opening an existing file for writing that cannot be replaced, because it is a mount point.
    WriteMountPoint,
    /// Setting times.
    SetTimes,
    /// Setting permission bits.
    SetPermissions,
    /// Setting the owner and group to those of the source.
    SetOwner,
    /// Reading the source's ACL.
    ReadAccessList,
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
    /// Creating a hard link to another name of the same file; that name is already in the target.
    Link,
    /// The source changed while a copier read it.
    Changed,
    /// The target of a directory lies inside that directory.
    IntoItself,
    /// The source is the file that it would replace, or a symlink to that file.
    SameFile,
    /// Backing up an existing destination entry.
    Backup,
    /// Making the backup would overwrite the source.
    BackupIsSource,
    /// This run has already created the destination entry, from another source of the same name.
    JustCreated,
    /// Following a symlink.
    Follow,
    /// Following a symlink would never end: the symlink leads to a directory that contains it.
    Cycle,
    /// The destination entry exists, and `--update=none-fail` makes that an error.
    NotReplaced,
    /// Several copiers died while they worked on the entry, so pcopy skips it.
    KillsCopiers,
    /// Cloning the source (reflink).
    Clone,
    /// Reading the text of a symlink.
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
    /// pcopy has already copied the directory, because an earlier operand names it, too.
    DirectoryAgain,
    /// A directory would replace something that is not a directory.
    DirectoryOverFile,
    /// A directory would replace a symlink to a directory.
    DirectoryOverSymlink,
    /// Something that is not a directory would replace a directory.
    FileOverDirectory,
    /// Removing an existing destination entry.
    Remove,
    /// Removing an extraneous directory of the target at which something is mounted.
    RemoveMountPoint,
    /// Copying would write through a symlink that this run created.
    ThroughJustCreated,
    /// Copying would write through a dangling symlink.
    Dangling,
    /// A relative symlink to the source would be dangling, because the symlink would not be in the current
    /// directory.
    RelativeSymlink,
    /// Flushing written data to stable storage.
    Sync,
    /// The data that `--verify` read back from the disk differs from the data that was written.
    Verify,
    /// Reading an existing or finished file in the target.
    ReadBack,
    /// The path of a file in a manifest leads through a symlink.
    ThroughSymlink,
    /// Building the entry under a staged name, or renaming it into place. Instead it was built under its final
    /// name.
    Stage,
    /// Using the rules in a file of filter rules.
    ReadRules,
    /// The file system of the source does not answer any more.
    SourceLost,
    /// The file system of the target does not answer any more.
    TargetLost,
    /// Doing what a plan says of an entry that is not as it was when the plan was made (`--apply`).
    NotAsPlanned,
    /// Linking an entry, as a plan says, to a name that is not there or not up to date.
    LinkNotAsPlanned,
}

impl Op {
    pub(crate) fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|&op| op as u8 == tag)
    }

    /// Returns a function for `map_err` that makes an errno an error of this operation.
    pub fn error(self) -> impl Fn(Errno) -> EntryError {
        move |errno| EntryError { op: self, errno }
    }

    /// Whether the error means that the source entry changed during the run: it was removed or replaced, or
    /// its contents changed.
    pub fn means_vanished(self, errno: Errno) -> bool {
        match self {
            Op::OpenSource | Op::Stat | Op::Read | Op::ReadDirectory | Op::ReadSymlink => {
                errno == Errno::ENOENT
            }
            Op::Changed => true,
            _ => false,
        }
    }

    /// Whether the operation concerns the source, so that the message names the source and not the target.
    pub fn concerns_source(self) -> bool {
        use Op::{
            Changed, Cycle, Follow, IntoItself, KillsCopiers, OpenSource, Read, ReadAccessList,
            ReadAttributes, ReadDirectory, ReadSymlink, SourceLost, Stat,
        };
        matches!(
            self,
            OpenSource
                | ReadDirectory
                | Stat
                | Read
                | ReadAccessList
                | ReadAttributes
                | ReadSymlink
                | Follow
                | Cycle
                | Changed
                | IntoItself
                | KillsCopiers
                | SourceLost
        )
    }
}

/// Why one entry was not copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryError {
    /// The operation that failed.
    pub op: Op,
    /// The error of the system call, or the errno that pcopy chose for a failed check.
    pub errno: Errno,
}

/// An attribute that the copy of an entry lacks although it was to be preserved, and why. Except for such
/// attributes the copy is complete.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AttributeError {
    /// The operation that would have read or set the attribute, and its error.
    pub error: EntryError,
    /// Whether the loss is a failure, because the user has named the attribute
    /// ([`Preservation::Required`](crate::options::Preservation)).
    pub required: bool,
}

impl Hash for EntryError {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.op, self.errno as i32).hash(state);
    }
}

/// Whether the entry failed only because the system cannot clone the file, which `--reflink=always` requires.
pub fn lacks_capability(error: EntryError) -> bool {
    error.op == Op::Clone && means_unsupported(error.errno)
}

/// Whether the error of a clone means that another way to copy the same file may succeed.
///
/// That is so for all errors but those of a failing or full disk and of a lack of memory. Some mean that the
/// file systems or the kernel do not support the clone (`EOPNOTSUPP`, `EXDEV`, `ENOTTY`, `ENOSYS`). Others
/// concern one of the two files, for example:
/// * `EINVAL`: one of the files has no copy-on-write, or their block sizes differ.
/// * `ETXTBSY`: one of the files is a swap file.
/// * `EPERM`, `EACCES`: a security module forbids the clone.
/// * `EAGAIN`: ZFS has not yet written the source to the disk.
pub fn means_unsupported(errno: Errno) -> bool {
    !matches!(errno, Errno::EIO | Errno::ENOMEM | Errno::ENOSPC | Errno::EDQUOT)
}

/// Whether a retry may succeed: disks and network file systems report some errors only for a while.
pub fn is_transient(error: EntryError) -> bool {
    // pcopy itself chose the errno of these two operations, so the errno says nothing about a retry.
    is_transient_errno(error.errno) && !matches!(error.op, Op::Changed | Op::KillsCopiers)
}

/// Whether a system call that fails with this error may succeed if it is repeated a moment later.
pub fn is_transient_errno(errno: Errno) -> bool {
    matches!(errno, Errno::EIO | Errno::ESTALE) || is_of_network(errno)
}

/// Whether the error of creating a staged name, or of renaming it, may mean that the file system does not permit
/// such names or renames, so that an entry can only be built under its final name.
///
/// File systems report that with many errors. The others here mean something else: that name exists, nothing
/// can be created at all, or the directory is gone.
pub fn may_forbid_staging(errno: Errno) -> bool {
    !matches!(
        errno,
        Errno::EEXIST
            | Errno::ENOTEMPTY
            | Errno::EBUSY
            | Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::ELOOP
            | Errno::ESTALE
            | Errno::ENOTCONN
            | Errno::ENOSPC
            | Errno::EDQUOT
            | Errno::EROFS
            | Errno::EMLINK
            | Errno::ENOMEM
            | Errno::EMFILE
            | Errno::ENFILE
    )
}

/// Whether the error of link(2) may mean that the file cannot get another link: the file system has no hard links
/// (FAT, some FUSE and network file systems), the file has too many, or the kernel forbids links to files of other
/// users. Then the next name is copied as a separate file.
pub fn may_forbid_link(errno: Errno) -> bool {
    errno == Errno::EMLINK || may_forbid_staging(errno) && !may_mean_lost(errno)
}

/// Whether the error of a write that was not in order may mean that the target takes bytes in order only. A
/// full target would refuse the bytes in order, too.
pub fn may_mean_order(error: EntryError) -> bool {
    error.op == Op::Write && !is_full(error.errno)
}

/// Whether the error means that the target is full. Then a single copier would fail, too.
pub fn is_full(errno: Errno) -> bool {
    matches!(errno, Errno::ENOSPC | Errno::EDQUOT)
}

/// Whether the error may mean that a whole file system is lost: its server, its daemon or its device is gone. It
/// may also concern one entry only.
pub fn may_mean_lost(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EIO
            | Errno::ESTALE
            | Errno::ENODEV
            | Errno::ENXIO
            | Errno::ENOMEDIUM
            | Errno::EREMOTEIO
            | Errno::ENOTCONN
            | Errno::ESHUTDOWN
    ) || is_of_network(errno)
}

/// Whether the error means that a network or a server does not answer.
fn is_of_network(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ETIMEDOUT
            | Errno::ECONNABORTED
            | Errno::ECONNREFUSED
            | Errno::ECONNRESET
            | Errno::EHOSTDOWN
            | Errno::EHOSTUNREACH
            | Errno::ENETDOWN
            | Errno::ENETRESET
            | Errno::ENETUNREACH
            | Errno::ENOLINK
            | Errno::EPROTO
    )
}

/// Whether pcopy can copy no other entry either: the target is full, over quota, read-only or failing, or the source
/// or the target is lost.
pub fn ends_the_run(error: EntryError) -> bool {
    if matches!(error.op, Op::SourceLost | Op::TargetLost) {
        return true;
    }
    let lost = matches!(error.errno, Errno::ENOSPC | Errno::EDQUOT | Errno::EROFS | Errno::EIO);
    // ENOSPC for an extended attribute can mean that only the space for extended attributes is full. EIO for
    // a clone can come from reading the source. A file that cannot be read back, or a mount point, says nothing
    // about other files.
    let concerns_one_entry =
        matches!(error.op, Op::SetAttributes | Op::ReadBack | Op::WriteMountPoint)
            || error.op == Op::Clone && error.errno == Errno::EIO;
    lost && !error.op.concerns_source() && !concerns_one_entry
}
