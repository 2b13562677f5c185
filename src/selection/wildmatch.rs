//! Matches a pattern with wildcards in git's grammar, as git's `wildmatch` does.
//!
//! The pattern is not prepared: most ignore files are asked about few names, and a regular expression for each pattern
//! would cost more than all the questions.

use super::char_set;
use super::grammar::Grammar;

/// Where to continue if the rest of the text does not match the rest of the pattern.
#[derive(Clone, Copy)]
struct Retry<'a> {
    /// The pattern behind the stars.
    pattern: &'a [u8],
    /// The text behind what the stars match so far.
    text: &'a [u8],
}

/// What two or more stars match.
#[derive(Clone, Copy)]
enum Step {
    /// `**/`: any number of components.
    Component,
    /// Any text.
    Byte,
}

/// Whether a pattern matches the whole text. `*`, `?` and sets match no slash.
///
/// It suffices to remember the last `*` and the last `**`. A `*` that ends earlier leaves all to the next one that it
/// would leave if it ended later, because both are in the same component; and so do `**`.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let whole = pattern;
    let (mut pattern, mut text) = (pattern, text);
    let mut star: Option<Retry> = None;
    let mut stars: Option<(Retry, Step)> = None;
    loop {
        let next = match (pattern, text) {
            ([], []) => return true,
            ([b'*', after @ ..], _) => {
                let more = after.iter().take_while(|byte| **byte == b'*').count();
                let before = &whole[..whole.len() - pattern.len()];
                let is_at_start = before.is_empty() || before.ends_with(b"/");
                let after = &after[more..];
                // Stars with anything else in their component match what one star matches.
                let step = match after {
                    _ if more == 0 || !is_at_start => None,
                    [] => return true,
                    [b'/', ..] => Some(Step::Component),
                    [b'\\', b'/', ..] => Some(Step::Byte),
                    _ => None,
                };
                pattern = if let Some(Step::Component) = step { &after[1..] } else { after };
                let retry = Retry { pattern, text };
                star = step.is_none().then_some(retry);
                stars = step.map(|step| (retry, step)).or(stars);
                continue;
            }
            // What is left of the text is too short, and it would be shorter if the stars matched more.
            (_, []) => return false,
            ([], _) => None,
            ([b'?', after @ ..], [byte, rest @ ..]) => (*byte != b'/').then_some((after, rest)),
            ([b'[', set @ ..], [byte, rest @ ..]) => {
                let mut is_member = false;
                let visit = |members: char_set::Members| is_member |= members.contain(*byte);
                // A set that is not closed matches nothing.
                let Some((negated, after)) = char_set::read(Grammar::Git, set, visit) else {
                    return false;
                };
                (is_member != negated && *byte != b'/').then_some((after, rest))
            }
            ([b'\\'], _) => return false,
            ([b'\\', literal, after @ ..] | [literal, after @ ..], [byte, rest @ ..]) => {
                (literal == byte).then_some((after, rest))
            }
        };
        (pattern, text) = match (next, star, stars) {
            (Some(next), _, _) => next,
            (None, Some(Retry { pattern, text: [first, rest @ ..] }), _) if *first != b'/' => {
                star = Some(Retry { pattern, text: rest });
                (pattern, rest)
            }
            (None, _, Some((Retry { pattern, text }, step))) => {
                let matched = match step {
                    Step::Component => text.iter().position(|byte| *byte == b'/'),
                    Step::Byte => Some(0),
                };
                let Some(rest) = matched.and_then(|last| text.get(last + 1..)) else {
                    return false;
                };
                star = None;
                stars = Some((Retry { pattern, text: rest }, step));
                (pattern, rest)
            }
            (None, _, None) => return false,
        };
    }
}
