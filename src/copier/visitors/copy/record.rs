//! Counts and reports what was copied.

use super::CopyWalk;
use crate::copier::entry::result::{AttributeErrors, Done};
use crate::copier::report_writer::ParentGone;
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::{Details, Event};
use crate::ipc::wire::itemized::Itemized;
use std::ffi::CStr;

/// Counts an entry that was completed, and reports it if the options require that. The entry is `name` in the
/// directory that the walk is in; without a name, it is that directory.
pub(super) fn record(
    walk: &mut CopyWalk<'_>,
    name: Option<&CStr>,
    done: Done,
    details: Details,
) -> Result<(), ParentGone> {
    let (status, options) = (walk.cx.status, walk.cx.options());
    if done == Done::Skipped && !walk.cx.was_begun(name.unwrap_or(c"")) {
        status.add(Count::Skipped, 1);
        if options.debug() && name.is_some() {
            return walk.report(name, Event::Skipped);
        }
        return Ok(());
    }
    let count = if done == Done::Linked { Count::Linked } else { Count::Copied };
    let remembers = options.must_remember() && name.is_some() && !walk.at.staged;
    if options.verbose() || remembers {
        return walk.report_then(name, Event::Done(details), || status.add(count, 1));
    }
    walk.cx.outbox.settle();
    status.add(count, 1);
    Ok(())
}

/// Reports the attributes that an entry lacks. Called before the entry itself is recorded: if the copier dies in
/// between, another round finds the same again.
pub(super) fn report_lost(
    walk: &mut CopyWalk<'_>,
    name: Option<&CStr>,
    lost: &AttributeErrors,
) -> Result<(), ParentGone> {
    lost.iter().try_for_each(|lost| match walk.is_lost(lost.error) {
        true => walk.report_failed(name, lost.error),
        false => walk.report(name, Event::AttributeFailed(lost)),
    })
}

/// Reports what is changed of an entry, if anything is. Called before the entry itself is recorded.
#[cold] // without the option, no entry has an item
pub(super) fn report_changes(
    walk: &mut CopyWalk<'_>,
    name: Option<&CStr>,
    item: &Itemized,
) -> Result<(), ParentGone> {
    if item.is_nothing() { Ok(()) } else { walk.report(name, Event::Itemized(*item)) }
}

/// Like [`record`], for the directory that the walk is in.
pub(super) fn record_dir(walk: &mut CopyWalk<'_>, done: Done) -> Result<(), ParentGone> {
    record(walk, None, done, Details { directory: true, ..Details::default() })
}

/// Counts the directory that the walk is in, and reports that the parent process must set its times and mode.
pub(super) fn record_deferred(walk: &mut CopyWalk<'_>, done: Done) -> Result<(), ParentGone> {
    let new = done == Done::Copied;
    let status = walk.cx.status;
    let count = if new { Count::Copied } else { Count::Skipped };
    walk.report_then(None, Event::AttributesDeferred { new }, || status.add(count, 1))
}
