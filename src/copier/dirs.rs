//! A directory on both sides: how its target comes to be, and how the two are opened.

use super::attrs::Born;
use crate::ipc::report::{Fault, Step};
use crate::ipc::task::{Place, split_last};
use crate::options::{Dereference, Permissions};
use crate::plan::{Entry, Plan};
use crate::staging::staged_name;
use crate::sys::Errno;
use crate::sys::file::{self, Kind, Stat};
use crate::sys::process;
use crate::sys::xattr;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// A directory, open on both sides.
pub(super) struct Dirs {
    pub(super) source: OwnedFd,
    pub(super) target: OwnedFd,
    /// Whether the target is part of something that has not been published.
    pub(super) staged: bool,
    /// Whether the target was there before this round, and may hold what others left.
    pub(super) existed: bool,
    /// Whether the target's default access list takes bits away from what is created in it.
    pub(super) masked: bool,
    /// Whether its set-group-id bit gives its group to what is created in it.
    pub(super) in_group: bool,
    /// Whether directories get their source's bits, so that others may be set meanwhile.
    pub(super) exact: bool,
    /// Whether symlinks in the source are followed.
    pub(super) follow: bool,
    /// Whether what stands there under the entry's name was made by this run for another entry.
    pub(super) again: bool,
    /// The device that the target is on.
    pub(super) device: u64,
    /// Whether another run may be at work in the target: it is not locked, only its parts are.
    pub(super) contended: bool,
}

impl Dirs {
    /// What becomes of what is created in the target.
    pub(super) fn born(&self) -> Born {
        Born { masked: self.masked, in_group: self.in_group }
    }

    /// What `name` in the source is; what it leads to, if symlinks are followed.
    pub(super) fn stat_source(&self, name: &CStr) -> Result<Stat, Errno> {
        if self.follow {
            file::stat_at_end(&self.source, name)
        } else {
            file::stat_at(&self.source, name)
        }
    }
}

/// What a child directory's mark says: how its target came to be.
#[derive(Clone, Copy)]
pub(super) struct Child {
    /// It stood there before.
    pub(super) existed: bool,
    /// It is built under the staged name with this number.
    pub(super) staged: Option<u8>,
}

impl Child {
    const STAGED_MAX: u8 = 31;

    pub(super) fn mark(self) -> u8 {
        0x80 | u8::from(self.existed) << 6 | self.staged.map_or(0, |variant| 0x20 | variant)
    }

    pub(super) fn from_mark(mark: u8) -> Self {
        Self { existed: mark & 0x40 != 0, staged: (mark & 0x20 != 0).then_some(mark & 0x1f) }
    }
}

impl Child {
    /// The name of the child in the target as it is now. At the top it is the entry's, which need
    /// not be that of the source.
    pub(super) fn target_name(self, plan: &Plan, entry: u32, at_top: bool, name: &CStr) -> CString {
        let own = plan
            .entries
            .get(entry as usize)
            .filter(|_| at_top)
            .map_or(name, |entry| &entry.target_name);
        self.staged.map_or_else(|| own.to_owned(), |variant| staged_name(own, variant.into()))
    }
}

/// Sees to it that the target has a directory for the child.
pub(super) fn make_child(dirs: &Dirs, name: &CStr) -> Result<Child, Fault> {
    let fault = Step::CreateDirectory.fault();
    if dirs.staged {
        let existed = make_or_find(dirs, name).map_err(fault)?;
        return Ok(Child { existed, staged: None });
    }
    match file::stat_at(&dirs.target, name) {
        Ok(stat) if stat.kind() == Kind::Directory => Ok(Child { existed: true, staged: None }),
        Ok(_) => Err(fault(Errno::EEXIST)),
        Err(Errno::ENOENT) => {
            let (variant, staged) = if dirs.contended {
                (0, staged_name(name, 0)) // what else is beside the source does not come along
            } else {
                free_staged_name(dirs, name)
            };
            let variant =
                u8::try_from(variant).ok().filter(|&variant| variant <= Child::STAGED_MAX);
            let variant = variant.ok_or_else(|| fault(Errno::EEXIST))?;
            let existed = make_or_find(dirs, &staged).map_err(fault)?;
            Ok(Child { existed, staged: Some(variant) })
        }
        Err(errno) => Err(fault(errno)),
    }
}

/// Makes a directory where nobody else looks; says whether an earlier run had made it.
///
/// Born for the owner alone; it gets its bits when it is complete.
fn make_or_find(dirs: &Dirs, name: &CStr) -> Result<bool, Errno> {
    match file::make_dir(&dirs.target, name, 0o700) {
        Err(Errno::EEXIST) => {}
        result => return result.map(|()| false),
    }
    if !dirs.existed {
        return Err(Errno::EEXIST); // two names of the source are one in the target: 'A' and 'a'
    }
    if file::stat_at(&dirs.target, name)?.kind() == Kind::Directory {
        return Ok(true);
    }
    if dirs.contended {
        return Err(Errno::EBUSY); // a file of another run
    }
    file::unlink(&dirs.target, name)?; // the source had a file here when the earlier run was cut off
    file::make_dir(&dirs.target, name, 0o700).map(|()| false)
}

/// Opens a child directory on both sides.
pub(super) fn open_child(
    dirs: &Dirs,
    name: &CStr,
    target_name: &CStr,
    staged: bool,
    existed: bool,
) -> Result<Dirs, Fault> {
    let source = if dirs.follow {
        file::open_dir_following(dirs.source.as_fd(), name.to_bytes())
    } else {
        file::open_dir_at(&dirs.source, name)
    }
    .map_err(Step::ReadDirectory.fault())?;
    let exact = dirs.exact;
    let ours = existed && (staged || exact);
    let target = match file::open_dir_at(&dirs.target, target_name) {
        Err(Errno::EACCES) if ours => open_locked(&dirs.target, target_name),
        result => result,
    }
    .map_err(Step::OpenTarget.fault())?;
    make_usable(&target, ours)?;
    let masked = if existed { xattr::has_default_list(target.as_fd()) } else { dirs.masked };
    let (device, in_group) =
        if existed { traits_of(&target)? } else { (dirs.device, dirs.in_group) };
    let follow = dirs.follow;
    let (again, contended) = (false, false);
    Ok(Dirs {
        source,
        target,
        staged,
        existed,
        masked,
        in_group,
        exact,
        follow,
        again,
        device,
        contended,
    })
}

/// Opens a directory that its own bits keep us out of; the right ones come back when it is done.
fn open_locked(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    file::set_permissions_at(&parent, name, 0o700)?;
    file::open_dir_at(&parent, name)
}

/// Lets us work in a directory that stood there without rights for its owner.
///
/// A copy of a read-only folder is one, and must be able to go on after an interruption.
fn make_usable(target: &OwnedFd, ours: bool) -> Result<(), Fault> {
    if !ours || process::is_root() {
        return Ok(());
    }
    let stat = file::stat_fd(target).map_err(Step::OpenTarget.fault())?;
    let bits = stat.permissions();
    if bits & 0o700 == 0o700 || stat.owner() != process::user() {
        return Ok(());
    }
    file::set_permissions(target, bits | 0o700).map_err(Step::OpenTarget.fault())
}

/// A staged name that the source has no entry of: else the two would be built on one another.
pub(super) fn free_staged_name(dirs: &Dirs, name: &CStr) -> (u32, CString) {
    (0..)
        .map(|variant| (variant, staged_name(name, variant)))
        .find(|(_, staged)| file::stat_at(&dirs.source, staged).is_err())
        .expect("a directory has fewer than 2^32 such names")
}

/// The directories that an entry itself is in; nobody has locked them.
pub(super) fn entry_dirs(plan: &Plan, entry: &Entry) -> Result<Dirs, Fault> {
    let (source, target) = (plan.source_dir(entry), plan.target_dir(entry));
    let (device, in_group) = traits_of(target)?;
    Ok(Dirs {
        source: source
            .try_clone_to_owned()
            .map_err(|_| Step::ReadDirectory.fault()(Errno::EMFILE))?,
        masked: xattr::has_default_list(target),
        device,
        in_group,
        exact: is_exact(plan),
        target: target.try_clone_to_owned().map_err(|_| Step::OpenTarget.fault()(Errno::EMFILE))?,
        staged: false,
        existed: true,
        follow: plan.dereference == Dereference::Always,
        again: entry.again,
        contended: true,
    })
}

/// Opens a directory below an entry from the top, by its paths.
pub(super) fn open_by_path(plan: &Plan, place: Place<'_>, existed: bool) -> Result<Dirs, Fault> {
    let entry = plan.entries.get(place.entry as usize);
    let entry = entry.ok_or_else(|| Step::ReadDirectory.fault()(Errno::EINVAL))?;
    let source = plan.open_source(entry, place.source).map_err(Step::ReadDirectory.fault())?;
    let top = plan.target_dir(entry);
    let exact = is_exact(plan);
    let ours = existed && (place.staged || exact);
    let target = match file::open_dir_beneath(top, place.target) {
        Err(Errno::EACCES) if ours => {
            let (parent, name) = split_last(place.target);
            file::open_dir_beneath(top, parent)
                .and_then(|parent| open_locked(&parent, &c_name(name)))
        }
        result => result,
    }
    .map_err(Step::OpenTarget.fault())?;
    make_usable(&target, ours)?;
    let masked = xattr::has_default_list(target.as_fd());
    let (device, in_group) = traits_of(&target)?;
    let (staged, follow) = (place.staged, plan.dereference == Dereference::Always);
    let (again, contended) = (false, false);
    Ok(Dirs {
        source,
        target,
        staged,
        existed,
        masked,
        in_group,
        exact,
        follow,
        again,
        device,
        contended,
    })
}

/// The device that a target is on, and whether it gives its group to what is created in it.
fn traits_of(target: impl AsFd) -> Result<(u64, bool), Fault> {
    let stat = file::stat_fd(target).map_err(Step::OpenTarget.fault())?;
    Ok((stat.identity().0, stat.permissions() & 0o2000 != 0))
}

fn is_exact(plan: &Plan) -> bool {
    plan.preserve.permissions == Permissions::Exact
}

/// Appends a name to a path.
pub(super) fn push_component(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// Names come from listings and operands, where a NUL ends them.
pub(super) fn c_name(name: &[u8]) -> CString {
    CString::new(name).unwrap_or_default()
}
