//! What the supervisor remembers of a run: failures by kind, and what is left for the end.

use super::compare_report::LinkedPair;
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

/// How often copiers may die on a file before it is passed over.
const DEATHS_MAX: u32 = 3;

/// A directory that only the supervisor can finish, as copiers know it.
#[derive(Clone, Debug)]
pub(super) struct DeferredDir {
    pub(super) operand: u32,
    pub(super) source: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) staged: bool,
    /// Whether it is new, and was counted and told.
    pub(super) new: bool,
}

impl DeferredDir {
    pub(super) fn at(place: EntryPath<'_>, new: bool) -> Self {
        let EntryPath { operand, source, target, staged } = place;
        Self { operand, source: source.to_vec(), target: target.to_vec(), staged, new }
    }

    pub(super) fn place(&self) -> EntryPath<'_> {
        let Self { operand, ref source, ref target, staged, .. } = *self;
        EntryPath { operand, source, target, staged }
    }
}

#[derive(Default)]
pub(super) struct RunState {
    /// Directories whose times and bits this round has left for the end.
    pub(super) late: Vec<DeferredDir>,
    /// Directories that this round has built and that want their final names.
    pub(super) built: Vec<DeferredDir>,
    /// Names of files that have several, as this round has met them.
    pub(super) groups: Groups,
    /// The files of which this round has found a name complete, or made it so.
    led: HashSet<Identity>,
    /// Those of earlier waves to which names of this one can become links.
    pub(super) earlier: Groups,
    /// Directories that the run has made under their final names, by `place_mark`.
    pub(super) made: HashSet<u64>,
    /// Entries of the plan of which nothing was made.
    pub(super) failed: HashSet<u32>,
    /// What the user is to be asked for, as this round has met it.
    pub(super) defer_prompt: Vec<PendingPrompt>,
    /// What of it he has agreed to.
    pub(super) agreed: Vec<PendingPrompt>,
    /// Entries that are done in directories that stood there, where that must be remembered.
    pub(super) done: HashSet<u64>,
    /// How many names `groups` had when the user was asked.
    pub(super) before_agreed: usize,
    /// The digests of files that are in the copy.
    pub(super) hashed: Hashed,
    /// What differs, where things are only compared: entries, paths, and in what.
    pub(super) differences: Vec<(u32, Vec<u8>, Difference)>,
    /// Names of what has several on one side at least.
    pub(super) twins: Vec<LinkedPair>,
    /// Failures told, by kind.
    pub(super) kinds: HashMap<EntryError, u64>,
    /// Places that are not tried any more.
    pub(super) passed_over: Vec<u64>,
    /// Places where a copier died that had begun an entry and not settled it.
    pub(super) begun: Vec<u64>,
    /// Those of them that were made under their final names, and those that were written into:
    /// they may be found half done.
    pub(super) begun_new: Vec<u64>,
    pub(super) begun_over: Vec<u64>,
    told: HashSet<u64>,
    /// What was told and counted, and may be told again: new directories that were left for an end
    /// that did not come, and names of files of which the next round may copy another one.
    told_late: HashSet<u64>,
    /// How many of these names this round has found complete.
    made_before: u64,
    said_no_links: bool,
    deaths: HashMap<u64, u32>,
    earlier_copied: u64,
    earlier_linked: u64,
    earlier_bytes: u64,
    finished: Totals,
}

impl RunState {
    /// Nothing yet but the directories that were `made` before the first round.
    pub(super) fn begin(made: HashSet<u64>) -> Self {
        Self { made, ..Self::default() }
    }

    /// Whether this failure is new; a later round meets those of the earlier ones again.
    pub(super) fn is_news(&mut self, error: EntryError, place: EntryPath<'_>) -> bool {
        self.told.insert(mark((error, place.operand, place.source)))
    }

    /// Whether the name of an entry that is done is to be told, which happens once in a run.
    pub(super) fn is_untold(&mut self, place: EntryPath<'_>) -> bool {
        if !self.begun.is_empty() {
            // What was begun is settled now. Its round may yet end early, and then it is skipped.
            let (dir, name) = split_last(place.source);
            let marks = [
                place_fingerprint(place.operand, place.source, b""),
                place_fingerprint(place.operand, dir, name),
            ];
            for begun in [&mut self.begun, &mut self.begun_new, &mut self.begun_over] {
                begun.retain(|mark| !marks.contains(mark));
            }
        }
        !self.told_late.contains(&mark((place.operand, place.source)))
    }

    /// Notes a name that is complete and that others may become links to; false if another name of its
    /// file was so before, in this round.
    pub(super) fn note_leader(
        &mut self,
        identity: Identity,
        place: EntryPath<'_>,
        new: bool,
    ) -> bool {
        self.groups.add(identity, place, true, if new { Role::Made } else { Role::Found });
        if !new && !self.told_late.is_empty() {
            let again = self.told_late.contains(&mark((place.operand, place.source)));
            self.made_before += u64::from(again);
        }
        self.led.insert(identity)
    }

    /// Whether a name that could not become a link is to be told of; `once` for all of them.
    pub(super) fn is_news_of_links(
        &mut self,
        errno: Errno,
        place: EntryPath<'_>,
        once: bool,
    ) -> bool {
        if once {
            return !std::mem::replace(&mut self.said_no_links, true);
        }
        self.is_news(EntryError { op: Op::Link, errno }, place)
    }

    /// Notes that a round had copiers die at the place with this mark; true if it is now passed over.
    pub(super) fn died_at(&mut self, mark: u64) -> bool {
        let deaths = self.deaths.entry(mark).or_default();
        *deaths += 1;
        if *deaths != DEATHS_MAX {
            return false;
        }
        self.passed_over.push(mark);
        true
    }

    /// Ends a round that will be followed by another, which finds everything anew; returns how many
    /// entries it has made that no round before it had.
    pub(super) fn end_round(&mut self, totals: &Totals) -> u64 {
        let new: Vec<DeferredDir> = self.late.drain(..).filter(|dir| dir.new).collect();
        self.built.clear();
        self.defer_prompt.clear();
        self.hashed.end_round();
        self.differences.clear();
        self.twins.clear();
        self.led.clear();
        let groups = std::mem::replace(&mut self.groups, self.earlier.clone());
        let made: Vec<u64> =
            groups.made().map(|(operand, path)| mark((operand, &path[..]))).collect();
        self.made_before = 0;
        let again = (new.len() + made.len()) as u64;
        let once = totals.get(Count::Copied).saturating_sub(again);
        // Wrapping: memory that somebody scribbled on must not end in a panic.
        self.earlier_copied = self.earlier_copied.wrapping_add(once);
        let known = self.told_late.len();
        self.told_late.extend(new.iter().map(|dir| mark((dir.operand, &dir.source[..]))));
        self.told_late.extend(made);
        self.earlier_bytes = self.earlier_bytes.wrapping_add(totals.get(Count::Bytes));
        let late = (self.told_late.len() - known) as u64;
        once.saturating_add(late).saturating_add(totals.get(Count::Linked))
    }

    /// Ends a round of links, or of what the user has agreed to, that will be followed by another.
    /// What the copying has left for the end stays, and what was made is found as it is. Returns as
    /// [`RunState::end_round`].
    pub(super) fn end_later_round(&mut self, totals: &Totals, asked: bool) -> u64 {
        if asked {
            self.groups.cut_back(self.before_agreed); // what was put off will be so again
        }
        for (sum, count) in [
            (&mut self.earlier_copied, Count::Copied),
            (&mut self.earlier_linked, Count::Linked),
            (&mut self.earlier_bytes, Count::Bytes),
        ] {
            *sum = sum.wrapping_add(totals.get(count));
        }
        totals.get(Count::Copied).saturating_add(totals.get(Count::Linked))
    }

    /// Ends a part of the run whose numbers, with those of the parts before, are `whole`.
    pub(super) fn end_phase(&mut self, whole: &Totals) {
        self.finished = *whole;
        self.earlier_copied = 0;
        self.earlier_linked = 0;
        self.earlier_bytes = 0;
        self.made_before = 0;
    }

    /// Ends a wave; its names of files that have several are returned.
    pub(super) fn end_wave(&mut self, whole: &Totals) -> Groups {
        self.end_phase(whole);
        self.agreed.clear();
        self.led.clear();
        std::mem::take(&mut self.groups)
    }

    /// Begins another wave, with what the earlier ones have made in mind.
    pub(super) fn begin_wave(&mut self) {
        self.groups = self.earlier.clone();
        self.hashed.begin_wave();
    }

    /// The numbers of the whole run, given those of its last round.
    ///
    /// What an earlier round made, the last one has found complete and skipped.
    pub(super) fn sum_up(&self, mut last: Totals) -> Totals {
        let copied = self.earlier_copied.wrapping_add(self.made_before);
        for (count, earlier) in [(Count::Copied, copied), (Count::Linked, self.earlier_linked)] {
            let again = earlier.min(last.get(Count::Skipped));
            last.set(Count::Skipped, last.get(Count::Skipped) - again);
            last.set(count, last.get(count).wrapping_add(again));
        }
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

    const PLACE: EntryPath<'_> =
        EntryPath { operand: 2, source: b"s/d", target: b"t/d", staged: true };

    #[test]
    fn a_directory_that_a_round_left_unfinished_is_counted_and_told_once() {
        let mut state = RunState::default();
        let mut round = Totals::default();
        round.set(Count::Found, 2);
        round.set(Count::Copied, 2);
        assert!(state.is_untold(PLACE));
        state.late.push(DeferredDir::at(PLACE, true));
        assert_eq!(state.end_round(&round), 2);

        assert!(!state.is_untold(PLACE));
        assert!(state.is_untold(EntryPath { source: b"s/e", ..PLACE }));
        round.set(Count::Copied, 1);
        round.set(Count::Skipped, 1);
        assert_eq!(state.sum_up(round).get(Count::Copied), 2);

        state.late.push(DeferredDir::at(PLACE, true));
        assert_eq!(state.end_round(&round), 0, "nothing was made that had not been before");
    }

    #[test]
    fn what_was_begun_is_told_once() {
        let begun = vec![place_fingerprint(2, b"s", b"d"), place_fingerprint(2, b"s", b"other")];
        let mut state = RunState { begun, ..RunState::default() };
        assert!(state.is_untold(PLACE));
        assert_eq!(state.begun, [place_fingerprint(2, b"s", b"other")]);
    }

    #[test]
    fn the_third_death_at_a_place_is_the_last() {
        let mut state = RunState::default();
        assert!(!state.died_at(7));
        assert!(!state.died_at(7));
        assert!(!state.died_at(8));
        assert!(state.died_at(7));
        assert_eq!(state.passed_over, [7]);
        assert!(!state.died_at(7), "it is passed over once");
    }

    #[test]
    fn what_an_earlier_round_copied_is_not_called_skipped() {
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
    fn a_linked_file_is_counted_and_told_once_whichever_of_its_names_comes_first() {
        let other = EntryPath { source: b"s/e", ..PLACE };
        let totals = |counts: &[(Count, u64)]| {
            let mut totals = Totals::default();
            counts.iter().for_each(|&(count, number)| totals.set(count, number));
            totals
        };
        for (next, defer_prompt) in [(PLACE, other), (other, PLACE)] {
            let mut state = RunState::default();
            state.note_leader((1, 5), PLACE, true);
            state.end_round(&totals(&[(Count::Found, 2), (Count::Copied, 1)]));
            assert_eq!(state.groups.sort(), 0, "a round knows nothing of the one before");
            assert!(!state.is_untold(PLACE) && state.is_untold(other));

            // The same name is found complete; the other one is made.
            let made = u64::from(next == other);
            state.note_leader((1, 5), next, made == 1);
            state.groups.add((1, 5), defer_prompt, false, Role::Follower);
            let round = [(Count::Found, 2), (Count::Copied, made), (Count::Skipped, 1 - made)];
            let copied = state.sum_up(totals(&round));
            assert_eq!((copied.get(Count::Copied), copied.get(Count::Skipped)), (1, 0));

            state.end_phase(&copied);
            assert_eq!(state.groups.sort(), 1);
            // Linked, killed, and found as a link.
            state.end_later_round(&totals(&[(Count::Linked, 1)]), false);
            let whole = state.sum_up(totals(&[(Count::Skipped, 1)]));
            assert_eq!((whole.get(Count::Linked), whole.get(Count::Skipped)), (1, 0));
            assert!(whole.balance());
        }
    }

    #[test]
    fn the_waves_of_a_run_add_up() {
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
