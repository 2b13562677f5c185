//! What has come out of a race: the programs, their times, and how they compare.

use super::child::Run;
use super::numbers::{median, seconds};
use super::options::Keep;
use super::peers::Line;

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
    pub(super) gone: bool,
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
    pub(super) fn new(line: Line) -> Self {
        Self { line, runs: Vec::new(), trouble: None, gone: false }
    }

    /// Remembers what went wrong, unless something did before: a wrong copy stays one.
    pub(super) fn note(&mut self, trouble: Trouble) {
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

#[cfg(test)]
pub(super) mod tests {
    use super::super::recipes;
    use super::*;
    use crate::sys::process::Usage;
    use std::path::Path;
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
