//! The names of a directory, one after the other: what becomes of each, and how it is told.

use super::{CopyVisitor, CopyWalk};
use crate::copier::dir_pair::{DirPair, c_name};
use crate::copier::entry::Entry;
use crate::copier::entry::link::LinkMode;
use crate::copier::entry::result::{Applied, Done, Unfinished};
use crate::copier::report_writer::ParentGone;
use crate::copier::traverse::DirProgress;
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::{Details, Event};
use crate::options::CopyMode;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind};
use std::ffi::{CStr, CString};

impl<'a> CopyVisitor<'a> {
    /// Does one entry that has been found.
    pub(super) fn one_name(
        &mut self,
        walk: &mut CopyWalk<'a>,
        dirs: &DirPair,
        kind: Kind,
        name: &CStr,
        target_name: &CStr,
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        walk.cx.status.at(name);
        if walk.cx.is_passed_over(name) {
            self.entry_copier.give_up(Entry::new(&walk.at, dirs, name, target_name));
            return walk.record_failed(Some(name), Op::KillsCopiers.error()(Errno::EIO));
        }
        let kind = match self.kind_of(walk, dirs, kind, name) {
            Ok(Kind::Directory) => return self.child(walk, dirs, name, target_name, progress),
            Ok(kind) => kind,
            Err(error) => return walk.record_failed(Some(name), error),
        };
        let result = walk.retry(Unfinished::error, |walk| {
            self.copy_or_link(walk, dirs, kind, name, target_name)
        });
        walk.last_was_heavy = matches!(&result, Ok(applied) if applied.heavy);
        match self.with_digest(walk, dirs, name, target_name, result) {
            Ok(applied) => self.record_applied(walk, name, target_name, &applied, progress),
            Err(Unfinished::Deferred(inode)) => {
                self.defer(walk, name, target_name, (inode, dirs.existed), progress)
            }
            Err(Unfinished::Ask { mode, writable }) => {
                self.defer_prompt(walk, progress);
                let event = Event::Ask { existed: dirs.existed, bits: mode, writable };
                walk.report_names(name, target_name, event, || ())
            }
            Err(unfinished) => self.record_unfinished(walk, dirs, name, target_name, &unfinished),
        }
    }

    /// Records an entry that is in the copy.
    fn record_applied(
        &mut self,
        walk: &mut CopyWalk<'a>,
        name: &CStr,
        target_name: &CStr,
        applied: &Applied,
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        self.report_digest(walk, name, target_name, applied)?;
        match (applied.leads, applied.lacking) {
            (Some(inode), None) => self.lead(walk, name, target_name, (inode, applied), progress),
            (Some(inode), Some(error)) => {
                self.lead_lacking(walk, name, target_name, inode, progress)?;
                walk.record_failed(Some(name), error)
            }
            (None, None) => self.record(walk, Some(name), applied.done, applied.details),
            (None, Some(error)) => walk.record_failed(Some(name), error),
        }
    }

    /// Copies an entry that is not a directory, or makes the link to it that the user wants.
    fn copy_or_link(
        &mut self,
        walk: &mut CopyWalk<'a>,
        dirs: &DirPair,
        kind: Kind,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Applied, Unfinished> {
        let text = match walk.cx.options().copy_mode {
            CopyMode::Symlink => self.shown_source(walk, name),
            _ => CString::default(),
        };
        let entry = Entry::new(&walk.at, dirs, name, target_name);
        match walk.cx.options().copy_mode {
            CopyMode::Copy | CopyMode::AttributesOnly => self.entry_copier.copy(entry, kind),
            CopyMode::HardLink => self.entry_copier.link(entry, LinkMode::HardLink),
            CopyMode::Symlink => self.entry_copier.link(entry, LinkMode::Symlink(&text)),
        }
    }

    /// What the listing did not say, and what a symlink leads to if it is followed.
    fn kind_of(
        &self,
        walk: &CopyWalk<'a>,
        dirs: &DirPair,
        kind: Kind,
        name: &CStr,
    ) -> Result<Kind, EntryError> {
        match kind {
            Kind::Unknown | Kind::Symlink | Kind::Directory if dirs.follow => {
                self.kind_at_end(walk, dirs, name)
            }
            Kind::Unknown => {
                file::stat_at(&dirs.source, name).map(|stat| stat.kind()).map_err(Op::Stat.error())
            }
            known => Ok(known),
        }
    }

    /// Records an entry that did not come to its end.
    pub(super) fn record_unfinished(
        &mut self,
        walk: &mut CopyWalk<'a>,
        dirs: &DirPair,
        name: &CStr,
        target_name: &CStr,
        unfinished: &Unfinished,
    ) -> Result<(), ParentGone> {
        // The run ends and nothing is counted any more, or the entry waits for the end.
        let Some(error) = unfinished.error() else { return Ok(()) };
        // What is published must not hold the half that an earlier run left of the entry. A source that
        // changed keeps what was read of it. Where no run has been before there is no half: what has
        // the name then came from another name, where case is ignored.
        let stays = error.op == Op::Changed || error.op.leaves_it_whole();
        if dirs.staged && dirs.existed && !stays && !dirs.is_seen(walk.cx.plan()) {
            self.entry_copier.give_up(Entry::new(&walk.at, dirs, name, target_name));
        }
        walk.record_failed(Some(name), error)
    }

    /// The path of `name`, as the user would write it.
    fn shown_source(&self, walk: &CopyWalk<'a>, name: &CStr) -> CString {
        let path = walk.at.source_of(name.to_bytes());
        c_name(&walk.operand().map(|operand| operand.show_source(&path)).unwrap_or_default())
    }

    /// What `name` is, or what it leads to; a symlink that leads nowhere is a failure, and so is a
    /// directory that we are in already: a symlink may have led above what the user named.
    fn kind_at_end(
        &self,
        walk: &CopyWalk<'a>,
        dirs: &DirPair,
        name: &CStr,
    ) -> Result<Kind, EntryError> {
        let itself = file::stat_at(&dirs.source, name).map_err(Op::Stat.error())?;
        let end = match itself.kind() {
            Kind::Symlink => dirs.stat_source(name).map_err(Op::Follow.error())?,
            _ => itself,
        };
        if end.kind() == Kind::Directory && self.is_above(walk, end.identity()) {
            return Err(Op::Cycle.error()(Errno::ELOOP));
        }
        Ok(end.kind())
    }

    /// Whether the directory that the walk is at, or one that it came through, is this one.
    ///
    /// Costs a walk from the top; only directories ask, and only where symlinks are followed.
    fn is_above(&self, walk: &CopyWalk<'a>, identity: Identity) -> bool {
        let Some(operand) = walk.operand() else { return false };
        let slashes = walk.at.source.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = slashes.map(|(at, _)| at).chain([walk.at.source.len()]);
        ends.filter(|&end| end > 0).any(|end| {
            let dir = walk.cx.job.plan.open_source(operand, &walk.at.source[..end]);
            dir.and_then(file::stat_fd).is_ok_and(|stat| stat.identity() == identity)
        })
    }

    /// Counts an entry that ended well, and reports it if that is wanted; without a name it is the directory
    /// that the walk is in.
    pub(super) fn record(
        &mut self,
        walk: &mut CopyWalk<'a>,
        name: Option<&CStr>,
        done: Done,
        details: Details,
    ) -> Result<(), ParentGone> {
        if done == Done::Skipped && !walk.cx.was_begun(name.unwrap_or(c"")) {
            walk.cx.status.add(Count::Skipped, 1);
            if walk.cx.options().debug && name.is_some() {
                return walk.report(name, Event::Skipped);
            }
            return Ok(());
        }
        let status = walk.cx.status;
        let count = if done == Done::Linked { Count::Linked } else { Count::Copied };
        let options = walk.cx.options();
        let remembers = options.must_remember() && name.is_some() && !walk.at.staged;
        if options.verbose || remembers {
            return walk.report_then(name, Event::Done(details), || status.add(count, 1));
        }
        walk.cx.outbox.settle();
        status.add(count, 1);
        Ok(())
    }

    /// The same for the directory that the walk is in.
    pub(super) fn record_dir(
        &mut self,
        walk: &mut CopyWalk<'a>,
        done: Done,
    ) -> Result<(), ParentGone> {
        self.record(walk, None, done, Details { directory: true, ..Details::default() })
    }

    /// Counts a directory whose times and bits are left to the supervisor, and tells it so.
    pub(super) fn record_deferred(
        &mut self,
        walk: &mut CopyWalk<'a>,
        done: Done,
    ) -> Result<(), ParentGone> {
        let new = done == Done::Copied;
        let status = walk.cx.status;
        let count = if new { Count::Copied } else { Count::Skipped };
        walk.report_then(None, Event::Late { new }, || status.add(count, 1))
    }
}
