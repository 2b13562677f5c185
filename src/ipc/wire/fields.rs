//! Numbers and byte strings in a flat buffer, as tasks and reports carry them.
//!
//! Both ends are the same program on the same machine, so numbers travel as the processor keeps
//! them. What comes in is still read with suspicion: it crossed memory that others can write.

/// Appends a number.
pub fn put_u32(into: &mut Vec<u8>, number: u32) {
    into.extend_from_slice(&number.to_ne_bytes());
}

/// Appends a large number.
pub fn put_u64(into: &mut Vec<u8>, number: u64) {
    into.extend_from_slice(&number.to_ne_bytes());
}

/// Appends a byte string with its length before it.
pub fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    // A path is far shorter than 4 GiB; were it not, the reader would refuse the frame.
    put_u32(into, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    into.extend_from_slice(bytes);
}

/// Takes one byte off the front.
pub fn get_u8(from: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = from.split_first()?;
    *from = rest;
    Some(first)
}

/// Takes a number off the front.
pub fn get_u32(from: &mut &[u8]) -> Option<u32> {
    let (number, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u32::from_ne_bytes(*number))
}

/// Takes a large number off the front.
pub fn get_u64(from: &mut &[u8]) -> Option<u64> {
    let (number, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u64::from_ne_bytes(*number))
}

/// Takes a byte string off the front.
pub fn get_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(get_u32(from)?).ok()?;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes)
}
