//! The layout that all charts share: colours, sizes, and panels with their titles.
//!
//! Two panels fit beside each other on a page of 840 pixels, the width of a page of documentation. All text has at least
//! 12 pixels there.

use super::super::describe::{conditions, contents};
use super::super::results::{Case, Race, Results, Row};
use super::super::tools::TOOLS;
use super::render::{Anchor, Dashes, Point, Rgb, Shape, TextStyle};

pub(super) const TEXT: Rgb = (38, 50, 56);
pub(super) const MUTED: Rgb = (96, 108, 116);
pub(super) const GRID: Rgb = (226, 230, 233);
pub(super) const PCOPY: Rgb = (0, 121, 137);
pub(super) const OTHERS: Rgb = (176, 187, 196);
pub(super) const PROBLEM: Rgb = (178, 60, 50);

/// The colours of the other programs' lines, in the order of [`TOOLS`]: as dark as text, and different also for people
/// who do not distinguish red and green.
const PEERS: [Rgb; TOOLS.len()] =
    [(70, 70, 70), (200, 80, 0), (130, 70, 160), (0, 90, 180), (150, 110, 0), (190, 50, 120)];

pub(super) const MARGIN: i32 = 16;
pub(super) const PANEL_WIDTH: i32 = 420;
/// The size of the smallest text.
pub(super) const SMALL: i32 = 12;
/// The width of a character of the smallest text, on average.
const CHARACTER_WIDTH: i32 = 7;
const LINE_HEIGHT: i32 = 17;
/// The height of the axis labels below a plot.
const PANEL_FOOT: i32 = 58;

/// Returns the style of a text that begins at its position.
pub(super) const fn starting(size: i32, color: Rgb) -> TextStyle {
    TextStyle { size, color, anchor: Anchor::Start }
}

/// Returns the style of a text that is centred on its position.
pub(super) const fn centred(size: i32, color: Rgb) -> TextStyle {
    TextStyle { size, color, anchor: Anchor::Middle }
}

/// Returns the style of a text that ends at its position.
pub(super) const fn ending(size: i32, color: Rgb) -> TextStyle {
    TextStyle { size, color, anchor: Anchor::End }
}

/// A rectangular part of the picture. Positions are relative to its upper left corner.
pub(super) struct Panel {
    pub(super) height: i32,
    /// The upper edge of the plot.
    pub(super) plot_top: i32,
    pub(super) shapes: Vec<Shape>,
}

impl Panel {
    /// Returns a panel of the height of its title, which has these lines. Long lines are broken.
    pub(super) fn with_title(title: &str, size: i32, width: i32, lines: &[String]) -> Self {
        let mut panel = Self { height: MARGIN + size, plot_top: 0, shapes: Vec::new() };
        panel.text(title, (MARGIN, MARGIN + size / 2), starting(size, TEXT));
        let characters = (width - 2 * MARGIN) / CHARACTER_WIDTH;
        for line in lines.iter().flat_map(|line| broken(line, characters as usize)) {
            panel.text(&line, (MARGIN, panel.height + LINE_HEIGHT / 2 + 4), starting(SMALL, MUTED));
            panel.height += LINE_HEIGHT;
        }
        panel
    }

    /// Returns a panel for a race: a title, and below the title space for a plot of the height `plot_height`.
    pub(super) fn for_race(
        results: &Results<'_>,
        case: &Case,
        race: &Race,
        plot_height: i32,
    ) -> Self {
        let title = format!("{}: {}", case.name, race.keep.describe());
        let lines = [contents(&case.stats), conditions(case, results.options)];
        let mut panel = Self::with_title(&title, 14, PANEL_WIDTH, &lines);
        panel.plot_top = panel.height + 34;
        panel.height = panel.plot_top + plot_height + PANEL_FOOT;
        if race.rows.iter().any(|row| row.command.preserves_less) {
            let at = (MARGIN, panel.height - PANEL_FOOT + 32);
            panel.text("* preserves less", at, starting(SMALL, MUTED));
        }
        panel
    }

    pub(super) fn text(&mut self, text: &str, at: Point, style: TextStyle) {
        self.shapes.push(Shape::Text { text: text.to_owned(), at, style });
    }

    pub(super) fn line(&mut self, points: &[Point], color: Rgb, width: u32) {
        let dashes = Dashes::NONE;
        self.shapes.push(Shape::Line { points: points.to_vec(), color, width, dashes });
    }

    /// Moves the shapes of another panel into this one. The other panel's upper left corner is placed at this
    /// position.
    pub(super) fn insert(&mut self, other: Self, (left, top): Point) {
        let shift = |at: &mut Point| *at = (at.0 + left, at.1 + top);
        for mut shape in other.shapes {
            match &mut shape {
                Shape::Text { at, .. } | Shape::Dot { at, .. } => shift(at),
                Shape::Line { points, .. } => points.iter_mut().for_each(shift),
                Shape::Bar { corners, .. } => corners.iter_mut().for_each(shift),
            }
            self.shapes.push(shape);
        }
    }
}

/// Breaks a line at spaces, so that each part has at most this number of characters, if its words permit that.
fn broken(line: &str, characters: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    for word in line.split(' ') {
        let part = parts.last_mut().expect("there is always a part");
        if part.is_empty() {
            *part = word.to_owned();
        } else if part.chars().count() + 1 + word.chars().count() <= characters {
            *part = format!("{part} {word}");
        } else {
            parts.push(word.to_owned());
        }
    }
    parts
}

/// Returns a short label for a row: the program, and pcopy's number of copiers. The title of the panel says what
/// is preserved.
pub(super) fn short_label(row: &Row) -> String {
    let label = row.command.label.as_str();
    // The suffix " (2)" and so on marks the second and further programs of one name.
    let (label, number) = match label.rfind(" (") {
        Some(at) => label.split_at(at),
        None => (label, ""),
    };
    let short = match (row.command.tool, row.command.jobs) {
        ("pcopy", Some(jobs)) => &format!("pcopy -j{jobs}"),
        ("pcopy", None) => "pcopy",
        ("tar", _) => "tar | tar",
        _ => label.split_once(" --").map_or(label, |(name, _)| name),
    };
    let less = if row.command.preserves_less { " *" } else { "" };
    format!("{short}{number}{less}")
}

/// Returns the colour and the dashes of the line for a row of another program. `others` are the rows of the same
/// program before it: their lines have the same colour and other dashes.
pub(super) fn line_style(tool: &str, others: usize) -> (Rgb, Dashes) {
    let known = TOOLS.iter().position(|(name, _)| *name == tool);
    let number = known.unwrap_or(0);
    (PEERS[number], Dashes::ALL[(number + others) % Dashes::ALL.len()])
}

#[cfg(test)]
mod tests {
    use super::super::super::results::tests::row;
    use super::*;

    #[test]
    fn short_labels_keep_what_distinguishes_rows() {
        for (tool, label, jobs, preserves_less, expected) in [
            ("pcopy", "pcopy -j2 --preserve=none", Some(2), false, "pcopy -j2"),
            ("pcopy", "pcopy -a", None, false, "pcopy"),
            ("rsync", "rsync -rl --whole-file (2)", None, false, "rsync -rl (2)"),
            ("tar", "tar -c | tar -xm --no-same-owner (2)", None, false, "tar | tar (2)"),
            ("xcp", "xcp -r", None, true, "xcp -r *"),
        ] {
            let mut row = row(tool, &[]);
            (row.command.label, row.command.preserves_less) = (label.to_owned(), preserves_less);
            row.command.jobs = jobs;
            assert_eq!(short_label(&row), expected);
        }
    }

    #[test]
    fn a_long_line_is_broken_at_spaces() {
        assert_eq!(broken("one two three", 7), ["one two", "three"]);
        assert_eq!(broken("one two", 3), ["one", "two"]);
        assert_eq!(broken("incompressible", 3), ["incompressible"]);
    }

    #[test]
    fn no_two_programs_have_the_same_line() {
        let styles = TOOLS.map(|(name, _)| line_style(name, 0));
        for (number, style) in styles.iter().enumerate() {
            assert!(!styles[..number].iter().any(|other| other.0 == style.0), "{number}");
        }
        assert!(line_style("cp", 0).1 != line_style("cp", 1).1);
    }
}
