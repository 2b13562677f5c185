//! The missing directories above the target: `--mkpath`.

use crate::error::Refusal;
use crate::options::Operands;
use pcopy_sys::Errno;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Directories that were created above the target, the uppermost first.
#[derive(Default)]
pub(super) struct MadePath(Vec<PathBuf>);

impl MadePath {
    /// Creates the directories that must exist before anything is copied: those above DST or, if entries are copied into
    /// DST, DST, too. Their mode depends on the umask alone, as with mkdir(1). If one cannot be created, removes those that
    /// were.
    pub(super) fn make(operands: &Operands) -> Result<Self, Refusal> {
        let mut made = Self::default();
        let Some(dir) = needed_dir(operands) else { return Ok(made) };
        let above: Vec<&Path> =
            dir.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        for path in above.into_iter().rev() {
            if fs::metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
                continue;
            }
            match fs::create_dir(path) {
                Ok(()) => made.0.push(path.to_owned()),
                // 'a/..' exists as soon as 'a' does.
                Err(_) if path.is_dir() => {}
                Err(error) => {
                    made.give_back();
                    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
                    return Err(Refusal::cannot("create directory", path, errno));
                }
            }
        }
        Ok(made)
    }

    /// Removes the directories, for a run that is refused.
    pub(super) fn give_back(&self) {
        for path in self.0.iter().rev() {
            if fs::remove_dir(path).is_err() {
                // Another program uses the directory by now.
            }
        }
    }
}

/// Returns the directory that must exist.
fn needed_dir(operands: &Operands) -> Option<&Path> {
    match operands {
        Operands::Into { directory, .. } => Some(directory),
        Operands::Onto { sources, target } if sources.len() > 1 || ends_with_slash(target) => {
            Some(target)
        }
        Operands::Onto { target, .. } | Operands::Exactly { target, .. } => target.parent(),
        Operands::Beside { .. } => None,
    }
}

fn ends_with_slash(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/")
}
