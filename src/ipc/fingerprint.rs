//! A 64-bit hash whose value is the same in every process of a run.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Returns the hash of `value`. `DefaultHasher::new` has fixed keys, so every process computes the same hash.
pub(crate) fn fingerprint(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
