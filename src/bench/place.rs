//! The folders that a benchmark makes for itself, and all that is done in them between the runs.

use super::stop::{Stop, Watch};
use crate::human;
use crate::quote::quote;
use crate::sys::volume;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use walkdir::WalkDir;

/// What the target has in place of the source's times is older by so much.
const OLDER: Duration = Duration::from_secs(24 * 3600);

/// What is kept free beside what is planned.
const RESERVE: u64 = 16 << 20;

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
            fs::create_dir(&dir).map_err(|error| Stop::cannot("create", &dir, &error))?;
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
        let opened = File::open(&self.copies);
        let synced = opened.and_then(|file| Ok(volume::sync(file)?));
        synced.map_err(|error| Stop::cannot("sync", &self.copies, &error))
    }

    /// Removes everything; a failure is told.
    pub(super) fn remove(mut self) -> Result<(), Stop> {
        std::mem::take(&mut self.made).iter().try_for_each(|dir| remove(dir))
    }
}

impl Drop for Place {
    /// For when something else has failed, which is told in place of what fails here.
    fn drop(&mut self) {
        if !self.made.iter().all(|dir| remove(dir).is_ok()) {
            // The folders' names say whose they are.
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
    let files = WalkDir::new(copy).sort_by_file_name().into_iter().flatten();
    for entry in files.filter(|entry| entry.file_type().is_file()).step_by(2) {
        watch.look()?;
        alter_file(entry.path()).map_err(|error| Stop::cannot("alter", entry.path(), &error))?;
    }
    Ok(())
}

fn alter_file(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let metadata = file.metadata()?;
    let mut first = [0];
    if file.read_at(&mut first, 0)? == 1 {
        file.write_all_at(&[!first[0]], 0)?;
    }
    file.set_modified(metadata.modified()? - OLDER)
}

/// Refuses if there is no room for so many bytes in so many entries, at each place where they go.
pub(super) fn check_room(places: &[(&Path, u64, u64)]) -> Result<(), Stop> {
    let device = |path: &Path| {
        fs::metadata(path).map(|of| of.dev()).map_err(|error| Stop::cannot("open", path, &error))
    };
    for &(path, ..) in places {
        let (mut bytes, mut entries) = (RESERVE, 0);
        for &(other, more_bytes, more_entries) in places {
            if device(other)? == device(path)? {
                bytes += more_bytes;
                entries += more_entries;
            }
        }
        let room = volume::room(path).map_err(|errno| Stop::cannot("open", path, &errno.into()))?;
        let name = quote(path.as_os_str().as_encoded_bytes());
        if room.bytes < bytes {
            let (free, needed) = (human::bytes(room.bytes), human::bytes(bytes));
            return Err(Stop::refuse(format!(
                "not enough room in {name}: {free} are free, {needed} are needed"
            )));
        }
        if let Some(free) = room.entries.filter(|&free| free < entries) {
            let (free, needed) = (human::count(free), human::count(entries));
            return Err(Stop::refuse(format!(
                "not enough room in {name}: {free} entries are free, {needed} are needed"
            )));
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

/// The last component of a folder's path, for headings.
pub(super) fn name_of(path: &Path) -> String {
    let whole = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = whole.file_name().unwrap_or(OsStr::new("/"));
    crate::quote::escape(name.as_encoded_bytes())
}
