//! How far a run has come: the progress line and the answer to USR1.

use super::progress::Position;
use super::round::Round;
use super::scout;
use super::supervise::Supervisor;
use crate::human;
use crate::ipc::counters::{Count, Totals};
use crate::ipc::forecast::Forecast;
use crate::plan::Check;
use crate::quote::{escape, quote};
use crate::sys::process;
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
        self.scout = scout::start(self.plan, &forecast, per_entry).ok();
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
            totals: self.ledger.so_far(round),
            work: self.forecast.as_ref().map(Forecast::get).unwrap_or_default(),
            elapsed: self.begun.elapsed(),
            reads_back: self.plan.wishes.verify,
        }
    }

    /// As the user would name it, not escaped.
    fn name_in_hand(&self, round: &Round) -> Vec<u8> {
        let alive = round.pool.copiers().iter().filter(|copier| copier.is_alive());
        let place =
            alive.filter_map(|copier| round.counters.desk(copier.number()).whereabouts()).next();
        let Some(place) = place else { return Vec::new() };
        let mut path = place.dir;
        if !path.is_empty() && !place.name.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&place.name);
        if let Some(Check::Manifest(listed)) = &self.plan.check {
            return listed.show(&path);
        }
        let entry = self.plan.entries.get(place.entry as usize);
        entry.map(|entry| entry.show_source(&path)).unwrap_or_default()
    }

    /// What USR1 asks for.
    pub(super) fn tell_status(&mut self, round: &Round) {
        let position = self.position(&round.counters.totals());
        let of = if position.work.complete {
            format!(" of {}", human::count(position.work.entries))
        } else {
            String::new()
        };
        let copiers = round.pool.copiers().iter().filter(|copier| copier.is_alive()).count();
        let name = quote(&self.name_in_hand(round));
        let totals = self.ledger.sum_up(round.counters.totals());
        self.tell_position(&totals, &of, &format!("{copiers} copiers, at {name}"));
    }

    /// The same when all copiers have ended.
    pub(super) fn tell_finishing(&mut self) {
        let totals = self.totals;
        self.tell_position(&totals, "", "finishing");
        self.screen.flush();
    }

    fn tell_position(&mut self, totals: &Totals, of: &str, at: &str) {
        self.screen.error(&format!(
            "{}{of} entries, {}, {}, {at}",
            human::count(totals.settled()),
            human::bytes(totals.get(Count::Bytes)),
            human::duration(self.begun.elapsed()),
        ));
    }
}
