//! The copiers as processes: start, watch, end.

use crate::ipc::memory::counters::Counters;
use crate::ipc::memory::outbox::Outbox;
use pcopy_sys::file;
use pcopy_sys::process::{self, Death, Pid, Side};
use pcopy_sys::{Errno, Result, signals};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// How much is read from a pipe at a time, in bytes: what a pipe holds.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// The exit status of a copier whose own nobody knows.
const UNKNOWN: i32 = -1;

/// The copiers of one round.
#[derive(Default)]
pub(super) struct Pool {
    copiers: Vec<Copier>,
}

/// One forked copier and the reading end of its pipe.
pub(super) struct Copier {
    number: u16,
    pid: Pid,
    pipe: Option<OwnedFd>,
    inbox: Vec<u8>,
    received: u64,
    ready: bool,
    death: Option<Death>,
}

impl Pool {
    /// Forks one more copier, which does `work` with its number and the writing end of a pipe,
    /// and leaves with the status that this returns.
    pub(super) fn start(&mut self, work: impl FnOnce(u16, OwnedFd) -> i32) -> Result<()> {
        let number = u16::try_from(self.copiers.len()).map_err(|_| Errno::EAGAIN)?;
        let (reader, writer) = process::pipe()?;
        let parent = process::own_pid();
        match process::fork()? {
            Side::Parent(pid) => {
                // Ours must go, or the end of the copier would not be the end of the file.
                drop(writer);
                self.copiers.push(Copier {
                    number,
                    pid,
                    pipe: Some(reader),
                    inbox: Vec::new(),
                    received: 0,
                    ready: false,
                    death: None,
                });
                Ok(())
            }
            Side::Child => {
                process::die_with_parent(parent);
                self.copiers.clear(); // the others' pipes: 512 copiers would hold 131,072 of them
                drop(reader);
                let status = match signals::leave_to_parent() {
                    Ok(()) => work(number, writer),
                    Err(_) => 1,
                };
                process::exit(status)
            }
        }
    }

    /// How many were started.
    pub(super) fn len(&self) -> usize {
        self.copiers.len()
    }

    /// The processor time that all that are alive have used.
    pub(super) fn processor_time(&self) -> Duration {
        let alive = self.copiers.iter().filter(|copier| copier.is_alive());
        // One that has just ended has used nothing any more, which nobody minds at the end.
        alive.filter_map(|copier| process::processor_time(copier.pid).ok()).sum()
    }

    /// All of them, dead or alive.
    pub(super) fn copiers(&self) -> &[Copier] {
        &self.copiers
    }

    /// All of them, to act on.
    pub(super) fn copiers_mut(&mut self) -> &mut [Copier] {
        &mut self.copiers
    }

    /// Notes which of the pipes that are open have something to read, in their order.
    pub(super) fn note_ready(&mut self, ready: &[bool]) {
        let open = self.copiers.iter_mut().filter(|copier| copier.pipe.is_some());
        for (number, copier) in open.enumerate() {
            copier.ready = ready.get(number).is_some_and(|&ready| ready);
        }
    }

    /// Waits until all have ended.
    pub(super) fn join_all(&mut self) {
        for copier in &mut self.copiers {
            if copier.join().is_err() {
                // It was reaped already.
            }
        }
    }

    /// Whether every copier is dead and all that it said was read.
    pub(super) fn is_done(&self) -> bool {
        self.copiers.iter().all(|copier| !copier.is_alive() && copier.pipe.is_none())
    }
}

impl Copier {
    /// Its place in the pool, from 0.
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// Its process number.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it has not been reaped.
    pub(super) fn is_alive(&self) -> bool {
        self.death.is_none()
    }

    /// How it ended, once it has been reaped.
    pub(super) fn exit_status(&self) -> Option<Death> {
        self.death
    }

    /// Asks it to end after the file in hand.
    pub(super) fn ask_to_stop(&self, counters: &Counters) {
        counters.status(self.number).ask_to_stop();
    }

    /// Ends it at once.
    pub(super) fn kill(&self) -> Result<()> {
        if self.is_alive() { process::kill(self.pid) } else { Ok(()) }
    }

    /// Reaps it if it has ended; true the one time that it does. One that the kernel does not know
    /// as our child any more has ended, too, or all would wait for it.
    pub(super) fn reap(&mut self) -> Result<bool> {
        if !self.is_alive() {
            return Ok(false);
        }
        let ended = process::reap(self.pid);
        self.death = ended.unwrap_or(Some(Death::Exited(UNKNOWN)));
        ended.map(|_| !self.is_alive())
    }

    /// Waits for its end.
    pub(super) fn join(&mut self) -> Result<Death> {
        match self.death {
            Some(death) => Ok(death),
            None => Ok(*self.death.insert(process::join(self.pid)?)),
        }
    }

    /// The pipe, until its end was read.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads what has arrived, through `buffer`. At its end the pipe is closed, and what the copier
    /// did not come to send is taken out of its `outbox`.
    pub(super) fn receive(&mut self, outbox: Outbox<'_>, buffer: &mut [u8]) {
        let Some(pipe) = self.pipe.as_ref().filter(|_| self.ready) else { return };
        self.ready = false; // with 512 copiers it is one or two that have something to say
        match file::read(pipe, buffer) {
            Ok(length @ 1..) => {
                self.received += length as u64;
                self.inbox.extend_from_slice(&buffer[..length]);
            }
            Err(Errno::EAGAIN) => {}
            Ok(0) | Err(_) => {
                self.pipe = None;
                self.inbox.extend(outbox.unsent(self.received));
            }
        }
    }

    /// What was received and not yet used up; `use_up` returns how many bytes it needs no more.
    pub(super) fn with_inbox(&mut self, use_up: impl FnOnce(&[u8]) -> usize) {
        let used = use_up(&self.inbox);
        self.inbox.drain(..used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::memory::outbox::Outboxes;

    #[test]
    fn a_copier_is_alive_until_it_ends_and_then_says_how() {
        let mut pool = Pool::default();
        pool.start(|number, _pipe| i32::from(number) + 7).unwrap();
        pool.start(|number, _pipe| i32::from(number) + 7).unwrap();
        assert!(pool.copiers().iter().all(Copier::is_alive));
        assert_ne!(pool.copiers()[0].pid(), pool.copiers()[1].pid());
        for (copier, status) in pool.copiers_mut().iter_mut().zip([7, 8]) {
            assert_eq!(copier.join(), Ok(Death::Exited(status)));
            assert_eq!(copier.exit_status(), Some(Death::Exited(status)));
            assert!(!copier.is_alive());
        }
    }

    #[test]
    fn a_copier_that_is_asked_stops_by_itself() {
        let counters = Counters::create(1).unwrap();
        let mut pool = Pool::default();
        pool.start(|number, _pipe| {
            while !counters.status(number).is_asked_to_stop() {
                std::thread::yield_now();
            }
            0
        })
        .unwrap();
        assert_eq!(pool.copiers_mut()[0].reap(), Ok(false));
        pool.copiers()[0].ask_to_stop(&counters);
        assert_eq!(pool.copiers_mut()[0].join(), Ok(Death::Exited(0)));
    }

    #[test]
    fn a_killed_copier_ends_its_pipe_and_leaves_what_it_had_to_say() {
        let outboxes = Outboxes::create(1).unwrap();
        outboxes.get(0).keep(b"not sent", false);
        let mut pool = Pool::default();
        pool.start(|_, _pipe| {
            loop {
                std::thread::yield_now();
            }
        })
        .unwrap();
        let copier = &mut pool.copiers_mut()[0];
        copier.kill().unwrap();
        assert_eq!(copier.join(), Ok(Death::Killed(9)));
        copier.ready = true;
        copier.receive(outboxes.get(0), &mut [0; 8]);
        assert!(copier.pipe().is_none(), "the end of the file was read");
        copier.with_inbox(|inbox| {
            assert_eq!(inbox, b"not sent");
            inbox.len()
        });
        assert!(pool.is_done());
    }
}
