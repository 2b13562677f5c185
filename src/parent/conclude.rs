//! The end of a run, however it came: the manifest, what is left to copy, the last messages.

use super::free_space;
use super::idle::{ending_signal, flush_output};
use super::phases::manifest;
use super::round::TICK;
use super::run::Run;
use super::run_event::RunEvent;
use crate::outcome::{Compared, End, Left, Outcome};
use pcopy_sys::poll::{self, Event};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long a run that has ended counts what is left to copy.
const COUNT_WITHIN: Duration = Duration::from_secs(2);

/// How often it checks whether that is done.
const CHECK: Duration = Duration::from_millis(20);

/// Reports how the run went, waits until that is written, and returns it.
pub(super) fn conclude(mut run: Run<'_>, end: End, compared: Option<Compared>) -> Outcome {
    let left = if end == End::TargetLost { left_to_copy(&mut run) } else { None };
    // A run that a signal ends waits neither for a reader that may never come, nor for the process that
    // counts ahead, which a broken disk may hold.
    let output_limit = match end {
        End::Signal(_) => {
            run.precount.abandon();
            TICK
        }
        _ => {
            run.precount.end();
            Duration::MAX
        }
    };
    run.reporter.sink.clear_progress();
    manifest::write(run.plan, &run.state.hashed, end, &mut run.reporter);
    flush_output(run.reporter.sink, run.signals, output_limit);
    let needs_output =
        run.plan.options.verbose() || manifest::goes_to_stdout(run.plan) || compared.is_some();
    if let Some(errno) = run.reporter.sink.output_failure().filter(|_| needs_output) {
        run.reporter.sink.emit(&RunEvent::OutputLost(errno));
        run.reporter.late.failed += 1;
    }
    let outcome = Outcome {
        end,
        totals: run.totals,
        kinds: run.reporter.kinds.drain().collect(),
        left,
        late_failures: run.reporter.late.failed,
        late_vanished: run.reporter.late.vanished,
        compared,
        elapsed: run.begun.elapsed(),
    };
    run.reporter.sink.emit(&RunEvent::Ended(&outcome));
    flush_output(run.reporter.sink, run.signals, output_limit);
    outcome
}

/// What is left to copy into a target that is full, if that can be counted soon.
fn left_to_copy(run: &mut Run<'_>) -> Option<Left> {
    // No copier runs that the counting could delay.
    run.precount.begin(run.plan, run.lock, || Duration::MAX);
    let begun = Instant::now();
    let work = loop {
        let work = run.precount.work()?;
        if work.complete {
            break work;
        }
        let watched = [(run.signals.as_fd(), Event::Readable)];
        poll::wait(&watched, CHECK).ok()?;
        if begun.elapsed() > COUNT_WITHIN || ending_signal(run).is_some() {
            return None;
        }
    };
    free_space::measure(run.plan, &work, &run.totals).map(|(_, left)| left)
}
