//! Where things go, and every reason to refuse that.

use super::manifest_place::{listed_alone, listed_below};
use super::split_path::{SplitPath, errno_of, name_of, trim};
use super::{Note, NoteKind, Operand, Parent, ancestors};
use crate::error::Refusal;
use crate::options::{
    Command, Compat, CopyMode, CopyOptions, Dereference, Operands, Options, Permissions, Update,
};
use crate::sanitize::quote;
use crate::staging::staged_name;
use pcopy_sys::Errno;
use pcopy_sys::context;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use std::collections::{HashMap, HashSet};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// A plan in the making.
pub(super) struct Planner<'a> {
    pub(super) options: &'a CopyOptions,
    /// Whether the folders above the sources are made in the target.
    pub(super) parents: bool,
    pub(super) made: Vec<Parent>,
    pub(super) operands: Vec<Operand>,
    pub(super) dirs: Vec<OwnedFd>,
    opened: HashMap<PathBuf, usize>,
    taken: HashMap<(usize, CString), Vec<Taken>>,
    /// The names under which entries may be built.
    staged: HashSet<(usize, CString)>,
    /// The directory that things are copied into, if it is that.
    into: Option<PathBuf>,
    /// Whether nothing will be written.
    compares: bool,
    pub(super) notes: Vec<Note>,
    pub(super) named_dirs: HashMap<Identity, u32>,
}

/// Who has a place in the target.
struct Taken {
    source: Identity,
    /// Where the source is; a hard link elsewhere is another source.
    parent: Option<Identity>,
    name: CString,
    is_dir: bool,
    operand: u32,
}

impl<'a> Planner<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        Self {
            options: &options.copy,
            parents: options.parents,
            made: Vec::new(),
            operands: Vec::new(),
            dirs: Vec::new(),
            opened: HashMap::new(),
            taken: HashMap::new(),
            staged: HashSet::new(),
            into: None,
            compares: options.command != Command::Copy,
            notes: Vec::new(),
            named_dirs: HashMap::new(),
        }
    }

    /// Has something reported when the operands planned so far are copied.
    pub(super) fn note(&mut self, kind: NoteKind) {
        let before = u32::try_from(self.operands.len()).unwrap_or(u32::MAX);
        self.notes.push(Note { before, kind });
    }

    /// Whether the symlinks that the user named are followed.
    pub(super) fn follow(&self) -> bool {
        self.options.dereference != Dereference::Never
    }

    /// Sees to it that what is made gets the security context that the user has in mind.
    pub(super) fn set_context(&mut self) -> Result<(), Refusal> {
        let Some(wanted) = &self.options.context else { return Ok(()) };
        if !context::is_enabled() {
            self.notes.push(Note { before: 0, kind: NoteKind::ContextIgnored });
            return Ok(());
        }
        if wanted.is_empty() {
            return Ok(()); // what the kernel gives by itself
        }
        context::set_for_new_files(wanted.as_bytes()).map_err(|error| Refusal {
            message: format!("cannot set the context {}: {error}", quote(wanted.as_bytes())),
            hint: None,
        })
    }

    pub(super) fn add_all(&mut self, operands: &Operands) -> Result<(), Refusal> {
        match operands {
            Operands::Beside { source, suffix } => self.copy_beside(source, suffix)?,
            Operands::Exactly { source, target } => self.copy_onto(source, target)?,
            Operands::Into { sources, directory } => self.copy_into(sources, directory)?,
            Operands::Onto { sources, target } => {
                if file::stat_path(target, true).is_ok_and(|stat| stat.kind() == Kind::Directory) {
                    self.copy_into(sources, target)?;
                } else if let ([source], false) = (&sources[..], self.parents) {
                    self.copy_onto(source, target)?;
                } else {
                    return Err(not_a_directory(target));
                }
            }
        }
        Ok(())
    }

    /// Finds the places of things that are only compared.
    pub(super) fn add_to_compare(&mut self, operands: &Operands) -> Result<(), Refusal> {
        self.add_all(operands)?;
        let mut places = HashSet::new();
        for operand in &self.operands {
            if !places.insert((operand.target_dir, &operand.target_name)) {
                let shown = quote(operand.target_shown.as_os_str().as_bytes());
                return Err(Refusal {
                    message: format!("several sources would become {shown}"),
                    hint: Some("what came from which cannot be told; compare files one by one"),
                });
            }
        }
        Ok(())
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
                hint: Some("name the target, too: pcopy SRC DST"),
            });
        }
        let mut name = split.name.to_owned();
        name.push(suffix);
        let target = match split.parent.as_bytes() {
            b"." => PathBuf::from(name),
            parent => Path::new(OsStr::from_bytes(parent)).join(name),
        };
        self.copy_onto(source, &target)
    }

    fn copy_into(&mut self, sources: &[PathBuf], directory: &Path) -> Result<(), Refusal> {
        match file::stat_path(directory, true) {
            Ok(stat) if stat.kind() == Kind::Directory => {}
            Ok(_) => return Err(not_a_directory(directory)),
            Err(errno) => {
                return Err(Refusal::cannot("copy into", directory, errno)
                    .hint("make the directory first: mkdir -p"));
            }
        }
        self.into = Some(directory.to_owned());
        if self.parents {
            return self.copy_with_parents(sources, directory);
        }
        for source in sources {
            let split = SplitPath::parse(source);
            // 'SRC/.' and '..' are their contents, as for cp.
            let (name, shown) = if split.nameless {
                (OsStr::new("."), directory.to_owned())
            } else {
                (split.name, directory.join(split.name))
            };
            self.add(&split, directory, name, shown)?;
        }
        Ok(())
    }

    /// Copies each source to its own path below the directory. The folders on the way are made
    /// here, when all sources have been looked at: what is planned next lies in them.
    fn copy_with_parents(&mut self, sources: &[PathBuf], directory: &Path) -> Result<(), Refusal> {
        for source in sources {
            let components = source.components();
            if components.clone().any(|part| part == Component::ParentDir) {
                return Err(Refusal {
                    message: format!(
                        "{} leads out of the target with --parents",
                        quote(source.as_os_str().as_bytes())
                    ),
                    hint: Some("name the source without '..'"),
                });
            }
            let stat = SplitPath::parse(trim(source))
                .stat()
                .map_err(|errno| Refusal::cannot("stat", source, errno).hint_if_missing(errno))?;
            if self.follow() && stat.kind() == Kind::Symlink {
                let end = file::stat_path(trim(source), true);
                end.map_err(|errno| Refusal::cannot("follow", source, errno))?;
            }
        }
        self.check_parents(sources, directory)?;
        for source in sources {
            let split = SplitPath::parse(trim(source));
            // 'a/b/.' is called 'b', and '.' and '/' have no name.
            let mut parts: Vec<Component<'_>> = source.components().collect();
            let Some(Component::Normal(name)) = parts.pop() else {
                self.add(&split, directory, OsStr::new("."), directory.to_owned())?;
                continue;
            };
            let (mut from, mut to) = (PathBuf::new(), directory.to_owned());
            for part in parts {
                from.push(part);
                if let Component::Normal(name) = part {
                    to.push(name);
                    self.make_parent(&from, &to)?;
                }
            }
            self.add(&split, &to, name, to.join(name))?;
        }
        Ok(())
    }

    /// Refuses what would be found out when some folders are made already: two sources of one path,
    /// and something in the target in place of a folder.
    fn check_parents(&self, sources: &[PathBuf], directory: &Path) -> Result<(), Refusal> {
        let mut kinds: HashMap<PathBuf, bool> = HashMap::new();
        for source in sources {
            let names = source.components().filter(|part| matches!(part, Component::Normal(_)));
            let path: PathBuf = names.collect();
            let end = file::stat_path(trim(source), self.follow());
            let is_dir = end.is_ok_and(|stat| stat.kind() == Kind::Directory);
            for (below, above) in (0..).zip(path.ancestors()) {
                let target = directory.join(above);
                let is_folder = below > 0;
                let kind = is_folder || is_dir;
                if kinds.insert(target.clone(), kind) == Some(!kind) {
                    return Err(two_sources(&target));
                }
                let old = file::stat_path(&target, true);
                if is_folder && old.is_ok_and(|old| old.kind() != Kind::Directory) {
                    return Err(Refusal::cannot("create directory", &target, Errno::EEXIST));
                }
            }
        }
        Ok(())
    }

    fn make_parent(&mut self, source: &Path, target: &Path) -> Result<(), Refusal> {
        match file::stat_path(target, true) {
            Ok(stat) if stat.kind() == Kind::Directory => {
                // As with `cp -p`. It may be one that a killed run has made.
                let known = self.made.iter().any(|parent| parent.target == target);
                if self.options.preserve.permissions == Permissions::Exact && !known {
                    self.put_parent(source, target, false);
                }
                return Ok(());
            }
            Ok(_) => return Err(Refusal::cannot("create directory", target, Errno::EEXIST)),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(Refusal::cannot("create directory", target, errno)),
        }
        let cannot = |errno| Refusal::cannot("create directory", target, errno);
        let kept = file::stat_path(source, true).map_err(cannot)?;
        let bits = self.options.preserve.bits_from_birth(kept.permissions());
        file::make_dir_at_path(target, bits).map_err(cannot)?;
        self.put_parent(source, target, true);
        Ok(())
    }

    pub(super) fn put_parent(&mut self, source: &Path, target: &Path, new: bool) {
        let (source, target) = (source.to_owned(), target.to_owned());
        self.made.push(Parent { source, target, new });
    }

    fn copy_onto(&mut self, source: &Path, target: &Path) -> Result<(), Refusal> {
        let split = SplitPath::parse(source);
        let place = SplitPath::parse(target);
        let exists = place.stat();
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
        let shown = if place.nameless { target } else { trim(target) };
        self.add(&split, parent, name, shown.to_owned())
    }

    fn add(
        &mut self,
        source: &SplitPath<'_>,
        target_dir: &Path,
        target_name: &OsStr,
        target_shown: PathBuf,
    ) -> Result<(), Refusal> {
        let stat = source
            .stat()
            .map_err(|errno| Refusal::cannot("stat", source.given, errno).hint_if_missing(errno))?;
        let follow = self.follow() && stat.kind() == Kind::Symlink;
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
        let (source_parent, source_name) = place_of(source, follow && is_dir);
        let source_dir = self.open(source_parent, "open directory")?;
        let target_dir_number = if self.compares {
            let opened = self.open_dir(target_dir);
            opened.map_err(|errno| Refusal::cannot("open directory", target_dir, errno))?
        } else {
            self.open(target_dir, "create a copy in")?
        };
        let listed = match &self.into {
            Some(directory) => listed_below(directory, &target_shown),
            None => listed_alone(is_dir, target_name),
        };
        let operand = Operand {
            source_name: name_of(source_name),
            target_name: name_of(target_name),
            source_shown: if source.nameless { source.given } else { trim(source.given) }
                .to_owned(),
            target_shown,
            listed,
            is_dir,
            device: stat.identity().0,
            again: Vec::new(),
            follow: follow && !is_dir,
            into_itself: None,
            written: None,
            identity: stat.identity(),
            source_dir,
            target_dir: target_dir_number,
        };
        self.check(&operand, &stat, target_dir)?;
        self.check_symlinks(&operand)?;
        self.take(operand, stat.identity())
    }

    /// Adds an entry, if its place in the target is free or may be shared with an earlier one.
    fn take(&mut self, operand: Operand, source: Identity) -> Result<(), Refusal> {
        let name = (operand.target_dir, operand.target_name.clone());
        // Nor may one be built under the name of another.
        let staged = (operand.target_dir, staged_name(&operand.target_name, 0));
        let earlier = self.taken.get(&name).and_then(|all| all.last());
        let clash = match earlier {
            _ if operand.target_name.as_c_str() == c"." => false,
            None => self.taken.contains_key(&staged) || self.staged.contains(&name),
            Some(earlier) => earlier.is_dir != operand.is_dir,
        };
        let parent = self.identity_of(operand.source_dir);
        if clash && !self.is_named_twice(&operand, source, parent) {
            return Err(two_sources(&operand.target_shown));
        }
        self.staged.insert(staged);
        self.put(operand, source, parent);
        Ok(())
    }

    /// Whether an earlier entry is this very source, with this very target.
    fn is_named_twice(
        &self,
        operand: &Operand,
        source: Identity,
        parent: Option<Identity>,
    ) -> bool {
        let name = (operand.target_dir, operand.target_name.clone());
        self.taken.get(&name).into_iter().flatten().any(|earlier| {
            earlier.source == source
                && (operand.is_dir
                    || earlier.parent == parent && earlier.name == operand.source_name)
        })
    }

    fn identity_of(&self, dir: usize) -> Option<Identity> {
        file::stat_fd(&self.dirs[dir]).ok().map(|stat| stat.identity())
    }

    /// Adds an entry. Directories are merged with an earlier one of the same name, the last one
    /// winning, and files are copied after the earlier ones: then it shows whether the user wants
    /// the second. What is the same source, in the same `parent`, is not copied again.
    pub(super) fn put(&mut self, mut operand: Operand, source: Identity, parent: Option<Identity>) {
        let once = operand.is_dir || self.options.backup.is_none();
        if once && self.is_named_twice(&operand, source, parent) {
            let Operand { is_dir, source_shown: source, .. } = operand;
            self.note(NoteKind::NamedTwice { is_dir, source });
            return;
        }
        let name = (operand.target_dir, operand.target_name.clone());
        let number = u32::try_from(self.operands.len()).unwrap_or(u32::MAX);
        let all = self.taken.entry(name).or_default();
        if !operand.is_dir || self.options.compat == Compat::Gnu {
            operand.again = all.iter().map(|earlier| earlier.operand).collect();
        }
        all.push(Taken {
            source,
            parent,
            name: operand.source_name.clone(),
            is_dir: operand.is_dir,
            operand: number,
        });
        self.operands.push(operand);
    }

    /// Refuses symlinks that would lead nowhere: what they say is the source as the user named it.
    fn check_symlinks(&self, operand: &Operand) -> Result<(), Refusal> {
        if self.options.copy_mode != CopyMode::Symlink || operand.source_shown.is_absolute() {
            return Ok(());
        }
        let here = file::stat_path(Path::new("."), true).map(|stat| stat.identity());
        let there =
            file::stat_fd(self.dirs[operand.target_dir].as_fd()).map(|stat| stat.identity());
        if !operand.is_dir && here.is_ok() && here == there {
            return Ok(());
        }
        let shown = quote(operand.target_shown.as_os_str().as_bytes());
        Err(Refusal {
            message: format!("{shown}: can make relative symbolic links only in current directory"),
            hint: Some("name the source by its absolute path"),
        })
    }

    /// Refuses what would copy a thing onto or into itself, and a target that cannot be written.
    fn check(&self, operand: &Operand, source: &Stat, target_dir: &Path) -> Result<(), Refusal> {
        let directory = self.dirs[operand.target_dir].as_fd();
        let target = match file::stat_at(directory, &operand.target_name) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            // Its name may be too long for the file system, which would show only at the end.
            Err(errno) => return Err(Refusal::cannot("create", &operand.target_shown, errno)),
        };
        let (from, to) = (
            quote(operand.source_shown.as_os_str().as_bytes()),
            quote(operand.target_shown.as_os_str().as_bytes()),
        );
        let target_path = target_dir.join(OsStr::from_bytes(operand.target_name.to_bytes()));
        let same = target.is_some_and(|target| target.identity() == source.identity());
        let meets = same
            || target
                .is_some_and(|target| meet(&operand.source_shown, source, &target_path, &target));
        if meets && !self.is_made_already(operand, same, &target_path) {
            let kind = if operand.is_dir { "directory" } else { "file" };
            return Err(Refusal {
                message: format!("{from} and {to} are the same {kind}"),
                hint: Some("choose another target; with SRC alone the copy is made beside it"),
            });
        }
        if operand.is_dir && ancestors(directory).any(|identity| identity == source.identity()) {
            return Err(Refusal {
                message: format!("{to} lies inside {from}"),
                hint: Some("choose a target outside the source folder"),
            });
        }
        if self.compares {
            return Ok(());
        }
        let merges =
            operand.is_dir && target.is_some_and(|target| target.kind() == Kind::Directory);
        let written = if merges { &operand.target_shown } else { target_dir };
        match file::may_write_dir(written) {
            // Our own directory without its write bit is no obstacle: a copy of a read-only folder
            // is one, and must be able to go on.
            Err(Errno::EACCES)
                if merges
                    && target
                        .is_some_and(|target| target.owner() == pcopy_sys::process::user()) =>
            {
                Ok(())
            }
            Err(errno) => Err(Refusal::cannot("write to", written, errno)
                .hint("choose a target that you may write, or another user")),
            Ok(()) => Ok(()),
        }
    }

    /// Whether what stands there may be what an earlier run has made, or is not to be touched.
    fn is_made_already(&self, operand: &Operand, same: bool, target: &Path) -> bool {
        if operand.is_dir {
            return false;
        }
        match (self.options.update, self.options.copy_mode) {
            (Update::None | Update::NoneFail, _) => true,
            (_, CopyMode::HardLink) => same,
            (_, CopyMode::Symlink) => {
                std::fs::read_link(target).is_ok_and(|text| text == operand.source_shown)
            }
            _ => false,
        }
    }

    fn open(&mut self, dir: &Path, act: &str) -> Result<usize, Refusal> {
        self.open_dir(dir).map_err(|errno| {
            let refusal = Refusal::cannot(act, dir, errno);
            match errno {
                Errno::ENOENT => refusal.hint("make the directory first: mkdir -p"),
                Errno::EMFILE => refusal
                    .hint("too many places at once: raise 'ulimit -n' or copy in several runs"),
                _ => refusal,
            }
        })
    }

    /// Opens a directory that entries are in, once for all of them.
    pub(super) fn open_dir(&mut self, dir: &Path) -> Result<usize, Errno> {
        if let Some(&number) = self.opened.get(dir) {
            return Ok(number);
        }
        self.dirs.push(file::open_dir(dir)?);
        self.opened.insert(dir.to_owned(), self.dirs.len() - 1);
        Ok(self.dirs.len() - 1)
    }
}

impl Refusal {
    fn hint_if_missing(self, errno: Errno) -> Self {
        if errno == Errno::ENOENT {
            self.hint("check the spelling; nothing was copied")
        } else {
            self
        }
    }
}

fn two_sources(target: &Path) -> Refusal {
    Refusal {
        message: format!("two sources would become {}", quote(target.as_os_str().as_bytes())),
        hint: Some("copy them in two runs, or into two directories"),
    }
}

/// The directory to open and the name in it; `end` says that it is a directory that a symlink
/// leads to.
pub(super) fn place_of<'p>(source: &'p SplitPath<'_>, end: bool) -> (&'p Path, &'p OsStr) {
    if end { (source.given, OsStr::new(".")) } else { source.split() }
}

/// Whether one of the two is a symlink that leads to the other: a link that took the place of what
/// it points to would point to itself, and the contents would be gone.
fn meet(source_path: &Path, source: &Stat, target_path: &Path, target: &Stat) -> bool {
    let is_link = |stat: &Stat| stat.kind() == Kind::Symlink;
    // A link that takes the place of a link points to what it pointed to.
    if is_link(source) == is_link(target) {
        return false;
    }
    let end_of = |path| file::stat_path(path, true).map(|stat| stat.identity());
    end_of(source_path).is_ok_and(|end| end_of(target_path) == Ok(end))
}

fn not_a_directory(target: &Path) -> Refusal {
    let shown = quote(target.as_os_str().as_bytes());
    Refusal {
        message: format!("target {shown} is not a directory"),
        hint: Some("several sources need a directory that exists: mkdir -p"),
    }
}
