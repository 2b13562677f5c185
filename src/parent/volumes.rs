//! The file systems that a run writes to, for `--fsync` and `--verify`.
//!
//! A descriptor reports the write errors since it was opened. So the directories that the plan has
//! opened before the first byte was written are the ones that are flushed.

use crate::ipc::wire::task::EntryPath;
use crate::plan::Plan;
use pcopy_sys::file;
use pcopy_sys::{Errno, Result, volume};
use std::os::fd::OwnedFd;

/// The file systems that a run writes to.
#[derive(Default)]
pub(super) struct Volumes(Vec<Volume>);

/// One file system.
pub(super) struct Volume {
    device: u64,
    /// The directory that represents it in messages: the operand, and the path in its source.
    pub(super) operand: u32,
    pub(super) source: Vec<u8>,
    /// Directories on it in which operands have their names; one at least.
    dirs: Vec<OwnedFd>,
}

impl Volumes {
    /// Those that the operands are on, if they are to be flushed.
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
            if let Ok(dir) = dir.try_clone_to_owned() {
                volumes.add(identity.0, number, b"", dir);
            }
        }
        volumes
    }

    /// Notes a file system that copiers have reached.
    pub(super) fn note(&mut self, plan: &Plan, place: EntryPath<'_>) {
        let Some(operand) = plan.operands.get(place.operand as usize) else { return };
        let Ok(dir) = plan.open_target(operand, place.target) else { return };
        let Ok(device) = file::stat_fd(&dir).map(|stat| stat.identity().0) else { return };
        if !self.0.iter().any(|volume| volume.device == device) {
            self.add(device, place.operand, place.source, dir);
        }
    }

    /// All of them.
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

impl Volume {
    /// Flushes what was written to it to stable storage.
    pub(super) fn flush(&self) -> Result<()> {
        for dir in &self.dirs {
            volume::sync(dir)?;
            // Some file systems ignore syncfs(2) and obey fsync(2) on a directory; some support
            // neither.
            match file::sync(dir) {
                Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EBADF) => {}
                result => result?,
            }
        }
        Ok(())
    }
}
