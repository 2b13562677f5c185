//! What the parent remembers of a run from one round to the next, and the work that it must do at the end of
//! the run.
//!
//! A round is one attempt of the copiers at the work. A wave is a group of operands that are copied together.

use crate::error::{EntryError, Op};
use crate::ipc::fingerprint::fingerprint;
use crate::ipc::inherited::digests::Digests;
use crate::ipc::inherited::link_groups::{Groups, LinkRole};
use crate::ipc::inherited::prompt::PendingPrompt;
use crate::ipc::inherited::removals::Removals;
use crate::ipc::memory::counters::{Count, CurrentEntry, Totals, place_fingerprint};
use crate::ipc::wire::difference::Difference;
use crate::ipc::wire::planned::Planned;
use crate::ipc::wire::task::{EntryPath, EntryPathBuf, split_last};
use crate::outcome::Fits;
use crate::plan_file::{Change, Operation};
use pcopy_sys::Errno;
use pcopy_sys::file::Identity;
use std::collections::{HashMap, HashSet};

/// After copiers have died at one place in this many rounds, later rounds skip the place.
const DEATHS_MAX: u32 = 3;

/// What the parent remembers of a run.
#[derive(Default)]
pub(super) struct RunState {
    /// Directories that the parent finishes after all copiers have exited.
    pub(super) dirs: DeferredDirs,
    /// The names of files that have several names.
    pub(super) links: LinkNames,
    /// The files for which the user must answer a prompt.
    pub(super) prompts: Prompts,
    /// The places where copiers died.
    pub(super) deaths: Deaths,
    /// The differences that a comparison has found in this round.
    pub(super) findings: Findings,
    /// The entries at which copiers worked when the last round was stopped.
    pub(super) in_progress: Vec<CurrentEntry>,
    /// Whether the parent did not wait for all copiers, because the disk may not answer them.
    pub(super) gave_up: bool,
    /// The digests of the files in the copy.
    pub(super) digests: Digests,
    /// Directories that the run has created under their final names, by `place_fingerprint`.
    pub(super) made: HashSet<u64>,
    /// Those of `made` that the parent created before the first round, and that no copier has reported yet.
    unreported: HashSet<u64>,
    /// Operands of which nothing was copied.
    pub(super) failed: HashSet<u32>,
    /// Entries that are done in directories that existed before the run, by `place_fingerprint`. Filled only
    /// if the options make it necessary to remember them (`CopyOptions::must_remember`).
    pub(super) done: HashSet<u64>,
    /// What only the target has, and is to be removed when everything is copied.
    pub(super) removals: Removals,
    /// How many units the list had before the current wave.
    removals_before: usize,
    /// The entries that are copied after what is in their way is removed.
    pub(super) held_back: Vec<PendingPrompt>,
    /// How many of them there were before the current wave.
    held_back_before: usize,
    /// Whether these entries are being copied.
    pub(super) copies_held_back: bool,
    /// Whether the run finds out what it would do, before it begins (`--check-first`, `--delete-before`). Then hardly
    /// anything is reported: what comes later reports it.
    pub(super) looks: bool,
    /// Whether there is room for what would be copied, if the run ends after it has looked.
    pub(super) fits: Option<Fits>,
    /// What another run is to do (`--plan`).
    pub(super) planned: Vec<Operation>,
    /// The operands whose source could not be read completely: what is extraneous cannot be known.
    pub(super) unread: HashSet<u32>,
    /// Whether nothing was removed, because too much is extraneous.
    pub(super) too_many_removals: bool,
    reported: Reported,
    tally: CarriedCounts,
}

/// A directory that only the parent can finish, as a copier has reported it.
#[derive(Clone, Debug)]
pub(super) struct DeferredDir {
    pub(super) path: EntryPathBuf,
    /// Whether this run created the directory; then a copier has already counted and reported it.
    pub(super) new: bool,
}

impl DeferredDir {
    /// Returns the directory at this path, which existed before the run.
    pub(super) fn existing(path: EntryPath<'_>) -> Self {
        Self { path: path.into(), new: false }
    }

    /// Returns the directory at this path, which this run created.
    pub(super) fn new(path: EntryPath<'_>) -> Self {
        Self { path: path.into(), new: true }
    }
}

/// Directories that the parent finishes after all copiers have exited.
#[derive(Default)]
pub(super) struct DeferredDirs {
    /// Directories whose times and mode must still be set.
    pub(super) late: Vec<DeferredDir>,
    /// Directories that were built under a staged name and must be renamed into place.
    pub(super) built: Vec<DeferredDir>,
}

/// The names of files that have several names.
#[derive(Default)]
pub(super) struct LinkNames {
    /// The names that this round has found, and those of earlier waves.
    pub(super) groups: Groups,
    /// The names of earlier waves. Names of the current wave can become links to them.
    pub(super) earlier: Groups,
    /// How many names `groups` had before the prompted files were copied.
    pub(super) before_prompted: usize,
    /// The files of which this round has found a complete name, or created one.
    led: HashSet<Identity>,
}

/// The files for which the user must answer a prompt.
#[derive(Default)]
pub(super) struct Prompts {
    /// The files that copiers have deferred in this round.
    pub(super) pending: Vec<PendingPrompt>,
    /// The files that the user agreed to replace.
    pub(super) agreed: Vec<PendingPrompt>,
}

/// The places where copiers died, by `place_fingerprint`.
#[derive(Default)]
pub(super) struct Deaths {
    /// Places that copiers skip from now on.
    pub(super) passed_over: Vec<u64>,
    /// Places where a copier died after it had begun an entry and before it had settled it.
    pub(super) begun: Vec<u64>,
    /// Those places of `begun` where the copier was creating the entry under its final name; the entry may be
    /// incomplete.
    pub(super) begun_new: Vec<u64>,
    /// Those places of `begun` where the copier was writing into an existing file; the file may be
    /// incomplete.
    pub(super) begun_in_place: Vec<u64>,
    counts: HashMap<u64, u32>,
}

impl Deaths {
    /// Notes that copiers died at this place in a round. Returns whether later rounds skip the place.
    pub(super) fn note(&mut self, place: u64) -> bool {
        let deaths = self.counts.entry(place).or_default();
        *deaths += 1;
        if *deaths != DEATHS_MAX {
            return false;
        }
        self.passed_over.push(place);
        true
    }

    /// Forgets that a copier had begun the entry at this place, because the entry is settled now.
    fn settle(&mut self, place: EntryPath<'_>) {
        if self.begun.is_empty() {
            return;
        }
        let (dir, name) = split_last(place.source);
        let marks = [
            place_fingerprint(place.operand, place.source, b""),
            place_fingerprint(place.operand, dir, name),
        ];
        for begun in [&mut self.begun, &mut self.begun_new, &mut self.begun_in_place] {
            begun.retain(|mark| !marks.contains(mark));
        }
    }
}

/// The differences that a comparison has found in this round.
#[derive(Default)]
pub(super) struct Findings {
    /// The operand of each differing entry, its path below the operand, and how it differs.
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

/// What was already reported to the user. Further rounds find the same entries again.
#[derive(Default)]
struct Reported {
    /// Failures, by a fingerprint of the error and the place.
    failures: HashSet<u64>,
    /// Entries that were counted and reported as done, and that a later round may count again. These are new
    /// directories that a round has not finished, and files with several names, of which a later round may
    /// copy another name first.
    early: HashSet<u64>,
    /// Entries of which the user knows what is changed (`--itemize-changes`): 16 bytes for each.
    itemized: HashSet<u64>,
    /// Operations of a plan: 16 bytes for each.
    planned: HashSet<u64>,
    /// Whether the user already knows that the target does not support hard links.
    no_links: bool,
    /// Whether the user already knows that the source or the target is lost.
    loss: bool,
}

/// The counts of a run over its rounds and phases.
#[derive(Default)]
struct CarriedCounts {
    /// The counts of the phases that have ended.
    finished: Totals,
    /// The entries (`copied`), links and bytes that earlier rounds of this phase have created. The current
    /// round finds them complete and skips them.
    copied: u64,
    linked: u64,
    bytes: u64,
    /// The entries that earlier rounds of this phase have removed. The current round does not find them any more.
    removed: u64,
    /// How many names in [`Reported::early`] the current round has found complete.
    found_again: u64,
}

impl CarriedCounts {
    /// Adds what a round has created. The additions wrap, because counts in damaged shared memory must not
    /// cause a panic.
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
        last.set(Count::Removed, last.get(Count::Removed).wrapping_add(self.removed));
        self.finished.plus(&last)
    }
}

impl RunState {
    /// Returns the state at the beginning of a run: empty except for the directories in `made`, which were
    /// created before the first round, and for the `left_out` sources of the command line that a rule leaves out.
    pub(super) fn begin(made: HashSet<u64>, left_out: u64) -> Self {
        let mut begun = Self { unreported: made.clone(), made, ..Self::default() };
        begun.tally.finished.set(Count::Found, left_out);
        begun.tally.finished.set(Count::Excluded, left_out);
        begun
    }

    /// Notes that a copier has reported a directory as created under its final name. Returns whether that is
    /// the first report of the directory.
    pub(super) fn note_made(&mut self, dir: u64) -> bool {
        self.made.insert(dir) || self.unreported.remove(&dir)
    }

    /// Returns a copy of what copiers need, for a copier that works while this state changes.
    pub(super) fn for_copier(&self) -> Self {
        let Deaths { passed_over, begun, begun_new, begun_in_place, .. } = &self.deaths;
        Self {
            links: LinkNames { groups: self.links.groups.clone(), ..LinkNames::default() },
            prompts: Prompts { agreed: self.prompts.agreed.clone(), ..Prompts::default() },
            deaths: Deaths {
                passed_over: passed_over.clone(),
                begun: begun.clone(),
                begun_new: begun_new.clone(),
                begun_in_place: begun_in_place.clone(),
                ..Deaths::default()
            },
            digests: self.digests.clone(),
            removals: self.removals.clone(),
            copies_held_back: self.copies_held_back,
            looks: self.looks,
            made: self.made.clone(),
            failed: self.failed.clone(),
            done: self.done.clone(),
            ..Self::default()
        }
    }

    /// Notes a failure. Returns whether it was not noted before; later rounds find the failures of earlier
    /// rounds again.
    pub(super) fn note_failure(&mut self, error: EntryError, place: EntryPath<'_>) -> bool {
        self.reported.failures.insert(fingerprint((error, place.operand, place.source)))
    }

    /// Notes that the source or the target is lost. Returns whether that was not noted before: each copier finds it
    /// at another entry.
    pub(super) fn note_loss(&mut self) -> bool {
        !std::mem::replace(&mut self.reported.loss, true)
    }

    /// Notes a name that could not become a link. Returns `None` if it must not be reported, otherwise whether
    /// the report stands for all later names, too. Only `EMLINK` concerns a single file.
    pub(super) fn note_link_failure(&mut self, errno: Errno, place: EntryPath<'_>) -> Option<bool> {
        let stands_for_all = errno != Errno::EMLINK;
        let is_new = if stands_for_all {
            !std::mem::replace(&mut self.reported.no_links, true)
        } else {
            self.note_failure(EntryError { op: Op::Link, errno }, place)
        };
        is_new.then_some(stands_for_all)
    }

    /// Notes an entry that is done. Returns whether to report it; each entry is reported once in a run.
    pub(super) fn note_done(&mut self, place: EntryPath<'_>) -> bool {
        // The entry is settled now. If its round ends early, the next round skips the entry as complete.
        self.deaths.settle(place);
        !self.reported.early.contains(&fingerprint((place.operand, place.source)))
    }

    /// Notes that what is changed of an entry was reported. Returns whether that is the first report of the entry.
    pub(super) fn note_itemized(&mut self, place: EntryPath<'_>) -> bool {
        self.reported.itemized.insert(fingerprint((place.operand, place.source)))
    }

    /// Notes an operation of a plan. A later round reports it again.
    pub(super) fn note_planned(&mut self, place: EntryPath<'_>, planned: Planned) {
        let Planned { change, link_operand, source, target } = planned;
        let key = fingerprint((place.operand, place.source, change == Change::Remove));
        if !self.reported.planned.insert(key) {
            return;
        }
        // The paths of a plan begin below the operand.
        let below = |path: &[u8]| match path.iter().position(|&byte| byte == b'/') {
            Some(slash) => path[slash + 1..].to_vec(),
            None => Vec::new(),
        };
        self.planned.push(Operation {
            operand: place.operand,
            path: below(place.source),
            change,
            source,
            target,
            link_to: link_operand.map(|operand| (operand, below(place.target))),
        });
    }

    /// Notes a complete name, created or found by this round, that other names can become links to. Returns
    /// false if this round already has such a name of the same file.
    pub(super) fn note_leader(
        &mut self,
        identity: Identity,
        place: EntryPath<'_>,
        role: LinkRole,
    ) -> bool {
        self.links.groups.add(identity, place, true, role);
        if role == LinkRole::Existing && !self.reported.early.is_empty() {
            let again = self.reported.early.contains(&fingerprint((place.operand, place.source)));
            self.tally.found_again += u64::from(again);
        }
        self.links.led.insert(identity)
    }

    /// Ends a round that another round follows. The next round will find every entry again. Returns how many
    /// entries the ended round created that no earlier round had created.
    pub(super) fn end_round(&mut self, totals: &Totals) -> u64 {
        let new: Vec<DeferredDir> = self.dirs.late.drain(..).filter(|dir| dir.new).collect();
        self.dirs.built.clear();
        self.prompts.pending.clear();
        self.digests.end_round();
        self.findings = Findings::default();
        self.removals.cut_back(self.removals_before);
        self.held_back.truncate(self.held_back_before);
        self.links.led.clear();
        let groups = std::mem::replace(&mut self.links.groups, self.links.earlier.clone());
        let made: Vec<u64> =
            groups.made().map(|(operand, path)| fingerprint((operand, &path[..]))).collect();
        self.tally.found_again = 0;
        let again = (new.len() + made.len()) as u64;
        let once = totals.get(Count::Copied).saturating_sub(again);
        self.tally.add(once, 0, totals.get(Count::Bytes));
        let early = &mut self.reported.early;
        let known = early.len();
        early.extend(new.iter().map(|dir| fingerprint((dir.path.operand, &dir.path.source[..]))));
        early.extend(made);
        let newly_early = (early.len() - known) as u64;
        once.saturating_add(newly_early).saturating_add(totals.get(Count::Linked))
    }

    /// Ends a round of prompted files that another round follows. Returns the same as
    /// [`end_later_round`](Self::end_later_round).
    pub(super) fn end_prompted_round(&mut self, totals: &Totals) -> u64 {
        // The next round finds these names again.
        self.links.groups.cut_back(self.links.before_prompted);
        self.end_later_round(totals)
    }

    /// Ends a round of links, or of reading back, that another round follows. The work that copying has left
    /// for the end stays, and the next round finds the created links complete. Returns how many entries the
    /// ended round created.
    pub(super) fn end_later_round(&mut self, totals: &Totals) -> u64 {
        let (copied, linked) = (totals.get(Count::Copied), totals.get(Count::Linked));
        self.tally.add(copied, linked, totals.get(Count::Bytes));
        copied.saturating_add(linked)
    }

    /// Ends a round of removal that another round follows. Returns how many entries the ended round removed.
    pub(super) fn end_removal_round(&mut self, totals: &Totals) -> u64 {
        let removed = totals.get(Count::Removed);
        self.tally.removed = self.tally.removed.wrapping_add(removed);
        removed
    }

    /// Ends a phase; `whole` are the counts of all phases up to this one.
    pub(super) fn end_phase(&mut self, whole: &Totals) {
        self.tally = CarriedCounts { finished: *whole, ..CarriedCounts::default() };
    }

    /// Begins a wave. Its names can become links to names of earlier waves.
    pub(super) fn begin_wave(&mut self) {
        self.links.groups = self.links.earlier.clone();
        self.digests.begin_wave();
        self.removals_before = self.removals.len();
        self.held_back_before = self.held_back.len();
    }

    /// Ends a wave. Returns those of its names whose files have several names.
    pub(super) fn end_wave(&mut self, whole: &Totals) -> Groups {
        self.end_phase(whole);
        self.prompts.agreed.clear();
        self.links.led.clear();
        std::mem::take(&mut self.links.groups)
    }

    /// Returns the counts of the whole run, given the counts of its last round. The last round has counted as
    /// skipped what earlier rounds had created; here it counts as created.
    pub(super) fn sum_up(&self, last: Totals) -> Totals {
        self.tally.sum_up(last)
    }

    /// Returns the counts of the ended phases plus those of the current round, of which none may be begun.
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
        assert!(state.note_done(PLACE));
        state.dirs.late.push(DeferredDir::new(PLACE));
        assert_eq!(state.end_round(&round), 2);

        assert!(!state.note_done(PLACE));
        assert!(state.note_done(EntryPath { source: b"s/e", ..PLACE }));
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
        assert!(state.note_done(PLACE));
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
            state.note_leader((1, 5), PLACE, LinkRole::Created);
            state.end_round(&totals(&[(Count::Found, 2), (Count::Copied, 1)]));
            assert_eq!(state.links.groups.sort(), 0, "a round begins without names");
            assert!(!state.note_done(PLACE) && state.note_done(other));

            // The next round finds the same name complete, or creates the other name.
            let made = u64::from(next == other);
            state.note_leader(
                (1, 5),
                next,
                if made == 1 { LinkRole::Created } else { LinkRole::Existing },
            );
            state.links.groups.add((1, 5), follower, false, LinkRole::Follower);
            let round = [(Count::Found, 2), (Count::Copied, made), (Count::Skipped, 1 - made)];
            let copied = state.sum_up(totals(&round));
            assert_eq!((copied.get(Count::Copied), copied.get(Count::Skipped)), (1, 0));

            state.end_phase(&copied);
            assert_eq!(state.links.groups.sort(), 1);
            // A copier links the name and is killed; the next round finds the link.
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
