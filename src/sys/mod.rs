//! The kernel in our words: one call each, no policy.
