//! A copier: a forked child that takes tasks until there are none left.
//!
//! It has one thread, waits for nobody but an empty ring, and never prints: names and failures go
//! over its pipe, numbers into shared memory. It may be killed at any instruction; what it leaves
//! behind is then either whole or under a name (or with a time) that tells it is not.

mod agreed;
mod attrs;
mod backup;
mod check;
pub(crate) mod clean;
mod data;
pub(crate) mod dirs;
mod file;
mod folding;
mod hashing;
mod inplace;
mod instead;
mod large;
mod links;
mod meter;
mod names;
mod old;
pub(crate) mod pending;
mod reports;
mod rest;
mod share;
mod sink;
mod standing;
mod together;
mod verify;
mod walk;

use crate::ipc::abilities::Abilities;
use crate::ipc::counters::{Count, Counters, Desk};
use crate::ipc::firsts::Firsts;
use crate::ipc::groups::Groups;
use crate::ipc::hashed::Hashed;
use crate::ipc::large::Larges;
use crate::ipc::outbox::Outboxes;
use crate::ipc::putoff::PutOff;
use crate::ipc::ring::{SharedRing, TakeError};
use crate::ipc::seal::{self, unseal};
use crate::ipc::task::Task;
use crate::plan::Plan;
use crate::sys::file::{Identity, Stat};
use crate::sys::turns::Turns;
use check::Checker;
use reports::{ParentGone, Reports};
use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use walk::Walker;

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
    pub abilities: &'a Abilities,
    /// Who comes first to a file with several names; nothing where names become files of their
    /// own, or where links are being made.
    pub firsts: Option<&'a Firsts>,
    /// The names that are to become links, when all else is copied.
    pub groups: &'a Groups,
    /// The names that the user was asked for and agreed to, when all else is copied.
    pub agreed: &'a [PutOff],
    /// The digests of files that earlier rounds have found in the copy.
    pub hashed: &'a Hashed,
    /// Whether all questions have been answered.
    pub asked: bool,
    /// Whether it is the first round of its kind, and nobody has begun.
    pub is_first: bool,
    /// Directories that this run has made under their final names, by `Desk::mark_of`.
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
    /// Marks of places where copiers died too often to try again (see `Desk::mark_of`).
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

    /// Hands over a task, which is put together in `message`; false if there is no room for it.
    fn give(&self, desk: Desk<'_>, task: &Task<'_>, message: &mut Vec<u8>) -> bool {
        task.encode(message);
        self.push(desk, message)
    }

    /// Hands over a task that is packed already; false, and `message` is as before, if there is no
    /// room for it.
    fn push(&self, desk: Desk<'_>, message: &mut Vec<u8>) -> bool {
        seal::push(self.ring, desk, message).is_ok()
    }

    /// Whether a directory below an entry is on another file system, and only wanted as the place for
    /// that.
    fn is_left_out(&self, entry: u32, dir: &Stat) -> bool {
        self.plan.wishes.one_file_system
            && self
                .plan
                .entries
                .get(entry as usize)
                .is_some_and(|entry| entry.device != dir.identity().0)
    }
}

/// What a copier is made for: to copy, or to compare only.
trait Worker {
    /// Does a task and all that follows from it and is not handed over.
    fn carry_out(&mut self, task: Task<'_>) -> Result<(), ParentGone>;

    /// Sends all that was reported.
    fn flush_reports(&mut self) -> Result<(), ParentGone>;

    /// Which of the copiers it is, from 0.
    fn number(&self) -> u16;

    /// What it shares with the others.
    fn job(&self) -> &Job<'_>;

    /// Its own lines in shared memory.
    fn desk(&self) -> Desk<'_>;

    /// Whether the supervisor wants no more of this.
    fn is_stopped(&self) -> bool {
        self.job().ring.is_stopped() || self.desk().is_asked_to_stop()
    }

    /// Whether copiers died too often on this name in the directory that it is at.
    fn is_passed_over(&self, name: &CStr) -> bool {
        let marks = self.job().passed_over;
        !marks.is_empty() && marks.contains(&self.desk().mark_of(name))
    }
}

/// Works as copier `number` until the ring is closed or stopped; the exit status is returned.
pub fn run(job: Job<'_>, number: u16, pipe: OwnedFd) -> i32 {
    let reports = Reports::new(pipe, job.outboxes.get(number));
    let done = if job.plan.check.is_some() {
        work(&job, number, &mut Checker::new(job, number, reports))
    } else {
        work(&job, number, &mut Walker::new(job, number, reports))
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
fn work(job: &Job<'_>, number: u16, worker: &mut impl Worker) -> Result<(), ParentGone> {
    let desk = job.counters.desk(number);
    let mut message = Vec::new();
    while !desk.is_asked_to_stop() && take(job, worker, &mut message)? {
        // Bytes that nobody has sealed mean that somebody scribbled on the ring. Who leaves a ring
        // that is not closed ends the round, and the next one has another ring.
        let Some(task) = unseal(&message).and_then(Task::decode) else { break };
        worker.carry_out(task)?;
        desk.leave();
        if worker.is_stopped() {
            break; // the task is not done, so it must not be counted as done
        }
        desk.add(Count::Done, 1);
        job.ring.task_done();
    }
    worker.flush_reports()
}

/// The next task; false if there will be none. Reports are sent before the copier sleeps.
fn take(
    job: &Job<'_>,
    worker: &mut impl Worker,
    message: &mut Vec<u8>,
) -> Result<bool, ParentGone> {
    match job.ring.try_take(message) {
        Ok(()) => Ok(true),
        Err(TakeError::Empty) => {
            worker.flush_reports()?;
            Ok(job.ring.take(message).is_ok())
        }
        Err(_) => Ok(false),
    }
}
