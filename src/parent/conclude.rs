//! The last steps of a run, which are the same whatever has ended it. If the target is full or failing, the
//! parent first counts what is left to copy. In any case it then writes the manifest and reports the result.

use super::free_space;
use super::idle::{ending_signal, flush_output};
use super::phases::manifest;
use super::round::TICK;
use super::run::Run;
use super::run_event::RunEvent;
use super::unfinished;
use crate::error::Op;
use crate::outcome::{Compared, End, Left, Outcome};
use pcopy_sys::Errno;
use pcopy_sys::poll::{self, Readiness};
use pcopy_sys::signals::SIGPIPE;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The maximum time, after the run has ended, for counting what is left to copy.
const COUNT_WITHIN: Duration = Duration::from_secs(2);

/// How often the parent checks whether the counting process is done.
const CHECK: Duration = Duration::from_millis(20);

/// Reports the result of the run, waits until all output is written, and returns the result.
pub(super) fn conclude(mut run: Run<'_>, end: End, compared: Option<Compared>) -> Outcome {
    let left = if end == End::TargetLost { left_to_copy(&mut run) } else { None };
    if end == End::TargetLost && run.reporter.kinds.keys().any(|error| error.errno == Errno::ENOSPC)
    {
        free_space::report_lack_of_inodes(run.plan, run.reporter.sink);
    }
    // If a signal ends the run, the parent does not wait for a reader of its output, which may never read.
    // Nor does it wait for the counting process, which a failing disk may keep from exiting.
    let output_limit = match end {
        End::Signal(_) => {
            run.precount.abandon();
            TICK
        }
        End::TimedOut => {
            run.precount.abandon();
            Duration::MAX
        }
        _ => {
            run.precount.end();
            Duration::MAX
        }
    };
    run.reporter.sink.clear_progress();
    if !run.state.looks {
        manifest::write(run.plan, &run.state.digests, end, &mut run.reporter);
    }
    flush_output(run.reporter.sink, run.signals, output_limit);
    let end = match run.reporter.sink.output_failure() {
        Some(errno) if run.plan.dies_with(Op::Write.error()(errno)) => End::Signal(SIGPIPE),
        // The reader of the names has seen enough (`| head -1`).
        Some(Errno::EPIPE) if !manifest::goes_to_stdout(run.plan) => end,
        Some(errno) => {
            run.reporter.sink.emit(&RunEvent::OutputLost(errno));
            run.reporter.late.failed += 1;
            end
        }
        None => end,
    };
    let is_dry = run.plan.options.dry_run || run.state.looks;
    let judge_space = || free_space::fits(run.plan, &run.totals, run.reporter.sink);
    let dry_run = run.state.fits.or_else(|| is_dry.then(judge_space));
    let outcome = Outcome {
        dry_run,
        only_looked: run.state.looks,
        too_many_removals: run.state.too_many_removals,
        end,
        totals: run.totals,
        kinds: run.reporter.kinds.drain().collect(),
        left,
        late_failures: run.reporter.late.failed,
        late_vanished: run.reporter.late.vanished,
        compared,
        elapsed: run.time.elapsed(),
        destination: run.plan.destination.clone(),
        other_command_to_resume: other_command_to_resume(&run, end),
        unfinished: unfinished::find(&run, end),
    };
    run.reporter.sink.emit(&RunEvent::Ended(&outcome));
    flush_output(run.reporter.sink, run.signals, output_limit);
    outcome
}

/// Returns the command that resumes the run, if it is not the same command.
fn other_command_to_resume(run: &Run<'_>, end: End) -> Option<String> {
    let has_target = match end {
        End::Finished => run.plan.destination.is_dir(),
        // The disk may not answer any more.
        _ => run.plan.options.in_place || !run.lock.unstaged.is_empty(),
    };
    run.plan.with_no_target_directory.clone().filter(|_| has_target)
}

/// Returns what is left to copy into a full target; `None` if it cannot be counted within [`COUNT_WITHIN`].
fn left_to_copy(run: &mut Run<'_>) -> Option<Left> {
    // The counting process may run at full speed, because no copier runs any more.
    run.precount.begin(run.plan, run.lock, || Duration::MAX);
    let begun = Instant::now();
    let work = loop {
        let work = run.precount.work()?;
        if work.complete {
            break work;
        }
        let watched = [(run.signals.as_fd(), Readiness::Readable)];
        poll::wait(&watched, CHECK).ok()?;
        if begun.elapsed() > COUNT_WITHIN || ending_signal(run).is_some() {
            return None;
        }
    };
    free_space::measure(run.plan, &work, &run.totals).map(|(_, left)| left)
}
