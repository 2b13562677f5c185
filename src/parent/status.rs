//! Shows the progress of a run: the progress line and the answer to `SIGUSR1`.

use super::free_space;
use super::position::Position;
use super::round::Round;
use super::run::Run;
use super::run_event::{At, RunEvent, Sink};
use crate::ipc::memory::counters::{Count, CurrentEntry, Totals};
use crate::plan::{Check, Plan};
use std::time::Duration;

/// How long a run lasts before it draws a progress line; a shorter run needs none.
const LINE_AFTER: Duration = Duration::from_millis(500);

/// How many bytes are compared silently: 1 GiB, which takes no more than a few seconds.
const COMPARED_SILENTLY: u64 = 1 << 30;

/// Draws the progress line if the run has lasted long enough.
pub(super) fn draw(run: &mut Run<'_>, round: &Round) {
    if !wants_line(run) {
        return;
    }
    let (plan, elapsed) = (run.plan, run.time.elapsed());
    run.precount.begin(plan, run.lock, || {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let busy = u32::try_from(round.pool.len().clamp(1, cpus)).unwrap_or(1);
        let settled = round.shared.counters.totals().settled();
        elapsed * busy / u32::try_from(settled).unwrap_or(u32::MAX).max(1)
    });
    let position = position(run, run.state.so_far(&round.shared.counters.totals()));
    // A statfs(2) of a disk that does not answer would block the parent.
    let may_ask = plan.timeout.is_none();
    if position.work.complete && may_ask && !std::mem::replace(&mut run.space_checked, true) {
        free_space::warn_if_short(plan, &position.work, &position.totals, run.reporter.sink);
    }
    let at = At::Entry { name: &current_name(plan, round), copiers: round.at_work().len() };
    run.reporter.sink.emit(&RunEvent::Progress { position, at });
}

/// Says it once if more than [`COMPARED_SILENTLY`] are compared because files may have changed.
pub(super) fn name_comparisons(run: &mut Run<'_>, round: &Round) {
    let bytes = run.state.so_far(&round.shared.counters.totals()).get(Count::BytesToCompare);
    if bytes > COMPARED_SILENTLY && !std::mem::replace(&mut run.has_named_comparisons, true) {
        run.reporter.sink.emit(&RunEvent::ComparesMuch);
    }
}

/// Draws the progress line while written data is flushed and no copier runs.
pub(super) fn draw_flushing(run: &mut Run<'_>) {
    if wants_line(run) {
        let position = position(run, run.totals);
        run.reporter.sink.emit(&RunEvent::Progress { position, at: At::Flushing });
    }
}

/// Answers `SIGUSR1` while copiers run.
pub(super) fn report(run: &mut Run<'_>, round: &Round) {
    let work = run.precount.work().unwrap_or_default();
    run.reporter.sink.emit(&RunEvent::Status {
        totals: run.state.sum_up(round.shared.counters.totals()),
        entries: work.complete.then_some(work.entries),
        elapsed: run.time.elapsed(),
        at: At::Entry { name: &current_name(run.plan, round), copiers: round.at_work().len() },
    });
}

/// Answers `SIGUSR1` after all copiers have exited.
pub(super) fn report_finishing(sink: &mut dyn Sink, totals: Totals, elapsed: Duration) {
    sink.emit(&RunEvent::Status { totals, entries: None, elapsed, at: At::Finishing });
    sink.flush();
}

fn wants_line(run: &Run<'_>) -> bool {
    // `--check-manifest` has no progress line: pcopy does not count the entries of a manifest in advance, so
    // the total is unknown.
    !matches!(run.plan.check, Some(Check::Manifest(_)))
        && run.time.elapsed() >= LINE_AFTER
        && run.reporter.sink.wants_progress()
}

fn position(run: &Run<'_>, totals: Totals) -> Position {
    Position {
        totals,
        work: run.precount.work().unwrap_or_default(),
        elapsed: run.time.elapsed(),
        reads_back: run.plan.options.verify,
        compares: run.plan.check.is_some() || run.plan.options.dry_run || run.state.looks,
    }
}

/// Returns the name of an entry that one of the copiers is working on, as the user would write it.
fn current_name(plan: &Plan, round: &Round) -> Vec<u8> {
    let (numbers, counters) = (round.at_work(), &round.shared.counters);
    let place = numbers.into_iter().find_map(|number| counters.status(number).current_entry());
    place.map(|place| shown(plan, place)).unwrap_or_default()
}

/// Returns the name of an entry as the user would write it.
pub(super) fn shown(plan: &Plan, place: CurrentEntry) -> Vec<u8> {
    let mut path = place.dir;
    if !path.is_empty() && !place.name.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(&place.name);
    if let Some(Check::Manifest(listed)) = &plan.check {
        return listed.show(&path);
    }
    let operand = plan.operands.get(place.operand as usize);
    operand.map(|operand| operand.show_source(&path)).unwrap_or_default()
}
