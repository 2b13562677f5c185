//! Keeps `--delete` from removing what only a mistake makes extraneous: what is in the copy of an empty mount point, of a
//! disk that is unmounted during the run, or of a wrong target.

use super::mount_guard;
use super::operands::Operand;
use super::{Plan, ancestors};
use crate::error::Refusal;
use crate::options::Deletion;
use crate::sanitize::quote;
use pcopy_sys::dir_reader::DirReader;
use pcopy_sys::file::{self, Identity};
use pcopy_sys::mounts::MountPoints;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Directories in which nothing is removed without an option: those of the file system hierarchy that belong to the system
/// or to all its users.
const SYSTEM_DIRECTORIES: [&str; 23] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/sbin",
    "/usr/share",
    "/var",
    "/var/lib",
];

/// Refuses a run that would remove what only the target has, where that can only be a mistake.
pub(super) fn check(deletion: Deletion, operands: &[Operand]) -> Result<(), Refusal> {
    for operand in operands.iter().filter(|operand| operand.is_dir) {
        let target = &operand.target_path;
        let Ok(opened) = file::open_dir(target) else { continue };
        let Ok(identity) = file::stat_fd(&opened).map(|stat| stat.identity()) else { continue };
        check_target(deletion, operand, identity)?;
        if !deletion.allows_empty_source && is_empty(&operand.source_path) && !is_empty(target) {
            let (source, target) = (shown(&operand.source_path), shown(target));
            return Err(Refusal {
                message: format!("{source} is empty: all of {target} would be removed"),
                hint: Some(
                    "if a disk is not mounted there, mount it; if that is meant, say --allow-empty-source"
                        .into(),
                ),
            });
        }
    }
    Ok(())
}

/// Refuses a target that holds more than copies.
fn check_target(deletion: Deletion, operand: &Operand, identity: Identity) -> Result<(), Refusal> {
    let target = shown(&operand.target_path);
    let refuse = |why: &str, hint: Option<&'static str>| {
        let message = format!("refusing to remove extraneous entries of {target}: {why}");
        Err(Refusal { message, hint: hint.map(Into::into) })
    };
    if is_at(identity, Path::new("/")) {
        return refuse("it is the root directory", None);
    }
    let source = file::open_dir(&operand.source_path);
    if source.is_ok_and(|source| ancestors(source.as_fd()).skip(1).any(|above| above == identity)) {
        return refuse("it contains the source", None);
    }
    if deletion.in_system_directory {
        return Ok(());
    }
    let hint = Some("if that is meant, say --delete-in-system-directory");
    if SYSTEM_DIRECTORIES.iter().any(|dir| is_at(identity, Path::new(dir))) {
        return refuse("it is a system directory", hint);
    }
    if std::env::var_os("HOME").is_some_and(|home| is_at(identity, Path::new(&home))) {
        return refuse("it is your home directory", hint);
    }
    let here = file::open_dir(Path::new("."));
    if here.is_ok_and(|here| ancestors(here.as_fd()).skip(1).any(|above| above == identity)) {
        return refuse("it contains the current directory", hint);
    }
    Ok(())
}

fn is_at(identity: Identity, path: &Path) -> bool {
    file::stat_path(path, true).is_ok_and(|stat| stat.identity() == identity)
}

/// Whether a directory can be read and has no entry.
fn is_empty(dir: &Path) -> bool {
    let Ok(opened) = file::open_dir(dir) else { return false };
    let mut listing = DirReader::new();
    listing.fill(opened.as_fd()).is_ok_and(|_| listing.next_entry().is_none())
}

fn shown(path: &Path) -> String {
    quote(path.as_os_str().as_bytes())
}

/// What the run remembers of its sources, so that it notices if one of them is not what it was.
#[derive(Default)]
pub struct DeletionGuard {
    /// The mount points of `/etc/fstab` in a source at which nothing is mounted: the operand, and the path in the source.
    absent: Vec<(u32, Vec<u8>)>,
    /// For each operand, what was mounted at or below its source.
    mounts: Vec<Vec<(u64, PathBuf)>>,
}

impl DeletionGuard {
    /// Looks at the sources before the run.
    pub(super) fn of(operands: &[Operand], guards_mounts: bool) -> Self {
        let unmounted = if guards_mounts { mount_guard::unmounted() } else { Vec::new() };
        let mounts = MountPoints::read();
        let mut guard = Self::default();
        for (number, operand) in (0..).zip(operands) {
            let real = operand.source_path.canonicalize().ok().filter(|_| operand.is_dir);
            let below = |path: &PathBuf| {
                let below = path.strip_prefix(real.as_ref()?).ok()?;
                let name = operand.source_name.to_bytes();
                let below = below.as_os_str().as_bytes();
                (!below.is_empty()).then(|| (number, [name, b"/", below].concat()))
            };
            guard.absent.extend(unmounted.iter().filter_map(below));
            let mounts = mounts.as_ref().zip(real.as_ref());
            guard.mounts.push(mounts.map_or_else(Vec::new, |(all, real)| all.at_or_below(real)));
        }
        guard
    }

    /// Returns the mount points in sources at which nothing is mounted, each as its operand and its path in the source.
    pub(super) fn absent(&self) -> impl Iterator<Item = &(u32, Vec<u8>)> {
        self.absent.iter()
    }
}

/// The names in a directory of the target that are not extraneous, because a disk is not mounted in the source.
pub enum Absent<'p> {
    /// All of them.
    All,
    /// Those that lead to a mount point.
    Names(Vec<&'p [u8]>),
}

impl Absent<'_> {
    /// Whether the name is one of them.
    pub fn covers(&self, name: &std::ffi::CStr) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.contains(&name.to_bytes()),
        }
    }
}

impl Plan {
    /// Returns which names in the directory at `path` in a source are not extraneous in the target, because a disk of
    /// `/etc/fstab` is not mounted in the source; `None` if there is no such disk.
    pub fn absent_below(&self, operand: u32, path: &[u8]) -> Option<Absent<'_>> {
        let absent = &self.deletion_guard.absent;
        if absent.is_empty() {
            return None;
        }
        let of_operand = || absent.iter().filter(|(of, _)| *of == operand);
        let is_inside = |mount_point: &[u8]| {
            path.strip_prefix(mount_point).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
        };
        if of_operand().any(|(_, mount_point)| is_inside(mount_point)) {
            return Some(Absent::All);
        }
        let name = |(_, mount_point): &'_ (u32, Vec<u8>)| {
            let below = mount_point.strip_prefix(path)?.strip_prefix(b"/")?;
            let end = below.iter().position(|byte| *byte == b'/').unwrap_or(below.len());
            Some(mount_point.len() - below.len()..mount_point.len() - below.len() + end)
        };
        let names = of_operand().filter_map(|found| name(found).map(|at| &found.1[at])).collect();
        Some(Absent::Names(names))
    }

    /// Returns how many entries the copy of an operand has now.
    pub fn entries_in_target(&self, number: u32) -> u64 {
        let Some(operand) = self.operands.get(number as usize) else { return 0 };
        let entries = WalkDir::new(&operand.target_path).min_depth(1).into_iter();
        entries.filter(Result::is_ok).count() as u64
    }

    /// Whether the source of an operand is still what it was when the run began: the same directory, with the same file
    /// systems mounted in it.
    pub fn is_source_unchanged(&self, number: u32) -> bool {
        let Some(operand) = self.operands.get(number as usize) else { return false };
        let now = file::stat_path(&operand.source_path, true);
        if now.map(|stat| stat.identity()) != Ok(operand.identity) {
            return false;
        }
        let before = self.deletion_guard.mounts.get(number as usize);
        let Some(before) = before.filter(|before| !before.is_empty()) else { return true };
        let Some(now) = MountPoints::read() else { return true };
        before.iter().all(|(id, path)| now.has_mount(*id, path))
    }
}
