//! `--fsync`: all that is done is on the disk before it is published, and before the run ends well.
//! `--verify`: it is read back from there.
//!
//! What is staged is written out by file system and not by file, which is one wait instead of
//! thousands. What takes the place of something was written out by its copier, before its rename.
//!
//! A descriptor tells of what went wrong since it was opened. So the plan's own, which are older
//! than the first byte, are asked.

use super::supervisor::Supervisor;
use crate::copier::clean;
use crate::error::{EntryError, Op, Unavailable};
use crate::ipc::wire::task::{EntryPath, Task, split_last};
use crate::outcome::End;
use crate::plan::Plan;
use pcopy_sys::file::{self, Kind};
use pcopy_sys::poll::{self, Event};
use pcopy_sys::process::{self, Death};
use pcopy_sys::{Errno, Result, volume};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// How often a child is looked at whose end nobody has told of.
const LOOK: Duration = Duration::from_millis(100);

/// Why a file system has not taken all.
enum NotTaken {
    /// It said so.
    Refused(Errno),
    /// The run has to end first.
    Ended(End),
}

/// The file systems that a run writes to.
#[derive(Default)]
pub(super) struct Volumes(Vec<Volume>);

struct Volume {
    device: u64,
    /// The directory that stands for it in messages: the entry, and its path in the source.
    operand: u32,
    source: Vec<u8>,
    /// Directories on it in which the plan's entries have their names; one at least.
    dirs: Vec<OwnedFd>,
}

impl Volumes {
    /// Those that the plan's entries are on, if they are to be written out.
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

    fn add(&mut self, device: u64, operand: u32, source: &[u8], dir: OwnedFd) {
        match self.0.iter_mut().find(|volume| volume.device == device) {
            Some(volume) => volume.dirs.push(dir),
            None => {
                self.0.push(Volume { device, operand, source: source.to_vec(), dirs: vec![dir] });
            }
        }
    }

    fn has(&self, device: u64) -> bool {
        self.0.iter().any(|volume| volume.device == device)
    }
}

impl Volume {
    fn write_out(&self) -> Result<()> {
        for dir in &self.dirs {
            volume::sync(dir)?;
            // There are file systems that do nothing for the whole, and do it for one directory.
            match file::sync(dir) {
                Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EBADF) => {} // or not even that
                result => result?,
            }
        }
        Ok(())
    }
}

impl Supervisor<'_> {
    /// Keeps in mind a file system that copiers have come to.
    pub(super) fn note_volume(&mut self, place: EntryPath<'_>) {
        let Some(operand) = self.plan.operands.get(place.operand as usize) else { return };
        let Ok(dir) = self.plan.open_target(operand, place.target) else { return };
        let Ok(device) = file::stat_fd(&dir).map(|stat| stat.identity().0) else { return };
        if !self.volumes.has(device) {
            self.volumes.add(device, place.operand, place.source, dir);
        }
    }

    /// Has what a wave has written read back, if that is wanted and it has come to its end.
    pub(super) fn verify(&mut self, end: End) -> std::result::Result<End, Unavailable> {
        if end != End::Finished || !self.plan.options.verify {
            return Ok(end);
        }
        if let Some(end) = self.write_out_or_distrust() {
            return Ok(end);
        }
        self.state.end_phase(&self.totals);
        self.state.hashed.index();
        match u32::try_from(self.state.hashed.written_len()) {
            Ok(0) => Ok(end),
            files => self.rounds(Task::Verify { first: 0, end: files.unwrap_or(u32::MAX) }),
        }
    }

    /// Has the disks take what is about to get its final name, or another one where others look. Why the
    /// run is over, if they do not.
    pub(super) fn write_out_built(&mut self) -> Option<End> {
        if self.state.built.is_empty() { None } else { self.write_out_or_distrust() }
    }

    fn write_out_or_distrust(&mut self) -> Option<End> {
        let end = self.write_out();
        if end == Some(End::TargetLost) {
            self.distrust_built();
        }
        end
    }

    /// Has the disks take all that was written until now. Why the run is over, if they do not.
    pub(super) fn write_out(&mut self) -> Option<End> {
        let volumes = std::mem::take(&mut self.volumes);
        let mut end = None;
        for volume in &volumes.0 {
            match self.write_out_one(volume) {
                Ok(()) => {}
                Err(NotTaken::Refused(errno)) => {
                    let error = EntryError { op: Op::Sync, errno };
                    self.report_late_error(error, volume.operand, &volume.source);
                    end = Some(End::TargetLost);
                }
                Err(NotTaken::Ended(early)) => {
                    end = Some(early);
                    break;
                }
            }
        }
        self.volumes = volumes;
        end
    }

    /// In a process of its own: a disk may take minutes, in which signals are to be heard.
    fn write_out_one(&mut self, volume: &Volume) -> std::result::Result<(), NotTaken> {
        let child =
            process::fork_child(|| volume.write_out().map_or_else(|errno| errno as i32, |()| 0));
        let child = child.map_err(NotTaken::Refused)?;
        loop {
            if let Some(number) = self.signal_to_end() {
                if process::kill(child).is_err() {
                    // It has just ended.
                }
                return Err(NotTaken::Ended(End::Signal(number)));
            }
            match process::reap(child).map_err(NotTaken::Refused)? {
                None => {}
                Some(Death::Exited(0)) => return Ok(()),
                Some(Death::Exited(errno)) => {
                    return Err(NotTaken::Refused(Errno::from_raw(errno)));
                }
                Some(Death::Killed(_)) => return Err(NotTaken::Refused(Errno::EINTR)),
            }
            self.draw_waiting();
            self.screen.flush();
            let watched = [(self.signals.as_fd(), Event::Readable)];
            if let Err(errno) = poll::wait(&watched, LOOK) {
                self.screen.error(&Unavailable::because("wait for events")(errno).to_string());
                return Err(NotTaken::Ended(End::Unavailable));
            }
        }
    }

    /// Removes what may not be on the disk, though it looks complete: the next run would take it for
    /// that.
    fn distrust_built(&mut self) {
        for dir in std::mem::take(&mut self.state.built) {
            let place = dir.place();
            let Some(operand) = self.plan.operands.get(place.operand as usize) else { continue };
            let (above, name) = split_last(place.target);
            let removed = CString::new(name).map_err(|_| Errno::EINVAL).and_then(|name| {
                let above = self.plan.open_target(operand, above)?;
                clean::remove(above.as_fd(), Kind::Directory, &name)
            });
            if let Err(errno) = removed {
                let error = EntryError { op: Op::Remove, errno };
                self.report_failure(error, place.operand, place.source);
            }
        }
    }
}
