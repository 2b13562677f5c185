//! Names and lines in JSON, and the check value at the end of a line.

use crate::hash::{Algorithm, Hasher};
use serde_json::Value;
use std::fmt::Write as _;

/// What comes before the check value of a line.
pub(super) const CHECK_KEY: &str = ",\"check\":\"";

/// How many hexadecimal digits a check value has.
pub(super) const CHECK_DIGITS: usize = 16;

/// Returns the check value of a line without its end. `seed` is the check value of the header; empty for the header itself.
pub(super) fn check_value(seed: &str, line: &str) -> String {
    let mut hasher = Hasher::new(Algorithm::Blake3);
    hasher.update(seed.as_bytes());
    hasher.update(line.as_bytes());
    let digest = hasher.finalize();
    let digits = digest.0[..CHECK_DIGITS / 2].iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// A line in the making: an object without its end.
pub(super) struct Line(String);

impl Line {
    /// Begins a line, or an object in it.
    pub(super) fn new() -> Self {
        Self("{".to_owned())
    }

    /// Adds a value that is JSON already.
    pub(super) fn raw(mut self, key: &str, value: &str) -> Self {
        let comma = if self.0.ends_with('{') { "" } else { "," };
        self.0 += &format!("{comma}\"{key}\":{value}");
        self
    }

    /// Adds a number.
    pub(super) fn number(self, key: &str, value: u64) -> Self {
        self.raw(key, &value.to_string())
    }

    /// Adds a number as text: not every reader of JSON has numbers of 64 bits.
    pub(super) fn large_number(self, key: &str, value: u64) -> Self {
        self.raw(key, &format!("\"{value}\""))
    }

    /// Adds a text.
    pub(super) fn text(self, key: &str, value: &str) -> Self {
        self.raw(key, &quoted(value))
    }

    /// Adds a name. If its bytes are not UTF-8, the text has a replacement character, and `KEY_b64` has the bytes.
    pub(super) fn name(self, key: &str, name: &[u8]) -> Self {
        match std::str::from_utf8(name) {
            Ok(text) => self.text(key, text),
            Err(_) => self
                .text(key, &String::from_utf8_lossy(name))
                .text(&format!("{key}_b64"), &base64(name)),
        }
    }

    /// Ends an object in a line.
    pub(super) fn end(self) -> String {
        self.0 + "}"
    }

    /// Ends a line with its check value. Returns the line and the check value.
    pub(super) fn seal(self, seed: &str) -> (String, String) {
        let check = check_value(seed, &self.0);
        (format!("{}{CHECK_KEY}{check}\"}}\n", self.0), check)
    }
}

/// Returns a text in JSON in which no character controls a terminal.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    for c in Value::from(text).to_string().chars() {
        let is_control = c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if is_control {
            // All of them have one unit in UTF-16.
            write!(quoted, "\\u{:04x}", u32::from(c)).expect("a string takes all that is written");
        } else {
            quoted.push(c);
        }
    }
    quoted
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns bytes in base64 (RFC 4648).
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let at = |place: usize| u32::from(part.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let is_padding = digit > part.len();
            let value = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if is_padding { '=' } else { char::from(DIGITS[value]) });
        }
    }
    text
}

/// Returns the bytes of a text in base64; `None` if it is none.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take_while(|&&c| c == b'=').count();
    let digits = text.get(..text.len().checked_sub(padding)?)?;
    if padding > 2 {
        return None;
    }
    for part in digits.chunks(4) {
        let mut bits = 0;
        for place in 0..4 {
            let digit = match part.get(place) {
                Some(c) => DIGITS.iter().position(|digit| digit == c)?,
                None => 0,
            };
            bits = bits << 6 | u32::try_from(digit).ok()?;
        }
        let count = part.len() * 6 / 8;
        bytes.extend_from_slice(&bits.to_be_bytes()[1..=count]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_base64() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"\xff\xfe", "//4="),
        ] {
            assert_eq!(base64(bytes), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes));
        }
        for wrong in ["Zg=", "Z===", "====", "Z!==", "Zg==Zg=="] {
            assert_eq!(from_base64(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn no_character_controls_a_terminal() {
        let all = "\u{0}\n\u{1b}\u{7f}\u{9b}\u{61c}\u{200e}\u{202e}\u{2028}\u{2066}ä\u{fffd}\"\\";
        let line = quoted(all);
        assert!(line.is_ascii() || line.contains('ä'));
        assert!(!line.chars().any(char::is_control), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), all);
    }
}
