//! The command lines: the program's own, and GNU cp's for when it is started under that name.

#[cfg(feature = "bench")]
mod bench;
mod gnu;
mod native;
mod values;

use crate::options::{Compat, Options};
use crate::sanitize::escape;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Whose command line is to be read: the name under which the program was started decides.
pub fn compat(arguments: &[OsString]) -> Compat {
    let name = arguments.first().and_then(|path| Path::new(path).file_name());
    if name == Some(OsStr::new("cp")) { Compat::Gnu } else { Compat::Native }
}

/// Reads the arguments, the first of which is the program's name.
///
/// For `--help`, `--version` and usage errors the text is printed and the program leaves, with
/// code 0 or 2 (in the compat of cp, 1).
pub fn parse(arguments: &[OsString]) -> Options {
    match compat(arguments) {
        Compat::Native => or_leave(arguments, read),
        Compat::Gnu => gnu::parse(arguments),
    }
}

/// Reads the arguments of the program's own command line.
///
/// The error is a usage error, or the text of `--help` or `--version`; it repeats what was given.
pub fn read(arguments: &[OsString]) -> Result<Options, clap::Error> {
    native::read(arguments)
}

/// Whether the benchmark is asked for and not a copy.
#[cfg(feature = "bench")]
pub fn wants_benchmark(arguments: &[OsString]) -> bool {
    compat(arguments) == Compat::Native && bench::is_wanted(arguments)
}

/// Reads the arguments of the benchmark. Leaves as [`parse`] does.
#[cfg(feature = "bench")]
pub fn parse_benchmark(arguments: &[OsString]) -> crate::bench::bench_options::BenchOptions {
    bench::parse(arguments)
}

/// What `read` makes of the arguments. For `--help`, `--version` and usage errors the text is printed
/// and the program leaves, with code 0 or 2.
fn or_leave<T>(arguments: &[OsString], read: impl Fn(&[OsString]) -> Result<T, clap::Error>) -> T {
    read(arguments).unwrap_or_else(|error| {
        // The message repeats what was given, so it is made again of what may safely be shown.
        let shown = |argument: &OsString| OsString::from(escape(argument.as_encoded_bytes()));
        let safe: Vec<OsString> = arguments.iter().map(shown).collect();
        if safe == arguments { error.exit() } else { read(&safe).err().unwrap_or(error).exit() }
    })
}
