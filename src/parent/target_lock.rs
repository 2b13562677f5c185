//! Keeps other runs out of the target while this run works.
//!
//! The run locks each directory that it builds or merges into exclusively, and every directory above it
//! shared. So two runs may copy into one directory at the same time, and neither may work inside a directory
//! that the other builds. (Databases call these intention locks; here they are flock(2) locks.) However the
//! run ends, the locks end with its last process.

use super::target_dir::{TargetDir, busy, cannot_create, find_or_create, wait_for_other_run};
use crate::error::Refusal;
use crate::ipc::inherited::built_dirs::BuiltDirs;
use crate::ipc::memory::counters::place_fingerprint;
use crate::options::Dereference;
use crate::plan::{Operand, Plan, ancestors};
use crate::sanitize::{escape, quote};
use crate::staging::leftover::still_named;
use crate::staging::lock::lock_against_runs;
use crate::staging::run_lock::{Creator, NotLocked, RunLock};
use crate::staging::staged_name;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Lock};
use pcopy_sys::mounts::MountPoints;
use pcopy_sys::process::{self, Side};
use pcopy_sys::statfs;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

/// The directories that this run has locked.
#[derive(Default)]
pub(super) struct TargetLock {
    /// The directories that the run builds or merges into.
    pub(super) built_dirs: BuiltDirs,
    /// For each operand: whether this run created its target directory.
    pub(super) fresh: Vec<bool>,
    /// The operands whose target directory this run created under its final name, because it could not be
    /// staged, and the error that shows that.
    pub(super) unstaged: HashMap<u32, Errno>,
    /// Whether directories can be renamed in the target, as the first new one has shown.
    renames: bool,
    locks: Vec<OwnedFd>,
    /// The lock files, each with the operand in whose target directory it is.
    lock_files: RefCell<Vec<(u32, RunLock)>>,
}

impl TargetLock {
    /// Creates the target directory of each operand that needs one, and locks every directory that the run
    /// will write to.
    ///
    /// If another run has a conflicting lock, this run is refused, and the directories that were created here
    /// are removed.
    pub(super) fn take(plan: &Plan) -> Result<Self, Refusal> {
        let mut lock = Self::default();
        let taken = lock.take_all(plan);
        if taken.is_err() {
            lock.remove_unused(plan);
        }
        taken.map(|()| lock)
    }

    /// Returns no locks, for a run that writes nothing.
    pub(super) fn none(plan: &Plan) -> Self {
        let mut lock = Self::default();
        for (number, operand) in (0..).zip(&plan.operands).filter(|(_, operand)| operand.is_dir) {
            let target = file::stat_at(plan.target_dir(operand), &operand.target_name);
            if let Ok(target) = target {
                lock.built_dirs.add(target.identity(), Some(number), false);
            }
        }
        lock
    }

    fn take_all(&mut self, plan: &Plan) -> Result<(), Refusal> {
        let mut above = HashMap::new();
        for operand in &plan.operands {
            self.fresh.push(false);
            // What is inside the target of an earlier operand is locked with it. Whether the copy of that operand
            // creates it first is not known yet.
            let number = u32::try_from(self.fresh.len() - 1).unwrap_or(u32::MAX);
            let is_used = plan.applied.as_ref().is_none_or(|applied| applied.has(number));
            if operand.is_dir && is_used && !self.is_inside_earlier(plan, operand, &mut above) {
                self.lock_or_create(plan, operand)?;
            }
        }
        for parent in plan.parents.iter().filter(|parent| parent.new) {
            if let Ok(stat) = file::stat_path(&parent.target, true) {
                self.built_dirs.add(stat.identity(), None, true);
            }
        }
        if self.may_meet_itself(plan) {
            self.built_dirs.expect_nested();
        }
        if !plan.policy.locks_target || plan.stream.is_some() {
            return Ok(());
        }
        let mut seen = self.built_dirs.known().collect();
        for operand in &plan.operands {
            self.share_above(plan, operand, &mut seen)?;
        }
        Ok(())
    }

    /// Whether the target of `operand` is inside that of an earlier operand: 's/d' after 't/.'. `above` has the
    /// directories that contain targets, each with all directories above it.
    fn is_inside_earlier(
        &self,
        plan: &Plan,
        operand: &Operand,
        above: &mut HashMap<RawFd, Vec<Identity>>,
    ) -> bool {
        if self.built_dirs.known().next().is_none() || operand.target_name.as_c_str() == c"." {
            return false;
        }
        let dir = plan.target_dir(operand);
        let above = above.entry(dir.as_raw_fd()).or_insert_with(|| ancestors(dir).collect());
        above.iter().any(|&dir| self.built_dirs.contains(dir))
    }

    /// Locks the target directory of `operand`, whose entry in `fresh` is the last. Creates the directory
    /// first if it does not exist.
    fn lock_or_create(&mut self, plan: &Plan, operand: &Operand) -> Result<(), Refusal> {
        let Some(found) = find_or_create(plan, operand, self.renames)? else { return Ok(()) };
        let TargetDir { name, fresh, unstaged, renames } = found;
        self.renames |= renames;
        let number = u32::try_from(self.fresh.len() - 1).unwrap_or(u32::MAX);
        self.unstaged.extend(unstaged.map(|errno| (number, errno)));
        if let Some(last) = self.fresh.last_mut() {
            *last = fresh; // set at once, so that the directory is removed if anything fails from here on
        }
        let parent = plan.target_dir(operand);
        let opened = if plan.options.keep_directory_symlink {
            file::open_dir_following(parent, name.to_bytes())
        } else {
            file::open_dir_at(parent, &name)
        };
        let opened = match opened {
            // The directory cannot be locked, but the run must recognise it.
            Err(Errno::EACCES) => plan.reach_target_child(parent, &name),
            result => result,
        };
        let dir = match opened {
            Ok(dir) => dir,
            Err(errno @ (Errno::EMFILE | Errno::ENFILE)) if plan.policy.locks_target => {
                return Err(cannot_create(operand, errno));
            }
            Err(_) => return Ok(()), // a copier will report why
        };
        let Ok(stat) = file::stat_fd(&dir) else { return Ok(()) };
        // Two operands may become one directory, as 'a/.' and 'b/.' do.
        let created = fresh || name != operand.target_name;
        if self.built_dirs.add(stat.identity(), Some(number), created) && plan.policy.locks_target {
            if !lock_against_runs(dir.as_fd(), Lock::Exclusive, &stat) {
                return Err(busy(plan, operand));
            }
            self.create_lock_file(plan, number, &dir)?;
            // Where the kernel cannot rename without replacing, another run may have given this name to its own
            // directory before this one was locked.
            let is_staged = name != operand.target_name;
            if is_staged && still_named(parent, &name, dir.as_fd()) == Ok(false) {
                self.fresh.pop(); // the name is not this run's to remove
                return Err(busy(plan, operand));
            }
            self.locks.push(dir);
        }
        Ok(())
    }

    /// Whether a walk of a source may come to a directory that this run creates inside an existing one, without
    /// coming to the target of an operand first: through a symbolic link that is followed, or through a mount
    /// below the source or the target.
    fn may_meet_itself(&self, plan: &Plan) -> bool {
        let operands = plan.operands.iter().zip(&self.fresh);
        let mut merged = operands.filter(|(operand, fresh)| operand.is_dir && !**fresh).peekable();
        if merged.peek().is_none() || plan.options.dereference == Dereference::Always {
            return merged.peek().is_some();
        }
        let Some(mounts) = MountPoints::read() else { return true };
        let has_mounts =
            |dir: Result<OwnedFd, Errno>| dir.map_or(true, |dir| mounts.has_below(dir));
        merged.any(|(operand, _)| {
            has_mounts(plan.open_source(operand, operand.source_name.to_bytes()))
                || has_mounts(plan.open_target(operand, operand.target_name.to_bytes()))
        })
    }

    /// Creates the lock file in the target directory of an operand, if other machines may write there.
    fn create_lock_file(&self, plan: &Plan, number: u32, dir: &OwnedFd) -> Result<(), Refusal> {
        let Some(operand) = plan.operands.get(number as usize) else { return Ok(()) };
        if !statfs::may_be_shared(dir) {
            return Ok(());
        }
        let source = plan.open_source(operand, operand.source_name.to_bytes());
        let is_taken =
            |name: &CStr| source.as_ref().is_ok_and(|source| file::stat_at(source, name).is_ok());
        match RunLock::take(dir.as_fd(), is_taken) {
            Ok(lock) => self.lock_files.borrow_mut().push((number, lock)),
            Err(NotLocked::Impossible) => {}
            Err(NotLocked::Busy(creator)) => return Err(busy_elsewhere(plan, operand, creator)),
        }
        Ok(())
    }

    /// Ends a run whose disk may not answer any more: this process must not wait for it. A child removes the lock
    /// files. If it cannot, they stay, and the next run on this machine finds that this process is dead.
    pub(super) fn leave_lock_files(&self) {
        let mut locks = self.lock_files.take();
        if locks.is_empty() {
            return;
        }
        if let Ok(Side::Child) = process::fork() {
            let is_removed = |(_, lock): &mut (u32, RunLock)| lock.remove().is_ok();
            let all = locks.iter_mut().all(is_removed);
            pcopy_sys::exit(i32::from(!all));
        }
        std::mem::forget(locks); // dropping one removes its file
    }

    /// Removes the lock file of an operand that is copied, unless a later operand has the same target directory.
    pub(super) fn remove_lock_file(&self, operand: u32) {
        let is_needed = |number| number != operand || self.built_dirs.has_later(operand);
        self.lock_files.borrow_mut().retain(|&(number, _)| is_needed(number));
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
                // The directory is opened again, because all operands share the plan's descriptor, which
                // stays unlocked.
                if let Ok(own) = file::open_dir_at(&dir, c".") {
                    if !lock_against_runs(own.as_fd(), Lock::Shared, &stat) {
                        return Err(busy(plan, operand));
                    }
                    self.locks.push(own);
                }
            } else if !self.built_dirs.contains(stat.identity()) {
                break; // everything above is already locked
            }
            at = next.filter(|next| {
                file::stat_fd(next).is_ok_and(|above| above.identity() != stat.identity())
            });
        }
        Ok(())
    }

    /// Returns the fingerprints of the directories that this run created under their final names.
    pub(super) fn made(&self, plan: &Plan) -> HashSet<u64> {
        let operands = (0..).zip(&plan.operands).zip(&self.fresh);
        operands
            .filter(|(_, fresh)| **fresh && plan.options.in_place)
            .map(|((number, operand), _)| {
                place_fingerprint(number, b"", operand.source_name.to_bytes())
            })
            .collect()
    }

    /// Removes the target directories that this run has created and that are still empty.
    pub(super) fn remove_unused(&self, plan: &Plan) {
        let operands = (0..).zip(&plan.operands).zip(&self.fresh);
        for ((number, operand), _) in operands.filter(|(_, fresh)| **fresh) {
            let staged = if plan.options.in_place || self.unstaged.contains_key(&number) {
                operand.target_name.clone()
            } else {
                staged_name(&operand.target_name, 0)
            };
            if file::remove_dir(plan.target_dir(operand), &staged).is_err() {
                // The directory is not empty, or no longer belongs to this run. Then it must stay, and the
                // next run resumes in it.
            }
        }
    }
}

fn busy_elsewhere(plan: &Plan, operand: &Operand, creator: Option<Creator>) -> Refusal {
    let target = quote(operand.target_path.as_os_str().as_bytes());
    let creator = creator.map_or_else(String::new, |Creator { host, pid, .. }| {
        format!(": process {pid} on {}", escape(host.as_bytes()))
    });
    Refusal {
        message: format!("another pcopy is writing to {target}{creator}"),
        hint: Some(
            format!(
                "{}; if it does not run any more, remove its file .pcopy-lock",
                wait_for_other_run(plan)
            )
            .into(),
        ),
    }
}
