//! The seal of a message that goes through the ring: whether it is still what was put there.
//!
//! The memory is everybody's. A name that lost a letter there is still a name, and its file would be
//! missing from the copy while all numbers add up: so no task is carried out that is not, to the byte,
//! what somebody handed over.

use crate::ipc::fingerprint::mark;
use crate::ipc::memory::counters::{Count, StatusSlot};
use pcopy_ring::{PushError, SharedRing};

/// What a seal adds to a message.
pub const SEAL_BYTES: usize = 8;

/// Puts a message into the ring, under its seal, and counts that at `status`; `message` is as before if
/// that fails.
pub fn push(
    ring: &SharedRing,
    status: StatusSlot<'_>,
    message: &mut Vec<u8>,
) -> Result<(), PushError> {
    let bytes = message.len();
    seal(message);
    let pushed = ring.try_push(message);
    match pushed {
        Ok(()) => status.add(Count::Given, 1),
        Err(_) => message.truncate(bytes),
    }
    pushed
}

/// Appends the seal of what is in `message`.
fn seal(message: &mut Vec<u8>) {
    let seal = mark(&message[..]).to_ne_bytes();
    message.extend_from_slice(&seal);
}

/// What was sealed; `None` if the seal is not that of the bytes before it.
pub fn unseal(message: &[u8]) -> Option<&[u8]> {
    let (bytes, seal) = message.split_last_chunk::<SEAL_BYTES>()?;
    (mark(bytes).to_ne_bytes() == *seal).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_comes_back_and_nothing_else_does() {
        for text in [&b""[..], b"a", b"dir-1/file-22"] {
            let mut message = text.to_vec();
            seal(&mut message);
            assert_eq!(unseal(&message), Some(text));
            for at in 0..message.len() {
                let mut other = message.clone();
                other[at] ^= 1;
                assert_eq!(unseal(&other), None, "{text:?} with byte {at} changed");
                assert_eq!(unseal(&message[..at]), None, "{text:?} cut at {at}");
            }
        }
        assert_eq!(unseal(&[0; 100]), None, "memory that nobody has written");
    }
}
