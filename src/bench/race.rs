//! The runs: all programs in turn, in several rounds.

use super::child::{self, Run};
use super::options::{Keep, Onto};
use super::peers::Line;
use super::place::{self, Place};
use super::random::Random;
use super::recipes;
use super::rows::{Race, Row, Trouble};
use super::status::Status;
use super::stop::{Stop, Watch};
use super::verify;
use std::path::Path;

/// Where and how a race is run.
pub(super) struct Course<'a> {
    /// What is copied.
    pub(super) source: &'a Path,
    /// What it is called.
    pub(super) name: &'a str,
    /// Where it is copied to.
    pub(super) place: &'a Place,
    /// This program.
    pub(super) own: &'a Path,
    /// How many runs count.
    pub(super) runs: usize,
    /// Whether the source is read from its disk.
    pub(super) cold: bool,
    /// What stands in the target.
    pub(super) onto: Onto,
    /// Whether copies are compared.
    pub(super) verify: bool,
    /// Who listens for signals.
    pub(super) watch: &'a Watch,
}

/// Runs all lines: one round that does not count, and then those that do.
pub(super) fn run(
    course: &Course<'_>,
    keep: Keep,
    lines: Vec<Line>,
    status: &mut Status,
) -> Result<Race, Stop> {
    let mut rows: Vec<Row> = lines.into_iter().map(Row::new).collect();
    for round in 0..=course.runs {
        for turn in order(rows.len(), round) {
            let row = &mut rows[turn];
            if row.gone {
                continue;
            }
            let (name, label) = (course.name, &row.line.label);
            status.show(&format!("{name}: run {round} of {}: {label}", course.runs));
            let run = course.turn(row)?;
            row.runs.extend(run.filter(|_| round > 0));
        }
    }
    course.place.clear()?;
    Ok(Race { keep, rows, absent: Vec::new() })
}

/// In which order the rows have their turns in a round.
///
/// What one leaves behind (dirty pages, warm caches) the next one has to live with. So every second
/// round is shuffled, and the one after it goes backwards: nobody always comes after the same one,
/// and who came first comes last.
fn order(rows: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    Random::new(1, (round / 2) as u64).shuffle(&mut order);
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

impl Course<'_> {
    /// One copy by one program, and all that is done around it.
    fn turn(&self, row: &mut Row) -> Result<Option<Run>, Stop> {
        let target = self.place.target();
        self.prepare(&row.line)?;
        let errors = self.place.errors();
        let run = match child::copy(&row.line, self.source, &target, &errors, self.watch)? {
            Ok(run) => run,
            Err(how) => {
                row.note(Trouble::Failed(how));
                self.place.clear()?; // what it leaves is nothing to go on from
                return Ok(None);
            }
        };
        if self.verify {
            let demands = row.line.demands;
            let found = verify::compare(self.source, &target, demands, self.watch)?;
            if let Some(what) = found.describe() {
                row.note(Trouble::Wrong(what));
                self.place.clear()?;
            }
        }
        if self.onto != Onto::Same {
            self.place.clear()?;
        }
        self.watch.look()?;
        Ok(Some(run))
    }

    /// Puts into the target what is to stand there, and lets the disks come to rest.
    fn prepare(&self, line: &Line) -> Result<(), Stop> {
        let target = self.place.target();
        match self.onto {
            Onto::New if line.wants_target => {
                let made = std::fs::create_dir(&target);
                made.map_err(|error| Stop::cannot("create", &target, &error))?;
            }
            Onto::New => {}
            Onto::Same | Onto::Different if target.exists() => {}
            Onto::Same | Onto::Different => {
                let line = recipes::own(self.own, Keep::All, None, true);
                let errors = self.place.errors();
                child::copy(&line, self.source, &target, &errors, self.watch)?
                    .map_err(|how| Stop::refuse(format!("cannot make the target: {how}")))?;
            }
        }
        if self.onto == Onto::Different {
            place::alter(&target, self.watch)?;
        }
        self.place.settle()?;
        if self.cold {
            place::forget()?;
            // Of this program's own file nothing is forgotten, because it runs. So that nobody has
            // an advantage all programs are warm, and only what they copy is cold.
            child::version(&line.program, &self.place.errors(), self.watch)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn nobody_always_comes_after_the_same_one() {
        const ROWS: usize = 7;
        let mut after = [[0; ROWS]; ROWS];
        for round in 1..=40 {
            let order = order(ROWS, round);
            order.windows(2).for_each(|two| after[two[0]][two[1]] += 1);
        }
        for (one, others) in after.iter().enumerate() {
            for (other, &times) in others.iter().enumerate() {
                assert_eq!(times > 0, one != other, "{one}, then {other}: {times} times");
                assert!(times <= 15, "{one}, then {other}: {times} times of 40");
            }
        }
    }

    #[test]
    fn each_row_has_one_turn_in_each_round_and_two_rows_take_turns() {
        for (rows, round) in [(1, 0), (2, 1), (7, 5), (7, 6)] {
            let mut order = order(rows, round);
            order.sort_unstable();
            assert_eq!(order, (0..rows).collect::<Vec<_>>());
        }
        let first = |round| order(2, round)[0];
        assert!((0..10).all(|pair| first(2 * pair) != first(2 * pair + 1)));
    }
}
