//! GNU cp's rules for an existing entry.
//!
//! The rules and their order are those of GNU cp 9.x: its manual, "cp invocation", and what it does where
//! the manual is silent.

use super::super::action::{Action, Reason};
use super::super::result::Unfinished;
use super::super::{Entry, op_of};
use super::{has_contents, prompt, update_rule, was_published};
use crate::copier::context::Context;
use crate::error::{EntryError, Op};
use crate::options::{Control, CopyMode, Dereference, Links, Update};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::os::fd::AsFd;

/// Whether source and target are one file, and what follows from that.
enum SameFile {
    /// They are not, or it does no harm.
    Harmless,
    /// The target is already what it should be.
    Done,
    /// One of them would be lost.
    Harmful,
}

/// What has the target's name.
struct Existing {
    /// The entry of that name.
    itself: Stat,
    /// The file that would be written: what the entry leads to, if it is a symlink that is followed.
    old: Stat,
    /// Whether it is.
    through: bool,
}

/// What is to be done with an entry in a directory that existed before this run.
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
    if cx.was_begun_over(entry.name) {
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
    if let Some(reason) = update_rule(cx, source, &existing.old)? {
        return Ok(Action::Skip { reason, old: existing.old });
    }
    prompt(cx, entry, &existing.old)?;
    if matches!(same_file, SameFile::Done) {
        return Ok(Action::Skip { reason: Reason::SameFile, old: existing.old });
    }
    check(cx, entry, source, &existing)?;
    Ok(replace_or_write(cx, entry, source, &existing))
}

/// Looks through a symlink in the target, where cp writes to what it leads to.
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
        Err(Errno::ENOENT) if entry.dirs.again => {
            Err(Op::ThroughJustCreated.error()(Errno::EEXIST))
        }
        Err(Errno::ENOENT) => Ok(Err(Action::CreateThrough)),
        Err(Errno::ELOOP) if cx.options().force => {
            Ok(Err(Action::Replace { old: itself, removed: true }))
        }
        Err(errno) => Err(Op::StatTarget.error()(errno)),
    }
}

/// Whether the existing entry keeps its name, neither backed up nor removed.
fn keeps_name(cx: &Context<'_>) -> bool {
    cx.options().backup.is_none() && !cx.options().remove_destination
}

/// Whether it is a file's bytes that are written, and no link.
fn writes(cx: &Context<'_>, source: &Stat) -> bool {
    let mode = cx.options().copy_mode;
    matches!(mode, CopyMode::Copy | CopyMode::AttributesOnly) && has_contents(cx, source)
}

/// Refuses directories, and what this run has made of another source.
fn check(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    existing: &Existing,
) -> Result<(), EntryError> {
    let options = cx.options();
    if existing.old.kind() == Kind::Directory {
        let writes = writes(cx, source);
        // Without a backup cp refuses to put another entry over a directory. With one it goes on, and its next
        // system call fails: hence these operations and errnos.
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
    if entry.dirs.again && !numbered {
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
    // A link takes the place of another atomically.
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

/// Which symlinks are followed here: below an operand, all or none.
fn dereference(cx: &Context<'_>, entry: &Entry<'_>) -> Dereference {
    match cx.options().dereference {
        Dereference::CommandLine if !entry.dirs.contended => Dereference::Never,
        option => option,
    }
}

/// Whether source and target are one file: the same name, two names, or a symlink and what it leads to.
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
        // The old one keeps a name. But if the source is a symlink to it, that would lead nowhere, or to
        // the new file itself.
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

/// The same for what two names lead to in the end, where symlinks are not followed.
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

/// Whether source and target are one name in one directory.
fn is_same_name(entry: &Entry<'_>) -> bool {
    let identity = |dir| file::stat_fd(dir).map(|stat| stat.identity());
    let source = identity(entry.dirs.source.as_fd());
    entry.name == entry.target_name
        && source.is_ok()
        && source == identity(entry.dirs.target.as_fd())
}
