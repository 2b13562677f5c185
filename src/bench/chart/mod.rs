//! Draws charts: a bar chart for each race and, if `--jobs` has several values, a chart of pcopy's throughput
//! over the number of copiers.

mod axis;
mod bar_chart;
mod layout;
mod render;
mod scaling_chart;

use super::abort::Abort;
use super::describe::quantity;
use super::results::Results;
use crate::sanitize::quote;
use crate::ui::numbers;
use bar_chart::bar_chart;
use layout::{MARGIN, PANEL_WIDTH, Panel};
use scaling_chart::scaling_chart;
use std::path::Path;

pub use render::ImageFormat;

/// Draws all charts into one picture. Returns the contents of the file `path`; the extension of the file name
/// selects the format.
pub(super) fn draw(results: &Results<'_>, path: &Path) -> Result<Vec<u8>, Abort> {
    let cannot = |cause: &str| {
        let name = quote(path.as_os_str().as_encoded_bytes());
        Abort::error(format!("cannot draw {name}: {cause}"))
    };
    let format = ImageFormat::of(path);
    let format = format.ok_or_else(|| cannot("the file name must end in .svg or .png"))?;

    let mut panels = Vec::new();
    for (case, race) in
        results.cases.iter().flat_map(|case| case.races.iter().map(move |race| (case, race)))
    {
        panels.push(bar_chart(results, case, race));
        if results.options.jobs.len() > 1 {
            panels.push(scaling_chart(results, case, race));
        }
    }
    let columns = panels.len().clamp(1, 2);
    let width = PANEL_WIDTH * columns as i32;
    let sheet = arrange(title(results, width), panels, width);
    let size = (width, sheet.height);
    render::render(&sheet.shapes, size, format).map_err(|cause| cannot(&cause))
}

/// Places the panels below the title, in rows from left to right.
fn arrange(title: Panel, panels: Vec<Panel>, width: i32) -> Panel {
    let mut sheet = title;
    let (mut left, mut row_height) = (0, 0);
    for panel in panels {
        if left == width {
            sheet.height += row_height;
            (left, row_height) = (0, 0);
        }
        row_height = row_height.max(panel.height);
        let top = sheet.height;
        sheet.insert(panel, (left, top));
        left += PANEL_WIDTH;
    }
    sheet.height += row_height;
    sheet
}

fn title(results: &Results<'_>, width: i32) -> Panel {
    let (machine, options) = (&results.machine, results.options);
    let title = format!("pcopy {} and other copy programs", env!("CARGO_PKG_VERSION"));
    let subtitle = format!(
        "{}, Linux {}, {}, {}; {}",
        &machine.date[..10],
        machine.kernel_version(),
        quantity(machine.cpus as u64, "CPU", "CPUs"),
        numbers::bytes(machine.memory),
        match options.runs {
            1 => "one run".to_owned(),
            runs => format!("median, fastest and slowest of {runs} runs"),
        },
    );
    let mut panel = Panel::with_title(&title, 20, width, &[subtitle]);
    panel.height += MARGIN;
    panel
}
