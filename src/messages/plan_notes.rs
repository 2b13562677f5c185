//! Notes of the plan, in words.

use super::{Names, gnu};
use crate::ipc::wire::event::Details;
use crate::options::Compat;
use crate::plan::{NoteKind, ParentError};
use crate::sanitize;
use pcopy_sys::describe;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A note, without the program's name before it.
pub fn note(compat: Compat, note: &NoteKind) -> String {
    let quote = |path: &Path| quote(compat, path);
    match note {
        NoteKind::ContextIgnored => {
            "warning: ignoring --context; it requires an SELinux-enabled kernel".to_owned()
        }
        NoteKind::NamedTwice { is_dir, source } => {
            let kind = if *is_dir { "directory" } else { "file" };
            format!("warning: source {kind} {} specified more than once", quote(source))
        }
        NoteKind::BadManifestLine(line) => line.to_string(),
        NoteKind::TargetNotDirectory { is_argument, target, errno } => {
            let target_kind = if *is_argument { "target directory" } else { "target" };
            format!("{target_kind} {}: {}", quote(target), describe(*errno))
        }
        NoteKind::DirectoryOmitted { source } => {
            format!("-r not specified; omitting directory {}", quote(source))
        }
        NoteKind::Failed { error, source, target } => {
            super::error(compat, *error, names(source, target))
        }
        NoteKind::ParentFailed(ParentError::Stat(path, errno)) => {
            format!("failed to get attributes of {}: {}", quote(path), describe(*errno))
        }
        NoteKind::ParentFailed(ParentError::NotADirectory(path)) => {
            format!("{} exists but is not a directory", quote(path))
        }
        NoteKind::ParentFailed(ParentError::Create(path, errno)) => {
            format!("cannot make directory {}: {}", quote(path), describe(*errno))
        }
        NoteKind::ParentCreated { source, target } => {
            format!("{} -> {}", source.display(), target.display()) // cp quotes neither
        }
        NoteKind::Announced { source, target } => {
            super::done(compat, names(source, target), Details::default(), b"")
        }
    }
}

fn names<'a>(source: &'a Path, target: &'a Path) -> Names<'a> {
    Names { source: source.as_os_str().as_bytes(), target: target.as_os_str().as_bytes() }
}

fn quote(compat: Compat, path: &Path) -> String {
    let path = path.as_os_str().as_bytes();
    match compat {
        Compat::Native => sanitize::quote(path),
        Compat::Gnu => gnu::quote(path),
    }
}
