//! Starts programs, waits for them, and measures their time and memory.

use super::abort::{Abort, SignalWatch};
use super::copy_command::CopyCommand;
use super::process_groups::{kill_stragglers, terminate, wait_for_all};
use crate::sanitize::escape;
use pcopy_sys::process::{self, Death, Pid, Usage};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The time that a program has to print its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Environment variables that would add options to a program. rsync has several, which have a common prefix.
const REMOVED_VARIABLES: [&str; 4] = ["TAR_OPTIONS", "POSIXLY_CORRECT", "PCOPY_JOBS", "TAPE"];
const REMOVED_PREFIX: &[u8] = b"RSYNC_";

/// The time and memory that one run of a copy command took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measurement {
    /// The time on the monotonic clock. It begins before the first process is started, and ends when the last
    /// process has exited.
    pub(super) wall: Duration,
    /// The CPU time of all processes, and the memory of the largest process, from wait4(2).
    ///
    /// So a program with several processes seems to use less memory than a program with several threads.
    pub(super) used: Usage,
}

/// The settings with which programs are started.
pub(super) struct Launcher<'a> {
    /// The file that receives the standard error of a copy, or the output of `--version`. Each run creates it
    /// anew.
    pub(super) output: PathBuf,
    /// The signals that end the benchmark while it waits for a program.
    pub(super) signals: &'a SignalWatch,
}

impl Launcher<'_> {
    /// Runs a command that copies `source` to `target`. The inner error describes how the program failed.
    pub(super) fn copy(
        &self,
        command: &CopyCommand,
        source: &Path,
        target: &Path,
    ) -> Result<Result<Measurement, String>, Abort> {
        let processes = self.prepare(command, source, target);
        let processes = processes.map_err(|error| cannot_start(&command.program, &error))?;
        let started = Instant::now();
        let running = start_pipeline(processes);
        let running = running.map_err(|error| cannot_start(&command.program, &error))?;
        let exited = wait_for_all(&running, None, self.signals)?;
        let wall = started.elapsed();
        kill_stragglers(&running);

        if let Some(death) = cause_of_failure(exited.iter().map(|&(death, _)| death)) {
            return Ok(Err(self.describe_failure(death)));
        }
        let mut used = Usage::default();
        for (_, usage) in &exited {
            used.cpu += usage.cpu;
            used.memory = used.memory.max(usage.memory);
        }
        Ok(Ok(Measurement { wall, used }))
    }

    /// Returns the first line that a program prints for `--version`; empty if it prints none in time.
    pub(super) fn version(&self, program: &Path) -> Result<String, Abort> {
        let start = || -> io::Result<Pid> {
            let output = create_new_file(&self.output)?;
            let mut command = base_command(program);
            command.arg("--version");
            // Some programs print their version to standard error.
            command.stdout(output.try_clone()?).stderr(output);
            process::start(&mut command).map(|child| pid_of(&child))
        };
        let running = [start().map_err(|error| cannot_start(program, &error))?];
        wait_for_all(&running, Some(VERSION_TIMEOUT), self.signals)?;
        kill_stragglers(&running);
        Ok(first_line(&self.output))
    }

    /// Returns the processes of a command, ready to start. Their standard error goes to the output file.
    fn prepare(
        &self,
        command: &CopyCommand,
        source: &Path,
        target: &Path,
    ) -> io::Result<Vec<Command>> {
        let stderr = create_new_file(&self.output)?;
        let prepare = |arguments: &Vec<String>| {
            let mut process = base_command(&command.program);
            process.arg0(command.tool);
            process.args(arguments.iter().map(|word| operand(word, source, target)));
            process.stdout(Stdio::null()).stderr(stderr.try_clone()?);
            Ok(process)
        };
        command.pipeline.iter().map(prepare).collect()
    }

    fn describe_failure(&self, death: Death) -> String {
        let how = match death {
            Death::Exited(code) => format!("exit {code}"),
            Death::Killed(signal) => format!("signal {signal}"),
        };
        let printed = first_line(&self.output);
        if printed.is_empty() { how } else { format!("{how}: {printed}") }
    }
}

/// Starts the processes, with a pipe from each to the next. If one process cannot be started, terminates the
/// others.
fn start_pipeline(processes: Vec<Command>) -> io::Result<Vec<Pid>> {
    let last = processes.len() - 1;
    let mut running = Vec::new();
    let mut input = None;
    // The loop drops each `Command` after its start. Otherwise the `Command` would hold an end of the pipe
    // open, and the first process would not notice that the second has exited.
    for (number, mut process) in processes.into_iter().enumerate() {
        if let Some(input) = input.take() {
            process.stdin(input);
        }
        if number < last {
            process.stdout(Stdio::piped());
        }
        match process::start(&mut process) {
            Ok(mut child) => {
                input = child.stdout.take().map(Stdio::from);
                running.push(pid_of(&child));
            }
            Err(error) => {
                terminate(&running);
                return Err(error);
            }
        }
    }
    Ok(running)
}

/// Returns a command without standard input and without the environment variables that would add options.
fn base_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    let is_removed = |name: &OsString| {
        name.as_encoded_bytes().starts_with(REMOVED_PREFIX)
            || REMOVED_VARIABLES.iter().any(|&removed| name == removed)
    };
    for name in std::env::vars_os().map(|(name, _)| name).filter(is_removed) {
        command.env_remove(name);
    }
    command
}

/// Creates a file, and removes an existing file first. An earlier program may have left a symbolic link under
/// this name, and a write through the link would overwrite another file.
fn create_new_file(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::create_new(path),
    }
}

/// Returns an argument with SRC and DST replaced by the paths.
fn operand(word: &str, source: &Path, target: &Path) -> OsString {
    match word {
        "SRC" => source.into(),
        "SRC/" => source.join("").into(),
        "DST" => target.into(),
        _ => word.into(),
    }
}

/// Returns the failure of the process that made the others fail; `None` if all processes succeeded.
///
/// A death by SIGPIPE is usually the consequence of another failure, so it is returned only if no process
/// failed in another way.
fn cause_of_failure(deaths: impl Iterator<Item = Death> + Clone) -> Option<Death> {
    let mut failures = deaths.filter(|&death| death != Death::Exited(0));
    let cause = failures.clone().find(|death| !death.is_by_sigpipe());
    cause.or_else(|| failures.next())
}

fn cannot_start(program: &Path, error: &io::Error) -> Abort {
    Abort::cannot("start", program, error)
}

fn pid_of(child: &std::process::Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Returns the first non-empty line of a file, escaped.
fn first_line(file: &Path) -> String {
    let bytes = std::fs::read(file).unwrap_or_default();
    let first = bytes.split(|&byte| byte == b'\n').find(|line| !line.is_empty());
    escape(first.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_by_sigpipe_is_the_cause_only_if_nothing_else_failed() {
        let (success, failure, pipe) = (Death::Exited(0), Death::Exited(2), Death::Killed(13));
        for (deaths, expected) in [
            (&[success, success][..], None),
            (&[pipe, failure], Some(failure)),
            (&[failure, pipe], Some(failure)),
            (&[pipe, success], Some(pipe)),
        ] {
            assert_eq!(cause_of_failure(deaths.iter().copied()), expected, "{deaths:?}");
        }
    }
}
