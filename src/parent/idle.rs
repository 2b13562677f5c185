//! Handles signals and writes output while no copier runs.

use super::round::TICK;
use super::run::Run;
use super::run_event::Sink;
use super::status;
use pcopy_sys::poll::{self, Readiness};
use pcopy_sys::signals::{self, Request, Signals};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Handles the signals that have arrived. Returns the number of a signal that ends the run.
pub(super) fn ending_signal(run: &mut Run<'_>) -> Option<i32> {
    while let Ok(Some(request)) = run.signals.next_request() {
        match request {
            Request::End(number) => return Some(number),
            Request::Suspend => {
                run.reporter.sink.clear_progress();
                run.time.look();
                let suspended = signals::suspend_self();
                run.time.note_continued();
                if suspended.is_err() {
                    return None;
                }
            }
            Request::Status => {
                status::report_finishing(run.reporter.sink, run.totals, run.time.elapsed());
            }
            Request::Resume => run.time.note_continued(),
            Request::Resize | Request::Child => {}
        }
    }
    None
}

/// Waits until all output is written, for at most `limit`. A signal that would end the run kills the process
/// meanwhile.
pub(super) fn flush_output(sink: &mut dyn Sink, signals: &Signals, limit: Duration) {
    let begun = Instant::now();
    sink.flush();
    while !sink.unwritten().is_empty() && begun.elapsed() < limit {
        let mut watched = vec![(signals.as_fd(), Readiness::Readable)];
        watched.extend(sink.unwritten().into_iter().map(|stream| (stream, Readiness::Writable)));
        if poll::wait(&watched, TICK).is_err() {
            return;
        }
        while let Ok(Some(request)) = signals.next_request() {
            match request {
                Request::End(number) => signals::die_by(number),
                Request::Suspend if signals::suspend_self().is_err() => return,
                _ => {}
            }
        }
        sink.flush();
    }
}
