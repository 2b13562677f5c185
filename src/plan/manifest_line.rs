//! Lines of a manifest (a list of file hashes) that `--check-manifest` cannot use, and the reasons.

use crate::manifest::Malformed;
use crate::sanitize::{escape, quote};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A line of a manifest that cannot be used; its text form is a message for the user.
pub struct BadManifestLine {
    pub(super) file: PathBuf,
    /// The number of the line, from 1.
    pub(super) number: usize,
    pub(super) why: BadLine,
}

/// Why a line cannot be used.
pub(super) enum BadLine {
    Malformed(Malformed),
    Name(Vec<u8>, BadName),
}

/// Why the name in a line cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BadName {
    Absolute,
    LeadsOut,
    Directory,
}

impl fmt::Display for BadManifestLine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: ", escape(self.file.as_os_str().as_bytes()), self.number)?;
        match &self.why {
            BadLine::Malformed(why) => why.fmt(out),
            BadLine::Name(name, why) => {
                let why = match why {
                    BadName::Absolute => "is absolute",
                    BadName::LeadsOut => "leads out of the directory",
                    BadName::Directory => "is the name of a directory",
                };
                write!(out, "{} {why}; it is not read", quote(name))
            }
        }
    }
}
