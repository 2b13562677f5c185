//! `pcopy bench`: this program and others copy the same trees, in turn, and are timed.
//!
//! A run of the benchmark, which `meeting` has on one page: for each tree and each of the things
//! that can be kept, a race of those who can keep just that; after each race its table, and in the
//! end numbers and charts for whoever wants to go on with them. The programs are children and get
//! no help: what is measured is a command as a user gives it, from before its start until its end.

mod alike;
mod alter;
mod axis;
mod chart;
mod check;
mod child;
mod curves;
mod grow;
mod json;
mod machine;
mod meeting;
mod numbers;
pub mod options;
mod outputs;
pub mod peers;
pub mod picture;
mod place;
mod race;
pub mod random;
mod recipes;
mod report;
mod room;
mod rows;
mod sentence;
mod status;
pub mod stop;
mod survey;
pub mod trees;
mod verify;
mod waiting;

use crate::outcome::code;
use machine::Machine;
use meeting::Benchmark;
use options::{Keep, Onto, Options};
use place::Keeps;
use rows::{Race, Row, Trouble};
use std::io::Write;
use stop::Stop;
use survey::Facts;
use trees::Tree;

pub use grow::grow;

/// All that is known of one tree when it has been copied.
struct Heat {
    name: String,
    /// What it was made from, if it was made.
    tree: Option<Tree>,
    facts: Facts,
    /// The file systems.
    from: String,
    to: String,
    /// What the target's keeps exactly.
    keeps: Keeps,
    races: Vec<Race>,
}

/// Everything that was measured.
struct Results<'a> {
    machine: Machine,
    options: &'a Options,
    heats: Vec<Heat>,
}

/// Runs the benchmark that is wanted, and returns the exit code.
///
/// What fails before the first tree is made is a refusal. What fails later is told here: then it
/// is not so that nothing was touched, and each table that stands there is true.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<u8, Stop> {
    let (benchmark, work) = Benchmark::begin(options)?;
    match benchmark.measure(work, out) {
        Err(Stop::Refused(refusal)) => {
            tell_error(&refusal);
            Ok(code::SOME_FAILED)
        }
        measured => measured,
    }
}

/// Where messages go; not `eprintln!`, which panics where nothing can be written.
fn tell_error(message: &dyn std::fmt::Display) {
    if writeln!(std::io::stderr(), "pcopy: {message}").is_err() {
        // Then the exit code has to say it alone.
    }
}

/// The exit code.
fn verdict<'a>(races: impl IntoIterator<Item = &'a Race>) -> u8 {
    let rows: Vec<_> = races.into_iter().flat_map(|race| &race.rows).collect();
    let wrong = |row: &Row| matches!(row.trouble, Some(Trouble::Wrong(_)));
    if rows.iter().any(|row| row.line.tool == "pcopy" && wrong(row)) {
        code::DIFFERENT
    } else if rows.iter().any(|row| row.trouble.is_some()) {
        code::SOME_FAILED
    } else {
        code::COMPLETE
    }
}

/// Whether a race onto something that stands there makes sense for what is kept.
pub fn goes_together(onto: Onto, keep: Keep) -> bool {
    // Without times nobody can know that a file is complete but by reading both.
    onto != Onto::Same || keep != Keep::None
}

#[cfg(test)]
mod tests {
    use super::rows::tests::{race, row};
    use super::*;

    fn code_for(troubles: [Option<Trouble>; 2]) -> u8 {
        let [own, peer] = troubles;
        let mut rows = vec![row("pcopy", &[1.0]), row("cp", &[1.0])];
        (rows[0].trouble, rows[1].trouble) = (own, peer);
        verdict(&[race(rows)])
    }

    #[test]
    fn a_wrong_copy_of_pcopys_own_is_worse_than_all_else() {
        let wrong = || Some(Trouble::Wrong(String::new()));
        let failed = || Some(Trouble::Failed(String::new()));
        assert_eq!(code_for([None, None]), code::COMPLETE);
        assert_eq!(code_for([None, wrong()]), code::SOME_FAILED);
        assert_eq!(code_for([failed(), None]), code::SOME_FAILED);
        assert_eq!(code_for([wrong(), failed()]), code::DIFFERENT);
    }
}
