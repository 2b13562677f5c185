//! Processes a large file in chunks, which several copiers take.
//!
//! The *owning copier* is the one that has found the file. It takes one chunk after the other. While the ring
//! is hungry, another copier may soon have no task, so the owning copier requests help. *Helpers* are copiers
//! that take a request; they take chunks of the file in the same way. So all copiers share the last large
//! file of a run. If all copiers have work when a large file is found, its owning copier processes it alone.
//! Copiers copy a chunk, hash it, do both, or compare it.

use crate::copier::Job;
use crate::copier::context::Context;
use crate::error::{EntryError, Op, may_mean_order};
use crate::hash::{ChunkHasher, Digest};
use crate::ipc::memory::counters::StatusSlot;
use crate::ipc::memory::fs_caps::{Capability, Pair};
use crate::ipc::memory::large_files::{CHUNK_BYTES, LargeFile};
use crate::ipc::wire::task::{ChunkJob, EntryPath, HelpRequest, Task};
use pcopy_sys::file::{self, Identity};
use pcopy_sys::record_lock::RecordLock;
use pcopy_sys::{Errno, file_data};
use std::ffi::CStr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The size in bytes from which a file is processed in chunks.
pub(in crate::copier) const LARGE_BYTES: u64 = 4 * CHUNK_BYTES;

/// The owning copier's view of a large file.
pub(in crate::copier) struct Team<'a> {
    job: &'a Job<'a>,
    pub(in crate::copier) large: LargeFile<'a>,
    request: HelpRequest<'a>,
    message: Vec<u8>,
    invited: u64,
}

impl<'a> Team<'a> {
    /// Returns the team for a large file that this copier has found in the directory `place`; `None` if there
    /// are no other copiers.
    ///
    /// `name` is the name of the file in the source. `target_name` is its current name in the target, which
    /// may be a staged name.
    pub(in crate::copier) fn new(
        cx: Context<'a>,
        place: EntryPath<'a>,
        (name, target_name): (&'a CStr, &'a CStr),
        chunk_job: ChunkJob,
    ) -> Option<Self> {
        let (job, owner) = (cx.job, cx.number);
        let large = job.large_files.get(owner).filter(|_| job.plan.jobs > 1)?;
        let generation = 0; // `begin` sets the number
        let request = HelpRequest { place, name, target_name, owner, generation, chunk_job };
        Some(Self { job, large, request, message: Vec::new(), invited: 0 })
    }

    /// Begins the file, which has `size` bytes: from now on, helpers can take chunks.
    pub(in crate::copier) fn begin(&mut self, size: u64) {
        self.request.generation = self.large.begin(size, self.request.chunk_job);
    }

    /// Ends the file and waits until no helper has it open. Returns how many bytes are confirmed, that is,
    /// certainly processed. Also returns the digest of the file, if all bytes are confirmed and all chunks
    /// have a digest.
    pub(in crate::copier) fn end(&self, size: u64) -> (u64, Option<Digest>) {
        let sure = self.large.end();
        (sure, self.large.digest(self.request.generation, size).filter(|_| sure == size))
    }

    /// Takes the next chunk; `None` if no chunk is left. Before that, requests help if the ring is hungry and
    /// enough chunks are left for all helpers.
    pub(in crate::copier) fn next_chunk(&mut self) -> Option<Range<u64>> {
        while self.job.is_hungry() && self.large.chunks_left() > 2 * (self.invited + 1) {
            let status = self.job.counters.status(self.request.owner);
            if !self.job.give(status, &Task::LargeFile(self.request), &mut self.message) {
                break;
            }
            self.invited += 1;
        }
        self.large.next_chunk()
    }

    /// Returns what the owning copier needs to process chunks itself.
    pub(in crate::copier) fn work<'w>(
        &self,
        from: BorrowedFd<'w>,
        act: ChunkAction<'w>,
    ) -> ChunkWork<'w>
    where
        'a: 'w,
    {
        let status = self.job.counters.status(self.request.owner);
        let status = status.of_copier_in(self.job.in_parent);
        ChunkWork { large: self.large, generation: self.request.generation, status, from, act }
    }

    /// Returns what the owning copier does with each chunk of `to`, the target.
    pub(in crate::copier) fn action<'t>(&self, to: BorrowedFd<'t>) -> ChunkAction<'t> {
        match self.request.chunk_job {
            ChunkJob::Update(..) => ChunkAction::Update(to),
            _ => ChunkAction::Copy(to),
        }
    }

    /// Like [`hash`](Self::hash), for the source of a clone. A clone leaves no data to copy, so helpers only
    /// hash the source.
    pub(in crate::copier) fn hash_source(
        mut self,
        source: BorrowedFd<'_>,
        size: u64,
        buffer: &mut [u8],
        seen: impl FnMut(u64),
    ) -> Option<Digest> {
        if let ChunkJob::Copy(source, _) | ChunkJob::Update(source, _) = self.request.chunk_job {
            self.request.chunk_job = ChunkJob::HashSource(source);
        }
        self.hash(source, size, buffer, seen)
    }

    /// Hashes a file of `size` bytes with the help of other copiers. Returns `None` if this copier must hash
    /// the file alone. Calls `seen` with the number of bytes that all copiers together have read so far.
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

    /// Compares two files of `size` bytes with the help of other copiers, and returns whether they are
    /// identical. Returns `None` if this copier must compare them alone. Calls `seen` like
    /// [`hash`](Self::hash).
    pub(in crate::copier) fn compare(
        mut self,
        (source, target): (BorrowedFd<'_>, BorrowedFd<'_>),
        size: u64,
        (ours, theirs): BufferPair<'_>,
        mut seen: impl FnMut(u64),
    ) -> Option<bool> {
        self.begin(size);
        let work = self.work(source, ChunkAction::Compare(target));
        let differs = self.read(&work, (ours, theirs), &mut seen);
        let (sure, _) = self.end(size);
        if sure == size {
            return (ends_at(source, size) && ends_at(target, size)).then_some(true);
        }
        // A helper notes a difference in shared memory, where the note may also come from a stray write. So
        // this copier compares that chunk itself.
        let has_seen = |chunk| {
            matches!(work.chunk(chunk, (ours, theirs), &mut seen), Ok(ChunkResult::Differs))
        };
        (differs || self.large.different(size).is_some_and(has_seen)).then_some(false)
    }

    /// Processes chunks until no chunk is left. Returns whether this copier has found a chunk that differs.
    fn read(
        &mut self,
        work: &ChunkWork<'_>,
        (ours, theirs): BufferPair<'_>,
        seen: Seen<'_>,
    ) -> bool {
        while let Some(chunk) = self.next_chunk() {
            let bytes = chunk.end - chunk.start;
            match work.chunk(chunk, (ours, theirs), seen) {
                Ok(ChunkResult::Done) => self.large.add_confirmed(bytes),
                Ok(ChunkResult::Differs) => {
                    self.large.close();
                    return true;
                }
                Ok(ChunkResult::Short) | Err(_) => self.large.close(),
            }
        }
        false
    }
}

/// Whether the file ends at offset `size`. If it is longer by now, one copier must process it alone, to its
/// new end.
fn ends_at(file: BorrowedFd<'_>, size: u64) -> bool {
    file_data::read_at(file, &mut [0], size) == Ok(0)
}

/// A callback that gets the number of bytes that all copiers together have processed of a file.
pub(in crate::copier) type Seen<'s> = &'s mut dyn FnMut(u64);

/// How the processing of a chunk ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::copier) enum ChunkResult {
    Done,
    /// The file ends before the chunk does, or the run aborts the copy.
    Short,
    /// The two files differ in this chunk.
    Differs,
}

/// A buffer for the data that is read, and one of the same size for the data that it is compared with. The
/// second buffer may be empty if nothing is compared.
pub(in crate::copier) type BufferPair<'b> = (&'b mut [u8], &'b mut [u8]);

/// What a copier does with the data of a chunk. It also hashes the data if [chunks are
/// hashed](LargeFile::is_hashed).
#[derive(Clone, Copy)]
pub(in crate::copier) enum ChunkAction<'a> {
    Copy(BorrowedFd<'a>),
    /// Write the data where the file has other data.
    Update(BorrowedFd<'a>),
    Compare(BorrowedFd<'a>),
    Hash,
}

/// What a copier needs to process the chunks of a file, as owning copier or as helper.
pub(in crate::copier) struct ChunkWork<'a> {
    large: LargeFile<'a>,
    generation: u64,
    status: StatusSlot<'a>,
    from: BorrowedFd<'a>,
    act: ChunkAction<'a>,
}

impl ChunkWork<'_> {
    /// Copies a chunk with `copy_file_range`. Returns false and counts nothing if that does not copy the
    /// whole chunk.
    pub(in crate::copier) fn offload(&self, chunk: Range<u64>) -> bool {
        let ChunkAction::Copy(to) = self.act else { return false };
        let mut at = chunk.start;
        while at < chunk.end {
            let left = usize::try_from(chunk.end - at).unwrap_or(usize::MAX);
            match file_data::copy_range_at(self.from, to, at, left) {
                Ok(0) | Err(_) => return false,
                Ok(copied) => at += copied.min(left) as u64,
            }
        }
        self.large.add_processed(chunk.end - chunk.start);
        true
    }

    /// Reads a chunk through `buffer`, and copies, hashes or compares it. Calls `seen` after each part.
    pub(in crate::copier) fn chunk(
        &self,
        chunk: Range<u64>,
        (buffer, other): BufferPair<'_>,
        seen: Seen<'_>,
    ) -> Result<ChunkResult, EntryError> {
        let mut hash = self.large.is_hashed().then(|| ChunkHasher::new(chunk.start));
        let mut at = chunk.start;
        while at < chunk.end {
            if self.status.is_abandoned() {
                return Ok(ChunkResult::Short);
            }
            let length =
                usize::try_from(chunk.end - at).map_or(buffer.len(), |n| n.min(buffer.len()));
            let read = file_data::read_at(self.from, &mut buffer[..length], at)
                .map_err(Op::Read.error())?;
            if read == 0 {
                return Ok(ChunkResult::Short);
            }
            let bytes = &buffer[..read];
            if let Some(hash) = &mut hash {
                hash.update(bytes);
            }
            match self.act {
                ChunkAction::Hash => {}
                ChunkAction::Copy(to) => {
                    file_data::write_all_at(to, bytes, at).map_err(Op::Write.error())?;
                }
                ChunkAction::Update(to) => {
                    if has_at(to, bytes, at, other) == Ok(true) {
                        self.large.add_unchanged(read as u64);
                    } else {
                        file_data::write_all_at(to, bytes, at).map_err(Op::Write.error())?;
                    }
                }
                ChunkAction::Compare(with) => {
                    if !has_at(with, bytes, at, other).map_err(Op::ReadBack.error())? {
                        self.large.note_difference(&chunk);
                        return Ok(ChunkResult::Differs);
                    }
                }
            }
            at += read as u64;
            self.large.add_processed(read as u64);
            seen(self.large.processed());
        }
        if let Some(digest) = hash.and_then(|hash| hash.finalize()) {
            self.large.put_digest(self.generation, &chunk, digest);
        }
        Ok(ChunkResult::Done)
    }
}

/// Whether the file contains `bytes` at offset `at`. `buffer` must be at least as long as `bytes`.
pub(super) fn has_at(
    file: BorrowedFd<'_>,
    mut bytes: &[u8],
    mut at: u64,
    buffer: &mut [u8],
) -> Result<bool, Errno> {
    while !bytes.is_empty() {
        let read = file_data::read_at(file, &mut buffer[..bytes.len()], at)?;
        if read == 0 || buffer[..read] != bytes[..read] {
            return Ok(false);
        }
        bytes = &bytes[read..];
        at += read as u64;
    }
    Ok(true)
}

/// A helper's view of a large file. A helper reports no errors. If a helper fails, the owning copier
/// processes the file alone, meets the same error and reports it.
pub(in crate::copier) struct Helper<'a> {
    job: &'a Job<'a>,
    large: LargeFile<'a>,
    request: HelpRequest<'a>,
    _turn: RecordLock<'a>,
}

impl<'a> Helper<'a> {
    /// Makes this copier a helper; `None` if the owning copier has ended the file already.
    pub(in crate::copier) fn join(job: &'a Job<'a>, request: &HelpRequest<'a>) -> Option<Self> {
        let large = job.large_files.get(request.owner)?;
        let turn = large.join(request.generation, request.chunk_job)?;
        Some(Self { job, large, request: *request, _turn: turn })
    }

    /// Processes chunks until no chunk is left, a chunk has failed, or the copier is asked to stop.
    ///
    /// `from` and `other` are the files that the owning copier has open; this copier has opened them, too.
    pub(in crate::copier) fn help(
        self,
        status: StatusSlot<'a>,
        (from, other): (OwnedFd, Option<OwnedFd>),
        (ours, theirs): BufferPair<'_>,
    ) {
        let act = match (self.request.chunk_job, &other) {
            (ChunkJob::Copy(..), Some(to)) => ChunkAction::Copy(to.as_fd()),
            (ChunkJob::Update(..), Some(to)) => ChunkAction::Update(to.as_fd()),
            (ChunkJob::Compare(..), Some(with)) => ChunkAction::Compare(with.as_fd()),
            (ChunkJob::HashSource(_) | ChunkJob::HashTarget(_), None) => ChunkAction::Hash,
            _ => return self.large.close(), // cannot happen; the owning copier would process the file alone
        };
        self.large.note_helper();
        let (large, generation) = (self.large, self.request.generation);
        let work = ChunkWork { large, generation, status, from: from.as_fd(), act };
        let mut done = 0;
        while !self.job.ring.is_stopped() && !status.is_asked_to_stop() {
            let Some(chunk) = large.next_chunk() else { break };
            let bytes = chunk.end - chunk.start;
            let became = work.chunk(chunk, (ours, theirs), &mut |_| ());
            let job = self.request.chunk_job;
            if let (Err(error), ChunkJob::Copy(_, to) | ChunkJob::Update(_, to)) = (&became, job)
                && may_mean_order(*error)
            {
                self.job.fs_caps.note_lack(Pair::alone(to.0), Capability::AnyOrder);
            }
            if !matches!(became, Ok(ChunkResult::Done)) {
                large.close();
                break;
            }
            done += bytes;
        }
        match other.map_or(Ok(()), file::close) {
            Ok(()) => large.add_confirmed(done),
            Err(_) => large.close(),
        }
    }
}

/// Returns the open file if it has this identity (device and inode number). Otherwise its name belongs to
/// another file by now, and the error is `ESTALE`.
pub(in crate::copier) fn ours(file: OwnedFd, identity: Identity) -> Result<OwnedFd, Errno> {
    if file::stat_fd(&file)?.identity() == identity { Ok(file) } else { Err(Errno::ESTALE) }
}
