//! pcopy's messages for entries that failed, in the form `cannot ACT 'NAME': CAUSE`.

use super::numbers;
use crate::error::{EntryError, Op, is_transient_errno, may_forbid_staging};
use crate::parent::run_event::Names;
use crate::sanitize::quote;
use pcopy_sys::{Errno, describe};

/// Returns the message for one failed entry, without the `pcopy: ` at its start.
pub(super) fn describe_failure(error: EntryError, names: Names<'_>) -> String {
    let (source, target) = (quote(names.source), quote(names.target));
    let thing = if error.op.concerns_source() { &source } else { &target };
    let cause = describe(error.errno);
    match error.op {
        Op::OpenSource => format!("cannot open {thing} for reading: {cause}"),
        Op::Changed => format!("{thing} changed while it was read"),
        Op::IntoItself => format!("cannot copy {source}: this run copies into it"),
        Op::SameFile => format!("{source} and {target} are the same file"),
        Op::BackupIsSource => {
            format!("backing up {target} would destroy the source; {source} not copied")
        }
        Op::JustCreated => format!("will not overwrite just-created {target} with {source}"),
        Op::DirectoryAgain => format!("{source} has already been copied"),
        Op::Cycle => format!("cannot copy cyclic symbolic link {source}"),
        Op::NotReplaced => format!("not replacing {target}"),
        Op::ThroughJustCreated => {
            format!("will not copy {source} through just-created symlink {target}")
        }
        Op::Dangling => format!("not writing through dangling symlink {target}"),
        Op::RelativeSymlink => {
            format!("{target}: can make relative symbolic links only in current directory")
        }
        Op::ThroughSymlink => format!("not reading {target}: its path contains a symbolic link"),
        Op::Clone => format!("cannot clone {source} to {target}: {cause}"),
        Op::RemoveMountPoint => {
            format!("cannot remove {target}, which the source does not have: it is a mount point")
        }
        Op::Verify => {
            format!("{target} differed twice from what was read from {source}; removed")
        }
        Op::Sync => format!("cannot flush {thing} to stable storage: {cause}"),
        Op::SourceLost => format!("lost the file system of the source at {thing}: {cause}"),
        Op::TargetLost => format!("lost the file system of the target at {thing}: {cause}"),
        Op::NotAsPlanned => format!("{target} has changed since the plan, or {source} has"),
        Op::LinkNotAsPlanned => {
            format!("cannot link {target}: the other name of the plan is not up to date")
        }
        Op::KillsCopiers => format!("skipping {thing}: copiers repeatedly died on it"),
        Op::WriteMountPoint => format!("cannot write {thing}, a mount point: {cause}"),
        Op::Publish if error.errno == Errno::EBUSY => {
            format!(
                "cannot rename {thing} into place: {cause} (if it is a mount point, --inplace writes into it)"
            )
        }
        Op::Publish if is_no_disk_error(error.errno) => {
            format!(
                "cannot rename {thing} into place: {cause} (--inplace writes into a file with one name)"
            )
        }
        Op::Publish => format!("cannot rename {thing} into place: {cause}"),
        Op::Stage => format!(
            "cannot build {thing} under a temporary name: {cause} (--inplace writes into the existing file)"
        ),
        Op::DirectoryOverFile => {
            format!("cannot overwrite non-directory {target} with directory {source}")
        }
        Op::FileOverDirectory => {
            format!("cannot overwrite directory {target} with non-directory {source}")
        }
        Op::ReadRules => {
            format!("{source} is not copied, and its rules do not hold: {}", no_rules(error.errno))
        }
        Op::DirectoryOverSymlink => format!(
            "cannot create directory {thing}: a symbolic link to a directory exists (--keep-directory-symlink copies into that directory)"
        ),
        op => format!("cannot {} {thing}: {cause}", act(op)),
    }
}

/// Returns why the rules in a file in a directory do not hold.
fn no_rules(errno: Errno) -> String {
    match errno {
        Errno::EINVAL => "a line is no filter rule".to_owned(),
        errno => describe(errno),
    }
}

/// Whether the error says nothing about the disk, so that a rename may be impossible here in general.
fn is_no_disk_error(errno: Errno) -> bool {
    may_forbid_staging(errno) && !is_transient_errno(errno) || errno == Errno::EEXIST
}

/// Returns the text for one kind of failure, without a name, for the summary line of many such failures.
pub(super) fn describe_kind(error: EntryError) -> String {
    let cause = describe(error.errno);
    match error.op {
        Op::OpenSource => format!("cannot open for reading: {cause}"),
        Op::Changed => "changed while read".to_owned(),
        Op::IntoItself => "cannot copy: this run copies into it".to_owned(),
        Op::SameFile => "source and target are the same file".to_owned(),
        Op::BackupIsSource => "backing up would destroy the source".to_owned(),
        Op::JustCreated => "will not overwrite what was just created".to_owned(),
        Op::DirectoryAgain => "already copied".to_owned(),
        Op::Cycle => "cyclic symbolic link".to_owned(),
        Op::NotReplaced => "not replaced".to_owned(),
        Op::Verify => "differs from what was read".to_owned(),
        Op::RemoveMountPoint => "cannot remove a mount point".to_owned(),
        Op::Sync => format!("cannot flush to stable storage: {cause}"),
        Op::ThroughJustCreated => "not written through a just-created symlink".to_owned(),
        Op::Dangling => "not written through a dangling symlink".to_owned(),
        Op::RelativeSymlink => "a relative symbolic link would be dangling".to_owned(),
        Op::ThroughSymlink => "path contains a symbolic link".to_owned(),
        Op::ReadRules => format!("not copied: {}", no_rules(error.errno)),
        Op::SourceLost => format!("lost the source: {cause}"),
        Op::TargetLost => format!("lost the target: {cause}"),
        Op::NotAsPlanned => "changed since the plan".to_owned(),
        Op::LinkNotAsPlanned => "the other name of the plan is not up to date".to_owned(),
        Op::KillsCopiers => "copiers repeatedly died on it".to_owned(),
        Op::Publish => format!("cannot rename into place: {cause}"),
        Op::WriteMountPoint => format!("cannot write a mount point: {cause}"),
        Op::DirectoryOverFile => "cannot overwrite a non-directory with a directory".to_owned(),
        Op::FileOverDirectory => "cannot overwrite a directory with a non-directory".to_owned(),
        Op::DirectoryOverSymlink => {
            "cannot create directory: a symbolic link to a directory exists".to_owned()
        }
        op => format!("cannot {}: {cause}", act(op)),
    }
}

/// Returns the line for an attribute that `first` and a number of other entries lack.
pub(super) fn describe_lost(error: EntryError, first: &[u8], others: u64) -> String {
    let others = match others {
        0 => String::new(),
        1 => " and another entry".to_owned(),
        others => format!(" and {} other entries", numbers::count(others)),
    };
    if error.op == Op::Stage {
        let (first, cause) = (quote(first), describe(error.errno));
        return format!("built {first}{others} in place, not under a temporary name: {cause}");
    }
    format!("cannot {} {}{others}: {}", act(error.op), quote(first), describe(error.errno))
}

/// Returns the verb of `cannot VERB 'NAME'`. The operations that get the verb "copy" have messages of their
/// own; their verb is never printed.
fn act(op: Op) -> &'static str {
    match op {
        Op::OpenSource => "open for reading",
        Op::ReadDirectory => "read directory",
        Op::Stat => "stat",
        Op::Read | Op::ReadSymlink | Op::ReadBack => "read",
        Op::Create
        | Op::CreateSymlink
        | Op::CreateFifo
        | Op::CreateNode
        | Op::SymlinkTo
        | Op::HardLinkTo => "create",
        Op::CreateDirectory | Op::DirectoryOverSymlink => "create directory",
        Op::StatTarget => "stat",
        Op::Remove | Op::RemoveMountPoint => "remove",
        Op::OpenTarget => "open directory",
        Op::Write => "write",
        Op::SetTimes => "set times of",
        Op::SetPermissions => "set permissions of",
        Op::SetOwner => "set owner of",
        Op::ReadAccessList => "read ACL of",
        Op::SetAccessList => "set ACL of",
        Op::ReadAttributes => "read extended attributes of",
        Op::SetAttributes => "set extended attributes of",
        Op::Close => "close",
        Op::Sync => "flush",
        Op::Link => "link",
        Op::Clone => "clone",
        Op::Backup => "back up",
        Op::Follow => "follow",
        Op::Stage => "build under a temporary name",
        Op::Changed
        | Op::DirectoryOverFile
        | Op::FileOverDirectory
        | Op::IntoItself
        | Op::SameFile
        | Op::BackupIsSource
        | Op::JustCreated
        | Op::Cycle
        | Op::NotReplaced
        | Op::ThroughJustCreated
        | Op::Dangling
        | Op::RelativeSymlink
        | Op::DirectoryAgain
        | Op::ThroughSymlink
        | Op::Verify
        | Op::Publish
        | Op::WriteMountPoint
        | Op::ReadRules
        | Op::SourceLost
        | Op::TargetLost
        | Op::NotAsPlanned
        | Op::LinkNotAsPlanned
        | Op::KillsCopiers => "copy",
    }
}
