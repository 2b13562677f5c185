//! The names of a directory, one after the other: what becomes of each, and how it is told.

use super::Worker;
use super::dir_pair::{Child, DirPair, c_name, make_child, make_child_in_place, open_by_path};
use super::entry::decide::check_just_created;
use super::entry::link::LinkMode;
use super::entry::result::{Applied, Done, Unfinished};
use super::entry::{Entry, HEAVY_BYTES};
use super::offer::Source;
use super::park::park_if_superfluous;
use super::report_writer::ParentGone;
use super::walk::{DirProgress, Walker};
use crate::error::{EntryError, Op, is_transient};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::{Details, Event, Report};
use crate::ipc::wire::task::{self, push_component};
use crate::options::CopyMode;
use crate::staging::staged_name;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind};
use std::ffi::{CStr, CString};
use std::time::Duration;

/// Directories with longer paths than this have their children made at once.
const DEFERRED_PATH_BYTES: usize = 1024;

/// How long the first pause is before something is tried again; the next ones are longer.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Whether it takes longer to copy a file than to hand one over.
fn is_heavy(dirs: &DirPair, name: &CStr) -> bool {
    dirs.stat_source(name).is_ok_and(|stat| stat.size() >= HEAVY_BYTES)
}

impl Walker<'_> {
    /// Copies names that another copier found in a directory too wide for it alone.
    pub(super) fn names_task(
        &mut self,
        staged: bool,
        existed: bool,
        names: &[u8],
    ) -> Result<(), ParentGone> {
        self.enter();
        match open_by_path(self.cx.job.plan, self.at.as_path(), existed) {
            Ok(dirs) => {
                let mut progress = DirProgress::default();
                self.names(&dirs, &mut Source::Handed(names), &mut progress)?;
                self.leave(progress, dirs, staged);
            }
            Err(error) => {
                let mut left = names;
                while let Some((_, name)) = task::next_name(&mut left) {
                    self.record_failed(Some(name), error)?;
                }
            }
        }
        Ok(())
    }

    /// Goes through `names` of `dirs`: what is a directory is made and kept, the rest is copied.
    pub(super) fn names(
        &mut self,
        dirs: &DirPair,
        names: &mut Source<'_>,
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        let mut is_first = true;
        while !self.is_stopped() {
            let listed = matches!(names, Source::Listed(_));
            let Some((kind, name)) = names.next() else { break };
            if listed {
                self.cx.status.add(Count::Found, 1);
            }
            let may_hold_up = is_first && kind == Kind::File && self.cx.job.is_hungry();
            if may_hold_up && is_heavy(dirs, name) {
                // Of those that come after a large file the next may well be large, too.
                let name = name.to_owned();
                self.last_was_heavy = true;
                self.hand_over(Some((dirs, names, progress)))?;
                self.one_name(dirs, kind, &name, &name, progress)?;
            } else {
                self.one_name(dirs, kind, name, name, progress)?;
            }
            is_first = false;
            if self.cx.job.is_hungry() {
                self.hand_over(Some((dirs, names, progress)))?;
            }
            self.reports.flush_if_old()?;
            park_if_superfluous(self)?;
        }
        Ok(())
    }

    /// Does one entry that has been found.
    pub(super) fn one_name(
        &mut self,
        dirs: &DirPair,
        kind: Kind,
        name: &CStr,
        target_name: &CStr,
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        self.cx.status.at(name);
        if self.cx.is_passed_over(name) {
            self.entry_copier.give_up(Entry::new(&self.at, dirs, name, target_name));
            return self.record_failed(Some(name), Op::KillsCopiers.error()(Errno::EIO));
        }
        let kind = match self.kind_of(dirs, kind, name) {
            Ok(Kind::Directory) => return self.child(dirs, name, target_name, progress),
            Ok(kind) => kind,
            Err(error) => return self.record_failed(Some(name), error),
        };
        let result = self
            .tries(Unfinished::error, |walker| walker.copy_or_link(dirs, kind, name, target_name));
        self.last_was_heavy = matches!(&result, Ok(applied) if applied.heavy);
        match self.with_digest(dirs, name, target_name, result) {
            Ok(applied) => self.record_applied(name, target_name, &applied, progress),
            Err(Unfinished::Deferred(inode)) => {
                self.defer(name, target_name, (inode, dirs.existed), progress)
            }
            Err(Unfinished::Ask { mode, writable }) => {
                self.defer_prompt(progress);
                let event = Event::Prompt { existed: dirs.existed, mode, writable };
                self.report_name(name, target_name, event, || ())
            }
            Err(unfinished) => self.record_unfinished(dirs, name, target_name, &unfinished),
        }
    }

    /// Records an entry that is in the copy.
    fn record_applied(
        &mut self,
        name: &CStr,
        target_name: &CStr,
        applied: &Applied,
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        self.report_digest(name, target_name, applied)?;
        match (applied.leads, applied.lacking) {
            (Some(inode), None) => self.lead(name, target_name, (inode, applied), progress),
            (Some(inode), Some(error)) => {
                self.lead_lacking(name, target_name, inode, progress)?;
                self.record_failed(Some(name), error)
            }
            (None, None) => self.record(Some(name), applied.done, applied.details),
            (None, Some(error)) => self.record_failed(Some(name), error),
        }
    }

    /// Repeats an action after a transient failure, as often as `--retries` says; `error` extracts the entry's
    /// error from the action's.
    pub(super) fn tries<T, E>(
        &mut self,
        error: fn(&E) -> Option<EntryError>,
        mut act: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut result = act(self);
        for attempt in 1..=u32::from(self.cx.job.plan.retries) {
            let passes = result.as_ref().err().and_then(error).is_some_and(is_transient);
            if !passes || self.is_stopped() {
                break;
            }
            std::thread::sleep((RETRY_PAUSE * attempt).min(RETRY_PAUSE * 10));
            result = act(self);
        }
        result
    }

    /// Copies an entry that is not a directory, or makes the link to it that the user wants.
    fn copy_or_link(
        &mut self,
        dirs: &DirPair,
        kind: Kind,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Applied, Unfinished> {
        let text = match self.cx.options().copy_mode {
            CopyMode::Symlink => self.shown_source(name),
            _ => CString::default(),
        };
        let entry = Entry::new(&self.at, dirs, name, target_name);
        match self.cx.options().copy_mode {
            CopyMode::Copy | CopyMode::AttributesOnly => self.entry_copier.copy(entry, kind),
            CopyMode::HardLink => self.entry_copier.link(entry, LinkMode::HardLink),
            CopyMode::Symlink => self.entry_copier.link(entry, LinkMode::Symlink(&text)),
        }
    }

    /// What the listing did not say, and what a symlink leads to if it is followed.
    fn kind_of(&self, dirs: &DirPair, kind: Kind, name: &CStr) -> Result<Kind, EntryError> {
        match kind {
            Kind::Unknown | Kind::Symlink | Kind::Directory if dirs.follow => {
                self.kind_at_end(dirs, name)
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
        let stays = error.op == Op::Changed || error.op.leaves_entry_complete();
        if dirs.staged && dirs.existed && !stays && !dirs.is_seen(self.cx.plan()) {
            self.entry_copier.give_up(Entry::new(&self.at, dirs, name, target_name));
        }
        self.record_failed(Some(name), error)
    }

    /// The path of `name`, as the user would write it.
    fn shown_source(&self, name: &CStr) -> CString {
        let mut path = self.at.source.clone();
        push_component(&mut path, name.to_bytes());
        c_name(&self.operand().map(|operand| operand.show_source(&path)).unwrap_or_default())
    }

    /// What `name` is, or what it leads to; a symlink that leads nowhere is a failure, and so is a
    /// directory that we are in already: a symlink may have led above what the user named.
    fn kind_at_end(&self, dirs: &DirPair, name: &CStr) -> Result<Kind, EntryError> {
        let itself = file::stat_at(&dirs.source, name).map_err(Op::Stat.error())?;
        let end = match itself.kind() {
            Kind::Symlink => dirs.stat_source(name).map_err(Op::Follow.error())?,
            _ => itself,
        };
        if end.kind() == Kind::Directory && self.is_above(end.identity()) {
            return Err(Op::Cycle.error()(Errno::ELOOP));
        }
        Ok(end.kind())
    }

    /// Whether the directory that the walk is at, or one that it came through, is this one.
    ///
    /// Costs a walk from the top; only directories ask, and only where symlinks are followed.
    fn is_above(&self, identity: Identity) -> bool {
        let Some(operand) = self.operand() else { return false };
        let slashes = self.at.source.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = slashes.map(|(at, _)| at).chain([self.at.source.len()]);
        ends.filter(|&end| end > 0).any(|end| {
            let dir = self.cx.job.plan.open_source(operand, &self.at.source[..end]);
            dir.and_then(file::stat_fd).is_ok_and(|stat| stat.identity() == identity)
        })
    }

    /// Makes a child directory and keeps it for later.
    pub(super) fn child(
        &mut self,
        dirs: &DirPair,
        name: &CStr,
        target_name: &CStr,
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        if self.is_apart(name) {
            self.cx.status.subtract(Count::Found, 1); // it is found again, where its turn comes
            return Ok(());
        }
        if self.may_be_made_late(dirs) {
            progress.unmade = true;
            return match progress.children.push(Child::UNMADE.mark(), name) {
                Ok(()) => Ok(()),
                Err(_) => {
                    self.record_failed(Some(name), Op::CreateDirectory.error()(Errno::ENOMEM))
                }
            };
        }
        let mut made = self.make_child(dirs, name, target_name);
        // cp lets a directory take the place of something else where that is kept.
        if let (Err(EntryError { op: Op::DirectoryOverFile, .. }), Some(backup), true) = (
            &made,
            &self.cx.job.plan.options.backup,
            self.cx.job.plan.policy.dir_over_file_with_backup,
        ) {
            let entry = Entry::new(&self.at, dirs, name, target_name);
            made = match check_just_created(&self.cx, dirs.again) {
                Ok(()) => self
                    .entry_copier
                    .move_away(backup, entry)
                    .and_then(|()| self.make_child(dirs, name, target_name)),
                Err(error) => Err(error),
            };
        }
        let made = made.and_then(|child| {
            let kept = progress.children.push(child.mark(), name);
            kept.map(|()| child).map_err(|_| Op::CreateDirectory.error()(Errno::ENOMEM))
        });
        let child = match made {
            Ok(child) => child,
            Err(error) => return self.record_failed(Some(name), error),
        };
        if let Some(variant) = child.renamed() {
            progress.renames = true;
            if dirs.contended {
                let staged = staged_name(target_name, variant.into());
                return self.report_name(name, &staged, Event::PublishDeferred, || ());
            }
        } else if self.cx.job.plan.options.in_place
            && (!child.existed || self.cx.was_begun_new(name))
        {
            // The next round, should there be one, must know it from those that stood there.
            return self.report_name(name, target_name, Event::DirectoryCreated, || ());
        }
        self.cx.outbox.settle();
        Ok(())
    }

    /// Whether a child directory is an entry of its own.
    fn is_apart(&self, name: &CStr) -> bool {
        self.cx.job.plan.has_apart() && {
            let mut path = self.at.source.clone();
            push_component(&mut path, name.to_bytes());
            self.cx.job.plan.is_apart(self.at.operand, &path)
        }
    }

    /// Whether a child directory need not be made before somebody begins with it: nobody but this
    /// round knows its parent, and it must be looked at in no other way.
    ///
    /// File systems put a new directory where there is room for what will be in it: xfs goes through
    /// its allocation groups in turn, and files go where their directory is. If those that are filled
    /// at the same time are made one after the other, they are in different groups, and nobody waits
    /// for a group's lock.
    fn may_be_made_late(&self, dirs: &DirPair) -> bool {
        let plain = dirs.staged && !dirs.existed && !dirs.contended;
        // The parent is finished when all of them have begun, and reached by its path for that: in a
        // chain of directories without end that would take ever longer.
        plain
            && self.at.target.len() < DEFERRED_PATH_BYTES
            && !self.cx.job.plan.options.in_place
            && !self.cx.job.plan.has_earlier_dirs()
            && self.operand().is_some_and(|operand| operand.into_itself.is_none())
    }

    fn make_child(
        &self,
        dirs: &DirPair,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Child, EntryError> {
        let plan = self.cx.job.plan;
        let fresh = self.cx.job.fresh.get(self.at.operand as usize).is_some_and(|&fresh| fresh);
        if !dirs.contended && self.is_into_itself(dirs, name) {
            return Err(Op::IntoItself.error()(Errno::ELOOP));
        }
        if plan.has_earlier_dirs() && !dirs.contended {
            let source = dirs.stat_source(name).map_err(Op::Stat.error())?;
            if plan.earlier_dir(self.at.operand, source.identity()).is_some() {
                return Err(Op::DirectoryAgain.error()(Errno::EEXIST));
            }
        }
        if plan.options.in_place && !dirs.staged {
            let made = self.cx.was_made(name);
            let begin = || self.cx.outbox.begin_new();
            let mut child = make_child_in_place(plan, dirs, (name, target_name), made, begin)?;
            child.existed &= !(fresh && dirs.contended); // the supervisor has made it
            return Ok(child);
        }
        if plan.options.in_place {
            self.cx.outbox.begin_new();
        }
        let mut child = make_child(plan, dirs, (name, target_name))?;
        if dirs.contended && child.staged.is_some() {
            child.existed = !fresh; // the supervisor has made it, to lock it
        }
        Ok(child)
    }

    /// Whether the target is met from above: cp makes a copy of all that is beside it.
    fn is_into_itself(&self, dirs: &DirPair, name: &CStr) -> bool {
        self.operand().is_some_and(|operand| operand.into_itself.is_some())
            && dirs
                .stat_source(name)
                .is_ok_and(|stat| self.cx.job.targets.contains(&stat.identity()))
    }

    /// Counts an entry that ended well, and reports it if that is wanted; without a name it is the directory
    /// that the walk is in.
    pub(super) fn record(
        &mut self,
        name: Option<&CStr>,
        done: Done,
        details: Details,
    ) -> Result<(), ParentGone> {
        if done == Done::Skipped && !self.cx.was_begun(name.unwrap_or(c"")) {
            self.cx.status.add(Count::Skipped, 1);
            if self.cx.options().debug && name.is_some() {
                return self.report(name, Event::Skipped);
            }
            return Ok(());
        }
        let status = self.cx.status;
        let count = if done == Done::Linked { Count::Linked } else { Count::Copied };
        let options = self.cx.options();
        let remembers = options.must_remember() && name.is_some() && !self.at.staged;
        if options.verbose || remembers {
            return self.report_then(name, Event::Done(details), || status.add(count, 1));
        }
        self.cx.outbox.settle();
        status.add(count, 1);
        Ok(())
    }

    /// The same for the directory that the walk is in.
    pub(super) fn record_dir(&mut self, done: Done) -> Result<(), ParentGone> {
        self.record(None, done, Details { directory: true, ..Details::default() })
    }

    /// Counts a directory whose times and bits are left to the supervisor, and tells it so.
    pub(super) fn record_deferred(&mut self, done: Done) -> Result<(), ParentGone> {
        let new = done == Done::Copied;
        let status = self.cx.status;
        let count = if new { Count::Copied } else { Count::Skipped };
        self.report_then(None, Event::AttributesDeferred { new }, || status.add(count, 1))
    }

    /// Counts and tells an entry that was not copied.
    pub(super) fn record_failed(
        &mut self,
        name: Option<&CStr>,
        error: EntryError,
    ) -> Result<(), ParentGone> {
        self.cx.outbox.settle();
        if error.op.means_vanished(error.errno) {
            self.cx.status.add(Count::Vanished, 1);
            self.report(name, Event::Vanished(error))
        } else {
            self.cx.status.add(Count::Failed, 1);
            self.report(name, Event::Failed(error))?;
            if self.cx.job.plan.ends_with(error) {
                // Until the supervisor has heard of it, folders that lack this would get their names.
                self.cx.job.ring.stop();
            }
            Ok(())
        }
    }

    pub(super) fn report(&mut self, name: Option<&CStr>, event: Event) -> Result<(), ParentGone> {
        self.report_then(name, event, || ())
    }

    fn report_then(
        &mut self,
        name: Option<&CStr>,
        event: Event,
        reported: impl FnOnce(),
    ) -> Result<(), ParentGone> {
        match name {
            Some(name) => self.report_name(name, name, event, reported),
            None => self.reports.send(&Report { place: self.at.as_path(), event }, reported),
        }
    }

    pub(super) fn report_name(
        &mut self,
        name: &CStr,
        target_name: &CStr,
        event: Event,
        reported: impl FnOnce(),
    ) -> Result<(), ParentGone> {
        let depth = self.at.depth();
        self.at.push(name.to_bytes(), target_name.to_bytes());
        let sent = self.report_then(None, event, reported);
        self.at.truncate(depth);
        sent
    }
}
