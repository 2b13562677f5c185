//! Writing to a stream whose reader may be slow, stuck or gone, without waiting for it.

use pcopy_sys::file;
use pcopy_sys::poll::{self, Event};
use pcopy_sys::{Errno, Result};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// When this much waits for a slow reader, no more is asked of the copiers.
const FULL_BYTES: usize = 1024 * 1024;

/// A pipe that can be written to takes at least this much without waiting: `PIPE_BUF`.
const PIECE_BYTES: usize = 4096;

/// A stream, and what has not been written to it yet.
pub(super) struct Output<S> {
    stream: S,
    waiting: Vec<u8>,
    never_waits: bool,
    lossy: bool,
    failure: Option<Errno>,
}

impl<S: AsFd> Output<S> {
    pub(super) fn new(stream: S, failure: Option<Errno>) -> Self {
        let never_waits = file::stat_fd(&stream).is_ok_and(|stat| stat.kind() == file::Kind::File);
        Self { stream, waiting: Vec::new(), never_waits, lossy: false, failure }
    }

    /// Adds a line; it is written by and by.
    pub(super) fn line(&mut self, text: &str) {
        if self.takes() {
            self.waiting.extend_from_slice(text.as_bytes());
            self.waiting.push(b'\n');
        }
    }

    /// Adds text that does not end a line.
    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Adds bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if self.takes() {
            self.waiting.extend_from_slice(bytes);
        }
    }

    fn takes(&self) -> bool {
        let lost = self.lossy && self.waiting.len() >= FULL_BYTES;
        self.failure.is_none() && !lost
    }

    /// The stream, if something waits to be written to it.
    pub(super) fn waiting(&self) -> Option<BorrowedFd<'_>> {
        (!self.waiting.is_empty()).then(|| self.stream.as_fd())
    }

    /// Whether so much waits that its sources should wait, too.
    pub(super) fn is_full(&self) -> bool {
        !self.lossy && self.waiting.len() >= FULL_BYTES
    }

    /// From now on drops what does not fit, so that a stuck reader holds nobody up.
    pub(super) fn lose_what_does_not_fit(&mut self) {
        self.lossy = true;
    }

    /// Writes what the stream takes at once. The first error ends the writing, not the run.
    pub(super) fn flush(&mut self) {
        let mut written = 0;
        while written < self.waiting.len() && self.failure.is_none() && self.is_ready() {
            match file::write(&self.stream, self.piece(written)) {
                Ok(0) => self.failure = Some(Errno::EIO),
                Ok(count) => written += count,
                Err(Errno::EAGAIN) => break,
                Err(errno) => self.failure = Some(errno),
            }
        }
        if self.failure.is_some() {
            self.waiting.clear();
        } else {
            self.waiting.drain(..written);
        }
    }

    /// Why not all was written, if so.
    pub(super) fn failure(&self) -> Option<Errno> {
        self.failure
    }

    fn piece(&self, from: usize) -> &[u8] {
        let rest = &self.waiting[from..];
        if self.never_waits { rest } else { &rest[..rest.len().min(PIECE_BYTES)] }
    }

    fn is_ready(&self) -> bool {
        let ready: Result<Vec<bool>> =
            poll::wait(&[(self.stream.as_fd(), Event::Writable)], Duration::ZERO);
        self.never_waits || ready.is_ok_and(|ready| ready[0])
    }
}
