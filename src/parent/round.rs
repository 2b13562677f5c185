//! A round: one life of a ring and its copiers, and how it is brought to its end.

use super::autoscale::{Autoscale, Sample};
use super::pool::{Copier, Pool, READ_BYTES};
use super::position::weight;
use super::shared::Shared;
use crate::error::Unavailable;
use crate::ipc::inherited::link_groups::Groups;
use crate::ipc::memory::counters::{Count, Totals};
use crate::ipc::wire::frame_check;
use crate::ipc::wire::task::Task;
use crate::plan::Plan;
use pcopy_sys::Errno;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How often the poll loop wakes at least, to draw the progress line and to check deadlines.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// The pause before another copier is started, at first; it doubles while the others suffice.
const START_PAUSE: Duration = Duration::from_micros(500);

/// The pause after the first copier: it copies ten files in less, and a second copier would only add
/// its start and its end (13 entries: 2.0 ms with one copier, 3.1 ms with two).
const SECOND_PAUSE: Duration = Duration::from_millis(2);

/// After a signal: how long a copier may finish its file, and when it is killed in any case.
const FINISH_WITHIN: Duration = Duration::from_millis(1000);
const KILL_AFTER: Duration = Duration::from_millis(1800);

/// After a signal: how long the run waits for copiers that were killed. One that sleeps in the kernel
/// (a network file system that does not answer) dies when it wakes, and can do no harm then.
const LEAVE_AFTER: Duration = Duration::from_millis(1900);

/// For how long all copiers may wait for work. They never do, unless the ring's memory was damaged; if
/// the machine was asleep instead, the false alarm costs a round.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// How often that is checked: the counts of 512 copiers are not added up for each event.
const STALL_CHECK: Duration = Duration::from_millis(500);

/// Why a round ends before its work is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    CopierLost,
    TargetLost,
    Signal { number: i32, since: Instant },
}

/// The phase that a round belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Copies everything that need not wait, or compares.
    Copies,
    /// Copies the files whose replacement the user agreed to.
    Prompted,
    /// Makes names that become hard links to what was copied.
    Links,
    /// Reads back what was written.
    ReadBack,
}

/// One life of a ring and its copiers.
pub(super) struct Round {
    pub(super) shared: Shared,
    pub(super) part: Part,
    /// Whether it is the first of its phase: what is staged was made by this run.
    pub(super) is_first: bool,
    pub(super) pool: Pool,
    pace: Pace,
    /// What is read from pipes goes through this.
    pub(super) buffer: Vec<u8>,
    pub(super) stop: Option<Stop>,
    /// Whether copiers were ordered to abort the files in progress.
    aborted: bool,
    /// Whether a child process may wait to be reaped.
    pub(super) child_exited: bool,
    pub(super) casualties: Casualties,
    /// What was counted when a copier was last seen at work, and when.
    moved: (Totals, Instant),
}

/// How many copiers there are to be, and when the next one starts.
struct Pace {
    autoscale: Autoscale,
    begun: Instant,
    pause: Duration,
    next_start: Instant,
}

/// Where copiers died in a round.
#[derive(Default)]
pub(super) struct Casualties {
    /// One event may kill all copiers at one file, which counts once.
    pub(super) places: HashSet<u64>,
    /// Whether one of the places is skipped from now on: the next round will come further.
    pub(super) passed_over: bool,
}

impl Round {
    /// A ring with its first task in it, and no copier yet; for `earlier` see [`Shared::create`].
    pub(super) fn begin(
        plan: &Plan,
        first: Task<'_>,
        earlier: &Groups,
    ) -> Result<Self, Unavailable> {
        let part = match first {
            Task::Links { .. } => Part::Links,
            Task::Verify { .. } => Part::ReadBack,
            Task::Agreed { .. } => Part::Prompted,
            _ => Part::Copies,
        };
        let shared = Shared::create(plan, &first, earlier)?;
        let pace = Pace::begin(plan);
        shared.counters.set_active(pace.autoscale.active());
        let mut root = Vec::new();
        first.encode(&mut root);
        let status = shared.counters.status(0); // no copier uses it yet
        frame_check::push(&shared.ring, status, &mut root)
            .map_err(|_| Unavailable::because("fill the ring")(Errno::ENOBUFS))?;
        Ok(Self {
            shared,
            part,
            is_first: true,
            pool: Pool::default(),
            pace,
            buffer: vec![0; READ_BYTES],
            stop: None,
            aborted: false,
            child_exited: false,
            casualties: Casualties::default(),
            moved: (Totals::default(), Instant::now()),
        })
    }

    /// Whether it is time to start a copier, and work waits for it: ten files do not pay for eight
    /// forks.
    pub(super) fn wants_copier(&mut self) -> bool {
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

    /// Notes that a copier has started; the next one may after a pause.
    pub(super) fn note_started(&mut self) {
        self.pace.pause_for(if self.pool.len() == 1 { SECOND_PAUSE } else { START_PAUSE });
    }

    /// Notes that the machine has denied a copier; it may allow one later.
    pub(super) fn note_denied(&mut self) {
        self.pace.pause_for(TICK);
    }

    fn may_grow(&self) -> bool {
        let wanted = usize::from(self.pace.autoscale.active());
        self.stop.is_none() && self.pool.len() < wanted && !self.shared.ring.is_closed()
    }

    /// Decides whether another number of copiers would be faster.
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
            // A copier that rests may hold work, too.
            waits: !self.shared.ring.is_empty() || self.pool.len() > usize::from(before),
        });
        if autoscale.active() != before {
            self.shared.counters.set_active(autoscale.active());
            self.pace.next_start = Instant::now();
            self.pace.pause = START_PAUSE;
        }
    }

    /// Notes that copiers wait for a slow reader of the run's output, so the round is not stalled.
    pub(super) fn excuse_stall(&mut self) {
        self.moved.1 = Instant::now();
    }

    /// Ends a round in which all copiers wait for work that will never come.
    pub(super) fn end_if_stalled(&mut self) {
        if self.stop.is_some() || self.moved.1.elapsed() < STALL_CHECK {
            return;
        }
        let totals = self.shared.counters.totals();
        let at_work = |copier: &Copier| {
            let status = self.shared.counters.status(copier.number());
            copier.is_alive() && status.whereabouts().is_some()
        };
        if totals != self.moved.0 || self.pool.copiers().iter().any(at_work) {
            self.moved = (totals, Instant::now());
        } else if self.moved.1.elapsed() >= STALLED_AFTER {
            self.stop(Stop::CopierLost);
        }
    }

    /// How long the poll loop may sleep.
    pub(super) fn poll_timeout(&self) -> Duration {
        let interval = self.pace.autoscale.interval().unwrap_or(TICK);
        if self.may_grow() {
            self.pace.next_start.saturating_duration_since(Instant::now()).min(interval)
        } else {
            interval
        }
    }

    /// Has the copiers exit after the file in progress. A signal outranks the other reasons.
    pub(super) fn stop(&mut self, why: Stop) {
        if self.stop.is_none() || matches!(why, Stop::Signal { .. }) {
            self.stop = Some(why);
        }
        self.shared.ring.stop();
        // In each copier's status, too: a copier sees that even if the ring's memory is damaged.
        self.pool.copiers().iter().for_each(|copier| copier.ask_to_stop(&self.shared.counters));
    }

    /// After a signal: first has the files in progress aborted, then kills the copiers.
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

    /// Whether the run ends without those copiers that do not die.
    pub(super) fn is_given_up(&self) -> bool {
        matches!(self.stop, Some(Stop::Signal { since, .. }) if since.elapsed() >= LEAVE_AFTER)
    }

    /// Kills all copiers without waiting: one that sleeps in the kernel may never die.
    pub(super) fn kill_all(&self) {
        for copier in self.pool.copiers() {
            if copier.kill().is_err() {
                // It has exited already.
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
