//! What a run changes of an entry, as `--itemize-changes` prints it.

use super::fields::{Field, get_u8, get_u32, put_u32};
use pcopy_sys::file::{Kind, Stat};

/// What is done with an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Act {
    /// The contents of a file are copied.
    Copy = 1,
    /// Something without contents is created or changed: a directory, a symlink or a special file.
    Change,
    /// The name becomes a hard link to another name.
    Link,
    /// Only attributes change.
    Attributes,
}

/// The type of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Type {
    /// A regular file.
    File = 1,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device.
    Device,
    /// A FIFO or a socket.
    Special,
}

/// What differs between the existing entry and its source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The bytes of a file, as far as they were compared; the text of a symlink.
    Contents = 1,
    /// The size of a file.
    Size = 1 << 1,
    /// The modification time.
    Time = 1 << 2,
    /// The modification time becomes the current one, because times are not preserved.
    TimeNow = 1 << 3,
    /// The permission bits.
    Permissions = 1 << 4,
    /// The owner.
    Owner = 1 << 5,
    /// The group.
    Group = 1 << 6,
    /// ACLs.
    Acls = 1 << 7,
    /// Extended attributes.
    Xattrs = 1 << 8,
}

/// What a run changes of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Itemized {
    /// What is done.
    pub act: Act,
    /// The type of the source.
    pub kind: Type,
    /// Whether the target has no such entry yet, or one of another type.
    pub is_new: bool,
    /// The set of changes, bit by bit.
    changes: u32,
}

impl Itemized {
    /// Returns an item without changes.
    pub(crate) fn of(act: Act, kind: Type) -> Self {
        Self { act, kind, is_new: false, changes: 0 }
    }

    /// Returns the item for an entry that is created by `act`.
    pub(crate) fn created(act: Act, kind: Type) -> Self {
        Self { is_new: true, ..Self::of(act, kind) }
    }

    /// Returns the item for an entry that is created as a copy of `source`.
    pub(crate) fn new_entry(source: &Stat) -> Self {
        let act = if source.kind() == Kind::File { Act::Copy } else { Act::Change };
        Self::created(act, type_of(source))
    }

    /// Adds `change` if it is made.
    pub(crate) fn add_if(&mut self, is_made: bool, change: Change) {
        if is_made {
            self.changes |= change as u32;
        }
    }

    /// Whether `change` is made.
    pub fn has(&self, change: Change) -> bool {
        self.changes & change as u32 != 0
    }

    /// Whether nothing is changed: the existing entry stays with all its attributes.
    pub(crate) fn is_nothing(&self) -> bool {
        self.act == Act::Attributes && self.changes == 0
    }
}

/// Returns the type of an entry with this status.
pub(crate) fn type_of(stat: &Stat) -> Type {
    match stat.kind() {
        Kind::File => Type::File,
        Kind::Directory => Type::Directory,
        Kind::Symlink => Type::Symlink,
        Kind::Special | Kind::Unknown if stat.is_device() => Type::Device,
        Kind::Special | Kind::Unknown => Type::Special,
    }
}

impl Field for Itemized {
    fn put(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[self.act as u8, self.kind as u8, u8::from(self.is_new)]);
        put_u32(into, self.changes);
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        let acts = [Act::Copy, Act::Change, Act::Link, Act::Attributes];
        let kinds = [Type::File, Type::Directory, Type::Symlink, Type::Device, Type::Special];
        let (act, kind, is_new) = (get_u8(from)?, get_u8(from)?, get_u8(from)?);
        Some(Self {
            act: acts.into_iter().find(|known| *known as u8 == act)?,
            kind: kinds.into_iter().find(|known| *known as u8 == kind)?,
            is_new: match is_new {
                0 => false,
                1 => true,
                _ => return None,
            },
            changes: get_u32(from)?,
        })
    }
}
