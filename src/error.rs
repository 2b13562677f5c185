//! What can go wrong, sorted by what follows from it. `ui` turns it into messages.
//!
//! A [`Refusal`] ends the run before anything was touched. A failure of one entry is a
//! [`EntryError`], and the run goes on. [`Unavailable`] is the machine
//! saying no to the run itself.

use crate::sanitize::quote;
use pcopy_sys::{Errno, describe};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;

/// The run was not begun; nothing was touched. Exit code 3.
#[derive(Debug)]
pub struct Refusal {
    /// What is wrong: lower case, the thing quoted, the cause.
    pub message: String,
    /// What the user can do, if there is something.
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

/// Something that the run needs of the machine was denied.
#[derive(Debug)]
pub struct Unavailable {
    /// What was asked for.
    pub what: &'static str,
    /// What the kernel said.
    pub source: std::io::Error,
}

impl Unavailable {
    /// For `map_err`: names what was asked for.
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

/// What a copier was doing when an entry failed; decides the wording of the message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Op {
    /// Opening a source file.
    OpenSource = 1,
    /// Opening or listing a source directory.
    ReadDirectory,
    /// Asking what a source entry is.
    Stat,
    /// Reading a source file or symlink.
    Read,
    /// Making a file, symlink, FIFO, socket or device.
    Create,
    /// Making a directory.
    CreateDirectory,
    /// Opening a target directory, or making it ready for use.
    OpenTarget,
    /// Writing file data.
    Write,
    /// Setting times.
    SetTimes,
    /// Setting permission bits.
    SetPermissions,
    /// Giving an entry to the source's owner and group.
    SetOwner,
    /// Setting an access list.
    SetAccessList,
    /// Listing the source's extended attributes.
    ReadAttributes,
    /// Setting extended attributes.
    SetAttributes,
    /// Closing the target, where a network disk tells late errors.
    Close,
    /// Giving the finished entry its final name.
    Publish,
    /// Making a link to another name of the same file.
    Link,
    /// The source was another when it had been read than before.
    Changed,
    /// A directory that is being copied into itself.
    IntoItself,
    /// The source is a symlink to what it would replace.
    SameFile,
    /// Keeping the old entry under another name.
    Backup,
    /// That name is the source's.
    BackupIsSource,
    /// This run has made it, from another source of that name.
    JustCreated,
    /// Following a symlink.
    Follow,
    /// The symlink leads to a directory that it is in.
    Cycle,
    /// It stands in the target, and the user wants to be told.
    NotReplaced,
    /// Copiers died on it, again and again.
    KillsCopiers,
    /// Making the target share the source's bytes.
    Clone,
    /// Reading what a symlink says.
    ReadSymlink,
    /// Asking what stands in the target.
    LookAtTarget,
    /// Making a symlink like the source's.
    CreateSymlink,
    /// Making a FIFO.
    CreateFifo,
    /// Making a socket or a device.
    CreateNode,
    /// Making a symlink to the source.
    SymlinkTo,
    /// Making a hard link to the source.
    HardLinkTo,
    /// A directory that was copied already, because the user named it, too.
    DirectoryAgain,
    /// A directory would have to take the place of something else.
    DirectoryOverFile,
    /// Something else would have to take the place of a directory.
    FileOverDirectory,
    /// Removing what stands in the target.
    Remove,
    /// It would be written through a symlink that this run has made.
    ThroughJustCreated,
    /// It would be written through a symlink that leads nowhere.
    Dangling,
    /// A relative symlink to the source would lead nowhere from there.
    Elsewhere,
    /// Having the disk take what was written.
    Sync,
    /// What was read back from the disk is not what was written.
    Verify,
    /// Reading a file that is complete in the target.
    ReadBack,
    /// A name of a manifest leads through a symlink.
    ThroughSymlink,
}

impl Op {
    pub(crate) const ALL: [Op; 46] = [
        Op::OpenSource,
        Op::ReadDirectory,
        Op::Stat,
        Op::Read,
        Op::Create,
        Op::CreateDirectory,
        Op::OpenTarget,
        Op::Write,
        Op::SetTimes,
        Op::SetPermissions,
        Op::SetOwner,
        Op::SetAccessList,
        Op::ReadAttributes,
        Op::SetAttributes,
        Op::Close,
        Op::Publish,
        Op::Link,
        Op::Changed,
        Op::IntoItself,
        Op::SameFile,
        Op::Backup,
        Op::BackupIsSource,
        Op::JustCreated,
        Op::Follow,
        Op::Cycle,
        Op::NotReplaced,
        Op::KillsCopiers,
        Op::Clone,
        Op::ReadSymlink,
        Op::LookAtTarget,
        Op::CreateSymlink,
        Op::CreateFifo,
        Op::CreateNode,
        Op::SymlinkTo,
        Op::HardLinkTo,
        Op::DirectoryAgain,
        Op::DirectoryOverFile,
        Op::FileOverDirectory,
        Op::Remove,
        Op::ThroughJustCreated,
        Op::Dangling,
        Op::Elsewhere,
        Op::Sync,
        Op::Verify,
        Op::ReadBack,
        Op::ThroughSymlink,
    ];

    pub(crate) fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&op| op as u8 == tag)
    }

    /// For `map_err`: the fault of this op.
    pub fn error(self) -> impl Fn(Errno) -> EntryError {
        move |errno| EntryError { op: self, errno }
    }

    /// Whether this is no failure of ours: the source entry is gone, or became another.
    pub fn means_vanished(self, errno: Errno) -> bool {
        match self {
            Op::OpenSource | Op::Stat | Op::Read | Op::ReadDirectory | Op::ReadSymlink => {
                errno == Errno::ENOENT
            }
            Op::Changed => true,
            _ => false,
        }
    }

    /// Whether the entry is whole in spite of it, and lacks only what this step would have given.
    pub fn leaves_it_whole(self) -> bool {
        matches!(self, Op::SetOwner | Op::SetAccessList | Op::SetAttributes)
    }

    /// Whether the step concerns the source; the message then names the source.
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
    /// What was being done.
    pub op: Op,
    /// What the kernel said.
    pub errno: Errno,
}

impl Hash for EntryError {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.op, self.errno as i32).hash(state);
    }
}

/// Whether the machine lacks what the user insisted on, and nothing else is wrong.
pub fn lacks_capability(error: EntryError) -> bool {
    error.op == Op::Clone && means_unable(error.errno)
}

/// Whether the kernel says that two files cannot share their bytes, so that another way may do.
///
/// Of the file systems or the kernel: `EOPNOTSUPP`, `EXDEV`, `ENOTTY`, `ENOSYS`. Of the files: `EINVAL`
/// (one of them is kept without copy-on-write, or in other blocks), `ETXTBSY` (it is swapped to),
/// `EPERM` and `EACCES` (a guard forbids it), `EBADF` (the file system calls a descriptor unfit).
pub fn means_unable(errno: Errno) -> bool {
    use Errno::{EACCES, EBADF, EINVAL, ENOSYS, ENOTTY, EOPNOTSUPP, EPERM, ETXTBSY, EXDEV};
    matches!(
        errno,
        EOPNOTSUPP | EXDEV | ENOTTY | ENOSYS | EINVAL | ETXTBSY | EPERM | EACCES | EBADF
    )
}

/// Whether the same may go well a little later: what disks and networks say on a bad day.
pub fn may_pass(error: EntryError) -> bool {
    let passing = matches!(error.errno, Errno::EIO | Errno::ESTALE | Errno::ETIMEDOUT);
    passing && !matches!(error.op, Op::Changed | Op::KillsCopiers) // our own words
}

/// Whether no other entry can be written either: the target is full, over quota, read-only or broken.
pub fn ends_the_run(error: EntryError) -> bool {
    let lost = matches!(error.errno, Errno::ENOSPC | Errno::EDQUOT | Errno::EROFS | Errno::EIO);
    // An attribute that has no room has its own small store in mind, and a clone that cannot be read
    // says the same as one that cannot be written.
    // One file that cannot be read back says nothing of the others.
    let own_matter = matches!(error.op, Op::SetAttributes | Op::ReadBack)
        || error.op == Op::Clone && error.errno == Errno::EIO;
    lost && !error.op.concerns_source() && !own_matter
}
