//! `--fsync` and `--verify`: data is flushed to stable storage before it is published (renamed into place),
//! and before the run ends.
//!
//! Staged data is flushed once for each file system and not once for each file: one wait instead of
//! thousands. With `--fsync`, a file that replaces an existing file was flushed by its copier before the
//! rename.

use crate::error::{EntryError, Op, Unavailable};
use crate::ipc::wire::task::split_last;
use crate::outcome::End;
use crate::parent::idle::ending_signal;
use crate::parent::reporter::Reporter;
use crate::parent::run::{Run, Stopped};
use crate::parent::run_state::DeferredDir;
use crate::parent::status;
use crate::parent::volumes::Volume;
use crate::plan::Plan;
use crate::staging::removal::remove;
use pcopy_sys::Errno;
use pcopy_sys::file::Kind;
use pcopy_sys::poll::{self, Readiness};
use pcopy_sys::process::{self, Death};
use std::ffi::CString;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How often the parent checks whether the child process that flushes has exited.
const CHECK: Duration = Duration::from_millis(100);

/// Why a file system was not flushed.
enum NotFlushed {
    /// The kernel reports this error.
    Failed(Errno),
    /// The run must end before the flush is complete.
    Ended(End),
}

/// Flushes data before directories are renamed into place, and before files are linked where other processes
/// see them. Does nothing if no directory waits to be renamed.
pub(in crate::parent) fn flush_before_publishing(run: &mut Run<'_>) -> Result<(), Stopped> {
    if run.state.dirs.built.is_empty() { Ok(()) } else { flush_or_remove_built(run) }
}

/// Flushes everything. If that fails, removes the directories that are not published yet. They look complete
/// but may not be on stable storage, so the next run would wrongly take them for complete.
pub(super) fn flush_or_remove_built(run: &mut Run<'_>) -> Result<(), Stopped> {
    let flushed = flush(run);
    if let Err(Stopped::Early(End::TargetLost)) = flushed {
        let built = std::mem::take(&mut run.state.dirs.built);
        remove_all(run.plan, &built, &mut run.reporter);
    }
    flushed
}

/// Flushes everything that the run has written so far.
pub(in crate::parent) fn flush(run: &mut Run<'_>) -> Result<(), Stopped> {
    let volumes = std::mem::take(&mut run.volumes);
    let mut end = None;
    for volume in volumes.iter() {
        match flush_in_child(run, volume) {
            Ok(()) => {}
            Err(NotFlushed::Failed(errno)) => {
                let error = EntryError { op: Op::Sync, errno };
                run.reporter.failed_late(error, volume.operand, &volume.source);
                end = Some(End::TargetLost);
            }
            Err(NotFlushed::Ended(early)) => {
                end = Some(early);
                break;
            }
        }
    }
    run.volumes = volumes;
    end.map_or(Ok(()), |end| Err(Stopped::Early(end)))
}

/// Flushes a file system in a child process, because the flush may take minutes and the parent must handle
/// signals meanwhile.
fn flush_in_child(run: &mut Run<'_>, volume: &Volume) -> Result<(), NotFlushed> {
    let child = process::fork_child(|| volume.flush().map_or_else(|errno| errno as i32, |()| 0));
    let Ok(child) = child else { return flush_here(run, volume) };
    let mut watch = Watch::begin();
    loop {
        if let Some(number) = ending_signal(run) {
            if process::kill(child).is_err() {
                // The child has just exited.
            }
            return Err(NotFlushed::Ended(End::Signal(number)));
        }
        if run.plan.timeout.is_some_and(|limit| watch.silence() >= limit) {
            run.reporter.timed_out(run.plan.timeout.unwrap_or_default(), None);
            if process::kill(child).is_err() {
                // The child has just exited.
            }
            return Err(NotFlushed::Ended(End::TimedOut));
        }
        match process::reap(child).map_err(NotFlushed::Failed)? {
            None => {}
            Some(Death::Exited(0)) => return Ok(()),
            Some(Death::Exited(errno)) => return Err(NotFlushed::Failed(Errno::from_raw(errno))),
            Some(Death::Killed(_)) => return Err(NotFlushed::Failed(Errno::EINTR)),
        }
        status::draw_flushing(run);
        run.reporter.sink.flush();
        let watched = [(run.signals.as_fd(), Readiness::Readable)];
        if let Err(errno) = poll::wait(&watched, CHECK) {
            run.reporter.unavailable(&Unavailable::because("wait for events")(errno));
            return Err(NotFlushed::Ended(End::Unavailable));
        }
    }
}

/// Watches whether a flush makes progress, for `--timeout`.
struct Watch {
    unwritten: Vec<u64>,
    seen: Instant,
}

impl Watch {
    fn begin() -> Self {
        Self { unwritten: process::unwritten_memory(), seen: Instant::now() }
    }

    /// Returns for how long no data was written. The kernel counts the data of all processes together, so the time is
    /// short if any process writes.
    fn silence(&mut self) -> Duration {
        let unwritten = process::unwritten_memory();
        if unwritten != self.unwritten || unwritten.is_empty() {
            *self = Self { unwritten, seen: Instant::now() };
        }
        self.seen.elapsed()
    }
}

/// Flushes a file system in this process, because no child could be forked. A signal ends the run without waiting
/// for the flush.
fn flush_here(run: &mut Run<'_>, volume: &Volume) -> Result<(), NotFlushed> {
    let handled = run.signals.handle_directly().map_err(NotFlushed::Failed)?;
    let flushed = volume.flush();
    drop(handled);
    match ending_signal(run) {
        Some(number) => Err(NotFlushed::Ended(End::Signal(number))),
        None => flushed.map_err(NotFlushed::Failed),
    }
}

fn remove_all(plan: &Plan, dirs: &[DeferredDir], reporter: &mut Reporter<'_>) {
    for place in dirs.iter().map(|dir| dir.path.as_path()) {
        let Some(operand) = plan.operands.get(place.operand as usize) else { continue };
        let (above, name) = split_last(place.target);
        let removed = CString::new(name).map_err(|_| Errno::EINVAL).and_then(|name| {
            let above = plan.open_target(operand, above)?;
            remove(above.as_fd(), Kind::Directory, &name)
        });
        if let Err(errno) = removed {
            let error = EntryError { op: Op::Remove, errno };
            reporter.failed(error, place.operand, place.source);
        }
    }
}
