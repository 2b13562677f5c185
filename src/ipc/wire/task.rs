//! Tasks: the units of work that copiers push into the ring and take from it.
//!
//! The ring is the queue of tasks in shared memory. A slot of the ring holds one task, with everything that a
//! copier needs to start it.

use super::fields::{get_bytes, get_u8, get_u32, get_u64, put_bytes, put_u32, put_u64};
use pcopy_sys::file::{Identity, Kind};
use std::ffi::CStr;

/// The place of an entry in the source and in the target. An entry is an operand or anything below one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EntryPath<'a> {
    /// The operand, as an index into the plan's operands.
    pub operand: u32,
    /// The path in the source, relative to the directory that contains the operand; begins with the operand's
    /// own name.
    pub source: &'a [u8],
    /// The path in the target, relative to the directory that contains the operand's target; may contain
    /// staged names.
    pub target: &'a [u8],
    /// Whether the entry lies in a directory that is built under a staged name. No other program uses such a
    /// directory.
    pub staged: bool,
}

/// An owned [`EntryPath`]. A copier that walks through directories extends and shortens it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct EntryPathBuf {
    /// The operand, as in [`EntryPath`].
    pub operand: u32,
    /// The path in the source, as in [`EntryPath`].
    pub source: Vec<u8>,
    /// The path in the target, as in [`EntryPath`].
    pub target: Vec<u8>,
    /// Whether the entry lies in a staged directory, as in [`EntryPath`].
    pub staged: bool,
}

/// The lengths of the two paths of an [`EntryPathBuf`], with which a walk returns to an earlier directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Depth {
    /// The length of the source path, in bytes.
    pub source_bytes: usize,
    /// The length of the target path, in bytes.
    pub target_bytes: usize,
}

impl EntryPathBuf {
    /// Returns the same path, borrowed.
    pub(crate) fn as_path(&self) -> EntryPath<'_> {
        let Self { operand, ref source, ref target, staged } = *self;
        EntryPath { operand, source, target, staged }
    }

    /// Replaces the path by another one; allocates only if the new path is longer.
    pub(crate) fn go_to(&mut self, path: EntryPath<'_>) {
        (self.operand, self.staged) = (path.operand, path.staged);
        self.source.clear();
        self.source.extend_from_slice(path.source);
        self.target.clear();
        self.target.extend_from_slice(path.target);
    }

    /// Appends an entry of this directory: its name in the source to the source path, its name in the target
    /// to the target path.
    pub(crate) fn push(&mut self, name: &[u8], target_name: &[u8]) {
        push_component(&mut self.source, name);
        push_component(&mut self.target, target_name);
    }

    /// Returns the current lengths of the paths, for [`truncate`](Self::truncate).
    pub(crate) fn depth(&self) -> Depth {
        Depth { source_bytes: self.source.len(), target_bytes: self.target.len() }
    }

    /// Returns to the directory for which [`depth`](Self::depth) was called.
    pub(crate) fn truncate(&mut self, depth: Depth) {
        self.source.truncate(depth.source_bytes);
        self.target.truncate(depth.target_bytes);
    }

    /// Returns the source path of an entry of this directory.
    pub(crate) fn source_of(&self, name: &[u8]) -> Vec<u8> {
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

/// Appends a name to a path, after a slash unless the path is empty.
pub(crate) fn push_component(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// A unit of work for one copier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Task<'a> {
    /// Copy the plan's operands `first..end`.
    Operands {
        /// The index of the first operand.
        first: u32,
        /// The index after the last operand.
        end: u32,
    },
    /// List this directory and copy its entries. Its target directory exists.
    Directory {
        /// The place of the directory.
        place: EntryPath<'a>,
        /// Whether the target directory existed before the current round. A directory that the parent created
        /// for an operand just before the round counts as new. In a comparison, every directory counts as
        /// existing.
        existed: bool,
    },
    /// Copy these names of a directory that has too many entries for one copier.
    Names {
        /// The place of the directory.
        place: EntryPath<'a>,
        /// Whether the target directory existed before the current round, as in [`Task::Directory`].
        existed: bool,
        /// The types and names of the entries: `kind name NUL kind name NUL …`; see [`put_name`] and
        /// [`next_name`].
        names: &'a [u8],
    },
    /// Copy the entries `first..end` of the list of entries that the user has agreed to replace. Every copier
    /// inherits this list from the parent.
    Prompted {
        /// The index of the first entry.
        first: u32,
        /// The index after the last entry.
        end: u32,
    },
    /// Help with a large file: take chunks of the file until none is left.
    LargeFile(HelpRequest<'a>),
    /// Create the hard links of the groups `first..end` (see `link_groups`). Every copier inherits the groups
    /// from the parent.
    Links {
        /// The index of the first group.
        first: u32,
        /// The index after the last group.
        end: u32,
    },
    /// Remove what only the target has: the units `first..end` of the list (see `removals`). Every copier inherits the list
    /// from the parent.
    Remove {
        /// The index of the first unit.
        first: u32,
        /// The index after the last unit.
        end: u32,
    },
    /// Read back and verify the files `first..end` (see `digests`). Every copier inherits the digests of the
    /// files from the parent.
    Verify {
        /// The index of the first file.
        first: u32,
        /// The index after the last file.
        end: u32,
    },
}

/// A request of the copier that owns a large file for the help of other copiers (see `large_files`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HelpRequest<'a> {
    /// The directory of the file.
    pub place: EntryPath<'a>,
    /// The name of the file in the source.
    pub name: &'a CStr,
    /// The current name of the file in the target, which may be a staged name.
    pub target_name: &'a CStr,
    /// The number of the copier that owns the file, from 0.
    pub owner: u16,
    /// The generation that the owner has given to this file (see `large_files`). It shows a helper whether
    /// the request is outdated.
    pub generation: u64,
    /// What to do with each chunk of the file.
    pub chunk_job: ChunkJob,
}

/// What to do with each chunk of a large file, and the inodes of the files that the owner has open. A helper
/// compares the inodes, so that it never touches another file that has the same name by now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum ChunkJob {
    /// Copy the chunk from the first file to the second, and hash it if the options require a hash.
    Copy(Identity, Identity),
    /// Write the chunk of the first file to the second, where that has other data; hash it like `Copy`.
    Update(Identity, Identity),
    /// Compare the chunk between the first file and the second.
    Compare(Identity, Identity),
    /// Hash the chunk in the source, of which the target is a clone.
    HashSource(Identity),
    /// Hash the chunk in the target.
    HashTarget(Identity),
}

const OPERANDS: u8 = 1;
const DIRECTORY: u8 = 2;
const NAMES: u8 = 3;
const LINKS: u8 = 4;
const PROMPTED: u8 = 5;
const LARGE_FILE: u8 = 6;
const VERIFY: u8 = 7;
const REMOVE: u8 = 8;

const COPY: u8 = 1;
const HASH_SOURCE: u8 = 2;
const HASH_TARGET: u8 = 3;
const COMPARE: u8 = 4;
const UPDATE: u8 = 5;

const STAGED: u8 = 1;
const EXISTED: u8 = 2;

impl<'a> Task<'a> {
    /// Writes the encoded task into `into`, after clearing it.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        into.clear();
        match *self {
            Task::Operands { first, end } => put_range(into, OPERANDS, first, end),
            Task::Prompted { first, end } => put_range(into, PROMPTED, first, end),
            Task::Links { first, end } => put_range(into, LINKS, first, end),
            Task::Verify { first, end } => put_range(into, VERIFY, first, end),
            Task::Remove { first, end } => put_range(into, REMOVE, first, end),
            Task::LargeFile(request) => {
                into.push(LARGE_FILE);
                put_request(into, &request);
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

    /// Decodes a task; returns `None` if the bytes are not a task.
    pub(crate) fn decode(mut from: &'a [u8]) -> Option<Self> {
        match get_u8(&mut from)? {
            OPERANDS => {
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
            PROMPTED => {
                Some(Task::Prompted { first: get_u32(&mut from)?, end: get_u32(&mut from)? })
            }
            LARGE_FILE => Some(Task::LargeFile(get_request(&mut from)?)),
            LINKS => Some(Task::Links { first: get_u32(&mut from)?, end: get_u32(&mut from)? }),
            VERIFY => Some(Task::Verify { first: get_u32(&mut from)?, end: get_u32(&mut from)? }),
            REMOVE => Some(Task::Remove { first: get_u32(&mut from)?, end: get_u32(&mut from)? }),
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

fn put_request(into: &mut Vec<u8>, request: &HelpRequest<'_>) {
    put_place(into, &request.place, 0);
    put_bytes(into, request.name.to_bytes_with_nul());
    put_bytes(into, request.target_name.to_bytes_with_nul());
    put_u32(into, request.owner.into());
    put_u64(into, request.generation);
    put_chunk_job(into, request.chunk_job);
}

fn get_request<'a>(from: &mut &'a [u8]) -> Option<HelpRequest<'a>> {
    let (place, _) = get_place(from)?;
    let mut name = || CStr::from_bytes_with_nul(get_bytes(from)?).ok();
    let (name, target_name) = (name()?, name()?);
    let owner = u16::try_from(get_u32(from)?).ok()?;
    let generation = get_u64(from)?;
    let chunk_job = get_chunk_job(from)?;
    Some(HelpRequest { place, name, target_name, owner, generation, chunk_job })
}

fn put_chunk_job(into: &mut Vec<u8>, chunk_job: ChunkJob) {
    let (tag, identities) = match chunk_job {
        ChunkJob::Copy(source, target) => (COPY, &[source, target][..]),
        ChunkJob::Update(source, target) => (UPDATE, &[source, target][..]),
        ChunkJob::Compare(source, target) => (COMPARE, &[source, target][..]),
        ChunkJob::HashSource(source) => (HASH_SOURCE, &[source][..]),
        ChunkJob::HashTarget(target) => (HASH_TARGET, &[target][..]),
    };
    into.push(tag);
    for (device, inode) in identities {
        put_u64(into, *device);
        put_u64(into, *inode);
    }
}

fn get_chunk_job(from: &mut &[u8]) -> Option<ChunkJob> {
    let tag = get_u8(from)?;
    let mut identity = || Some((get_u64(from)?, get_u64(from)?));
    match tag {
        COPY => Some(ChunkJob::Copy(identity()?, identity()?)),
        UPDATE => Some(ChunkJob::Update(identity()?, identity()?)),
        COMPARE => Some(ChunkJob::Compare(identity()?, identity()?)),
        HASH_SOURCE => Some(ChunkJob::HashSource(identity()?)),
        HASH_TARGET => Some(ChunkJob::HashTarget(identity()?)),
        _ => None,
    }
}

/// Splits a path into the path without its last component, and the last component.
pub(crate) fn split_last(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Appends one entry, its type and its name, to the list of a [`Task::Names`].
pub(crate) fn put_name(into: &mut Vec<u8>, kind: Kind, name: &CStr) {
    into.push(match kind {
        Kind::File => 1,
        Kind::Directory => 2,
        Kind::Symlink => 3,
        Kind::Special => 4,
        Kind::Unknown => 5,
    });
    into.extend_from_slice(name.to_bytes_with_nul());
}

/// Takes one entry off the front of the list of a [`Task::Names`]; returns `None` if none is left.
pub(crate) fn next_name<'a>(names: &mut &'a [u8]) -> Option<(Kind, &'a CStr)> {
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

    const REQUEST: HelpRequest<'_> = HelpRequest {
        place: PLACE,
        name: c"big\xff",
        target_name: c".big.pcopy-partial",
        owner: u16::MAX,
        generation: u64::MAX,
        chunk_job: ChunkJob::Copy((1, u64::MAX), (2, 3)),
    };

    fn survives(task: Task<'_>) {
        let mut packed = Vec::new();
        task.encode(&mut packed);
        assert_eq!(Task::decode(&packed), Some(task));
    }

    #[test]
    fn every_task_survives_the_slot() {
        survives(Task::Operands { first: 0, end: u32::MAX });
        survives(Task::Links { first: 3, end: u32::MAX });
        survives(Task::Verify { first: 3, end: u32::MAX });
        survives(Task::Remove { first: 3, end: u32::MAX });
        survives(Task::Directory { place: PLACE, existed: true });
        survives(Task::Directory { place: EntryPath { staged: false, ..PLACE }, existed: false });
        survives(Task::Names { place: PLACE, existed: true, names: b"\x01a\0\x02b\0" });
        let (one, two) = ((1, u64::MAX), (2, 3));
        for chunk_job in [
            ChunkJob::Copy(one, two),
            ChunkJob::Update(one, two),
            ChunkJob::Compare(two, one),
            ChunkJob::HashSource(one),
            ChunkJob::HashTarget(two),
        ] {
            survives(Task::LargeFile(HelpRequest { chunk_job, ..REQUEST }));
        }
    }

    #[test]
    fn names_are_read_in_the_order_in_which_they_were_written() {
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
    fn a_truncated_task_is_refused() {
        let mut packed = Vec::new();
        for task in [Task::Directory { place: PLACE, existed: true }, Task::LargeFile(REQUEST)] {
            task.encode(&mut packed);
            for end in 0..packed.len() {
                assert_eq!(Task::decode(&packed[..end]), None, "cut at {end}");
            }
        }
    }
}
