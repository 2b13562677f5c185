//! The program's own words: lower case, the act, the thing quoted, the cause, no full stop.

use crate::error::{EntryError, Op};
use crate::ipc::wire::difference::{Aspect, Difference};
use crate::sanitize::quote;
use pcopy_sys::{Errno, describe};

/// One entry's failure in words, after `pcopy: `; `source` and `target` as the user would name them.
pub fn describe_fault(error: EntryError, source: &[u8], target: &[u8]) -> String {
    let (source, target) = (quote(source), quote(target));
    let thing = if error.op.concerns_source() { &source } else { &target };
    let cause = describe(error.errno);
    match error.op {
        Op::OpenSource => format!("cannot open {thing} for reading: {cause}"),
        Op::Changed => format!("{thing} changed while it was read"),
        Op::IntoItself => format!("cannot copy {thing} into itself, {target}"),
        Op::SameFile => format!("{source} and {target} are the same file"),
        Op::BackupIsSource => {
            format!("backing up {target} would destroy the source; {source} not copied")
        }
        Op::JustCreated => format!("will not overwrite just-created {target} with {source}"),
        Op::DirectoryAgain => format!("{source} is copied already"),
        Op::Cycle => format!("cannot copy cyclic symbolic link {source}"),
        Op::NotReplaced => format!("not replacing {target}"),
        Op::ThroughJustCreated => {
            format!("will not copy {source} through just-created symlink {target}")
        }
        Op::Dangling => format!("not writing through dangling symlink {target}"),
        Op::Elsewhere => {
            format!("{target}: can make relative symbolic links only in current directory")
        }
        Op::ThroughSymlink => format!("{target} leads through a symlink; it is not read"),
        Op::Clone => format!("cannot clone {source} to {target}: {cause}"),
        Op::Verify => {
            format!("{target} is not what was read from {source}, twice; it was removed")
        }
        Op::Sync => format!("cannot write {thing} to the disk: {cause}"),
        Op::KillsCopiers => format!("passed over {thing}: copiers died on it again and again"),
        op => format!("cannot {} {thing}: {cause}", act(op)),
    }
}

/// A kind of failure, without the name; for the summary of many.
pub fn describe_kind(error: EntryError) -> String {
    let cause = describe(error.errno);
    match error.op {
        Op::OpenSource => format!("cannot open for reading: {cause}"),
        Op::Changed => "changed while read".to_owned(),
        Op::IntoItself => "cannot copy into itself".to_owned(),
        Op::SameFile => "source and target are the same file".to_owned(),
        Op::BackupIsSource => "backing up would destroy the source".to_owned(),
        Op::JustCreated => "will not overwrite what was just created".to_owned(),
        Op::DirectoryAgain => "copied already".to_owned(),
        Op::Cycle => "cyclic symbolic link".to_owned(),
        Op::NotReplaced => "not replaced".to_owned(),
        Op::Verify => "not what was read".to_owned(),
        Op::ThroughJustCreated => "not written through a just-created symlink".to_owned(),
        Op::Dangling => "not written through a dangling symlink".to_owned(),
        Op::Elsewhere => "a relative symbolic link would lead nowhere".to_owned(),
        Op::ThroughSymlink => "through a symlink, not read".to_owned(),
        Op::KillsCopiers => "copiers died on it".to_owned(),
        op => format!("cannot {}: {cause}", act(op)),
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
        | Op::HardLinkTo
        | Op::FileOverDirectory => "create",
        Op::CreateDirectory | Op::DirectoryOverFile => "create directory",
        Op::LookAtTarget => "stat",
        Op::Remove => "remove",
        Op::OpenTarget => "open directory",
        Op::Write => "write",
        Op::SetTimes => "set times of",
        Op::SetPermissions => "set permissions of",
        Op::SetOwner => "set owner of",
        Op::SetAccessList => "set access list of",
        Op::ReadAttributes => "read extended attributes of",
        Op::SetAttributes => "set extended attributes of",
        Op::Close => "close",
        Op::Publish => "give the final name to",
        Op::Sync => "write to the disk",
        Op::Link => "link",
        Op::Clone => "clone",
        Op::Backup => "back up",
        Op::Follow => "follow",
        Op::Changed
        | Op::IntoItself
        | Op::SameFile
        | Op::BackupIsSource
        | Op::JustCreated
        | Op::Cycle
        | Op::NotReplaced
        | Op::ThroughJustCreated
        | Op::Dangling
        | Op::Elsewhere
        | Op::DirectoryAgain
        | Op::ThroughSymlink
        | Op::Verify
        | Op::KillsCopiers => "copy",
    }
}
