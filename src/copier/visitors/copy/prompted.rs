//! Copies the entries that the user has agreed to replace, and those that were held back, after everything else is copied.

use super::{CopyVisitor, CopyWalk, Found};
use crate::copier::dir_pair::{DirPair, c_name, open_by_path, operand_dirs};
use crate::copier::report_writer::ParentGone;
use crate::copier::traverse::offer::hand_over;
use crate::copier::traverse::{self, DirProgress};
use crate::error::EntryError;
use crate::ipc::inherited::prompt::PendingPrompt;
use crate::ipc::wire::task::{EntryPath, split_last};
use pcopy_sys::file::Kind;

impl<'a> CopyVisitor<'a> {
    /// Copies the entries with the numbers `first..end` in the list of agreed prompts. Hands over a part of
    /// them while the ring is hungry.
    pub(super) fn copy_prompted(
        &mut self,
        walk: &mut CopyWalk<'a>,
        first: u32,
        end: u32,
    ) -> Result<(), ParentGone> {
        let all = walk.cx.job.agreed;
        let known = u32::try_from(all.len()).unwrap_or(u32::MAX);
        walk.ranges.prompted = first..end.min(known);
        while let Some(number) = walk.ranges.prompted.next() {
            hand_over(walk, self, None)?;
            self.copy_agreed(walk, &all[number as usize])?;
            if walk.is_stopped() {
                break;
            }
        }
        Ok(())
    }

    fn copy_agreed(
        &mut self,
        walk: &mut CopyWalk<'a>,
        agreed: &PendingPrompt,
    ) -> Result<(), ParentGone> {
        let (dir, name) = split_last(&agreed.path.source);
        let (target_dir, target_name) = split_last(&agreed.path.target);
        let place = EntryPath { source: dir, target: target_dir, ..agreed.path.as_path() };
        walk.at.go_to(place);
        walk.publish_place();
        let (name, target_name) = (c_name(name), c_name(target_name));
        match open_dirs(walk, place, agreed.existed) {
            // The copier that requested the prompt has left the directory to the parent process. So this
            // copier need not note the progress of the directory.
            Ok(dirs) => {
                let found = Found { dirs: &dirs, name: &name, target_name: &target_name };
                let mut progress = DirProgress::default();
                self.copy_entry(walk, found, Kind::Unknown, &mut progress)?;
                traverse::below(walk, self, dirs, progress)?;
                walk.reports.flush_if_old()
            }
            Err(error) => walk.record_failed(Some(&name), error),
        }
    }
}

/// Opens the directories at `place`. If the path in `place` is empty, returns the directories that contain
/// the operand.
pub(super) fn open_dirs(
    walk: &CopyWalk<'_>,
    place: EntryPath<'_>,
    existed: bool,
) -> Result<DirPair, EntryError> {
    match walk.cx.plan().operands.get(place.operand as usize) {
        Some(operand) if place.source.is_empty() => {
            operand_dirs(walk.cx.plan(), operand, walk.cx.job.history.failed)
        }
        _ => open_by_path(walk.cx.plan(), place, existed),
    }
}
