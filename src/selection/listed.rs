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
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    /// The entry is listed.
    pub(super) is_listed: bool,
    /// The directory is listed with a slash at its end: all that is below it is taken, too.
    pub(super) with_all_below: bool,
    /// The directory is above a listed entry.
    pub(super) is_above: bool,
}

impl Extent {
    const ALONE: Self = Self { is_listed: true, with_all_below: false, is_above: false };
    const WITH_ALL_BELOW: Self = Self { with_all_below: true, ..Self::ALONE };
    const ABOVE: Self = Self { is_listed: false, with_all_below: false, is_above: true };
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
        self.note(&path, extent);
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for (at, _) in slashes {
            self.note(&path[..at], Extent::ABOVE);
        }
        if !path.is_empty() {
            self.note(b"", Extent::ABOVE);
        }
        Ok(())
    }

    fn note(&mut self, path: &[u8], extent: Extent) {
        let known = self.paths.entry(path.into()).or_default();
        known.is_listed |= extent.is_listed;
        known.with_all_below |= extent.with_all_below;
        known.is_above |= extent.is_above;
    }

    /// Returns how much of the entry is taken. `path` is relative to the source.
    pub(super) fn extent(&self, path: &[u8]) -> Extent {
        self.paths.get(path).copied().unwrap_or_default()
    }

    /// Whether the directory, or one above it, is listed with all that is below.
    pub(super) fn is_taken_whole(&self, dir: &[u8]) -> bool {
        let slashes = dir.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut ends = slashes.map(|(at, _)| at).chain([0, dir.len()]);
        ends.any(|end| self.extent(&dir[..end]).with_all_below)
    }

    /// Returns the listed paths, relative to the source, in ascending order.
    pub fn names(&self) -> Vec<PathBuf> {
        let listed = self.paths.iter().filter(|(_, extent)| extent.is_listed);
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
    if extent.with_all_below {
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
    // `find SRC/` names the source itself with the slash that the user typed.
    let is_source = name == typed;
    let ends_in_dir = below.ends_with(b"/") || below.ends_with(b"/.") && below.len() > 2;
    let extent = if ends_in_dir && !is_source { Extent::WITH_ALL_BELOW } else { Extent::ALONE };
    Ok((parts.join(&b'/'), extent))
}
