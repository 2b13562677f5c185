//! Writes into a target that only receives bytes: a FIFO, a device or an open file that the command line names.
//!
//! Such a target gets no attributes. What was written into it cannot be taken back, so a copier writes at most
//! once, also if the source changes or a copier dies.

use super::decide::{prompt, skipped_by_update};
use super::fill::Source;
use super::result::{Applied, Done, Unfinished};
use super::target_file::TargetFile;
use super::{Entry, EntryCopier, data_bytes};
use crate::error::Op;
use crate::ipc::memory::counters::Count;
use crate::plan::StreamTarget;
use pcopy_sys::file::{self, Kind, Stat};
use pcopy_sys::{Errno, file_data};
use std::os::fd::OwnedFd;

impl EntryCopier<'_> {
    /// Writes the contents of the entry into `stream`.
    pub(super) fn write_to_stream(
        &mut self,
        entry: &Entry<'_>,
        source: &Stat,
        stream: &StreamTarget,
    ) -> Result<Applied, Unfinished> {
        let cx = self.cx;
        if cx.was_begun_in_place(entry.name) {
            return Err(Op::KillsCopiers.error()(Errno::EIO).into());
        }
        if skipped_by_update(&cx, entry, source, &stream.stat)?.is_some() {
            cx.status.add(Count::BytesSkipped, data_bytes(source));
            return Ok(Applied::plain(Done::Skipped));
        }
        prompt(&cx, entry, &stream.stat)?;
        let opened = Source::open(&cx, entry)?;
        let to = open(entry, stream).map_err(Op::Create.error())?;
        cx.outbox.begin_in_place();
        if stream.descriptor.is_none() && stream.stat.kind() == Kind::File {
            file_data::set_size(&to, 0).map_err(Op::Create.error())?;
        }
        let anew = || Err(Op::Write.error()(Errno::ESPIPE).into()); // what is written cannot be taken back
        self.fill(entry, &opened, TargetFile::Stream(to, Box::new(stream.stat)), anew)
    }
}

/// Opens the stream. Waits for a reader if it is a FIFO. Fails with `ESTALE` if the name belongs to something
/// else by now.
fn open(entry: &Entry<'_>, stream: &StreamTarget) -> Result<OwnedFd, Errno> {
    if let Some(descriptor) = &stream.descriptor {
        return descriptor.try_clone().map_err(|_| Errno::EMFILE);
    }
    let to = file::open_target(&entry.dirs.target, entry.target_name, true)?;
    let is_planned = file::stat_fd(&to)?.identity() == stream.stat.identity();
    if is_planned { Ok(to) } else { Err(Errno::ESTALE) }
}
