//! What can only be done when all copiers have ended: late directories, and the final names.

use super::run_state::DeferredDir;
use super::supervisor::Supervisor;
use crate::copier::visitors::copy;
use crate::error::EntryError;
use crate::ipc::wire::task::EntryPath;
use crate::messages::{self, Names};
use crate::outcome::End;
use crate::plan::Plan;
use pcopy_sys::signals::{self, Wish};
use std::os::unix::ffi::OsStrExt;

impl Supervisor<'_> {
    /// Finishes the target: what is staged gets its attributes and then its name; last the
    /// directories that stood there, because a new name in one changes its time.
    ///
    /// Returns why it was cut short, if it was; the same command then does the rest.
    pub(super) fn finish(&mut self) -> Option<End> {
        let late = std::mem::take(&mut self.state.late);
        let (mut staged, mut merged): (Vec<_>, Vec<_>) =
            late.into_iter().partition(|dir| dir.staged);
        // The deepest first: the bits of a directory may lock us out of those below it.
        for dirs in [&mut staged, &mut merged] {
            dirs.sort_by_key(|dir| std::cmp::Reverse(dir.target.len()));
        }
        self.finish_each(&staged, copy::finish)
            .or_else(|| self.write_out_built())
            .or_else(|| self.publish())
            .or_else(|| self.finish_each(&merged, copy::finish))
    }

    fn publish(&mut self) -> Option<End> {
        let built = std::mem::take(&mut self.state.built);
        self.finish_each(&built, copy::publish)
    }

    /// Gives the folders that `--parents` has made what they are to keep, the innermost first.
    pub(super) fn finish_parents(&mut self) {
        for parent in self.plan.parents.iter().rev() {
            if let Err(error) = copy::finish_parent(self.plan, parent) {
                let [source, target] =
                    [&parent.source, &parent.target].map(|path| path.as_os_str().as_bytes());
                self.failed_late += 1;
                let compat = self.plan.options.compat;
                self.screen.error(&messages::error(compat, error, Names { source, target }));
            }
        }
    }

    fn finish_each(
        &mut self,
        dirs: &[DeferredDir],
        act: impl Fn(&Plan, EntryPath<'_>) -> Result<(), EntryError>,
    ) -> Option<End> {
        for dir in dirs {
            if let Some(number) = self.signal_to_end() {
                return Some(End::Signal(number));
            }
            let Err(error) = act(self.plan, dir.place()) else { continue };
            self.report_late_error(error, dir.operand, &dir.source);
            if self.plan.ends_with(error) {
                return Some(End::TargetLost);
            }
        }
        None
    }

    /// Obeys signals while no copier is left; the number of one that asks to end.
    pub(super) fn signal_to_end(&mut self) -> Option<i32> {
        while let Ok(Some(wish)) = self.signals.next_wish() {
            match wish {
                Wish::End(number) => return Some(number),
                Wish::Halt => {
                    self.screen.end_line();
                    if signals::halt_self().is_err() {
                        return None;
                    }
                }
                Wish::Status => self.report_finishing(),
                Wish::Proceed | Wish::Resize | Wish::Child => {}
            }
        }
        None
    }
}
