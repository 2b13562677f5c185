//! What a copier says over its pipe: names and failures, never numbers (those are in `counters`).
//!
//! A frame is its length, a tag and the fields, filled up to whole words. One copier writes to one
//! pipe, so frames of any length arrive whole and in order.

use super::difference::Difference;
use super::outbox::WORD_BYTES;
use super::task::Place;
use super::wire::{get_bytes, get_u8, get_u32, get_u64, put_bytes, put_u32, put_u64};
use crate::hash::Digest;
use crate::sys::Errno;
use crate::sys::file::Identity;
use std::hash::{Hash, Hasher};

/// What a copier was doing when an entry failed; decides the wording of the message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Step {
    /// Opening a source file.
    OpenSource = 1,
    /// Opening or listing a source directory.
    ReadDirectory,
    /// Asking what a source entry is.
    Stat,
    /// Reading a source file or symlink.
    Read,
    /// Making a file, symlink, FIFO, socket or device.
    Create,
    /// Making a directory.
    CreateDirectory,
    /// Opening a target directory, or making it ready for use.
    OpenTarget,
    /// Writing file data.
    Write,
    /// Setting times.
    SetTimes,
    /// Setting permission bits.
    SetPermissions,
    /// Giving an entry to the source's owner and group.
    SetOwner,
    /// Setting an access list.
    SetAccessList,
    /// Listing the source's extended attributes.
    ReadAttributes,
    /// Setting extended attributes.
    SetAttributes,
    /// Closing the target, where a network disk tells late errors.
    Close,
    /// Giving the finished entry its final name.
    Publish,
    /// Making a link to another name of the same file.
    Link,
    /// The source was another when it had been read than before.
    Changed,
    /// A directory that is being copied into itself.
    IntoItself,
    /// The source is a symlink to what it would replace.
    SameFile,
    /// Keeping the old entry under another name.
    Backup,
    /// That name is the source's.
    BackupIsSource,
    /// This run has made it, from another source of that name.
    JustCreated,
    /// Following a symlink.
    Follow,
    /// The symlink leads to a directory that it is in.
    Cycle,
    /// It stands in the target, and the user wants to be told.
    NotReplaced,
    /// Copiers died on it, again and again.
    KillsCopiers,
    /// Making the target share the source's bytes.
    Clone,
    /// Reading what a symlink says.
    ReadSymlink,
    /// Asking what stands in the target.
    LookAtTarget,
    /// Making a symlink like the source's.
    CreateSymlink,
    /// Making a FIFO.
    CreateFifo,
    /// Making a socket or a device.
    CreateNode,
    /// Making a symlink to the source.
    SymlinkTo,
    /// Making a hard link to the source.
    HardLinkTo,
    /// A directory that was copied already, because the user named it, too.
    DirectoryAgain,
    /// A directory would have to take the place of something else.
    DirectoryOverFile,
    /// Something else would have to take the place of a directory.
    FileOverDirectory,
    /// Removing what stands in the target.
    Remove,
    /// It would be written through a symlink that this run has made.
    ThroughJustCreated,
    /// It would be written through a symlink that leads nowhere.
    Dangling,
    /// A relative symlink to the source would lead nowhere from there.
    Elsewhere,
    /// Having the disk take what was written.
    Sync,
    /// What was read back from the disk is not what was written.
    Verify,
    /// Reading a file that is complete in the target.
    ReadBack,
    /// A name of a manifest leads through a symlink.
    ThroughSymlink,
}

impl Step {
    const ALL: [Step; 46] = [
        Step::OpenSource,
        Step::ReadDirectory,
        Step::Stat,
        Step::Read,
        Step::Create,
        Step::CreateDirectory,
        Step::OpenTarget,
        Step::Write,
        Step::SetTimes,
        Step::SetPermissions,
        Step::SetOwner,
        Step::SetAccessList,
        Step::ReadAttributes,
        Step::SetAttributes,
        Step::Close,
        Step::Publish,
        Step::Link,
        Step::Changed,
        Step::IntoItself,
        Step::SameFile,
        Step::Backup,
        Step::BackupIsSource,
        Step::JustCreated,
        Step::Follow,
        Step::Cycle,
        Step::NotReplaced,
        Step::KillsCopiers,
        Step::Clone,
        Step::ReadSymlink,
        Step::LookAtTarget,
        Step::CreateSymlink,
        Step::CreateFifo,
        Step::CreateNode,
        Step::SymlinkTo,
        Step::HardLinkTo,
        Step::DirectoryAgain,
        Step::DirectoryOverFile,
        Step::FileOverDirectory,
        Step::Remove,
        Step::ThroughJustCreated,
        Step::Dangling,
        Step::Elsewhere,
        Step::Sync,
        Step::Verify,
        Step::ReadBack,
        Step::ThroughSymlink,
    ];

    fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&step| step as u8 == tag)
    }

    /// For `map_err`: the fault of this step.
    pub fn fault(self) -> impl Fn(Errno) -> Fault {
        move |errno| Fault { step: self, errno }
    }

    /// Whether this is no failure of ours: the source entry is gone, or became another.
    pub fn means_vanished(self, errno: Errno) -> bool {
        match self {
            Step::OpenSource
            | Step::Stat
            | Step::Read
            | Step::ReadDirectory
            | Step::ReadSymlink => errno == Errno::ENOENT,
            Step::Changed => true,
            _ => false,
        }
    }

    /// Whether the entry is whole in spite of it, and lacks only what this step would have given.
    pub fn leaves_it_whole(self) -> bool {
        matches!(self, Step::SetOwner | Step::SetAccessList | Step::SetAttributes)
    }

    /// Whether the step concerns the source; the message then names the source.
    pub fn concerns_source(self) -> bool {
        use Step::{
            Changed, Cycle, Follow, IntoItself, KillsCopiers, OpenSource, Read, ReadAttributes,
            ReadDirectory, ReadSymlink, Stat,
        };
        matches!(
            self,
            OpenSource
                | ReadDirectory
                | Stat
                | Read
                | ReadAttributes
                | ReadSymlink
                | Follow
                | Cycle
                | Changed
                | IntoItself
                | KillsCopiers
        )
    }
}

/// Why one entry was not copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What was being done.
    pub step: Step,
    /// What the kernel said.
    pub errno: Errno,
}

impl Hash for Fault {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.step, self.errno as i32).hash(state);
    }
}

/// How an entry came to be, for those who want it told (`-v`, `--debug`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct How {
    /// Whether it is a directory, which the manner of cp has told when it was made.
    pub directory: bool,
    /// Whether what stood there was removed.
    pub removed: bool,
    /// How what stood there was kept.
    pub kept: Kept,
    /// How its bytes were copied, if they were.
    pub trail: Option<Trail>,
}

/// The name that was given to what was replaced.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Kept {
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
pub struct Trail {
    /// Whether the kernel has copied them (`copy_file_range`).
    pub offload: Tried,
    /// Whether they are shared with the source.
    pub reflink: Tried,
    /// Whether the source was asked for its holes.
    pub holes: bool,
    /// Whether zeros were looked for.
    pub zeros: bool,
}

/// What became of one way to copy.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(u8)]
pub enum Tried {
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

impl Tried {
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

impl Trail {
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
pub enum News {
    /// The entry is complete.
    Done(How),
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
    Unproven(Fault),
    /// The entry was not copied.
    Failed(Fault),
    /// The source entry was gone when its turn came, or changed while it was read.
    Vanished(Fault),
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
        how: How,
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
    pub place: Place<'a>,
    /// What of it.
    pub news: News,
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
        match self.news {
            News::Done(how) => {
                into.push(DONE);
                put_how(into, how);
            }
            News::Skipped => into.push(SKIPPED),
            News::Made => into.push(MADE),
            News::Volume => into.push(VOLUME),
            News::Ask { existed, bits, writable } => {
                into.extend_from_slice(&[ASK, u8::from(existed), u8::from(writable)]);
                put_u32(into, bits);
            }
            News::Failed(fault) => put_fault(into, FAILED, fault),
            News::Unproven(fault) => put_fault(into, UNPROVEN, fault),
            News::Vanished(fault) => put_fault(into, VANISHED, fault),
            News::Late { new } => into.extend_from_slice(&[LATE, u8::from(new)]),
            News::Built => into.push(BUILT),
            News::Leader { identity, new, how } => {
                put_identity(into, LEADER, identity, new);
                put_how(into, how);
            }
            News::Link { identity, existed } => put_identity(into, LINK, identity, existed),
            News::Unlinked(errno) => {
                into.push(UNLINKED);
                put_errno(into, errno);
            }
            News::Hashed(digest) => {
                into.push(HASHED);
                into.extend_from_slice(&digest.0);
            }
            News::Differs(difference) => {
                into.push(DIFFERS);
                difference.put(into);
            }
            News::Twins { source, target } => {
                put_identity(into, TWINS, source, false);
                put_u64(into, target.0);
                put_u64(into, target.1);
            }
        }
        into.push(u8::from(self.place.staged));
        put_u32(into, self.place.entry);
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
        let news = match get_u8(frame)? {
            DONE => News::Done(get_how(frame)?),
            SKIPPED => News::Skipped,
            MADE => News::Made,
            VOLUME => News::Volume,
            ASK => {
                let (existed, writable) = (get_u8(frame)? != 0, get_u8(frame)? != 0);
                News::Ask { existed, bits: get_u32(frame)?, writable }
            }
            FAILED => News::Failed(get_fault(frame)?),
            UNPROVEN => News::Unproven(get_fault(frame)?),
            VANISHED => News::Vanished(get_fault(frame)?),
            LATE => News::Late { new: get_u8(frame)? != 0 },
            BUILT => News::Built,
            LEADER => {
                let new = get_u8(frame)? != 0;
                let identity = get_identity(frame)?;
                News::Leader { identity, new, how: get_how(frame)? }
            }
            LINK => {
                let existed = get_u8(frame)? != 0;
                News::Link { identity: get_identity(frame)?, existed }
            }
            UNLINKED => News::Unlinked(get_errno(frame)?),
            HASHED => {
                let (digest, rest) = frame.split_first_chunk()?;
                *frame = rest;
                News::Hashed(Digest(*digest))
            }
            DIFFERS => News::Differs(Difference::get(frame)?),
            TWINS => {
                get_u8(frame)?;
                News::Twins { source: get_identity(frame)?, target: get_identity(frame)? }
            }
            _ => return None,
        };
        let staged = get_u8(frame)? != 0;
        let entry = get_u32(frame)?;
        let source = get_bytes(frame)?;
        let target = get_bytes(frame)?;
        Some(Report { place: Place { entry, source, target, staged }, news })
    }
}

/// What a frame of that many bytes lacks to whole words.
fn filling(bytes: usize) -> usize {
    bytes.next_multiple_of(WORD_BYTES) - bytes
}

/// Bytes on a pipe that no copier would have written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAFrame;

fn put_fault(into: &mut Vec<u8>, tag: u8, fault: Fault) {
    into.push(tag);
    into.push(fault.step as u8);
    put_errno(into, fault.errno);
}

/// The flags of [`How`] and [`Trail`] in a byte.
const DIRECTORY: u8 = 1;
const REMOVED: u8 = 2;
const TRAIL: u8 = 4;
const HOLES: u8 = 8;
const ZEROS: u8 = 16;

/// The kinds of [`Kept`].
const SIMPLE: u8 = 1;
const NUMBERED: u8 = 2;

fn put_how(into: &mut Vec<u8>, how: How) {
    let trail = how.trail.unwrap_or_default();
    let flags = [
        (how.directory, DIRECTORY),
        (how.removed, REMOVED),
        (how.trail.is_some(), TRAIL),
        (trail.holes, HOLES),
        (trail.zeros, ZEROS),
    ];
    into.push(flags.iter().filter(|(is_so, _)| *is_so).map(|(_, flag)| flag).sum());
    into.extend_from_slice(&[trail.offload as u8, trail.reflink as u8]);
    match how.kept {
        Kept::Not => into.push(0),
        Kept::Simple => into.push(SIMPLE),
        Kept::Numbered(number) => {
            into.push(NUMBERED);
            put_u64(into, number);
        }
    }
}

fn get_how(from: &mut &[u8]) -> Option<How> {
    let flags = get_u8(from)?;
    let has = |flag| flags & flag != 0;
    let (offload, reflink) = (get_tried(from)?, get_tried(from)?);
    let kept = match get_u8(from)? {
        SIMPLE => Kept::Simple,
        NUMBERED => Kept::Numbered(get_u64(from)?),
        _ => Kept::Not,
    };
    let trail = Trail { offload, reflink, holes: has(HOLES), zeros: has(ZEROS) };
    let trail = has(TRAIL).then_some(trail);
    Some(How { directory: has(DIRECTORY), removed: has(REMOVED), kept, trail })
}

fn get_tried(from: &mut &[u8]) -> Option<Tried> {
    let tag = get_u8(from)?;
    Tried::ALL.into_iter().find(|&tried| tried as u8 == tag)
}

fn put_errno(into: &mut Vec<u8>, errno: Errno) {
    into.extend_from_slice(&(errno as i32).to_ne_bytes());
}

fn put_identity(into: &mut Vec<u8>, tag: u8, identity: Identity, flag: bool) {
    into.extend_from_slice(&[tag, u8::from(flag)]);
    put_u64(into, identity.0);
    put_u64(into, identity.1);
}

fn get_fault(from: &mut &[u8]) -> Option<Fault> {
    let step = Step::from_tag(get_u8(from)?)?;
    Some(Fault { step, errno: get_errno(from)? })
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
    use crate::ipc::difference::Aspect;

    fn samples() -> Vec<Report<'static>> {
        let place = Place { entry: 3, source: b"s/x", target: b"t/x", staged: false };
        let fault = Fault { step: Step::KillsCopiers, errno: Errno::EIO };
        let trail =
            Trail { offload: Tried::Unsupported, reflink: Tried::Yes, holes: true, zeros: false };
        let kept = Kept::Numbered(u64::MAX);
        let how = How { directory: true, removed: true, kept, trail: Some(trail) };
        let news = [
            News::Done(How::default()),
            News::Done(how),
            News::Skipped,
            News::Made,
            News::Volume,
            News::Ask { existed: true, bits: 0o4644, writable: false },
            News::Failed(fault),
            News::Unproven(fault),
            News::Vanished(fault),
            News::Late { new: true },
            News::Late { new: false },
            News::Built,
            News::Leader { identity: (7, u64::MAX), new: true, how },
            News::Link { identity: (u64::MAX, 7), existed: true },
            News::Unlinked(Errno::EMLINK),
            News::Hashed(Digest([0xa5; DIGEST_BYTES])),
            News::Differs(Difference::Missing(0o100_644)),
            News::Differs(Difference::Extra(0o40_755)),
            News::Differs(Difference::Other {
                aspects: Aspect::Attributes.into(),
                wanted: 1,
                found: 2,
            }),
            News::Twins { source: (1, u64::MAX), target: (2, 3) },
        ];
        news.into_iter().map(|news| Report { place, news }).collect()
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
        for step in Step::ALL {
            assert_eq!(Step::from_tag(step as u8), Some(step));
        }
    }

    #[test]
    fn an_unknown_tag_is_not_a_frame() {
        let mut frame: &[u8] = &[1, 0, 0, 0, 99, 0, 0, 0];
        assert_eq!(Report::decode(&mut frame), Err(NotAFrame));
    }
}
