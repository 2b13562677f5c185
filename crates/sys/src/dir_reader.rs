//! Reads the entries of a directory in large chunks: getdents64(2).

use super::file::Kind;
use super::{Result, retry};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The number of bytes that one call reads: about 1,500 entries with names of usual length.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// The offsets of the length, the file type and the name in a record of getdents64(2).
const LENGTH_AT: usize = 16;
const KIND_AT: usize = 18;
const NAME_AT: usize = 19;

/// A buffer for one chunk of directory entries, with the position of the next entry.
pub struct DirReader {
    buffer: Box<[u8]>,
    filled: usize,
    at: usize,
}

impl DirReader {
    /// Returns an empty buffer of [`CHUNK_BYTES`].
    pub fn new() -> Self {
        Self { buffer: vec![0; CHUNK_BYTES].into_boxed_slice(), filled: 0, at: 0 }
    }

    /// Reads the next chunk of `dir`. Returns false at the end of the directory.
    pub fn fill(&mut self, dir: BorrowedFd<'_>) -> Result<bool> {
        self.at = 0;
        self.filled = 0;
        // SAFETY: the kernel writes at most `buffer.len()` bytes into a buffer of that length.
        let mut list = || unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                dir.as_raw_fd(),
                self.buffer.as_mut_ptr(),
                self.buffer.len(),
            )
        };
        let filled = retry(|| Errno::result(list()))?;
        self.filled = usize::try_from(filled).unwrap_or(0);
        Ok(self.filled > 0)
    }

    /// Returns the next entry of the chunk. Leaves out `.` and `..`.
    pub fn next_entry(&mut self) -> Option<(Kind, &CStr)> {
        let (kind, start, end) = self.record_at(self.at)?;
        self.at = end;
        Some((kind, self.name(start, end)?))
    }

    /// Returns the entries that [`next_entry`](Self::next_entry) has not read yet, and does not read them.
    pub fn entries(&self) -> impl Iterator<Item = (Kind, &CStr)> {
        let mut at = self.at;
        std::iter::from_fn(move || {
            let (kind, start, end) = self.record_at(at)?;
            at = end;
            Some((kind, self.name(start, end)?))
        })
    }

    #[inline(always)] // for each entry
    fn name(&self, start: usize, end: usize) -> Option<&CStr> {
        CStr::from_bytes_until_nul(&self.buffer[start..end]).ok()
    }

    /// Returns how many bytes of the chunk [`next_entry`](Self::next_entry) has not read yet. Many bytes mean
    /// a wide directory.
    pub fn bytes_left(&self) -> usize {
        self.filled - self.at
    }

    /// Returns the first entry from this place on: its type, and where its name begins and its record ends.
    #[inline(always)] // for each entry
    fn record_at(&self, mut at: usize) -> Option<(Kind, usize, usize)> {
        loop {
            let record = self.buffer.get(at..self.filled)?;
            if record.len() <= NAME_AT {
                return None;
            }
            let length =
                usize::from(u16::from_ne_bytes([record[LENGTH_AT], record[LENGTH_AT + 1]]));
            if length <= NAME_AT || length > record.len() {
                return None;
            }
            let (start, end) = (at + NAME_AT, at + length);
            let kind = kind_of(record[KIND_AT]);
            let dots =
                record[NAME_AT..].starts_with(b".\0") || record[NAME_AT..].starts_with(b"..\0");
            at = end;
            if !dots {
                return Some((kind, start, end));
            }
        }
    }
}

impl Default for DirReader {
    fn default() -> Self {
        Self::new()
    }
}

fn kind_of(d_type: u8) -> Kind {
    match d_type {
        libc::DT_REG => Kind::File,
        libc::DT_DIR => Kind::Directory,
        libc::DT_LNK => Kind::Symlink,
        libc::DT_FIFO | libc::DT_SOCK | libc::DT_BLK | libc::DT_CHR => Kind::Special,
        _ => Kind::Unknown,
    }
}
