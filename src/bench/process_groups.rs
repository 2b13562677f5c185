//! Waits for the programs of a run, and terminates them.
//!
//! Each program is the leader of its own process group, so that a signal to the group also reaches
//! the processes that the program has started.

use super::abort::{Abort, SignalWatch};
use pcopy_sys::Errno;
use pcopy_sys::poll::{self, Event};
use pcopy_sys::process::{self, Death, Pid, Usage};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long processes have to exit after SIGTERM, and how long a group that was killed is waited
/// for.
const GRACE: Duration = Duration::from_secs(3);

/// Waits until all `programs` have exited, and returns how each ended and what it used.
///
/// When `timeout` has passed it terminates them, and returns the results of those that exited
/// before. When a signal to end arrives it terminates them and fails.
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
        // SIGCHLD makes the signalfd readable, so that no run is measured longer than it took.
        let polled = poll::wait(&[(signals.as_fd(), Event::Readable)], Duration::from_secs(1));
        if polled.is_err() {
            // The next round then begins before a program has exited, and does nothing.
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

/// Ends the process groups of `leaders` with SIGTERM, so that they can clean up, and after the
/// grace period with SIGKILL.
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

/// Kills the processes that a program has left running: they would write into directories that are
/// about to be removed.
///
/// A group exists until its last process has been reaped. These processes are not children of the
/// benchmark, and remain zombies where no init process reaps them; so the wait is limited.
pub(super) fn kill_stragglers(leaders: &[Pid]) {
    let started = Instant::now();
    for &pid in leaders {
        while send_sigkill(pid) && started.elapsed() < GRACE {
            pause();
        }
    }
}

/// Whether a child has not exited yet. Reaps it if it has.
fn is_running(pid: Pid) -> bool {
    matches!(process::reap_with_usage(pid), Ok(None))
}

/// Sends SIGTERM to a process group; returns whether it has any process.
fn send_sigterm(leader: Pid) -> bool {
    process::end_group(leader, false).is_ok()
}

/// Sends SIGKILL to a process group; returns whether it has any process.
fn send_sigkill(leader: Pid) -> bool {
    process::end_group(leader, true).is_ok()
}

fn pause() {
    if poll::wait(&[], Duration::from_millis(5)).is_err() {
        // The next look at the processes then comes sooner.
    }
}
