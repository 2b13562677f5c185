//! The folders that a benchmark makes for itself, and all that is done in them between the runs.

use super::alter::Files;
use super::stop::{Stop, Watch};
use super::survey::unreadable;
use super::tell_error;
use crate::quote::escape;
use crate::sys::volume;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use walkdir::WalkDir;

/// Two folders that are there as long as this is: where trees are made, and where they are copied to.
pub(super) struct Place {
    sources: PathBuf,
    copies: PathBuf,
    /// What is to be removed: both, which may be one.
    made: Vec<PathBuf>,
}

impl Place {
    /// Makes both, in `source_dir` and `dir`.
    pub(super) fn make(source_dir: &Path, dir: &Path) -> Result<Self, Stop> {
        let name = format!("pcopy-bench-{}", std::process::id());
        let below = |dir: &Path| {
            let whole = fs::canonicalize(dir);
            whole.map(|dir| dir.join(&name)).map_err(|error| Stop::cannot("open", dir, &error))
        };
        let (sources, copies) = (below(source_dir)?, below(dir)?);
        let mut place = Self { sources, copies, made: Vec::new() };
        let mut both = vec![place.copies.clone(), place.sources.clone()];
        both.dedup();
        for dir in both {
            // What is private where it comes from is not to be read by others in here, and nobody
            // else is to put anything in the way.
            let made = DirBuilder::new().mode(0o700).create(&dir);
            made.map_err(|error| Stop::cannot("create", &dir, &error))?;
            place.made.push(dir);
        }
        place.clear()?;
        Ok(place)
    }

    /// Where trees are made.
    pub(super) fn sources(&self) -> &Path {
        &self.sources
    }

    /// Where the file system of the copies is to be asked about.
    pub(super) fn copies(&self) -> &Path {
        &self.copies
    }

    /// What is copied to.
    pub(super) fn target(&self) -> PathBuf {
        self.room_for_target().join("copy")
    }

    /// What a program says where errors go.
    pub(super) fn errors(&self) -> PathBuf {
        self.copies.join("errors")
    }

    /// With a folder around it, because what is staged lies beside the target.
    fn room_for_target(&self) -> PathBuf {
        self.copies.join("target")
    }

    /// Removes the target, and what a program may have left beside it.
    pub(super) fn clear(&self) -> Result<(), Stop> {
        let around = self.room_for_target();
        remove(&around)?;
        fs::create_dir(&around).map_err(|error| Stop::cannot("create", &around, &error))
    }

    /// Waits until all that was written is on the target's disk, so that no run pays for another.
    pub(super) fn settle(&self) -> Result<(), Stop> {
        sync(&self.copies)
    }

    /// The same for a tree that was made.
    pub(super) fn settle_sources(&self) -> Result<(), Stop> {
        sync(&self.sources)
    }

    /// Asks the target's file system by trying.
    pub(super) fn keeps(&self) -> Result<Keeps, Stop> {
        let path = self.copies.join("probe");
        let tried = try_out(&path);
        let tried = tried.map_err(|error| Stop::cannot("try out", &path, &error))?;
        let removed = fs::remove_file(&path);
        removed.map(|()| tried).map_err(|error| Stop::cannot("remove", &path, &error))
    }

    /// Removes everything; the first failure is told.
    pub(super) fn remove(mut self) -> Result<(), Stop> {
        let ends: Vec<_> = std::mem::take(&mut self.made).iter().map(|dir| remove(dir)).collect();
        ends.into_iter().collect()
    }
}

/// What a file system keeps exactly as it is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Keeps {
    /// Permission bits; FAT has none.
    pub(super) bits: bool,
    /// Times, to the nanosecond.
    pub(super) times: bool,
}

fn try_out(path: &Path) -> io::Result<Keeps> {
    let file = File::create_new(path)?;
    let time = UNIX_EPOCH + Duration::new(1_577_836_801, 123_456_789);
    file.set_modified(time)?;
    let mut bits = true;
    for mode in [0o640, 0o755] {
        // FAT refuses what it cannot keep, or does nothing.
        bits &= file.set_permissions(Permissions::from_mode(mode)).is_ok()
            && file.metadata()?.mode() & 0o777 == mode;
    }
    Ok(Keeps { bits, times: file.metadata()?.modified()? == time })
}

fn sync(dir: &Path) -> Result<(), Stop> {
    let synced = File::open(dir).and_then(|file| Ok(volume::sync(file)?));
    synced.map_err(|error| Stop::cannot("sync", dir, &error))
}

impl Drop for Place {
    /// For when something else has failed, which is told after what fails here.
    fn drop(&mut self) {
        for dir in &self.made {
            if let Err(Stop::Refused(refusal)) = remove(dir) {
                tell_error(&refusal);
            }
        }
    }
}

/// Removes a folder with all in it, if it is there.
pub(super) fn remove(dir: &Path) -> Result<(), Stop> {
    let removed = fs::remove_dir_all(dir).or_else(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            open_up(dir);
            fs::remove_dir_all(dir)
        }
        _ => Err(error),
    });
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Stop::cannot("remove", dir, &error))
        }
        _ => Ok(()),
    }
}

/// Gives the owner all rights to each folder: a copy may have kept that there were none.
fn open_up(dir: &Path) {
    for entry in WalkDir::new(dir).into_iter().flatten() {
        let is_dir = entry.file_type().is_dir();
        if is_dir && fs::set_permissions(entry.path(), Permissions::from_mode(0o700)).is_err() {
            // Then removing it will fail, and that is told.
        }
    }
}

/// Gives every second file other contents and an older time.
pub(super) fn alter(copy: &Path, watch: &Watch) -> Result<(), Stop> {
    let mut files = Files::default();
    for entry in WalkDir::new(copy).sort_by_file_name() {
        watch.look()?;
        let entry = entry.map_err(|error| unreadable(copy, error))?;
        if entry.file_type().is_file() {
            let altered = files.alter_every_second(entry.path());
            altered.map_err(|error| Stop::cannot("alter", entry.path(), &error))?;
        }
    }
    Ok(())
}

/// Writes everything to its disk and forgets what is in memory of any file system.
pub(super) fn forget() -> Result<(), Stop> {
    volume::sync_all();
    let switch = Path::new("/proc/sys/vm/drop_caches");
    fs::write(switch, "3").map_err(|error| Stop::cannot("write to", switch, &error))
}

/// The last component of a whole path, for headings.
pub(super) fn name_of(whole: &Path) -> String {
    escape(whole.file_name().unwrap_or(OsStr::new("/")).as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_may_look_into_what_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let place = Place::make(other.path(), dir.path()).unwrap();
        for made in [place.sources(), place.copies()] {
            assert_eq!(fs::metadata(made).unwrap().mode() & 0o777, 0o700, "{made:?}");
        }
    }

    #[test]
    fn a_common_file_system_keeps_bits_and_times_and_nothing_is_left_of_the_question() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::make(dir.path(), dir.path()).unwrap();
        let before = fs::read_dir(place.copies()).unwrap().count();
        assert_eq!(place.keeps().unwrap(), Keeps { bits: true, times: true });
        assert_eq!(fs::read_dir(place.copies()).unwrap().count(), before);
    }

    #[test]
    fn all_that_can_be_removed_is_even_if_something_cannot() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let mut place = Place::make(other.path(), one.path()).unwrap();
        let (blocked, free) = (Path::new("/proc/self/task").to_owned(), place.made.clone());
        place.made.insert(0, blocked);
        assert!(place.remove().is_err());
        assert!(free.iter().all(|dir| !dir.exists()));
    }
}
