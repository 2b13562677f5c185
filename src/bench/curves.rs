//! The chart that shows what more copiers bring.

use super::axis::{marks, short, step};
use super::chart::{GRID, MARGIN, OTHERS, OWN, PANEL, PANEL_HEAD, Panel, QUIET, TEXT, name, panel};
use super::numbers::median;
use super::picture::{Point, Shape, Side};
use super::report::counts_files;
use super::rows::{Race, Row};
use super::survey::Facts;
use super::{Heat, Results};
use crate::human;

/// How high it is.
const CURVES: i32 = 300;

/// What pcopy does in a second with more and more copiers, and the others for comparison.
pub(super) fn curves(results: &Results<'_>, heat: &Heat, race: &Race) -> Panel {
    let mut panel = panel(results, heat, race, CURVES);
    let (what, each, number) = unit(&heat.facts);
    let rate = |row: &Row| Some(number / median(&row.walls())? / each);
    let rates: Vec<(&Row, f64)> = race
        .rows
        .iter()
        .filter(|row| row.is_fair())
        .filter_map(|row| Some((row, rate(row)?)))
        .collect();
    let jobs = |row: &Row| row.line.jobs.map(f64::from);
    let most_jobs = rates.iter().filter_map(|(row, _)| jobs(row)).fold(1.0, f64::max) * 1.04;
    let most = rates.iter().map(|&(_, rate)| rate).fold(1e-9, f64::max) * 1.08;
    let (left, right, bottom) = (MARGIN + 66, PANEL - 130, PANEL_HEAD + CURVES);
    let high = |rate: f64| bottom - (rate / most * f64::from(CURVES)) as i32;
    let step = step(most);
    for mark in marks(step, most) {
        panel.line(&[(left, high(mark)), (right, high(mark))], GRID, 1);
        panel.text(&words(mark, step), (left - 8, high(mark)), 12, QUIET, Side::Right);
    }
    let mut taken: Vec<i32> = Vec::new();
    for &(row, rate) in rates.iter().filter(|(row, _)| row.line.jobs.is_none()) {
        let y = high(rate);
        panel.line(&[(left, y), (right, y)], OTHERS, 2);
        // Names of lines that lie close to one another make room.
        let free = |at: &i32| taken.iter().all(|other| (other - at).abs() >= 15);
        let label = (0..CURVES).flat_map(|by| [y - by, y + by]).find(free).unwrap_or(y);
        taken.push(label);
        panel.text(&name(row), (right + 8, label), 12, TEXT, Side::Left);
    }
    let mut own: Vec<(f64, f64)> =
        rates.iter().filter_map(|&(row, rate)| Some((jobs(row)?, rate))).collect();
    own.sort_by(|one, other| one.0.total_cmp(&other.0));
    let across = |jobs: f64| left + (jobs / most_jobs * f64::from(right - left)) as i32;
    let points: Vec<Point> = own.iter().map(|&(jobs, rate)| (across(jobs), high(rate))).collect();
    panel.line(&points, OWN, 2);
    for (&at, (jobs, _)) in points.iter().zip(&own) {
        panel.shapes.push(Shape::Dot { at, color: OWN });
        panel.text(&jobs.to_string(), (at.0, bottom + 15), 12, QUIET, Side::Middle);
    }
    if let Some(&(x, y)) = points.last() {
        panel.text("pcopy", (x, y - 14), 13, OWN, Side::Right);
    }
    let under = format!("{what} a second over the number of copiers (-j), more is better");
    panel.text(&under, (right, bottom + 32), 12, QUIET, Side::Right);
    panel
}

/// What is counted, how much of it is one on the axis, and how much there is.
///
/// Of a few large files it is bytes, as in the table.
fn unit(facts: &Facts) -> (&'static str, f64, f64) {
    match counts_files(facts) {
        true => ("files", 1.0, facts.names() as f64),
        false => ("megabytes", 1e6, facts.data() as f64),
    }
}

/// A mark: thousands are parted, and fractions are not cut off.
fn words(mark: f64, step: f64) -> String {
    if step < 1.0 { short(mark, step) } else { human::count(mark.round() as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_slow_copies_are_not_all_zero() {
        let words: Vec<_> = marks(step(2.2), 2.2).map(|mark| words(mark, step(2.2))).collect();
        assert_eq!(words, ["0.0", "0.5", "1.0", "1.5", "2.0"]);
        assert_eq!(super::words(40_000.0, 20_000.0), "40,000");
    }

    #[test]
    fn few_files_are_measured_in_bytes_and_many_in_files() {
        let few = Facts { files: 20, bytes: 20 << 27, allocated: 20 << 27, ..Facts::default() };
        assert_eq!(unit(&few), ("megabytes", 1e6, (20_u64 << 27) as f64));
        assert_eq!(unit(&Facts { files: 5000, ..few }).0, "files");
    }
}
