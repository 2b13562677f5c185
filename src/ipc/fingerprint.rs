//! A number that stands for something, the same in every process of a run.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The mark of `what`. `DefaultHasher::new` has fixed keys, so whoever asks gets the same.
pub fn mark(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
