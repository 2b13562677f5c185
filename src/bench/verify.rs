//! Whether a copy is like its source. Shares no code with the copiers.

use super::alike::{Comparison, End};
use super::peers::Demands;
use super::stop::{Stop, Watch};
use super::survey::unreadable;
use crate::quote::quote;
use std::fs;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// What is wrong with a copy; nothing, if there are no differences.
#[derive(Default, Debug)]
pub(super) struct Differences {
    /// How many entries differ, are missing or too many.
    pub(super) entries: u64,
    /// The first of them, and in what.
    pub(super) first: String,
}

impl Differences {
    fn add(&mut self, path: &Path, what: &str) {
        if self.entries == 0 {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            self.first = format!("{} ({what})", quote(path.as_os_str().as_encoded_bytes()));
        }
        self.entries += 1;
    }

    /// In words; `None` if there are none.
    pub(super) fn describe(&self) -> Option<String> {
        match self.entries {
            0 => None,
            1 => Some(format!("1 entry differs: {}", self.first)),
            many => Some(format!("{many} entries differ: first {}", self.first)),
        }
    }
}

/// Compares `copy` with `source` in what is demanded.
pub(super) fn compare(
    source: &Path,
    copy: &Path,
    demands: Demands,
    watch: &Watch,
) -> Result<Differences, Stop> {
    let mut differences = Differences::default();
    let mut comparison = Comparison::new(demands, watch);
    let mut missing = 0;
    let mut found: u64 = 0;
    for entry in WalkDir::new(source) {
        watch.look()?;
        let entry = entry.map_err(|error| unreadable(source, error))?;
        let name = entry.path().strip_prefix(source).unwrap_or(entry.path());
        let theirs = if name.as_os_str().is_empty() { copy.to_owned() } else { copy.join(name) };
        found += 1;
        let what = match comparison.entry(entry.path(), &theirs) {
            Ok(None) => continue,
            Ok(Some(what)) => what,
            Err(End::Missing) => {
                missing += 1;
                "missing"
            }
            Err(End::Unreadable) => {
                missing += u64::from(fs::symlink_metadata(&theirs).is_err());
                "unreadable"
            }
            Err(End::Ours(error)) => return Err(Stop::cannot("compare", entry.path(), &error)),
            Err(End::Stop(stop)) => return Err(stop),
        };
        differences.add(name, what);
    }
    // Nothing is missing beyond what was counted, so what is too many shows in the numbers.
    let mut there: u64 = 0;
    for entry in WalkDir::new(copy) {
        watch.look()?;
        // What cannot be read was told before, as missing or unreadable.
        there += u64::from(entry.is_ok());
        if there + missing > found {
            // None, where entries are seen and cannot be asked about: those have been told.
            if let Some(name) = extra(source, copy) {
                differences.add(&name, "not in the source");
            }
            break;
        }
    }
    Ok(differences)
}

/// The first entry of the copy that the source does not have.
fn extra(source: &Path, copy: &Path) -> Option<PathBuf> {
    let names = WalkDir::new(copy).min_depth(1).into_iter().flatten();
    let mut names =
        names.filter_map(|entry| Some(entry.path().strip_prefix(copy).ok()?.to_owned()));
    names.find(|name| fs::symlink_metadata(source.join(name)).is_err())
}
