//! Removes from the target what the source does not have, after everything is copied.
//!
//! The parent has the list of what is extraneous, and has judged it as a whole. Copiers share the list; a copier removes
//! what is not a directory, and then the directory, unless it has others. The parent removes those that are left at the end.
//! In a dry run nothing is removed, and the same is reported.

use crate::copier::Worker;
use crate::copier::context::Context;
use crate::copier::dir_pair::c_name;
use crate::copier::report_writer::{ParentGone, ReportWriter};
use crate::copier::traverse::offer::hand_over_ranges;
use crate::copier::traverse::{Walk, select};
use crate::error::{EntryError, Op};
use crate::ipc::inherited::removals::{RemovalUnit, RemovalWork, names_in};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::Event;
use crate::ipc::wire::extraneous::ExtraneousDir;
use crate::ipc::wire::planned::Planned;
use crate::ipc::wire::task::{EntryPath, Task, split_last};
use crate::plan::backup_dir::{BackupDir, Doomed};
use crate::plan::{Operand, Plan};
use crate::plan_file::{Change, Operation, Seen};
use crate::selection::Side;
use pcopy_sys::dir_reader::DirReader;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use pcopy_sys::{Errno, process};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// A copier that removes.
struct RemoveWorker<'a>(RemoveWalk<'a>);

/// The walk goes nowhere by itself: the list says where something is removed.
type RemoveWalk<'a> = Walk<'a, ()>;

/// Returns a worker that removes what the list says.
pub(in crate::copier) fn worker<'a>(
    cx: Context<'a>,
    reports: ReportWriter<'a>,
) -> Box<dyn Worker + 'a> {
    Box::new(RemoveWorker(Walk::new(cx, reports)))
}

impl Worker for RemoveWorker<'_> {
    fn run_task(&mut self, task: Task<'_>) -> Result<(), ParentGone> {
        let Task::Remove { first, end } = task else { return Ok(()) };
        let Self(walk) = self;
        walk.ranges.removals = first..end;
        while let Some(number) = walk.ranges.removals.next() {
            if walk.is_stopped() {
                break;
            }
            hand_over_ranges(walk);
            let Some(unit) = walk.cx.job.removals.unit(number as usize) else { break };
            remove_unit(walk, unit)?;
            walk.reports.flush_if_old()?;
        }
        Ok(())
    }

    fn flush_reports(&mut self) -> Result<(), ParentGone> {
        self.0.reports.flush()
    }
}

fn remove_unit(walk: &mut RemoveWalk<'_>, unit: RemovalUnit<'_>) -> Result<(), ParentGone> {
    let Some(operand) = walk.cx.plan().operands.get(unit.operand as usize) else { return Ok(()) };
    let source = operand.source_of(unit.path);
    let place =
        EntryPath { operand: unit.operand, source: &source, target: unit.path, staged: false };
    walk.at.go_to(place);
    walk.publish_place();
    if walk.cx.is_passed_over(c"") {
        return walk.report(None, Event::FailedLate(Op::KillsCopiers.error()(Errno::EIO)));
    }
    let judged = match unit.work {
        RemovalWork::Entries { dir, .. } => dir,
        RemovalWork::Clear(dir) => dir.identity,
    };
    let dir = match open_judged(walk.cx.plan(), operand, unit.path, judged) {
        Ok(dir) => dir,
        // An earlier round has removed it.
        Err(Errno::ENOENT) if matches!(unit.work, RemovalWork::Clear(_)) => return Ok(()),
        Err(errno) => return walk.report(None, Event::FailedLate(Op::OpenTarget.error()(errno))),
    };
    match unit.work {
        RemovalWork::Entries { names, .. } => {
            for name in names_in(names) {
                if walk.is_stopped() {
                    break;
                }
                if is_as_planned(walk, operand, name)? {
                    remove_entry(walk, &dir, name)?;
                }
            }
            Ok(())
        }
        RemovalWork::Clear(judged) => clear(walk, operand, &dir, judged),
    }
}

/// Opens a directory of the target in which something is removed. Fails with `EBUSY` if it is not the one that was judged.
fn open_judged(
    plan: &Plan,
    operand: &Operand,
    path: &[u8],
    judged: Identity,
) -> Result<OwnedFd, Errno> {
    let dir = plan.open_target(operand, path)?;
    let stat = file::stat_fd(&dir)?;
    if stat.identity() != judged {
        return Err(Errno::EBUSY);
    }
    if !plan.options.dry_run {
        make_usable(&dir, &stat)?;
    }
    Ok(dir)
}

/// Adds the permissions of the owner to a directory that lacks them: the copy of a read-only directory does. The run gives
/// those that belong to the source their final bits afterwards.
fn make_usable(dir: &OwnedFd, stat: &Stat) -> Result<(), Errno> {
    let bits = stat.permissions();
    if process::is_root() || bits & 0o700 == 0o700 || stat.owner() != process::user() {
        return Ok(());
    }
    file::set_permissions(dir, bits | 0o700)
}

/// Removes an entry that is not a directory.
fn remove_entry(walk: &mut RemoveWalk<'_>, dir: &OwnedFd, name: &CStr) -> Result<(), ParentGone> {
    walk.cx.status.at(name);
    if walk.cx.is_passed_over(name) {
        return walk.report(Some(name), Event::FailedLate(Op::KillsCopiers.error()(Errno::EIO)));
    }
    let (plan, is_dry) = (walk.cx.plan(), walk.cx.options().dry_run);
    let unlink = |walk: &mut RemoveWalk<'_>| match (&plan.backup_dir, walk.operand()) {
        _ if is_dry => file::stat_at(dir, name).map(|_| ()).map_err(Op::Remove.error()),
        (Some(backups), Some(operand)) => {
            let doomed = Doomed { operand, dir_path: &walk.at.target, dir: dir.as_fd(), name };
            plan.keep_moved(backups, doomed).map_err(Op::Backup.error())
        }
        _ => file::unlink(dir, name).map_err(Op::Remove.error()),
    };
    let planned = planned(walk, Some(name));
    match walk.retry(|error: &EntryError| Some(*error), unlink) {
        Ok(()) => {
            if let Some(planned) = planned {
                walk.report(Some(name), Event::Planned(planned))?;
            }
            record(walk, Some(name))
        }
        Err(EntryError { errno: Errno::ENOENT, .. }) => Ok(()), // it was removed already
        Err(error) => walk.report(Some(name), Event::FailedLate(error)),
    }
}

/// Returns what a plan says of an entry that would be removed; `None` if no plan is made.
fn planned(walk: &RemoveWalk<'_>, name: Option<&CStr>) -> Option<Planned> {
    if !walk.cx.options().plans {
        return None;
    }
    let mut place = walk.at.clone();
    if let Some(name) = name {
        place.push(name.to_bytes(), name.to_bytes());
    }
    planned_removal(walk.cx.plan(), walk.operand()?, place.as_path())
}

/// Returns what a plan says of an entry that would be removed; `None` if it is not there.
pub(crate) fn planned_removal(
    plan: &Plan,
    operand: &Operand,
    place: EntryPath<'_>,
) -> Option<Planned> {
    let target = Some(Seen::of(&stat_target(plan, operand, place.target).ok()?));
    let source = stat_source(plan, operand, place.source).ok().map(|stat| Seen::of(&stat));
    Some(Planned { change: Change::Remove, link_operand: None, source, target })
}

/// Returns the status of an entry of the source, by its path.
fn stat_source(plan: &Plan, operand: &Operand, path: &[u8]) -> Result<Stat, Errno> {
    match split_last(path) {
        (b"", name) => file::stat_at(plan.source_dir(operand), &c_name(name)),
        (above, name) => file::stat_at(plan.open_source(operand, above)?, &c_name(name)),
    }
}

/// Returns the status of an entry of the target, by its path.
fn stat_target(plan: &Plan, operand: &Operand, path: &[u8]) -> Result<Stat, Errno> {
    match split_last(path) {
        (b"", name) => file::stat_at(plan.target_dir(operand), &c_name(name)),
        (above, name) => file::stat_at(plan.reach_target(operand, above)?, &c_name(name)),
    }
}

/// Whether an entry may be removed: it is as a plan says that is carried out, or there is no plan. Otherwise reports it.
fn is_as_planned(
    walk: &mut RemoveWalk<'_>,
    operand: &Operand,
    name: &CStr,
) -> Result<bool, ParentGone> {
    let plan = walk.cx.plan();
    let Some(applied) = &plan.applied else { return Ok(true) };
    let mut place = walk.at.clone();
    place.push(name.to_bytes(), name.to_bytes());
    match applied.removal(place.operand, &place.source) {
        Some(removal) => {
            match check_planned(plan, operand, (&place.source, &place.target), removal) {
                Ok(()) => Ok(true),
                // A run that was interrupted has removed it.
                Err(EntryError { errno: Errno::ENOENT, .. }) => Ok(false),
                Err(error) => walk.report(Some(name), Event::FailedLate(error)).map(|()| false),
            }
        }
        None => Ok(false),
    }
}

/// Fails if an entry is not what a plan says of it. With `ENOENT` if the target has no such entry any more.
fn check_planned(
    plan: &Plan,
    operand: &Operand,
    (source, target): (&[u8], &[u8]),
    removal: &Operation,
) -> Result<(), EntryError> {
    let now = stat_target(plan, operand, target).map_err(Op::Remove.error())?;
    let applied = plan.applied.as_ref();
    let is_target_still =
        applied.is_none_or(|applied| applied.is_target_still(removal, source, Ok(now)));
    let is_source_still = match (removal.source, stat_source(plan, operand, source)) {
        (Some(then), Ok(now)) => then.is_still(&now),
        (None, Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)) => true,
        (_, Err(errno)) if errno != Errno::ENOENT => return Err(Op::Stat.error()(errno)),
        _ => false,
    };
    let is_still = is_target_still && is_source_still;
    if is_still { Ok(()) } else { Err(Op::NotAsPlanned.error()(Errno::ECANCELED)) }
}

/// Removes an empty directory of the target, if it is still what a plan says of it.
pub(crate) fn remove_planned_dir(
    plan: &Plan,
    operand: &Operand,
    place: (&[u8], &[u8]),
    removal: &Operation,
) -> Result<(), EntryError> {
    check_planned(plan, operand, place, removal)?;
    let judged = removal.target.map_or((0, 0), |target| target.identity);
    match remove_dir(plan, operand, place.1, judged) {
        // It has entries of which the plan says nothing.
        Err(EntryError { errno: Errno::ENOTEMPTY | Errno::EBUSY, .. }) => {
            Err(Op::NotAsPlanned.error()(Errno::ECANCELED))
        }
        removed => removed,
    }
}

/// Counts and reports an entry that was removed: `name` in the directory that the walk is in, or without a name that
/// directory.
fn record(walk: &mut RemoveWalk<'_>, name: Option<&CStr>) -> Result<(), ParentGone> {
    let (status, options) = (walk.cx.status, walk.cx.options());
    if options.verbose() || options.itemize_changes {
        let event = Event::Removed { directory: name.is_none() };
        return walk.report_then(name, event, || status.add(Count::Removed, 1));
    }
    status.add(Count::Removed, 1);
    Ok(())
}

/// How often a directory is listed: some file systems leave out names of a listing if others are removed meanwhile.
const LISTINGS_MAX: u32 = 8;

/// Removes what is in an extraneous directory, apart from directories and what is protected, and then the directory, if it
/// has no directories.
fn clear(
    walk: &mut RemoveWalk<'_>,
    operand: &Operand,
    dir: &OwnedFd,
    judged: ExtraneousDir,
) -> Result<(), ParentGone> {
    let removes_dir = judged.is_removed && !judged.has_dirs;
    for _ in 0..LISTINGS_MAX {
        clear_once(walk, dir)?;
        walk.cx.status.at_none();
        if !removes_dir || walk.is_stopped() {
            return Ok(());
        }
        let planned = planned(walk, None);
        match remove_dir(walk.cx.plan(), operand, &walk.at.target, judged.identity) {
            Ok(()) => {
                if let Some(planned) = planned {
                    walk.report(None, Event::Planned(planned))?;
                }
                return record(walk, None);
            }
            Err(EntryError { errno: Errno::ENOTEMPTY, .. }) => {}
            Err(error) => return walk.report(None, Event::FailedLate(error)),
        }
    }
    walk.report(None, Event::FailedLate(Op::Remove.error()(Errno::ENOTEMPTY)))
}

fn clear_once(walk: &mut RemoveWalk<'_>, dir: &OwnedFd) -> Result<(), ParentGone> {
    let error = Op::OpenTarget.error();
    // A listing from the beginning needs a descriptor of its own.
    let opened = match file::open_dir_at(dir, c".") {
        Ok(opened) => opened,
        Err(errno) => return walk.report(None, Event::FailedLate(error(errno))),
    };
    let selector = select::selector(walk);
    let mut asked = selector.as_ref().map(|selector| selector.begin(walk));
    let mut listing = DirReader::new();
    loop {
        match listing.fill(opened.as_fd()) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(errno) => return walk.report(None, Event::FailedLate(error(errno))),
        }
        while let Some((kind, name)) = listing.next_entry() {
            if walk.is_stopped() {
                return Ok(());
            }
            let kind = file::listed_kind(dir, (kind, name));
            let is_extraneous = asked.as_mut().is_none_or(|asked| {
                asked.decide(Side::Target, dir.as_fd(), (kind, name)).is_taken()
            });
            if kind != Kind::Directory
                && is_extraneous
                && !walk.cx.plan().is_manifest(dir.as_fd(), name)
            {
                remove_entry(walk, dir, name)?;
            }
        }
    }
}

/// Removes an empty directory of the target, if it is the one that was judged. In a dry run, removes nothing.
pub(crate) fn remove_dir(
    plan: &Plan,
    operand: &Operand,
    path: &[u8],
    judged: Identity,
) -> Result<(), EntryError> {
    let error = Op::Remove.error();
    let (above, name) = split_last(path);
    let name = c_name(name);
    let above = plan.open_target(operand, above).map_err(&error)?;
    if file::stat_at(&above, &name).map_err(&error)?.identity() != judged {
        return Err(error(Errno::EBUSY));
    }
    if plan.options.dry_run {
        return Ok(());
    }
    let removed = match file::remove_dir(&above, &name) {
        Err(Errno::EACCES) => file::stat_fd(&above)
            .and_then(|stat| make_usable(&above, &stat))
            .and_then(|()| file::remove_dir(&above, &name)),
        removed => removed,
    };
    removed.map_err(error)
}

/// Moves a directory with all that is in it into the directory of the backups, if it is the one that was judged.
pub(crate) fn keep_dir(
    plan: &Plan,
    backups: &BackupDir,
    operand: &Operand,
    path: &[u8],
    judged: Identity,
) -> Result<(), EntryError> {
    let error = Op::Backup.error();
    let (dir_path, name) = split_last(path);
    let name = &*c_name(name);
    let dir = plan.open_target(operand, dir_path).map_err(&error)?;
    let stat = file::stat_at(&dir, name).map_err(&error)?;
    if stat.identity() != judged {
        return Err(error(Errno::EBUSY));
    }
    make_usable(&dir, &file::stat_fd(&dir).map_err(&error)?).map_err(&error)?;
    let doomed = Doomed { operand, dir_path, dir: dir.as_fd(), name };
    plan.keep_moved(backups, doomed).map_err(error)
}
