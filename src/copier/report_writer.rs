//! The copier's end of the way to the parent for its reports: a pipe, or a call if both are one process.

use crate::ipc::in_parent::InParent;
use crate::ipc::memory::outbox::{OUTBOX_BYTES, Outbox};
use crate::ipc::wire::event::Report;
use pcopy_sys::file;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Buffered reports are sent when they have this many bytes: half of a pipe's capacity, so that the parent
/// can read one half while the copier writes the other.
const FULL_BYTES: usize = 32 * 1024;

// Before a part of at most FULL_BYTES is appended, fewer than FULL_BYTES are buffered. The outbox must hold
// the part and the buffered bytes.
const _: () = assert!(2 * FULL_BYTES <= OUTBOX_BYTES);

/// Buffered reports are sent when the oldest of them has waited this long.
const OLD: Duration = Duration::from_millis(100);

/// The error that the parent is dead or has closed its end of the pipe.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParentGone;

/// Where reports go.
pub(super) enum Outlet<'a> {
    /// Through a pipe, to the parent process.
    Pipe(OwnedFd),
    /// To the parent, inside the same process.
    Parent(&'a dyn InParent),
}

/// Buffers reports and sends them in batches. The outbox holds a second copy of the reports that are not sent
/// yet, so they are not lost if the copier dies.
pub(super) struct ReportWriter<'a> {
    outlet: Outlet<'a>,
    pub(super) outbox: Outbox<'a>,
    gathered: Vec<u8>,
    frame: Vec<u8>,
    since: Instant,
}

impl<'a> ReportWriter<'a> {
    pub(super) fn new(outlet: Outlet<'a>, outbox: Outbox<'a>) -> Self {
        Self { outlet, outbox, gathered: Vec::new(), frame: Vec::new(), since: Instant::now() }
    }

    /// Adds a report, and sends all reports if a batch is due. Calls `settled` as soon as the report is in
    /// the outbox, where it can no longer be lost.
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

    /// Sends all reports if the oldest of them has waited long enough. Cheap if there are no reports.
    pub(super) fn flush_if_old(&mut self) -> Result<(), ParentGone> {
        if !self.gathered.is_empty() && self.since.elapsed() >= OLD { self.flush() } else { Ok(()) }
    }

    /// Sends all reports.
    pub(super) fn flush(&mut self) -> Result<(), ParentGone> {
        let sent = match &self.outlet {
            Outlet::Pipe(pipe) => file::write_all(pipe, &self.gathered),
            Outlet::Parent(parent) => {
                parent.receive(&self.gathered);
                Ok(())
            }
        };
        self.gathered.clear();
        sent.map_err(|_| ParentGone)
    }
}
