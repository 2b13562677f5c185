//! What copiers say, as it comes in: names and failures to the screen, the rest to the ledger.

use super::comparing::Twin;
use super::ledger::LeftDir;
use super::round::{Round, Stop};
use super::supervise::Supervisor;
use crate::ipc::counters::place_mark;
use crate::ipc::groups::Role;
use crate::ipc::putoff::PutOff;
use crate::ipc::report::{Fault, How, News, Report, Step};
use crate::ipc::task::{Place, split_last};
use crate::options::Manner;
use crate::plan::Check;
use crate::sys::Errno;
use crate::sys::file;
use crate::words::pcopy::{describe_unlinked, describe_vanished_unseen};
use crate::words::{self, Names};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

impl Supervisor<'_> {
    /// Reads what copiers have said.
    pub(super) fn listen(&mut self, round: &mut Round) {
        if self.screen.is_full() {
            return;
        }
        let Round { pool, outboxes, buffer, .. } = round;
        let mut stop = None;
        for copier in pool.copiers_mut() {
            copier.receive(outboxes.get(copier.number()), buffer);
            let mut garbled = false;
            copier.with_inbox(|inbox| {
                let mut rest = inbox;
                loop {
                    match Report::decode(&mut rest) {
                        Ok(Some(report)) => stop = stop.or(self.take_in(&report)),
                        Ok(None) => break inbox.len() - rest.len(),
                        Err(_) => {
                            garbled = true;
                            break inbox.len();
                        }
                    }
                }
            });
            if garbled && copier.kill().is_err() {
                // It is dead already, which is what was wanted.
            }
        }
        if let Some(why) = stop {
            round.stop(why);
        }
    }

    /// Takes one report in; why the round is to end, if it says that.
    fn take_in(&mut self, report: &Report<'_>) -> Option<Stop> {
        let (place, manner) = (report.place, self.plan.wishes.manner);
        match report.news {
            News::Done(how) => {
                self.note_done(place);
                self.tell_done(place, how);
            }
            News::Skipped => self.tell_skipped(place),
            News::Made => {
                let (dir, name) = split_last(place.source);
                self.ledger.made.insert(place_mark(place.entry, dir, name));
                if manner == Manner::Cp && self.plan.wishes.verbose {
                    self.tell_name(place, How::default());
                }
            }
            News::Volume => self.note_volume(place),
            News::Ask { existed, bits, writable } => {
                let Place { entry, source, target, staged } = place;
                let (source, target) = (source.to_vec(), target.to_vec());
                let put_off = PutOff { entry, source, target, staged, existed, bits, writable };
                self.ledger.put_off.push(put_off);
            }
            News::Unproven(fault) => {
                if self.ledger.is_news(fault, place) {
                    self.tell_late(fault, place.entry, place.source);
                }
            }
            News::Failed(fault) => {
                self.note_failed(fault, place);
                if self.ledger.is_news(fault, place) {
                    if manner == Manner::Cp && self.plan.wishes.verbose && is_announced(fault) {
                        self.tell_name(place, How::default());
                    }
                    self.tell_failure(fault, place.entry, place.source);
                }
                return self.plan.ends_with(fault).then_some(Stop::TargetLost);
            }
            News::Vanished(fault) => {
                self.note_failed(fault, place);
                if self.ledger.is_news(fault, place) {
                    self.tell_vanished(fault, place.entry, place.source);
                }
            }
            News::Late { new } => {
                if new {
                    self.tell_done(place, How { directory: true, ..How::default() });
                }
                self.ledger.late.push(LeftDir::at(place, new));
            }
            News::Built => self.ledger.built.push(LeftDir::at(place, true)),
            News::Leader { identity, new, how } => {
                if new {
                    self.note_done(place);
                    self.tell_done(place, how);
                }
                if !self.ledger.note_leader(identity, place, new) {
                    // Each believes that nobody came before him: somebody has scribbled on `Firsts`, and
                    // one file would be two.
                    return Some(Stop::CopierLost);
                }
            }
            News::Link { identity, existed } => {
                self.ledger.groups.add(identity, place, existed, Role::Follower);
            }
            News::Unlinked(errno) => self.tell_unlinked(errno, place),
            News::Differs(difference) => {
                let path = place.source.to_vec();
                self.ledger.differences.push((place.entry, path, difference));
            }
            News::Twins { source, target } => {
                let (entry, path) = (place.entry, place.source.to_vec());
                self.ledger.twins.push(Twin { entry, path, source, target });
            }
            News::Hashed(digest) => {
                let target = if self.plan.wishes.verify { place.target } else { b"" };
                self.ledger.hashed.add(place.entry, place.source, target, digest);
            }
        }
        None
    }

    /// Of what the user named nothing is there: a second source may take its place.
    fn note_failed(&mut self, fault: Fault, place: Place<'_>) {
        if !place.source.contains(&b'/') && !fault.step.leaves_it_whole() {
            self.ledger.failed.insert(place.entry);
        }
    }

    fn note_done(&mut self, place: Place<'_>) {
        if self.plan.wishes.must_remember() && !place.staged {
            let (dir, name) = split_last(place.source);
            self.ledger.done.insert(place_mark(place.entry, dir, name));
        }
    }

    fn tell_done(&mut self, place: Place<'_>, how: How) {
        // cp tells of directories when they are made.
        if self.plan.wishes.verbose && !(how.directory && self.plan.wishes.manner == Manner::Cp) {
            self.tell_name(place, how);
        }
    }

    fn tell_name(&mut self, place: Place<'_>, how: How) {
        let Some(entry) = self.plan.entries.get(place.entry as usize) else { return };
        if self.ledger.is_untold(place) {
            let (source, target) =
                (entry.show_source(place.source), entry.show_target(place.source));
            let names = Names { source: &source, target: &target };
            let suffix = self.plan.wishes.backup.as_ref().map(|backup| backup.suffix.as_bytes());
            let manner = self.plan.wishes.manner;
            self.screen.name(&words::done(manner, names, how, suffix.unwrap_or_default()));
        }
    }

    fn tell_skipped(&mut self, place: Place<'_>) {
        let Some(entry) = self.plan.entries.get(place.entry as usize) else { return };
        let target = entry.show_target(place.source);
        self.screen.name(&words::skipped(self.plan.wishes.manner, &target));
    }

    /// Too many links concern one file; where there can be none, saying it once will do.
    fn tell_unlinked(&mut self, errno: Errno, place: Place<'_>) {
        let Some(entry) = self.plan.entries.get(place.entry as usize) else { return };
        let others = errno != Errno::EMLINK;
        if self.ledger.is_news_of_links(errno, place, others) {
            let target = entry.show_target(place.source);
            self.screen.notice(&describe_unlinked(errno, &target, others));
        }
    }

    /// Counts and tells what went wrong with an entry that was counted as done.
    pub(super) fn tell_late(&mut self, fault: Fault, entry: u32, source: &[u8]) {
        if fault.step.means_vanished(fault.errno) {
            self.vanished_late += 1;
            self.tell_vanished(fault, entry, source);
        } else {
            self.failed_late += 1;
            self.tell_failure(fault, entry, source);
        }
    }

    pub(super) fn tell_failure(&mut self, fault: Fault, entry: u32, source: &[u8]) {
        *self.ledger.kinds.entry(fault).or_default() += 1;
        self.tell_fault(fault, entry, source, words::fault);
    }

    pub(super) fn tell_vanished(&mut self, fault: Fault, entry: u32, source: &[u8]) {
        match fault.step {
            Step::Changed => self.tell_fault(fault, entry, source, words::fault),
            _ if self.plan.check.is_some() => {
                let describe = |_, _, names: Names<'_>| describe_vanished_unseen(names.source);
                self.tell_fault(fault, entry, source, describe);
            }
            _ => self.tell_fault(fault, entry, source, words::vanished),
        }
    }

    fn tell_fault(
        &mut self,
        fault: Fault,
        entry: u32,
        source: &[u8],
        describe: fn(Manner, Fault, Names<'_>) -> String,
    ) {
        if let Some(Check::Manifest(listed)) = &self.plan.check {
            let name = listed.show(source);
            let names = Names { source: &name, target: &name };
            return self.screen.error(&describe(self.plan.wishes.manner, fault, names));
        }
        let number = entry;
        let Some(entry) = self.plan.entries.get(entry as usize) else { return };
        let manner = self.plan.wishes.manner;
        // cp names the whole copy, not the place where the source met it.
        let whole = manner == Manner::Cp && fault.step == Step::IntoItself;
        let path = if whole { b"" } else { source };
        let (mut source, target) = (entry.show_source(path), entry.show_target(path));
        if fault.step == Step::DirectoryAgain {
            let shown = Path::new(OsStr::from_bytes(&source));
            let dir = file::stat_path(shown, false).map(|stat| stat.identity());
            let earlier = dir.ok().and_then(|dir| self.plan.earlier_dir(number, dir));
            source = earlier.map_or(source, |entry| entry.show_target(b""));
        }
        let message = describe(manner, fault, Names { source: &source, target: &target });
        self.screen.error(&message);
    }
}

/// Whether cp has said by then what it is about to copy.
fn is_announced(fault: Fault) -> bool {
    use Step::{
        Clone, Close, Create, CreateFifo, CreateNode, CreateSymlink, Dangling, Elsewhere,
        HardLinkTo, OpenSource, Read, ReadSymlink, Remove, SymlinkTo, Write,
    };
    matches!(
        fault.step,
        OpenSource
            | Read
            | ReadSymlink
            | Remove
            | Create
            | CreateSymlink
            | CreateFifo
            | CreateNode
            | SymlinkTo
            | HardLinkTo
            | Dangling
            | Elsewhere
            | Write
            | Clone
            | Close
    )
}
