//! What can go wrong, sorted by what follows from it, and how it is told.
//!
//! A [`Refusal`] ends the run before anything was touched. A failure of one entry is a
//! [`Fault`], and the run goes on. [`Unavailable`] is the machine
//! saying no to the run itself.

use crate::ipc::report::{Fault, Step};
use crate::quote::quote;
use crate::sys::{Errno, describe};
use std::fmt;
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

/// One entry's failure in words, after `pcopy: `; `source` and `target` as the user would name them.
pub fn describe_fault(fault: Fault, source: &[u8], target: &[u8]) -> String {
    let (source, target) = (quote(source), quote(target));
    let thing = if fault.step.concerns_source() { &source } else { &target };
    let cause = describe(fault.errno);
    match fault.step {
        Step::OpenSource => format!("cannot open {thing} for reading: {cause}"),
        Step::Changed => format!("{thing} changed while it was read"),
        Step::IntoItself => format!("cannot copy {thing} into itself, {target}"),
        Step::SameFile => format!("{source} and {target} are the same file"),
        Step::BackupIsSource => {
            format!("backing up {target} would destroy the source; {source} not copied")
        }
        Step::JustCreated => format!("will not overwrite just-created {target} with {source}"),
        Step::Cycle => format!("cannot copy cyclic symbolic link {source}"),
        Step::NotReplaced => format!("not replacing {target}"),
        Step::Clone => format!("cannot clone {source} to {target}: {cause}"),
        Step::KillsCopiers => format!("passed over {thing}: copiers died on it again and again"),
        step => format!("cannot {} {thing}: {cause}", act(step)),
    }
}

/// A kind of failure, without the name; for the summary of many.
pub fn describe_kind(fault: Fault) -> String {
    let cause = describe(fault.errno);
    match fault.step {
        Step::OpenSource => format!("cannot open for reading: {cause}"),
        Step::Changed => "changed while read".to_owned(),
        Step::IntoItself => "cannot copy into itself".to_owned(),
        Step::SameFile => "source and target are the same file".to_owned(),
        Step::BackupIsSource => "backing up would destroy the source".to_owned(),
        Step::JustCreated => "will not overwrite what was just created".to_owned(),
        Step::Cycle => "cyclic symbolic link".to_owned(),
        Step::NotReplaced => "not replaced".to_owned(),
        Step::KillsCopiers => "copiers died on it".to_owned(),
        step => format!("cannot {}: {cause}", act(step)),
    }
}

/// An entry that could not become a link and was copied as a file of its own; `others` says that
/// it stands for all that follow.
pub fn describe_unlinked(errno: Errno, target: &[u8], others: bool) -> String {
    let (target, cause) = (quote(target), describe(errno));
    let (others, result) = if others {
        (" and others", "they were copied as files of their own")
    } else {
        ("", "it was copied as a file of its own")
    };
    format!("cannot link {target}{others}: {cause}; {result}")
}

/// A source entry that was there when its directory was listed and gone when its turn came.
pub fn describe_vanished(source: &[u8]) -> String {
    format!("{} vanished before it was copied", quote(source))
}

fn act(step: Step) -> &'static str {
    match step {
        Step::OpenSource => "open for reading",
        Step::ReadDirectory => "read directory",
        Step::Stat => "stat",
        Step::Read => "read",
        Step::Create => "create",
        Step::CreateDirectory => "create directory",
        Step::OpenTarget => "open directory",
        Step::Write => "write",
        Step::SetTimes => "set times of",
        Step::SetPermissions => "set permissions of",
        Step::SetOwner => "set owner of",
        Step::SetAccessList => "set access list of",
        Step::ReadAttributes => "read extended attributes of",
        Step::SetAttributes => "set extended attributes of",
        Step::Close => "close",
        Step::Publish => "give the final name to",
        Step::Link => "link",
        Step::Clone => "clone",
        Step::Backup => "back up",
        Step::Follow => "follow",
        Step::Changed
        | Step::IntoItself
        | Step::SameFile
        | Step::BackupIsSource
        | Step::JustCreated
        | Step::Cycle
        | Step::NotReplaced
        | Step::KillsCopiers => "copy",
    }
}

/// Whether the machine lacks what the user insisted on, and nothing else is wrong.
pub fn lacks_capability(fault: Fault) -> bool {
    fault.step == Step::Clone && means_unable(fault.errno)
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

/// Whether no other entry can be written either: the target is full, over quota, read-only or broken.
pub fn ends_the_run(fault: Fault) -> bool {
    let lost = matches!(fault.errno, Errno::ENOSPC | Errno::EDQUOT | Errno::EROFS | Errno::EIO);
    // An attribute that has no room has its own small store in mind, and a clone that cannot be read
    // says the same as one that cannot be written.
    let own_matter =
        fault.step == Step::SetAttributes || fault.step == Step::Clone && fault.errno == Errno::EIO;
    lost && !fault.step.concerns_source() && !own_matter
}
