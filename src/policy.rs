//! What the two command lines want differently, as fields that say *what* is wanted.
//!
//! pcopy under its own name and pcopy started as `cp` are one engine. Where GNU cp's users rely on
//! another behaviour, that behaviour has a field here; which program the user believes to have started
//! is known in `cli`, `plan` and the messages alone. Two pairs of modules are too different for fields:
//! the placement of operands, and the decision on an existing file (`ExistingRules`).

use crate::options::Compat;

/// How a run behaves where its options do not say it.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Whose rules decide what becomes of an existing destination file.
    pub existing: ExistingRules,
    /// The target directory is locked against other runs, and each file while it is written.
    pub locks_target: bool,
    /// What a killed run has left is used or removed, and nothing is left that a later run would take
    /// for complete.
    pub resumes_leftovers: bool,
    /// A file that changed while it was read is read once more. cp does not: scripts copy logs that
    /// grow, as far as they have come.
    pub rereads_changed: bool,
    /// The run ends when the target is full, read-only or broken. cp tries every further file.
    pub stops_when_target_is_lost: bool,
    /// A file whose owner is to be set is created for its owner alone, even where the owner will turn out
    /// to be right.
    pub private_until_owned: bool,
    /// Set-id bits are kept even where the copy belongs to another user than the source.
    pub keeps_set_id: bool,
    /// An existing file that is written into loses the extended attributes that its source does not have.
    pub removes_extra_attributes: bool,
    /// `--sparse=always` may be satisfied by a clone, which has the holes of its source only.
    pub clones_under_sparse_always: bool,
    /// `--update` does not keep an existing name from becoming a link to the other names of its source.
    pub links_newer_names: bool,
    /// A directory may take the place of an existing file that is backed up.
    pub dir_over_file_with_backup: bool,
    /// An existing file that cannot be opened for writing is replaced, without `--force`, too.
    pub replaces_unwritable: bool,
    /// Existing files are written into through symbolic links, so two names in the target may be one file
    /// that two copiers want to write.
    pub writes_through_symlinks: bool,
    /// An existing file that is complete already is backed up all the same before it becomes a link.
    pub backs_up_complete: bool,
    /// A prompt that is declined makes the run fail.
    pub declined_is_failure: bool,
    /// `--verbose` reports a directory when it is made, and another entry even if copying it fails: not
    /// only what is complete.
    pub announces_early: bool,
    /// A directory that would be copied into itself is reported by its operand, not by the path at which the
    /// copier met it.
    pub reports_loops_by_operand: bool,
}

/// The rules for existing destination files; each is a module of `copier`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExistingRules {
    /// Replace what differs, by a rename unless `--inplace` is given.
    Native,
    /// GNU cp 9's rules, in its order.
    Gnu,
}

impl Policy {
    /// Started as `pcopy`.
    pub const NATIVE: Self = Self {
        existing: ExistingRules::Native,
        locks_target: true,
        resumes_leftovers: true,
        rereads_changed: true,
        stops_when_target_is_lost: true,
        private_until_owned: false,
        keeps_set_id: false,
        removes_extra_attributes: true,
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

    /// Started as `cp`.
    pub const GNU_CP: Self = Self {
        existing: ExistingRules::Gnu,
        locks_target: false,
        resumes_leftovers: false,
        rereads_changed: false,
        stops_when_target_is_lost: false,
        private_until_owned: true,
        keeps_set_id: true,
        removes_extra_attributes: false,
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

    /// The policy of the program that the user has started.
    pub fn of(compat: Compat) -> Self {
        match compat {
            Compat::Native => Self::NATIVE,
            Compat::Gnu => Self::GNU_CP,
        }
    }
}
