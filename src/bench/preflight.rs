//! Checks that the benchmark can do on this machine what the options ask for, before it creates anything.

use super::abort::Abort;
use super::bench_options::{BenchOptions, BenchSource};
use super::output_files;
use crate::error::Refusal;
use crate::sanitize::quote;
use pcopy_sys::{Errno, process, statfs};
use std::fs;
use std::path::{Path, PathBuf};

/// Returns an error if a directory is missing, `--dir` is inside SRC, `--cold` is impossible, or an output
/// file cannot be written.
pub(super) fn check_options(options: &BenchOptions) -> Result<(), Abort> {
    check_is_dir(&options.dir)?;
    options.source_dir.as_deref().map_or(Ok(()), check_is_dir)?;
    let mut read_from = options.source_dir.as_ref().unwrap_or(&options.dir);
    if let BenchSource::Directory(path) = &options.source {
        check_is_dir(path)?;
        check_is_outside(&options.dir, path)?;
        read_from = path;
    }
    if options.cold {
        check_can_be_cold(read_from)?;
    }
    output_files::check_writable(options)
}

fn check_is_dir(path: &Path) -> Result<(), Abort> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Abort::cannot("open", path, &Errno::ENOTDIR.into())),
        Err(error) => Err(Abort::cannot("open", path, &error)),
    }
}

/// Returns an error if the working directory `dir` is inside the directory that is copied.
fn check_is_outside(dir: &Path, source: &Path) -> Result<(), Abort> {
    if !absolute(dir)?.starts_with(absolute(source)?) {
        return Ok(());
    }
    let [inner, outer] = [dir, source].map(|path| quote(path.as_os_str().as_encoded_bytes()));
    let refusal = Refusal { message: format!("{inner} lies inside {outer}"), hint: None };
    Err(refusal.hint("choose another working directory with --dir").into())
}

fn absolute(path: &Path) -> Result<PathBuf, Abort> {
    fs::canonicalize(path).map_err(|error| Abort::cannot("open", path, &error))
}

/// Returns an error if `--cold` is impossible: without root privileges, or if the source is on a file system
/// in memory.
fn check_can_be_cold(source: &Path) -> Result<(), Abort> {
    if !process::is_root() {
        return Err(Abort::error("--cold: only root can drop the page cache".into()));
    }
    if statfs::is_in_memory(&file_system_type(source)?) {
        let name = quote(source.as_os_str().as_encoded_bytes());
        return Err(Abort::error(format!("--cold: {name} is on a file system in memory")));
    }
    Ok(())
}

/// Returns the type of the file system that `path` is on.
pub(super) fn file_system_type(path: &Path) -> Result<String, Abort> {
    statfs::kind(path).map_err(|errno| Abort::cannot("open", path, &errno.into()))
}
