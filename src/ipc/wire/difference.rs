//! How a copy differs from its source, for `--check`.

use super::fields::{Field, get_u8, get_u32, put_u32};

/// How an entry of a copy differs from the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Difference {
    /// It is missing; the source has an entry of this type (the file type bits of a mode).
    Missing(u32),
    /// It is extraneous: an entry of this type that the source does not have.
    Extra(u32),
    /// It exists and differs.
    Other {
        /// The aspects in which it differs.
        aspects: Aspects,
        /// The mode of the source entry.
        wanted: u32,
        /// The mode of the entry in the copy.
        found: u32,
    },
}

/// The set of aspects in which two entries differ.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Aspects(u8);

/// One aspect in which two entries can differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Aspect {
    /// The file type: regular file, directory, symlink and so on.
    Type = 1,
    /// The bytes of a file, the target of a symlink, the number of a device.
    Contents = 1 << 1,
    /// The permission bits.
    Permissions = 1 << 2,
    /// The modification time.
    Time = 1 << 3,
    /// The owner or the group.
    Owner = 1 << 4,
    /// ACLs.
    AccessLists = 1 << 5,
    /// Extended attributes.
    Attributes = 1 << 6,
}

impl Aspects {
    /// Adds `aspect`.
    pub fn add(&mut self, aspect: Aspect) {
        self.0 |= aspect as u8;
    }

    /// Adds `aspect` if `differs`.
    pub fn add_if(&mut self, differs: bool, aspect: Aspect) {
        if differs {
            self.add(aspect);
        }
    }

    /// Whether `aspect` is one of them.
    pub fn has(self, aspect: Aspect) -> bool {
        self.0 & aspect as u8 != 0
    }

    /// Whether the entries are identical.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl From<Aspect> for Aspects {
    fn from(aspect: Aspect) -> Self {
        Self(aspect as u8)
    }
}

const MISSING: u8 = 1;
const EXTRA: u8 = 2;
const OTHER: u8 = 3;

impl Field for Difference {
    fn put(&self, into: &mut Vec<u8>) {
        let (tag, aspects, wanted, found) = match *self {
            Self::Missing(wanted) => (MISSING, 0, wanted, 0),
            Self::Extra(found) => (EXTRA, 0, 0, found),
            Self::Other { aspects, wanted, found } => (OTHER, aspects.0, wanted, found),
        };
        into.extend_from_slice(&[tag, aspects]);
        put_u32(into, wanted);
        put_u32(into, found);
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        let (tag, aspects) = (get_u8(from)?, Aspects(get_u8(from)?));
        let (wanted, found) = (get_u32(from)?, get_u32(from)?);
        match tag {
            MISSING => Some(Self::Missing(wanted)),
            EXTRA => Some(Self::Extra(found)),
            OTHER => Some(Self::Other { aspects, wanted, found }),
            _ => None,
        }
    }
}
