//! Runs a command to its end: its status, its output, and whether all its processes are gone.

use crate::common::wait;
use nix::sys::signal::{SIGKILL, killpg};
use nix::unistd::Pid;
use std::fs;
use std::io::{Read, Seek};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// The time after which a run counts as hung.
const HANG: Duration = Duration::from_secs(60);

/// The time in which all processes of an ended run must be gone.
const SOON: Duration = Duration::from_secs(5);

/// How a run ended.
pub(crate) struct Ending {
    /// The exit status; `None` if the run hung.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) stderr: String,
    /// Whether processes of the run's group were still alive.
    pub(crate) left: bool,
}

impl Ending {
    /// Returns the exit code; `None` if the run hung or was ended by a signal.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status?.code()
    }
}

/// Runs a command to its end. Its process is the leader of its own process group.
pub(crate) fn run(mut command: Command) -> Ending {
    let output = tempfile::tempfile().unwrap();
    command.stdout(output.try_clone().unwrap()).stderr(output.try_clone().unwrap());
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    finish_with_output(child, output)
}

/// Waits for the end of a process that leads its own process group, and reads its output from a file.
pub(crate) fn finish_with_output(child: Child, mut output: fs::File) -> Ending {
    let mut ending = finish(child);
    let mut bytes = Vec::new();
    output.rewind().unwrap();
    output.read_to_end(&mut bytes).unwrap();
    ending.stderr = String::from_utf8_lossy(&bytes).into_owned();
    ending
}

/// Waits for the end of a process that leads its own process group.
pub(crate) fn finish(mut child: Child) -> Ending {
    let status = wait(&mut child, HANG);
    let group = Pid::from_raw(child.id().cast_signed());
    let begun = Instant::now();
    let mut left = status.is_some();
    while left && begun.elapsed() < SOON {
        left = killpg(group, None).is_ok() && lives(group);
        if left {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    if status.is_none() || left {
        let _: nix::Result<()> = killpg(group, SIGKILL);
        let _: std::io::Result<ExitStatus> = child.wait();
    }
    Ending { status, stderr: String::new(), left }
}

/// Whether a process of the group is alive. Zombies do not count: the process that adopted them may not have
/// reaped them yet.
fn lives(group: Pid) -> bool {
    fs::read_dir("/proc").unwrap().any(|entry| {
        let stat = fs::read_to_string(entry.unwrap().path().join("stat")).unwrap_or_default();
        let mut words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let (state, its_group) = (words.next(), words.nth(1));
        !matches!(state, None | Some("Z" | "X")) && its_group == Some(&group.to_string())
    })
}
