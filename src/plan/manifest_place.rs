//! Where the manifest goes, and under which names files stand in it.

use super::split_path::errno_of;
use super::{Operand, below};
use crate::error::Refusal;
use crate::sanitize::quote;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The manifest that is wanted.
pub struct Listing {
    /// As the user named it.
    pub shown: PathBuf,
    /// What becomes of it.
    pub to: To,
}

/// Where a manifest goes.
pub enum To {
    /// Standard output.
    Stdout,
    /// What is no regular file: it is written into.
    Stream,
    /// A regular file, which is replaced when it is whole.
    File {
        /// The directory that it is in, which may be one that the run makes.
        dir: PathBuf,
        /// Its name in that.
        name: PathBuf,
        /// Whether it lies in the copy.
        inside: bool,
    },
}

impl Listing {
    /// Looks where a manifest that the user calls `wish` would be, and refuses what would do harm.
    pub(super) fn plan(wish: &Path, operands: &[Operand]) -> Result<Self, Refusal> {
        let shown = wish.to_owned();
        if wish == Path::new("-") {
            return Ok(Self { shown, to: To::Stdout });
        }
        let cannot = |errno| Refusal::cannot("create", wish, errno);
        let real = match file::stat_path(wish, true) {
            Ok(stat) if stat.kind() == Kind::Directory => return Err(cannot(Errno::EISDIR)),
            Ok(stat) if stat.kind() != Kind::File => return Ok(Self { shown, to: To::Stream }),
            Ok(_) => match wish.canonicalize() {
                Ok(real) => real,
                Err(_) => return Ok(Self { shown, to: To::Stream }), // /dev/stdout may have no name
            },
            Err(Errno::ENOENT) if file::stat_path(wish, false).is_err() => {
                new_place(wish, operands).map_err(cannot)?
            }
            Err(errno) => return Err(cannot(errno)), // a symlink to nothing among others
        };
        let inside = check_place(wish, &real, operands)?;
        let (dir, name) = (real.parent().unwrap_or(&real), real.file_name().unwrap_or_default());
        match file::may_write_dir(dir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(cannot(errno)),
        }
        Ok(Self { shown, to: To::File { dir: dir.to_owned(), name: name.into(), inside } })
    }
}

impl Operand {
    /// The name of the source at `path` (which begins with this entry's source name) in a manifest:
    /// from the directory DST on, or from the one that DST is in where that is no directory.
    pub fn listed_as(&self, path: &[u8]) -> Vec<u8> {
        let below = below(path);
        match self.listed.is_empty() {
            true => below.get(1..).unwrap_or_default().to_vec(),
            false => [&self.listed, below].concat(),
        }
    }
}

/// The whole path of what does not exist. Its directory may be one that the run makes.
fn new_place(wish: &Path, operands: &[Operand]) -> Result<PathBuf, Errno> {
    let name = wish.file_name().filter(|_| !wish.as_os_str().as_bytes().ends_with(b"/"));
    let name = name.ok_or(Errno::EISDIR)?;
    let parent = parent_of(wish);
    match parent.canonicalize() {
        Ok(dir) if dir.is_dir() => Ok(dir.join(name)),
        Ok(_) => Err(Errno::ENOTDIR),
        Err(error) => {
            let made = real_place(parent, true).filter(|parent| {
                operands.iter().any(|operand| {
                    operand.is_dir
                        && real_place(&operand.target_shown, true).as_ref() == Some(parent)
                })
            });
            made.map(|parent| parent.join(name)).ok_or_else(|| errno_of(&error))
        }
    }
}

/// Refuses a place in a source, and one of which the copy has something else; says whether it is in
/// the copy.
fn check_place(wish: &Path, real: &Path, operands: &[Operand]) -> Result<bool, Refusal> {
    let shown = |path: &Path| quote(path.as_os_str().as_bytes());
    let mut inside = false;
    for operand in operands {
        let source = real_place(&operand.source_shown, operand.is_dir || operand.follow);
        let target = real_place(&operand.target_shown, operand.is_dir);
        if source.as_ref().is_some_and(|source| real.starts_with(source)) {
            return Err(Refusal {
                message: format!("{} lies inside {}", shown(wish), shown(&operand.source_shown)),
                hint: Some("choose a place for the manifest outside the source"),
            });
        }
        let Some(below) = target.as_ref().and_then(|target| real.strip_prefix(target).ok()) else {
            continue;
        };
        inside = true;
        let copied = source.map(|source| source.join(below));
        if !operand.is_dir || copied.is_some_and(|copied| file::stat_path(&copied, false).is_ok()) {
            return Err(Refusal {
                message: format!("the manifest {} would replace a part of the copy", shown(wish)),
                hint: Some("choose a name that the source does not have"),
            });
        }
    }
    Ok(inside)
}

/// The whole path of what need not exist; a symlink at its end is followed only if `follow`.
fn real_place(path: &Path, follow: bool) -> Option<PathBuf> {
    let real = if follow { path.canonicalize().ok() } else { None };
    real.or_else(|| Some(parent_of(path).canonicalize().ok()?.join(path.file_name()?)))
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What stands before the names of an entry that is copied into `directory`, and is there at
/// `target`.
pub(super) fn listed_below(directory: &Path, target: &Path) -> Vec<u8> {
    let below = target.strip_prefix(directory).unwrap_or(Path::new(""));
    below.as_os_str().as_bytes().to_vec()
}

/// The same for one that is copied onto what has the name.
pub(super) fn listed_alone(is_dir: bool, name: &OsStr) -> Vec<u8> {
    if is_dir { Vec::new() } else { name.as_bytes().to_vec() }
}
