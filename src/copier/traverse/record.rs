//! Counts and reports entries that failed or vanished, and sends all other reports of a walk to the parent.

use super::Walk;
use crate::copier::report_writer::ParentGone;
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::{Event, Report};
use std::ffi::CStr;

impl<D> Walk<'_, D> {
    /// Counts and reports an entry that failed or vanished. The entry is `name` in the directory that the
    /// walk is in; without a name, it is that directory.
    pub(in crate::copier) fn record_failed(
        &mut self,
        name: Option<&CStr>,
        error: EntryError,
    ) -> Result<(), ParentGone> {
        self.cx.outbox.settle();
        if error.op.means_vanished(error.errno) {
            let has_changed = error.op == Op::Changed;
            let count = if has_changed { Count::Changed } else { Count::Vanished };
            self.cx.status.add(count, 1);
            return self.report(name, Event::Vanished(error));
        }
        self.cx.status.add(Count::Failed, 1);
        self.report_failed(name, error)
    }

    /// Reports an entry that failed and is counted already. If the source or the target is lost, reports that instead.
    pub(in crate::copier) fn report_failed(
        &mut self,
        name: Option<&CStr>,
        error: EntryError,
    ) -> Result<(), ParentGone> {
        let error = self.cx.plan().lost(self.at.operand, error).unwrap_or(error);
        self.report(name, Event::Failed(error))?;
        if self.cx.plan().ends_with(error) {
            // The parent would stop the ring only after it has read the report. Until then, copiers would
            // publish directories that lack this entry.
            self.cx.job.ring.stop();
        }
        Ok(())
    }

    /// Whether the error means that the source or the target is lost.
    pub(in crate::copier) fn is_lost(&self, error: EntryError) -> bool {
        self.cx.plan().lost(self.at.operand, error).is_some()
    }

    /// Reports an event of the entry `name` in the directory that the walk is in; without a name, an event of
    /// that directory.
    pub(in crate::copier) fn report(
        &mut self,
        name: Option<&CStr>,
        event: Event,
    ) -> Result<(), ParentGone> {
        self.report_then(name, event, || ())
    }

    /// Like `report`, but also calls `reported` as soon as the report can no longer be lost.
    pub(in crate::copier) fn report_then(
        &mut self,
        name: Option<&CStr>,
        event: Event,
        reported: impl FnOnce(),
    ) -> Result<(), ParentGone> {
        match name {
            Some(name) => self.report_names(name, name, event, reported),
            None => self.reports.send(&Report { place: self.at.as_path(), event }, reported),
        }
    }

    /// Like `report_then`, for an entry whose current name in the target differs from its name in the source.
    pub(in crate::copier) fn report_names(
        &mut self,
        name: &CStr,
        target_name: &CStr,
        event: Event,
        reported: impl FnOnce(),
    ) -> Result<(), ParentGone> {
        let depth = self.at.depth();
        self.at.push(name.to_bytes(), target_name.to_bytes());
        let sent = self.report_then(None, event, reported);
        self.at.truncate(depth);
        sent
    }
}
