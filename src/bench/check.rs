//! What is looked at before anything is measured.

use super::options::{Options, Source};
use super::outputs;
use super::stop::Stop;
use crate::error::Refusal;
use crate::quote::quote;
use crate::sys::{Errno, process, volume};
use std::fs;
use std::path::Path;

/// Refuses wishes that cannot go well.
pub(super) fn wishes(options: &Options) -> Result<(), Stop> {
    let is_dir = |path: &Path| match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Stop::cannot("open", path, &Errno::ENOTDIR.into())),
        Err(error) => Err(Stop::cannot("open", path, &error)),
    };
    is_dir(&options.dir)?;
    options.source_dir.as_deref().map_or(Ok(()), is_dir)?;
    let mut read_from = options.source_dir.as_deref().unwrap_or(&options.dir);
    if let Source::Folder(path) = &options.source {
        is_dir(path)?;
        read_from = path;
        let whole = |path: &Path| {
            fs::canonicalize(path).map_err(|error| Stop::cannot("open", path, &error))
        };
        if whole(&options.dir)?.starts_with(whole(path)?) {
            let [inner, outer] =
                [&options.dir, path].map(|path| quote(path.as_os_str().as_encoded_bytes()));
            return Err(Stop::Refused(
                Refusal { message: format!("{inner} lies inside {outer}"), hint: None }
                    .hint("name another folder to work in with --dir"),
            ));
        }
    }
    if options.cold && !process::is_root() {
        return Err(Stop::refuse("only root can empty the caches for --cold".into()));
    }
    if options.cold && volume::is_in_memory(&kind(read_from)?) {
        let name = quote(read_from.as_os_str().as_encoded_bytes());
        return Err(Stop::refuse(format!("{name} lies in memory and is never cold")));
    }
    outputs::try_all(options)
}

/// The kind of file system that `path` lies on.
pub(super) fn kind(path: &Path) -> Result<String, Stop> {
    volume::kind(path).map_err(|errno| Stop::cannot("open", path, &errno.into()))
}
