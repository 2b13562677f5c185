//! BLAKE3 and SHA-256 of file data, computed while it is copied or read.
//!
//! The only module that uses the two crates. A digest of either has 32 bytes.

use blake3::hazmat::{self, ChainingValue, HasherExt as _, Mode};
use std::fmt;

/// The size of a digest.
pub const DIGEST_BYTES: usize = 32;

/// Zeros, which are hashed in place of a hole.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// The hash algorithms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// BLAKE3, as `b3sum` prints it. Much faster than SHA-256.
    Blake3,
    /// SHA-256, as `sha256sum` prints it.
    Sha256,
}

impl Algorithm {
    /// Its name in tagged lines (`b3sum --tag`, `sha256sum --tag`).
    pub fn tag(self) -> &'static str {
        match self {
            Self::Blake3 => "BLAKE3",
            Self::Sha256 => "SHA256",
        }
    }

    /// Whether it is a tree hash: the digest of a file can be [joined](join_chunks) from its chunks'.
    pub fn is_tree(self) -> bool {
        self == Self::Blake3
    }

    /// The other algorithm.
    pub fn other(self) -> Self {
        match self {
            Self::Blake3 => Self::Sha256,
            Self::Sha256 => Self::Blake3,
        }
    }
}

/// Computes a digest.
pub struct Hasher(State);

// A copier has one at a time, without a box: hashing a file needs no allocation.
#[expect(clippy::large_enum_variant)]
enum State {
    Blake3(blake3::Hasher),
    Sha256(sha2::Sha256),
}

impl Hasher {
    /// A hasher without any input yet.
    pub fn new(algorithm: Algorithm) -> Self {
        use sha2::Digest as _;
        Self(match algorithm {
            Algorithm::Blake3 => State::Blake3(blake3::Hasher::new()),
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
        })
    }

    /// Appends bytes to the input.
    pub fn update(&mut self, bytes: &[u8]) {
        use sha2::Digest as _;
        match &mut self.0 {
            State::Blake3(hasher) => {
                hasher.update(bytes);
            }
            State::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// Appends that many zeros to the input: what reading a hole returns.
    pub fn update_zeros(&mut self, bytes: u64) {
        let mut left = bytes;
        while left > 0 {
            let part = left.min(ZEROS.len() as u64);
            self.update(&ZEROS[..usize::try_from(part).unwrap_or(ZEROS.len())]);
            left -= part;
        }
    }

    /// Discards the input.
    pub fn reset(&mut self) {
        use sha2::Digest as _;
        match &mut self.0 {
            State::Blake3(hasher) => {
                hasher.reset();
            }
            State::Sha256(hasher) => hasher.reset(),
        }
    }

    /// The digest of the input.
    pub fn finalize(&self) -> Digest {
        use sha2::Digest as _;
        Digest(match &self.0 {
            State::Blake3(hasher) => *hasher.finalize().as_bytes(),
            State::Sha256(hasher) => hasher.clone().finalize().into(),
        })
    }
}

/// Computes the digest of one chunk of a file. Only for BLAKE3, which is a tree hash: chunks of one size, a
/// power of two of at least 1 KiB, are whole subtrees.
pub struct ChunkHasher(blake3::Hasher);

impl ChunkHasher {
    /// For the chunk at this offset, in bytes, which is a multiple of the chunk size.
    pub fn new(offset: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(offset);
        Self(hasher)
    }

    /// Appends bytes to the input.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The chaining value from which the digest of the file is [joined](join_chunks); `None` without input.
    pub fn finalize(&self) -> Option<Digest> {
        (self.0.count() > 0).then(|| Digest(self.0.finalize_non_root()))
    }
}

/// The BLAKE3 digest of a file from those of its chunks, in order; the last chunk may be shorter than the
/// others. `None` if there are fewer than two.
pub fn join_chunks(chunks: &[Digest]) -> Option<Digest> {
    let (left, right) = halves(chunks)?;
    let (left, right) = (subtree(left)?, subtree(right)?);
    Some(Digest(*hazmat::merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()))
}

fn subtree(chunks: &[Digest]) -> Option<ChainingValue> {
    let Some((left, right)) = halves(chunks) else { return chunks.first().map(|chunk| chunk.0) };
    Some(hazmat::merge_subtrees_non_root(&subtree(left)?, &subtree(right)?, Mode::Hash))
}

/// The chunks below the left and below the right child of a node: the left child has the largest power of
/// two that is smaller than their number.
fn halves(chunks: &[Digest]) -> Option<(&[Digest], &[Digest])> {
    (chunks.len() > 1).then(|| chunks.split_at(chunks.len().next_power_of_two() / 2))
}

/// The result of a hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest(pub [u8; DIGEST_BYTES]);

impl Digest {
    /// Parses 64 hexadecimal digits of either case.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let (pairs, rest) = text.as_chunks::<2>();
        if pairs.len() != DIGEST_BYTES || !rest.is_empty() {
            return None;
        }
        let mut digest = [0; DIGEST_BYTES];
        for (byte, pair) in digest.iter_mut().zip(pairs) {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? << 4 | low?).ok()?;
        }
        Some(Self(digest))
    }
}

/// As 64 hexadecimal digits in lower case.
impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(algorithm: Algorithm, chunks: &[&[u8]]) -> String {
        let mut hasher = Hasher::new(algorithm);
        chunks.iter().for_each(|chunk| hasher.update(chunk));
        hasher.finalize().to_string()
    }

    #[test]
    fn digests_are_those_of_the_standards() {
        assert_eq!(
            of(Algorithm::Sha256, &[b"abc"]),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            of(Algorithm::Blake3, &[b""]),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }

    #[test]
    fn a_digest_does_not_depend_on_how_the_input_is_split_or_on_earlier_input() {
        for algorithm in [Algorithm::Blake3, Algorithm::Sha256] {
            let zeros = vec![0; 3 * ZEROS.len() + 17];
            let whole = of(algorithm, &[&zeros, b"end"]);
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"something else");
            hasher.reset();
            hasher.update_zeros(zeros.len() as u64);
            hasher.update(b"e");
            hasher.update(b"nd");
            assert_eq!(hasher.finalize().to_string(), whole, "{algorithm:?}");
            assert_eq!(hasher.finalize().to_string(), whole, "computed again");
        }
    }

    #[test]
    fn joined_chunks_give_the_digest_of_the_whole() {
        const CHUNK: usize = 4096;
        let whole: Vec<u8> = (0..20 * CHUNK).map(|at| (at * at / 7 % 251) as u8).collect();
        for number in 2..20 {
            for last in [1, 1000, 1024, 1025, CHUNK - 1, CHUNK] {
                let whole = &whole[..(number - 1) * CHUNK + last];
                let digest = |(at, chunk): (usize, &[u8])| {
                    let mut hasher = ChunkHasher::new((at * CHUNK) as u64);
                    chunk.chunks(700).for_each(|part| hasher.update(part));
                    hasher.finalize().unwrap()
                };
                let chunks: Vec<_> = whole.chunks(CHUNK).enumerate().map(digest).collect();
                let joined = join_chunks(&chunks).unwrap().to_string();
                assert_eq!(joined, of(Algorithm::Blake3, &[whole]), "{number} {last}");
            }
        }
        assert_eq!(join_chunks(&[]), None);
        assert_eq!(join_chunks(&[Digest([0; DIGEST_BYTES])]), None);
        assert_eq!(ChunkHasher::new(0).finalize(), None);
    }

    #[test]
    fn a_digest_is_parsed_from_its_text_and_from_nothing_else() {
        let digest = Digest(std::array::from_fn(|at| u8::try_from(at * 7 + 3).unwrap()));
        let text = digest.to_string();
        assert_eq!(Digest::from_hex(text.as_bytes()), Some(digest));
        assert_eq!(Digest::from_hex(text.to_uppercase().as_bytes()), Some(digest));
        for wrong in [&text[1..], &format!("{text}0"), &text.replace('0', "g"), "", "ä"] {
            assert_eq!(Digest::from_hex(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
