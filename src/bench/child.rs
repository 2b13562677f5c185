//! One copy by one program, measured.

use super::peers::Line;
use super::stop::{Stop, Watch};
use crate::quote::escape;
use crate::sys::poll::{self, Event};
use crate::sys::process::{self, Death, Pid, Usage};
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Who is asked to end has so long to do it.
const GRACE: Duration = Duration::from_secs(3);

/// What a copy has cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// From before the program was started until it had ended.
    pub(super) wall: Duration,
    /// What it used; the memory is that of its largest process.
    pub(super) used: Usage,
}

/// Copies `source` to `target`; the inner error says how the program failed.
pub(super) fn copy(
    line: &Line,
    source: &Path,
    target: &Path,
    errors: &Path,
    watch: &Watch,
) -> Result<Result<Run, String>, Stop> {
    let cannot = |error: std::io::Error| Stop::cannot("start", &line.program, &error);
    let said = File::create(errors).map_err(cannot)?;
    let mut commands = Vec::new();
    for words in &line.steps {
        let mut command = Command::new(&line.program);
        command.arg0(line.tool).args(words.iter().map(|word| place(word, source, target)));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(said.try_clone().map_err(cannot)?);
        commands.push(command);
    }
    let last = commands.len() - 1;
    let mut running = Vec::new();
    let mut input = None;
    let begun = Instant::now();
    for (number, command) in commands.iter_mut().enumerate() {
        if let Some(input) = input.take() {
            command.stdin(input);
        }
        if number < last {
            command.stdout(Stdio::piped());
        }
        let started = process::start(command);
        if started.is_err() {
            end(&running);
        }
        let mut child = started.map_err(cannot)?;
        input = child.stdout.take().map(Stdio::from);
        running.push(Pid::from_raw(child.id().cast_signed()));
    }
    let ended = wait(running, watch)?;
    let wall = begun.elapsed();

    let mut used = Usage::default();
    for (_, usage) in &ended {
        used.cpu += usage.cpu;
        used.memory = used.memory.max(usage.memory);
    }
    Ok(match ended.iter().map(|&(death, _)| death).find(|&death| death != Death::Exited(0)) {
        None => Ok(Run { wall, used }),
        Some(death) => Err(describe(death, errors)),
    })
}

/// The first line of what a program answers to `--version`.
pub(super) fn version(program: &Path, answer: &Path, watch: &Watch) -> Result<String, Stop> {
    let cannot = |error: std::io::Error| Stop::cannot("start", program, &error);
    let said = File::create(answer).map_err(cannot)?;
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null());
    // Some say it where errors go.
    command.stdout(said.try_clone().map_err(cannot)?).stderr(said);
    let child = process::start(&mut command).map_err(cannot)?;
    wait(vec![Pid::from_raw(child.id().cast_signed())], watch)?;
    Ok(first_line(answer))
}

/// A word of the command with what stands for SRC and DST in it.
fn place(word: &str, source: &Path, target: &Path) -> OsString {
    match word {
        "SRC" => source.into(),
        "SRC/" => source.join("").into(),
        "DST" => target.into(),
        _ => word.into(),
    }
}

/// Waits for all of them, and ends them if a signal asks for that.
fn wait(mut running: Vec<Pid>, watch: &Watch) -> Result<Vec<(Death, Usage)>, Stop> {
    let mut ended = Vec::new();
    loop {
        running.retain(|&pid| match process::reap_with_usage(pid) {
            Ok(None) => true,
            Ok(Some(end)) => {
                ended.push(end);
                false
            }
            // Nobody else waits for it; so it is gone, and how is not known.
            Err(_) => {
                ended.push((Death::Exited(0), Usage::default()));
                false
            }
        });
        if running.is_empty() {
            return Ok(ended);
        }
        let waited = poll::wait(&[(watch.as_fd(), Event::Readable)], Duration::from_secs(1));
        if let Err(stop) = watch.look() {
            end(&running);
            return Err(stop);
        }
        if waited.is_err() {
            // Then the next look at them comes sooner than it need have.
        }
    }
}

/// Ends them: so that they can clean up first, if they are quick.
fn end(running: &[Pid]) {
    let begun = Instant::now();
    let mut left = running.to_vec();
    let mut at_once = false;
    for &pid in running {
        if process::end_group(pid, false).is_err() {
            // It has ended by itself.
        }
    }
    while !left.is_empty() {
        left.retain(|&pid| matches!(process::reap_with_usage(pid), Ok(None)));
        if begun.elapsed() > GRACE && !at_once {
            at_once = true;
            for &pid in &left {
                if process::end_group(pid, true).is_err() {
                    // It has ended by itself.
                }
            }
        }
        if poll::wait(&[], Duration::from_millis(5)).is_err() {
            // Then the next look comes sooner.
        }
    }
}

fn describe(death: Death, errors: &Path) -> String {
    let said = first_line(errors);
    let said = if said.is_empty() { said } else { format!(": {said}") };
    match death {
        Death::Exited(code) => format!("exit {code}{said}"),
        Death::Killed(signal) => format!("signal {signal}{said}"),
    }
}

fn first_line(file: &Path) -> String {
    let said = std::fs::read(file).unwrap_or_default();
    let first = said.split(|&byte| byte == b'\n').find(|line| !line.is_empty());
    escape(first.unwrap_or_default())
}
