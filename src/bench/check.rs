//! What is looked at before anything is measured.

use super::options::{Options, Source};
use super::place::{Place, check_room};
use super::stop::Stop;
use super::trees::{Entry, Tree};
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
    if options.cold && matches!(kind(read_from)?.as_str(), "tmpfs" | "ramfs") {
        let name = quote(read_from.as_os_str().as_encoded_bytes());
        return Err(Stop::refuse(format!("{name} lies in memory and is never cold")));
    }
    for path in options.json.iter().chain(&options.charts) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        is_dir(parent.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// The kind of file system that `path` lies on.
pub(super) fn kind(path: &Path) -> Result<String, Stop> {
    volume::kind(path).map_err(|errno| Stop::cannot("open", path, &errno.into()))
}

/// Refuses if the largest of the trees, or its copy, has no room.
pub(super) fn room(place: &Place, trees: &[Tree]) -> Result<(), Stop> {
    for tree in trees {
        let (mut source, mut copy, mut entries) = (0, 0, 0);
        let block = |bytes: u64| bytes.next_multiple_of(4096);
        let counted: Result<(), Stop> = tree.each(|_, entry| {
            entries += 1;
            match entry {
                Entry::File { bytes, .. } => {
                    source += block(bytes);
                    copy += block(bytes);
                }
                // Some programs fill the holes, and some make two files of two names.
                Entry::Image { bytes, piece, at, .. } => {
                    source += piece * at.len() as u64;
                    copy += bytes;
                }
                Entry::Link(_) => copy += 4096,
                Entry::Folder | Entry::Symlink(_) => {}
            }
            Ok(())
        });
        counted?;
        let inodes = entries * 1024;
        check_room(&[
            (place.sources(), source + inodes, entries),
            (place.copies(), copy + inodes, entries),
        ])?;
    }
    Ok(())
}
