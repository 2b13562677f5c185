//! The copiers' reports as they arrive: each is remembered, and what concerns the user is emitted.

use super::reporter::Reporter;
use super::round::{Round, Stop};
use super::run::Run;
use super::run_state::{DeferredDir, LinkedPair, RunState};
use crate::error::{EntryError, Op};
use crate::ipc::inherited::link_groups::Role;
use crate::ipc::inherited::prompt::PendingPrompt;
use crate::ipc::memory::counters::place_fingerprint;
use crate::ipc::wire::event::{Details, Event, Report};
use crate::ipc::wire::task::{EntryPath, split_last};
use crate::plan::Plan;

/// Reads what copiers have reported.
pub(super) fn read(run: &mut Run<'_>, round: &mut Round) {
    if run.reporter.sink.is_full() {
        return;
    }
    let Round { pool, shared, buffer, .. } = round;
    let mut stop = None;
    for copier in pool.copiers_mut() {
        copier.receive(shared.outboxes.get(copier.number()), buffer);
        let mut malformed = false;
        copier.with_inbox(|inbox| {
            let mut rest = inbox;
            loop {
                match Report::decode(&mut rest) {
                    Ok(Some(report)) => stop = stop.or(apply(run, &report)),
                    Ok(None) => break inbox.len() - rest.len(),
                    Err(_) => {
                        malformed = true;
                        break inbox.len();
                    }
                }
            }
        });
        if malformed && copier.kill().is_err() {
            // It has exited already, which is what was wanted.
        }
    }
    if let Some(why) = stop {
        round.stop(why);
    }
}

/// Applies one report; why the round is to end, if it is.
fn apply(run: &mut Run<'_>, report: &Report<'_>) -> Option<Stop> {
    let Run { plan, state, reporter, volumes, .. } = run;
    let (plan, place) = (*plan, report.place);
    match report.event {
        Event::Done(details) => apply_done(plan, state, reporter, place, details),
        Event::Skipped => reporter.skipped(place),
        Event::Made => {
            let (dir, name) = split_last(place.source);
            state.made.insert(place_fingerprint(place.operand, dir, name));
            if announces(plan) && state.is_newly_done(place) {
                reporter.announced(place);
            }
        }
        Event::Volume => volumes.note(plan, place),
        Event::Ask { existed, bits, writable } => {
            let EntryPath { operand, source, target, staged } = place;
            let (source, target) = (source.to_vec(), target.to_vec());
            let pending =
                PendingPrompt { operand, source, target, staged, existed, bits, writable };
            state.prompts.pending.push(pending);
        }
        Event::Unproven(error) => {
            if state.is_new_failure(error, place) {
                reporter.failed_late(error, place.operand, place.source);
            }
        }
        Event::Failed(error) => {
            note_failed(state, error, place);
            if state.is_new_failure(error, place) {
                if announces(plan) && fails_after_announcement(error) && state.is_newly_done(place)
                {
                    reporter.announced(place);
                }
                reporter.failed(error, place.operand, place.source);
            }
            return plan.ends_with(error).then_some(Stop::TargetLost);
        }
        Event::Vanished(error) => {
            note_failed(state, error, place);
            if state.is_new_failure(error, place) {
                reporter.vanished(error, place.operand, place.source);
            }
        }
        Event::Late { new: true } => {
            let details = Details { directory: true, ..Details::default() };
            report_done(plan, state, reporter, place, details);
            state.dirs.late.push(DeferredDir::new(place));
        }
        Event::Late { new: false } => state.dirs.late.push(DeferredDir::existing(place)),
        Event::Built => state.dirs.built.push(DeferredDir::new(place)),
        Event::Leader { identity, new, how } => {
            if new {
                apply_done(plan, state, reporter, place, how);
            }
            let role = if new { Role::Made } else { Role::Found };
            if !state.note_leader(identity, place, role) {
                // Two copiers believe that they met the file first: the memory of `InodeSet` was damaged, and
                // one file would become two.
                return Some(Stop::CopierLost);
            }
        }
        Event::Link { identity, existed } => {
            state.links.groups.add(identity, place, existed, Role::Follower);
        }
        Event::Unlinked(errno) => {
            if let Some(and_others) = state.new_link_failure(errno, place) {
                reporter.link_failed(errno, place, and_others);
            }
        }
        Event::Differs(difference) => {
            let path = place.source.to_vec();
            state.findings.differences.push((place.operand, path, difference));
        }
        Event::Twins { source, target } => {
            let (operand, path) = (place.operand, place.source.to_vec());
            state.findings.linked.push(LinkedPair { operand, path, source, target });
        }
        Event::Hashed(digest) => {
            let target = if plan.options.verify { place.target } else { b"" };
            state.hashed.add(place.operand, place.source, target, digest);
        }
    }
    None
}

fn apply_done(
    plan: &Plan,
    state: &mut RunState,
    reporter: &mut Reporter<'_>,
    place: EntryPath<'_>,
    details: Details,
) {
    if plan.options.must_remember() && !place.staged {
        let (dir, name) = split_last(place.source);
        state.done.insert(place_fingerprint(place.operand, dir, name));
    }
    report_done(plan, state, reporter, place, details);
}

fn report_done(
    plan: &Plan,
    state: &mut RunState,
    reporter: &mut Reporter<'_>,
    place: EntryPath<'_>,
    details: Details,
) {
    let was_announced = details.directory && plan.policy.announces_early;
    if plan.options.verbose && !was_announced && state.is_newly_done(place) {
        reporter.done(place, details);
    }
}

/// If nothing of an operand was copied, a second source may take its place.
fn note_failed(state: &mut RunState, error: EntryError, place: EntryPath<'_>) {
    if !place.source.contains(&b'/') && !error.op.leaves_it_whole() {
        state.failed.insert(place.operand);
    }
}

fn announces(plan: &Plan) -> bool {
    plan.policy.announces_early && plan.options.verbose
}

/// Whether an operation fails when the entry was announced already.
fn fails_after_announcement(error: EntryError) -> bool {
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
