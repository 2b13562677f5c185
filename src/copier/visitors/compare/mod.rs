//! Comparing instead of copying: `--check` compares two trees, `--check-manifest` a directory with a
//! manifest.
//!
//! Both are walks like those that copy. Files are opened without changing their access time, where we may.

mod differences;
mod large_compare;
mod manifest_files;
mod tree;

use crate::copier::Worker;
use crate::copier::context::Context;
use crate::copier::entry::data::BUFFER_BYTES;
use crate::copier::report_writer::{ParentGone, Reports};
use crate::copier::traverse::{self, Visitor, Walk};
use crate::error::EntryError;
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::difference::{Aspects, Difference};
use crate::ipc::wire::event::Event;
use crate::ipc::wire::task::Task;
use crate::plan::Check;
use manifest_files::ManifestVisitor;
use std::ffi::CStr;
use tree::TreeVisitor;

/// What comparing files takes, whatever they are compared with.
pub(super) struct Buffers<'a> {
    cx: Context<'a>,
    ours: Vec<u8>,
    theirs: Vec<u8>,
}

impl<'a> Buffers<'a> {
    fn new(cx: Context<'a>) -> Self {
        Self { cx, ours: vec![0; BUFFER_BYTES], theirs: vec![0; BUFFER_BYTES] }
    }
}

/// A walk and what is done with the entries that it comes to.
struct Comparison<'a, V: Visitor<'a>> {
    walk: Walk<'a, V::Dir>,
    visitor: V,
}

/// Makes the worker that the plan wants.
pub(in crate::copier) fn worker<'a>(cx: Context<'a>, reports: Reports<'a>) -> Box<dyn Worker + 'a> {
    let buffers = Buffers::new(cx);
    match &cx.plan().check {
        Some(Check::Manifest(listed)) => Box::new(Comparison {
            walk: Walk::new(cx, reports),
            visitor: ManifestVisitor::new(buffers, listed),
        }),
        _ => Box::new(Comparison {
            walk: Walk::new(cx, reports),
            visitor: TreeVisitor::new(buffers),
        }),
    }
}

/// What both comparisons offer beside visiting.
trait HasBuffers<'a> {
    fn buffers(&mut self) -> &mut Buffers<'a>;
}

impl<'a, V: Visitor<'a> + HasBuffers<'a>> Worker for Comparison<'a, V> {
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
            Task::Range(invitation) => {
                visitor.buffers().help(&invitation);
                Ok(())
            }
            // These are tasks of a run that copies.
            Task::Agreed { .. } | Task::Links { .. } | Task::Verify { .. } => Ok(()),
        }
    }

    fn flush_reports(&mut self) -> Result<(), ParentGone> {
        self.walk.reports.flush()
    }
}

/// Counts an entry in which nothing differs, or reports in what it does; `modes` are the source's and the
/// target's.
fn record<D>(
    walk: &mut Walk<'_, D>,
    name: Option<&CStr>,
    aspects: Aspects,
    (wanted, found): (u32, u32),
) -> Result<(), ParentGone> {
    if aspects.is_empty() {
        walk.cx.status.add(Count::Skipped, 1);
        return Ok(());
    }
    walk.cx.status.add(Count::Different, 1);
    walk.report(name, Event::Differs(Difference::Other { aspects, wanted, found }))
}

fn record_missing<D>(walk: &mut Walk<'_, D>, name: &CStr, wanted: u32) -> Result<(), ParentGone> {
    walk.cx.status.add(Count::Different, 1);
    walk.report(Some(name), Event::Differs(Difference::Missing(wanted)))
}

/// Counts and reports a failure in a directory that is counted already.
fn fail_beside<D>(walk: &mut Walk<'_, D>, error: EntryError) -> Result<(), ParentGone> {
    walk.cx.status.add(Count::Found, 1);
    walk.cx.status.add(Count::Failed, 1);
    walk.report(None, Event::Failed(error))
}
