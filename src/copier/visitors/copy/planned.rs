//! `--apply`: which entries are copied, and whether they are still what the plan says of them.

use super::entries::kind_of;
use super::{CopyVisitor, CopyWalk, Found};
use crate::copier::entry::action::Action;
use crate::copier::entry::decide::is_up_to_date;
use crate::copier::entry::itemize;
use crate::copier::report_writer::ParentGone;
use crate::copier::traverse::DirProgress;
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::{Details, Event};
use crate::ipc::wire::itemized::Act;
use crate::options::CopyMode;
use crate::plan::{Applied, KeptDir, Role};
use crate::plan_file::Operation;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use std::os::fd::AsFd;

/// How an entry differs from what the plan says of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Drift {
    None,
    /// The source is what it was.
    TargetOnly,
    Source,
}

/// An existing entry with which something was to be done.
#[derive(Clone, Copy)]
struct Existing {
    /// Whether nothing is left to do: a run that was interrupted has done it.
    is_done: bool,
    /// The inode of the source, if its other names can become links to the entry.
    leads: Option<Identity>,
}

impl<'a> CopyVisitor<'a> {
    /// Whether an entry is to be copied. Otherwise it is counted and reported, if it was to be.
    pub(super) fn admits(
        &mut self,
        walk: &mut CopyWalk<'a>,
        found: Found<'_>,
        applied: &'a Applied,
        progress: &mut DirProgress,
    ) -> Result<bool, ParentGone> {
        let path = walk.at.source_of(found.name.to_bytes());
        match applied.role(walk.at.operand, &path) {
            Some(Role::Directory) => Ok(true),
            Some(Role::Passed(_)) if is_dir(walk, found) => Ok(true),
            Some(Role::Passed(_)) => not_as_planned(walk, found),
            Some(Role::Entry(operation)) => self.admits_entry(walk, found, operation, progress),
            Some(Role::Leader) => {
                walk.cx.status.subtract(Count::Found, 1); // nothing is done with it
                if let Some(existing) = self.look(walk, found) {
                    self.lead(walk, found, existing, progress)?;
                }
                Ok(false)
            }
            None => {
                walk.cx.status.subtract(Count::Found, 1);
                Ok(false)
            }
        }
    }

    fn admits_entry(
        &mut self,
        walk: &mut CopyWalk<'a>,
        found: Found<'_>,
        operation: &Operation,
        progress: &mut DirProgress,
    ) -> Result<bool, ParentGone> {
        let has_begun = walk.cx.was_done(found.name) || walk.cx.was_begun(found.name);
        let drift = if has_begun { Drift::None } else { drift(walk, found, operation) };
        if drift == Drift::TargetOnly
            && let Some(existing) = self.look(walk, found).filter(|existing| existing.is_done)
        {
            walk.cx.status.add(Count::Skipped, 1);
            self.lead(walk, found, existing, progress)?;
            return Ok(false);
        }
        if drift != Drift::None {
            return not_as_planned(walk, found);
        }
        if operation.link_to.is_none() {
            return Ok(true);
        }
        match found.dirs.stat_source(found.name) {
            Ok(source) => self.defer(walk, found, source.identity(), progress)?,
            Err(errno) => walk.record_failed(Some(found.name), Op::Stat.error()(errno))?,
        }
        Ok(false)
    }

    /// Finds out what there is to do with an existing entry.
    fn look(&self, walk: &CopyWalk<'a>, found: Found<'_>) -> Option<Existing> {
        let Found { dirs, name, target_name } = found;
        let entry = &found.at(&walk.at);
        let kind = kind_of(walk, (dirs.source.as_fd(), dirs.follow), Kind::Unknown, name).ok()?;
        let (source, action, identity) = self.entry_copier.foresee(entry, kind).ok()?;
        let old = file::stat_at(&dirs.target, target_name).ok()?;
        let is_skipped = match action {
            Action::Skip { reason, .. } => reason.leads(walk.cx.policy()),
            // It would be replaced by the same (`--update=all`).
            _ => is_up_to_date(&walk.cx, entry, &source, &old).is_ok_and(|is_same| is_same),
        };
        let has_attributes = || {
            itemize::of_entry(&walk.cx, entry, (&source, Some(&old)), Act::Attributes).is_nothing()
        };
        let is_done = is_skipped && has_attributes();
        Some(Existing { is_done, leads: identity.filter(|_| is_skipped) })
    }

    /// Reports an existing name to which other names are to become hard links. Leaves the name alone.
    fn lead(
        &mut self,
        walk: &mut CopyWalk<'a>,
        found: Found<'_>,
        existing: Existing,
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        let Some(identity) = existing.leads else { return Ok(()) };
        progress.below_handed_over = true;
        self.pending.note_handed_over(walk.at.source.len(), false);
        let event = Event::Leader { identity, new: false, details: Details::default() };
        walk.report_names(found.name, found.target_name, event, || ())
    }
}

/// Returns what the plan that is carried out does with an entry; `None` without a plan, or for a directory.
pub(super) fn operation_of<'a>(walk: &CopyWalk<'a>, found: Found<'_>) -> Option<&'a Operation> {
    let applied = walk.cx.plan().applied.as_ref()?;
    match applied.role(walk.at.operand, &walk.at.source_of(found.name.to_bytes())) {
        Some(Role::Entry(operation)) => Some(operation),
        _ => None,
    }
}

/// Returns the attributes that the directory that the walk is in keeps, because the plan that is carried out does not change
/// them.
pub(super) fn kept_dir(walk: &CopyWalk<'_>) -> Option<KeptDir> {
    let applied = walk.cx.plan().applied.as_ref()?;
    applied.kept_dir(walk.at.operand, &walk.at.source)
}

/// Compares an entry with what the plan says of it.
pub(super) fn drift(walk: &CopyWalk<'_>, found: Found<'_>, operation: &Operation) -> Drift {
    let Found { dirs, name, target_name } = found;
    // A link to a source changes the status of all its names.
    let links = walk.cx.options().copy_mode == CopyMode::HardLink;
    let is_source_still = match (&operation.source, dirs.stat_source(name)) {
        (Some(then), Ok(now)) if links && then.has_other_names() => then.has_contents_of(&now),
        (Some(then), Ok(now)) => then.is_still(&now),
        _ => false,
    };
    if !is_source_still {
        return Drift::Source;
    }
    if dirs.staged {
        return Drift::None; // no other program has made anything there
    }
    let Some(applied) = &walk.cx.plan().applied else { return Drift::None };
    let path = walk.at.source_of(name.to_bytes());
    let now = file::stat_at(&dirs.target, target_name);
    if applied.is_target_still(operation, &path, now) { Drift::None } else { Drift::TargetOnly }
}

/// Whether the target of a child directory is a directory.
fn is_dir(walk: &CopyWalk<'_>, found: Found<'_>) -> bool {
    let follows = walk.cx.options().keep_directory_symlink;
    let look = if follows { file::stat_at_following } else { file::stat_at };
    look(found.dirs.target.as_fd(), found.target_name)
        .is_ok_and(|stat: Stat| stat.kind() == Kind::Directory)
}

fn not_as_planned(walk: &mut CopyWalk<'_>, found: Found<'_>) -> Result<bool, ParentGone> {
    let error: EntryError = Op::NotAsPlanned.error()(Errno::ECANCELED);
    walk.record_failed(Some(found.name), error)?;
    Ok(false)
}
