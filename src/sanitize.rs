//! Escapes file names so that they are safe to print.
//!
//! A file name may contain any bytes but NUL and slash. Printed unchanged, it could move the cursor, change
//! the colours of the terminal, or reverse the direction of the rest of the line. Therefore pcopy escapes
//! control characters, bytes that are not UTF-8, and characters that change the direction of text. The
//! escapes are those of C and Rust strings. The backslash is escaped too, so no two names look the same.
//!
//! This module is in a lower layer than `ui`, because `error`, which `ui` uses, also quotes names.

use std::fmt::Write;

/// Returns the name, escaped, for lists of names.
pub(crate) fn escape(name: &[u8]) -> String {
    let mut shown = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        chunk.valid().chars().for_each(|character| push(&mut shown, character));
        for byte in chunk.invalid() {
            push_formatted(&mut shown, format_args!("\\x{byte:02x}"));
        }
    }
    shown
}

/// Returns the name, escaped and between single quotes, for messages.
pub(crate) fn quote(name: &[u8]) -> String {
    format!("'{}'", escape(name).replace('\'', "\\'"))
}

/// Returns lines for a terminal, escaped except for line feeds and backslashes.
pub(crate) fn sanitize(lines: &[u8]) -> String {
    let mut shown = String::with_capacity(lines.len());
    for (at, line) in lines.split(|&byte| byte == b'\n').enumerate() {
        if at > 0 {
            shown.push('\n');
        }
        let parts = line.split(|&byte| byte == b'\\').map(escape);
        shown.push_str(&parts.collect::<Vec<_>>().join("\\"));
    }
    shown
}

fn push(shown: &mut String, character: char) {
    match character {
        '\\' => shown.push_str("\\\\"),
        '\n' => shown.push_str("\\n"),
        '\t' => shown.push_str("\\t"),
        '\r' => shown.push_str("\\r"),
        '\0'..='\x7f' if character.is_ascii_control() => {
            push_formatted(shown, format_args!("\\x{:02x}", u32::from(character)));
        }
        _ if character.is_control() || turns_text(character) => {
            push_formatted(shown, format_args!("\\u{{{:x}}}", u32::from(character)));
        }
        _ => shown.push(character),
    }
}

/// Whether a character is a bidirectional control (UAX #9) or a line separator outside ASCII, or has no
/// width. Such characters could make two names look the same. The joiners U+200C and U+200D are not among them:
/// Persian, Indic scripts and emoji need them.
pub(crate) fn turns_text(character: char) -> bool {
    matches!(
        character,
        '\u{061c}'
            | '\u{200b}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    )
}

fn push_formatted(shown: &mut String, arguments: std::fmt::Arguments<'_>) {
    shown.write_fmt(arguments).expect("a String takes all that is written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_names_are_not_changed() {
        for name in ["a b-ü-文件.txt", "می\u{200c}خواهم", "👩\u{200d}🚀"] {
            assert_eq!(escape(name.as_bytes()), name);
        }
    }

    #[test]
    fn what_a_terminal_would_interpret_is_escaped() {
        assert_eq!(escape(b"\x1b[2Ja\nb\x7f"), "\\x1b[2Ja\\nb\\x7f");
        assert_eq!(escape("\u{9b}1m".as_bytes()), "\\u{9b}1m");
        assert_eq!(escape("a\u{202e}gpj".as_bytes()), "a\\u{202e}gpj");
        assert_eq!(escape(b"\xff\xfea"), "\\xff\\xfea");
    }

    #[test]
    fn lines_keep_their_backslashes_and_line_feeds() {
        assert_eq!(sanitize(b"\\a\\nb\n\x1b[2J\r\n\xff\n"), "\\a\\nb\n\\x1b[2J\\r\n\\xff\n");
    }

    #[test]
    fn no_two_names_look_the_same() {
        assert_ne!(escape(b"\\n"), escape(b"\n"));
        assert_ne!(escape(b"\\xff"), escape(b"\xff"));
        assert_eq!(quote(b"it's"), "'it\\'s'");
    }
}
