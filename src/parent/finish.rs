//! What can only be done when all copiers have ended: late directories, and the final names.

use super::ledger::{Built, LateDir, Ledger};
use crate::copier::attrs;
use crate::ipc::report::{Fault, Step};
use crate::plan::{Entry, Plan};
use crate::sys::Errno;
use crate::sys::file;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

/// Something that could not be finished.
pub(super) struct Unfinished {
    pub(super) entry: u32,
    pub(super) source: Vec<u8>,
    pub(super) fault: Fault,
}

/// Finishes the target: what is staged gets its attributes and then its name; last the directories
/// that stood there, because a new name in one changes its time.
pub(super) fn finish(plan: &Plan, ledger: &mut Ledger) -> Vec<Unfinished> {
    let mut failures = Vec::new();
    let (staged, merged): (Vec<_>, Vec<_>) =
        std::mem::take(&mut ledger.late).into_iter().partition(|dir| dir.staged);
    late_dirs(plan, staged, &mut failures);
    for built in std::mem::take(&mut ledger.built) {
        if let Err(fault) = publish(plan, &built) {
            failures.push(Unfinished { entry: built.entry, source: built.source, fault });
        }
    }
    late_dirs(plan, merged, &mut failures);
    failures
}

/// The deepest first: the bits of a directory may lock us out of those below it.
fn late_dirs(plan: &Plan, mut dirs: Vec<LateDir>, failures: &mut Vec<Unfinished>) {
    dirs.sort_by_key(|dir| std::cmp::Reverse(dir.target.len()));
    for dir in dirs {
        if let Err(fault) = late_dir(plan, &dir) {
            failures.push(Unfinished { entry: dir.entry, source: dir.source, fault });
        }
    }
}

fn late_dir(plan: &Plan, dir: &LateDir) -> Result<(), Fault> {
    let entry = entry_of(plan, dir.entry)?;
    let source = file::open_dir_beneath(plan.source_dir(entry), &dir.source)
        .map_err(Step::ReadDirectory.fault())?;
    let stat = file::stat_fd(&source).map_err(Step::Stat.fault())?;
    let target = file::open_dir_beneath(plan.target_dir(entry), &dir.target)
        .map_err(Step::OpenTarget.fault())?;
    attrs::finish_dir(target.as_fd(), &stat)
}

/// Gives a new directory its final name.
fn publish(plan: &Plan, built: &Built) -> Result<(), Fault> {
    let fault = Step::Publish.fault();
    let entry = entry_of(plan, built.entry)?;
    let top = plan.target_dir(entry);
    // The top itself is not opened anew: it may be a drop box that we can write and not read.
    let opened: OwnedFd;
    let (parent, name) = match built.target.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => {
            opened = file::open_dir_beneath(top, &built.target[..slash]).map_err(&fault)?;
            (opened.as_fd(), &built.target[slash + 1..])
        }
        None => (top, &built.target[..]),
    };
    let c_name = |bytes: &[u8]| CString::new(bytes).map_err(|_| fault(Errno::EINVAL));
    file::rename_new(parent, &c_name(&built.staged_name)?, &c_name(name)?).map_err(&fault)
}

fn entry_of(plan: &Plan, number: u32) -> Result<&Entry, Fault> {
    plan.entries.get(number as usize).ok_or(Fault { step: Step::Publish, errno: Errno::EINVAL })
}
