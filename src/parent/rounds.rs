//! Rounds follow one another until one ends with nothing left to do: a copier that dies costs a round,
//! not the run.

use super::poll_loop::run_round;
use super::round::{Casualties, Part, Round, Stop};
use super::run::{Run, Stopped};
use crate::ipc::memory::counters::Totals;
use crate::ipc::wire::task::Task;
use crate::options::{CopyMode, Update};
use crate::outcome::End;
use crate::plan::Plan;

/// Rounds in a row that may end early without a gain. A file that kills its copiers costs three.
const FRUITLESS_ROUNDS_MAX: u32 = 16;

/// Rounds in a row that may make entries and yet come no further than one before them. Copiers may take
/// another order each time; but a directory that was removed with what failed in it is also made again
/// each time, and that must not go on for ever.
const STALLED_ROUNDS_MAX: u32 = 256;

/// Works in rounds; each begins with the whole task and skips what is complete.
pub(super) fn run_rounds(run: &mut Run<'_>, whole: Task<'_>) -> Result<(), Stopped> {
    let mut gains = Gains::default();
    let mut is_first = true;
    loop {
        let mut round = Round::begin(run.plan, whole, &run.state.links.earlier)?;
        round.is_first = std::mem::take(&mut is_first);
        let ran = run_round(run, &mut round);
        if ran.is_err() {
            round.kill_all();
            round.pool.join_all();
        }
        let counted = round.shared.counters.totals();
        run.totals = run.state.sum_up(counted);
        ran?;
        let ring = &round.shared.ring;
        match round.stop {
            // All copiers have left a ring that is not closed, or a task was lost in it or done twice:
            // its memory was damaged.
            None if !ring.is_closed() || !counted.all_done() => {}
            None => return Ok(()),
            Some(Stop::Signal { number, .. }) => return Err(Stopped::Early(End::Signal(number))),
            Some(Stop::TargetLost) => return Err(Stopped::Early(End::TargetLost)),
            Some(Stop::CopierLost) => {}
        }
        let made = match round.part {
            Part::Copies => run.state.end_round(&counted),
            Part::Prompted => run.state.end_prompted_round(&counted),
            Part::Links | Part::ReadBack => run.state.end_later_round(&counted),
        };
        gains.note(run.plan, &counted, made, &round.casualties);
        if gains.are_exhausted() {
            return Err(Stopped::Early(End::CopiersDied));
        }
    }
}

/// Whether further rounds will come further.
#[derive(Default)]
struct Gains {
    fruitless: u32,
    stalled: u32,
    /// The most entries that a round has settled.
    furthest: u64,
}

impl Gains {
    /// Notes a round that has `made` so many entries that no round before it had. If copiers skip a
    /// file from now on because it killed them, the next round comes further.
    fn note(&mut self, plan: &Plan, counted: &Totals, made: u64, casualties: &Casualties) {
        let passed_over = casualties.passed_over;
        let further = counted.settled() > self.furthest;
        self.furthest = self.furthest.max(counted.settled());
        // Where copies do not count as complete, each round makes all of them again, and only to come
        // further than before is a gain.
        let copies_last = plan.options.copy_mode != CopyMode::AttributesOnly
            && plan.options.update != Update::All
            && plan.check.is_none();
        let gained = if copies_last { made > 0 } else { further } || passed_over;
        self.fruitless = if gained { 0 } else { self.fruitless + 1 };
        self.stalled = if further || passed_over { 0 } else { self.stalled + 1 };
    }

    fn are_exhausted(&self) -> bool {
        self.fruitless >= FRUITLESS_ROUNDS_MAX || self.stalled >= STALLED_ROUNDS_MAX
    }
}
