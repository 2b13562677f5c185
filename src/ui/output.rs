//! Writes to a stream whose reader may be slow, stuck or gone, without ever waiting for the reader.

use pcopy_sys::file;
use pcopy_sys::poll::{self, Readiness};
use pcopy_sys::{Errno, Result};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// The number of buffered bytes at which the parent stops reading the copiers' reports, until the reader of
/// the stream catches up.
const FULL_BYTES: usize = 1024 * 1024;

/// The size of one write: `PIPE_BUF` bytes. A pipe that poll(2) reports as writable takes at least this many
/// bytes without blocking.
const CHUNK_BYTES: usize = 4096;

/// A stream, and a buffer of bytes that are not yet written to it.
pub(super) struct Output<S> {
    stream: S,
    waiting: Vec<u8>,
    never_blocks: bool,
    drops_overflow: bool,
    failure: Option<Errno>,
    /// Whether something was to be written after the failure.
    has_lost: bool,
}

impl<S: AsFd> Output<S> {
    pub(super) fn new(stream: S, failure: Option<Errno>) -> Self {
        let never_blocks = file::stat_fd(&stream).is_ok_and(|stat| stat.kind() == file::Kind::File);
        Self {
            stream,
            waiting: Vec::new(),
            never_blocks,
            drops_overflow: false,
            failure,
            has_lost: false,
        }
    }

    /// Adds a line to the buffer. [`flush`](Self::flush) writes it.
    pub(super) fn line(&mut self, text: &str) {
        self.add(&[text.as_bytes(), b"\n"]);
    }

    /// Adds bytes to the buffer, unchanged and without a line feed.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.add(&[bytes]);
    }

    fn add(&mut self, parts: &[&[u8]]) {
        let overflows = self.drops_overflow && self.waiting.len() >= FULL_BYTES;
        if self.failure.is_some() {
            self.has_lost = true;
        } else if !overflows {
            parts.iter().for_each(|part| self.waiting.extend_from_slice(part));
        }
    }

    /// Returns the stream if the buffer is not empty.
    pub(super) fn waiting(&self) -> Option<BorrowedFd<'_>> {
        (!self.waiting.is_empty()).then(|| self.stream.as_fd())
    }

    /// Whether the buffer has reached its limit, so that the parent should produce no more output.
    pub(super) fn is_full(&self) -> bool {
        !self.drops_overflow && self.waiting.len() >= FULL_BYTES
    }

    /// Drops all further output while the buffer is full, so that a stuck reader no longer delays the run.
    pub(super) fn drop_overflow(&mut self) {
        self.drops_overflow = true;
    }

    /// Writes as much of the buffer as the stream accepts at once. After the first write error nothing more
    /// is written, but the run continues.
    pub(super) fn flush(&mut self) {
        let mut written = 0;
        while written < self.waiting.len() && self.failure.is_none() && self.is_ready() {
            match file::write(&self.stream, self.chunk(written)) {
                Ok(0) => self.failure = Some(Errno::EIO),
                Ok(count) => written += count,
                Err(Errno::EAGAIN) => break,
                Err(errno) => self.failure = Some(errno),
            }
        }
        if self.failure.is_some() {
            self.has_lost |= !self.waiting.is_empty();
            self.waiting.clear();
        } else {
            self.waiting.drain(..written);
        }
    }

    /// Returns the error that ended the writing, if there was one and something was not written.
    pub(super) fn failure(&self) -> Option<Errno> {
        self.failure.filter(|_| self.has_lost)
    }

    fn chunk(&self, from: usize) -> &[u8] {
        let rest = &self.waiting[from..];
        if self.never_blocks { rest } else { &rest[..rest.len().min(CHUNK_BYTES)] }
    }

    fn is_ready(&self) -> bool {
        let ready: Result<Vec<bool>> =
            poll::wait(&[(self.stream.as_fd(), Readiness::Writable)], Duration::ZERO);
        self.never_blocks || ready.is_ok_and(|ready| ready[0])
    }
}
