//! What a run that ended early has left under staged names, for the user who will not resume it.

use super::run::Run;
use crate::ipc::wire::task::split_last;
use crate::outcome::End;
use crate::plan::{Operand, Plan};
use crate::staging::staged_name;
use pcopy_sys::file;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Returns the paths of what is left: of staged directories of operands, and in directories that existed, of the
/// entries at which copiers worked at the end. Copiers that died earlier may have left more, which the next run removes.
pub(super) fn find(run: &Run<'_>, end: End) -> Vec<PathBuf> {
    let plan = run.plan;
    let may_be_left =
        plan.policy.resumes_leftovers && plan.check.is_none() && !plan.options.dry_run;
    if !may_be_left || end == End::Finished {
        return Vec::new();
    }
    if run.state.gave_up || end == End::TimedOut {
        return certain(run); // a disk that does not answer must not be asked
    }
    let mut left = Vec::new();
    for operand in &plan.operands {
        let name = operand.source_name.to_bytes();
        left.extend(staged_in(operand, plan.target_dir(operand), name));
    }
    for entry in &run.state.in_progress {
        let path = [&entry.dir[..], b"/", &entry.name[..]].concat();
        if let Some(operand) = plan.operands.get(entry.operand as usize) {
            left.extend(topmost_staged(plan, operand, &path));
        }
    }
    left.sort();
    left.dedup();
    left
}

/// Returns the staged directories that this run has created for operands and not published. Does not look at the disk.
fn certain(run: &Run<'_>) -> Vec<PathBuf> {
    let lock = run.lock;
    let operands = (0..).zip(&run.plan.operands).zip(&lock.fresh).filter(|(_, fresh)| **fresh);
    let is_staged =
        |number: u32| !run.plan.options.in_place && !lock.unstaged.contains_key(&number);
    operands
        .filter(|((number, _), _)| is_staged(*number))
        .map(|((_, operand), _)| {
            let staged = staged_name(&operand.target_name, 0);
            operand.target_path.with_file_name(OsStr::from_bytes(staged.to_bytes()))
        })
        .collect()
}

/// Returns the staged path of the entry at `path`, which begins with the source name of the operand, or of the topmost
/// directory above it that has one.
fn topmost_staged(plan: &Plan, operand: &Operand, path: &[u8]) -> Option<PathBuf> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    slashes.chain([path.len()]).skip(1).find_map(|end| {
        let above = split_last(&path[..end]).0;
        let dir = plan.reach_target(operand, &operand.target_of(above)).ok()?;
        staged_in(operand, dir.as_fd(), &path[..end])
    })
}

/// Returns the staged path of the entry at `path`, if there is one in `dir`, the directory of its target.
fn staged_in(operand: &Operand, dir: BorrowedFd<'_>, path: &[u8]) -> Option<PathBuf> {
    let shown = operand.show_target(path);
    let path = PathBuf::from(OsStr::from_bytes(&shown).to_owned());
    let name = CString::new(path.file_name()?.as_bytes()).ok()?;
    let staged = (0..2).map(|variant| staged_name(&name, variant));
    let mut left = staged.filter(|staged| file::stat_at(dir, staged).is_ok());
    Some(path.with_file_name(OsStr::from_bytes(left.next()?.to_bytes())))
}
