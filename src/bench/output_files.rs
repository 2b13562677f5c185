//! Writes the files with the results: JSON and charts.

use super::abort::Abort;
use super::bench_options::BenchOptions;
use super::results::Results;
use super::{chart, json_report};
use std::fs::{self, OpenOptions};
use std::path::Path;

/// Returns an error if a file cannot be written. This check comes before the runs, because they may take
/// hours.
pub(super) fn check_writable(options: &BenchOptions) -> Result<(), Abort> {
    options.json.iter().chain(&options.charts).try_for_each(|path| check_file(path))
}

/// Checks that the file can be opened for writing. Keeps the contents of an existing file, and removes a file
/// that the check itself has created.
fn check_file(path: &Path) -> Result<(), Abort> {
    let existing = fs::metadata(path);
    if existing.as_ref().is_ok_and(|of| !of.is_file() && !of.is_dir()) {
        return Ok(()); // the reader of a FIFO would take the close for the end of file
    }
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| Abort::cannot("write", path, &error))?;
    match existing {
        Ok(_) => Ok(()),
        Err(_) => fs::remove_file(path).map_err(|error| Abort::cannot("write", path, &error)),
    }
}

/// Writes all files. If one cannot be written, still writes the others, and returns the first error.
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
