//! The names that `--files-from` lists.

use super::{BadRule, rule_file};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A list of names: paths relative to the source.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Each listed path, and each directory above one.
    paths: HashMap<Box<[u8]>, Extent>,
    /// Whether a listed name that does not exist is no failure (`--ignore-missing`).
    pub accepts_missing: bool,
}

/// How much of a path is taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Extent {
    /// The directory is above a listed entry.
    Above,
    /// The entry is listed, but not what is below it.
    Alone,
    /// The directory is listed with a slash at its end: all that is below it is taken, too.
    WithAllBelow,
}

impl Listed {
    /// Adds the names in a file: one on each line or, if `nul` is set, between two zero bytes. `-` is standard input.
    /// `source` is the source as the user typed it: a name that begins with it is made relative.
    ///
    /// Fails if the file cannot be read, or if a name leads out of the source.
    pub fn add_file(&mut self, path: &Path, nul: bool, source: &Path) -> Result<(), BadRule> {
        let at = |line, bad: BadRule| BadRule { place: Some((path.to_owned(), line)), ..bad };
        let text = rule_file::read(path).map_err(|error| at(0, BadRule::of(b"", &error)))?;
        for (line, name) in rule_file::rules(&text, nul) {
            self.add(name, source).map_err(|why| at(line, BadRule::of(name, why)))?;
        }
        Ok(())
    }

    /// Adds a name. The error says why it cannot be used.
    fn add(&mut self, name: &[u8], source: &Path) -> Result<(), &'static str> {
        let (path, extent) = relative(name, source)?;
        self.note(path.clone(), extent);
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for (at, _) in slashes {
            self.note(path[..at].to_vec(), Extent::Above);
        }
        if !path.is_empty() {
            self.note(Vec::new(), Extent::Above);
        }
        Ok(())
    }

    fn note(&mut self, path: Vec<u8>, extent: Extent) {
        let known = self.paths.entry(path.into()).or_insert(extent);
        *known = extent.max(*known);
    }

    /// Returns how much of the entry is taken; `None` if nothing. `path` is relative to the source.
    pub(super) fn extent(&self, path: &[u8]) -> Option<Extent> {
        self.paths.get(path).copied()
    }

    /// Whether the directory, or one above it, is listed with all that is below.
    pub(super) fn is_taken_whole(&self, dir: &[u8]) -> bool {
        let slashes = dir.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut ends = slashes.map(|(at, _)| at).chain([0, dir.len()]);
        ends.any(|end| self.extent(&dir[..end]) == Some(Extent::WithAllBelow))
    }

    /// Returns the listed paths, relative to the source, in ascending order.
    pub fn names(&self) -> Vec<PathBuf> {
        let listed = self.paths.iter().filter(|(_, extent)| **extent != Extent::Above);
        let mut names: Vec<_> =
            listed.map(|(path, _)| PathBuf::from(OsStr::from_bytes(path))).collect();
        names.sort_unstable();
        names
    }
}

/// Returns a path that the user typed relative to the source, with a slash at its end if it had one. It may begin with the
/// source as the user typed it. The error says why it cannot be in the source.
pub fn below_source(path: &Path, source: &Path) -> Result<PathBuf, &'static str> {
    let (mut relative, extent) = relative(path.as_os_str().as_bytes(), source)?;
    if extent == Extent::WithAllBelow {
        relative.push(b'/');
    }
    Ok(PathBuf::from(OsString::from_vec(relative)))
}

/// Returns the path of a name relative to the source, without redundant slashes and dots, and how much of it is listed.
fn relative(name: &[u8], source: &Path) -> Result<(Vec<u8>, Extent), &'static str> {
    let typed = source.as_os_str().as_bytes();
    let without_slash = typed.strip_suffix(b"/").unwrap_or(typed);
    let below = match name.strip_prefix(without_slash) {
        Some(rest) if rest.is_empty() || rest.starts_with(b"/") => rest,
        _ if name.starts_with(b"/") => {
            return Err("the path is absolute and does not begin with SRC");
        }
        _ => name,
    };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in below.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err("'..' may lead out of SRC"),
            part => parts.push(part),
        }
    }
    let ends_in_dir = below.ends_with(b"/") || below.ends_with(b"/.") && below.len() > 2;
    let extent = if ends_in_dir { Extent::WithAllBelow } else { Extent::Alone };
    Ok((parts.join(&b'/'), extent))
}
