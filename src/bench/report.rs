//! What a person reads: a heading for each tree, a table for each race.

use super::Heat;
use super::machine::Machine;
use super::numbers::{median, range};
use super::options::{Onto, Options};
use super::rows::{Race, Row, Trouble};
use super::sentence::sentence;
use super::survey::Facts;
use crate::human;
use crate::quote::escape;
use crate::sys::volume;

/// From so many names on a rate in files says more than one in bytes.
const MANY: u64 = 1000;

/// What was copied, where, and how.
pub(super) fn heading(heat: &Heat, options: &Options, machine: &Machine) -> String {
    let runs = human_number(options.runs as u64, "run", "runs");
    let processors = human_number(machine.processors as u64, "processor", "processors");
    let (name, tree) = (&heat.name, contents(&heat.facts));
    let (state, kernel) = (state(heat, options), &machine.kernel);
    let made = heat
        .tree
        .map_or(String::new(), |tree| format!("; seed {}, scale {}", tree.seed, tree.scale));
    format!("{name}: {tree}; {state}, {runs}; Linux {kernel}, {processors}{made}\n")
}

/// From where to where, and what was there already.
pub(super) fn state(heat: &Heat, options: &Options) -> String {
    let (from, to, keeps) = (&heat.from, &heat.to, heat.keeps);
    let heat = if options.cold { "cold" } else { "warm" };
    let onto = match options.onto {
        Onto::New => "",
        Onto::Same => ", onto a complete copy",
        Onto::Different => ", onto a copy of which every second file is older and differs",
    };
    // A copy is timed until the program ends, whatever the kernel has still to write.
    let waited = if volume::is_in_memory(to) { "" } else { ", not waited for the disk" };
    let unverified = match (options.verify, keeps.bits, keeps.times) {
        (false, ..) => ", copies not verified",
        (true, true, true) => "",
        (true, true, false) => ", times not verified, which are coarse there",
        (true, false, true) => ", permission bits not verified, which are not kept there",
        (true, false, false) => ", neither bits nor times verified, which are not kept there",
    };
    format!("{from} to {to}, {heat}{onto}{waited}{unverified}")
}

pub(super) fn human_number(number: u64, one: &str, many: &str) -> String {
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
    let rate = if counts_files(facts) { "files/s" } else { "bytes/s" };
    let memory = "largest process";
    let head = [race.keep.describe(), "median", "min", "spread", "cpu", memory, rate, "ratio"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(race.rows.iter().map(|row| cells(race, row, facts)));
    let mut text = aligned(&rows);
    for row in &race.rows {
        text += &format!("  {}\n", row.line.command());
        let path = escape(row.line.path.as_os_str().as_encoded_bytes());
        text += &format!("    {path}: {}\n", row.line.version);
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
        cells.push(match walls.len() {
            1 => "-".to_owned(),
            _ => format!("{:.0} %", (greatest - least) / middle.max(1e-9) * 100.0),
        });
        cells.push(time(median(&cpu).unwrap_or(0.0)));
        cells.push(human::bytes(memory));
        cells.push(rate(facts, middle));
    } else {
        cells.extend(vec!["-".to_owned(); 6]);
    }
    cells.push(match (&row.trouble, race.ratio(row)) {
        (Some(Trouble::Failed(how)), _) => format!("failed: {how}"),
        (Some(Trouble::Wrong(what)), _) => format!("wrong: {what}"),
        (None, Some(ratio)) if row.line.keeps_less => format!("{ratio:>5.2} (keeps less)"),
        (None, Some(ratio)) => format!("{ratio:.2}"),
        (None, None) => "-".to_owned(),
    });
    cells
}

/// Whether there are so many names that a rate in files says more than one in bytes.
pub(super) fn counts_files(facts: &Facts) -> bool {
    facts.names() >= MANY
}

/// Files, or bytes, in a second.
fn rate(facts: &Facts, seconds: f64) -> String {
    let per = |number: u64| (number as f64 / seconds.max(1e-9)).round() as u64;
    match counts_files(facts) {
        true => human::count(per(facts.names())),
        false => human::bytes(per(facts.data())),
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

#[cfg(test)]
mod tests {
    use super::super::rows::tests::{race, row};
    use super::*;

    #[test]
    fn times_have_three_digits_that_count() {
        for (seconds, text) in
            [(0.0123, "12.3 ms"), (0.1, "0.100 s"), (9.9994, "9.999 s"), (12.34, "12.3 s")]
        {
            assert_eq!(time(seconds), text);
        }
    }

    #[test]
    fn columns_are_aligned_and_a_long_reason_moves_none() {
        let cells = |last: &str| {
            let mut cells = vec!["x"; 7];
            cells.push(last);
            cells.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let text = aligned(&[cells("ratio"), cells("1.00"), cells("failed: exit 1")]);
        let lines: Vec<_> = text.lines().collect();
        let before = "x  x  x  x  x  x  x";
        assert_eq!(lines[0], format!("{before}  ratio"));
        assert_eq!(lines[1], format!("{before}   1.00"));
        assert_eq!(lines[2], format!("{before}  failed: exit 1"));
    }

    #[test]
    fn a_rate_in_bytes_counts_no_holes() {
        let facts = Facts { files: 1, bytes: 4 << 30, allocated: 64_000_000, ..Facts::default() };
        assert_eq!(rate(&facts, 2.0), "32 MB");
        let full = Facts { allocated: 4 << 30, ..facts };
        assert_eq!(rate(&full, 2.0), "2.1 GB");
    }

    #[test]
    fn of_one_run_there_is_no_spread() {
        let facts = Facts { files: 1, ..Facts::default() };
        let race = race(vec![row("pcopy", &[1.0]), row("cp", &[1.0, 2.0])]);
        assert_eq!(cells(&race, &race.rows[0], &facts)[3], "-");
        assert_eq!(cells(&race, &race.rows[1], &facts)[3], "67 %");
    }
}
