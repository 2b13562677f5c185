//! One copy by one program, measured.

use super::peers::Line;
use super::stop::{Stop, Watch};
use super::waiting::{end, end_stragglers, wait};
use crate::quote::escape;
use crate::sys::process::{self, Death, Pid, Usage};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A program that is asked for its version has so long to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Variables that change what the programs do: what is measured is what the command says.
const MEDDLERS: [&str; 4] = ["TAR_OPTIONS", "POSIXLY_CORRECT", "PCOPY_JOBS", "TAPE"];

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
    let cannot = |error: io::Error| Stop::cannot("start", &line.program, &error);
    let said = fresh(errors).map_err(cannot)?;
    let mut commands = Vec::new();
    for words in &line.steps {
        let mut command = command(&line.program);
        command.arg0(line.tool).args(words.iter().map(|word| place(word, source, target)));
        command.stdout(Stdio::null()).stderr(said.try_clone().map_err(cannot)?);
        commands.push(command);
    }
    let last = commands.len() - 1;
    let mut running = Vec::new();
    let mut input = None;
    let begun = Instant::now();
    // Each command ends with its turn, for it keeps its end of the pipe open: the first of two
    // programs could not see that the second is gone.
    for (number, mut command) in commands.into_iter().enumerate() {
        if let Some(input) = input.take() {
            command.stdin(input);
        }
        if number < last {
            command.stdout(Stdio::piped());
        }
        let started = process::start(&mut command);
        if started.is_err() {
            end(&running);
        }
        let mut child = started.map_err(cannot)?;
        input = child.stdout.take().map(Stdio::from);
        running.push(Pid::from_raw(child.id().cast_signed()));
    }
    let ended = wait(&running, None, watch)?;
    let wall = begun.elapsed();
    end_stragglers(&running);

    let mut used = Usage::default();
    for (_, usage) in &ended {
        used.cpu += usage.cpu;
        used.memory = used.memory.max(usage.memory);
    }
    Ok(match cause(ended.iter().map(|&(death, _)| death)) {
        None => Ok(Run { wall, used }),
        Some(death) => Err(describe(death, errors)),
    })
}

/// The first line of what a program answers to `--version`; empty if it does not answer in time.
pub(super) fn version(program: &Path, answer: &Path, watch: &Watch) -> Result<String, Stop> {
    let cannot = |error: io::Error| Stop::cannot("start", program, &error);
    let said = fresh(answer).map_err(cannot)?;
    let mut command = command(program);
    command.arg("--version");
    // Some say it where errors go.
    command.stdout(said.try_clone().map_err(cannot)?).stderr(said);
    let child = process::start(&mut command).map_err(cannot)?;
    let running = [Pid::from_raw(child.id().cast_signed())];
    wait(&running, Some(ANSWER), watch)?;
    end_stragglers(&running);
    Ok(first_line(answer))
}

/// A program that reads nothing and hears of nothing but its words.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    let of_rsync = |name: &OsString| name.as_encoded_bytes().starts_with(b"RSYNC_");
    let names = std::env::vars_os().map(|(name, _)| name).filter(of_rsync);
    for name in names.chain(MEDDLERS.map(OsString::from)) {
        command.env_remove(name);
    }
    command
}

/// A file that was not there: whatever a program has left under the name is not written to.
fn fresh(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::create_new(path),
    }
}

/// The end that others followed from, if one was not well.
fn cause(deaths: impl Iterator<Item = Death> + Clone) -> Option<Death> {
    let mut bad = deaths.filter(|&death| death != Death::Exited(0));
    let first = bad.clone().find(|death| !death.is_by_pipe());
    first.or_else(|| bad.next())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wrote_to_a_closed_pipe_is_not_the_cause_unless_nobody_else_is() {
        let (well, bad, pipe) = (Death::Exited(0), Death::Exited(2), Death::Killed(13));
        for (deaths, expected) in [
            (&[well, well][..], None),
            (&[pipe, bad], Some(bad)),
            (&[bad, pipe], Some(bad)),
            (&[pipe, well], Some(pipe)),
        ] {
            assert_eq!(cause(deaths.iter().copied()), expected, "{deaths:?}");
        }
    }
}
