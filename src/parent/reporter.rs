//! Reports events of entries to the user: finds the names of an entry, counts failures, and emits the event
//! to the sink.

use super::run_event::{Names, RunEvent, Sink, Withheld};
use crate::error::{AttributeError, EntryError, Op, Unavailable};
use crate::ipc::wire::event::Details;
use crate::ipc::wire::itemized::Itemized;
use crate::ipc::wire::task::EntryPath;
use crate::plan::{Check, Note, NoteKind, Operand, Plan, Severity};
use pcopy_sys::Errno;
use pcopy_sys::file;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// How many of the entries that would be removed are named, if nothing is removed because they are too many.
const REMOVALS_NAMED: usize = 5;

/// The reporter, through which the phases of a run reach the sink of its events.
pub(super) struct Reporter<'a> {
    plan: &'a Plan,
    pub(super) sink: &'a mut dyn Sink,
    /// How many failures of each kind were reported.
    pub(super) kinds: HashMap<EntryError, u64>,
    /// Failures and vanished entries that no copier counted.
    pub(super) late: Late,
}

/// Counts of failures and vanished entries that no copier counted.
#[derive(Clone, Copy, Default)]
pub(super) struct Late {
    pub(super) failed: u64,
    pub(super) vanished: u64,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(plan: &'a Plan, sink: &'a mut dyn Sink) -> Self {
        Self { plan, sink, kinds: HashMap::new(), late: Late::default() }
    }

    /// Reports something that planning has found.
    pub(super) fn note(&mut self, note: &Note) {
        if note.kind.severity() == Severity::Failure {
            self.late.failed += 1;
        }
        if self.plan.options.verbose() || note.kind.severity() != Severity::Announcement {
            self.sink.emit(&RunEvent::Note(note));
        }
    }

    /// Reports that the kernel denied a resource.
    pub(super) fn unavailable(&mut self, unavailable: &Unavailable) {
        self.sink.emit(&RunEvent::Unavailable(unavailable));
    }

    /// Reports that the disk has not answered for `limit`, and at which entry.
    pub(super) fn timed_out(&mut self, limit: Duration, at: Option<&[u8]>) {
        self.sink.emit(&RunEvent::TimedOut { limit, at });
    }

    /// Reports that an entry is about to be copied.
    pub(super) fn announced(&mut self, place: EntryPath<'_>) {
        let Some(operand) = self.operand(place.operand) else { return };
        self.with_names(operand, place.source, |sink, names| {
            sink.emit(&RunEvent::Announced(names));
        });
    }

    /// Reports that an entry is complete.
    pub(super) fn done(&mut self, place: EntryPath<'_>, details: Details) {
        let Some(operand) = self.operand(place.operand) else { return };
        let suffix = self.plan.options.backup.as_ref().map(|backup| backup.suffix.as_bytes());
        let suffix = suffix.unwrap_or_default();
        self.with_names(operand, place.source, |sink, names| {
            sink.emit(&RunEvent::Done { names, details, suffix });
        });
    }

    /// Reports that not the same is mounted at a directory as at the beginning.
    pub(super) fn mount_changed(&mut self, dir: &Path) {
        self.late.failed += 1;
        self.sink.emit(&RunEvent::MountChanged(dir));
    }

    /// Reports what is changed of an entry.
    pub(super) fn itemized(&mut self, place: EntryPath<'_>, item: Itemized) {
        let Some(operand) = self.operand(place.operand) else { return };
        let name = operand.name_in_manifest(place.source);
        self.sink.emit(&RunEvent::Itemized { name: &name, item });
    }

    /// Reports that an entry of the target was removed, or in a dry run would be, if removed entries are printed.
    pub(super) fn removed(&mut self, place: EntryPath<'_>, is_dir: bool) {
        let Some(operand) = self.operand(place.operand) else { return };
        let (options, is_dry) = (&self.plan.options, self.plan.options.dry_run);
        if options.itemize_changes {
            let name = operand.name_in_manifest(place.source);
            self.sink.emit(&RunEvent::ItemizedRemoval { name: &name, is_dir });
        }
        if options.verbose() {
            let target = operand.show_target(place.source);
            self.sink.emit(&RunEvent::Removed { target: &target, is_dir, is_dry });
        }
    }

    /// Reports that nothing extraneous is removed from the copy of a source.
    pub(super) fn removals_withheld(&mut self, operand: u32, why: Withheld) {
        let Some(operand) = self.operand(operand) else { return };
        let (source, target) = (operand.show_source(b""), operand.show_target(b""));
        let names = Names { source: &source, target: &target };
        self.sink.emit(&RunEvent::RemovalsWithheld { names, why });
    }

    /// Reports that nothing at all is removed, because `count` of the `all` entries of the target are too many, and names the
    /// first ones: each is given by its operand and its path in the source.
    pub(super) fn too_many_removals(
        &mut self,
        (count, all): (u64, u64),
        named: impl Iterator<Item = (u32, Vec<u8>)>,
    ) {
        let shown =
            named.filter_map(|(operand, source)| Some(self.operand(operand)?.show_target(&source)));
        let names: Vec<_> = shown.take(REMOVALS_NAMED).collect();
        let command = self.plan.without_deletion_limit.as_deref();
        self.sink.emit(&RunEvent::TooManyRemovals { count, all, names: &names, command });
    }

    /// Reports that an existing file was left as it is.
    pub(super) fn skipped(&mut self, place: EntryPath<'_>) {
        let Some(operand) = self.operand(place.operand) else { return };
        self.sink.emit(&RunEvent::Skipped { target: &operand.show_target(place.source) });
    }

    /// Reports that a name could not become a hard link. `and_others` says that this report also stands for
    /// later names.
    pub(super) fn link_failed(&mut self, errno: Errno, place: EntryPath<'_>, and_others: bool) {
        let Some(operand) = self.operand(place.operand) else { return };
        let target = &operand.show_target(place.source);
        self.sink.emit(&RunEvent::LinkFailed { errno, target, and_others });
    }

    /// Counts and reports an error of an entry that a copier has already counted as done.
    pub(super) fn failed_late(&mut self, error: EntryError, operand: u32, source: &[u8]) {
        if error.op.means_vanished(error.errno) {
            self.late.vanished += 1;
            self.vanished(error, operand, source);
        } else {
            self.late.failed += 1;
            self.failed(error, operand, source);
        }
    }

    /// Reports that an entry lacks an attribute. That is a failure if the attribute was required. Warns if the entry
    /// is a directory that an earlier operand was, and therefore was not copied again.
    pub(super) fn attribute_failed(&mut self, lost: AttributeError, operand: u32, source: &[u8]) {
        self.late.failed += u64::from(lost.required);
        if lost.error.op == Op::DirectoryAgain
            && let Some(operand) = self.operand(operand)
        {
            let kind = NoteKind::NamedTwice { is_dir: true, source: operand.source_path.clone() };
            return self.sink.emit(&RunEvent::Note(&Note { before: 0, kind }));
        }
        self.with_error_names(lost.error, operand, source, |sink, names| {
            sink.emit(&RunEvent::AttributeFailed { lost, names });
        });
    }

    /// Reports that an entry has failed.
    pub(super) fn failed(&mut self, error: EntryError, operand: u32, source: &[u8]) {
        *self.kinds.entry(error).or_default() += 1;
        self.with_error_names(error, operand, source, |sink, names| {
            sink.emit(&RunEvent::Failed { error, names });
        });
    }

    /// Reports that a source entry has vanished, or has changed while it was read.
    pub(super) fn vanished(&mut self, error: EntryError, operand: u32, source: &[u8]) {
        let compared = self.plan.check.is_some();
        self.with_error_names(error, operand, source, |sink, names| {
            sink.emit(&RunEvent::Vanished { error, names, compared });
        });
    }

    /// Returns how the user would name the target of the entry at `path`, below an operand or in a manifest.
    pub(super) fn shown_target(&self, operand: u32, path: &[u8]) -> Vec<u8> {
        match &self.plan.check {
            Some(Check::Manifest(listed)) => listed.show(path),
            _ => self.operand(operand).map(|operand| operand.show_target(path)).unwrap_or_default(),
        }
    }

    fn operand(&self, number: u32) -> Option<&'a Operand> {
        self.plan.operands.get(number as usize)
    }

    fn with_names(
        &mut self,
        operand: &Operand,
        path: &[u8],
        emit: impl FnOnce(&mut dyn Sink, Names<'_>),
    ) {
        let (source, target) = (operand.show_source(path), operand.show_target(path));
        emit(self.sink, Names { source: &source, target: &target });
    }

    /// Finds the names with which a failure is reported, and calls `emit` with them.
    fn with_error_names(
        &mut self,
        error: EntryError,
        number: u32,
        path: &[u8],
        emit: impl FnOnce(&mut dyn Sink, Names<'_>),
    ) {
        if let Some(Check::Manifest(listed)) = &self.plan.check {
            let name = listed.show(path);
            return emit(self.sink, Names { source: &name, target: &name });
        }
        let Some(operand) = self.operand(number) else { return };
        let whole = self.plan.policy.reports_loops_by_operand && error.op == Op::IntoItself;
        let path = if whole { b"" } else { path };
        if error.op != Op::DirectoryAgain {
            return self.with_names(operand, path, emit);
        }
        // cp names in this message the copy that it made before, and not the directory that it found again.
        let (source, target) = (operand.show_source(path), operand.show_target(path));
        let dir = file::stat_path(Path::new(OsStr::from_bytes(&source)), false);
        let dir = dir.ok().map(|stat| stat.identity());
        let earlier = dir.and_then(|dir| self.plan.earlier_dir(number, dir));
        let source = earlier.map_or(source, |operand| operand.show_target(b""));
        emit(self.sink, Names { source: &source, target: &target });
    }
}
