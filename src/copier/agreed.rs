//! Names that the user was asked for and has agreed to: they are copied when all else is.

use super::Worker;
use super::dirs::{Dirs, c_name, entry_dirs, open_by_path};
use super::reports::ParentGone;
use super::walk::{Visit, Walker};
use crate::ipc::putoff::PutOff;
use crate::ipc::report::Fault;
use crate::ipc::task::{Place, split_last};
use crate::sys::file::Kind;

impl Walker<'_> {
    /// Copies the names `first..end`, and hands over what somebody hungry can do.
    pub(super) fn agreed(&mut self, first: u32, end: u32) -> Result<(), ParentGone> {
        let all = self.job.agreed;
        let known = u32::try_from(all.len()).unwrap_or(u32::MAX);
        self.agreed = first..end.min(known);
        while let Some(number) = self.agreed.next() {
            self.hand_over(None)?;
            self.one_agreed(&all[number as usize])?;
            if self.is_stopped() {
                break;
            }
        }
        Ok(())
    }

    fn one_agreed(&mut self, agreed: &PutOff) -> Result<(), ParentGone> {
        let (dir, name) = split_last(&agreed.source);
        let (target_dir, target_name) = split_last(&agreed.target);
        let place = Place { source: dir, target: target_dir, ..agreed.place() };
        self.go_to(place);
        self.enter();
        let (name, target_name) = (c_name(name), c_name(target_name));
        match self.dirs_of(place, agreed.existed) {
            // Its directory waits for it, so nothing that happens there need be noted.
            Ok(dirs) => {
                self.one_name(&dirs, Kind::Unknown, &name, &target_name, &mut Visit::default())?;
                self.reports.flush_if_old()
            }
            Err(fault) => self.settle_failed(Some(&name), fault),
        }
    }

    /// The directories at a place, which is an entry's own if the path is empty.
    pub(super) fn dirs_of(&self, place: Place<'_>, existed: bool) -> Result<Dirs, Fault> {
        match self.job.plan.entries.get(place.entry as usize) {
            Some(entry) if place.source.is_empty() => {
                entry_dirs(self.job.plan, entry, self.job.failed)
            }
            _ => open_by_path(self.job.plan, place, existed),
        }
    }
}
