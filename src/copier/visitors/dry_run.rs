//! `--dry-run`: finds out what a copy would do, and does none of it.
//!
//! The decisions are those of a copy (`entry/decide`). This visitor calls nothing that changes an entry: it opens
//! directories and reads status, links and, where contents decide, files. A directory that the target does not have is
//! not opened there, and all that is in it would be created.

use super::copy::{itemized_as, kind_of, shown_source};
use crate::copier::Worker;
use crate::copier::context::Context;
use crate::copier::dir_pair::{DirPair, c_name, has_child, look_by_path, operand_dirs};
use crate::copier::entry::action::{Action, Reason};
use crate::copier::entry::decide::{keeps_contents, skipped_by_update};
use crate::copier::entry::link::LinkMode;
use crate::copier::entry::result::{Done, Unfinished};
use crate::copier::entry::{Entry, EntryCopier, data_bytes, itemize, points_to};
use crate::copier::extraneous;
use crate::copier::name_queue::NO_MARK;
use crate::copier::report_writer::{ParentGone, ReportWriter};
use crate::copier::traverse::offer::hand_over;
use crate::copier::traverse::{self, DirProgress, Visitor, Walk};
use crate::error::{EntryError, Op};
use crate::ipc::inherited::built_dirs::Overlap;
use crate::ipc::inherited::link_groups::{LinkName, LinkRole};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::{Details, Event, Report};
use crate::ipc::wire::itemized::{Act, Itemized, type_of};
use crate::ipc::wire::planned::Planned;
use crate::ipc::wire::task::{EntryPath, EntryPathBuf, Task};
use crate::options::{CopyMode, When};
use crate::plan_file::{Change, Seen};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use pcopy_sys::process;
use std::cell::OnceCell;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A directory of the source, and the one in the target, if it exists.
struct Dirs {
    source: OwnedFd,
    both: Option<DirPair>,
    /// Whether entries can be created in the target, if that was asked.
    writable: OnceCell<Result<(), Errno>>,
}

impl Dirs {
    /// Fails if no entry can be created in the target. A copy adds permissions to directories that belong to the user.
    fn check_writable(&self) -> Result<(), EntryError> {
        let Some(both) = &self.both else { return Ok(()) };
        let look = || match file::may_write_in(&both.target) {
            Err(Errno::EACCES) => {
                let is_own = |stat: Stat| stat.owner() == process::user();
                let own = file::stat_fd(&both.target).is_ok_and(is_own);
                if own && !both.contended { Ok(()) } else { Err(Errno::EACCES) }
            }
            result => result,
        };
        self.writable.get_or_init(look).map_err(Op::Create.error())
    }
}

type DryWalk<'a> = Walk<'a, Dirs>;

struct DryVisitor<'a> {
    /// Decides, and copies nothing.
    entry_copier: EntryCopier<'a>,
}

/// A copier that only looks: its walk and its visitor.
struct DryWorker<'a> {
    walk: DryWalk<'a>,
    visitor: DryVisitor<'a>,
}

/// Whether the entries of a directory are left out (`--one-file-system`, `--max-depth`).
struct IsLeftOut(bool);

/// What would become of an entry.
struct Foreseen {
    done: Done,
    item: Option<Itemized>,
    leads: Option<Identity>,
}

/// What was seen of an entry, for a plan.
#[derive(Clone, Copy)]
struct Sides {
    source: Option<Seen>,
    target: Option<Seen>,
}

/// The other names of a file with several names.
struct Others<'o> {
    /// The files in the target that are copies of it.
    leaders: &'o [Identity],
    /// Whether there will be one.
    has_leader: bool,
    /// The place in the source of the first name that has a copy.
    first: Option<&'o (u32, Vec<u8>)>,
}

/// Returns a worker that finds out what a copy would do.
pub(in crate::copier) fn worker<'a>(
    cx: Context<'a>,
    reports: ReportWriter<'a>,
) -> Box<dyn Worker + 'a> {
    let visitor = DryVisitor { entry_copier: EntryCopier::new(cx) };
    Box::new(DryWorker { walk: Walk::new(cx, reports), visitor })
}

impl Worker for DryWorker<'_> {
    fn run_task(&mut self, task: Task<'_>) -> Result<(), ParentGone> {
        let Self { walk, visitor } = self;
        match task {
            Task::Operands { first, end } => traverse::operands(walk, visitor, first..end),
            Task::Directory { place, existed } => {
                traverse::directory_task(walk, visitor, place, existed)
            }
            Task::Names { place, existed, names } => {
                traverse::names_task(walk, visitor, (place, existed), names)
            }
            Task::Links { first, end } => visitor.link_groups(walk, first, end),
            // Nothing is copied, verified or prompted for.
            Task::LargeFile(_)
            | Task::Prompted { .. }
            | Task::Verify { .. }
            | Task::Remove { .. } => Ok(()),
        }
    }

    fn flush_reports(&mut self) -> Result<(), ParentGone> {
        self.walk.reports.flush()
    }
}

impl<'a> DryVisitor<'a> {
    /// Looks at an entry. A directory is only added to those that wait to be entered.
    fn look(
        &mut self,
        walk: &mut DryWalk<'a>,
        dirs: &Dirs,
        (kind, name, target_name): (Kind, &CStr, &CStr),
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        walk.cx.status.at(name);
        if walk.cx.is_passed_over(name) {
            return walk.record_failed(Some(name), Op::KillsCopiers.error()(Errno::EIO));
        }
        let follow = dirs.both.as_ref().map_or(walk.cx.plan().follows(None), |both| both.follow);
        let kind = match kind_of(walk, (dirs.source.as_fd(), follow), kind, name) {
            Ok(kind) => kind,
            Err(error) => return walk.record_failed(Some(name), error),
        };
        if kind == Kind::Directory {
            return look_at_dir(walk, dirs, (name, target_name), progress);
        }
        let seen = seen(walk, dirs, (name, target_name), follow);
        let entry = (kind, name, target_name);
        let mut foreseen = walk.retry(Unfinished::error, |walk| self.foresee(walk, dirs, entry));
        if let (Err(Unfinished::HeldBack), Some(both)) = (&foreseen, &dirs.both) {
            foreseen = match extraneous::clear_way(walk, &both.target, target_name)? {
                true => self.foresee_new(walk, dirs, name),
                false => Err(Op::FileOverDirectory.error()(Errno::EISDIR).into()),
            };
        }
        match foreseen {
            Ok(foreseen) => match may_be_copied(walk, dirs, (kind, name), foreseen.done) {
                Ok(()) => record(walk, (name, target_name), &foreseen, (seen, None)),
                Err(error) => walk.record_failed(Some(name), error),
            },
            Err(Unfinished::Deferred(identity)) => {
                let event = Event::LinkDeferred { identity, existed: true };
                walk.report_names(name, target_name, event, || ())
            }
            Err(unfinished) => match unfinished.error() {
                Some(error) => walk.record_failed(Some(name), error),
                None => Ok(()), // the run ends
            },
        }
    }

    /// Returns what would become of an entry that is not a directory, and counts its bytes.
    fn foresee(
        &mut self,
        walk: &DryWalk<'a>,
        dirs: &Dirs,
        (kind, name, target_name): (Kind, &CStr, &CStr),
    ) -> Result<Foreseen, Unfinished> {
        let Some(both) = &dirs.both else { return self.foresee_new(walk, dirs, name) };
        let entry = &Entry { at: &walk.at, dirs: both, name, target_name };
        let text;
        let mode = match walk.cx.options().copy_mode {
            CopyMode::Copy | CopyMode::AttributesOnly => {
                return self.foresee_copy(walk, entry, kind);
            }
            CopyMode::HardLink => LinkMode::HardLink,
            CopyMode::Symlink => {
                text = shown_source(walk, name);
                LinkMode::Symlink(&text)
            }
        };
        let source = both.stat_source(name).map_err(Op::Stat.error())?;
        let old = file::stat_at(&both.target, target_name).ok();
        let done = self.entry_copier.foresee_link(entry, mode, &source, old.as_ref())?;
        let act = itemized_as(walk.cx.options().copy_mode);
        let item = (done != Done::Skipped).then(|| act(&source));
        Ok(Foreseen { done, item, leads: None })
    }

    /// Returns what would become of an entry of whose name the target has nothing, or nothing that would stay.
    fn foresee_new(
        &self,
        walk: &DryWalk<'a>,
        dirs: &Dirs,
        name: &CStr,
    ) -> Result<Foreseen, Unfinished> {
        let follow = walk.cx.plan().follows(None);
        let look = if follow { file::stat_at_following } else { file::stat_at };
        let source = look(dirs.source.as_fd(), name).map_err(Op::Stat.error())?;
        let leads = self.entry_copier.lead_or_defer(false, &source)?;
        let item = itemized_as(walk.cx.options().copy_mode)(&source);
        count_bytes(walk, &source, Done::Copied);
        Ok(Foreseen { done: Done::Copied, item: Some(item), leads })
    }

    fn foresee_copy(
        &self,
        walk: &DryWalk<'a>,
        entry: &Entry<'_>,
        kind: Kind,
    ) -> Result<Foreseen, Unfinished> {
        let (source, action, leads) = self.entry_copier.foresee(entry, kind)?;
        let item = itemize::of_action(&walk.cx, entry, &source, &action);
        let (done, leads) = match action {
            Action::Skip { reason, .. } => {
                if matches!(reason, Reason::Compared(_)) {
                    walk.cx.status.add(Count::Compared, 1);
                }
                (Done::Skipped, leads.filter(|_| reason.leads(walk.cx.policy())))
            }
            Action::Replace { old, .. } => {
                count_replaced(walk, &old);
                (Done::Copied, leads)
            }
            Action::WriteInto { .. } => {
                let old = file::stat_at(&entry.dirs.target, entry.target_name);
                old.iter().for_each(|old| count_replaced(walk, old));
                (Done::Copied, leads)
            }
            _ => (Done::Copied, leads),
        };
        count_bytes(walk, &source, done);
        Ok(Foreseen { done, item, leads })
    }

    /// Finds out what would become of the deferred names of the groups `first..end`.
    fn link_groups(
        &mut self,
        walk: &mut DryWalk<'a>,
        first: u32,
        end: u32,
    ) -> Result<(), ParentGone> {
        let known = u32::try_from(walk.cx.job.groups.len()).unwrap_or(u32::MAX);
        walk.ranges.groups = first..end.min(known);
        while let Some(group) = walk.ranges.groups.next() {
            hand_over(walk, self, None)?;
            // The files in the target that are copies of the inode. A name that would be copied has none.
            let mut leaders = Vec::new();
            let mut has_leader = false;
            // The place of the first of them.
            let mut leader = None;
            for member in walk.cx.job.groups.members(group as usize) {
                if walk.is_stopped() {
                    return Ok(());
                }
                if member.role != LinkRole::Follower {
                    has_leader = true;
                    leader = leader.or_else(|| Some(place_of(walk, &member)));
                    let is_there = member.role == LinkRole::Existing;
                    leaders.extend(is_there.then(|| target_of(walk, &member)).flatten());
                    continue;
                }
                let others = Others { leaders: &leaders, has_leader, first: leader.as_ref() };
                if self.look_at_link(walk, &member, &others)? {
                    has_leader = true;
                    leader = leader.or_else(|| Some(place_of(walk, &member)));
                }
                walk.reports.flush_if_old()?;
            }
        }
        Ok(())
    }

    /// Finds out whether a deferred name would become a link. Without a leader it would be copied. Returns whether other
    /// names could become links to it.
    fn look_at_link(
        &mut self,
        walk: &mut DryWalk<'a>,
        member: &LinkName,
        others: &Others<'_>,
    ) -> Result<bool, ParentGone> {
        let (place, _) = walk.cx.job.groups.dir(member.dir);
        walk.at.go_to(place);
        walk.cx.status.enter(place.operand, place.source);
        let dirs = match open(walk) {
            Ok(dirs) => dirs,
            Err(error) => return walk.record_failed(Some(&member.name), error).map(|()| false),
        };
        let name = &*member.name;
        let target_name = c_name(&target_name_of(walk, place, name));
        let seen = seen(walk, &dirs, (name, &target_name), walk.cx.plan().follows(None));
        match self.foresee_link(
            walk,
            &dirs,
            (name, &target_name),
            others.leaders,
            others.has_leader,
        ) {
            Ok(foreseen) => {
                let link = others.first.filter(|_| foreseen.done == Done::Linked);
                let leads = foreseen.done != Done::Skipped
                    || may_be_linked_to(walk, &dirs, (name, &target_name));
                record(walk, (name, &target_name), &foreseen, (seen, link)).map(|()| leads)
            }
            Err(unfinished) => match unfinished.error() {
                Some(error) => walk.record_failed(Some(name), error).map(|()| false),
                None => Ok(false),
            },
        }
    }

    fn foresee_link(
        &self,
        walk: &DryWalk<'a>,
        dirs: &Dirs,
        (name, target_name): (&CStr, &CStr),
        leaders: &[Identity],
        has_leader: bool,
    ) -> Result<Foreseen, Unfinished> {
        let stat = |dir: BorrowedFd<'_>| match walk.cx.plan().follows(None) {
            true => file::stat_at_following(dir, name),
            false => file::stat_at(dir, name),
        };
        let source = stat(dirs.source.as_fd()).map_err(Op::Stat.error())?;
        let linked = |item| Foreseen { done: Done::Linked, item, leads: None };
        let skipped = Foreseen { done: Done::Skipped, item: None, leads: None };
        let Some(both) = &dirs.both else {
            if has_leader {
                count_bytes(walk, &source, Done::Skipped);
                return Ok(linked(Some(Itemized::created(Act::Link, type_of(&source)))));
            }
            count_bytes(walk, &source, Done::Copied);
            let item = Some(Itemized::new_entry(&source));
            return Ok(Foreseen { done: Done::Copied, item, leads: None });
        };
        let entry = &Entry { at: &walk.at, dirs: both, name, target_name };
        if !has_leader {
            return self.foresee_copy(walk, entry, source.kind());
        }
        // With `--delete`, a name with a directory in its way is deferred only if that would be removed.
        let would_stay =
            |old: &Stat| old.kind() != Kind::Directory || walk.cx.options().deletion.is_none();
        let old = both.find(walk.cx.plan(), target_name, Op::Link)?.filter(would_stay);
        if let Some(old) = &old {
            // In the order of `keep_existing` in entry/hard_link.rs.
            let is_linked = leaders.contains(&old.identity());
            if is_linked || skipped_by_update(&walk.cx, entry, &source, old)?.is_some() {
                count_bytes(walk, &source, Done::Skipped);
                return Ok(skipped);
            }
            if old.kind() == Kind::Directory {
                return Err(Op::Link.error()(Errno::EISDIR).into());
            }
            if points_to(entry, &source, old) {
                return Err(Op::SameFile.error()(Errno::EEXIST).into());
            }
            if keeps_contents(&walk.cx) && source.type_bits() == old.type_bits() {
                return self.foresee_copy(walk, entry, source.kind());
            }
        }
        count_bytes(walk, &source, Done::Skipped);
        let itemizes = walk.cx.options().finds_changes();
        let item = itemizes
            .then(|| itemize::of_entry(&walk.cx, entry, (&source, old.as_ref()), Act::Link));
        Ok(linked(item))
    }
}

impl<'a> Visitor<'a> for DryVisitor<'a> {
    type Dir = Dirs;
    type Facts = IsLeftOut;

    const LOOKS_FOR_EXTRANEOUS: bool = true;

    fn operand_count(&self, cx: &Context<'_>) -> usize {
        cx.plan().operands.len()
    }

    fn operand(
        &mut self,
        walk: &mut DryWalk<'a>,
        _number: u32,
        progress: &mut DirProgress,
    ) -> Result<Option<Dirs>, ParentGone> {
        let Some(operand) = walk.operand() else { return Ok(None) };
        walk.cx.status.add(Count::Found, 1);
        let dirs = match open(walk) {
            Ok(dirs) => dirs,
            Err(error) => {
                walk.record_failed(Some(&operand.source_name), error)?;
                return Ok(None);
            }
        };
        let (name, target_name) = (&*operand.source_name, &*operand.target_name);
        if walk.cx.plan().stream.is_some() {
            let foreseen = Foreseen { done: Done::Copied, item: None, leads: None };
            record(walk, (name, target_name), &foreseen, (None, None))?;
            return Ok(None);
        }
        self.look(walk, &dirs, (Kind::Unknown, name, target_name), progress)?;
        Ok(None)
    }

    fn open(&self, walk: &DryWalk<'a>, _existed: bool) -> Result<Dirs, EntryError> {
        open(walk)
    }

    fn entry(
        &mut self,
        walk: &mut DryWalk<'a>,
        dirs: &Dirs,
        (kind, name): (Kind, &CStr),
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        self.look(walk, dirs, (kind, name, name), progress)
    }

    fn enter(
        &mut self,
        walk: &mut DryWalk<'a>,
        _opened: Option<Result<Dirs, EntryError>>,
        _existed: bool,
    ) -> Result<Option<(Dirs, IsLeftOut)>, ParentGone> {
        let opened = open(walk).and_then(|dirs| {
            let source = file::stat_fd(&dirs.source).map_err(Op::Stat.error())?;
            Ok((dirs, source))
        });
        let (dirs, source) = match opened {
            Ok(opened) => opened,
            Err(error) => return walk.record_failed(None, error).map(|()| None),
        };
        let overlap = walk.cx.job.built_dirs.overlap(source.identity(), walk.at.operand);
        let is_left_out = walk.is_left_out(&source);
        if overlap == Some(Overlap::Target) && !is_left_out {
            walk.record_failed(None, Op::IntoItself.error()(Errno::ELOOP))?;
            return Ok(None);
        }
        record_dir(walk, &dirs, &source)?;
        Ok(Some((dirs, IsLeftOut(is_left_out))))
    }

    fn source_of(dirs: &Dirs) -> BorrowedFd<'_> {
        dirs.source.as_fd()
    }

    fn source_to_list<'d>(
        &self,
        _walk: &DryWalk<'a>,
        dirs: &'d Dirs,
        IsLeftOut(is_left_out): &IsLeftOut,
    ) -> Option<BorrowedFd<'d>> {
        (!is_left_out).then(|| dirs.source.as_fd())
    }

    fn leave(
        &mut self,
        walk: &mut DryWalk<'a>,
        dirs: &Dirs,
        IsLeftOut(is_left_out): IsLeftOut,
        listed: Result<(), EntryError>,
        progress: &DirProgress,
    ) -> Result<(), ParentGone> {
        if let Err(error) = listed {
            // The directory counts already, and a copy of it would fail.
            walk.cx.status.add(Count::Found, 1);
            return walk.record_failed(None, error);
        }
        match &dirs.both {
            Some(both) if walk.looks_for_extraneous && !is_left_out => {
                extraneous::list(walk, (&dirs.source, &both.target), &progress.known)
            }
            _ => Ok(()),
        }
    }
}

/// Fails if the user may not read an entry that would be copied, or not write to the directory that it would be in.
fn may_be_copied(
    walk: &DryWalk<'_>,
    dirs: &Dirs,
    (kind, name): (Kind, &CStr),
    done: Done,
) -> Result<(), EntryError> {
    if done != Done::Copied {
        return Ok(());
    }
    // Also for `--attributes-only`, a new file gets its attributes from the opened source.
    let copy_mode = walk.cx.options().copy_mode;
    let is_read = matches!(copy_mode, CopyMode::Copy | CopyMode::AttributesOnly);
    if is_read && kind == Kind::File && !walk.cx.job.is_root {
        file::may_read_at(&dirs.source, name).map_err(Op::OpenSource.error())?;
    }
    dirs.check_writable()
}

/// Opens the directories that the walk is in: those that contain an operand, or below it.
fn open(walk: &DryWalk<'_>) -> Result<Dirs, EntryError> {
    let plan = walk.cx.plan();
    let path = &walk.at.source;
    match walk.operand() {
        Some(operand) if path.is_empty() => {
            let both = operand_dirs(plan, operand, walk.cx.job.history.failed)?;
            let source = both.source.try_clone();
            let source = source.map_err(|_| Op::ReadDirectory.error()(Errno::EMFILE))?;
            Ok(Dirs { source, both: Some(both), writable: OnceCell::new() })
        }
        _ => {
            let (source, both) = look_by_path(plan, (walk.at.operand, path))?;
            Ok(Dirs { source, both, writable: OnceCell::new() })
        }
    }
}

/// Adds a child directory to those that wait to be entered, if it can be copied.
fn look_at_dir(
    walk: &mut DryWalk<'_>,
    dirs: &Dirs,
    (name, target_name): (&CStr, &CStr),
    progress: &mut DirProgress,
) -> Result<(), ParentGone> {
    if walk.is_own_operand(name) {
        walk.cx.status.subtract(Count::Found, 1); // the walk finds it again, as an operand
        return Ok(());
    }
    let found = dirs.both.as_ref().map(|both| has_child(walk.cx.plan(), both, target_name));
    let is_new = matches!(found, Some(Ok(false)));
    let creation = if is_new { dirs.check_writable() } else { Ok(()) };
    if let Err(EntryError { op: Op::Create, errno }) = creation {
        return walk.record_failed(Some(name), Op::CreateDirectory.error()(errno));
    }
    if let (Some(Err(error)), Some(both)) = (found, &dirs.both) {
        let is_in_the_way = matches!(error.op, Op::DirectoryOverFile | Op::DirectoryOverSymlink);
        let may_go = is_in_the_way && walk.cx.may_hold_back(both);
        if !may_go || !extraneous::clear_way(walk, &both.target, target_name)? {
            return walk.record_failed(Some(name), error);
        }
    }
    match progress.children.push(NO_MARK, name) {
        Ok(()) => Ok(()),
        Err(_) => walk.record_failed(Some(name), Op::CreateDirectory.error()(Errno::ENOMEM)),
    }
}

/// Returns the name in the target of a name in the directory `place`. If it is an operand, the user may have chosen it.
fn target_name_of(walk: &DryWalk<'_>, place: EntryPath<'_>, name: &CStr) -> Vec<u8> {
    let operand = walk.cx.plan().operands.get(place.operand as usize);
    let operand = operand.filter(|_| place.source.is_empty());
    operand.map_or(name, |operand| &operand.target_name).to_bytes().to_vec()
}

/// Returns the identity of the file in the target that has this name.
fn target_of(walk: &DryWalk<'_>, member: &LinkName) -> Option<Identity> {
    let (place, _) = walk.cx.job.groups.dir(member.dir);
    let plan = walk.cx.plan();
    let operand = plan.operands.get(place.operand as usize)?;
    let name = c_name(&target_name_of(walk, place, &member.name));
    let dir = match place.source {
        b"" => plan.target_dir(operand).try_clone_to_owned().ok()?,
        path => plan.reach_target(operand, &operand.target_of(path)).ok()?,
    };
    file::stat_at(&dir, &name).ok().map(|stat| stat.identity())
}

fn count_bytes(walk: &DryWalk<'_>, source: &Stat, done: Done) {
    let (bytes, status) = (data_bytes(source), walk.cx.status);
    let options = walk.cx.options();
    let written = if done != Done::Copied || options.copy_mode != CopyMode::Copy {
        0
    } else if options.sparse == When::Never {
        bytes
    } else {
        bytes.min(source.allocated()) // holes are not written
    };
    status.add(Count::Bytes, written);
    if written > 0 {
        status.add(Count::BytesOfBlocks, written.next_multiple_of(walk.cx.job.block) - written);
    }
    status.add(Count::BytesSkipped, bytes - written);
}

/// Counts an existing entry that would be replaced, and the room that this makes.
fn count_replaced(walk: &DryWalk<'_>, old: &Stat) {
    let (status, keeps_old) = (walk.cx.status, walk.cx.options().backup.is_some());
    status.add(Count::Replaced, u64::from(!keeps_old));
    let is_freed = !keeps_old && old.links() == 1;
    status.add(Count::BytesFreed, if is_freed { old.allocated() } else { 0 });
}

/// Returns what is seen of an entry on both sides, before it is decided about, if a plan is made.
fn seen(
    walk: &DryWalk<'_>,
    dirs: &Dirs,
    (name, target_name): (&CStr, &CStr),
    follow: bool,
) -> Option<Sides> {
    walk.cx.options().plans.then(|| {
        let source = match follow {
            true => file::stat_at_following(dirs.source.as_fd(), name),
            false => file::stat_at(&dirs.source, name),
        };
        let both = dirs.both.as_ref();
        let target = both.and_then(|both| file::stat_at(&both.target, target_name).ok());
        let [source, target] = [source.ok(), target].map(|stat| stat.map(|stat| Seen::of(&stat)));
        Sides { source, target }
    })
}

/// Whether other names can become links to a name that stays as it is, as in visitors/copy/links.rs: not if it keeps contents
/// of its own, or is skipped by `--update`.
fn may_be_linked_to(walk: &DryWalk<'_>, dirs: &Dirs, (name, target_name): (&CStr, &CStr)) -> bool {
    let Some(both) = dirs.both.as_ref().filter(|_| !keeps_contents(&walk.cx)) else { return false };
    let entry = &Entry { at: &walk.at, dirs: both, name, target_name };
    let (source, old) = (both.stat_source(name), file::stat_at(&both.target, target_name));
    let (Ok(source), Ok(old)) = (source, old) else { return false };
    matches!(skipped_by_update(&walk.cx, entry, &source, &old), Ok(None))
}

/// Returns the place of a name in the source.
fn place_of(walk: &DryWalk<'_>, member: &LinkName) -> (u32, Vec<u8>) {
    let (place, _) = walk.cx.job.groups.dir(member.dir);
    (place.operand, EntryPathBuf::from(place).source_of(member.name.to_bytes()))
}

/// Reports what would be done with the entry `name` of the directory that the walk is in, or without a name with that
/// directory. `link` is the name that it would become a hard link to.
fn report_planned(
    walk: &mut DryWalk<'_>,
    name: Option<&CStr>,
    item: &Itemized,
    (Sides { source, target }, link): (Sides, Option<&(u32, Vec<u8>)>),
) -> Result<(), ParentGone> {
    let change = match item.act {
        Act::Link => Change::Link,
        Act::Attributes => Change::Update,
        Act::Copy | Act::Change if target.is_none() => Change::Create,
        Act::Copy | Act::Change => Change::Replace,
    };
    let link_operand = link.map(|(operand, _)| *operand);
    let event = Event::Planned(Planned { change, link_operand, source, target });
    let path = match name {
        Some(name) => walk.at.source_of(name.to_bytes()),
        None => walk.at.source.clone(),
    };
    let target = link.map(|(_, path)| &path[..]).unwrap_or_default();
    let place = EntryPath { operand: walk.at.operand, source: &path, target, staged: false };
    walk.reports.send(&Report { place, event }, || ())
}

/// Counts and reports what would become of an entry.
fn record(
    walk: &mut DryWalk<'_>,
    (name, target_name): (&CStr, &CStr),
    foreseen: &Foreseen,
    (seen, link): (Option<Sides>, Option<&(u32, Vec<u8>)>),
) -> Result<(), ParentGone> {
    let (status, options) = (walk.cx.status, walk.cx.options());
    if let Some(item) = foreseen.item.filter(|item| !item.is_nothing()) {
        if let Some(sides) = seen {
            report_planned(walk, Some(name), &item, (sides, link))?;
        }
        if options.itemize_changes {
            walk.report(Some(name), Event::Itemized(item))?;
        }
    }
    let new = foreseen.done != Done::Skipped;
    let count = match foreseen.done {
        Done::Copied => Count::Copied,
        Done::Linked => Count::Linked,
        Done::Skipped => Count::Skipped,
    };
    let details = Details::default();
    if let Some(identity) = foreseen.leads {
        let event = Event::Leader { identity, new, details };
        return walk.report_names(name, target_name, event, || status.add(count, 1));
    }
    if new && options.verbose() {
        return walk.report_then(Some(name), Event::Done(details), || status.add(count, 1));
    }
    status.add(count, 1);
    Ok(())
}

/// Counts and reports what would become of the directory that the walk is in, apart from its entries.
fn record_dir(walk: &mut DryWalk<'_>, dirs: &Dirs, source: &Stat) -> Result<(), ParentGone> {
    let (status, options) = (walk.cx.status, walk.cx.options());
    let item = match &dirs.both {
        None => Some(Itemized::new_entry(source)),
        Some(both) if options.finds_changes() => file::stat_fd(&both.target).ok().and_then(|old| {
            let origin = walk.cx.plan().dir_origin(walk.at.operand, &walk.at.source, false);
            let ends = (both.source.as_fd(), both.target.as_fd());
            itemize::of_dir(&walk.cx, ends, (source, &old), origin)
        }),
        Some(_) => None,
    };
    if let Some(item) = item.filter(|_| options.plans) {
        let target = dirs.both.as_ref().and_then(|both| file::stat_fd(&both.target).ok());
        let sides =
            Sides { source: Some(Seen::of(source)), target: target.map(|stat| Seen::of(&stat)) };
        report_planned(walk, None, &item, (sides, None))?;
    }
    if let Some(item) = item.filter(|_| options.itemize_changes) {
        walk.report(None, Event::Itemized(item))?;
    }
    if dirs.both.is_some() {
        status.add(Count::Skipped, 1);
        return Ok(());
    }
    if options.verbose() {
        let details = Details { directory: true, ..Details::default() };
        return walk.report_then(None, Event::Done(details), || status.add(Count::Copied, 1));
    }
    status.add(Count::Copied, 1);
    Ok(())
}
