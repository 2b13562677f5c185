//! Runs rounds until one of them does all the work. A round is one attempt of the copiers at the work: if a
//! copier dies, only the round ends, and not the run.

use super::own_copier;
use super::poll_loop::run_round;
use super::round::{Casualties, Part, Round, Stop};
use super::run::{Run, Stopped};
use crate::ipc::memory::counters::Totals;
use crate::ipc::wire::task::Task;
use crate::options::{CopyMode, Update};
use crate::outcome::End;
use crate::plan::Plan;

/// How many rounds in a row may end early without a gain. A file that kills its copiers costs three rounds.
const FRUITLESS_ROUNDS_MAX: u32 = 16;

/// How many rounds in a row may create entries and yet settle no more entries than an earlier round.
///
/// Copiers may work in another order in each round, so a few such rounds are harmless. But a round may also
/// remove a directory because an entry in it failed, and the next round creates it again; without a limit
/// this could go on forever.
const STALLED_ROUNDS_MAX: u32 = 256;

/// Runs rounds. Each begins with the task `whole` and skips entries that are complete.
pub(super) fn run_rounds(run: &mut Run<'_>, whole: Task<'_>) -> Result<(), Stopped> {
    let mut gains = Gains::default();
    let mut is_first = true;
    loop {
        let mut round = Round::begin(run.plan, whole, &run.state.links.earlier)?;
        round.is_first = std::mem::take(&mut is_first);
        let mut ran = run_round(run, &mut round);
        if ran.is_ok() && round.in_parent {
            ran = own_copier::work(run, &mut round);
        }
        if ran.is_err() {
            round.kill_all();
            round.pool.join_all();
        }
        let counted = round.shared.counters.totals();
        run.totals = run.state.sum_up(counted);
        ran?;
        let ring = &round.shared.ring;
        run.state.in_progress = std::mem::take(&mut round.in_progress);
        run.state.gave_up = round.is_given_up();
        match round.stop {
            // All copiers have left a ring that is not closed, or a task was lost or was carried out twice:
            // the ring's memory was damaged.
            None if !ring.is_closed() || !counted.all_done() => {}
            None => return Ok(()),
            Some(Stop::Signal { number, .. }) => return Err(Stopped::Early(End::Signal(number))),
            Some(Stop::TargetLost) => return Err(Stopped::Early(End::TargetLost)),
            Some(Stop::SourceLost) => return Err(Stopped::Early(End::SourceLost)),
            Some(Stop::TimedOut { .. }) => return Err(Stopped::Early(End::TimedOut)),
            Some(Stop::CopierLost) => {}
        }
        let made = match round.part {
            Part::Copies => run.state.end_round(&counted),
            Part::Prompted if run.state.copies_held_back => run.state.end_round(&counted),
            Part::Prompted => run.state.end_prompted_round(&counted),
            Part::Links | Part::ReadBack => run.state.end_later_round(&counted),
            Part::Removal => run.state.end_removal_round(&counted),
        };
        gains.note(run.plan, &counted, made, &round.casualties);
        if gains.are_exhausted() {
            return Err(Stopped::Early(End::CopiersDied));
        }
    }
}

/// The record of whether rounds still make progress.
#[derive(Default)]
struct Gains {
    fruitless: u32,
    stalled: u32,
    /// The highest number of entries that a round has settled.
    furthest: u64,
}

impl Gains {
    /// Notes a round that created `made` entries which no earlier round had created. If copiers skip a file
    /// from now on, because it killed too many copiers, the next round settles more entries. So the decision
    /// to skip the file counts as a gain, too.
    fn note(&mut self, plan: &Plan, counted: &Totals, made: u64, casualties: &Casualties) {
        let passed_over = casualties.passed_over;
        let further = counted.settled() > self.furthest;
        self.furthest = self.furthest.max(counted.settled());
        // With these options a later round does not take a copy for complete, and each round makes all copies
        // again. Then only settling more entries than all earlier rounds is a gain.
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
