//! The program's own words: lower case, the act, the thing quoted, the cause, no full stop.

use crate::ipc::difference::{Aspect, Difference};
use crate::ipc::report::{Fault, Step};
use crate::quote::quote;
use crate::sys::{Errno, describe};

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
        Step::DirectoryAgain => format!("{source} is copied already"),
        Step::Cycle => format!("cannot copy cyclic symbolic link {source}"),
        Step::NotReplaced => format!("not replacing {target}"),
        Step::ThroughJustCreated => {
            format!("will not copy {source} through just-created symlink {target}")
        }
        Step::Dangling => format!("not writing through dangling symlink {target}"),
        Step::Elsewhere => {
            format!("{target}: can make relative symbolic links only in current directory")
        }
        Step::ThroughSymlink => format!("{target} leads through a symlink; it is not read"),
        Step::Clone => format!("cannot clone {source} to {target}: {cause}"),
        Step::Verify => {
            format!("{target} is not what was read from {source}, twice; it was removed")
        }
        Step::Sync => format!("cannot write {thing} to the disk: {cause}"),
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
        Step::DirectoryAgain => "copied already".to_owned(),
        Step::Cycle => "cyclic symbolic link".to_owned(),
        Step::NotReplaced => "not replaced".to_owned(),
        Step::Verify => "not what was read".to_owned(),
        Step::ThroughJustCreated => "not written through a just-created symlink".to_owned(),
        Step::Dangling => "not written through a dangling symlink".to_owned(),
        Step::Elsewhere => "a relative symbolic link would lead nowhere".to_owned(),
        Step::ThroughSymlink => "through a symlink, not read".to_owned(),
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

/// A source entry that was there when its folder was listed and gone when it was to be compared.
pub fn describe_vanished_unseen(source: &[u8]) -> String {
    format!("{} vanished before it was compared", quote(source))
}

/// One line about an entry that is not as it should be.
pub fn describe_difference(difference: Difference, target: &[u8]) -> String {
    let target = quote(target);
    match difference {
        Difference::Missing(mode) => format!("missing: {target}{}", if_folder(mode)),
        Difference::Extra(mode) => format!("extra: {target}{}", if_folder(mode)),
        Difference::Other { aspects, wanted, found } => {
            let words = ASPECTS.iter().filter(|(aspect, _)| aspects.has(*aspect));
            let words: Vec<_> = words
                .map(|(aspect, word)| match aspect {
                    Aspect::Type => format!("{} instead of {}", kind(found), kind(wanted)),
                    Aspect::Permissions => {
                        format!("{word} {:04o} instead of {:04o}", found & 0o7777, wanted & 0o7777)
                    }
                    _ => (*word).to_owned(),
                })
                .collect();
            format!("different: {target}: {}", words.join(", "))
        }
    }
}

/// Two names that are one file in the source and not in the target, or the other way round.
pub fn describe_twins(target: &[u8], first: &[u8]) -> String {
    format!("different: {}: hard links, of {}", quote(target), quote(first))
}

const ASPECTS: [(Aspect, &str); 7] = [
    (Aspect::Type, ""),
    (Aspect::Contents, "contents"),
    (Aspect::Permissions, "permission bits"),
    (Aspect::Time, "modification time"),
    (Aspect::Owner, "owner or group"),
    (Aspect::AccessLists, "access list"),
    (Aspect::Attributes, "extended attributes"),
];

fn if_folder(mode: u32) -> &'static str {
    if mode & 0o170_000 == 0o040_000 { ", a folder, with all in it" } else { "" }
}

fn kind(mode: u32) -> &'static str {
    match mode & 0o170_000 {
        0o100_000 => "a file",
        0o040_000 => "a folder",
        0o120_000 => "a symlink",
        0o010_000 => "a FIFO",
        0o140_000 => "a socket",
        _ => "a device",
    }
}

fn act(step: Step) -> &'static str {
    match step {
        Step::OpenSource => "open for reading",
        Step::ReadDirectory => "read directory",
        Step::Stat => "stat",
        Step::Read | Step::ReadSymlink | Step::ReadBack => "read",
        Step::Create
        | Step::CreateSymlink
        | Step::CreateFifo
        | Step::CreateNode
        | Step::SymlinkTo
        | Step::HardLinkTo
        | Step::FileOverDirectory => "create",
        Step::CreateDirectory | Step::DirectoryOverFile => "create directory",
        Step::LookAtTarget => "stat",
        Step::Remove => "remove",
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
        Step::Sync => "write to the disk",
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
        | Step::ThroughJustCreated
        | Step::Dangling
        | Step::Elsewhere
        | Step::DirectoryAgain
        | Step::ThroughSymlink
        | Step::Verify
        | Step::KillsCopiers => "copy",
    }
}
