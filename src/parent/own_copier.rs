//! The parent as the only copier of a round, if the kernel lets it fork no process (`pids.max`, `RLIMIT_NPROC`, no
//! memory).
//!
//! The copier's main loop runs on the ring as it would in a process of its own. Its reports are applied at once.
//! Between two entries, and between two parts of a file, the parent handles signals and writes its output. A
//! copier must not see changes that its own reports make to the state of the run, because a forked copier does not
//! see them either. So it works with a copy of the state from the beginning of the round.

use super::poll_loop::{attend, job};
use super::reports;
use super::round::{Round, TICK};
use super::run::Run;
use crate::copier;
use crate::error::Unavailable;
use crate::ipc::in_parent::InParent;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

/// Does the work of a round in this process. Returns when the ring is closed or stopped.
pub(super) fn work(run: &mut Run<'_>, round: &mut Round) -> Result<(), Unavailable> {
    // A blocked call, such as opening a FIFO, must not keep a signal from ending the run.
    let signals = run.signals;
    let _handled = signals.handle_directly().map_err(Unavailable::because("handle signals"))?;
    let (plan, lock, state) = (run.plan, run.lock, run.state.for_copier());
    let shared = Rc::clone(&round.shared);
    shared.counters.set_active(1); // there is no other copier to hand over work to
    let job = job(round, &shared, (plan, lock), &state);
    let desk = Desk { run, round, inbox: Vec::new(), attended: Instant::now(), result: Ok(()) };
    let parent = Parent(RefCell::new(desk));
    copier::run_in_parent(job, &parent);
    let Parent(desk) = parent;
    desk.into_inner().result
}

/// The parent process, as its own copier sees it.
struct Parent<'r, 'a>(RefCell<Desk<'r, 'a>>);

/// The parent's side of the work.
struct Desk<'r, 'a> {
    run: &'r mut Run<'a>,
    round: &'r mut Round,
    /// Reports that are not complete yet.
    inbox: Vec<u8>,
    /// When the parent last did its other work.
    attended: Instant,
    result: Result<(), Unavailable>,
}

impl InParent for Parent<'_, '_> {
    fn attend(&self) {
        // It is borrowed already if the parent itself asks whether the copier must stop.
        let Ok(mut desk) = self.0.try_borrow_mut() else { return };
        if desk.attended.elapsed() >= TICK {
            desk.attend();
        }
    }

    fn receive(&self, reports: &[u8]) {
        let Ok(mut desk) = self.0.try_borrow_mut() else { return };
        let Desk { run, round, inbox, .. } = &mut *desk;
        inbox.extend_from_slice(reports);
        reports::apply(run, round, inbox);
        desk.attend();
    }
}

impl Desk<'_, '_> {
    fn attend(&mut self) {
        let attended = attend(self.run, self.round);
        self.attended = Instant::now();
        if attended.is_err() && self.result.is_ok() {
            self.result = attended;
            self.round.shared.ring.stop();
        }
    }
}
