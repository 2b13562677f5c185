//! The layout that all charts share: colours, sizes, and panels with their titles.

use super::super::describe::{conditions, contents};
use super::super::results::{Case, Race, Results, Row};
use super::render::{Anchor, Point, Rgb, Shape, TextStyle};

pub(super) const TEXT: Rgb = (38, 50, 56);
pub(super) const MUTED: Rgb = (110, 122, 130);
pub(super) const GRID: Rgb = (226, 230, 233);
pub(super) const PCOPY: Rgb = (0, 121, 137);
pub(super) const OTHERS: Rgb = (176, 187, 196);
pub(super) const PROBLEM: Rgb = (178, 60, 50);

pub(super) const MARGIN: i32 = 24;
pub(super) const PANEL_WIDTH: i32 = 700;
/// The height of a panel's title.
pub(super) const PANEL_HEAD: i32 = 62;
/// The height of the axis labels below a plot.
const PANEL_FOOT: i32 = 52;

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
    pub(super) shapes: Vec<Shape>,
}

impl Panel {
    /// Returns an empty panel.
    pub(super) fn new(height: i32) -> Self {
        Self { height, shapes: Vec::new() }
    }

    /// Returns a panel for a race: a title, and below the title space for a plot of the height `plot_height`.
    pub(super) fn for_race(
        results: &Results<'_>,
        case: &Case,
        race: &Race,
        plot_height: i32,
    ) -> Self {
        let mut panel = Self::new(PANEL_HEAD + plot_height + PANEL_FOOT);
        let title = format!("{}: {}", case.name, race.keep.describe());
        panel.text(&title, (MARGIN, 18), starting(16, TEXT));
        let subtitle = format!("{}; {}", contents(&case.stats), conditions(case, results.options));
        panel.text(&subtitle, (MARGIN, 40), starting(12, MUTED));
        panel
    }

    pub(super) fn text(&mut self, text: &str, at: Point, style: TextStyle) {
        self.shapes.push(Shape::Text { text: text.to_owned(), at, style });
    }

    pub(super) fn line(&mut self, points: &[Point], color: Rgb, width: u32) {
        self.shapes.push(Shape::Line { points: points.to_vec(), color, width });
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

/// Returns a short label for a row. Long options are left out, except those of pcopy.
pub(super) fn short_label(row: &Row) -> String {
    let label = row.command.label.as_str();
    // The suffix " (2)" and so on marks the second and further programs of one name.
    let (label, number) = match label.rfind(" (") {
        Some(at) => label.split_at(at),
        None => (label, ""),
    };
    let short = match row.command.tool {
        "pcopy" => label,
        "tar" => "tar | tar",
        _ => label.split_once(" --").map_or(label, |(name, _)| name),
    };
    let less = if row.command.preserves_less { " (preserves less)" } else { "" };
    format!("{short}{number}{less}")
}

#[cfg(test)]
mod tests {
    use super::super::super::results::tests::row;
    use super::short_label;

    #[test]
    fn short_labels_keep_what_distinguishes_rows() {
        for (tool, label, preserves_less, expected) in [
            ("pcopy", "pcopy -j2 --preserve=none", false, "pcopy -j2 --preserve=none"),
            ("rsync", "rsync -rl --whole-file (2)", false, "rsync -rl (2)"),
            ("tar", "tar -c | tar -xm --no-same-owner (2)", false, "tar | tar (2)"),
            ("xcp", "xcp -r", true, "xcp -r (preserves less)"),
        ] {
            let mut row = row(tool, &[]);
            (row.command.label, row.command.preserves_less) = (label.to_owned(), preserves_less);
            assert_eq!(short_label(&row), expected);
        }
    }
}
