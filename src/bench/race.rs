//! Runs a race: the programs copy the same tree in turn, and each of them does so several times.

use super::abort::{Abort, SignalWatch};
use super::bench_options::{BenchOptions, Preserved, TargetState};
use super::command_lines;
use super::copy_command::CopyCommand;
use super::launcher::{Launcher, Measurement};
use super::outdate::outdate_every_second_file;
use super::random::Random;
use super::results::{Problem, Row};
use super::status_line::StatusLine;
use super::tree_diff::compare_trees;
use super::workdir::{WorkDirs, drop_caches};
use std::path::Path;

/// The settings that all runs of a race share.
pub(super) struct RaceRunner<'a> {
    pub(super) options: &'a BenchOptions,
    /// The directory to copy.
    pub(super) source: &'a Path,
    /// The name of the tree.
    pub(super) case_name: &'a str,
    pub(super) dirs: &'a WorkDirs,
    /// The path of the running pcopy.
    pub(super) own_program: &'a Path,
    pub(super) signals: &'a SignalWatch,
}

impl RaceRunner<'_> {
    /// Runs each command once without timing it, and then `--runs` times.
    pub(super) fn run(
        &self,
        commands: Vec<CopyCommand>,
        status: &mut StatusLine,
    ) -> Result<Vec<Row>, Abort> {
        let (name, runs) = (self.case_name, self.options.runs);
        let mut rows: Vec<Row> = commands.into_iter().map(Row::new).collect();
        for round in 0..=runs {
            for turn in order(rows.len(), round) {
                let row = &mut rows[turn];
                if row.has_failed {
                    continue;
                }
                let run = match round {
                    0 => "warm-up run".to_owned(),
                    _ => format!("run {round} of {runs}"),
                };
                status.show(&format!("{name}: {run}: {}", row.command.label));
                let (measurement, problem) = self.run_once(&row.command)?;
                row.runs.extend(measurement.filter(|_| round > 0));
                if let Some(problem) = problem {
                    row.record_problem(problem);
                }
            }
        }
        self.dirs.clear_target()?;
        Ok(rows)
    }

    /// Makes one copy with one program: prepares the target, times the copy and verifies it. Then removes the
    /// copy, except a correct copy with `--onto=same`, which the next run needs.
    ///
    /// A failed run has a problem and no measurement. A run with a wrong copy has both.
    fn run_once(
        &self,
        command: &CopyCommand,
    ) -> Result<(Option<Measurement>, Option<Problem>), Abort> {
        let target = self.dirs.target();
        self.prepare(command)?;
        let measurement = match self.launcher().copy(command, self.source, &target)? {
            Ok(measurement) => measurement,
            Err(how) => {
                // An incomplete copy must not remain: a later run could continue from it.
                self.dirs.clear_target()?;
                return Ok((None, Some(Problem::Failed(how))));
            }
        };
        let differences = match self.options.verify {
            true => compare_trees(self.source, &target, command.requirements, self.signals)?,
            false => None,
        };
        if differences.is_some() || self.options.onto != TargetState::Same {
            self.dirs.clear_target()?;
        }
        self.signals.check()?;
        Ok((Some(measurement), differences.map(Problem::WrongCopy)))
    }

    /// Brings the target into the state that `--onto` asks for. With `--cold` also drops the page cache.
    fn prepare(&self, command: &CopyCommand) -> Result<(), Abort> {
        let target = self.dirs.target();
        match self.options.onto {
            TargetState::New if command.needs_target => {
                let created = std::fs::create_dir(&target);
                created.map_err(|error| Abort::cannot("create", &target, &error))?;
            }
            TargetState::New => {}
            TargetState::Same | TargetState::Different if target.exists() => {}
            TargetState::Same | TargetState::Different => {
                let pcopy = command_lines::pcopy(self.own_program, Preserved::All, None, true);
                self.launcher()
                    .copy(&pcopy, self.source, &target)?
                    .map_err(|how| Abort::error(format!("cannot prepare the target: {how}")))?;
            }
        }
        if self.options.onto == TargetState::Different {
            outdate_every_second_file(&target, self.signals)?;
        }
        self.dirs.sync_copies()?;
        if self.options.cold {
            drop_caches()?;
            // The kernel does not drop the pages of a running program. The benchmark itself is pcopy, so
            // pcopy would be the only program that starts from memory. To be fair, each program is started
            // once before its run; only the source is cold.
            self.launcher().version(&command.program)?;
        }
        Ok(())
    }

    fn launcher(&self) -> Launcher<'_> {
        Launcher { output: self.dirs.stderr_file(), signals: self.signals }
    }
}

/// Returns the order in which the rows run in a round.
///
/// Each run is affected by what the previous run has left (dirty pages, warm caches). So every second round
/// has a new random order, and the round after it has the reverse order. Then no row always follows the same
/// row, as it would with rotation. The first row of a shuffled round is the last row of the next round.
fn order(rows: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    Random::new(1, (round / 2) as u64).shuffle(&mut order);
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn no_row_always_follows_the_same_one() {
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
    fn each_row_runs_once_in_each_round_and_two_rows_alternate() {
        for (rows, round) in [(1, 0), (2, 1), (7, 5), (7, 6)] {
            let mut order = order(rows, round);
            order.sort_unstable();
            assert_eq!(order, (0..rows).collect::<Vec<_>>());
        }
        let first = |round| order(2, round)[0];
        assert!((0..10).all(|pair| first(2 * pair) != first(2 * pair + 1)));
    }
}
