//! Quotes file names as GNU cp does, so that a shell reads the quoted text as the name.
//!
//! The two functions implement GNU's quoting styles "shell-escape-always" and "shell-escape". Messages of
//! `pcopy` itself use `sanitize`, whose escapes a shell does not understand.

use crate::sanitize::turns_text;
use std::ffi::OsString;
use std::fmt::Write;
use std::sync::OnceLock;

/// Returns the name between quotes: GNU's style "shell-escape-always".
///
/// If the locale's character set is not UTF-8, all bytes above ASCII are escaped.
pub(crate) fn quote(name: &[u8]) -> String {
    quote_in(name, is_utf8())
}

/// Returns the name, between quotes only if a shell needs them: GNU's style "shell-escape".
pub(crate) fn quote_if_needed(name: &[u8]) -> String {
    let special = |byte: &u8| b" !\"$&'()*;<=>?[\\^`|".contains(byte);
    let special_at_start = matches!(name, [] | [b'~' | b'#', ..] | [b'{' | b'}']);
    let quoted = quote(name);
    let unescaped = quoted.len() == name.len() + 2;
    if special_at_start || !unescaped || name.iter().any(special) {
        return quoted;
    }
    quoted.trim_matches('\'').to_owned()
}

fn quote_in(name: &[u8], utf8: bool) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b" '%+,-./:@]_".contains(byte);
    let rest = name.strip_prefix(b"~").or(name.strip_prefix(b"#")).unwrap_or(name);
    if name.contains(&b'\'') && rest.iter().all(plain) {
        return format!("\"{}\"", String::from_utf8_lossy(name));
    }
    let mut shown = Shown { text: "'".to_owned(), escaping: false };
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            let dangerous = character.is_control() || turns_text(character);
            if dangerous || !utf8 && !character.is_ascii() {
                let mut bytes = [0; 4];
                character.encode_utf8(&mut bytes).bytes().for_each(|byte| shown.escape(byte));
            } else {
                shown.push(character);
            }
        }
        chunk.invalid().iter().for_each(|&byte| shown.escape(byte));
    }
    shown.text.push('\'');
    shown.text
}

/// A quoted name under construction. The text is inside `'…'`, or inside `$'…'` while `escaping`.
struct Shown {
    text: String,
    escaping: bool,
}

impl Shown {
    fn push(&mut self, character: char) {
        if std::mem::take(&mut self.escaping) {
            self.text.push_str("''");
        }
        match character {
            '\'' => self.text.push_str("'\\''"),
            _ => self.text.push(character),
        }
    }

    fn escape(&mut self, byte: u8) {
        if !std::mem::replace(&mut self.escaping, true) {
            self.text.push_str("'$'");
        }
        match byte {
            0x07 => self.text.push_str("\\a"),
            0x08 => self.text.push_str("\\b"),
            0x0c => self.text.push_str("\\f"),
            b'\n' => self.text.push_str("\\n"),
            b'\r' => self.text.push_str("\\r"),
            b'\t' => self.text.push_str("\\t"),
            0x0b => self.text.push_str("\\v"),
            other => {
                write!(self.text, "\\{other:03o}").expect("a String takes all that is written")
            }
        }
    }
}

/// Whether the locale's character set is UTF-8, according to the environment.
fn is_utf8() -> bool {
    static UTF8: OnceLock<bool> = OnceLock::new();
    *UTF8.get_or_init(|| {
        // POSIX: the first of these variables that is set and not empty decides.
        let locale: OsString = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .filter_map(std::env::var_os)
            .find(|value| !value.is_empty())
            .unwrap_or_default();
        let locale = locale.to_string_lossy().to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_quoted_text_as_the_name() {
        for (name, quoted) in [
            (&b"a"[..], "'a'"),
            (b"", "''"),
            (b"a b$c", "'a b$c'"),
            (b"it's", "\"it's\""),
            (b"~it's", "\"~it's\""),
            (b"it's $1", "'it'\\''s $1'"),
            (b"a\nb", "'a'$'\\n''b'"),
            (b"\na", "''$'\\n''a'"),
            (b"a\n", "'a'$'\\n'"),
            (b"\x1b[2J", "''$'\\033''[2J'"),
            (b"back\\slash", "'back\\slash'"),
            (b"\xff\xfe", "''$'\\377\\376'"),
            ("é文".as_bytes(), "'é文'"),
            ("👩\u{200d}🚀".as_bytes(), "'👩\u{200d}🚀'"),
        ] {
            assert_eq!(quote_in(name, true), quoted, "{}", name.escape_ascii());
        }
        assert_eq!(quote_in("é".as_bytes(), false), "''$'\\303\\251'");
    }

    #[test]
    fn text_direction_controls_are_escaped() {
        assert_eq!(quote_in("a\u{202e}b".as_bytes(), true), "'a'$'\\342\\200\\256''b'");
    }
}
