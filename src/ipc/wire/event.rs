//! What a copier says over its pipe: names and failures, never numbers (those are in `counters`).
//!
//! A frame is its length, a tag and the fields, filled up to whole words. One copier writes to one
//! pipe, so frames of any length arrive whole and in order.

use super::difference::Difference;
use super::fields::{get_bytes, get_u8, get_u32, get_u64, put_bytes, put_u32, put_u64};
use super::task::EntryPath;
use crate::error::{EntryError, Op};
use crate::hash::Digest;
use crate::ipc::memory::outbox::WORD_BYTES;
use pcopy_sys::Errno;
use pcopy_sys::file::Identity;

/// How an entry came to be, for those who want it told (`-v`, `--debug`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Details {
    /// Whether it is a directory, which the compat of cp has told when it was made.
    pub directory: bool,
    /// Whether what stood there was removed.
    pub removed: bool,
    /// How what stood there was kept.
    pub kept: BackupKind,
    /// How its bytes were copied, if they were.
    pub method: Option<CopyMethod>,
}

/// The name that was given to what was replaced.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum BackupKind {
    /// It was not kept.
    #[default]
    Not,
    /// Its own with the suffix.
    Simple,
    /// Its own with this number.
    Numbered(u64),
}

/// Which ways the bytes of a file have gone; the words of cp's `--debug`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CopyMethod {
    /// Whether the kernel has copied them (`copy_file_range`).
    pub offload: Attempt,
    /// Whether they are shared with the source.
    pub reflink: Attempt,
    /// Whether the source was asked for its holes.
    pub holes: bool,
    /// Whether zeros were looked for.
    pub zeros: bool,
}

/// What became of one way to copy.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(u8)]
pub enum Attempt {
    /// It was not asked for, or need not be.
    #[default]
    Unknown,
    /// It was not wanted.
    No,
    /// It did all or part of the work.
    Yes,
    /// Another way was better.
    Avoided,
    /// The file system or the kernel cannot do it.
    Unsupported,
}

impl Attempt {
    const ALL: [Self; 5] = [Self::Unknown, Self::No, Self::Yes, Self::Avoided, Self::Unsupported];

    fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::No => "no",
            Self::Yes => "yes",
            Self::Avoided => "avoided",
            Self::Unsupported => "unsupported",
        }
    }
}

impl CopyMethod {
    /// The words for the kernel's copying, for sharing, and for holes.
    pub fn words(&self) -> (&'static str, &'static str, &'static str) {
        let sparse = match (self.holes, self.zeros) {
            (false, false) => "no",
            (true, false) => "SEEK_HOLE",
            (false, true) => "zeros",
            (true, true) => "SEEK_HOLE + zeros",
        };
        (self.offload.word(), self.reflink.word(), sparse)
    }
}

/// What a report is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The entry is complete.
    Done(Details),
    /// The entry was passed over, as it stands in the target and the user wants it to stay.
    Skipped,
    /// This directory was made under its final name, and is not finished.
    Made,
    /// This directory is on another file system than its entry.
    Volume,
    /// The user is to be asked whether the entry may be replaced.
    Ask {
        /// Whether the target directory stood there before this round.
        existed: bool,
        /// The permission bits of what stands there.
        bits: u32,
        /// Whether it could be written.
        writable: bool,
    },
    /// The entry was copied and counted, and then found not to be right.
    Unproven(EntryError),
    /// The entry was not copied.
    Failed(EntryError),
    /// The source entry was gone when its turn came, or changed while it was read.
    Vanished(EntryError),
    /// This directory's times and mode must be set at the end; all else in it is done.
    Late {
        /// Whether it is new.
        new: bool,
    },
    /// This directory was built under a staged name and must be given its own at the end.
    Built,
    /// The entry is complete, and its source has further names, which can become links to it.
    Leader {
        /// The source's inode.
        identity: Identity,
        /// Whether it was made, and not found complete.
        new: bool,
        /// How.
        how: Details,
    },
    /// The entry is to become a link to another name of its inode, at the end.
    Link {
        /// The source's inode.
        identity: Identity,
        /// Whether its target directory stood there before this round.
        existed: bool,
    },
    /// The entry could not become a link, and is complete as a file of its own.
    Unlinked(Errno),
    /// The entry is a file that is in the copy, and this is its digest.
    Hashed(Digest),
    /// The entry is not as it should be.
    Differs(Difference),
    /// The entry has several names on one side at least.
    Twins {
        /// What it is in the source.
        source: Identity,
        /// What it is in the target.
        target: Identity,
    },
}

/// A report: something about the entry at `place` (for an entry that is not a directory, too).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report<'a> {
    /// Which entry.
    pub place: EntryPath<'a>,
    /// What of it.
    pub event: Event,
}

const DONE: u8 = 1;
const FAILED: u8 = 2;
const VANISHED: u8 = 3;
const LATE: u8 = 4;
const BUILT: u8 = 5;
const LEADER: u8 = 6;
const LINK: u8 = 7;
const UNLINKED: u8 = 8;
const SKIPPED: u8 = 9;
const MADE: u8 = 10;
const ASK: u8 = 11;
const VOLUME: u8 = 12;
const HASHED: u8 = 13;
const DIFFERS: u8 = 14;
const TWINS: u8 = 15;
const UNPROVEN: u8 = 16;

impl<'a> Report<'a> {
    /// Appends the report, as a frame, to `into`.
    pub fn encode(&self, into: &mut Vec<u8>) {
        let start = into.len();
        put_u32(into, 0);
        match self.event {
            Event::Done(how) => {
                into.push(DONE);
                put_how(into, how);
            }
            Event::Skipped => into.push(SKIPPED),
            Event::Made => into.push(MADE),
            Event::Volume => into.push(VOLUME),
            Event::Ask { existed, bits, writable } => {
                into.extend_from_slice(&[ASK, u8::from(existed), u8::from(writable)]);
                put_u32(into, bits);
            }
            Event::Failed(error) => put_fault(into, FAILED, error),
            Event::Unproven(error) => put_fault(into, UNPROVEN, error),
            Event::Vanished(error) => put_fault(into, VANISHED, error),
            Event::Late { new } => into.extend_from_slice(&[LATE, u8::from(new)]),
            Event::Built => into.push(BUILT),
            Event::Leader { identity, new, how } => {
                put_identity(into, LEADER, identity, new);
                put_how(into, how);
            }
            Event::Link { identity, existed } => put_identity(into, LINK, identity, existed),
            Event::Unlinked(errno) => {
                into.push(UNLINKED);
                put_errno(into, errno);
            }
            Event::Hashed(digest) => {
                into.push(HASHED);
                into.extend_from_slice(&digest.0);
            }
            Event::Differs(difference) => {
                into.push(DIFFERS);
                difference.put(into);
            }
            Event::Twins { source, target } => {
                put_identity(into, TWINS, source, false);
                put_u64(into, target.0);
                put_u64(into, target.1);
            }
        }
        into.push(u8::from(self.place.staged));
        put_u32(into, self.place.operand);
        put_bytes(into, self.place.source);
        put_bytes(into, self.place.target);
        let length = u32::try_from(into.len() - start - 4).unwrap_or(u32::MAX);
        into[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        into.resize(into.len() + filling(into.len() - start), 0);
    }

    /// Takes the next frame off the front of `from`.
    ///
    /// `Ok(None)` if it has not arrived in full; `Err(NotAFrame)` if it can never become one.
    pub fn decode(from: &mut &'a [u8]) -> Result<Option<Self>, NotAFrame> {
        let mut rest = *from;
        let Some(mut frame) = get_bytes(&mut rest) else { return Ok(None) };
        let Some(rest) = rest.get(filling(4 + frame.len())..) else { return Ok(None) };
        let report = Self::decode_frame(&mut frame).ok_or(NotAFrame)?;
        *from = rest;
        Ok(Some(report))
    }

    fn decode_frame(frame: &mut &'a [u8]) -> Option<Self> {
        let event = match get_u8(frame)? {
            DONE => Event::Done(get_how(frame)?),
            SKIPPED => Event::Skipped,
            MADE => Event::Made,
            VOLUME => Event::Volume,
            ASK => {
                let (existed, writable) = (get_u8(frame)? != 0, get_u8(frame)? != 0);
                Event::Ask { existed, bits: get_u32(frame)?, writable }
            }
            FAILED => Event::Failed(get_fault(frame)?),
            UNPROVEN => Event::Unproven(get_fault(frame)?),
            VANISHED => Event::Vanished(get_fault(frame)?),
            LATE => Event::Late { new: get_u8(frame)? != 0 },
            BUILT => Event::Built,
            LEADER => {
                let new = get_u8(frame)? != 0;
                let identity = get_identity(frame)?;
                Event::Leader { identity, new, how: get_how(frame)? }
            }
            LINK => {
                let existed = get_u8(frame)? != 0;
                Event::Link { identity: get_identity(frame)?, existed }
            }
            UNLINKED => Event::Unlinked(get_errno(frame)?),
            HASHED => {
                let (digest, rest) = frame.split_first_chunk()?;
                *frame = rest;
                Event::Hashed(Digest(*digest))
            }
            DIFFERS => Event::Differs(Difference::get(frame)?),
            TWINS => {
                get_u8(frame)?;
                Event::Twins { source: get_identity(frame)?, target: get_identity(frame)? }
            }
            _ => return None,
        };
        let staged = get_u8(frame)? != 0;
        let operand = get_u32(frame)?;
        let source = get_bytes(frame)?;
        let target = get_bytes(frame)?;
        Some(Report { place: EntryPath { operand, source, target, staged }, event })
    }
}

/// What a frame of that many bytes lacks to whole words.
fn filling(bytes: usize) -> usize {
    bytes.next_multiple_of(WORD_BYTES) - bytes
}

/// Bytes on a pipe that no copier would have written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAFrame;

fn put_fault(into: &mut Vec<u8>, tag: u8, error: EntryError) {
    into.push(tag);
    into.push(error.op as u8);
    put_errno(into, error.errno);
}

/// The flags of [`How`] and [`CopyMethod`] in a byte.
const DIRECTORY: u8 = 1;
const REMOVED: u8 = 2;
const TRAIL: u8 = 4;
const HOLES: u8 = 8;
const ZEROS: u8 = 16;

/// The kinds of [`BackupKind`].
const SIMPLE: u8 = 1;
const NUMBERED: u8 = 2;

fn put_how(into: &mut Vec<u8>, how: Details) {
    let method = how.method.unwrap_or_default();
    let flags = [
        (how.directory, DIRECTORY),
        (how.removed, REMOVED),
        (how.method.is_some(), TRAIL),
        (method.holes, HOLES),
        (method.zeros, ZEROS),
    ];
    into.push(flags.iter().filter(|(is_so, _)| *is_so).map(|(_, flag)| flag).sum());
    into.extend_from_slice(&[method.offload as u8, method.reflink as u8]);
    match how.kept {
        BackupKind::Not => into.push(0),
        BackupKind::Simple => into.push(SIMPLE),
        BackupKind::Numbered(number) => {
            into.push(NUMBERED);
            put_u64(into, number);
        }
    }
}

fn get_how(from: &mut &[u8]) -> Option<Details> {
    let flags = get_u8(from)?;
    let has = |flag| flags & flag != 0;
    let (offload, reflink) = (get_tried(from)?, get_tried(from)?);
    let kept = match get_u8(from)? {
        SIMPLE => BackupKind::Simple,
        NUMBERED => BackupKind::Numbered(get_u64(from)?),
        _ => BackupKind::Not,
    };
    let method = CopyMethod { offload, reflink, holes: has(HOLES), zeros: has(ZEROS) };
    let method = has(TRAIL).then_some(method);
    Some(Details { directory: has(DIRECTORY), removed: has(REMOVED), kept, method })
}

fn get_tried(from: &mut &[u8]) -> Option<Attempt> {
    let tag = get_u8(from)?;
    Attempt::ALL.into_iter().find(|&tried| tried as u8 == tag)
}

fn put_errno(into: &mut Vec<u8>, errno: Errno) {
    into.extend_from_slice(&(errno as i32).to_ne_bytes());
}

fn put_identity(into: &mut Vec<u8>, tag: u8, identity: Identity, flag: bool) {
    into.extend_from_slice(&[tag, u8::from(flag)]);
    put_u64(into, identity.0);
    put_u64(into, identity.1);
}

fn get_fault(from: &mut &[u8]) -> Option<EntryError> {
    let op = Op::from_tag(get_u8(from)?)?;
    Some(EntryError { op, errno: get_errno(from)? })
}

fn get_errno(from: &mut &[u8]) -> Option<Errno> {
    Some(Errno::from_raw(i32::from_ne_bytes(get_u32(from)?.to_ne_bytes())))
}

fn get_identity(from: &mut &[u8]) -> Option<Identity> {
    Some((get_u64(from)?, get_u64(from)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::DIGEST_BYTES;
    use crate::ipc::wire::difference::Aspect;

    fn samples() -> Vec<Report<'static>> {
        let place = EntryPath { operand: 3, source: b"s/x", target: b"t/x", staged: false };
        let error = EntryError { op: Op::KillsCopiers, errno: Errno::EIO };
        let method = CopyMethod {
            offload: Attempt::Unsupported,
            reflink: Attempt::Yes,
            holes: true,
            zeros: false,
        };
        let kept = BackupKind::Numbered(u64::MAX);
        let how = Details { directory: true, removed: true, kept, method: Some(method) };
        let event = [
            Event::Done(Details::default()),
            Event::Done(how),
            Event::Skipped,
            Event::Made,
            Event::Volume,
            Event::Ask { existed: true, bits: 0o4644, writable: false },
            Event::Failed(error),
            Event::Unproven(error),
            Event::Vanished(error),
            Event::Late { new: true },
            Event::Late { new: false },
            Event::Built,
            Event::Leader { identity: (7, u64::MAX), new: true, how },
            Event::Link { identity: (u64::MAX, 7), existed: true },
            Event::Unlinked(Errno::EMLINK),
            Event::Hashed(Digest([0xa5; DIGEST_BYTES])),
            Event::Differs(Difference::Missing(0o100_644)),
            Event::Differs(Difference::Extra(0o40_755)),
            Event::Differs(Difference::Other {
                aspects: Aspect::Attributes.into(),
                wanted: 1,
                found: 2,
            }),
            Event::Twins { source: (1, u64::MAX), target: (2, 3) },
        ];
        event.into_iter().map(|event| Report { place, event }).collect()
    }

    #[test]
    fn frames_arrive_whole_however_the_pipe_cuts_them() {
        let mut sent = Vec::new();
        samples().iter().for_each(|report| report.encode(&mut sent));
        for cut in 1..sent.len() {
            let (mut arrived, mut got) = (Vec::new(), 0);
            for piece in sent.chunks(cut) {
                arrived.extend_from_slice(piece);
                let mut rest = &arrived[..];
                while let Some(report) = Report::decode(&mut rest).expect("a frame") {
                    assert_eq!(report, samples()[got], "cut every {cut} bytes");
                    got += 1;
                }
                let used = arrived.len() - rest.len();
                arrived.drain(..used);
            }
            assert_eq!(got, samples().len());
        }
    }

    #[test]
    fn every_step_survives_the_pipe() {
        for op in Op::ALL {
            assert_eq!(Op::from_tag(op as u8), Some(op));
        }
    }

    #[test]
    fn an_unknown_tag_is_not_a_frame() {
        let mut frame: &[u8] = &[1, 0, 0, 0, 99, 0, 0, 0];
        assert_eq!(Report::decode(&mut frame), Err(NotAFrame));
    }
}
