//! The mode and the owner that the copy of a source is to have: those of the source, as far as they are preserved, with
//! what `--chmod` and `--chown` change.
//!
//! Copiers set these, compare the target with them, and report differences from them. So nothing else in the program
//! reads mode and owner of a source (the test `layers` checks that).

use crate::options::{CopyOptions, Permissions};
use pcopy_sys::file::{Kind, Stat};

const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const STICKY: u32 = 0o1000;

/// The user and the group that a copy is to have. `None` means that it stays as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WantedOwner {
    /// The user ID.
    pub user: Option<u32>,
    /// The group ID.
    pub group: Option<u32>,
}

impl WantedOwner {
    fn is(self, (user, group): (u32, u32)) -> bool {
        self.user.is_none_or(|wanted| wanted == user)
            && self.group.is_none_or(|wanted| wanted == group)
    }

    /// Returns the owner of an entry, whose user and group were `old`, after the owner has been set.
    pub fn or(self, (user, group): (u32, u32)) -> (u32, u32) {
        (self.user.unwrap_or(user), self.group.unwrap_or(group))
    }
}

impl CopyOptions {
    /// Returns the permission bits of a source as `--chmod` changes them. If no bits of the source are to be preserved
    /// ([`Permissions::Fresh`]), those of any new entry are changed.
    ///
    /// Whether a copy gets all of them depends on [`Permissions`].
    pub fn wanted_permissions(&self, source: &Stat) -> u32 {
        self.wanted_permissions_of(source.mode())
    }

    /// Like [`wanted_permissions`](Self::wanted_permissions), for a source of this mode.
    pub fn wanted_permissions_of(&self, mode: u32) -> u32 {
        /// The type of a file in its mode.
        const TYPE_BITS: u32 = 0o170_000;
        const DIRECTORY: u32 = 0o040_000;
        let kind = mode & TYPE_BITS;
        self.chmod.apply(match self.preserve.permissions {
            Permissions::Exact | Permissions::Masked => mode,
            Permissions::Fresh if kind == DIRECTORY => kind | mode & STICKY | 0o777, // as cp does
            Permissions::Fresh => kind | 0o666,
        })
    }

    /// Like [`wanted_permissions`](Self::wanted_permissions), for a copy whose user and group are `owner`.
    ///
    /// Set-ID bits grant the rights of the owner or group. Those of the source are preserved only if the copy has the
    /// same owner or group; otherwise a copy that root makes of a user's program would run as root. Those that `--chmod`
    /// sets are asked for.
    pub fn wanted_permissions_for(&self, source: &Stat, owner: (u32, u32)) -> u32 {
        let mut mode = source.mode();
        if source.kind() == Kind::File {
            mode &= !if source.owner() == owner.0 { 0 } else { SET_USER_ID };
            mode &= !if source.group() == owner.1 { 0 } else { SET_GROUP_ID };
        }
        self.wanted_permissions_of(mode)
    }

    /// Whether a copy whose user and group are `owner` may lack set-ID bits and the sticky bit, because the owner could not
    /// be set.
    pub fn may_drop_special_bits(&self, source: &Stat, owner: (u32, u32)) -> bool {
        let has_owner = match self.sets_owner() {
            true => self.is_wanted_owner(source, owner),
            false => (source.owner(), source.group()) == owner,
        };
        source.kind() == Kind::File && !has_owner
    }

    /// Returns the file type and the wanted permission bits of a source.
    pub fn wanted_mode(&self, source: &Stat) -> u32 {
        source.type_bits() | self.wanted_permissions(source)
    }

    /// Returns the mode with which a directory is created under its final name.
    ///
    /// With [`Permissions::Exact`], and if the owner is still to be set, only the owner may access the directory until a
    /// later step sets its mode. Otherwise group and others get their permissions at once, because after a killed run no
    /// later step would give them.
    pub fn initial_mode(&self, source: &Stat, umask: u32) -> u32 {
        let is_private = self.sets_owner() || self.preserve.permissions == Permissions::Exact;
        let others = self.wanted_permissions(source) & 0o077 & !umask;
        0o700 | if is_private { 0 } else { others }
    }

    /// Returns the owner that the copy of a source is to have.
    pub fn wanted_owner(&self, source: &Stat) -> WantedOwner {
        let preserved = self.preserve.ownership.is_wanted();
        let of_source = |id| preserved.then_some(id);
        WantedOwner {
            user: self.chown.user.or(of_source(source.owner())),
            group: self.chown.group.or(of_source(source.group())),
        }
    }

    /// Whether an entry of this user and group has the owner that the copy of a source is to have.
    pub fn is_wanted_owner(&self, source: &Stat, owner: (u32, u32)) -> bool {
        if self.names_owner() {
            return self.wanted_owner(source).is(owner);
        }
        (source.owner(), source.group()) == owner || !self.preserve.ownership.is_wanted()
    }

    /// Whether an entry with this status has the owner that the copy of a source is to have.
    pub fn has_wanted_owner(&self, source: &Stat, entry: &Stat) -> bool {
        self.is_wanted_owner(source, (entry.owner(), entry.group()))
    }

    /// Whether copies get an owner or a group other than that of all files that this user creates.
    pub fn sets_owner(&self) -> bool {
        self.preserve.ownership.is_wanted() || self.names_owner()
    }

    /// Whether the user has named an owner or a group (`--chown`).
    pub fn names_owner(&self) -> bool {
        self.chown.user.is_some() || self.chown.group.is_some()
    }

    /// Gives the ACL of a source, as it is stored in an extended attribute, the permissions that `--chmod` gives the
    /// copy: as chmod(2) changes an ACL, those of the owner, the mask (without one the group) and others.
    pub fn change_acl(&self, source: &Stat, acl: &mut [u8]) {
        /// The version, which comes first, and each entry: a tag, permissions, and an ID.
        const VERSION_BYTES: usize = 4;
        const ENTRY_BYTES: usize = 8;
        const USER: u8 = 0x01;
        const GROUP: u8 = 0x04;
        const MASK: u8 = 0x10;
        const OTHERS: u8 = 0x20;
        if self.chmod.is_empty() {
            return;
        }
        let bits = self.wanted_permissions(source);
        let entries = acl.get_mut(VERSION_BYTES..).unwrap_or_default();
        let has_mask = entries.chunks_exact(ENTRY_BYTES).any(|entry| entry[..2] == [MASK, 0]);
        for entry in entries.chunks_exact_mut(ENTRY_BYTES).filter(|entry| entry[1] == 0) {
            let shift = match entry[0] {
                USER => 6,
                MASK => 3,
                GROUP if !has_mask => 3,
                OTHERS => 0,
                _ => continue,
            };
            entry[2] = u8::try_from(bits >> shift & 0o7).unwrap_or(0);
        }
    }
}
