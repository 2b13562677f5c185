//! A round: one ring and its copiers, from the first fork to the last exit.

use super::autoscale::{Autoscale, Sample};
use super::pool::{Copier, Pool, READ_BYTES};
use super::position::weight;
use super::shared::Shared;
use crate::error::Unavailable;
use crate::ipc::inherited::link_groups::Groups;
use crate::ipc::memory::counters::{Count, CurrentEntry, Totals};
use crate::ipc::wire::frame_check;
use crate::ipc::wire::task::Task;
use crate::plan::Plan;
use pcopy_sys::Errno;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The maximum time between two wake-ups of the poll loop, which draw the progress line and check deadlines.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// The pause before the next copier is started. It doubles while the copiers that run can do all the work.
const START_PAUSE: Duration = Duration::from_micros(500);

/// The pause after the first copier has started. In that time one copier copies ten files, and a second
/// copier would only add the cost of its start and exit (13 entries: 2.0 ms with one copier, 3.1 ms with
/// two).
const SECOND_PAUSE: Duration = Duration::from_millis(2);

/// After a signal: the time that copiers have to finish their files, and the time after which they are
/// killed.
const FINISH_WITHIN: Duration = Duration::from_millis(1000);
const KILL_AFTER: Duration = Duration::from_millis(1800);

/// After a signal: how long the run waits for killed copiers. A copier may sleep in the kernel because a
/// network file system does not answer. It dies as soon as it wakes, so it can do no harm later.
const LEAVE_AFTER: Duration = Duration::from_millis(1900);

/// The CPU time that copiers take if they work. A copier that wakes now and then takes less.
const PROGRESS_COST: Duration = Duration::from_millis(1);

/// If all copiers have waited for work for this time, the round ends. All of them can wait only if the ring's
/// memory was damaged. If the machine was suspended instead, the false alarm costs one round.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// How often the parent checks whether all copiers wait. Adding up the counts of 512 copiers after each event
/// would take too long.
const STALL_CHECK: Duration = Duration::from_millis(500);

/// Why a round ends before its work is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    CopierLost,
    TargetLost,
    SourceLost,
    Signal { number: i32, since: Instant },
    TimedOut { since: Instant },
}

/// The phase of the run that a round belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Copies everything that need not wait for a later phase, or compares.
    Copies,
    /// Copies the files that the user agreed to replace.
    Prompted,
    /// Creates hard links to files that are already copied.
    Links,
    /// Reads back the data that was written.
    ReadBack,
    /// Removes what only the target has.
    Removal,
}

/// One ring and its copiers.
pub(super) struct Round {
    pub(super) shared: Rc<Shared>,
    pub(super) part: Part,
    /// Whether this is the first round of its phase. In a later round, staged directories may contain
    /// incomplete entries, which copiers left when they died.
    pub(super) is_first: bool,
    pub(super) pool: Pool,
    /// Whether the parent is the only copier, because no process could be forked.
    pub(super) in_parent: bool,
    pace: Pace,
    /// The buffer through which the parent reads from pipes.
    pub(super) buffer: Vec<u8>,
    pub(super) stop: Option<Stop>,
    /// Whether the parent has ordered copiers to abort the files in progress.
    aborted: bool,
    /// Whether a child process may have exited and not been reaped.
    pub(super) child_exited: bool,
    pub(super) casualties: Casualties,
    /// The entries at which copiers worked when the round was stopped.
    pub(super) in_progress: Vec<CurrentEntry>,
    /// The counts at the last time that a copier was seen at work, and that time.
    moved: (Totals, Instant),
    progress: Progress,
}

/// What the copiers had done when they were last seen to make progress, for `--timeout`.
struct Progress {
    totals: Totals,
    /// The CPU time of each copier that was at an entry ever since.
    used: HashMap<u16, Duration>,
    seen: Instant,
}

impl Default for Progress {
    fn default() -> Self {
        Self { totals: Totals::default(), used: HashMap::new(), seen: Instant::now() }
    }
}

/// How many copiers the round should have, and when the next copier starts.
struct Pace {
    autoscale: Autoscale,
    begun: Instant,
    pause: Duration,
    next_start: Instant,
}

/// The places where copiers died in a round.
#[derive(Default)]
pub(super) struct Casualties {
    /// The places, as fingerprints. Several deaths at one place count once, because one event may kill all
    /// copiers at one file.
    pub(super) places: HashSet<u64>,
    /// Whether later rounds skip one of these places, so that the next round settles more entries.
    pub(super) passed_over: bool,
}

impl Round {
    /// Creates a ring with its first task, and no copier yet. For `earlier` see [`Shared::create`].
    pub(super) fn begin(
        plan: &Plan,
        first: Task<'_>,
        earlier: &Groups,
    ) -> Result<Self, Unavailable> {
        let part = match first {
            Task::Links { .. } => Part::Links,
            Task::Verify { .. } => Part::ReadBack,
            Task::Remove { .. } => Part::Removal,
            Task::Prompted { .. } => Part::Prompted,
            _ => Part::Copies,
        };
        let shared = Shared::create(plan, &first, earlier)?;
        let pace = Pace::begin(plan);
        shared.counters.set_active(pace.autoscale.active());
        let mut root = Vec::new();
        first.encode(&mut root);
        let status = shared.counters.status(0); // no copier uses this status slot yet
        frame_check::push_task(&shared.ring, status, &mut root)
            .map_err(|_| Unavailable::because("fill the ring")(Errno::ENOBUFS))?;
        Ok(Self {
            shared: Rc::new(shared),
            part,
            is_first: true,
            pool: Pool::default(),
            in_parent: false,
            pace,
            buffer: vec![0; READ_BYTES],
            stop: None,
            aborted: false,
            child_exited: false,
            casualties: Casualties::default(),
            in_progress: Vec::new(),
            moved: (Totals::default(), Instant::now()),
            progress: Progress::default(),
        })
    }

    /// Decides whether to start another copier: if the pause is over and work waits in the ring. Without work,
    /// the next pause is longer. For ten files, the forks of eight copiers would cost more than they save.
    pub(super) fn decide_start(&mut self) -> bool {
        if self.pool.len() == 0 {
            return true;
        }
        if !self.may_grow() || Instant::now() < self.pace.next_start {
            return false;
        }
        if self.shared.ring.is_empty() {
            self.pace.pause_for((self.pace.pause * 2).min(TICK));
            return false;
        }
        true
    }

    /// Notes that a copier has started; sets the pause before the next start.
    pub(super) fn note_started(&mut self) {
        self.pace.pause_for(if self.pool.len() == 1 { SECOND_PAUSE } else { START_PAUSE });
    }

    /// Notes that the kernel refused to fork a copier; it may permit a fork later.
    pub(super) fn note_denied(&mut self) {
        self.pace.pause_for(TICK);
    }

    fn may_grow(&self) -> bool {
        let wanted = usize::from(self.pace.autoscale.active());
        self.stop.is_none() && self.pool.len() < wanted && !self.shared.ring.is_closed()
    }

    /// Takes a sample and changes the number of copiers if another number may be faster.
    pub(super) fn autoscale(&mut self) {
        let at = self.pace.begun.elapsed();
        let autoscale = &mut self.pace.autoscale;
        if self.stop.is_some() || !autoscale.wants_sample(at) {
            return;
        }
        let totals = self.shared.counters.totals();
        let before = autoscale.active();
        let bytes = totals.get(Count::Bytes).wrapping_add(totals.get(Count::BytesReadBack));
        autoscale.observe(Sample {
            at,
            work: weight(totals.settled(), bytes),
            used: self.pool.cpu_time(),
            // A copier that sleeps because it is surplus may also hold work.
            waits: !self.shared.ring.is_empty() || self.pool.len() > usize::from(before),
        });
        if autoscale.active() != before {
            self.shared.counters.set_active(autoscale.active());
            self.pace.next_start = Instant::now();
            self.pace.pause = START_PAUSE;
        }
    }

    /// Notes that copiers wait for a slow reader of the run's output, so that the round does not count as
    /// stalled.
    pub(super) fn excuse_stall(&mut self) {
        self.moved.1 = Instant::now();
        self.excuse_silence();
    }

    /// Ends the round if all copiers wait for work that will never arrive.
    pub(super) fn end_if_stalled(&mut self) {
        if self.stop.is_some() || self.moved.1.elapsed() < STALL_CHECK {
            return;
        }
        let totals = self.shared.counters.totals();
        let at_work = |copier: &Copier| {
            let status = self.shared.counters.status(copier.number());
            copier.is_alive() && status.current_entry().is_some()
        };
        if totals != self.moved.0 || self.pool.copiers().iter().any(at_work) {
            self.moved = (totals, Instant::now());
        } else if self.moved.1.elapsed() >= STALLED_AFTER {
            self.stop(Stop::CopierLost);
        }
    }

    /// Returns the place of an entry that a copier is at, if no copier has made progress for `limit`.
    ///
    /// A copier that compares or hashes counts no bytes, but uses CPU time. One that waits for the disk uses none.
    pub(super) fn unanswered(&mut self, limit: Duration) -> Option<CurrentEntry> {
        if self.stop.is_some() {
            return None;
        }
        let active = self.shared.counters.active();
        let place = |number: u16| self.shared.counters.status(number).current_entry();
        let mut busy = self.at_work();
        busy.retain(|&number| number < active && place(number).is_some());
        let progress = &mut self.progress;
        progress.used.retain(|number, _| busy.contains(number));
        let mut worked = busy.is_empty();
        for &number in &busy {
            let used = self.pool.cpu_time_of(number);
            worked |= used >= *progress.used.entry(number).or_insert(used) + PROGRESS_COST;
        }
        let totals = self.shared.counters.totals();
        if worked || totals != progress.totals {
            *progress = Progress { totals, ..Progress::default() };
        }
        if progress.seen.elapsed() < limit {
            return None;
        }
        busy.into_iter().find_map(place)
    }

    /// Notes that copiers could not make progress, because the run was suspended or the reader of its output is slow.
    pub(super) fn excuse_silence(&mut self) {
        self.progress.seen = Instant::now();
    }

    /// Returns how long the poll loop may sleep.
    pub(super) fn poll_timeout(&self) -> Duration {
        let interval = self.pace.autoscale.interval().unwrap_or(TICK);
        if self.may_grow() {
            self.pace.next_start.saturating_duration_since(Instant::now()).min(interval)
        } else {
            interval
        }
    }

    /// Makes the copiers exit after the file in progress. A signal replaces any other reason to stop.
    pub(super) fn stop(&mut self, why: Stop) {
        if self.stop.is_none() || matches!(why, Stop::Signal { .. }) {
            self.stop = Some(why);
            // Before the copiers abort their files and exit.
            let copiers = 0..u16::try_from(self.pool.len().max(1)).unwrap_or(u16::MAX);
            let places = copiers.map(|number| self.shared.counters.status(number).current_entry());
            self.in_progress = places.flatten().collect();
        }
        self.shared.ring.stop();
        // The request is also written to each copier's status slot, so that copiers see it even if the ring's
        // memory is damaged.
        self.pool.copiers().iter().for_each(|copier| copier.ask_to_stop(&self.shared.counters));
        if self.in_parent {
            self.shared.counters.status(0).ask_to_stop();
        }
    }

    /// Returns the numbers of the copiers that work, also that of the parent if it is the only copier.
    pub(super) fn at_work(&self) -> Vec<u16> {
        if self.in_parent {
            return vec![0];
        }
        let alive = self.pool.copiers().iter().filter(|copier| copier.is_alive());
        alive.map(Copier::number).collect()
    }

    /// After a signal: first makes copiers abort the files in progress, later kills the copiers.
    pub(super) fn escalate(&mut self) {
        let Some(Stop::Signal { since, .. }) = self.stop else { return };
        if since.elapsed() >= FINISH_WITHIN && !self.aborted {
            self.aborted = true;
            self.shared.counters.abandon();
        }
        if since.elapsed() >= KILL_AFTER {
            self.kill_all();
        }
    }

    /// Whether the run must end although some killed copiers still exist.
    pub(super) fn is_given_up(&self) -> bool {
        match self.stop {
            Some(Stop::Signal { since, .. }) => since.elapsed() >= LEAVE_AFTER,
            Some(Stop::TimedOut { since }) => since.elapsed() >= LEAVE_AFTER - KILL_AFTER,
            _ => false,
        }
    }

    /// Kills all copiers and does not wait for them: a copier that sleeps in the kernel may never die.
    pub(super) fn kill_all(&self) {
        for copier in self.pool.copiers() {
            if copier.kill().is_err() {
                // The copier has already exited.
            }
        }
    }
}

impl Pace {
    fn begin(plan: &Plan) -> Self {
        Self {
            autoscale: Autoscale::new(plan.jobs_at_first, plan.jobs),
            begun: Instant::now(),
            pause: START_PAUSE,
            next_start: Instant::now(),
        }
    }

    fn pause_for(&mut self, pause: Duration) {
        self.pause = pause;
        self.next_start = Instant::now() + pause;
    }
}
