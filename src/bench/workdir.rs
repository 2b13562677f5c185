//! The benchmark's own working directories, and what the benchmark does in them before and after the runs.

use super::abort::Abort;
use super::print_error;
use pcopy_sys::statfs;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use walkdir::WalkDir;

/// Two private directories, one for generated trees and one for copies. Dropping the value removes them.
///
/// Without `--source-dir` both are the same directory.
pub(super) struct WorkDirs {
    sources: PathBuf,
    copies: PathBuf,
    /// The directories that have been created and not yet removed.
    created: Vec<PathBuf>,
}

impl WorkDirs {
    /// Creates the directory `pcopy-bench-PID` in `source_dir` and in `dir`.
    pub(super) fn create(source_dir: &Path, dir: &Path) -> Result<Self, Abort> {
        let name = format!("pcopy-bench-{}", std::process::id());
        let inside = |dir: &Path| {
            let absolute = fs::canonicalize(dir);
            let absolute = absolute.map_err(|error| Abort::cannot("open", dir, &error))?;
            Ok::<_, Abort>(absolute.join(&name))
        };
        let (sources, copies) = (inside(source_dir)?, inside(dir)?);
        let mut dirs = Self { sources, copies, created: Vec::new() };
        let mut paths = vec![dirs.copies.clone(), dirs.sources.clone()];
        paths.dedup();
        for path in paths {
            // Only the current user gets access: copies of private files must stay private, and other users
            // must not be able to create entries in the directory.
            let created = DirBuilder::new().mode(0o700).create(&path);
            created.map_err(|error| Abort::cannot("create", &path, &error))?;
            dirs.created.push(path);
        }
        dirs.clear_target()?;
        Ok(dirs)
    }

    /// Returns the directory for generated trees.
    pub(super) fn sources(&self) -> &Path {
        &self.sources
    }

    /// Returns the directory for copies.
    pub(super) fn copies(&self) -> &Path {
        &self.copies
    }

    /// Returns the path that programs copy to.
    pub(super) fn target(&self) -> PathBuf {
        self.target_parent().join("copy")
    }

    /// Returns the path of the file that receives a program's standard error.
    pub(super) fn stderr_file(&self) -> PathBuf {
        self.copies.join("errors")
    }

    /// Returns the directory that contains the target and nothing else of the benchmark. Programs create
    /// temporary files beside the target, and [`clear_target`](Self::clear_target) removes everything in this
    /// directory.
    fn target_parent(&self) -> PathBuf {
        self.copies.join("target")
    }

    /// Removes the target and everything that a program has left beside it.
    pub(super) fn clear_target(&self) -> Result<(), Abort> {
        let parent = self.target_parent();
        remove_dir(&parent)?;
        fs::create_dir(&parent).map_err(|error| Abort::cannot("create", &parent, &error))
    }

    /// Flushes the file system of the copies, so that the next run does not compete with the write-back of an
    /// earlier run.
    pub(super) fn sync_copies(&self) -> Result<(), Abort> {
        sync_file_system(&self.copies)
    }

    /// Flushes the file system of the generated trees.
    pub(super) fn sync_sources(&self) -> Result<(), Abort> {
        sync_file_system(&self.sources)
    }

    /// Finds out which attributes the target's file system can store. Creates a file for this, and removes
    /// it.
    pub(super) fn probe_fidelity(&self) -> Result<TargetFidelity, Abort> {
        let path = self.copies.join("probe");
        let fidelity = TargetFidelity::probe(&path);
        let fidelity = fidelity.map_err(|error| Abort::cannot("probe", &path, &error))?;
        fs::remove_file(&path).map_err(|error| Abort::cannot("remove", &path, &error))?;
        Ok(fidelity)
    }

    /// Removes both directories. If one cannot be removed, still removes the other, and returns the first
    /// error.
    pub(super) fn remove(mut self) -> Result<(), Abort> {
        let created = std::mem::take(&mut self.created);
        let results: Vec<_> = created.iter().map(|dir| remove_dir(dir)).collect();
        results.into_iter().collect()
    }
}

impl Drop for WorkDirs {
    /// Removes the directories if the benchmark ends early. If that fails, prints the error.
    fn drop(&mut self) {
        for dir in &self.created {
            if let Err(Abort::Error(error)) = remove_dir(dir) {
                print_error(&error);
            }
        }
    }
}

/// The attributes that the target's file system stores exactly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TargetFidelity {
    /// Whether it stores permission bits; FAT has none.
    pub(super) modes: bool,
    /// Whether it stores modification times to the nanosecond.
    pub(super) times: bool,
}

impl TargetFidelity {
    /// Creates a file at `path`, sets its time and mode, and reads them back.
    fn probe(path: &Path) -> io::Result<Self> {
        let file = File::create_new(path)?;
        let time = UNIX_EPOCH + Duration::new(1_577_836_801, 123_456_789);
        file.set_modified(time)?;
        let mut modes = true;
        for mode in [0o640, 0o755] {
            // If FAT cannot store a mode, chmod returns an error or changes nothing.
            modes &= file.set_permissions(Permissions::from_mode(mode)).is_ok()
                && file.metadata()?.mode() & 0o777 == mode;
        }
        Ok(Self { modes, times: file.metadata()?.modified()? == time })
    }
}

fn sync_file_system(dir: &Path) -> Result<(), Abort> {
    let synced = File::open(dir).and_then(|file| Ok(statfs::sync(file)?));
    synced.map_err(|error| Abort::cannot("sync", dir, &error))
}

/// Removes a directory with its contents. Succeeds if the directory does not exist.
pub(super) fn remove_dir(dir: &Path) -> Result<(), Abort> {
    let removed = fs::remove_dir_all(dir).or_else(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            make_removable(dir);
            fs::remove_dir_all(dir)
        }
        _ => Err(error),
    });
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Abort::cannot("remove", dir, &error))
        }
        _ => Ok(()),
    }
}

/// Gives the owner all permissions on each directory, because a copy may have preserved a mode that lacks
/// them.
fn make_removable(dir: &Path) {
    for entry in WalkDir::new(dir).into_iter().flatten() {
        let is_dir = entry.file_type().is_dir();
        if is_dir && fs::set_permissions(entry.path(), Permissions::from_mode(0o700)).is_err() {
            // The caller then fails to remove the directory for the same reason, and reports that error.
        }
    }
}

/// Flushes all file systems and drops the page cache, the dentries and the inodes.
pub(super) fn drop_caches() -> Result<(), Abort> {
    statfs::sync_all();
    let control = Path::new("/proc/sys/vm/drop_caches");
    fs::write(control, "3").map_err(|error| Abort::cannot("write to", control, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directories_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let dirs = WorkDirs::create(other.path(), dir.path()).unwrap();
        for created in [dirs.sources(), dirs.copies()] {
            assert_eq!(fs::metadata(created).unwrap().mode() & 0o777, 0o700, "{created:?}");
        }
    }

    #[test]
    fn a_common_file_system_stores_modes_and_times_and_the_probe_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = WorkDirs::create(dir.path(), dir.path()).unwrap();
        let before = fs::read_dir(dirs.copies()).unwrap().count();
        let fidelity = dirs.probe_fidelity().unwrap();
        assert_eq!(fidelity, TargetFidelity { modes: true, times: true });
        assert_eq!(fs::read_dir(dirs.copies()).unwrap().count(), before);
    }

    #[test]
    fn a_directory_that_cannot_be_removed_does_not_keep_the_others_from_being_removed() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let mut dirs = WorkDirs::create(other.path(), one.path()).unwrap();
        let (blocked, free) = (Path::new("/proc/self/task").to_owned(), dirs.created.clone());
        dirs.created.insert(0, blocked);
        assert!(dirs.remove().is_err());
        assert!(free.iter().all(|dir| !dir.exists()));
    }
}
