//! The rules that files in the source give for their directory and all below it: git's ignore files, and rsync's files of
//! filter rules.

use super::rule::Rule;
use super::rules::Rules;
use super::{
    BadRule, FilesInDirs, GITIGNORE, Origin, RuleList, RuleOption, Side, Trees, ignore_file,
};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind};
use std::cell::RefCell;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

/// Where git keeps a repository, relative to its root. Git never ignores it, nor anything below it.
pub(super) const GIT_DIR: &CStr = c".git";

/// Where git keeps rules that are not in the tree: a directory, relative to the root of a repository, and a file in it.
const EXCLUDE_FILE: (&[u8], &CStr) = (b".git/info", c"exclude");

/// The rules for one directory that files in it and above it give.
#[derive(Default)]
pub(super) struct DirRules {
    above: Option<Rc<DirRules>>,
    /// How many bytes of the text of an entry (see [`super::pattern`]) are those of the directory: the slash that follows
    /// them begins the text that the patterns of ignore files are matched with.
    base: usize,
    /// The filter rules in this directory, for each file name that a rule `:` gives.
    merged: Vec<Option<Merged>>,
    /// Those of `--ignore-file`, in the order of the options.
    ignore_files: Vec<Rules>,
    gitignore: Option<Rules>,
    /// Those of `.git/info/exclude`.
    exclude_file: Option<Rules>,
    /// Whether the directory is the root of a repository: its `.gitignore` is the last one that git reads.
    is_repository: bool,
    /// The files in this directory whose rules do not hold, and why: `EINVAL` if a line is no rule.
    unusable: Vec<(CString, Errno)>,
}

/// The rules in a file of filter rules.
struct Merged {
    rules: Rules,
    /// Whether the rules of the directories above do not hold, because a line `!` forgets them.
    is_first: bool,
}

impl DirRules {
    /// Reads the files with rules in a directory.
    fn read(
        files: &FilesInDirs,
        dir: BorrowedFd<'_>,
        path: &[u8],
        above: Option<&Rc<DirRules>>,
    ) -> Rc<Self> {
        let shown = |name: &CStr| {
            let name = OsStr::from_bytes(name.to_bytes());
            PathBuf::from(OsStr::from_bytes(path)).join(name)
        };
        let mut unusable = Vec::new();
        let merged: Vec<_> = files
            .merged
            .iter()
            .map(|name| {
                let read = |text: &[u8]| merge((path, shown(name)), text, files.delete_excluded);
                usable(name, read_with(dir, (name, false), read), &mut unusable)
            })
            .collect();
        let mut ignore = |name: &CStr| {
            let read = |text: &[u8]| ignore_file::read(&shown(name), text);
            let rules = usable(name, read_with(dir, (name, false), read), &mut unusable);
            rules.filter(|rules| !rules.is_empty())
        };
        let ignore_files: Vec<_> =
            files.ignore_files.iter().filter_map(|name| ignore(name)).collect();
        let asks_git = files.gitignore && !is_in_git_dir(path);
        let gitignore = asks_git.then(|| ignore(GITIGNORE)).flatten();
        let is_repository = asks_git && file::stat_at(dir, GIT_DIR).is_ok();
        let exclude_file = is_repository.then(|| exclude_file(dir, path)).flatten();
        let has_rules = merged.iter().any(Option::is_some)
            || !ignore_files.is_empty()
            || gitignore.is_some()
            || is_repository
            || !unusable.is_empty();
        match above {
            Some(above) if !has_rules => Rc::clone(above),
            above => Rc::new(Self {
                above: above.cloned(),
                base: if path.is_empty() { 0 } else { path.len() + 1 },
                merged,
                ignore_files,
                gitignore,
                exclude_file,
                is_repository,
                unusable,
            }),
        }
    }

    /// Returns this directory's rules and those of the directories above, the deepest first.
    fn upward(&self) -> impl Iterator<Item = &DirRules> {
        std::iter::successors(Some(self), |dir| dir.above.as_deref())
    }

    /// Returns the rule of an ignore file that decides about an entry, which has this text. Those of git's own ignore
    /// files do not hold for a repository itself: if `is_git_dir` is set.
    pub(super) fn ignored(&self, text: &[u8], is_dir: bool, is_git_dir: bool) -> Option<&Rule> {
        let mut is_in_repository = !is_git_dir;
        for dir in self.upward() {
            let of_git =
                [&dir.gitignore, &dir.exclude_file].into_iter().filter(|_| is_in_repository);
            let mut lists = dir.ignore_files.iter().chain(of_git.flatten());
            let below = &text[dir.base..];
            if let Some(rule) =
                lists.find_map(|rules| rules.first_match(Side::Source, below, is_dir))
            {
                return Some(rule);
            }
            is_in_repository &= !dir.is_repository;
        }
        None
    }

    /// Returns the rule that decides in the files of filter rules with the name that has this number.
    pub(super) fn filtered(
        &self,
        number: usize,
        side: Side,
        text: &[u8],
        is_dir: bool,
    ) -> Option<&Rule> {
        for dir in self.upward() {
            let Some(Some(Merged { rules, is_first })) = dir.merged.get(number) else { continue };
            let found = rules.first_match(side, text, is_dir);
            if found.is_some() || *is_first {
                return found;
            }
        }
        None
    }

    /// Returns why the rules in the file `name` of the directory with this path do not hold; `None` if they do, or if it is
    /// no file with rules.
    pub(super) fn unusable(&self, name: &CStr, dir: &[u8]) -> Option<Errno> {
        let base = if dir.is_empty() { 0 } else { dir.len() + 1 };
        let mut unusable = self.unusable.iter().filter(|_| self.base == base);
        unusable.find(|(file, _)| **file == *name).map(|(_, why)| *why)
    }
}

/// The size of the largest file with rules that is read, in bytes; as for git.
const FILE_MAX: u64 = 100 << 20;

/// Whether a directory is one in which git keeps a repository, or is below one.
pub(super) fn is_in_git_dir(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|part| part == GIT_DIR.to_bytes())
}

/// Returns the contents of a regular file; `None` if there is no such file. Follows a symbolic link only if `follow` is set.
fn contents(dir: BorrowedFd<'_>, name: &CStr, follow: bool) -> pcopy_sys::Result<Option<Vec<u8>>> {
    let opened = match file::open_source_noatime(dir, name, follow) {
        Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO) => return Ok(None), // ENXIO is a socket
        opened => opened?,
    };
    let stat = file::stat_fd(&opened)?;
    if stat.kind() != Kind::File {
        return Ok(None);
    }
    if stat.size() > FILE_MAX {
        return Err(Errno::EFBIG);
    }
    let mut text = Vec::new();
    let read = File::from(opened).take(FILE_MAX).read_to_end(&mut text);
    read.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
    Ok(Some(text))
}

/// Reads the rules in a file; `None` if there is no such file.
fn read_with<T>(
    dir: BorrowedFd<'_>,
    (name, follow): (&CStr, bool),
    read: impl FnOnce(&[u8]) -> Result<T, BadRule>,
) -> pcopy_sys::Result<Option<T>> {
    let text = contents(dir, name, follow)?;
    text.map(|text| read(&text)).transpose().map_err(|_| Errno::EINVAL)
}

/// Returns what was read from the file `name`. If it is not usable, adds the file to `unusable`.
fn usable<T>(
    name: &CStr,
    read: pcopy_sys::Result<Option<T>>,
    unusable: &mut Vec<(CString, Errno)>,
) -> Option<T> {
    read.inspect_err(|why| unusable.push((name.to_owned(), *why))).ok().flatten()
}

/// Returns the rules of a repository that git keeps outside of the tree. As git does, follows symbolic links to them. If
/// they cannot be read, the copier that comes to their file reports it.
fn exclude_file(dir: BorrowedFd<'_>, path: &[u8]) -> Option<Rules> {
    let (info, exclude) = EXCLUDE_FILE;
    let info_dir = file::open_dir_following(dir, info).ok()?;
    let shown = PathBuf::from(OsStr::from_bytes(path)).join(".git/info/exclude");
    let read = |text: &[u8]| ignore_file::read(&shown, text);
    read_with(info_dir.as_fd(), (exclude, true), read).ok()?.filter(|rules| !rules.is_empty())
}

/// Reads a file of filter rules in the directory `dir`; `path` is where the file is, to show it.
///
/// As with rsync, only patterns that begin with a slash begin at the directory. The others are matched with the whole path.
fn merge(
    (dir, path): (&[u8], PathBuf),
    text: &[u8],
    delete_excluded: bool,
) -> Result<Merged, BadRule> {
    let mut list = RuleList::default();
    let mut is_first = false;
    for (line, rule) in super::rule_file::rules(text, false) {
        let origin = Origin::File(path.clone(), line);
        is_first |= list.add_line(RuleOption::Filter, rule, origin)?;
    }
    let mut rules = list.into_rules();
    rules.iter_mut().for_each(|rule| rule.pattern.begin_at(dir));
    Ok(Merged { rules: Rules::new(rules, delete_excluded)?, is_first })
}

/// The rules of the directories on the path of a walk. A walk goes down and comes back up, so each file is read once for
/// each walk that enters its directory.
#[derive(Default)]
pub struct DirRulesOnPath {
    /// Which source the directories belong to.
    operand: u32,
    /// For each directory on the path, its path, and its rules.
    dirs: Vec<(Vec<u8>, Rc<DirRules>)>,
    pub(super) filled: Rc<RefCell<Filled>>,
}

/// What was found when it was last asked whether anything is taken below a directory.
#[derive(Default)]
pub(super) struct Filled {
    /// The directory that the question was about.
    pub(super) asked: Vec<u8>,
    /// The directory below it, or itself, in which an entry is taken.
    pub(super) found: Vec<u8>,
}

impl Filled {
    /// Whether the answer says that something is taken below `dir`, too, because it is on the way.
    pub(super) fn is_below(&self, dir: &[u8]) -> bool {
        let rest = self.found.strip_prefix(dir).filter(|_| dir.len() >= self.asked.len());
        rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/') && !self.asked.is_empty()
    }
}

impl DirRulesOnPath {
    /// Forgets everything if the walk has come to another source.
    pub(super) fn begin(&mut self, operand: u32) {
        if self.operand != operand {
            *self = Self { operand, ..Self::default() };
        }
    }

    /// Returns the rules for the directory `path`, which is relative to the source. Reads the files of the directories in
    /// which the walk was not.
    pub(super) fn go_to(
        &mut self,
        files: &FilesInDirs,
        trees: &dyn Trees,
        path: &[u8],
    ) -> Rc<DirRules> {
        let is_on_path = |dir: &[u8]| match path.strip_prefix(dir) {
            Some(rest) => dir.is_empty() || rest.is_empty() || rest[0] == b'/',
            None => false,
        };
        while self.dirs.last().is_some_and(|(dir, _)| !is_on_path(dir)) {
            self.dirs.pop();
        }
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = [0].into_iter().chain(slashes.map(|(at, _)| at)).chain([path.len()]);
        let ends = ends.skip(usize::from(path.is_empty())); // the source itself, once
        for end in ends.skip(self.dirs.len()) {
            let dir = &path[..end];
            let above = self.dirs.last().map(|(_, rules)| rules);
            let rules = match (trees.source(dir), above) {
                (Ok(opened), above) => DirRules::read(files, opened.as_fd(), dir, above),
                // The copier that comes to the directory reports the error.
                (Err(_), Some(above)) => Rc::clone(above),
                (Err(_), None) => Rc::default(),
            };
            self.dirs.push((dir.to_vec(), rules));
        }
        self.dirs.last().map(|(_, rules)| Rc::clone(rules)).unwrap_or_default()
    }
}
