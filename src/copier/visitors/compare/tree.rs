//! Compares two trees side by side: finds what is missing, what is extraneous, and what differs.

use super::{Comparer, HasComparer, fail_uncounted, record, record_missing};
use crate::copier::context::Context;
use crate::copier::dir_pair::c_name;
use crate::copier::entry::result::{AttributeErrors, Unfinished};
use crate::copier::extraneous::{self, BothEnds, Detail, Finding};
use crate::copier::name_queue::NO_MARK;
use crate::copier::report_writer::ParentGone;
use crate::copier::traverse::{DirProgress, KnownNames, Visitor, Walk};
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::difference::{Difference, Properties, Property};
use crate::ipc::wire::event::Event;
use crate::ipc::wire::task::{push_component, split_last};
use crate::options::Links;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A directory in the source and the corresponding directory in the target.
pub(super) struct BothDirs {
    from: OwnedFd,
    to: OwnedFd,
}

type TreeWalk<'a> = Walk<'a, BothDirs>;

/// Compares two trees.
pub(super) struct TreeVisitor<'a>(Comparer<'a>);

/// Whether the entries of a directory are left out of the comparison (`--one-file-system`).
pub(super) struct IsLeftOut(bool);

impl<'a> TreeVisitor<'a> {
    pub(super) fn new(comparer: Comparer<'a>) -> Self {
        Self(comparer)
    }

    /// Compares a name in the source with a name in the target. If both are directories, they wait to be
    /// entered.
    fn one_name(
        &mut self,
        walk: &mut TreeWalk<'a>,
        (from, to): (BorrowedFd<'_>, BorrowedFd<'_>),
        (name, target_name): (&CStr, &CStr),
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        walk.cx.status.at(name);
        let shown = Some(name);
        if walk.cx.is_passed_over(name) {
            return walk.record_failed(shown, Op::KillsCopiers.error()(Errno::EIO));
        }
        let source = match file::stat_at(from, name) {
            Ok(source) => source,
            Err(errno) => return walk.record_failed(shown, Op::Stat.error()(errno)),
        };
        let target = match file::stat_at(to, target_name) {
            Ok(target) if is_kept_link(walk, &source, &target) => {
                file::stat_at_following(to, target_name).unwrap_or(target)
            }
            Ok(target) => target,
            // The copy is inside its source, and has no copy of itself.
            Err(Errno::ENOENT) if is_target(walk, &source) => {
                walk.cx.status.subtract(Count::Found, 1);
                return Ok(());
            }
            // The others mean that the target cannot have such a name.
            Err(Errno::ENOENT | Errno::EILSEQ | Errno::EINVAL | Errno::ENAMETOOLONG) => {
                return record_missing(walk, name, source.type_bits());
            }
            Err(errno) => return walk.record_failed(shown, Op::StatTarget.error()(errno)),
        };
        let modes = (walk.cx.options().wanted_mode(&source), target.mode());
        if source.type_bits() != target.type_bits() {
            return record(walk, shown, Properties::from(Property::Type), modes);
        }
        if source.kind() == Kind::Directory {
            return match progress.children.push(NO_MARK, name) {
                Ok(()) => Ok(()),
                Err(_) => walk.record_failed(shown, Op::ReadDirectory.error()(Errno::ENOMEM)),
            };
        }
        report_links(walk, name, &source, &target)?;
        let names = ((from, name), (to, target_name));
        match self.0.differing(walk.at.as_path(), names, (&source, &target)) {
            Ok((properties, unread)) => {
                report_unread(walk, shown, &unread)?;
                record(walk, shown, properties, modes)
            }
            Err(Unfinished::Failed(error)) => walk.record_failed(shown, error),
            Err(_) => Ok(()), // the file was dropped, because the run ends
        }
    }
}

impl<'a> HasComparer<'a> for TreeVisitor<'a> {
    fn comparer(&mut self) -> &mut Comparer<'a> {
        &mut self.0
    }
}

impl<'a> Visitor<'a> for TreeVisitor<'a> {
    type Dir = BothDirs;
    type Facts = IsLeftOut;

    const LOOKS_FOR_EXTRANEOUS: bool = true;

    fn operand_count(&self, cx: &Context<'_>) -> usize {
        cx.plan().operands.len()
    }

    fn operand(
        &mut self,
        walk: &mut TreeWalk<'a>,
        _number: u32,
        progress: &mut DirProgress,
    ) -> Result<Option<BothDirs>, ParentGone> {
        let plan = walk.cx.plan();
        let Some(operand) = walk.operand() else { return Ok(None) };
        walk.cx.status.add(Count::Found, 1);
        let dirs = (plan.source_dir(operand), plan.target_dir(operand));
        let names = (&*operand.source_name, &*operand.target_name);
        self.one_name(walk, dirs, names, progress)?;
        Ok(None)
    }

    fn open(&self, walk: &TreeWalk<'a>, _existed: bool) -> Result<BothDirs, EntryError> {
        if walk.cx.is_passed_over(c"") {
            return Err(Op::KillsCopiers.error()(Errno::EIO));
        }
        let (plan, path) = (walk.cx.plan(), &walk.at.source);
        let operand = walk.operand().ok_or_else(|| Op::ReadDirectory.error()(Errno::EINVAL))?;
        let from = file::open_dir_beneath_noatime(plan.source_dir(operand), path);
        let from = from.map_err(Op::ReadDirectory.error())?;
        let target_path = operand.target_of(path);
        let to = if plan.options.keep_directory_symlink {
            file::open_dir_following(plan.target_dir(operand), &target_path)
        } else {
            file::open_dir_beneath_noatime(plan.target_dir(operand), &target_path)
        };
        Ok(BothDirs { from, to: to.map_err(Op::OpenTarget.error())? })
    }

    fn entry(
        &mut self,
        walk: &mut TreeWalk<'a>,
        dirs: &BothDirs,
        (_, name): (Kind, &CStr),
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        self.one_name(walk, (dirs.from.as_fd(), dirs.to.as_fd()), (name, name), progress)
    }

    fn enter(
        &mut self,
        walk: &mut TreeWalk<'a>,
        _opened: Option<Result<BothDirs, EntryError>>,
        existed: bool,
    ) -> Result<Option<(BothDirs, IsLeftOut)>, ParentGone> {
        let dirs = match self.open(walk, existed) {
            Ok(dirs) => dirs,
            Err(error) => return walk.record_failed(None, error).map(|()| None),
        };
        let (Ok(source), Ok(target)) = (file::stat_fd(&dirs.from), file::stat_fd(&dirs.to)) else {
            return walk.record_failed(None, Op::Stat.error()(Errno::EIO)).map(|()| None);
        };
        if is_target(walk, &source) {
            // The copy is inside its source, and copying has changed its attributes.
            let modes = (source.type_bits(), target.mode());
            return record(walk, None, Properties::default(), modes).map(|()| None);
        }
        let ends = (dirs.from.as_fd(), dirs.to.as_fd());
        let origin = walk.cx.plan().dir_origin(walk.at.operand, &walk.at.source, false);
        let (properties, unread) = self.0.differing_dirs(ends, (&source, &target), origin);
        report_unread(walk, None, &unread)?;
        let modes = (walk.cx.options().wanted_mode(&source), target.mode());
        record(walk, None, properties, modes)?;
        let is_left_out = walk.is_left_out(&source);
        Ok(Some((dirs, IsLeftOut(is_left_out))))
    }

    fn source_of(dirs: &BothDirs) -> BorrowedFd<'_> {
        dirs.from.as_fd()
    }

    fn source_to_list<'d>(
        &self,
        _walk: &TreeWalk<'a>,
        dirs: &'d BothDirs,
        IsLeftOut(is_left_out): &IsLeftOut,
    ) -> Option<BorrowedFd<'d>> {
        (!is_left_out).then(|| dirs.from.as_fd())
    }

    fn leave(
        &mut self,
        walk: &mut TreeWalk<'a>,
        dirs: &BothDirs,
        IsLeftOut(is_left_out): IsLeftOut,
        listed: Result<(), EntryError>,
        progress: &DirProgress,
    ) -> Result<(), ParentGone> {
        if let Err(error) = listed {
            fail_uncounted(walk, None, error)?;
        }
        if is_left_out { Ok(()) } else { find_extraneous(walk, dirs, &progress.known) }
    }
}

/// Whether the target has a symlink in place of a directory, and the directory behind it is to be compared
/// (`--keep-directory-symlink`).
fn is_kept_link(walk: &TreeWalk<'_>, source: &Stat, target: &Stat) -> bool {
    let kinds = (source.kind(), target.kind());
    walk.cx.options().keep_directory_symlink && kinds == (Kind::Directory, Kind::Symlink)
}

/// Whether a directory of the source is the one with which the operand is compared.
fn is_target(walk: &TreeWalk<'_>, source: &Stat) -> bool {
    walk.cx.job.built_dirs.overlap(source.identity(), walk.at.operand).is_some()
}

/// Reports the attributes of the source that could not be read, and so are not compared.
fn report_unread(
    walk: &mut TreeWalk<'_>,
    name: Option<&CStr>,
    unread: &AttributeErrors,
) -> Result<(), ParentGone> {
    unread.iter().try_for_each(|error| walk.report(name, Event::AttributeFailed(error)))
}

/// Reports an entry that has several names on either side. The parent finds out at the end whether the same
/// names are linked on both sides.
fn report_links(
    walk: &mut TreeWalk<'_>,
    name: &CStr,
    source: &Stat,
    target: &Stat,
) -> Result<(), ParentGone> {
    let wanted = walk.cx.options().preserve.links != Links::No;
    if !wanted || source.links() < 2 && target.links() < 2 {
        return Ok(());
    }
    let event = Event::HardLinked { source: source.identity(), target: target.identity() };
    walk.report(Some(name), event)
}

/// Reports every entry of the target directory that the source directory does not have.
fn find_extraneous(
    walk: &mut TreeWalk<'_>,
    dirs: &BothDirs,
    known: &KnownNames,
) -> Result<(), ParentGone> {
    let ends = BothEnds { source: &dirs.from, target: &dirs.to, known };
    let found = extraneous::find(walk, &ends, Detail::Uppermost, |walk, finding| {
        let (name, mode) = match finding {
            Finding::Entry(name, _) => (Some(name), mode_of(walk, Some(name))),
            Finding::Directory(dir) if !dir.is_uppermost => return Ok(()),
            Finding::Directory(_) | Finding::Kept(None, _) => (None, mode_of(walk, None)),
            Finding::Kept(Some(name), error) => return fail_uncounted(walk, Some(name), error),
        };
        walk.report(name, Event::Difference(Difference::Extraneous(mode)))
    });
    match found? {
        Ok(()) => Ok(()),
        Err(error) => fail_uncounted(walk, None, error),
    }
}

/// Returns the mode of an entry of the target: `name` in the directory that the walk is in, or without a name that
/// directory.
fn mode_of(walk: &TreeWalk<'_>, name: Option<&CStr>) -> u32 {
    let Some(operand) = walk.operand() else { return 0 };
    let mut path = operand.target_of(&walk.at.source);
    if let Some(name) = name {
        push_component(&mut path, name.to_bytes());
    }
    let (dir, name) = split_last(&path);
    let dir = walk.cx.plan().reach_target(operand, dir);
    dir.and_then(|dir| file::stat_at(&dir, &c_name(name))).map_or(0, |stat| stat.mode())
}
