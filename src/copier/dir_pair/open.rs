//! Opens a directory in the source and the corresponding directory in the target.

use super::{DirPair, Traits, c_name};
use crate::copier::folding::Folding;
use crate::error::{EntryError, Op};
use crate::ipc::wire::task::{EntryPath, split_last};
use crate::options::Permissions;
use crate::plan::{Operand, Plan};
use pcopy_sys::Errno;
use pcopy_sys::file;
use pcopy_sys::process;
use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Opens a child directory in the source and in the target.
pub(in crate::copier) fn open_child(
    plan: &Plan,
    dirs: &DirPair,
    name: &CStr,
    target_name: &CStr,
    staged: bool,
    existed: bool,
) -> Result<DirPair, EntryError> {
    let follow = plan.follows(None);
    let source = if follow {
        file::open_dir_following(dirs.source.as_fd(), name.to_bytes())
    } else {
        file::open_dir_at(&dirs.source, name)
    }
    .map_err(Op::ReadDirectory.error())?;
    let ours = existed && is_ours(plan, staged);
    let opened = if plan.options.keep_directory_symlink {
        file::open_dir_following(dirs.target.as_fd(), target_name.to_bytes())
    } else {
        file::open_dir_at(&dirs.target, target_name)
    };
    let target = match opened {
        Err(Errno::EACCES) => open_denied(plan, (dirs.target.as_fd(), target_name), ours),
        result => result.map(|target| (target, None)),
    };
    let (target, closed_bits) = target.map_err(Op::OpenTarget.error())?;
    let closed_bits = closed_bits.or(make_usable(&target, ours)?);
    // A new directory inherits all but `chattr +a`.
    let inherited = Traits { is_append_only: false, ..dirs.traits };
    let traits = if existed { Traits::of(&target)? } else { inherited };
    let pair = DirPair::below_operand((source, target), (staged, existed), follow, traits);
    Ok(DirPair { closed_bits, ..pair })
}

/// Whether pcopy may temporarily change the permission bits of an existing directory. It may if it sets the
/// final bits itself when the directory is complete. An earlier run of pcopy may have created such a
/// directory, with bits that deny access.
fn is_ours(plan: &Plan, staged: bool) -> bool {
    let exact = plan.options.preserve.permissions == Permissions::Exact;
    staged || exact && plan.policy.resumes_leftovers
}

/// Opens a directory that cannot be read. If it is `ours`, changes its permission bits first; the final bits are
/// set when the directory is complete, and the old ones are returned. Otherwise opens it only to access entries in it by
/// name.
fn open_denied(
    plan: &Plan,
    (parent, name): (BorrowedFd<'_>, &CStr),
    ours: bool,
) -> Result<(OwnedFd, Option<u32>), Errno> {
    if ours {
        // A run that is killed meanwhile must not have taken permissions away.
        let bits = file::stat_at(parent, name)?.permissions();
        if file::set_permissions_at(parent, name, bits | 0o700).is_ok() {
            return Ok((file::open_dir_at(parent, name)?, Some(bits)));
        }
    }
    Ok((plan.reach_target_child(parent, name)?, None))
}

/// Adds the owner's permissions to an existing directory that lacks them. Returns the permission bits that it had, if it
/// lacked them.
///
/// The copy of a read-only directory lacks them, and a later run must be able to continue such a copy after
/// an interruption.
fn make_usable(target: &OwnedFd, ours: bool) -> Result<Option<u32>, EntryError> {
    if !ours || process::is_root() {
        return Ok(None);
    }
    let stat = file::stat_fd(target).map_err(Op::OpenTarget.error())?;
    let bits = stat.permissions();
    if bits & 0o700 == 0o700 || stat.owner() != process::user() {
        return Ok(None);
    }
    let set = file::set_permissions(target, bits | 0o700);
    set.map(|()| Some(bits)).map_err(Op::OpenTarget.error())
}

/// Returns the directories that contain an operand in the source and in the target. This run does not lock
/// them exclusively. `failed` has the operands of which nothing was copied.
pub(in crate::copier) fn operand_dirs(
    plan: &Plan,
    operand: &Operand,
    failed: &HashSet<u32>,
) -> Result<DirPair, EntryError> {
    let (source, target) = (plan.source_dir(operand), plan.target_dir(operand));
    Ok(DirPair {
        source: source
            .try_clone_to_owned()
            .map_err(|_| Op::ReadDirectory.error()(Errno::EMFILE))?,
        traits: Traits::of(target)?,
        target: target.try_clone_to_owned().map_err(|_| Op::OpenTarget.error()(Errno::EMFILE))?,
        staged: false,
        existed: true,
        follow: plan.follows(Some(operand)),
        just_created: operand.same_target.iter().any(|earlier| !failed.contains(earlier)),
        contended: true,
        closed_bits: None,
        new_owners: Cell::new(None),
        folding: Folding::default(),
    })
}

/// Opens a directory below an operand by its paths, which begin in the directories that contain the operand.
pub(in crate::copier) fn open_by_path(
    plan: &Plan,
    place: EntryPath<'_>,
    existed: bool,
) -> Result<DirPair, EntryError> {
    let operand = plan.operands.get(place.operand as usize);
    let operand = operand.ok_or_else(|| Op::ReadDirectory.error()(Errno::EINVAL))?;
    let source = plan.open_source(operand, place.source).map_err(Op::ReadDirectory.error())?;
    let ours = existed && is_ours(plan, place.staged);
    let target = match plan.open_readable_target(operand, place.target) {
        Err(Errno::EACCES) => {
            let (parent, name) = split_last(place.target);
            plan.reach_target(operand, parent)
                .and_then(|parent| open_denied(plan, (parent.as_fd(), &c_name(name)), ours))
        }
        result => result.map(|target| (target, None)),
    };
    let (target, closed_bits) = target.map_err(Op::OpenTarget.error())?;
    let closed_bits = closed_bits.or(make_usable(&target, ours)?);
    let traits = Traits::of(&target)?;
    let (staged, follow) = (place.staged, plan.follows(None));
    let pair = DirPair::below_operand((source, target), (staged, existed), follow, traits);
    Ok(DirPair { closed_bits, ..pair })
}

/// Opens a directory below an operand by its path in the source, and the corresponding directory in the target if there is
/// one. Changes nothing, not even the times of access.
pub(in crate::copier) fn look_by_path(
    plan: &Plan,
    (operand, path): (u32, &[u8]),
) -> Result<(OwnedFd, Option<DirPair>), EntryError> {
    let operand = plan.operands.get(operand as usize);
    let operand = operand.ok_or_else(|| Op::ReadDirectory.error()(Errno::EINVAL))?;
    let follow = plan.follows(None);
    let source = if follow {
        file::open_dir_following_noatime(plan.source_dir(operand), path)
    } else {
        file::open_dir_beneath_noatime(plan.source_dir(operand), path)
    };
    let source = source.map_err(Op::ReadDirectory.error())?;
    let target = match plan.open_target(operand, &operand.target_of(path)) {
        Ok(target) => target,
        Err(Errno::ENOENT) => return Ok((source, None)),
        // What is in the way would be removed.
        Err(Errno::ENOTDIR | Errno::ELOOP) if plan.options.deletion.is_some() => {
            return Ok((source, None));
        }
        Err(errno) => return Err(Op::OpenTarget.error()(errno)),
    };
    let traits = Traits::of(&target)?;
    let ours = source.try_clone().map_err(|_| Op::ReadDirectory.error()(Errno::EMFILE))?;
    let pair = DirPair::below_operand((ours, target), (false, true), follow, traits);
    Ok((source, Some(pair)))
}
