//! How an entry of a copy differs from its source, as `--check` reports it.

use super::fields::{Field, get_u8, get_u32, put_u32};

/// How an entry of a copy differs from the source entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Difference {
    /// The copy lacks the entry; the source has an entry of this type (the file type bits of a mode).
    Missing(u32),
    /// The copy has an entry of this type, and the source has no entry of that name.
    Extraneous(u32),
    /// Both entries exist, and they differ.
    Changed {
        /// The properties in which the two entries differ.
        properties: Properties,
        /// The mode of the source entry.
        wanted: u32,
        /// The mode of the entry in the copy.
        found: u32,
    },
}

/// The set of properties in which two entries differ.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Properties(u8);

/// One property in which two entries can differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Property {
    /// The file type: regular file, directory, symlink and so on.
    Type = 1,
    /// The bytes of a file, the text of a symlink, or the number of a device.
    Contents = 1 << 1,
    /// The permission bits.
    Permissions = 1 << 2,
    /// The modification time.
    Time = 1 << 3,
    /// The owner or the group.
    Owner = 1 << 4,
    /// ACLs.
    Acls = 1 << 5,
    /// Extended attributes.
    Xattrs = 1 << 6,
}

impl Properties {
    /// Adds `property`.
    pub fn add(&mut self, property: Property) {
        self.0 |= property as u8;
    }

    /// Adds `property` if `differs`.
    pub fn add_if(&mut self, differs: bool, property: Property) {
        if differs {
            self.add(property);
        }
    }

    /// Whether the set contains `property`.
    pub fn has(self, property: Property) -> bool {
        self.0 & property as u8 != 0
    }

    /// Whether the set is empty: the entries are identical.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl From<Property> for Properties {
    fn from(property: Property) -> Self {
        Self(property as u8)
    }
}

const MISSING: u8 = 1;
const EXTRANEOUS: u8 = 2;
const CHANGED: u8 = 3;

impl Field for Difference {
    fn put(&self, into: &mut Vec<u8>) {
        let (tag, properties, wanted, found) = match *self {
            Self::Missing(wanted) => (MISSING, 0, wanted, 0),
            Self::Extraneous(found) => (EXTRANEOUS, 0, 0, found),
            Self::Changed { properties, wanted, found } => (CHANGED, properties.0, wanted, found),
        };
        into.extend_from_slice(&[tag, properties]);
        put_u32(into, wanted);
        put_u32(into, found);
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        let (tag, properties) = (get_u8(from)?, Properties(get_u8(from)?));
        let (wanted, found) = (get_u32(from)?, get_u32(from)?);
        match tag {
            MISSING => Some(Self::Missing(wanted)),
            EXTRANEOUS => Some(Self::Extraneous(found)),
            CHANGED => Some(Self::Changed { properties, wanted, found }),
            _ => None,
        }
    }
}
