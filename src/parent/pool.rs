//! The copiers of one round: the parent starts them, reads their reports, reaps them and kills them.

use crate::ipc::memory::counters::Counters;
use crate::ipc::memory::outbox::Outbox;
use pcopy_sys::file;
use pcopy_sys::process::{self, Death, Pid, Side};
use pcopy_sys::{Errno, Result, signals};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// How many bytes one read takes from a pipe: the capacity of a pipe.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// The exit status that a copier gets if the parent could not reap it.
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
    /// Forks one more copier. The copier calls `work` with its number and the write end of its pipe, and
    /// exits with the status that `work` returns.
    pub(super) fn start(&mut self, work: impl FnOnce(u16, OwnedFd) -> i32) -> Result<()> {
        let number = u16::try_from(self.copiers.len()).map_err(|_| Errno::EAGAIN)?;
        let (reader, writer) = process::pipe()?;
        let parent = process::own_pid();
        match process::fork()? {
            Side::Parent(pid) => {
                // If the parent kept the write end open, it would never read the end of the file.
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
                // Closes the pipes of the other copiers. Otherwise 512 copiers together would keep 130,816
                // descriptors open.
                self.copiers.clear();
                drop(reader);
                let status = match signals::leave_to_parent() {
                    Ok(()) => work(number, writer),
                    Err(_) => 1,
                };
                pcopy_sys::exit(status)
            }
        }
    }

    /// Returns how many copiers were started.
    pub(super) fn len(&self) -> usize {
        self.copiers.len()
    }

    /// Returns the CPU time that the living copiers have used.
    pub(super) fn cpu_time(&self) -> Duration {
        let alive = self.copiers.iter().filter(|copier| copier.is_alive());
        // A copier that has just exited counts as zero. That happens at the end of a round, where the sum
        // does not matter.
        alive.filter_map(|copier| process::cpu_time(copier.pid).ok()).sum()
    }

    /// Returns the CPU time that a copier has used.
    pub(super) fn cpu_time_of(&self, number: u16) -> Duration {
        let copier = self.copiers.get(usize::from(number));
        copier.and_then(|copier| process::cpu_time(copier.pid).ok()).unwrap_or_default()
    }

    /// Returns all copiers, dead or alive.
    pub(super) fn copiers(&self) -> &[Copier] {
        &self.copiers
    }

    /// Returns all copiers, dead or alive, mutably.
    pub(super) fn copiers_mut(&mut self) -> &mut [Copier] {
        &mut self.copiers
    }

    /// Notes which of the open pipes are readable; `ready` is in the order of the copiers.
    pub(super) fn note_ready(&mut self, ready: &[bool]) {
        let open = self.copiers.iter_mut().filter(|copier| copier.pipe.is_some());
        for (number, copier) in open.enumerate() {
            copier.ready = ready.get(number).is_some_and(|&ready| ready);
        }
    }

    /// Waits until all copiers have exited.
    pub(super) fn join_all(&mut self) {
        for copier in &mut self.copiers {
            if copier.join().is_err() {
                // The copier was already reaped.
            }
        }
    }

    /// Whether all copiers have exited and the parent has read all their reports.
    pub(super) fn is_done(&self) -> bool {
        self.copiers.iter().all(|copier| !copier.is_alive() && copier.pipe.is_none())
    }
}

impl Copier {
    /// Returns the place of the copier in the pool, from 0.
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// Returns the process ID of the copier.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether the copier has not been reaped yet.
    pub(super) fn is_alive(&self) -> bool {
        self.death.is_none()
    }

    /// Returns how the copier exited; `None` until it is reaped.
    pub(super) fn exit_status(&self) -> Option<Death> {
        self.death
    }

    /// Asks the copier to exit after the file in progress.
    pub(super) fn ask_to_stop(&self, counters: &Counters) {
        counters.status(self.number).ask_to_stop();
    }

    /// Kills the copier if it has not been reaped.
    pub(super) fn kill(&self) -> Result<()> {
        if self.is_alive() { process::kill(self.pid) } else { Ok(()) }
    }

    /// Reaps the copier if it has exited. Returns whether this call has reaped it. If the kernel does not
    /// know the copier as a child any more, the call fails, and the copier also counts as exited; otherwise
    /// the run would wait for it forever.
    pub(super) fn reap(&mut self) -> Result<bool> {
        if !self.is_alive() {
            return Ok(false);
        }
        let ended = process::reap(self.pid);
        self.death = ended.unwrap_or(Some(Death::Exited(UNKNOWN)));
        ended.map(|_| !self.is_alive())
    }

    /// Waits until the copier has exited.
    pub(super) fn join(&mut self) -> Result<Death> {
        match self.death {
            Some(death) => Ok(death),
            None => Ok(*self.death.insert(process::join(self.pid)?)),
        }
    }

    /// Returns the read end of the pipe; `None` after the end of the file was read.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads the reports that have arrived, through `buffer`. At the end of the file, closes the pipe and
    /// takes from `outbox` the reports that the copier did not send.
    pub(super) fn receive(&mut self, outbox: Outbox<'_>, buffer: &mut [u8]) {
        let Some(pipe) = self.pipe.as_ref().filter(|_| self.ready) else { return };
        self.ready = false; // of 512 copiers, usually only one or two are ready; the others are not read
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

    /// Passes the received bytes that are not used yet to `consume`, which returns how many of them it has
    /// used.
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
        outboxes.get(0).append(b"not sent", false);
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
