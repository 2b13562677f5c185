//! The checksum of a task in the ring, and the only function that pushes tasks.
//!
//! The ring is the queue of tasks in shared memory, and every process of the run can write to this memory. If
//! a stray write changed one letter of a name, the result would still be a valid name: the copy would lack a
//! file, but all counts would add up. Therefore a copier carries out a task only if its checksum is right.

use crate::ipc::fingerprint::fingerprint;
use crate::ipc::memory::counters::{Count, StatusSlot};
use pcopy_ring::{PushError, SharedRing};

/// How many bytes the checksum adds to a task.
pub(crate) const CHECKSUM_BYTES: usize = 8;

/// Appends a checksum to the task in `message`, pushes both into the ring, and counts the task in `status`.
///
/// If the push fails, `message` is unchanged.
pub(crate) fn push_task(
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

/// Appends the checksum of the bytes in `message`.
fn append_checksum(message: &mut Vec<u8>) {
    let checksum = fingerprint(&message[..]).to_ne_bytes();
    message.extend_from_slice(&checksum);
}

/// Returns the message without its checksum; `None` if the checksum is wrong.
pub(crate) fn strip_checksum(message: &[u8]) -> Option<&[u8]> {
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
