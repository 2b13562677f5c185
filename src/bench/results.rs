//! The results of a benchmark: for each tree its races, and for each race the programs and their times.

use super::bench_options::{BenchOptions, Preserved};
use super::copy_command::CopyCommand;
use super::launcher::Measurement;
use super::machine::Machine;
use super::statistics::median;
use super::tree_stats::TreeStats;
use super::trees::TreeSpec;
use super::workdir::TargetFidelity;

/// All results of a benchmark.
pub(super) struct Results<'a> {
    pub(super) machine: Machine,
    pub(super) options: &'a BenchOptions,
    pub(super) cases: Vec<Case>,
}

/// One tree and its results.
pub(super) struct Case {
    /// The name of the tree, or of the user's directory.
    pub(super) name: String,
    /// How the tree was generated; `None` for the user's directory.
    pub(super) tree: Option<TreeSpec>,
    pub(super) stats: TreeStats,
    /// The type of the source's file system.
    pub(super) source_fs: String,
    /// The type of the target's file system.
    pub(super) target_fs: String,
    pub(super) fidelity: TargetFidelity,
    /// The races, one for each value of `--keep`.
    pub(super) races: Vec<Race>,
}

/// The results of all programs that copied one tree with one value of `--keep`. A race is printed as one
/// table.
#[derive(Debug)]
pub(super) struct Race {
    pub(super) keep: Preserved,
    /// The rows of the programs. Those of pcopy come first.
    pub(super) rows: Vec<Row>,
    /// The names of the programs that cannot do the work of this race, and so did not run.
    pub(super) absent: Vec<&'static str>,
}

/// One program, run with one command line. A row of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) command: CopyCommand,
    /// The timed runs that succeeded, in the order of the rounds. After a failed run, the benchmark does not
    /// run the program again.
    pub(super) runs: Vec<Measurement>,
    /// The first problem that occurred, if any.
    pub(super) problem: Option<Problem>,
    /// Whether a run has failed, so that no further runs follow.
    pub(super) has_failed: bool,
}

/// A problem of a program or of its copies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Problem {
    /// The program reported a failure. The benchmark does not run the program again.
    Failed(String),
    /// A copy differs from the source. The benchmark still runs the program, but gives it no ratio.
    WrongCopy(String),
}

impl Row {
    /// Returns a row without runs.
    pub(super) fn new(command: CopyCommand) -> Self {
        Self { command, runs: Vec::new(), problem: None, has_failed: false }
    }

    /// Records a problem, unless the row already has one: a wrong copy outranks a later failure.
    pub(super) fn record_problem(&mut self, problem: Problem) {
        self.has_failed |= matches!(problem, Problem::Failed(_));
        self.problem.get_or_insert(problem);
    }

    /// Returns the wall-clock times of the runs, in seconds.
    pub(super) fn wall_seconds(&self) -> Vec<f64> {
        self.runs.iter().map(|run| run.wall.as_secs_f64()).collect()
    }

    /// Whether the times may be compared: the row has at least one time and no problem.
    pub(super) fn is_valid(&self) -> bool {
        self.problem.is_none() && !self.runs.is_empty()
    }
}

impl Race {
    /// Returns the row with which the other rows are compared: pcopy's fastest valid row.
    pub(super) fn baseline(&self) -> Option<&Row> {
        let own = self.rows.iter().filter(|row| row.command.is_pcopy() && row.is_valid());
        let time = |row: &&Row| median(&row.wall_seconds()).unwrap_or(f64::INFINITY);
        own.min_by(|one, other| time(one).total_cmp(&time(other)))
    }

    /// Returns the ratio of a row: its time divided by that of the baseline, as the median over all rounds.
    ///
    /// Each ratio is formed within one round. On a machine with other users, the speed drifts between rounds
    /// by more than the programs differ.
    pub(super) fn ratio(&self, row: &Row) -> Option<f64> {
        median(&self.ratios(row))
    }

    /// Returns the ratio of each round; empty if the row cannot be compared.
    pub(super) fn ratios(&self, row: &Row) -> Vec<f64> {
        let Some(base) = self.baseline().filter(|_| row.is_valid()) else { return Vec::new() };
        let pairs = row.wall_seconds().into_iter().zip(base.wall_seconds());
        pairs.map(|(theirs, ours)| theirs / ours.max(1e-9)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::command_lines::pcopy;
    use super::*;
    use pcopy_sys::process::Usage;
    use std::path::Path;
    use std::time::Duration;

    /// Returns a row of the program `tool` with these wall-clock times.
    pub(in crate::bench) fn row(tool: &'static str, wall_seconds: &[f64]) -> Row {
        let mut command = pcopy(Path::new("pcopy"), Preserved::None, None, false);
        (command.tool, command.label) = (tool, tool.to_owned());
        let run = |&seconds: &f64| Measurement {
            wall: Duration::from_secs_f64(seconds),
            used: Usage::default(),
        };
        Row { runs: wall_seconds.iter().map(run).collect(), ..Row::new(command) }
    }

    pub(in crate::bench) fn race(rows: Vec<Row>) -> Race {
        Race { keep: Preserved::None, rows, absent: Vec::new() }
    }

    #[test]
    fn a_wrong_copy_remains_the_problem_when_the_program_fails_later() {
        let mut row = row("pcopy", &[1.0]);
        row.record_problem(Problem::WrongCopy("1 entry".into()));
        assert!(!row.has_failed);
        row.record_problem(Problem::Failed("exit 1".into()));

        assert!(row.has_failed);
        assert_eq!(row.problem, Some(Problem::WrongCopy("1 entry".into())));
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_and_relative_to_the_fastest_row_of_pcopy() {
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
