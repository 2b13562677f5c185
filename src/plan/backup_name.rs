//! The names of numbered backups (`NAME.~1~`), as in GNU's tools.

/// Splits the name of a numbered backup: `a.~12~` into `a` and 12. Returns `None` for another name.
pub(crate) fn split_number(name: &[u8]) -> Option<(&[u8], u64)> {
    let name = name.strip_suffix(b"~")?;
    let tilde = name.iter().rposition(|&byte| byte == b'~')?;
    let digits = std::str::from_utf8(&name[tilde + 1..]).ok()?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) || digits.starts_with('0') {
        return None;
    }
    Some((name[..tilde].strip_suffix(b".")?, digits.parse().ok()?))
}

/// Returns the suffix of the backup with this number, for example `.~1~`.
pub(crate) fn numbered_suffix(number: u64) -> String {
    format!(".~{number}~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_backups_are_recognized() {
        assert_eq!(split_number(b"a.~1~"), Some((&b"a"[..], 1)));
        assert_eq!(split_number(b"a.~2~.~10~"), Some((&b"a.~2~"[..], 10)));
        for other in [&b"a~"[..], b"a.~~", b"a.~x~", b"a.~01~", b"a~1~", b".~1", b"a.~-1~", b"~1~"]
        {
            assert_eq!(split_number(other), None, "{}", other.escape_ascii());
        }
    }
}
