//! Reads one rule in rsync's grammar.

use super::grammar::Grammar;
use super::pattern::Pattern;
use super::{BadRule, GITIGNORE, Origin, Side};
use regex::bytes::Regex;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What a rule does with the entries that its pattern matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RuleKind {
    /// `-`: leave them out of the copy, and do not take them for extraneous in the target.
    Exclude,
    /// `+`: take them.
    Include,
    /// `H`: leave them out of the copy.
    Hide,
    /// `S`: take them.
    Show,
    /// `P`: do not take them for extraneous in the target.
    Protect,
    /// `R`: they may be extraneous in the target.
    Risk,
}

impl RuleKind {
    /// Whether the entries are left out; otherwise they are taken.
    pub(super) fn leaves_out(self) -> bool {
        matches!(self, Self::Exclude | Self::Hide | Self::Protect)
    }

    /// Returns the tree that the rule is for; `None` if it is for both.
    pub(super) fn side(self) -> Option<Side> {
        match self {
            Self::Exclude | Self::Include => None,
            Self::Hide | Self::Show => Some(Side::Source),
            Self::Protect | Self::Risk => Some(Side::Target),
        }
    }
}

/// The option that gives a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RuleOption {
    /// `--exclude=PATTERN`, and a line of `--exclude-from`.
    Exclude,
    /// `--include=PATTERN`, and a line of `--include-from`.
    Include,
    /// `--filter=RULE`, and a line of a merged file.
    Filter,
    /// `--only=PATTERN`: takes what the pattern matches.
    Only,
    /// `--only=PATTERN`: leaves out the rest.
    OnlyRest,
    /// `--exclude-vcs`.
    ExcludeVcs,
}

/// A rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    pub(super) kind: RuleKind,
    pub(super) pattern: Pattern,
    /// Whether the rule is for the entries that the pattern does not match.
    pub(super) negated: bool,
    pub(super) origin: Origin,
    /// Its number among the rules of the command line; [`NO_NUMBER`] for a rule in a file in a directory.
    pub(super) number: u32,
}

/// The number of a rule that is not one of the command line.
pub(super) const NO_NUMBER: u32 = u32::MAX;

impl Rule {
    /// Whether the rule leaves out what it matches.
    pub(super) fn leaves_out(&self) -> bool {
        self.kind.leaves_out()
    }

    /// Whether the rule is for the entry with this text (see [`Pattern`]). Slower than a matcher.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let expression = Regex::new(&self.pattern.as_expression());
        expression.is_ok_and(|expression| expression.is_match(text)) != self.negated
    }

    /// Returns the rule as the user would write it in an option, or its file, line and pattern.
    pub(super) fn show(&self) -> Vec<u8> {
        let pattern = self.pattern.show();
        match &self.origin {
            Origin::Option(RuleOption::Exclude) => [b"--exclude=", &pattern[..]].concat(),
            Origin::Option(RuleOption::Include) => [b"--include=", &pattern[..]].concat(),
            Origin::Option(RuleOption::Filter) => {
                [b"--filter=", self.letter(), b" ", &pattern].concat()
            }
            Origin::Option(RuleOption::Only) => [b"--only=", &pattern[..]].concat(),
            Origin::Option(RuleOption::OnlyRest) => b"--only".to_vec(),
            Origin::Option(RuleOption::ExcludeVcs) => b"--exclude-vcs".to_vec(),
            Origin::File(file, line) => {
                let at = format!(":{line}: ");
                let what: &[&[u8]] = match (self.pattern.is_for_git(), self.leaves_out()) {
                    (true, true) => &[&pattern],
                    (true, false) => &[b"!", &pattern],
                    (false, _) => &[self.letter(), b" ", &pattern],
                };
                [file.as_os_str().as_bytes(), at.as_bytes(), &what.concat()].concat()
            }
        }
    }

    fn letter(&self) -> &'static [u8] {
        match self.kind {
            RuleKind::Exclude => b"-",
            RuleKind::Include => b"+",
            RuleKind::Hide => b"H",
            RuleKind::Show => b"S",
            RuleKind::Protect => b"P",
            RuleKind::Risk => b"R",
        }
    }
}

/// What a line or an argument says.
pub(super) enum Parsed {
    Rule(Box<Rule>),
    /// `!`: forget all rules so far.
    Clear,
    /// `. FILE`: the rules in this file, each line of which is an argument of this option.
    Merge(RuleOption, PathBuf),
    /// `: NAME`: the rules in the files of this name, each for its directory and all below it.
    InEachDir(CString),
}

/// The long words of the kinds, as rsync has them.
const WORDS: [(&[u8], u8); 9] = [
    (b"exclude", b'-'),
    (b"include", b'+'),
    (b"merge", b'.'),
    (b"dir-merge", b':'),
    (b"hide", b'H'),
    (b"show", b'S'),
    (b"protect", b'P'),
    (b"risk", b'R'),
    (b"clear", b'!'),
];

/// Reads the argument of `option`, or a line of a file that the option names.
pub(super) fn parse(option: RuleOption, text: &[u8]) -> Result<Parsed, BadRule> {
    let bad = |why: &str| BadRule::of(text, why);
    let rule = |kind, negated, pattern: &[u8]| {
        if pattern.is_empty() {
            return Err(bad("the pattern is missing"));
        }
        let pattern = Pattern::new(Grammar::Rsync, pattern);
        let origin = Origin::Option(option);
        Ok(Parsed::Rule(Box::new(Rule { kind, pattern, negated, origin, number: NO_NUMBER })))
    };
    let default = match option {
        RuleOption::Exclude => RuleKind::Exclude,
        RuleOption::Include => RuleKind::Include,
        RuleOption::Filter => return parse_filter(text, bad, rule),
        RuleOption::Only => return rule(RuleKind::Include, false, text),
        RuleOption::OnlyRest | RuleOption::ExcludeVcs => {
            return rule(RuleKind::Exclude, false, text);
        }
    };
    match text {
        b"!" => Ok(Parsed::Clear),
        [b'!', ..] => Err(bad("this is git's grammar; write a rule with '+' before it")),
        [b'-', b' ', pattern @ ..] => rule(RuleKind::Exclude, false, pattern),
        [b'+', b' ', pattern @ ..] => rule(RuleKind::Include, false, pattern),
        _ => rule(default, false, text),
    }
}

fn parse_filter(
    text: &[u8],
    bad: impl Fn(&str) -> BadRule,
    rule: impl Fn(RuleKind, bool, &[u8]) -> Result<Parsed, BadRule>,
) -> Result<Parsed, BadRule> {
    let (letter, rest) = letter_of(text).ok_or_else(|| bad("the rule is empty"))?;
    let kind = match letter {
        b'!' if rest.is_empty() => return Ok(Parsed::Clear),
        b'!' => return Err(bad("'!' takes no pattern")),
        b'-' => RuleKind::Exclude,
        b'+' => RuleKind::Include,
        b'H' => RuleKind::Hide,
        b'S' => RuleKind::Show,
        b'P' => RuleKind::Protect,
        b'R' => RuleKind::Risk,
        b'.' => return merge(rest, bad),
        b':' => return in_each_dir(rest, bad),
        _ => {
            return Err(bad(
                "expected one of the letters + - H S P R and a pattern, or . or : and a name, or !",
            ));
        }
    };
    let end = rest.iter().position(|byte| matches!(byte, b' ' | b'_')).unwrap_or(rest.len());
    let (modifiers, pattern) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    let (mut kind, mut negated) = (kind, false);
    for modifier in modifiers {
        kind = match (modifier, kind) {
            (b'!', _) => {
                negated = true;
                kind
            }
            (b'p', _) => kind, // nothing is deleted
            (b's', RuleKind::Exclude) => RuleKind::Hide,
            (b's', RuleKind::Include) => RuleKind::Show,
            (b'r', RuleKind::Exclude) => RuleKind::Protect,
            (b'r', RuleKind::Include) => RuleKind::Risk,
            (other, _) => {
                let other = (*other as char).escape_default();
                return Err(bad(&format!("the modifier '{other}' is not supported here")));
            }
        };
    }
    rule(kind, negated, pattern)
}

/// Reads a rule that names a file; `rest` is what follows the letter.
fn merge(rest: &[u8], bad: impl Fn(&str) -> BadRule) -> Result<Parsed, BadRule> {
    let end = rest.iter().position(|byte| matches!(byte, b' ' | b'_')).unwrap_or(rest.len());
    let option = match &rest[..end] {
        b"" => RuleOption::Filter,
        b"-" => RuleOption::Exclude,
        b"+" => RuleOption::Include,
        _ => return Err(bad("a merged file takes no modifier but '-' and '+'")),
    };
    match rest.get(end + 1..) {
        None | Some(b"") => Err(bad("the name of the file is missing")),
        Some(file) => Ok(Parsed::Merge(option, OsStr::from_bytes(file).into())),
    }
}

/// Reads what follows the letter of the rule `:`.
fn in_each_dir(rest: &[u8], bad: impl Fn(&str) -> BadRule) -> Result<Parsed, BadRule> {
    let end = rest.iter().position(|byte| matches!(byte, b' ' | b'_')).unwrap_or(rest.len());
    let (modifiers, name) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    if name == GITIGNORE.to_bytes() {
        return Err(bad("git's grammar is another one; use --gitignore"));
    }
    if !modifiers.is_empty() {
        return Err(bad("files in each directory take no modifiers"));
    }
    match name {
        b"" => Err(bad("the name of the file is missing")),
        name if name.contains(&b'/') => {
            Err(bad("the file is looked for by its name, without a slash"))
        }
        name => {
            CString::new(name).map(Parsed::InEachDir).map_err(|_| bad("a name has no zero byte"))
        }
    }
}

/// Returns the letter of a rule, and what follows it: modifiers and the pattern.
fn letter_of(text: &[u8]) -> Option<(u8, &[u8])> {
    for (word, letter) in WORDS {
        let Some(rest) = text.strip_prefix(word) else { continue };
        match rest {
            [b',', rest @ ..] => return Some((letter, rest)),
            [b' ' | b'_', ..] | [] => return Some((letter, rest)),
            _ => {}
        }
    }
    match text {
        [letter, b',', rest @ ..] | [letter, rest @ ..] => Some((*letter, rest)),
        [] => None,
    }
}
