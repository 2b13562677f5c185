//! What is to be done with an entry: facts in, an [`Action`](super::action::Action) out. Nothing is changed here.
//!
//! There are two sets of rules, pcopy's and GNU cp's. This file has what they share: what counts as up to
//! date, what `--update` excludes, and when the user is asked.
//!
//! The order of questions is the order of cost. In a directory that this round has made nothing is asked
//! at all: `apply` creates the entry, and comes here only if the name is taken.

pub(crate) mod gnu;
pub(crate) mod native;

use super::action::Reason;
use super::attributes;
use super::data::{self, BUFFER_BYTES};
use super::fill::Source;
use super::result::Unfinished;
use super::{Entry, data_bytes, reads};
use crate::copier::context::Context;
use crate::error::{EntryError, Op};
use crate::options::{Control, CopyMode, Update};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::os::fd::AsFd;

/// How much is compared at a time where contents decide whether a file is up to date, in bytes.
const COMPARE_BYTES: usize = BUFFER_BYTES / 4;

/// Whether `--update` keeps an existing entry, whatever it is; an error if the user wants it reported.
pub(crate) fn update_rule(
    cx: &Context<'_>,
    source: &Stat,
    old: &Stat,
) -> Result<Option<Reason>, EntryError> {
    match cx.options().update {
        Update::Older => Ok((!source.is_newer_than(old)).then_some(Reason::NotOlder)),
        Update::None => Ok(Some(Reason::NoClobber)),
        Update::NoneFail => Err(Op::NotReplaced.error()(Errno::EEXIST)),
        Update::Different | Update::All => Ok(None),
    }
}

/// Whether a copier of this run had given the entry its final name when it died, and had not reported it.
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
        CopyMode::Symlink => Ok(false), // `link` compares what the symlink contains
    }
}

/// Whether an existing file keeps its contents and gets the source's attributes only.
pub(crate) fn keeps_contents(cx: &Context<'_>) -> bool {
    let options = cx.options();
    let makes_room = options.backup.is_some() || options.remove_destination;
    options.copy_mode == CopyMode::AttributesOnly && !makes_room
}

/// Refuses to replace what this run has made of another source that has the same target.
pub(crate) fn check_just_created(cx: &Context<'_>, again: bool) -> Result<(), EntryError> {
    let backup = cx.options().backup.as_ref();
    let numbered = backup.is_some_and(|backup| backup.control == Control::Numbered);
    if again && !numbered { Err(Op::JustCreated.error()(Errno::EEXIST)) } else { Ok(()) }
}

/// Leaves the entry for the prompt, if `old` may be replaced only after one and there was none.
pub(crate) fn prompt(cx: &Context<'_>, entry: &Entry<'_>, old: &Stat) -> Result<(), Unfinished> {
    if !cx.options().ask || cx.job.asked {
        return Ok(());
    }
    let (target, name) = (&entry.dirs.target, entry.target_name);
    let writable = old.kind() == Kind::Symlink || file::may_write_at(target, name);
    Err(Unfinished::Ask { mode: old.permissions(), writable })
}

/// The same, before it is agreed which name of an inode is copied: those that are deferred become links
/// when no question is asked any more.
pub(crate) fn prompt_before_deferring(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
) -> Result<(), Unfinished> {
    let dirs = entry.dirs;
    if !cx.options().ask || cx.job.asked || dirs.staged || cx.job.inodes.is_none() {
        return Ok(());
    }
    let Ok(old) = file::stat_at(&dirs.target, entry.target_name) else { return Ok(()) };
    let stays = old.kind() == Kind::Directory
        || !matches!(update_rule(cx, source, &old), Ok(None))
        || is_up_to_date(cx, entry, source, &old)?;
    if stays { Ok(()) } else { prompt(cx, entry, &old) }
}

/// Whether the existing entry is what a copy of the source would be: the same type, size and modification
/// time. A symlink must also have the same contents; so must a file where times are not preserved or not
/// to be trusted, and with `--checksum`.
pub(crate) fn is_up_to_date(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    old: &Stat,
) -> Result<bool, Unfinished> {
    let (options, dirs) = (cx.options(), entry.dirs);
    let checksum = options.checksum && source.kind() == Kind::File;
    let times_tell = cx.attrs.times_tell();
    if !attributes::looks_complete(source, old, times_tell && !checksum) {
        return Ok(false);
    }
    // A staged file may have its time and not its bytes, if a power cut has ended the run before.
    let must_read = checksum || !times_tell || options.writes_back_before_publish() && dirs.staged;
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

/// Whether both files have the same bytes. A target that cannot be read is copied again.
fn has_same_contents(cx: &Context<'_>, entry: &Entry<'_>) -> Result<bool, Unfinished> {
    let from = Source::open(cx, entry)?.file;
    let Ok(to) = file::open_source(&entry.dirs.target, entry.target_name, false) else {
        return Ok(false);
    };
    let (mut theirs, mut ours) = (vec![0; COMPARE_BYTES], vec![0; COMPARE_BYTES]);
    let buffers = (&mut theirs[..], &mut ours[..]);
    match data::same(from.as_fd(), to.as_fd(), buffers, cx.status) {
        Err(Unfinished::Failed(EntryError { op: Op::ReadBack, .. })) => Ok(false),
        result => result,
    }
}

/// Whether the bytes of an existing regular file are replaced by those of the source.
fn has_contents(cx: &Context<'_>, source: &Stat) -> bool {
    reads(cx, source.kind())
}
