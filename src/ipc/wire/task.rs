//! What stands in a slot of the ring: one piece of work, with all that a copier needs to begin it.

use super::fields::{get_bytes, get_u8, get_u32, get_u64, put_bytes, put_u32, put_u64};
use pcopy_sys::file::{Identity, Kind};
use std::ffi::CStr;

/// Where something is, on both sides: an operand, or an entry below one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryPath<'a> {
    /// The operand, as an index into the plan's, from 0.
    pub operand: u32,
    /// The path from the operand's source directory; begins with the operand's own name.
    pub source: &'a [u8],
    /// The path from the operand's target directory; may have staged names in it.
    pub target: &'a [u8],
    /// Whether it lies in something that is built under a staged name, which no other process uses.
    pub staged: bool,
}

/// An [`EntryPath`] that is kept, and walked up and down.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct EntryPathBuf {
    /// See [`EntryPath`].
    pub operand: u32,
    /// See [`EntryPath`].
    pub source: Vec<u8>,
    /// See [`EntryPath`].
    pub target: Vec<u8>,
    /// See [`EntryPath`].
    pub staged: bool,
}

/// How long the two paths of an [`EntryPathBuf`] are, in bytes: a directory that the walk comes back to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Depth {
    /// The source's path.
    pub source_bytes: usize,
    /// The target's path.
    pub target_bytes: usize,
}

impl EntryPathBuf {
    /// The same, borrowed.
    pub fn as_path(&self) -> EntryPath<'_> {
        let Self { operand, ref source, ref target, staged } = *self;
        EntryPath { operand, source, target, staged }
    }

    /// Goes to another place; the memory is used again.
    pub fn go_to(&mut self, path: EntryPath<'_>) {
        (self.operand, self.staged) = (path.operand, path.staged);
        self.source.clear();
        self.source.extend_from_slice(path.source);
        self.target.clear();
        self.target.extend_from_slice(path.target);
    }

    /// Steps down to an entry of this directory.
    pub fn push(&mut self, name: &[u8], target_name: &[u8]) {
        push_component(&mut self.source, name);
        push_component(&mut self.target, target_name);
    }

    /// How deep it is.
    pub fn depth(&self) -> Depth {
        Depth { source_bytes: self.source.len(), target_bytes: self.target.len() }
    }

    /// Steps up again, to where [`depth`](Self::depth) was taken.
    pub fn truncate(&mut self, depth: Depth) {
        self.source.truncate(depth.source_bytes);
        self.target.truncate(depth.target_bytes);
    }

    /// The path of an entry in the source directory.
    pub fn source_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.source.clone();
        push_component(&mut path, name);
        path
    }
}

impl From<EntryPath<'_>> for EntryPathBuf {
    fn from(path: EntryPath<'_>) -> Self {
        let (source, target) = (path.source.to_vec(), path.target.to_vec());
        Self { operand: path.operand, source, target, staged: path.staged }
    }
}

/// Appends a name to a path.
pub fn push_component(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// A unit of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Task<'a> {
    /// Some of what the user named: the plan's entries `first..end`.
    Operands {
        /// Index of the first.
        first: u32,
        /// Index after the last.
        end: u32,
    },
    /// List this directory and copy what is in it. Its target exists.
    Directory {
        /// Where it is.
        place: EntryPath<'a>,
        /// Whether its target stood there before this run touched it.
        existed: bool,
    },
    /// Copy these names, out of a directory too wide for one copier.
    Names {
        /// Where they are.
        place: EntryPath<'a>,
        /// Whether their target directory stood there before this round.
        existed: bool,
        /// `kind name NUL kind name NUL …`; see [`put_name`] and [`next_name`].
        names: &'a [u8],
    },
    /// Copy the names `first..end` that the user was asked for, which every copier has from the
    /// supervisor.
    Agreed {
        /// Index of the first.
        first: u32,
        /// Index after the last.
        end: u32,
    },
    /// Help with a large file: take pieces of it until there are none left.
    Range(Invitation<'a>),
    /// Make the links of the groups `first..end`, which every copier has from the supervisor.
    Links {
        /// Index of the first.
        first: u32,
        /// Index after the last.
        end: u32,
    },
    /// Read back the files `first..end` of those whose digests every copier has from the supervisor.
    Verify {
        /// Index of the first.
        first: u32,
        /// Index after the last.
        end: u32,
    },
}

/// Where a large file is that its owner wants help with (see `ipc/large`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invitation<'a> {
    /// The directories that it is in.
    pub place: EntryPath<'a>,
    /// Its name in the source.
    pub name: &'a CStr,
    /// Its name in the target at present, which may be a staged one.
    pub made: &'a CStr,
    /// The number of the copier that owns it, from 0.
    pub owner: u16,
    /// Which of the owner's files it is.
    pub generation: u64,
    /// What is to be done with it.
    pub share: Share,
}

/// What is done with each piece of a large file, and with which: what the owner has open. Whatever else
/// has the names now is not meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Share {
    /// It is copied, from the first to the second, and hashed on the way if that is wanted.
    Copy(Identity, Identity),
    /// It is compared, in the first and the second.
    Compare(Identity, Identity),
    /// It is hashed in the source, which was cloned.
    HashSource(Identity),
    /// It is hashed in the target.
    HashTarget(Identity),
}

const ENTRIES: u8 = 1;
const DIRECTORY: u8 = 2;
const NAMES: u8 = 3;
const LINKS: u8 = 4;
const AGREED: u8 = 5;
const RANGE: u8 = 6;
const VERIFY: u8 = 7;

const COPY: u8 = 1;
const HASH_SOURCE: u8 = 2;
const HASH_TARGET: u8 = 3;
const COMPARE: u8 = 4;

const STAGED: u8 = 1;
const EXISTED: u8 = 2;

impl<'a> Task<'a> {
    /// Writes the task into `into`, which is cleared first.
    pub fn encode(&self, into: &mut Vec<u8>) {
        into.clear();
        match *self {
            Task::Operands { first, end } => put_range(into, ENTRIES, first, end),
            Task::Agreed { first, end } => put_range(into, AGREED, first, end),
            Task::Links { first, end } => put_range(into, LINKS, first, end),
            Task::Verify { first, end } => put_range(into, VERIFY, first, end),
            Task::Range(invitation) => {
                into.push(RANGE);
                put_invitation(into, &invitation);
            }
            Task::Directory { place, existed } => {
                into.push(DIRECTORY);
                put_place(into, &place, if existed { EXISTED } else { 0 });
            }
            Task::Names { place, existed, names } => {
                into.push(NAMES);
                put_place(into, &place, if existed { EXISTED } else { 0 });
                into.extend_from_slice(names);
            }
        }
    }

    /// Reads a task; `None` if the bytes are not one.
    pub fn decode(mut from: &'a [u8]) -> Option<Self> {
        match get_u8(&mut from)? {
            ENTRIES => {
                Some(Task::Operands { first: get_u32(&mut from)?, end: get_u32(&mut from)? })
            }
            DIRECTORY => {
                let (place, flags) = get_place(&mut from)?;
                Some(Task::Directory { place, existed: flags & EXISTED != 0 })
            }
            NAMES => {
                let (place, flags) = get_place(&mut from)?;
                Some(Task::Names { place, existed: flags & EXISTED != 0, names: from })
            }
            AGREED => Some(Task::Agreed { first: get_u32(&mut from)?, end: get_u32(&mut from)? }),
            RANGE => Some(Task::Range(get_invitation(&mut from)?)),
            LINKS => Some(Task::Links { first: get_u32(&mut from)?, end: get_u32(&mut from)? }),
            VERIFY => Some(Task::Verify { first: get_u32(&mut from)?, end: get_u32(&mut from)? }),
            _ => None,
        }
    }
}

fn put_range(into: &mut Vec<u8>, tag: u8, first: u32, end: u32) {
    into.push(tag);
    put_u32(into, first);
    put_u32(into, end);
}

fn put_place(into: &mut Vec<u8>, place: &EntryPath<'_>, flags: u8) {
    into.push(flags | if place.staged { STAGED } else { 0 });
    put_u32(into, place.operand);
    put_bytes(into, place.source);
    put_bytes(into, place.target);
}

fn get_place<'a>(from: &mut &'a [u8]) -> Option<(EntryPath<'a>, u8)> {
    let flags = get_u8(from)?;
    let operand = get_u32(from)?;
    let source = get_bytes(from)?;
    let target = get_bytes(from)?;
    Some((EntryPath { operand, source, target, staged: flags & STAGED != 0 }, flags))
}

fn put_invitation(into: &mut Vec<u8>, invitation: &Invitation<'_>) {
    put_place(into, &invitation.place, 0);
    put_bytes(into, invitation.name.to_bytes_with_nul());
    put_bytes(into, invitation.made.to_bytes_with_nul());
    put_u32(into, invitation.owner.into());
    put_u64(into, invitation.generation);
    put_share(into, invitation.share);
}

fn get_invitation<'a>(from: &mut &'a [u8]) -> Option<Invitation<'a>> {
    let (place, _) = get_place(from)?;
    let mut name = || CStr::from_bytes_with_nul(get_bytes(from)?).ok();
    let (name, made) = (name()?, name()?);
    let owner = u16::try_from(get_u32(from)?).ok()?;
    let generation = get_u64(from)?;
    let share = get_share(from)?;
    Some(Invitation { place, name, made, owner, generation, share })
}

fn put_share(into: &mut Vec<u8>, share: Share) {
    let (tag, identities) = match share {
        Share::Copy(source, target) => (COPY, &[source, target][..]),
        Share::Compare(source, target) => (COMPARE, &[source, target][..]),
        Share::HashSource(source) => (HASH_SOURCE, &[source][..]),
        Share::HashTarget(target) => (HASH_TARGET, &[target][..]),
    };
    into.push(tag);
    for (device, inode) in identities {
        put_u64(into, *device);
        put_u64(into, *inode);
    }
}

fn get_share(from: &mut &[u8]) -> Option<Share> {
    let tag = get_u8(from)?;
    let mut identity = || Some((get_u64(from)?, get_u64(from)?));
    match tag {
        COPY => Some(Share::Copy(identity()?, identity()?)),
        COMPARE => Some(Share::Compare(identity()?, identity()?)),
        HASH_SOURCE => Some(Share::HashSource(identity()?)),
        HASH_TARGET => Some(Share::HashTarget(identity()?)),
        _ => None,
    }
}

/// The path above the last component, and that.
pub fn split_last(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Appends one entry of a [`Task::Names`].
pub fn put_name(into: &mut Vec<u8>, kind: Kind, name: &CStr) {
    into.push(match kind {
        Kind::File => 1,
        Kind::Directory => 2,
        Kind::Symlink => 3,
        Kind::Special => 4,
        Kind::Unknown => 5,
    });
    into.extend_from_slice(name.to_bytes_with_nul());
}

/// Takes one entry of a [`Task::Names`] off the front.
pub fn next_name<'a>(names: &mut &'a [u8]) -> Option<(Kind, &'a CStr)> {
    let (&tag, rest) = names.split_first()?;
    let kind = match tag {
        1 => Kind::File,
        2 => Kind::Directory,
        3 => Kind::Symlink,
        4 => Kind::Special,
        _ => Kind::Unknown,
    };
    let name = CStr::from_bytes_until_nul(rest).ok()?;
    *names = &rest[name.count_bytes() + 1..];
    Some((kind, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: EntryPath<'_> = EntryPath {
        operand: 7,
        source: b"src/a\xff",
        target: b".dst.pcopy-partial/a\xff",
        staged: true,
    };

    const INVITATION: Invitation<'_> = Invitation {
        place: PLACE,
        name: c"big\xff",
        made: c".big.pcopy-partial",
        owner: u16::MAX,
        generation: u64::MAX,
        share: Share::Copy((1, u64::MAX), (2, 3)),
    };

    fn there_and_back(task: Task<'_>) {
        let mut packed = Vec::new();
        task.encode(&mut packed);
        assert_eq!(Task::decode(&packed), Some(task));
    }

    #[test]
    fn every_kind_of_task_survives_the_slot() {
        there_and_back(Task::Operands { first: 0, end: u32::MAX });
        there_and_back(Task::Links { first: 3, end: u32::MAX });
        there_and_back(Task::Verify { first: 3, end: u32::MAX });
        there_and_back(Task::Directory { place: PLACE, existed: true });
        there_and_back(Task::Directory {
            place: EntryPath { staged: false, ..PLACE },
            existed: false,
        });
        there_and_back(Task::Names { place: PLACE, existed: true, names: b"\x01a\0\x02b\0" });
        let (one, two) = ((1, u64::MAX), (2, 3));
        for share in [
            Share::Copy(one, two),
            Share::Compare(two, one),
            Share::HashSource(one),
            Share::HashTarget(two),
        ] {
            there_and_back(Task::Range(Invitation { share, ..INVITATION }));
        }
    }

    #[test]
    fn names_come_out_in_the_order_they_went_in() {
        let mut packed = Vec::new();
        let all = [Kind::File, Kind::Directory, Kind::Symlink, Kind::Special, Kind::Unknown];
        for kind in all {
            put_name(&mut packed, kind, c"n\xff");
        }
        let mut rest = &packed[..];
        for kind in all {
            assert_eq!(next_name(&mut rest), Some((kind, c"n\xff")));
        }
        assert_eq!(next_name(&mut rest), None);
    }

    #[test]
    fn a_task_cut_anywhere_is_refused_or_shorter_but_never_a_panic() {
        let mut packed = Vec::new();
        for task in [Task::Directory { place: PLACE, existed: true }, Task::Range(INVITATION)] {
            task.encode(&mut packed);
            for end in 0..packed.len() {
                assert_eq!(Task::decode(&packed[..end]), None, "cut at {end}");
            }
        }
    }
}
