//! Counts what there is to copy, in a separate process: entries and the sizes of files.
//!
//! The counting process reports no errors, because copiers find the same errors and report them.

use crate::copier::context::Context;
use crate::copier::name_queue::NO_MARK;
use crate::copier::report_writer::{ParentGone, ReportWriter};
use crate::copier::traverse::{self, Child, DirProgress, Visitor, Waiting, Walk};
use crate::error::{EntryError, Op};
use crate::ipc::memory::forecast::{Forecast, Work};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The counts are published whenever this many more entries are counted, because the progress line needs
/// numbers that grow.
const PUBLISH_EVERY: u64 = 256;

type CountWalk<'a> = Walk<'a, OwnedFd>;

/// Counts the entries that the walk visits.
struct CountVisitor<'a> {
    forecast: &'a Forecast,
    work: Work,
}

/// Counts all operands and everything below them, and publishes the counts in `forecast`.
pub(in crate::copier) fn count<'a>(
    cx: Context<'a>,
    reports: ReportWriter<'a>,
    forecast: &'a Forecast,
) -> Result<(), ParentGone> {
    let mut visitor = CountVisitor { forecast, work: Work::default() };
    let end = u32::try_from(visitor.operand_count(&cx)).unwrap_or(u32::MAX);
    traverse::operands(&mut Walk::new(cx, reports), &mut visitor, 0..end)?;
    visitor.work.complete = true;
    forecast.set(visitor.work);
    Ok(())
}

impl CountVisitor<'_> {
    /// Counts an entry of the source directory `dir`. If the entry is a directory, also adds it to the child
    /// directories that wait to be entered.
    fn add(
        &mut self,
        walk: &CountWalk<'_>,
        (dir, follow): (BorrowedFd<'_>, bool),
        (kind, name): (Kind, &CStr),
        progress: &mut DirProgress,
    ) {
        let look = if follow { file::stat_at_following } else { file::stat_at };
        let is_sized =
            matches!(kind, Kind::File | Kind::Unknown) || follow && kind == Kind::Symlink;
        let stat = is_sized.then(|| look(dir, name).ok()).flatten();
        // Whether the entry is a symbolic link to a directory that contains it. A copier reports such a loop.
        let is_loop = |end: Stat| end.kind() == Kind::Directory && walk.is_on_path(end.identity());
        let is_loop = follow && stat.is_some_and(is_loop);
        match stat.map_or(kind, |stat: Stat| stat.kind()) {
            Kind::Directory if walk.is_own_operand(name) => return, // it is counted as that operand
            Kind::Directory if !is_loop => {
                if progress.children.push(NO_MARK, name).is_err() {
                    // There is no memory for the name, so the count will be too low.
                }
                self.work.add_entry();
            }
            Kind::File => match stat {
                Some(file) => self.work.add_file(file.size(), file.allocated(), file.links()),
                None => self.work.add_entry(), // the file has vanished
            },
            _ => self.work.add_entry(),
        }
        if self.work.entries.is_multiple_of(PUBLISH_EVERY) {
            self.forecast.set(self.work);
        }
    }
}

impl<'a> Visitor<'a> for CountVisitor<'a> {
    type Dir = OwnedFd;
    type Facts = ();

    const COUNTS_NAMES: bool = false;

    fn operand_count(&self, cx: &Context<'_>) -> usize {
        cx.plan().operands.len()
    }

    fn operand(
        &mut self,
        walk: &mut CountWalk<'a>,
        _number: u32,
        progress: &mut DirProgress,
    ) -> Result<Option<OwnedFd>, ParentGone> {
        let Some(operand) = walk.operand() else { return Ok(None) };
        let plan = walk.cx.plan();
        if plan.applied.as_ref().is_some_and(|applied| !applied.has(walk.at.operand)) {
            return Ok(None);
        }
        let dir = (plan.source_dir(operand), plan.follows(Some(operand)));
        self.add(walk, dir, (Kind::Unknown, &operand.source_name), progress);
        Ok(None)
    }

    fn open(&self, walk: &CountWalk<'a>, _existed: bool) -> Result<OwnedFd, EntryError> {
        let operand = walk.operand().ok_or_else(|| Op::ReadDirectory.error()(Errno::EINVAL))?;
        let opened = walk.cx.plan().open_source(operand, &walk.at.source);
        opened.map_err(Op::ReadDirectory.error())
    }

    fn entry(
        &mut self,
        walk: &mut CountWalk<'a>,
        dir: &OwnedFd,
        (kind, name): (Kind, &CStr),
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        let follow = walk.cx.plan().follows(None);
        self.add(walk, (dir.as_fd(), follow), (kind, name), progress);
        Ok(())
    }

    fn child(&self, cx: &Context<'_>, waiting: &Waiting<'_, OwnedFd>) -> Child<OwnedFd> {
        let open = |parent: &OwnedFd| match cx.plan().follows(None) {
            true => file::open_dir_following(parent.as_fd(), waiting.name.to_bytes()),
            false => file::open_dir_at(parent, waiting.name),
        };
        let opened = waiting.parent.map(|dir| open(dir).map_err(Op::ReadDirectory.error()));
        Child { target_name: CString::default(), opened, staged: false, existed: true }
    }

    fn enter(
        &mut self,
        walk: &mut CountWalk<'a>,
        opened: Option<Result<OwnedFd, EntryError>>,
        existed: bool,
    ) -> Result<Option<(OwnedFd, ())>, ParentGone> {
        let Ok(dir) = opened.unwrap_or_else(|| self.open(walk, existed)) else { return Ok(None) };
        let is_left_out = |stat: Stat| {
            let built_dirs = walk.cx.job.built_dirs;
            walk.is_left_out(&stat)
                || built_dirs.overlap(stat.identity(), walk.at.operand).is_some()
        };
        Ok(file::stat_fd(&dir).is_ok_and(|stat| !is_left_out(stat)).then_some((dir, ())))
    }

    fn source_of(dir: &OwnedFd) -> BorrowedFd<'_> {
        dir.as_fd()
    }

    fn source_to_list<'d>(
        &self,
        _walk: &CountWalk<'a>,
        dir: &'d OwnedFd,
        (): &(),
    ) -> Option<BorrowedFd<'d>> {
        Some(dir.as_fd())
    }

    fn leave(
        &mut self,
        _walk: &mut CountWalk<'a>,
        _dir: &OwnedFd,
        (): (),
        _listed: Result<(), EntryError>,
        _progress: &DirProgress,
    ) -> Result<(), ParentGone> {
        Ok(())
    }
}
