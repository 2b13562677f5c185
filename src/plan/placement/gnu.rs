//! The rules of GNU cp for targets. If a source cannot be copied, cp does not refuse the whole command: it
//! reports this source and copies the other sources.

use super::super::backup_name::{numbered_suffix, split_number};
use super::super::notes::{NoteKind, ParentError};
use super::super::op_to_create;
use super::super::operands::{FoundSource, Operand, SplitPath, TargetPlace};
use super::{Placement, identity_of};
use crate::error::{EntryError, Op};
use crate::options::{Control, Operands};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Finds a target for each source.
pub(super) fn place(placed: &mut Placement, operands: &Operands) {
    GnuRules { placed }.place(operands);
}

/// The rules, applied to one command line; `placed` has the operands for which they have found a target so
/// far.
struct GnuRules<'p> {
    placed: &'p mut Placement,
}

impl GnuRules<'_> {
    /// Finds a target for each source.
    fn place(&mut self, operands: &Operands) {
        match operands {
            Operands::Exactly { source, target } => self.copy_onto(source, target),
            Operands::Into { sources, directory } => match is_directory(directory) {
                Ok(()) => self.copy_into(sources, directory),
                Err(errno) => self.report_no_target(true, directory, errno),
            },
            Operands::Onto { sources, target } => match (is_directory(target), &sources[..]) {
                (Ok(()), _) => self.copy_into(sources, target),
                (Err(_), [source]) => self.copy_onto(source, target),
                (Err(errno), _) => self.report_no_target(false, target, errno),
            },
            Operands::Beside { .. } => {} // cp has no such form
        }
    }

    fn report_no_target(&mut self, is_argument: bool, target: &Path, errno: Errno) {
        let target = target.to_owned();
        self.placed.note(NoteKind::TargetNotDirectory { is_argument, target, errno });
    }

    fn copy_into(&mut self, sources: &[PathBuf], directory: &Path) {
        for source in sources {
            let split = SplitPath::parse(source);
            if self.placed.with_parents {
                self.copy_with_parents(&split, directory);
                continue;
            }
            // cp copies `SRC/..` to `DIRECTORY/.`, and not to `DIRECTORY/..`.
            let (name, path) = match split.name.as_bytes() {
                b".." => (OsStr::new("."), directory.to_owned()),
                b"" | b"." => (OsStr::new("."), directory.join(".")),
                _ => (split.name, directory.join(split.name)),
            };
            self.add(&split, directory, name, path);
        }
    }

    fn copy_onto(&mut self, source: &Path, target: &Path) {
        let split = SplitPath::parse(source);
        let other;
        let target = if self.is_for_backup_alone(source, target) {
            other = self.backup_path(target);
            &other
        } else {
            target
        };
        let place = SplitPath::parse(target);
        let exists = place.stat();
        let (parent, name) = match exists {
            Ok(_) => place.split(),
            Err(Errno::ENOTDIR) if place.slash_at_end => {
                return self.fail(Op::StatTarget, Errno::ENOTDIR, source, target);
            }
            Err(_) if place.nameless => place.split(),
            Err(_) => (Path::new(place.parent), place.name),
        };
        let through = self.placed.follows_operands() || split.is_itself();
        let stat = file::stat_path(source, through).ok();
        if let Some(stat) = stat.filter(|stat| stat.kind() != Kind::Directory)
            && place.slash_at_end
            && exists.is_err()
        {
            let op = op_to_create(&self.placed.options, &stat);
            let errno = if op == Op::Create { Errno::ENOTDIR } else { Errno::ENOENT };
            self.announce(source, target);
            return self.fail(op, errno, source, target);
        }
        self.add(&split, parent, name, target.to_owned());
    }

    /// Whether the command only makes a backup: `cp --force --backup f f` backs up `f`, whose target would
    /// otherwise be `f` itself.
    fn is_for_backup_alone(&self, source: &Path, target: &Path) -> bool {
        self.placed.options.force
            && self.placed.options.backup.is_some()
            && source.as_os_str() == target.as_os_str()
            && file::stat_path(target, true).is_ok_and(|stat| stat.kind() == Kind::File)
    }

    /// Returns the path that the next backup of `target` would have.
    fn backup_path(&self, target: &Path) -> PathBuf {
        let Some(backup) = &self.placed.options.backup else { return target.to_owned() };
        let own = target.file_name().unwrap_or_default().as_bytes();
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let entries = std::fs::read_dir(parent.unwrap_or(Path::new("."))).into_iter().flatten();
        let numbers = entries.flatten().filter_map(|entry| {
            let name = entry.file_name();
            split_number(name.as_bytes()).filter(|(name, _)| *name == own).map(|(_, number)| number)
        });
        let highest = numbers.max().unwrap_or(0);
        let numbered = match backup.control {
            Control::Simple => false,
            Control::Numbered => true,
            Control::Existing => highest > 0,
        };
        let mut path: OsString = target.as_os_str().to_owned();
        if numbered {
            path.push(numbered_suffix(highest + 1));
        } else {
            path.push(&backup.suffix);
        }
        path.into()
    }

    /// Finds the target of a source with `--parents`: the directories above the source are created below
    /// `directory`.
    fn copy_with_parents(&mut self, source: &SplitPath<'_>, directory: &Path) {
        if source.nameless && source.parent == "." {
            return self.add(source, directory, OsStr::new("."), directory.join(source.given));
        }
        let before = self.placed.count();
        let (mut from, mut to) = (PathBuf::new(), directory.to_owned());
        let (mut missing, mut is_last_new) = (Vec::new(), false);
        for part in Path::new(source.parent).components() {
            from.push(part);
            match part {
                Component::Normal(name) => to.push(name),
                Component::ParentDir => to.push(".."),
                _ => continue,
            }
            let known = self.placed.dirs.parents().len();
            match self.add_parent(&from, &to) {
                Ok(number) => {
                    missing.extend(number);
                    let added = &self.placed.dirs.parents()[known..];
                    is_last_new = added.iter().any(|parent| parent.new);
                }
                Err(error) => {
                    let notes = self.placed.notes.len();
                    self.placed.note(NoteKind::ParentFailed(error));
                    return self.placed.push_creation(missing, before, notes);
                }
            }
        }
        let notes = self.placed.notes.len();
        if source.name == ".." && is_last_new {
            // cp takes what is in a directory that it has just created for new, and this is not.
            let target = to.join("..");
            self.fail(Op::CreateDirectory, Errno::EEXIST, source.given, &target);
        } else if source.name == ".." {
            let above = to.join("..");
            self.add(source, &above, OsStr::new("."), above.clone());
        } else {
            let name = if source.nameless { OsStr::new(".") } else { source.name };
            self.add(source, &to, name, to.join(source.name));
        }
        self.placed.push_creation(missing, before, notes);
    }

    /// Plans a directory above a source. Returns its number if the run must create it.
    fn add_parent(&mut self, source: &Path, target: &Path) -> Result<Option<usize>, ParentError> {
        let stat = file::stat_path(source, true)
            .map_err(|errno| ParentError::Stat(source.to_owned(), errno))?;
        match self.placed.dirs.kind_of_parent(target) {
            Ok((Kind::Directory, missing)) => {
                if self.placed.updates_parents() {
                    self.placed.dirs.keep_parent(source, target);
                }
                return Ok(missing);
            }
            Ok(_) => return Err(ParentError::NotADirectory(target.to_owned())),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(ParentError::Stat(target.to_owned(), errno)),
        }
        if stat.kind() != Kind::Directory {
            return Err(ParentError::Stat(source.to_owned(), Errno::ENOTDIR));
        }
        // the umask is not cleared yet, so the kernel applies it
        let mode = self.placed.options.initial_mode(&stat, 0);
        let number = self
            .placed
            .dirs
            .add_parent(source, target, mode)
            .map_err(|errno| ParentError::Create(target.to_owned(), errno))?;
        let (source, target) = (source.to_owned(), target.to_owned());
        self.placed.note(NoteKind::ParentCreated { source, target });
        Ok(Some(number))
    }

    fn add(
        &mut self,
        source: &SplitPath<'_>,
        target_dir: &Path,
        target_name: &OsStr,
        target_path: PathBuf,
    ) {
        match self.find_operand(source, target_dir, target_name, target_path) {
            Ok(operand) => {
                // `identity_of` does not follow a symbolic link here, because for cp a link to a directory
                // and the directory itself are two directories.
                let parent = identity_of(Path::new(source.parent), false);
                self.placed.push(operand, parent.ok());
            }
            Err(kind) => self.placed.note(kind),
        }
    }

    fn find_operand(
        &mut self,
        source: &SplitPath<'_>,
        target_dir: &Path,
        target_name: &OsStr,
        target_path: PathBuf,
    ) -> Result<Operand, NoteKind> {
        let found = self.find_source(source, &target_path)?;
        let stat = found.stat;
        let is_dir = stat.kind() == Kind::Directory;
        let dir = match self.placed.dirs.open(target_dir) {
            Ok(number) => number,
            Err(Errno::ENOENT) => {
                if !is_dir {
                    self.announce(source.given, &target_path);
                }
                let op = op_to_create(&self.placed.options, &stat);
                return Err(failed(op, Errno::ENOENT, source.given, &target_path));
            }
            Err(errno) => return Err(failed(Op::StatTarget, errno, source.given, &target_path)),
        };
        let manifest_prefix = Vec::new(); // cp has no manifests
        let target = TargetPlace { path: target_path, dir, name: target_name, manifest_prefix };
        let mut operand = Operand::new(found, target);
        let written = |existing: Stat| match existing.kind() {
            Kind::Directory => None,
            Kind::Symlink => self.placed.dirs.stat_end(dir, &operand.target_name).ok(),
            _ => Some(existing),
        };
        let existing = self.placed.dirs.stat(dir, &operand.target_name).ok();
        operand.written = existing.and_then(written).map(|stat| stat.identity());
        operand.into_itself = (is_dir && self.placed.comes_to_target(&operand)).then_some(stat);
        Ok(operand)
    }

    fn find_source<'a>(
        &mut self,
        source: &SplitPath<'a>,
        target: &Path,
    ) -> Result<FoundSource<'a>, NoteKind> {
        let through = self.placed.follows_operands() || source.is_itself();
        let stat = file::stat_path(source.given, through)
            .map_err(|errno| failed(Op::Stat, errno, source.given, target))?;
        let is_dir = stat.kind() == Kind::Directory;
        if is_dir && !self.placed.options.recursive {
            return Err(NoteKind::DirectoryOmitted { source: source.given.to_owned() });
        }
        let is_link =
            || file::stat_path(source.given, false).is_ok_and(|stat| stat.kind() == Kind::Symlink);
        let follow = self.placed.follows_operands() && !source.is_itself() && is_link();
        let (parent, name) = source.split_end(follow && is_dir);
        let dir = self.placed.dirs.open(parent).map_err(|errno| {
            let op = if is_dir { Op::ReadDirectory } else { Op::Stat };
            failed(op, errno, source.given, target)
        })?;
        Ok(FoundSource { path: source.given, dir, name, stat, follow })
    }

    /// Adds a note that the operand is about to be copied, although the copy will fail.
    fn announce(&mut self, source: &Path, target: &Path) {
        let (source, target) = (source.to_owned(), target.to_owned());
        self.placed.note(NoteKind::Announced { source, target });
    }

    fn fail(&mut self, op: Op, errno: Errno, source: &Path, target: &Path) {
        self.placed.note(failed(op, errno, source, target));
    }
}

impl Placement {
    /// Creates the directories above an operand. The error says why the operand cannot be copied.
    pub(super) fn create_gnu(
        &mut self,
        parents: &[usize],
        operand: Option<u32>,
    ) -> Result<(), NoteKind> {
        for &parent in parents {
            self.dirs.create(parent).map_err(NoteKind::ParentFailed)?;
        }
        let Some(operand) = operand.map(|number| &self.operands[number as usize]) else {
            return Ok(());
        };
        self.dirs.open_created(operand.target_dir).map_err(|errno| {
            failed(Op::StatTarget, errno, &operand.source_path, &operand.target_path)
        })
    }
}

fn failed(op: Op, errno: Errno, source: &Path, target: &Path) -> NoteKind {
    let (source, target) = (source.to_owned(), target.to_owned());
    NoteKind::Failed { error: EntryError { op, errno }, source, target }
}

/// Checks that sources can be copied into `path`; the error says why not.
fn is_directory(path: &Path) -> Result<(), Errno> {
    match file::stat_path(path, true)?.kind() {
        Kind::Directory => Ok(()),
        _ => Err(Errno::ENOTDIR),
    }
}
