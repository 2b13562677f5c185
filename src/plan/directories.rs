//! The directories that contain operands or their targets, and the directories that `--parents` creates.
//!
//! While pcopy makes the plan, it creates no directory. It only remembers a missing directory, and treats
//! each entry in that directory as missing, too. When the run begins, [`create`](Directories::create) creates
//! the directory.

use super::ancestors;
use super::notes::ParentError;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// A directory above a source, and the corresponding directory in the target (for `--parents`).
#[derive(Clone)]
pub struct Parent {
    /// The path of the source directory, as the user gave it.
    pub source: PathBuf,
    /// The path of the target directory, as the user would write it.
    pub target: PathBuf,
    /// Whether this run has created the target directory; while the plan is made, whether the run will create
    /// it.
    pub new: bool,
    /// The mode, before the umask, with which the target directory is created.
    mode: u32,
}

/// The directories of a plan that is being made.
#[derive(Default)]
pub(super) struct Directories {
    dirs: Vec<Dir>,
    /// Indexes into `dirs`, by the path with which the directory was opened.
    numbers: HashMap<PathBuf, usize>,
    /// Directories above sources; a directory comes before those below it.
    parents: Vec<Parent>,
    /// Indexes into `parents` of the directories that must be created, by target path. The paths contain no
    /// `..` after a directory that must be created.
    missing: HashMap<PathBuf, usize>,
}

enum Dir {
    Open(OwnedFd),
    /// The run will create the directory at this path.
    Missing(PathBuf),
}

impl Directories {
    /// Opens the directory at `path`, unless it is open already or the run must create it first. Returns its
    /// number, the same for all operands in it.
    pub(super) fn open(&mut self, path: &Path) -> Result<usize, Errno> {
        if let Some(&number) = self.numbers.get(path) {
            return Ok(number);
        }
        let resolved = self.resolved(path);
        self.dirs.push(match self.missing.contains_key(&resolved) {
            true => Dir::Missing(path.to_owned()),
            false => Dir::Open(file::open_dir(&resolved)?),
        });
        self.numbers.insert(path.to_owned(), self.dirs.len() - 1);
        Ok(self.dirs.len() - 1)
    }

    /// Whether the directory does not exist yet, so that the run must create it.
    pub(super) fn is_missing(&self, number: usize) -> bool {
        matches!(self.dirs[number], Dir::Missing(_))
    }

    /// Returns the status of `name` in the directory; does not follow a symbolic link.
    pub(super) fn stat(&self, number: usize, name: &CStr) -> Result<Stat, Errno> {
        file::stat_at(self.existing(number)?, name)
    }

    /// Returns the status of `name` in the directory; follows a symbolic link.
    pub(super) fn stat_end(&self, number: usize, name: &CStr) -> Result<Stat, Errno> {
        file::stat_at_following(self.existing(number)?, name)
    }

    /// Returns the identity of the directory; `None` if the run must create it first.
    pub(super) fn identity(&self, number: usize) -> Option<Identity> {
        file::stat_fd(self.existing(number).ok()?).ok().map(|stat| stat.identity())
    }

    /// Whether a walk of `source` comes to `target`, in the directory with this number. With
    /// `one_file_system`, the walk does not enter other file systems.
    pub(super) fn is_reached(
        &self,
        (number, target): (usize, &CStr),
        source: Identity,
        one_file_system: bool,
    ) -> bool {
        let enters = |dir: &Identity| !one_file_system || dir.0 == source.0;
        let is_reached =
            |dir: BorrowedFd<'_>| ancestors(dir).take_while(enters).any(|above| above == source);
        match &self.dirs[number] {
            Dir::Open(dir) => {
                let target = file::stat_at(dir, target).ok();
                let merged = target.filter(|target| target.kind() == Kind::Directory);
                merged.is_none_or(|target| enters(&target.identity())) && is_reached(dir.as_fd())
            }
            Dir::Missing(path) => {
                let mut above = path.ancestors().skip(1).map(or_here);
                let nearest = above.find_map(|above| file::open_dir(above).ok());
                nearest.is_some_and(|nearest| is_reached(nearest.as_fd()))
            }
        }
    }

    fn existing(&self, number: usize) -> Result<BorrowedFd<'_>, Errno> {
        match &self.dirs[number] {
            Dir::Open(dir) => Ok(dir.as_fd()),
            Dir::Missing(_) => Err(Errno::ENOENT),
        }
    }

    /// Removes from `path` each directory to be created that `..` follows, and this `..`: `a/new/../b`
    /// becomes `a/b`. This is correct, because such a directory is not a symbolic link.
    fn resolved(&self, path: &Path) -> PathBuf {
        let mut resolved = PathBuf::new();
        for part in path.components() {
            match part {
                Component::ParentDir if self.missing.contains_key(&resolved) => {
                    resolved.pop();
                }
                part => resolved.push(part),
            }
        }
        resolved
    }

    /// Returns the type of the entry at `path`, following symbolic links; also returns its number if it is a
    /// directory to be created.
    pub(super) fn kind_of_parent(&self, path: &Path) -> Result<(Kind, Option<usize>), Errno> {
        let resolved = self.resolved(path);
        match self.missing.get(&resolved) {
            Some(&number) => Ok((Kind::Directory, Some(number))),
            None => Ok((file::stat_path(&resolved, true)?.kind(), None)),
        }
    }

    /// Remembers an existing directory, so that the run sets its attributes.
    pub(super) fn keep_parent(&mut self, source: &Path, target: &Path) {
        if !self.parents.iter().any(|parent| parent.target == target) {
            let (source, target) = (source.to_owned(), target.to_owned());
            self.parents.push(Parent { source, target, new: false, mode: 0 });
        }
    }

    /// Remembers a directory that the run must create, and returns its number. Fails if it is already certain
    /// that the run cannot create it.
    pub(super) fn add_parent(
        &mut self,
        source: &Path,
        target: &Path,
        mode: u32,
    ) -> Result<usize, Errno> {
        let resolved = self.resolved(target);
        let above = or_here(resolved.parent().unwrap_or(&resolved));
        if file::stat_path(&resolved, false).is_ok() {
            return Err(Errno::EEXIST); // a dangling symbolic link
        }
        if !self.missing.contains_key(above) {
            file::may_write_dir(above)?;
        }
        let number = self.parents.len();
        let (source, target) = (source.to_owned(), target.to_owned());
        self.parents.push(Parent { source, target, new: true, mode });
        self.missing.insert(resolved, number);
        Ok(number)
    }

    /// Returns the directories above sources.
    pub(super) fn parents(&self) -> &[Parent] {
        &self.parents
    }

    /// Creates the directory with this number in [`parents`](Self::parents), unless it was created before.
    pub(super) fn create(&mut self, number: usize) -> Result<(), ParentError> {
        let parent = &mut self.parents[number];
        let resolved = self.missing.iter().find(|(_, missing)| **missing == number);
        let Some(resolved) = resolved.map(|(path, _)| path.clone()) else { return Ok(()) };
        let target = &parent.target;
        match file::stat_path(target, true) {
            // On a case-insensitive file system, the directory may be one that was just created under another
            // name.
            Ok(stat) if stat.kind() == Kind::Directory => parent.new = false,
            Ok(_) => return Err(ParentError::NotADirectory(target.clone())),
            Err(Errno::ENOENT) => file::make_dir_at_path(target, parent.mode)
                .map_err(|errno| ParentError::Create(target.clone(), errno))?,
            Err(errno) => return Err(ParentError::Stat(target.clone(), errno)),
        }
        self.missing.remove(&resolved);
        Ok(())
    }

    /// Opens a directory that was missing and has been created since.
    pub(super) fn open_created(&mut self, number: usize) -> Result<(), Errno> {
        if let Dir::Missing(path) = &self.dirs[number] {
            self.dirs[number] = Dir::Open(file::open_dir(path)?);
        }
        Ok(())
    }

    /// Drops the directories that could not be created. Returns the descriptors of the other directories, the
    /// new number of each directory (`None` if it was dropped), and the directories above sources.
    pub(super) fn finish(self) -> (Vec<OwnedFd>, Vec<Option<usize>>, Vec<Parent>) {
        let (mut fds, mut numbers) = (Vec::new(), Vec::new());
        for dir in self.dirs {
            numbers.push(match dir {
                Dir::Open(fd) => {
                    fds.push(fd);
                    Some(fds.len() - 1)
                }
                Dir::Missing(_) => None,
            });
        }
        let failed: Vec<usize> = self.missing.into_values().collect();
        let parents = self.parents.into_iter().enumerate();
        let parents = parents.filter(|(number, _)| !failed.contains(number));
        (fds, numbers, parents.map(|(_, parent)| parent).collect())
    }

    /// Removes the directories that were created for this run.
    pub(super) fn give_back(&self) {
        let missing: Vec<usize> = self.missing.values().copied().collect();
        let parents = self.parents.iter().enumerate();
        let created = parents.filter(|(number, _)| !missing.contains(number));
        remove_created(created.map(|(_, parent)| parent));
    }
}

/// Removes the directories that were created for this run, the lowest directories first.
pub(super) fn remove_created<'a>(parents: impl DoubleEndedIterator<Item = &'a Parent>) {
    for parent in parents.filter(|parent| parent.new).rev() {
        if std::fs::remove_dir(&parent.target).is_err() {
            // Another process already uses the directory.
        }
    }
}

/// Returns the path, or `.` if the path is empty.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}
