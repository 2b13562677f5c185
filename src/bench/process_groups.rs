//! Waits for the programs of a run, and terminates them.
//!
//! Each program is the leader of its own process group, so a signal to the group also reaches the processes
//! that the program has started.

use super::abort::{Abort, SignalWatch};
use pcopy_sys::Errno;
use pcopy_sys::poll::{self, Readiness};
use pcopy_sys::process::{self, Death, Pid, Usage};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The time that processes have to exit after SIGTERM, and the longest wait for a killed process group to
/// disappear.
const GRACE: Duration = Duration::from_secs(3);

/// Waits until all `programs` have exited. Returns how each program ended, and the time and memory that it
/// used.
///
/// After `timeout`, terminates the programs and returns the results of those that had already exited. If a
/// signal that ends the benchmark arrives, terminates the programs and returns an error.
pub(super) fn wait_for_all(
    programs: &[Pid],
    timeout: Option<Duration>,
    signals: &SignalWatch,
) -> Result<Vec<(Death, Usage)>, Abort> {
    let started = Instant::now();
    let mut running = programs.to_vec();
    let mut exited = Vec::new();
    loop {
        match reap_exited(&mut running) {
            Ok(reaped) => exited.extend(reaped),
            Err(errno) => {
                terminate(&running);
                return Err(Abort::error(format!("cannot wait for a program: {errno}")));
            }
        }
        if running.is_empty() {
            return Ok(exited);
        }
        // SIGCHLD makes the signalfd readable, so the wait ends at once when a program exits, and the
        // measured time is exact.
        let polled = poll::wait(&[(signals.as_fd(), Readiness::Readable)], Duration::from_secs(1));
        if polled.is_err() {
            // A failed wait does no harm: the loop checks the programs again at once.
        }
        if let Err(abort) = signals.check() {
            terminate(programs);
            return Err(abort);
        }
        if timeout.is_some_and(|timeout| started.elapsed() > timeout) {
            terminate(programs);
            return Ok(exited);
        }
    }
}

/// Removes from `running` the programs that have exited, and returns their results.
fn reap_exited(running: &mut Vec<Pid>) -> Result<Vec<(Death, Usage)>, Errno> {
    let mut exited = Vec::new();
    let mut failure = None;
    running.retain(|&pid| match process::reap_with_usage(pid) {
        Ok(None) => true,
        Ok(Some(end)) => {
            exited.push(end);
            false
        }
        Err(errno) => {
            failure = Some(errno);
            false
        }
    });
    failure.map_or(Ok(exited), Err)
}

/// Ends the process groups of `leaders`: with SIGTERM, so that they can clean up, and after [`GRACE`] with
/// SIGKILL.
pub(super) fn terminate(leaders: &[Pid]) {
    let started = Instant::now();
    let mut running = leaders.to_vec();
    for &pid in leaders {
        send_sigterm(pid);
    }
    while !running.is_empty() && started.elapsed() <= GRACE {
        running.retain(|&pid| is_running(pid));
        pause();
    }
    for &pid in &running {
        send_sigkill(pid);
    }
    while !running.is_empty() {
        running.retain(|&pid| is_running(pid));
        pause();
    }
    kill_stragglers(leaders);
}

/// Kills the processes that a program has left running, because they would write into directories that are
/// about to be removed.
///
/// A process group exists until its last process has been reaped. The benchmark cannot reap these processes,
/// which are not its children, and without an init process they remain zombies. So the wait is limited to
/// [`GRACE`].
pub(super) fn kill_stragglers(leaders: &[Pid]) {
    let started = Instant::now();
    for &pid in leaders {
        while send_sigkill(pid) && started.elapsed() < GRACE {
            pause();
        }
    }
}

/// Whether a child is still running. Reaps the child if it has exited.
fn is_running(pid: Pid) -> bool {
    matches!(process::reap_with_usage(pid), Ok(None))
}

/// Sends SIGTERM to a process group. Returns whether the group still has a process.
fn send_sigterm(leader: Pid) -> bool {
    process::end_group(leader, false).is_ok()
}

/// Sends SIGKILL to a process group. Returns whether the group still has a process.
fn send_sigkill(leader: Pid) -> bool {
    process::end_group(leader, true).is_ok()
}

fn pause() {
    if poll::wait(&[], Duration::from_millis(5)).is_err() {
        // A failed wait does no harm: the caller checks the processes sooner.
    }
}
