//! `pcopy bench`: times pcopy and other copy programs on the same trees.
//!
//! For each tree and each value of `--keep` there is a *race*, in which the programs copy the tree in turn,
//! several times. A program that cannot preserve what `--keep` asks for does not take part; the only
//! exception, xcp with `--keep=times`, is marked in the table. The benchmark prints a table after each race,
//! and writes JSON and charts at the end. Each program runs as a child process with the command line that a
//! user would type. The measured time begins before the program is started and ends when it has exited.
//!
//! Nothing in this module uses the code that it measures (`parent`, `copier`, `plan`, `ipc`). A verification
//! that listed directories with the copier's code would not find the bugs of that code.
//!
//! * What to measure: `bench_options`, `trees`, `tools` (the other programs), `command_lines` (how each
//!   program is called), `copy_command`.
//! * Before the first run: `preflight`, `space_needed`, `workdir`, `generate`, `random`, `tree_stats`.
//! * The runs: `runner` (the whole benchmark), `race`, `launcher`, `process_groups`, `outdate`, `abort`,
//!   `status_line`.
//! * Verification of the copies: `tree_diff`, `entry_diff`.
//! * The results: `results`, `statistics`, `machine`.
//! * The output of the results: `table`, `verdict`, `describe`, `json_report`, `chart`, `output_files`.

pub mod abort;
pub mod bench_options;
pub mod chart;
mod command_lines;
mod copy_command;
mod describe;
mod entry_diff;
mod generate;
mod json_report;
mod launcher;
mod machine;
mod outdate;
mod output_files;
mod preflight;
mod process_groups;
mod race;
mod random;
mod results;
mod runner;
mod space_needed;
mod statistics;
mod status_line;
mod table;
pub mod tools;
mod tree_diff;
mod tree_stats;
pub mod trees;
mod verdict;
mod workdir;

use crate::outcome::code;
use abort::Abort;
use bench_options::BenchOptions;
use results::{Problem, Race, Row};
use runner::Benchmark;
use std::io::Write;

pub use generate::generate;

/// Runs the benchmark that `options` describe, writes its tables to `out`, and returns the exit code.
///
/// Returns an error for a signal, and for a failure before anything was measured; after such a failure the
/// caller exits as for a refused command. For a later failure, prints the message itself and returns exit
/// code 1; the tables printed before remain valid.
pub fn run(options: &BenchOptions, out: &mut dyn Write) -> Result<u8, Abort> {
    let (benchmark, workload) = Benchmark::prepare(options)?;
    match benchmark.measure(workload, out) {
        Err(Abort::Error(error)) => {
            print_error(&error);
            Ok(code::SOME_FAILED)
        }
        measured => measured,
    }
}

/// Prints a message on standard error. Does not use `eprintln!`, which panics if standard error cannot be
/// written.
fn print_error(message: &dyn std::fmt::Display) {
    if writeln!(std::io::stderr(), "pcopy: {message}").is_err() {
        // Standard error cannot be written. The exit code still reports the failure.
    }
}

/// Returns the exit code for these races. A wrong copy by pcopy itself outranks every other problem.
fn exit_code<'a>(races: impl IntoIterator<Item = &'a Race>) -> u8 {
    let rows: Vec<_> = races.into_iter().flat_map(|race| &race.rows).collect();
    let is_wrong = |row: &Row| matches!(row.problem, Some(Problem::WrongCopy(_)));
    if rows.iter().any(|row| row.command.is_pcopy() && is_wrong(row)) {
        code::DIFFERENT
    } else if rows.iter().any(|row| row.problem.is_some()) {
        code::SOME_FAILED
    } else {
        code::COMPLETE
    }
}

#[cfg(test)]
mod tests {
    use super::results::tests::{race, row};
    use super::*;

    fn code_for(problems: [Option<Problem>; 2]) -> u8 {
        let [of_pcopy, of_cp] = problems;
        let mut rows = vec![row("pcopy", &[1.0]), row("cp", &[1.0])];
        (rows[0].problem, rows[1].problem) = (of_pcopy, of_cp);
        exit_code(&[race(rows)])
    }

    #[test]
    fn a_wrong_copy_by_pcopy_outranks_all_other_problems() {
        let wrong = || Some(Problem::WrongCopy(String::new()));
        let failed = || Some(Problem::Failed(String::new()));
        assert_eq!(code_for([None, None]), code::COMPLETE);
        assert_eq!(code_for([None, wrong()]), code::SOME_FAILED);
        assert_eq!(code_for([failed(), None]), code::SOME_FAILED);
        assert_eq!(code_for([wrong(), failed()]), code::DIFFERENT);
    }
}
