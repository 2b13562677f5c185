//! Reads signals from a descriptor, lets a child ignore signals, and performs the default action of a signal.

use super::{Result, retry};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, raise, sigaction, sigprocmask,
};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::alarm;
use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicI32, AtomicI64};
use std::time::{Duration, Instant};

/// What the user or the kernel asks of the program with a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// SIGINT, SIGTERM or SIGHUP: clean up and die by this signal, whose number is given.
    End(i32),
    /// SIGTSTP: suspend until SIGCONT comes.
    Suspend,
    /// SIGCONT: resume.
    Resume,
    /// SIGUSR1: print the progress.
    Status,
    /// SIGCHLD: a child has ended.
    Child,
    /// SIGWINCH: the size of the terminal has changed.
    Resize,
}

const WATCHED: [Signal; 8] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGTSTP,
    Signal::SIGCONT,
    Signal::SIGUSR1,
    Signal::SIGCHLD,
    Signal::SIGWINCH,
];

/// A descriptor from which this process reads its signals: signalfd(2).
pub struct Signals {
    fd: SignalFd,
    /// The last signal that is to end the program, and when it came.
    last: Cell<Option<(Sent, Instant)>>,
}

/// A signal, and the process that has sent it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sent {
    signal: u32,
    sender: u32,
}

/// The same signal from the same process counts as one within this time: timeout(1) signals the process that it has
/// started, and then the process group of that process.
const ONE_WITHIN: Duration = Duration::from_secs(1);

impl Signals {
    /// Blocks the signals that pcopy handles, so that only this descriptor receives them.
    ///
    /// If SIGHUP, SIGINT or SIGTSTP was ignored when the program started (`nohup`, a shell's `&`), it stays
    /// ignored.
    pub fn watch() -> Result<Self> {
        // If the program that started this process ignored SIGCHLD, this process has inherited that. It would
        // not notice the end of its own children.
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: SIG_DFL runs no code of ours.
        unsafe { sigaction(Signal::SIGCHLD, &default) }?;
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // A write beyond the limit of file sizes (`ulimit -f`) then fails with EFBIG, which is an error of
        // that file. With the default action the signal would kill the process.
        // SAFETY: SIG_IGN runs no code of ours.
        unsafe { sigaction(Signal::SIGXFSZ, &ignore) }?;
        let mut set = SigSet::empty();
        for signal in WATCHED {
            if !is_ignored(signal) {
                set.add(signal);
            }
        }
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { fd, last: Cell::new(None) })
    }

    /// Returns the next request, if one has arrived. Never waits.
    pub fn next_request(&self) -> Result<Option<Request>> {
        let handled = HANDLED.swap(0, SeqCst);
        if handled != 0 {
            return Ok(Some(Request::End(handled)));
        }
        loop {
            let Some(info) = retry(|| self.fd.read_signal())? else { return Ok(None) };
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            return Ok(Some(match Signal::try_from(number)? {
                Signal::SIGTSTP => Request::Suspend,
                Signal::SIGCONT => Request::Resume,
                Signal::SIGUSR1 => Request::Status,
                Signal::SIGCHLD => Request::Child,
                Signal::SIGWINCH => Request::Resize,
                _ if self.is_repeated(&info) => continue,
                _ => Request::End(number),
            }));
        }
    }

    /// Whether the sender of this signal has just sent it before. What the user types at the terminal comes from the
    /// kernel, and always counts.
    fn is_repeated(&self, info: &siginfo) -> bool {
        let sent = Sent { signal: info.ssi_signo, sender: info.ssi_pid };
        let now = Instant::now();
        let is_same =
            |(last, when): (Sent, Instant)| last == sent && now.duration_since(when) < ONE_WITHIN;
        let is_repeated = info.ssi_code != libc::SI_KERNEL && self.last.get().is_some_and(is_same);
        if !is_repeated {
            self.last.set(Some((sent, now)));
        }
        is_repeated
    }
}

/// The number of a signal that a handler has received and [`Signals::next_request`] has not returned yet.
static HANDLED: AtomicI32 = AtomicI32::new(0);

/// The number of the first signal that a handler has received, the process that has sent it (0: the kernel), and when
/// it came, in milliseconds.
static FIRST: AtomicI32 = AtomicI32::new(0);
static FIRST_SENDER: AtomicI32 = AtomicI32::new(0);
static FIRST_AT: AtomicI64 = AtomicI64::new(0);

/// The signals that end the program.
const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// The time in seconds after which a handled signal kills the process, if the process has not ended by then.
const GRACE: u32 = 2;

impl Signals {
    /// Makes SIGINT, SIGTERM and SIGHUP call a handler, as long as the returned value exists. For a process that
    /// reads its signals only now and then, because it works between two looks, and the work may block.
    ///
    /// [`next_request`](Self::next_request) returns the first of these signals as before. A second one, unless it is
    /// the same signal from the same sender within a second, kills the process at once. The first one kills it after
    /// two seconds, even if the process is blocked in a system call.
    pub fn handle_directly(&self) -> Result<HandledDirectly> {
        FIRST.store(0, SeqCst);
        let flags = SaFlags::SA_RESTART | SaFlags::SA_SIGINFO;
        let handler = |handler| SigAction::new(handler, flags, SigSet::empty());
        let mut set = SigSet::empty();
        // SAFETY: both handlers use only atomic numbers and functions that signal-safety(7) permits.
        unsafe { sigaction(Signal::SIGALRM, &handler(SigHandler::SigAction(die_by_first))) }?;
        for signal in ENDING {
            if !is_ignored(signal) {
                // SAFETY: as above.
                unsafe { sigaction(signal, &handler(SigHandler::SigAction(note_ending))) }?;
                set.add(signal);
            }
        }
        set.add(Signal::SIGALRM);
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), Some(&mut before))?;
        Ok(HandledDirectly { before })
    }
}

/// See [`Signals::handle_directly`].
pub struct HandledDirectly {
    before: SigSet,
}

impl Drop for HandledDirectly {
    fn drop(&mut self) {
        alarm::cancel();
        if sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None).is_err() {
            // The mask stays as it is, and the handlers continue to receive the signals.
        }
    }
}

extern "C" fn note_ending(number: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid structure, and a signal that a process has sent has a sender.
    let (sender, code) = unsafe { ((*info).si_pid(), (*info).si_code) };
    let sender = if code == libc::SI_KERNEL { 0 } else { sender };
    let now = milliseconds();
    if FIRST.compare_exchange(0, number, SeqCst, SeqCst).is_ok() {
        FIRST_SENDER.store(sender, SeqCst);
        FIRST_AT.store(now, SeqCst);
        HANDLED.store(number, SeqCst);
        alarm::set(GRACE);
        return;
    }
    let is_repeated = sender != 0
        && (number, sender) == (FIRST.load(SeqCst), FIRST_SENDER.load(SeqCst))
        && u128::from(now.abs_diff(FIRST_AT.load(SeqCst))) < ONE_WITHIN.as_millis();
    if !is_repeated {
        die_in_handler(number);
    }
}

/// Returns the milliseconds since some point in the past.
fn milliseconds() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the structure, which outlives it; signal-safety(7) permits it in a handler.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

extern "C" fn die_by_first(_alarm: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    die_in_handler(FIRST.load(SeqCst));
}

/// Ends the process by this signal, as soon as the handler returns.
fn die_in_handler(number: i32) {
    // SAFETY: both calls take numbers, and signal-safety(7) permits both in a handler.
    unsafe {
        libc::signal(number, libc::SIG_DFL);
        libc::raise(number);
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn is_ignored(signal: Signal) -> bool {
    // SAFETY: with a null action, sigaction only writes the old action, for which there is room.
    let old = unsafe {
        let mut old = std::mem::zeroed::<libc::sigaction>();
        if libc::sigaction(signal as i32, std::ptr::null(), &raw mut old) != 0 {
            return false;
        }
        old
    };
    old.sa_sigaction == libc::SIG_IGN
        && matches!(signal, Signal::SIGINT | Signal::SIGHUP | Signal::SIGTSTP)
}

/// Makes a child ignore the signals that a terminal sends to the whole process group, because the parent
/// handles them. The child also ignores SIGPIPE and SIGXFSZ, and blocks no signals.
pub fn leave_to_parent() -> Result<()> {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGPIPE,
        // Then a write beyond the limit of file sizes fails with EFBIG, and only that file fails.
        Signal::SIGXFSZ,
    ] {
        // SAFETY: SIG_IGN runs no code of ours.
        unsafe { sigaction(signal, &ignore) }?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// Suspends this process with the default action of SIGTSTP. Returns when the process is resumed.
pub fn suspend_self() -> Result<()> {
    let set = SigSet::from(Signal::SIGTSTP);
    raise(Signal::SIGTSTP)?;
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None)?; // the process is suspended in this call
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)
}

/// The number of the signal that a write to a pipe without readers sends.
pub const SIGPIPE: i32 = libc::SIGPIPE;

/// Ends this process by SIGPIPE, as a write to a pipe without readers does.
pub fn die_by_pipe() -> ! {
    die_by(SIGPIPE)
}

/// Ends this process by `signal`, so that a shell reports that this signal killed it.
pub fn die_by(signal: i32) -> ! {
    if let Ok(signal) = Signal::try_from(signal) {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: SIG_DFL runs no code of ours.
        let restored = unsafe { sigaction(signal, &default) };
        let unblocked = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&SigSet::from(signal)), None);
        if restored.is_ok() && unblocked.is_ok() && raise(signal).is_ok() {
            // The default action has not ended the process, so the process exits below.
        }
    }
    super::exit(128 + signal)
}
