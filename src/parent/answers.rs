//! The answers to prompts that the user types on standard input. The parent reads them without waiting.

use pcopy_sys::file;
use std::io::stdin;

/// How many bytes one read asks for.
const READ_BYTES: usize = 4096;

/// The input that the user has typed and that no prompt has used yet.
#[derive(Default)]
pub(super) struct Answers {
    typed: Vec<u8>,
    ended: bool,
}

impl Answers {
    /// Returns whether the next line means yes, that is, begins with `y` or `Y`; `None` if the user has not
    /// typed a whole line yet. At the end of the input, an empty rest counts as no.
    pub(super) fn take(&mut self) -> Option<bool> {
        let end = self.typed.iter().position(|&byte| byte == b'\n');
        let line: Vec<u8> = match end {
            Some(end) => self.typed.drain(..=end).collect(),
            None if self.ended => std::mem::take(&mut self.typed),
            None => return None,
        };
        Some(matches!(line.first(), Some(b'y' | b'Y')))
    }

    /// Reads the input that is available.
    pub(super) fn read(&mut self) {
        let mut chunk = [0; READ_BYTES];
        match file::read(stdin(), &mut chunk) {
            Ok(0) | Err(_) => self.ended = true,
            Ok(read) => self.typed.extend_from_slice(&chunk[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_input_declines() {
        let mut answers = Answers { typed: b"yes\nno\ny".to_vec(), ended: false };
        assert_eq!([(); 3].map(|()| answers.take()), [Some(true), Some(false), None]);
        answers.ended = true;
        assert_eq!([(); 2].map(|()| answers.take()), [Some(true), Some(false)]);
    }
}
