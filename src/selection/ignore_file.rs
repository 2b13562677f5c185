//! Reads a file in the grammar of git's `.gitignore`.

use super::grammar::Grammar;
use super::pattern::Pattern;
use super::rule::{NO_NUMBER, Rule, RuleKind};
use super::rules::Rules;
use super::{BadRule, Origin};
use std::path::Path;

/// Returns the rules of an ignore file. The last line that matches decides for git, so the rules are in the reverse order
/// of the lines. Every text is valid; `path` is where the file is, to show it.
pub(super) fn read(path: &Path, text: &[u8]) -> Result<Rules, BadRule> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let lines = (1..).zip(text.split(|byte| *byte == b'\n'));
    let mut rules: Vec<Rule> = lines
        .filter_map(|(number, line)| {
            let (kind, pattern) = parse(line)?;
            let pattern = Pattern::new(Grammar::Git, pattern);
            let origin = Origin::File(path.to_owned(), number);
            Some(Rule { kind, pattern, negated: false, origin, number: NO_NUMBER })
        })
        .collect();
    rules.reverse();
    Rules::new(rules, false)
}

/// Returns what a line does and with which pattern; `None` if it has no pattern.
fn parse(line: &[u8]) -> Option<(RuleKind, &[u8])> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.split(|byte| *byte == 0).next().unwrap_or(line); // where it ends for git
    if line.starts_with(b"#") {
        return None;
    }
    let line = without_blanks_at_end(line);
    let (kind, pattern) = match line {
        [b'!', pattern @ ..] => (RuleKind::Include, pattern),
        pattern => (RuleKind::Exclude, pattern),
    };
    (!pattern.is_empty()).then_some((kind, pattern))
}

/// Returns the line without the blanks at its end; a blank behind a backslash belongs to the pattern.
fn without_blanks_at_end(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        match byte {
            b' ' => at += 1,
            b'\\' => {
                at += 2;
                end = at;
            }
            _ => {
                at += 1;
                end = at;
            }
        }
    }
    &line[..end.min(line.len())]
}
