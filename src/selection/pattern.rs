//! A pattern of a rule, as rsync or git reads it.
//!
//! A pattern is matched with a text: a slash, the path of the entry, and for a directory a NUL, which no name contains.
//! Most patterns have no wildcard, or only a star before a literal end; they are looked up. Of the others, those of
//! rsync become regular expressions, and those of git are matched as they are.
//!
//! The two grammars have the same sets of characters and the same escapes. They differ in where a pattern may begin to
//! match (a slash inside anchors it for git, not for rsync) and in what two stars mean.

use super::char_set;
use super::grammar::Grammar;

/// A pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pattern {
    grammar: Grammar,
    /// The pattern as the user wrote it, without the slash at its end; before it the path of the directory that it begins
    /// at, if this is not the source.
    text: Vec<u8>,
    /// How many bytes of the text are those of that path.
    dir_bytes: usize,
    /// Whether it had a slash at its end: it matches directories only.
    pub(super) is_for_dirs: bool,
}

/// How a pattern is matched.
pub(super) enum Way<'p> {
    /// The last component of the path has these bytes.
    Name(&'p [u8]),
    /// The last component of the path ends with these bytes.
    NameEnd(&'p [u8]),
    /// The path has these bytes.
    Path(&'p [u8]),
    /// The last components of the path have these bytes, which contain slashes.
    Tail(&'p [u8]),
    /// The text matches this regular expression.
    Expression(String),
    /// The last component of the path matches this pattern of git.
    NameWildcards(&'p [u8]),
    /// The path matches this pattern of git.
    PathWildcards(&'p [u8]),
}

impl Pattern {
    pub(super) fn new(grammar: Grammar, text: &[u8]) -> Self {
        let (text, is_for_dirs) = match text {
            [start @ .., b'/'] if !start.is_empty() => (start, true),
            _ => (text, false),
        };
        Self { grammar, text: text.to_vec(), dir_bytes: 0, is_for_dirs }
    }

    /// Makes a pattern that begins with a slash begin at the directory `dir`, whose path is relative to the source.
    pub(super) fn begin_at(&mut self, dir: &[u8]) {
        if self.is_anchored() && !dir.is_empty() {
            self.text = [b"/", dir, &self.text].concat();
            self.dir_bytes = 1 + dir.len();
        }
    }

    /// Returns the pattern as the user wrote it.
    pub(super) fn show(&self) -> Vec<u8> {
        [self.written(), if self.is_for_dirs { b"/" } else { b"" }].concat()
    }

    fn written(&self) -> &[u8] {
        &self.text[self.dir_bytes..]
    }

    pub(super) fn is_for_git(&self) -> bool {
        self.grammar == Grammar::Git
    }

    /// Whether the pattern begins at the source: with a slash.
    pub(super) fn is_anchored(&self) -> bool {
        self.text.first() == Some(&b'/')
    }

    /// Whether the pattern has wildcards. For git a backslash counts as one.
    pub(super) fn has_wildcards(&self) -> bool {
        let is_escape = |byte: &u8| self.grammar == Grammar::Git && *byte == b'\\';
        has_wildcards(self.written()) || self.text.iter().any(is_escape)
    }

    /// Returns the paths of the directories above what an anchored pattern matches, as far as they have no wildcards.
    pub(super) fn dirs_above(&self) -> Vec<Vec<u8>> {
        let Some(path) = self.text.strip_prefix(b"/") else { return Vec::new() };
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let dirs = slashes.map(|(at, _)| &path[..at]).take_while(|dir| !has_wildcards(dir));
        dirs.filter(|dir| !dir.is_empty()).map(<[u8]>::to_vec).collect()
    }

    /// Returns how the pattern is matched.
    pub(super) fn way(&self) -> Way<'_> {
        let is_literal = |byte: &u8| !matches!(byte, b'*' | b'?' | b'[' | b'\\' | b'/');
        if let [b'*', end @ ..] = &self.text[..]
            && end.iter().all(is_literal)
        {
            return Way::NameEnd(end);
        }
        if self.has_wildcards() {
            return match (self.grammar, &self.text[..]) {
                (Grammar::Rsync, _) => Way::Expression(self.expression()),
                // A slash, other than at the end, anchors the pattern. Without one it is compared with the name.
                (Grammar::Git, [b'/', path @ ..]) => Way::PathWildcards(path),
                (Grammar::Git, path) if path.contains(&b'/') => Way::PathWildcards(path),
                (Grammar::Git, name) => Way::NameWildcards(name),
            };
        }
        match &self.text[..] {
            [b'/', path @ ..] => Way::Path(path),
            text if text.contains(&b'/') => match self.grammar {
                Grammar::Rsync => Way::Tail(text),
                Grammar::Git => Way::Path(text),
            },
            text => Way::Name(text),
        }
    }

    /// Returns a regular expression that matches the same texts as the pattern, which is one of rsync.
    pub(super) fn as_expression(&self) -> String {
        let (start, bytes) = match self.way() {
            Way::Expression(expression) => return expression,
            Way::Path(path) => ("^/", path),
            Way::Name(bytes) | Way::Tail(bytes) => ("/", bytes),
            Way::NameEnd(bytes) => (r"/[^/\x00]*", bytes),
            Way::NameWildcards(_) | Way::PathWildcards(_) => return NOTHING.to_owned(),
        };
        let mut expression = format!("(?s-u){start}");
        bytes.iter().for_each(|&byte| literal(byte, &mut expression));
        expression + if self.is_for_dirs { r"\x00$" } else { r"\x00?$" }
    }

    /// Returns the regular expression for a pattern with wildcards.
    fn expression(&self) -> String {
        let mut text = &self.text[..];
        let stars = text.iter().rev().take_while(|byte| **byte == b'*').count();
        // Three stars behind a slash at the end of a pattern match the directory itself, too: 'dir/***'.
        let before = &text[..text.len() - stars];
        let mut end = if self.is_for_dirs { r"\x00$" } else { r"\x00?$" };
        if let Some(dir) = before.strip_suffix(b"/").filter(|dir| stars >= 3 && !dir.is_empty()) {
            text = dir;
            end =
                if self.is_for_dirs { r"(?:/[^\x00]*)?\x00$" } else { r"(?:/[^\x00]*\x00?|\x00)$" };
        }
        let mut expression = String::from("(?s-u)");
        // A pattern that begins with two stars may match from the slash before the path on. Any other pattern begins at a
        // component, and one that begins with a slash at the first one.
        let body = match text {
            [b'*', b'*', ..] => {
                expression.push('^');
                text
            }
            [b'/', ..] => {
                expression.push('^');
                let (dir, rest) = text.split_at(self.dir_bytes);
                dir.iter().for_each(|&byte| literal(byte, &mut expression));
                rest
            }
            _ => {
                expression.push('/');
                text
            }
        };
        let Some(slashes) = translate(body, &mut expression) else {
            return NOTHING.to_owned();
        };
        // A pattern with a slash inside is compared with as many components as it has, and a set of characters matches no
        // slash; so a pattern with a slash in a set has too many of them.
        let all = text.iter().filter(|byte| **byte == b'/').count();
        let is_for_components =
            !self.is_anchored() && !self.text.windows(2).any(|two| two == b"**");
        if is_for_components && slashes != all {
            return NOTHING.to_owned();
        }
        expression + end
    }
}

fn has_wildcards(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// A regular expression that matches no text.
const NOTHING: &str = r"[^\x00-\xff]";

/// Appends the regular expression for a pattern. Returns how many slashes it matches; `None` if it matches nothing.
fn translate(pattern: &[u8], into: &mut String) -> Option<usize> {
    let mut rest = pattern;
    let mut slashes = 0;
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'*' => {
                let more = rest.iter().take_while(|byte| **byte == b'*').count();
                rest = &rest[more..];
                into.push_str(if more == 0 { r"[^/\x00]*" } else { r"[^\x00]*" });
            }
            b'?' => into.push_str(r"[^/\x00]"),
            b'[' => rest = class(rest, into)?,
            b'\\' => {
                let (escaped, after) = rest.split_first()?; // a backslash at the end matches nothing
                rest = after;
                slashes += usize::from(*escaped == b'/');
                literal(*escaped, into);
            }
            other => {
                slashes += usize::from(*other == b'/');
                literal(*other, into);
            }
        }
    }
    Some(slashes)
}

fn literal(byte: u8, into: &mut String) {
    match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'/' | b'_' => into.push(byte as char),
        _ => into.push_str(&format!(r"\x{byte:02x}")),
    }
}

/// Appends the regular expression for a set of characters; `pattern` is what follows its `[`. Returns what follows the
/// set, or `None` if it is not closed or names an unknown class.
fn class<'p>(pattern: &'p [u8], into: &mut String) -> Option<&'p [u8]> {
    let mut members = [false; 256];
    let (negated, rest) = char_set::read(Grammar::Rsync, pattern, |named| {
        (0..=255_u8)
            .filter(|byte| named.contain(*byte))
            .for_each(|byte| members[usize::from(byte)] = true);
    })?;
    if negated {
        members.iter_mut().for_each(|member| *member = !*member);
    }
    members[usize::from(b'/')] = false;
    members[0] = false;
    into.push_str(r"[^\x00-\xff");
    let start = into.len();
    for byte in (0..=255_u8).filter(|&byte| members[usize::from(byte)]) {
        into.push_str(&format!(r"\x{byte:02x}"));
    }
    if into.len() > start {
        into.replace_range(start - r"^\x00-\xff".len()..start, "");
    }
    into.push(']');
    Some(rest)
}
