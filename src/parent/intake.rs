//! What copiers say, as it comes in: names and failures to the screen, the rest to the ledger.

use super::ledger::LeftDir;
use super::round::{Round, Stop};
use super::supervise::Supervisor;
use crate::error::{describe_fault, describe_unlinked, describe_vanished, ends_the_run};
use crate::ipc::groups::Role;
use crate::ipc::report::{Fault, News, Report, Step};
use crate::ipc::task::Place;
use crate::quote::escape;
use crate::sys::Errno;

impl Supervisor<'_> {
    /// Reads what copiers have said.
    pub(super) fn listen(&mut self, round: &mut Round) {
        if self.screen.is_full() {
            return;
        }
        let Round { pool, outboxes, buffer, .. } = round;
        let mut target_lost = false;
        for copier in pool.copiers_mut() {
            copier.receive(outboxes.get(copier.number()), buffer);
            let mut garbled = false;
            copier.with_inbox(|inbox| {
                let mut rest = inbox;
                loop {
                    match Report::decode(&mut rest) {
                        Ok(Some(report)) => target_lost |= self.take_in(&report),
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
        if target_lost {
            round.stop(Stop::TargetLost);
        }
    }

    /// Takes one report in; true if it means that no more can be written to the target.
    fn take_in(&mut self, report: &Report<'_>) -> bool {
        let place = report.place;
        match report.news {
            News::Done => self.tell_name(place),
            News::Failed(fault) => {
                if self.ledger.is_news(fault, place) {
                    self.tell_failure(fault, place.entry, place.source);
                }
                return ends_the_run(fault);
            }
            News::Vanished(fault) => {
                if self.ledger.is_news(fault, place) {
                    self.tell_vanished(fault, place.entry, place.source);
                }
            }
            News::Late { new } => {
                if new && self.plan.verbose {
                    self.tell_name(place);
                }
                self.ledger.late.push(LeftDir::at(place, new));
            }
            News::Built => self.ledger.built.push(LeftDir::at(place, true)),
            News::Leader { identity, new } => {
                if new && self.plan.verbose {
                    self.tell_name(place);
                }
                self.ledger.note_leader(identity, place, new);
            }
            News::Link { identity, existed } => {
                self.ledger.groups.add(identity, place, existed, Role::Follower);
            }
            News::Unlinked(errno) => self.tell_unlinked(errno, place),
        }
        false
    }

    fn tell_name(&mut self, place: Place<'_>) {
        let Some(entry) = self.plan.entries.get(place.entry as usize) else { return };
        if self.ledger.is_untold(place) {
            self.screen.name(&escape(&entry.show_target(place.source)));
        }
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

    pub(super) fn tell_failure(&mut self, fault: Fault, entry: u32, source: &[u8]) {
        let Some(entry) = self.plan.entries.get(entry as usize) else { return };
        let message = describe_fault(fault, &entry.show_source(source), &entry.show_target(source));
        *self.ledger.kinds.entry(fault).or_default() += 1;
        self.screen.error(&message);
    }

    pub(super) fn tell_vanished(&mut self, fault: Fault, entry: u32, source: &[u8]) {
        let Some(entry) = self.plan.entries.get(entry as usize) else { return };
        let shown = entry.show_source(source);
        self.screen.error(&match fault.step {
            Step::Changed => describe_fault(fault, &shown, b""),
            _ => describe_vanished(&shown),
        });
    }
}
