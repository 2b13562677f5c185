//! What the supervisor remembers of a run: failures by kind, and what is left for the end.

use crate::ipc::counters::{Count, Totals};
use crate::ipc::report::Fault;
use crate::ipc::task::Place;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// How often copiers may die on a file before it is passed over.
const DEATHS_MAX: u32 = 3;

/// A directory that is finished when all copiers have ended.
#[derive(Clone, Debug)]
pub(super) struct LateDir {
    pub(super) entry: u32,
    pub(super) source: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) staged: bool,
}

/// A new directory that has to be given its final name.
#[derive(Clone, Debug)]
pub(super) struct Built {
    pub(super) entry: u32,
    pub(super) source: Vec<u8>,
    /// Its final path in the target.
    pub(super) target: Vec<u8>,
    /// Its present name, beside the final one.
    pub(super) staged_name: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Ledger {
    /// Directories left for the end by this round.
    pub(super) late: Vec<LateDir>,
    /// Directories built by this round.
    pub(super) built: Vec<Built>,
    /// Failures told, by kind.
    pub(super) kinds: HashMap<Fault, u64>,
    /// Places that are not tried any more.
    pub(super) passed_over: Vec<u64>,
    told: HashSet<u64>,
    deaths: HashMap<u64, u32>,
    earlier_copied: u64,
    earlier_bytes: u64,
    finished: Totals,
}

impl Ledger {
    /// Whether this failure is new; a later round meets those of the earlier ones again.
    pub(super) fn is_news(&mut self, fault: Fault, place: Place<'_>) -> bool {
        let mut hasher = DefaultHasher::new();
        (fault, place.entry, place.source).hash(&mut hasher);
        self.told.insert(hasher.finish())
    }

    /// Notes that a copier died at the place with this mark; true if it is now passed over.
    pub(super) fn died_at(&mut self, mark: u64) -> bool {
        let deaths = self.deaths.entry(mark).or_default();
        *deaths += 1;
        if *deaths != DEATHS_MAX {
            return false;
        }
        self.passed_over.push(mark);
        true
    }

    /// Ends a round that will be followed by another, which finds everything anew.
    pub(super) fn end_round(&mut self, totals: &Totals) {
        self.late.clear();
        self.built.clear();
        self.earlier_copied += totals.get(Count::Copied);
        self.earlier_bytes += totals.get(Count::Bytes);
    }

    /// Ends a wave whose numbers, with those of the waves before, are `whole`.
    pub(super) fn end_wave(&mut self, whole: &Totals) {
        self.finished = *whole;
        self.earlier_copied = 0;
        self.earlier_bytes = 0;
    }

    /// The numbers of the whole run, given those of its last round.
    ///
    /// What an earlier round copied, the last one has found complete and skipped.
    pub(super) fn sum_up(&self, mut last: Totals) -> Totals {
        let again = self.earlier_copied.min(last.get(Count::Skipped));
        last.set(Count::Skipped, last.get(Count::Skipped) - again);
        last.set(Count::Copied, last.get(Count::Copied).wrapping_add(again));
        last.set(Count::Bytes, last.get(Count::Bytes).wrapping_add(self.earlier_bytes));
        self.so_far(&last)
    }

    /// What is behind the run when its present round has counted `round`.
    pub(super) fn so_far(&self, round: &Totals) -> Totals {
        self.finished.plus(round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_death_at_a_place_is_the_last() {
        let mut ledger = Ledger::default();
        assert!(!ledger.died_at(7));
        assert!(!ledger.died_at(7));
        assert!(!ledger.died_at(8));
        assert!(ledger.died_at(7));
        assert_eq!(ledger.passed_over, [7]);
        assert!(!ledger.died_at(7), "it is passed over once");
    }

    #[test]
    fn what_an_earlier_round_copied_is_not_called_skipped() {
        let mut ledger = Ledger::default();
        let mut first = Totals::default();
        first.set(Count::Copied, 5);
        first.set(Count::Bytes, 500);
        ledger.end_round(&first);
        let mut last = Totals::default();
        last.set(Count::Found, 12);
        last.set(Count::Skipped, 8);
        last.set(Count::Copied, 4);
        let whole = ledger.sum_up(last);
        assert_eq!((whole.get(Count::Copied), whole.get(Count::Skipped)), (9, 3));
        assert_eq!(whole.get(Count::Bytes), 500);
        assert!(whole.balance());
    }

    #[test]
    fn the_waves_of_a_run_add_up() {
        let mut ledger = Ledger::default();
        let mut wave = Totals::default();
        wave.set(Count::Copied, 3);
        ledger.end_round(&wave);
        ledger.end_wave(&wave);
        wave.set(Count::Skipped, 2);
        let whole = ledger.sum_up(wave);
        assert_eq!((whole.get(Count::Copied), whole.get(Count::Skipped)), (6, 2));
    }
}
