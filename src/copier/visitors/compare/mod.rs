//! Comparing instead of copying: `--check` compares two trees, `--check-manifest` compares a directory with a
//! manifest (a list of file hashes).
//!
//! Both use the same walk of a tree as copying. Copiers open files without updating their access time, if the
//! kernel permits that.

mod differences;
mod large_compare;
mod manifest_files;
mod tree;

use crate::copier::Worker;
use crate::copier::context::Context;
use crate::copier::entry::data::BUFFER_BYTES;
use crate::copier::report_writer::{ParentGone, ReportWriter};
use crate::copier::traverse::{self, Visitor, Walk};
use crate::error::EntryError;
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::difference::{Difference, Properties};
use crate::ipc::wire::event::Event;
use crate::ipc::wire::task::Task;
use crate::plan::Check;
use manifest_files::ManifestVisitor;
use std::ffi::CStr;
use tree::TreeVisitor;

/// What every comparison of files needs: the copier's view of the run, and two buffers.
pub(super) struct Comparer<'a> {
    cx: Context<'a>,
    ours: Vec<u8>,
    theirs: Vec<u8>,
}

impl<'a> Comparer<'a> {
    fn new(cx: Context<'a>) -> Self {
        Self { cx, ours: vec![0; BUFFER_BYTES], theirs: vec![0; BUFFER_BYTES] }
    }
}

/// A copier that compares: its walk and its visitor.
struct ComparisonWorker<'a, V: Visitor<'a>> {
    walk: Walk<'a, V::Dir>,
    visitor: V,
}

/// Returns the worker for the comparison that the plan requires.
pub(in crate::copier) fn worker<'a>(
    cx: Context<'a>,
    reports: ReportWriter<'a>,
) -> Box<dyn Worker + 'a> {
    let comparer = Comparer::new(cx);
    match &cx.plan().check {
        Some(Check::Manifest(listed)) => Box::new(ComparisonWorker {
            walk: Walk::new(cx, reports),
            visitor: ManifestVisitor::new(comparer, listed),
        }),
        _ => Box::new(ComparisonWorker {
            walk: Walk::new(cx, reports),
            visitor: TreeVisitor::new(comparer),
        }),
    }
}

/// Gives access to the comparer of a visitor that compares.
trait HasComparer<'a> {
    fn comparer(&mut self) -> &mut Comparer<'a>;
}

impl<'a, V: Visitor<'a> + HasComparer<'a>> Worker for ComparisonWorker<'a, V> {
    fn run_task(&mut self, task: Task<'_>) -> Result<(), ParentGone> {
        let Self { walk, visitor } = self;
        match task {
            Task::Operands { first, end } => traverse::operands(walk, visitor, first..end),
            Task::Directory { place, existed } => {
                traverse::directory_task(walk, visitor, place, existed)
            }
            Task::Names { place, existed, names } => {
                traverse::names_task(walk, visitor, (place, existed), names)
            }
            Task::LargeFile(request) => {
                visitor.comparer().help(&request);
                Ok(())
            }
            // Only runs that copy have these tasks.
            Task::Prompted { .. }
            | Task::Links { .. }
            | Task::Verify { .. }
            | Task::Remove { .. } => Ok(()),
        }
    }

    fn flush_reports(&mut self) -> Result<(), ParentGone> {
        self.walk.reports.flush()
    }
}

/// Counts an entry: as skipped if no property differs; otherwise as different, and reports how it differs.
/// `wanted` is the mode of the source, `found` that of the target.
fn record<D>(
    walk: &mut Walk<'_, D>,
    name: Option<&CStr>,
    properties: Properties,
    (wanted, found): (u32, u32),
) -> Result<(), ParentGone> {
    if properties.is_empty() {
        walk.cx.status.add(Count::Skipped, 1);
        return Ok(());
    }
    walk.cx.status.add(Count::Different, 1);
    walk.report(name, Event::Difference(Difference::Changed { properties, wanted, found }))
}

fn record_missing<D>(walk: &mut Walk<'_, D>, name: &CStr, wanted: u32) -> Result<(), ParentGone> {
    walk.cx.status.add(Count::Different, 1);
    walk.report(Some(name), Event::Difference(Difference::Missing(wanted)))
}

/// Counts and reports a failure in a directory that is already counted. The failure counts as one more entry.
fn fail_uncounted<D>(
    walk: &mut Walk<'_, D>,
    name: Option<&CStr>,
    error: EntryError,
) -> Result<(), ParentGone> {
    walk.cx.status.add(Count::Found, 1);
    walk.cx.status.add(Count::Failed, 1);
    walk.report_failed(name, error)
}
