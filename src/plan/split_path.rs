//! A path of the command line, taken apart.

use pcopy_sys::Errno;
use pcopy_sys::file::{self, Stat};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path as the user gave it, cut into where it is and what it is called.
pub(super) struct SplitPath<'a> {
    pub(super) given: &'a Path,
    pub(super) parent: &'a OsStr,
    pub(super) name: &'a OsStr,
    /// `.`, `..` and `/` have no name of their own.
    pub(super) nameless: bool,
    pub(super) slash_at_end: bool,
}

impl<'a> SplitPath<'a> {
    pub(super) fn parse(given: &'a Path) -> Self {
        let bytes = given.as_os_str().as_bytes();
        let trimmed = bytes.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
        let slash_at_end = trimmed < bytes.len();
        let bytes = &bytes[..trimmed];
        let start = bytes.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        let (parent, name) = bytes.split_at(start);
        let nameless = matches!(name, b"" | b"." | b"..");
        let parent = match parent {
            b"" => b".",
            b"/" => parent,
            _ => &parent[..parent.len() - 1],
        };
        Self {
            given,
            parent: OsStr::from_bytes(parent),
            name: OsStr::from_bytes(name),
            nameless,
            slash_at_end,
        }
    }

    /// The directory to open and the name in it.
    ///
    /// A slash at the end follows a symlink, as everywhere in POSIX: then it is the directory
    /// itself that is opened.
    pub(super) fn split(&self) -> (&Path, &OsStr) {
        if self.nameless || self.slash_at_end {
            (self.given, OsStr::new("."))
        } else {
            (Path::new(self.parent), self.name)
        }
    }

    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        file::stat_path(self.given, self.nameless || self.slash_at_end)
    }
}

/// Without the slashes at the end; `/` stays.
pub(crate) fn trim(path: &Path) -> &Path {
    let bytes = path.as_os_str().as_bytes();
    let end =
        bytes.iter().rposition(|&byte| byte != b'/').map_or(bytes.len().min(1), |last| last + 1);
    Path::new(OsStr::from_bytes(&bytes[..end]))
}

/// Operands come from the argument vector, where a NUL ends them: none has one inside.
pub(super) fn name_of(name: &OsStr) -> CString {
    CString::new(name.as_bytes()).expect("an split has no NUL")
}

pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}
