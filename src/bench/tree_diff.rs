//! Verifies a copy: compares its tree with the source.

use super::abort::{Abort, SignalWatch};
use super::copy_command::Requirements;
use super::entry_diff::{EntryComparer, NotCompared};
use super::tree_stats::cannot_read;
use crate::sanitize::quote;
use std::fs;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Compares `copy` with `source` in the required properties. Returns a one-line description of the
/// differences; `None` if there are none.
pub(super) fn compare_trees(
    source: &Path,
    copy: &Path,
    requirements: Requirements,
    signals: &SignalWatch,
) -> Result<Option<String>, Abort> {
    let mut differences = Differences::default();
    let mut comparer = EntryComparer::new(requirements, signals);
    let (mut in_source, mut missing): (u64, u64) = (0, 0);
    for entry in WalkDir::new(source) {
        signals.check()?;
        let entry = entry.map_err(|error| cannot_read(source, error))?;
        let name = entry.path().strip_prefix(source).unwrap_or(entry.path());
        let is_root = name.as_os_str().is_empty();
        let path_in_copy = if is_root { copy.to_owned() } else { copy.join(name) };
        in_source += 1;
        let difference = match comparer.compare(entry.path(), &path_in_copy) {
            Ok(None) => continue,
            Ok(Some(difference)) => difference,
            Err(NotCompared::MissingInCopy) => {
                missing += 1;
                "missing"
            }
            Err(NotCompared::UnreadableInCopy) => {
                missing += u64::from(fs::symlink_metadata(&path_in_copy).is_err());
                "unreadable"
            }
            Err(NotCompared::SourceError(error)) => {
                return Err(Abort::cannot("compare", entry.path(), &error));
            }
            Err(NotCompared::Abort(abort)) => return Err(abort),
        };
        differences.add(name, difference);
    }
    if let Some(name) = find_extraneous(source, copy, in_source - missing, signals)? {
        differences.add(&name, "not in the source");
    }
    Ok(differences.describe())
}

/// Looks for an entry of the copy that the source does not have. Such an entry exists if the copy has more
/// entries than `expected`.
///
/// Also returns `None` if the source has the surplus entries, too. The caller has counted them as missing,
/// because it could not inspect them: their directory in the copy may be listed but not searched.
fn find_extraneous(
    source: &Path,
    copy: &Path,
    expected: u64,
    signals: &SignalWatch,
) -> Result<Option<PathBuf>, Abort> {
    let mut in_copy: u64 = 0;
    for entry in WalkDir::new(copy) {
        signals.check()?;
        // An unreadable entry is not counted; the comparison with the source has already reported it.
        in_copy += u64::from(entry.is_ok());
        if in_copy > expected {
            let entries = WalkDir::new(copy).min_depth(1).into_iter().flatten();
            let mut names =
                entries.filter_map(|entry| Some(entry.path().strip_prefix(copy).ok()?.to_owned()));
            return Ok(names.find(|name| fs::symlink_metadata(source.join(name)).is_err()));
        }
    }
    Ok(None)
}

/// The number of differences, and a description of the first one.
#[derive(Default)]
struct Differences {
    count: u64,
    first: String,
}

impl Differences {
    fn add(&mut self, name: &Path, difference: &str) {
        if self.count == 0 {
            let name = if name.as_os_str().is_empty() { Path::new(".") } else { name };
            self.first = format!("{} ({difference})", quote(name.as_os_str().as_encoded_bytes()));
        }
        self.count += 1;
    }

    fn describe(&self) -> Option<String> {
        match self.count {
            0 => None,
            1 => Some(format!("1 entry differs: {}", self.first)),
            count => Some(format!("{count} entries differ: first {}", self.first)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench_options::Preserved;
    use super::*;
    use std::fs::File;
    use std::time::{Duration, UNIX_EPOCH};

    fn differences(source: &Path, copy: &Path, requirements: Requirements) -> Option<String> {
        compare_trees(source, copy, requirements, &SignalWatch::start().unwrap()).unwrap()
    }

    #[test]
    fn times_that_the_target_cannot_store_are_not_compared() {
        let [source, copy] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        for (dir, nanoseconds) in [(&source, 5), (&copy, 0)] {
            let file = File::create_new(dir.path().join("a")).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::new(7, nanoseconds)).unwrap();
            File::open(dir.path()).unwrap().set_modified(UNIX_EPOCH).unwrap();
        }
        let requirements = Preserved::Times.requirements(false);
        let found = |requirements| differences(source.path(), copy.path(), requirements);

        assert_eq!(
            found(requirements).as_deref(),
            Some("1 entry differs: 'a' (modification time)")
        );
        assert_eq!(found(Requirements { times: false, ..requirements }), None);
    }

    #[test]
    fn a_directory_is_not_a_copy_of_itself() {
        let dir = tempfile::tempdir().unwrap();
        let found = differences(dir.path(), dir.path(), Preserved::None.requirements(false));
        assert_eq!(found.as_deref(), Some("1 entry differs: '.' (the source itself)"));
    }
}
