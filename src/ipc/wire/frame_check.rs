//! The checksum of a task in the ring, and the one function that puts tasks there.
//!
//! Every process of the run can write the ring's memory. If a stray write changed one letter of a name,
//! the result would still be a name: a file would be missing from the copy while all counts add up.
//! Therefore a copier carries out a task only if it is, byte for byte, what another process pushed.

use crate::ipc::fingerprint::fingerprint;
use crate::ipc::memory::counters::{Count, StatusSlot};
use pcopy_ring::{PushError, SharedRing};

/// How many bytes the checksum adds to a task.
pub const CHECKSUM_BYTES: usize = 8;

/// Puts the task in `message` into the ring, with its checksum, and counts it at `status`.
///
/// If the ring does not take it, `message` is unchanged.
pub fn push_task(
    ring: &SharedRing,
    status: StatusSlot<'_>,
    message: &mut Vec<u8>,
) -> Result<(), PushError> {
    let bytes = message.len();
    append_checksum(message);
    let pushed = ring.try_push(message);
    match pushed {
        Ok(()) => status.add(Count::TasksPushed, 1),
        Err(_) => message.truncate(bytes),
    }
    pushed
}

/// Appends the checksum of what is in `message`.
fn append_checksum(message: &mut Vec<u8>) {
    let checksum = fingerprint(&message[..]).to_ne_bytes();
    message.extend_from_slice(&checksum);
}

/// The message without its checksum; `None` if the checksum is wrong.
pub fn strip_checksum(message: &[u8]) -> Option<&[u8]> {
    let (bytes, checksum) = message.split_last_chunk::<CHECKSUM_BYTES>()?;
    (fingerprint(bytes).to_ne_bytes() == *checksum).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_accepted_unchanged_and_refused_when_changed_or_cut() {
        for text in [&b""[..], b"a", b"dir-1/file-22"] {
            let mut message = text.to_vec();
            append_checksum(&mut message);
            assert_eq!(strip_checksum(&message), Some(text));
            for at in 0..message.len() {
                let mut other = message.clone();
                other[at] ^= 1;
                assert_eq!(strip_checksum(&other), None, "{text:?} with byte {at} changed");
                assert_eq!(strip_checksum(&message[..at]), None, "{text:?} cut at {at}");
            }
        }
        assert_eq!(strip_checksum(&[0; 100]), None, "memory that was never written");
    }
}
