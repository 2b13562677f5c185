//! What the two command lines do differently where no option decides, as fields that name the behaviour.
//!
//! `pcopy`, and pcopy started as `cp`, are one engine. Where scripts rely on a behaviour of GNU cp, it has a field
//! here; only `cli`, `plan` and `ui` know which program the user has started. The reference for cp is its
//! manual and the source of coreutils 9; the reasons for the native values are beside them. Two rules differ too
//! much for fields and are pairs of modules: the targets of operands, and what becomes of an existing file
//! ([`ExistingRules`]).

use crate::options::Compat;

/// How a run behaves where no option decides.
///
/// One field for each difference, and so many fields: code asks for one of them at a time.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The rules for existing files.
    pub existing: ExistingRules,
    /// Other runs are kept out of the target directories by locks, and out of each file while it is written. cp
    /// locks nothing.
    pub locks_target: bool,
    /// What a killed run has left is resumed or removed, and nothing is left that a later run would take for
    /// complete. For cp, everything in the target belongs to the user.
    pub resumes_leftovers: bool,
    /// A file that changed while it was read is read once more. cp does not: scripts copy growing log files
    /// as they are.
    pub rereads_changed: bool,
    /// The run ends when the target file system is full, read-only or failing. cp tries every further file.
    pub stops_when_target_is_lost: bool,
    /// A file whose ownership is to be preserved is created without permissions for group and others, even if its
    /// owner turns out to be right.
    pub private_until_owned: bool,
    /// Set-id bits are preserved even if ownership could not be.
    pub keeps_set_id: bool,
    /// An existing file that is written into loses the extended attributes that its source does not have, so that
    /// it becomes identical. cp leaves them.
    pub removes_extra_attributes: bool,
    /// With `--sparse=always` a file may be cloned, although the clone has only the holes of its source.
    pub clones_under_sparse_always: bool,
    /// An existing file that `--update` would skip may be replaced by a hard link that its source has.
    pub links_newer_names: bool,
    /// A directory replaces an existing file if that is backed up.
    pub dir_over_file_with_backup: bool,
    /// An existing file that cannot be opened for writing is replaced even without `--force`.
    pub replaces_unwritable: bool,
    /// Existing symbolic links to files are followed and written through, so two names in the target may be one
    /// file, which two copiers must not write at the same time.
    pub writes_through_symlinks: bool,
    /// An existing file is backed up before it becomes a link, even if it is up to date.
    pub backs_up_complete: bool,
    /// A declined prompt makes the run fail, as in cp since coreutils 9.2.
    pub declined_is_failure: bool,
    /// `--verbose` reports a directory when it is created, and another entry even if copying it fails: not only
    /// what is complete.
    pub announces_early: bool,
    /// A directory that would be copied into itself is reported by its operand, not by the path at which the
    /// copier met it.
    pub reports_loops_by_operand: bool,
}

/// The rules for existing files; each is a module of `copier`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExistingRules {
    /// Replace files that differ, by a rename unless `--inplace` is given.
    Native,
    /// Those of GNU cp 9, in its order.
    Gnu,
}

impl Policy {
    /// That of `pcopy`.
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

    /// That of GNU `cp`.
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
