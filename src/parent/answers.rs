//! Answers that the user types on standard input, read without waiting.

use pcopy_sys::file;
use std::io::stdin;

/// How much is read at a time, in bytes.
const READ_BYTES: usize = 4096;

/// What the user has typed and no prompt has taken yet.
#[derive(Default)]
pub(super) struct Answers {
    typed: Vec<u8>,
    ended: bool,
}

impl Answers {
    /// Whether the next line is a yes; `None` if it was not typed yet. The end of the input is a no.
    pub(super) fn take(&mut self) -> Option<bool> {
        let end = self.typed.iter().position(|&byte| byte == b'\n');
        let line: Vec<u8> = match end {
            Some(end) => self.typed.drain(..=end).collect(),
            None if self.ended => std::mem::take(&mut self.typed),
            None => return None,
        };
        Some(matches!(line.first(), Some(b'y' | b'Y')))
    }

    /// Reads what is there.
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
