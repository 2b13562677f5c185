//! An operation of a plan (`--plan`), as a copier reports it.

use super::fields::{Field, get_u8, get_u32, get_u64, put_u32, put_u64};
use crate::plan_file::{Change, Seen};
use pcopy_sys::file::{Identity, Stamp};

/// What a run would do with an entry, and what was seen of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Planned {
    /// What would be done.
    pub change: Change,
    /// The operand of the name that the entry would become a hard link to. The path of that name is the target path of the
    /// report.
    pub link_operand: Option<u32>,
    /// The source; `None` if it has no such entry.
    pub source: Option<Seen>,
    /// The target; `None` if it has no such entry.
    pub target: Option<Seen>,
}

impl Field for Planned {
    fn put(&self, into: &mut Vec<u8>) {
        into.push(self.change as u8);
        put_optional(into, self.link_operand.as_ref());
        put_optional(into, self.source.as_ref());
        put_optional(into, self.target.as_ref());
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        let tag = get_u8(from)?;
        let changes =
            [Change::Create, Change::Replace, Change::Update, Change::Link, Change::Remove];
        Some(Self {
            change: changes.into_iter().find(|change| *change as u8 == tag)?,
            link_operand: get_optional(from)?,
            source: get_optional(from)?,
            target: get_optional(from)?,
        })
    }
}

fn put_optional<T: Field>(into: &mut Vec<u8>, value: Option<&T>) {
    into.push(u8::from(value.is_some()));
    if let Some(value) = value {
        value.put(into);
    }
}

fn get_optional<T: Field>(from: &mut &[u8]) -> Option<Option<T>> {
    match get_u8(from)? {
        0 => Some(None),
        1 => T::get(from).map(Some),
        _ => None,
    }
}

impl Field for Seen {
    fn put(&self, into: &mut Vec<u8>) {
        let Self { mode, identity, links, user, group, size, modified, changed } = self;
        [*mode, *user, *group].iter().for_each(|number| put_u32(into, *number));
        identity.put(into);
        [*links, *size].iter().for_each(|number| put_u64(into, *number));
        modified.put(into);
        changed.put(into);
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        let (mode, user, group) = (get_u32(from)?, get_u32(from)?, get_u32(from)?);
        let identity = Identity::get(from)?;
        let (links, size) = (get_u64(from)?, get_u64(from)?);
        let (modified, changed) = (Stamp::get(from)?, Stamp::get(from)?);
        Some(Self { mode, identity, links, user, group, size, modified, changed })
    }
}

impl Field for Stamp {
    fn put(&self, into: &mut Vec<u8>) {
        put_u64(into, self.seconds.cast_unsigned());
        put_u64(into, self.nanoseconds.cast_unsigned());
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        let (seconds, nanoseconds) = (get_u64(from)?, get_u64(from)?);
        Some(Self { seconds: seconds.cast_signed(), nanoseconds: nanoseconds.cast_signed() })
    }
}
