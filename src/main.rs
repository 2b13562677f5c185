//! The program `pcopy`: arguments in, exit code out.
#![forbid(unsafe_code)]

use anyhow::Error;
#[cfg(feature = "bench")]
use pcopy::bench::{self, stop::Stop};
use pcopy::cli::{Action, Program};
use pcopy::options::{Compat, Options, Verbosity};
use pcopy::outcome::code;
use pcopy::parent::{self, Show};
use pcopy::plan::Draft;
use pcopy_sys::{process, signals};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    process::raise_file_limit();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let program = Program::of(&arguments);
    match run(&program, &arguments) {
        Ok(End::Code(code)) => ExitCode::from(code),
        Ok(End::Signal(number)) => signals::die_by(number),
        Err(error) => {
            // Not `eprintln!`, which panics where nothing can be written.
            if writeln!(std::io::stderr(), "{}: {error}", program.name).is_err() {
                // The exit code alone reports it.
            }
            ExitCode::from(match program.compat {
                Compat::Native => code::REFUSED,
                Compat::Gnu => code::SOME_FAILED,
            })
        }
    }
}

/// How the process ends.
enum End {
    Code(u8),
    Signal(i32),
}

fn run(program: &Program, arguments: &[OsString]) -> Result<End, Error> {
    match program.parse(arguments)? {
        Action::Copy(options) => copy(program, &options),
        #[cfg(feature = "bench")]
        Action::Bench(options) => match bench::run(&options, &mut std::io::stdout()) {
            Ok(code) => Ok(End::Code(code)),
            Err(Stop::Signal(number)) => Ok(End::Signal(number)),
            Err(Stop::Refused(refusal)) => Err(refusal.into()),
        },
    }
}

fn copy(program: &Program, options: &Options) -> Result<End, Error> {
    let draft = Draft::make(options)?;
    let show = Show {
        program: program.name.clone(),
        quiet: options.copy.verbosity == Verbosity::Quiet,
        progress: options.progress,
    };
    let outcome = parent::run(draft, show)?;
    Ok(outcome.code().map_or_else(|| End::Signal(outcome.signal()), End::Code))
}
