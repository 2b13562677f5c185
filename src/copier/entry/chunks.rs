//! A large file as the work of several copiers.
//!
//! Its owner takes pieces of it, one after the other, and invites others for as long as somebody is
//! hungry; they do the same. So a file that is met last is not left to one, and one that is met
//! while all have enough to do is its owner's alone. Pieces are copied, hashed, both, or compared.

use crate::copier::Job;
use crate::copier::context::Context;
use crate::error::{EntryError, Op};
use crate::hash::{Digest, PieceHasher};
use crate::ipc::memory::counters::StatusSlot;
use crate::ipc::memory::large_files::{Large, PIECE_BYTES};
use crate::ipc::wire::task::{EntryPath, Invitation, Share, Task};
use pcopy_sys::file::{self, Identity};
use pcopy_sys::turns::Turn;
use pcopy_sys::{Errno, bytes};
use std::ffi::CStr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// From which size on a file may be the work of several, in bytes.
pub(in crate::copier) const LARGE_BYTES: u64 = 4 * PIECE_BYTES;

/// What an owner needs to be helped.
pub(in crate::copier) struct Team<'a> {
    job: &'a Job<'a>,
    pub(in crate::copier) large: Large<'a>,
    invitation: Invitation<'a>,
    message: Vec<u8>,
    invited: u64,
}

impl<'a> Team<'a> {
    /// For a file of copier `owner` that is large, and where others find it.
    ///
    /// The names are those in the source and, at present, in the target.
    pub(in crate::copier) fn new(
        cx: Context<'a>,
        place: EntryPath<'a>,
        (name, made): (&'a CStr, &'a CStr),
        share: Share,
    ) -> Option<Self> {
        let (job, owner) = (cx.job, cx.number);
        let large = job.larges.get(owner).filter(|_| job.plan.jobs > 1)?;
        let generation = 0; // not begun
        let invitation = Invitation { place, name, made, owner, generation, share };
        Some(Self { job, large, invitation, message: Vec::new(), invited: 0 })
    }

    /// Begins a file of that many bytes.
    pub(in crate::copier) fn begin(&mut self, size: u64) {
        self.invitation.generation = self.large.begin(size, self.invitation.share);
    }

    /// Ends it; says how many bytes are sure to be done, and the digest of all if all have one.
    pub(in crate::copier) fn end(&self, size: u64) -> (u64, Option<Digest>) {
        let sure = self.large.end();
        (sure, self.large.digest(self.invitation.generation, size).filter(|_| sure == size))
    }

    /// The next piece, and first an invitation if a copier is hungry and there are pieces enough for all.
    pub(in crate::copier) fn next_piece(&mut self) -> Option<Range<u64>> {
        while self.job.is_hungry() && self.large.pieces_left() > 2 * (self.invited + 1) {
            let status = self.job.counters.status(self.invitation.owner);
            if !self.job.give(status, &Task::Range(self.invitation), &mut self.message) {
                break;
            }
            self.invited += 1;
        }
        self.large.next_piece()
    }

    /// What the owner itself does with each piece.
    pub(in crate::copier) fn work<'w>(&self, from: BorrowedFd<'w>, act: ChunkAction<'w>) -> Work<'w>
    where
        'a: 'w,
    {
        let status = self.job.counters.status(self.invitation.owner);
        Work { large: self.large, generation: self.invitation.generation, status, from, act }
    }

    /// Hashes the source that was cloned, where the file was to be copied.
    pub(in crate::copier) fn hash_source(
        mut self,
        source: BorrowedFd<'_>,
        size: u64,
        buffer: &mut [u8],
        seen: impl FnMut(u64),
    ) -> Option<Digest> {
        if let Share::Copy(source, _) = self.invitation.share {
            self.invitation.share = Share::HashSource(source);
        }
        self.hash(source, size, buffer, seen)
    }

    /// Hashes a file of that many bytes with the help of whoever has nothing to do; `None` if it must be
    /// hashed by this copier alone. `seen` learns how much has been read of it by all.
    pub(in crate::copier) fn hash(
        mut self,
        file: BorrowedFd<'_>,
        size: u64,
        buffer: &mut [u8],
        mut seen: impl FnMut(u64),
    ) -> Option<Digest> {
        self.begin(size);
        let work = self.work(file, ChunkAction::Hash);
        self.read(&work, (buffer, &mut []), &mut seen);
        let (_, digest) = self.end(size);
        digest.filter(|_| ends_at(file, size))
    }

    /// Compares two files of that many bytes in the same way; `None` if it must be done by this copier alone.
    pub(in crate::copier) fn compare(
        mut self,
        (source, target): (BorrowedFd<'_>, BorrowedFd<'_>),
        size: u64,
        (ours, theirs): Buffers<'_>,
        mut seen: impl FnMut(u64),
    ) -> Option<bool> {
        self.begin(size);
        let work = self.work(source, ChunkAction::Compare(target));
        let differs = self.read(&work, (ours, theirs), &mut seen);
        let (sure, _) = self.end(size);
        if sure == size {
            return (ends_at(source, size) && ends_at(target, size)).then_some(true);
        }
        // What a helper has seen must be seen here: only its hint came through shared memory.
        let has_seen =
            |piece| matches!(work.piece(piece, (ours, theirs), &mut seen), Ok(Piece::Differs));
        (differs || self.large.different(size).is_some_and(has_seen)).then_some(false)
    }

    /// Does pieces until there are none left; says whether one of them differs.
    fn read(&mut self, work: &Work<'_>, (ours, theirs): Buffers<'_>, seen: Seen<'_>) -> bool {
        while let Some(piece) = self.next_piece() {
            let bytes = piece.end - piece.start;
            match work.piece(piece, (ours, theirs), seen) {
                Ok(Piece::Done) => self.large.add_sure(bytes),
                Ok(Piece::Differs) => {
                    self.large.give_up();
                    return true;
                }
                Ok(Piece::Short) | Err(_) => self.large.give_up(),
            }
        }
        false
    }
}

/// Whether there is nothing behind that many bytes. Who goes through a file alone reads on, should it have
/// grown.
fn ends_at(file: BorrowedFd<'_>, size: u64) -> bool {
    bytes::read_at(file, &mut [0], size) == Ok(0)
}

/// Learns how many bytes of a file are done by all together.
pub(in crate::copier) type Seen<'s> = &'s mut dyn FnMut(u64);

/// What became of a piece.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::copier) enum Piece {
    Done,
    /// The file ends before it, or all is to be dropped.
    Short,
    /// It is not the same in both files.
    Differs,
}

/// One buffer for what is read, and one as large for what it is compared with.
pub(in crate::copier) type Buffers<'b> = (&'b mut [u8], &'b mut [u8]);

/// What is done with what is read of a piece. It is hashed wherever [pieces are](Large::is_hashed).
#[derive(Clone, Copy)]
pub(in crate::copier) enum ChunkAction<'a> {
    Copy(BorrowedFd<'a>),
    Compare(BorrowedFd<'a>),
    Hash,
}

/// What one copier, owner or helper, has at hand for the pieces of a file.
pub(in crate::copier) struct Work<'a> {
    large: Large<'a>,
    generation: u64,
    status: StatusSlot<'a>,
    from: BorrowedFd<'a>,
    act: ChunkAction<'a>,
}

impl Work<'_> {
    /// Has the kernel copy a piece; false, and nothing counted, if it did not copy all of it.
    pub(in crate::copier) fn offload(&self, piece: Range<u64>) -> bool {
        let ChunkAction::Copy(to) = self.act else { return false };
        let mut at = piece.start;
        while at < piece.end {
            let left = usize::try_from(piece.end - at).unwrap_or(usize::MAX);
            match bytes::copy_range_at(self.from, to, at, left) {
                Ok(0) | Err(_) => return false,
                Ok(copied) => at += copied.min(left) as u64,
            }
        }
        self.large.add_arrived(piece.end - piece.start);
        true
    }

    /// Does a piece through the buffer.
    pub(in crate::copier) fn piece(
        &self,
        piece: Range<u64>,
        (buffer, other): Buffers<'_>,
        seen: Seen<'_>,
    ) -> Result<Piece, EntryError> {
        let mut hash = self.large.is_hashed().then(|| PieceHasher::new(piece.start));
        let mut at = piece.start;
        while at < piece.end {
            if self.status.is_abandoned() {
                return Ok(Piece::Short);
            }
            let length =
                usize::try_from(piece.end - at).map_or(buffer.len(), |n| n.min(buffer.len()));
            let read =
                bytes::read_at(self.from, &mut buffer[..length], at).map_err(Op::Read.error())?;
            if read == 0 {
                return Ok(Piece::Short);
            }
            let bytes = &buffer[..read];
            if let Some(hash) = &mut hash {
                hash.update(bytes);
            }
            match self.act {
                ChunkAction::Hash => {}
                ChunkAction::Copy(to) => {
                    bytes::write_all_at(to, bytes, at).map_err(Op::Write.error())?;
                }
                ChunkAction::Compare(with) => {
                    if !has_at(with, bytes, at, other).map_err(Op::ReadBack.error())? {
                        self.large.note_difference(&piece);
                        return Ok(Piece::Differs);
                    }
                }
            }
            at += read as u64;
            self.large.add_arrived(read as u64);
            seen(self.large.arrived());
        }
        if let Some(digest) = hash.and_then(|hash| hash.finalize()) {
            self.large.put_digest(self.generation, &piece, digest);
        }
        Ok(Piece::Done)
    }
}

/// Whether a file has these bytes there, read through a buffer that is as large.
fn has_at(
    file: BorrowedFd<'_>,
    mut bytes: &[u8],
    mut at: u64,
    buffer: &mut [u8],
) -> Result<bool, Errno> {
    while !bytes.is_empty() {
        let read = bytes::read_at(file, &mut buffer[..bytes.len()], at)?;
        if read == 0 || buffer[..read] != bytes[..read] {
            return Ok(false);
        }
        bytes = &bytes[read..];
        at += read as u64;
    }
    Ok(true)
}

/// A copier's turn at a large file of another. Whatever goes wrong is left to that one to find and tell.
pub(in crate::copier) struct Helper<'a> {
    job: &'a Job<'a>,
    large: Large<'a>,
    invitation: Invitation<'a>,
    _turn: Turn<'a>,
}

impl<'a> Helper<'a> {
    /// Becomes a helper; `None` if it is too late.
    pub(in crate::copier) fn join(job: &'a Job<'a>, invitation: &Invitation<'a>) -> Option<Self> {
        let large = job.larges.get(invitation.owner)?;
        let turn = large.join(invitation.generation, invitation.share)?;
        Some(Self { job, large, invitation: *invitation, _turn: turn })
    }

    /// Does pieces of what the owner has open, and was opened here, too, until there are none left or one
    /// has failed.
    pub(in crate::copier) fn help(
        self,
        status: StatusSlot<'a>,
        (from, other): (OwnedFd, Option<OwnedFd>),
        (ours, theirs): Buffers<'_>,
    ) {
        let act = match (self.invitation.share, &other) {
            (Share::Copy(..), Some(to)) => ChunkAction::Copy(to.as_fd()),
            (Share::Compare(..), Some(with)) => ChunkAction::Compare(with.as_fd()),
            (Share::HashSource(_) | Share::HashTarget(_), None) => ChunkAction::Hash,
            _ => return self.large.give_up(), // whoever is helped would take it for done
        };
        self.large.note_helper();
        let (large, generation) = (self.large, self.invitation.generation);
        let work = Work { large, generation, status, from: from.as_fd(), act };
        let mut done = 0;
        while !self.job.ring.is_stopped() && !status.is_asked_to_stop() {
            let Some(piece) = large.next_piece() else { break };
            let bytes = piece.end - piece.start;
            let became = work.piece(piece, (ours, theirs), &mut |_| ());
            if !matches!(became, Ok(Piece::Done)) {
                large.give_up();
                break;
            }
            done += bytes;
        }
        match other.map_or(Ok(()), file::close) {
            Ok(()) => large.add_sure(done),
            Err(_) => large.give_up(),
        }
    }
}

/// An open file, if it is the one that is meant.
pub(in crate::copier) fn ours(file: OwnedFd, identity: Identity) -> Result<OwnedFd, Errno> {
    if file::stat_fd(&file)?.identity() == identity { Ok(file) } else { Err(Errno::ESTALE) }
}
