//! Files with rules.

use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// Whether standard input was read. Read again, it would be empty, and so would be the list.
static STDIN_IS_READ: AtomicBool = AtomicBool::new(false);

/// Returns the contents of a file; `-` is standard input. The error says why it cannot be read.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let result = if path.as_os_str() == "-" {
        if STDIN_IS_READ.swap(true, Relaxed) {
            return Err("standard input is used for another list".to_owned());
        }
        io::stdin().lock().read_to_end(&mut text).map(|_| ())
    } else {
        std::fs::read(path).map(|read| text = read)
    };
    // "No such file or directory (os error 2)"
    let words = |error: io::Error| error.to_string();
    let without_number = |text: String| text.split(" (os error").next().unwrap_or("").to_owned();
    result.map(|()| text).map_err(|error| without_number(words(error)))
}

/// Returns the rules in a file, each with the number of its line, from 1. As with rsync, a carriage return ends a rule,
/// too.
pub(super) fn rules(text: &[u8], nul: bool) -> impl Iterator<Item = (usize, &[u8])> {
    let end = if nul { 0 } else { b'\n' };
    let lines = (1..).zip(text.split(move |byte| *byte == end));
    let rules = lines.flat_map(move |(number, line)| {
        line.split(move |byte| *byte == b'\r' && !nul).map(move |rule| (number, rule))
    });
    rules.filter(move |(_, rule)| {
        let is_comment = !nul && matches!(rule.first(), Some(b'#' | b';'));
        !rule.is_empty() && !is_comment
    })
}
