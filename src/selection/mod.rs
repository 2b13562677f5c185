//! Selection: which entries of a source are copied.
//!
//! The rules of the command line have the grammar and the order of rsync's filter rules. They form one list: for each
//! entry the first rule whose pattern matches decides. If none matches, a tag in the directory decides; then an ignore
//! file in git's grammar, that of the deepest directory first; then those of `--ignore-from`. If none of them matches, the
//! entry is taken. Limits of size and age, `--existing` and `--prune-empty-dirs` hold whatever the rules say.
//!
//! Below a directory that is left out, nothing is looked at.
//!
//! The plan makes a [`Selection`], and the traversal and the comparison ask it for each entry of a directory
//! ([`Selection::within`]). This module knows no process; it reads the files with rules through [`Trees`].

mod asked;
mod char_set;
mod dir_rules;
mod explain;
mod grammar;
mod ignore_file;
mod limits;
mod listed;
mod matcher;
mod pattern;
mod rule;
mod rule_file;
mod rules;
mod wildmatch;

pub use asked::{Asked, Decision, Reason};
pub use dir_rules::DirRulesOnPath;
pub use explain::{Explained, PathTrees, explain};
pub use limits::{Limit, Limits};
pub use listed::{Listed, below_source};
pub use rule::{Rule, RuleOption};

use pcopy_sys::file::{Kind, Stat};
use pcopy_sys::shared_words::SharedWords;
use rules::Rules;
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;

/// Where a rule was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// In an option of the command line.
    Option(RuleOption),
    /// In a file, in this line, from 1.
    File(PathBuf, usize),
}

/// Why rules cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadRule {
    /// The rule, as the user wrote it; empty if a file cannot be read.
    pub text: Vec<u8>,
    /// What is wrong, in a few words.
    pub why: String,
    /// The file and the line, from 1; `None` if the rule was given in an option. Line 0 means the whole file.
    pub place: Option<(PathBuf, usize)>,
}

impl BadRule {
    fn of(text: &[u8], why: &str) -> Self {
        Self { text: text.to_vec(), why: why.to_owned(), place: None }
    }
}

/// Which of the two trees an entry is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The source: the entry would be copied.
    Source,
    /// The target: the entry is extraneous if the source does not have it.
    Target,
}

/// The directories of one operand: how a selection looks at them. Paths are relative to the source.
pub trait Trees {
    /// Returns a number of the operand, which no other operand of the run has.
    fn operand(&self) -> u32;

    /// Opens a directory of the source.
    fn source(&self, path: &[u8]) -> pcopy_sys::Result<OwnedFd>;

    /// Opens the directory of the target that is the copy of a directory of the source; `None` if there is none.
    fn target(&self, path: &[u8]) -> Option<OwnedFd>;

    /// Whether symbolic links in the source are followed.
    fn follows(&self) -> bool;

    /// Returns the file system that the copy stays on, as a device number; `None` if it follows mount points.
    fn device(&self) -> Option<u64>;

    /// Whether the run ends, and the answer does not matter any more.
    fn is_stopped(&self) -> bool;
}

/// An ordered list of rules, as far as it is read.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct RuleList(Vec<Item>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Item {
    Rule(Rule),
    /// The rules in the file of this name in each directory.
    InEachDir(CString),
}

impl RuleList {
    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the rule that an option gives; `text` is its argument.
    pub fn add_option(&mut self, option: RuleOption, text: &[u8]) -> Result<(), BadRule> {
        self.add(option, text, Origin::Option(option), 0)
    }

    /// Adds the rules of a file, one on each line or, if `nul` is set, between two zero bytes. Each is an argument of
    /// `option`. `-` is standard input. Empty lines, and lines that begin with `#` or `;`, have no rule.
    pub fn add_file(&mut self, option: RuleOption, path: &Path, nul: bool) -> Result<(), BadRule> {
        self.add_lines(option, path, nul, 0)
    }

    /// Adds the rules of `--only`: takes what matches one of the patterns, all that is below it, and the directories
    /// above it.
    pub fn add_only(&mut self, patterns: &[Vec<u8>]) -> Result<(), BadRule> {
        for pattern in patterns {
            self.add_option(RuleOption::Only, pattern)?;
            let dir = pattern.strip_suffix(b"/").unwrap_or(pattern);
            if !dir.is_empty() && !dir.ends_with(b"**") {
                self.add_option(RuleOption::Only, &[dir, b"/***"].concat())?;
            }
        }
        self.add_option(RuleOption::Only, b"*/")?;
        self.add_option(RuleOption::OnlyRest, b"*")
    }

    /// Adds the rules of `--exclude-vcs`.
    pub fn add_vcs(&mut self) -> Result<(), BadRule> {
        VCS_NAMES.iter().try_for_each(|name| self.add_option(RuleOption::ExcludeVcs, name))
    }

    fn add(
        &mut self,
        option: RuleOption,
        text: &[u8],
        origin: Origin,
        depth: usize,
    ) -> Result<(), BadRule> {
        match rule::parse(option, text)? {
            rule::Parsed::Rule(rule) => self.0.push(Item::Rule(Rule { origin, ..*rule })),
            rule::Parsed::Clear => self.0.clear(),
            rule::Parsed::InEachDir(name) => self.0.push(Item::InEachDir(name)),
            rule::Parsed::Merge(..) if depth == DEPTH_MAX => {
                return Err(BadRule::of(text, "the files merge each other"));
            }
            rule::Parsed::Merge(option, file) => self.add_lines(option, &file, false, depth + 1)?,
        }
        Ok(())
    }

    /// Adds a line of a file of filter rules in a directory. Returns whether it forgets the rules before it. Such a file
    /// may not name others.
    fn add_line(
        &mut self,
        option: RuleOption,
        text: &[u8],
        origin: Origin,
    ) -> Result<bool, BadRule> {
        let forgets = match rule::parse(option, text)? {
            rule::Parsed::Rule(rule) => {
                self.0.push(Item::Rule(Rule { origin, ..*rule }));
                false
            }
            rule::Parsed::Clear => {
                self.0.clear();
                true
            }
            rule::Parsed::InEachDir(_) | rule::Parsed::Merge(..) => {
                return Err(BadRule::of(text, "a file in a directory may not name another file"));
            }
        };
        Ok(forgets)
    }

    /// Returns the rules. There are no others in a file in a directory.
    fn into_rules(self) -> Vec<Rule> {
        let rules = self.0.into_iter().filter_map(|item| match item {
            Item::Rule(rule) => Some(rule),
            Item::InEachDir(_) => None,
        });
        rules.collect()
    }

    fn add_lines(
        &mut self,
        option: RuleOption,
        path: &Path,
        nul: bool,
        depth: usize,
    ) -> Result<(), BadRule> {
        let at = |line, bad: BadRule| BadRule {
            place: bad.place.or_else(|| Some((path.to_owned(), line))),
            ..bad
        };
        let text = rule_file::read(path).map_err(|error| at(0, BadRule::of(b"", &error)))?;
        for (line, rule) in rule_file::rules(&text, nul) {
            let origin = Origin::File(path.to_owned(), line);
            self.add(option, rule, origin, depth).map_err(|bad| at(line, bad))?;
        }
        Ok(())
    }
}

/// The name of git's ignore file.
const GITIGNORE: &CStr = c".gitignore";

/// How deep files may merge each other.
const DEPTH_MAX: usize = 16;

/// The files and directories of version control systems that `--exclude-vcs` leaves out; the list of GNU tar.
const VCS_NAMES: [&[u8]; 21] = [
    b"CVS",
    b".cvsignore",
    b"RCS",
    b"SCCS",
    b".git",
    b".gitignore",
    b".gitattributes",
    b".gitmodules",
    b".svn",
    b".arch-ids",
    b"{arch}",
    b"=RELEASE-ID",
    b"=meta-update",
    b"=update",
    b".bzr",
    b".bzrignore",
    b".bzrtags",
    b".hg",
    b".hgignore",
    b".hgtags",
    b"_darcs",
];

/// What selects entries, besides rules of the command line.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Criteria {
    /// `--max-size`, `--min-size`, `--newer-than`, `--older-than`.
    pub limits: Limits,
    /// `--max-depth`: how many levels are taken; 1 is what the source contains.
    pub max_depth: Option<u32>,
    /// `--exclude-caches`: of directories with the tag of a cache, only the tag is taken.
    pub exclude_caches: bool,
    /// `--exclude-if-present`: of directories that have an entry with one of these names, only that entry is taken.
    pub tags: Vec<CString>,
    /// `--gitignore`: git's own ignore files hold.
    pub gitignore: bool,
    /// `--ignore-file`: the names of ignore files in git's grammar.
    pub ignore_files: Vec<CString>,
    /// `--files-from`: the names that are taken.
    pub listed: Option<Listed>,
    /// `--prune-empty-dirs`: directories in which nothing is taken are left out.
    pub prune_empty_dirs: bool,
    /// `--existing`: only what the target has is taken.
    pub existing: bool,
    /// `--delete-excluded`: what a rule, a tag or an ignore file leaves out is not protected in the target. Rules for the
    /// target alone still hold.
    pub delete_excluded: bool,
    /// `--ignore-from`: files with rules in git's grammar for the whole source; the last one counts most. `-` is standard
    /// input.
    pub ignore_from: Vec<PathBuf>,
}

/// The names of the files with rules that are looked for in each directory.
#[derive(Default, PartialEq, Eq, Debug)]
struct FilesInDirs {
    /// Those with filter rules in rsync's grammar.
    merged: Vec<CString>,
    ignore_files: Vec<CString>,
    gitignore: bool,
    delete_excluded: bool,
}

impl FilesInDirs {
    fn any(&self) -> bool {
        !self.merged.is_empty() || !self.ignore_files.is_empty() || self.gitignore
    }
}

/// The selection of a run, ready to be asked.
#[derive(PartialEq, Eq, Debug)]
pub struct Selection {
    /// The rules of the command line, in their order.
    sections: Vec<Section>,
    files: FilesInDirs,
    /// The rules of `--ignore-from`, those that count most first.
    ignore_from: Vec<Rules>,
    criteria: Criteria,
    decided: Decided,
}

/// A part of the rules of the command line.
#[derive(PartialEq, Eq, Debug)]
enum Section {
    Rules(Box<Rules>),
    /// The rules in a file in each directory; the name of the file has this number.
    InEachDir(usize),
}

/// A rule that can match nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unreachable {
    /// The rule, as the user would write it, with its place.
    pub rule: Vec<u8>,
    /// The directory above, which is left out.
    pub dir: Vec<u8>,
    /// The rule that leaves out that directory.
    pub by: Vec<u8>,
}

impl Selection {
    /// Prepares a selection. Fails if a pattern is too large for the matcher, or a file cannot be read.
    pub fn new(list: RuleList, mut criteria: Criteria) -> Result<Self, BadRule> {
        let mut sections = Vec::new();
        let mut merged = Vec::new();
        let mut rules = Vec::new();
        let mut numbers = 0_u32..;
        for item in list.0 {
            match item {
                Item::Rule(rule) => {
                    let number = numbers.next().unwrap_or(rule::NO_NUMBER);
                    rules.push(Rule { number, ..rule });
                }
                Item::InEachDir(name) => {
                    let before = Rules::new(std::mem::take(&mut rules), criteria.delete_excluded)?;
                    sections.push(Section::Rules(Box::new(before)));
                    sections.push(Section::InEachDir(merged.len()));
                    merged.push(name);
                }
            }
        }
        if !rules.is_empty() {
            let rules = Rules::new(rules, criteria.delete_excluded)?;
            sections.push(Section::Rules(Box::new(rules)));
        }
        let ignore_files = std::mem::take(&mut criteria.ignore_files);
        let (gitignore, delete_excluded) = (criteria.gitignore, criteria.delete_excluded);
        let files = FilesInDirs { merged, ignore_files, gitignore, delete_excluded };
        let lists = criteria.ignore_from.iter().rev().map(|path| {
            let bad =
                |why: &str| BadRule { place: Some((path.clone(), 0)), ..BadRule::of(b"", why) };
            let text = rule_file::read(path).map_err(|why| bad(&why))?;
            ignore_file::read(path, &text).map_err(|other| bad(&other.why))
        });
        let ignore_from = lists.collect::<Result<_, _>>()?;
        Ok(Self { sections, files, ignore_from, criteria, decided: Decided::default() })
    }

    /// Prepares to ask for the entries of the directory `dir`, whose path is relative to the source and empty for the
    /// source itself. Reads the files with rules in it, and in those directories above it that are not in `on_path`.
    pub fn within<'s>(
        &'s self,
        trees: &'s dyn Trees,
        on_path: &mut DirRulesOnPath,
        dir: &[u8],
    ) -> Asked<'s> {
        Asked::new(self, trees, on_path, dir)
    }

    /// Whether any entry of the directory `dir` may be taken, whose path is relative to the source. Otherwise the
    /// directory alone is taken, and its entries are neither copied nor extraneous.
    pub fn enters(&self, dir: &[u8]) -> bool {
        let depth = match dir {
            b"" => 0,
            dir => 1 + dir.iter().filter(|byte| **byte == b'/').count(),
        };
        let is_too_deep = self
            .criteria
            .max_depth
            .is_some_and(|most| depth >= usize::try_from(most).unwrap_or(usize::MAX));
        let is_alone = self
            .criteria
            .listed
            .as_ref()
            .is_some_and(|listed| !listed.extent(dir).is_above && !listed.is_taken_whole(dir));
        !is_too_deep && !is_alone
    }

    /// Whether an operand is left out: a source that the user named. `is_alone` says that there is no other one.
    ///
    /// Rules that begin with a slash are about what is in a source, and so are wildcards if there is one directory: `*`
    /// would otherwise leave out everything.
    pub fn leaves_out_operand(&self, name: &[u8], is_dir: bool, is_alone: bool) -> bool {
        let end: &[u8] = if is_dir { b"\0" } else { b"" };
        let text = [b"/", name, end].concat();
        let is_asked = |rule: &&Rule| {
            rule.kind.side() != Some(Side::Target)
                && !rule.pattern.is_anchored()
                && !(is_alone && is_dir && (rule.negated || rule.pattern.has_wildcards()))
        };
        let mut asked = self.named_rules().filter(is_asked);
        let rule = asked.find(|rule| rule.matches(&text));
        rule.is_some_and(|rule| {
            self.decided.note(rule);
            rule.leaves_out()
        })
    }

    /// Whether the size or the age of an operand leaves it out.
    pub fn limits_leave_out(&self, operand: &Stat) -> bool {
        self.criteria.limits.leaves_out(operand).is_some()
    }

    /// Whether only what the target has is taken (`--existing`).
    pub fn is_for_existing(&self) -> bool {
        self.criteria.existing
    }

    /// Whether a rule may leave out an entry of the source and not protect it in the target: then the entry is extraneous
    /// there although the source has it.
    pub fn hides(&self) -> bool {
        self.criteria.delete_excluded
            || !self.files.merged.is_empty()
            || self
                .named_rules()
                .any(|rule| matches!(rule.kind, rule::RuleKind::Hide | rule::RuleKind::Risk))
    }

    /// Returns the list of names that are taken, if there is one.
    pub fn listed(&self) -> Option<&Listed> {
        self.criteria.listed.as_ref()
    }

    /// Decides about the entry at `path`, whose path is relative to the source and not empty, as the walk would if it came
    /// to the directory of the entry.
    pub fn leaves_out(&self, trees: &dyn Trees, path: &[u8], kind: Kind) -> bool {
        let (dir, name) = split(path);
        let Ok(name) = CString::new(name) else { return false };
        let Ok(opened) = trees.source(dir) else { return false };
        let mut on_path = DirRulesOnPath::default();
        let mut asked = self.within(trees, &mut on_path, dir);
        !asked.decide(Side::Source, std::os::fd::AsFd::as_fd(&opened), (kind, &name)).is_taken()
    }

    /// Returns the rules that can match nothing, because a directory above what they match is left out.
    pub fn unreachable(&self) -> Vec<Unreachable> {
        let includes = self.named_rules().filter(|rule| {
            rule.kind.side() != Some(Side::Target) && !rule.leaves_out() && !rule.negated
        });
        let found = includes.filter_map(|rule| {
            let above = rule.pattern.dirs_above().into_iter().find_map(|dir| {
                let text = [b"/", &dir[..], b"\0"].concat();
                let by = self.first_named_rule(&text)?;
                by.leaves_out().then_some((dir, by))
            });
            let (dir, by) = above?;
            Some(Unreachable { rule: rule.show(), dir, by: by.show() })
        });
        found.collect()
    }

    /// Returns the rules of files whose pattern ends with a blank, which is seldom meant, as the user wrote them.
    pub fn with_blank_at_end(&self) -> Vec<Vec<u8>> {
        let ends_blank = |rule: &&Rule| {
            matches!(rule.origin, Origin::File(..)) && rule.pattern.show().ends_with(b" ")
        };
        self.named_rules().filter(ends_blank).map(Rule::show).collect()
    }

    /// Notes from now on which rules of the command line decide about an entry, in this process and in those that it
    /// forks.
    pub fn note_decisions(&self) -> std::io::Result<()> {
        let words = self.named_rules().count().div_ceil(WORD_BITS);
        if words > 0 && self.decided.0.set(SharedWords::create("pcopy-rules", words)?).is_err() {
            // It was called before.
        }
        Ok(())
    }

    /// Returns the rules that the user gave for the source and that have decided about no entry, as the user would write
    /// them. They can be fewer than there are: a rule that can match nothing is named by
    /// [`unreachable`](Self::unreachable).
    pub fn without_decision(&self) -> Vec<Vec<u8>> {
        let unreachable = self.unreachable();
        let is_named = |rule: &&Rule| {
            let is_own = match &rule.origin {
                Origin::Option(RuleOption::ExcludeVcs | RuleOption::OnlyRest) => false,
                // The rule for directories belongs to no pattern, and that for what is below to the one before it.
                Origin::Option(RuleOption::Only) => {
                    !rule.pattern.is_for_dirs && !rule.pattern.show().ends_with(b"/***")
                }
                _ => true,
            };
            is_own && rule.kind.side() != Some(Side::Target) && !self.decided.has(rule)
        };
        let idle = self.named_rules().filter(is_named).map(Rule::show);
        idle.filter(|text| unreachable.iter().all(|known| known.rule != *text)).collect()
    }

    /// Returns the rules of the command line.
    fn named_rules(&self) -> impl Iterator<Item = &Rule> {
        let lists = self.sections.iter().filter_map(|section| match section {
            Section::Rules(rules) => Some(&**rules),
            Section::InEachDir(_) => None,
        });
        lists.flat_map(Rules::iter)
    }

    /// Returns the first rule of the command line that matches the source directory with this text.
    fn first_named_rule(&self, text: &[u8]) -> Option<&Rule> {
        self.sections.iter().find_map(|section| match section {
            Section::Rules(rules) => rules.first_match(Side::Source, text, true),
            Section::InEachDir(_) => None,
        })
    }
}

/// Which rules have decided about an entry, bit by bit, if that is noted.
#[derive(Default)]
struct Decided(OnceLock<SharedWords>);

/// How many rules a word has bits for.
const WORD_BITS: usize = 64;

impl Decided {
    fn note(&self, rule: &Rule) {
        let Some(words) = self.0.get() else { return };
        let (word, bit) = place(rule);
        if let Some(word) = words.get(word) {
            word.fetch_or(bit, Relaxed);
        }
    }

    fn has(&self, rule: &Rule) -> bool {
        let (word, bit) = place(rule);
        let word = self.0.get().and_then(|words| words.get(word));
        word.is_none_or(|word| word.load(Relaxed) & bit != 0)
    }
}

/// Returns the number of the word that has the bit of a rule, and the bit.
fn place(rule: &Rule) -> (usize, u64) {
    let number = rule.number as usize;
    (number / WORD_BITS, 1 << (number % WORD_BITS))
}

/// What was decided is no part of a selection.
impl PartialEq for Decided {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Decided {}

impl fmt::Debug for Decided {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Decided")
    }
}

/// Splits a path into its directory, which may be empty, and its last component.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests;
