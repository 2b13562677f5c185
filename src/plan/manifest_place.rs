//! Where a manifest (a list of file hashes) is written, and the names of files in it.

use super::directories::Parent;
use super::operands::{Operand, below, errno_of};
use crate::error::Refusal;
use crate::sanitize::quote;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where the run writes its manifest.
pub struct ManifestPlace {
    /// The path of the manifest, as the user gave it.
    pub path: PathBuf,
    /// How the manifest is written there.
    pub to: ManifestTarget,
}

/// The kind of file that a manifest is written to.
pub enum ManifestTarget {
    /// Standard output.
    Stdout,
    /// An existing file that is not a regular file: the manifest is written into it.
    Stream,
    /// A regular file: the complete manifest replaces it.
    File {
        /// The directory that contains the manifest. It may be one that the run creates.
        dir: PathBuf,
        /// The name of the manifest in the directory.
        name: PathBuf,
        /// Whether the manifest lies inside the target directory of an operand.
        inside: bool,
    },
}

impl ManifestPlace {
    /// Finds the place of a manifest at `path`. Refuses a place where the manifest would overwrite a source
    /// or a part of the copy.
    pub(super) fn find(
        path: &Path,
        operands: &[Operand],
        parents: &[Parent],
    ) -> Result<Self, Refusal> {
        let place = |to| Self { path: path.to_owned(), to };
        if path == Path::new("-") {
            return Ok(place(ManifestTarget::Stdout));
        }
        let cannot = |errno| Refusal::cannot("create", path, errno);
        let real = match file::stat_path(path, true) {
            Ok(stat) if stat.kind() == Kind::Directory => return Err(cannot(Errno::EISDIR)),
            Ok(stat) if stat.kind() != Kind::File => return Ok(place(ManifestTarget::Stream)),
            Ok(_) => match path.canonicalize() {
                Ok(real) => real,
                // /dev/stdout may lead to a file that has no name any more.
                Err(_) => return Ok(place(ManifestTarget::Stream)),
            },
            Err(Errno::ENOENT) if file::stat_path(path, false).is_err() => {
                new_place(path, operands, parents).map_err(cannot)?
            }
            Err(errno) => return Err(cannot(errno)), // for example a dangling symbolic link
        };
        let inside = check_place(path, &real, operands)?;
        let (dir, name) = (real.parent().unwrap_or(&real), real.file_name().unwrap_or_default());
        match file::may_write_dir(dir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(cannot(errno)),
        }
        Ok(place(ManifestTarget::File { dir: dir.to_owned(), name: name.into(), inside }))
    }
}

impl Operand {
    /// Returns the name that the source at `path` has in a manifest; `path` begins with the source name of
    /// the operand. The name is relative to DST, or to the directory that contains DST if DST is not a
    /// directory.
    pub fn name_in_manifest(&self, path: &[u8]) -> Vec<u8> {
        let below = below(path);
        match self.manifest_prefix.is_empty() {
            true => below.get(1..).unwrap_or_default().to_vec(),
            false => [&self.manifest_prefix, below].concat(),
        }
    }
}

/// Returns the absolute path of a manifest that does not exist. Its directory may be one that the run will
/// create.
fn new_place(path: &Path, operands: &[Operand], parents: &[Parent]) -> Result<PathBuf, Errno> {
    let name = path.file_name().filter(|_| !path.as_os_str().as_bytes().ends_with(b"/"));
    let name = name.ok_or(Errno::EISDIR)?;
    let parent = parent_of(path);
    match parent.canonicalize() {
        Ok(dir) if dir.is_dir() => Ok(dir.join(name)),
        Ok(_) => Err(Errno::ENOTDIR),
        Err(error) => {
            let operands = operands.iter().filter(|operand| operand.is_dir);
            let created = operands.map(|operand| &operand.target_path);
            let mut created = created.chain(parents.iter().map(|parent| &parent.target));
            let parent = real_place(parent, true)
                .filter(|parent| created.any(|dir| real_place(dir, true).as_ref() == Some(parent)));
            parent.map(|parent| parent.join(name)).ok_or_else(|| errno_of(&error))
        }
    }
}

/// Refuses a manifest inside a source, or one that would replace a file of the copy. Returns whether the
/// manifest lies inside the target directory of an operand.
fn check_place(path: &Path, real: &Path, operands: &[Operand]) -> Result<bool, Refusal> {
    let shown = |path: &Path| quote(path.as_os_str().as_bytes());
    let mut inside = false;
    for operand in operands {
        let source = real_place(&operand.source_path, operand.is_dir || operand.follow);
        let target = real_place(&operand.target_path, operand.is_dir);
        if source.as_ref().is_some_and(|source| real.starts_with(source)) {
            return Err(Refusal {
                message: format!("{} lies inside {}", shown(path), shown(&operand.source_path)),
                hint: Some("choose a place for the manifest outside the source".into()),
            });
        }
        let Some(below) = target.as_ref().and_then(|target| real.strip_prefix(target).ok()) else {
            continue;
        };
        inside = true;
        let copied = source.map(|source| source.join(below));
        if !operand.is_dir || copied.is_some_and(|copied| file::stat_path(&copied, false).is_ok()) {
            return Err(Refusal {
                message: format!("the manifest {} would replace a part of the copy", shown(path)),
                hint: Some("choose a name that the source does not have".into()),
            });
        }
    }
    Ok(inside)
}

/// Returns the absolute path of an entry. Neither the entry nor its directories need exist, because the run
/// may create them. A symbolic link in the last component is followed only if `follow`.
fn real_place(path: &Path, follow: bool) -> Option<PathBuf> {
    let real = if follow { path.canonicalize().ok() } else { None };
    real.or_else(|| {
        let name = path.file_name()?;
        Some(real_place(parent_of(path), true)?.join(name))
    })
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the manifest prefix of an operand that is copied to `target` inside `directory`: the path of the
/// target below that directory.
pub(super) fn prefix_below(directory: &Path, target: &Path) -> Vec<u8> {
    let below = target.strip_prefix(directory).unwrap_or(Path::new(""));
    below.as_os_str().as_bytes().to_vec()
}

/// Returns the manifest prefix of an operand that is copied as `name`, and not into a directory: the name, or
/// nothing if the operand is a directory.
pub(super) fn prefix_alone(is_dir: bool, name: &OsStr) -> Vec<u8> {
    if is_dir { Vec::new() } else { name.as_bytes().to_vec() }
}
