//! The program `pcopy`: parses the arguments, runs the copy, and exits with its result.
#![forbid(unsafe_code)]

use anyhow::Error;
#[cfg(feature = "bench")]
use pcopy::bench::{self, abort::Abort};
use pcopy::cli::{Invocation, Program};
use pcopy::options::{Command, Options};
use pcopy::outcome::Exit;
use pcopy::parent;
use pcopy::plan::Draft;
use pcopy::ui::{self, Settings};
use pcopy_sys::{process, signals};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    process::raise_file_limit();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let program = Program::of(&arguments);
    match run(&program, &arguments) {
        Ok(Exit::Code(code)) => ExitCode::from(code),
        Ok(Exit::Signal(number)) => signals::die_by(number),
        Err(error) => {
            // `eprintln!` would panic if standard error cannot be written.
            if writeln!(std::io::stderr(), "{}: {error}", program.name).is_err() {
                // The exit code still reports the failure.
            }
            ExitCode::from(ui::refused_code(program.compat))
        }
    }
}

fn run(program: &Program, arguments: &[OsString]) -> Result<Exit, Error> {
    match program.parse(arguments)? {
        Invocation::Copy(options) => copy(program, &options),
        #[cfg(feature = "bench")]
        Invocation::Bench(options) => match bench::run(&options, &mut std::io::stdout()) {
            Ok(code) => Ok(Exit::Code(code)),
            Err(Abort::Signal(number)) => Ok(Exit::Signal(number)),
            Err(Abort::Error(refusal)) => Err(refusal.into()),
        },
    }
}

fn copy(program: &Program, options: &Options) -> Result<Exit, Error> {
    if let Command::Explain(path) = &options.command {
        let text = &mut std::io::stdout().lock();
        return Ok(Exit::Code(ui::explanation::print(options, path, text)?));
    }
    let draft = Draft::make(options)?;
    let mut screen = ui::screen(Settings {
        program: program.name.clone(),
        compat: program.compat,
        verbosity: options.copy.verbosity,
        progress: options.progress,
        data: draft.data_descriptor(),
    });
    let outcome = parent::run(draft, &mut screen)?;
    Ok(ui::exit(&outcome, program.compat))
}
