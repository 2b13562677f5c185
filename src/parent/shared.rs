//! The memory that the copiers of a round share with the parent and with each other.

use super::run_state::RunState;
use super::target_lock::TargetLock;
use crate::copier::{History, Job};
use crate::error::Unavailable;
use crate::hash::Algorithm;
use crate::ipc::inherited::link_groups::Groups;
use crate::ipc::memory::counters::Counters;
use crate::ipc::memory::fs_caps::FsCaps;
use crate::ipc::memory::inode_set::InodeSet;
use crate::ipc::memory::large_files::LargeFiles;
use crate::ipc::memory::outbox::Outboxes;
use crate::ipc::wire::task::Task;
use crate::options::{CopyMode, Links};
use crate::plan::{Check, Plan};
use pcopy_ring::SharedRing;
use pcopy_sys::process;
use pcopy_sys::record_lock::RecordLocks;
use pcopy_sys::statfs;

/// The ring and the other shared memory of one round. The parent creates them before the first fork.
pub(super) struct Shared {
    pub(super) ring: SharedRing,
    pub(super) counters: Counters,
    pub(super) outboxes: Outboxes,
    pub(super) large_files: LargeFiles,
    pub(super) fs_caps: FsCaps,
    /// The inodes with several names that copiers have begun to copy; `None` if names do not become links in
    /// this round.
    pub(super) inodes: Option<InodeSet>,
    pub(super) inode_locks: Option<RecordLocks>,
}

impl Shared {
    /// Creates the memory for a round that begins with the task `first`.
    ///
    /// `earlier` has the names that earlier waves (groups of operands that are copied together) have copied.
    /// If this round finds further names of these files, copiers defer them, and they become links to the
    /// earlier names.
    pub(super) fn create(
        plan: &Plan,
        first: &Task<'_>,
        earlier: &Groups,
    ) -> Result<Self, Unavailable> {
        let out_of_memory = |what| move |source| Unavailable { what, source };
        let ring = SharedRing::create().map_err(out_of_memory("create the ring"))?;
        let counters = Counters::create(plan.jobs).map_err(out_of_memory("create the counters"))?;
        let outboxes = Outboxes::create(plan.jobs).map_err(out_of_memory("create the outboxes"))?;
        let may_guess = matches!(plan.check, Some(Check::Manifest(_)));
        let hashes_chunks = plan.options.hash.map_or(may_guess, Algorithm::is_tree);
        let large_files = LargeFiles::create(plan.jobs, hashes_chunks)
            .map_err(out_of_memory("create the table of large files"))?;
        let fs_caps =
            FsCaps::create().map_err(out_of_memory("create the table of file systems"))?;
        let makes_files =
            matches!(plan.options.copy_mode, CopyMode::Copy | CopyMode::AttributesOnly);
        let keeps_links = plan.options.preserve.links != Links::No && makes_files;
        let finds_links =
            !matches!(first, Task::Links { .. } | Task::Verify { .. } | Task::Remove { .. });
        let inodes = (keeps_links && finds_links).then(InodeSet::create).transpose();
        let inode_locks = plan.options.in_place.then(RecordLocks::create).transpose();
        let inode_locks = inode_locks.map_err(Unavailable::because("create the record locks"))?;
        let inodes = inodes.map_err(out_of_memory("create the table of links"))?;
        if let Some(inodes) = &inodes {
            for identity in earlier.identities() {
                inodes.insert(identity); // so copiers defer all further names of this file
            }
        }
        Ok(Self { ring, counters, outboxes, large_files, fs_caps, inodes, inode_locks })
    }

    /// Returns the job of the copiers that share this memory. The fields `is_first`, `fresh` and
    /// `prompts_answered` have the values for the first round of the first phase, without a directory that
    /// was just created; the caller changes them if necessary.
    pub(super) fn job<'a>(
        &'a self,
        plan: &'a Plan,
        lock: &'a TargetLock,
        state: &'a RunState,
    ) -> Job<'a> {
        Job {
            plan,
            ring: &self.ring,
            counters: &self.counters,
            outboxes: &self.outboxes,
            large_files: &self.large_files,
            fs_caps: &self.fs_caps,
            inodes: self.inodes.as_ref(),
            groups: &state.links.groups,
            agreed: &state.prompts.agreed,
            digests: &state.digests,
            removals: &state.removals,
            removes: false,
            looks: state.looks,
            block: block_of(plan, state),
            prompts_answered: false,
            inode_locks: self.inode_locks.as_ref(),
            built_dirs: &lock.built_dirs,
            in_parent: None,
            history: History {
                is_first: true,
                failed: &state.failed,
                fresh: &[],
                made: &state.made,
                done: &state.done,
                begun: &state.deaths.begun,
                begun_new: &state.deaths.begun_new,
                begun_in_place: &state.deaths.begun_in_place,
                passed_over: &state.deaths.passed_over,
            },
            is_root: process::is_root(),
        }
    }
}

/// Returns [`Job::block`].
fn block_of(plan: &Plan, state: &RunState) -> u64 {
    let operand = plan.operands.first().filter(|_| plan.options.dry_run || state.looks);
    operand.and_then(|operand| statfs::block_bytes(plan.target_dir(operand))).unwrap_or(1)
}
