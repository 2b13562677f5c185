//! Children until their end, and how they are brought to it.

use super::stop::{Stop, Watch};
use crate::sys::poll::{self, Event};
use crate::sys::process::{self, Death, Pid, Usage};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Who is asked to end has so long to do it.
const GRACE: Duration = Duration::from_secs(3);

/// Waits for all of them, and ends them if a signal asks for that, or when their time is over.
pub(super) fn wait(
    started: &[Pid],
    limit: Option<Duration>,
    watch: &Watch,
) -> Result<Vec<(Death, Usage)>, Stop> {
    let begun = Instant::now();
    let mut running = started.to_vec();
    let mut ended = Vec::new();
    let mut lost = None;
    while !running.is_empty() {
        running.retain(|&pid| match process::reap_with_usage(pid) {
            Ok(None) => true,
            Ok(Some(end)) => {
                ended.push(end);
                false
            }
            Err(errno) => {
                lost = Some(errno);
                false
            }
        });
        if let Some(errno) = lost {
            end(&running);
            return Err(Stop::refuse(format!("cannot wait for a program: {errno}")));
        }
        if running.is_empty() {
            break;
        }
        let waited = poll::wait(&[(watch.as_fd(), Event::Readable)], Duration::from_secs(1));
        if let Err(stop) = watch.look() {
            end(started);
            return Err(stop);
        }
        if limit.is_some_and(|limit| begun.elapsed() > limit) {
            end(started);
            break;
        }
        if waited.is_err() {
            // Then the next look at them comes sooner than it need have.
        }
    }
    Ok(ended)
}

/// Ends them: so that they can clean up first, if they are quick.
pub(super) fn end(running: &[Pid]) {
    let begun = Instant::now();
    let mut left = running.to_vec();
    for &pid in running {
        send(pid, false);
    }
    while !left.is_empty() && begun.elapsed() <= GRACE {
        left.retain(|&pid| matches!(process::reap_with_usage(pid), Ok(None)));
        pause();
    }
    for &pid in &left {
        send(pid, true);
    }
    while !left.is_empty() {
        left.retain(|&pid| matches!(process::reap_with_usage(pid), Ok(None)));
        pause();
    }
    end_stragglers(running);
}

/// Ends what the programs have left running: it would write into folders that are removed.
///
/// A group is there until the last in it is gone. They are not our children, and where nobody
/// reaps them they stay as zombies, so the wait has a limit.
pub(super) fn end_stragglers(leaders: &[Pid]) {
    let begun = Instant::now();
    for &pid in leaders {
        while send(pid, true) && begun.elapsed() < GRACE {
            pause();
        }
    }
}

/// Whether there was anybody in the group.
fn send(leader: Pid, at_once: bool) -> bool {
    process::end_group(leader, at_once).is_ok()
}

fn pause() {
    if poll::wait(&[], Duration::from_millis(5)).is_err() {
        // Then the next look comes sooner.
    }
}
