//! A compact queue of names: one byte string, with names appended at the end and taken from the front.

use std::collections::TryReserveError;
use std::ffi::CStr;

/// A queue of names. Each name has a *mark*: one byte, not 0, in which the user of the queue notes something
/// about the name.
///
/// For a directory with a million subdirectories, the queue takes the length of their names and two bytes for
/// each name, and not a million allocations. The byte string is `mark name NUL mark name NUL …`.
#[derive(Default)]
pub(super) struct NameQueue {
    packed: Vec<u8>,
    start: usize,
}

/// The mark of a name about which there is nothing to note.
pub(super) const NO_MARK: u8 = 1;

impl NameQueue {
    /// Appends a name; `mark` must not be 0.
    pub(super) fn push(&mut self, mark: u8, name: &CStr) -> Result<(), TryReserveError> {
        debug_assert_ne!(mark, 0, "0 ends a name");
        if self.start > self.packed.len() / 2 {
            self.packed.drain(..self.start); // removes the names that were taken
            self.start = 0;
        }
        self.packed.try_reserve(name.count_bytes() + 2)?;
        self.packed.push(mark);
        self.packed.extend_from_slice(name.to_bytes_with_nul());
        Ok(())
    }

    /// Whether the queue is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.start >= self.packed.len()
    }

    /// Takes the oldest name: writes the name into `into`, without its NUL, and returns its mark.
    pub(super) fn pop_front(&mut self, into: &mut Vec<u8>) -> Option<u8> {
        let live = self.packed.get(self.start..)?;
        let (&mark, rest) = live.split_first()?;
        let length = rest.iter().position(|&byte| byte == 0)?;
        into.clear();
        into.extend_from_slice(&rest[..length]);
        self.start += length + 2;
        Some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::ffi::CString;

    #[test]
    fn names_are_taken_in_the_order_of_a_deque() {
        let mut dice: u64 = 1;
        let (mut names, mut model) = (NameQueue::default(), VecDeque::new());
        let mut name = Vec::new();
        for step in 0..20_000u32 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            match (dice >> 33) % 5 {
                0..3 => {
                    let text = format!("{step}").repeat((dice >> 40) as usize % 4 + 1);
                    let mark = u8::try_from(step % 255 + 1).unwrap();
                    names.push(mark, &CString::new(text.clone()).unwrap()).unwrap();
                    model.push_back((mark, text.into_bytes()));
                }
                _ => {
                    let expected = model.pop_front();
                    assert_eq!(
                        names.pop_front(&mut name).map(|mark| (mark, name.clone())),
                        expected
                    );
                }
            }
            assert_eq!(names.is_empty(), model.is_empty());
        }
    }
}
