//! A directory in the source and in the target: how the target is created, and how both are opened.

use super::clean::remove;
use super::entry::attributes::{DirDefaults, Owners};
use super::folding::{Folding, names_in};
use crate::error::{EntryError, Op};
use crate::ipc::wire::task::{EntryPath, split_last};
use crate::options::{CopyMode, Permissions};
use crate::plan::{Operand, Plan};
use crate::staging::staged_name;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use pcopy_sys::process;
use pcopy_sys::xattr;
use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A directory, open in the source and in the target.
pub(super) struct DirPair {
    pub(super) source: OwnedFd,
    pub(super) target: OwnedFd,
    /// Whether the target is inside a new directory that is not published yet, or that this run builds under
    /// its final name.
    pub(super) staged: bool,
    /// Whether the target existed before this round, and may contain what other runs left.
    pub(super) existed: bool,
    /// Whether symlinks in the source are followed.
    pub(super) follow: bool,
    /// Whether this run created the existing destination entry, for another operand.
    pub(super) again: bool,
    /// Whether another run may work in the target at the same time: only the entries in it are locked.
    pub(super) contended: bool,
    pub(super) traits: Traits,
    /// Who owns the files created in it, once one of them was looked at.
    pub(super) hands: Cell<Option<Owners>>,
    pub(super) folding: Folding,
}

/// The properties of a target directory that matter for the entries created in it.
#[derive(Clone, Copy)]
pub(super) struct Traits {
    /// What they inherit: an ACL, which also removes permission bits, from its default ACL; its group, from
    /// its set-group-ID bit.
    pub(super) born: DirDefaults,
    /// The device of its file system.
    pub(super) device: u64,
}

impl Traits {
    fn of(target: impl AsFd) -> Result<Self, EntryError> {
        let stat = file::stat_fd(&target).map_err(Op::OpenTarget.error())?;
        let in_group = stat.permissions() & 0o2000 != 0;
        let masked = xattr::has_default_acl(target.as_fd());
        Ok(Self { born: DirDefaults { masked, in_group }, device: stat.identity().0 })
    }
}

impl DirPair {
    /// A directory below an operand: this run has locked what it is in, and no other operand has made it.
    fn below_operand(
        (source, target): (OwnedFd, OwnedFd),
        (staged, existed): (bool, bool),
        follow: bool,
        traits: Traits,
    ) -> Self {
        Self {
            source,
            target,
            staged,
            existed,
            follow,
            again: false,
            contended: false,
            traits,
            hands: Cell::new(None),
            folding: Folding::default(),
        }
    }

    /// The status of the existing destination entry `name`; an error of `op` if that cannot be read.
    ///
    /// An error also if the existing entry is the copy of an entry whose name differs in case.
    pub(super) fn find(
        &self,
        plan: &Plan,
        name: &CStr,
        op: Op,
    ) -> Result<Option<Stat>, EntryError> {
        match file::stat_at(&self.target, name) {
            Ok(old) => {
                if !self.staged {
                    self.check_name(plan, name)?;
                }
                Ok(Some(old))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(op.error()(errno)),
        }
    }

    /// An error if what was found as `name` is the copy of an entry whose name differs in case.
    fn check_name(&self, plan: &Plan, name: &CStr) -> Result<(), EntryError> {
        self.folding.check_name(&self.target, name, || self.coming_names(plan))
    }

    /// Whether the target lists what was found as `name` in that case.
    pub(super) fn is_written(&self, name: &CStr) -> Result<bool, Errno> {
        self.folding.is_written(&self.target, name)
    }

    /// The names of all entries that are copied into the directory.
    fn coming_names(&self, plan: &Plan) -> Result<Vec<CString>, Errno> {
        if self.contended {
            return Ok(plan.operands.iter().map(|operand| operand.target_name.clone()).collect());
        }
        names_in(&self.source)
    }

    /// Where to note the owner of new files, if that is the same for all of them: no other program can
    /// change it in a directory that no other program uses.
    pub(super) fn known_hands(&self, plan: &Plan) -> Option<&Cell<Option<Owners>>> {
        (!self.is_seen(plan)).then_some(&self.hands)
    }

    /// The status of `name` in the source; of what it leads to, if symlinks are followed.
    pub(super) fn stat_source(&self, name: &CStr) -> Result<Stat, Errno> {
        if self.follow {
            file::stat_at_following(&self.source, name)
        } else {
            file::stat_at(&self.source, name)
        }
    }

    /// Whether another run may build the same names in the target: one that reached it another way, through a
    /// symlink or a mount point, does not see this run's lock.
    pub(super) fn is_shared(&self) -> bool {
        self.contended || !self.staged
    }

    /// Whether other programs use the target, so that entries in it may be theirs.
    pub(super) fn is_seen(&self, plan: &Plan) -> bool {
        !self.staged || plan.options.in_place
    }
}

/// How the target of a child directory came into being; packed into the tag of its name.
#[derive(Clone, Copy)]
pub(super) struct ChildMark {
    /// It existed before this round.
    pub(super) existed: bool,
    /// It is new in an existing directory: built under the staged name with this number, or under its own
    /// name.
    pub(super) staged: Option<u8>,
    /// It is created by the copier that starts it.
    pub(super) unmade: bool,
}

impl ChildMark {
    const STAGED_MAX: u8 = 30;

    /// In place of a number: built under its own name.
    const OWN_NAME: u8 = 31;

    /// A child that is not created yet, under its own name.
    pub(super) const UNMADE: Self = Self { existed: false, staged: None, unmade: true };

    /// A child that this round created, under its own name.
    const MADE: Self = Self { unmade: false, ..Self::UNMADE };

    pub(super) fn to_byte(self) -> u8 {
        let made = self.staged.map_or(u8::from(self.unmade), |variant| 0x20 | variant);
        0x80 | u8::from(self.existed) << 6 | made
    }

    pub(super) fn from_byte(mark: u8) -> Self {
        Self {
            existed: mark & 0x40 != 0,
            staged: (mark & 0x20 != 0).then_some(mark & 0x1f),
            unmade: mark & 0x21 == 1,
        }
    }

    /// The number of its staged name, if it has one.
    pub(super) fn renamed(self) -> Option<u8> {
        self.staged.filter(|&variant| variant != Self::OWN_NAME)
    }

    /// The present name of the child in the target. `at_top` says that it is an operand, whose name in the
    /// target can differ from that in the source.
    pub(super) fn target_name(
        self,
        plan: &Plan,
        operand: u32,
        at_top: bool,
        name: &CStr,
    ) -> CString {
        let own = plan
            .operands
            .get(operand as usize)
            .filter(|_| at_top)
            .map_or(name, |operand| &operand.target_name);
        self.renamed().map_or_else(|| own.to_owned(), |variant| staged_name(own, variant.into()))
    }
}

/// Creates the child's directory in the target, or finds it.
pub(super) fn make_child(
    plan: &Plan,
    dirs: &DirPair,
    (source_name, name): (&CStr, &CStr),
) -> Result<ChildMark, EntryError> {
    let error = Op::CreateDirectory.error();
    if dirs.staged {
        let existed = make_or_find(plan, dirs, source_name, name).map_err(error)?;
        return Ok(ChildMark { existed, ..ChildMark::MADE });
    }
    match stat_child(plan, dirs, name) {
        Ok(stat) if stat.kind() == Kind::Directory => {
            dirs.check_name(plan, name)?;
            drop_begun(plan, dirs, source_name, name);
            Ok(ChildMark { existed: true, ..ChildMark::MADE })
        }
        Ok(_) => Err(error(Errno::EEXIST)),
        Err(Errno::ENOENT) => {
            let last = if dirs.contended { 0 } else { ChildMark::STAGED_MAX };
            for variant in 0..=last {
                let staged = staged_name(name, variant.into());
                // The source may have an entry of that name; beside an operand that does not matter.
                if !dirs.contended && file::stat_at(&dirs.source, &staged).is_ok() {
                    continue;
                }
                match make_or_find(plan, dirs, source_name, &staged) {
                    Err(Errno::EEXIST) if dirs.is_written(&staged) == Ok(false) => {
                        return Err(Op::JustCreated.error()(Errno::EEXIST)); // it is a leftover of 'a', for 'A'
                    }
                    Err(Errno::EEXIST) => {}
                    found => {
                        let existed = found.map_err(error)?;
                        return Ok(ChildMark { existed, staged: Some(variant), unmade: false });
                    }
                }
            }
            Err(error(Errno::EEXIST))
        }
        Err(errno) => Err(error(errno)),
    }
}

/// The same under its final name from the start, in a directory that other programs use.
///
/// `made` says whether an earlier round of this run created the existing directory; `begin` is called
/// before one is created.
pub(super) fn make_child_in_place(
    plan: &Plan,
    dirs: &DirPair,
    (source_name, name): (&CStr, &CStr),
    made: bool,
    begin: impl FnOnce(),
) -> Result<ChildMark, EntryError> {
    let staged = Some(ChildMark::OWN_NAME);
    let old = match stat_child(plan, dirs, name) {
        Ok(old) => {
            dirs.check_name(plan, name)?;
            old
        }
        Err(Errno::ENOENT) => {
            let source = dirs.stat_source(source_name).map_err(Op::Stat.error())?;
            begin();
            if plan.policy.resumes_leftovers && take_over(plan, dirs, &source, name) {
                return Ok(ChildMark { existed: true, staged, unmade: false });
            }
            let bits = plan.options.preserve.initial_mode(source.permissions());
            let made = file::make_dir(&dirs.target, name, bits);
            made.map_err(Op::CreateDirectory.error())?;
            return Ok(ChildMark { staged, ..ChildMark::MADE });
        }
        Err(errno) => return Err(Op::StatTarget.error()(errno)),
    };
    if old.kind() != Kind::Directory {
        return Err(Op::DirectoryOverFile.error()(Errno::EEXIST));
    }
    if made {
        return Ok(ChildMark { existed: true, staged, unmade: false });
    }
    let source = dirs.stat_source(source_name).map_err(Op::Stat.error())?;
    if source.identity() == old.identity() && plan.options.copy_mode != CopyMode::HardLink {
        return Err(Op::SameFile.error()(Errno::EEXIST));
    }
    Ok(ChildMark { existed: true, ..ChildMark::MADE })
}

/// Removes the staged directory of an interrupted run, where a directory of the final name exists by now: no
/// run would resume it.
fn drop_begun(plan: &Plan, dirs: &DirPair, source_name: &CStr, name: &CStr) {
    if dirs.contended {
        return; // it has a lock, which the parent takes before it removes the directory
    }
    let (target, left) = (dirs.target.as_fd(), free_staged_name(dirs, name).1);
    let is_ours = has_begun(plan, (target, &left), || dirs.stat_source(source_name));
    if is_ours && remove(target, Kind::Directory, &left).is_err() {
        // Then it remains: nothing depends on it.
    }
}

/// Renames into place the staged directory of an interrupted run without `--inplace`; false if there is
/// none.
fn take_over(plan: &Plan, dirs: &DirPair, source: &Stat, name: &CStr) -> bool {
    let (target, left) = (dirs.target.as_fd(), staged_name(name, 0));
    has_begun(plan, (target, &left), || Ok(*source))
        && file::rename_noreplace(target, &left, name).is_ok()
}

/// Creates a directory whose parent this round created, and which no other program uses.
///
/// `parent` is the parent, if it is open; `path` is the parent's path in the operand's target directory.
pub(super) fn make_late(
    plan: &Plan,
    operand: u32,
    (parent, path): (Option<&DirPair>, &[u8]),
    name: &CStr,
) -> Result<(), EntryError> {
    let error = Op::CreateDirectory.error();
    if let Some(parent) = parent {
        return file::make_dir(&parent.target, name, 0o700).map_err(error);
    }
    let operand = plan.operands.get(operand as usize).ok_or_else(|| error(Errno::EINVAL))?;
    let parent = plan.open_target(operand, path).map_err(Op::OpenTarget.error())?;
    file::make_dir(&parent, name, 0o700).map_err(error)
}

/// The status of the existing `name` in the target; with `--keep-directory-symlink`, of what a symlink leads
/// to.
fn stat_child(plan: &Plan, dirs: &DirPair, name: &CStr) -> Result<Stat, Errno> {
    let itself = file::stat_at(&dirs.target, name)?;
    if plan.options.keep_directory_symlink && itself.kind() == Kind::Symlink {
        return file::stat_at_following(&dirs.target, name).or(Ok(itself));
    }
    Ok(itself)
}

/// Creates a staged directory, or one inside a staged directory; returns whether an earlier run had created
/// it.
///
/// It is created for the owner alone if no other program uses it, and gets its permission bits when it is
/// complete.
fn make_or_find(
    plan: &Plan,
    dirs: &DirPair,
    source_name: &CStr,
    name: &CStr,
) -> Result<bool, Errno> {
    let bits = if dirs.staged && dirs.is_seen(plan) {
        plan.options.preserve.initial_mode(dirs.stat_source(source_name)?.permissions())
    } else {
        0o700
    };
    match file::make_dir(&dirs.target, name, bits) {
        Err(Errno::EEXIST) => {}
        result => return result.map(|()| false),
    }
    if !dirs.existed || !dirs.is_written(name)? {
        return Err(Errno::EEXIST); // two names of the source are the same in the target: 'A' and 'a'
    }
    let old = file::stat_at(&dirs.target, name)?;
    if old.kind() == Kind::Directory {
        let source = || dirs.stat_source(source_name);
        let is_strangers = !dirs.staged && !may_be_ours(plan, (dirs.target.as_fd(), &old), source);
        return if is_strangers { Err(Errno::EEXIST) } else { Ok(true) };
    }
    if dirs.contended {
        return Err(Errno::EBUSY); // a file of another run
    }
    if dirs.is_seen(plan) && dirs.staged {
        return Err(Errno::EEXIST); // another program's
    }
    file::unlink(&dirs.target, name)?; // the source had a file here during the interrupted run
    file::make_dir(&dirs.target, name, 0o700).map(|()| false)
}

/// Whether a directory with a staged name may have been created by this user. Its creator can read and change what is copied into it.
///
/// If ownership is preserved, its owner may already be the owner of the source. On some file systems
/// everything that this user creates belongs to another user (FAT and some network file systems, depending
/// on the mount options, and where root is mapped to `nobody`).
pub(crate) fn may_be_ours(
    plan: &Plan,
    (dir, staged): (BorrowedFd<'_>, &Stat),
    source: impl FnOnce() -> Result<Stat, Errno>,
) -> bool {
    let given_away = || source().is_ok_and(|source| source.owner() == staged.owner());
    staged.owner() == process::user()
        || plan.options.preserve.ownership && given_away()
        || owner_of_new(dir) == Ok(staged.owner())
}

/// Whether an interrupted run left a directory with this staged name.
pub(crate) fn has_begun(
    plan: &Plan,
    (dir, staged): (BorrowedFd<'_>, &CStr),
    source: impl FnOnce() -> Result<Stat, Errno>,
) -> bool {
    file::stat_at(dir, staged)
        .is_ok_and(|old| old.kind() == Kind::Directory && may_be_ours(plan, (dir, &old), source))
}

/// The owner of directories that are created in `dir`: one is created and removed.
fn owner_of_new(dir: BorrowedFd<'_>) -> Result<u32, Errno> {
    let name = staged_name(c"whose", std::process::id());
    file::make_dir(dir, &name, 0o700)?;
    let stat = file::stat_at(dir, &name);
    file::remove_dir(dir, &name)?;
    stat.map(|stat| stat.owner())
}

/// Opens a child directory in the source and in the target.
pub(super) fn open_child(
    plan: &Plan,
    dirs: &DirPair,
    name: &CStr,
    target_name: &CStr,
    staged: bool,
    existed: bool,
) -> Result<DirPair, EntryError> {
    let follow = plan.follows(None);
    let source = if follow {
        file::open_dir_following(dirs.source.as_fd(), name.to_bytes())
    } else {
        file::open_dir_at(&dirs.source, name)
    }
    .map_err(Op::ReadDirectory.error())?;
    let ours = existed && is_ours(plan, staged);
    let opened = if plan.options.keep_directory_symlink {
        file::open_dir_following(dirs.target.as_fd(), target_name.to_bytes())
    } else {
        file::open_dir_at(&dirs.target, target_name)
    };
    let target = match opened {
        Err(Errno::EACCES) if ours => open_locked(&dirs.target, target_name),
        result => result,
    }
    .map_err(Op::OpenTarget.error())?;
    make_usable(&target, ours)?;
    let traits = if existed { Traits::of(&target)? } else { dirs.traits };
    Ok(DirPair::below_operand((source, target), (staged, existed), follow, traits))
}

/// Whether an existing directory may have been created by pcopy, so that its permission bits may be changed
/// meanwhile: they will be set to the final ones.
fn is_ours(plan: &Plan, staged: bool) -> bool {
    let exact = plan.options.preserve.permissions == Permissions::Exact;
    staged || exact && plan.policy.resumes_leftovers
}

/// Opens a directory whose permission bits deny it; the right bits are set when it is complete.
fn open_locked(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    file::set_permissions_at(&parent, name, 0o700)?;
    file::open_dir_at(&parent, name)
}

/// Adds the owner's permissions to an existing directory that lacks them.
///
/// The copy of a read-only directory lacks them, and an interrupted run must be able to continue in it.
fn make_usable(target: &OwnedFd, ours: bool) -> Result<(), EntryError> {
    if !ours || process::is_root() {
        return Ok(());
    }
    let stat = file::stat_fd(target).map_err(Op::OpenTarget.error())?;
    let bits = stat.permissions();
    if bits & 0o700 == 0o700 || stat.owner() != process::user() {
        return Ok(());
    }
    file::set_permissions(target, bits | 0o700).map_err(Op::OpenTarget.error())
}

/// A staged name that no entry of the source has; otherwise the two would be built under the same name.
pub(super) fn free_staged_name(dirs: &DirPair, name: &CStr) -> (u32, CString) {
    (0..)
        .map(|variant| (variant, staged_name(name, variant)))
        .find(|(_, staged)| file::stat_at(&dirs.source, staged).is_err())
        .expect("a directory has fewer than 2^32 such names")
}

/// The directories that contain an operand; they are not locked. `failed` are the operands of which nothing
/// was created.
pub(super) fn operand_dirs(
    plan: &Plan,
    operand: &Operand,
    failed: &HashSet<u32>,
) -> Result<DirPair, EntryError> {
    let (source, target) = (plan.source_dir(operand), plan.target_dir(operand));
    Ok(DirPair {
        source: source
            .try_clone_to_owned()
            .map_err(|_| Op::ReadDirectory.error()(Errno::EMFILE))?,
        traits: Traits::of(target)?,
        target: target.try_clone_to_owned().map_err(|_| Op::OpenTarget.error()(Errno::EMFILE))?,
        staged: false,
        existed: true,
        follow: plan.follows(Some(operand)),
        again: operand.again.iter().any(|earlier| !failed.contains(earlier)),
        contended: true,
        hands: Cell::new(None),
        folding: Folding::default(),
    })
}

/// Opens a directory below an operand by its paths.
pub(super) fn open_by_path(
    plan: &Plan,
    place: EntryPath<'_>,
    existed: bool,
) -> Result<DirPair, EntryError> {
    let operand = plan.operands.get(place.operand as usize);
    let operand = operand.ok_or_else(|| Op::ReadDirectory.error()(Errno::EINVAL))?;
    let source = plan.open_source(operand, place.source).map_err(Op::ReadDirectory.error())?;
    let ours = existed && is_ours(plan, place.staged);
    let target = match plan.open_target(operand, place.target) {
        Err(Errno::EACCES) if ours => {
            let (parent, name) = split_last(place.target);
            plan.open_target(operand, parent).and_then(|parent| open_locked(&parent, &c_name(name)))
        }
        result => result,
    }
    .map_err(Op::OpenTarget.error())?;
    make_usable(&target, ours)?;
    let traits = Traits::of(&target)?;
    let (staged, follow) = (place.staged, plan.follows(None));
    Ok(DirPair::below_operand((source, target), (staged, existed), follow, traits))
}

/// A name as a C string. Names come from directory listings and operands, so they contain no NUL.
pub(super) fn c_name(name: &[u8]) -> CString {
    CString::new(name).unwrap_or_default()
}
