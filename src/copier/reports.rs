//! The copier's end of its pipe.

use crate::ipc::report::Report;
use crate::sys::file;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Reports are sent when this many bytes have gathered: half of what a pipe holds, so that the
/// parent can read one half while the other is written.
const FULL_BYTES: usize = 32 * 1024;

/// Reports are sent when the oldest has waited this long.
const OLD: Duration = Duration::from_millis(100);

/// The parent has closed its end or is dead.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParentGone;

/// Gathers reports and sends them in batches.
pub(super) struct Reports {
    pipe: OwnedFd,
    gathered: Vec<u8>,
    since: Instant,
}

impl Reports {
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self { pipe, gathered: Vec::new(), since: Instant::now() }
    }

    /// Adds a report, and sends all if it is time.
    pub(super) fn send(&mut self, report: &Report<'_>) -> Result<(), ParentGone> {
        if self.gathered.is_empty() {
            self.since = Instant::now();
        }
        report.encode(&mut self.gathered);
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
