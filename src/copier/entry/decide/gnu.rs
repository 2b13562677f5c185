//! The rules of GNU cp for existing entries.
//!
//! The rules and their order are those of GNU cp 9.x: as its manual ("cp invocation") describes them or,
//! where the manual says nothing, as cp behaves.

use super::super::action::{Action, Reason};
use super::super::result::Unfinished;
use super::super::{Entry, op_of};
use super::{has_contents, prompt, skipped_by_update, was_published};
use crate::copier::context::Context;
use crate::error::{EntryError, Op};
use crate::options::{Control, CopyMode, Dereference, Links, Update};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::os::fd::AsFd;

/// Whether source and target are the same file, and what follows from that.
enum SameFile {
    /// They are different files, or the copy does no harm although they are the same.
    Harmless,
    /// The target is already what the copy would be.
    Done,
    /// The copy would destroy one of them.
    Harmful,
}

/// The existing entry with the target's name.
struct Existing {
    /// The status of the entry itself.
    itself: Stat,
    /// The status of the file that cp would write. If the entry is a symlink that cp follows, this is the
    /// file that the entry leads to; otherwise it is the entry itself.
    old: Stat,
    /// Whether the entry is a symlink that cp follows.
    through: bool,
}

/// Chooses what to do with an entry in a directory that existed before this run.
pub(crate) fn decide(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
) -> Result<Action, Unfinished> {
    let options = cx.options();
    let Some(itself) = entry.dirs.find(cx.plan(), entry.target_name, Op::StatTarget)? else {
        return Ok(Action::Create);
    };
    if cx.was_begun_new(entry.name) && itself.kind() != Kind::Directory {
        return Ok(Action::CreateAnew);
    }
    let existing = match follow(cx, entry, source, itself)? {
        Ok(existing) => existing,
        Err(action) => return Ok(action),
    };
    if cx.was_begun_in_place(entry.name) {
        if existing.old.kind() == Kind::Special && !existing.old.is_block_device() {
            // What the copier that died has written into a FIFO or device cannot be taken back.
            return Err(Op::KillsCopiers.error()(Errno::EIO).into());
        }
        return Ok(Action::WriteInto { through: existing.through });
    }
    if was_published(cx, entry, source, &existing.old)? {
        return Ok(Action::Skip { reason: Reason::Published, old: existing.old });
    }
    let same_file = compare_files(cx, entry, source, &existing);
    let is_kept = matches!(options.update, Update::None | Update::NoneFail);
    if matches!(same_file, SameFile::Harmful) && !is_kept {
        return Err(Op::SameFile.error()(Errno::EEXIST).into());
    }
    if let Some(reason) = skipped_by_update(cx, entry, source, &existing.old)? {
        return Ok(Action::Skip { reason, old: existing.old });
    }
    prompt(cx, entry, &existing.old)?;
    if matches!(same_file, SameFile::Done) {
        return Ok(Action::Skip { reason: Reason::SameFile, old: existing.old });
    }
    check(cx, entry, source, &existing)?;
    Ok(replace_or_write(cx, entry, source, &existing))
}

/// Follows a symlink in the target if cp would write to the file that it leads to. If the symlink is
/// dangling, or with `--force` part of a loop, returns an action instead of an existing entry.
fn follow(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    itself: Stat,
) -> Result<Result<Existing, Action>, EntryError> {
    let through = itself.kind() == Kind::Symlink && writes(cx, source) && keeps_name(cx);
    if !through {
        return Ok(Ok(Existing { itself, old: itself, through }));
    }
    match file::stat_at_following(&entry.dirs.target, entry.target_name) {
        Ok(old) => Ok(Ok(Existing { itself, old, through })),
        Err(Errno::ENOENT) if entry.dirs.just_created => {
            Err(Op::ThroughJustCreated.error()(Errno::EEXIST))
        }
        Err(Errno::ENOENT) => Ok(Err(Action::CreateThrough)),
        Err(Errno::ELOOP) if cx.options().force => {
            Ok(Err(Action::Replace { old: itself, removed: true }))
        }
        Err(errno) => Err(Op::StatTarget.error()(errno)),
    }
}

/// Whether the existing entry keeps its name: the options require neither a backup nor its removal.
fn keeps_name(cx: &Context<'_>) -> bool {
    cx.options().backup.is_none() && !cx.options().remove_destination
}

/// Whether cp writes into a file in the target, and does not create a link or a special file.
fn writes(cx: &Context<'_>, source: &Stat) -> bool {
    let mode = cx.options().copy_mode;
    matches!(mode, CopyMode::Copy | CopyMode::AttributesOnly) && has_contents(cx, source)
}

/// Fails if the existing entry is a directory, or if this run has created it from another source.
fn check(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    existing: &Existing,
) -> Result<(), EntryError> {
    let options = cx.options();
    if existing.old.kind() == Kind::Directory {
        let writes = writes(cx, source);
        // Without backups cp refuses to replace a directory by another entry. With backups cp continues, and
        // its next system call fails. The operations and errnos are those of that system call.
        let links =
            !writes && (options.copy_mode != CopyMode::Copy || source.kind() == Kind::Symlink);
        let make = op_of(cx, source);
        return Err(match &options.backup {
            None => Op::FileOverDirectory.error()(Errno::EISDIR),
            Some(_) if writes && options.force => Op::Remove.error()(Errno::EISDIR),
            Some(_) if writes => Op::Create.error()(Errno::EISDIR),
            Some(_) if options.force && links => make.error()(Errno::EISDIR),
            Some(_) => make.error()(Errno::EEXIST),
        });
    }
    let numbered = matches!(&options.backup, Some(backup) if backup.control == Control::Numbered);
    if entry.dirs.just_created && !numbered {
        let op = if existing.through { Op::ThroughJustCreated } else { Op::JustCreated };
        return Err(op.error()(Errno::EEXIST));
    }
    Ok(())
}

fn replace_or_write(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    existing: &Existing,
) -> Action {
    let options = cx.options();
    let is_one_of_many = options.preserve.links != Links::No && existing.old.links() > 1;
    let is_other_kind = dereference(cx, entry) == Dereference::Never && source.kind() != Kind::File;
    let removed = !keeps_name(cx)
        || options.copy_mode != CopyMode::AttributesOnly && (is_one_of_many || is_other_kind);
    // With `--force`, and for hard links also with `--interactive`, cp makes the new link under a temporary
    // name and renames it over the existing entry atomically. So cp does not remove the existing entry first.
    let makes_symlink = options.copy_mode == CopyMode::Symlink || source.kind() == Kind::Symlink;
    let forced = match options.copy_mode {
        CopyMode::HardLink => options.force || options.ask,
        _ => options.force && makes_symlink,
    };
    if removed || forced {
        Action::Replace { old: existing.itself, removed: removed && options.backup.is_none() }
    } else {
        Action::WriteInto { through: existing.through }
    }
}

/// Returns which symlinks of the source cp follows in this directory: below an operand, all or none.
fn dereference(cx: &Context<'_>, entry: &Entry<'_>) -> Dereference {
    match cx.options().dereference {
        Dereference::CommandLine if !entry.dirs.contended => Dereference::Never,
        option => option,
    }
}

/// Compares source and target. They are the same file if they are one name, two names of one inode, or a
/// symlink and the file that it leads to.
fn compare_files(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    existing: &Existing,
) -> SameFile {
    let (options, itself, old) = (cx.options(), &existing.itself, &existing.old);
    let same = source.identity() == old.identity();
    if same && options.copy_mode == CopyMode::HardLink {
        return SameFile::Done;
    }
    let follows = dereference(cx, entry) != Dereference::Never;
    let named = if follows {
        if !same {
            return SameFile::Harmless;
        }
        let Ok(named) = file::stat_at(&entry.dirs.source, entry.name) else {
            return SameFile::Harmless;
        };
        if is_symlink(&named) && is_symlink(itself) && options.remove_destination {
            return SameFile::Harmless;
        }
        named
    } else {
        if is_symlink(source) && is_symlink(old) {
            return match (is_same_name(entry), same && options.backup.is_none()) {
                (true, _) => SameFile::Harmful,
                (false, true) => SameFile::Done, // two names of one symlink
                (false, false) => SameFile::Harmless,
            };
        }
        *source
    };
    let same_entry = named.identity() == itself.identity();
    if options.backup.is_some() {
        // The existing entry keeps a name, that of the backup. But a source that is a symlink to it would
        // then lead to no file, or to the new file.
        let harmless = if same_entry {
            !is_same_name(entry)
        } else {
            !(follows && is_symlink(&named) && !is_symlink(itself))
        };
        return if harmless { SameFile::Harmless } else { SameFile::Harmful };
    }
    if options.remove_destination
        && (is_symlink(itself) || same_entry && itself.links() > 1 && !is_same_name(entry))
    {
        return SameFile::Harmless;
    }
    if !is_symlink(&named) && !is_symlink(itself) && !same_entry {
        return SameFile::Harmless;
    }
    if options.copy_mode == CopyMode::Symlink && is_symlink(itself) {
        return SameFile::Harmless;
    }
    if follows {
        return SameFile::Harmful;
    }
    compare_ends(cx, entry, &named, itself)
}

/// Compares the files that the two names lead to in the end; used if cp does not follow symlinks.
fn compare_ends(cx: &Context<'_>, entry: &Entry<'_>, named: &Stat, itself: &Stat) -> SameFile {
    let end = |stat: &Stat, dir, name| {
        if is_symlink(stat) { file::stat_at_following(dir, name) } else { Ok(*stat) }
    };
    let (from, to) = (entry.dirs.source.as_fd(), entry.dirs.target.as_fd());
    let ends =
        end(named, from, entry.name).and_then(|one| Ok((one, end(itself, to, entry.target_name)?)));
    match ends {
        Ok((one, other)) if one.identity() == other.identity() => {
            match cx.options().copy_mode == CopyMode::HardLink {
                true if is_symlink(itself) => SameFile::Harmless,
                true => SameFile::Done,
                false => SameFile::Harmful,
            }
        }
        _ => SameFile::Harmless,
    }
}

fn is_symlink(stat: &Stat) -> bool {
    stat.kind() == Kind::Symlink
}

/// Whether source and target are the same name in the same directory.
fn is_same_name(entry: &Entry<'_>) -> bool {
    let identity = |dir| file::stat_fd(dir).map(|stat| stat.identity());
    let source = identity(entry.dirs.source.as_fd());
    entry.name == entry.target_name
        && source.is_ok()
        && source == identity(entry.dirs.target.as_fd())
}
