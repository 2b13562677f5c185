//! Keeping other runs out of the target while this one works.
//!
//! Each directory that the run builds or merges into is locked exclusively, and every directory above
//! it is locked shared: so two runs may copy into one directory side by side, and none may work inside
//! what another is building. (These are the intention locks of databases, with flock(2).) The locks end
//! with the last process of the run, whatever ends it.

use crate::copier::clean::{remove, remove_leftover};
use crate::copier::dir_pair::{has_begun, may_be_ours};
use crate::error::Refusal;
use crate::ipc::memory::counters::place_fingerprint;
use crate::plan::{Operand, Plan};
use crate::sanitize::quote;
use crate::staging::staged_name;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Lock, Stat};
use pcopy_sys::process;
use std::collections::HashSet;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

/// How long copiers may outlive a parent that was killed.
const ORPHANS_LIVE: Duration = Duration::from_secs(1);

/// What this run has locked.
pub(super) struct TargetLock {
    /// The directories that the run builds or merges into.
    pub(super) targets: HashSet<Identity>,
    /// For each operand: whether its staging directory was made by this run.
    pub(super) fresh: Vec<bool>,
    locks: Vec<OwnedFd>,
}

impl TargetLock {
    /// Makes the staging directory of each operand that needs one, and locks what will be written.
    ///
    /// If another run has a conflicting lock, what was made here is removed again and the run is
    /// refused.
    pub(super) fn take(plan: &Plan) -> Result<Self, Refusal> {
        let mut lock = Self::none();
        let taken = lock.take_all(plan);
        if taken.is_err() {
            lock.remove_unused(plan);
        }
        taken.map(|()| lock)
    }

    /// No locks: nothing will be written.
    pub(super) fn none() -> Self {
        Self { targets: HashSet::new(), fresh: Vec::new(), locks: Vec::new() }
    }

    fn take_all(&mut self, plan: &Plan) -> Result<(), Refusal> {
        for operand in &plan.operands {
            self.fresh.push(false);
            // Without locks the target must only be known if it lies in its source.
            if operand.is_dir && (plan.policy.locks_target || operand.into_itself.is_some()) {
                self.lock_or_create(plan, operand)?;
            }
        }
        if !plan.policy.locks_target {
            return Ok(());
        }
        let mut seen = self.targets.clone();
        for operand in &plan.operands {
            self.share_above(plan, operand, &mut seen)?;
        }
        Ok(())
    }

    /// Locks the directory that `operand`, the last of `fresh`, becomes.
    fn lock_or_create(&mut self, plan: &Plan, operand: &Operand) -> Result<(), Refusal> {
        let parent = plan.target_dir(operand);
        let cannot = |errno| Refusal::cannot("create directory", &operand.target_shown, errno);
        let keeps_link =
            |stat: &Stat| plan.options.keep_directory_symlink && stat.kind() == Kind::Symlink;
        let (name, fresh) = match file::stat_at(parent, &operand.target_name) {
            Ok(stat) if stat.kind() == Kind::Directory || keeps_link(&stat) => {
                if plan.policy.resumes_leftovers {
                    remove_begun(plan, operand);
                }
                (operand.target_name.clone(), false)
            }
            Ok(_) => return Ok(()), // no directory: that is this operand's failure, later
            // A target that cannot be examined may exist, and then staging it would leave a directory
            // that no run takes up.
            Err(errno) if errno != Errno::ENOENT => {
                return if plan.policy.locks_target { Err(cannot(errno)) } else { Ok(()) };
            }
            Err(_) if plan.options.in_place => {
                let source = file::stat_at_end(plan.source_dir(operand), &operand.source_name);
                let bits = source.map_or(0o700, |source| source.permissions());
                let bits = plan.options.preserve.bits_from_birth(bits);
                match file::make_dir(parent, &operand.target_name, bits) {
                    Ok(()) => (operand.target_name.clone(), true),
                    Err(_) if !plan.policy.locks_target => return Ok(()), // that, too
                    Err(errno) => return Err(cannot(errno)),
                }
            }
            Err(_) => {
                let staged = staged_name(&operand.target_name, 0);
                match file::make_dir(parent, &staged, 0o700) {
                    Ok(()) => (staged, true),
                    Err(Errno::EEXIST) => {
                        let fresh =
                            reuse_or_replace(plan, operand, &staged).map_err(
                                |errno| match errno {
                                    Errno::EBUSY => busy(operand),
                                    Errno::EEXIST => foreign(operand, &staged),
                                    errno => cannot(errno),
                                },
                            )?;
                        (staged, fresh)
                    }
                    Err(errno) => return Err(cannot(errno)),
                }
            }
        };
        if let Some(last) = self.fresh.last_mut() {
            *last = fresh; // at once, so that it is removed if anything fails from here on
        }
        let opened = if plan.options.keep_directory_symlink {
            file::open_dir_following(parent, name.to_bytes())
        } else {
            file::open_dir_at(parent, &name)
        };
        let dir = match opened {
            Ok(dir) => dir,
            Err(errno @ (Errno::EMFILE | Errno::ENFILE)) => return Err(cannot(errno)),
            Err(_) => return Ok(()), // the copier will report why
        };
        let Ok(stat) = file::stat_fd(&dir) else { return Ok(()) };
        // Two sources may become one directory: 'a/.' and 'b/.'.
        if !self.targets.contains(&stat.identity()) {
            let is_busy = plan.policy.locks_target
                && lock_soon(dir.as_fd(), Lock::Exclusive) == Err(Errno::EAGAIN);
            if is_busy {
                return Err(busy(operand));
            }
            self.targets.insert(stat.identity());
            self.locks.push(dir);
        }
        Ok(())
    }

    fn share_above(
        &mut self,
        plan: &Plan,
        operand: &Operand,
        seen: &mut HashSet<Identity>,
    ) -> Result<(), Refusal> {
        let mut at = plan.target_dir(operand).try_clone_to_owned().ok();
        while let Some(dir) = at.take() {
            let Ok(stat) = file::stat_fd(&dir) else { break };
            let next = file::open_parent(&dir).ok();
            if seen.insert(stat.identity()) {
                // A descriptor of its own: the plan's is shared by all operands and stays unlocked.
                if let Ok(own) = file::open_dir_at(&dir, c".") {
                    let refused = file::lock(own.as_fd(), Lock::Shared) == Err(Errno::EAGAIN);
                    // A script may hold `flock /backup` while it runs pcopy: that is no conflict.
                    let is_busy = refused
                        && process::holds_flock(stat.identity().1, &process::own_name())
                        && lock_soon(own.as_fd(), Lock::Shared) == Err(Errno::EAGAIN);
                    if is_busy {
                        return Err(busy(operand));
                    }
                    self.locks.push(own);
                }
            } else if !self.targets.contains(&stat.identity()) {
                break; // all above it is shared already
            }
            at = next.filter(|next| {
                file::stat_fd(next).is_ok_and(|above| above.identity() != stat.identity())
            });
        }
        Ok(())
    }

    /// The fingerprints of directories that were made under their final names.
    pub(super) fn made(&self, plan: &Plan) -> HashSet<u64> {
        let operands = (0..).zip(&plan.operands).zip(&self.fresh);
        operands
            .filter(|(_, fresh)| **fresh && plan.options.in_place)
            .map(|((number, operand), _)| {
                place_fingerprint(number, b"", operand.source_name.to_bytes())
            })
            .collect()
    }

    /// Removes the staging directories that this run has made and nothing was copied into.
    pub(super) fn remove_unused(&self, plan: &Plan) {
        for (operand, _) in plan.operands.iter().zip(&self.fresh).filter(|(_, fresh)| **fresh) {
            let staged: CString = if plan.options.in_place {
                operand.target_name.clone()
            } else {
                staged_name(&operand.target_name, 0)
            };
            if file::remove_dir(plan.target_dir(operand), &staged).is_err() {
                // Not empty, or no longer this run's: then it must stay, and the next run resumes in
                // it.
            }
        }
    }
}

/// Locks, and waits a moment for a process that holds the lock: copiers whose parent was killed live on
/// for as long as they are in a system call, and a user who reruns the command at once wants to resume.
fn lock_soon(dir: BorrowedFd<'_>, lock: Lock) -> Result<(), Errno> {
    let begun = Instant::now();
    loop {
        match file::lock(dir, lock) {
            Err(Errno::EAGAIN) if begun.elapsed() < ORPHANS_LIVE => {
                std::thread::sleep(ORPHANS_LIVE / 50)
            }
            result => return result,
        }
    }
}

/// Makes an existing staged name a directory to work in; true if it was created for that.
///
/// A file of this name is a leftover of a killed run, or another run is building it. `EEXIST` if it is
/// another user's directory.
fn reuse_or_replace(plan: &Plan, operand: &Operand, staged: &CStr) -> Result<bool, Errno> {
    let parent = plan.target_dir(operand);
    let old = file::stat_at(parent, staged)?;
    if old.kind() == Kind::Directory {
        let source = || file::stat_at(plan.source_dir(operand), &operand.source_name);
        let is_ours = may_be_ours(plan, (parent, &old), source);
        return if is_ours { Ok(false) } else { Err(Errno::EEXIST) };
    }
    remove_leftover(parent, staged, true)?;
    file::make_dir(parent, staged, 0o700).map(|()| true)
}

/// Removes the staging directory that a killed run has left for an operand that has its final name by
/// now.
fn remove_begun(plan: &Plan, operand: &Operand) {
    let (parent, staged) = (plan.target_dir(operand), staged_name(&operand.target_name, 0));
    let source = || file::stat_at(plan.source_dir(operand), &operand.source_name);
    if !has_begun(plan, (parent, &staged), source) {
        return;
    }
    // Another run may be working in it.
    let Ok(dir) = file::open_dir_at(parent, &staged) else { return };
    if file::lock(dir.as_fd(), Lock::Exclusive).is_ok()
        && remove(parent, Kind::Directory, &staged).is_err()
    {
        // It stays; nothing depends on it.
    }
}

fn foreign(operand: &Operand, staged: &CStr) -> Refusal {
    let shown = operand.target_shown.with_file_name(OsStr::from_bytes(staged.to_bytes()));
    Refusal {
        message: format!("{} belongs to another user", quote(shown.as_os_str().as_bytes())),
        hint: Some("the copy is staged under this name; have it removed, or choose another target"),
    }
}

fn busy(operand: &Operand) -> Refusal {
    Refusal {
        message: format!(
            "another pcopy is writing to {}",
            quote(operand.target_shown.as_os_str().as_bytes())
        ),
        hint: Some("wait until it has finished, then rerun the command"),
    }
}
