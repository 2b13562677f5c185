//! A list of rules that is ready to be asked.

use super::matcher::Matcher;
use super::rule::Rule;
use super::{BadRule, Side};

/// A list of rules, in the order in which they are tried.
#[derive(Debug)]
pub(super) struct Rules {
    rules: Vec<Rule>,
    source: Matcher,
    /// The rules for the target; `None` if they are those for the source.
    target: Option<Matcher>,
}

/// Two lists are equal if their rules are.
impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Eq for Rules {}

impl Rules {
    /// Prepares a list of rules. Fails if a pattern is too large for the matcher. `delete_excluded` says that rules which
    /// name no tree are for the source alone.
    pub(super) fn new(mut rules: Vec<Rule>, delete_excluded: bool) -> Result<Self, BadRule> {
        rules.shrink_to_fit(); // there may be 100,000
        let for_target = |rule: &Rule| match rule.kind.side() {
            None => !delete_excluded,
            side => side == Some(Side::Target),
        };
        let source = Matcher::new(&rules, |rule| rule.kind.side() != Some(Side::Target))?;
        let is_for_one = |rule: &Rule| rule.kind.side().is_some() || delete_excluded;
        let target = rules.iter().any(is_for_one).then(|| Matcher::new(&rules, for_target));
        Ok(Self { source, target: target.transpose()?, rules })
    }

    /// Returns the first rule that matches. `text` is a slash, the path, and for a directory a NUL.
    pub(super) fn first_match(&self, side: Side, text: &[u8], is_dir: bool) -> Option<&Rule> {
        let matcher = match (side, &self.target) {
            (Side::Target, Some(target)) => target,
            _ => &self.source,
        };
        matcher.first_match(text, is_dir).map(|number| &self.rules[number])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }
}
