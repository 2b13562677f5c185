//! Operands: the paths of the command line taken apart, and what each source is to become.

use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A source of the command line, and what it is to become.
///
/// Many fields, because this is all that is known of an operand: found once, while the plan is made, and only
/// read by the processes that copy.
pub struct Operand {
    /// Its name in its source directory; `.` if it has none of its own (`/`, `.`, `SRC/`).
    pub source_name: CString,
    /// Its name in its target directory; `.` for the contents of a directory (`SRC/.`).
    pub target_name: CString,
    /// The path of the source as the user gave it.
    pub source_path: PathBuf,
    /// The path of the target as the user would write it.
    pub target_path: PathBuf,
    /// What precedes its names in a manifest: the name below the target directory.
    pub(super) manifest_prefix: Vec<u8>,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// The earlier operands that become the same file: if one of them was copied, this one is not.
    pub again: Vec<u32>,
    /// Whether it is a symbolic link that is followed to a file.
    pub follow: bool,
    /// For a directory whose target is inside it, which only cp accepts: what the directory was before the
    /// target was created.
    pub into_itself: Option<Stat>,
    /// The existing file that it would be written into, which may have other names.
    pub(super) written: Option<Identity>,
    /// Which file it is; the device is its file system.
    pub(super) identity: Identity,
    pub(super) source_dir: usize,
    pub(super) target_dir: usize,
}

/// A source that was found.
pub(super) struct FoundSource<'a> {
    pub(super) path: &'a Path,
    /// The number of the directory that it is in.
    pub(super) dir: usize,
    pub(super) name: &'a OsStr,
    pub(super) stat: Stat,
    /// Whether `stat` is what a symbolic link points to.
    pub(super) follow: bool,
}

/// The place of a copy.
pub(super) struct TargetPlace<'a> {
    pub(super) path: PathBuf,
    /// The number of the directory that it will be in.
    pub(super) dir: usize,
    pub(super) name: &'a OsStr,
    pub(super) manifest_prefix: Vec<u8>,
}

impl Operand {
    pub(super) fn new(source: FoundSource<'_>, target: TargetPlace<'_>) -> Self {
        let is_dir = source.stat.kind() == Kind::Directory;
        Self {
            source_name: name_of(source.name),
            target_name: name_of(target.name),
            source_path: source.path.to_owned(),
            target_path: target.path,
            manifest_prefix: target.manifest_prefix,
            is_dir,
            again: Vec::new(),
            follow: source.follow && !is_dir,
            into_itself: None,
            written: None,
            identity: source.stat.identity(),
            source_dir: source.dir,
            target_dir: target.dir,
        }
    }

    /// The file system that it is on.
    pub fn device(&self) -> u64 {
        self.identity.0
    }

    /// The final path of the source at `path`, relative to the target directory.
    pub fn target_of(&self, path: &[u8]) -> Vec<u8> {
        [self.target_name.to_bytes(), below(path)].concat()
    }

    /// How the user would write the path of the source at `path`, which begins with the source name.
    pub fn show_source(&self, path: &[u8]) -> Vec<u8> {
        append(&self.source_path, path)
    }

    /// How the user would write the final path of the target of the source at `path`.
    pub fn show_target(&self, path: &[u8]) -> Vec<u8> {
        append(&self.target_path, path)
    }
}

/// `base` in place of the first component of `path`.
fn append(base: &Path, path: &[u8]) -> Vec<u8> {
    let mut whole = base.as_os_str().as_bytes().to_vec();
    let below = below(path);
    if !below.is_empty() && whole.last() == Some(&b'/') {
        whole.pop();
    }
    whole.extend_from_slice(below);
    whole
}

/// What follows the first component of `path`, with the slash before it.
pub(super) fn below(path: &[u8]) -> &[u8] {
    let slash = path.iter().position(|&byte| byte == b'/');
    &path[slash.unwrap_or(path.len())..]
}

/// A path of the command line, split into directory and name.
pub(super) struct SplitPath<'a> {
    pub(super) given: &'a Path,
    pub(super) parent: &'a OsStr,
    pub(super) name: &'a OsStr,
    /// Whether it is `.`, `..` or `/`, which have no name of their own.
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

    /// The directory to open, and the name in it.
    ///
    /// A trailing slash follows a symbolic link, as everywhere in POSIX: then the directory itself is opened.
    pub(super) fn split(&self) -> (&'a Path, &'a OsStr) {
        if self.is_itself() {
            (self.given, OsStr::new("."))
        } else {
            (Path::new(self.parent), self.name)
        }
    }

    /// The same; `end` is whether the path is a symbolic link to a directory that is followed.
    pub(super) fn split_end(&self, end: bool) -> (&'a Path, &'a OsStr) {
        if end { (self.given, OsStr::new(".")) } else { self.split() }
    }

    /// Whether the path leads to the directory itself, and not to a name that may be a symbolic link.
    pub(super) fn is_itself(&self) -> bool {
        self.nameless || self.slash_at_end
    }

    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        file::stat_path(self.given, self.is_itself())
    }
}

/// The path without trailing slashes; `/` stays.
pub(crate) fn trim(path: &Path) -> &Path {
    let bytes = path.as_os_str().as_bytes();
    let end =
        bytes.iter().rposition(|&byte| byte != b'/').map_or(bytes.len().min(1), |last| last + 1);
    Path::new(OsStr::from_bytes(&bytes[..end]))
}

/// Operands come from the argument vector, where a NUL ends them: none has one inside.
fn name_of(name: &OsStr) -> CString {
    CString::new(name.as_bytes()).expect("an operand has no NUL")
}

pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_into_directory_and_name() {
        for (path, parent, name, nameless, slash_at_end) in [
            ("a", ".", "a", false, false),
            ("a/b", "a", "b", false, false),
            ("/a", "/", "a", false, false),
            ("a//b//", "a/", "b", false, true),
            ("a/.", "a", ".", true, false),
            ("..", ".", "..", true, false),
            ("/", ".", "", true, true),
        ] {
            let split = SplitPath::parse(Path::new(path));
            assert_eq!(
                (split.parent, split.name),
                (OsStr::new(parent), OsStr::new(name)),
                "{path}"
            );
            assert_eq!((split.nameless, split.slash_at_end), (nameless, slash_at_end), "{path}");
        }
    }

    #[test]
    fn a_path_below_an_operand_is_appended_to_what_the_user_gave() {
        assert_eq!(append(Path::new("src"), b"src/a"), b"src/a");
        assert_eq!(append(Path::new("x/src"), b"src"), b"x/src");
        assert_eq!(append(Path::new("/"), b"./a/b"), b"/a/b");
    }
}
