//! A copier: a forked child that takes tasks until there are none left.
//!
//! It has one thread, waits for nobody but an empty ring, and never prints: names and failures go
//! over its pipe, numbers into shared memory. It may be killed at any instruction; what it leaves
//! behind is then either whole or under a name (or with a time) that tells it is not.

pub(crate) mod clean;
mod context;
pub(crate) mod dir_pair;
mod entry;
mod folding;
mod name_queue;
mod park;
mod report_writer;
mod traverse;
pub(crate) mod visitors;

use crate::ipc::inherited::digests::Hashed;
use crate::ipc::inherited::link_groups::Groups;
use crate::ipc::inherited::prompt::PendingPrompt;
use crate::ipc::memory::counters::{Count, Counters, StatusSlot};
use crate::ipc::memory::fs_caps::FsCaps;
use crate::ipc::memory::inode_set::InodeSet;
use crate::ipc::memory::large_files::Larges;
use crate::ipc::memory::outbox::Outboxes;
use crate::ipc::wire::frame_check::{self, unseal};
use crate::ipc::wire::task::Task;
use crate::plan::Plan;
use context::Context;
use entry::attributes::Attrs;
use pcopy_ring::{SharedRing, TakeError};
use pcopy_sys::file::Identity;
use pcopy_sys::turns::Turns;
use report_writer::{ParentGone, Reports};
use std::collections::HashSet;
use std::os::fd::OwnedFd;
use visitors::compare;
use visitors::copy::Copier;

/// What all copiers of a round share; made before the first fork.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// What is to be done.
    pub plan: &'a Plan,
    /// Where work comes from and goes to.
    pub ring: &'a SharedRing,
    /// Where it is counted.
    pub counters: &'a Counters,
    /// Where what is said is kept until it has been sent.
    pub outboxes: &'a Outboxes,
    /// The large files that copiers help one another with.
    pub larges: &'a Larges,
    /// What the file systems are known not to be able to do.
    pub fs_caps: &'a FsCaps,
    /// Who comes first to a file with several names; nothing where names become files of their
    /// own, or where links are being made.
    pub inodes: Option<&'a InodeSet>,
    /// The names that are to become links, when all else is copied.
    pub groups: &'a Groups,
    /// The names that the user was asked for and agreed to, when all else is copied.
    pub agreed: &'a [PendingPrompt],
    /// The digests of files that earlier rounds have found in the copy.
    pub hashed: &'a Hashed,
    /// Whether all questions have been answered.
    pub asked: bool,
    /// Whether it is the first round of its kind, and nobody has begun.
    pub is_first: bool,
    /// Directories that this run has made under their final names, by `StatusSlot::mark_of`.
    pub made: &'a HashSet<u64>,
    /// Entries of the plan of which nothing was made.
    pub failed: &'a HashSet<u32>,
    /// Where copiers wait that write into one file; nothing where each makes files of its own.
    pub turns: Option<&'a Turns>,
    /// The run's own targets, which must not be copied into themselves.
    pub targets: &'a HashSet<Identity>,
    /// For each of the plan's entries, whether the directory that it is staged in was made just
    /// before this round; nothing in the rounds that follow.
    pub fresh: &'a [bool],
    /// Marks of places where copiers died too often to try again (see `StatusSlot::mark_of`).
    pub passed_over: &'a [u64],
    /// Marks of entries that are done in directories that stood there, where that must be remembered.
    pub done: &'a HashSet<u64>,
    /// Marks of places where a copier died with an entry that was begun and not settled.
    pub begun: &'a [u64],
    /// Those of them that were made under their final names, which were free.
    pub begun_new: &'a [u64],
    /// Those of them where what stood there was written into.
    pub begun_over: &'a [u64],
    /// Whether permission bits do not bind us.
    pub root: bool,
}

impl Job<'_> {
    /// Whether the ring holds less than one task for each of the other copiers. A lone copier is
    /// never hungry.
    fn is_hungry(&self) -> bool {
        let others = usize::from(self.counters.active().saturating_sub(1));
        self.ring.len() < others.min(self.ring.capacity() / 2)
    }

    /// OwnerResult over a task, which is put together in `message`; false if there is no room for it.
    fn give(&self, status: StatusSlot<'_>, task: &Task<'_>, message: &mut Vec<u8>) -> bool {
        task.encode(message);
        self.push(status, message)
    }

    /// OwnerResult over a task that is packed already; false, and `message` is as before, if there is no
    /// room for it.
    fn push(&self, status: StatusSlot<'_>, message: &mut Vec<u8>) -> bool {
        frame_check::push(self.ring, status, message).is_ok()
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
    let cx = Context {
        job: &job,
        number,
        status: job.counters.status(number),
        outbox: job.outboxes.get(number),
        attrs: Attrs::new(job.plan),
    };
    let reports = Reports::new(pipe, cx.outbox);
    let done = if job.plan.check.is_some() {
        work(cx, &mut *compare::worker(cx, reports))
    } else {
        work(cx, &mut Copier::new(cx, reports))
    };
    match done {
        Ok(()) => 0,
        Err(ParentGone) => 1, // nobody is left to tell
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
        // Bytes that nobody has sealed mean that somebody scribbled on the ring. Who leaves a ring
        // that is not closed ends the round, and the next one has another ring.
        let Some(task) = unseal(&message).and_then(Task::decode) else { break };
        worker.run_task(task)?;
        status.leave();
        if cx.is_stopped() {
            break; // the task is not done, so it must not be counted as done
        }
        status.add(Count::Done, 1);
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
