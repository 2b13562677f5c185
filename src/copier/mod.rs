//! A copier: a forked child that takes tasks until there are none left.
//!
//! It has one thread, waits for nothing but an empty ring, and never prints: names and failures go over its
//! pipe, numbers into shared memory. It may be killed at any instruction; what it leaves behind is then either
//! complete, or has a name or a time by which the next run knows that it is not.

mod context;
mod dir_pair;
mod entry;
mod folding;
mod name_queue;
mod report_writer;
mod traverse;
pub(crate) mod visitors;

use crate::ipc::inherited::digests::Digests;
use crate::ipc::inherited::link_groups::Groups;
use crate::ipc::inherited::prompt::PendingPrompt;
use crate::ipc::memory::counters::{Count, Counters, StatusSlot};
use crate::ipc::memory::forecast::Forecast;
use crate::ipc::memory::fs_caps::FsCaps;
use crate::ipc::memory::inode_set::InodeSet;
use crate::ipc::memory::large_files::LargeFiles;
use crate::ipc::memory::outbox::Outboxes;
use crate::ipc::wire::frame_check::{self, strip_checksum};
use crate::ipc::wire::task::Task;
use crate::plan::Plan;
use context::Context;
use pcopy_ring::{SharedRing, TakeError};
use pcopy_sys::file::Identity;
use pcopy_sys::record_lock::RecordLocks;
use report_writer::{ParentGone, Reports};
use std::collections::HashSet;
use std::os::fd::OwnedFd;
use visitors::compare;
use visitors::copy::Copier;

/// What all copiers of a round share; made before the first fork.
///
/// It has one field for each thing that is shared, and so many fields: each has its own lifetime in the
/// parent, and code asks for one of them at a time.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// What is to be done.
    pub plan: &'a Plan,
    /// The ring that tasks come from and go to.
    pub ring: &'a SharedRing,
    /// The counters, and where each copier is.
    pub counters: &'a Counters,
    /// What copiers have reported and not yet sent.
    pub outboxes: &'a Outboxes,
    /// The large files that copiers help one another with.
    pub larges: &'a LargeFiles,
    /// What the file systems are known not to support.
    pub fs_caps: &'a FsCaps,
    /// The inodes of which a name was copied; none where names become files of their own, or where links are
    /// being made.
    pub inodes: Option<&'a InodeSet>,
    /// The names that become hard links; the links are made after everything else is copied.
    pub groups: &'a Groups,
    /// The names that the user was prompted for and agreed to; they are copied after everything else.
    pub agreed: &'a [PendingPrompt],
    /// The digests of files that earlier rounds have found in the copy.
    pub hashed: &'a Digests,
    /// Whether all prompts have been answered.
    pub asked: bool,
    /// The locks of inodes that several copiers may write to; none where each file has one writer.
    pub turns: Option<&'a RecordLocks>,
    /// The run's own target directories, which must not be copied into themselves.
    pub targets: &'a HashSet<Identity>,
    /// What earlier rounds have done.
    pub history: History<'a>,
    /// Whether permission bits do not bind this user.
    pub root: bool,
}

/// What earlier rounds of this run have done. Places are fingerprints (see `StatusSlot::fingerprint_of`).
#[derive(Clone, Copy)]
pub struct History<'a> {
    /// Whether this is the first round of its kind, and no copier has begun anything.
    pub is_first: bool,
    /// Operands of which nothing was created.
    pub failed: &'a HashSet<u32>,
    /// For each operand, whether the directory that it is staged in was created just before this round; empty
    /// in the rounds that follow.
    pub fresh: &'a [bool],
    /// Directories that were created under their final names.
    pub made: &'a HashSet<u64>,
    /// Entries that are done in directories that existed before the run, where that must be remembered.
    pub done: &'a HashSet<u64>,
    /// Entries that a copier had begun when it died, and had not reported.
    pub begun: &'a [u64],
    /// Those of them that it was creating under their final names, which were free.
    pub begun_new: &'a [u64],
    /// Those of them where it was writing into the existing file.
    pub begun_over: &'a [u64],
    /// Places where copiers died too often to try again.
    pub passed_over: &'a [u64],
}

impl Job<'_> {
    /// Whether copiers are hungry: the ring holds fewer tasks than there are other copiers. For a lone copier
    /// it never is so.
    fn is_hungry(&self) -> bool {
        let others = usize::from(self.counters.active().saturating_sub(1));
        self.ring.len() < others.min(self.ring.capacity() / 2)
    }

    /// Encodes a task into the buffer `message` and pushes it, for another copier; false if the ring is full.
    fn give(&self, status: StatusSlot<'_>, task: &Task<'_>, message: &mut Vec<u8>) -> bool {
        task.encode(message);
        self.push(status, message)
    }

    /// Hands over a task that is encoded already; false, and `message` is unchanged, if the ring is full.
    fn push(&self, status: StatusSlot<'_>, message: &mut Vec<u8>) -> bool {
        frame_check::push_task(self.ring, status, message).is_ok()
    }
}

/// What a copier is made for: to copy, or to compare only.
trait Worker {
    /// Does a task and all that follows from it and is not handed over.
    fn run_task(&mut self, task: Task<'_>) -> Result<(), ParentGone>;

    /// Sends all that was reported.
    fn flush_reports(&mut self) -> Result<(), ParentGone>;
}

/// Works as copier `number` until the ring is closed or stopped; the exit status is returned.
pub fn run(job: Job<'_>, number: u16, pipe: OwnedFd) -> i32 {
    let cx = Context::new(&job, number);
    let reports = Reports::new(pipe, cx.outbox);
    let done = if job.plan.check.is_some() {
        work(cx, &mut *compare::worker(cx, reports))
    } else {
        work(cx, &mut Copier::new(cx, reports))
    };
    match done {
        Ok(()) => 0,
        Err(ParentGone) => 1, // there is no process left to report to
    }
}

/// Counts what there is to copy, and publishes the counts in `forecast`; 0 is returned, or 1 if the count did
/// not come to its end.
///
/// `job` is of this process alone: it has one copier, which never finds its ring hungry and hands nothing
/// over. `pipe` is for reports, of which there are none.
pub fn count(job: Job<'_>, pipe: OwnedFd, forecast: &Forecast) -> i32 {
    let cx = Context::new(&job, 0);
    match visitors::count::count(cx, Reports::new(pipe, cx.outbox), forecast) {
        Ok(()) => 0,
        Err(ParentGone) => 1,
    }
}

/// Takes tasks until the ring is closed or stopped.
///
/// An entry that cannot be copied is a report, not an error. The only error is a parent that no
/// longer listens.
fn work(cx: Context<'_>, worker: &mut dyn Worker) -> Result<(), ParentGone> {
    let (job, status) = (cx.job, cx.status);
    let mut message = Vec::new();
    while !status.is_asked_to_stop() && take(job, worker, &mut message)? {
        // A checksum that does not fit means that the ring was scribbled on. A copier that leaves a ring
        // which is not closed ends the round, and the next round has another ring.
        let Some(task) = strip_checksum(&message).and_then(Task::decode) else { break };
        worker.run_task(task)?;
        status.leave();
        if cx.is_stopped() {
            break; // the task is not done, so it must not be counted as done
        }
        status.add(Count::TasksDone, 1);
        job.ring.task_done();
    }
    worker.flush_reports()
}

/// The next task; false if there will be none. Reports are sent before the copier sleeps.
fn take(job: &Job<'_>, worker: &mut dyn Worker, message: &mut Vec<u8>) -> Result<bool, ParentGone> {
    match job.ring.try_take(message) {
        Ok(()) => Ok(true),
        Err(TakeError::Empty) => {
            worker.flush_reports()?;
            Ok(job.ring.take(message).is_ok())
        }
        Err(_) => Ok(false),
    }
}
