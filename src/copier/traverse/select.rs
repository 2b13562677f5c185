//! Asks the selection which names of a directory are left out.

use super::Walk;
use crate::copier::context::Context;
use crate::copier::report_writer::ParentGone;
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::Count;
use crate::plan::Operand;
use crate::selection::{Asked, Decision, Reason, Selection, Side, Trees};
use pcopy_sys::file::Kind;
use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

/// What the selection needs of a walk, for the directory that the walk is in.
pub(in crate::copier) struct Selector<'a> {
    selection: &'a Selection,
    cx: Context<'a>,
    operand: &'a Operand,
    number: u32,
}

/// Returns how to ask the selection; `None` if no entry is left out.
pub(in crate::copier) fn selector<'a, D>(walk: &Walk<'a, D>) -> Option<Selector<'a>> {
    let selection = walk.cx.options().selection.as_deref()?;
    Some(Selector { selection, cx: walk.cx, operand: walk.operand()?, number: walk.at.operand })
}

impl Selector<'_> {
    /// Prepares to ask for the names of the directory that the walk is in.
    pub(in crate::copier) fn begin<D>(&self, walk: &mut Walk<'_, D>) -> Asked<'_> {
        let dir = self.operand.path_for_rules(&walk.at.source);
        self.selection.within(self, &mut walk.dir_rules, &dir)
    }
}

impl Trees for Selector<'_> {
    fn operand(&self) -> u32 {
        self.number
    }

    fn source(&self, path: &[u8]) -> pcopy_sys::Result<OwnedFd> {
        self.cx.plan().open_below_named(self.operand, path)
    }

    fn target(&self, path: &[u8]) -> Option<OwnedFd> {
        let path = self.operand.target_for_rules(path)?;
        self.cx.plan().open_target(self.operand, &path).ok()
    }

    fn follows(&self) -> bool {
        self.cx.plan().follows(None)
    }

    fn device(&self) -> Option<u64> {
        self.cx.options().one_file_system.then(|| self.operand.device())
    }

    fn is_stopped(&self) -> bool {
        self.cx.is_stopped()
    }
}

impl<D> Walk<'_, D> {
    /// Whether the entries of the directory that the walk is in are out of scope (`--max-depth`, `--files-from`).
    pub(in crate::copier) fn is_beyond_selection(&self) -> bool {
        let Some(selection) = &self.cx.options().selection else { return false };
        let operand = self.operand();
        operand.is_some_and(|operand| !selection.enters(&operand.path_for_rules(&self.at.source)))
    }

    /// Asks whether the entry `name` of the source directory `dir` is taken. If it is not, counts it. The entry is already
    /// counted as found if `counts` is set.
    pub(super) fn takes(
        &mut self,
        asked: &mut Asked<'_>,
        dir: BorrowedFd<'_>,
        (kind, name): (Kind, &CStr),
        counts: bool,
    ) -> Result<bool, ParentGone> {
        let decision = asked.decide(Side::Source, dir, (kind, name));
        let is_limit = matches!(decision, Decision::LeftOut(Reason::Limit(_)));
        match decision {
            Decision::Taken(_) => return Ok(true),
            _ if !counts => {}
            Decision::NotListed => self.cx.status.subtract(Count::Found, 1),
            Decision::LeftOut(_) => {
                self.cx.status.add(Count::Excluded, 1);
                if is_limit && asked.has_other_version(dir, name) {
                    self.cx.status.add(Count::OtherVersion, 1);
                }
            }
            Decision::BadRules(why) => {
                let error: EntryError = Op::ReadRules.error()(why);
                self.record_failed(Some(name), error)?;
            }
        }
        Ok(false)
    }
}

/// Whether an entry of the source is left out, and must not remain in a staged directory.
pub(in crate::copier) fn leaves_out(
    asked: &mut Asked<'_>,
    dir: BorrowedFd<'_>,
    name: &CStr,
) -> bool {
    !asked.decide(Side::Source, dir, (Kind::Unknown, name)).is_taken()
}
