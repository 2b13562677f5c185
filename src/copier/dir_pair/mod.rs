//! A directory in the source and the corresponding directory in the target.

mod child_dir;
mod open;

pub(super) use child_dir::{
    ChildMark, create_deferred, has_child, make_child, make_child_in_place,
};
pub(super) use open::{look_by_path, open_by_path, open_child, operand_dirs};

use super::entry::attributes::{DirDefaults, Owners};
use super::folding::{Folding, names_in};
use crate::error::{EntryError, Op};
use crate::plan::Plan;
use crate::staging::staged_name;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Stat};
use pcopy_sys::xattr;
use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// A directory, open in the source and in the target.
pub(super) struct DirPair {
    pub(super) source: OwnedFd,
    pub(super) target: OwnedFd,
    /// Whether the target is a new directory, or lies in one. A directory is new until it is published
    /// (renamed into place), and for the whole run if this run builds it under its final name.
    pub(super) staged: bool,
    /// Whether the target existed before this round. Then it may contain leftovers of earlier rounds and
    /// runs.
    pub(super) existed: bool,
    /// Whether copiers follow symlinks in the source directory.
    pub(super) follow: bool,
    /// For the directory that contains an operand: whether an earlier operand with the same target was
    /// copied. Then this run has created the existing destination entry.
    pub(super) just_created: bool,
    /// Whether another run may work in the target at the same time, because a run locks only the entries that
    /// it builds in this directory. True for the directories that contain the targets of operands.
    pub(super) contended: bool,
    pub(super) traits: Traits,
    /// The permission bits that the target had before this copier added those of its owner in order to open it; `None` if
    /// it has not added any.
    pub(super) closed_bits: Option<u32>,
    /// The owner and group of new files in the target; `None` until a copier has read the status of one of
    /// them.
    pub(super) new_owners: Cell<Option<Owners>>,
    pub(super) folding: Folding,
}

/// The properties of a target directory that affect the entries created in it.
#[derive(Clone, Copy)]
pub(super) struct Traits {
    /// What new entries inherit from the directory. A default ACL gives them an ACL, and may take permission
    /// bits from them. The set-group-ID bit gives them the directory's group.
    pub(super) defaults: DirDefaults,
    /// The device of the file system that the directory is on.
    pub(super) device: u64,
    /// Whether entries can be added, but neither renamed nor removed (`chattr +a`). Then each new entry gets its
    /// final name at once.
    pub(super) is_append_only: bool,
}

impl Traits {
    fn of(target: impl AsFd) -> Result<Self, EntryError> {
        let stat = file::stat_dir(target.as_fd()).map_err(Op::OpenTarget.error())?;
        let in_group = stat.permissions & 0o2000 != 0;
        let masked = xattr::has_default_acl(target.as_fd());
        let defaults = DirDefaults { masked, in_group };
        Ok(Self { defaults, device: stat.device, is_append_only: stat.is_append_only })
    }
}

impl DirPair {
    /// Returns a pair below an operand. `contended` is false, because this run has locked the operand's
    /// target directory. `just_created` is false, because only operands can have the target of an earlier
    /// operand.
    fn below_operand(
        (source, target): (OwnedFd, OwnedFd),
        (staged, existed): (bool, bool),
        follow: bool,
        traits: Traits,
    ) -> Self {
        Self {
            source,
            target,
            staged,
            existed,
            follow,
            just_created: false,
            contended: false,
            traits,
            closed_bits: None,
            new_owners: Cell::new(None),
            folding: Folding::default(),
        }
    }

    /// Returns the status of the existing destination entry `name`; `None` if there is none. If the status
    /// cannot be read, returns an error of the operation `op`.
    ///
    /// Also fails if the existing entry is the copy of an entry whose name differs only in case.
    pub(super) fn find(
        &self,
        plan: &Plan,
        name: &CStr,
        op: Op,
    ) -> Result<Option<Stat>, EntryError> {
        match file::stat_at(&self.target, name) {
            Ok(old) => {
                if !self.staged {
                    self.check_name(plan, name)?;
                }
                Ok(Some(old))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(op.error()(errno)),
        }
    }

    /// Fails if the existing entry found as `name` is the copy of an entry whose name differs only in case.
    fn check_name(&self, plan: &Plan, name: &CStr) -> Result<(), EntryError> {
        self.folding.check_name(&self.target, name, || self.coming_names(plan))
    }

    /// Whether the target lists the entry found as `name` with exactly this spelling, and not in another
    /// case.
    pub(super) fn has_spelling(&self, name: &CStr) -> Result<bool, Errno> {
        self.folding.has_spelling(&self.target, name)
    }

    /// Returns the names of all entries that this run copies into the directory.
    fn coming_names(&self, plan: &Plan) -> Result<Vec<CString>, Errno> {
        if self.contended {
            return Ok(plan.operands.iter().map(|operand| operand.target_name.clone()).collect());
        }
        names_in(&self.source)
    }

    /// Returns the cell in which a copier notes the owner of new files, if all new files have the same owner.
    /// Returns `None` if other programs use the directory, because they could change what new files inherit.
    pub(super) fn known_new_owners(&self, plan: &Plan) -> Option<&Cell<Option<Owners>>> {
        (!self.is_visible(plan)).then_some(&self.new_owners)
    }

    /// Returns the status of `name` in the source; if symlinks are followed, of the file that `name` leads
    /// to.
    pub(super) fn stat_source(&self, name: &CStr) -> Result<Stat, Errno> {
        if self.follow {
            file::stat_at_following(&self.source, name)
        } else {
            file::stat_at(&self.source, name)
        }
    }

    /// Whether another run may build entries with the same names in the target at the same time. In an
    /// existing directory this is possible: a run that reached the directory through a symlink or another
    /// mount point does not see this run's lock.
    pub(super) fn is_open_to_other_runs(&self) -> bool {
        self.contended || !self.staged
    }

    /// Whether other programs use the target, so that entries in it may be theirs.
    pub(super) fn is_visible(&self, plan: &Plan) -> bool {
        !self.staged || plan.options.in_place
    }
}

/// Returns a staged name that no entry of the source has, and its variant number. If an entry of the source
/// had the name, its copy would be built under the same name.
pub(super) fn free_staged_name(dirs: &DirPair, name: &CStr) -> (u32, CString) {
    (0..)
        .map(|variant| (variant, staged_name(name, variant)))
        .find(|(_, staged)| file::stat_at(&dirs.source, staged).is_err())
        .expect("a directory has fewer than 2^32 such names")
}

/// Returns a name as a C string. Names come from directory listings and operands, so they contain no NUL.
pub(super) fn c_name(name: &[u8]) -> CString {
    CString::new(name).unwrap_or_default()
}
