//! Sets of characters in brackets: `[a-z]`, `[!a]`, `[[:digit:]]`. Rsync and git read them alike.

use super::grammar::Grammar;

/// Characters that a set names together.
pub(super) enum Members {
    /// From the first to the last, which may be before the first.
    Range(u8, u8),
    /// A POSIX class.
    Class(fn(&u8) -> bool),
}

impl Members {
    pub(super) fn contain(&self, byte: u8) -> bool {
        match self {
            Self::Range(first, last) => (*first..=*last).contains(&byte),
            Self::Class(test) => test(&byte),
        }
    }
}

/// Reads a set and gives its members to `visit`; `pattern` is what follows its `[`. Returns whether the set matches the
/// other characters, and what follows it; `None` if the set is not closed or names an unknown class.
pub(super) fn read(
    grammar: Grammar,
    pattern: &[u8],
    mut visit: impl FnMut(Members),
) -> Option<(bool, &[u8])> {
    let (negated, mut rest) = match pattern {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let mut previous: Option<u8> = None;
    let mut is_first = true;
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        if byte == b']' && !is_first {
            return Some((negated, rest));
        }
        is_first = false;
        let mut member = byte;
        match byte {
            b'\\' => {
                let (&escaped, after) = rest.split_first()?;
                rest = after;
                member = escaped;
            }
            b'-' if previous.is_some() && rest.first().is_some_and(|&next| next != b']') => {
                let (&next, after) = rest.split_first()?;
                rest = after;
                let mut last = next;
                if next == b'\\' {
                    let (&escaped, after) = rest.split_first()?;
                    rest = after;
                    last = escaped;
                }
                visit(Members::Range(previous?, last));
                previous = None;
                continue;
            }
            b'[' if rest.first() == Some(&b':') => {
                let end = rest.iter().position(|&byte| byte == b']')?;
                // Without a colon before the bracket it is no class, and the first bracket is a member.
                if let Some(name) = rest[1..end].strip_suffix(b":").filter(|_| end >= 2) {
                    visit(Members::Class(class_named(grammar, name)?));
                    rest = &rest[end + 1..];
                    previous = None;
                    continue;
                }
            }
            _ => {}
        }
        visit(Members::Range(member, member));
        previous = Some(member);
    }
}

/// Returns the test of a POSIX class.
fn class_named(grammar: Grammar, name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match (name, grammar) {
        (b"alnum", _) => u8::is_ascii_alphanumeric,
        (b"alpha", _) => u8::is_ascii_alphabetic,
        (b"blank", _) => |byte| matches!(byte, b' ' | b'\t'),
        (b"cntrl", _) => u8::is_ascii_control,
        (b"digit", _) => u8::is_ascii_digit,
        (b"graph", _) => u8::is_ascii_graphic,
        (b"lower", _) => u8::is_ascii_lowercase,
        (b"print", _) => |byte| byte.is_ascii_graphic() || *byte == b' ',
        (b"punct", _) => u8::is_ascii_punctuation,
        (b"space", Grammar::Rsync) => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        (b"space", Grammar::Git) => |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'),
        (b"upper", _) => u8::is_ascii_uppercase,
        (b"xdigit", _) => u8::is_ascii_hexdigit,
        _ => return None,
    })
}
