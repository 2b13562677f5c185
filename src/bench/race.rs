//! The runs: all programs in turn, in several rounds.

use super::child::{self, Run};
use super::numbers::{median, seconds};
use super::options::{Keep, Onto};
use super::peers::{self, Line};
use super::place::{self, Place};
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
        let base = self.base().filter(|_| row.is_fair())?;
        let pairs = row.walls().into_iter().zip(base.walls());
        median(&pairs.map(|(theirs, ours)| theirs / ours.max(1e-9)).collect::<Vec<_>>())
    }
}

/// Runs all lines: one round that does not count, and then those that do.
pub(super) fn run(
    course: &Course<'_>,
    keep: Keep,
    lines: Vec<Line>,
    status: &mut Status,
) -> Result<Race, Stop> {
    let row = |line| Row { line, runs: Vec::new(), trouble: None };
    let mut rows: Vec<Row> = lines.into_iter().map(row).collect();
    let number = rows.len();
    for round in 0..=course.runs {
        // In another order each time, so that nobody always comes after the same one.
        for turn in 0..number {
            let row = &mut rows[(round + turn) % number];
            if matches!(row.trouble, Some(Trouble::Failed(_))) {
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

impl Course<'_> {
    /// One copy by one program, and all that is done around it.
    fn turn(&self, row: &mut Row) -> Result<Option<Run>, Stop> {
        let target = self.place.target();
        self.prepare(&row.line)?;
        let errors = self.place.errors();
        let run = match child::copy(&row.line, self.source, &target, &errors, self.watch)? {
            Ok(run) => run,
            Err(how) => {
                row.trouble = Some(Trouble::Failed(how));
                self.place.clear()?; // what it leaves is nothing to go on from
                return Ok(None);
            }
        };
        if self.verify {
            let demands = row.line.demands;
            let found = verify::compare(self.source, &target, demands, self.watch)?;
            if let Some(what) = found.describe() {
                row.trouble = row.trouble.take().or(Some(Trouble::Wrong(what)));
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
                let line = peers::own(self.own, Keep::All, None);
                let errors = self.place.errors();
                child::copy(&line, self.source, &target, &errors, self.watch)?
                    .map_err(|how| Stop::refuse(format!("cannot make the target: {how}")))?;
            }
        }
        if self.onto == Onto::Different {
            place::alter(&target, self.watch)?;
        }
        self.place.settle()?;
        if self.cold { place::forget() } else { Ok(()) }
    }
}
