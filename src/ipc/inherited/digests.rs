//! The digests of a run's files, as copiers have told them, in little memory.
//!
//! A file costs the length of its path and 56 bytes, and that of its place in the target if it is to
//! be read back. Each round tells of every file that it finds in the copy, so what an earlier round
//! of the wave has told is only looked up: then a file that is complete need not be read for its
//! digest once more.

use crate::hash::{DIGEST_BYTES, Digest};
use crate::ipc::wire::fields::{get_bytes, get_u32, put_bytes, put_u32};
use std::ops::Range;

/// A file: the plan's entry that it lies below, and its path from the entry's source directory.
type Key<'a> = (u32, &'a [u8]);

/// A file that was written, where it is now, and its digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written<'a> {
    /// The plan's entry that it lies below.
    pub operand: u32,
    /// From the entry's source directory.
    pub source: &'a [u8],
    /// From the entry's target directory; may have staged names in it.
    pub target: &'a [u8],
    /// Of the bytes that were read.
    pub digest: Digest,
}

/// Files and their digests.
#[derive(Default)]
pub struct Hashed {
    /// `entry length path digest length target`, as they came.
    packed: Vec<u8>,
    /// Where each begins that counts.
    starts: Vec<usize>,
    /// How many of these belong to waves that have ended.
    earlier: usize,
    /// Those of them that are in the order of their keys, and each key once.
    sorted: Range<usize>,
    /// What rounds have told that were followed by another, in the order of their keys.
    before: Vec<usize>,
}

impl Hashed {
    /// Adds a file; what was told of it before does not count any more.
    ///
    /// `target` is where it is now, from the entry's target directory; nothing if nobody will ask.
    pub fn add(&mut self, operand: u32, path: &[u8], target: &[u8], digest: Digest) {
        self.starts.push(self.packed.len());
        put_u32(&mut self.packed, operand);
        put_bytes(&mut self.packed, path);
        self.packed.extend_from_slice(&digest.0);
        put_bytes(&mut self.packed, target);
    }

    /// Begins a wave.
    pub fn begin_wave(&mut self) {
        self.earlier = self.starts.len();
        self.sorted = self.earlier..self.earlier;
    }

    /// Ends a round that will be followed by another, which tells of all files anew.
    pub fn end_round(&mut self) {
        let mut before = std::mem::take(&mut self.before);
        before.extend(self.starts.drain(self.earlier..));
        self.in_order(&mut before);
        self.before = before;
        self.sorted = self.earlier..self.earlier;
    }

    /// Makes what was told so far in this wave ready to be looked up.
    pub fn index(&mut self) {
        let mut wave = self.starts.split_off(self.earlier);
        self.in_order(&mut wave);
        self.starts.extend(wave);
        self.sorted = self.earlier..self.starts.len();
    }

    /// What was told of a file before the last [`index`](Self::index) or
    /// [`end_round`](Self::end_round).
    pub fn get(&self, operand: u32, path: &[u8]) -> Option<Digest> {
        let find = |starts: &[usize]| {
            let found = starts.binary_search_by_key(&(operand, path), |&start| self.key(start));
            found.ok().map(|at| self.read(starts[at]).digest)
        };
        find(&self.starts[self.sorted.clone()]).or_else(|| find(&self.before))
    }

    /// How many files of this wave were told of before the last [`index`](Self::index).
    pub fn written_len(&self) -> usize {
        self.sorted.len()
    }

    /// The file of that number among them.
    pub fn written(&self, number: u32) -> Option<Written<'_>> {
        let start = self.starts[self.sorted.clone()].get(number as usize)?;
        Some(self.read(*start))
    }

    /// All files and their digests, in the order in which they came; the last of one key counts.
    ///
    /// `cut_short` says that the last round did not come to its end: then what those before it have
    /// told is what is there.
    pub fn all(&self, cut_short: bool) -> impl Iterator<Item = (u32, &[u8], Digest)> {
        let before = if cut_short { &self.before[..] } else { &[] };
        let (ended, wave) = self.starts.split_at(self.earlier);
        let all = ended.iter().chain(before).chain(wave).map(|&start| self.read(start));
        all.map(|file| (file.operand, file.source, file.digest))
    }

    /// Sorts by key; of several with one key only the last stays.
    fn in_order(&self, starts: &mut Vec<usize>) {
        starts.sort_by_key(|&start| std::cmp::Reverse(start)); // the newest first
        starts.sort_by(|&one, &other| self.key(one).cmp(&self.key(other)));
        starts.dedup_by(|one, other| self.key(*one) == self.key(*other));
    }

    fn key(&self, start: usize) -> Key<'_> {
        let Written { operand, source, .. } = self.read(start);
        (operand, source)
    }

    fn read(&self, start: usize) -> Written<'_> {
        const THERE: &str = "add has put it there";
        let mut from = &self.packed[start..];
        let operand = get_u32(&mut from).expect(THERE);
        let source = get_bytes(&mut from).expect(THERE);
        let (digest, mut from) = from.split_first_chunk::<DIGEST_BYTES>().expect(THERE);
        let target = get_bytes(&mut from).expect(THERE);
        Written { operand, source, target, digest: Digest(*digest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> Digest {
        Digest([number; DIGEST_BYTES])
    }

    fn all(hashed: &Hashed, cut_short: bool) -> Vec<(u32, Vec<u8>, u8)> {
        let all = hashed.all(cut_short);
        all.map(|(operand, path, digest)| (operand, path.to_vec(), digest.0[0])).collect()
    }

    #[test]
    fn what_was_told_is_found_and_the_last_word_counts() {
        let mut hashed = Hashed::default();
        for (number, path) in (0..).zip([b"b/x".as_slice(), b"a", b"b/x", b""]) {
            hashed.add(1, path, b"", digest(number));
        }
        assert_eq!(hashed.get(1, b"a"), None, "not before it is indexed");
        hashed.index();
        assert_eq!(hashed.get(1, b"b/x"), Some(digest(2)));
        assert_eq!((hashed.get(1, b"a"), hashed.get(1, b"")), (Some(digest(1)), Some(digest(3))));
        assert_eq!((hashed.get(0, b"a"), hashed.get(1, b"b")), (None, None));
        hashed.add(1, b"a", b"", digest(9));
        assert_eq!(hashed.get(1, b"a"), Some(digest(1)), "what came later waits for the next");
        hashed.index();
        assert_eq!(hashed.get(1, b"a"), Some(digest(9)));
        assert_eq!(hashed.all(false).count(), 3);
    }

    #[test]
    fn the_files_of_a_wave_are_numbered() {
        let mut hashed = Hashed::default();
        hashed.add(0, b"first wave", b"", digest(1));
        hashed.begin_wave();
        hashed.add(1, b"b/y", b".b.pcopy-partial/y", digest(2));
        hashed.add(1, b"b/x", b".b.pcopy-partial/x", digest(3));
        assert_eq!(hashed.written_len(), 0, "not before it is indexed");
        hashed.index();
        assert_eq!((hashed.written_len(), hashed.written(2)), (2, None));
        let target = &b".b.pcopy-partial/x"[..];
        let first = Written { operand: 1, source: b"b/x", target, digest: digest(3) };
        assert_eq!(hashed.written(0), Some(first));
    }

    #[test]
    fn a_round_that_is_followed_by_another_is_only_looked_up() {
        let mut hashed = Hashed::default();
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
        assert_eq!(all(&hashed, true).len(), 4, "cut short, all that was there counts");
        hashed.end_round();
        assert_eq!(hashed.get(1, b"stays"), Some(digest(4)));
    }
}
