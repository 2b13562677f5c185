//! Computes the BLAKE3 or SHA-256 hash of file data, while a copier copies or reads the file.
//!
//! This is the only module that uses the crates `blake3` and `sha2`. Both digests have 32 bytes.

use blake3::hazmat::{self, ChainingValue, HasherExt as _, Mode};
use std::fmt;

/// The size of a digest, in bytes.
pub const DIGEST_BYTES: usize = 32;

/// Zeros, which are hashed in place of a hole in a sparse file.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// The hash algorithms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// BLAKE3, as `b3sum` prints it; much faster than SHA-256.
    Blake3,
    /// SHA-256, as `sha256sum` prints it.
    Sha256,
}

impl Algorithm {
    /// Returns the name of the algorithm in tagged lines (`b3sum --tag`, `sha256sum --tag`).
    pub fn tag(self) -> &'static str {
        match self {
            Self::Blake3 => "BLAKE3",
            Self::Sha256 => "SHA256",
        }
    }

    /// Whether the algorithm is a tree hash, so that [`join_chunks`] can compute the digest of a file from
    /// those of its chunks.
    pub fn is_tree(self) -> bool {
        self == Self::Blake3
    }

    /// Returns the other algorithm.
    pub fn other(self) -> Self {
        match self {
            Self::Blake3 => Self::Sha256,
            Self::Sha256 => Self::Blake3,
        }
    }
}

/// Computes the digest of a byte stream.
pub struct Hasher(HashState);

// The states are not boxed, so that hashing a file needs no allocation. Their size does not matter, because a
// copier has one hasher at a time.
#[expect(clippy::large_enum_variant)]
enum HashState {
    Blake3(blake3::Hasher),
    Sha256(sha2::Sha256),
}

impl Hasher {
    /// Returns a hasher without input.
    pub fn new(algorithm: Algorithm) -> Self {
        use sha2::Digest as _;
        Self(match algorithm {
            Algorithm::Blake3 => HashState::Blake3(blake3::Hasher::new()),
            Algorithm::Sha256 => HashState::Sha256(sha2::Sha256::new()),
        })
    }

    /// Appends bytes to the input.
    pub fn update(&mut self, bytes: &[u8]) {
        use sha2::Digest as _;
        match &mut self.0 {
            HashState::Blake3(hasher) => {
                hasher.update(bytes);
            }
            HashState::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// Appends `bytes` zeros to the input, as read(2) returns them for a hole.
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
            HashState::Blake3(hasher) => {
                hasher.reset();
            }
            HashState::Sha256(hasher) => hasher.reset(),
        }
    }

    /// Returns the digest of the input so far.
    pub fn finalize(&self) -> Digest {
        use sha2::Digest as _;
        Digest(match &self.0 {
            HashState::Blake3(hasher) => *hasher.finalize().as_bytes(),
            HashState::Sha256(hasher) => hasher.clone().finalize().into(),
        })
    }
}

/// Computes the BLAKE3 chaining value of one chunk of a file.
///
/// BLAKE3 is a tree hash: if all chunks have the same size, a power of two of at least 1 KiB, each chunk is a
/// whole subtree. SHA-256 is not a tree hash and has no such chunks.
pub struct ChunkHasher(blake3::Hasher);

impl ChunkHasher {
    /// Returns a hasher for the chunk at `offset` in bytes, a multiple of the chunk size.
    pub fn new(offset: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(offset);
        Self(hasher)
    }

    /// Appends bytes to the input.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the chaining value, from which [`join_chunks`] computes the digest of the file; `None` without
    /// input.
    pub fn finalize(&self) -> Option<Digest> {
        (self.0.count() > 0).then(|| Digest(self.0.finalize_non_root()))
    }
}

/// Returns the BLAKE3 digest of a file, given the chaining values of its chunks in order. The last chunk may
/// be shorter than the others. Returns `None` if there are fewer than two chunks.
pub fn join_chunks(chunks: &[Digest]) -> Option<Digest> {
    let (left, right) = halves(chunks)?;
    let (left, right) = (subtree(left)?, subtree(right)?);
    Some(Digest(*hazmat::merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()))
}

fn subtree(chunks: &[Digest]) -> Option<ChainingValue> {
    let Some((left, right)) = halves(chunks) else { return chunks.first().map(|chunk| chunk.0) };
    Some(hazmat::merge_subtrees_non_root(&subtree(left)?, &subtree(right)?, Mode::Hash))
}

/// Splits the chunks of a node into those below its left child and those below its right child. The number of
/// chunks below the left child is the largest power of two that is smaller than the number of all chunks.
fn halves(chunks: &[Digest]) -> Option<(&[Digest], &[Digest])> {
    (chunks.len() > 1).then(|| chunks.split_at(chunks.len().next_power_of_two() / 2))
}

/// The digest of a file, or the chaining value of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest(pub [u8; DIGEST_BYTES]);

impl Digest {
    /// Parses 64 hexadecimal digits of either case; returns `None` for any other text.
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

/// Prints the digest as 64 hexadecimal digits in lower case.
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
