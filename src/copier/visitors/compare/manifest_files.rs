//! Compares a directory with a manifest (a list of file hashes): the files that the manifest lists, and those
//! that it does not list.

use super::{Comparer, HasComparer, fail_uncounted, record, record_missing};
use crate::copier::context::Context;
use crate::copier::dir_pair::c_name;
use crate::copier::entry::result::Unfinished;
use crate::copier::name_queue::NO_MARK;
use crate::copier::report_writer::ParentGone;
use crate::copier::traverse::{self, DirProgress, Visitor, Walk};
use crate::error::{EntryError, Op};
use crate::hash::Algorithm;
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::difference::{Difference, Properties, Property};
use crate::ipc::wire::event::Event;
use crate::ipc::wire::task::{EntryPath, split_last};
use crate::plan::{ListedFile, ListedFiles};
use pcopy_sys::file::{self, Kind, Stat};
use pcopy_sys::{Errno, file_data};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The type bits of a regular file.
const FILE: u32 = 0o100_000;

type ManifestWalk<'a> = Walk<'a, OwnedFd>;

/// Compares a directory with a manifest. For the walk, each file of the manifest is an operand, and the
/// directory itself is the last operand. In that directory the visitor searches for files that the manifest
/// does not list.
pub(super) struct ManifestVisitor<'a> {
    comparer: Comparer<'a>,
    listed: &'a ListedFiles,
    /// The algorithm to try first for a line that does not name its algorithm.
    guess: Algorithm,
    /// The path and the descriptor of the directory of the last file, because the next file is often in the
    /// same directory.
    last_dir: Option<(Vec<u8>, OwnedFd)>,
}

impl<'a> ManifestVisitor<'a> {
    pub(super) fn new(comparer: Comparer<'a>, listed: &'a ListedFiles) -> Self {
        Self { comparer, listed, guess: Algorithm::Blake3, last_dir: None }
    }

    /// Compares a file with its line in the manifest.
    fn one_file(
        &mut self,
        walk: &mut ManifestWalk<'a>,
        file: &ListedFile,
    ) -> Result<(), ParentGone> {
        let (dir, leaf) = split_last(&file.name);
        let leaf = c_name(leaf);
        walk.at.go_to(EntryPath { operand: 0, source: dir, target: b"", staged: false });
        walk.publish_place();
        walk.cx.status.at(&leaf);
        walk.cx.status.add(Count::Found, 1);
        if walk.cx.is_passed_over(&leaf) {
            return walk.record_failed(Some(&leaf), Op::KillsCopiers.error()(Errno::EIO));
        }
        match self.aspects_of(file) {
            Ok((properties, found)) => record(walk, Some(&leaf), properties, (FILE, found)),
            Err(Unfinished::Failed(EntryError { op: Op::ReadBack, errno: Errno::ENOENT })) => {
                record_missing(walk, &leaf, FILE)
            }
            Err(Unfinished::Failed(error)) => walk.record_failed(Some(&leaf), error),
            Err(_) => Ok(()), // the file was dropped, because the run ends
        }
    }

    fn aspects_of(&mut self, file: &ListedFile) -> Result<(Properties, u32), Unfinished> {
        let (opened, stat) = self.open_listed(&file.name)?;
        let Some(opened) = opened else { return Ok((Property::Type.into(), stat.mode())) };
        let known = file.algorithm.or(self.comparer.cx.options().hash);
        let first = known.unwrap_or(self.guess);
        let (dir, leaf) = split_last(&file.name);
        let place = (dir, &*c_name(leaf));
        let mut same = self.comparer.digest(place, (opened.as_fd(), &stat), first)? == file.digest;
        if !same && known.is_none() {
            file_data::seek_to(&opened, 0).map_err(Op::ReadBack.error())?;
            let other = self.comparer.digest(place, (opened.as_fd(), &stat), first.other())?;
            same = other == file.digest;
            if same {
                self.guess = first.other(); // the other lines probably have the same algorithm
            }
        }
        let mut properties = Properties::default();
        properties.add_if(!same, Property::Contents);
        Ok((properties, stat.mode()))
    }

    /// Opens a file of the manifest. Follows no symlinks, and opens only regular files.
    fn open_listed(&mut self, name: &[u8]) -> Result<(Option<OwnedFd>, Stat), EntryError> {
        let error = |errno| match errno {
            Errno::ELOOP => Op::ThroughSymlink.error()(errno),
            errno => Op::ReadBack.error()(errno),
        };
        let (parent, name) = split_last(name);
        if self.last_dir.as_ref().is_none_or(|(path, _)| path != parent) {
            let dir = file::open_dir_path_beneath(self.listed.dir.as_fd(), parent);
            let dir = dir.map_err(|errno| match errno {
                Errno::ENOTDIR if has_symlink(self.listed, parent) => error(Errno::ELOOP),
                // a file has replaced the directory, so the listed file does not exist
                Errno::ENOTDIR => error(Errno::ENOENT),
                errno => error(errno),
            })?;
            self.last_dir = Some((parent.to_vec(), dir));
        }
        let Some((_, dir)) = &self.last_dir else { return Err(error(Errno::EINVAL)) };
        let name = c_name(name);
        let stat = file::stat_at(dir, &name).map_err(error)?;
        match stat.kind() {
            Kind::Symlink => Err(error(Errno::ELOOP)),
            Kind::File => {
                let opened = file::open_noatime(dir, &name).map_err(error)?;
                let stat = file::stat_fd(&opened).map_err(error)?;
                Ok((Some(opened).filter(|_| stat.kind() == Kind::File), stat))
            }
            _ => Ok((None, stat)),
        }
    }
}

impl<'a> HasComparer<'a> for ManifestVisitor<'a> {
    fn comparer(&mut self) -> &mut Comparer<'a> {
        &mut self.comparer
    }
}

impl<'a> Visitor<'a> for ManifestVisitor<'a> {
    type Dir = OwnedFd;
    type Facts = ();

    /// Only the files of the manifest count as found; all other files are extraneous.
    const COUNTS_NAMES: bool = false;

    fn operand_count(&self, _cx: &Context<'_>) -> usize {
        self.listed.files.len() + 1
    }

    fn operand(
        &mut self,
        walk: &mut ManifestWalk<'a>,
        number: u32,
        _progress: &mut DirProgress,
    ) -> Result<Option<OwnedFd>, ParentGone> {
        match self.listed.files.get(number as usize) {
            Some(file) => self.one_file(walk, file)?,
            None => {
                walk.at.operand = 0;
                traverse::directory(walk, self, None, true)?;
            }
        }
        Ok(None)
    }

    fn open(&self, walk: &ManifestWalk<'a>, _existed: bool) -> Result<OwnedFd, EntryError> {
        if walk.cx.is_passed_over(c"") {
            return Err(Op::KillsCopiers.error()(Errno::EIO));
        }
        let dir = file::open_dir_beneath_noatime(self.listed.dir.as_fd(), &walk.at.source);
        dir.map_err(Op::OpenTarget.error())
    }

    fn entry(
        &mut self,
        walk: &mut ManifestWalk<'a>,
        dir: &OwnedFd,
        (kind, name): (Kind, &CStr),
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        let look = || file::stat_at(dir, name);
        let kind = match kind {
            Kind::Unknown => look().map_or(Kind::Special, |stat| stat.kind()),
            kind => kind,
        };
        match kind {
            Kind::Directory => match progress.children.push(NO_MARK, name) {
                Ok(()) => Ok(()),
                Err(_) => fail_uncounted(walk, None, Op::OpenTarget.error()(Errno::ENOMEM)),
            },
            Kind::File if !self.listed.has(&walk.at.source, name.to_bytes()) => {
                let itself = look().map(|stat| stat.identity()).ok();
                if itself.is_some() && itself == self.listed.own {
                    return Ok(()); // the file is the manifest itself
                }
                walk.report(Some(name), Event::Difference(Difference::Extraneous(FILE)))
            }
            _ => Ok(()),
        }
    }

    fn enter(
        &mut self,
        walk: &mut ManifestWalk<'a>,
        _opened: Option<Result<OwnedFd, EntryError>>,
        existed: bool,
    ) -> Result<Option<(OwnedFd, ())>, ParentGone> {
        match self.open(walk, existed) {
            Ok(dir) => Ok(Some((dir, ()))),
            Err(error) => fail_uncounted(walk, None, error).map(|()| None),
        }
    }

    fn source_of(dir: &OwnedFd) -> BorrowedFd<'_> {
        dir.as_fd()
    }

    fn source_to_list<'d>(
        &self,
        _walk: &ManifestWalk<'a>,
        dir: &'d OwnedFd,
        (): &(),
    ) -> Option<BorrowedFd<'d>> {
        Some(dir.as_fd())
    }

    fn leave(
        &mut self,
        walk: &mut ManifestWalk<'a>,
        _dir: &OwnedFd,
        (): (),
        listed: Result<(), EntryError>,
        _progress: &DirProgress,
    ) -> Result<(), ParentGone> {
        match listed {
            Ok(()) => Ok(()),
            Err(error) => fail_uncounted(walk, None, EntryError { op: Op::OpenTarget, ..error }),
        }
    }
}

/// Whether a component of `path` is a symlink. The errno of an open does not always show that: if the last
/// component is a symlink, the kernel reports `ENOTDIR`, as for a file.
fn has_symlink(listed: &ListedFiles, path: &[u8]) -> bool {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    slashes.chain([path.len()]).any(|end| {
        let (parent, name) = split_last(&path[..end]);
        let dir = file::open_dir_path_beneath(listed.dir.as_fd(), parent);
        let part = dir.and_then(|dir| file::stat_at(dir, &c_name(name)));
        part.is_ok_and(|part| part.kind() == Kind::Symlink)
    })
}
