//! Charts: how long each program took, and what more copiers bring.

use super::axis::{marks, short, step};
use super::curves::curves;
use super::numbers::{median, range};
use super::picture::{self, Color, Format, Point, Shape, Side};
use super::report::{contents, human_number, state};
use super::rows::{Race, Row};
use super::stop::Stop;
use super::{Heat, Results};
use crate::human;
use crate::quote::quote;
use std::path::Path;

pub(super) const TEXT: Color = (38, 50, 56);
pub(super) const QUIET: Color = (110, 122, 130);
pub(super) const GRID: Color = (226, 230, 233);
pub(super) const OWN: Color = (0, 121, 137);
pub(super) const OTHERS: Color = (176, 187, 196);
const WHISKER: Color = (70, 84, 94);
const BAD: Color = (178, 60, 50);

/// The sizes of the parts.
const HEAD: i32 = 76;
pub(super) const PANEL: i32 = 700;
pub(super) const PANEL_HEAD: i32 = 62;
const PANEL_FOOT: i32 = 52;
const BAR: i32 = 30;
const LABELS: i32 = 190;
const VALUES: i32 = 100;
pub(super) const MARGIN: i32 = 24;

/// The whole picture as the contents of the file `path`.
pub(super) fn draw(results: &Results<'_>, path: &Path) -> Result<Vec<u8>, Stop> {
    let name = || quote(path.as_os_str().as_encoded_bytes());
    let cannot = |cause: &str| Stop::refuse(format!("cannot draw {}: {cause}", name()));
    let format =
        Format::of(path).ok_or_else(|| cannot("its name ends neither in .svg nor .png"))?;

    let races =
        || results.heats.iter().flat_map(|heat| heat.races.iter().map(move |race| (heat, race)));
    let mut panels: Vec<Panel> = races().map(|(heat, race)| bars(results, heat, race)).collect();
    if results.options.jobs.len() > 1 {
        panels.extend(races().map(|(heat, race)| curves(results, heat, race)));
    }
    let columns = panels.len().clamp(1, 2);
    let mut sheet = head(results);
    for row in panels.chunks_mut(columns) {
        for (panel, left) in row.iter_mut().zip((0..).step_by(PANEL as usize)) {
            sheet.take_in(panel, (left, sheet.height));
        }
        sheet.height += row.iter().map(|panel| panel.height).max().unwrap_or(0);
    }
    let size = (PANEL * columns as i32, sheet.height);
    picture::draw(&sheet.shapes, size, format).map_err(|cause| cannot(&cause))
}

/// One picture in the picture, measured from its own corner.
pub(super) struct Panel {
    height: i32,
    pub(super) shapes: Vec<Shape>,
}

impl Panel {
    pub(super) fn text(&mut self, words: &str, at: Point, size: i32, color: Color, side: Side) {
        self.shapes.push(Shape::Text { words: words.to_owned(), at, size, color, side });
    }

    pub(super) fn line(&mut self, points: &[Point], color: Color, width: u32) {
        self.shapes.push(Shape::Line { points: points.to_vec(), color, width });
    }

    /// Puts another panel's shapes at a place in this one.
    fn take_in(&mut self, other: &mut Self, (left, top): Point) {
        let moved = |at: &mut Point| *at = (at.0 + left, at.1 + top);
        for mut shape in other.shapes.drain(..) {
            match &mut shape {
                Shape::Text { at, .. } | Shape::Dot { at, .. } => moved(at),
                Shape::Line { points, .. } => points.iter_mut().for_each(moved),
                Shape::Bar { corners, .. } => corners.iter_mut().for_each(moved),
            }
            self.shapes.push(shape);
        }
    }
}

fn head(results: &Results<'_>) -> Panel {
    let mut head = Panel { height: HEAD, shapes: Vec::new() };
    let (machine, options) = (&results.machine, results.options);
    let title = format!("pcopy {} and other copiers", env!("CARGO_PKG_VERSION"));
    head.text(&title, (MARGIN, 28), 24, TEXT, Side::Left);
    let under = format!(
        "{}, Linux {}, {}, {}; {}",
        &machine.date[..10],
        machine.kernel,
        human_number(machine.processors as u64, "processor", "processors"),
        human::bytes(machine.memory),
        match options.runs {
            1 => "one run".to_owned(),
            many => format!("medians of {many} runs, and the fastest and slowest"),
        },
    );
    head.text(&under, (MARGIN, 56), 13, QUIET, Side::Left);
    head
}

/// A panel with its title.
pub(super) fn panel(results: &Results<'_>, heat: &Heat, race: &Race, height: i32) -> Panel {
    let mut panel = Panel { height: PANEL_HEAD + height + PANEL_FOOT, shapes: Vec::new() };
    let title = format!("{}: {}", heat.name, race.keep.describe());
    panel.text(&title, (MARGIN, 18), 16, TEXT, Side::Left);
    let under = format!("{}; {}", contents(&heat.facts), state(heat, results.options));
    panel.text(&under, (MARGIN, 40), 12, QUIET, Side::Left);
    panel
}

/// A bar for each program, as long as its median.
fn bars(results: &Results<'_>, heat: &Heat, race: &Race) -> Panel {
    let height = BAR * race.rows.len() as i32;
    let mut panel = panel(results, heat, race, height);
    let longest =
        race.rows.iter().filter_map(|row| Some(range(&row.walls())?.1)).fold(0.0, f64::max);
    let (left, right, bottom) = (MARGIN + LABELS, PANEL - VALUES, PANEL_HEAD + height);
    let place =
        |seconds: f64| left + (seconds / longest.max(1e-9) * f64::from(right - left)) as i32;
    // Small times are told in milliseconds.
    let (unit, factor) = if longest < 1.0 { ("milliseconds", 1000.0) } else { ("seconds", 1.0) };
    let step = step(longest * factor);
    for mark in marks(step, longest * factor) {
        let x = place(mark / factor);
        panel.line(&[(x, PANEL_HEAD - 4), (x, bottom + 4)], GRID, 1);
        panel.text(&short(mark, step), (x, bottom + 15), 12, QUIET, Side::Middle);
    }
    panel.text(&format!("{unit}, less is better"), (right, bottom + 32), 12, QUIET, Side::Right);
    for (row, top) in race.rows.iter().zip((PANEL_HEAD..).step_by(BAR as usize)) {
        let middle = top + BAR / 2;
        let own = row.line.tool == "pcopy";
        let (ink, color) = if own { (OWN, OWN) } else { (TEXT, OTHERS) };
        panel.text(&name(row), (left - 10, middle), 13, ink, Side::Right);
        let walls = row.walls();
        let (Some(time_taken), Some((least, greatest))) = (median(&walls), range(&walls)) else {
            panel.text("failed", (left + 8, middle), 13, BAD, Side::Left);
            continue;
        };
        let corners = [(left, top + 5), (place(time_taken).max(left + 1), top + BAR - 5)];
        panel.shapes.push(Shape::Bar { corners, color });
        let (from, to) = (place(least), place(greatest));
        panel.line(&[(from, middle), (to, middle)], WHISKER, 1);
        for end in [from, to] {
            panel.line(&[(end, middle - 4), (end, middle + 4)], WHISKER, 1);
        }
        let (words, ink) = match row.trouble {
            None => (three_digits(time_taken * factor), TEXT),
            Some(_) => ("wrong copy".to_owned(), BAD),
        };
        panel.text(&words, (place(greatest) + 8, middle), 13, ink, Side::Left);
    }
    panel
}

/// What a row is called where there is little room: without long options, but for pcopy's.
pub(super) fn name(row: &Row) -> String {
    let label = row.line.label.as_str();
    // The number of one of several programs with one name.
    let (label, number) = match label.rfind(" (") {
        Some(at) => label.split_at(at),
        None => (label, ""),
    };
    let short = match row.line.tool {
        "pcopy" => label,
        "tar" => "tar | tar",
        _ => label.split_once(" --").map_or(label, |(name, _)| name),
    };
    let less = if row.line.keeps_less { " (keeps less)" } else { "" };
    format!("{short}{number}{less}")
}

/// A number with three digits that count.
fn three_digits(number: f64) -> String {
    let places = match number {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{number:.places$}")
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::row;
    use super::name;

    #[test]
    fn short_names_keep_what_tells_rows_apart() {
        for (tool, label, keeps_less, expected) in [
            ("pcopy", "pcopy -j2 --preserve=none", false, "pcopy -j2 --preserve=none"),
            ("rsync", "rsync -rl --whole-file (2)", false, "rsync -rl (2)"),
            ("tar", "tar -c | tar -xm --no-same-owner (2)", false, "tar | tar (2)"),
            ("xcp", "xcp -r", true, "xcp -r (keeps less)"),
        ] {
            let mut row = row(tool, &[]);
            (row.line.label, row.line.keeps_less) = (label.to_owned(), keeps_less);
            assert_eq!(name(&row), expected);
        }
    }
}
