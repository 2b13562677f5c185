//! The digests of a run's files, as copiers have reported them, packed into one buffer.
//!
//! A file takes 56 bytes plus the length of its source path. If the file will be read back, the length of its
//! target path is added.
//!
//! A wave is a group of operands (paths that the user names) that are copied together. If a copier dies, the
//! next round works on the whole wave again, and its copiers report every file of the wave again. The digests
//! of an earlier round serve only as a cache, so that copiers need not read up-to-date files again.

use crate::hash::{DIGEST_BYTES, Digest};
use crate::ipc::wire::fields::{get_bytes, get_u32, put_bytes, put_u32};
use std::ops::Range;

/// The key of a file: its operand, and its path relative to the directory that contains the operand.
type FileKey<'a> = (u32, &'a [u8]);

/// A file that a copier has written, its current path and its digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WrittenFile<'a> {
    /// The operand, as an index into the plan's operands.
    pub operand: u32,
    /// The path in the source, relative to the directory that contains the operand.
    pub source: &'a [u8],
    /// The current path in the target, relative to the directory that contains the operand's target; may
    /// contain staged names.
    pub target: &'a [u8],
    /// The digest of the bytes that a copier read from the source.
    pub digest: Digest,
}

/// Files and their digests.
#[derive(Clone, Default)]
pub(crate) struct Digests {
    /// For each file `operand length path digest length target`, in the order of the reports.
    packed: Vec<u8>,
    /// Offsets in `packed` of the valid files: the files of earlier waves, then the files of the current
    /// round.
    starts: Vec<usize>,
    /// How many of `starts` belong to earlier waves.
    earlier_waves: usize,
    /// The part of `starts` that [`index`](Self::index) has sorted by key and freed of duplicate keys.
    sorted: Range<usize>,
    /// Offsets in `packed` of the files of earlier rounds of this wave, sorted by key.
    earlier_rounds: Vec<usize>,
}

impl Digests {
    /// Adds a file; replaces an earlier digest of the same file.
    ///
    /// `target` is the current path of the file, relative to the directory that contains the operand's
    /// target. An empty `target` means that the file will not be read back.
    pub(crate) fn add(&mut self, operand: u32, path: &[u8], target: &[u8], digest: Digest) {
        self.starts.push(self.packed.len());
        put_u32(&mut self.packed, operand);
        put_bytes(&mut self.packed, path);
        self.packed.extend_from_slice(&digest.0);
        put_bytes(&mut self.packed, target);
    }

    /// Begins the next wave.
    pub(crate) fn begin_wave(&mut self) {
        self.earlier_waves = self.starts.len();
        self.sorted = self.earlier_waves..self.earlier_waves;
    }

    /// Ends a round that another round follows. The next round will report all files again.
    pub(crate) fn end_round(&mut self) {
        let mut earlier = std::mem::take(&mut self.earlier_rounds);
        earlier.extend(self.starts.drain(self.earlier_waves..));
        self.sort(&mut earlier);
        self.earlier_rounds = earlier;
        self.sorted = self.earlier_waves..self.earlier_waves;
    }

    /// Sorts the files that were reported in this wave, so that [`get`](Self::get) and
    /// [`wave_file`](Self::wave_file) find them.
    pub(crate) fn index(&mut self) {
        let mut wave = self.starts.split_off(self.earlier_waves);
        self.sort(&mut wave);
        self.starts.extend(wave);
        self.sorted = self.earlier_waves..self.starts.len();
    }

    /// Returns the digest of a file; `None` if the file was not added before the last call of
    /// [`index`](Self::index) or [`end_round`](Self::end_round).
    pub(crate) fn get(&self, operand: u32, path: &[u8]) -> Option<Digest> {
        let find = |starts: &[usize]| {
            let found = starts.binary_search_by_key(&(operand, path), |&start| self.key(start));
            found.ok().map(|at| self.read(starts[at]).digest)
        };
        find(&self.starts[self.sorted.clone()]).or_else(|| find(&self.earlier_rounds))
    }

    /// Returns how many files of this wave were added before the last call of [`index`](Self::index).
    pub(crate) fn wave_len(&self) -> usize {
        self.sorted.len()
    }

    /// Returns the file with this number among the files that [`wave_len`](Self::wave_len) counts.
    pub(crate) fn wave_file(&self, number: u32) -> Option<WrittenFile<'_>> {
        let start = self.starts[self.sorted.clone()].get(number as usize)?;
        Some(self.read(*start))
    }

    /// Returns all files and their digests, those of earlier waves first. If a key occurs more than once, the
    /// last digest is the valid one.
    ///
    /// `cut_short` says that the last round did not finish. Then the result includes the files of the rounds
    /// before it.
    pub(crate) fn all(&self, cut_short: bool) -> impl Iterator<Item = (u32, &[u8], Digest)> {
        let earlier = if cut_short { &self.earlier_rounds[..] } else { &[] };
        let (ended, wave) = self.starts.split_at(self.earlier_waves);
        let all = ended.iter().chain(earlier).chain(wave).map(|&start| self.read(start));
        all.map(|file| (file.operand, file.source, file.digest))
    }

    /// Sorts `starts` by key. If a key occurs more than once, only its last file remains.
    fn sort(&self, starts: &mut Vec<usize>) {
        starts.sort_by_key(|&start| std::cmp::Reverse(start)); // the last reported file first
        starts.sort_by(|&one, &other| self.key(one).cmp(&self.key(other)));
        starts.dedup_by(|one, other| self.key(*one) == self.key(*other));
    }

    fn key(&self, start: usize) -> FileKey<'_> {
        let WrittenFile { operand, source, .. } = self.read(start);
        (operand, source)
    }

    fn read(&self, start: usize) -> WrittenFile<'_> {
        const PACKED: &str = "packed by `add`";
        let mut from = &self.packed[start..];
        let operand = get_u32(&mut from).expect(PACKED);
        let source = get_bytes(&mut from).expect(PACKED);
        let (digest, mut from) = from.split_first_chunk::<DIGEST_BYTES>().expect(PACKED);
        let target = get_bytes(&mut from).expect(PACKED);
        WrittenFile { operand, source, target, digest: Digest(*digest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> Digest {
        Digest([number; DIGEST_BYTES])
    }

    fn all(hashed: &Digests, cut_short: bool) -> Vec<(u32, Vec<u8>, u8)> {
        let all = hashed.all(cut_short);
        all.map(|(operand, path, digest)| (operand, path.to_vec(), digest.0[0])).collect()
    }

    #[test]
    fn a_digest_is_found_and_the_last_one_is_valid() {
        let mut hashed = Digests::default();
        for (number, path) in (0..).zip([b"b/x".as_slice(), b"a", b"b/x", b""]) {
            hashed.add(1, path, b"", digest(number));
        }
        assert_eq!(hashed.get(1, b"a"), None, "not before it is indexed");
        hashed.index();
        assert_eq!(hashed.get(1, b"b/x"), Some(digest(2)));
        assert_eq!((hashed.get(1, b"a"), hashed.get(1, b"")), (Some(digest(1)), Some(digest(3))));
        assert_eq!((hashed.get(0, b"a"), hashed.get(1, b"b")), (None, None));
        hashed.add(1, b"a", b"", digest(9));
        assert_eq!(
            hashed.get(1, b"a"),
            Some(digest(1)),
            "what was added later is found after the next index"
        );
        hashed.index();
        assert_eq!(hashed.get(1, b"a"), Some(digest(9)));
        assert_eq!(hashed.all(false).count(), 3);
    }

    #[test]
    fn the_files_of_a_wave_are_numbered() {
        let mut hashed = Digests::default();
        hashed.add(0, b"first wave", b"", digest(1));
        hashed.begin_wave();
        hashed.add(1, b"b/y", b".b.pcopy-partial/y", digest(2));
        hashed.add(1, b"b/x", b".b.pcopy-partial/x", digest(3));
        assert_eq!(hashed.wave_len(), 0, "not before it is indexed");
        hashed.index();
        assert_eq!((hashed.wave_len(), hashed.wave_file(2)), (2, None));
        let target = &b".b.pcopy-partial/x"[..];
        let first = WrittenFile { operand: 1, source: b"b/x", target, digest: digest(3) };
        assert_eq!(hashed.wave_file(0), Some(first));
    }

    #[test]
    fn an_earlier_round_is_only_looked_up() {
        let mut hashed = Digests::default();
        hashed.add(0, b"first wave", b"", digest(1));
        hashed.begin_wave();
        hashed.add(1, b"gone", b"", digest(2));
        hashed.add(1, b"stays", b"", digest(3));
        hashed.end_round();
        hashed.add(1, b"stays", b"", digest(4));

        assert_eq!(
            (hashed.get(1, b"gone"), hashed.get(1, b"stays")),
            (Some(digest(2)), Some(digest(3)))
        );
        assert_eq!(
            all(&hashed, false),
            [(0, b"first wave".to_vec(), 1), (1, b"stays".to_vec(), 4)]
        );
        assert_eq!(all(&hashed, true).len(), 4, "cut short, the files of all rounds are included");
        hashed.end_round();
        assert_eq!(hashed.get(1, b"stays"), Some(digest(4)));
    }
}
