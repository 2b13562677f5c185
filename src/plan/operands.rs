//! Operands: the paths of the command line, split into directory and name, and the target of each source.

use super::DirOrigin;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A source of the command line and its target.
///
/// The structure has many fields, because it contains everything that the run knows of an operand. Planning
/// fills it in, and the copiers only read it.
pub struct Operand {
    /// The name of the source in its directory; `.` if the source has no name of its own (`/`, `.`, `SRC/`).
    pub source_name: CString,
    /// The name of the target in its directory; `.` for the contents of a directory (`SRC/.`).
    pub target_name: CString,
    /// The path of the source, as the user gave it.
    pub source_path: PathBuf,
    /// The path of the target, as the user would write it.
    pub target_path: PathBuf,
    /// The prefix of the operand's names in a manifest: its path below the target directory.
    pub(super) manifest_prefix: Vec<u8>,
    /// The path of the source below the directory that the user named, if this is another one. Selection rules begin at
    /// that directory.
    pub(super) below_named: Vec<u8>,
    /// Whether the source is a directory.
    pub is_dir: bool,
    /// Where the existing directory comes from that is the target, if that is DST itself.
    pub(super) destination: Option<DirOrigin>,
    /// The earlier operands that become the same file. If one of them was copied, this operand is not copied.
    pub same_target: Vec<u32>,
    /// Whether the target is inside the source, where the selection leaves it out. A staged directory there is left out, too.
    pub target_is_left_out: bool,
    /// Whether the source is a symbolic link that is followed and leads to something else than a directory.
    pub follow: bool,
    /// For a directory whose target lies inside it, which only cp accepts: the status of the directory before
    /// the target was created.
    pub into_itself: Option<Stat>,
    /// In GNU cp compatibility mode, the existing file that the copy may write into; `None` if there is none.
    /// Two operands may have the same one, through hard links or symbolic links (see `waves`).
    pub(super) written: Option<Identity>,
    /// The mode that the source had when the run began.
    pub mode: u32,
    /// The identity of the source; its device is its file system.
    pub(super) identity: Identity,
    pub(super) source_dir: usize,
    pub(super) target_dir: usize,
}

/// A source that planning has found.
pub(super) struct FoundSource<'a> {
    pub(super) path: &'a Path,
    /// The number of the directory that contains the source.
    pub(super) dir: usize,
    pub(super) name: &'a OsStr,
    pub(super) stat: Stat,
    /// Whether `stat` is the status of the file that a symbolic link leads to.
    pub(super) follow: bool,
}

/// Where a copy will be.
pub(super) struct TargetPlace<'a> {
    pub(super) path: PathBuf,
    /// The number of the directory that will contain the target.
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
            below_named: Vec::new(),
            is_dir,
            destination: None,
            same_target: Vec::new(),
            follow: source.follow && !is_dir,
            target_is_left_out: false,
            into_itself: None,
            written: None,
            mode: source.stat.mode(),
            identity: source.stat.identity(),
            source_dir: source.dir,
            target_dir: target.dir,
        }
    }

    /// Returns the file system of the source, as a device number.
    pub fn device(&self) -> u64 {
        self.identity.0
    }

    /// Returns the final path, relative to the target directory, of the source at `path`.
    pub fn target_of(&self, path: &[u8]) -> Vec<u8> {
        [self.target_name.to_bytes(), below(path)].concat()
    }

    /// Returns the path, relative to the directory that contains the source, that has its copy at `path`, which begins with
    /// the target name.
    pub fn source_of(&self, path: &[u8]) -> Vec<u8> {
        [self.source_name.to_bytes(), below(path)].concat()
    }

    /// Returns the path of the source at `path` below the directory that the user named, for selection rules; `path`
    /// begins with the source name.
    pub fn path_for_rules(&self, path: &[u8]) -> Vec<u8> {
        let path = [&self.below_named[..], below(path)].concat();
        path.strip_prefix(b"/").map(<[u8]>::to_vec).unwrap_or(path)
    }

    /// Returns the path, relative to the directory that contains the target, of the copy of a directory whose path for
    /// rules is `path`; `None` if the operand does not contain that directory.
    pub fn target_for_rules(&self, path: &[u8]) -> Option<Vec<u8>> {
        let below = self.strip_named(path)?;
        Some(
            [self.target_name.to_bytes(), if below.is_empty() { b"" } else { b"/" }, below]
                .concat(),
        )
    }

    /// Returns a path for rules relative to the source; `None` if it is not inside.
    pub(super) fn strip_named<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        match path.strip_prefix(&self.below_named[..])? {
            b"" => Some(b""),
            rest if self.below_named.is_empty() => Some(rest),
            rest => rest.strip_prefix(b"/"),
        }
    }

    /// Returns the path of the directory that the user named, at which selection rules begin.
    pub(super) fn named_path(&self) -> PathBuf {
        self.above_named(&self.source_path)
    }

    /// Returns the path of the copy of that directory.
    pub(super) fn named_target(&self) -> PathBuf {
        self.above_named(&self.target_path)
    }

    fn above_named(&self, path: &Path) -> PathBuf {
        let below = Path::new(OsStr::from_bytes(&self.below_named)).components().count();
        path.ancestors().nth(below).unwrap_or(path).to_owned()
    }

    /// Returns the path of the source at `path`, as the user would write it; `path` begins with the source
    /// name.
    pub fn show_source(&self, path: &[u8]) -> Vec<u8> {
        append(&self.source_path, path)
    }

    /// Returns the final path of the copy of the source at `path`, as the user would write it.
    pub fn show_target(&self, path: &[u8]) -> Vec<u8> {
        append(&self.target_path, path)
    }
}

/// Returns `path` with `base` in place of its first component.
fn append(base: &Path, path: &[u8]) -> Vec<u8> {
    let mut whole = base.as_os_str().as_bytes().to_vec();
    let below = below(path);
    if !below.is_empty() && whole.last() == Some(&b'/') {
        whole.pop();
    }
    whole.extend_from_slice(below);
    whole
}

/// Returns the part of `path` after its first component, with the slash before that part.
pub(super) fn below(path: &[u8]) -> &[u8] {
    let slash = path.iter().position(|&byte| byte == b'/');
    &path[slash.unwrap_or(path.len())..]
}

/// A path of the command line, split into directory and name.
pub(super) struct SplitPath<'a> {
    pub(super) given: &'a Path,
    pub(super) parent: &'a OsStr,
    pub(super) name: &'a OsStr,
    /// Whether the last component is `.`, `..` or empty (as in `/`), so that the path has no name of its own.
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

    /// Returns the directory to open, and the name in it.
    ///
    /// If the path has no name of its own or ends with a slash, the directory to open is the path itself, and
    /// the name is `.`. So a symbolic link before a trailing slash is followed, as POSIX requires.
    pub(super) fn split(&self) -> (&'a Path, &'a OsStr) {
        if self.is_itself() {
            (self.given, OsStr::new("."))
        } else {
            (Path::new(self.parent), self.name)
        }
    }

    /// Like [`split`](Self::split), but if `end` is true, always returns the path itself as the directory to
    /// open. The caller sets `end` if the path is a symbolic link to a directory and is to be followed.
    pub(super) fn split_end(&self, end: bool) -> (&'a Path, &'a OsStr) {
        if end { (self.given, OsStr::new(".")) } else { self.split() }
    }

    /// Whether the path has no name of its own or ends with a slash. Then it denotes a directory, and never a
    /// symbolic link.
    pub(super) fn is_itself(&self) -> bool {
        self.nameless || self.slash_at_end
    }

    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        file::stat_path(self.given, self.is_itself())
    }
}

/// Returns the path without trailing slashes; `/` is left unchanged.
pub(crate) fn trim(path: &Path) -> &Path {
    let bytes = path.as_os_str().as_bytes();
    let end =
        bytes.iter().rposition(|&byte| byte != b'/').map_or(bytes.len().min(1), |last| last + 1);
    Path::new(OsStr::from_bytes(&bytes[..end]))
}

/// Converts a name to a C string. Operands come from the argument vector, whose strings end at a NUL, so no
/// operand contains one.
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
