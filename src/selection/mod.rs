//! Selection: which entries of a source are copied. Rules have the grammar and the order of rsync's filter rules.
//!
//! The rules of the command line form one list. For each entry the first rule whose pattern matches decides; if none
//! matches, the entry is taken. Below a directory that is left out, nothing is looked at.
//!
//! This module reads no directory and knows no process: the plan makes a [`Selection`], and the traversal and the
//! comparison ask it for each entry.

mod matcher;
mod pattern;
mod rule;
mod rule_file;

pub use rule::RuleOption;

use matcher::Matcher;
use rule::Rule;
use std::path::{Path, PathBuf};

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

/// An ordered list of rules, as far as it is read.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct RuleList(Vec<Rule>);

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

    fn add(
        &mut self,
        option: RuleOption,
        text: &[u8],
        origin: Origin,
        depth: usize,
    ) -> Result<(), BadRule> {
        match rule::parse(option, text)? {
            rule::Parsed::Rule(rule) => self.0.push(Rule { origin, ..*rule }),
            rule::Parsed::Clear => self.0.clear(),
            rule::Parsed::Merge(..) if depth == DEPTH_MAX => {
                return Err(BadRule::of(text, "the files merge each other"));
            }
            rule::Parsed::Merge(option, file) => self.add_lines(option, &file, false, depth + 1)?,
        }
        Ok(())
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

/// How deep files may merge each other.
const DEPTH_MAX: usize = 16;

/// The rules of a run, ready to be asked.
#[derive(Debug)]
pub struct Selection {
    rules: Vec<Rule>,
    source: Matcher,
    /// The rules for the target; `None` if they are those for the source.
    target: Option<Matcher>,
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

/// Two selections are equal if their rules are.
impl PartialEq for Selection {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Eq for Selection {}

impl Selection {
    /// Prepares a list of rules. Fails if a pattern is too large for the matcher.
    pub fn new(list: RuleList) -> Result<Self, BadRule> {
        let rules = list.0;
        let source = Matcher::new(&rules, Side::Source)?;
        let is_for_one = |rule: &Rule| rule.kind.side().is_some();
        let target = rules.iter().any(is_for_one).then(|| Matcher::new(&rules, Side::Target));
        Ok(Self { source, target: target.transpose()?, rules })
    }

    /// Whether an entry is left out. `path` is its path in the source, without a slash at the beginning.
    pub fn leaves_out(&self, side: Side, path: &[u8], is_dir: bool) -> bool {
        self.within(b"").leaves_out(side, path, is_dir)
    }

    /// Prepares to ask for the entries of the directory `dir`, whose path is relative to the source and empty for the
    /// source itself.
    pub fn within(&self, dir: &[u8]) -> Asked<'_> {
        let mut text = vec![b'/'];
        if !dir.is_empty() {
            text.extend_from_slice(dir);
            text.push(b'/');
        }
        Asked { selection: self, dir_bytes: text.len(), text }
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
        let mut asked = self.rules.iter().filter(is_asked);
        asked.find(|rule| rule.matches(&text)).is_some_and(|rule| rule.kind.leaves_out())
    }

    /// Returns the rules that can match nothing, because a directory above what they match is left out.
    pub fn unreachable(&self) -> Vec<Unreachable> {
        let includes = self.rules.iter().enumerate().filter(|(_, rule)| {
            rule.kind.side() != Some(Side::Target) && !rule.kind.leaves_out() && !rule.negated
        });
        let found = includes.filter_map(|(number, rule)| {
            let above = rule.pattern.dirs_above().into_iter().find_map(|dir| {
                let text = [b"/", &dir[..], b"\0"].concat();
                let by = self.source.first_match(&text, true)?;
                self.rules[by].kind.leaves_out().then_some((dir, by))
            });
            let (dir, by) = above?;
            let show = |number: usize| self.rules[number].show();
            Some(Unreachable { rule: show(number), dir, by: show(by) })
        });
        found.collect()
    }

    fn first_match(&self, side: Side, text: &[u8], is_dir: bool) -> Option<&Rule> {
        let matcher = match (side, &self.target) {
            (Side::Target, Some(target)) => target,
            _ => &self.source,
        };
        matcher.first_match(text, is_dir).map(|number| &self.rules[number])
    }
}

/// The paths of entries of one directory, one after the other, in the form that the rules are matched with.
pub struct Asked<'s> {
    selection: &'s Selection,
    /// A slash, the path, and for a directory a NUL.
    text: Vec<u8>,
    /// How many bytes of it are those of the directory.
    dir_bytes: usize,
}

impl Asked<'_> {
    /// Whether the entry `name` of the directory is left out.
    pub fn leaves_out(&mut self, side: Side, name: &[u8], is_dir: bool) -> bool {
        self.text.truncate(self.dir_bytes);
        self.text.extend_from_slice(name);
        if is_dir {
            self.text.push(0);
        }
        let rule = self.selection.first_match(side, &self.text, is_dir);
        rule.is_some_and(|rule| rule.kind.leaves_out())
    }
}

#[cfg(test)]
mod tests;
