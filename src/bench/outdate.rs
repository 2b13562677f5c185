//! Changes every second file of a copy, so that it differs from its source, for `--onto=different`.

use super::abort::{Abort, SignalWatch};
use super::tree_stats::cannot_read;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;
use walkdir::WalkDir;

/// The age that a changed file gets relative to its source.
const AGE: Duration = Duration::from_secs(24 * 3600);

/// Gives every second file of the tree `copy` other contents and an older modification time.
pub(super) fn outdate_every_second_file(copy: &Path, signals: &SignalWatch) -> Result<(), Abort> {
    let mut files = EverySecondFile::default();
    for entry in WalkDir::new(copy).sort_by_file_name() {
        signals.check()?;
        let entry = entry.map_err(|error| cannot_read(copy, error))?;
        if entry.file_type().is_file() {
            let done = files.visit(entry.path());
            done.map_err(|error| Abort::cannot("modify", entry.path(), &error))?;
        }
    }
    Ok(())
}

/// Counts files, and changes the first, the third, and so on.
#[derive(Default)]
struct EverySecondFile {
    count: u64,
    /// The counted files that have several names, by device and inode number. Each file must count only once:
    /// a second change would restore the old contents.
    linked: HashSet<(u64, u64)>,
}

impl EverySecondFile {
    fn visit(&mut self, path: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        if metadata.nlink() > 1 && !self.linked.insert((metadata.dev(), metadata.ino())) {
            return Ok(());
        }
        self.count += 1;
        if self.count % 2 == 1 { outdate(path, metadata.mode() & 0o7777) } else { Ok(()) }
    }
}

/// Changes the contents and the modification time of a file. A read-only file is made writable for that time.
fn outdate(path: &Path, mode: u32) -> io::Result<()> {
    let writable = mode | 0o600;
    if writable != mode {
        fs::set_permissions(path, Permissions::from_mode(writable))?;
    }
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let modified = file.metadata()?.modified()?;
    invert_first_byte(&file)?;
    // The mode is set even if the file was writable before, because the write has cleared the set-ID bits.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.set_modified(modified - AGE)
}

/// Inverts the first byte of a file. An empty file gets a first byte.
fn invert_first_byte(file: &File) -> io::Result<()> {
    let mut first = [0];
    file.read_at(&mut first, 0)?;
    file.write_all_at(&[!first[0]], 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_file_differs_whatever_number_of_names_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["a", "b", "c"] {
            fs::write(path(name), "old").unwrap();
        }
        let (mut times, mut names) = (Vec::new(), Vec::new());
        for name in ["a", "b", "c"] {
            for suffix in ["", "-2", "-3"] {
                if !suffix.is_empty() {
                    fs::hard_link(path(name), path(&format!("{name}{suffix}"))).unwrap();
                }
                names.push(format!("{name}{suffix}"));
            }
            times.push(fs::metadata(path(name)).unwrap().modified().unwrap());
        }
        let mut files = EverySecondFile::default();
        for name in &names {
            files.visit(&path(name)).unwrap();
        }

        for ((name, time), outdated) in
            ["a", "b", "c"].into_iter().zip(times).zip([true, false, true])
        {
            let now = fs::metadata(path(name)).unwrap().modified().unwrap();
            assert_eq!(fs::read(path(name)).unwrap() != b"old", outdated, "{name}");
            assert_eq!(time.duration_since(now).unwrap() == AGE, outdated, "{name}: its time");
        }
    }

    #[test]
    fn empty_and_read_only_files_are_changed_and_keep_their_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();

        EverySecondFile::default().visit(&path).unwrap();

        assert_eq!(fs::read(&path).unwrap(), [255]);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o444);
    }
}
