//! Processes the reports of the copiers as they arrive: remembers them, and emits those that concern the
//! user.

use super::reporter::Reporter;
use super::round::{Round, Stop};
use super::run::Run;
use super::run_state::{DeferredDir, LinkedPair, RunState};
use super::volumes::Volumes;
use crate::error::{EntryError, Op};
use crate::ipc::inherited::link_groups::LinkRole;
use crate::ipc::inherited::prompt::PendingPrompt;
use crate::ipc::memory::counters::place_fingerprint;
use crate::ipc::wire::event::{Details, Event, Report};
use crate::ipc::wire::task::{EntryPath, split_last};
use crate::plan::Plan;
use pcopy_sys::signals;
use std::time::Instant;

/// Reads the reports that have arrived. If a copier has sent malformed bytes, kills it.
pub(super) fn read(run: &mut Run<'_>, round: &mut Round) {
    if run.reporter.sink.is_full() {
        return;
    }
    let Run { plan, state, reporter, volumes, .. } = run;
    let mut intake = Intake { plan, state, reporter, volumes };
    let Round { pool, shared, buffer, .. } = round;
    let mut stop = None;
    for copier in pool.copiers_mut() {
        copier.receive(shared.outboxes.get(copier.number()), buffer);
        let mut malformed = false;
        copier.with_inbox(|inbox| {
            let (used, ended) = intake.apply_all(inbox);
            malformed = used.is_none();
            stop = stop.or(ended);
            used.unwrap_or(inbox.len())
        });
        if malformed && copier.kill().is_err() {
            // The copier has already exited, so there is nothing to kill.
        }
    }
    if let Some(why) = stop {
        round.stop(why);
    }
}

/// Applies the reports of a copier that works inside this process, and removes them from `inbox`.
pub(super) fn apply(run: &mut Run<'_>, round: &mut Round, inbox: &mut Vec<u8>) {
    let Run { plan, state, reporter, volumes, .. } = run;
    let (used, stop) = Intake { plan, state, reporter, volumes }.apply_all(inbox);
    inbox.drain(..used.unwrap_or(inbox.len()));
    if let Some(why) = stop.or(used.is_none().then_some(Stop::CopierLost)) {
        round.stop(why);
    }
}

/// The parts of a run that the reports of copiers can change.
struct Intake<'r, 'a> {
    plan: &'a Plan,
    state: &'r mut RunState,
    reporter: &'r mut Reporter<'a>,
    volumes: &'r mut Volumes,
}

impl Intake<'_, '_> {
    /// Applies all complete reports in `inbox`. Returns how many bytes they have, or `None` if the bytes are
    /// malformed; and why the round must end, if it must.
    fn apply_all(&mut self, inbox: &[u8]) -> (Option<usize>, Option<Stop>) {
        let (mut rest, mut stop) = (inbox, None);
        loop {
            match Report::decode(&mut rest) {
                Ok(Some(report)) => stop = stop.or(self.apply(&report)),
                Ok(None) => return (Some(inbox.len() - rest.len()), stop),
                Err(_) => return (None, stop),
            }
        }
    }

    /// Applies one report. Returns why the round must end, if it must. The function is long, because each event
    /// has its arm.
    fn apply(&mut self, report: &Report<'_>) -> Option<Stop> {
        let place = report.place;
        if self.state.looks && !self.matters_before(report) {
            return None;
        }
        match report.event {
            Event::Done(details) => self.apply_done(place, details),
            Event::Skipped => self.reporter.skipped(place),
            Event::DirectoryCreated => {
                let (dir, name) = split_last(place.source);
                if self.state.note_made(place_fingerprint(place.operand, dir, name)) {
                    self.announce(place);
                }
            }
            Event::OtherFileSystem => self.volumes.note(self.plan, place),
            Event::Prompt { existed, mode, writable } => {
                let path = place.into();
                self.state.prompts.pending.push(PendingPrompt { path, existed, mode, writable });
            }
            Event::HeldBack { existed } => {
                let (mode, writable) = (0, false); // they are for prompts
                let path = place.into();
                self.state.held_back.push(PendingPrompt { path, existed, mode, writable });
            }
            Event::FailedLate(error) => {
                if leaves_unread(error) {
                    self.state.unread.insert(place.operand);
                }
                if self.state.note_failure(error, place) {
                    self.reporter.failed_late(error, place.operand, place.source);
                }
            }
            Event::Failed(error) if self.plan.dies_with(error) => {
                return Some(Stop::Signal { number: signals::SIGPIPE, since: Instant::now() });
            }
            Event::Failed(error) => {
                self.apply_failed(place, error);
                let stop =
                    if error.op == Op::SourceLost { Stop::SourceLost } else { Stop::TargetLost };
                return self.plan.ends_with(error).then_some(stop);
            }
            Event::AttributeFailed(lost) => {
                // Each required attribute is a failure, and is remembered as such. The others may be as many
                // as there are entries.
                if !lost.required || self.state.note_failure(lost.error, place) {
                    self.reporter.attribute_failed(lost, place.operand, place.source);
                }
            }
            Event::Vanished(error) => {
                self.note_failed(place);
                if self.state.note_failure(error, place) {
                    self.reporter.vanished(error, place.operand, place.source);
                }
            }
            Event::AttributesDeferred { new: true } => {
                self.report_done(place, Details { directory: true, ..Details::default() });
                self.state.dirs.late.push(DeferredDir::new(place));
            }
            Event::AttributesDeferred { new: false } => {
                self.state.dirs.late.push(DeferredDir::existing(place));
            }
            Event::PublishDeferred => self.state.dirs.built.push(DeferredDir::new(place)),
            Event::Leader { identity, new, details } => {
                if new {
                    self.apply_done(place, details);
                }
                let role = if new { LinkRole::Created } else { LinkRole::Existing };
                if !self.state.note_leader(identity, place, role) {
                    // Two copiers believe that they were the first to find the file, so the memory of
                    // `InodeSet` was damaged. Without a new round, one file would become two.
                    return Some(Stop::CopierLost);
                }
            }
            Event::LinkDeferred { identity, existed } => {
                self.state.links.groups.add(identity, place, existed, LinkRole::Follower);
            }
            Event::LinkFailed(errno) => {
                if let Some(and_others) = self.state.note_link_failure(errno, place) {
                    self.reporter.link_failed(errno, place, and_others);
                }
            }
            Event::Difference(difference) => {
                let path = place.source.to_vec();
                self.state.findings.differences.push((place.operand, path, difference));
            }
            Event::HardLinked { source, target } => {
                let (operand, path) = (place.operand, place.source.to_vec());
                self.state.findings.linked.push(LinkedPair { operand, path, source, target });
            }
            Event::Itemized(item) => {
                if self.state.note_itemized(place) {
                    self.reporter.itemized(place, item);
                }
            }
            Event::Extraneous(extraneous) => self.state.removals.add(place, extraneous),
            Event::Planned(planned) => self.state.note_planned(place, planned),
            Event::Removed { directory } => self.reporter.removed(place, directory),
            Event::Digest(digest) => {
                let target = if self.plan.options.verify { place.target } else { b"" };
                self.state.digests.add(place.operand, place.source, target, digest);
            }
        }
        None
    }

    /// Whether a report matters to a run that has not begun and looks what it would do. Notes what it says, if it is not to be
    /// applied.
    fn matters_before(&mut self, report: &Report<'_>) -> bool {
        match report.event {
            Event::Failed(error) if self.plan.ends_with(error) => true,
            Event::Extraneous(_) | Event::LinkDeferred { .. } => true,
            // What is extraneous is looked for only once.
            Event::FailedLate(_) if self.plan.options.deletes_before() => true,
            Event::Leader { identity, new, .. } => {
                let role = if new { LinkRole::Created } else { LinkRole::Existing };
                self.state.note_leader(identity, report.place, role);
                false
            }
            Event::Failed(error) | Event::FailedLate(error) if leaves_unread(error) => {
                self.state.unread.insert(report.place.operand);
                false
            }
            _ => false,
        }
    }

    fn apply_done(&mut self, place: EntryPath<'_>, details: Details) {
        if self.plan.options.must_remember() && !place.staged {
            let (dir, name) = split_last(place.source);
            self.state.done.insert(place_fingerprint(place.operand, dir, name));
        }
        self.report_done(place, details);
    }

    fn report_done(&mut self, place: EntryPath<'_>, details: Details) {
        let was_announced = details.directory && self.plan.policy.announces_early;
        let wanted = self.plan.options.verbose() && !was_announced;
        if wanted && self.state.note_done(place) {
            self.reporter.done(place, details);
        }
    }

    fn apply_failed(&mut self, place: EntryPath<'_>, error: EntryError) {
        self.note_failed(place);
        if leaves_unread(error) {
            self.state.unread.insert(place.operand);
        }
        let is_loss = matches!(error.op, Op::SourceLost | Op::TargetLost);
        if is_loss && !self.state.note_loss() || !self.state.note_failure(error, place) {
            return;
        }
        if fails_after_announcement(error) {
            self.announce(place);
        }
        self.reporter.failed(error, place.operand, place.source);
    }

    /// Reports that an entry is being copied, if the policy asks for that and the entry was not reported
    /// before.
    fn announce(&mut self, place: EntryPath<'_>) {
        let wanted = self.plan.policy.announces_early && self.plan.options.verbose();
        if wanted && self.state.note_done(place) {
            self.reporter.announced(place);
        }
    }

    /// If the entry is an operand, notes that nothing of it was copied. Then another source with the same
    /// target may be copied.
    fn note_failed(&mut self, place: EntryPath<'_>) {
        if !place.source.contains(&b'/') {
            self.state.failed.insert(place.operand);
        }
    }
}

/// Whether the error means that a part of the source could not be looked at. (The contents of a file do not matter for what
/// is extraneous.)
fn leaves_unread(error: EntryError) -> bool {
    use Op::{Cycle, Follow, KillsCopiers, ReadDirectory, ReadRules, SourceLost, Stat};
    matches!(
        error.op,
        ReadDirectory | Stat | ReadRules | Follow | Cycle | KillsCopiers | SourceLost
    )
}

/// Whether the operation that failed comes after cp's announcement of the entry (`--verbose`).
fn fails_after_announcement(error: EntryError) -> bool {
    use Op::{
        Clone, Close, Create, CreateFifo, CreateNode, CreateSymlink, Dangling, HardLinkTo,
        OpenSource, Read, ReadSymlink, RelativeSymlink, Remove, SymlinkTo, Write,
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
            | RelativeSymlink
            | Write
            | Clone
            | Close
    )
}
