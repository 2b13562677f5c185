//! The program `pcopy`: arguments in, exit code out.
#![forbid(unsafe_code)]

use anyhow::Error;
#[cfg(feature = "bench")]
use pcopy::bench::{self, abort::Abort};
use pcopy::cli;
use pcopy::options::{Command, Compat, When};
use pcopy::outcome::{Exit, Outcome};
use pcopy::parent;
use pcopy::plan::Plan;
use pcopy::ui::{self, Screen, Settings};
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
        Ok(outcome) => match ui::exit(&outcome, compat) {
            Exit::Code(code) => ExitCode::from(code),
            Exit::Signal(signal) => signals::die_by(signal),
        },
        Err(error) => {
            report(&program(&arguments, compat), &error);
            ExitCode::from(ui::refused_code(compat))
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
    let mut screen = Screen::new(Settings { program, compat, quiet: options.quiet, progress });
    parent::run(&plan, &mut screen).map_err(Error::new)
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
            ExitCode::from(ui::refused_code(Compat::Native))
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
