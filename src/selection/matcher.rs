//! Finds the first rule that matches an entry, without trying all of them.

use super::pattern::Way;
use super::rule::Rule;
use super::{BadRule, wildmatch};
use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use std::collections::HashMap;

/// The most memory that the compiled expressions of a run may take, in bytes.
const EXPRESSIONS_MAX: usize = 64 << 20;

/// The most memory that the states of a matcher may take in a copier, in bytes. By default the crate keeps 2 MiB of states.
/// 10,000 patterns have more, so that each state would be computed again and again.
const STATES_MAX: usize = 16 << 20;

/// The numbers of the first rules with a literal pattern.
#[derive(Clone, Copy, Debug)]
struct Firsts {
    /// The first one for entries of any type.
    any: u32,
    /// The first one for directories.
    dir: u32,
}

impl Firsts {
    fn of(self, is_dir: bool) -> u32 {
        if is_dir { self.dir } else { self.any }
    }
}

/// No rule.
const NONE: u32 = u32::MAX;

type Literals = HashMap<Box<[u8]>, Firsts>;

/// A pattern with wildcards in git's grammar.
#[derive(Debug)]
struct Wildcards {
    /// The number of the rule.
    number: u32,
    is_for_dirs: bool,
    /// Whether it is compared with the name; otherwise with the path.
    is_for_name: bool,
    pattern: Box<[u8]>,
}

impl Wildcards {
    fn new(number: u32, rule: &Rule, pattern: &[u8], is_for_name: bool) -> Self {
        Self { number, is_for_dirs: rule.pattern.is_for_dirs, is_for_name, pattern: pattern.into() }
    }

    fn matches(&self, path: &[u8], name: &[u8], is_dir: bool) -> bool {
        (is_dir || !self.is_for_dirs)
            && wildmatch::matches(&self.pattern, if self.is_for_name { name } else { path })
    }
}

/// The rules for one of the two trees, arranged by how their patterns are matched.
#[derive(Debug)]
pub(super) struct Matcher {
    names: Literals,
    name_ends: Literals,
    /// How many bytes the name ends have; each number once.
    name_end_bytes: Vec<usize>,
    paths: Literals,
    tails: Literals,
    /// How many slashes the tails have; each number once.
    tail_slashes: Vec<usize>,
    /// `None` if there are none: an empty set takes time, too.
    expressions: Option<RegexSet>,
    /// The number of the rule of each expression, in ascending order.
    expression_rules: Vec<u32>,
    /// The patterns with wildcards in git's grammar, in the order of their rules.
    wildcards: Vec<Wildcards>,
    /// The rules for the entries that their patterns do not match: the number of each, and its pattern.
    negated: Vec<(u32, Regex)>,
}

impl Matcher {
    /// Arranges those of the rules for which `is_asked` is true.
    pub(super) fn new(rules: &[Rule], is_asked: impl Fn(&Rule) -> bool) -> Result<Self, BadRule> {
        let (mut names, mut paths, mut tails) = (Literals::new(), Literals::new(), Literals::new());
        let (mut name_ends, mut name_end_bytes) = (Literals::new(), Vec::new());
        let (mut expressions, mut expression_rules) = (Vec::new(), Vec::new());
        let (mut tail_slashes, mut negated) = (Vec::new(), Vec::new());
        let mut wildcards = Vec::new();
        for (number, rule) in (0_u32..).zip(rules) {
            if !is_asked(rule) {
                continue;
            }
            if rule.negated {
                let expression = RegexBuilder::new(&rule.pattern.as_expression())
                    .unicode(false)
                    .size_limit(EXPRESSIONS_MAX)
                    .build()
                    .map_err(|error| too_large(&error))?;
                negated.push((number, expression));
                continue;
            }
            let (literals, key) = match rule.pattern.way() {
                Way::Name(name) => (&mut names, name),
                Way::NameEnd(end) => {
                    if !name_end_bytes.contains(&end.len()) {
                        name_end_bytes.push(end.len());
                    }
                    (&mut name_ends, end)
                }
                Way::Path(path) => (&mut paths, path),
                Way::Tail(tail) => {
                    let slashes = tail.iter().filter(|byte| **byte == b'/').count();
                    if !tail_slashes.contains(&slashes) {
                        tail_slashes.push(slashes);
                    }
                    (&mut tails, tail)
                }
                Way::Expression(expression) => {
                    expressions.push(expression);
                    expression_rules.push(number);
                    continue;
                }
                Way::NameWildcards(pattern) => {
                    wildcards.push(Wildcards::new(number, rule, pattern, true));
                    continue;
                }
                Way::PathWildcards(pattern) => {
                    wildcards.push(Wildcards::new(number, rule, pattern, false));
                    continue;
                }
            };
            let firsts = literals.entry(key.into()).or_insert(Firsts { any: NONE, dir: NONE });
            firsts.dir = firsts.dir.min(number);
            if !rule.pattern.is_for_dirs {
                firsts.any = firsts.any.min(number);
            }
        }
        let compile = |expressions: Vec<String>| {
            let mut builder = RegexSetBuilder::new(expressions);
            builder.unicode(false).size_limit(EXPRESSIONS_MAX).dfa_size_limit(STATES_MAX).build()
        };
        let expressions = (!expressions.is_empty()).then(|| compile(expressions));
        let expressions = expressions.transpose().map_err(|error| too_large(&error))?;
        Ok(Self {
            names,
            name_ends,
            name_end_bytes,
            paths,
            tails,
            tail_slashes,
            expressions,
            expression_rules,
            wildcards,
            negated,
        })
    }

    /// Returns the number of the first rule that matches. `text` is a slash, the path, and for a directory a NUL.
    pub(super) fn first_match(&self, text: &[u8], is_dir: bool) -> Option<usize> {
        let path = &text[1..text.len() - usize::from(is_dir)];
        let mut first = NONE;
        let mut look = |literals: &Literals, key: &[u8]| {
            if let Some(firsts) = literals.get(key) {
                first = first.min(firsts.of(is_dir));
            }
        };
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        if !self.names.is_empty() || !self.name_ends.is_empty() {
            look(&self.names, name);
            for start in self.name_end_bytes.iter().filter_map(|&end| name.len().checked_sub(end)) {
                look(&self.name_ends, &name[start..]);
            }
        }
        if !self.paths.is_empty() {
            look(&self.paths, path);
        }
        for &slashes in &self.tail_slashes {
            if let Some(tail) = tail(path, slashes) {
                look(&self.tails, tail);
            }
        }
        let could_be_first = |number: Option<&u32>| number.is_some_and(|&number| number < first);
        if let Some(expressions) = &self.expressions
            && could_be_first(self.expression_rules.first())
            && expressions.is_match(text)
        {
            let matched = expressions.matches(text).iter().next();
            first = first.min(matched.map_or(NONE, |number| self.expression_rules[number]));
        }
        let mut wildcards = self.wildcards.iter().take_while(|one| one.number < first);
        if let Some(matched) = wildcards.find(|one| one.matches(path, name, is_dir)) {
            first = matched.number;
        }
        for (number, expression) in &self.negated {
            if *number < first && !expression.is_match(text) {
                first = *number;
            }
        }
        (first != NONE).then_some(first as usize)
    }
}

/// Returns the part of `path` that has this number of slashes and ends with the path; `None` if the path has fewer.
fn tail(path: &[u8], slashes: usize) -> Option<&[u8]> {
    let mut ends = path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/');
    match ends.by_ref().nth(slashes) {
        Some((at, _)) => Some(&path[at + 1..]),
        None => {
            let all = path.iter().filter(|byte| **byte == b'/').count();
            (all == slashes).then_some(path)
        }
    }
}

fn too_large(error: &regex::Error) -> BadRule {
    BadRule::of(b"", &format!("the patterns are too large: {error}"))
}
