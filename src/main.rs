//! The program `pcopy`: arguments in, exit code out.
#![forbid(unsafe_code)]

use anyhow::Error;
#[cfg(feature = "bench")]
use pcopy::bench::{self, abort::Abort};
use pcopy::cli;
use pcopy::options::{Command, Compat, When};
use pcopy::outcome::{Outcome, code};
use pcopy::parent::{self, Show};
use pcopy::plan::Plan;
use pcopy_sys::{process, signals};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    process::raise_file_limit();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let compat = cli::compat(&arguments);
    #[cfg(feature = "bench")]
    if cli::wants_benchmark(&arguments) {
        return measure(&arguments);
    }
    match run(&arguments, compat) {
        Ok(outcome) => match outcome.code() {
            Some(code) => ExitCode::from(code),
            None => signals::die_by(outcome.signal()),
        },
        Err(error) => {
            report(&program(&arguments, compat), &error);
            ExitCode::from(match compat {
                Compat::Native => code::REFUSED,
                Compat::Gnu => code::SOME_FAILED,
            })
        }
    }
}

fn run(arguments: &[OsString], compat: Compat) -> Result<Outcome, Error> {
    let options = cli::parse(arguments);
    let plan = Plan::make(&options)?;
    let program = program(arguments, compat);
    let progress = match options.command {
        Command::CheckManifest { .. } => When::Never, // nobody counts ahead
        _ => options.progress,
    };
    let show = Show { program, quiet: options.quiet, progress };
    parent::run(&plan, show).map_err(Error::new)
}

/// `pcopy bench`.
#[cfg(feature = "bench")]
fn measure(arguments: &[OsString]) -> ExitCode {
    let measured = bench::refuse_namesake()
        .map_err(Abort::from)
        .and_then(|()| bench::run(&cli::parse_benchmark(arguments), &mut std::io::stdout()));
    match measured {
        Ok(code) => ExitCode::from(code),
        Err(Abort::Signal(signal)) => signals::die_by(signal),
        Err(Abort::Error(refusal)) => {
            report("pcopy", &refusal);
            ExitCode::from(code::REFUSED)
        }
    }
}

/// Not `eprintln!`, which panics where nothing can be written.
fn report(program: &str, message: &dyn std::fmt::Display) {
    if writeln!(std::io::stderr(), "{program}: {message}").is_err() {
        // Then the exit code has to say it alone.
    }
}

/// How messages begin: cp repeats the path by which it was started.
fn program(arguments: &[OsString], compat: Compat) -> String {
    match (compat, arguments.first()) {
        (Compat::Gnu, Some(name)) => name.to_string_lossy().into_owned(),
        _ => "pcopy".to_owned(),
    }
}
