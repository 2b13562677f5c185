//! Formats what the benchmark prints on standard output: a heading for each tree, and a table for each race.

use super::bench_options::BenchOptions;
use super::describe::{conditions, contents, quantity};
use super::machine::Machine;
use super::results::{Case, Problem, Race, Row};
use super::statistics::{median, range};
use super::tree_stats::TreeStats;
use super::verdict::verdict;
use crate::sanitize::escape;
use crate::ui::numbers;

const COLUMNS: usize = 8;

/// The greatest width of the last column, in characters: that of a ratio. Wider cells, such as descriptions
/// of problems, extend beyond the column.
const RATIO_WIDTH: usize = 6;

/// Returns the line above the tables of a tree: the tree's contents, the conditions of the runs, and the
/// machine.
pub(super) fn heading(case: &Case, options: &BenchOptions, machine: &Machine) -> String {
    let runs = quantity(options.runs as u64, "run", "runs");
    let cpus = quantity(machine.cpus as u64, "CPU", "CPUs");
    let (name, contents) = (&case.name, contents(&case.stats));
    let (conditions, kernel) = (conditions(case, options), machine.kernel_version());
    let origin = case
        .tree
        .map_or(String::new(), |tree| format!("; seed {}, scale {}", tree.seed, tree.scale));
    format!("{name}: {contents}; {conditions}, {runs}; Linux {kernel}, {cpus}{origin}\n")
}

/// Returns the table of a race, followed by the command lines of its programs and the verdict.
pub(super) fn table(race: &Race, stats: &TreeStats) -> String {
    let rate = if stats.is_rated_in_files() { "files/s" } else { "bytes/s" };
    let head: [&str; COLUMNS] =
        [race.keep.describe(), "median", "min", "spread", "cpu", "max RSS", rate, "ratio"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(race.rows.iter().map(|row| cells(race, row, stats)));
    let mut text = aligned(&rows);
    for row in &race.rows {
        let command = &row.command;
        text += &format!("  {}\n", command.shell_line());
        let path = escape(command.path.as_os_str().as_encoded_bytes());
        text += &format!("    {path}: {}\n", command.version);
        if !command.note.is_empty() {
            text += &format!("    {} {}\n", command.tool, command.note);
        }
    }
    if !race.absent.is_empty() {
        text += &format!("  cannot do the same and were not run: {}\n", race.absent.join(", "));
    }
    text + &verdict(race) + "\n\n"
}

fn cells(race: &Race, row: &Row, stats: &TreeStats) -> Vec<String> {
    let mut cells = vec![row.command.label.clone()];
    let times = row.wall_seconds();
    if let (Some(middle), Some((least, greatest))) = (median(&times), range(&times)) {
        let cpu: Vec<f64> = row.runs.iter().map(|run| run.used.cpu.as_secs_f64()).collect();
        let memory = row.runs.iter().map(|run| run.used.memory).max().unwrap_or(0);
        cells.push(time(middle));
        cells.push(time(least));
        cells.push(match times.len() {
            1 => "-".to_owned(),
            _ => format!("{:.0} %", (greatest - least) / middle.max(1e-9) * 100.0),
        });
        cells.push(time(median(&cpu).unwrap_or(0.0)));
        cells.push(numbers::bytes(memory));
        cells.push(rate(stats, middle));
    } else {
        cells.extend(vec!["-".to_owned(); COLUMNS - 2]);
    }
    cells.push(match (&row.problem, race.ratio(row)) {
        (Some(Problem::Failed(how)), _) => format!("failed: {how}"),
        (Some(Problem::WrongCopy(difference)), _) => format!("wrong: {difference}"),
        (None, Some(ratio)) if row.command.preserves_less => {
            format!("{ratio:>5.2} (preserves less)")
        }
        (None, Some(ratio)) => format!("{ratio:.2}"),
        (None, None) => "-".to_owned(),
    });
    cells
}

/// Formats the speed of a copy, in files or bytes per second.
fn rate(stats: &TreeStats, seconds: f64) -> String {
    let per_second = |number: u64| (number as f64 / seconds.max(1e-9)).round() as u64;
    match stats.is_rated_in_files() {
        true => numbers::count(per_second(stats.names())),
        false => numbers::bytes(per_second(stats.data())),
    }
}

/// Formats a time. From 10 ms to 1000 s it has three or four significant digits.
fn time(seconds: f64) -> String {
    match seconds {
        ..0.1 => format!("{:.1} ms", seconds * 1000.0),
        ..10.0 => format!("{seconds:.3} s"),
        _ => format!("{seconds:.1} s"),
    }
}

/// Formats lines of cells. The first column is aligned left, the others right. A long cell in the last column
/// extends beyond that column.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let cells = cells.filter(|cell| column < COLUMNS - 1 || cell.len() <= RATIO_WIDTH);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
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
    use super::super::results::tests::{race, row};
    use super::*;

    #[test]
    fn times_have_three_or_four_significant_digits() {
        for (seconds, text) in
            [(0.0123, "12.3 ms"), (0.1, "0.100 s"), (9.9994, "9.999 s"), (12.34, "12.3 s")]
        {
            assert_eq!(time(seconds), text);
        }
    }

    #[test]
    fn columns_are_aligned_and_a_long_problem_does_not_widen_the_last_one() {
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
    fn holes_do_not_count_in_bytes_per_second() {
        let stats =
            TreeStats { files: 1, bytes: 4 << 30, allocated: 64_000_000, ..TreeStats::default() };
        assert_eq!(rate(&stats, 2.0), "32 MB");
        let full = TreeStats { allocated: 4 << 30, ..stats };
        assert_eq!(rate(&full, 2.0), "2.1 GB");
    }

    #[test]
    fn a_single_run_has_no_spread() {
        let stats = TreeStats { files: 1, ..TreeStats::default() };
        let race = race(vec![row("pcopy", &[1.0]), row("cp", &[1.0, 2.0])]);
        assert_eq!(cells(&race, &race.rows[0], &stats)[3], "-");
        assert_eq!(cells(&race, &race.rows[1], &stats)[3], "67 %");
    }
}
