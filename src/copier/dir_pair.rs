//! A directory on both sides: how its target comes to be, and how the two are opened.

use super::clean::remove;
use super::entry::attributes::DirDefaults;
use super::folding::Folding;
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

/// A directory, open on both sides.
pub(super) struct DirPair {
    pub(super) source: OwnedFd,
    pub(super) target: OwnedFd,
    /// Whether the target is part of something new that has not been published, or that is built
    /// in its place.
    pub(super) staged: bool,
    /// Whether the target was there before this round, and may hold what others left.
    pub(super) existed: bool,
    /// Whether symlinks in the source are followed.
    pub(super) follow: bool,
    /// Whether what stands there under the entry's name was made by this run for another entry.
    pub(super) again: bool,
    /// Whether another run may be at work in the target: it is not locked, only its parts are.
    pub(super) contended: bool,
    pub(super) traits: Traits,
    /// Whose the files are that are made in it, once one of them was looked at.
    pub(super) hands: Cell<Option<Owners>>,
    pub(super) folding: Folding,
}

/// The user and the group that own something.
pub(super) type Owners = (u32, u32);

/// What a target directory does to what is made in it.
#[derive(Clone, Copy)]
pub(super) struct Traits {
    /// Its default access list gives it one, and takes bits away from it; its set-group-id bit
    /// gives it the directory's group.
    pub(super) born: DirDefaults,
    /// The device that it is on.
    pub(super) device: u64,
}

impl Traits {
    fn of(target: impl AsFd) -> Result<Self, EntryError> {
        let stat = file::stat_fd(&target).map_err(Op::OpenTarget.error())?;
        let in_group = stat.permissions() & 0o2000 != 0;
        let masked = xattr::has_default_list(target.as_fd());
        Ok(Self { born: DirDefaults { masked, in_group }, device: stat.identity().0 })
    }
}

impl DirPair {
    /// Where the owners of new files can be kept in mind: nobody else may change by whom they are born
    /// in a directory that nobody else sees.
    pub(super) fn known_hands(&self, plan: &Plan) -> Option<&Cell<Option<Owners>>> {
        (!self.is_seen(plan)).then_some(&self.hands)
    }

    /// What `name` in the source is; what it leads to, if symlinks are followed.
    pub(super) fn stat_source(&self, name: &CStr) -> Result<Stat, Errno> {
        if self.follow {
            file::stat_at_end(&self.source, name)
        } else {
            file::stat_at(&self.source, name)
        }
    }

    /// Whether another run may build the same names in the target: one that has come another way, through
    /// a symlink or a mount, has not met our locks.
    pub(super) fn is_shared(&self) -> bool {
        self.contended || !self.staged
    }

    /// Whether others look at the target: then what is in it may be a stranger's.
    pub(super) fn is_seen(&self, plan: &Plan) -> bool {
        !self.staged || plan.options.in_place
    }
}

/// What a child directory's mark says: how its target came to be.
#[derive(Clone, Copy)]
pub(super) struct ChildMark {
    /// It was there before this round.
    pub(super) existed: bool,
    /// It is new in a directory that stood there: built under the staged name with this number, or
    /// under its own.
    pub(super) staged: Option<u8>,
    /// It is to be made when somebody begins with it.
    pub(super) unmade: bool,
}

impl ChildMark {
    const STAGED_MAX: u8 = 30;

    /// In place of a number: built under its own name.
    const OWN_NAME: u8 = 31;

    /// One that is still to be made, under its own name.
    pub(super) const UNMADE: Self = Self { existed: false, staged: None, unmade: true };

    /// One that this round has made, under its own name.
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

    /// The number of the staged name that it will lose.
    pub(super) fn renamed(self) -> Option<u8> {
        self.staged.filter(|&variant| variant != Self::OWN_NAME)
    }

    /// The name of the child in the target as it is now. At the top it is the entry's, which need
    /// not be that of the source.
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

/// Sees to it that the target has a directory for the child.
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
                // At the top, what else is beside the source does not come along.
                if !dirs.contended && file::stat_at(&dirs.source, &staged).is_ok() {
                    continue;
                }
                match make_or_find(plan, dirs, source_name, &staged) {
                    Err(Errno::EEXIST) if dirs.is_written(&staged) == Ok(false) => {
                        return Err(Op::JustCreated.error()(Errno::EEXIST)); // it is to be 'a', and we are 'A'
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

/// The same where it has its own name from the beginning, in a directory that others see.
///
/// `made` says whether an earlier round of this run has made what is there; `begin` is called
/// before something is made.
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
            let bits = plan.options.preserve.bits_from_birth(source.permissions());
            let made = file::make_dir(&dirs.target, name, bits);
            made.map_err(Op::CreateDirectory.error())?;
            return Ok(ChildMark { staged, ..ChildMark::MADE });
        }
        Err(errno) => return Err(Op::LookAtTarget.error()(errno)),
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

/// Removes a folder that a killed run has begun under a staged name, where another has its own name by now:
/// nobody goes on with it.
fn drop_begun(plan: &Plan, dirs: &DirPair, source_name: &CStr, name: &CStr) {
    if dirs.contended {
        return; // there it has a lock, which the supervisor asks for
    }
    let (target, left) = (dirs.target.as_fd(), free_staged_name(dirs, name).1);
    let is_ours = has_begun(plan, (target, &left), || dirs.stat_source(source_name));
    if is_ours && remove(target, Kind::Directory, &left).is_err() {
        // Then it stays: nothing depends on it.
    }
}

/// Gives a folder its own name that a killed run, without `--inplace`, has begun under the staged one;
/// false if there is none.
fn take_over(plan: &Plan, dirs: &DirPair, source: &Stat, name: &CStr) -> bool {
    let (target, left) = (dirs.target.as_fd(), staged_name(name, 0));
    has_begun(plan, (target, &left), || Ok(*source))
        && file::rename_new(target, &left, name).is_ok()
}

/// Makes a directory whose parent this round has made, and nobody else knows.
///
/// `parent` is that, if it is open; `path` is where it is below the entry's target directory.
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

/// What stands in the target under a directory's name; a symlink may stand for one if the user wants.
fn stat_child(plan: &Plan, dirs: &DirPair, name: &CStr) -> Result<Stat, Errno> {
    let itself = file::stat_at(&dirs.target, name)?;
    if plan.options.keep_directory_symlink && itself.kind() == Kind::Symlink {
        return file::stat_at_end(&dirs.target, name).or(Ok(itself));
    }
    Ok(itself)
}

/// Makes a directory where nobody else looks; says whether an earlier run had made it.
///
/// DirDefaults for the owner alone where nobody else looks; it gets its bits when it is complete.
fn make_or_find(
    plan: &Plan,
    dirs: &DirPair,
    source_name: &CStr,
    name: &CStr,
) -> Result<bool, Errno> {
    let bits = if dirs.staged && dirs.is_seen(plan) {
        plan.options.preserve.bits_from_birth(dirs.stat_source(source_name)?.permissions())
    } else {
        0o700
    };
    match file::make_dir(&dirs.target, name, bits) {
        Err(Errno::EEXIST) => {}
        result => return result.map(|()| false),
    }
    if !dirs.existed || !dirs.is_written(name)? {
        return Err(Errno::EEXIST); // two names of the source are one in the target: 'A' and 'a'
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
        return Err(Errno::EEXIST); // a stranger's
    }
    file::unlink(&dirs.target, name)?; // the source had a file here when the earlier run was cut off
    file::make_dir(&dirs.target, name, 0o700).map(|()| false)
}

/// Whether a folder with a staged name may be one that we have made: who has made it reads, and changes,
/// what is put into it. Where owners are kept it may have been given away already, to whom the source
/// belongs; and there are file systems on which all that we make is somebody else's (FAT and some
/// network disks, mounted so, and where root is nobody).
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

/// Whether a killed run has begun a folder under a staged name.
pub(crate) fn has_begun(
    plan: &Plan,
    (dir, staged): (BorrowedFd<'_>, &CStr),
    source: impl FnOnce() -> Result<Stat, Errno>,
) -> bool {
    file::stat_at(dir, staged)
        .is_ok_and(|old| old.kind() == Kind::Directory && may_be_ours(plan, (dir, &old), source))
}

/// To whom a directory belongs that we make in `dir`: one is made and removed.
fn owner_of_new(dir: BorrowedFd<'_>) -> Result<u32, Errno> {
    let name = staged_name(c"whose", std::process::id());
    file::make_dir(dir, &name, 0o700)?;
    let stat = file::stat_at(dir, &name);
    file::remove_dir(dir, &name)?;
    stat.map(|stat| stat.owner())
}

/// Opens a child directory on both sides.
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
    let (again, contended) = (false, false);
    let (hands, folding) = (Cell::new(None), Folding::default());
    Ok(DirPair {
        source,
        target,
        staged,
        existed,
        follow,
        again,
        contended,
        traits,
        hands,
        folding,
    })
}

/// Whether a directory that was there may be one that this program has made, with bits of its own
/// that will come again: others may be set meanwhile.
fn is_ours(plan: &Plan, staged: bool) -> bool {
    let exact = plan.options.preserve.permissions == Permissions::Exact;
    staged || exact && plan.policy.resumes_leftovers
}

/// Opens a directory that its own bits keep us out of; the right ones come back when it is done.
fn open_locked(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    file::set_permissions_at(&parent, name, 0o700)?;
    file::open_dir_at(&parent, name)
}

/// Lets us work in a directory that stood there without rights for its owner.
///
/// A copy of a read-only folder is one, and must be able to go on after an interruption.
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

/// A staged name that the source has no entry of: else the two would be built on one another.
pub(super) fn free_staged_name(dirs: &DirPair, name: &CStr) -> (u32, CString) {
    (0..)
        .map(|variant| (variant, staged_name(name, variant)))
        .find(|(_, staged)| file::stat_at(&dirs.source, staged).is_err())
        .expect("a directory has fewer than 2^32 such names")
}

/// The directories that an entry itself is in; nobody has locked them. `failed` are entries of
/// which nothing was made.
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

/// Opens a directory below an entry from the top, by its paths.
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
    let (again, contended) = (false, false);
    let (hands, folding) = (Cell::new(None), Folding::default());
    Ok(DirPair {
        source,
        target,
        staged,
        existed,
        follow,
        again,
        contended,
        traits,
        hands,
        folding,
    })
}

/// XattrNames come from listings and operands, where a NUL ends them.
pub(super) fn c_name(name: &[u8]) -> CString {
    CString::new(name).unwrap_or_default()
}
