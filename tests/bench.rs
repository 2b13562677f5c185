//! The benchmark, `pcopy bench`.
