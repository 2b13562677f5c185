//! Draws the scaling chart of a race: pcopy's throughput over the number of copiers.

use super::super::results::{Case, Race, Results, Row};
use super::super::statistics::median;
use super::super::tree_stats::TreeStats;
use super::axis::{tick_label, tick_step, ticks};
use super::layout::{
    GRID, MARGIN, MUTED, PANEL_WIDTH, PCOPY, Panel, SMALL, centred, ending, line_style,
    short_label, starting,
};
use super::render::{Dashes, Point, Rgb, Shape};
use crate::ui::numbers;

pub(super) const PLOT_HEIGHT: i32 = 200;

/// The edges of the plot. The labels of the ticks are to the left of it, and the names of the programs to the
/// right.
const LEFT: i32 = MARGIN + 54;
const RIGHT: i32 = PANEL_WIDTH - 104;

/// The smallest vertical distance between the names of two programs.
const NAME_DISTANCE: i32 = 15;

/// Returns a panel with a curve for pcopy and, for comparison, a horizontal line for each other program.
pub(super) fn scaling_chart(results: &Results<'_>, case: &Case, race: &Race) -> Panel {
    let mut panel = Panel::for_race(results, case, race, PLOT_HEIGHT);
    let unit = Unit::for_tree(&case.stats);
    let throughput = |row| Some((row, unit.throughput(row)?));
    let valid = race.rows.iter().filter(|row| row.is_valid());
    let rows: Vec<(&Row, f64)> = valid.filter_map(throughput).collect();
    let scale = Scale::for_rows(&rows, panel.plot_top + PLOT_HEIGHT);
    draw_grid(&mut panel, &scale);
    let mut lines = draw_other_programs(&mut panel, &scale, &rows);
    lines.extend(draw_pcopy(&mut panel, &scale, &rows));
    draw_names(&mut panel, lines);
    let vertical = format!("{} per second, higher is better", unit.name);
    panel.text(&vertical, (MARGIN, panel.plot_top - 14), starting(SMALL, MUTED));
    let horizontal = "number of copiers (-j)";
    panel.text(horizontal, (RIGHT, scale.bottom + 32), ending(SMALL, MUTED));
    panel
}

/// The line of a program, which has the program's name at its right end.
struct NamedLine {
    /// The vertical position of the right end.
    y: i32,
    /// The horizontal position of the right end.
    end: i32,
    color: Rgb,
    name: String,
}

/// The unit of a tree's throughput.
#[derive(PartialEq, Debug)]
struct Unit {
    name: &'static str,
    /// The size of the tree in this unit.
    total: f64,
}

impl Unit {
    /// Selects the same unit as the table: files, or megabytes for a tree of a few large files.
    fn for_tree(stats: &TreeStats) -> Self {
        match stats.is_rated_in_files() {
            true => Self { name: "files", total: stats.names() as f64 },
            false => Self { name: "megabytes", total: stats.data() as f64 / 1e6 },
        }
    }

    /// Returns the throughput of a row in units per second.
    fn throughput(&self, row: &Row) -> Option<f64> {
        Some(self.total / median(&row.wall_seconds())?)
    }
}

/// The scale of both axes.
struct Scale {
    most_jobs: f64,
    most_throughput: f64,
    bottom: i32,
}

impl Scale {
    /// Returns a scale that leaves a little space beyond the greatest values.
    fn for_rows(rows: &[(&Row, f64)], bottom: i32) -> Self {
        let most_jobs = rows.iter().filter_map(|(row, _)| jobs(row)).fold(1.0, f64::max);
        let most_throughput = rows.iter().map(|&(_, throughput)| throughput).fold(1e-9, f64::max);
        Self { most_jobs: most_jobs * 1.04, most_throughput: most_throughput * 1.08, bottom }
    }

    fn x(&self, jobs: f64) -> i32 {
        LEFT + (jobs / self.most_jobs * f64::from(RIGHT - LEFT)) as i32
    }

    fn y(&self, throughput: f64) -> i32 {
        self.bottom - (throughput / self.most_throughput * f64::from(PLOT_HEIGHT)) as i32
    }
}

fn jobs(row: &Row) -> Option<f64> {
    row.command.jobs.map(f64::from)
}

fn draw_grid(panel: &mut Panel, scale: &Scale) {
    let step = tick_step(scale.most_throughput);
    for tick in ticks(step, scale.most_throughput) {
        let y = scale.y(tick);
        panel.line(&[(LEFT, y), (RIGHT, y)], GRID, 1);
        panel.text(&label(tick, step), (LEFT - 8, y), ending(SMALL, MUTED));
    }
}

fn draw_other_programs(panel: &mut Panel, scale: &Scale, rows: &[(&Row, f64)]) -> Vec<NamedLine> {
    let mut lines = Vec::new();
    let mut tools = Vec::new();
    for &(row, throughput) in rows.iter().filter(|(row, _)| !row.command.is_pcopy()) {
        let (y, tool) = (scale.y(throughput), row.command.tool);
        let before = tools.iter().filter(|&&other| other == tool).count();
        let (color, dashes) = line_style(tool, before);
        tools.push(tool);
        let points = vec![(LEFT, y), (RIGHT, y)];
        panel.shapes.push(Shape::Line { points, color, width: 2, dashes });
        lines.push(NamedLine { y, end: RIGHT, color, name: short_label(row) });
    }
    lines
}

fn draw_pcopy(panel: &mut Panel, scale: &Scale, rows: &[(&Row, f64)]) -> Option<NamedLine> {
    let mut own: Vec<(f64, f64)> =
        rows.iter().filter_map(|&(row, throughput)| Some((jobs(row)?, throughput))).collect();
    own.sort_by(|one, other| one.0.total_cmp(&other.0));
    let point = |&(jobs, throughput): &(f64, f64)| (scale.x(jobs), scale.y(throughput));
    let points: Vec<Point> = own.iter().map(point).collect();
    panel.shapes.push(Shape::Line {
        points: points.clone(),
        color: PCOPY,
        width: 2,
        dashes: Dashes::NONE,
    });
    for (&at, (jobs, _)) in points.iter().zip(&own) {
        panel.shapes.push(Shape::Dot { at, color: PCOPY });
        panel.text(&jobs.to_string(), (at.0, scale.bottom + 14), centred(SMALL, MUTED));
    }
    let &(end, y) = points.last()?;
    Some(NamedLine { y, end, color: PCOPY, name: "pcopy".to_owned() })
}

/// Writes the names of the programs to the right of their lines, in the order of the lines. A thin line leads from
/// each line to its name.
fn draw_names(panel: &mut Panel, mut lines: Vec<NamedLine>) {
    lines.sort_by_key(|line| line.y);
    let ends: Vec<i32> = lines.iter().map(|line| line.y).collect();
    for (line, at) in lines.iter().zip(spread(&ends, panel.plot_top + PLOT_HEIGHT)) {
        let points = [(line.end, line.y), (RIGHT, line.y), (RIGHT + 10, at), (RIGHT + 14, at)];
        panel.line(&points, line.color, 1);
        panel.text(&line.name, (RIGHT + 18, at), starting(SMALL, line.color));
    }
}

/// Returns positions in the order of `wanted`, which is sorted, and close to these: each at least [`NAME_DISTANCE`]
/// below the one before it, and none below `bottom` if they all fit above it.
fn spread(wanted: &[i32], bottom: i32) -> Vec<i32> {
    let mut positions = wanted.to_vec();
    // Names that would overlap are a group, which is centred on the middle of its lines.
    let mut groups: Vec<(i32, i32)> = Vec::new(); // the number of names, and the sum of their positions
    for &y in wanted {
        groups.push((1, y));
        while let [.., (one, above), (other, below)] = groups[..] {
            let ends = above / one + NAME_DISTANCE * (one - 1) / 2;
            let begins = below / other - NAME_DISTANCE * (other - 1) / 2;
            if begins - ends >= NAME_DISTANCE {
                break;
            }
            groups.truncate(groups.len() - 2);
            groups.push((one + other, above + below));
        }
    }
    let mut number = 0;
    for (names, sum) in groups {
        let first = sum / names - NAME_DISTANCE * (names - 1) / 2;
        for name in 0..names {
            positions[number] = first + NAME_DISTANCE * name;
            number += 1;
        }
    }
    let mut lowest = bottom;
    for position in positions.iter_mut().rev() {
        *position = (*position).min(lowest);
        lowest = *position - NAME_DISTANCE;
    }
    positions
}

/// Returns the label of a tick: with thousands separators or, for steps below 1, with decimal places.
fn label(tick: f64, step: f64) -> String {
    if step < 1.0 { tick_label(tick, step) } else { numbers::count(tick.round() as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticks_of_slow_copies_have_different_labels() {
        let step = tick_step(2.2);
        let labels: Vec<_> = ticks(step, 2.2).map(|tick| label(tick, step)).collect();
        assert_eq!(labels, ["0.0", "0.5", "1.0", "1.5", "2.0"]);
        assert_eq!(label(40_000.0, 20_000.0), "40,000");
    }

    #[test]
    fn names_are_in_the_order_of_their_lines_and_do_not_overlap() {
        for wanted in [
            &[10, 100][..],
            &[50, 50, 50, 50],
            &[50, 52, 54, 90, 91, 200],
            &[190, 195, 199, 200, 200],
            &[10, 24, 38, 52, 66, 80],
        ] {
            let positions = spread(wanted, 200);
            let far = positions.windows(2).all(|two| two[1] - two[0] >= NAME_DISTANCE);
            assert!(far && positions.iter().all(|&y| y <= 200), "{wanted:?}: {positions:?}");
        }
        assert_eq!(spread(&[10, 100], 200), [10, 100]);
        assert_eq!(spread(&[50, 50, 50], 200), [35, 50, 65]);
    }

    #[test]
    fn few_files_are_measured_in_bytes_and_many_in_files() {
        let few =
            TreeStats { files: 20, bytes: 20 << 27, allocated: 20 << 27, ..TreeStats::default() };
        let megabytes = (20_u64 << 27) as f64 / 1e6;
        assert_eq!(Unit::for_tree(&few), Unit { name: "megabytes", total: megabytes });
        assert_eq!(Unit::for_tree(&TreeStats { files: 5000, ..few }).name, "files");
    }
}
