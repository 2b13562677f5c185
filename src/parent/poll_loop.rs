//! The parent's poll loop during one round. It waits for reports in pipes, signals, deaths of copiers, and
//! deadlines.
//!
//! The parent copies nothing and waits only in poll(2). So it still reacts if a reader of its output is slow,
//! if a copier hangs, or if the user presses ^C. (If it cannot fork a copier, it copies itself: `own_copier`.)

use super::pool::Copier;
use super::reports;
use super::round::{Part, Round, Stop};
use super::run::Run;
use super::run_event::{RunEvent, Sink};
use super::run_state::{Deaths, RunState};
use super::shared::Shared;
use super::status;
use super::target_lock::TargetLock;
use crate::copier::{self, History, Job};
use crate::error::{Op, Unavailable};
use crate::plan::Plan;
use pcopy_sys::poll::{self, Readiness};
use pcopy_sys::process::{self, Death, Pid};
use pcopy_sys::signals::{self, Request, SIGPIPE};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// Runs a round until all copiers have exited and the parent has read all their reports. If no copier can be forked,
/// returns at once, and `round.in_parent` says so.
pub(super) fn run_round(run: &mut Run<'_>, round: &mut Round) -> Result<(), Unavailable> {
    loop {
        start_copier(run, round);
        if round.pool.is_done() || round.is_given_up() {
            return Ok(());
        }
        wait(run, round)?;
        handle_signals(run, round)?;
        reports::read(run, round);
        reap_copiers(&mut run.state.deaths, round);
        match run.reporter.sink.is_full() {
            true => round.excuse_stall(),
            false => round.end_if_stalled(),
        }
        end_if_unanswered(run, round);
        round.escalate();
        round.autoscale();
        status::name_comparisons(run, round);
        status::draw(run, round);
        flush(run, round);
    }
}

/// Starts one more copier if there is work for it.
fn start_copier(run: &Run<'_>, round: &mut Round) {
    if !round.decide_start() {
        return;
    }
    let first = round.pool.len() == 0;
    let job = job(round, &round.shared, (run.plan, run.lock), &run.state);
    match round.pool.start(|number, pipe| copier::run(job, number, pipe)) {
        Ok(()) => round.note_started(),
        Err(_) if first => round.in_parent = true,
        Err(_) => round.note_denied(), // the copiers that run do the work
    }
}

/// Returns what the copiers of a round share.
pub(super) fn job<'a>(
    round: &Round,
    shared: &'a Shared,
    (plan, lock): (&'a Plan, &'a TargetLock),
    state: &'a RunState,
) -> Job<'a> {
    let job = shared.job(plan, lock, state);
    let fresh = if round.is_first { &lock.fresh[..] } else { &[] };
    let history = History { is_first: round.is_first, fresh, ..job.history };
    let removes = round.part == Part::Removal;
    Job { prompts_answered: round.part != Part::Copies, removes, history, ..job }
}

/// Does the parent's other work while the parent copies: handles signals, writes output, shows the progress. If
/// the reader of the output is slow, waits for it.
pub(super) fn attend(run: &mut Run<'_>, round: &mut Round) -> Result<(), Unavailable> {
    handle_signals(run, round)?;
    round.escalate();
    status::name_comparisons(run, round);
    status::draw(run, round);
    flush(run, round);
    while run.reporter.sink.is_full() {
        wait(run, round)?;
        handle_signals(run, round)?;
        flush(run, round);
    }
    Ok(())
}

/// Writes output. As cp, dies by SIGPIPE if the reader of standard output has closed it.
fn flush(run: &mut Run<'_>, round: &mut Round) {
    run.reporter.sink.flush();
    if matches!(round.stop, Some(Stop::Signal { .. })) {
        return;
    }
    let failure = run.reporter.sink.output_failure();
    if failure.is_some_and(|errno| run.plan.dies_with(Op::Write.error()(errno))) {
        round.stop(Stop::Signal { number: SIGPIPE, since: Instant::now() });
    }
}

/// Sleeps until an event arrives or the next deadline is due.
fn wait(run: &Run<'_>, round: &mut Round) -> Result<(), Unavailable> {
    let sink = &run.reporter.sink;
    let mut watched: Vec<(BorrowedFd<'_>, Readiness)> =
        vec![(run.signals.as_fd(), Readiness::Readable)];
    watched.extend(sink.unwritten().into_iter().map(|stream| (stream, Readiness::Writable)));
    let streams = watched.len();
    if !sink.is_full() {
        let pipes = round.pool.copiers().iter().filter_map(Copier::pipe);
        watched.extend(pipes.map(|pipe| (pipe, Readiness::Readable)));
    }
    let ready = poll::wait(&watched, round.poll_timeout())
        .map_err(Unavailable::because("wait for events"))?;
    round.pool.note_ready(&ready[streams..]);
    Ok(())
}

/// Handles the signals that have arrived.
fn handle_signals(run: &mut Run<'_>, round: &mut Round) -> Result<(), Unavailable> {
    let mut requests = Vec::new();
    while let Some(request) =
        run.signals.next_request().map_err(Unavailable::because("read signals"))?
    {
        requests.push(request);
    }
    if requests.is_empty() {
        run.time.look();
    }
    for request in requests {
        match request {
            Request::End(number) => interrupt(run.reporter.sink, round, number),
            Request::Suspend => {
                run.time.look();
                suspend(run.reporter.sink, round);
                run.time.note_continued();
            }
            Request::Status => status::report(run, round),
            Request::Resume | Request::Resize => {
                if request == Request::Resume {
                    run.time.note_continued();
                }
                round.excuse_silence();
                run.reporter.sink.redraw_progress();
            }
            Request::Child => round.child_exited = true,
        }
    }
    Ok(())
}

/// Ends the run after a signal. At the first signal, copiers finish their files; the second signal kills the
/// run.
fn interrupt(sink: &mut dyn Sink, round: &mut Round, number: i32) {
    if let Some(Stop::Signal { number, .. }) = round.stop {
        round.kill_all();
        sink.clear_progress();
        signals::die_by(number); // the counting process dies with its parent
    }
    sink.stop_waiting_for_reader();
    round.stop(Stop::Signal { number, since: Instant::now() });
}

/// Ends the run if `--timeout` limits how long copiers may wait for the disk, and they have. Does not wait for them: the
/// kernel may never wake them.
fn end_if_unanswered(run: &mut Run<'_>, round: &mut Round) {
    let Some(limit) = run.plan.timeout else { return };
    let Some(place) = round.unanswered(limit) else { return };
    run.reporter.timed_out(limit, Some(&status::shown(run.plan, place)));
    round.stop(Stop::TimedOut { since: Instant::now() });
    round.kill_all();
}

/// Suspends all processes of the run, as a shell expects when it suspends a job, and later resumes them.
fn suspend(sink: &mut dyn Sink, round: &Round) {
    sink.clear_progress();
    let alive = || round.pool.copiers().iter().filter(|copier| copier.is_alive());
    // A copier that has just died cannot be suspended; the parent detects its death when it reaps it.
    let signal_all = |send: fn(Pid) -> pcopy_sys::Result<()>| {
        alive().map(|copier| send(copier.pid())).filter(Result::is_err).count()
    };
    signal_all(process::suspend);
    if let Err(errno) = signals::suspend_self() {
        sink.emit(&RunEvent::CannotSuspend(errno));
    }
    signal_all(process::resume);
}

/// Reaps copiers that have exited. A copier that exited before its work was done ends the round.
fn reap_copiers(deaths: &mut Deaths, round: &mut Round) {
    if !std::mem::take(&mut round.child_exited) {
        return; // otherwise each event would cost up to 512 system calls
    }
    let ring = &round.shared.ring;
    let done = ring.is_closed() || ring.is_stopped();
    let mut lost = Vec::new();
    for copier in round.pool.copiers_mut() {
        match copier.reap() {
            Ok(false) => {}
            Ok(true) if copier.exit_status() == Some(Death::Exited(0)) && done => {}
            Ok(true) | Err(_) => lost.push(copier.number()),
        }
    }
    if lost.is_empty() || !matches!(round.stop, None | Some(Stop::CopierLost)) {
        return;
    }
    for number in lost {
        note_death(deaths, round, number);
    }
    round.stop(Stop::CopierLost);
}

/// Notes at which entry a copier died, and whether it had begun that entry.
fn note_death(deaths: &mut Deaths, round: &mut Round, number: u16) {
    let place = round.shared.counters.status(number).current_entry();
    let mark = place.as_ref().map(|place| place.fingerprint);
    let outbox = round.shared.outboxes.get(number);
    for (has_leftover_dir, marks) in [
        (outbox.has_begun(), &mut deaths.begun),
        (outbox.has_begun_new(), &mut deaths.begun_new),
        (outbox.has_begun_in_place(), &mut deaths.begun_in_place),
    ] {
        marks.extend(mark.filter(|_| has_leftover_dir));
    }
    // A whole operand is not skipped like a file: if copiers keep dying on it, the run has failed.
    let place = place.filter(|place| !place.name.is_empty() || place.dir.contains(&b'/'));
    if let Some(place) = place.filter(|place| round.casualties.places.insert(place.fingerprint)) {
        round.casualties.passed_over |= deaths.note(place.fingerprint);
    }
}
