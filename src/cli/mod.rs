//! The command lines: the program's own, and GNU cp's for when it is started under that name.

mod cp;
mod flags;
mod words;

use crate::options::{Manner, Options};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Whose command line is to be read: the name under which the program was started decides.
pub fn manner(arguments: &[OsString]) -> Manner {
    let name = arguments.first().and_then(|path| Path::new(path).file_name());
    if name == Some(OsStr::new("cp")) { Manner::Cp } else { Manner::Pcopy }
}

/// Reads the arguments, the first of which is the program's name.
///
/// For `--help`, `--version` and usage errors the text is printed and the program leaves, with
/// code 0 or 2 (in the manner of cp, 1).
pub fn parse(arguments: &[OsString]) -> Options {
    match manner(arguments) {
        Manner::Pcopy => flags::parse(arguments),
        Manner::Cp => cp::parse(arguments),
    }
}
