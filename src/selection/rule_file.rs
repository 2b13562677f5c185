//! Files with rules.

use std::io::{self, Read};
use std::path::Path;

/// Returns the contents of a file; `-` is standard input. The error says why it cannot be read.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let result = if path.as_os_str() == "-" {
        io::stdin().lock().read_to_end(&mut text).map(|_| ())
    } else {
        std::fs::read(path).map(|read| text = read)
    };
    // "No such file or directory (os error 2)"
    let words = |error: io::Error| error.to_string();
    let without_number = |text: String| text.split(" (os error").next().unwrap_or("").to_owned();
    result.map(|()| text).map_err(|error| without_number(words(error)))
}

/// Returns the rules in a file, each with the number of its line, from 1. As with rsync, a carriage return ends a line,
/// too.
pub(super) fn rules(text: &[u8], nul: bool) -> impl Iterator<Item = (usize, &[u8])> {
    let end = if nul { 0 } else { b'\n' };
    let lines = (1..).zip(text.split(move |byte| *byte == end));
    lines.filter_map(move |(number, line)| {
        let line =
            if nul { line } else { line.split(|byte| *byte == b'\r').next().unwrap_or(line) };
        let is_comment = !nul && matches!(line.first(), Some(b'#' | b';'));
        (!line.is_empty() && !is_comment).then_some((number, line))
    })
}
