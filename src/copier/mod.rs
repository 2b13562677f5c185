//! A copier: a process that the parent has forked. It takes tasks until none is left.
//!
//! A copier has one thread and never prints. It sends names and failures to the parent through its pipe, and
//! counts in shared memory. If the ring is empty, it sends its reports and waits for a task. It may be killed
//! at any instruction. Each file or directory that it leaves behind is then complete, or has a name or a time
//! by which the next run recognises it as incomplete.

mod context;
mod dir_pair;
mod entry;
mod extraneous;
mod folding;
mod name_queue;
mod report_writer;
mod retry;
mod traverse;
pub(crate) mod visitors;

use crate::ipc::in_parent::InParent;
use crate::ipc::inherited::built_dirs::BuiltDirs;
use crate::ipc::inherited::digests::Digests;
use crate::ipc::inherited::link_groups::Groups;
use crate::ipc::inherited::prompt::PendingPrompt;
use crate::ipc::inherited::removals::Removals;
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
use pcopy_sys::record_lock::RecordLocks;
use report_writer::{Outlet, ParentGone, ReportWriter};
use std::collections::HashSet;
use std::os::fd::OwnedFd;
use visitors::copy::CopyWorker;
use visitors::{compare, dry_run, remove};

/// What all copiers of a round share; created before the first fork.
///
/// Each shared thing has a field of its own, because each has its own lifetime in the parent, and code uses
/// one of them at a time.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    /// What to copy where.
    pub plan: &'a Plan,
    /// The ring: copiers take tasks from it and push tasks into it.
    pub ring: &'a SharedRing,
    /// The counters, and the entry that each copier is working on.
    pub counters: &'a Counters,
    /// The outboxes: reports that copiers have made and the parent may not have received yet.
    pub outboxes: &'a Outboxes,
    /// The large files that copiers copy, hash or compare together.
    pub large_files: &'a LargeFiles,
    /// What the file systems do not support, as far as copiers have found out.
    pub fs_caps: &'a FsCaps,
    /// The inodes of which copiers have begun to copy one name; their other names become hard links to the
    /// copy of that name. `None` if hard links are not preserved, and in rounds that make the links or verify
    /// the copy.
    pub inodes: Option<&'a InodeSet>,
    /// Groups of names, one group for each inode that has several names. Copiers make the hard links of these
    /// groups after everything else is copied.
    pub groups: &'a Groups,
    /// The existing files that the user has agreed to replace. They are replaced after everything else is
    /// copied.
    pub agreed: &'a [PendingPrompt],
    /// What is to be removed, if this is a round that removes: then the parent has judged the list.
    pub removals: &'a Removals,
    /// Whether this round removes what only the target has.
    pub removes: bool,
    /// Whether the round only finds out what the run would do.
    pub looks: bool,
    /// The size of the blocks of the target, in bytes, if the round changes nothing and it is known; otherwise 1.
    pub block: u64,
    /// The digests that copiers of earlier rounds have reported, for files that are in the copy.
    pub digests: &'a Digests,
    /// Whether the prompts of this wave are over: copiers must not request another prompt.
    pub prompts_answered: bool,
    /// The locks of inodes that several copiers may write to; `None` if each file has only one writer.
    pub inode_locks: Option<&'a RecordLocks>,
    /// The directories that this run builds, which must not become sources.
    pub built_dirs: &'a BuiltDirs,
    /// The parent process, if the copier works inside it and not in a process of its own.
    pub in_parent: Option<&'a dyn InParent>,
    /// What earlier rounds have done.
    pub history: History<'a>,
    /// Whether the user is root, for whom permission bits are no restriction.
    pub is_root: bool,
}

/// What earlier rounds of this run have done. A `u64` is the fingerprint of an entry's place (see
/// `StatusSlot::fingerprint_of`).
#[derive(Clone, Copy)]
pub(crate) struct History<'a> {
    /// Whether this is the first round of its phase, so that no copier has begun anything in this phase.
    pub is_first: bool,
    /// The numbers of the operands of which nothing was copied.
    pub failed: &'a HashSet<u32>,
    /// For each operand, whether the parent created its target directory just before this round; empty in the
    /// later rounds of a phase.
    pub fresh: &'a [bool],
    /// Directories that this run has created under their final names.
    pub made: &'a HashSet<u64>,
    /// Entries that are done and are in directories that existed before the run. The parent fills this set
    /// only if the options require that (`CopyOptions::must_remember`).
    pub done: &'a HashSet<u64>,
    /// Entries that a copier had begun, and had neither counted nor reported, when it died.
    pub begun: &'a [u64],
    /// Those of `begun` that the copier was creating under final names that did not exist before.
    pub begun_new: &'a [u64],
    /// Those of `begun` where the copier was writing into the existing file.
    pub begun_in_place: &'a [u64],
    /// Entries at which so many copiers died that copiers now skip them.
    pub passed_over: &'a [u64],
}

impl Job<'_> {
    /// Whether the ring is hungry: it holds fewer tasks than there are other copiers, so one of them may soon
    /// have no task. Never true if there is only one copier.
    fn is_hungry(&self) -> bool {
        let others = usize::from(self.counters.active().saturating_sub(1));
        self.ring.len() < others.min(self.ring.capacity() / 2)
    }

    /// Pushes a task into the ring, for another copier; `message` is the buffer for the encoded task. Returns
    /// false if the ring is full.
    fn give(&self, status: StatusSlot<'_>, task: &Task<'_>, message: &mut Vec<u8>) -> bool {
        task.encode(message);
        self.push(status, message)
    }

    /// Pushes an encoded task into the ring, for another copier. Returns false if the ring is full; then
    /// `message` is unchanged.
    fn push(&self, status: StatusSlot<'_>, message: &mut Vec<u8>) -> bool {
        frame_check::push_task(self.ring, status, message).is_ok()
    }
}

/// What a copier does with its tasks: it copies, compares or removes.
trait Worker {
    /// Does a task, and everything that follows from the task and is not handed over.
    fn run_task(&mut self, task: Task<'_>) -> Result<(), ParentGone>;

    /// Sends all reports that are still buffered.
    fn flush_reports(&mut self) -> Result<(), ParentGone>;
}

/// Works as copier `number` until the ring is closed or stopped. Returns the exit status.
pub(crate) fn run(job: Job<'_>, number: u16, pipe: OwnedFd) -> i32 {
    match work_through(&job, number, Outlet::Pipe(pipe)) {
        Ok(()) => 0,
        Err(ParentGone) => 1, // the parent is gone, so no process could receive a report
    }
}

/// Works as the only copier, inside the parent process, until the ring is closed or stopped.
pub(crate) fn run_in_parent(job: Job<'_>, parent: &dyn InParent) {
    let job = Job { in_parent: Some(parent), ..job };
    match work_through(&job, 0, Outlet::Parent(parent)) {
        Ok(()) | Err(ParentGone) => {} // the parent is this process
    }
}

fn work_through(job: &Job<'_>, number: u16, outlet: Outlet<'_>) -> Result<(), ParentGone> {
    let cx = Context::new(job, number);
    let reports = ReportWriter::new(outlet, cx.outbox);
    if job.removes {
        work(cx, &mut *remove::worker(cx, reports))
    } else if job.plan.check.is_some() {
        work(cx, &mut *compare::worker(cx, reports))
    } else if job.looks || job.plan.options.dry_run {
        work(cx, &mut *dry_run::worker(cx, reports))
    } else {
        work(cx, &mut CopyWorker::new(cx, reports))
    }
}

/// Counts the entries and bytes that there are to copy, and publishes the counts in `forecast`. Returns the
/// exit status: 0, or 1 if the count is not complete.
///
/// `job` belongs to this process alone. The process is the only copier of the job, so it never finds the ring
/// hungry and hands nothing over. It makes no reports, so nothing is sent through `pipe`.
pub(crate) fn count(job: Job<'_>, pipe: OwnedFd, forecast: &Forecast) -> i32 {
    let cx = Context::new(&job, 0);
    let reports = ReportWriter::new(Outlet::Pipe(pipe), cx.outbox);
    match visitors::count::count(cx, reports, forecast) {
        Ok(()) => 0,
        Err(ParentGone) => 1,
    }
}

/// Takes tasks until the ring is closed or stopped.
///
/// An entry that cannot be copied leads to a report, not to an error. The only error is that the parent is
/// gone.
fn work(cx: Context<'_>, worker: &mut dyn Worker) -> Result<(), ParentGone> {
    let (job, status) = (cx.job, cx.status);
    let mut message = Vec::new();
    while !status.is_asked_to_stop() && take(job, worker, &mut message)? {
        // A wrong checksum means that a stray write has damaged the ring. If a copier leaves a ring that is
        // not closed, the round ends, and the next round has a new ring.
        let Some(task) = strip_checksum(&message).and_then(Task::decode) else { break };
        worker.run_task(task)?;
        status.leave();
        if cx.is_stopped() {
            break; // the task is not finished, so it must not be counted as done
        }
        status.add(Count::TasksDone, 1);
        job.ring.task_done();
    }
    worker.flush_reports()
}

/// Takes the next task; returns false if there will be none. Sends all reports before the copier sleeps.
fn take(job: &Job<'_>, worker: &mut dyn Worker, message: &mut Vec<u8>) -> Result<bool, ParentGone> {
    match job.ring.try_take(message) {
        Ok(()) => Ok(true),
        Err(TakeError::Empty) => {
            worker.flush_reports()?;
            // Inside the parent process, no other copier is left that could push a task.
            Ok(job.in_parent.is_none() && job.ring.take(message).is_ok())
        }
        Err(_) => Ok(false),
    }
}
