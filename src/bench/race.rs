//! The runs: all programs in turn, in several rounds.

use super::child::{self, Run};
use super::numbers::{median, seconds};
use super::options::{Keep, Onto};
use super::peers::Line;
use super::place::{self, Place};
use super::random::Random;
use super::recipes;
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

/// What is wrong with a program's copies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// It said so itself. It takes no further part.
    Failed(String),
    /// Its copy is not like the source. It goes on, without a ratio.
    Wrong(String),
}

/// A program and its runs.
#[derive(Debug)]
pub(super) struct Row {
    /// How it was used.
    pub(super) line: Line,
    /// What the runs that count have cost, by rounds; fewer if it failed.
    pub(super) runs: Vec<Run>,
    /// The first thing that went wrong.
    pub(super) trouble: Option<Trouble>,
    /// Whether it failed, and takes no further part.
    gone: bool,
}

/// All rows, in which the same is kept.
#[derive(Debug)]
pub(super) struct Race {
    /// What.
    pub(super) keep: Keep,
    /// pcopy's come first.
    pub(super) rows: Vec<Row>,
    /// The programs that cannot do the same.
    pub(super) absent: Vec<&'static str>,
}

impl Row {
    fn new(line: Line) -> Self {
        Self { line, runs: Vec::new(), trouble: None, gone: false }
    }

    /// Remembers what went wrong, unless something did before: a wrong copy stays one.
    fn note(&mut self, trouble: Trouble) {
        self.gone |= matches!(trouble, Trouble::Failed(_));
        self.trouble.get_or_insert(trouble);
    }

    /// The times in seconds.
    pub(super) fn walls(&self) -> Vec<f64> {
        seconds(self.runs.iter().map(|run| run.wall))
    }

    /// Whether all its copies were made, and right as far as anybody looked.
    pub(super) fn is_fair(&self) -> bool {
        self.trouble.is_none() && !self.runs.is_empty()
    }
}

impl Race {
    /// The row that all others are compared with: pcopy's fastest.
    pub(super) fn base(&self) -> Option<&Row> {
        let own = self.rows.iter().filter(|row| row.line.tool == "pcopy" && row.is_fair());
        let time = |row: &&Row| median(&row.walls()).unwrap_or(f64::INFINITY);
        own.min_by(|one, other| time(one).total_cmp(&time(other)))
    }

    /// How many times as long as pcopy a row took: in each round by itself, so that a machine whose
    /// speed drifts does no harm, and of these the median.
    pub(super) fn ratio(&self, row: &Row) -> Option<f64> {
        median(&self.ratios(row))
    }

    /// The ratio of each round; none where there is nothing to compare.
    pub(super) fn ratios(&self, row: &Row) -> Vec<f64> {
        let Some(base) = self.base().filter(|_| row.is_fair()) else { return Vec::new() };
        let pairs = row.walls().into_iter().zip(base.walls());
        pairs.map(|(theirs, ours)| theirs / ours.max(1e-9)).collect()
    }
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
pub(super) mod tests {
    use super::*;
    use crate::sys::process::Usage;
    use std::time::Duration;

    /// A row of `tool` that took so many seconds in each round.
    pub(in crate::bench) fn row(tool: &'static str, walls: &[f64]) -> Row {
        let mut line = recipes::own(Path::new("pcopy"), Keep::None, None, false);
        (line.tool, line.label) = (tool, tool.to_owned());
        let run = |&wall: &f64| Run { wall: Duration::from_secs_f64(wall), used: Usage::default() };
        Row { runs: walls.iter().map(run).collect(), ..Row::new(line) }
    }

    pub(in crate::bench) fn race(rows: Vec<Row>) -> Race {
        Race { keep: Keep::None, rows, absent: Vec::new() }
    }

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

    #[test]
    fn a_wrong_copy_is_not_forgotten_when_the_program_fails_later() {
        let mut row = row("pcopy", &[1.0]);
        row.note(Trouble::Wrong("1 entry".into()));
        assert!(!row.gone);
        row.note(Trouble::Failed("exit 1".into()));

        assert_eq!((row.trouble, row.gone), (Some(Trouble::Wrong("1 entry".into())), true));
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_and_to_the_fastest_own_row() {
        let race = race(vec![
            row("pcopy", &[9.0, 9.0, 9.0]),
            row("pcopy", &[1.0, 2.0, 4.0]),
            row("cp", &[2.0, 2.0, 12.0]),
        ]);
        assert_eq!(race.ratios(&race.rows[2]), [2.0, 1.0, 3.0]);
        assert_eq!(race.ratio(&race.rows[2]), Some(2.0));
        assert_eq!(race.ratio(&race.rows[1]), Some(1.0));
    }
}
