//! Refuses a run whose source or target is on a disk that is not mounted.
//!
//! If a disk for backups is not mounted, its mount point is an empty directory, and a backup fills the disk that the
//! directory is on. `/etc/fstab` says what should be mounted where.

use crate::error::Refusal;
use crate::options::{Operands, Options};
use crate::sanitize::quote;
use pcopy_sys::file;
use pcopy_sys::mounts::{MountPoints, unescaped};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const FSTAB: &str = "/etc/fstab";

/// An entry of `/etc/fstab`.
struct Entry {
    /// What is mounted: a path, `UUID=…`, `LABEL=…` and so on.
    source: PathBuf,
    mount_point: PathBuf,
}

/// Refuses the run if a source or the target lies at or below a mount point of `/etc/fstab` that is not mounted.
///
/// If the file does not describe this system (in containers, in a changed root directory), it says nothing.
pub(super) fn check(options: &Options) -> Result<(), Refusal> {
    let used = paths(&options.operands).into_iter().filter_map(resolved);
    let used: Vec<PathBuf> = used.collect();
    let is_used = |mount_point: &Path| used.iter().any(|path| path.starts_with(mount_point));
    match unmounted_where(is_used).first() {
        None => Ok(()),
        Some(mount_point) => {
            let path = quote(mount_point.as_os_str().as_bytes());
            Err(Refusal {
                message: format!("{path} is in {FSTAB} and not mounted"),
                hint: Some(
                    "mount it, or say --no-mount-guard to use the directory as it is".into(),
                ),
            })
        }
    }
}

/// Returns the mount points of `/etc/fstab` at which nothing is mounted.
pub(super) fn unmounted() -> Vec<PathBuf> {
    unmounted_where(|_| true)
}

/// Returns those mount points of `/etc/fstab` at which nothing is mounted and for which `is_asked` is true. `/proc` is only
/// read if there are such.
fn unmounted_where(is_asked: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let Ok(text) = std::fs::read(FSTAB) else { return Vec::new() };
    let entries = text.split(|byte| *byte == b'\n').filter_map(parse);
    let (roots, mut others): (Vec<_>, Vec<_>) =
        entries.partition(|entry: &Entry| entry.mount_point == Path::new("/"));
    others.retain(|entry| is_asked(&entry.mount_point));
    let Some(mounts) = (!others.is_empty()).then(MountPoints::read).flatten() else {
        return Vec::new();
    };
    if !roots.iter().any(|root| is_root(&root.source, &mounts)) {
        return Vec::new();
    }
    let points = others.into_iter().map(|entry| entry.mount_point);
    points.filter(|mount_point| !mounts.has(mount_point)).collect()
}

/// Reads a line; `None` if it has no mount point.
fn parse(line: &[u8]) -> Option<Entry> {
    let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let (source, mount_point) = (fields.next()?, fields.next()?);
    let is_entry = !source.starts_with(b"#") && mount_point.starts_with(b"/");
    is_entry.then(|| {
        let mount_point = unescaped(mount_point);
        let mount_point = mount_point.canonicalize().unwrap_or(mount_point);
        Entry { source: unescaped(source), mount_point }
    })
}

fn paths(operands: &Operands) -> Vec<&Path> {
    let (sources, target) = match operands {
        Operands::Into { sources, directory: target } | Operands::Onto { sources, target } => {
            (&sources[..], Some(target))
        }
        Operands::Exactly { source, target } => (std::slice::from_ref(source), Some(target)),
        Operands::Beside { source, .. } => (std::slice::from_ref(source), None),
    };
    sources.iter().chain(target).map(PathBuf::as_path).collect()
}

/// Returns the path without symbolic links, as far as it exists.
fn resolved(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().find_map(|above| {
        let existing = above.canonicalize().ok()?;
        Some(existing.join(path.strip_prefix(above).ok()?))
    })
}

/// Whether what `/etc/fstab` calls the root file system is mounted on `/`.
fn is_root(source: &Path, mounts: &MountPoints) -> bool {
    let device = device_of(source);
    let is_device = || {
        let (root, device) =
            (file::stat_path(Path::new("/"), true), file::stat_path(&device, true));
        root.is_ok_and(|root| device.is_ok_and(|device| device.device() == root.identity().0))
    };
    let is_it = |mounted: &Path| mounted == source || same(mounted, &device);
    mounts.source_of(Path::new("/")).is_some_and(is_it) || is_device()
}

fn same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// Returns the path of a device that `/etc/fstab` names by a tag.
fn device_of(source: &Path) -> PathBuf {
    let text = source.as_os_str().as_bytes();
    let tags = [
        (&b"UUID="[..], "/dev/disk/by-uuid"),
        (b"LABEL=", "/dev/disk/by-label"),
        (b"PARTUUID=", "/dev/disk/by-partuuid"),
        (b"PARTLABEL=", "/dev/disk/by-partlabel"),
    ];
    let value = |tag: &[u8]| {
        let value = text.strip_prefix(tag)?;
        let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some(OsStr::from_bytes(unquoted.unwrap_or(value)))
    };
    let found = tags.iter().find_map(|(tag, dir)| Some(Path::new(dir).join(value(tag)?)));
    found.unwrap_or_else(|| source.to_owned())
}
