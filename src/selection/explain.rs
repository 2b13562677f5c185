//! Says which rule decides about a path: `--explain`.

use super::asked::{Decision, Reason};
use super::limits::Limit;
use super::{DirRulesOnPath, Selection, Side, Trees, split};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The directories of a source that the user named, opened by their paths.
pub struct PathTrees<'p> {
    /// The source.
    pub source: &'p Path,
    /// Its copy, if there is one.
    pub target: Option<&'p Path>,
    /// Whether symbolic links in the source are followed.
    pub follows: bool,
    /// The file system that the copy stays on.
    pub device: Option<u64>,
}

impl Trees for PathTrees<'_> {
    fn operand(&self) -> u32 {
        0
    }

    fn source(&self, path: &[u8]) -> pcopy_sys::Result<OwnedFd> {
        let root = file::open_dir(self.source)?;
        match path {
            b"" => Ok(root),
            path if self.follows => file::open_dir_following(root.as_fd(), path),
            path => file::open_dir_beneath(root.as_fd(), path),
        }
    }

    fn target(&self, path: &[u8]) -> Option<OwnedFd> {
        file::open_dir(&self.target?.join(OsStr::from_bytes(path))).ok()
    }

    fn follows(&self) -> bool {
        self.follows
    }

    fn device(&self) -> Option<u64> {
        self.device
    }

    fn is_stopped(&self) -> bool {
        false
    }
}

/// What is decided about a directory above a path, or about the path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explained {
    /// The path, relative to the source.
    pub path: Vec<u8>,
    /// Whether it is taken.
    pub is_taken: bool,
    /// What decides: a rule as the user would write it, or an option.
    pub why: Vec<u8>,
}

/// Explains what is decided about each directory above `path` and about `path`, down to the first that is left out. A
/// slash at its end says that the path is that of a directory, if there is no such entry.
pub fn explain(selection: &Selection, trees: &PathTrees<'_>, path: &[u8]) -> Vec<Explained> {
    let is_dir = path.ends_with(b"/");
    let parts: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    let mut on_path = DirRulesOnPath::default();
    let mut explained = Vec::new();
    for end in 1..=parts.len() {
        let path = parts[..end].join(&b'/');
        let ends_here = end == parts.len();
        let one = one(selection, trees, &mut on_path, &path, is_dir || !ends_here);
        let goes_on = one.is_taken;
        explained.push(one);
        if !goes_on {
            break;
        }
        if !ends_here && !selection.enters(&path) {
            let path = parts[..=end].join(&b'/');
            let why = if selection.listed().is_some() { "--files-from" } else { "--max-depth" };
            explained.push(Explained { path, is_taken: false, why: why.into() });
            break;
        }
    }
    explained
}

fn one(
    selection: &Selection,
    trees: &dyn Trees,
    on_path: &mut DirRulesOnPath,
    path: &[u8],
    is_dir: bool,
) -> Explained {
    let (dir, name) = split(path);
    let opened = trees.source(dir);
    let name = CString::new(name).unwrap_or_default();
    let kind = match &opened {
        Ok(opened) if file::stat_at(opened, &name).err() != Some(Errno::ENOENT) => Kind::Unknown,
        _ if is_dir => Kind::Directory,
        _ => Kind::Special,
    };
    let mut asked = selection.within(trees, on_path, dir);
    // Without the directory, the rules about names still decide.
    let Ok(opened) = opened.or_else(|_| file::open_dir(Path::new("/"))) else {
        return Explained { path: path.to_vec(), is_taken: true, why: b"no rule".to_vec() };
    };
    let decision = asked.decide(Side::Source, opened.as_fd(), (kind, &name));
    Explained { path: path.to_vec(), is_taken: decision.is_taken(), why: why(&decision) }
}

fn why(decision: &Decision<'_>) -> Vec<u8> {
    let reason = match decision {
        Decision::Taken(None) => return b"no rule".to_vec(),
        Decision::Taken(Some(rule)) | Decision::LeftOut(Reason::Rule(rule)) => return rule.show(),
        Decision::LeftOut(reason) => reason,
        Decision::NotListed => return b"--files-from".to_vec(),
        Decision::BadRules(Errno::EINVAL) => return b"a line in it is no rule".to_vec(),
        Decision::BadRules(_) => return b"its rules cannot be read".to_vec(),
    };
    match reason {
        Reason::Tag(tag) => [b"the directory has ", tag.to_bytes()].concat(),
        Reason::Limit(limit) => match limit {
            Limit::MaxSize => b"--max-size".to_vec(),
            Limit::MinSize => b"--min-size".to_vec(),
            Limit::NewerThan => b"--newer-than".to_vec(),
            Limit::OlderThan => b"--older-than".to_vec(),
        },
        Reason::NotInTarget => b"--existing".to_vec(),
        Reason::Empty => b"--prune-empty-dirs".to_vec(),
        Reason::Rule(rule) => rule.show(),
    }
}
