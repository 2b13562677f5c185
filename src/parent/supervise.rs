//! The supervisor: one poll loop over pipes, signals, deaths and a clock.
//!
//! It copies nothing and waits for nobody: a stuck reader of its output, a stuck copier and an
//! impatient user are all events of the same loop. Rounds follow one another until one ends with
//! nothing left to do: a copier that dies costs a round, not the run.

use super::Show;
use super::claim::Claim;
use super::finish;
use super::ledger::{Built, LateDir, Ledger};
use super::pool::Pool;
use super::progress::Position;
use super::scout;
use super::screen::Screen;
use crate::copier::{self, Job};
use crate::error::{Unavailable, describe_fault, describe_vanished, ends_the_run};
use crate::human;
use crate::ipc::counters::{Count, Counters, Totals};
use crate::ipc::forecast::{Forecast, Work};
use crate::ipc::report::{Fault, News, Report, Step};
use crate::ipc::ring::SharedRing;
use crate::ipc::task::Task;
use crate::outcome::{End, Outcome};
use crate::plan::Plan;
use crate::quote::{escape, quote};
use crate::sys::poll::{self, Event};
use crate::sys::process::{self, Death, Pid};
use crate::sys::signals::{self, Signals, Wish};
use crate::sys::{Errno, describe};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// The beat of the loop: the line is drawn and deadlines are looked at this often.
const TICK: Duration = Duration::from_millis(100);

/// A run that is over before this needs no progress line.
const LINE_AFTER: Duration = Duration::from_millis(500);

/// The pause before another copier is started, at first; it doubles while the others suffice.
const START_PAUSE: Duration = Duration::from_millis(1);

/// After a signal: how long a copier may finish its file, and when it is ended in any case.
const FINISH_WITHIN: Duration = Duration::from_millis(1000);
const END_WITHIN: Duration = Duration::from_millis(1800);

/// Rounds in a row that may end early without a gain. A file that kills its copiers costs three.
const FRUITLESS_ROUNDS_MAX: u32 = 16;

/// A run as the parent sees it.
pub(super) struct Supervisor<'a> {
    plan: &'a Plan,
    claim: &'a Claim,
    signals: &'a Signals,
    screen: Screen,
    ledger: Ledger,
    begun: Instant,
    forecast: Option<Forecast>,
    scout: Option<Pid>,
    totals: Totals,
    failed_late: u64,
}

/// Why a round is to end before its work is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    CopierLost,
    TargetLost,
    Signal { number: i32, since: Instant },
}

/// One life of a ring and its copiers.
struct Round {
    ring: SharedRing,
    counters: Counters,
    pool: Pool,
    stop: Option<Stop>,
    pause: Duration,
    next_start: Instant,
    /// Whether a place was newly passed over, which is a gain.
    passed_over: bool,
    abandoned: bool,
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        claim: &'a Claim,
        signals: &'a Signals,
        show: Show,
    ) -> Result<Self, Unavailable> {
        let screen = Screen::new(show);
        Ok(Self {
            plan,
            claim,
            signals,
            screen,
            ledger: Ledger::default(),
            begun: Instant::now(),
            forecast: None,
            scout: None,
            totals: Totals::default(),
            failed_late: 0,
        })
    }

    /// Copies in rounds; each begins with all that the user named and passes over what is complete.
    pub(super) fn copy(&mut self) -> Result<End, Unavailable> {
        let mut fruitless = 0;
        loop {
            let mut round = Round::begin(self.plan)?;
            self.run(&mut round)?;
            self.totals = self.ledger.sum_up(round.counters.totals());
            match round.stop {
                None => return Ok(End::Finished),
                Some(Stop::Signal { number, .. }) => return Ok(End::Signal(number)),
                Some(Stop::TargetLost) => return Ok(End::TargetLost),
                Some(Stop::CopierLost) => {}
            }
            let gained = round.counters.totals().get(Count::Copied) > 0 || round.passed_over;
            fruitless = if gained { 0 } else { fruitless + 1 };
            if fruitless >= FRUITLESS_ROUNDS_MAX {
                return Ok(End::CopiersDied);
            }
            self.ledger.end_round(&round.counters.totals());
        }
    }

    /// Finishes what only the parent can, unless the run was cut short: then all stays as it is,
    /// for the same command to go on with.
    pub(super) fn finish(&mut self, end: End) {
        self.end_scout();
        self.screen.end_line();
        if end != End::Finished {
            return;
        }
        for failure in finish::finish(self.plan, &mut self.ledger) {
            self.failed_late += 1;
            self.tell_failure(failure.fault, failure.entry, &failure.source);
        }
    }

    /// Says how it went, waits until that has been read, and hands it to the caller.
    pub(super) fn sum_up(mut self, end: End) -> Outcome {
        self.drain();
        if let Some(errno) = self.screen.names_failure().filter(|_| self.plan.verbose) {
            self.screen.error(&format!("cannot write to standard output: {}", describe(errno)));
            self.failed_late += 1;
        }
        let outcome = Outcome {
            end,
            totals: self.totals,
            kinds: self.ledger.kinds.drain().collect(),
            late_failures: self.failed_late,
            elapsed: self.begun.elapsed(),
        };
        for kind in outcome.kinds() {
            self.screen.notice(&kind);
        }
        if !outcome.is_balanced() {
            self.screen.error("internal: the numbers do not add up; some entries may be missing");
        }
        match end {
            End::Finished => self.screen.plain(&outcome.summary()),
            End::Signal(_) => self.screen.notice(&outcome.summary()),
            End::TargetLost | End::CopiersDied => self.screen.error(&outcome.summary()),
        }
        self.drain();
        outcome
    }

    /// One round, until all its copiers are gone and all that they said was read.
    fn run(&mut self, round: &mut Round) -> Result<(), Unavailable> {
        loop {
            self.start_copiers(round)?;
            if round.pool.is_done() {
                return Ok(());
            }
            self.wait(round)?;
            self.obey(round)?;
            self.listen(round);
            self.bury(round);
            round.press();
            self.draw(round);
            self.screen.flush();
        }
    }

    /// Starts one more copier if there is work for it: ten files do not pay for eight forks.
    fn start_copiers(&mut self, round: &mut Round) -> Result<(), Unavailable> {
        let first = round.pool.len() == 0;
        if !first && !round.wants_copier(self.plan.jobs) {
            return Ok(());
        }
        let job = Job {
            plan: self.plan,
            ring: &round.ring,
            counters: &round.counters,
            targets: &self.claim.targets,
            fresh: &self.claim.fresh,
            passed_over: &self.ledger.passed_over,
            root: process::is_root(),
        };
        let started = round.pool.start(|number, pipe| copier::run(job, number, pipe));
        match started {
            Ok(()) => round.pause = START_PAUSE,
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
        if !self.screen.is_full() {
            let pipes = round.pool.copiers().iter().filter_map(super::pool::Copier::pipe);
            watched.extend(pipes.map(|pipe| (pipe, Event::Readable)));
        }
        let limit = round.patience(self.plan.jobs);
        poll::wait(&watched, limit).map(drop).map_err(Unavailable::because("wait for events"))
    }

    /// Does what signals ask for.
    fn obey(&mut self, round: &mut Round) -> Result<(), Unavailable> {
        let unreadable = Unavailable::because("read signals");
        let mut wishes = Vec::new();
        loop {
            match self.signals.next_wish() {
                Ok(Some(wish)) => wishes.push(wish),
                Ok(None) => break,
                Err(errno) => return Err(unreadable(errno)),
            }
        }
        for wish in wishes {
            match wish {
                Wish::End(number) => self.interrupt(round, number),
                Wish::Halt => self.halt(round),
                Wish::Status => self.tell_status(round),
                Wish::Proceed | Wish::Resize => {
                    if let Some(line) = self.screen.line() {
                        line.redraw();
                    }
                }
                Wish::Child => {} // the dead are looked for after every wait
            }
        }
        Ok(())
    }

    /// The first signal asks, the second ends.
    fn interrupt(&mut self, round: &mut Round, number: i32) {
        if let Some(Stop::Signal { number, .. }) = round.stop {
            round.kill_all();
            self.end_scout();
            self.screen.end_line();
            signals::die_by(number);
        }
        round.stop(Stop::Signal { number, since: Instant::now() });
    }

    /// Halts the run as a shell expects it of one process.
    fn halt(&mut self, round: &Round) {
        self.screen.end_line();
        let alive = || round.pool.copiers().iter().filter(|copier| copier.is_alive());
        // A copier that has just died needs no halting: whoever reaps it says so.
        let reach_all = |act: fn(Pid) -> crate::sys::Result<()>| {
            alive().map(|copier| act(copier.pid())).filter(Result::is_err).count()
        };
        reach_all(process::halt);
        if let Err(errno) = signals::halt_self() {
            self.screen.error(&format!("cannot halt: {}", describe(errno)));
        }
        reach_all(process::proceed);
    }

    /// Reads what copiers have said.
    fn listen(&mut self, round: &mut Round) {
        if self.screen.is_full() {
            return;
        }
        let Round { pool, .. } = round;
        let mut target_lost = false;
        for copier in pool.copiers_mut() {
            if copier.receive().is_err() {
                continue; // its pipe is closed now; its end will tell why
            }
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
        let Some(entry) = self.plan.entries.get(place.entry as usize) else { return false };
        match report.news {
            News::Done => self.screen.name(&escape(&entry.show_target(place.source))),
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
            News::Later => self.ledger.late.push(LateDir {
                entry: place.entry,
                source: place.source.to_vec(),
                target: place.target.to_vec(),
                staged: place.staged,
            }),
            News::Built { staged } => self.ledger.built.push(Built {
                entry: place.entry,
                source: place.source.to_vec(),
                target: place.target.to_vec(),
                staged_name: staged.to_vec(),
            }),
        }
        false
    }

    fn tell_failure(&mut self, fault: Fault, entry: u32, source: &[u8]) {
        let Some(entry) = self.plan.entries.get(entry as usize) else { return };
        let message = describe_fault(fault, &entry.show_source(source), &entry.show_target(source));
        *self.ledger.kinds.entry(fault).or_default() += 1;
        self.screen.error(&message);
    }

    fn tell_vanished(&mut self, fault: Fault, entry: u32, source: &[u8]) {
        let Some(entry) = self.plan.entries.get(entry as usize) else { return };
        let shown = entry.show_source(source);
        self.screen.error(&match fault.step {
            Step::Changed => describe_fault(fault, &shown, b""),
            _ => describe_vanished(&shown),
        });
    }

    /// Reaps copiers that have ended; one that ended before its work was done ends the round.
    fn bury(&mut self, round: &mut Round) {
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
            if let Some(place) = round.counters.desk(number).whereabouts() {
                round.passed_over |= self.ledger.died_at(place.mark);
            }
        }
        round.stop(Stop::CopierLost);
    }

    /// Draws the line, which begins when the run takes long enough to want one.
    fn draw(&mut self, round: &Round) {
        if !self.screen.draws() || self.begun.elapsed() < LINE_AFTER {
            return;
        }
        if self.forecast.is_none() {
            self.begin_scouting();
        }
        let position = self.position(round);
        let name = self.name_in_hand(round);
        if self.screen.line().is_none() {
            self.screen.begin_line();
        }
        if let Some(line) = self.screen.line() {
            line.update(&position, &name);
        }
    }

    fn begin_scouting(&mut self) {
        let Ok(forecast) = Forecast::create() else { return }; // then the line has no percentage
        self.scout = scout::start(self.plan, &forecast).ok();
        self.forecast = Some(forecast);
    }

    fn end_scout(&mut self) {
        if let Some(scout) = self.scout.take()
            && process::kill(scout).and_then(|()| process::join(scout)).is_err()
        {
            // It had ended and was reaped already.
        }
    }

    fn position(&self, round: &Round) -> Position {
        let unknown = Work { entries: 0, bytes: 0, complete: false };
        Position {
            totals: round.counters.totals(),
            work: self.forecast.as_ref().map_or(unknown, Forecast::get),
            elapsed: self.begun.elapsed(),
        }
    }

    fn name_in_hand(&self, round: &Round) -> String {
        let alive = round.pool.copiers().iter().filter(|copier| copier.is_alive());
        let place =
            alive.filter_map(|copier| round.counters.desk(copier.number()).whereabouts()).next();
        let Some(place) = place else { return String::new() };
        let Some(entry) = self.plan.entries.get(place.entry as usize) else { return String::new() };
        let mut path = place.dir;
        if !path.is_empty() && !place.name.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&place.name);
        escape(&entry.show_source(&path))
    }

    /// What USR1 asks for.
    fn tell_status(&mut self, round: &Round) {
        let position = self.position(round);
        let totals = self.ledger.sum_up(position.totals);
        let of = if position.work.complete {
            format!(" of {}", human::count(position.work.entries))
        } else {
            String::new()
        };
        let name = self.name_in_hand(round);
        self.screen.error(&format!(
            "{}{of} entries, {}, {}, {} copiers, at {}",
            human::count(totals.settled()),
            human::bytes(totals.get(Count::Bytes)),
            human::duration(position.elapsed),
            round.pool.copiers().iter().filter(|copier| copier.is_alive()).count(),
            quote(name.as_bytes()),
        ));
    }

    /// Waits until all that was said is written, or a signal says that nobody wants to know.
    fn drain(&mut self) {
        self.screen.flush();
        while self.screen.waiting().next().is_some() {
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

impl Round {
    fn begin(plan: &Plan) -> Result<Self, Unavailable> {
        let out_of_memory = |what| move |source| Unavailable { what, source };
        let ring = SharedRing::create().map_err(out_of_memory("make the ring"))?;
        let counters = Counters::create(plan.jobs).map_err(out_of_memory("make the counters"))?;
        let mut root = Vec::new();
        let end = u32::try_from(plan.entries.len()).unwrap_or(u32::MAX);
        Task::Entries { first: 0, end }.encode(&mut root);
        ring.try_push(&root).map_err(|_| Unavailable::because("fill the ring")(Errno::ENOBUFS))?;
        Ok(Self {
            ring,
            counters,
            pool: Pool::default(),
            stop: None,
            pause: START_PAUSE,
            next_start: Instant::now(),
            passed_over: false,
            abandoned: false,
        })
    }

    /// Whether work waits that nobody has taken, and it is time to look.
    fn wants_copier(&mut self, jobs: u16) -> bool {
        let now = Instant::now();
        if !self.may_grow(jobs) || now < self.next_start {
            return false;
        }
        if self.ring.is_empty() {
            self.pause = (self.pause * 2).min(TICK);
            self.next_start = now + self.pause;
            return false;
        }
        true
    }

    fn may_grow(&self, jobs: u16) -> bool {
        self.stop.is_none() && self.pool.len() < usize::from(jobs) && !self.ring.is_closed()
    }

    /// How long the supervisor may sleep.
    fn patience(&self, jobs: u16) -> Duration {
        if self.may_grow(jobs) {
            self.next_start.saturating_duration_since(Instant::now()).min(TICK)
        } else {
            TICK
        }
    }

    /// Has the copiers end after the file in hand. A signal outranks the other reasons.
    fn stop(&mut self, why: Stop) {
        if self.stop.is_none() || matches!(why, Stop::Signal { .. }) {
            self.stop = Some(why);
        }
        self.ring.stop();
    }

    /// After a signal, first asks for the file in hand, then takes the copiers' lives.
    fn press(&mut self) {
        let Some(Stop::Signal { since, .. }) = self.stop else { return };
        if since.elapsed() >= FINISH_WITHIN && !self.abandoned {
            self.abandoned = true;
            self.counters.abandon();
        }
        if since.elapsed() >= END_WITHIN {
            self.kill_all();
        }
    }

    fn kill_all(&mut self) {
        for copier in self.pool.copiers_mut() {
            if copier.is_alive() && copier.kill().and_then(|()| copier.join()).is_err() {
                // It had ended and was reaped already.
            }
        }
    }
}
