//! Whether the file system of an operand is lost: its server, its daemon or its device is gone.

use super::{Check, Operand, Plan};
use crate::error::{EntryError, Op, may_mean_lost};
use pcopy_sys::dir_reader::DirReader;
use pcopy_sys::{Errno, file, statfs};
use std::os::fd::{AsFd, BorrowedFd};

impl Plan {
    /// Returns the error that the source or the target is lost, if `error` may mean that and the root of the operand
    /// confirms it. One file that cannot be read, on a disk that answers, remains the failure of that file.
    pub(crate) fn lost(&self, operand: u32, error: EntryError) -> Option<EntryError> {
        if !self.policy.stops_when_target_is_lost || !may_mean_lost(error.errno) {
            return None;
        }
        if let Some(Check::Manifest(listed)) = &self.check {
            return loss_of(listed.dir.as_fd()).map(Op::TargetLost.error());
        }
        let operand = self.operands.get(operand as usize)?;
        let source = || self.source_loss(operand).map(Op::SourceLost.error());
        let target = || self.target_loss(operand).map(Op::TargetLost.error());
        // Which side an error comes from is not certain: a call that copies in the kernel reads and writes.
        if error.op.concerns_source() { source().or_else(target) } else { target().or_else(source) }
    }

    fn source_loss(&self, operand: &Operand) -> Option<Errno> {
        loss_of(self.source_dir(operand)).or_else(|| {
            let root = self.open_source(operand, operand.source_name.to_bytes());
            operand.is_dir.then(|| loss_of_root(root)).flatten()
        })
    }

    fn target_loss(&self, operand: &Operand) -> Option<Errno> {
        loss_of(self.target_dir(operand)).or_else(|| {
            let root = self.open_target(operand, operand.target_name.to_bytes());
            operand.is_dir.then(|| loss_of_root(root)).flatten()
        })
    }
}

/// Returns the error with which the file system of a directory refuses everything, if it does.
fn loss_of_root(dir: Result<impl AsFd, Errno>) -> Option<Errno> {
    match dir {
        Ok(dir) => loss_of(dir.as_fd()),
        Err(errno) => Some(errno).filter(|&errno| may_mean_lost(errno)),
    }
}

/// Like [`loss_of_root`], for an open directory. A kernel may answer some calls for a dead server or device, so all of
/// these calls must succeed.
fn loss_of(dir: BorrowedFd<'_>) -> Option<Errno> {
    let asked = statfs::free_space_at(dir).map(drop).and_then(|()| file::stat_fd(dir).map(drop));
    let listed = || file::open_dir_at(dir, c".").and_then(|dir| DirReader::new().fill(dir.as_fd()));
    asked.and_then(|()| listed()).err().filter(|&errno| may_mean_lost(errno))
}
