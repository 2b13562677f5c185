//! Creates the directory in the target into which an operand is copied: under a staged name, or under its final
//! name with `--inplace` and where the file system permits nothing else.

use crate::error::{Refusal, may_forbid_staging};
use crate::plan::{Operand, Plan};
use crate::sanitize::quote;
use crate::staging::leftover::remove_leftover;
use crate::staging::owner::{has_leftover_dir, may_be_ours};
use crate::staging::removal::remove;
use crate::staging::{UNFINISHED_MODE, staged_name};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Lock, Node, Stat};
use pcopy_sys::xattr;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// The directory in the target into which an operand is copied.
pub(super) struct TargetDir {
    /// The current name of the directory, which may be a staged name.
    pub(super) name: CString,
    /// Whether this run has created the directory.
    pub(super) fresh: bool,
    /// Why the directory is new but not staged, although it should be.
    pub(super) unstaged: Option<Errno>,
    /// Whether this run has found out that directories can be renamed there.
    pub(super) renames: bool,
}

impl TargetDir {
    fn found(name: &CStr, fresh: bool) -> Self {
        Self { name: name.to_owned(), fresh, unstaged: None, renames: false }
    }
}

/// Finds the directory in the target into which `operand` is copied, or creates it. Returns `None` if there
/// is no directory to lock; a copier then reports why the operand cannot be copied. `renames` says that
/// directories can be renamed there.
pub(super) fn find_or_create(
    plan: &Plan,
    operand: &Operand,
    renames: bool,
) -> Result<Option<TargetDir>, Refusal> {
    let keeps_link =
        |stat: &Stat| plan.options.keep_directory_symlink && stat.kind() == Kind::Symlink;
    match file::stat_at(plan.target_dir(operand), &operand.target_name) {
        Ok(stat) if stat.kind() == Kind::Directory || keeps_link(&stat) => {
            if plan.policy.resumes_leftovers {
                remove_begun(plan, operand);
            }
            Ok(Some(TargetDir::found(&operand.target_name, false)))
        }
        Ok(_) => Ok(None), // the target is not a directory
        Err(Errno::ENOENT) if plan.options.in_place => create_in_place(plan, operand),
        Err(Errno::ENOENT) => create_staged(plan, operand, renames).map(Some),
        // A target whose status cannot be read may exist. If this run staged a directory for it, that
        // directory would remain, and no run would resume in it.
        Err(errno) if plan.policy.locks_target => Err(cannot_create(operand, errno)),
        Err(_) => Ok(None),
    }
}

/// Creates the directory of an operand under its final name. Returns `None` if that fails and the policy
/// requires no lock.
fn create_in_place(plan: &Plan, operand: &Operand) -> Result<Option<TargetDir>, Refusal> {
    match make_final_dir(plan, operand) {
        Ok(()) => Ok(Some(TargetDir::found(&operand.target_name, true))),
        Err(errno) if plan.policy.locks_target => Err(cannot_create(operand, errno)),
        Err(_) => Ok(None),
    }
}

fn make_final_dir(plan: &Plan, operand: &Operand) -> Result<(), Errno> {
    let source = file::stat_at_following(plan.source_dir(operand), &operand.source_name);
    let (parent, name) = (plan.target_dir(operand), &operand.target_name);
    let (options, keep) = (&plan.options, &plan.options.preserve);
    // If the run is killed, the next run takes the directory for one whose mode it must keep. So the directory
    // gets its mode now, unless a group could get permissions that the owner or the ACL will take away.
    let may_limit = options.sets_owner() || keep.access_lists.is_wanted();
    let lasts = keep.keeps_dir_modes && !may_limit;
    let bits = match source {
        Ok(source) if lasts => options.wanted_permissions(&source) | 0o700,
        Ok(source) => options.initial_mode(&source, plan.umask),
        Err(_) => 0o700,
    };
    file::make_dir(parent, name, bits)?;
    if lasts && file::stat_at(parent, name).is_ok_and(|made| made.permissions() != bits) {
        settle_mode(parent, name, bits);
    }
    Ok(())
}

/// Gives a new directory the mode `bits`, which differs from the mode that it was created with because of a
/// default ACL or the set-group-ID bit.
fn settle_mode(parent: BorrowedFd<'_>, name: &CStr, bits: u32) {
    let is_private = xattr::remove(Node::Named(parent, name), xattr::ACCESS_ACL).is_ok();
    if is_private && file::set_permissions_at(parent, name, bits).is_err() {
        // A later step sets the mode in any case, and reports it if that fails.
    }
}

/// Creates the directory of an operand under its staged name, or finds the one that an interrupted run left. If
/// the file system cannot create or rename it, creates it under its final name.
fn create_staged(plan: &Plan, operand: &Operand, renames: bool) -> Result<TargetDir, Refusal> {
    let (parent, name) = (plan.target_dir(operand), staged_name(&operand.target_name, 0));
    if file::stat_dir(parent).is_ok_and(|above| above.is_append_only) {
        return create_unstaged(plan, operand, Errno::EPERM);
    }
    let made = if renames {
        make_unfinished(parent, &name).map(|()| true)
    } else {
        make_and_rename(plan, operand)
    };
    let fresh = match made {
        Ok(renames) => return Ok(TargetDir { renames, ..TargetDir::found(&name, true) }),
        Err(Errno::EEXIST) => reuse_or_replace(plan, operand, &name),
        Err(errno) if may_forbid_staging(errno) => return create_unstaged(plan, operand, errno),
        Err(errno) => return Err(cannot_create(operand, errno)),
    };
    match fresh {
        Ok(fresh) => Ok(TargetDir::found(&name, fresh)),
        Err(Errno::EBUSY) => Err(busy(plan, operand)),
        Err(Errno::EEXIST) => Err(foreign(operand, &name)),
        Err(errno) => Err(cannot_create(operand, errno)),
    }
}

/// Creates the staged directory of an operand under another staged name, and renames it. So this fails if the file
/// system cannot rename directories: then what is built there would never get its final name. Returns whether it is
/// known now that directories can be renamed.
///
/// If the run is killed in between, an empty directory remains, until a later run that comes here removes it.
fn make_and_rename(plan: &Plan, operand: &Operand) -> Result<bool, Errno> {
    let (parent, name) = (plan.target_dir(operand), &operand.target_name);
    let (staged, trial) = (staged_name(name, 0), staged_name(name, 1));
    if file::stat_at(parent, &staged).is_ok() {
        remove_trial(plan, operand);
        return Err(Errno::EEXIST); // an interrupted run has left it
    }
    let make = |name: &CStr| make_unfinished(parent, name);
    let mut made = make(&trial);
    if made == Err(Errno::EEXIST) {
        remove_trial(plan, operand);
        made = make(&trial);
    }
    if made.is_err() {
        return make(&staged).map(|()| false);
    }
    let Err(errno) = file::rename_noreplace(parent, &trial, &staged) else { return Ok(true) };
    if file::remove_dir(parent, &trial).is_err() {
        // What refuses the rename of a directory may refuse its removal, too. It is empty.
    }
    if may_forbid_staging(errno) {
        return Err(errno);
    }
    make(&staged).map(|()| false) // the error does not show whether directories can be renamed
}

/// Creates a private directory that has not got its mode yet.
fn make_unfinished(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match file::make_dir(parent, name, UNFINISHED_MODE) {
        // The file system has no sticky bit.
        Err(Errno::EINVAL | Errno::EPERM | Errno::EOPNOTSUPP) => {
            file::make_dir(parent, name, 0o700)
        }
        made => made,
    }
}

/// Creates the directory of an operand under its final name, because staging it has failed with `refused`.
fn create_unstaged(plan: &Plan, operand: &Operand, refused: Errno) -> Result<TargetDir, Refusal> {
    let name = &operand.target_name;
    make_final_dir(plan, operand).map_err(|errno| cannot_create(operand, errno))?;
    Ok(TargetDir { unstaged: Some(refused), ..TargetDir::found(name, true) })
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
    make_unfinished(parent, staged).map(|()| true)
}

/// Removes what a killed run left for `operand` under staged names, because a directory with the final name exists
/// by now.
fn remove_begun(plan: &Plan, operand: &Operand) {
    let (parent, staged) = (plan.target_dir(operand), staged_name(&operand.target_name, 0));
    if let Some(_locked) = lock_leftover_dir(plan, operand, &staged)
        && remove(parent, Kind::Directory, &staged).is_err()
    {
        // The staged directory remains. That does no harm.
    }
    remove_trial(plan, operand);
}

/// Removes the empty directory that a run left if it was killed in [`make_and_rename`].
fn remove_trial(plan: &Plan, operand: &Operand) {
    let (parent, trial) = (plan.target_dir(operand), staged_name(&operand.target_name, 1));
    if let Some(_locked) = lock_leftover_dir(plan, operand, &trial)
        && file::remove_dir(parent, &trial).is_err()
    {
        // It has contents, so no run has left it there.
    }
}

/// Locks a staged directory that a killed run left for `operand`. Returns `None` if there is none, or if another
/// run works in it.
fn lock_leftover_dir(plan: &Plan, operand: &Operand, staged: &CStr) -> Option<OwnedFd> {
    let parent = plan.target_dir(operand);
    let source = || file::stat_at(plan.source_dir(operand), &operand.source_name);
    if !has_leftover_dir(&plan.options, (parent, staged), source) {
        return None;
    }
    let dir = file::open_dir_at(parent, staged).ok()?;
    file::lock(dir.as_fd(), Lock::Exclusive).is_ok().then_some(dir)
}

pub(super) fn cannot_create(operand: &Operand, errno: Errno) -> Refusal {
    Refusal::cannot("create directory", &operand.target_path, errno)
}

fn foreign(operand: &Operand, staged: &CStr) -> Refusal {
    let shown = operand.target_path.with_file_name(OsStr::from_bytes(staged.to_bytes()));
    Refusal {
        message: format!("{} belongs to another user", quote(shown.as_os_str().as_bytes())),
        hint: Some(
            "the copy is staged under this name; have it removed, or choose another target".into(),
        ),
    }
}

pub(super) fn busy(plan: &Plan, operand: &Operand) -> Refusal {
    let target = quote(operand.target_path.as_os_str().as_bytes());
    Refusal {
        message: format!("another pcopy is writing to {target}"),
        hint: Some(wait_for_other_run(plan).into()),
    }
}

pub(super) fn wait_for_other_run(plan: &Plan) -> String {
    // When the other run has finished, the target exists.
    let command = plan.with_no_target_directory.as_deref();
    let then = command.map_or("rerun the command".to_owned(), |command| format!("run: {command}"));
    format!("wait until it has finished, then {then}")
}
