//! Draws the bar chart of a race: the time of each program.

use super::super::results::{Case, Race, Results, Row};
use super::super::statistics::{median, range};
use super::axis::{tick_label, tick_step, ticks};
use super::layout::{
    GRID, MARGIN, MUTED, OTHERS, PANEL_WIDTH, PCOPY, PROBLEM, Panel, SMALL, TEXT, centred, ending,
    short_label, starting,
};
use super::render::{Rgb, Shape};
use super::scaling_chart::PLOT_HEIGHT;

const WHISKER: Rgb = (70, 84, 94);

/// The height of a bar including the space around it.
const BAR_HEIGHT: i32 = 26;

/// The left and right edges of the plot. The labels are to the left of it, and the values to the right.
const LEFT: i32 = MARGIN + 98;
const RIGHT: i32 = PANEL_WIDTH - 88;

/// Returns a panel with a bar for each row. The length of the bar is the median time, and a thin line over it
/// (the whisker) extends from the fastest to the slowest run.
///
/// If pcopy ran with several numbers of copiers, the scaling chart has all of them, and this chart only the fastest.
pub(super) fn bar_chart(results: &Results<'_>, case: &Case, race: &Race) -> Panel {
    let has_scaling_chart = results.options.jobs.len() > 1;
    let fastest = race.baseline().filter(|_| has_scaling_chart);
    let is_shown = |row: &&Row| {
        !row.command.is_pcopy() || fastest.is_none_or(|fastest| std::ptr::eq(*row, fastest))
    };
    let rows: Vec<&Row> = race.rows.iter().filter(is_shown).collect();
    let plot_height = BAR_HEIGHT * rows.len() as i32;
    let beside = if has_scaling_chart { PLOT_HEIGHT } else { 0 };
    let mut panel = Panel::for_race(results, case, race, plot_height.max(beside));
    let scale = TimeScale::for_rows(&rows);
    draw_axis(&mut panel, &scale, plot_height.max(beside));
    for (row, top) in rows.into_iter().zip((panel.plot_top..).step_by(BAR_HEIGHT as usize)) {
        draw_row(&mut panel, &scale, row, top);
    }
    panel
}

/// The horizontal axis, which shows time.
struct TimeScale {
    longest_seconds: f64,
    /// The unit of the labels, and the number of units in a second. If all times are less than a second, the
    /// unit is the millisecond.
    unit: &'static str,
    per_second: f64,
}

impl TimeScale {
    fn for_rows(rows: &[&Row]) -> Self {
        let slowest = |row: &&Row| range(&row.wall_seconds()).map(|(_, greatest)| greatest);
        let longest_seconds = rows.iter().filter_map(slowest).fold(0.0, f64::max);
        let (unit, per_second) =
            if longest_seconds < 1.0 { ("milliseconds", 1000.0) } else { ("seconds", 1.0) };
        Self { longest_seconds, unit, per_second }
    }

    fn x(&self, seconds: f64) -> i32 {
        LEFT + (seconds / self.longest_seconds.max(1e-9) * f64::from(RIGHT - LEFT)) as i32
    }
}

fn draw_axis(panel: &mut Panel, scale: &TimeScale, height: i32) {
    let longest = scale.longest_seconds * scale.per_second;
    let (top, bottom) = (panel.plot_top, panel.plot_top + height);
    let step = tick_step(longest);
    for tick in ticks(step, longest) {
        let x = scale.x(tick / scale.per_second);
        panel.line(&[(x, top - 4), (x, bottom + 4)], GRID, 1);
        panel.text(&tick_label(tick, step), (x, bottom + 14), centred(SMALL, MUTED));
    }
    let title = format!("{}, lower is better", scale.unit);
    panel.text(&title, (RIGHT, bottom + 32), ending(SMALL, MUTED));
}

fn draw_row(panel: &mut Panel, scale: &TimeScale, row: &Row, top: i32) {
    let middle = top + BAR_HEIGHT / 2;
    let is_pcopy = row.command.is_pcopy();
    let (text_color, bar_color) = if is_pcopy { (PCOPY, PCOPY) } else { (TEXT, OTHERS) };
    panel.text(&short_label(row), (LEFT - 10, middle), ending(SMALL, text_color));
    let times = row.wall_seconds();
    let (Some(time), Some((least, greatest))) = (median(&times), range(&times)) else {
        panel.text("failed", (LEFT + 8, middle), starting(SMALL, PROBLEM));
        return;
    };
    let corners = [(LEFT, top + 5), (scale.x(time).max(LEFT + 1), top + BAR_HEIGHT - 5)];
    panel.shapes.push(Shape::Bar { corners, color: bar_color });
    let (from, to) = (scale.x(least), scale.x(greatest));
    panel.line(&[(from, middle), (to, middle)], WHISKER, 1);
    for end in [from, to] {
        panel.line(&[(end, middle - 4), (end, middle + 4)], WHISKER, 1);
    }
    let (text, color) = match row.problem {
        None => (three_digits(time * scale.per_second), TEXT),
        Some(_) => ("wrong copy".to_owned(), PROBLEM),
    };
    panel.text(&text, (to + 8, middle), starting(SMALL, color));
}

/// Formats a number. From 1 to 999 it has three significant digits.
fn three_digits(number: f64) -> String {
    let places = match number {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{number:.places$}")
}
