//! The file systems that a run writes to, for `--fsync` and `--verify`.
//!
//! A file descriptor reports only the write errors since it was opened. Therefore the run flushes through the
//! directories that the plan opened before the first byte was written.

use crate::ipc::wire::task::EntryPath;
use crate::plan::Plan;
use pcopy_sys::file;
use pcopy_sys::{Errno, Result, statfs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The file systems that a run writes to.
#[derive(Default)]
pub(super) struct Volumes(Vec<Volume>);

/// One file system.
pub(super) struct Volume {
    device: u64,
    /// The operand that a message about this file system names.
    pub(super) operand: u32,
    /// The path below that operand's source that the message names.
    pub(super) source: Vec<u8>,
    /// Open directories on the file system, at least one: directories that contain targets of operands, or
    /// the directory in which copiers reached the file system.
    dirs: Vec<OwnedFd>,
}

impl Volumes {
    /// Returns the file systems of the targets, or none if the options do not ask for a flush.
    pub(super) fn of(plan: &Plan) -> Self {
        let mut volumes = Self::default();
        let mut known = Vec::new();
        let operands =
            if plan.options.writes_back_before_publish() { &plan.operands[..] } else { &[] };
        for (number, operand) in (0..).zip(operands) {
            let dir = plan.target_dir(operand);
            let Ok(identity) = file::stat_fd(dir).map(|stat| stat.identity()) else { continue };
            if known.contains(&identity) {
                continue;
            }
            known.push(identity);
            if let Some(dir) = readable(dir, identity.0) {
                volumes.add(identity.0, number, b"", dir);
            }
        }
        volumes
    }

    /// Notes another file system, which copiers have found below an operand.
    pub(super) fn note(&mut self, plan: &Plan, place: EntryPath<'_>) {
        let Some(operand) = plan.operands.get(place.operand as usize) else { return };
        let Ok(dir) = plan.open_target(operand, place.target) else { return };
        let Ok(device) = file::stat_fd(&dir).map(|stat| stat.identity().0) else { return };
        if !self.0.iter().any(|volume| volume.device == device)
            && let Some(dir) = readable(dir.as_fd(), device)
        {
            self.add(device, place.operand, place.source, dir);
        }
    }

    /// Returns all file systems.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Volume> {
        self.0.iter()
    }

    fn add(&mut self, device: u64, operand: u32, source: &[u8], dir: OwnedFd) {
        match self.0.iter_mut().find(|volume| volume.device == device) {
            Some(volume) => volume.dirs.push(dir),
            None => {
                self.0.push(Volume { device, operand, source: source.to_vec(), dirs: vec![dir] });
            }
        }
    }
}

/// Opens a directory, or one above it on the same file system `device` if the user may not read it: syncfs(2)
/// needs a descriptor that was not opened with `O_PATH`. If there is none, returns one with `O_PATH`, so that
/// the flush fails.
fn readable(dir: BorrowedFd<'_>, device: u64) -> Option<OwnedFd> {
    let mut at = dir.try_clone_to_owned().ok()?;
    loop {
        if let Ok(opened) = file::open_dir_at(&at, c".") {
            return Some(opened);
        }
        let (here, above) = (file::stat_fd(&at).ok()?, file::open_parent(&at).ok()?);
        let place = file::stat_fd(&above).ok()?.identity();
        if place.0 != device || place == here.identity() {
            return Some(at); // the root of the file system
        }
        at = above;
    }
}

impl Volume {
    /// Flushes all data that was written to the file system to stable storage.
    pub(super) fn flush(&self) -> Result<()> {
        for dir in &self.dirs {
            statfs::sync(dir)?;
            // Some file systems ignore syncfs(2) but support fsync(2) on a directory; others support neither.
            match file::sync(dir) {
                Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EBADF) => {}
                result => result?,
            }
        }
        Ok(())
    }
}
