//! What the modules of a copier need to know of the run: the [`Context`]. It never changes, so each value
//! that needs it holds a copy.

use super::Job;
use super::entry::attributes::Attrs;
use crate::copier::dir_pair::DirPair;
use crate::ipc::memory::counters::StatusSlot;
use crate::ipc::memory::fs_caps::{Capability, Pair};
use crate::ipc::memory::outbox::Outbox;
use crate::options::CopyOptions;
use crate::plan::Plan;
use crate::policy::Policy;
use pcopy_sys::file::Kind;
use std::ffi::CStr;

/// One copier's view of the run.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) job: &'a Job<'a>,
    /// The number of this copier, from 0.
    pub(super) number: u16,
    /// This copier's part of the shared memory: its counts, and the entry that it is working on.
    pub(super) status: StatusSlot<'a>,
    /// This copier's outbox: reports that the parent may not have received yet, and whether the entry in
    /// progress was begun. It outlives the copier.
    pub(super) outbox: Outbox<'a>,
    pub(super) attrs: Attrs<'a>,
}

impl<'a> Context<'a> {
    /// Whether this round finds out what only the target has.
    pub(super) fn looks_for_extraneous(&self) -> bool {
        let options = self.options();
        let removed_before = options.deletes_before() && !self.is_dry();
        self.plan().check.is_some()
            || options.deletion.is_some() && !options.applies && !removed_before
    }

    /// Whether this round changes nothing.
    fn is_dry(&self) -> bool {
        self.job.looks || self.options().dry_run
    }

    /// Whether an entry of another type that is in the way in this directory of the target may be removed at the end
    /// (`--delete`), and the entry copied then.
    pub(super) fn may_hold_back(&self, dirs: &DirPair) -> bool {
        let (plan, options) = (self.plan(), self.options());
        self.looks_for_extraneous()
            && plan.check.is_none()
            && !options.plans // a plan says of each entry one thing
            && !self.job.prompts_answered
            && !dirs.staged
            && !dirs.contended
    }

    /// Returns the view of copier `number`.
    pub(super) fn new(job: &'a Job<'a>, number: u16) -> Self {
        Self {
            job,
            number,
            status: job.counters.status(number).of_copier_in(job.in_parent),
            outbox: job.outboxes.get(number),
            attrs: Attrs::new(job.plan),
        }
    }

    pub(super) fn plan(&self) -> &'a Plan {
        self.job.plan
    }

    pub(super) fn options(&self) -> &'a CopyOptions {
        &self.job.plan.options
    }

    /// Whether this copier must stop: the ring was stopped, or the parent has asked this copier to stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.job.ring.is_stopped() || self.status.is_asked_to_stop()
    }

    pub(super) fn policy(&self) -> Policy {
        self.job.plan.policy
    }

    /// Whether copiers have found that the target file system `device` does not support this.
    pub(super) fn lacks(&self, device: u64, capability: Capability) -> bool {
        self.job.fs_caps.lacks(Pair::alone(device), capability)
    }

    /// Notes for all copiers that the target file system does not support this.
    pub(super) fn note_lack(&self, device: u64, capability: Capability) {
        self.job.fs_caps.note_lack(Pair::alone(device), capability);
    }

    /// Whether entries of this type on the target file system `device` keep the times of their creation,
    /// because copiers have found that the system refuses to set others.
    pub(super) fn refuses_times(&self, device: u64, kind: Kind) -> bool {
        self.lacks(device, times_of(kind))
    }

    /// Notes for all copiers that the target file system refuses times for entries of this type.
    pub(super) fn note_refused_times(&self, device: u64, kind: Kind) {
        self.note_lack(device, times_of(kind));
    }
}

fn times_of(kind: Kind) -> Capability {
    if kind == Kind::Symlink { Capability::SymlinkTimes } else { Capability::Times }
}

/// What earlier rounds of this run have done with a name in the directory that the copier is in.
///
/// A round that follows a death visits the whole tree again. An entry that the round finds in the target may
/// be the work of an earlier round. A copier must not take such an entry for the user's file: it must neither
/// back up the entry nor prompt for it.
impl Context<'_> {
    /// Whether the entry is done, counted and reported. Always false unless the options make the parent
    /// remember done entries.
    pub(super) fn was_done(&self, name: &CStr) -> bool {
        !self.job.history.done.is_empty()
            && self.job.history.done.contains(&self.status.fingerprint_of(name))
    }

    /// Whether a copier died after it had begun the entry, and before it had counted or reported the entry.
    pub(super) fn was_begun(&self, name: &CStr) -> bool {
        self.is_among(self.job.history.begun, name)
    }

    /// Like [`was_begun`](Self::was_begun), but the copier was creating the entry under its final name, which
    /// did not exist before. So the existing entry is this run's work, and may be incomplete.
    pub(super) fn was_begun_new(&self, name: &CStr) -> bool {
        self.is_among(self.job.history.begun_new, name)
    }

    /// Like [`was_begun`](Self::was_begun), but the copier was writing into the existing file, which may be
    /// incomplete.
    pub(super) fn was_begun_in_place(&self, name: &CStr) -> bool {
        self.is_among(self.job.history.begun_in_place, name)
    }

    /// Whether this run has created the directory, under its final name.
    pub(super) fn was_made(&self, name: &CStr) -> bool {
        self.job.history.made.contains(&self.status.fingerprint_of(name))
            || self.was_begun_new(name)
    }

    /// Whether copiers skip this name, because too many of them died while they worked on it. An empty name
    /// means the directory itself.
    pub(super) fn is_passed_over(&self, name: &CStr) -> bool {
        self.is_among(self.job.history.passed_over, name)
    }

    fn is_among(&self, fingerprints: &[u64], name: &CStr) -> bool {
        !fingerprints.is_empty() && fingerprints.contains(&self.status.fingerprint_of(name))
    }
}
