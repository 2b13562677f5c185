//! How the directory of a child comes into being in the target.

use super::{DirPair, free_staged_name};
use crate::error::{EntryError, Op};
use crate::options::CopyMode;
use crate::plan::Plan;
use crate::staging::owner::{has_begun, may_be_ours};
use crate::staging::removal::remove;
use crate::staging::staged_name;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

/// How the target of a child directory came into being; packed into the tag of its name.
#[derive(Clone, Copy)]
pub(in crate::copier) struct ChildMark {
    /// It existed before this round.
    pub(in crate::copier) existed: bool,
    /// It is new in an existing directory: built under the staged name with this number, or under its own
    /// name.
    pub(in crate::copier) staged: Option<u8>,
    /// It is created by the copier that starts it.
    pub(in crate::copier) unmade: bool,
}

impl ChildMark {
    const STAGED_MAX: u8 = 30;

    /// In place of a number: built under its own name.
    const OWN_NAME: u8 = 31;

    /// A child that is not created yet, under its own name.
    pub(in crate::copier) const UNMADE: Self = Self { existed: false, staged: None, unmade: true };

    /// A child that this round created, under its own name.
    const MADE: Self = Self { unmade: false, ..Self::UNMADE };

    pub(in crate::copier) fn to_byte(self) -> u8 {
        let made = self.staged.map_or(u8::from(self.unmade), |variant| 0x20 | variant);
        0x80 | u8::from(self.existed) << 6 | made
    }

    pub(in crate::copier) fn from_byte(mark: u8) -> Self {
        Self {
            existed: mark & 0x40 != 0,
            staged: (mark & 0x20 != 0).then_some(mark & 0x1f),
            unmade: mark & 0x21 == 1,
        }
    }

    /// The number of its staged name, if it has one.
    pub(in crate::copier) fn renamed(self) -> Option<u8> {
        self.staged.filter(|&variant| variant != Self::OWN_NAME)
    }

    /// The present name of the child in the target. `at_top` says that it is an operand, whose name in the
    /// target can differ from that in the source.
    pub(in crate::copier) fn target_name(
        self,
        plan: &Plan,
        operand: u32,
        at_top: bool,
        name: &CStr,
    ) -> CString {
        let own = plan
            .operands
            .get(operand as usize)
            .filter(|_| at_top)
            .map_or(name, |operand| &operand.target_name);
        self.renamed().map_or_else(|| own.to_owned(), |variant| staged_name(own, variant.into()))
    }
}

/// Creates the child's directory in the target, or finds it.
pub(in crate::copier) fn make_child(
    plan: &Plan,
    dirs: &DirPair,
    (source_name, name): (&CStr, &CStr),
) -> Result<ChildMark, EntryError> {
    let error = Op::CreateDirectory.error();
    if dirs.staged {
        let existed = make_or_find(plan, dirs, source_name, name).map_err(error)?;
        return Ok(ChildMark { existed, ..ChildMark::MADE });
    }
    match stat_child(plan, dirs, name) {
        Ok(stat) if stat.kind() == Kind::Directory => {
            dirs.check_name(plan, name)?;
            drop_begun(plan, dirs, source_name, name);
            Ok(ChildMark { existed: true, ..ChildMark::MADE })
        }
        Ok(_) => Err(error(Errno::EEXIST)),
        Err(Errno::ENOENT) => {
            let last = if dirs.contended { 0 } else { ChildMark::STAGED_MAX };
            for variant in 0..=last {
                let staged = staged_name(name, variant.into());
                // The source may have an entry of that name; beside an operand that does not matter.
                if !dirs.contended && file::stat_at(&dirs.source, &staged).is_ok() {
                    continue;
                }
                match make_or_find(plan, dirs, source_name, &staged) {
                    Err(Errno::EEXIST) if dirs.is_written(&staged) == Ok(false) => {
                        return Err(Op::JustCreated.error()(Errno::EEXIST)); // it is a leftover of 'a', for 'A'
                    }
                    Err(Errno::EEXIST) => {}
                    found => {
                        let existed = found.map_err(error)?;
                        return Ok(ChildMark { existed, staged: Some(variant), unmade: false });
                    }
                }
            }
            Err(error(Errno::EEXIST))
        }
        Err(errno) => Err(error(errno)),
    }
}

/// The same under its final name from the start, in a directory that other programs use.
///
/// `made` says whether an earlier round of this run created the existing directory; `begin` is called
/// before one is created.
pub(in crate::copier) fn make_child_in_place(
    plan: &Plan,
    dirs: &DirPair,
    (source_name, name): (&CStr, &CStr),
    made: bool,
    begin: impl FnOnce(),
) -> Result<ChildMark, EntryError> {
    let staged = Some(ChildMark::OWN_NAME);
    let old = match stat_child(plan, dirs, name) {
        Ok(old) => {
            dirs.check_name(plan, name)?;
            old
        }
        Err(Errno::ENOENT) => {
            let source = dirs.stat_source(source_name).map_err(Op::Stat.error())?;
            begin();
            if plan.policy.resumes_leftovers && take_over(plan, dirs, &source, name) {
                return Ok(ChildMark { existed: true, staged, unmade: false });
            }
            let bits = plan.options.preserve.initial_mode(source.permissions());
            let made = file::make_dir(&dirs.target, name, bits);
            made.map_err(Op::CreateDirectory.error())?;
            return Ok(ChildMark { staged, ..ChildMark::MADE });
        }
        Err(errno) => return Err(Op::StatTarget.error()(errno)),
    };
    if old.kind() != Kind::Directory {
        return Err(Op::DirectoryOverFile.error()(Errno::EEXIST));
    }
    if made {
        return Ok(ChildMark { existed: true, staged, unmade: false });
    }
    let source = dirs.stat_source(source_name).map_err(Op::Stat.error())?;
    if source.identity() == old.identity() && plan.options.copy_mode != CopyMode::HardLink {
        return Err(Op::SameFile.error()(Errno::EEXIST));
    }
    Ok(ChildMark { existed: true, ..ChildMark::MADE })
}

/// Removes the staged directory of an interrupted run, where a directory of the final name exists by now: no
/// run would resume it.
fn drop_begun(plan: &Plan, dirs: &DirPair, source_name: &CStr, name: &CStr) {
    if dirs.contended {
        return; // it has a lock, which the parent takes before it removes the directory
    }
    let (target, left) = (dirs.target.as_fd(), free_staged_name(dirs, name).1);
    let is_ours = has_begun(&plan.options, (target, &left), || dirs.stat_source(source_name));
    if is_ours && remove(target, Kind::Directory, &left).is_err() {
        // Then it remains: nothing depends on it.
    }
}

/// Renames into place the staged directory of an interrupted run without `--inplace`; false if there is
/// none.
fn take_over(plan: &Plan, dirs: &DirPair, source: &Stat, name: &CStr) -> bool {
    let (target, left) = (dirs.target.as_fd(), staged_name(name, 0));
    has_begun(&plan.options, (target, &left), || Ok(*source))
        && file::rename_noreplace(target, &left, name).is_ok()
}

/// Creates a directory whose parent this round created, and which no other program uses.
///
/// `parent` is the parent, if it is open; `path` is the parent's path in the operand's target directory.
pub(in crate::copier) fn make_late(
    plan: &Plan,
    operand: u32,
    (parent, path): (Option<&DirPair>, &[u8]),
    name: &CStr,
) -> Result<(), EntryError> {
    let error = Op::CreateDirectory.error();
    if let Some(parent) = parent {
        return file::make_dir(&parent.target, name, 0o700).map_err(error);
    }
    let operand = plan.operands.get(operand as usize).ok_or_else(|| error(Errno::EINVAL))?;
    let parent = plan.open_target(operand, path).map_err(Op::OpenTarget.error())?;
    file::make_dir(&parent, name, 0o700).map_err(error)
}

/// The status of the existing `name` in the target; with `--keep-directory-symlink`, of what a symlink leads
/// to.
fn stat_child(plan: &Plan, dirs: &DirPair, name: &CStr) -> Result<Stat, Errno> {
    let itself = file::stat_at(&dirs.target, name)?;
    if plan.options.keep_directory_symlink && itself.kind() == Kind::Symlink {
        return file::stat_at_following(&dirs.target, name).or(Ok(itself));
    }
    Ok(itself)
}

/// Creates a staged directory, or one inside a staged directory; returns whether an earlier run had created
/// it.
///
/// It is created for the owner alone if no other program uses it, and gets its permission bits when it is
/// complete.
fn make_or_find(
    plan: &Plan,
    dirs: &DirPair,
    source_name: &CStr,
    name: &CStr,
) -> Result<bool, Errno> {
    let bits = if dirs.staged && dirs.is_seen(plan) {
        plan.options.preserve.initial_mode(dirs.stat_source(source_name)?.permissions())
    } else {
        0o700
    };
    match file::make_dir(&dirs.target, name, bits) {
        Err(Errno::EEXIST) => {}
        result => return result.map(|()| false),
    }
    if !dirs.existed || !dirs.is_written(name)? {
        return Err(Errno::EEXIST); // two names of the source are the same in the target: 'A' and 'a'
    }
    let old = file::stat_at(&dirs.target, name)?;
    if old.kind() == Kind::Directory {
        let source = || dirs.stat_source(source_name);
        let is_strangers =
            !dirs.staged && !may_be_ours(&plan.options, (dirs.target.as_fd(), &old), source);
        return if is_strangers { Err(Errno::EEXIST) } else { Ok(true) };
    }
    if dirs.contended {
        return Err(Errno::EBUSY); // a file of another run
    }
    if dirs.is_seen(plan) && dirs.staged {
        return Err(Errno::EEXIST); // another program's
    }
    file::unlink(&dirs.target, name)?; // the source had a file here during the interrupted run
    file::make_dir(&dirs.target, name, 0o700).map(|()| false)
}
