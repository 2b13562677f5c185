//! Encodes numbers and byte strings in a flat buffer, for tasks and reports.
//!
//! The processes at both ends run the same program on the same machine, so numbers are in the CPU's byte
//! order. Every read still checks the length: every copier can write to the memory of the tasks, and a copier
//! that dies may leave a report incomplete.

use pcopy_sys::Errno;
use pcopy_sys::file::Identity;

/// A value that tasks and reports contain.
pub(crate) trait Field: Sized {
    /// Appends the encoded value to `into`.
    fn put(&self, into: &mut Vec<u8>);

    /// Takes a value off the front of `from`; returns `None` if the bytes are not a value of this type.
    fn get(from: &mut &[u8]) -> Option<Self>;
}

impl Field for bool {
    fn put(&self, into: &mut Vec<u8>) {
        into.push(u8::from(*self));
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        Some(get_u8(from)? != 0)
    }
}

impl Field for u32 {
    fn put(&self, into: &mut Vec<u8>) {
        put_u32(into, *self);
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        get_u32(from)
    }
}

impl Field for Identity {
    fn put(&self, into: &mut Vec<u8>) {
        put_u64(into, self.0);
        put_u64(into, self.1);
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        Some((get_u64(from)?, get_u64(from)?))
    }
}

impl Field for Errno {
    fn put(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&(*self as i32).to_ne_bytes());
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        Some(Errno::from_raw(get_u32(from)?.cast_signed()))
    }
}

/// Appends a 32-bit number.
pub(crate) fn put_u32(into: &mut Vec<u8>, number: u32) {
    into.extend_from_slice(&number.to_ne_bytes());
}

/// Appends a 64-bit number.
pub(crate) fn put_u64(into: &mut Vec<u8>, number: u64) {
    into.extend_from_slice(&number.to_ne_bytes());
}

/// Appends the length of a byte string and then the string.
pub(crate) fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    // A path is far shorter than 4 GiB. For a longer one the reader would refuse the frame, because its
    // length is wrong.
    put_u32(into, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    into.extend_from_slice(bytes);
}

/// Takes one byte off the front; returns `None` if there is none.
pub(crate) fn get_u8(from: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = from.split_first()?;
    *from = rest;
    Some(first)
}

/// Takes a 32-bit number off the front; returns `None` if there are too few bytes.
pub(crate) fn get_u32(from: &mut &[u8]) -> Option<u32> {
    let (number, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u32::from_ne_bytes(*number))
}

/// Takes a 64-bit number off the front; returns `None` if there are too few bytes.
pub(crate) fn get_u64(from: &mut &[u8]) -> Option<u64> {
    let (number, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u64::from_ne_bytes(*number))
}

/// Takes a byte string off the front; returns `None` if there are too few bytes.
pub(crate) fn get_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(get_u32(from)?).ok()?;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes)
}
