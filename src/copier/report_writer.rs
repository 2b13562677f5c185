//! The copier's end of its pipe to the parent.

use crate::ipc::memory::outbox::{OUTBOX_BYTES, Outbox};
use crate::ipc::wire::event::Report;
use pcopy_sys::file;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Reports are sent when this many bytes are buffered: half of a pipe's capacity, so that the parent can read
/// one half while the other is written.
const FULL_BYTES: usize = 32 * 1024;

// Less than FULL_BYTES are buffered when a part of at most as many is appended.
const _: () = assert!(2 * FULL_BYTES <= OUTBOX_BYTES);

/// Reports are sent when the oldest one has been buffered this long.
const OLD: Duration = Duration::from_millis(100);

/// The parent has closed its end or is dead.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParentGone;

/// Buffers reports and sends them in batches. What is not sent yet survives the copier in its outbox.
pub(super) struct Reports<'a> {
    pipe: OwnedFd,
    pub(super) outbox: Outbox<'a>,
    gathered: Vec<u8>,
    frame: Vec<u8>,
    since: Instant,
}

impl<'a> Reports<'a> {
    pub(super) fn new(pipe: OwnedFd, outbox: Outbox<'a>) -> Self {
        Self { pipe, outbox, gathered: Vec::new(), frame: Vec::new(), since: Instant::now() }
    }

    /// Adds a report, and sends all if a batch is due. Calls `settled` as soon as the report is in the outbox
    /// and can no longer be lost.
    pub(super) fn send(
        &mut self,
        report: &Report<'_>,
        settled: impl FnOnce(),
    ) -> Result<(), ParentGone> {
        if self.gathered.is_empty() {
            self.since = Instant::now();
        }
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        report.encode(&mut frame);
        let last = frame.len().saturating_sub(1) / FULL_BYTES * FULL_BYTES;
        for part in frame[..last].chunks(FULL_BYTES) {
            self.outbox.append(part, false);
            self.gathered.extend_from_slice(part);
            self.flush()?;
        }
        let settles = report.event.settles_entry();
        self.outbox.append(&frame[last..], settles);
        settled();
        self.gathered.extend_from_slice(&frame[last..]);
        self.frame = frame;
        if self.gathered.len() >= FULL_BYTES { self.flush() } else { self.flush_if_old() }
    }

    /// Sends all if the oldest report is due; cheap if there is none.
    pub(super) fn flush_if_old(&mut self) -> Result<(), ParentGone> {
        if !self.gathered.is_empty() && self.since.elapsed() >= OLD { self.flush() } else { Ok(()) }
    }

    /// Sends all reports.
    pub(super) fn flush(&mut self) -> Result<(), ParentGone> {
        let sent = file::write_all(&self.pipe, &self.gathered);
        self.gathered.clear();
        sent.map_err(|_| ParentGone)
    }
}
