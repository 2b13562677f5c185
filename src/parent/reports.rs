//! What copiers say, as it comes in: names and failures to the screen, the rest to the state.

use super::compare_report::LinkedPair;
use super::round::{Round, Stop};
use super::run_state::DeferredDir;
use super::supervisor::Supervisor;
use crate::error::{EntryError, Op};
use crate::ipc::inherited::link_groups::Role;
use crate::ipc::inherited::prompt::PendingPrompt;
use crate::ipc::memory::counters::place_fingerprint;
use crate::ipc::wire::event::{Details, Event, Report};
use crate::ipc::wire::task::{EntryPath, split_last};
use crate::messages::native::{describe_unlinked, describe_vanished_unseen};
use crate::messages::{self, Names};
use crate::options::Compat;
use crate::plan::Check;
use pcopy_sys::Errno;
use pcopy_sys::file;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

impl Supervisor<'_> {
    /// Reads what copiers have said.
    pub(super) fn read_reports(&mut self, round: &mut Round) {
        if self.screen.is_full() {
            return;
        }
        let Round { pool, outboxes, buffer, .. } = round;
        let mut stop = None;
        for copier in pool.copiers_mut() {
            copier.receive(outboxes.get(copier.number()), buffer);
            let mut garbled = false;
            copier.with_inbox(|inbox| {
                let mut rest = inbox;
                loop {
                    match Report::decode(&mut rest) {
                        Ok(Some(report)) => stop = stop.or(self.apply_report(&report)),
                        Ok(None) => break inbox.len() - rest.len(),
                        Err(_) => {
                            garbled = true;
                            break inbox.len();
                        }
                    }
                }
            });
            if garbled && copier.kill().is_err() {
                // It is dead already, which is what was wanted.
            }
        }
        if let Some(why) = stop {
            round.stop(why);
        }
    }

    /// Takes one report in; why the round is to end, if it says that.
    fn apply_report(&mut self, report: &Report<'_>) -> Option<Stop> {
        let (place, compat) = (report.place, self.plan.options.compat);
        match report.event {
            Event::Done(how) => {
                self.note_done(place);
                self.report_done(place, how);
            }
            Event::Skipped => self.report_skipped(place),
            Event::Made => {
                let (dir, name) = split_last(place.source);
                self.state.made.insert(place_fingerprint(place.operand, dir, name));
                if compat == Compat::Gnu && self.plan.options.verbose {
                    self.report_name(place, Details::default());
                }
            }
            Event::Volume => self.note_volume(place),
            Event::Ask { existed, bits, writable } => {
                let EntryPath { operand, source, target, staged } = place;
                let (source, target) = (source.to_vec(), target.to_vec());
                let defer_prompt =
                    PendingPrompt { operand, source, target, staged, existed, bits, writable };
                self.state.defer_prompt.push(defer_prompt);
            }
            Event::Unproven(error) => {
                if self.state.is_news(error, place) {
                    self.report_late_error(error, place.operand, place.source);
                }
            }
            Event::Failed(error) => {
                self.note_failed(error, place);
                if self.state.is_news(error, place) {
                    if compat == Compat::Gnu && self.plan.options.verbose && is_announced(error) {
                        self.report_name(place, Details::default());
                    }
                    self.report_failure(error, place.operand, place.source);
                }
                return self.plan.ends_with(error).then_some(Stop::TargetLost);
            }
            Event::Vanished(error) => {
                self.note_failed(error, place);
                if self.state.is_news(error, place) {
                    self.report_vanished(error, place.operand, place.source);
                }
            }
            Event::Late { new } => {
                if new {
                    self.report_done(place, Details { directory: true, ..Details::default() });
                }
                self.state.late.push(DeferredDir::at(place, new));
            }
            Event::Built => self.state.built.push(DeferredDir::at(place, true)),
            Event::Leader { identity, new, how } => {
                if new {
                    self.note_done(place);
                    self.report_done(place, how);
                }
                if !self.state.note_leader(identity, place, new) {
                    // Each believes that nobody came before him: somebody has scribbled on `InodeSet`, and
                    // one file would be two.
                    return Some(Stop::CopierLost);
                }
            }
            Event::Link { identity, existed } => {
                self.state.groups.add(identity, place, existed, Role::Follower);
            }
            Event::Unlinked(errno) => self.report_unlinked(errno, place),
            Event::Differs(difference) => {
                let path = place.source.to_vec();
                self.state.differences.push((place.operand, path, difference));
            }
            Event::Twins { source, target } => {
                let (operand, path) = (place.operand, place.source.to_vec());
                self.state.twins.push(LinkedPair { operand, path, source, target });
            }
            Event::Hashed(digest) => {
                let target = if self.plan.options.verify { place.target } else { b"" };
                self.state.hashed.add(place.operand, place.source, target, digest);
            }
        }
        None
    }

    /// Of what the user named nothing is there: a second source may take its place.
    fn note_failed(&mut self, error: EntryError, place: EntryPath<'_>) {
        if !place.source.contains(&b'/') && !error.op.leaves_it_whole() {
            self.state.failed.insert(place.operand);
        }
    }

    fn note_done(&mut self, place: EntryPath<'_>) {
        if self.plan.options.must_remember() && !place.staged {
            let (dir, name) = split_last(place.source);
            self.state.done.insert(place_fingerprint(place.operand, dir, name));
        }
    }

    fn report_done(&mut self, place: EntryPath<'_>, how: Details) {
        // cp tells of directories when they are made.
        if self.plan.options.verbose && !(how.directory && self.plan.options.compat == Compat::Gnu)
        {
            self.report_name(place, how);
        }
    }

    fn report_name(&mut self, place: EntryPath<'_>, how: Details) {
        let Some(operand) = self.plan.operands.get(place.operand as usize) else { return };
        if self.state.is_untold(place) {
            let (source, target) =
                (operand.show_source(place.source), operand.show_target(place.source));
            let names = Names { source: &source, target: &target };
            let suffix = self.plan.options.backup.as_ref().map(|backup| backup.suffix.as_bytes());
            let compat = self.plan.options.compat;
            self.screen.name(&messages::done(compat, names, how, suffix.unwrap_or_default()));
        }
    }

    fn report_skipped(&mut self, place: EntryPath<'_>) {
        let Some(operand) = self.plan.operands.get(place.operand as usize) else { return };
        let target = operand.show_target(place.source);
        self.screen.name(&messages::skipped(self.plan.options.compat, &target));
    }

    /// Too many links concern one file; where there can be none, saying it once will do.
    fn report_unlinked(&mut self, errno: Errno, place: EntryPath<'_>) {
        let Some(operand) = self.plan.operands.get(place.operand as usize) else { return };
        let others = errno != Errno::EMLINK;
        if self.state.is_news_of_links(errno, place, others) {
            let target = operand.show_target(place.source);
            self.screen.notice(&describe_unlinked(errno, &target, others));
        }
    }

    /// Counts and tells what went wrong with an entry that was counted as done.
    pub(super) fn report_late_error(&mut self, error: EntryError, operand: u32, source: &[u8]) {
        if error.op.means_vanished(error.errno) {
            self.vanished_late += 1;
            self.report_vanished(error, operand, source);
        } else {
            self.failed_late += 1;
            self.report_failure(error, operand, source);
        }
    }

    pub(super) fn report_failure(&mut self, error: EntryError, operand: u32, source: &[u8]) {
        *self.state.kinds.entry(error).or_default() += 1;
        self.report_error(error, operand, source, messages::error);
    }

    pub(super) fn report_vanished(&mut self, error: EntryError, operand: u32, source: &[u8]) {
        match error.op {
            Op::Changed => self.report_error(error, operand, source, messages::error),
            _ if self.plan.check.is_some() => {
                let describe = |_, _, names: Names<'_>| describe_vanished_unseen(names.source);
                self.report_error(error, operand, source, describe);
            }
            _ => self.report_error(error, operand, source, messages::vanished),
        }
    }

    fn report_error(
        &mut self,
        error: EntryError,
        operand: u32,
        source: &[u8],
        describe: fn(Compat, EntryError, Names<'_>) -> String,
    ) {
        if let Some(Check::Manifest(listed)) = &self.plan.check {
            let name = listed.show(source);
            let names = Names { source: &name, target: &name };
            return self.screen.error(&describe(self.plan.options.compat, error, names));
        }
        let number = operand;
        let Some(operand) = self.plan.operands.get(operand as usize) else { return };
        let compat = self.plan.options.compat;
        // cp names the whole copy, not the place where the source met it.
        let whole = compat == Compat::Gnu && error.op == Op::IntoItself;
        let path = if whole { b"" } else { source };
        let (mut source, target) = (operand.show_source(path), operand.show_target(path));
        if error.op == Op::DirectoryAgain {
            let shown = Path::new(OsStr::from_bytes(&source));
            let dir = file::stat_path(shown, false).map(|stat| stat.identity());
            let earlier = dir.ok().and_then(|dir| self.plan.earlier_dir(number, dir));
            source = earlier.map_or(source, |operand| operand.show_target(b""));
        }
        let message = describe(compat, error, Names { source: &source, target: &target });
        self.screen.error(&message);
    }
}

/// Whether cp has said by then what it is about to copy.
fn is_announced(error: EntryError) -> bool {
    use Op::{
        Clone, Close, Create, CreateFifo, CreateNode, CreateSymlink, Dangling, Elsewhere,
        HardLinkTo, OpenSource, Read, ReadSymlink, Remove, SymlinkTo, Write,
    };
    matches!(
        error.op,
        OpenSource
            | Read
            | ReadSymlink
            | Remove
            | Create
            | CreateSymlink
            | CreateFifo
            | CreateNode
            | SymlinkTo
            | HardLinkTo
            | Dangling
            | Elsewhere
            | Write
            | Clone
            | Close
    )
}
