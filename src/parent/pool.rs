//! The copiers as processes: start, read, reap, kill.

use crate::ipc::memory::counters::Counters;
use crate::ipc::memory::outbox::Outbox;
use pcopy_sys::file;
use pcopy_sys::process::{self, Death, Pid, Side};
use pcopy_sys::{Errno, Result, signals};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// How much is read from a pipe at a time, in bytes: the capacity of a pipe.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// Used in place of the exit status of a copier that could not be reaped.
const UNKNOWN: i32 = -1;

/// The copiers of one round.
#[derive(Default)]
pub(super) struct Pool {
    copiers: Vec<Copier>,
}

/// One forked copier and the read end of its pipe.
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
    /// Forks one more copier, which runs `work` with its number and the write end of a pipe, and exits
    /// with the status that `work` returns.
    pub(super) fn start(&mut self, work: impl FnOnce(u16, OwnedFd) -> i32) -> Result<()> {
        let number = u16::try_from(self.copiers.len()).map_err(|_| Errno::EAGAIN)?;
        let (reader, writer) = process::pipe()?;
        let parent = process::own_pid();
        match process::fork()? {
            Side::Parent(pid) => {
                // The parent must close its write end, or it would never read the end of the file.
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
                self.copiers.clear(); // closes the others' pipes: 512 copiers would hold 131,072
                drop(reader);
                let status = match signals::leave_to_parent() {
                    Ok(()) => work(number, writer),
                    Err(_) => 1,
                };
                process::exit(status)
            }
        }
    }

    /// How many copiers were started.
    pub(super) fn len(&self) -> usize {
        self.copiers.len()
    }

    /// The CPU time that the copiers that are alive have used.
    pub(super) fn cpu_time(&self) -> Duration {
        let alive = self.copiers.iter().filter(|copier| copier.is_alive());
        // One that has just exited counts as nothing; at the end of a round that does not matter.
        alive.filter_map(|copier| process::processor_time(copier.pid).ok()).sum()
    }

    /// All copiers, dead or alive.
    pub(super) fn copiers(&self) -> &[Copier] {
        &self.copiers
    }

    /// The same, to act on.
    pub(super) fn copiers_mut(&mut self) -> &mut [Copier] {
        &mut self.copiers
    }

    /// Notes which of the open pipes have something to read, in their order.
    pub(super) fn note_ready(&mut self, ready: &[bool]) {
        let open = self.copiers.iter_mut().filter(|copier| copier.pipe.is_some());
        for (number, copier) in open.enumerate() {
            copier.ready = ready.get(number).is_some_and(|&ready| ready);
        }
    }

    /// Waits until all have exited.
    pub(super) fn join_all(&mut self) {
        for copier in &mut self.copiers {
            if copier.join().is_err() {
                // It was reaped already.
            }
        }
    }

    /// Whether every copier has exited and all its reports were read.
    pub(super) fn is_done(&self) -> bool {
        self.copiers.iter().all(|copier| !copier.is_alive() && copier.pipe.is_none())
    }
}

impl Copier {
    /// Its place in the pool, from 0.
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// Its process ID.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it has not been reaped.
    pub(super) fn is_alive(&self) -> bool {
        self.death.is_none()
    }

    /// How it exited, once it has been reaped.
    pub(super) fn exit_status(&self) -> Option<Death> {
        self.death
    }

    /// Asks it to exit after the file in progress.
    pub(super) fn ask_to_stop(&self, counters: &Counters) {
        counters.status(self.number).ask_to_stop();
    }

    /// Kills it.
    pub(super) fn kill(&self) -> Result<()> {
        if self.is_alive() { process::kill(self.pid) } else { Ok(()) }
    }

    /// Reaps it if it has exited; true the one time that it does. One that the kernel no longer knows
    /// as a child counts as exited, too, or the run would wait for it for ever.
    pub(super) fn reap(&mut self) -> Result<bool> {
        if !self.is_alive() {
            return Ok(false);
        }
        let ended = process::reap(self.pid);
        self.death = ended.unwrap_or(Some(Death::Exited(UNKNOWN)));
        ended.map(|_| !self.is_alive())
    }

    /// Waits until it has exited.
    pub(super) fn join(&mut self) -> Result<Death> {
        match self.death {
            Some(death) => Ok(death),
            None => Ok(*self.death.insert(process::join(self.pid)?)),
        }
    }

    /// The pipe, until the end of the file was read.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads what has arrived, through `buffer`. At the end of the file the pipe is closed, and what
    /// the copier could not send any more is taken from its `outbox`.
    pub(super) fn receive(&mut self, outbox: Outbox<'_>, buffer: &mut [u8]) {
        let Some(pipe) = self.pipe.as_ref().filter(|_| self.ready) else { return };
        self.ready = false; // of 512 copiers one or two have sent something
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

    /// Hands out what was received and not used yet; `consume` returns how many bytes it has used.
    pub(super) fn with_inbox(&mut self, consume: impl FnOnce(&[u8]) -> usize) {
        let used = consume(&self.inbox);
        self.inbox.drain(..used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::memory::outbox::Outboxes;

    #[test]
    fn a_copier_is_alive_until_it_exits_and_then_has_a_status() {
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
    fn a_copier_that_is_asked_to_stop_exits() {
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
    fn what_a_killed_copier_had_not_sent_is_read_from_its_outbox() {
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
