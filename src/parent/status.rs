//! How far a run has come: the progress line and the answer to USR1.

use super::precount;
use super::progress::Position;
use super::round::Round;
use super::supervisor::Supervisor;
use crate::ipc::memory::counters::{Count, Totals};
use crate::ipc::memory::forecast::Forecast;
use crate::numbers;
use crate::plan::Check;
use crate::sanitize::{escape, quote};
use pcopy_sys::process;
use std::time::Duration;

/// A run that is over before this needs no progress line.
const LINE_AFTER: Duration = Duration::from_millis(500);

impl Supervisor<'_> {
    /// Draws the line, which begins when the run takes long enough to want one.
    pub(super) fn draw(&mut self, round: &Round) {
        if !self.screen.draws() || self.begun.elapsed() < LINE_AFTER {
            return;
        }
        if self.forecast.is_none() {
            self.begin_scouting(Some(round));
        }
        let position = self.position(&round.counters.totals());
        self.warn_of_room(&position);
        let name = self.name_in_hand(round);
        self.draw_at(&position, &escape(&name));
    }

    /// Draws the line while a disk takes what was written, and no copier is at work.
    pub(super) fn draw_waiting(&mut self) {
        if self.screen.draws() && self.begun.elapsed() >= LINE_AFTER {
            let position = Position { totals: self.totals, ..self.position(&Totals::default()) };
            self.draw_at(&position, "waiting for the disk");
        }
    }

    fn draw_at(&mut self, position: &Position, at: &str) {
        if self.screen.line().is_none() {
            self.screen.begin_line();
        }
        if let Some(line) = self.screen.line() {
            line.update(position, at);
        }
    }

    /// Has the scout count all that there is; without a round it has the processors for itself.
    pub(super) fn begin_scouting(&mut self, round: Option<&Round>) {
        let Ok(forecast) = Forecast::create() else { return }; // then the line has no percentage
        let per_entry = round.map_or(Duration::MAX, |round| {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            let busy = u32::try_from(round.pool.len().min(processors)).unwrap_or(1);
            let settled = u32::try_from(round.counters.totals().settled()).unwrap_or(u32::MAX);
            self.begun.elapsed() * busy / settled.max(1)
        });
        self.scout = precount::start(self.plan, &forecast, per_entry).ok();
        self.forecast = Some(forecast);
    }

    pub(super) fn end_scout(&mut self, wait: bool) {
        let Some(scout) = self.scout.take() else { return };
        let ended = process::kill(scout);
        if wait && ended.and_then(|()| process::join(scout)).is_err() {
            // It had ended and was reaped already.
        }
    }

    fn position(&self, round: &Totals) -> Position {
        Position {
            totals: self.state.so_far(round),
            work: self.forecast.as_ref().map(Forecast::get).unwrap_or_default(),
            elapsed: self.begun.elapsed(),
            reads_back: self.plan.options.verify,
        }
    }

    /// As the user would name it, not escaped.
    fn name_in_hand(&self, round: &Round) -> Vec<u8> {
        let alive = round.pool.copiers().iter().filter(|copier| copier.is_alive());
        let place =
            alive.filter_map(|copier| round.counters.status(copier.number()).whereabouts()).next();
        let Some(place) = place else { return Vec::new() };
        let mut path = place.dir;
        if !path.is_empty() && !place.name.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&place.name);
        if let Some(Check::Manifest(listed)) = &self.plan.check {
            return listed.show(&path);
        }
        let operand = self.plan.operands.get(place.operand as usize);
        operand.map(|operand| operand.show_source(&path)).unwrap_or_default()
    }

    /// What USR1 asks for.
    pub(super) fn report_status(&mut self, round: &Round) {
        let position = self.position(&round.counters.totals());
        let of = if position.work.complete {
            format!(" of {}", numbers::count(position.work.entries))
        } else {
            String::new()
        };
        let copiers = round.pool.copiers().iter().filter(|copier| copier.is_alive()).count();
        let name = quote(&self.name_in_hand(round));
        let totals = self.state.sum_up(round.counters.totals());
        self.report_position(&totals, &of, &format!("{copiers} copiers, at {name}"));
    }

    /// The same when all copiers have ended.
    pub(super) fn report_finishing(&mut self) {
        let totals = self.totals;
        self.report_position(&totals, "", "finishing");
        self.screen.flush();
    }

    fn report_position(&mut self, totals: &Totals, of: &str, at: &str) {
        self.screen.error(&format!(
            "{}{of} entries, {}, {}, {at}",
            numbers::count(totals.settled()),
            numbers::bytes(totals.get(Count::Bytes)),
            numbers::duration(self.begun.elapsed()),
        ));
    }
}
