//! What the parent remembers of a run from one round to the next, and what is left for the end.

use crate::error::{EntryError, Op};
use crate::ipc::fingerprint::mark;
use crate::ipc::inherited::digests::Hashed;
use crate::ipc::inherited::link_groups::{Groups, Role};
use crate::ipc::inherited::prompt::PendingPrompt;
use crate::ipc::memory::counters::{Count, Totals, place_fingerprint};
use crate::ipc::wire::difference::Difference;
use crate::ipc::wire::task::{EntryPath, split_last};
use pcopy_sys::Errno;
use pcopy_sys::file::Identity;
use std::collections::{HashMap, HashSet};

/// How often copiers may die on a file before it is skipped.
const DEATHS_MAX: u32 = 3;

/// What the parent remembers of a run.
#[derive(Default)]
pub(super) struct RunState {
    /// Directories that the parent finishes when all copiers have exited.
    pub(super) dirs: DeferredDirs,
    /// Names of files that have several.
    pub(super) links: LinkNames,
    /// Files whose replacement the user is asked about.
    pub(super) prompts: Prompts,
    /// Where copiers died.
    pub(super) deaths: Deaths,
    /// What a comparison has found in this round.
    pub(super) findings: Findings,
    /// The digests of files that are in the copy.
    pub(super) hashed: Hashed,
    /// Directories that the run has made under their final names, by `place_fingerprint`.
    pub(super) made: HashSet<u64>,
    /// Operands of which nothing was copied.
    pub(super) failed: HashSet<u32>,
    /// Entries that are done in directories that existed before, where that must be remembered.
    pub(super) done: HashSet<u64>,
    reported: Reported,
    tally: Tally,
}

/// A directory that only the parent can finish, as its copier has reported it.
#[derive(Clone, Debug)]
pub(super) struct DeferredDir {
    pub(super) operand: u32,
    pub(super) source: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) staged: bool,
    /// Whether it is new, and was counted and reported.
    pub(super) new: bool,
}

impl DeferredDir {
    /// The directory at this place, which existed before.
    pub(super) fn existing(place: EntryPath<'_>) -> Self {
        let EntryPath { operand, source, target, staged } = place;
        Self { operand, source: source.to_vec(), target: target.to_vec(), staged, new: false }
    }

    /// The directory at this place, which this run has made.
    pub(super) fn new(place: EntryPath<'_>) -> Self {
        Self { new: true, ..Self::existing(place) }
    }

    pub(super) fn place(&self) -> EntryPath<'_> {
        let Self { operand, ref source, ref target, staged, .. } = *self;
        EntryPath { operand, source, target, staged }
    }
}

/// Directories that the parent finishes when all copiers have exited.
#[derive(Default)]
pub(super) struct DeferredDirs {
    /// Those whose times and mode are still to be set.
    pub(super) late: Vec<DeferredDir>,
    /// Those that were built under a staged name and are to be renamed into place.
    pub(super) built: Vec<DeferredDir>,
}

/// Names of files that have several.
#[derive(Default)]
pub(super) struct LinkNames {
    /// Those that this round has met.
    pub(super) groups: Groups,
    /// Those of earlier waves, to which names of this one can become links.
    pub(super) earlier: Groups,
    /// How many names `groups` had before the prompted files were copied.
    pub(super) before_prompted: usize,
    /// The files of which this round has found a name complete, or made one.
    led: HashSet<Identity>,
}

/// Files whose replacement the user is asked about.
#[derive(Default)]
pub(super) struct Prompts {
    /// Those that this round has met.
    pub(super) pending: Vec<PendingPrompt>,
    /// Those that the user agreed to.
    pub(super) agreed: Vec<PendingPrompt>,
}

/// Where copiers died, by `place_fingerprint`.
#[derive(Default)]
pub(super) struct Deaths {
    /// Places that are not tried any more.
    pub(super) passed_over: Vec<u64>,
    /// Where a copier died that had begun an entry and not settled it.
    pub(super) begun: Vec<u64>,
    /// Those of them that were made under their final names; they may be incomplete.
    pub(super) begun_new: Vec<u64>,
    /// Those of them where an existing file was written into; it may be incomplete.
    pub(super) begun_over: Vec<u64>,
    counts: HashMap<u64, u32>,
}

impl Deaths {
    /// Notes that copiers died at this place in a round; true if it is skipped from now on.
    pub(super) fn note(&mut self, place: u64) -> bool {
        let deaths = self.counts.entry(place).or_default();
        *deaths += 1;
        if *deaths != DEATHS_MAX {
            return false;
        }
        self.passed_over.push(place);
        true
    }

    /// Forgets what was begun at a place that is settled now.
    fn settle(&mut self, place: EntryPath<'_>) {
        if self.begun.is_empty() {
            return;
        }
        let (dir, name) = split_last(place.source);
        let marks = [
            place_fingerprint(place.operand, place.source, b""),
            place_fingerprint(place.operand, dir, name),
        ];
        for begun in [&mut self.begun, &mut self.begun_new, &mut self.begun_over] {
            begun.retain(|mark| !marks.contains(mark));
        }
    }
}

/// What a comparison has found in this round.
#[derive(Default)]
pub(super) struct Findings {
    /// Operands, paths below them, and how what is there differs.
    pub(super) differences: Vec<(u32, Vec<u8>, Difference)>,
    /// Entries that have several names in the source or in the target.
    pub(super) linked: Vec<LinkedPair>,
}

/// An entry that has several names in the source or in the target.
pub(super) struct LinkedPair {
    pub(super) operand: u32,
    pub(super) path: Vec<u8>,
    pub(super) source: Identity,
    pub(super) target: Identity,
}

/// What was reported to the user: further rounds meet the same entries again.
#[derive(Default)]
struct Reported {
    /// Failures, by their place.
    failures: HashSet<u64>,
    /// Entries that were counted and reported as done and may be so again: new directories that a round
    /// has not finished, and names of files of which the next round may copy another name first.
    early: HashSet<u64>,
    /// Whether it was reported that the target has no hard links.
    no_links: bool,
}

/// The counts of a run over its rounds and phases.
#[derive(Default)]
struct Tally {
    /// Those of the phases that have ended.
    finished: Totals,
    /// What earlier rounds of this phase have made; this round finds it complete and skips it.
    copied: u64,
    linked: u64,
    bytes: u64,
    /// How many names in [`Reported::early`] this round has found complete.
    found_again: u64,
}

impl Tally {
    /// Adds what a round has made. Wrapping: counts in damaged shared memory must not end in a panic.
    fn add(&mut self, copied: u64, linked: u64, bytes: u64) {
        self.copied = self.copied.wrapping_add(copied);
        self.linked = self.linked.wrapping_add(linked);
        self.bytes = self.bytes.wrapping_add(bytes);
    }

    fn sum_up(&self, mut last: Totals) -> Totals {
        let copied = self.copied.wrapping_add(self.found_again);
        for (count, earlier) in [(Count::Copied, copied), (Count::Linked, self.linked)] {
            let again = earlier.min(last.get(Count::Skipped));
            last.set(Count::Skipped, last.get(Count::Skipped) - again);
            last.set(count, last.get(count).wrapping_add(again));
        }
        last.set(Count::Bytes, last.get(Count::Bytes).wrapping_add(self.bytes));
        self.finished.plus(&last)
    }
}

impl RunState {
    /// Nothing yet but the directories that were `made` before the first round.
    pub(super) fn begin(made: HashSet<u64>) -> Self {
        Self { made, ..Self::default() }
    }

    /// Whether this failure was not reported yet. A later round meets those of the earlier ones again.
    pub(super) fn is_new_failure(&mut self, error: EntryError, place: EntryPath<'_>) -> bool {
        self.reported.failures.insert(mark((error, place.operand, place.source)))
    }

    /// Whether a name that could not become a link is to be reported, and then whether that stands for
    /// all that follow: only `EMLINK` concerns one file alone.
    pub(super) fn new_link_failure(&mut self, errno: Errno, place: EntryPath<'_>) -> Option<bool> {
        let stands_for_all = errno != Errno::EMLINK;
        let is_new = if stands_for_all {
            !std::mem::replace(&mut self.reported.no_links, true)
        } else {
            self.is_new_failure(EntryError { op: Op::Link, errno }, place)
        };
        is_new.then_some(stands_for_all)
    }

    /// Whether an entry that is done is to be reported, which happens once in a run.
    pub(super) fn is_newly_done(&mut self, place: EntryPath<'_>) -> bool {
        // It is settled now. Should its round end early, the next one skips it as complete.
        self.deaths.settle(place);
        !self.reported.early.contains(&mark((place.operand, place.source)))
    }

    /// Notes a name that is complete, made or found, and that others may become links to; false if
    /// another name of its file was so before in this round.
    pub(super) fn note_leader(
        &mut self,
        identity: Identity,
        place: EntryPath<'_>,
        role: Role,
    ) -> bool {
        self.links.groups.add(identity, place, true, role);
        if role == Role::Found && !self.reported.early.is_empty() {
            let again = self.reported.early.contains(&mark((place.operand, place.source)));
            self.tally.found_again += u64::from(again);
        }
        self.links.led.insert(identity)
    }

    /// Ends a round that will be followed by another, which meets every entry again. Returns how many
    /// entries it has made that no round before it had.
    pub(super) fn end_round(&mut self, totals: &Totals) -> u64 {
        let new: Vec<DeferredDir> = self.dirs.late.drain(..).filter(|dir| dir.new).collect();
        self.dirs.built.clear();
        self.prompts.pending.clear();
        self.hashed.end_round();
        self.findings = Findings::default();
        self.links.led.clear();
        let groups = std::mem::replace(&mut self.links.groups, self.links.earlier.clone());
        let made: Vec<u64> =
            groups.made().map(|(operand, path)| mark((operand, &path[..]))).collect();
        self.tally.found_again = 0;
        let again = (new.len() + made.len()) as u64;
        let once = totals.get(Count::Copied).saturating_sub(again);
        self.tally.add(once, 0, totals.get(Count::Bytes));
        let early = &mut self.reported.early;
        let known = early.len();
        early.extend(new.iter().map(|dir| mark((dir.operand, &dir.source[..]))));
        early.extend(made);
        let newly_early = (early.len() - known) as u64;
        once.saturating_add(newly_early).saturating_add(totals.get(Count::Linked))
    }

    /// Ends a round of prompted files that will be followed by another. Returns as
    /// [`end_later_round`](Self::end_later_round).
    pub(super) fn end_prompted_round(&mut self, totals: &Totals) -> u64 {
        // The next round meets these names again.
        self.links.groups.cut_back(self.links.before_prompted);
        self.end_later_round(totals)
    }

    /// Ends a round of links, or of reading back, that will be followed by another. What the copying
    /// has left for the end stays, and what was made is found as it is. Returns as
    /// [`end_round`](Self::end_round).
    pub(super) fn end_later_round(&mut self, totals: &Totals) -> u64 {
        let (copied, linked) = (totals.get(Count::Copied), totals.get(Count::Linked));
        self.tally.add(copied, linked, totals.get(Count::Bytes));
        copied.saturating_add(linked)
    }

    /// Ends a phase whose counts, with those of the phases before, are `whole`.
    pub(super) fn end_phase(&mut self, whole: &Totals) {
        self.tally = Tally { finished: *whole, ..Tally::default() };
    }

    /// Begins a wave, whose names can become links to those of the earlier ones.
    pub(super) fn begin_wave(&mut self) {
        self.links.groups = self.links.earlier.clone();
        self.hashed.begin_wave();
    }

    /// Ends a wave; returns its names of files that have several.
    pub(super) fn end_wave(&mut self, whole: &Totals) -> Groups {
        self.end_phase(whole);
        self.prompts.agreed.clear();
        self.links.led.clear();
        std::mem::take(&mut self.links.groups)
    }

    /// The counts of the whole run, given those of its last round. What an earlier round has made, the
    /// last one has found complete and counted as skipped.
    pub(super) fn sum_up(&self, last: Totals) -> Totals {
        self.tally.sum_up(last)
    }

    /// The counts of the phases that have ended and of the present round, for the progress line.
    pub(super) fn so_far(&self, round: &Totals) -> Totals {
        self.tally.finished.plus(round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: EntryPath<'_> =
        EntryPath { operand: 2, source: b"s/d", target: b"t/d", staged: true };

    #[test]
    fn an_unfinished_new_directory_is_counted_and_reported_once() {
        let mut state = RunState::default();
        let mut round = Totals::default();
        round.set(Count::Found, 2);
        round.set(Count::Copied, 2);
        assert!(state.is_newly_done(PLACE));
        state.dirs.late.push(DeferredDir::new(PLACE));
        assert_eq!(state.end_round(&round), 2);

        assert!(!state.is_newly_done(PLACE));
        assert!(state.is_newly_done(EntryPath { source: b"s/e", ..PLACE }));
        round.set(Count::Copied, 1);
        round.set(Count::Skipped, 1);
        assert_eq!(state.sum_up(round).get(Count::Copied), 2);

        state.dirs.late.push(DeferredDir::new(PLACE));
        assert_eq!(state.end_round(&round), 0, "it was made before");
    }

    #[test]
    fn an_entry_that_is_done_is_no_longer_begun() {
        let begun = vec![place_fingerprint(2, b"s", b"d"), place_fingerprint(2, b"s", b"other")];
        let mut state = RunState::default();
        state.deaths.begun = begun;
        assert!(state.is_newly_done(PLACE));
        assert_eq!(state.deaths.begun, [place_fingerprint(2, b"s", b"other")]);
    }

    #[test]
    fn a_place_is_skipped_after_three_deaths() {
        let mut deaths = Deaths::default();
        assert!(!deaths.note(7));
        assert!(!deaths.note(7));
        assert!(!deaths.note(8));
        assert!(deaths.note(7));
        assert_eq!(deaths.passed_over, [7]);
        assert!(!deaths.note(7), "it is added once");
    }

    #[test]
    fn entries_copied_by_an_earlier_round_are_not_counted_as_skipped() {
        let mut state = RunState::default();
        let mut first = Totals::default();
        first.set(Count::Copied, 5);
        first.set(Count::Bytes, 500);
        state.end_round(&first);
        let mut last = Totals::default();
        last.set(Count::Found, 12);
        last.set(Count::Skipped, 8);
        last.set(Count::Copied, 4);
        let whole = state.sum_up(last);
        assert_eq!((whole.get(Count::Copied), whole.get(Count::Skipped)), (9, 3));
        assert_eq!(whole.get(Count::Bytes), 500);
        assert!(whole.balance());
    }

    #[test]
    fn a_linked_file_is_counted_and_reported_once_whichever_name_comes_first() {
        let other = EntryPath { source: b"s/e", ..PLACE };
        let totals = |counts: &[(Count, u64)]| {
            let mut totals = Totals::default();
            counts.iter().for_each(|&(count, number)| totals.set(count, number));
            totals
        };
        for (next, follower) in [(PLACE, other), (other, PLACE)] {
            let mut state = RunState::default();
            state.note_leader((1, 5), PLACE, Role::Made);
            state.end_round(&totals(&[(Count::Found, 2), (Count::Copied, 1)]));
            assert_eq!(state.links.groups.sort(), 0, "a round begins without names");
            assert!(!state.is_newly_done(PLACE) && state.is_newly_done(other));

            // The same name is found complete; the other one is made.
            let made = u64::from(next == other);
            state.note_leader((1, 5), next, if made == 1 { Role::Made } else { Role::Found });
            state.links.groups.add((1, 5), follower, false, Role::Follower);
            let round = [(Count::Found, 2), (Count::Copied, made), (Count::Skipped, 1 - made)];
            let copied = state.sum_up(totals(&round));
            assert_eq!((copied.get(Count::Copied), copied.get(Count::Skipped)), (1, 0));

            state.end_phase(&copied);
            assert_eq!(state.links.groups.sort(), 1);
            // Linked, killed, and found as a link.
            state.end_later_round(&totals(&[(Count::Linked, 1)]));
            let whole = state.sum_up(totals(&[(Count::Skipped, 1)]));
            assert_eq!((whole.get(Count::Linked), whole.get(Count::Skipped)), (1, 0));
            assert!(whole.balance());
        }
    }

    #[test]
    fn the_counts_of_all_waves_are_added_up() {
        let mut state = RunState::default();
        let mut wave = Totals::default();
        wave.set(Count::Copied, 3);
        state.end_round(&wave);
        state.end_wave(&wave);
        wave.set(Count::Skipped, 2);
        let whole = state.sum_up(wave);
        assert_eq!((whole.get(Count::Copied), whole.get(Count::Skipped)), (6, 2));
    }
}
