//! The command line of `--apply`: the plan has the options and the operands, and the line may add few others.

use super::super::usage_error::UsageError;
use super::{Flags, parse_applied, usage, with_option};
use crate::error::Refusal;
use crate::options::{ApplyRequest, Operands, Options};
use crate::plan_file::{Damage, PlanFile};
use crate::sanitize::{escape, quote};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use pcopy_sys::Errno;
use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A command line with `--apply`.
pub(in crate::cli) struct ApplyLine {
    file: PathBuf,
    /// The options of the line that are added to those of the plan.
    options: Vec<OsString>,
    /// The operands, if the line has any.
    operands: Option<Operands>,
    /// The whole line.
    arguments: Vec<OsString>,
}

/// The options that do not change what is done, and the ways out of the guards.
const ALLOWED: [&str; 12] = [
    "jobs",
    "retries",
    "timeout",
    "verbose",
    "debug",
    "itemize_changes",
    "quiet",
    "progress",
    "max_delete",
    "allow_empty_source",
    "delete_in_system_directory",
    "no_mount_guard",
];

/// What names operands.
const OPERANDS: [&str; 3] = ["paths", "target_directory", "no_target_directory"];

/// Returns the command line, if it has `--apply`.
pub(in crate::cli) fn apply_line(arguments: &[OsString]) -> Result<Option<ApplyLine>, UsageError> {
    let is_apply = |word: &&OsString| word.as_bytes().starts_with(b"--apply");
    if !arguments.iter().take_while(|word| *word != "--").any(|word| is_apply(&word)) {
        return Ok(None);
    }
    let mut command = Flags::command();
    let matches = command.try_get_matches_from_mut(arguments);
    let matches = matches.map_err(|error| UsageError::of(error, &command))?;
    let flags = Flags::from_arg_matches(&matches);
    let flags = flags.map_err(|error| UsageError::of(error, &command))?;
    let Some(file) = flags.output.apply.clone() else { return Ok(None) };
    let mut options = Vec::new();
    for option in command.get_arguments() {
        let id = option.get_id().as_str();
        let is_given = matches!(matches.try_contains_id(id), Ok(true))
            && matches.value_source(id) == Some(ValueSource::CommandLine);
        if !is_given || id == "apply" || OPERANDS.contains(&id) {
            continue;
        }
        let long = option.get_long().map(|long| format!("--{long}"));
        let name = long.or_else(|| option.get_short().map(|short| format!("-{short}")));
        let name = name.unwrap_or_default();
        if !ALLOWED.contains(&id) {
            return Err(usage(&format!(
                "'{name}' cannot be used with '--apply <FILE>': the plan has its options"
            )));
        }
        options.extend(words(&matches, id, &name, option.get_action().takes_values()));
    }
    let has_operands = !flags.source.paths.is_empty() || flags.source.target_directory.is_some();
    let operands = has_operands.then(|| flags.source.into_operands()).transpose()?;
    Ok(Some(ApplyLine { file, options, operands, arguments: arguments.to_vec() }))
}

/// Returns an option as words of a command line, with its last value.
fn words(matches: &ArgMatches, id: &str, name: &str, takes_value: bool) -> Vec<OsString> {
    if !takes_value {
        return vec![name.into()];
    }
    let value = matches.get_raw(id).and_then(|mut values| values.next_back());
    let mut word = OsString::from(name);
    if let Some(value) = value {
        word.push("=");
        word.push(value);
    }
    vec![word]
}

impl ApplyLine {
    /// Reads the plan, goes to the directory in which it was made, and returns the options that its command line means.
    pub(in crate::cli) fn into_options(self) -> Result<Options, Refusal> {
        let Self { file, options, operands, arguments } = self;
        let text = std::fs::read(&file)
            .map_err(|error| Refusal::cannot("read", &file, errno_of(&error)))?;
        let plan = PlanFile::parse(&text).map_err(|damage| damaged(&file, damage))?;
        let dir = PathBuf::from(OsString::from_vec(plan.header.dir.clone()));
        let here = env::current_dir().unwrap_or_else(|_| dir.clone());
        let operands = operands.map(|operands| operands.below(&here));
        if here != dir {
            let entered = env::set_current_dir(&dir);
            entered.map_err(|error| Refusal::cannot("enter", &dir, errno_of(&error)))?;
        }
        let mut words = plan.header.arguments.clone();
        let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
        words.splice(end..end, options);
        let mut read = parse_applied(&words).map_err(|error| Refusal {
            message: format!(
                "cannot use the options of the plan {}: {}",
                quote(file.as_os_str().as_bytes()),
                escape(error.to_string().lines().next().unwrap_or_default().as_bytes())
            ),
            hint: None,
        })?;
        if let Some(operands) = operands {
            read.operands = operands;
        }
        read.with_no_target_directory = None;
        if read.copy.deletion.is_some() {
            read.without_deletion_limit = Some(with_option(&arguments, "--max-delete=100%"));
        }
        read.apply = Some(Arc::new(ApplyRequest { file, plan }));
        Ok(read)
    }
}

fn damaged(file: &Path, Damage { line, why }: Damage) -> Refusal {
    let file = quote(file.as_os_str().as_bytes());
    Refusal {
        message: format!("cannot apply {file}, line {line}: {why}"),
        hint: Some("lines may be taken out, and not changed or added".into()),
    }
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(arguments: &[&str]) -> Result<Option<ApplyLine>, UsageError> {
        let all: Vec<OsString> = ["pcopy"].iter().chain(arguments).map(OsString::from).collect();
        apply_line(&all)
    }

    #[test]
    fn options_that_change_what_is_done_are_refused_and_named() {
        for option in [
            "-a",
            "-p",
            "-x",
            "-L",
            "--delete",
            "--checksum",
            "--exclude=x",
            "--update=all",
            "--inplace",
            "--backup",
            "-n",
            "-i",
            "--check",
            "--manifest=m",
            "--dry-run",
            "--plan=p",
            "--fsync",
            "--verify",
        ] {
            let message = line(&["--apply=p", option]).err().expect(option).to_string();
            assert!(message.contains("--apply"), "{option}: {message}");
        }
    }

    #[test]
    fn few_options_are_added_to_those_of_the_plan() {
        let options = |arguments: &[&str]| line(arguments).unwrap().unwrap().options;
        assert_eq!(options(&["--apply", "p"]), Vec::<OsString>::new());
        assert_eq!(options(&["--apply=p", "-j", "8", "-v"]), ["--jobs=8", "--verbose"]);
        assert_eq!(
            options(&["--apply=p", "-j8", "-j4", "--max-delete=9%"]),
            ["--max-delete=9%", "--jobs=4"]
        );
        assert!(line(&["src", "dst"]).unwrap().is_none());
        assert!(line(&["--", "--apply", "dst"]).unwrap().is_none());
    }

    #[test]
    fn operands_may_be_given_again() {
        let operands = |arguments: &[&str]| line(arguments).unwrap().unwrap().operands;
        assert_eq!(operands(&["--apply", "p"]), None);
        assert!(matches!(
            operands(&["--apply", "p", "-T", "s", "d"]),
            Some(Operands::Exactly { .. })
        ));
        assert!(line(&["--apply", "p", "-T", "s"]).is_err());
    }
}
