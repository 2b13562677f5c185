//! The files of a manifest, and those that it does not have.

use super::super::dir_pair::c_name;
use super::super::entry::result::Unfinished;
use super::super::report_writer::ParentGone;
use super::{Checker, Worker};
use crate::copier::name_queue::NameQueue;
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::difference::{Difference, Properties, Property};
use crate::ipc::wire::event::Event;
use crate::ipc::wire::task::split_last;
use crate::plan::{Listed, ListedFile};
use pcopy_sys::file::{self, Kind, Stat};
use pcopy_sys::{Errno, bytes};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// The type bits of a regular file.
const FILE: u32 = 0o100_000;

impl Checker<'_> {
    /// Checks file `number` of a manifest; behind the last is the folder, with what else is in it.
    pub(super) fn listed(&mut self, listed: &Listed, number: u32) -> Result<(), ParentGone> {
        self.go_to(0, b"");
        let Some(file) = listed.files.get(number as usize) else {
            return self.folder();
        };
        let (dir, leaf) = split_last(&file.name);
        let leaf = c_name(leaf);
        self.cx.status.enter(0, dir);
        self.cx.status.at(&leaf);
        self.cx.status.add(Count::Found, 1);
        let name = Some(&file.name[..]);
        if self.cx.is_passed_over(&leaf) {
            return self.record_failed(name, Op::KillsCopiers.error()(Errno::EIO));
        }
        match self.aspects_of(listed, file) {
            Ok((properties, found)) => self.settle(name, properties, (FILE, found)),
            Err(Unfinished::Failed(EntryError { op: Op::ReadBack, errno: Errno::ENOENT })) => {
                self.record_missing(&file.name, FILE)
            }
            Err(Unfinished::Failed(error)) => self.record_failed(name, error),
            Err(_) => Ok(()), // the run ends
        }
    }

    fn aspects_of(
        &mut self,
        listed: &Listed,
        file: &ListedFile,
    ) -> Result<(Properties, u32), Unfinished> {
        let (opened, stat) = self.open_listed(listed, &file.name)?;
        let Some(opened) = opened else { return Ok((Property::Type.into(), stat.mode())) };
        let known = file.algorithm.or(self.cx.job.plan.options.hash);
        let first = known.unwrap_or(self.guess);
        let (dir, leaf) = split_last(&file.name);
        let place = (dir, &*c_name(leaf));
        let mut same = self.digest(place, (opened.as_fd(), &stat), first)? == file.digest;
        if !same && known.is_none() {
            bytes::go_to(&opened, 0).map_err(Op::ReadBack.error())?;
            let other = self.digest(place, (opened.as_fd(), &stat), first.other())?;
            same = other == file.digest;
            if same {
                self.guess = first.other(); // as the others will be
            }
        }
        let mut properties = Properties::default();
        properties.add_if(!same, Property::Contents);
        Ok((properties, stat.mode()))
    }

    /// Opens a file of a manifest, and nothing that a symlink leads to; what is no file is not
    /// opened.
    fn open_listed(
        &mut self,
        listed: &Listed,
        name: &[u8],
    ) -> Result<(Option<OwnedFd>, Stat), EntryError> {
        let error = |errno| match errno {
            Errno::ELOOP => Op::ThroughSymlink.error()(errno),
            errno => Op::ReadBack.error()(errno),
        };
        let (parent, name) = split_last(name);
        if self.last_dir.as_ref().is_none_or(|(path, _)| path != parent) {
            let dir = file::reach_dir_beneath(listed.dir.as_fd(), parent);
            let dir = dir.map_err(|errno| match errno {
                Errno::ENOTDIR if has_symlink(listed, parent) => error(Errno::ELOOP),
                Errno::ENOTDIR => error(Errno::ENOENT), // a file where a folder was
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
                let opened = file::open_untouched(dir, &name).map_err(error)?;
                let stat = file::stat_fd(&opened).map_err(error)?;
                Ok((Some(opened).filter(|_| stat.kind() == Kind::File), stat))
            }
            _ => Ok((None, stat)),
        }
    }

    /// Tells of the files in the folder that the walk is at that the manifest does not have.
    pub(super) fn look_for_extra_files(&mut self, listed: &Listed) -> Result<(), ParentGone> {
        if self.cx.is_passed_over(c"") {
            return self.fail_beside(Op::KillsCopiers.error()(Errno::EIO));
        }
        let dir = match file::open_dir_untouched(listed.dir.as_fd(), &self.path) {
            Ok(dir) => dir,
            Err(errno) => return self.fail_beside(Op::OpenTarget.error()(errno)),
        };
        let mut children = NameQueue::new();
        let mut listing = self.listing.take().unwrap_or_default();
        loop {
            match listing.fill(dir.as_fd()) {
                Ok(true) => {}
                Ok(false) => break,
                Err(errno) => {
                    self.fail_beside(Op::OpenTarget.error()(errno))?;
                    break;
                }
            }
            while let Some((kind, name)) = listing.next_entry() {
                self.listed_or_extra(listed, &dir, (kind, name), &mut children)?;
            }
            if self.is_stopped() {
                return Ok(());
            }
            self.pause()?;
        }
        self.listing = Some(listing);
        self.wait_for(children);
        Ok(())
    }

    /// Keeps what is a folder, and tells of what is a file and has no line.
    fn listed_or_extra(
        &mut self,
        listed: &Listed,
        dir: &OwnedFd,
        (kind, name): (Kind, &CStr),
        children: &mut NameQueue,
    ) -> Result<(), ParentGone> {
        let look = || file::stat_at(dir, name);
        let kind = match kind {
            Kind::Unknown => look().map_or(Kind::Special, |stat| stat.kind()),
            kind => kind,
        };
        match (kind, name.to_bytes()) {
            (Kind::Directory, _) => match children.push(1, name) {
                Ok(()) => Ok(()),
                Err(_) => self.fail_beside(Op::OpenTarget.error()(Errno::ENOMEM)),
            },
            (Kind::File, bytes) if !listed.has(&self.path, bytes) => {
                let itself = look().map(|stat| stat.identity()).ok();
                if itself.is_some() && itself == listed.own {
                    return Ok(()); // the manifest
                }
                self.report(Some(bytes), Event::Difference(Difference::Extraneous(FILE)))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a part of `path` is a symlink. At its end the kernel says of one that it is no directory.
fn has_symlink(listed: &Listed, path: &[u8]) -> bool {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    slashes.chain([path.len()]).any(|end| {
        let (parent, name) = split_last(&path[..end]);
        let dir = file::reach_dir_beneath(listed.dir.as_fd(), parent);
        let part = dir.and_then(|dir| file::stat_at(dir, &c_name(name)));
        part.is_ok_and(|part| part.kind() == Kind::Symlink)
    })
}
