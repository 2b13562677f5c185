//! Where things go in the compat of cp: nothing is refused but what cp gives up on at once, and
//! what is wrong with one source is told while the others are copied.

use super::backup_name::{numbered_suffix, split_number};
use super::placement_native::{Planner, place_of};
use super::split_path::{SplitPath, name_of};
use super::{NoteKind, Operand, ParentError, ancestors, op_to_create};
use crate::error::{EntryError, Op, Refusal};
use crate::options::{Control, Dereference, Operands, Permissions};
use crate::shell_quote::quote;
use pcopy_sys::file::{self, Kind, Stat};
use pcopy_sys::{Errno, describe};
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

impl Planner<'_> {
    pub(super) fn add_all_as_cp(&mut self, operands: &Operands) -> Result<(), Refusal> {
        match operands {
            Operands::Exactly { source, target } => self.cp_onto(source, target),
            Operands::Into { sources, directory } => match is_directory(directory) {
                Ok(()) => self.cp_into(sources, directory),
                Err(errno) => return Err(no_target("target directory", directory, errno)),
            },
            Operands::Onto { sources, target } => match (is_directory(target), &sources[..]) {
                (Ok(()), _) => self.cp_into(sources, target),
                (Err(_), [source]) => self.cp_onto(source, target),
                (Err(errno), _) => return Err(no_target("target", target, errno)),
            },
            Operands::Beside { .. } => {} // no form of cp's
        }
        Ok(())
    }

    fn cp_into(&mut self, sources: &[PathBuf], directory: &Path) {
        for source in sources {
            let split = SplitPath::parse(source);
            if self.parents {
                self.cp_with_parents(&split, directory);
                continue;
            }
            // 'SRC/..' is not copied to 'DIRECTORY/..'.
            let (name, shown) = match split.name.as_bytes() {
                b".." => (OsStr::new("."), directory.to_owned()),
                b"" | b"." => (OsStr::new("."), directory.join(".")),
                _ => (split.name, directory.join(split.name)),
            };
            self.cp_add(&split, directory, name, shown);
        }
    }

    fn cp_onto(&mut self, source: &Path, target: &Path) {
        let split = SplitPath::parse(source);
        let other;
        let target = if self.is_for_backup_alone(source, target) {
            other = self.backup_name(target);
            &other
        } else {
            target
        };
        let place = SplitPath::parse(target);
        let exists = place.stat();
        let (parent, name) = match exists {
            Ok(_) => place.split(),
            Err(Errno::ENOTDIR) if place.slash_at_end => {
                return self.cp_fail(Op::LookAtTarget, Errno::ENOTDIR, source, target);
            }
            Err(_) if place.nameless => place.split(),
            Err(_) => (Path::new(place.parent), place.name),
        };
        let through = self.follow() || split.nameless || split.slash_at_end;
        let stat = file::stat_path(source, through).ok();
        if let Some(stat) = stat.filter(|stat| stat.kind() != Kind::Directory)
            && place.slash_at_end
            && exists.is_err()
        {
            let op = op_to_create(self.options, &stat);
            let errno = if op == Op::Create { Errno::ENOTDIR } else { Errno::ENOENT };
            self.cp_announce(source, target);
            return self.cp_fail(op, errno, source, target);
        }
        self.cp_add(&split, parent, name, target.to_owned());
    }

    /// `cp --force --backup f f` makes a backup of `f`, which would otherwise be its own target.
    fn is_for_backup_alone(&self, source: &Path, target: &Path) -> bool {
        self.options.force
            && self.options.backup.is_some()
            && source.as_os_str() == target.as_os_str()
            && file::stat_path(target, true).is_ok_and(|stat| stat.kind() == Kind::File)
    }

    /// The path that the next backup of `target` would have.
    fn backup_name(&self, target: &Path) -> PathBuf {
        let Some(backup) = &self.options.backup else { return target.to_owned() };
        let own = target.file_name().unwrap_or_default().as_bytes();
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let listed = std::fs::read_dir(parent.unwrap_or(Path::new("."))).into_iter().flatten();
        let numbers = listed.flatten().filter_map(|operand| {
            let name = operand.file_name();
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

    /// Copies a source to its own path below the directory, and makes the folders on the way.
    fn cp_with_parents(&mut self, source: &SplitPath<'_>, directory: &Path) {
        let (mut from, mut to) = (PathBuf::new(), directory.to_owned());
        if source.nameless && source.parent == "." {
            return self.cp_add(source, directory, OsStr::new("."), directory.join(source.given));
        }
        for part in Path::new(source.parent).components() {
            from.push(part);
            match part {
                Component::Normal(name) => to.push(name),
                Component::ParentDir => to.push(".."),
                _ => continue,
            }
            if let Err(error) = self.cp_make_parent(&from, &to) {
                return self.note(NoteKind::ParentFailed(error));
            }
        }
        if source.name == ".." && self.made.last().is_some_and(|parent| parent.new) {
            let target = to.join("..");
            return self.cp_fail(Op::CreateDirectory, Errno::EEXIST, source.given, &target);
        }
        let name = if source.nameless { OsStr::new(".") } else { source.name };
        self.cp_add(source, &to, name, to.join(source.name));
    }

    fn cp_make_parent(&mut self, source: &Path, target: &Path) -> Result<(), ParentError> {
        let source_stat = file::stat_path(source, true)
            .map_err(|errno| ParentError::Stat(source.to_owned(), errno))?;
        match file::stat_path(target, true) {
            Ok(stat) if stat.kind() == Kind::Directory => {
                // With -p it is as if it were new.
                let known = self.made.iter().any(|parent| parent.target == target);
                if self.options.preserve.permissions == Permissions::Exact && !known {
                    self.put_parent(source, target, false);
                }
                return Ok(());
            }
            Ok(_) => return Err(ParentError::NotADirectory(target.to_owned())),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(ParentError::Stat(target.to_owned(), errno)),
        }
        if source_stat.kind() != Kind::Directory {
            return Err(ParentError::Stat(source.to_owned(), Errno::ENOTDIR));
        }
        let bits = self.options.preserve.bits_from_birth(source_stat.permissions());
        file::make_dir_at_path(target, bits)
            .map_err(|errno| ParentError::Create(target.to_owned(), errno))?;
        let [from, to] = [source, target].map(Path::to_owned);
        self.note(NoteKind::ParentMade { source: from, target: to });
        self.put_parent(source, target, true);
        Ok(())
    }

    fn cp_add(
        &mut self,
        source: &SplitPath<'_>,
        target_dir: &Path,
        target_name: &OsStr,
        target_shown: PathBuf,
    ) {
        let through = self.follow() || source.nameless || source.slash_at_end;
        let stat = match file::stat_path(source.given, through) {
            Ok(stat) => stat,
            Err(errno) => return self.cp_fail(Op::Stat, errno, source.given, &target_shown),
        };
        let is_dir = stat.kind() == Kind::Directory;
        if is_dir && !self.options.recursive {
            return self.note(NoteKind::DirectoryOmitted(source.given.to_owned()));
        }
        let is_link =
            || file::stat_path(source.given, false).is_ok_and(|stat| stat.kind() == Kind::Symlink);
        let follow = self.follow() && !source.nameless && !source.slash_at_end && is_link();
        let (source_parent, source_name) = place_of(source, follow && is_dir);
        let source_dir = match self.open_dir(source_parent) {
            Ok(number) => number,
            Err(errno) => {
                let op = if is_dir { Op::ReadDirectory } else { Op::Stat };
                return self.cp_fail(op, errno, source.given, &target_shown);
            }
        };
        let target_dir = match self.open_dir(target_dir) {
            Ok(number) => number,
            Err(Errno::ENOENT) => {
                if !is_dir {
                    self.cp_announce(source.given, &target_shown);
                }
                let op = op_to_create(self.options, &stat);
                return self.cp_fail(op, Errno::ENOENT, source.given, &target_shown);
            }
            Err(errno) => {
                return self.cp_fail(Op::LookAtTarget, errno, source.given, &target_shown);
            }
        };
        let target_name = name_of(target_name);
        let place = self.dirs[target_dir].as_fd();
        let old = file::stat_at(place, &target_name).ok();
        let written = |old: Stat| match old.kind() {
            Kind::Directory => None,
            Kind::Symlink => file::stat_at_end(place, &target_name).ok(),
            _ => Some(old),
        };
        let written = old.and_then(written).map(|stat| stat.identity());
        let (source_identity, device) = (stat.identity(), stat.identity().0);
        let into_itself = is_dir && ancestors(place).any(|above| above == source_identity);
        let operand = Operand {
            source_name: name_of(source_name),
            target_name,
            source_shown: source.given.to_owned(),
            target_shown,
            listed: Vec::new(), // cp has no manifests
            is_dir,
            device,
            again: Vec::new(),
            follow: follow && !is_dir,
            into_itself: into_itself.then_some(stat),
            written,
            identity: source_identity,
            source_dir,
            target_dir,
        };
        if is_dir && self.options.dereference != Dereference::Always {
            let number = u32::try_from(self.operands.len()).unwrap_or(u32::MAX);
            self.named_dirs.entry(source_identity).or_insert(number);
        }
        // A symlink to its directory is another directory to cp.
        let parent = file::stat_path(Path::new(source.parent), false);
        self.put(operand, source_identity, parent.ok().map(|stat| stat.identity()));
    }

    /// Has a source reported as being copied, though copying it will fail.
    fn cp_announce(&mut self, source: &Path, target: &Path) {
        let [source, target] = [source, target].map(Path::to_owned);
        self.note(NoteKind::Announced { source, target });
    }

    fn cp_fail(&mut self, op: Op, errno: Errno, source: &Path, target: &Path) {
        let [source, target] = [source, target].map(Path::to_owned);
        self.note(NoteKind::Failed { error: EntryError { op, errno }, source, target });
    }
}

/// Whether things can be copied into `path`; the error says why not.
fn is_directory(path: &Path) -> Result<(), Errno> {
    match file::stat_path(path, true)?.kind() {
        Kind::Directory => Ok(()),
        _ => Err(Errno::ENOTDIR),
    }
}

fn no_target(what: &str, target: &Path, errno: Errno) -> Refusal {
    let target = quote(target.as_os_str().as_bytes());
    Refusal { message: format!("{what} {target}: {}", describe(errno)), hint: None }
}
