//! How the target of a child directory is created.

use super::{DirPair, free_staged_name};
use crate::error::{EntryError, Op};
use crate::options::CopyMode;
use crate::plan::Plan;
use crate::staging::owner::{has_leftover_dir, may_be_ours};
use crate::staging::removal::remove;
use crate::staging::staged_name;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

/// How the target of a child directory was created, or will be. The list of children of the directory above
/// stores this as the mark of the child's name.
#[derive(Clone, Copy)]
pub(in crate::copier) struct ChildMark {
    /// Whether the target existed before this round. A directory that the parent process created just before
    /// the round does not count as existing.
    pub(in crate::copier) existed: bool,
    /// For a new directory in an existing one: the number of the staged name under which it is built, or
    /// `OWN_NAME` if it is built under its final name.
    pub(in crate::copier) staged: Option<u8>,
    /// Whether the target must still be created. The copier that enters the directory, or hands it over,
    /// creates it.
    pub(in crate::copier) uncreated: bool,
}

impl ChildMark {
    const STAGED_MAX: u8 = 30;

    /// The value of `staged` for a directory that is built under its final name.
    const OWN_NAME: u8 = 31;

    /// A child that must still be created, under its final name.
    pub(in crate::copier) const UNCREATED: Self =
        Self { existed: false, staged: None, uncreated: true };

    /// A child that this round has created, under its final name.
    const CREATED: Self = Self { uncreated: false, ..Self::UNCREATED };

    /// A child that was created under its final name, in an existing directory.
    pub(in crate::copier) const CREATED_IN_PLACE: Self =
        Self { staged: Some(Self::OWN_NAME), ..Self::CREATED };

    pub(in crate::copier) fn to_byte(self) -> u8 {
        let made = self.staged.map_or(u8::from(self.uncreated), |variant| 0x20 | variant);
        0x80 | u8::from(self.existed) << 6 | made
    }

    pub(in crate::copier) fn from_byte(mark: u8) -> Self {
        Self {
            existed: mark & 0x40 != 0,
            staged: (mark & 0x20 != 0).then_some(mark & 0x1f),
            uncreated: mark & 0x21 == 1,
        }
    }

    /// Returns the number of the staged name, if the child has a staged name.
    pub(in crate::copier) fn renamed(self) -> Option<u8> {
        self.staged.filter(|&variant| variant != Self::OWN_NAME)
    }

    /// Returns the current name of the child in the target, whose final name is `name`.
    pub(in crate::copier) fn current_name(self, name: &CStr) -> CString {
        self.renamed().map_or_else(|| name.to_owned(), |variant| staged_name(name, variant.into()))
    }

    /// Returns the current name of the child in the target. `at_top` says that the child is an operand, whose
    /// name in the target may differ from its name in the source.
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
        self.current_name(own)
    }
}

/// Creates the target directory of a child, or finds an existing one. A new child of an existing directory
/// gets a staged name; in an append-only directory, which would refuse the rename, this fails with `EPERM`. `source`
/// is the status of the source; it must be known with `--inplace` and for cp.
pub(in crate::copier) fn make_child(
    plan: &Plan,
    dirs: &DirPair,
    (source_name, name): (&CStr, &CStr),
    source: Option<&Stat>,
) -> Result<ChildMark, EntryError> {
    let error = Op::CreateDirectory.error();
    if dirs.staged {
        let existed = make_or_find(plan, dirs, (source_name, name), source).map_err(error)?;
        return Ok(ChildMark { existed, ..ChildMark::CREATED });
    }
    match has_child(plan, dirs, name)? {
        true => {
            remove_begun(plan, dirs, source_name, name);
            Ok(ChildMark { existed: true, ..ChildMark::CREATED })
        }
        false if dirs.traits.is_append_only => Err(error(Errno::EPERM)),
        false => {
            let last = if dirs.contended { 0 } else { ChildMark::STAGED_MAX };
            for variant in 0..=last {
                let staged = staged_name(name, variant.into());
                // The source may have an entry with exactly this staged name. Then the copy of that entry and
                // this child would be built under one name. In a directory that contains operands, this
                // cannot happen: only operands are copied there.
                if !dirs.contended && file::stat_at(&dirs.source, &staged).is_ok() {
                    continue;
                }
                match make_or_find(plan, dirs, (source_name, &staged), source) {
                    Err(Errno::EEXIST) if dirs.has_spelling(&staged) == Ok(false) => {
                        // The target ignores case: the existing directory is a leftover of 'a', and this
                        // child is 'A'.
                        return Err(Op::JustCreated.error()(Errno::EEXIST));
                    }
                    Err(Errno::EEXIST) => {}
                    found => {
                        let existed = found.map_err(error)?;
                        return Ok(ChildMark { existed, staged: Some(variant), uncreated: false });
                    }
                }
            }
            Err(error(Errno::EEXIST))
        }
    }
}

/// Whether the target has a child directory with its final name, in which the copy goes on. Fails if it has something else
/// of that name.
pub(in crate::copier) fn has_child(
    plan: &Plan,
    dirs: &DirPair,
    name: &CStr,
) -> Result<bool, EntryError> {
    match stat_child(plan, dirs, name) {
        Ok(stat) if stat.kind() == Kind::Directory => {
            dirs.check_name(plan, name)?;
            Ok(true)
        }
        Ok(_) if leads_to_directory(dirs, name) => {
            Err(Op::DirectoryOverSymlink.error()(Errno::EEXIST))
        }
        Ok(_) => Err(Op::DirectoryOverFile.error()(Errno::EEXIST)),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(Op::CreateDirectory.error()(errno)),
    }
}

/// Like [`make_child`], but creates the child under its final name, in a directory that other programs use
/// (`--inplace`, and cp).
///
/// `made` says that an earlier round of this run created the existing directory. `begin` is called before a
/// directory is created.
pub(in crate::copier) fn make_child_in_place(
    plan: &Plan,
    dirs: &DirPair,
    (source, name): (&Stat, &CStr),
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
            begin();
            if plan.policy.resumes_leftovers && adopt_leftover(plan, dirs, source, name) {
                return Ok(ChildMark { existed: true, staged, uncreated: false });
            }
            let bits = plan.options.initial_mode(source, plan.umask);
            let made = file::make_dir(&dirs.target, name, bits);
            made.map_err(Op::CreateDirectory.error())?;
            if plan.options.preserve.keeps_dir_modes && dirs.traits.defaults.in_group {
                // If the run is killed, the next run must not take the inherited set-group-ID bit for one that
                // the directory has to keep.
                if file::set_permissions_at(&dirs.target, name, bits).is_err() {
                    // The next run then keeps the bit. That does no harm.
                }
            }
            return Ok(ChildMark::CREATED_IN_PLACE);
        }
        Err(errno) => return Err(Op::StatTarget.error()(errno)),
    };
    if old.kind() != Kind::Directory {
        let is_link = plan.policy.resumes_leftovers && leads_to_directory(dirs, name);
        let op = if is_link { Op::DirectoryOverSymlink } else { Op::DirectoryOverFile };
        return Err(op.error()(Errno::EEXIST));
    }
    if made {
        return Ok(ChildMark { existed: true, staged, uncreated: false });
    }
    if source.identity() == old.identity() && plan.options.copy_mode != CopyMode::HardLink {
        return Err(Op::SameFile.error()(Errno::EEXIST));
    }
    Ok(ChildMark { existed: true, ..ChildMark::CREATED })
}

/// Whether the existing entry `name`, which is not a directory, is a symlink to one.
fn leads_to_directory(dirs: &DirPair, name: &CStr) -> bool {
    file::stat_at_following(&dirs.target, name).is_ok_and(|end| end.kind() == Kind::Directory)
}

/// Removes the staged directory that an interrupted run left for `name`. By now a directory with the final
/// name exists, so no run would resume the staged one.
fn remove_begun(plan: &Plan, dirs: &DirPair, source_name: &CStr, name: &CStr) {
    if dirs.contended {
        return; // the parent process locks the staged directory of an operand, then removes that directory
    }
    let (target, left) = (dirs.target.as_fd(), free_staged_name(dirs, name).1);
    let is_ours =
        has_leftover_dir(&plan.options, (target, &left), || dirs.stat_source(source_name));
    if is_ours && remove(target, Kind::Directory, &left).is_err() {
        // The staged directory remains. Nothing depends on its removal.
    }
}

/// Publishes (renames into place) the staged directory that an interrupted run without `--inplace` left.
/// Returns whether it did so.
fn adopt_leftover(plan: &Plan, dirs: &DirPair, source: &Stat, name: &CStr) -> bool {
    let (target, left) = (dirs.target.as_fd(), staged_name(name, 0));
    has_leftover_dir(&plan.options, (target, &left), || Ok(*source))
        && file::rename_noreplace(target, &left, name).is_ok()
}

/// Creates a child of a directory that this round has created and that no other program uses.
///
/// `parent` is that directory, if it is open; `path` is its path in the target, relative to the directory
/// that contains the operand's target.
pub(in crate::copier) fn create_deferred(
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

/// Returns the status of the existing `name` in the target. With `--keep-directory-symlink`, the status is
/// that of the file that a symlink leads to.
fn stat_child(plan: &Plan, dirs: &DirPair, name: &CStr) -> Result<Stat, Errno> {
    let itself = file::stat_at(&dirs.target, name)?;
    if plan.options.keep_directory_symlink && itself.kind() == Kind::Symlink {
        return file::stat_at_following(&dirs.target, name).or(Ok(itself));
    }
    Ok(itself)
}

/// Creates a staged directory, or a directory inside a staged one. Returns true if an earlier round or run
/// had already created it.
///
/// If no other program uses the new directory, it is created with permissions for its owner alone, and gets
/// its final permissions when it is complete.
fn make_or_find(
    plan: &Plan,
    dirs: &DirPair,
    (source_name, name): (&CStr, &CStr),
    source: Option<&Stat>,
) -> Result<bool, Errno> {
    let visible = source.filter(|_| dirs.staged && dirs.is_visible(plan));
    let bits = visible.map_or(0o700, |source| plan.options.initial_mode(source, plan.umask));
    match file::make_dir(&dirs.target, name, bits) {
        Err(Errno::EEXIST) => {}
        result => return result.map(|()| false),
    }
    if !dirs.existed || !dirs.has_spelling(name)? {
        // Two names of the source are one name in the target, as 'A' and 'a' are where case is ignored.
        return Err(Errno::EEXIST);
    }
    let old = file::stat_at(&dirs.target, name)?;
    if old.kind() == Kind::Directory {
        let source = || dirs.stat_source(source_name);
        let is_strangers =
            !dirs.staged && !may_be_ours(&plan.options, (dirs.target.as_fd(), &old), source);
        return if is_strangers { Err(Errno::EEXIST) } else { Ok(true) };
    }
    if dirs.contended {
        return Err(Errno::EBUSY); // another run builds a file with this name
    }
    if dirs.is_visible(plan) && dirs.staged {
        return Err(Errno::EEXIST); // the file belongs to another program
    }
    file::unlink(&dirs.target, name)?; // during the interrupted run, the source had a file with this name
    file::make_dir(&dirs.target, name, 0o700).map(|()| false)
}
