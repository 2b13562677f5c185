//! The files for the results: JSON and charts.

use super::abort::Abort;
use super::bench_options::BenchOptions;
use super::results::Results;
use super::{chart, json_report};
use std::fs::{self, OpenOptions};
use std::path::Path;

/// Fails if a file cannot be written: it is better to know before the runs, which may take hours.
pub(super) fn check_writable(options: &BenchOptions) -> Result<(), Abort> {
    options.json.iter().chain(&options.charts).try_for_each(|path| check_file(path))
}

/// Opens the file for writing, without changing its contents. Removes it if it did not exist.
fn check_file(path: &Path) -> Result<(), Abort> {
    let existing = fs::metadata(path);
    if existing.as_ref().is_ok_and(|of| !of.is_file() && !of.is_dir()) {
        return Ok(()); // to open and close a FIFO would be the end of file for its reader
    }
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| Abort::cannot("write", path, &error))?;
    match existing {
        Ok(_) => Ok(()),
        Err(_) => fs::remove_file(path).map_err(|error| Abort::cannot("write", path, &error)),
    }
}

/// Writes all files. If one cannot be written, the others are written nevertheless, and the first
/// error is returned.
pub(super) fn save(results: &Results<'_>) -> Result<(), Abort> {
    let mut written = Vec::new();
    if let Some(path) = &results.options.json {
        written.push(write(path, json_report::text(results).as_bytes()));
    }
    for path in &results.options.charts {
        written.push(chart::draw(results, path).and_then(|image| write(path, &image)));
    }
    written.into_iter().collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Abort> {
    fs::write(path, bytes).map_err(|error| Abort::cannot("write", path, &error))
}
