//! Keeps other runs out of the target while this run works.
//!
//! The run locks each directory that it builds or merges into exclusively, and every directory above it
//! shared. So two runs may copy into one directory at the same time, and neither may work inside a directory
//! that the other builds. (Databases call these intention locks; here they are flock(2) locks.) However the
//! run ends, the locks end with its last process.

use crate::error::Refusal;
use crate::ipc::inherited::built_dirs::BuiltDirs;
use crate::ipc::memory::counters::place_fingerprint;
use crate::plan::{Operand, Plan};
use crate::sanitize::quote;
use crate::staging::leftover::remove_leftover;
use crate::staging::lock::lock_against_runs;
use crate::staging::owner::{has_leftover_dir, may_be_ours};
use crate::staging::removal::remove;
use crate::staging::staged_name;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Lock, Node, Stat};
use pcopy_sys::xattr;
use std::collections::HashSet;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// The directories that this run has locked.
#[derive(Default)]
pub(super) struct TargetLock {
    /// The directories that the run builds or merges into.
    pub(super) built_dirs: BuiltDirs,
    /// For each operand: whether this run created its target directory.
    pub(super) fresh: Vec<bool>,
    locks: Vec<OwnedFd>,
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
        for operand in plan.operands.iter().filter(|operand| operand.is_dir) {
            let target = file::stat_at(plan.target_dir(operand), &operand.target_name);
            if let Ok(target) = target {
                lock.built_dirs.add(target.identity(), None, false);
            }
        }
        lock
    }

    fn take_all(&mut self, plan: &Plan) -> Result<(), Refusal> {
        for operand in &plan.operands {
            self.fresh.push(false);
            if operand.is_dir {
                self.lock_or_create(plan, operand)?;
            }
        }
        for parent in plan.parents.iter().filter(|parent| parent.new) {
            if let Ok(stat) = file::stat_path(&parent.target, true) {
                self.built_dirs.add(stat.identity(), None, true);
            }
        }
        let fresh = || plan.operands.iter().zip(&self.fresh);
        if fresh().any(|(operand, fresh)| operand.is_dir && !fresh) {
            self.built_dirs.expect_nested();
        }
        if !plan.policy.locks_target {
            return Ok(());
        }
        let mut seen = self.built_dirs.known().collect();
        for operand in &plan.operands {
            self.share_above(plan, operand, &mut seen)?;
        }
        Ok(())
    }

    /// Locks the target directory of `operand`, whose entry in `fresh` is the last. Creates the directory
    /// first if it does not exist.
    fn lock_or_create(&mut self, plan: &Plan, operand: &Operand) -> Result<(), Refusal> {
        let Some(TargetDir { name, fresh }) = find_or_create(plan, operand)? else { return Ok(()) };
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
        let number = u32::try_from(self.fresh.len() - 1).ok();
        let created = fresh || name != operand.target_name;
        if self.built_dirs.add(stat.identity(), number, created) && plan.policy.locks_target {
            if !lock_against_runs(dir.as_fd(), Lock::Exclusive, &stat) {
                return Err(busy(operand));
            }
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
                // The directory is opened again, because all operands share the plan's descriptor, which
                // stays unlocked.
                if let Ok(own) = file::open_dir_at(&dir, c".") {
                    if !lock_against_runs(own.as_fd(), Lock::Shared, &stat) {
                        return Err(busy(operand));
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
        for (operand, _) in plan.operands.iter().zip(&self.fresh).filter(|(_, fresh)| **fresh) {
            let staged: CString = if plan.options.in_place {
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

/// The directory in the target into which an operand is copied.
struct TargetDir {
    /// The current name of the directory, which may be a staged name.
    name: CString,
    /// Whether this run has created the directory.
    fresh: bool,
}

/// Finds the directory in the target into which `operand` is copied, or creates it. Returns `None` if there
/// is no directory to lock; a copier then reports why the operand cannot be copied.
fn find_or_create(plan: &Plan, operand: &Operand) -> Result<Option<TargetDir>, Refusal> {
    let keeps_link =
        |stat: &Stat| plan.options.keep_directory_symlink && stat.kind() == Kind::Symlink;
    match file::stat_at(plan.target_dir(operand), &operand.target_name) {
        Ok(stat) if stat.kind() == Kind::Directory || keeps_link(&stat) => {
            if plan.policy.resumes_leftovers {
                remove_begun(plan, operand);
            }
            Ok(Some(TargetDir { name: operand.target_name.clone(), fresh: false }))
        }
        Ok(_) => Ok(None), // the target is not a directory
        Err(Errno::ENOENT) if plan.options.in_place => create_in_place(plan, operand),
        Err(Errno::ENOENT) => create_staged(plan, operand).map(Some),
        // A target whose status cannot be read may exist. If this run staged a directory for it, that
        // directory would remain, and no run would resume in it.
        Err(errno) if plan.policy.locks_target => Err(cannot_create(operand, errno)),
        Err(_) => Ok(None),
    }
}

/// Creates the directory of an operand under its final name. Returns `None` if that fails and the policy
/// requires no lock.
fn create_in_place(plan: &Plan, operand: &Operand) -> Result<Option<TargetDir>, Refusal> {
    let source = file::stat_at_following(plan.source_dir(operand), &operand.source_name);
    let source = source.map_or(0o700, |source| source.permissions());
    let (parent, name) = (plan.target_dir(operand), &operand.target_name);
    let keep = &plan.options.preserve;
    // If the run is killed, the next run takes the directory for one whose mode it must keep. So the directory
    // gets its mode now, unless a group could get permissions that the owner or the ACL will take away.
    let may_limit = keep.ownership.is_wanted() || keep.access_lists.is_wanted();
    let lasts = keep.keeps_dir_modes && !may_limit;
    let bits = if lasts { source | 0o700 } else { keep.initial_mode(source, plan.umask) };
    match file::make_dir(parent, name, bits) {
        Ok(()) => {
            if lasts && file::stat_at(parent, name).is_ok_and(|made| made.permissions() != bits) {
                settle_mode(parent, name, bits);
            }
            Ok(Some(TargetDir { name: name.clone(), fresh: true }))
        }
        Err(errno) if plan.policy.locks_target => Err(cannot_create(operand, errno)),
        Err(_) => Ok(None),
    }
}

/// Gives a new directory the mode `bits`, which differs from the mode that it was created with because of a
/// default ACL or the set-group-ID bit.
fn settle_mode(parent: BorrowedFd<'_>, name: &CStr, bits: u32) {
    let is_private = xattr::remove(Node::Named(parent, name), xattr::ACCESS_ACL).is_ok();
    if is_private && file::set_permissions_at(parent, name, bits).is_err() {
        // A later step sets the mode in any case, and reports it if that fails.
    }
}

/// Creates the directory of an operand under its staged name, or finds the one that an interrupted run left.
fn create_staged(plan: &Plan, operand: &Operand) -> Result<TargetDir, Refusal> {
    let name = staged_name(&operand.target_name, 0);
    let fresh = match file::make_dir(plan.target_dir(operand), &name, 0o700) {
        Ok(()) => Ok(true),
        Err(Errno::EEXIST) => reuse_or_replace(plan, operand, &name),
        Err(errno) => return Err(cannot_create(operand, errno)),
    };
    match fresh {
        Ok(fresh) => Ok(TargetDir { name, fresh }),
        Err(Errno::EBUSY) => Err(busy(operand)),
        Err(Errno::EEXIST) => Err(foreign(operand, &name)),
        Err(errno) => Err(cannot_create(operand, errno)),
    }
}

/// Makes sure that an existing staged name is a directory in which this run can work. Returns true if it had
/// to create the directory.
///
/// If a file has this name, it is the leftover of a killed run, or another run is building it. Fails with
/// `EEXIST` if the name is a directory of another user.
fn reuse_or_replace(plan: &Plan, operand: &Operand, staged: &CStr) -> Result<bool, Errno> {
    let parent = plan.target_dir(operand);
    let old = file::stat_at(parent, staged)?;
    if old.kind() == Kind::Directory {
        let source = || file::stat_at(plan.source_dir(operand), &operand.source_name);
        let is_ours = may_be_ours(&plan.options, (parent, &old), source);
        return if is_ours { Ok(false) } else { Err(Errno::EEXIST) };
    }
    remove_leftover(parent, staged, true)?;
    file::make_dir(parent, staged, 0o700).map(|()| true)
}

/// Removes the staged directory that a killed run left for `operand`, because a directory with the final name
/// exists by now.
fn remove_begun(plan: &Plan, operand: &Operand) {
    let (parent, staged) = (plan.target_dir(operand), staged_name(&operand.target_name, 0));
    let source = || file::stat_at(plan.source_dir(operand), &operand.source_name);
    if !has_leftover_dir(&plan.options, (parent, &staged), source) {
        return;
    }
    // Another run may be working in the staged directory, so this run locks the directory first.
    let Ok(dir) = file::open_dir_at(parent, &staged) else { return };
    let locked = file::lock(dir.as_fd(), Lock::Exclusive).is_ok();
    if locked && remove(parent, Kind::Directory, &staged).is_err() {
        // The staged directory remains. That does no harm.
    }
}

fn cannot_create(operand: &Operand, errno: Errno) -> Refusal {
    Refusal::cannot("create directory", &operand.target_path, errno)
}

fn foreign(operand: &Operand, staged: &CStr) -> Refusal {
    let shown = operand.target_path.with_file_name(OsStr::from_bytes(staged.to_bytes()));
    Refusal {
        message: format!("{} belongs to another user", quote(shown.as_os_str().as_bytes())),
        hint: Some("the copy is staged under this name; have it removed, or choose another target"),
    }
}

fn busy(operand: &Operand) -> Refusal {
    Refusal {
        message: format!(
            "another pcopy is writing to {}",
            quote(operand.target_path.as_os_str().as_bytes())
        ),
        hint: Some("wait until it has finished, then rerun the command"),
    }
}
