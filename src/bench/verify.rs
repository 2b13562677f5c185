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

#[cfg(test)]
mod tests {
    use super::super::options::Keep;
    use super::*;
    use std::fs::File;
    use std::time::{Duration, UNIX_EPOCH};

    fn differences(ours: &Path, theirs: &Path, demands: Demands) -> Option<String> {
        compare(ours, theirs, demands, &Watch::begin().unwrap()).unwrap().describe()
    }

    #[test]
    fn times_that_the_target_cannot_keep_are_not_asked_for() {
        let [ours, theirs] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        for (dir, nanoseconds) in [(&ours, 5), (&theirs, 0)] {
            let file = File::create_new(dir.path().join("a")).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::new(7, nanoseconds)).unwrap();
            File::open(dir.path()).unwrap().set_modified(UNIX_EPOCH).unwrap();
        }
        let demands = Keep::Times.demands(false);
        let found = |demands| differences(ours.path(), theirs.path(), demands);

        assert_eq!(found(demands).as_deref(), Some("1 entry differs: 'a' (modification time)"));
        assert_eq!(found(Demands { times: false, ..demands }), None);
    }

    #[test]
    fn a_folder_is_no_copy_of_itself() {
        let dir = tempfile::tempdir().unwrap();
        let found = differences(dir.path(), dir.path(), Keep::None.demands(false));
        assert_eq!(found.as_deref(), Some("1 entry differs: '.' (the source itself)"));
    }
}
