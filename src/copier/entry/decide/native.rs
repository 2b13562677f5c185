//! The rules of pcopy for existing entries.

use super::super::action::{Action, Reason};
use super::super::result::Unfinished;
use super::super::{Entry, points_to};
use super::{
    Likeness, check_just_created, has_contents, hold_back, keeps_contents, look, prompt,
    skipped_by_update, was_published,
};
use crate::copier::context::Context;
use crate::error::Op;
use crate::options::{CopyMode, Links, Update};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};

/// Chooses what to do with an entry in a directory that existed before this run.
pub(crate) fn decide(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
) -> Result<Action, Unfinished> {
    let in_place = cx.options().in_place;
    if in_place && cx.was_begun_in_place(entry.name) {
        return Ok(Action::WriteInto { through: false });
    }
    if in_place && cx.was_begun_new(entry.name) {
        return Ok(Action::CreateAnew);
    }
    let Some(old) = entry.dirs.find(cx.plan(), entry.target_name, Op::Create)? else {
        return Ok(Action::Create);
    };
    if was_published(cx, entry, source, &old)? {
        return Ok(Action::Skip { reason: Reason::Published, old });
    }
    // As with cp, `--update` decides first, and the checks of the existing entry come later.
    if let Some(reason) = skipped_by_update(cx, entry, source, &old)? {
        return Ok(Action::Skip { reason, old });
    }
    if let Some(reason) = stays(cx, entry, source, &old)? {
        return Ok(Action::Skip { reason, old });
    }
    prompt(cx, entry, &old)?;
    Ok(if in_place && may_be_written_into(cx, source, &old) {
        Action::WriteInto { through: false }
    } else {
        Action::Replace { old, removed: false }
    })
}

/// Returns the reason if the existing entry keeps its contents; `None` if the copy replaces it. Fails if the
/// copy should replace it but must not, for example because it is a directory.
fn stays(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    old: &Stat,
) -> Result<Option<Reason>, Unfinished> {
    let (options, dirs) = (cx.options(), entry.dirs);
    hold_back(cx, entry, old)?;
    if old.kind() == Kind::Directory {
        return Err(Op::FileOverDirectory.error()(Errno::EISDIR).into());
    }
    check_just_created(cx, dirs.just_created)?;
    let same_file = Op::SameFile.error()(Errno::EEXIST);
    if points_to(entry, source, old) {
        return Err(same_file.into());
    }
    if keeps_contents(cx) && source.type_bits() == old.type_bits() {
        return Ok(Some(Reason::AttributesOnly));
    }
    // `--update=older` replaces an older file even if the contents are the same: the file would otherwise
    // stay older for ever.
    if matches!(options.update, Update::All | Update::Older) {
        return if old.identity() == source.identity() { Err(same_file.into()) } else { Ok(None) };
    }
    if old.identity() == source.identity() && options.copy_mode == CopyMode::Copy {
        // A hard link to the source is not a copy of it, because a write to one changes both. If the link is
        // in another directory than the source, a copy replaces it. If both are in the same directory, the
        // entry fails.
        return if is_elsewhere(entry) { Ok(None) } else { Err(same_file.into()) };
    }
    let reason = match look(cx, entry, source, old)? {
        Likeness::Different => return Ok(None),
        Likeness::UpToDate => Reason::UpToDate,
        Likeness::Compared(doubt) => Reason::Compared(doubt),
    };
    // If the existing file has more names than its source, a repair would change the file under names that
    // pcopy does not know. So pcopy replaces the file instead.
    let has_time = cx.has_time_of((dirs, entry.target_name), source, old);
    let is_changed = cx.attrs.would_repair(source, old) || !has_time;
    let has_other_names = old.links() > source.links();
    Ok((!(is_changed && has_other_names)).then_some(reason))
}

/// Whether `--inplace` may write into the existing file `old`; otherwise the file is replaced.
///
/// With `--update=older` the file is replaced: if a run were interrupted, an incomplete file would be newer
/// than its source, so the next run would skip it. The file is also replaced in these cases:
///
/// * The options require a backup or the removal of the existing file.
/// * The file has other names, and hard links are preserved: the other names would change, too.
/// * The file is not a regular file, or the source has no contents to write.
fn may_be_written_into(cx: &Context<'_>, source: &Stat, old: &Stat) -> bool {
    let options = cx.options();
    let looks_complete = options.update == Update::Older;
    let is_replaced = looks_complete
        || options.backup.is_some()
        || options.remove_destination
        || options.preserve.links != Links::No && old.links() > 1
        || old.kind() != Kind::File
        || !has_contents(cx, source);
    !is_replaced
}

/// Whether source and target are in two different directories. Two paths to the same directory count as one.
fn is_elsewhere(entry: &Entry<'_>) -> bool {
    let identity = |dir| file::stat_fd(dir).map(|stat| stat.identity());
    let (source, target) = (identity(&entry.dirs.source), identity(&entry.dirs.target));
    source.is_ok() && target.is_ok() && source != target
}
