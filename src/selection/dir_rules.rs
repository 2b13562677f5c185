//! The rules that files in the source give for their directory and all below it: git's ignore files, and rsync's files of
//! filter rules.

use super::rule::Rule;
use super::rules::Rules;
use super::{FilesInDirs, GITIGNORE, Origin, RuleList, RuleOption, Side, Trees, ignore_file};
use pcopy_sys::file::{self, Kind};
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

/// Where git keeps rules that are not in the tree, relative to the root of a repository.
const EXCLUDE_FILE: [&CStr; 3] = [c".git", c"info", c"exclude"];

/// The rules for one directory that files in it and above it give.
#[derive(Default)]
pub(super) struct DirRules {
    above: Option<Rc<DirRules>>,
    /// How many bytes of the text of an entry (see [`super::pattern`]) are those of the directory: the slash that follows
    /// them begins the text that the patterns are matched with.
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
}

/// The rules in a file of filter rules.
enum Merged {
    Rules {
        rules: Box<Rules>,
        /// Whether the rules of the directories above do not hold, because a line `!` forgets them.
        is_first: bool,
    },
    /// A line is no rule, or asks for another file.
    Bad,
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
        let ignore = |name: &CStr| {
            let text = contents(dir, name)?;
            ignore_file::read(&shown(name), &text).ok().filter(|rules| !rules.is_empty())
        };
        let merged: Vec<_> = files
            .merged
            .iter()
            .map(|name| Some(merge(shown(name), &contents(dir, name)?)))
            .collect();
        let ignore_files: Vec<_> =
            files.ignore_files.iter().filter_map(|name| ignore(name)).collect();
        let gitignore = files.gitignore.then(|| ignore(GITIGNORE)).flatten();
        let is_repository = files.gitignore && file::stat_at(dir, EXCLUDE_FILE[0]).is_ok();
        let exclude_file = is_repository.then(|| exclude_file(dir, path)).flatten();
        let has_rules = merged.iter().any(Option::is_some)
            || !ignore_files.is_empty()
            || gitignore.is_some()
            || is_repository;
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
            }),
        }
    }

    /// Returns this directory's rules and those of the directories above, the deepest first.
    fn upward(&self) -> impl Iterator<Item = &DirRules> {
        std::iter::successors(Some(self), |dir| dir.above.as_deref())
    }

    /// Returns the rule of an ignore file that decides about an entry, which has this text.
    pub(super) fn ignored(&self, text: &[u8], is_dir: bool) -> Option<&Rule> {
        let mut is_in_repository = true;
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
            let Some(Some(Merged::Rules { rules, is_first })) = dir.merged.get(number) else {
                continue;
            };
            let found = rules.first_match(side, &text[dir.base..], is_dir);
            if found.is_some() || *is_first {
                return found;
            }
        }
        None
    }

    /// Whether the file of filter rules in the directory with this path, whose name has this number, cannot be used.
    pub(super) fn is_bad(&self, number: usize, dir: &[u8]) -> bool {
        let base = if dir.is_empty() { 0 } else { dir.len() + 1 };
        self.base == base && matches!(self.merged.get(number), Some(Some(Merged::Bad)))
    }
}

/// Returns the contents of a regular file; `None` if there is no such file or it cannot be read. If it cannot, the copier
/// that comes to the file reports it. A symbolic link is not followed.
fn contents(dir: BorrowedFd<'_>, name: &CStr) -> Option<Vec<u8>> {
    let opened = file::open_source(dir, name, false).ok()?;
    if file::stat_fd(&opened).ok()?.kind() != Kind::File {
        return None;
    }
    let mut text = Vec::new();
    File::from(opened).read_to_end(&mut text).ok()?;
    Some(text)
}

fn exclude_file(dir: BorrowedFd<'_>, path: &[u8]) -> Option<Rules> {
    let [git, info, exclude] = EXCLUDE_FILE;
    let git_dir = file::open_dir_at(dir, git).ok()?;
    let info_dir = file::open_dir_at(&git_dir, info).ok()?;
    let text = contents(info_dir.as_fd(), exclude)?;
    let shown = PathBuf::from(OsStr::from_bytes(path)).join(".git/info/exclude");
    ignore_file::read(&shown, &text).ok().filter(|rules| !rules.is_empty())
}

/// Reads a file of filter rules in a directory.
fn merge(path: PathBuf, text: &[u8]) -> Merged {
    let mut list = RuleList::default();
    let mut is_first = false;
    for (line, rule) in super::rule_file::rules(text, false) {
        let origin = Origin::File(path.clone(), line);
        match list.add_line(RuleOption::Filter, rule, origin) {
            Ok(forgets) => is_first |= forgets,
            Err(_) => return Merged::Bad,
        }
    }
    let rules = Rules::new(list.into_rules());
    rules.map_or(Merged::Bad, |rules| Merged::Rules { rules: Box::new(rules), is_first })
}

/// The rules of the directories on the path of a walk. A walk goes down and comes back up, so each file is read once for
/// each walk that enters its directory.
#[derive(Default)]
pub struct DirRulesOnPath {
    /// Which source the directories belong to.
    operand: u32,
    /// For each directory on the path, its path, and its rules.
    dirs: Vec<(Vec<u8>, Rc<DirRules>)>,
}

impl DirRulesOnPath {
    /// Returns the rules for the directory `path`, which is relative to the source. Reads the files of the directories in
    /// which the walk was not.
    pub(super) fn go_to(
        &mut self,
        files: &FilesInDirs,
        trees: &dyn Trees,
        path: &[u8],
    ) -> Rc<DirRules> {
        if self.operand != trees.operand() {
            *self = Self { operand: trees.operand(), dirs: Vec::new() };
        }
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
