//! What every part of a copier needs to know of the run: one value, copied, never changed.

use super::Job;
use super::entry::attributes::Attrs;
use crate::ipc::memory::counters::StatusSlot;
use crate::ipc::memory::outbox::Outbox;
use crate::options::CopyOptions;
use crate::plan::Plan;
use crate::policy::Policy;
use std::ffi::CStr;

/// One copier's view of the run.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) job: &'a Job<'a>,
    /// Which of the copiers it is, from 0.
    pub(super) number: u16,
    /// Its own lines in shared memory: what it counts, and where it is.
    pub(super) status: StatusSlot<'a>,
    /// What it has begun and reported; outlives it.
    pub(super) outbox: Outbox<'a>,
    pub(super) attrs: Attrs,
}

impl<'a> Context<'a> {
    /// The view of copier `number`.
    pub(super) fn new(job: &'a Job<'a>, number: u16) -> Self {
        Self {
            job,
            number,
            status: job.counters.status(number),
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

    /// Whether the parent wants no more of this.
    pub(super) fn is_stopped(&self) -> bool {
        self.job.ring.is_stopped() || self.status.is_asked_to_stop()
    }

    pub(super) fn policy(&self) -> Policy {
        self.job.plan.policy
    }
}

/// What earlier rounds of this run have done with a name in the directory that the copier is in.
///
/// A round that follows a death goes through the tree again. What it finds there may be its own work,
/// and must not be taken for the user's file: no backup is made of it, and no question asked.
impl Context<'_> {
    /// The entry is done, counted and reported.
    pub(super) fn was_done(&self, name: &CStr) -> bool {
        !self.job.history.done.is_empty()
            && self.job.history.done.contains(&self.status.fingerprint_of(name))
    }

    /// A copier died that had begun the entry and had neither counted nor reported it.
    pub(super) fn was_begun(&self, name: &CStr) -> bool {
        self.is_among(self.job.history.begun, name)
    }

    /// The same, under the final name, which was free: what has that name is this run's, and half done.
    pub(super) fn was_begun_new(&self, name: &CStr) -> bool {
        self.is_among(self.job.history.begun_new, name)
    }

    /// The same, by writing into the existing file, which is half done.
    pub(super) fn was_begun_over(&self, name: &CStr) -> bool {
        self.is_among(self.job.history.begun_over, name)
    }

    /// This run has made the directory, under its final name.
    pub(super) fn was_made(&self, name: &CStr) -> bool {
        self.job.history.made.contains(&self.status.fingerprint_of(name))
            || self.was_begun_new(name)
    }

    /// Copiers died so often on this name that it is not tried again.
    pub(super) fn is_passed_over(&self, name: &CStr) -> bool {
        self.is_among(self.job.history.passed_over, name)
    }

    fn is_among(&self, fingerprints: &[u64], name: &CStr) -> bool {
        !fingerprints.is_empty() && fingerprints.contains(&self.status.fingerprint_of(name))
    }
}
