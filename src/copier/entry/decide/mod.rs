//! Decides what a copier does with an entry: chooses an [`Action`](super::action::Action) from the status of
//! source and target. Changes nothing.
//!
//! There are two sets of rules, those of pcopy ([`native`]) and those of GNU cp ([`gnu`]). This file has what
//! both use: which entries are up to date, which existing entries `--update` keeps, and when the user is
//! prompted.
//!
//! The cheapest checks come first. In a new directory that this run builds, nothing is decided in advance:
//! `create` creates the entry. Only if the name already exists does `create` check whether the existing entry
//! is up to date.

pub(crate) mod gnu;
mod hidden_change;
pub(crate) mod native;

pub(super) use hidden_change::Likeness;

use super::action::Reason;
use super::attributes::looks_complete;
use super::data::{self, BUFFER_BYTES};
use super::fill::Source;
use super::result::Unfinished;
use super::{Entry, copies_contents, data_bytes};
use crate::copier::context::Context;
use crate::error::{EntryError, Op};
use crate::options::{Control, CopyMode, Update};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::os::fd::{AsFd, OwnedFd};

/// How many bytes are compared at a time, if the contents decide whether a file is up to date.
const COMPARE_BYTES: usize = BUFFER_BYTES / 4;

/// Returns the reason if `--update` keeps the existing entry, whatever its type and contents; otherwise
/// returns `None`. With `--update=none-fail`, the user wants an error: fails with [`Op::NotReplaced`].
pub(crate) fn skipped_by_update(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    old: &Stat,
) -> Result<Option<Reason>, EntryError> {
    match cx.options().update {
        Update::Older => {
            let place = (entry.dirs, entry.target_name);
            let is_same = || cx.attrs.times_are_reliable() && cx.has_time_of(place, source, old);
            let is_older = source.is_newer_than(old) && !is_same();
            Ok((!is_older).then_some(Reason::NotOlder))
        }
        Update::None => Ok(Some(Reason::NoClobber)),
        Update::NoneFail => Err(Op::NotReplaced.error()(Errno::EEXIST)),
        Update::Different | Update::All => Ok(None),
    }
}

/// Whether a copier of this run renamed the entry into place and died before it reported the entry.
pub(crate) fn was_published(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    old: &Stat,
) -> Result<bool, Unfinished> {
    if !cx.was_begun(entry.name) {
        return Ok(false);
    }
    let is_source = old.identity() == source.identity();
    match cx.options().copy_mode {
        CopyMode::Copy => Ok(!is_source && is_up_to_date(cx, entry, source, old)?),
        CopyMode::HardLink => Ok(is_source),
        CopyMode::AttributesOnly => {
            Ok(source.type_bits() == old.type_bits() && data_bytes(old) == 0)
        }
        CopyMode::Symlink => Ok(false), // `link` compares the contents of symlinks itself
    }
}

/// Whether an existing file keeps its contents and gets only the attributes of the source: with
/// `--attributes-only`, unless a backup or `--remove-destination` makes way for a new file.
pub(crate) fn keeps_contents(cx: &Context<'_>) -> bool {
    let options = cx.options();
    let makes_room = options.backup.is_some() || options.remove_destination;
    options.copy_mode == CopyMode::AttributesOnly && !makes_room
}

/// Fails with [`Op::JustCreated`] if `just_created` says that this run has created the existing entry, from
/// another source with the same target. With numbered backups, such an entry may be replaced.
pub(crate) fn check_just_created(cx: &Context<'_>, just_created: bool) -> Result<(), EntryError> {
    let backup = cx.options().backup.as_ref();
    let numbered = backup.is_some_and(|backup| backup.control == Control::Numbered);
    if just_created && !numbered { Err(Op::JustCreated.error()(Errno::EEXIST)) } else { Ok(()) }
}

/// Fails with [`Unfinished::Ask`] if the user must agree to the replacement of `old` and has not been
/// prompted yet.
pub(crate) fn prompt(cx: &Context<'_>, entry: &Entry<'_>, old: &Stat) -> Result<(), Unfinished> {
    if !cx.options().ask || cx.job.prompts_answered {
        return Ok(());
    }
    let (target, name) = (&entry.dirs.target, entry.target_name);
    let writable = old.kind() == Kind::Symlink || file::may_write_at(target, name);
    Err(Unfinished::Ask { mode: old.permissions(), writable })
}

/// Prompts like [`prompt`] if the existing entry would be replaced, and holds back an entry if a directory is in its way. Called before the copier decides whether
/// to defer this name of an inode: deferred names become links after all prompts, and then pcopy prompts no
/// more.
pub(crate) fn prompt_before_deferring(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
) -> Result<(), Unfinished> {
    let dirs = entry.dirs;
    let may_hold_back = cx.may_hold_back(dirs);
    let may_ask = cx.options().ask && !cx.job.prompts_answered && !dirs.staged;
    if !may_ask && !may_hold_back || cx.job.inodes.is_none() {
        return Ok(());
    }
    let Ok(old) = file::stat_at(&dirs.target, entry.target_name) else { return Ok(()) };
    hold_back(cx, entry, &old)?;
    if !may_ask {
        return Ok(());
    }
    let stays = old.kind() == Kind::Directory
        || !matches!(skipped_by_update(cx, entry, source, &old), Ok(None))
        || is_up_to_date(cx, entry, source, &old)?;
    if stays { Ok(()) } else { prompt(cx, entry, &old) }
}

/// Fails with [`Unfinished::HeldBack`] if the existing entry is a directory that `--delete` may remove at the end. Called, too,
/// before the copier decides whether to defer this name of an inode.
pub(crate) fn hold_back(cx: &Context<'_>, entry: &Entry<'_>, old: &Stat) -> Result<(), Unfinished> {
    let is_in_the_way = old.kind() == Kind::Directory && cx.may_hold_back(entry.dirs);
    if is_in_the_way { Err(Unfinished::HeldBack) } else { Ok(()) }
}

/// Whether the existing entry `old` is up to date: see [`look`].
pub(crate) fn is_up_to_date(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    old: &Stat,
) -> Result<bool, Unfinished> {
    Ok(look(cx, entry, source, old)? != Likeness::Different)
}

/// Like [`is_up_to_date`], but without doubt: for an entry that was already kept.
pub(crate) fn seems_up_to_date(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    old: &Stat,
) -> Result<bool, Unfinished> {
    match is_known_by_time(cx, entry, source, old) {
        None => Ok(false),
        Some(known) => has_contents_of(cx, entry, (source, old), !known),
    }
}

/// Finds out whether the existing entry `old` is up to date: it has the type, size and modification time of the source.
/// A symlink must also have the same contents.
///
/// The contents of a file are compared, too, if times are not preserved or the target refuses them, or if a
/// power cut may have left the file with its time but not its data, or if there is [`doubt`](hidden_change::doubt).
/// With `--checksum`, which ignores times, they are always compared.
pub(crate) fn look(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    old: &Stat,
) -> Result<Likeness, Unfinished> {
    let Some(known) = is_known_by_time(cx, entry, source, old) else {
        return Ok(Likeness::Different);
    };
    let doubt = || hidden_change::doubt(cx, entry, source, old);
    if let Some(doubt) = (known && looks_complete(source, old)).then(doubt).flatten() {
        return hidden_change::compare(cx, entry, source, doubt);
    }
    let is_same = has_contents_of(cx, entry, (source, old), !known)?;
    Ok(if is_same { Likeness::UpToDate } else { Likeness::Different })
}

/// Whether the time of the existing entry `old` says that it has the data of its source; if not, the contents must be
/// compared. Returns `None` if the time says that it has not.
fn is_known_by_time(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    old: &Stat,
) -> Option<bool> {
    let (options, dirs, kind) = (cx.options(), entry.dirs, source.kind());
    let checksum = options.checksum && kind == Kind::File;
    let times_are_reliable =
        !checksum && cx.attrs.times_are_reliable() && !cx.refuses_times(dirs.traits.device, kind);
    if times_are_reliable && !cx.has_time_of((dirs, entry.target_name), source, old) {
        return None;
    }
    // If a power cut ended the previous run, a staged file may have its time but not its data. And with `--verify`, no
    // run has verified it.
    let must_read_staged = options.writes_back_before_publish() || options.verify;
    Some(times_are_reliable && !(must_read_staged && dirs.staged))
}

/// Whether the existing entry `old` has the type, the size and, if `must_read` is set, the data of the source.
/// A symlink must also have the same text.
pub(crate) fn has_contents_of(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    (source, old): (&Stat, &Stat),
    must_read: bool,
) -> Result<bool, Unfinished> {
    if !looks_complete(source, old) {
        return Ok(false);
    }
    let dirs = entry.dirs;
    match source.kind() {
        Kind::Symlink => {
            let text = file::read_symlink(&dirs.source, entry.name).map_err(Op::Read.error())?;
            let old = file::read_symlink(&dirs.target, entry.target_name);
            Ok(old.is_ok_and(|old| old == text))
        }
        Kind::File if must_read => has_same_contents(cx, entry),
        _ => Ok(true),
    }
}

/// Whether both files have the same bytes. Returns false if the target cannot be read, so that the source is
/// copied again.
fn has_same_contents(cx: &Context<'_>, entry: &Entry<'_>) -> Result<bool, Unfinished> {
    let from = Source::open(cx, entry)?.file;
    let Ok(to) = file::open_noatime(&entry.dirs.target, entry.target_name) else {
        return Ok(false);
    };
    same_data(cx, &from, &to)
}

fn same_data(cx: &Context<'_>, from: &OwnedFd, to: &OwnedFd) -> Result<bool, Unfinished> {
    let (mut theirs, mut ours) = (vec![0; COMPARE_BYTES], vec![0; COMPARE_BYTES]);
    let buffers = (&mut theirs[..], &mut ours[..]);
    match data::same(from.as_fd(), to.as_fd(), buffers, cx.status) {
        Err(Unfinished::Failed(EntryError { op: Op::ReadBack, .. })) => Ok(false),
        result => result,
    }
}

/// Whether a copier copies the contents of `source`. Otherwise it creates a symlink or special file like
/// `source`.
fn has_contents(cx: &Context<'_>, source: &Stat) -> bool {
    copies_contents(cx, source.kind())
}
