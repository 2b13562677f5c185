//! The files that numbers and charts are written to.

use super::options::Options;
use super::stop::Stop;
use super::{Results, chart, json};
use std::fs::{self, OpenOptions};
use std::path::Path;

/// Refuses what cannot be written, before hours are spent on what is to be written.
pub(super) fn try_all(options: &Options) -> Result<(), Stop> {
    options.json.iter().chain(&options.charts).try_for_each(|path| try_out(path))
}

/// Opens the file as it will be opened in the end, and leaves what is there as it is.
fn try_out(path: &Path) -> Result<(), Stop> {
    let there = fs::metadata(path);
    if there.as_ref().is_ok_and(|of| !of.is_file() && !of.is_dir()) {
        return Ok(()); // who reads from a FIFO would take this for the end
    }
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| Stop::cannot("write", path, &error))?;
    match there {
        Ok(_) => Ok(()),
        Err(_) => fs::remove_file(path).map_err(|error| Stop::cannot("write", path, &error)),
    }
}

/// Writes all of them; the first failure is told, and the others are written all the same.
pub(super) fn save(results: &Results<'_>) -> Result<(), Stop> {
    let mut ends = Vec::new();
    if let Some(path) = &results.options.json {
        ends.push(write(path, json::text(results).as_bytes()));
    }
    for path in &results.options.charts {
        ends.push(chart::draw(results, path).and_then(|picture| write(path, &picture)));
    }
    ends.into_iter().collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Stop> {
    fs::write(path, bytes).map_err(|error| Stop::cannot("write", path, &error))
}
