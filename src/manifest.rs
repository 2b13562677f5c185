//! Reads and writes lines of a manifest: `HASH  NAME`, as `b3sum` and `sha256sum` write and check them.
//!
//! A name may contain any bytes but NUL. If it contains a backslash, a line feed or a carriage return, these
//! are written as `\\`, `\n` and `\r`, and the line begins with a backslash.

use crate::hash::{Algorithm, Digest};
use std::fmt;
use std::io::Write;

/// A line that lists a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManifestLine {
    /// The name of the file, without escapes.
    pub name: Vec<u8>,
    /// The digest of the file.
    pub digest: Digest,
    /// The algorithm of the digest, if the line names one (BSD style, `--tag`).
    pub algorithm: Option<Algorithm>,
}

/// Why a line cannot be read as a line of a manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The line does not begin with a hash of 64 hexadecimal digits.
    Hash,
    /// Neither two spaces nor a space and an asterisk separate the hash from the name.
    Separator,
    /// The line has no name, or the name contains a NUL.
    Name,
    /// A backslash is followed by a character that the format does not escape.
    Escape,
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Hash => "no hash of 64 hexadecimal digits",
            Self::Separator => "no two spaces after the hash",
            Self::Name => "no file name",
            Self::Escape => "an invalid backslash escape",
        })
    }
}

/// Appends one line, with its line feed, to `into`.
///
/// A file named `-` is listed as `./-`, because `b3sum` and `sha256sum` read `-` as standard input.
pub fn put_line(into: &mut Vec<u8>, digest: Digest, name: &[u8]) {
    let escaped = name.iter().any(|byte| b"\\\n\r".contains(byte));
    if escaped {
        into.push(b'\\');
    }
    write!(into, "{digest}  ").expect("a Vec takes all that is written");
    if name == b"-" {
        into.extend_from_slice(b"./");
    }
    for &byte in name {
        match byte {
            b'\\' => into.extend_from_slice(b"\\\\"),
            b'\n' => into.extend_from_slice(b"\\n"),
            b'\r' => into.extend_from_slice(b"\\r"),
            byte => into.push(byte),
        }
    }
    into.push(b'\n');
}

/// Reads a line, given without its line feed; returns `None` for an empty line or a comment.
pub fn read_line(line: &[u8]) -> Result<Option<ManifestLine>, Malformed> {
    if line.first().is_none_or(|&first| first == b'#') {
        return Ok(None);
    }
    let (text, escaped) = match line.strip_prefix(b"\\") {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let (name, digest, algorithm) = match tagged(text) {
        Some(parts) => parts,
        None => {
            let (hash, rest) = text.split_at_checked(64).ok_or(Malformed::Hash)?;
            let digest = Digest::from_hex(hash).ok_or(Malformed::Hash)?;
            let gap = rest.strip_prefix(b"  ").or(rest.strip_prefix(b" *"));
            (gap.ok_or(Malformed::Separator)?, digest, None)
        }
    };
    let name = if escaped { unescape(name)? } else { name.to_vec() };
    if name.is_empty() || name.contains(&0) {
        return Err(Malformed::Name);
    }
    Ok(Some(ManifestLine { name, digest, algorithm }))
}

/// Splits `SHA256 (NAME) = HASH`, or the same with `BLAKE3`, into its parts; returns `None` for another form.
fn tagged(text: &[u8]) -> Option<(&[u8], Digest, Option<Algorithm>)> {
    let algorithms = [Algorithm::Blake3, Algorithm::Sha256];
    let (algorithm, rest) = algorithms.into_iter().find_map(|algorithm| {
        let rest = text.strip_prefix(algorithm.tag().as_bytes())?.strip_prefix(b" (")?;
        Some((algorithm, rest))
    })?;
    let (named, hash) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
    let name = named.strip_suffix(b") = ")?;
    Some((name, Digest::from_hex(hash)?, Some(algorithm)))
}

fn unescape(name: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut plain = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'\\') => b'\\',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                _ => return Err(Malformed::Escape),
            },
            byte => byte,
        });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn digest() -> Digest {
        Digest::from_hex(HEX.as_bytes()).unwrap()
    }

    #[test]
    fn a_line_has_the_format_of_b3sum_and_sha256sum() {
        let line = |name: &[u8]| {
            let mut text = Vec::new();
            put_line(&mut text, digest(), name);
            String::from_utf8(text).unwrap()
        };
        assert_eq!(line(b"a/b c"), format!("{HEX}  a/b c\n"));
        assert_eq!(line(b"a\nb\\c\rd"), format!("\\{HEX}  a\\nb\\\\c\\rd\n"));
        assert_eq!(line(b"-"), format!("{HEX}  ./-\n"));
    }

    #[test]
    fn all_forms_of_a_line_are_read() {
        let read = |text: &str| read_line(text.as_bytes());
        let plain = |name: &str, algorithm| {
            Ok(Some(ManifestLine { name: name.into(), digest: digest(), algorithm }))
        };
        assert_eq!(read(&format!("{HEX}  a b")), plain("a b", None));
        assert_eq!(read(&format!("{HEX} *a")), plain("a", None));
        assert_eq!(read(&format!("{}   a", HEX.to_uppercase())), plain(" a", None));
        assert_eq!(read(&format!("\\{HEX}  a\\nb\\\\")), plain("a\nb\\", None));
        assert_eq!(read(&format!("{HEX}  a\\n")), plain("a\\n", None), "no backslash before it");
        let (blake3, sha256) = (Some(Algorithm::Blake3), Some(Algorithm::Sha256));
        assert_eq!(read(&format!("SHA256 (a) = b) = {HEX}")), plain("a) = b", sha256));
        assert_eq!(read(&format!("\\BLAKE3 (a\\n) = {HEX}")), plain("a\n", blake3));
        assert_eq!(read("# a comment"), Ok(None));
        assert_eq!(read(""), Ok(None));
    }

    #[test]
    fn malformed_lines_are_reported_with_the_reason() {
        let read = |text: &str| read_line(text.as_bytes()).unwrap_err();
        assert_eq!(read("hello"), Malformed::Hash);
        assert_eq!(read(&HEX[..40]), Malformed::Hash);
        assert_eq!(read(&format!("g{}  a", &HEX[1..])), Malformed::Hash);
        assert_eq!(read(&format!("{HEX}00  a")), Malformed::Separator);
        assert_eq!(read(&format!("{HEX} a")), Malformed::Separator);
        assert_eq!(read(&format!("{HEX}  ")), Malformed::Name);
        assert_eq!(read(&format!("{HEX}  a\0")), Malformed::Name);
        assert_eq!(read(&format!("\\{HEX}  a\\t")), Malformed::Escape);
        assert_eq!(read(&format!("\\{HEX}  a\\")), Malformed::Escape);
        assert_eq!(read(&format!("MD5 (a) = {HEX}")), Malformed::Hash);
    }
}
