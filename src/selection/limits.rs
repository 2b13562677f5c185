//! Limits of size and age: `--max-size`, `--min-size`, `--newer-than`, `--older-than`.

use pcopy_sys::file::{Kind, Stamp, Stat};

/// Which regular files are taken, by their size and modification time. Other entries always are.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The most bytes that a file may have.
    pub max_size: Option<u64>,
    /// The fewest bytes that a file may have.
    pub min_size: Option<u64>,
    /// The file must have been modified after this time.
    pub newer_than: Option<Stamp>,
    /// The file must have been modified before this time.
    pub older_than: Option<Stamp>,
}

/// A limit that leaves out a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// `--max-size`
    MaxSize,
    /// `--min-size`
    MinSize,
    /// `--newer-than`
    NewerThan,
    /// `--older-than`
    OlderThan,
}

impl Limits {
    /// Whether there is any limit.
    pub(super) fn any(&self) -> bool {
        *self != Self::default()
    }

    /// Returns the limit that leaves out the entry with this status.
    pub(super) fn leaves_out(&self, entry: &Stat) -> Option<Limit> {
        if entry.kind() != Kind::File {
            return None;
        }
        let (size, modified) = (entry.size(), entry.modified());
        let limits = [
            (self.max_size.is_some_and(|most| size > most), Limit::MaxSize),
            (self.min_size.is_some_and(|least| size < least), Limit::MinSize),
            (self.newer_than.is_some_and(|time| modified <= time), Limit::NewerThan),
            (self.older_than.is_some_and(|time| modified >= time), Limit::OlderThan),
        ];
        limits.into_iter().find(|(is_over, _)| *is_over).map(|(_, limit)| limit)
    }
}
