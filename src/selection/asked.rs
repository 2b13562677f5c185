//! Asks a selection for the entries of one directory.

use super::dir_rules::{self, DirRules, DirRulesOnPath, Filled, GIT_DIR};
use super::limits::Limit;
use super::rule::Rule;
use super::{Section, Selection, Side, Trees};
use pcopy_sys::Errno;
use pcopy_sys::dir_reader::DirReader;
use pcopy_sys::file::{self, Kind, Stat};
use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// Whether an entry is taken.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'a> {
    /// It is taken, because of this rule, or because nothing leaves it out.
    Taken(Option<&'a Rule>),
    /// It is left out.
    LeftOut(Reason<'a>),
    /// It is not in the list of `--files-from`, as if it did not exist.
    NotListed,
    /// It is a file with rules that do not hold: `EINVAL` if a line is no rule, or why it cannot be read.
    BadRules(Errno),
}

impl Decision<'_> {
    /// Whether the entry is taken.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Taken(_))
    }
}

/// Why an entry is left out.
#[derive(Clone, Copy, Debug)]
pub enum Reason<'a> {
    /// A rule says so.
    Rule(&'a Rule),
    /// Its directory has a tag of this name: only the tag is taken.
    Tag(&'a CStr),
    /// Its size or age.
    Limit(Limit),
    /// The target has no such entry.
    NotInTarget,
    /// It is a directory in which nothing is taken.
    Empty,
}

/// The first bytes of a tag that marks a directory as a cache.
const CACHE_SIGNATURE: &[u8; 43] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// The name of such a tag.
pub(super) const CACHE_TAG: &CStr = c"CACHEDIR.TAG";

/// The entries of one directory, one after the other.
pub struct Asked<'s> {
    selection: &'s Selection,
    trees: &'s dyn Trees,
    /// A slash, the path, and for a directory a NUL.
    text: Vec<u8>,
    /// How many bytes of it are those of the directory.
    dir_bytes: usize,
    rules: Rc<DirRules>,
    /// Whether the directory belongs to a repository itself: git's own ignore files do not hold.
    is_in_git_dir: bool,
    /// The tags that the directory has.
    tags: Vec<&'s CStr>,
    /// Whether `--files-from` lists the directory, or one above it, with all that is below; or there is no list.
    is_taken_whole: bool,
    /// The directory in the target, if the decision depends on it and it exists.
    target: Option<OwnedFd>,
    filled: Rc<RefCell<Filled>>,
}

impl<'s> Asked<'s> {
    pub(super) fn new(
        selection: &'s Selection,
        trees: &'s dyn Trees,
        on_path: &mut DirRulesOnPath,
        dir: &[u8],
    ) -> Self {
        let mut text = vec![b'/'];
        if !dir.is_empty() {
            text.extend_from_slice(dir);
            text.push(b'/');
        }
        on_path.begin(trees.operand());
        let criteria = &selection.criteria;
        let rules = match selection.files.any() {
            true => on_path.go_to(&selection.files, trees, dir),
            false => Rc::default(),
        };
        let has_tags = !dir.is_empty() && (criteria.exclude_caches || !criteria.tags.is_empty());
        let tags = if has_tags { selection.tags_in(trees, dir) } else { Vec::new() };
        let is_taken_whole =
            criteria.listed.as_ref().is_none_or(|listed| listed.is_taken_whole(dir));
        let looks_at_target = criteria.existing || criteria.limits.any();
        let target = looks_at_target.then(|| trees.target(dir)).flatten();
        let dir_bytes = text.len();
        let filled = Rc::clone(&on_path.filled);
        let is_in_git_dir = dir_rules::is_in_git_dir(dir);
        Self {
            selection,
            trees,
            text,
            dir_bytes,
            rules,
            is_in_git_dir,
            tags,
            is_taken_whole,
            target,
            filled,
        }
    }

    /// Decides about the entry `name` of the directory, which is open as `dir` on the side that is asked for.
    pub fn decide(
        &mut self,
        side: Side,
        dir: BorrowedFd<'_>,
        (kind, name): (Kind, &CStr),
    ) -> Decision<'_> {
        let follows = side == Side::Source && self.trees.follows();
        let is_dir = match kind {
            Kind::Symlink if follows => kind_at_end(dir, name) == Some(Kind::Directory),
            Kind::Unknown => kind_of(dir, name, follows) == Some(Kind::Directory),
            kind => kind == Kind::Directory,
        };
        self.go_to(name.to_bytes(), is_dir);
        let decision = self.by_rules(side, name, is_dir);
        let Decision::Taken(_) = decision else { return decision };
        if side == Side::Target {
            return decision;
        }
        let criteria = &self.selection.criteria;
        let may_be_file = !is_dir && matches!(kind, Kind::File | Kind::Unknown | Kind::Symlink);
        if criteria.limits.any()
            && may_be_file
            && let Ok(stat) = status(dir, name, follows)
            && let Some(limit) = criteria.limits.leaves_out(&stat)
        {
            return Decision::LeftOut(Reason::Limit(limit));
        }
        let in_target = |target: &OwnedFd| file::stat_at(target, name).is_ok();
        if criteria.existing && !self.target.as_ref().is_some_and(in_target) {
            return Decision::LeftOut(Reason::NotInTarget);
        }
        if criteria.prune_empty_dirs && is_dir && !self.takes_any_below() {
            return Decision::LeftOut(Reason::Empty);
        }
        decision
    }

    /// Whether the target has another version of the file `name` of the source directory `dir`, for which
    /// [`decide`](Self::decide) has looked at the target.
    pub fn has_other_version(&self, dir: BorrowedFd<'_>, name: &CStr) -> bool {
        let Some(target) = &self.target else { return false };
        let source = status(dir, name, self.trees.follows());
        let (Ok(source), Ok(copy)) = (source, file::stat_at(target, name)) else { return false };
        let version = |stat: &Stat| (stat.kind(), stat.size(), stat.modified());
        version(&source) != version(&copy)
    }

    fn go_to(&mut self, name: &[u8], is_dir: bool) {
        self.text.truncate(self.dir_bytes);
        self.text.extend_from_slice(name);
        if is_dir {
            self.text.push(0);
        }
    }

    /// Returns the path of the entry, relative to the source.
    fn path(&self) -> &[u8] {
        let text = &self.text[1..];
        text.strip_suffix(b"\0").unwrap_or(text)
    }

    /// Returns the path of the directory, relative to the source.
    fn dir(&self) -> &[u8] {
        &self.text[1..self.dir_bytes.max(2) - 1]
    }

    /// Decides by the list of names, the rules, the tags and the ignore files.
    fn by_rules(&self, side: Side, name: &CStr, is_dir: bool) -> Decision<'_> {
        if !self.is_taken_whole
            && let Some(listed) = &self.selection.criteria.listed
        {
            let extent = listed.extent(self.path());
            let leads_to_listed = extent.is_above && is_dir && side == Side::Source;
            if !extent.with_all_below {
                return match extent.is_listed || leads_to_listed {
                    true => Decision::Taken(None),
                    false => Decision::NotListed,
                };
            }
        }
        if side == Side::Source
            && let Some(why) = self.rules.unusable(name, self.dir())
        {
            return Decision::BadRules(why);
        }
        let rule = self.first_rule(side, is_dir);
        if let Some(rule) = rule {
            self.selection.decided.note(rule);
        }
        let is_for_target = rule.is_some_and(|rule| rule.kind.side() == Some(Side::Target));
        if side == Side::Target && self.selection.criteria.delete_excluded && !is_for_target {
            return Decision::Taken(rule);
        }
        if rule.is_none()
            && let Some(tag) = self.tags.first()
            && !self.tags.contains(&name)
        {
            return Decision::LeftOut(Reason::Tag(tag));
        }
        let is_git_dir = self.is_in_git_dir || name == GIT_DIR;
        let rule =
            rule.or_else(|| self.rules.ignored(&self.text, is_dir, is_git_dir)).or_else(|| {
                let mut lists = self.selection.ignore_from.iter();
                lists.find_map(|rules| rules.first_match(Side::Source, &self.text, is_dir))
            });
        match rule {
            Some(rule) if rule.leaves_out() => Decision::LeftOut(Reason::Rule(rule)),
            rule => Decision::Taken(rule),
        }
    }

    /// Returns the first rule of the command line that matches.
    fn first_rule(&self, side: Side, is_dir: bool) -> Option<&Rule> {
        let mut sections = self.selection.sections.iter();
        sections.find_map(|section| match section {
            Section::Rules(rules) => rules.first_match(side, &self.text, is_dir),
            Section::InEachDir(number) => self.rules.filtered(*number, side, &self.text, is_dir),
        })
    }

    /// Whether anything but directories is taken below the directory that the question is about.
    ///
    /// Looks for the first such entry. The way to it is remembered, because the walk comes to the directories on it next:
    /// otherwise each of them would be looked through again.
    fn takes_any_below(&self) -> bool {
        if self.filled.borrow().is_below(self.path()) {
            return true;
        }
        let found = self.look_below();
        if let Some(found) = &found {
            let asked = self.path().to_vec();
            *self.filled.borrow_mut() = Filled { asked, found: found.clone() };
        }
        found.is_some()
    }

    /// Returns the path of a directory, below the one that the question is about or itself, in which an entry is taken.
    fn look_below(&self) -> Option<Vec<u8>> {
        let mut on_path = DirRulesOnPath::default();
        let mut waiting = vec![self.path().to_vec()];
        while let Some(path) = waiting.pop() {
            if self.trees.is_stopped() {
                return Some(path);
            }
            if !self.selection.enters(&path) {
                continue;
            }
            // If the directory cannot be looked at, the copier reports it.
            let Ok(dir) = self.trees.source(&path) else { return Some(path) };
            let Ok(stat) = file::stat_fd(&dir) else { return Some(path) };
            if self.trees.device().is_some_and(|device| device != stat.identity().0) {
                continue;
            }
            let mut asked = self.selection.within(self.trees, &mut on_path, &path);
            let mut listing = DirReader::new();
            loop {
                match listing.fill(dir.as_fd()) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(_) => return Some(path),
                }
                while let Some((kind, name)) = listing.next_entry() {
                    match asked.takes(dir.as_fd(), (kind, name)) {
                        Some(Kind::Directory) => waiting.push(asked.path().to_vec()),
                        Some(_) => return Some(path),
                        None => {}
                    }
                }
            }
        }
        None
    }

    /// Returns the type of an entry of the source, if it is taken, whether or not anything is taken below it.
    fn takes(&mut self, dir: BorrowedFd<'_>, (kind, name): (Kind, &CStr)) -> Option<Kind> {
        let follows = self.trees.follows();
        let kind = match kind {
            Kind::Symlink if follows => kind_at_end(dir, name).unwrap_or(Kind::Symlink),
            Kind::Unknown => kind_of(dir, name, follows).unwrap_or(Kind::Unknown),
            kind => kind,
        };
        if kind != Kind::Directory {
            return self.decide(Side::Source, dir, (kind, name)).is_taken().then_some(kind);
        }
        self.go_to(name.to_bytes(), true);
        self.by_rules(Side::Source, name, true).is_taken().then_some(kind)
    }
}

impl Selection {
    /// Returns the names of the tags in the directory `dir`, which is relative to the source.
    fn tags_in(&self, trees: &dyn Trees, dir: &[u8]) -> Vec<&CStr> {
        let Ok(dir) = trees.source(dir) else { return Vec::new() };
        let is_there = |tag: &&CStr| file::stat_at(&dir, tag).is_ok();
        let named = self.criteria.tags.iter().map(CString::as_c_str).filter(is_there);
        let cache = [CACHE_TAG].into_iter().filter(|_| self.criteria.exclude_caches);
        named.chain(cache.filter(|_| is_cache(dir.as_fd()))).collect()
    }
}

/// Whether a directory has the tag of a cache.
fn is_cache(dir: BorrowedFd<'_>) -> bool {
    let Ok(tag) = file::open_noatime(dir, CACHE_TAG) else { return false };
    let mut start = [0; CACHE_SIGNATURE.len()];
    let is_file = file::stat_fd(&tag).is_ok_and(|stat| stat.kind() == Kind::File);
    is_file && File::from(tag).read_exact(&mut start).is_ok() && start == *CACHE_SIGNATURE
}

fn status(dir: BorrowedFd<'_>, name: &CStr, follows: bool) -> pcopy_sys::Result<Stat> {
    if follows { file::stat_at_following(dir, name) } else { file::stat_at(dir, name) }
}

fn kind_of(dir: BorrowedFd<'_>, name: &CStr, follows: bool) -> Option<Kind> {
    status(dir, name, follows).ok().map(|stat| stat.kind())
}

/// Returns the type of the file that a symbolic link leads to.
fn kind_at_end(dir: BorrowedFd<'_>, name: &CStr) -> Option<Kind> {
    kind_of(dir, name, true)
}
