//! The copier's end of its pipe.

use crate::ipc::memory::outbox::{OUTBOX_BYTES, Outbox};
use crate::ipc::wire::event::{Event, Report};
use pcopy_sys::file;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Reports are sent when this many bytes have gathered: half of what a pipe holds, so that the
/// parent can read one half while the other is written.
const FULL_BYTES: usize = 32 * 1024;

// Less than FULL_BYTES wait when a piece of at most as much is added.
const _: () = assert!(2 * FULL_BYTES <= OUTBOX_BYTES);

/// Reports are sent when the oldest has waited this long.
const OLD: Duration = Duration::from_millis(100);

/// The parent has closed its end or is dead.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParentGone;

/// Gathers reports and sends them in batches; what was not sent outlives the copier.
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

    /// Adds a report, and sends all if it is time; calls `settled` at the moment from which on the
    /// report cannot be lost any more.
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
        for piece in frame[..last].chunks(FULL_BYTES) {
            self.outbox.keep(piece, false);
            self.gathered.extend_from_slice(piece);
            self.flush()?;
        }
        let settles = matches!(
            report.event,
            Event::Done(_) | Event::Late { .. } | Event::Leader { .. } | Event::Made
        );
        self.outbox.keep(&frame[last..], settles);
        settled();
        self.gathered.extend_from_slice(&frame[last..]);
        self.frame = frame;
        if self.gathered.len() >= FULL_BYTES { self.flush() } else { self.flush_if_old() }
    }

    /// Sends what has waited long enough; cheap if there is nothing.
    pub(super) fn flush_if_old(&mut self) -> Result<(), ParentGone> {
        if !self.gathered.is_empty() && self.since.elapsed() >= OLD { self.flush() } else { Ok(()) }
    }

    /// Sends all there is.
    pub(super) fn flush(&mut self) -> Result<(), ParentGone> {
        let sent = file::write_all(&self.pipe, &self.gathered);
        self.gathered.clear();
        sent.map_err(|_| ParentGone)
    }
}
