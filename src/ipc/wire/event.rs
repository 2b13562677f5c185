//! The events that a copier reports to the parent over its pipe: finished entries and failures. Counts do not
//! go through the pipe; they are in shared memory (`counters`).
//!
//! A frame is one encoded report. It consists of its length, a tag, the fields of the event and the path of
//! the entry, and is padded to whole words. Each copier has a separate pipe, so frames of any length arrive
//! complete and in order.

use super::difference::Difference;
use super::extraneous::Extraneous;
use super::fields::{Field, get_bytes, get_u8, get_u32, get_u64, put_bytes, put_u32, put_u64};
use super::itemized::Itemized;
use super::planned::Planned;
use super::task::EntryPath;
use crate::error::{AttributeError, EntryError, Op};
use crate::hash::Digest;
use crate::ipc::memory::outbox::WORD_BYTES;
use pcopy_sys::Errno;
use pcopy_sys::file::Identity;

/// How an entry was copied, for `-v` and `--debug`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Details {
    /// Whether the entry is a directory. In GNU cp compatibility mode the parent reports a directory when it
    /// is created, and not again when it is complete.
    pub directory: bool,
    /// Whether the copier removed an existing destination entry first.
    pub removed: bool,
    /// The kind of backup that the copier made of the existing destination entry.
    pub backup: BackupKind,
    /// How the bytes were copied; `None` if there were no bytes to copy.
    pub method: Option<CopyMethod>,
}

/// Which name the backup of a replaced entry has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum BackupKind {
    /// No backup was made.
    #[default]
    None,
    /// The name of the entry with the suffix.
    Simple,
    /// The name of the entry with this number, as in `NAME.~1~`.
    Numbered(u64),
}

/// How the bytes of a file were copied, in the terms of cp's `--debug`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CopyMethod {
    /// Copy offload: whether the kernel copied the bytes (`copy_file_range`).
    pub offload: Attempt,
    /// Reflink: whether the copy shares its data blocks with the source.
    pub reflink: Attempt,
    /// Whether the copier found holes of the source with `SEEK_HOLE`.
    pub holes: bool,
    /// Whether the copier made holes where it read zeros.
    pub zeros: bool,
}

/// The result of one way to copy.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(u8)]
pub enum Attempt {
    /// The copier did not try this way and had no reason to.
    #[default]
    Unknown,
    /// The options exclude this way.
    No,
    /// This way copied all or part of the file.
    Yes,
    /// The copier preferred another way.
    Avoided,
    /// The file system or the kernel does not support this way.
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
    /// Returns cp's words for copy offload, reflink and sparse detection, in this order.
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

/// Defines [`Event`] and its byte format from one table: for each event its tag, its name and its fields,
/// each of which implements [`Field`]. The compiler refuses a tag that occurs twice.
macro_rules! events {
    ($(
        $(#[$doc:meta])*
        $tag:literal => $event:ident
            $(($value:ident: $value_type:ty))?
            $({ $($(#[$field_doc:meta])* $field:ident: $type:ty,)+ })?,
    )+) => {
        /// What a report says about an entry.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Event {
            $(
                $(#[$doc])*
                $event $(($value_type))? $({ $($(#[$field_doc])* $field: $type,)+ })?,
            )+
        }

        impl Event {
            /// The tags of all events.
            #[cfg(test)]
            const TAGS: &[u8] = &[$($tag),+];

            fn put(&self, into: &mut Vec<u8>) {
                match self {
                    $(
                        Self::$event $(($value))? $({ $($field,)+ })? => {
                            into.push($tag);
                            $($value.put(into);)?
                            $($($field.put(into);)+)?
                        }
                    )+
                }
            }

            fn get(from: &mut &[u8]) -> Option<Self> {
                match get_u8(from)? {
                    $(
                        $tag => Some(Self::$event
                            $((<$value_type>::get(from)?))?
                            $({ $($field: <$type>::get(from)?,)+ })?
                        ),
                    )+
                    _ => None,
                }
            }
        }
    };
}

events! {
    /// The entry is complete.
    1 => Done(details: Details),
    /// The copier skipped the entry, because the existing destination entry is up to date or the options
    /// preserve it. Sent only with `--debug`.
    2 => Skipped,
    /// The copier created this directory under its final name, and has not copied its contents yet.
    3 => DirectoryCreated,
    /// This directory is on another file system than its operand.
    4 => OtherFileSystem,
    /// The user must be asked whether the existing destination entry may be replaced.
    5 => Prompt {
        /// Whether the target directory existed before the current round.
        existed: bool,
        /// The permission bits of the existing destination entry.
        mode: u32,
        /// Whether the user may write to the existing destination entry.
        writable: bool,
    },
    /// An entry of another type is in the way, which has been reported as extraneous. The entry is copied after that is
    /// removed.
    21 => HeldBack {
        /// Whether the target directory existed before the current round.
        existed: bool,
    },
    /// The entry is counted already, or only the target has it, and it failed later: `--verify` found that the copy
    /// differs or cannot be read, or what is extraneous cannot be removed.
    6 => FailedLate(error: EntryError),
    /// The entry was not copied.
    7 => Failed(error: EntryError),
    /// The source entry no longer existed when it was to be copied, or it changed while it was read.
    8 => Vanished(error: EntryError),
    /// All entries of this directory are copied. The parent must set its times and mode after all copiers
    /// have exited.
    9 => AttributesDeferred {
        /// Whether this run created the directory.
        new: bool,
    },
    /// This directory was built under a staged name. The parent must rename it into place after all copiers
    /// have exited.
    10 => PublishDeferred,
    /// The entry is complete, and its source has further names, which can become hard links to the entry.
    11 => Leader {
        /// The inode of the source.
        identity: Identity,
        /// Whether this run created the entry; otherwise the entry was up to date.
        new: bool,
        /// How the entry was copied.
        details: Details,
    },
    /// The entry must become a hard link to another name of its inode, after everything else is copied.
    12 => LinkDeferred {
        /// The inode of the source.
        identity: Identity,
        /// Whether the target directory existed before the current round.
        existed: bool,
    },
    /// The entry could not become a hard link, so the copier copied it as a separate file.
    13 => LinkFailed(errno: Errno),
    /// The entry is a file in the copy, and this is its digest.
    14 => Digest(digest: Digest),
    /// The entry of the copy differs from the source, in a comparison.
    15 => Difference(difference: Difference),
    /// The entry has several names in the source, in the target, or in both, in a comparison.
    16 => HardLinked {
        /// The inode of the entry in the source.
        source: Identity,
        /// The inode of the entry in the target.
        target: Identity,
    },
    /// The entry is complete, but lacks an attribute. Another event says how the entry itself ended.
    17 => AttributeFailed(error: AttributeError),
    /// What is changed of the entry. Another event says how the entry itself ended. Sent only with
    /// `--itemize-changes`.
    18 => Itemized(item: Itemized),
    /// The entry of the target is extraneous, and is to be removed (`--delete`).
    19 => Extraneous(extraneous: Extraneous),
    /// What a run would do with the entry, for a plan. Sent only with `--plan`.
    22 => Planned(planned: Planned),
    /// The entry of the target was removed. Sent only if removed entries are printed.
    20 => Removed {
        /// Whether it was a directory.
        directory: bool,
    },
}

impl Event {
    /// Whether this event settles the entry in progress (see `outbox`).
    pub(crate) fn settles_entry(&self) -> bool {
        matches!(
            self,
            Self::Done(_)
                | Self::AttributesDeferred { .. }
                | Self::Leader { .. }
                | Self::DirectoryCreated
        )
    }
}

/// A report: an event, and the place of the entry that the event is about. The entry may be of any type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Report<'a> {
    /// The entry.
    pub place: EntryPath<'a>,
    /// What happened to the entry.
    pub event: Event,
}

impl<'a> Report<'a> {
    /// Appends the report, as a frame, to `into`.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        let start = into.len();
        put_u32(into, 0);
        self.event.put(into);
        into.push(u8::from(self.place.staged));
        put_u32(into, self.place.operand);
        put_bytes(into, self.place.source);
        put_bytes(into, self.place.target);
        let length = u32::try_from(into.len() - start - 4).unwrap_or(u32::MAX);
        into[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        into.resize(into.len() + padding(into.len() - start), 0);
    }

    /// Takes the next frame off the front of `from`.
    ///
    /// Returns `Ok(None)` if the frame has not arrived completely, and `Err(NotAFrame)` if the bytes cannot
    /// be a frame.
    pub(crate) fn decode(from: &mut &'a [u8]) -> Result<Option<Self>, NotAFrame> {
        let mut rest = *from;
        let Some(mut frame) = get_bytes(&mut rest) else { return Ok(None) };
        let Some(rest) = rest.get(padding(4 + frame.len())..) else { return Ok(None) };
        let report = Self::decode_frame(&mut frame).ok_or(NotAFrame)?;
        *from = rest;
        Ok(Some(report))
    }

    fn decode_frame(frame: &mut &'a [u8]) -> Option<Self> {
        let event = Event::get(frame)?;
        let staged = get_u8(frame)? != 0;
        let operand = get_u32(frame)?;
        let source = get_bytes(frame)?;
        let target = get_bytes(frame)?;
        Some(Report { place: EntryPath { operand, source, target, staged }, event })
    }
}

/// Returns how many bytes must follow `bytes` bytes of a frame to fill whole words.
fn padding(bytes: usize) -> usize {
    bytes.next_multiple_of(WORD_BYTES) - bytes
}

/// The error for bytes on a pipe that no copier would write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NotAFrame;

/// The flags of [`Details`] and [`CopyMethod`] in one byte.
const DIRECTORY: u8 = 1;
const REMOVED: u8 = 2;
const METHOD: u8 = 4;
const HOLES: u8 = 8;
const ZEROS: u8 = 16;

/// The tags of [`BackupKind`]; any other tag means that there is no backup.
const SIMPLE: u8 = 1;
const NUMBERED: u8 = 2;

impl Field for Details {
    fn put(&self, into: &mut Vec<u8>) {
        let method = self.method.unwrap_or_default();
        let flags = [
            (self.directory, DIRECTORY),
            (self.removed, REMOVED),
            (self.method.is_some(), METHOD),
            (method.holes, HOLES),
            (method.zeros, ZEROS),
        ];
        into.push(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum());
        into.extend_from_slice(&[method.offload as u8, method.reflink as u8]);
        match self.backup {
            BackupKind::None => into.push(0),
            BackupKind::Simple => into.push(SIMPLE),
            BackupKind::Numbered(number) => {
                into.push(NUMBERED);
                put_u64(into, number);
            }
        }
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        let flags = get_u8(from)?;
        let has = |flag| flags & flag != 0;
        let (offload, reflink) = (get_attempt(from)?, get_attempt(from)?);
        let backup = match get_u8(from)? {
            SIMPLE => BackupKind::Simple,
            NUMBERED => BackupKind::Numbered(get_u64(from)?),
            _ => BackupKind::None,
        };
        let method = CopyMethod { offload, reflink, holes: has(HOLES), zeros: has(ZEROS) };
        let method = has(METHOD).then_some(method);
        Some(Self { directory: has(DIRECTORY), removed: has(REMOVED), backup, method })
    }
}

fn get_attempt(from: &mut &[u8]) -> Option<Attempt> {
    let tag = get_u8(from)?;
    Attempt::ALL.into_iter().find(|&attempt| attempt as u8 == tag)
}

impl Field for AttributeError {
    fn put(&self, into: &mut Vec<u8>) {
        self.error.put(into);
        self.required.put(into);
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        Some(Self { error: EntryError::get(from)?, required: bool::get(from)? })
    }
}

impl Field for EntryError {
    fn put(&self, into: &mut Vec<u8>) {
        into.push(self.op as u8);
        self.errno.put(into);
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        let op = Op::from_tag(get_u8(from)?)?;
        Some(Self { op, errno: Errno::get(from)? })
    }
}

impl Field for Digest {
    fn put(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.0);
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        let (digest, rest) = from.split_first_chunk()?;
        *from = rest;
        Some(Self(*digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::DIGEST_BYTES;
    use crate::ipc::wire::difference::Property;
    use crate::ipc::wire::extraneous::ExtraneousDir;
    use crate::ipc::wire::itemized::{self, Act, Type};
    use crate::plan_file::{Change, Seen};
    use pcopy_sys::file::Stamp;
    use std::collections::BTreeSet;

    fn samples() -> Vec<Report<'static>> {
        let place = EntryPath { operand: 3, source: b"s/x", target: b"t/x", staged: false };
        let error = EntryError { op: Op::KillsCopiers, errno: Errno::EIO };
        let method = CopyMethod {
            offload: Attempt::Unsupported,
            reflink: Attempt::Yes,
            holes: true,
            zeros: false,
        };
        let backup = BackupKind::Numbered(u64::MAX);
        let details = Details { directory: true, removed: true, backup, method: Some(method) };
        let mut item = Itemized::created(Act::Attributes, Type::Special);
        item.add_if(true, itemized::Change::Xattrs);
        let dir = ExtraneousDir {
            identity: (u64::MAX, 1),
            entries: u64::MAX,
            is_removed: true,
            is_uppermost: false,
            is_in_source_dir: true,
            has_dirs: true,
        };
        let seen = Seen {
            mode: 0o100_644,
            identity: (1, u64::MAX),
            links: 2,
            user: u32::MAX,
            group: 3,
            size: u64::MAX,
            modified: Stamp { seconds: i64::MIN, nanoseconds: 1 },
            changed: Stamp { seconds: i64::MAX, nanoseconds: 999_999_999 },
        };
        let planned = Planned {
            change: Change::Link,
            link_operand: Some(u32::MAX),
            source: Some(seen),
            target: Some(seen),
        };
        let event = [
            Event::Done(Details::default()),
            Event::Done(details),
            Event::Skipped,
            Event::DirectoryCreated,
            Event::OtherFileSystem,
            Event::Prompt { existed: true, mode: 0o4644, writable: false },
            Event::HeldBack { existed: true },
            Event::Failed(error),
            Event::FailedLate(error),
            Event::Vanished(error),
            Event::AttributesDeferred { new: true },
            Event::AttributesDeferred { new: false },
            Event::PublishDeferred,
            Event::Leader { identity: (7, u64::MAX), new: true, details },
            Event::LinkDeferred { identity: (u64::MAX, 7), existed: true },
            Event::LinkFailed(Errno::EMLINK),
            Event::Digest(Digest([0xa5; DIGEST_BYTES])),
            Event::Difference(Difference::Missing(0o100_644)),
            Event::Difference(Difference::Extraneous(0o40_755)),
            Event::Difference(Difference::Changed {
                properties: Property::Xattrs.into(),
                wanted: 1,
                found: 2,
            }),
            Event::HardLinked { source: (1, u64::MAX), target: (2, 3) },
            Event::AttributeFailed(AttributeError { error, required: true }),
            Event::Itemized(item),
            Event::Extraneous(Extraneous::Entry { dir: (1, u64::MAX) }),
            Event::Extraneous(Extraneous::Directory(dir)),
            Event::Removed { directory: true },
            Event::Planned(planned),
            Event::Planned(Planned { link_operand: None, source: None, target: None, ..planned }),
        ];
        event.into_iter().map(|event| Report { place, event }).collect()
    }

    #[test]
    fn every_event_has_a_sample() {
        let tag = |report: &Report<'_>| {
            let mut packed = Vec::new();
            report.event.put(&mut packed);
            packed[0]
        };
        let tags: BTreeSet<u8> = samples().iter().map(tag).collect();
        assert_eq!(tags, Event::TAGS.iter().copied().collect());
    }

    #[test]
    fn frames_are_read_whole_wherever_the_pipe_splits_them() {
        let mut sent = Vec::new();
        samples().iter().for_each(|report| report.encode(&mut sent));
        for cut in 1..sent.len() {
            let (mut received, mut count) = (Vec::new(), 0);
            for part in sent.chunks(cut) {
                received.extend_from_slice(part);
                let mut rest = &received[..];
                while let Some(report) = Report::decode(&mut rest).expect("a frame") {
                    assert_eq!(report, samples()[count], "split every {cut} bytes");
                    count += 1;
                }
                let used = received.len() - rest.len();
                received.drain(..used);
            }
            assert_eq!(count, samples().len());
        }
    }

    #[test]
    fn every_op_survives_the_pipe() {
        for op in Op::ALL {
            assert_eq!(Op::from_tag(*op as u8), Some(*op));
        }
    }

    #[test]
    fn an_unknown_tag_is_not_a_frame() {
        let mut frame: &[u8] = &[1, 0, 0, 0, 99, 0, 0, 0];
        assert_eq!(Report::decode(&mut frame), Err(NotAFrame));
    }
}
