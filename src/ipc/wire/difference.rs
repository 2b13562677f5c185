//! How a copy differs from what it should be, for those who compare only.

use super::fields::{get_u8, get_u32, put_u32};

/// What is wrong with an entry of a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Difference {
    /// It is not there, and should be a thing of this type (the type bits of a mode).
    Missing(u32),
    /// It is there, a thing of this type, and should not.
    Extra(u32),
    /// It is there and is another.
    Other {
        /// In what.
        aspects: Aspects,
        /// The mode that it should have.
        wanted: u32,
        /// The mode that it has.
        found: u32,
    },
}

/// In what two entries differ.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Aspects(u8);

/// One thing that two entries may differ in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Aspect {
    /// File, folder, symlink and so on.
    Type = 1,
    /// The bytes of a file, the text of a symlink, the number of a device.
    Contents = 1 << 1,
    /// Permission bits.
    Permissions = 1 << 2,
    /// The time of the last modification.
    Time = 1 << 3,
    /// User or group.
    Owner = 1 << 4,
    /// Access lists.
    AccessLists = 1 << 5,
    /// Extended attributes.
    Attributes = 1 << 6,
}

impl Aspects {
    /// Adds one.
    pub fn add(&mut self, aspect: Aspect) {
        self.0 |= aspect as u8;
    }

    /// Adds one if `differs`.
    pub fn add_if(&mut self, differs: bool, aspect: Aspect) {
        if differs {
            self.add(aspect);
        }
    }

    /// Whether this is one of them.
    pub fn has(self, aspect: Aspect) -> bool {
        self.0 & aspect as u8 != 0
    }

    /// Whether the entries are alike.
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

impl Difference {
    pub(super) fn put(self, into: &mut Vec<u8>) {
        let (tag, aspects, wanted, found) = match self {
            Self::Missing(wanted) => (MISSING, 0, wanted, 0),
            Self::Extra(found) => (EXTRA, 0, 0, found),
            Self::Other { aspects, wanted, found } => (OTHER, aspects.0, wanted, found),
        };
        into.extend_from_slice(&[tag, aspects]);
        put_u32(into, wanted);
        put_u32(into, found);
    }

    pub(super) fn get(from: &mut &[u8]) -> Option<Self> {
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
