//! Numbers and byte strings in a flat buffer, as tasks and reports carry them.
//!
//! Both ends are the same program on the same machine, so numbers are in the CPU's byte order. Every
//! read is still checked: tasks cross memory that every copier can write, and a copier that dies can
//! cut a report short.

use pcopy_sys::Errno;
use pcopy_sys::file::Identity;

/// A value of fixed meaning that tasks and reports carry.
pub trait Field: Sized {
    /// Appends the value.
    fn put(&self, into: &mut Vec<u8>);

    /// Takes a value off the front; `None` if the bytes are not one.
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
    // A path is far shorter than 4 GiB; if one were longer, the reader would refuse the frame.
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
