//! Large files that several copiers copy, hash or compare together: which chunks are left, and how much is
//! done.
//!
//! The copier that finds a large file owns it: it creates the target, sets the attributes and reports the
//! result. To ask other copiers for help, it pushes a task into the ring (`Task::LargeFile`). Owner and
//! helpers take chunks by advancing one shared offset.
//!
//! A request for help that a copier takes too late has no effect. The request contains the number of a
//! *generation*: the time during which the owner accepts help with one file. The owner has ended that
//! generation by then. A helper also compares a fingerprint of the job and its files, so that a stray write
//! into this memory cannot make a late request valid.
//!
//! The owner must know when the last helper has closed the file, even if that helper died. Therefore a helper
//! takes a shared record lock before it reads the generation. It holds the lock until it has written its last
//! byte and closed the file. The owner ends the generation, and then waits until it gets the lock
//! exclusively.
//!
//! The memory has two byte counts: bytes processed, for the progress line, and bytes confirmed. A helper
//! confirms its bytes, that is, adds them to the second count, after close(2) has succeeded, because some
//! network file systems report only then that they are out of space. So the bytes of a helper that died are
//! never confirmed.
//!
//! If the file is hashed, each copier stores the digests of its chunks, and the owner joins them. The number
//! of digest slots is fixed, so a file of more than 4 GiB has larger chunks.

use crate::hash::{self, DIGEST_BYTES, Digest};
use crate::ipc::fingerprint::fingerprint;
use crate::ipc::wire::task::ChunkJob;
use pcopy_sys::record_lock::{RecordLock, RecordLocks};
use pcopy_sys::shared_words::SharedWords;
use std::io;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// The size of a chunk in bytes, a power of two; a hashed file of more than 4 GiB has larger chunks.
pub(crate) const CHUNK_BYTES: u64 = 4 * 1024 * 1024;

/// Indexes of the words of one copier's large file. Words that helpers write often are on a separate cache
/// line.
const GENERATION: usize = 0;
const SIZE: usize = 1;
/// The offset of the next chunk to take, in bytes.
const NEXT: usize = 2;
const HELPERS: usize = 3;
/// The fingerprint of the [`ChunkJob`].
const JOB_FINGERPRINT: usize = 4;
/// The offset of a chunk that differs between the two files, plus 1; 0 if no such chunk was found.
const DIFFERENT_CHUNK: usize = 5;
const PROCESSED: usize = 16;
const CONFIRMED: usize = 17;
/// How many of the processed bytes the target had already.
const UNCHANGED: usize = 18;
const WORDS: usize = 32;

/// The maximum number of chunks of a file whose chunks are hashed.
const HASHED_CHUNKS_MAX: u64 = 1024;

/// Each chunk has a slot with its digest and a fingerprint of the generation, the chunk and the digest.
const DIGEST_WORDS: usize = DIGEST_BYTES / size_of::<u64>();
const SLOT_WORDS: usize = DIGEST_WORDS + 1;
const SLOTS_WORDS: usize = HASHED_CHUNKS_MAX as usize * SLOT_WORDS;

/// The large files of all copiers of a round. Each copier owns at most one at a time.
pub(crate) struct LargeFiles {
    words: SharedWords,
    /// The digests of chunks, if chunks are hashed. They need up to 40 KiB per copier; a page takes memory
    /// only when it is written.
    digests: Option<SharedWords>,
    helpers: RecordLocks,
}

impl LargeFiles {
    /// Creates the memory; no copier has a large file yet. Must be called before the first fork(2).
    ///
    /// `hashed` says that chunks are hashed, with a [tree hash](crate::hash::Algorithm::is_tree).
    pub(crate) fn create(copiers: u16, hashed: bool) -> io::Result<Self> {
        let for_each = |name, words| SharedWords::create(name, usize::from(copiers) * words);
        let words = for_each("pcopy-larges", WORDS)?;
        let digests = hashed.then(|| for_each("pcopy-digests", SLOTS_WORDS)).transpose()?;
        Ok(Self { words, digests, helpers: RecordLocks::create()? })
    }

    /// Returns the large file of copier `owner`, from 0; `None` if there is no such copier.
    pub(crate) fn get(&self, owner: u16) -> Option<LargeFile<'_>> {
        let number = usize::from(owner);
        let words = self.words.get(number * WORDS..(number + 1) * WORDS)?;
        let digests = match &self.digests {
            Some(digests) => digests.get(number * SLOTS_WORDS..(number + 1) * SLOTS_WORDS)?,
            None => &[],
        };
        Some(LargeFile { words, digests, helpers: &self.helpers, owner })
    }
}

/// The large file that one copier owns.
#[derive(Clone, Copy)]
pub(crate) struct LargeFile<'a> {
    words: &'a [AtomicU64],
    /// The slots for the digests of chunks; empty if chunks are not hashed.
    digests: &'a [AtomicU64],
    helpers: &'a RecordLocks,
    owner: u16,
}

impl<'a> LargeFile<'a> {
    /// Begins a file of `bytes` bytes and returns its generation. Only the owner calls this.
    pub(crate) fn begin(&self, bytes: u64, chunk_job: ChunkJob) -> u64 {
        // No other copier uses these words now: the previous generation has ended, and its helpers have left.
        for word in [NEXT, HELPERS, DIFFERENT_CHUNK, PROCESSED, CONFIRMED, UNCHANGED] {
            self.words[word].store(0, Relaxed);
        }
        self.words[SIZE].store(bytes, Relaxed);
        self.words[JOB_FINGERPRINT].store(fingerprint(chunk_job), Relaxed);
        self.words[GENERATION].fetch_add(1, SeqCst) + 1 // the generation is odd now, so helpers may join
    }

    /// Ends the generation, waits until no helper has the file open, and returns how many bytes helpers and
    /// owner have confirmed. Only the owner calls this.
    pub(crate) fn end(&self) -> u64 {
        self.words[GENERATION].fetch_add(1, SeqCst);
        self.close();
        self.helpers.wait_until_unlocked(self.owner);
        self.words[CONFIRMED].load(Relaxed)
    }

    /// Makes this copier a helper of `generation` until it drops the returned lock; `None` if the generation
    /// has ended.
    pub(crate) fn join(&self, generation: u64, chunk_job: ChunkJob) -> Option<RecordLock<'a>> {
        let turn = self.helpers.try_lock_shared(self.owner).ok()?;
        // This copier now holds the shared lock. An owner that ends the generation later waits until this lock
        // is released, but the owner may have ended the generation already.
        let is_current = self.words[GENERATION].load(SeqCst) == generation
            && self.words[JOB_FINGERPRINT].load(Relaxed) == fingerprint(chunk_job);
        is_current.then_some(turn)
    }

    /// Notes that a helper has opened the two files.
    pub(crate) fn note_helper(&self) {
        self.words[HELPERS].fetch_add(1, Relaxed);
    }

    /// Whether any helper has opened the two files.
    pub(crate) fn is_helped(&self) -> bool {
        self.words[HELPERS].load(Relaxed) > 0
    }

    /// Takes the next chunk; `None` if no chunk is left.
    pub(crate) fn next_chunk(&self) -> Option<Range<u64>> {
        let size = self.words[SIZE].load(Relaxed);
        if self.words[NEXT].load(Relaxed) >= size {
            return None; // otherwise the offset would grow without limit
        }
        let bytes = self.chunk_bytes(size);
        let start = self.words[NEXT].fetch_add(bytes, Relaxed);
        // A start that is not a multiple of the chunk size can only come from a stray write into this memory.
        let is_chunk = start < size && start.is_multiple_of(bytes);
        is_chunk.then(|| start..start.saturating_add(bytes).min(size))
    }

    /// Returns how many chunks are not taken yet.
    pub(crate) fn chunks_left(&self) -> u64 {
        let (size, next) = (self.words[SIZE].load(Relaxed), self.words[NEXT].load(Relaxed));
        size.saturating_sub(next).div_ceil(self.chunk_bytes(size))
    }

    /// Notes that `chunk` differs between the two files.
    pub(crate) fn note_difference(&self, chunk: &Range<u64>) {
        self.words[DIFFERENT_CHUNK].store(chunk.start.saturating_add(1), Relaxed);
    }

    /// Returns a chunk that differs between two files of `size` bytes; `None` if no copier noted one.
    pub(crate) fn different(&self, size: u64) -> Option<Range<u64>> {
        let start = self.words[DIFFERENT_CHUNK].load(Relaxed).checked_sub(1)?;
        (start < size).then(|| start..start.saturating_add(self.chunk_bytes(size)).min(size))
    }

    /// Returns the size of the chunks of a file of `size` bytes; the last chunk may be shorter.
    fn chunk_bytes(&self, size: u64) -> u64 {
        if !self.is_hashed() {
            return CHUNK_BYTES;
        }
        CHUNK_BYTES.max(size.div_ceil(HASHED_CHUNKS_MAX).next_power_of_two())
    }

    /// Whether chunks are hashed.
    pub(crate) fn is_hashed(&self) -> bool {
        !self.digests.is_empty()
    }

    /// Stores the digest of a chunk of the given generation.
    pub(crate) fn put_digest(&self, generation: u64, chunk: &Range<u64>, digest: Digest) {
        let number = chunk.start / self.chunk_bytes(self.words[SIZE].load(Relaxed));
        let Some(slot) = self.slot(number) else { return };
        let (words, _) = digest.0.as_chunks();
        for (word, bytes) in slot.iter().zip(words) {
            word.store(u64::from_ne_bytes(*bytes), Relaxed);
        }
        slot[DIGEST_WORDS].store(fingerprint((generation, chunk, digest)), Relaxed);
    }

    /// Returns the digest of a whole file of `bytes` bytes after its generation has ended; `None` if the
    /// digest of a chunk is missing.
    pub(crate) fn digest(&self, generation: u64, bytes: u64) -> Option<Digest> {
        let chunk_bytes = self.chunk_bytes(bytes);
        let digest = |number| {
            let start = number * chunk_bytes;
            self.get_digest(generation, number, &(start..bytes.min(start + chunk_bytes)))
        };
        let chunks: Option<Vec<_>> = (0..bytes.div_ceil(chunk_bytes)).map(digest).collect();
        hash::join_chunks(&chunks?)
    }

    fn get_digest(&self, generation: u64, number: u64, chunk: &Range<u64>) -> Option<Digest> {
        let slot = self.slot(number)?;
        let mut digest = Digest([0; DIGEST_BYTES]);
        let (words, _) = digest.0.as_chunks_mut();
        for (bytes, word) in words.iter_mut().zip(slot) {
            *bytes = word.load(Relaxed).to_ne_bytes();
        }
        let stored = slot[DIGEST_WORDS].load(Relaxed);
        (stored == fingerprint((generation, chunk, digest))).then_some(digest)
    }

    fn slot(&self, number: u64) -> Option<&[AtomicU64]> {
        let start = usize::try_from(number).ok()?.checked_mul(SLOT_WORDS)?;
        self.digests.get(start..start.checked_add(SLOT_WORDS)?)
    }

    /// Stops the distribution of chunks, because a chunk has failed or the generation ends.
    pub(crate) fn close(&self) {
        self.words[NEXT].store(self.words[SIZE].load(Relaxed), Relaxed);
    }

    /// Counts bytes that a copier has written, or has only read if the job writes nothing.
    pub(crate) fn add_processed(&self, bytes: u64) {
        self.words[PROCESSED].fetch_add(bytes, Relaxed);
    }

    /// Counts processed bytes that the target had already.
    pub(crate) fn add_unchanged(&self, bytes: u64) {
        self.words[UNCHANGED].fetch_add(bytes, Relaxed);
    }

    /// Returns how many of the processed bytes the target had already.
    pub(crate) fn unchanged(&self) -> u64 {
        self.words[UNCHANGED].load(Relaxed)
    }

    /// Counts bytes as safely written: close(2) has succeeded, so no later call can report their loss, or the
    /// owner wrote them.
    pub(crate) fn add_confirmed(&self, bytes: u64) {
        self.words[CONFIRMED].fetch_add(bytes, Relaxed);
    }

    /// Returns how many bytes are processed so far.
    pub(crate) fn processed(&self) -> u64 {
        self.words[PROCESSED].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK_JOB: ChunkJob = ChunkJob::Copy((1, 2), (3, 4));

    #[test]
    fn chunks_cover_the_file_exactly_once() {
        let large_files = LargeFiles::create(1, false).unwrap();
        let large = large_files.get(0).unwrap();
        for bytes in [1, CHUNK_BYTES, CHUNK_BYTES + 1, 10 * CHUNK_BYTES - 1] {
            large.begin(bytes, CHUNK_JOB);
            assert_eq!(large.chunks_left(), bytes.div_ceil(CHUNK_BYTES));
            let mut end = 0;
            while let Some(chunk) = large.next_chunk() {
                assert_eq!(chunk.start, end);
                end = chunk.end;
            }
            assert_eq!((end, large.chunks_left()), (bytes, 0));
            large.end();
        }
    }

    #[test]
    fn a_request_for_an_ended_generation_or_another_job_is_refused() {
        let large_files = LargeFiles::create(2, false).unwrap();
        let large = large_files.get(1).unwrap();
        let first = large.begin(10, CHUNK_JOB);
        assert!(large.join(first, CHUNK_JOB).is_some());
        large.end();
        assert!(large.join(first, CHUNK_JOB).is_none(), "ended");
        let second = large.begin(10, CHUNK_JOB);
        assert!(large.join(first, CHUNK_JOB).is_none(), "another file");
        assert!(large.join(second, CHUNK_JOB).is_some());
        assert!(large.join(second, ChunkJob::HashSource((1, 2))).is_none(), "another job");
        assert!(large_files.get(2).is_none(), "no such copier");
    }

    #[test]
    fn bytes_that_a_helper_did_not_confirm_are_missing_at_the_end() {
        let large_files = LargeFiles::create(1, false).unwrap();
        let large = large_files.get(0).unwrap();
        large.begin(100, CHUNK_JOB);
        large.add_processed(60);
        large.add_processed(40);
        large.add_confirmed(60);
        assert_eq!((large.processed(), large.end()), (100, 60));
        large.begin(100, CHUNK_JOB);
        assert_eq!((large.processed(), large.end()), (0, 0));
    }

    /// Stores the digests of all chunks but the chunk `without`; returns the number of chunks.
    fn put_all_but(large: &LargeFile<'_>, generation: u64, without: u64) -> u64 {
        let mut number = 0;
        while let Some(chunk) = large.next_chunk() {
            if number != without {
                large.put_digest(generation, &chunk, Digest([7; DIGEST_BYTES]));
            }
            number += 1;
        }
        number
    }

    #[test]
    fn a_digest_needs_all_chunks_of_its_generation() {
        let large_files = LargeFiles::create(2, true).unwrap();
        let large = large_files.get(1).unwrap();
        for bytes in [CHUNK_BYTES + 1, 1 << 32, (1 << 32) + 1, 1 << 40, u64::MAX / 2] {
            let generation = large.begin(bytes, CHUNK_JOB);
            let chunks = put_all_but(&large, generation, u64::MAX);
            assert!(
                chunks <= HASHED_CHUNKS_MAX && (chunks == 2 || chunks > HASHED_CHUNKS_MAX / 2),
                "{chunks}"
            );
            large.end();
            assert_eq!(large.digest(generation, bytes - 1), None, "another size");
            let digest = large.digest(generation, bytes);
            assert_eq!(
                digest,
                hash::join_chunks(&vec![Digest([7; DIGEST_BYTES]); chunks as usize])
            );

            for without in [0, 1, chunks - 1] {
                let generation = large.begin(bytes, CHUNK_JOB);
                put_all_but(&large, generation, without);
                large.end();
                assert_eq!(large.digest(generation, bytes), None, "{without} of {bytes}");
            }
        }
    }

    #[test]
    fn an_overwritten_digest_is_not_used() {
        let large_files = LargeFiles::create(1, true).unwrap();
        let large = large_files.get(0).unwrap();
        for word in 0..2 * SLOT_WORDS {
            let generation = large.begin(2 * CHUNK_BYTES, CHUNK_JOB);
            put_all_but(&large, generation, u64::MAX);
            large.end();
            assert!(large.digest(generation, 2 * CHUNK_BYTES).is_some());
            large.digests[word].fetch_xor(1 << 17, Relaxed);
            assert_eq!(large.digest(generation, 2 * CHUNK_BYTES), None, "{word}");
        }
    }

    #[test]
    fn a_start_between_two_chunks_is_not_a_chunk() {
        let large_files = LargeFiles::create(1, true).unwrap();
        let large = large_files.get(0).unwrap();
        large.begin(10 * CHUNK_BYTES, CHUNK_JOB);
        large.words[NEXT].store(CHUNK_BYTES + 1, Relaxed);
        assert_eq!(large.next_chunk(), None);
    }
}
