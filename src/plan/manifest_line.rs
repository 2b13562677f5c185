//! Lines of a manifest that are not used, and why.

use crate::manifest::Malformed;
use crate::sanitize::{escape, quote};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A line of a manifest that is not used.
pub struct BadManifestLine {
    pub(super) file: PathBuf,
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) why: BadLine,
}

/// Why a line is not used.
pub(super) enum BadLine {
    Malformed(Malformed),
    Name(Vec<u8>, BadName),
}

/// Why the name of a line is not used.
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
