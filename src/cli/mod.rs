//! The command lines: the native one with its subcommands, and GNU cp's for when the program is started as
//! `cp`.

#[cfg(feature = "bench")]
mod bench;
mod gnu;
mod native;
mod subcommand;
mod values;

use crate::error::Refusal;
use crate::options::{Compat, Options};
use crate::sanitize::escape;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use subcommand::SUBCOMMANDS;

/// The program that the user has started: its name decides which command line it has.
pub struct Program {
    /// Which command line, messages and exit codes the user expects.
    pub compat: Compat,
    /// The name that messages begin with. GNU cp's is the path by which it was started.
    pub name: String,
}

/// What a command line asks for.
pub enum Action {
    /// To copy, or to compare.
    Copy(Options),
    /// `pcopy bench`.
    #[cfg(feature = "bench")]
    Bench(crate::bench::bench_options::BenchOptions),
}

impl Program {
    /// The program with these arguments, the first of which is its name.
    pub fn of(arguments: &[OsString]) -> Self {
        let path = arguments.first().map_or(Path::new("pcopy"), Path::new);
        if path.file_name() == Some(OsStr::new("cp")) {
            Self { compat: Compat::Gnu, name: path.to_string_lossy().into_owned() }
        } else {
            Self { compat: Compat::Native, name: "pcopy".to_owned() }
        }
    }

    /// Reads the arguments, the first of which is the program's name.
    ///
    /// For `--help`, `--version` and usage errors, prints the text and exits with status 0 or 2 (in GNU cp
    /// compatibility mode, 1). Refuses a subcommand that may be meant as a source.
    pub fn parse(&self, arguments: &[OsString]) -> Result<Action, Refusal> {
        match self.compat {
            Compat::Gnu => Ok(Action::Copy(gnu::parse(&self.name, arguments))),
            Compat::Native => match subcommand::find(SUBCOMMANDS, arguments) {
                Some((subcommand, arguments)) => {
                    subcommand.refuse_namesake(&arguments, Path::new("."))?;
                    Ok(or_exit(&arguments, subcommand.read))
                }
                None => Ok(Action::Copy(or_exit(arguments, read))),
            },
        }
    }
}

/// Reads the arguments of the native command line without subcommands.
///
/// The error is a usage error, or the text of `--help` or `--version`; it repeats what was given.
pub fn read(arguments: &[OsString]) -> Result<Options, clap::Error> {
    native::read(arguments)
}

/// What `read` makes of the arguments. For `--help`, `--version` and usage errors, prints the text and exits
/// with status 0 or 2.
fn or_exit<T>(arguments: &[OsString], read: impl Fn(&[OsString]) -> Result<T, clap::Error>) -> T {
    read(arguments).unwrap_or_else(|error| {
        // The message repeats the arguments, so it is made once more from arguments that are safe to print.
        let shown = |argument: &OsString| OsString::from(escape(argument.as_encoded_bytes()));
        let safe: Vec<OsString> = arguments.iter().map(shown).collect();
        if safe == arguments { error.exit() } else { read(&safe).err().unwrap_or(error).exit() }
    })
}
