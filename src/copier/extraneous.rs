//! Finds what a directory of the target has and the source does not have.
//!
//! A walk that leaves a directory knows the names that it has listed in the source; any other name of the target is
//! extraneous, unless the selection protects it. An extraneous directory is looked through to its end: if something in it is
//! protected, the directory stays, and only the rest of it is extraneous.

use super::folding::{in_other_case, names_in};
use super::report_writer::ParentGone;
use super::traverse::select::{self, Selector};
use super::traverse::{KnownNames, Walk};
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::Event;
use crate::ipc::wire::extraneous::{Extraneous, ExtraneousDir};
use crate::ipc::wire::task::push_component;
use crate::selection::{Asked, Decision, Reason, Side};
use crate::staging::name::is_staged_for;
use crate::staging::run_lock::LOCK_NAME;
use pcopy_sys::Errno;
use pcopy_sys::dir_reader::DirReader;
use pcopy_sys::file::{self, Identity, Kind};
use pcopy_sys::statfs;
use std::cell::OnceCell;
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What was found in the target. The walk is in the directory that the finding is about, or that contains the entry.
pub(super) enum Finding<'n> {
    /// An extraneous entry that is not a directory. Reported for those in a directory that the source has and, if
    /// [`Detail::Uppermost`] is asked for, in one that stays.
    Entry(&'n CStr, Identity),
    /// An extraneous directory, or one that the source does not have and that stays, if something in it is extraneous.
    Directory(ExtraneousDir),
    /// An entry stays for this reason: `name`, or without a name the extraneous directory that the walk is in.
    Kept(Option<&'n CStr>, EntryError),
}

/// What is reported of the contents of an extraneous directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Each directory, and how much is in it.
    Directories,
    /// The entries that are extraneous themselves while their directory stays.
    Uppermost,
}

/// A directory that both trees have.
pub(super) struct BothEnds<'d> {
    pub(super) source: &'d OwnedFd,
    pub(super) target: &'d OwnedFd,
    /// The names that the walk has listed in the source.
    pub(super) known: &'d KnownNames,
}

/// Reports what the target directory has and the source directory, which the walk is in, does not have. `report` is
/// called for each finding.
pub(super) fn find<'a, D>(
    walk: &mut Walk<'a, D>,
    ends: &BothEnds<'_>,
    detail: Detail,
    mut report: impl FnMut(&mut Walk<'a, D>, Finding<'_>) -> Result<(), ParentGone>,
) -> Result<Result<(), EntryError>, ParentGone> {
    let selector = select::selector(walk);
    let names = match extraneous_names(walk, ends, selector.as_ref()) {
        Ok(names) => names,
        Err(errno) => return Ok(Err(Op::OpenTarget.error()(errno))),
    };
    if names.is_empty() {
        return Ok(Ok(()));
    }
    let here = match file::stat_fd(ends.target) {
        Ok(stat) => stat.identity(),
        Err(errno) => return Ok(Err(Op::OpenTarget.error()(errno))),
    };
    let dirs = Dirs { root: ends.target.as_fd(), selector: selector.as_ref(), detail };
    let before = walk.at.clone();
    // Visitors that only look know no path in the target.
    if let Some(operand) = walk.operand() {
        walk.at.target = operand.target_of(&walk.at.source);
    }
    for (name, kind) in names {
        if walk.is_stopped() {
            break;
        }
        match kind {
            Ok(Kind::Directory) => {
                let looked = dirs.look_through(walk, &name);
                dirs.report_all(walk, &looked, &mut report)?;
            }
            Ok(_) => report(walk, Finding::Entry(&name, here))?,
            Err(error) => report(walk, Finding::Kept(Some(&name), error))?,
        }
        walk.reports.flush_if_old()?;
    }
    walk.at = before;
    Ok(Ok(()))
}

/// A name in the target that is extraneous, with its type; or the error because of which that cannot be known.
type Extra = (CString, Result<Kind, EntryError>);

/// Returns the names in the target that are extraneous.
fn extraneous_names<D>(
    walk: &mut Walk<'_, D>,
    ends: &BothEnds<'_>,
    selector: Option<&Selector<'_>>,
) -> Result<Vec<Extra>, Errno> {
    let mut asked = selector.map(|selector| selector.begin(walk));
    let selection = walk.cx.options().selection.as_deref();
    let hides = selection.is_some_and(|selection| selection.hides());
    let absent = walk.cx.plan().absent_below(walk.at.operand, &walk.at.source);
    let spellings = Spellings {
        ends,
        exact: OnceCell::new(),
        folds: OnceCell::new(),
        of_known: OnceCell::new(),
    };
    let mut found = Vec::new();
    let mut listing = DirReader::new();
    let fill = |listing: &mut DirReader| match listing.fill(ends.target.as_fd()) {
        Err(Errno::EBADF) => Err(Errno::EACCES), // it is open only to access entries by name
        filled => filled,
    };
    while fill(&mut listing)? {
        while let Some((kind, name)) = listing.next_entry() {
            let known = ends.known.is_dir(name);
            let is_known = known.is_some();
            // A rule for directories leaves out the directory of the source and does not protect another type of entry.
            let is_other = known.is_some_and(|is_dir| is_dir != (kind == Kind::Directory));
            let may_be_hidden = hides || is_other && asked.is_some();
            if is_known && !may_be_hidden
                || absent.as_ref().is_some_and(|absent| absent.covers(name))
                || is_of_a_run(ends, name)
                || walk.cx.plan().is_manifest(ends.target.as_fd(), name)
            {
                continue;
            }
            let in_source = match is_known {
                true => Ok(()),
                false => file::stat_at(ends.source, name).map(|_| ()),
            };
            let is_gone = match in_source {
                Err(Errno::ENOENT) => !spellings.has_known(name),
                Ok(()) => asked.as_mut().filter(|_| may_be_hidden).is_some_and(|asked| {
                    is_hidden(asked.decide(
                        Side::Source,
                        ends.source.as_fd(),
                        (Kind::Unknown, name),
                    ))
                }),
                Err(errno) => {
                    found.push((name.to_owned(), Err(Op::Stat.error()(errno))));
                    false
                }
            };
            if !is_gone {
                continue;
            }
            let kind = file::listed_kind(ends.target, (kind, name));
            if is_unprotected(asked.as_mut(), ends.target.as_fd(), (kind, name)) {
                found.push((name.to_owned(), Ok(kind)));
            }
        }
    }
    Ok(found)
}

/// Whether an entry of the source is left out by a rule, as if the source did not have it. What its size or age leaves out
/// is never extraneous.
fn is_hidden(decision: Decision<'_>) -> bool {
    matches!(decision, Decision::LeftOut(Reason::Rule(_) | Reason::Tag(_)))
}

/// Whether nothing protects an entry of the target from being extraneous.
fn is_unprotected(
    asked: Option<&mut Asked<'_>>,
    dir: BorrowedFd<'_>,
    entry: (Kind, &CStr),
) -> bool {
    asked.is_none_or(|asked| asked.decide(Side::Target, dir, entry).is_taken())
}

/// Whether a name of the target belongs to a run of pcopy, perhaps to this one: it is the lock file, or a staged name of an
/// entry that the source has.
fn is_of_a_run(ends: &BothEnds<'_>, name: &CStr) -> bool {
    let is_lock = name.to_bytes().starts_with(LOCK_NAME.to_bytes());
    is_lock
        || is_staged_for(name, |own| ends.known.has(own) || file::stat_at(ends.source, own).is_ok())
}

/// The entries of a target that may list names in another spelling than they were created with: it ignores case, or has one
/// form of each accented letter. Such an entry is no extraneous one.
struct Spellings<'e> {
    ends: &'e BothEnds<'e>,
    /// Whether the target lists names as they were created.
    exact: OnceCell<bool>,
    /// Whether it ignores case, tried with one name.
    folds: OnceCell<bool>,
    /// The inodes of the entries that the target finds by a name of the source.
    of_known: OnceCell<HashSet<Identity>>,
}

impl Spellings<'_> {
    /// Whether an entry of the target, listed as `name`, is found by a name of the source.
    fn has_known(&self, name: &CStr) -> bool {
        let target = self.ends.target;
        if *self.exact.get_or_init(|| statfs::lists_names_as_created(target))
            && !self.ignores_case(name)
        {
            return false;
        }
        let of_known = self.of_known.get_or_init(|| {
            let names = names_in(self.ends.source).unwrap_or_default();
            let found = names.iter().filter_map(|name| file::stat_at(target, name).ok());
            found.map(|stat| stat.identity()).collect()
        });
        file::stat_at(target, name).is_ok_and(|stat| of_known.contains(&stat.identity()))
    }

    /// Whether the target may find the entry by a name in another case.
    fn ignores_case(&self, name: &CStr) -> bool {
        match in_other_case(name) {
            Some(other) => {
                *self.folds.get_or_init(|| file::stat_at(self.ends.target, &other).is_ok())
            }
            None => !name.to_bytes().is_ascii(),
        }
    }
}

/// Extraneous directories below one that both trees have.
struct Dirs<'d> {
    /// The target of the directory that both trees have.
    root: BorrowedFd<'d>,
    selector: Option<&'d Selector<'d>>,
    detail: Detail,
}

/// An extraneous directory that was looked at, or that is to be looked at.
struct Looked {
    /// The path, relative to the directory that both trees have.
    path: Vec<u8>,
    /// The place of the directory above in the list; `None` if both trees have that one.
    above: Option<usize>,
    identity: Identity,
    entries: u64,
    protected: u64,
    has_dirs: bool,
    /// Whether the directory stays, for itself or for something in it.
    stays: bool,
    /// Why it could not be looked at.
    error: Option<EntryError>,
}

impl Dirs<'_> {
    /// Looks through the directory `name` and all below it. Returns nothing if the copier must stop.
    fn look_through<D>(&self, walk: &mut Walk<'_, D>, name: &CStr) -> Vec<Looked> {
        let here = walk.at.depth();
        let mut dirs = vec![Looked::new(name.to_bytes().to_vec(), None)];
        let mut waiting = vec![0];
        while let Some(number) = waiting.pop() {
            let path = dirs[number].path.clone();
            walk.at.push(&path, &path);
            let looked = self.look_at(walk, &mut dirs, number, &mut waiting);
            if let Err(error) = looked {
                dirs[number].stays = true;
                dirs[number].error = Some(error);
            }
            walk.at.truncate(here);
            if walk.is_stopped() {
                return Vec::new();
            }
        }
        // A directory comes after those above it.
        for number in (0..dirs.len()).rev() {
            if let (true, Some(above)) = (dirs[number].stays, dirs[number].above) {
                dirs[above].stays = true;
            }
        }
        dirs
    }

    /// Reports what is extraneous in directories that were looked through.
    fn report_all<'a, D>(
        &self,
        walk: &mut Walk<'a, D>,
        dirs: &[Looked],
        report: &mut impl FnMut(&mut Walk<'a, D>, Finding<'_>) -> Result<(), ParentGone>,
    ) -> Result<(), ParentGone> {
        let here = walk.at.depth();
        for dir in dirs {
            walk.at.push(&dir.path, &dir.path);
            if let Some(error) = dir.error {
                report(walk, Finding::Kept(None, error))?;
            }
            let above_stays = dir.above.is_none_or(|above| dirs[above].stays);
            self.report(walk, dir, above_stays, report)?;
            walk.at.truncate(here);
        }
        Ok(())
    }

    /// Lists a directory. Adds the directories in it to `dirs` and to those that wait.
    fn look_at<D>(
        &self,
        walk: &mut Walk<'_, D>,
        dirs: &mut Vec<Looked>,
        number: usize,
        waiting: &mut Vec<usize>,
    ) -> Result<(), EntryError> {
        let error = Op::OpenTarget.error();
        let path = dirs[number].path.clone();
        let opened = file::open_dir_beneath_noatime(self.root, &path).map_err(&error)?;
        if file::is_mount_point(opened.as_fd()).map_err(&error)? {
            return Err(Op::RemoveMountPoint.error()(Errno::EBUSY));
        }
        dirs[number].identity = file::stat_fd(&opened).map_err(&error)?.identity();
        let is_beyond = walk.is_beyond_selection();
        let mut asked = self.selector.map(|selector| selector.begin(walk));
        let mut listing = DirReader::new();
        while listing.fill(opened.as_fd()).map_err(&error)? {
            while let Some((kind, name)) = listing.next_entry() {
                let kind = file::listed_kind(&opened, (kind, name));
                let is_manifest = walk.cx.plan().is_manifest(opened.as_fd(), name);
                if is_beyond
                    || is_manifest
                    || !is_unprotected(asked.as_mut(), opened.as_fd(), (kind, name))
                {
                    dirs[number].protected += 1;
                } else if kind == Kind::Directory {
                    let mut child = path.clone();
                    push_component(&mut child, name.to_bytes());
                    dirs[number].has_dirs = true;
                    waiting.push(dirs.len());
                    dirs.push(Looked::new(child, Some(number)));
                } else {
                    dirs[number].entries += 1;
                }
            }
        }
        dirs[number].stays |= dirs[number].protected > 0;
        Ok(())
    }

    fn report<'a, D>(
        &self,
        walk: &mut Walk<'a, D>,
        dir: &Looked,
        above_stays: bool,
        report: &mut impl FnMut(&mut Walk<'a, D>, Finding<'_>) -> Result<(), ParentGone>,
    ) -> Result<(), ParentGone> {
        if dir.protected > 0 {
            walk.cx.status.add(Count::Protected, dir.protected);
        }
        walk.cx.status.add(Count::Protecting, dir.stays.into());
        if dir.stays && dir.entries == 0 {
            return Ok(());
        }
        if dir.stays && self.detail == Detail::Uppermost {
            return self.report_entries(walk, dir, report);
        }
        let found = ExtraneousDir {
            identity: dir.identity,
            entries: dir.entries,
            is_removed: !dir.stays,
            is_uppermost: !dir.stays && above_stays,
            is_in_source_dir: dir.above.is_none(),
            has_dirs: dir.has_dirs,
        };
        report(walk, Finding::Directory(found))
    }

    /// Reports the entries of a directory that stays.
    fn report_entries<'a, D>(
        &self,
        walk: &mut Walk<'a, D>,
        dir: &Looked,
        report: &mut impl FnMut(&mut Walk<'a, D>, Finding<'_>) -> Result<(), ParentGone>,
    ) -> Result<(), ParentGone> {
        let Ok(opened) = file::open_dir_beneath_noatime(self.root, &dir.path) else {
            return Ok(());
        };
        let mut asked = self.selector.map(|selector| selector.begin(walk));
        let mut listing = DirReader::new();
        while listing.fill(opened.as_fd()).is_ok_and(|filled| filled) {
            while let Some((kind, name)) = listing.next_entry() {
                let kind = file::listed_kind(&opened, (kind, name));
                if kind != Kind::Directory
                    && is_unprotected(asked.as_mut(), opened.as_fd(), (kind, name))
                {
                    report(walk, Finding::Entry(name, dir.identity))?;
                }
            }
        }
        Ok(())
    }
}

impl Looked {
    fn new(path: Vec<u8>, above: Option<usize>) -> Self {
        let (identity, entries, protected, error) = ((0, 0), 0, 0, None);
        Self { path, above, identity, entries, protected, has_dirs: false, stays: false, error }
    }
}

/// Reports to the parent what the target directory has and the source directory does not have, so that it is removed later.
pub(super) fn list<D>(
    walk: &mut Walk<'_, D>,
    (source, target): (&OwnedFd, &OwnedFd),
    known: &KnownNames,
) -> Result<(), ParentGone> {
    let ends = BothEnds { source, target, known };
    match find(walk, &ends, Detail::Directories, report)? {
        Ok(()) => Ok(()),
        Err(error) => walk.report(None, Event::FailedLate(error)),
    }
}

fn report<D>(walk: &mut Walk<'_, D>, finding: Finding<'_>) -> Result<(), ParentGone> {
    match finding {
        Finding::Entry(name, dir) => {
            walk.report(Some(name), Event::Extraneous(Extraneous::Entry { dir }))
        }
        Finding::Directory(dir) => walk.report(None, Event::Extraneous(Extraneous::Directory(dir))),
        Finding::Kept(name, error) => walk.report(name, Event::FailedLate(error)),
    }
}

/// Reports to the parent an entry of the target that has the name of an entry of the source, but not its type, and with it all
/// that is in it, so that it is removed later. Returns whether it can go: it stays if it is protected, or something in it.
pub(super) fn clear_way<D>(
    walk: &mut Walk<'_, D>,
    target: &OwnedFd,
    name: &CStr,
) -> Result<bool, ParentGone> {
    let (Ok(here), Ok(stat)) = (file::stat_fd(target), file::stat_at(target, name)) else {
        return Ok(false);
    };
    let selector = select::selector(walk);
    let mut asked = selector.as_ref().map(|selector| selector.begin(walk));
    let entry = (stat.kind(), name);
    if !is_unprotected(asked.as_mut(), target.as_fd(), entry) {
        return Ok(false);
    }
    let before = walk.at.clone();
    if let Some(operand) = walk.operand() {
        walk.at.target = operand.target_of(&walk.at.source);
    }
    let may_go = if stat.kind() == Kind::Directory {
        let (root, detail) = (target.as_fd(), Detail::Directories);
        let dirs = Dirs { root, selector: selector.as_ref(), detail };
        let looked = dirs.look_through(walk, name);
        let may_go = looked.first().is_some_and(|uppermost| !uppermost.stays);
        if may_go {
            dirs.report_all(walk, &looked, &mut report)?;
        }
        may_go
    } else {
        report(walk, Finding::Entry(name, here.identity()))?;
        true
    };
    walk.at = before;
    Ok(may_go)
}
