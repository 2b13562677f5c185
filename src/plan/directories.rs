//! The directories that operands are in, and the directories that `--parents` creates for them.
//!
//! While the plan is made, a directory that is missing is only remembered: what would be in it is found to be
//! missing, too. [`create`](Directories::create) creates it when the run begins.

use super::ancestors;
use super::notes::ParentError;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// A directory above a source, and the directory in the target that corresponds to it.
#[derive(Clone)]
pub struct Parent {
    /// As the user named it.
    pub source: PathBuf,
    /// As the user would name it.
    pub target: PathBuf,
    /// Whether it was created for this run; while the plan is made, whether it is to be.
    pub new: bool,
    /// The mode, before the umask, to create it with.
    mode: u32,
}

/// The directories of a plan in the making.
#[derive(Default)]
pub(super) struct Directories {
    dirs: Vec<Dir>,
    /// The numbers of `dirs`, by the paths that they were opened by.
    numbers: HashMap<PathBuf, usize>,
    /// Directories above sources, the upper ones first.
    parents: Vec<Parent>,
    /// Which of `parents` are to be created, by their paths without `..` below a directory to be created.
    missing: HashMap<PathBuf, usize>,
}

enum Dir {
    Open(OwnedFd),
    /// Will be created at this path when the run begins.
    Missing(PathBuf),
}

impl Directories {
    /// The number of the directory at `path`, which is opened once for all operands in it.
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

    /// Whether the directory has to be created first.
    pub(super) fn is_missing(&self, number: usize) -> bool {
        matches!(self.dirs[number], Dir::Missing(_))
    }

    /// What `name` in the directory is; a symbolic link is itself.
    pub(super) fn stat(&self, number: usize, name: &CStr) -> Result<Stat, Errno> {
        file::stat_at(self.existing(number)?, name)
    }

    /// The same; a symbolic link is followed.
    pub(super) fn stat_end(&self, number: usize, name: &CStr) -> Result<Stat, Errno> {
        file::stat_at_following(self.existing(number)?, name)
    }

    /// Which directory it is; `None` if it has to be created first.
    pub(super) fn identity(&self, number: usize) -> Option<Identity> {
        file::stat_fd(self.existing(number).ok()?).ok().map(|stat| stat.identity())
    }

    /// Whether the directory, or one above it, is `dir`.
    pub(super) fn is_inside(&self, number: usize, dir: Identity) -> bool {
        match &self.dirs[number] {
            Dir::Open(own) => ancestors(own.as_fd()).any(|above| above == dir),
            Dir::Missing(path) => {
                let nearest = path
                    .ancestors()
                    .skip(1)
                    .map(or_here)
                    .find_map(|above| file::open_dir(above).ok());
                nearest.is_some_and(|above| ancestors(above.as_fd()).any(|above| above == dir))
            }
        }
    }

    fn existing(&self, number: usize) -> Result<BorrowedFd<'_>, Errno> {
        match &self.dirs[number] {
            Dir::Open(dir) => Ok(dir.as_fd()),
            Dir::Missing(_) => Err(Errno::ENOENT),
        }
    }

    /// `path` without the parts `..` that follow a directory to be created, which is no symbolic link.
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

    /// What kind of entry `path` is, and which of the directories to be created. Symbolic links are followed.
    pub(super) fn kind_of_parent(&self, path: &Path) -> Result<(Kind, Option<usize>), Errno> {
        let resolved = self.resolved(path);
        match self.missing.get(&resolved) {
            Some(&number) => Ok((Kind::Directory, Some(number))),
            None => Ok((file::stat_path(&resolved, true)?.kind(), None)),
        }
    }

    /// Remembers a directory that exists already.
    pub(super) fn keep_parent(&mut self, source: &Path, target: &Path) {
        if !self.parents.iter().any(|parent| parent.target == target) {
            let (source, target) = (source.to_owned(), target.to_owned());
            self.parents.push(Parent { source, target, new: false, mode: 0 });
        }
    }

    /// Remembers a directory that is to be created, and returns its number. Fails if it is clear already that
    /// it cannot be.
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

    /// The directories above sources.
    pub(super) fn parents(&self) -> &[Parent] {
        &self.parents
    }

    /// Creates one of them, unless that was done before.
    pub(super) fn create(&mut self, number: usize) -> Result<(), ParentError> {
        let parent = &mut self.parents[number];
        let resolved = self.missing.iter().find(|(_, missing)| **missing == number);
        let Some(resolved) = resolved.map(|(path, _)| path.clone()) else { return Ok(()) };
        let target = &parent.target;
        match file::stat_path(target, true) {
            // On a case-insensitive file system it may be one that was just created.
            Ok(stat) if stat.kind() == Kind::Directory => parent.new = false,
            Ok(_) => return Err(ParentError::NotADirectory(target.clone())),
            Err(Errno::ENOENT) => file::make_dir_at_path(target, parent.mode)
                .map_err(|errno| ParentError::Create(target.clone(), errno))?,
            Err(errno) => return Err(ParentError::Stat(target.clone(), errno)),
        }
        self.missing.remove(&resolved);
        Ok(())
    }

    /// Opens a directory that was missing and is created by now.
    pub(super) fn open_created(&mut self, number: usize) -> Result<(), Errno> {
        if let Dir::Missing(path) = &self.dirs[number] {
            self.dirs[number] = Dir::Open(file::open_dir(path)?);
        }
        Ok(())
    }

    /// Forgets the directories that could not be created, and removes their numbers: the descriptors of the
    /// others, the new number of each, and the directories above sources.
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

    /// Removes the directories that were created.
    pub(super) fn give_back(&self) {
        let missing: Vec<usize> = self.missing.values().copied().collect();
        let parents = self.parents.iter().enumerate();
        let created = parents.filter(|(number, _)| !missing.contains(number));
        remove_created(created.map(|(_, parent)| parent));
    }
}

/// Removes those of the directories that were created for this run, the lower ones first.
pub(super) fn remove_created<'a>(parents: impl DoubleEndedIterator<Item = &'a Parent>) {
    for parent in parents.filter(|parent| parent.new).rev() {
        if std::fs::remove_dir(&parent.target).is_err() {
            // Another process uses it already.
        }
    }
}

/// The path, or the current directory if it is empty.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}
