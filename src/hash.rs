//! Hashes that prove contents: BLAKE3 and SHA-256, taken while bytes go by.
//!
//! The only door to both crates. A digest has 32 bytes whichever it is.

use blake3::hazmat::{self, ChainingValue, HasherExt as _, Mode};
use std::fmt;

/// How many bytes a digest has.
pub const DIGEST_BYTES: usize = 32;

/// Zeros that are hashed at a time where a file has a hole.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Which hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// BLAKE3, what `b3sum` prints. The faster one by far.
    Blake3,
    /// SHA-256, what `sha256sum` prints.
    Sha256,
}

impl Algorithm {
    /// The name that tagged lines (`b3sum --tag`, `sha256sum --tag`) have for it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Blake3 => "BLAKE3",
            Self::Sha256 => "SHA256",
        }
    }

    /// Whether the hash of a whole can be joined from those of its pieces.
    pub fn joins(self) -> bool {
        self == Self::Blake3
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Blake3 => Self::Sha256,
            Self::Sha256 => Self::Blake3,
        }
    }
}

/// A hash in the making.
pub struct Hasher(State);

// A copier has one at a time, in place: what BLAKE3 keeps costs no allocation for each file.
#[expect(clippy::large_enum_variant)]
enum State {
    Blake3(blake3::Hasher),
    Sha256(sha2::Sha256),
}

impl Hasher {
    /// The hash of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        use sha2::Digest as _;
        Self(match algorithm {
            Algorithm::Blake3 => State::Blake3(blake3::Hasher::new()),
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
        })
    }

    /// Adds bytes at the end.
    pub fn update(&mut self, bytes: &[u8]) {
        use sha2::Digest as _;
        match &mut self.0 {
            State::Blake3(hasher) => {
                hasher.update(bytes);
            }
            State::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// Adds that many zeros at the end, as a hole is read.
    pub fn update_zeros(&mut self, bytes: u64) {
        let mut left = bytes;
        while left > 0 {
            let piece = left.min(ZEROS.len() as u64);
            self.update(&ZEROS[..usize::try_from(piece).unwrap_or(ZEROS.len())]);
            left -= piece;
        }
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        use sha2::Digest as _;
        match &mut self.0 {
            State::Blake3(hasher) => {
                hasher.reset();
            }
            State::Sha256(hasher) => hasher.reset(),
        }
    }

    /// The digest of all that was added.
    pub fn finalize(&self) -> Digest {
        use sha2::Digest as _;
        Digest(match &self.0 {
            State::Blake3(hasher) => *hasher.finalize().as_bytes(),
            State::Sha256(hasher) => hasher.clone().finalize().into(),
        })
    }
}

/// The hash of a piece of something longer, in the making. BLAKE3 alone has it: it is a tree, and pieces of
/// one size, a power of two from 1 KiB on, are whole branches of it.
pub struct PieceHasher(blake3::Hasher);

impl PieceHasher {
    /// For a piece that begins there, in bytes: a multiple of the size of all pieces.
    pub fn new(offset: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(offset);
        Self(hasher)
    }

    /// Adds bytes at the end.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// What all pieces together are [joined](join) from; `None` if there was no byte.
    pub fn finalize(&self) -> Option<Digest> {
        (self.0.count() > 0).then(|| Digest(self.0.finalize_non_root()))
    }
}

/// The BLAKE3 digest of a whole whose pieces, in their order, have come to these; the last one may be
/// shorter than the others. `None` if there are fewer than two.
pub fn join(pieces: &[Digest]) -> Option<Digest> {
    let (left, right) = halves(pieces)?;
    let (left, right) = (branch(left)?, branch(right)?);
    Some(Digest(*hazmat::merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()))
}

fn branch(pieces: &[Digest]) -> Option<ChainingValue> {
    let Some((left, right)) = halves(pieces) else { return pieces.first().map(|piece| piece.0) };
    Some(hazmat::merge_subtrees_non_root(&branch(left)?, &branch(right)?, Mode::Hash))
}

/// Both sides of a branch: the left one is the greatest power of two that leaves something.
fn halves(pieces: &[Digest]) -> Option<(&[Digest], &[Digest])> {
    (pieces.len() > 1).then(|| pieces.split_at(pieces.len().next_power_of_two() / 2))
}

/// What a hash comes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest(pub [u8; DIGEST_BYTES]);

impl Digest {
    /// From 64 hexadecimal digits of either case; `None` if it is anything else.
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

    fn of(algorithm: Algorithm, pieces: &[&[u8]]) -> String {
        let mut hasher = Hasher::new(algorithm);
        pieces.iter().for_each(|piece| hasher.update(piece));
        hasher.finalize().to_string()
    }

    #[test]
    fn the_digests_are_those_that_the_standards_give() {
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
    fn pieces_zeros_and_a_new_beginning_do_not_show() {
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
            assert_eq!(hasher.finalize().to_string(), whole, "asked again");
        }
    }

    #[test]
    fn pieces_are_joined_to_what_the_whole_comes_to() {
        const PIECE: usize = 4096;
        let whole: Vec<u8> = (0..20 * PIECE).map(|at| (at * at / 7 % 251) as u8).collect();
        for number in 2..20 {
            for last in [1, 1000, 1024, 1025, PIECE - 1, PIECE] {
                let whole = &whole[..(number - 1) * PIECE + last];
                let digest = |(at, piece): (usize, &[u8])| {
                    let mut hasher = PieceHasher::new((at * PIECE) as u64);
                    piece.chunks(700).for_each(|part| hasher.update(part));
                    hasher.finalize().unwrap()
                };
                let pieces: Vec<_> = whole.chunks(PIECE).enumerate().map(digest).collect();
                let joined = join(&pieces).unwrap().to_string();
                assert_eq!(joined, of(Algorithm::Blake3, &[whole]), "{number} {last}");
            }
        }
        assert_eq!(join(&[]), None);
        assert_eq!(join(&[Digest([0; DIGEST_BYTES])]), None);
        assert_eq!(PieceHasher::new(0).finalize(), None);
    }

    #[test]
    fn a_digest_survives_its_text_and_nothing_else_is_one() {
        let digest = Digest(std::array::from_fn(|at| u8::try_from(at * 7 + 3).unwrap()));
        let text = digest.to_string();
        assert_eq!(Digest::from_hex(text.as_bytes()), Some(digest));
        assert_eq!(Digest::from_hex(text.to_uppercase().as_bytes()), Some(digest));
        for wrong in [&text[1..], &format!("{text}0"), &text.replace('0', "g"), "", "ä"] {
            assert_eq!(Digest::from_hex(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
