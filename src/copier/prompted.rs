//! Names that the user was asked for and has agreed to: they are copied when all else is.

use super::Worker;
use super::dir_pair::{DirPair, c_name, open_by_path, operand_dirs};
use super::report_writer::ParentGone;
use super::walk::{DirProgress, Walker};
use crate::error::EntryError;
use crate::ipc::inherited::prompt::PendingPrompt;
use crate::ipc::wire::task::{EntryPath, split_last};
use pcopy_sys::file::Kind;

impl Walker<'_> {
    /// Copies the names `first..end`, and hands over what somebody hungry can do.
    pub(super) fn agreed(&mut self, first: u32, end: u32) -> Result<(), ParentGone> {
        let all = self.cx.job.agreed;
        let known = u32::try_from(all.len()).unwrap_or(u32::MAX);
        self.ranges.prompted = first..end.min(known);
        while let Some(number) = self.ranges.prompted.next() {
            self.hand_over(None)?;
            self.one_agreed(&all[number as usize])?;
            if self.is_stopped() {
                break;
            }
        }
        Ok(())
    }

    fn one_agreed(&mut self, agreed: &PendingPrompt) -> Result<(), ParentGone> {
        let (dir, name) = split_last(&agreed.path.source);
        let (target_dir, target_name) = split_last(&agreed.path.target);
        let place = EntryPath { source: dir, target: target_dir, ..agreed.path.as_path() };
        self.at.go_to(place);
        self.enter();
        let (name, target_name) = (c_name(name), c_name(target_name));
        match self.dirs_of(place, agreed.existed) {
            // Its directory waits for it, so nothing that happens there need be noted.
            Ok(dirs) => {
                self.one_name(
                    &dirs,
                    Kind::Unknown,
                    &name,
                    &target_name,
                    &mut DirProgress::default(),
                )?;
                self.reports.flush_if_old()
            }
            Err(error) => self.record_failed(Some(&name), error),
        }
    }

    /// The directories at a place, which is an entry's own if the path is empty.
    pub(super) fn dirs_of(
        &self,
        place: EntryPath<'_>,
        existed: bool,
    ) -> Result<DirPair, EntryError> {
        match self.cx.job.plan.operands.get(place.operand as usize) {
            Some(operand) if place.source.is_empty() => {
                operand_dirs(self.cx.job.plan, operand, self.cx.job.failed)
            }
            _ => open_by_path(self.cx.job.plan, place, existed),
        }
    }
}
