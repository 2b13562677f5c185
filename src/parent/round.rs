//! A round: one life of a ring and its copiers, and how it is brought to its end.

use super::autoscale::{Autoscale, Sample};
use super::pool::{Copier, Pool, READ_BYTES};
use super::progress::weight;
use crate::error::Unavailable;
use crate::hash::Algorithm;
use crate::ipc::inherited::link_groups::Groups;
use crate::ipc::memory::counters::{Count, Counters, Totals};
use crate::ipc::memory::fs_caps::FsCaps;
use crate::ipc::memory::inode_set::InodeSet;
use crate::ipc::memory::large_files::Larges;
use crate::ipc::memory::outbox::Outboxes;
use crate::ipc::wire::frame_check;
use crate::ipc::wire::task::Task;
use crate::options::{CopyMode, Links};
use crate::plan::{Check, Plan};
use pcopy_ring::SharedRing;
use pcopy_sys::Errno;
use pcopy_sys::turns::Turns;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// The beat of the loop: the line is drawn and deadlines are looked at this often.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// The pause before another copier is started, at first; it doubles while the others suffice.
pub(super) const START_PAUSE: Duration = Duration::from_micros(500);

/// The pause after the first: ten files are copied in less, and a second copier would only cost them
/// its start and its end (13 entries: 2.0 ms with one copier, 3.1 ms with two).
pub(super) const SECOND_PAUSE: Duration = Duration::from_millis(2);

/// After a signal: how long a copier may finish its file, and when it is ended in any case.
const FINISH_WITHIN: Duration = Duration::from_millis(1000);
const END_WITHIN: Duration = Duration::from_millis(1800);

/// After a signal: how long the run waits for copiers that were killed. One that sleeps in the
/// kernel (a network disk that does not answer) dies when it wakes, and can do no harm then.
const LEAVE_WITHIN: Duration = Duration::from_millis(1900);

/// For how long all copiers may wait for work. They never do, unless somebody has scribbled on the
/// ring; should it be a machine that sleeps, it costs a round.
const STANDSTILL: Duration = Duration::from_secs(5);

/// How often it is looked whether they do: what 512 copiers have counted is not added up for each event.
const STANDSTILL_LOOK: Duration = Duration::from_millis(500);

/// Why a round is to end before its work is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    CopierLost,
    TargetLost,
    Signal { number: i32, since: Instant },
}

/// The parts of a run, in their order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All that need not wait for anything.
    Copies,
    /// What the user has agreed to.
    Agreed,
    /// Names that become links to what was copied.
    Links,
    /// What was written, which is read back.
    Written,
}

/// One life of a ring and its copiers.
pub(super) struct Round {
    pub(super) ring: SharedRing,
    pub(super) counters: Counters,
    pub(super) outboxes: Outboxes,
    pub(super) larges: Larges,
    pub(super) fs_caps: FsCaps,
    /// Who came first to each file with several names; nothing if that is of no interest.
    pub(super) inodes: Option<InodeSet>,
    /// What it is for.
    pub(super) part: Part,
    pub(super) turns: Option<Turns>,
    pub(super) pool: Pool,
    autoscale: Autoscale,
    begun: Instant,
    /// What is read from pipes goes through this.
    pub(super) buffer: Vec<u8>,
    pub(super) stop: Option<Stop>,
    pub(super) pause: Duration,
    pub(super) next_start: Instant,
    /// Whether it is the first of its wave: what is staged was made by this run.
    pub(super) is_first: bool,
    /// Whether a place was newly passed over, which is a gain.
    pub(super) passed_over: bool,
    /// Where copiers died in this round: one event may take all who are at one file.
    pub(super) died_at: HashSet<u64>,
    pub(super) abandoned: bool,
    /// Whether a copier or the scout may wait to be reaped.
    pub(super) child_ended: bool,
    /// What was counted when somebody was last seen at work, and when.
    moved: (Totals, Instant),
}

impl Round {
    /// A ring with its first task in it, and nobody yet to take it.
    ///
    /// Names of the files of `earlier` are put off, to become links to what these have become.
    pub(super) fn begin(
        plan: &Plan,
        first: Task<'_>,
        earlier: &Groups,
    ) -> Result<Self, Unavailable> {
        let out_of_memory = |what| move |source| Unavailable { what, source };
        let ring = SharedRing::create().map_err(out_of_memory("make the ring"))?;
        let counters = Counters::create(plan.jobs).map_err(out_of_memory("make the counters"))?;
        let autoscale = Autoscale::new(plan.jobs_at_first, plan.jobs);
        counters.set_active(autoscale.active());
        let outboxes = Outboxes::create(plan.jobs).map_err(out_of_memory("make the outboxes"))?;
        let may_guess = matches!(plan.check, Some(Check::Manifest(_)));
        let hashes_pieces = plan.options.hash.map_or(may_guess, Algorithm::joins);
        let larges = Larges::create(plan.jobs, hashes_pieces)
            .map_err(out_of_memory("make the table of large files"))?;
        let fs_caps = FsCaps::create().map_err(out_of_memory("make the fs_caps"))?;
        let part = match first {
            Task::Links { .. } => Part::Links,
            Task::Verify { .. } => Part::Written,
            Task::Agreed { .. } => Part::Agreed,
            _ => Part::Copies,
        };
        let makes_files =
            matches!(plan.options.copy_mode, CopyMode::Copy | CopyMode::AttributesOnly);
        let keeps_links = plan.options.preserve.links != Links::No && makes_files;
        let inodes = (keeps_links && !matches!(part, Part::Links | Part::Written))
            .then(InodeSet::create)
            .transpose();
        let turns = plan.options.in_place.then(Turns::create).transpose();
        let turns = turns.map_err(Unavailable::because("make the turns"))?;
        let inodes = inodes.map_err(out_of_memory("make the table of links"))?;
        if let Some(inodes) = &inodes {
            for identity in earlier.identities() {
                inodes.is_first(identity); // from now on no other is
            }
        }
        let mut root = Vec::new();
        first.encode(&mut root);
        let status = counters.status(0); // nobody is at it yet
        frame_check::push(&ring, status, &mut root)
            .map_err(|_| Unavailable::because("fill the ring")(Errno::ENOBUFS))?;
        Ok(Self {
            ring,
            counters,
            outboxes,
            larges,
            fs_caps,
            inodes,
            part,
            turns,
            pool: Pool::default(),
            autoscale,
            begun: Instant::now(),
            buffer: vec![0; READ_BYTES],
            stop: None,
            pause: START_PAUSE,
            next_start: Instant::now(),
            is_first: true,
            passed_over: false,
            died_at: HashSet::new(),
            abandoned: false,
            child_ended: false,
            moved: (Totals::default(), Instant::now()),
        })
    }

    /// Whether work waits that nobody has taken, and it is time to look.
    pub(super) fn wants_copier(&mut self) -> bool {
        let now = Instant::now();
        if !self.may_grow() || now < self.next_start {
            return false;
        }
        if self.ring.is_empty() {
            self.pause = (self.pause * 2).min(TICK);
            self.next_start = now + self.pause;
            return false;
        }
        true
    }

    fn may_grow(&self) -> bool {
        let wanted = usize::from(self.autoscale.active());
        self.stop.is_none() && self.pool.len() < wanted && !self.ring.is_closed()
    }

    /// Looks whether another number of copiers would do better.
    pub(super) fn adapt(&mut self) {
        let at = self.begun.elapsed();
        if self.stop.is_some() || !self.autoscale.is_curious(at) {
            return;
        }
        let totals = self.counters.totals();
        let before = self.autoscale.active();
        let bytes = totals.get(Count::Bytes).wrapping_add(totals.get(Count::BytesReadBack));
        self.autoscale.observe(Sample {
            at,
            work: weight(totals.settled(), bytes),
            used: self.pool.processor_time(),
            // Who rests holds work, too.
            waits: !self.ring.is_empty() || self.pool.len() > usize::from(before),
        });
        if self.autoscale.active() != before {
            self.counters.set_active(self.autoscale.active());
            self.next_start = Instant::now();
            self.pause = START_PAUSE;
        }
    }

    /// Ends a round in which all wait for work that will never come. `may_wait` for somebody else.
    pub(super) fn end_standstill(&mut self, may_wait: bool) {
        if self.stop.is_some() || self.moved.1.elapsed() < STANDSTILL_LOOK {
            return;
        }
        let totals = self.counters.totals();
        let at_work = |copier: &Copier| {
            let status = self.counters.status(copier.number());
            copier.is_alive() && status.whereabouts().is_some()
        };
        if may_wait || totals != self.moved.0 || self.pool.copiers().iter().any(at_work) {
            self.moved = (totals, Instant::now());
        } else if self.moved.1.elapsed() >= STANDSTILL {
            self.stop(Stop::CopierLost);
        }
    }

    /// How long the supervisor may sleep.
    pub(super) fn patience(&self) -> Duration {
        let beat = self.autoscale.beat().unwrap_or(TICK);
        if self.may_grow() {
            self.next_start.saturating_duration_since(Instant::now()).min(beat)
        } else {
            beat
        }
    }

    /// Has the copiers end after the file in hand. A signal outranks the other reasons.
    pub(super) fn stop(&mut self, why: Stop) {
        if self.stop.is_none() || matches!(why, Stop::Signal { .. }) {
            self.stop = Some(why);
        }
        self.ring.stop();
        // Each at its own status, too: should the ring be scribbled over, they still apply it.
        self.pool.copiers().iter().for_each(|copier| copier.ask_to_stop(&self.counters));
    }

    /// After a signal, first asks for the file in hand, then takes the copiers' lives.
    pub(super) fn escalate(&mut self) {
        let Some(Stop::Signal { since, .. }) = self.stop else { return };
        if since.elapsed() >= FINISH_WITHIN && !self.abandoned {
            self.abandoned = true;
            self.counters.abandon();
        }
        if since.elapsed() >= END_WITHIN {
            self.kill_all();
        }
    }

    /// Whether the run ends without those copiers that cannot be ended.
    pub(super) fn is_given_up(&self) -> bool {
        matches!(self.stop, Some(Stop::Signal { since, .. }) if since.elapsed() >= LEAVE_WITHIN)
    }

    /// Ends all copiers. Does not wait: one that sleeps in the kernel may take for ever to die.
    pub(super) fn kill_all(&self) {
        for copier in self.pool.copiers() {
            if copier.kill().is_err() {
                // It has ended already.
            }
        }
    }
}
