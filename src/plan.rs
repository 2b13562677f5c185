//! From wishes to a plan: what will be copied where, fixed before the first fork.
//!
//! Here the disk is looked at and nothing on it is changed, but for the folders that `--parents`
//! wants. Every reason to refuse the run is found here, so that a refusal never leaves anything half
//! done.

use crate::error::Refusal;
use crate::options::{Backup, Dereference, Operands, Options, Preserve, Update, Way, When};
use crate::quote::quote;
use crate::staging::staged_name;
use crate::sys::Errno;
use crate::sys::file::{self, Identity, Kind, Stat};
use std::collections::{HashMap, HashSet};
use std::ffi::{CString, OsStr, OsString};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// The most copiers that may be asked for.
pub const JOBS_MAX: u16 = 512;

/// What will be done.
pub struct Plan {
    /// The things that the user named, each with its place in the target.
    pub entries: Vec<Entry>,
    /// The entries in the order in which they must be copied: what is in one wave may be copied
    /// side by side. More than one only if the contents of folders meet (`a/. b/. DST`), or two
    /// sources have one name; the last one named wins, as with cp.
    pub waves: Vec<Range<u32>>,
    /// What copies keep of their sources.
    pub preserve: Preserve,
    /// When a file that stands in the target is replaced.
    pub update: Update,
    /// How what is replaced is kept.
    pub backup: Option<Backup>,
    /// What is made of the source's files.
    pub way: Way,
    /// Whether links may take the place of what stands in the target.
    pub force: bool,
    /// Whether what stands in the target makes room even where its contents would be kept.
    pub remove_destination: bool,
    /// Which symlinks in a source are followed.
    pub dereference: Dereference,
    /// Whether directories on other file systems than their entry are left empty.
    pub one_file_system: bool,
    /// The permission bits that are taken away from what has none of its own to keep.
    pub umask: u32,
    /// Folders that were made for `--parents`, the upper ones first.
    pub parents: Vec<Parent>,
    /// What the user should know, though it is no reason to refuse.
    pub warnings: Vec<String>,
    /// How many copiers at most.
    pub jobs: u16,
    /// Whether finished names are reported.
    pub verbose: bool,
    /// When zeros become holes.
    pub sparse: When,
    /// When files share their bytes with their sources.
    pub reflink: When,
    dirs: Vec<OwnedFd>,
}

/// A folder above a source, and the one in the target that was made for it.
#[derive(Clone)]
pub struct Parent {
    /// As the user named it.
    pub source: PathBuf,
    /// What it is to become.
    pub target: PathBuf,
}

/// One thing that the user named, and what it is to become.
pub struct Entry {
    /// Its name in its source directory; `.` if it has none of its own (`/`, `.`, `SRC/`).
    pub source_name: CString,
    /// Its name in its target directory; `.` for the contents of a directory (`SRC/.`).
    pub target_name: CString,
    /// The source as the user named it.
    pub source_shown: PathBuf,
    /// The target as the user would name it.
    pub target_shown: PathBuf,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// The file system that it is on.
    pub device: u64,
    /// Whether an earlier entry becomes the same file: then it must not be replaced.
    pub again: bool,
    source_dir: usize,
    target_dir: usize,
}

impl Plan {
    /// Looks at what the user named and decides; touches nothing.
    pub fn make(options: &Options) -> Result<Self, Refusal> {
        let follow = options.dereference != Dereference::Never;
        let symlinks = options.way == Way::Symlink;
        let parents = options.parents;
        let backups = options.backup.is_some();
        let mut planner = Planner { follow, symlinks, parents, backups, ..Planner::default() };
        let planned = planner.add_all(&options.operands);
        if planned.is_err() {
            give_back(&planner.made);
        }
        planned?;
        Ok(Self {
            waves: waves(&planner.entries),
            entries: planner.entries,
            preserve: options.preserve,
            update: options.update,
            backup: options.backup.clone(),
            way: options.way,
            force: options.force,
            remove_destination: options.remove_destination,
            dereference: options.dereference,
            one_file_system: options.one_file_system,
            umask: crate::sys::process::umask(),
            jobs: options.jobs.unwrap_or_else(default_jobs),
            verbose: options.verbose,
            parents: std::mem::take(&mut planner.made),
            warnings: std::mem::take(&mut planner.warnings),
            sparse: options.sparse,
            reflink: options.reflink,
            dirs: planner.dirs,
        })
    }

    /// Removes what was made for the plan, which is not carried out.
    pub fn give_back(&self) {
        give_back(&self.parents);
    }

    /// The directory that `entry`'s source is in.
    pub fn source_dir(&self, entry: &Entry) -> BorrowedFd<'_> {
        self.dirs[entry.source_dir].as_fd()
    }

    /// Opens the directory at `path` from the directory that `entry`'s source is in. Symlinks on the
    /// way are followed only if all are.
    pub fn open_source(&self, entry: &Entry, path: &[u8]) -> Result<OwnedFd, Errno> {
        match self.dereference {
            Dereference::Always => file::open_dir_following(self.source_dir(entry), path),
            _ => file::open_dir_beneath(self.source_dir(entry), path),
        }
    }

    /// The directory that `entry`'s target is in; it exists.
    pub fn target_dir(&self, entry: &Entry) -> BorrowedFd<'_> {
        self.dirs[entry.target_dir].as_fd()
    }
}

impl Entry {
    /// How the user would name the source at `path`, which begins with this entry's source name.
    pub fn show_source(&self, path: &[u8]) -> Vec<u8> {
        show(&self.source_shown, path)
    }

    /// How the user would name, in the end, the target of the source at `path`.
    pub fn show_target(&self, path: &[u8]) -> Vec<u8> {
        show(&self.target_shown, path)
    }
}

/// `shown` in place of the first component of `path`.
fn show(shown: &Path, path: &[u8]) -> Vec<u8> {
    let mut whole = shown.as_os_str().as_bytes().to_vec();
    if let Some(slash) = path.iter().position(|&byte| byte == b'/') {
        if whole.last() == Some(&b'/') {
            whole.pop();
        }
        whole.extend_from_slice(&path[slash..]);
    }
    whole
}

fn give_back(made: &[Parent]) {
    for parent in made.iter().rev() {
        if std::fs::remove_dir(&parent.target).is_err() {
            // Somebody uses it already.
        }
    }
}

/// Many more copiers than processors cost nothing while all is in memory, and on a cold disk they
/// keep its queue full: measured cold, 2 copiers 12 s, 8 copiers 7 s.
fn default_jobs() -> u16 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(processors.saturating_mul(2).clamp(8, 32)).unwrap_or(8)
}

/// Cuts the entries wherever one may write into what another of its wave does.
fn waves(entries: &[Entry]) -> Vec<Range<u32>> {
    let merges = |entry: &Entry| entry.target_name.as_c_str() == c".";
    let mut waves: Vec<Range<u32>> = Vec::new();
    let mut places = HashSet::new(); // of the last wave
    for (number, entry) in (0..).zip(entries) {
        let alone = merges(entry)
            || waves.last().is_none_or(|wave| merges(&entries[wave.start as usize]))
            || places.contains(&(entry.target_dir, &entry.target_name));
        match waves.last_mut() {
            Some(wave) if !alone => wave.end += 1,
            _ => {
                places.clear();
                waves.push(number..number + 1);
            }
        }
        places.insert((entry.target_dir, &entry.target_name));
    }
    waves
}

#[derive(Default)]
struct Planner {
    /// Whether the symlinks that the user named are followed.
    follow: bool,
    /// Whether symlinks to the sources are made.
    symlinks: bool,
    /// Whether the folders above the sources are made in the target.
    parents: bool,
    /// Whether what is replaced is kept.
    backups: bool,
    made: Vec<Parent>,
    entries: Vec<Entry>,
    dirs: Vec<OwnedFd>,
    opened: HashMap<PathBuf, usize>,
    taken: HashMap<(usize, CString), Taken>,
    /// The names under which entries may be built.
    staged: HashSet<(usize, CString)>,
    warnings: Vec<String>,
}

/// Who has a place in the target.
struct Taken {
    source: Identity,
    is_dir: bool,
}

/// A path as the user gave it, cut into where it is and what it is called.
struct Operand<'a> {
    given: &'a Path,
    parent: &'a OsStr,
    name: &'a OsStr,
    /// `.`, `..` and `/` have no name of their own.
    nameless: bool,
    slash_at_end: bool,
}

impl<'a> Operand<'a> {
    fn parse(given: &'a Path) -> Self {
        let bytes = given.as_os_str().as_bytes();
        let trimmed = bytes.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
        let slash_at_end = trimmed < bytes.len();
        let bytes = &bytes[..trimmed];
        let start = bytes.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        let (parent, name) = bytes.split_at(start);
        let nameless = matches!(name, b"" | b"." | b"..");
        let parent = match parent {
            b"" => b".",
            b"/" => parent,
            _ => &parent[..parent.len() - 1],
        };
        Self {
            given,
            parent: OsStr::from_bytes(parent),
            name: OsStr::from_bytes(name),
            nameless,
            slash_at_end,
        }
    }

    /// The directory to open and the name in it.
    ///
    /// A slash at the end follows a symlink, as everywhere in POSIX: then it is the directory
    /// itself that is opened.
    fn split(&self) -> (&Path, &OsStr) {
        if self.nameless || self.slash_at_end {
            (self.given, OsStr::new("."))
        } else {
            (Path::new(self.parent), self.name)
        }
    }

    fn stat(&self) -> Result<Stat, Errno> {
        file::stat_path(self.given, self.nameless || self.slash_at_end)
    }
}

impl Planner {
    fn add_all(&mut self, operands: &Operands) -> Result<(), Refusal> {
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

    fn copy_beside(&mut self, source: &Path, suffix: &OsStr) -> Result<(), Refusal> {
        let operand = Operand::parse(source);
        let whole;
        let operand = if operand.nameless {
            whole = source
                .canonicalize()
                .map_err(|error| Refusal::cannot("stat", source, errno_of(&error)))?;
            Operand::parse(&whole)
        } else {
            operand
        };
        if operand.nameless {
            return Err(Refusal {
                message: format!("{} has no place beside it", quote(b"/")),
                hint: Some("name the target, too: pcopy SRC DST"),
            });
        }
        let mut name = operand.name.to_owned();
        name.push(suffix);
        let target = match operand.parent.as_bytes() {
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
        if self.parents {
            return self.copy_with_parents(sources, directory);
        }
        for source in sources {
            let operand = Operand::parse(source);
            // 'SRC/.' and '..' are their contents, as for cp.
            let (name, shown) = if operand.nameless {
                (OsStr::new("."), directory.to_owned())
            } else {
                (operand.name, directory.join(operand.name))
            };
            self.add(&operand, directory, name, shown)?;
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
            Operand::parse(trim(source))
                .stat()
                .map_err(|errno| Refusal::cannot("stat", source, errno).hint_if_missing(errno))?;
        }
        for source in sources {
            let operand = Operand::parse(trim(source));
            if operand.nameless {
                self.add(&operand, directory, OsStr::new("."), directory.to_owned())?;
                continue;
            }
            let (mut from, mut to) = (PathBuf::new(), directory.to_owned());
            for part in Path::new(operand.parent).components() {
                from.push(part);
                if let Component::Normal(name) = part {
                    to.push(name);
                    self.make_parent(&from, &to)?;
                }
            }
            self.add(&operand, &to, operand.name, to.join(operand.name))?;
        }
        Ok(())
    }

    fn make_parent(&mut self, source: &Path, target: &Path) -> Result<(), Refusal> {
        match file::stat_path(target, true) {
            Ok(stat) if stat.kind() == Kind::Directory => return Ok(()),
            Ok(_) => return Err(Refusal::cannot("create directory", target, Errno::EEXIST)),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(Refusal::cannot("create directory", target, errno)),
        }
        // For its owner alone; it gets its bits at the end.
        file::make_dir_at_path(target, 0o700)
            .map_err(|errno| Refusal::cannot("create directory", target, errno))?;
        self.made.push(Parent { source: source.to_owned(), target: target.to_owned() });
        Ok(())
    }

    fn copy_onto(&mut self, source: &Path, target: &Path) -> Result<(), Refusal> {
        let operand = Operand::parse(source);
        let place = Operand::parse(target);
        let exists = place.stat();
        if place.slash_at_end
            && exists.is_err()
            && operand.stat().is_ok_and(|stat| stat.kind() != Kind::Directory)
        {
            return Err(Refusal::cannot("create", target, Errno::ENOTDIR));
        }
        let (parent, name) = match exists {
            Ok(_) => place.split(),
            Err(_) if place.nameless => place.split(),
            Err(_) => (Path::new(place.parent), place.name),
        };
        let shown = if place.nameless { target } else { trim(target) };
        self.add(&operand, parent, name, shown.to_owned())
    }

    fn add(
        &mut self,
        source: &Operand<'_>,
        target_dir: &Path,
        target_name: &OsStr,
        target_shown: PathBuf,
    ) -> Result<(), Refusal> {
        let stat = source
            .stat()
            .map_err(|errno| Refusal::cannot("stat", source.given, errno).hint_if_missing(errno))?;
        let end =
            if self.follow && stat.kind() == Kind::Symlink { Some(end_of(source)?) } else { None };
        let (stat, (source_parent, source_name)) = match &end {
            Some((stat, parent, name)) => (*stat, (parent.as_path(), name.as_os_str())),
            None => (stat, source.split()),
        };
        let is_dir = stat.kind() == Kind::Directory;
        if is_dir {
            file::may_read_dir(source.given)
                .map_err(|errno| Refusal::cannot("read directory", source.given, errno))?;
        }
        let source_dir = self.open(source_parent, "open directory")?;
        let target_dir_number = self.open(target_dir, "create a copy in")?;
        let entry = Entry {
            source_name: name_of(source_name),
            target_name: name_of(target_name),
            source_shown: if source.nameless { source.given } else { trim(source.given) }
                .to_owned(),
            target_shown,
            is_dir,
            device: stat.identity().0,
            again: false,
            source_dir,
            target_dir: target_dir_number,
        };
        self.check(&entry, &stat, target_dir)?;
        self.check_symlinks(&entry)?;
        self.take(entry, stat.identity())
    }

    /// Adds an entry, if its place in the target is free or may be shared with an earlier one.
    fn take(&mut self, mut entry: Entry, source: Identity) -> Result<(), Refusal> {
        let kind = if entry.is_dir { "directory" } else { "file" };
        let mine = Taken { source, is_dir: entry.is_dir };
        let name = (entry.target_dir, entry.target_name.clone());
        // Nor may one be built under the name of another.
        let staged = (entry.target_dir, staged_name(&entry.target_name, 0));
        let clash = match self.taken.get(&name) {
            _ if entry.target_name.as_c_str() == c"." => false,
            None => self.taken.contains_key(&staged) || self.staged.contains(&name),
            Some(earlier) if earlier.source == source && (entry.is_dir || !self.backups) => {
                let shown = quote(entry.source_shown.as_os_str().as_bytes());
                self.warnings.push(format!("source {kind} {shown} specified more than once"));
                return Ok(());
            }
            // Directories are merged, the last one winning, and files are copied after the earlier ones:
            // then it shows whether the user wants the second.
            Some(earlier) => {
                entry.again = !entry.is_dir;
                earlier.is_dir != entry.is_dir
            }
        };
        if clash {
            let shown = quote(entry.target_shown.as_os_str().as_bytes());
            return Err(Refusal {
                message: format!("two sources would become {shown}"),
                hint: Some("copy them in two runs, or into two directories"),
            });
        }
        self.taken.insert(name, mine);
        self.staged.insert(staged);
        self.entries.push(entry);
        Ok(())
    }

    /// Refuses symlinks that would lead nowhere: what they say is the source as the user named it.
    fn check_symlinks(&self, entry: &Entry) -> Result<(), Refusal> {
        if !self.symlinks || entry.source_shown.is_absolute() {
            return Ok(());
        }
        let here = file::stat_path(Path::new("."), true).map(|stat| stat.identity());
        let there = file::stat_fd(self.dirs[entry.target_dir].as_fd()).map(|stat| stat.identity());
        if !entry.is_dir && here.is_ok() && here == there {
            return Ok(());
        }
        let shown = quote(entry.target_shown.as_os_str().as_bytes());
        Err(Refusal {
            message: format!("{shown}: can make relative symbolic links only in current directory"),
            hint: Some("name the source by its absolute path"),
        })
    }

    /// Refuses what would copy a thing onto or into itself, and a target that cannot be written.
    fn check(&self, entry: &Entry, source: &Stat, target_dir: &Path) -> Result<(), Refusal> {
        let directory = self.dirs[entry.target_dir].as_fd();
        let target = match file::stat_at(directory, &entry.target_name) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            // Its name may be too long for the file system, which would show only at the end.
            Err(errno) => return Err(Refusal::cannot("create", &entry.target_shown, errno)),
        };
        let (from, to) = (
            quote(entry.source_shown.as_os_str().as_bytes()),
            quote(entry.target_shown.as_os_str().as_bytes()),
        );
        let target_path = target_dir.join(OsStr::from_bytes(entry.target_name.to_bytes()));
        let same = target.is_some_and(|target| target.identity() == source.identity());
        if same
            || target.is_some_and(|target| meet(&entry.source_shown, source, &target_path, &target))
        {
            let kind = if entry.is_dir { "directory" } else { "file" };
            return Err(Refusal {
                message: format!("{from} and {to} are the same {kind}"),
                hint: Some("choose another target; with SRC alone the copy is made beside it"),
            });
        }
        if entry.is_dir && ancestors(directory).any(|identity| identity == source.identity()) {
            return Err(Refusal {
                message: format!("{to} lies inside {from}"),
                hint: Some("choose a target outside the source folder"),
            });
        }
        let merges = entry.is_dir && target.is_some_and(|target| target.kind() == Kind::Directory);
        let written = if merges { &entry.target_shown } else { target_dir };
        match file::may_write_dir(written) {
            // Our own directory without its write bit is no obstacle: a copy of a read-only folder
            // is one, and must be able to go on.
            Err(Errno::EACCES)
                if merges
                    && target
                        .is_some_and(|target| target.owner() == crate::sys::process::user()) =>
            {
                Ok(())
            }
            Err(errno) => Err(Refusal::cannot("write to", written, errno)
                .hint("choose a target that you may write, or another user")),
            Ok(()) => Ok(()),
        }
    }

    fn open(&mut self, dir: &Path, act: &str) -> Result<usize, Refusal> {
        if let Some(&number) = self.opened.get(dir) {
            return Ok(number);
        }
        let opened = file::open_dir(dir).map_err(|errno| {
            let refusal = Refusal::cannot(act, dir, errno);
            match errno {
                Errno::ENOENT => refusal.hint("make the directory first: mkdir -p"),
                Errno::EMFILE => refusal
                    .hint("too many places at once: raise 'ulimit -n' or copy in several runs"),
                _ => refusal,
            }
        })?;
        self.dirs.push(opened);
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

/// What a symlink that the user named leads to: what it is, the directory to open and the name there.
fn end_of(source: &Operand<'_>) -> Result<(Stat, PathBuf, OsString), Refusal> {
    let cannot = |errno| Refusal::cannot("follow", source.given, errno);
    let stat = file::stat_path(source.given, true).map_err(cannot)?;
    if stat.kind() == Kind::Directory {
        return Ok((stat, source.given.to_owned(), OsString::from(".")));
    }
    let whole = source.given.canonicalize().map_err(|error| cannot(errno_of(&error)))?;
    let end = Operand::parse(&whole);
    Ok((stat, PathBuf::from(end.parent), end.name.to_owned()))
}

/// Whether one of the two is a symlink that leads to the other: a link that took the place of what
/// it points to would point to itself, and the contents would be gone.
fn meet(source_path: &Path, source: &Stat, target_path: &Path, target: &Stat) -> bool {
    let is_link = |stat: &Stat| stat.kind() == Kind::Symlink;
    if !is_link(source) && !is_link(target) {
        return false;
    }
    let end_of = |path| file::stat_path(path, true).map(|stat| stat.identity());
    end_of(source_path).is_ok_and(|end| end_of(target_path) == Ok(end))
}

/// The identity of an open directory and of all directories above it, up to the root.
pub fn ancestors(dir: BorrowedFd<'_>) -> impl Iterator<Item = Identity> {
    let mut next = file::stat_fd(dir).ok().map(|stat| stat.identity());
    let mut at = dir.try_clone_to_owned().ok();
    std::iter::from_fn(move || {
        let identity = next.take()?;
        let parent = file::open_parent(at.take()?).ok();
        next = parent
            .as_ref()
            .and_then(|parent| file::stat_fd(parent).ok())
            .map(|stat| stat.identity())
            .filter(|&parent| parent != identity); // the parent of the root is the root
        at = parent;
        Some(identity)
    })
}

fn not_a_directory(target: &Path) -> Refusal {
    let shown = quote(target.as_os_str().as_bytes());
    Refusal {
        message: format!("target {shown} is not a directory"),
        hint: Some("several sources need a directory that exists: mkdir -p"),
    }
}

/// Without the slashes at the end; `/` stays.
fn trim(path: &Path) -> &Path {
    let bytes = path.as_os_str().as_bytes();
    let end =
        bytes.iter().rposition(|&byte| byte != b'/').map_or(bytes.len().min(1), |last| last + 1);
    Path::new(OsStr::from_bytes(&bytes[..end]))
}

/// Operands come from the argument vector, where a NUL ends them: none has one inside.
fn name_of(name: &OsStr) -> CString {
    CString::new(name.as_bytes()).expect("an operand has no NUL")
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}
