//! A directory in the source and in the target.

mod child_dir;
mod open;

pub(super) use child_dir::{ChildMark, make_child, make_child_in_place, make_late};
pub(super) use open::{open_by_path, open_child, operand_dirs};

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
    /// Whether the target is inside a new directory that is not published yet, or that this run builds under
    /// its final name.
    pub(super) staged: bool,
    /// Whether the target existed before this round, and may contain what other runs left.
    pub(super) existed: bool,
    /// Whether symlinks in the source are followed.
    pub(super) follow: bool,
    /// Whether this run created the existing destination entry, for another operand.
    pub(super) again: bool,
    /// Whether another run may work in the target at the same time: only the entries in it are locked.
    pub(super) contended: bool,
    pub(super) traits: Traits,
    /// Who owns the files created in it, once one of them was looked at.
    pub(super) hands: Cell<Option<Owners>>,
    pub(super) folding: Folding,
}

/// The properties of a target directory that matter for the entries created in it.
#[derive(Clone, Copy)]
pub(super) struct Traits {
    /// What they inherit: an ACL, which also removes permission bits, from its default ACL; its group, from
    /// its set-group-ID bit.
    pub(super) born: DirDefaults,
    /// The device of its file system.
    pub(super) device: u64,
}

impl Traits {
    fn of(target: impl AsFd) -> Result<Self, EntryError> {
        let stat = file::stat_fd(&target).map_err(Op::OpenTarget.error())?;
        let in_group = stat.permissions() & 0o2000 != 0;
        let masked = xattr::has_default_acl(target.as_fd());
        Ok(Self { born: DirDefaults { masked, in_group }, device: stat.identity().0 })
    }
}

impl DirPair {
    /// A directory below an operand: this run has locked what it is in, and no other operand has made it.
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
            again: false,
            contended: false,
            traits,
            hands: Cell::new(None),
            folding: Folding::default(),
        }
    }

    /// The status of the existing destination entry `name`; an error of `op` if that cannot be read.
    ///
    /// An error also if the existing entry is the copy of an entry whose name differs in case.
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

    /// An error if what was found as `name` is the copy of an entry whose name differs in case.
    fn check_name(&self, plan: &Plan, name: &CStr) -> Result<(), EntryError> {
        self.folding.check_name(&self.target, name, || self.coming_names(plan))
    }

    /// Whether the target lists what was found as `name` in that case.
    pub(super) fn is_written(&self, name: &CStr) -> Result<bool, Errno> {
        self.folding.is_written(&self.target, name)
    }

    /// The names of all entries that are copied into the directory.
    fn coming_names(&self, plan: &Plan) -> Result<Vec<CString>, Errno> {
        if self.contended {
            return Ok(plan.operands.iter().map(|operand| operand.target_name.clone()).collect());
        }
        names_in(&self.source)
    }

    /// Where to note the owner of new files, if that is the same for all of them: no other program can
    /// change it in a directory that no other program uses.
    pub(super) fn known_hands(&self, plan: &Plan) -> Option<&Cell<Option<Owners>>> {
        (!self.is_seen(plan)).then_some(&self.hands)
    }

    /// The status of `name` in the source; of what it leads to, if symlinks are followed.
    pub(super) fn stat_source(&self, name: &CStr) -> Result<Stat, Errno> {
        if self.follow {
            file::stat_at_following(&self.source, name)
        } else {
            file::stat_at(&self.source, name)
        }
    }

    /// Whether another run may build the same names in the target: one that reached it another way, through a
    /// symlink or a mount point, does not see this run's lock.
    pub(super) fn is_shared(&self) -> bool {
        self.contended || !self.staged
    }

    /// Whether other programs use the target, so that entries in it may be theirs.
    pub(super) fn is_seen(&self, plan: &Plan) -> bool {
        !self.staged || plan.options.in_place
    }
}

/// A staged name that no entry of the source has; otherwise the two would be built under the same name.
pub(super) fn free_staged_name(dirs: &DirPair, name: &CStr) -> (u32, CString) {
    (0..)
        .map(|variant| (variant, staged_name(name, variant)))
        .find(|(_, staged)| file::stat_at(&dirs.source, staged).is_err())
        .expect("a directory has fewer than 2^32 such names")
}

/// A name as a C string. Names come from directory listings and operands, so they contain no NUL.
pub(super) fn c_name(name: &[u8]) -> CString {
    CString::new(name).unwrap_or_default()
}
