//! Many names in little memory: one byte string, added to at its end and taken from at its front.

use std::collections::TryReserveError;
use std::ffi::CStr;

/// A queue of names, each with a mark of one byte that is not 0.
///
/// A directory of a million others costs its names' length and two bytes each, not a million
/// allocations. Packed as `mark name NUL mark name NUL …`.
#[derive(Default)]
pub(super) struct NameQueue {
    packed: Vec<u8>,
    start: usize,
}

impl NameQueue {
    /// Adds a name at the back; `mark` must not be 0.
    pub(super) fn push(&mut self, mark: u8, name: &CStr) -> Result<(), TryReserveError> {
        debug_assert_ne!(mark, 0, "0 ends a name");
        if self.start > self.packed.len() / 2 {
            self.packed.drain(..self.start); // names taken from the front
            self.start = 0;
        }
        self.packed.try_reserve(name.count_bytes() + 2)?;
        self.packed.push(mark);
        self.packed.extend_from_slice(name.to_bytes_with_nul());
        Ok(())
    }

    /// Whether there is none left.
    pub(super) fn is_empty(&self) -> bool {
        self.start >= self.packed.len()
    }

    /// The oldest name, which is handed to `into` without its NUL, and its mark.
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
    fn names_come_out_as_from_a_deque() {
        let mut dice: u64 = 1;
        let (mut names, mut model) = (NameQueue::default(), VecDeque::new());
        let mut name = Vec::new();
        for op in 0..20_000u32 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            match (dice >> 33) % 5 {
                0..3 => {
                    let text = format!("{op}").repeat((dice >> 40) as usize % 4 + 1);
                    let mark = u8::try_from(op % 255 + 1).unwrap();
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
