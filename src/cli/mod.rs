//! Reads the command line: pcopy's own with its subcommands, or GNU cp's if the program was started as `cp`.

#[cfg(feature = "bench")]
mod bench;
mod gnu;
mod native;
mod subcommand;
mod usage_error;
mod values;

use crate::error::Refusal;
use crate::options::{Compat, Options};
use crate::outcome::code;
use crate::sanitize::{escape, sanitize};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::exit;
use subcommand::SUBCOMMANDS;
pub use usage_error::UsageError;

/// How the user started the program. The name of the program file decides which command line applies.
pub struct Program {
    /// Which command line, messages and exit codes the user expects.
    pub compat: Compat,
    /// The name at the start of each message: `pcopy`, or, like GNU cp, the path by which `cp` was started.
    pub name: String,
}

/// What a command line asks for.
pub enum Invocation {
    /// Copy, or compare.
    Copy(Box<Options>),
    /// Run `pcopy bench`.
    #[cfg(feature = "bench")]
    Bench(Box<crate::bench::bench_options::BenchOptions>),
}

impl Program {
    /// Returns the program that was started with these arguments; the first argument is its name.
    pub fn of(arguments: &[OsString]) -> Self {
        let path = arguments.first().map_or(Path::new("pcopy"), Path::new);
        if path.file_name() == Some(OsStr::new("cp")) {
            Self { compat: Compat::Gnu, name: path.to_string_lossy().into_owned() }
        } else {
            Self { compat: Compat::Native, name: "pcopy".to_owned() }
        }
    }

    /// Parses the arguments, the first of which is the program's name.
    ///
    /// For `--help`, `--version` and usage errors, prints the text and exits with status 0 or 2 (in GNU cp
    /// compatibility mode, 1). Refuses a subcommand if the current directory has an entry of its name,
    /// because the user may mean to copy that entry.
    pub fn parse(&self, arguments: &[OsString]) -> Result<Invocation, Refusal> {
        match self.compat {
            Compat::Gnu => Ok(Invocation::Copy(Box::new(gnu::parse(&self.name, arguments)))),
            Compat::Native => match subcommand::find(SUBCOMMANDS, arguments) {
                Some((subcommand, arguments)) => {
                    subcommand.refuse_namesake(&arguments, Path::new("."))?;
                    Ok(self.or_exit(&arguments, subcommand.read))
                }
                None => {
                    let options = match self.or_exit(arguments, native::apply_line) {
                        Some(line) => line.into_options()?,
                        None => self.or_exit(arguments, read),
                    };
                    Ok(Invocation::Copy(Box::new(options)))
                }
            },
        }
    }

    /// Returns the result of `read`. For `--help`, `--version` and usage errors, prints the text and exits with
    /// status 0 or 2.
    fn or_exit<T>(
        &self,
        arguments: &[OsString],
        read: impl Fn(&[OsString]) -> Result<T, UsageError>,
    ) -> T {
        read(arguments).unwrap_or_else(|error| {
            // The message repeats arguments, which may contain control characters. So the arguments are escaped and
            // parsed again, which makes a message that is safe to print.
            let shown = |argument: &OsString| OsString::from(escape(argument.as_encoded_bytes()));
            let safe: Vec<OsString> = arguments.iter().map(shown).collect();
            let message = match read(&safe).err().unwrap_or(error) {
                UsageError::Text(text) => text.exit(),
                UsageError::Message(message) => sanitize(message.as_bytes()),
            };
            if writeln!(std::io::stderr(), "{}: {message}", self.name).is_err() {
                // Standard error cannot be written. The exit status still reports the error.
            }
            exit(code::USAGE.into())
        })
    }
}

/// Parses the arguments of the native command line without subcommands.
///
/// A usage error repeats the given arguments without escaping them.
pub fn read(arguments: &[OsString]) -> Result<Options, UsageError> {
    native::read(arguments)
}
