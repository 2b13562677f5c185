//! The rules of `pcopy` for targets.

mod refusals;

use super::Placement;
use crate::error::Refusal;
use crate::options::Operands;
use crate::plan::DirOrigin;
use crate::plan::directories::Parent;
use crate::plan::manifest_place::{prefix_alone, prefix_below};
use crate::plan::notes::{NoteKind, ParentError};
use crate::plan::operands::{FoundSource, Operand, SplitPath, TargetPlace, errno_of, trim};
use crate::plan::stream_target::StreamTarget;
use crate::sanitize::quote;
use crate::staging::{is_unfinished, staged_name};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use refusals::{cannot_open, cannot_write, has_most_names_of, not_a_directory, shown, two_sources};
use std::collections::HashSet;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Finds a target for each source.
pub(super) fn place(placed: &mut Placement, operands: &Operands) -> Result<(), Refusal> {
    NativeRules::new(placed, false).place(operands)
}

/// Finds the targets of sources that are only compared.
pub(super) fn place_to_compare(placed: &mut Placement, operands: &Operands) -> Result<(), Refusal> {
    NativeRules::new(placed, true).place(operands)?;
    let mut targets = HashSet::new();
    for operand in &placed.operands {
        if !targets.insert((operand.target_dir, &operand.target_name)) {
            return Err(Refusal {
                message: format!("several sources would become {}", shown(&operand.target_path)),
                hint: Some(
                    "sources of one name cannot be distinguished; compare them one by one".into(),
                ),
            });
        }
    }
    Ok(())
}

/// The rules, applied to one command line.
pub(super) struct NativeRules<'p> {
    /// The operands for which the rules have found a target so far.
    pub(super) placed: &'p mut Placement,
    /// Whether sources are only compared with their targets.
    pub(super) compares: bool,
    /// Whether the command line names one source. If it cannot be copied at all, the run is refused; of several, the
    /// others are copied.
    pub(super) has_one_source: bool,
    /// The existing directory that sources are copied into; `None` if the command line names the target
    /// itself.
    into: Option<PathBuf>,
    /// The names under which operands may be staged, each with the number of its directory.
    staged: HashSet<(usize, CString)>,
}

impl<'p> NativeRules<'p> {
    fn new(placed: &'p mut Placement, compares: bool) -> Self {
        Self { placed, compares, has_one_source: false, into: None, staged: HashSet::new() }
    }

    /// Finds a target for each source.
    fn place(&mut self, operands: &Operands) -> Result<(), Refusal> {
        self.has_one_source = match operands {
            Operands::Into { sources, .. } | Operands::Onto { sources, .. } => sources.len() == 1,
            Operands::Beside { .. } | Operands::Exactly { .. } => true,
        };
        match operands {
            Operands::Beside { source, suffix } => self.copy_beside(source, suffix),
            Operands::Exactly { source, target } => self.copy_onto(source, target),
            Operands::Into { sources, directory } => self.copy_into(sources, directory),
            Operands::Onto { sources, target } => {
                if is_directory(target) {
                    self.copy_into(sources, target)?;
                    self.note_earlier_copy(target);
                    Ok(())
                } else if let ([source], false) = (&sources[..], self.placed.with_parents) {
                    self.copy_onto(source, target)
                } else {
                    Err(not_a_directory(target))
                }
            }
        }
    }

    /// Notes that a single source is copied into what looks like an earlier copy of it: then the user may have meant to
    /// update that copy, for which `-T` is needed.
    fn note_earlier_copy(&mut self, directory: &Path) {
        let [operand] = &self.placed.operands[..] else { return };
        let is_new = operand.target_path.symlink_metadata().is_err();
        if !self.compares
            && operand.is_dir
            && is_new
            && has_most_names_of(directory, &operand.source_path)
        {
            let target = operand.target_path.clone();
            self.placed.note(NoteKind::IntoCopy { directory: directory.to_owned(), target });
        }
    }

    fn copy_beside(&mut self, source: &Path, suffix: &OsStr) -> Result<(), Refusal> {
        let split = SplitPath::parse(source);
        let whole;
        let split = if split.nameless {
            whole = source
                .canonicalize()
                .map_err(|error| Refusal::cannot("stat", source, errno_of(&error)))?;
            SplitPath::parse(&whole)
        } else {
            split
        };
        if split.nameless {
            return Err(Refusal {
                message: format!("{} has no place beside it", quote(b"/")),
                hint: Some("name the target, too: pcopy SRC DST".into()),
            });
        }
        let mut name = split.name.to_owned();
        name.push(suffix);
        let target = match split.parent.as_bytes() {
            b"." => PathBuf::from(name),
            parent => Path::new(OsStr::from_bytes(parent)).join(name),
        };
        let place = SplitPath::parse(&target);
        self.copy_over(source, &place, place.stat())
    }

    fn copy_into(&mut self, sources: &[PathBuf], directory: &Path) -> Result<(), Refusal> {
        if !is_directory(directory) {
            return Err(not_a_directory(directory));
        }
        self.into = Some(directory.to_owned());
        if self.placed.with_parents {
            return self.copy_with_parents(sources, directory);
        }
        for source in sources {
            let split = SplitPath::parse(source);
            // As with cp, `SRC/.` and `..` stand for the contents of the directory.
            let (name, path) = if split.nameless {
                (OsStr::new("."), directory.to_owned())
            } else {
                (split.name, directory.join(split.name))
            };
            self.add(&split, directory, name, path)?;
        }
        Ok(())
    }

    /// Finds a target for each source with `--parents`: the directories above the source are created below
    /// `directory`. Checks all sources first.
    fn copy_with_parents(&mut self, sources: &[PathBuf], directory: &Path) -> Result<(), Refusal> {
        for source in sources {
            self.check_source_with_parents(source)?;
        }
        self.check_parents(sources, directory)?;
        for source in sources {
            let split = SplitPath::parse(trim(source));
            let Some(SourceParents { parents, place }) = SourceParents::of(source) else {
                continue;
            };
            // `a/b/.` has the name `b`; `.` and `/` have no name.
            let Some(name) = place.file_name() else {
                self.add(&split, directory, OsStr::new("."), directory.to_owned())?;
                continue;
            };
            let target = directory.join(&place);
            if split.stat().is_ok_and(|stat| self.leaves_out(&split, &stat, &target)) {
                self.placed.left_out += 1;
                continue;
            }
            let before = self.placed.count();
            let mut missing = Vec::new();
            for (from, to) in parents {
                missing.extend(self.add_parent(&from, &directory.join(to))?);
            }
            let notes = self.placed.notes.len();
            let to = directory.join(&place);
            self.add(&split, to.parent().unwrap_or(directory), name, to.clone())?;
            self.placed.push_creation(missing, before, notes);
        }
        Ok(())
    }

    /// Plans a directory above a source. Returns its number if the run must create it.
    fn add_parent(&mut self, source: &Path, target: &Path) -> Result<Option<usize>, Refusal> {
        let cannot = |errno| Refusal::cannot("create directory", target, errno);
        match self.placed.dirs.kind_of_parent(target) {
            Ok((Kind::Directory, missing)) => {
                // A killed run may have created this directory and not set its attributes.
                if self.placed.updates_parents() {
                    self.placed.dirs.keep_parent(source, target);
                }
                Ok(missing)
            }
            Ok(_) => Err(cannot(Errno::EEXIST)),
            Err(Errno::ENOENT) => {
                let stat = file::stat_path(source, true).map_err(cannot)?;
                // the umask is not cleared yet, so the kernel applies it
                let mode = self.placed.options.initial_mode(&stat, 0);
                self.placed.dirs.add_parent(source, target, mode).map(Some).map_err(cannot)
            }
            Err(errno) => Err(cannot(errno)),
        }
    }

    /// Finds the target of a source for which the command line names the target itself.
    fn copy_onto(&mut self, source: &Path, target: &Path) -> Result<(), Refusal> {
        let place = SplitPath::parse(target);
        let exists = place.stat();
        if !self.compares
            && let Some(stream) = StreamTarget::find(&place, exists, &self.placed.options)?
        {
            return self.write_into(source, &place, stream);
        }
        self.copy_over(source, &place, exists)
    }

    /// Adds an operand that is written into `stream`.
    fn write_into(
        &mut self,
        source: &Path,
        place: &SplitPath<'_>,
        stream: StreamTarget,
    ) -> Result<(), Refusal> {
        let found = self.find(&SplitPath::parse(source))?;
        stream.check_source(&found, place, &self.placed.options)?;
        // A descriptor needs no directory; its name is only shown.
        let by_name = stream.descriptor.is_none();
        let dir = if by_name { Path::new(place.parent) } else { Path::new(".") };
        let operand = Operand::new(
            found,
            TargetPlace {
                path: place.given.to_owned(),
                dir: self.open(dir, "open directory")?,
                name: place.name,
                manifest_prefix: Vec::new(),
            },
        );
        self.placed.stream = Some(stream);
        self.placed.push(operand, None);
        Ok(())
    }

    /// Finds the target of a source that replaces or creates `place`; `exists` is the status of `place`.
    fn copy_over(
        &mut self,
        source: &Path,
        place: &SplitPath<'_>,
        exists: Result<Stat, Errno>,
    ) -> Result<(), Refusal> {
        let (split, target) = (SplitPath::parse(source), place.given);
        if place.slash_at_end
            && exists.is_err()
            && split.stat().is_ok_and(|stat| stat.kind() != Kind::Directory)
        {
            return Err(Refusal::cannot("create", target, Errno::ENOTDIR));
        }
        let (parent, name) = match exists {
            Ok(_) => place.split(),
            Err(_) if place.nameless => place.split(),
            Err(_) => (Path::new(place.parent), place.name),
        };
        let path = if place.nameless { target } else { trim(target) };
        self.add(&split, parent, name, path.to_owned())
    }

    fn add(
        &mut self,
        source: &SplitPath<'_>,
        target_dir: &Path,
        target_name: &OsStr,
        target_path: PathBuf,
    ) -> Result<(), Refusal> {
        let found = self.find(source)?;
        let stat = found.stat;
        if self.leaves_out(source, &stat, &target_path) {
            self.placed.left_out += 1;
            return Ok(());
        }
        let dir = if self.compares {
            let opened = self.placed.dirs.open(target_dir);
            opened.map_err(|errno| Refusal::cannot("open directory", target_dir, errno))?
        } else {
            self.open(target_dir, "create a copy in")?
        };
        let manifest_prefix = match &self.into {
            Some(directory) => prefix_below(directory, &target_path),
            None => prefix_alone(stat.kind() == Kind::Directory, target_name),
        };
        let target = TargetPlace { path: target_path, dir, name: target_name, manifest_prefix };
        let mut operand = Operand::new(found, target);
        operand.destination = self.origin_of_destination(&operand);
        self.check(&operand, &stat, target_dir)?;
        operand.target_is_left_out = operand.is_dir && self.placed.leaves_out_target(&operand);
        self.check_symlink(&operand)?;
        self.push_if_free(operand)
    }

    /// Whether the selection leaves out a source; `target` is where its copy would be.
    fn leaves_out(&self, source: &SplitPath<'_>, stat: &Stat, target: &Path) -> bool {
        let Some(selection) = &self.placed.options.selection else { return false };
        // A slash may follow the name.
        let name = source.given.file_name().unwrap_or_default().as_bytes();
        let is_dir = stat.kind() == Kind::Directory;
        selection.leaves_out_operand(name, is_dir, self.has_one_source)
            || selection.limits_leave_out(stat)
            || selection.is_for_existing() && file::stat_path(target, false).is_err()
    }

    /// Returns where the directory comes from that the operand is merged into, if that directory is DST itself:
    /// usually it keeps its mode.
    fn origin_of_destination(&self, operand: &Operand) -> Option<DirOrigin> {
        let Placement { options, dirs, .. } = &*self.placed;
        if !options.preserve.keeps_dir_modes
            || !operand.is_dir
            || !operand.manifest_prefix.is_empty()
        {
            return None;
        }
        let target = (operand.target_dir, &*operand.target_name);
        let existing = if options.keep_directory_symlink {
            dirs.stat_end(target.0, target.1)
        } else {
            dirs.stat(target.0, target.1)
        };
        let mode = existing.ok().filter(|dir| dir.kind() == Kind::Directory)?.permissions();
        Some(if is_unfinished(mode) { DirOrigin::New } else { DirOrigin::Destination(mode) })
    }

    fn find<'a>(&mut self, source: &SplitPath<'a>) -> Result<FoundSource<'a>, Refusal> {
        let stat = source
            .stat()
            .map_err(|errno| Refusal::cannot("stat", source.given, errno).hint_if_missing(errno))?;
        let follow = self.placed.follows_operands() && stat.kind() == Kind::Symlink;
        let stat = if follow {
            let end = file::stat_path(source.given, true);
            end.map_err(|errno| Refusal::cannot("follow", source.given, errno))?
        } else {
            stat
        };
        let is_dir = stat.kind() == Kind::Directory;
        if is_dir {
            file::may_read_dir(source.given)
                .map_err(|errno| Refusal::cannot("read directory", source.given, errno))?;
        }
        let (parent, name) = source.split_end(follow && is_dir);
        let dir = self.open(parent, "open directory")?;
        let path = if source.nameless { source.given } else { trim(source.given) };
        Ok(FoundSource { path, dir, name, stat, follow })
    }

    /// Adds an operand, if no earlier operand has its target or if both may share it.
    fn push_if_free(&mut self, operand: Operand) -> Result<(), Refusal> {
        let target = (operand.target_dir, operand.target_name.clone());
        // It is also a clash if the target name of one operand is the staged name of another operand.
        let staged = (operand.target_dir, staged_name(&operand.target_name, 0));
        let earlier = self.placed.sources_at(&target).and_then(|all| all.last());
        let clash = match earlier {
            _ if operand.target_name.as_c_str() == c"." => false,
            None => self.placed.sources_at(&staged).is_some() || self.staged.contains(&target),
            Some(earlier) => earlier.is_dir != operand.is_dir,
        };
        let parent = self.placed.dirs.identity(operand.source_dir);
        if clash && !self.placed.is_named_twice(&operand, parent) {
            return Err(two_sources(&operand.target_path));
        }
        self.staged.insert(staged);
        self.placed.push(operand, parent);
        Ok(())
    }

    fn open(&mut self, dir: &Path, act: &str) -> Result<usize, Refusal> {
        self.placed.dirs.open(dir).map_err(|errno| cannot_open(act, dir, errno))
    }
}

impl Placement {
    /// Creates the directories above an operand, and makes the checks that were impossible while they were
    /// missing.
    pub(super) fn create_native(
        &mut self,
        parents: &[usize],
        operand: Option<u32>,
    ) -> Result<(), Refusal> {
        for &parent in parents {
            self.dirs.create(parent).map_err(|error| {
                let (target, errno) = match error {
                    ParentError::NotADirectory(target) => (target, Errno::EEXIST),
                    ParentError::Stat(target, errno) | ParentError::Create(target, errno) => {
                        (target, errno)
                    }
                };
                Refusal::cannot("create directory", &target, errno)
            })?;
        }
        let last = parents.last().map(|&parent| self.dirs.parents()[parent].clone());
        let (Some(number), Some(Parent { target: dir, .. })) = (operand, last) else {
            return Ok(());
        };
        let operand = &self.operands[number as usize];
        self.dirs
            .open_created(operand.target_dir)
            .map_err(|errno| cannot_open("create a copy in", &dir, errno))?;
        match self.dirs.stat(operand.target_dir, &operand.target_name) {
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(Refusal::cannot("create", &operand.target_path, errno)),
        }
        file::may_write_dir(&dir).map_err(|errno| cannot_write(&dir, errno))
    }
}

/// The directories above a source that `--parents` creates in the target.
pub(super) struct SourceParents {
    /// The path of each directory in the source and in the target, relative to DST. A directory comes before
    /// those below it.
    pub(super) parents: Vec<(PathBuf, PathBuf)>,
    /// The path of the copy, relative to DST; empty if the copy is DST itself.
    pub(super) place: PathBuf,
}

impl SourceParents {
    /// Finds the directories; returns `None` if the source leads out of the target.
    ///
    /// A `..` leads out of the directory before it in the target, as with cp: there, that directory is no symbolic
    /// link. In the source it may be one, and then the kernel decides where `..` leads to.
    pub(super) fn of(source: &Path) -> Option<Self> {
        let (mut from, mut place) = (PathBuf::new(), PathBuf::new());
        let mut parents: Vec<(PathBuf, PathBuf)> = Vec::new();
        for part in source.components() {
            from.push(part);
            match part {
                Component::Normal(name) => {
                    place.push(name);
                    parents.push((from.clone(), place.clone()));
                }
                Component::ParentDir if !place.pop() => return None,
                _ => {}
            }
        }
        // The copy itself is no directory above it. If the source ends with `..`, neither are those below the copy:
        // the source contains them.
        parents.retain(|(_, to)| !to.starts_with(&place));
        Some(Self { parents, place })
    }
}

fn is_directory(path: &Path) -> bool {
    file::stat_path(path, true).is_ok_and(|stat| stat.kind() == Kind::Directory)
}
