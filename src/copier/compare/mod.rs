//! A copier that compares only: it takes tasks as the others do, and changes nothing.
//!
//! It works depth first and hands over the oldest folder that waits, or a part of a wide one, like
//! those that copy. Files are opened without leaving a time of access, where we may.

mod differences;
mod large_compare;
mod manifest_lines;
mod tree;

use super::Worker;
use super::context::Context;
use super::entry::data::BUFFER_BYTES;
use super::offer::halves;
use super::park::park_if_superfluous;
use super::report_writer::{ParentGone, Reports};
use crate::copier::name_queue::NameQueue;
use crate::error::EntryError;
use crate::hash::Algorithm;
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::difference::{Difference, Properties};
use crate::ipc::wire::event::{Event, Report};
use crate::ipc::wire::task::push_component;
use crate::ipc::wire::task::{EntryPath, Task};
use crate::plan::Check;
use pcopy_sys::listing::Listing;
use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::OwnedFd;

/// One copier that compares.
pub(super) struct Checker<'a> {
    cx: Context<'a>,
    reports: Reports<'a>,
    /// Things that the user named, or files of a manifest, that are left to do.
    operands: Range<u32>,
    /// Folders that are left to do, a list for each level of the path that the walk is on.
    levels: VecDeque<Level>,
    /// The entry that the walk is in, and the folder: from the entry's source directory, with its
    /// source name at the front.
    operand: u32,
    path: Vec<u8>,
    message: Vec<u8>,
    name: Vec<u8>,
    ours: Vec<u8>,
    theirs: Vec<u8>,
    /// The buffer of listings; taken out while it is in use.
    listing: Option<Listing>,
    /// Which hash a manifest seems to have that does not say it.
    guess: Algorithm,
    /// The folder in which a file of a manifest was looked for last.
    last_dir: Option<(Vec<u8>, OwnedFd)>,
}

/// The folders in one folder that wait.
struct Level {
    path_bytes: usize,
    children: NameQueue,
}

impl<'a> Checker<'a> {
    pub(super) fn new(cx: Context<'a>, reports: Reports<'a>) -> Self {
        Self {
            cx,
            reports,
            operands: 0..0,
            levels: VecDeque::new(),
            operand: 0,
            path: Vec::new(),
            message: Vec::new(),
            name: Vec::new(),
            ours: vec![0; BUFFER_BYTES],
            theirs: vec![0; BUFFER_BYTES],
            listing: Some(Listing::new()),
            guess: Algorithm::Blake3,
            last_dir: None,
        }
    }

    fn go_to(&mut self, operand: u32, path: &[u8]) {
        self.operand = operand;
        self.path.clear();
        self.path.extend_from_slice(path);
    }

    /// Goes through the entries `first..end`; the plan says what these are.
    fn operands(&mut self, first: u32, end: u32) -> Result<(), ParentGone> {
        self.operands = first..end;
        while let Some(number) = self.operands.next() {
            if self.is_stopped() {
                break;
            }
            self.hand_over();
            match &self.cx.job.plan.check {
                Some(Check::Manifest(listed)) => self.listed(listed, number)?,
                _ => self.named(number)?,
            }
            self.descend()?;
            self.pause()?;
        }
        Ok(())
    }

    /// Goes through the folders that wait, the newest first.
    fn descend(&mut self) -> Result<(), ParentGone> {
        while !self.is_stopped() {
            let Some(level) = self.levels.back_mut() else { return Ok(()) };
            self.path.truncate(level.path_bytes);
            if level.children.pop_front(&mut self.name).is_none() {
                self.levels.pop_back();
                continue;
            }
            push_component(&mut self.path, &self.name);
            self.hand_over();
            self.folder()?;
        }
        self.levels.clear();
        Ok(())
    }

    /// Looks at the folder that the walk is at.
    fn folder(&mut self) -> Result<(), ParentGone> {
        self.cx.status.enter(self.operand, &self.path);
        match &self.cx.job.plan.check {
            Some(Check::Manifest(listed)) => self.look_for_extra_files(listed),
            _ => self.compare_folder(),
        }
    }

    fn wait_for(&mut self, children: NameQueue) {
        if !children.is_empty() {
            self.levels.push_back(Level { path_bytes: self.path.len(), children });
        }
    }

    /// Does what is due between two entries.
    fn pause(&mut self) -> Result<(), ParentGone> {
        self.hand_over();
        self.reports.flush_if_old()?;
        park_if_superfluous(self)
    }

    /// Hands over the oldest work that waits, for as long as a copier is hungry.
    fn hand_over(&mut self) {
        while self.cx.job.is_hungry() && (self.give_entries() || self.give_folder()) {}
    }

    fn give_entries(&mut self) -> bool {
        let (mine, theirs) = halves(&self.operands);
        let task = Task::Operands { first: theirs.start, end: theirs.end };
        let given =
            !theirs.is_empty() && self.cx.job.give(self.cx.status, &task, &mut self.message);
        if given {
            self.operands = mine;
        }
        given
    }

    fn give_folder(&mut self) -> bool {
        while self.levels.front().is_some_and(|level| level.children.is_empty()) {
            self.levels.pop_front();
        }
        let Some(level) = self.levels.front_mut() else { return false };
        let Some(mark) = level.children.pop_front(&mut self.name) else { return false };
        let mut path = self.path[..level.path_bytes.min(self.path.len())].to_vec();
        push_component(&mut path, &self.name);
        let place = EntryPath { operand: self.operand, source: &path, target: b"", staged: false };
        let task = Task::Directory { place, existed: true };
        if self.cx.job.give(self.cx.status, &task, &mut self.message) {
            return true;
        }
        // No room in the ring, or the path is longer than a slot.
        let name = super::dir_pair::c_name(&self.name);
        if let Some(level) = self.levels.front_mut()
            && level.children.push(mark, &name).is_err()
        {
            unreachable!("a name that was taken out fits back in");
        }
        false
    }

    /// Counts an entry in which nothing differs, or tells in what.
    fn settle(
        &mut self,
        name: Option<&[u8]>,
        properties: Properties,
        (wanted, found): (u32, u32),
    ) -> Result<(), ParentGone> {
        if properties.is_empty() {
            self.cx.status.add(Count::Skipped, 1);
            return Ok(());
        }
        self.cx.status.add(Count::Different, 1);
        self.report(name, Event::Difference(Difference::Changed { properties, wanted, found }))
    }

    fn record_missing(&mut self, name: &[u8], wanted: u32) -> Result<(), ParentGone> {
        self.cx.status.add(Count::Different, 1);
        self.report(Some(name), Event::Difference(Difference::Missing(wanted)))
    }

    /// Counts and tells an entry that could not be compared.
    fn record_failed(&mut self, name: Option<&[u8]>, error: EntryError) -> Result<(), ParentGone> {
        if error.op.means_vanished(error.errno) {
            self.cx.status.add(Count::Vanished, 1);
            return self.report(name, Event::Vanished(error));
        }
        self.cx.status.add(Count::Failed, 1);
        self.report(name, Event::Failed(error))
    }

    /// Counts and tells what went wrong with a folder that is counted already.
    fn fail_beside(&mut self, error: EntryError) -> Result<(), ParentGone> {
        self.cx.status.add(Count::Found, 1);
        self.cx.status.add(Count::Failed, 1);
        self.report(None, Event::Failed(error))
    }

    /// Tells of `name` in the folder that the walk is at, or of that.
    fn report(&mut self, name: Option<&[u8]>, event: Event) -> Result<(), ParentGone> {
        let bytes = self.path.len();
        if let Some(name) = name {
            push_component(&mut self.path, name);
        }
        let place =
            EntryPath { operand: self.operand, source: &self.path, target: b"", staged: false };
        let sent = self.reports.send(&Report { place, event }, || ());
        self.path.truncate(bytes);
        sent
    }
}

impl Worker for Checker<'_> {
    fn run_task(&mut self, task: Task<'_>) -> Result<(), ParentGone> {
        match task {
            Task::Operands { first, end } => self.operands(first, end),
            Task::Directory { place, .. } => {
                self.go_to(place.operand, place.source);
                self.folder()?;
                self.descend()
            }
            Task::Names { place, names, .. } => {
                self.go_to(place.operand, place.source);
                self.compare_names(names)?;
                self.descend()
            }
            Task::LargeFile(request) => {
                self.help(&request);
                Ok(())
            }
            // These are for those who copy.
            Task::Prompted { .. } | Task::Links { .. } | Task::Verify { .. } => Ok(()),
        }
    }

    fn flush_reports(&mut self) -> Result<(), ParentGone> {
        self.reports.flush()
    }

    fn context(&self) -> &Context<'_> {
        &self.cx
    }
}
