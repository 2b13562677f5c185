//! The differences between `pcopy` and GNU cp where no option decides, as one field for each behaviour.
//!
//! pcopy uses the same code if it was started as `cp`. Each behaviour of GNU cp that scripts rely on, and
//! that pcopy does not share, has a field here. Only `cli`, `plan` and `ui` know which program the user
//! started. The reference for cp is its manual and the source of coreutils 9.
//!
//! Two sets of rules differ too much for fields: the rules for the targets of operands, and the rules for
//! existing files ([`ExistingRules`]). Each set has one module for pcopy and one for cp.

use crate::options::Compat;

/// How a run behaves where no option decides.
///
/// The structure has one field for each difference and is flat, because code asks for one of them at a time.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The rules for existing files.
    pub existing: ExistingRules,
    /// Whether the parent locks the target directories and copiers lock each file that they write, so that no
    /// other run of pcopy writes to them. cp locks nothing.
    pub locks_target: bool,
    /// Whether the run resumes or removes the leftovers of a killed run, and leaves no incomplete entry that
    /// a later run would take for complete. For cp, everything in the target belongs to the user.
    pub resumes_leftovers: bool,
    /// Whether a file that changed while it was read is read once more. cp does not do so: scripts copy
    /// growing log files with cp as they are.
    pub rereads_changed: bool,
    /// Whether the run ends when a file system is full, read-only, failing or lost. cp still tries every
    /// other file.
    pub stops_when_target_is_lost: bool,
    /// Whether a write to a pipe without readers ends the run by SIGPIPE, as it ends cp. Otherwise it is a failure
    /// of the entry.
    pub dies_of_broken_pipe: bool,
    /// Whether each file whose ownership is to be preserved is created without permissions for group and
    /// others. Otherwise pcopy finds out in advance whether the owner or group of the file will change, and
    /// ownership is a reason only if it will.
    pub private_until_owned: bool,
    /// Whether set-id bits are preserved even if ownership is not to be preserved.
    pub keeps_set_id: bool,
    /// Whether writing into an existing file removes the extended attributes that its source does not have,
    /// so that both are identical. cp leaves them.
    pub removes_extra_attributes: bool,
    /// Whether the run warns of attributes that were to be preserved only if possible, and that the copy lacks.
    /// cp says nothing about them.
    pub warns_of_lost_attributes: bool,
    /// Whether an ACL counts as absent if the file system says that it has no ACLs when the ACL is read.
    pub ignores_unsupported_acls: bool,
    /// Whether `--sparse=always` permits a clone, although a clone has only the holes of its source.
    pub clones_under_sparse_always: bool,
    /// Whether a hard link may replace an existing file that `--update` would skip as newer.
    pub links_newer_names: bool,
    /// Whether a directory replaces an existing file if that file is backed up.
    pub dir_over_file_with_backup: bool,
    /// Whether an existing file that cannot be opened for writing is replaced even without `--force`.
    pub replaces_unwritable: bool,
    /// Whether copiers follow existing symbolic links to files and write through them. Then two names in the
    /// target may be one file, which two copiers must not write at the same time.
    pub writes_through_symlinks: bool,
    /// Whether an existing file that is up to date is backed up, too, before a link replaces it.
    pub backs_up_complete: bool,
    /// Whether the run fails if the user declines a prompt, as with cp since coreutils 9.2.
    pub declined_is_failure: bool,
    /// Whether `--verbose` reports a directory as soon as it is created, and any other entry even if copying
    /// the entry fails. Otherwise `--verbose` reports only complete entries.
    pub announces_early: bool,
    /// Whether the message about a directory that would be copied into itself names the operand, and not the
    /// path at which a copier found the loop.
    pub reports_loops_by_operand: bool,
}

/// The rules for existing files; each variant is a module of `copier`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExistingRules {
    /// Files that differ are replaced: by a rename, or with `--inplace` by writing into them.
    Native,
    /// The rules of GNU cp 9, applied in the order in which cp applies them.
    Gnu,
}

impl Policy {
    /// The policy of `pcopy`.
    pub const NATIVE: Self = Self {
        existing: ExistingRules::Native,
        locks_target: true,
        resumes_leftovers: true,
        rereads_changed: true,
        stops_when_target_is_lost: true,
        dies_of_broken_pipe: false,
        private_until_owned: false,
        keeps_set_id: false,
        removes_extra_attributes: true,
        warns_of_lost_attributes: true,
        ignores_unsupported_acls: false,
        clones_under_sparse_always: false,
        links_newer_names: false,
        dir_over_file_with_backup: false,
        replaces_unwritable: true,
        writes_through_symlinks: false,
        backs_up_complete: false,
        declined_is_failure: false,
        announces_early: false,
        reports_loops_by_operand: false,
    };

    /// The policy of GNU `cp`.
    pub const GNU_CP: Self = Self {
        existing: ExistingRules::Gnu,
        locks_target: false,
        resumes_leftovers: false,
        rereads_changed: false,
        stops_when_target_is_lost: false,
        dies_of_broken_pipe: true,
        private_until_owned: true,
        keeps_set_id: true,
        removes_extra_attributes: false,
        warns_of_lost_attributes: false,
        ignores_unsupported_acls: true,
        clones_under_sparse_always: true,
        links_newer_names: true,
        dir_over_file_with_backup: true,
        replaces_unwritable: false,
        writes_through_symlinks: true,
        backs_up_complete: true,
        declined_is_failure: true,
        announces_early: true,
        reports_loops_by_operand: true,
    };

    /// Returns the policy of the program that the user started.
    pub fn of(compat: Compat) -> Self {
        match compat {
            Compat::Native => Self::NATIVE,
            Compat::Gnu => Self::GNU_CP,
        }
    }
}
