//! Draws the scaling chart of a race: pcopy's throughput over the number of copiers.

use super::super::results::{Case, Race, Results, Row};
use super::super::statistics::median;
use super::super::tree_stats::TreeStats;
use super::axis::{tick_label, tick_step, ticks};
use super::layout::{
    GRID, MARGIN, MUTED, OTHERS, PANEL_HEAD, PANEL_WIDTH, PCOPY, Panel, TEXT, centred, ending,
    short_label, starting,
};
use super::render::{Point, Shape};
use crate::ui::numbers;

const PLOT_HEIGHT: i32 = 300;

/// The edges of the plot. The labels of the ticks are to the left of it, and the names of the programs to the
/// right.
const LEFT: i32 = MARGIN + 66;
const RIGHT: i32 = PANEL_WIDTH - 130;
const BOTTOM: i32 = PANEL_HEAD + PLOT_HEIGHT;

/// The smallest vertical distance between the names of two programs.
const NAME_DISTANCE: i32 = 15;

/// Returns a panel with a curve for pcopy and, for comparison, a horizontal line for each other program.
pub(super) fn scaling_chart(results: &Results<'_>, case: &Case, race: &Race) -> Panel {
    let mut panel = Panel::for_race(results, case, race, PLOT_HEIGHT);
    let unit = Unit::for_tree(&case.stats);
    let throughput = |row| Some((row, unit.throughput(row)?));
    let valid = race.rows.iter().filter(|row| row.is_valid());
    let rows: Vec<(&Row, f64)> = valid.filter_map(throughput).collect();
    let scale = Scale::for_rows(&rows);
    draw_grid(&mut panel, &scale);
    draw_other_programs(&mut panel, &scale, &rows);
    draw_pcopy(&mut panel, &scale, &rows);
    let title = format!("{} per second by number of copiers (-j), higher is better", unit.name);
    panel.text(&title, (RIGHT, BOTTOM + 32), ending(12, MUTED));
    panel
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
}

impl Scale {
    /// Returns a scale that leaves a little space beyond the greatest values.
    fn for_rows(rows: &[(&Row, f64)]) -> Self {
        let most_jobs = rows.iter().filter_map(|(row, _)| jobs(row)).fold(1.0, f64::max);
        let most_throughput = rows.iter().map(|&(_, throughput)| throughput).fold(1e-9, f64::max);
        Self { most_jobs: most_jobs * 1.04, most_throughput: most_throughput * 1.08 }
    }

    fn x(&self, jobs: f64) -> i32 {
        LEFT + (jobs / self.most_jobs * f64::from(RIGHT - LEFT)) as i32
    }

    fn y(&self, throughput: f64) -> i32 {
        BOTTOM - (throughput / self.most_throughput * f64::from(PLOT_HEIGHT)) as i32
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
        panel.text(&label(tick, step), (LEFT - 8, y), ending(12, MUTED));
    }
}

fn draw_other_programs(panel: &mut Panel, scale: &Scale, rows: &[(&Row, f64)]) {
    let mut taken: Vec<i32> = Vec::new();
    for &(row, throughput) in rows.iter().filter(|(row, _)| jobs(row).is_none()) {
        let y = scale.y(throughput);
        panel.line(&[(LEFT, y), (RIGHT, y)], OTHERS, 2);
        // If two lines are close to each other, their names are moved apart.
        let is_free = |at: &i32| taken.iter().all(|other| (other - at).abs() >= NAME_DISTANCE);
        let nearest = (0..PLOT_HEIGHT).flat_map(|by| [y - by, y + by]).find(is_free).unwrap_or(y);
        taken.push(nearest);
        panel.text(&short_label(row), (RIGHT + 8, nearest), starting(12, TEXT));
    }
}

fn draw_pcopy(panel: &mut Panel, scale: &Scale, rows: &[(&Row, f64)]) {
    let mut own: Vec<(f64, f64)> =
        rows.iter().filter_map(|&(row, throughput)| Some((jobs(row)?, throughput))).collect();
    own.sort_by(|one, other| one.0.total_cmp(&other.0));
    let point = |&(jobs, throughput): &(f64, f64)| (scale.x(jobs), scale.y(throughput));
    let points: Vec<Point> = own.iter().map(point).collect();
    panel.line(&points, PCOPY, 2);
    for (&at, (jobs, _)) in points.iter().zip(&own) {
        panel.shapes.push(Shape::Dot { at, color: PCOPY });
        panel.text(&jobs.to_string(), (at.0, BOTTOM + 15), centred(12, MUTED));
    }
    if let Some(&(x, y)) = points.last() {
        panel.text("pcopy", (x, y - 14), ending(13, PCOPY));
    }
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
    fn few_files_are_measured_in_bytes_and_many_in_files() {
        let few =
            TreeStats { files: 20, bytes: 20 << 27, allocated: 20 << 27, ..TreeStats::default() };
        let megabytes = (20_u64 << 27) as f64 / 1e6;
        assert_eq!(Unit::for_tree(&few), Unit { name: "megabytes", total: megabytes });
        assert_eq!(Unit::for_tree(&TreeStats { files: 5000, ..few }).name, "files");
    }
}
