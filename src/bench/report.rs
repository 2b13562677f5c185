//! What a person reads: a heading for each tree, a table for each race.

use super::Heat;
use super::machine::Machine;
use super::numbers::{median, range};
use super::options::{Onto, Options};
use super::race::{Race, Row, Trouble};
use super::survey::Facts;
use crate::human;

/// Between these two ratios nobody has won.
const EVEN: std::ops::RangeInclusive<f64> = 0.97..=1.03;

/// From so many names on a rate in files says more than one in bytes.
const MANY: u64 = 1000;

/// What was copied, where, and how.
pub(super) fn heading(heat: &Heat, options: &Options, machine: &Machine) -> String {
    let runs = human_number(options.runs as u64, "run", "runs");
    let processors = human_number(machine.processors as u64, "processor", "processors");
    let (name, tree) = (&heat.name, contents(&heat.facts));
    let (state, kernel) = (state(heat, options), &machine.kernel);
    format!("{name}: {tree}; {state}, {runs}; Linux {kernel}, {processors}\n")
}

/// From where to where, and what was there already.
pub(super) fn state(heat: &Heat, options: &Options) -> String {
    let (from, to) = (&heat.from, &heat.to);
    let heat = if options.cold { "cold" } else { "warm" };
    let onto = match options.onto {
        Onto::New => "",
        Onto::Same => ", onto a complete copy",
        Onto::Different => ", onto a copy of which every second file is older and differs",
    };
    let unverified = if options.verify { "" } else { ", copies not verified" };
    format!("{from} to {to}, {heat}{onto}{unverified}")
}

fn human_number(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", human::count(number), if number == 1 { one } else { many })
}

/// What is in a tree, in words.
pub(super) fn contents(facts: &Facts) -> String {
    let mut text = human_number(facts.files, "file", "files");
    if facts.links > 0 {
        text += &format!(" with {} more", human_number(facts.links, "name", "names"));
    }
    if facts.folders > 0 {
        text += &format!(" in {}", human_number(facts.folders, "directory", "directories"));
    }
    if facts.symlinks > 0 {
        text += &format!(", {}", human_number(facts.symlinks, "symlink", "symlinks"));
    }
    if facts.others > 0 {
        text += &format!(", {} special", human::count(facts.others));
    }
    text += &format!(", {}", human::bytes(facts.bytes));
    if facts.has_holes() {
        text += &format!(" ({} without holes)", human::bytes(facts.allocated));
    }
    text
}

/// The table of a race, its commands, and who has won.
pub(super) fn table(race: &Race, facts: &Facts) -> String {
    let rate = if facts.names() >= MANY { "files/s" } else { "bytes/s" };
    let head = [race.keep.describe(), "median", "min", "spread", "cpu", "memory", rate, "ratio"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(race.rows.iter().map(|row| cells(race, row, facts)));
    let mut text = aligned(&rows);
    for row in &race.rows {
        text += &format!("  {}\n", row.line.command());
        if !row.line.note.is_empty() {
            text += &format!("    {} {}\n", row.line.tool, row.line.note);
        }
    }
    if !race.absent.is_empty() {
        text += &format!("  cannot do the same, and take no part: {}\n", race.absent.join(", "));
    }
    text + &sentence(race) + "\n\n"
}

fn cells(race: &Race, row: &Row, facts: &Facts) -> Vec<String> {
    let mut cells = vec![row.line.label.clone()];
    let walls = row.walls();
    if let (Some(middle), Some((least, greatest))) = (median(&walls), range(&walls)) {
        let cpu: Vec<f64> = row.runs.iter().map(|run| run.used.cpu.as_secs_f64()).collect();
        let memory = row.runs.iter().map(|run| run.used.memory).max().unwrap_or(0);
        cells.push(time(middle));
        cells.push(time(least));
        cells.push(format!("{:.0} %", (greatest - least) / middle.max(1e-9) * 100.0));
        cells.push(time(median(&cpu).unwrap_or(0.0)));
        cells.push(human::bytes(memory));
        cells.push(rate(facts, middle));
    } else {
        cells.extend(vec!["-".to_owned(); 6]);
    }
    cells.push(match (&row.trouble, race.ratio(row)) {
        (Some(Trouble::Failed(how)), _) => format!("failed: {how}"),
        (Some(Trouble::Wrong(what)), _) => format!("wrong: {what}"),
        (None, Some(ratio)) => format!("{ratio:.2}"),
        (None, None) => "-".to_owned(),
    });
    cells
}

/// Files, or bytes, in a second.
fn rate(facts: &Facts, seconds: f64) -> String {
    let per = |number: u64| (number as f64 / seconds.max(1e-9)).round() as u64;
    match facts.names() >= MANY {
        true => human::count(per(facts.names())),
        false => human::bytes(per(facts.bytes)),
    }
}

/// A time with three digits that count, or milliseconds.
fn time(seconds: f64) -> String {
    match seconds {
        ..0.1 => format!("{:.1} ms", seconds * 1000.0),
        ..10.0 => format!("{seconds:.3} s"),
        _ => format!("{seconds:.1} s"),
    }
}

/// Columns: the first one begins at the left, the others end at the right; the last may be longer.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        // A reason in place of a ratio moves no column.
        let cells = cells.filter(|cell| column < 7 || cell.len() <= 6);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..8).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            if column == 0 {
                text += &format!("{cell:<width$}");
            } else {
                text += &format!("  {cell:>width$}");
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// Who has won against whom, losses as plainly as wins.
fn sentence(race: &Race) -> String {
    let Some(base) = race.base() else {
        return "pcopy made no right copy, so there is nothing to compare with".to_owned();
    };
    let peers = || race.rows.iter().filter(|row| row.line.tool != "pcopy");
    let those = |wanted: fn(f64) -> bool| {
        let ratios = peers().filter_map(|row| Some((row, race.ratio(row)?)));
        // As it is shown, so that nobody loses with the number of somebody who is even.
        let named = ratios.filter(|&(_, ratio)| wanted((ratio * 100.0).round() / 100.0));
        named.map(|(row, ratio)| format!("{} ({ratio:.2})", row.line.tool)).collect::<Vec<_>>()
    };
    let wins = those(|ratio| ratio > *EVEN.end());
    let even = those(|ratio| EVEN.contains(&ratio));
    let losses = those(|ratio| ratio < *EVEN.start());
    let mut parts = Vec::new();
    for (what, whom) in [("wins against", wins), ("is even with", even), ("loses against", losses)]
    {
        if !whom.is_empty() {
            parts.push(format!("{what} {}", whom.join(", ")));
        }
    }
    let unfair: Vec<_> = peers().filter(|row| !row.is_fair()).map(|row| row.line.tool).collect();
    let several = race.rows.iter().filter(|row| row.line.tool == "pcopy").count() > 1;
    let who = if several { &base.line.label } else { "pcopy" };
    let mut text = match parts.is_empty() {
        true => format!("{who} ran alone"),
        false => format!("{who} {}", parts.join("; it ")),
    };
    if !unfair.is_empty() {
        text += &format!("; not compared: {}", unfair.join(", "));
    }
    if several {
        text += &format!("\nratios are to {who}, the fastest of pcopy's rows");
    }
    text
}
