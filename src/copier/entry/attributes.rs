//! Gives a copy the attributes of its source, that is, everything besides type and contents, in a fixed
//! order.
//!
//! The order is owner, extended attributes, times, permission bits. The owner comes first, because a change
//! of owner clears set-ID bits and capabilities. Times come before permission bits, because a target with the
//! size and time of its source counts as up to date. If a copier dies after setting the times and before
//! setting the permission bits, only the permission bits are wrong. The next run also compares permission
//! bits, and repairs them.
//!
//! An attribute that cannot be read or set never makes the copy of an entry fail: the copy is complete without
//! it, and the loss is reported ([`AttributeErrors`]). If the permissions of the copy cannot be those of the
//! source, it gets fewer permissions, never more.

use super::data_bytes;
use super::result::AttributeErrors;
use super::timestamps::{Agreement, agreement};
use crate::copier::retry::retry;
use crate::error::{AttributeError, Op, is_transient_errno};
use crate::ipc::wire::difference::{Properties, Property};
use crate::options::{CopyOptions, Permissions, Preservation, Preserve};
use crate::plan::{DirOrigin, Plan, XattrRules};
use crate::policy::Policy;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Node, Stat};
use pcopy_sys::process::{self, Capability};
use pcopy_sys::statfs;
use pcopy_sys::xattr;
use std::cell::Cell;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const STICKY: u32 = 0o1000;
const ALL_SPECIAL: u32 = 0o7000;
const OWNER_BITS: u32 = 0o700;
pub(in crate::copier) const OWNER_READ: u32 = 0o400;
pub(in crate::copier) const OWNER_WRITE: u32 = 0o200;
const GROUP_BITS: u32 = 0o070;
const GROUP_WRITE: u32 = 0o020;
const OTHERS_BITS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;

/// The attributes to preserve, and the user and group of this process.
#[derive(Clone, Copy)]
pub(crate) struct Attrs<'a> {
    keep: Preserve,
    /// They say which mode and owner the copy of a source is to have.
    options: &'a CopyOptions,
    /// Whether copies get an owner or a group other than that of all files that this user creates.
    sets_owner: bool,
    /// How often a call is repeated after a transient error.
    retries: u16,
    rules: &'a XattrRules,
    umask: u32,
    policy: Policy,
    root: bool,
    user: u32,
    group: u32,
    /// The ID that the kernel shows for each user and group that this user namespace does not know. Two entries that
    /// have it may have different owners.
    unknown_id: Option<u32>,
}

/// The names of an entry's extended attributes; empty if the options preserve none.
#[derive(Default)]
pub(in crate::copier) struct XattrNames {
    /// The names, each followed by a zero byte.
    names: Vec<u8>,
    /// Why the names could not be listed. Then `names` has only those of the ACLs, as far as they exist.
    unlisted: Option<Errno>,
}

/// The user ID and the group ID of the owner of an entry.
pub(in crate::copier) type Owners = (u32, u32);

/// What an entry inherits from the target directory in which it is created.
#[derive(Clone, Copy)]
pub(in crate::copier) struct DirDefaults {
    /// Whether the entry gets an ACL, from the directory's default ACL.
    pub(in crate::copier) masked: bool,
    /// Whether the entry gets the directory's group, because of the directory's set-group-ID bit.
    pub(in crate::copier) in_group: bool,
}

/// Who owns a copy after an attempt to preserve the ownership.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OwnerResult {
    /// The user who copies, because ownership is not to be preserved.
    Ours,
    /// The source's owner and group; `moved` says that they had to be set.
    Right { moved: bool },
    /// The user who copies: the kernel does not permit other users than root to change the owner.
    Refused,
    /// The user who copies, because setting the owner failed.
    Failed { same_group: bool },
}

impl<'a> Attrs<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Self {
        Self {
            keep: plan.options.preserve,
            options: &plan.options,
            sets_owner: plan.options.sets_owner(),
            retries: plan.retries,
            rules: &plan.xattr_rules,
            umask: plan.umask,
            policy: plan.policy,
            root: process::is_root(),
            user: process::user(),
            group: process::group(),
            unknown_id: plan.unknown_id,
        }
    }

    /// Lists the names of an entry's extended attributes, if any are to be preserved.
    ///
    /// If they cannot be listed, looks for the ACLs by their names, because the permission bits of the copy
    /// depend on them.
    pub(in crate::copier) fn list_names(&self, source: Node<'_>) -> XattrNames {
        let mut names = XattrNames::default();
        if !self.keep.looks_at_attributes() {
            return names;
        }
        match self.retry(|| xattr::list(source, &mut names.names)) {
            Ok(()) => names,
            Err(errno) => unlisted_names(source, errno),
        }
    }

    /// Returns the permission bits with which a file is created.
    ///
    /// They are the final bits without set-ID and sticky bits, because the kernel clears set-ID bits on a
    /// write. The bits for group and others are missing, too, while the owner or an ACL is still to be set.
    /// The owner gets write permission if setting the extended attributes requires it.
    pub(in crate::copier) fn creation_mode(
        &self,
        source: &Stat,
        names: &XattrNames,
        defaults: DirDefaults,
    ) -> u32 {
        let mut bits = self.plain_bits(source, defaults.masked) & !ALL_SPECIAL;
        if self.needs_writing(names) {
            bits |= OWNER_WRITE;
        }
        if self.is_created_private(source, names, defaults) { bits & !OTHERS_BITS } else { bits }
    }

    /// Returns the permission bits with which a FIFO, socket or device is created: the final bits, without
    /// those for group and others while the owner is still to be set.
    pub(in crate::copier) fn node_permissions(&self, source: &Stat, defaults: DirDefaults) -> u32 {
        let bits = self.plain_bits(source, defaults.masked);
        if self.owner_may_change(source, defaults) { bits & !OTHERS_BITS } else { bits }
    }

    /// Returns the permission bits of a copy: the wanted ones, or those that the umask leaves of them. `masked` says
    /// that the target directory has a default ACL, which the kernel applies instead of the umask.
    fn plain_bits(&self, source: &Stat, masked: bool) -> u32 {
        self.left_of(self.options.wanted_permissions(source), masked)
    }

    /// Returns which of the wanted permission bits a new entry gets.
    fn left_of(&self, wanted: u32, masked: bool) -> u32 {
        match self.keep.permissions {
            Permissions::Exact => wanted,
            // With `--preserve=ownership`, cp applies the umask even if there is a default ACL.
            Permissions::Masked if masked && !self.sets_owner => wanted & !ALL_SPECIAL,
            Permissions::Masked | Permissions::Fresh => wanted & !ALL_SPECIAL & !self.umask,
        }
    }

    /// Whether the owner needs write permission so that extended attributes can be set: the kernel checks the
    /// mode of the file, not how it was opened. Root does not need it.
    fn needs_writing(&self, names: &XattrNames) -> bool {
        !self.root && names.iter().any(|name| self.demand(name).is_some())
    }

    /// Whether a file is created without permissions for group and others. Otherwise a wrong owner or group
    /// would have these permissions until the owner is set, or others would have permissions that an ACL
    /// later takes away.
    fn is_created_private(&self, source: &Stat, names: &XattrNames, defaults: DirDefaults) -> bool {
        let loses_list = defaults.masked && self.keep.permissions != Permissions::Masked;
        let gets_list = self.keep.access_lists.is_wanted() && names.has(xattr::ACCESS_ACL);
        self.owner_may_change(source, defaults) || loses_list || gets_list
    }

    /// Whether a new entry may have another owner or group than its source until they are set.
    fn owner_may_change(&self, source: &Stat, defaults: DirDefaults) -> bool {
        let is_ours = || self.options.is_wanted_owner(source, (self.user, self.group));
        // cp does not check in advance whether the owner changes.
        let may_change = || self.policy.private_until_owned || defaults.in_group || !is_ours();
        self.sets_owner && may_change()
    }

    /// Sets the attributes of a file that this copier has created and written, as far as the options preserve
    /// them.
    ///
    /// Returns the attributes that could not be set. `known` holds the owner that new files in the directory
    /// get, once a copier has looked it up.
    pub(in crate::copier) fn finish_file(
        &self,
        from: BorrowedFd<'_>,
        (to, known): (BorrowedFd<'_>, Option<&Cell<Option<Owners>>>),
        source: &Stat,
        names: &XattrNames,
        defaults: DirDefaults,
    ) -> AttributeErrors {
        let masked = defaults.masked;
        let mut errors = AttributeErrors::default();
        let owners = self.set_new_owner(Node::Open(to), source, known, &mut errors);
        if masked || !names.is_empty() {
            let nodes = (Node::Open(from), Node::Open(to));
            self.give_attributes(nodes, source, names, masked, &mut errors);
        }
        let private = self.is_created_private(source, names, defaults);
        let special = || self.options.wanted_permissions(source) & ALL_SPECIAL != 0;
        let moved = matches!(owners, OwnerResult::Right { moved: true });
        let exact = self.keep.permissions == Permissions::Exact;
        let bits_differ = match self.keep.permissions {
            Permissions::Exact => masked || moved || special(),
            Permissions::Fresh => masked,
            Permissions::Masked => false,
        };
        let set_bits = |errors: &mut AttributeErrors| {
            let set = self.retry(|| {
                let made = file::stat_fd(to)?;
                let bits = without_list(self.file_bits(source, &made, owners), errors);
                set_open_bits(to, bits)
            });
            self.note_permissions(set, errors);
        };
        let opened = self.needs_writing(names)
            && self.plain_bits(source, defaults.masked) & OWNER_WRITE == 0;
        let wanted = private || bits_differ || opened;
        // Unless permission bits are preserved exactly, a later run does not compare them. So they must be
        // right before the times make the file count as up to date.
        if wanted && !exact {
            set_bits(&mut errors);
        }
        self.set_open_times(to, source, &mut errors);
        if wanted && exact {
            set_bits(&mut errors);
        }
        errors
    }

    /// Removes permission bits from an existing file before a copier writes into it: those that the file will
    /// not have in the end, and those of group and others if its owner will change.
    ///
    /// Ignores errors: if the kernel refuses, the file belongs to another user and will keep its permission
    /// bits.
    pub(in crate::copier) fn restrict_before_writing(
        &self,
        to: BorrowedFd<'_>,
        source: &Stat,
        old: &Stat,
    ) {
        let mut bits = old.permissions();
        if self.keep.permissions == Permissions::Exact {
            bits &= self.options.wanted_permissions(source) | OWNER_BITS;
        }
        if !self.options.has_wanted_owner(source, old) {
            bits &= !OTHERS_BITS;
        }
        let fewer = old.kind() == Kind::File && bits != old.permissions();
        if fewer && file::set_permissions(to, bits).is_err() {
            // Ignored, as said above.
        }
    }

    /// Sets the attributes of an existing file that a copier has written into, as far as the options preserve
    /// them. `old` is the status of the file before that. Returns the attributes that could not be set.
    pub(in crate::copier) fn finish_old(
        &self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        source: &Stat,
        names: &XattrNames,
        old: &Stat,
    ) -> AttributeErrors {
        let nodes = (Node::Open(from), Node::Open(to));
        let mut errors = AttributeErrors::default();
        let owners = self.set_owner(nodes.1, source, &mut errors);
        if self.keep.looks_at_attributes() {
            if self.policy.removes_extra_attributes {
                self.repair_attributes(nodes, source, &mut errors);
            } else {
                self.give_attributes(nodes, source, names, true, &mut errors);
            }
        }
        self.set_open_times(to, source, &mut errors);
        let now = match self.retry(|| file::stat_fd(to)) {
            Ok(now) => now,
            Err(errno) => {
                self.note_permissions(Err(errno), &mut errors);
                return errors;
            }
        };
        let wanted = match self.keep.permissions {
            Permissions::Exact => without_list(self.file_bits(source, &now, owners), &errors),
            // The bits that the file had, without set-ID bits: the kernel has cleared these on the write.
            Permissions::Masked | Permissions::Fresh => old.permissions() & !ALL_SPECIAL,
        };
        let differ = now.permissions() & !ALL_SPECIAL != wanted & !ALL_SPECIAL
            || self.keep.permissions == Permissions::Exact && now.permissions() != wanted;
        if differ {
            self.note_permissions(self.retry(|| file::set_permissions(to, wanted)), &mut errors);
        }
        errors
    }

    /// Sets the attributes of a new symlink, FIFO, socket or device, as far as the options preserve them.
    /// Returns the attributes that could not be set.
    pub(in crate::copier) fn finish_other(
        &self,
        from: Node<'_>,
        (dir, name): (BorrowedFd<'_>, &CStr),
        source: &Stat,
        defaults: DirDefaults,
    ) -> AttributeErrors {
        let to = Node::Named(dir, name);
        let names = self.list_names(from);
        let mut errors = AttributeErrors::default();
        let owners = self.set_owner(to, source, &mut errors);
        let masked = defaults.masked && source.kind() != Kind::Symlink;
        self.give_attributes((from, to), source, &names, masked, &mut errors);
        self.set_times_of((dir, name), source, &mut errors);
        if source.kind() == Kind::Symlink {
            return errors;
        }
        let bits_may_differ = masked || names.has(xattr::ACCESS_ACL);
        let is_exact = self.keep.permissions != Permissions::Masked;
        if is_exact && bits_may_differ || self.owner_may_change(source, defaults) {
            let bits = self.limited(self.plain_bits(source, defaults.masked), owners);
            let bits = without_list(bits, &errors);
            let set = self.retry(|| file::set_permissions_at(dir, name, bits));
            self.note_permissions(set, &mut errors);
        }
        errors
    }

    /// Sets the attributes of a directory in which nothing will change any more, as far as the options
    /// preserve them. Returns the attributes that could not be set.
    pub(in crate::copier) fn finish_dir(
        &self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        source: &Stat,
        origin: DirOrigin,
    ) -> AttributeErrors {
        let new = origin == DirOrigin::New;
        let (nodes, mut errors) = ((Node::Open(from), Node::Open(to)), AttributeErrors::default());
        let names = self.list_names(nodes.0);
        let owners = self.set_owner(nodes.1, source, &mut errors);
        let masked = new && xattr::has_default_acl(to);
        // The permission bits depend on the inherited default ACL, so they are computed before that ACL is
        // replaced.
        let bits = self.dir_bits(source, to, owners, origin, masked);
        // An existing directory may have ACLs that the source does not have; these are removed.
        let demand = self.keep.access_lists;
        let listed = masked || !new && demand.is_wanted();
        self.give_attributes(nodes, source, &names, listed, &mut errors);
        if demand.is_wanted() && listed && !names.has(xattr::DEFAULT_ACL) {
            let removed = remove_list(nodes.1, xattr::DEFAULT_ACL);
            self.note(Op::SetAccessList, demand, removed, &mut errors);
        }
        if !self.keep.omits_dir_times {
            self.set_open_times(to, source, &mut errors);
        }
        let set = bits.and_then(|bits| {
            let set = |bits| set_open_bits(to, without_list(bits, &errors));
            bits.map_or(Ok(()), |bits| self.retry(|| set(bits)))
        });
        self.note_permissions(set, &mut errors);
        if !errors.is_empty() && file::stat_fd(to).is_ok_and(|to| !self.may_set_attributes(&to)) {
            // Only the owner of a directory can set its attributes. That this user cannot is to be expected
            // where several users copy into one directory.
            errors.retain(|lost| lost.required || lost.error.errno != Errno::EPERM);
        }
        errors
    }

    /// Returns the permission bits that a directory is to have; `None` if its permission bits stay as they
    /// are.
    fn dir_bits(
        &self,
        source: &Stat,
        to: BorrowedFd<'_>,
        owners: OwnerResult,
        origin: DirOrigin,
        masked: bool,
    ) -> Result<Option<u32>, Errno> {
        let wanted = self.options.wanted_permissions(source);
        let wanted = match self.keep.permissions {
            Permissions::Exact
                if matches!(owners, OwnerResult::Refused | OwnerResult::Failed { .. }) =>
            {
                self.limited(wanted & !(SET_USER_ID | SET_GROUP_ID), owners)
            }
            Permissions::Exact => wanted,
            Permissions::Masked | Permissions::Fresh => wanted & (0o777 | STICKY),
        };
        if self.keep.permissions == Permissions::Exact {
            if !self.keep.keeps_dir_modes || origin == DirOrigin::New {
                return Ok(Some(wanted));
            }
            let now = file::stat_fd(to)?.permissions();
            // A change of the mode that is not needed could clear the set-group-ID bit: the kernel clears it
            // if the user does not belong to the group.
            return Ok(Some(self.merged_dir_bits(wanted, now, origin)).filter(|&bits| bits != now));
        }
        if origin != DirOrigin::New {
            return Ok(None);
        }
        let left = if masked && self.keep.permissions == Permissions::Masked {
            let bits = xattr::default_acl_permissions(to)?;
            // cp gives write permission to group and others only if the umask permits it. With
            // `--preserve=ownership`, this holds for all permissions of group and others.
            let masked_too = if self.sets_owner { OTHERS_BITS } else { OTHERS_WRITE };
            (bits | STICKY) & !(self.umask & masked_too)
        } else {
            !self.umask
        };
        // The directory also keeps the set-group-ID bit, which mkdir(2) inherits from the parent directory.
        let made = file::stat_fd(to)?;
        Ok(Some(self.limited(wanted & left, owners) | made.permissions() & SET_GROUP_ID))
    }

    /// Returns the permission bits of a directory that is to have the permission bits `wanted`, and which has `target`
    /// itself.
    ///
    /// If the user has not asked for permission bits, a directory that several users share stays shared: it
    /// keeps its set-group-ID bit and the group write permission that goes with that. DST keeps its mode.
    fn merged_dir_bits(&self, wanted: u32, target: u32, origin: DirOrigin) -> u32 {
        match origin {
            _ if !self.keep.keeps_dir_modes => wanted,
            DirOrigin::New => wanted,
            DirOrigin::Existing if target & SET_GROUP_ID == 0 => wanted,
            DirOrigin::Existing => wanted | target & (SET_GROUP_ID | GROUP_WRITE),
            DirOrigin::Destination(mode) => mode,
        }
    }

    /// Whether an existing directory had the times, permission bits and owner of its source before this run,
    /// as far as these are to be preserved. A copier without root's rights may have had to add permissions
    /// for the owner in order to open the directory; these permissions are ignored.
    pub(in crate::copier) fn is_finished_dir(&self, source: &Stat, target: impl AsFd) -> bool {
        let opened = if self.root { 0 } else { OWNER_BITS };
        file::stat_fd(target).is_ok_and(|target| {
            let bits = target.permissions();
            let wanted = self.options.wanted_permissions(source);
            let same_bits = bits == wanted || bits == wanted | opened;
            self.is_like(source, &target, same_bits)
        })
    }

    /// Whether no attribute of an existing directory needs a change. Returns false if extended attributes are
    /// to be preserved: these are not compared, but set again.
    pub(in crate::copier) fn needs_nothing(
        &self,
        source: &Stat,
        target: impl AsFd,
        origin: DirOrigin,
    ) -> bool {
        !self.keep.looks_at_attributes()
            && file::stat_fd(target).is_ok_and(|target| {
                let bits = target.permissions();
                let wanted = self.options.wanted_permissions(source);
                let wanted = self.merged_dir_bits(wanted, bits, origin);
                self.is_like(source, &target, wanted == bits)
            })
    }

    fn is_like(&self, source: &Stat, target: &Stat, same_bits: bool) -> bool {
        self.has_time_of(source, target)
            && (same_bits || self.keep.permissions != Permissions::Exact)
            && self.options.has_wanted_owner(source, target)
    }

    /// Whether equal times show that a file is complete: a copier sets the times after it has written all
    /// data.
    pub(in crate::copier) fn times_are_reliable(&self) -> bool {
        self.keep.timestamps.is_wanted()
    }

    /// Sets the attributes, except times, that an up-to-date entry lacks: an earlier run may have preserved
    /// fewer of them. Returns the attributes that could not be set.
    pub(in crate::copier) fn repair(
        &self,
        from: Node<'_>,
        (to, target_name): (BorrowedFd<'_>, &CStr),
        source: &Stat,
        target: &Stat,
    ) -> AttributeErrors {
        let nodes = (from, Node::Named(to, target_name));
        let mut errors = AttributeErrors::default();
        let is_right = || self.options.has_wanted_owner(source, target) && !self.is_unknown(source);
        let owners = match self.sets_owner {
            false => OwnerResult::Ours,
            true if is_right() => OwnerResult::Right { moved: false },
            true => self.set_owner(nodes.1, source, &mut errors),
        };
        let mut opened = false;
        if self.keep.looks_at_attributes() {
            let closed = source.kind() == Kind::File && target.permissions() & OWNER_WRITE == 0;
            if closed && !self.root && self.attributes_differ(nodes, source) {
                let bits = target.permissions() | OWNER_WRITE;
                opened = file::set_permissions_at(to, target_name, bits).is_ok();
            }
            self.repair_attributes(nodes, source, &mut errors);
        }
        let is_symlink = source.kind() == Kind::Symlink; // its mode has no meaning and cannot be set
        let wanted = if self.keep.permissions == Permissions::Exact && !is_symlink {
            let wanted = without_list(self.file_bits(source, target, owners), &errors);
            let moved = matches!(owners, OwnerResult::Right { moved: true });
            Some(wanted).filter(|&wanted| moved || opened || wanted != target.permissions())
        } else {
            opened.then_some(target.permissions())
        };
        if let Some(wanted) = wanted {
            let set = self.retry(|| file::set_permissions_at(to, target_name, wanted));
            self.note_permissions(set, &mut errors);
        }
        errors
    }

    /// Whether the mode that a new copy of the directory gets lets its owner reach the entries in it.
    pub(in crate::copier) fn lets_owner_in(&self, source: &Stat, origin: DirOrigin) -> bool {
        let wanted = self.options.wanted_permissions(source);
        let bits = match self.keep.permissions {
            Permissions::Exact if let DirOrigin::Destination(mode) = origin => mode,
            Permissions::Exact => wanted,
            Permissions::Masked | Permissions::Fresh => wanted & !self.umask,
        };
        bits & 0o100 != 0
    }

    /// Whether the kernel lets this user set attributes of an entry that has the status `target`.
    pub(in crate::copier) fn may_set_attributes(&self, target: &Stat) -> bool {
        self.root || target.owner() == self.user
    }

    /// Whether [`repair`](Self::repair) would change permission bits or owner. Does not compare extended
    /// attributes.
    pub(in crate::copier) fn would_repair(&self, source: &Stat, target: &Stat) -> bool {
        let bits = self.keep.permissions == Permissions::Exact
            && source.kind() != Kind::Symlink
            && self.options.wanted_permissions(source) != target.permissions();
        bits || !self.options.has_wanted_owner(source, target)
    }

    /// Whether a difference of mode or owner, which this run removes, explains that the source's status changed later
    /// than the target's. Returns false in doubt: a difference that stays would explain every later change.
    pub(in crate::copier) fn explain_change(&self, source: &Stat, target: &Stat) -> bool {
        if !self.options.has_wanted_owner(source, target) {
            return self.unknown_id.is_none() && process::has_capability(Capability::Chown);
        }
        let (wanted, found) = (self.options.wanted_permissions(source), target.permissions());
        let has_exact_bits = self.keep.permissions == Permissions::Exact;
        // Set-ID bits may be dropped, and the group's bits are those of an ACL.
        let differ = |bits: u32| (wanted ^ found) & bits != 0;
        let may_differ =
            ALL_SPECIAL | if self.keep.access_lists.is_wanted() { GROUP_BITS } else { 0 };
        has_exact_bits
            && differ(0o777)
            && !differ(may_differ)
            && (target.owner() == self.user || process::has_capability(Capability::Fowner))
    }

    /// Sets the source's times on an entry, if times are to be preserved.
    pub(in crate::copier) fn set_times_of(
        &self,
        (dir, name): (BorrowedFd<'_>, &CStr),
        source: &Stat,
        errors: &mut AttributeErrors,
    ) {
        let demand = self.keep.timestamps;
        if demand.is_wanted() {
            let times = (source.accessed(), source.modified());
            let set = self.retry(|| file::set_times_at(dir, name, times.0, times.1));
            let set = unless_right(set, || {
                file::stat_at(dir, name).is_ok_and(|now| self.has_time_of(source, &now))
            });
            self.note(Op::SetTimes, demand, set, errors);
        }
    }

    /// Sets the source's times on an open file or directory, if times are to be preserved.
    fn set_open_times(&self, to: BorrowedFd<'_>, source: &Stat, errors: &mut AttributeErrors) {
        let demand = self.keep.timestamps;
        if demand.is_wanted() {
            let times = (source.accessed(), source.modified());
            let set = self.retry(|| file::set_times(to, times.0, times.1));
            let set = unless_right(set, || {
                file::stat_fd(to).is_ok_and(|now| self.has_time_of(source, &now))
            });
            self.note(Op::SetTimes, demand, set, errors);
        }
    }

    /// Notes that the target accepts times and ignores them.
    pub(in crate::copier) fn note_ignored_times(&self, errors: &mut AttributeErrors) {
        self.note(Op::SetTimes, self.keep.timestamps, Err(Errno::EOPNOTSUPP), errors);
    }

    /// Notes the attributes of the symlink `made` that differ from those of its source and cannot be set.
    pub(super) fn note_lost_of_symlink(
        &self,
        source: &Stat,
        made: &Stat,
        errors: &mut AttributeErrors,
    ) {
        if !self.has_time_of(source, made) {
            self.note_ignored_times(errors);
        }
        let is_other = !self.options.has_wanted_owner(source, made);
        if is_other && (self.root || self.options.names_owner()) {
            self.note(Op::SetOwner, self.owner_demand(), Err(Errno::EOPNOTSUPP), errors);
        }
    }

    fn retry<T>(&self, call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
        retry(self.retries, |errno| is_transient_errno(*errno), call)
    }

    /// Notes that permission bits could not be set, if `set` is an error.
    fn note_permissions(&self, set: Result<(), Errno>, errors: &mut AttributeErrors) {
        // Without the final bits the entry is accessible to its owner alone. This is a failure, unless the
        // bits were only to be preserved if possible.
        let is_named = self.keep.permissions_required || !self.options.chmod.is_empty();
        let is_tried = self.keep.permissions == Permissions::Exact && !is_named;
        let demand = if is_tried { Preservation::IfPossible } else { Preservation::Required };
        self.note(Op::SetPermissions, demand, set, errors);
    }

    /// Notes that an attribute could not be preserved, if `given` is an error.
    fn note(
        &self,
        op: Op,
        demand: Preservation,
        given: Result<(), Errno>,
        errors: &mut AttributeErrors,
    ) {
        let Err(errno) = given else { return };
        let required = demand == Preservation::Required;
        if required || self.policy.warns_of_lost_attributes {
            errors.add(AttributeError { error: op.error()(errno), required });
        }
    }

    /// Whether source and target have the same modification time, or times are not to be preserved. A time that
    /// the target may have rounded is the same only if the target's own times show that.
    fn has_time_of(&self, source: &Stat, target: &Stat) -> bool {
        !self.keep.timestamps.is_wanted()
            || source.kind() == Kind::Directory && self.keep.omits_dir_times
            || self.times_agree(source, target)
    }

    /// Like [`has_time_of`](Self::has_time_of), even if times are not to be preserved.
    pub(in crate::copier) fn times_agree(&self, source: &Stat, target: &Stat) -> bool {
        agreement(source, target, self.options.modify_window) == Agreement::Same
    }

    /// Whether two entries that are only compared have the same modification time. If only the steps in which
    /// the target stores times could explain a difference, they do, unless the file system is known to store
    /// times exactly.
    fn has_comparable_time(&self, source: &Stat, (to, target): (Node<'_>, &Stat)) -> bool {
        let may_be_rounded = || {
            let agreement = agreement(source, target, self.options.modify_window);
            matches!(agreement, Agreement::IfSteps(_)) && !stores_nanoseconds(to)
        };
        self.has_time_of(source, target) || may_be_rounded()
    }

    /// Sets the owner and the group that `to` is to have, if it is to have others than any new entry.
    ///
    /// The kernel does not permit a user who is not root to change the owner. As with cp, that is no failure if the owner
    /// was only to be preserved, and the group is still set if the user belongs to it.
    fn set_owner(&self, to: Node<'_>, source: &Stat, errors: &mut AttributeErrors) -> OwnerResult {
        self.set_new_owner(to, source, None, errors)
    }

    /// Like [`set_owner`](Self::set_owner), for a new entry. All files created in one directory get the same
    /// owner and group, so `known` saves the stat(2) for all files but the first.
    fn set_new_owner(
        &self,
        to: Node<'_>,
        source: &Stat,
        known: Option<&Cell<Option<Owners>>>,
        errors: &mut AttributeErrors,
    ) -> OwnerResult {
        if !self.sets_owner {
            return OwnerResult::Ours;
        }
        let owners = |made: Stat| (made.owner(), made.group());
        let made = known.and_then(Cell::get).or_else(|| match to {
            Node::Open(file) => file::stat_fd(file).ok().map(owners),
            Node::Named(dir, name) => file::stat_at(dir, name).ok().map(owners),
        });
        if let Some(known) = known {
            known.set(made);
        }
        let is_right = made.is_some_and(|made| self.options.is_wanted_owner(source, made));
        if is_right && !self.is_unknown(source) {
            return OwnerResult::Right { moved: false };
        }
        self.change_owner(to, source, made, errors)
    }

    /// Changes the owner of an entry whose user and group are `made`. Most files are created with the right ones, and need
    /// fewer instructions if this is apart.
    #[inline(never)]
    fn change_owner(
        &self,
        to: Node<'_>,
        source: &Stat,
        made: Option<Owners>,
        errors: &mut AttributeErrors,
    ) -> OwnerResult {
        let wanted = self.options.wanted_owner(source);
        match self.retry(|| file::set_owner(to, wanted.user, wanted.group)) {
            Ok(()) => OwnerResult::Right { moved: true },
            Err(errno @ (Errno::EPERM | Errno::EINVAL)) if !self.root => {
                // It fails, too, if the user does not belong to the group.
                let alone = wanted.user.and(wanted.group);
                let has_group = alone.is_some() && file::set_owner(to, None, alone).is_ok();
                self.note_refused_owner(made, has_group, errno, errors);
                OwnerResult::Refused
            }
            Err(errno) => {
                self.note(Op::SetOwner, self.owner_demand(), Err(errno), errors);
                let is_same = |made| {
                    let is_right = |group| made == group && self.unknown_id != Some(group);
                    wanted.group.is_none_or(is_right)
                };
                OwnerResult::Failed { same_group: made.is_some_and(|(_, made)| is_same(made)) }
            }
        }
    }

    /// Notes that the kernel has refused a user who is not root to set the owner, if the user and the group that
    /// `--chown` names are not those of the entry. `made` are its user and group, and `has_group` says that it has got the
    /// wanted group.
    fn note_refused_owner(
        &self,
        made: Option<Owners>,
        has_group: bool,
        errno: Errno,
        errors: &mut AttributeErrors,
    ) {
        let named = self.options.chown;
        let (user, group) = made.unzip();
        let lacks = |named: Option<u32>, made: Option<u32>| named.is_some() && named != made;
        if lacks(named.user, user) || lacks(named.group, group) && !has_group {
            self.note(Op::SetOwner, Preservation::Required, Err(errno), errors);
        }
    }

    /// Returns how strictly owner and group are to be set.
    fn owner_demand(&self) -> Preservation {
        if self.options.names_owner() { Preservation::Required } else { self.keep.ownership }
    }

    /// Whether the user or the group that the copy of a source is to have has no ID in this user namespace.
    fn is_unknown(&self, source: &Stat) -> bool {
        self.unknown_id.is_some_and(|id| {
            let wanted = self.options.wanted_owner(source);
            wanted.user == Some(id) || wanted.group == Some(id)
        })
    }

    /// Returns `bits` without those that would give a wrong group more rights than others have, if setting
    /// the owner failed. cp then leaves the entry to its owner alone.
    fn limited(&self, bits: u32, owners: OwnerResult) -> u32 {
        match owners {
            OwnerResult::Failed { .. } if self.policy.private_until_owned => bits & !OTHERS_BITS,
            OwnerResult::Failed { same_group: false } => bits & (!GROUP_BITS | (bits & 0o007) << 3),
            _ => bits,
        }
    }

    /// Returns the permission bits that a file gets. `made` is the status of the file, and `owners` says who
    /// owns it.
    ///
    /// If the owner could not be set, there are no set-ID bits, which would grant the rights of another owner.
    fn file_bits(&self, source: &Stat, made: &Stat, owners: OwnerResult) -> u32 {
        let bits = self.plain_bits(source, false);
        let has_set_id = source.mode() & (SET_USER_ID | SET_GROUP_ID) != 0;
        let owner = || (made.owner(), made.group());
        let bits_for =
            |owner| self.left_of(self.options.wanted_permissions_for(source, owner), false);
        match owners {
            _ if source.kind() != Kind::File => bits,
            OwnerResult::Refused => bits & !ALL_SPECIAL,
            OwnerResult::Failed { .. } => self.limited(bits & !ALL_SPECIAL, owners),
            OwnerResult::Ours if self.policy.keeps_set_id => bits,
            _ if !has_set_id => bits,
            OwnerResult::Right { .. } => bits_for(self.options.wanted_owner(source).or(owner())),
            OwnerResult::Ours => bits_for(owner()),
        }
    }

    /// Sets the extended attributes of the source that are to be preserved. `masked` says that the target may
    /// already have an ACL, for example inherited from its directory.
    fn give_attributes(
        &self,
        nodes: (Node<'_>, Node<'_>),
        source: &Stat,
        names: &XattrNames,
        masked: bool,
        errors: &mut AttributeErrors,
    ) {
        self.note_unlisted(names, errors);
        let has_own = self.keep.access_lists.is_wanted() && names.has(xattr::ACCESS_ACL);
        let is_exact =
            self.keep.access_lists.is_wanted() || self.keep.permissions != Permissions::Masked;
        if masked && is_exact && !has_own {
            // The inherited ACL may grant access that the source's permission bits deny.
            let demand = self.keep.access_lists;
            let demand = if demand.is_wanted() { demand } else { Preservation::Required };
            let removed = remove_list(nodes.1, xattr::ACCESS_ACL);
            self.note(Op::SetAccessList, demand, removed, errors);
        }
        let mut value = Vec::new();
        for name in names.iter() {
            self.give_attribute((nodes, source), name, &mut value, |_| false, errors);
        }
    }

    /// Notes that the source's extended attributes could not be listed, if that is so. The ACLs count as
    /// listed.
    fn note_unlisted(&self, names: &XattrNames, errors: &mut AttributeErrors) {
        if let Some((demand, errno)) = self.unlisted(names) {
            self.note(Op::ReadAttributes, demand, Err(errno), errors);
        }
    }

    /// Returns why extended attributes other than ACLs could not be listed, and how strictly they are to be
    /// preserved; `None` if they were listed or are not to be preserved.
    fn unlisted(&self, names: &XattrNames) -> Option<(Preservation, Errno)> {
        let keep = &self.keep;
        let demand = if keep.attributes.is_wanted() { keep.attributes } else { keep.context };
        names.unlisted.filter(|_| demand.is_wanted()).map(|errno| (demand, errno))
    }

    /// Sets the attribute `name` of the source on `to`, unless it `has` the `value` that was read already.
    fn give_attribute(
        &self,
        ((from, to), source): ((Node<'_>, Node<'_>), &Stat),
        name: &CStr,
        value: &mut Vec<u8>,
        mut has: impl FnMut(&[u8]) -> bool,
        errors: &mut AttributeErrors,
    ) {
        let Some((op, demand)) = self.demand(name) else { return };
        match self.retry(|| self.get_wanted((from, source), name, value)) {
            Ok(()) if has(value) => {}
            Ok(()) => {
                let set = self.retry(|| xattr::set(to, name, value));
                let set = unless_right(set, || {
                    let mut now = Vec::new();
                    xattr::get(to, name, &mut now).is_ok() && now == *value
                });
                self.note(op, demand, set, errors);
            }
            Err(Errno::ENODATA) => {} // another program removed it after it was listed
            Err(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS | Errno::EBUSY)
                if op == Op::SetAccessList && self.policy.ignores_unsupported_acls => {}
            Err(errno) => self.note(op_to_read(op), demand, Err(errno), errors),
        }
    }

    /// Reads an extended attribute of a source, as the copy is to have it: in an ACL there are permission bits.
    fn get_wanted(
        &self,
        (from, source): (Node<'_>, &Stat),
        name: &CStr,
        value: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        xattr::get(from, name, value)?;
        if name == xattr::ACCESS_ACL {
            self.options.change_acl(source, value);
        }
        Ok(())
    }

    /// Whether an extended attribute to be preserved would have to be set or removed. True if that is unknown.
    fn attributes_differ(&self, nodes: (Node<'_>, Node<'_>), source: &Stat) -> bool {
        let (mut differ, mut unread) = (false, false);
        self.each_that_differs((nodes, source), |_| differ = true, |_, _, _| unread = true);
        differ || unread
    }

    /// Calls `found` for each extended attribute to be preserved that differs, with the operation that would
    /// set or remove it. Calls `unread` with an error if those of the source cannot be listed or read.
    ///
    /// If those of the target cannot be listed, it may have more than the source without being reported.
    fn each_that_differs(
        &self,
        ((from, to), source): ((Node<'_>, Node<'_>), &Stat),
        mut found: impl FnMut(Op),
        mut unread: impl FnMut(Op, Preservation, Errno),
    ) {
        let (theirs, ours) = (self.list_names(from), self.list_names(to));
        if let Some((demand, errno)) = self.unlisted(&theirs) {
            unread(Op::ReadAttributes, demand, errno);
        }
        let (mut value, mut old) = (Vec::new(), Vec::new());
        for name in theirs.iter().chain(ours.iter()) {
            let Some((op, demand)) = self.demand(name) else { continue };
            let got = self.get_wanted((from, source), name, &mut value);
            let got = (got, xattr::get(to, name, &mut old));
            match got {
                (Ok(()), Ok(())) if value == old => {}
                (Err(errno), _) if is_unknown(&theirs, errno) => {
                    if theirs.has(name) {
                        unread(op_to_read(op), demand, errno);
                    }
                }
                (Err(_), Err(errno)) if is_unknown(&ours, errno) => {}
                _ => found(op),
            }
        }
    }

    /// Whether the target has the permission bits that a copy of the source gets, except for those that are dropped if
    /// the owner cannot be set.
    fn has_wanted_bits(&self, source: &Stat, target: &Stat) -> bool {
        let (owner, found) = ((target.owner(), target.group()), target.permissions());
        let bits = self.options.wanted_permissions_for(source, owner);
        let may_drop = self.options.may_drop_special_bits(source, owner);
        found == bits || may_drop && found == bits & !ALL_SPECIAL
    }

    /// Returns the properties, besides contents, that are to be preserved and differ between two entries of
    /// one type, and the attributes of the source that could not be read.
    pub(in crate::copier) fn differing(
        &self,
        (from, to): (Node<'_>, Node<'_>),
        (source, target): (&Stat, &Stat),
        origin: DirOrigin,
    ) -> (Properties, AttributeErrors) {
        let mut errors = AttributeErrors::default();
        let mut properties = Properties::default();
        let has_bits =
            self.keep.permissions == Permissions::Exact && source.kind() != Kind::Symlink;
        let same_bits = match source.kind() {
            Kind::Directory => {
                let wanted = self.options.wanted_permissions(source);
                let found = target.permissions();
                self.merged_dir_bits(wanted, found, origin) == found
            }
            _ => self.has_wanted_bits(source, target),
        };
        properties.add_if(has_bits && !same_bits, Property::Permissions);
        let has_time = self.has_comparable_time(source, (to, target));
        properties.add_if(!has_time, Property::Time);
        let has_owner = self.options.has_wanted_owner(source, target);
        properties.add_if(!has_owner, Property::Owner);
        let found = |op| {
            properties.add(match op {
                Op::SetAccessList => Property::Acls,
                _ => Property::Xattrs,
            });
        };
        let unread = |op, demand, errno| self.note(op, demand, Err(errno), &mut errors);
        self.each_that_differs(((from, to), source), found, unread);
        (properties, errors)
    }

    /// Gives an existing entry the extended attributes of its source, as far as they are to be preserved.
    /// Removes those that the source does not have.
    fn repair_attributes(
        &self,
        (from, to): (Node<'_>, Node<'_>),
        source: &Stat,
        errors: &mut AttributeErrors,
    ) {
        let (theirs, ours) = (self.list_names(from), self.list_names(to));
        self.note_unlisted(&theirs, errors);
        let (mut value, mut old) = (Vec::new(), Vec::new());
        for name in theirs.iter() {
            let mut has = |value: &[u8]| xattr::get(to, name, &mut old).is_ok() && value == old;
            self.give_attribute(((from, to), source), name, &mut value, &mut has, errors);
        }
        if theirs.unlisted.is_some() {
            return; // it is unknown which of the target's attributes the source lacks
        }
        for name in ours.iter().filter(|name| !theirs.has(name)) {
            let Some((op, demand)) = self.demand(name) else { continue };
            if ours.unlisted.is_some() && xattr::get(to, name, &mut old).is_err() {
                continue; // it is unknown whether the target has it
            }
            let removed = self.retry(|| xattr::remove(to, name));
            self.note(op, demand, removed, errors);
        }
        let unlisted = ours.unlisted.filter(|&errno| !answers_always(to, errno));
        if let Some(errno) = unlisted.filter(|_| self.keep.attributes.is_wanted()) {
            // what the target has in addition to the source stays
            self.note(Op::SetAttributes, self.keep.attributes, Err(errno), errors);
        }
    }

    /// Returns the operation that sets the extended attribute `name`, and how strictly it is to be preserved;
    /// `None` if it is not to be preserved.
    fn demand(&self, name: &CStr) -> Option<(Op, Preservation)> {
        let (op, demand) = match name.to_bytes() {
            b"security.selinux" => (Op::SetAttributes, self.keep.context),
            list if list == xattr::ACCESS_ACL.to_bytes()
                || list == xattr::DEFAULT_ACL.to_bytes() =>
            {
                (Op::SetAccessList, self.keep.access_lists)
            }
            // The other `system.` attributes belong to the kernel and to file systems, and cannot be set by
            // name.
            other if other.starts_with(b"system.") => return None,
            // XFS lists its ACLs a second time, under these names.
            other if other.starts_with(b"trusted.SGI_ACL_") => return None,
            _ if self.rules.skip(name) => return None,
            _ => (Op::SetAttributes, self.keep.attributes),
        };
        (demand != Preservation::No).then_some((op, demand))
    }
}

impl XattrNames {
    /// Whether they could be listed, and there are none.
    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.unlisted.is_none()
    }

    fn iter(&self) -> impl Iterator<Item = &CStr> {
        self.names
            .split_inclusive(|&byte| byte == 0)
            .filter_map(|name| CStr::from_bytes_with_nul(name).ok())
    }

    fn has(&self, wanted: &CStr) -> bool {
        !self.names.is_empty() && self.iter().any(|name| name == wanted)
    }
}

/// Returns the result of a call that sets an attribute. It is no error if the attribute `is_right` all the same, as it
/// may be on a read-only file system, and where the target belongs to another user.
fn unless_right(set: Result<(), Errno>, is_right: impl FnOnce() -> bool) -> Result<(), Errno> {
    set.or_else(|errno| if is_right() { Ok(()) } else { Err(errno) })
}

/// Sets the permission bits of an open file or directory.
fn set_open_bits(to: BorrowedFd<'_>, bits: u32) -> Result<(), Errno> {
    unless_right(file::set_permissions(to, bits), || {
        file::stat_fd(to).is_ok_and(|now| now.permissions() == bits)
    })
}

/// Returns the permission bits, without those of the group if the ACL could not be read or set. If an entry has an
/// ACL, its group bits are the mask of the ACL, which may permit more than the group had.
fn without_list(bits: u32, errors: &AttributeErrors) -> u32 {
    let is_lost = errors.has(Op::SetAccessList) || errors.has(Op::ReadAccessList);
    if is_lost { bits & !GROUP_BITS } else { bits }
}

/// Returns which ACLs an entry may have whose attributes cannot be listed because of `errno`.
#[cold]
fn unlisted_names(source: Node<'_>, errno: Errno) -> XattrNames {
    let mut names = XattrNames { names: Vec::new(), unlisted: Some(errno) };
    if answers_always(source, errno) {
        return names;
    }
    let mut value = Vec::new();
    for name in [xattr::ACCESS_ACL, xattr::DEFAULT_ACL] {
        let got = xattr::get(source, name, &mut value);
        if !matches!(got, Err(Errno::ENODATA | Errno::EOPNOTSUPP)) {
            names.names.extend_from_slice(name.to_bytes_with_nul());
        }
    }
    names
}

/// Whether the file system of an entry answers with `errno` to every question about attributes, even about one that
/// does not exist, as some FUSE file systems do (rclone: `EIO`). Then it has no ACLs, either.
fn answers_always(node: Node<'_>, errno: Errno) -> bool {
    let (Node::Open(fd) | Node::Named(fd, _)) = node;
    let mut value = Vec::new();
    // The kernel itself would answer for the `user` attributes of symlinks and FIFOs, and for `trusted` ones.
    let none = c"security.pcopy.none";
    statfs::may_be_shared(fd) && xattr::get(node, none, &mut value) == Err(errno)
}

/// Removes an ACL, if there is one.
fn remove_list(node: Node<'_>, name: &CStr) -> Result<(), Errno> {
    let removed = xattr::remove(node, name);
    let cause = removed.err();
    unless_right(removed, || {
        let got = xattr::get(node, name, &mut Vec::new());
        let is_absent = matches!(got, Err(Errno::ENODATA | Errno::EOPNOTSUPP));
        is_absent || cause.is_some_and(|cause| answers_always(node, cause))
    })
}

/// Returns the operation that reads what `op` sets.
fn op_to_read(op: Op) -> Op {
    if op == Op::SetAccessList { Op::ReadAccessList } else { Op::ReadAttributes }
}

/// Whether it is unknown if an entry has an attribute: its attributes could not be listed, and reading this one
/// has failed with `errno`.
fn is_unknown(names: &XattrNames, errno: Errno) -> bool {
    names.unlisted.is_some() && !matches!(errno, Errno::ENODATA | Errno::EOPNOTSUPP)
}

/// Whether a target looks complete: it has its source's type, the size of a regular file, and stands for the same
/// device if it is a device file.
///
/// The size of other entries says nothing: ntfs-3g shows a size of 24 for devices, and encrypting file systems
/// may show that of an encrypted symlink.
pub(in crate::copier) fn looks_complete(source: &Stat, target: &Stat) -> bool {
    source.type_bits() == target.type_bits()
        && data_bytes(source) == data_bytes(target)
        && source.device() == target.device()
}

fn stores_nanoseconds(node: Node<'_>) -> bool {
    let (Node::Open(fd) | Node::Named(fd, _)) = node;
    statfs::stores_nanoseconds(fd)
}
