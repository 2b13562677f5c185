//! The supervisor: one poll loop over pipes, signals, deaths and a clock.
//!
//! It copies nothing and waits for nobody: a stuck reader of its output, a stuck copier and an
//! impatient user are all events of the same loop. Rounds follow one another until one ends with
//! nothing left to do: a copier that dies costs a round, not the run.

use super::Show;
use super::pool::Copier;
use super::prompts::Answers;
use super::round::{Part, Round, SECOND_PAUSE, START_PAUSE, Stop, TICK};
use super::run_state::RunState;
use super::screen::Screen;
use super::target_lock::TargetLock;
use super::write_back::Volumes;
use crate::copier::{self, Job};
use crate::error::Unavailable;
use crate::ipc::inherited::link_groups::Groups;
use crate::ipc::memory::counters::Totals;
use crate::ipc::memory::forecast::Forecast;
use crate::ipc::wire::task::{EntryPath, Task, split_last};
use crate::options::{Compat, CopyMode, Update};
use crate::outcome::{Compared, End, Outcome};
use crate::plan::{Note, NoteKind, Plan};
use pcopy_sys::file;
use pcopy_sys::poll::{self, Event};
use pcopy_sys::process::{self, Death, Pid};
use pcopy_sys::signals::{self, Signals, Wish};
use pcopy_sys::{Errno, describe};
use std::ffi::CString;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Rounds in a row that may end early without a gain. A file that kills its copiers costs three.
const FRUITLESS_ROUNDS_MAX: u32 = 16;

/// Rounds in a row that may make something and yet come no farther than one before them. Copiers may
/// go another way each time; but a folder that was removed with what failed in it is made again each
/// time, too, and that must not go on for ever.
const STANDING_ROUNDS_MAX: u32 = 256;

/// A run as the parent sees it.
pub(super) struct Supervisor<'a> {
    pub(super) plan: &'a Plan,
    pub(super) claim: &'a TargetLock,
    pub(super) signals: &'a Signals,
    pub(super) screen: Screen,
    pub(super) state: RunState,
    pub(super) begun: Instant,
    pub(super) forecast: Option<Forecast>,
    pub(super) scout: Option<Pid>,
    pub(super) totals: Totals,
    pub(super) failed_late: u64,
    pub(super) vanished_late: u64,
    pub(super) answers: Answers,
    pub(super) volumes: Volumes,
    /// Whether it is known if there is room for all.
    pub(super) asked_for_room: bool,
    /// What was found where things were only compared.
    pub(super) compared: Option<Compared>,
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        claim: &'a TargetLock,
        signals: &'a Signals,
        show: Show,
    ) -> Self {
        Self {
            plan,
            claim,
            signals,
            screen: Screen::new(show),
            state: RunState::begin(claim.made(plan)),
            begun: Instant::now(),
            forecast: None,
            scout: None,
            totals: Totals::default(),
            failed_late: 0,
            vanished_late: 0,
            answers: Answers::default(),
            volumes: Volumes::of(plan),
            asked_for_room: false,
            compared: None,
        }
    }

    /// Copies and finishes wave after wave, until all is done or the run is cut short.
    pub(super) fn copy(&mut self) -> End {
        let mut notes = self.plan.notes.iter().peekable();
        for wave in &self.plan.waves {
            while let Some(note) = notes.next_if(|note| note.before <= wave.start) {
                self.report_note(note);
            }
            self.state.begin_wave();
            let end =
                self.wave(wave).and_then(|end| self.verify(end)).unwrap_or_else(|unavailable| {
                    self.screen.error(&unavailable.to_string());
                    self.claim.give_back(self.plan);
                    End::Unavailable
                });
            if end != End::Finished {
                return end; // all stays as it is, for the same command to go on with
            }
            let names = self.state.end_wave(&self.totals);
            if let Some(end) = self.finish() {
                return end;
            }
            self.remember_leaders(&names);
        }
        notes.for_each(|note| self.report_note(note));
        self.finish_parents();
        self.write_out().unwrap_or(End::Finished)
    }

    pub(super) fn report_note(&mut self, note: &Note) {
        match note.kind {
            NoteKind::Warning => self.screen.notice(&note.text),
            NoteKind::Failure => {
                self.failed_late += 1;
                self.screen.error(&note.text);
            }
            NoteKind::Announcement if self.plan.options.verbose => self.screen.name(&note.text),
            NoteKind::Announcement => {}
        }
    }

    /// Keeps what the names of a wave that has ended are now, for further names of their files in
    /// the waves that follow. They have their final places by now.
    fn remember_leaders(&mut self, names: &Groups) {
        let plan = self.plan;
        if plan.waves.len() < 2 {
            return;
        }
        for (identity, number, source) in names.leaders() {
            let Some(operand) = plan.operands.get(number as usize) else { continue };
            let target = operand.target_of(&source);
            let (dir, name) = split_last(&target);
            let now = CString::new(name).map_err(|_| Errno::EINVAL).and_then(|name| {
                plan.reach_target(operand, dir).and_then(|dir| file::stat_at(dir, &name))
            });
            // One that cannot be reached any more leads nobody: then the next is copied.
            if let Ok(now) = now {
                let place =
                    EntryPath { operand: number, source: &source, target: &target, staged: false };
                self.state.earlier.add_known(identity, place, now.identity());
            }
        }
    }

    /// Copies a wave, and then makes the links between what was copied.
    fn wave(&mut self, wave: &Range<u32>) -> Result<End, Unavailable> {
        let end = self.rounds(Task::Operands { first: wave.start, end: wave.end })?;
        if end != End::Finished {
            return Ok(end);
        }
        self.state.end_phase(&self.totals);
        self.state.hashed.index();
        if let Some(end) = self.ask() {
            return Ok(end);
        }
        self.state.before_agreed = self.state.groups.names();
        if let Some(agreed) = u32::try_from(self.state.agreed.len()).ok().filter(|&n| n > 0) {
            let end = self.rounds(Task::Agreed { first: 0, end: agreed })?;
            if end != End::Finished {
                return Ok(end);
            }
            self.state.end_phase(&self.totals);
            self.state.hashed.index();
        }
        let groups = match u32::try_from(self.state.groups.sort()) {
            Ok(0) => return Ok(end),
            groups => groups.unwrap_or(u32::MAX),
        };
        // Some links may take the place of what others see.
        match self.write_out_built() {
            Some(end) => Ok(end),
            None => self.rounds(Task::Links { first: 0, end: groups }),
        }
    }

    /// Works in rounds; each begins with the whole task and passes over what is complete.
    pub(super) fn rounds(&mut self, whole: Task<'_>) -> Result<End, Unavailable> {
        let (mut fruitless, mut standing, mut farthest) = (0, 0, 0);
        let mut is_first = true;
        loop {
            let mut round = Round::begin(self.plan, whole, &self.state.earlier)?;
            round.is_first = is_first;
            is_first = false;
            let ran = self.run(&mut round);
            if ran.is_err() {
                round.kill_all();
                round.pool.join_all();
            }
            let counted = round.counters.totals();
            self.totals = self.state.sum_up(counted);
            ran?;
            match round.stop {
                // All have left a ring that is not closed, or a task was lost in it or done twice:
                // somebody has scribbled on it.
                None if !round.ring.is_closed() || !counted.all_done() => {}
                None => return Ok(End::Finished),
                Some(Stop::Signal { number, .. }) => return Ok(End::Signal(number)),
                Some(Stop::TargetLost) => return Ok(End::TargetLost),
                Some(Stop::CopierLost) => {}
            }
            let made = match round.part {
                Part::Copies => self.state.end_round(&counted),
                Part::Agreed => self.state.end_later_round(&counted, true),
                Part::Links | Part::Written => self.state.end_later_round(&counted, false),
            };
            // Where copies do not count as complete, each round makes all again, and only to come
            // farther than before is a gain.
            let farther = counted.settled() > farthest;
            farthest = farthest.max(counted.settled());
            let options = &self.plan.options;
            let lasts = options.copy_mode != CopyMode::AttributesOnly
                && options.update != Update::All
                && self.plan.check.is_none();
            let gained = if lasts { made > 0 } else { farther } || round.passed_over;
            fruitless = if gained { 0 } else { fruitless + 1 };
            standing = if farther || round.passed_over { 0 } else { standing + 1 };
            if fruitless >= FRUITLESS_ROUNDS_MAX || standing >= STANDING_ROUNDS_MAX {
                return Ok(End::CopiersDied);
            }
        }
    }

    /// Says how it went, waits until that has been read, and hands it to the caller.
    pub(super) fn sum_up(mut self, end: End) -> Outcome {
        let left = self.left_over(end);
        // Who was told to end does not wait for a reader that may never come, nor for a scout that
        // a dead disk holds.
        self.end_scout(!matches!(end, End::Signal(_)));
        self.screen.end_line();
        self.write_manifest(end);
        let patience = if let End::Signal(_) = end { TICK } else { Duration::MAX };
        self.drain(patience);
        let says_names =
            self.plan.options.verbose || self.lists_on_stdout() || self.compared.is_some();
        if let Some(errno) = self.screen.names_failure().filter(|_| says_names) {
            let act = match self.plan.options.compat {
                Compat::Native => "cannot write to standard output",
                Compat::Gnu => "write error",
            };
            self.screen.error(&format!("{act}: {}", describe(errno)));
            self.failed_late += 1;
        }
        let outcome = Outcome {
            compat: self.plan.options.compat,
            end,
            totals: self.totals,
            kinds: self.state.kinds.drain().collect(),
            left,
            late_failures: self.failed_late,
            late_vanished: self.vanished_late,
            compared: self.compared,
            elapsed: self.begun.elapsed(),
        };
        if self.plan.options.compat == Compat::Gnu {
            self.say_as_cp(&outcome);
            self.drain(patience);
            return outcome;
        }
        for kind in outcome.kinds() {
            self.screen.notice(&kind);
        }
        if !outcome.is_balanced() {
            self.screen.error("internal: the numbers do not add up; some entries may be missing");
        }
        match end {
            End::Finished => self.screen.plain(&outcome.summary()),
            End::Signal(_) => self.screen.notice(&outcome.summary()),
            End::TargetLost | End::CopiersDied | End::Unavailable => {
                self.screen.error(&outcome.summary())
            }
        }
        self.drain(patience);
        outcome
    }

    /// cp has no last line; what it has no words for is told in ours.
    fn say_as_cp(&mut self, outcome: &Outcome) {
        match outcome.end {
            End::Finished if !outcome.is_balanced() => {
                self.screen
                    .error("internal: the numbers do not add up; some entries may be missing");
            }
            End::Finished | End::Signal(_) => {}
            End::TargetLost | End::CopiersDied | End::Unavailable => {
                self.screen.error(&outcome.summary());
            }
        }
    }

    /// One round, until all its copiers are gone and all that they said was read.
    fn run(&mut self, round: &mut Round) -> Result<(), Unavailable> {
        loop {
            self.start_copiers(round)?;
            if round.pool.is_done() || round.is_given_up() {
                return Ok(());
            }
            self.wait(round)?;
            self.handle_signals(round)?;
            self.read_reports(round);
            self.reap_copiers(round);
            round.end_standstill(self.screen.is_full()); // its reader may take his time
            round.escalate();
            round.adapt();
            self.draw(round);
            self.screen.flush();
        }
    }

    /// Starts one more copier if there is work for it: ten files do not pay for eight forks.
    fn start_copiers(&mut self, round: &mut Round) -> Result<(), Unavailable> {
        let first = round.pool.len() == 0;
        if !first && !round.wants_copier() {
            return Ok(());
        }
        let job = Job {
            plan: self.plan,
            ring: &round.ring,
            counters: &round.counters,
            outboxes: &round.outboxes,
            larges: &round.larges,
            fs_caps: &round.fs_caps,
            inodes: round.inodes.as_ref(),
            groups: &self.state.groups,
            agreed: &self.state.agreed,
            hashed: &self.state.hashed,
            asked: round.part != Part::Copies,
            is_first: round.is_first,
            made: &self.state.made,
            failed: &self.state.failed,
            turns: round.turns.as_ref(),
            targets: &self.claim.targets,
            fresh: if round.is_first { &self.claim.fresh } else { &[] },
            passed_over: &self.state.passed_over,
            done: &self.state.done,
            begun: &self.state.begun,
            begun_new: &self.state.begun_new,
            begun_over: &self.state.begun_over,
            root: process::is_root(),
        };
        let started = round.pool.start(|number, pipe| copier::run(job, number, pipe));
        match started {
            Ok(()) => round.pause = if first { SECOND_PAUSE } else { START_PAUSE },
            Err(errno) if first => return Err(Unavailable::because("start a copier")(errno)),
            Err(_) => round.pause = TICK, // with those that there are; perhaps later
        }
        round.next_start = Instant::now() + round.pause;
        Ok(())
    }

    /// Sleeps until something happens, or it is time to look.
    fn wait(&self, round: &mut Round) -> Result<(), Unavailable> {
        let mut watched: Vec<(BorrowedFd<'_>, Event)> =
            vec![(self.signals.as_fd(), Event::Readable)];
        watched.extend(self.screen.waiting().map(|stream| (stream, Event::Writable)));
        let streams = watched.len();
        if !self.screen.is_full() {
            let pipes = round.pool.copiers().iter().filter_map(Copier::pipe);
            watched.extend(pipes.map(|pipe| (pipe, Event::Readable)));
        }
        let limit = round.patience();
        let ready = poll::wait(&watched, limit).map_err(Unavailable::because("wait for events"))?;
        round.pool.note_ready(&ready[streams..]);
        Ok(())
    }

    /// Does what signals ask for.
    fn handle_signals(&mut self, round: &mut Round) -> Result<(), Unavailable> {
        let unreadable = Unavailable::because("read signals");
        let mut options = Vec::new();
        loop {
            match self.signals.next_wish() {
                Ok(Some(wish)) => options.push(wish),
                Ok(None) => break,
                Err(errno) => return Err(unreadable(errno)),
            }
        }
        for wish in options {
            match wish {
                Wish::End(number) => self.interrupt(round, number),
                Wish::Halt => self.halt(round),
                Wish::Status => self.report_status(round),
                Wish::Proceed | Wish::Resize => {
                    if let Some(line) = self.screen.line() {
                        line.redraw();
                    }
                }
                Wish::Child => round.child_ended = true,
            }
        }
        Ok(())
    }

    /// The first signal asks, the second ends.
    fn interrupt(&mut self, round: &mut Round, number: i32) {
        if let Some(Stop::Signal { number, .. }) = round.stop {
            round.kill_all();
            self.screen.end_line();
            signals::die_by(number); // the scout dies with its parent
        }
        self.screen.stop_waiting_for_reader();
        round.stop(Stop::Signal { number, since: Instant::now() });
    }

    /// Halts the run as a shell expects it of one process.
    fn halt(&mut self, round: &Round) {
        self.screen.end_line();
        let alive = || round.pool.copiers().iter().filter(|copier| copier.is_alive());
        // A copier that has just died needs no halting: whoever reaps it says so.
        let reach_all = |act: fn(Pid) -> pcopy_sys::Result<()>| {
            alive().map(|copier| act(copier.pid())).filter(Result::is_err).count()
        };
        reach_all(process::halt);
        if let Err(errno) = signals::halt_self() {
            self.screen.error(&format!("cannot halt: {}", describe(errno)));
        }
        reach_all(process::proceed);
    }

    /// Reaps copiers that have ended; one that ended before its work was done ends the round.
    fn reap_copiers(&mut self, round: &mut Round) {
        if !std::mem::take(&mut round.child_ended) {
            return; // 512 copiers would be 512 calls for each event
        }
        let done = round.ring.is_closed() || round.ring.is_stopped();
        let mut lost = Vec::new();
        for copier in round.pool.copiers_mut() {
            match copier.reap() {
                Ok(false) => {}
                Ok(true) if copier.exit_status() == Some(Death::Exited(0)) && done => {}
                Ok(true) | Err(_) => lost.push(copier.number()),
            }
        }
        if lost.is_empty() || matches!(round.stop, Some(Stop::Signal { .. } | Stop::TargetLost)) {
            return;
        }
        for number in lost {
            let place = round.counters.status(number).whereabouts();
            let mark = place.as_ref().map(|place| place.mark);
            let outbox = round.outboxes.get(number);
            for (has_begun, marks) in [
                (outbox.has_begun(), &mut self.state.begun),
                (outbox.has_begun_new(), &mut self.state.begun_new),
                (outbox.has_begun_over(), &mut self.state.begun_over),
            ] {
                marks.extend(mark.filter(|_| has_begun));
            }
            // All that the user named is no file to be passed over: that run has failed.
            let place = place.filter(|place| !place.name.is_empty() || place.dir.contains(&b'/'));
            if let Some(place) = place.filter(|place| round.died_at.insert(place.mark)) {
                round.passed_over |= self.state.died_at(place.mark);
            }
        }
        round.stop(Stop::CopierLost);
    }

    /// Waits until all that was said is written, for as long as `patience` lasts, or until a
    /// signal says that nobody wants to know.
    pub(super) fn drain(&mut self, patience: Duration) {
        let begun = Instant::now();
        self.screen.flush();
        while self.screen.waiting().next().is_some() && begun.elapsed() < patience {
            let mut watched = vec![(self.signals.as_fd(), Event::Readable)];
            watched.extend(self.screen.waiting().map(|stream| (stream, Event::Writable)));
            if poll::wait(&watched, TICK).is_err() {
                return;
            }
            while let Ok(Some(wish)) = self.signals.next_wish() {
                match wish {
                    Wish::End(number) => signals::die_by(number),
                    Wish::Halt if signals::halt_self().is_err() => return,
                    _ => {}
                }
            }
            self.screen.flush();
        }
    }
}
