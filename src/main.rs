//! The program `pcopy`: arguments in, exit code out.

use anyhow::Error;
use pcopy::cli;
use pcopy::outcome::{Outcome, code};
use pcopy::parent::{self, Show};
use pcopy::plan::Plan;
use pcopy::sys::{process, signals};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    process::raise_file_limit();
    match run() {
        Ok(outcome) => match outcome.code() {
            Some(code) => ExitCode::from(code),
            None => signals::die_by(outcome.signal()),
        },
        Err(error) => {
            // Not `eprintln!`, which panics where nothing can be written.
            if writeln!(std::io::stderr(), "pcopy: {error}").is_err() {
                // Then the exit code has to say it alone.
            }
            ExitCode::from(code::REFUSED)
        }
    }
}

fn run() -> Result<Outcome, Error> {
    let options = cli::parse(std::env::args_os());
    let plan = Plan::make(&options)?;
    let show = Show { quiet: options.quiet, progress: options.progress };
    parent::run(&plan, show).map_err(Error::new)
}
