//! Processes: fork, wait, kill, and how a child dies with its parent.

use super::Result;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::{
    self, SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigprocmask,
};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time;
use nix::unistd::{self, ForkResult};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::Duration;

pub use nix::unistd::Pid;

/// The limit of open files, soft and hard, from before it was raised.
static FILE_LIMIT: OnceLock<(rlim_t, rlim_t)> = OnceLock::new();

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Death {
    /// It left with this exit status.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
}

impl Death {
    /// Whether it wrote to a pipe that nobody read any more: what somebody else's end led to.
    pub fn is_by_pipe(self) -> bool {
        self == Self::Killed(libc::SIGPIPE)
    }
}

/// Which side of a fork this is.
pub enum Side {
    /// The new process.
    Child,
    /// The old one, and the new one's number.
    Parent(Pid),
}

/// Splits the process in two.
///
/// Must not be called once a second thread exists: the child would inherit locks that nobody
/// is left to release.
pub fn fork() -> Result<Side> {
    // SAFETY: the program has a single thread until the last fork (nothing in it starts one),
    // so the child may do all that the parent may.
    match unsafe { unistd::fork() }? {
        ForkResult::Child => Ok(Side::Child),
        ForkResult::Parent { child } => Ok(Side::Parent(child)),
    }
}

/// Forks a child that does `work` and leaves with the status that this returns, or with 1 if it cannot be
/// one of ours: it dies with its parent, to which it leaves the signals of a terminal.
pub fn fork_child(work: impl FnOnce() -> i32) -> Result<Pid> {
    let parent = own_pid();
    match fork()? {
        Side::Parent(pid) => Ok(pid),
        Side::Child => {
            die_with_parent(parent);
            exit(super::signals::leave_to_parent().map_or(1, |()| work()))
        }
    }
}

/// This process's number.
pub fn own_pid() -> Pid {
    unistd::getpid()
}

/// The processor time that a process has used so far.
pub fn processor_time(pid: Pid) -> Result<Duration> {
    let now = time::clock_gettime(time::clock_getcpuclockid(pid)?)?;
    let nanoseconds = u32::try_from(now.tv_nsec()).unwrap_or(0);
    Ok(Duration::new(u64::try_from(now.tv_sec()).unwrap_or(0), nanoseconds))
}

/// This program's name as `ps` shows it.
pub fn own_name() -> String {
    std::fs::read_to_string("/proc/self/comm").unwrap_or_default()
}

/// Whether a process with this name holds a lock (flock) on the inode of this number.
///
/// Looked up in `/proc/locks` (proc(5)), by inode alone: some file systems give there another
/// device than `stat` does. Without `/proc` the answer is yes.
pub fn holds_flock(inode: u64, name: &str) -> bool {
    let Ok(locks) = std::fs::read_to_string("/proc/locks") else { return true };
    locks.lines().any(|line| {
        // "1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF"
        let mut words = line.split_whitespace().skip_while(|&word| word != "FLOCK").skip(3);
        let (pid, place) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        place.rsplit(':').next().and_then(|number| number.parse().ok()) == Some(inode)
            && std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == name)
    })
}

/// Asks the kernel to kill this process when its parent dies, and leaves if it is dead already.
///
/// The check closes the gap between the fork and the request.
pub fn die_with_parent(parent: Pid) {
    // SAFETY: prctl with these arguments takes numbers only.
    let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if result != 0 || unistd::getppid() != parent {
        exit(1);
    }
}

/// Leaves at once: no destructors, no exit handlers, no buffers of the parent written twice.
pub fn exit(status: i32) -> ! {
    // SAFETY: _exit(2) takes a number and does not return.
    unsafe { libc::_exit(status) }
}

/// How `pid`, a child, ended, if it has; never waits.
pub fn reap(pid: Pid) -> Result<Option<Death>> {
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(status) => return Ok(death(status)),
            Err(Errno::EINTR) => {} // nobody looks again before another child ends
            Err(errno) => return Err(errno),
        }
    }
}

/// Waits until `pid`, a child, has ended.
pub fn join(pid: Pid) -> Result<Death> {
    loop {
        match waitpid(pid, None).map(death) {
            Ok(Some(death)) => return Ok(death),
            Err(Errno::EINTR) | Ok(None) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The end that a status tells of, if it is one.
fn death(status: WaitStatus) -> Option<Death> {
    match status {
        WaitStatus::Exited(_, status) => Some(Death::Exited(status)),
        WaitStatus::Signaled(_, signal, _) => Some(Death::Killed(signal as i32)),
        _ => None,
    }
}

/// What a process and all that it waited for have used.
#[derive(Clone, Copy, Default, Debug)]
pub struct Usage {
    /// Processor time, in the program and in the kernel.
    pub cpu: Duration,
    /// The most memory that any one of the processes had at once, in bytes.
    pub memory: u64,
}

/// Starts a program in a process group of its own; it hears all signals, and dies with this process.
///
/// It gets what a shell would have given it: signals that are ignored here end it, and the limit of
/// open files is the one that this process was started with.
pub fn start(command: &mut Command) -> io::Result<Child> {
    let parent = own_pid();
    let limit = FILE_LIMIT.get().copied();
    let prepare = move || {
        die_with_parent(parent);
        if let Some((soft, hard)) = limit {
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?;
        }
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: SIG_DFL runs no code of ours.
        unsafe { signal::sigaction(Signal::SIGXFSZ, &default) }?;
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made that take numbers or the child's own
    // memory; nothing is allocated and no lock is taken.
    unsafe { command.process_group(0).pre_exec(prepare) }.spawn()
}

/// How `pid`, a child, ended, and what it used, if it has ended; never waits.
pub fn reap_with_usage(pid: Pid) -> Result<Option<(Death, Usage)>> {
    let mut status = 0;
    // SAFETY: wait4 writes one number and one `rusage`, for which there is room; any bits are one.
    let (answer, used) = unsafe {
        let mut used = std::mem::zeroed::<libc::rusage>();
        let answer = libc::wait4(pid.as_raw(), &raw mut status, libc::WNOHANG, &raw mut used);
        (answer, used)
    };
    if Errno::result(answer)? == 0 {
        return Ok(None);
    }
    let death = if libc::WIFSIGNALED(status) {
        Death::Killed(libc::WTERMSIG(status))
    } else {
        Death::Exited(libc::WEXITSTATUS(status))
    };
    let time = |time: libc::timeval| {
        let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
        seconds + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
    };
    let cpu = time(used.ru_utime) + time(used.ru_stime);
    let memory = u64::try_from(used.ru_maxrss).unwrap_or(0) * 1024; // getrusage(2): in kilobytes
    Ok(Some((death, Usage { cpu, memory })))
}

/// Sends TERM, or KILL, to all processes of the group that [`start`] made.
pub fn end_group(leader: Pid, at_once: bool) -> Result<()> {
    signal::killpg(leader, if at_once { Signal::SIGKILL } else { Signal::SIGTERM })
}

/// Ends `pid` at once.
pub fn kill(pid: Pid) -> Result<()> {
    signal::kill(pid, Signal::SIGKILL)
}

/// Halts `pid` until [`proceed`].
pub fn halt(pid: Pid) -> Result<()> {
    signal::kill(pid, Signal::SIGSTOP)
}

/// Lets a halted `pid` go on.
pub fn proceed(pid: Pid) -> Result<()> {
    signal::kill(pid, Signal::SIGCONT)
}

/// A pipe: its reading end, which never waits, and its writing end, which does.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    Ok((reader, writer))
}

/// Takes no permission bits away from what is created from now on; modes are given in full.
pub fn clear_umask() {
    nix::sys::stat::umask(Mode::empty());
}

/// The permission bits that are taken away from what this process creates.
pub fn umask() -> u32 {
    let umask = nix::sys::stat::umask(Mode::empty());
    nix::sys::stat::umask(umask); // it can only be read by setting it
    umask.bits()
}

/// Whether permission bits do not bind this process (effective user 0).
pub fn is_root() -> bool {
    unistd::geteuid().is_root()
}

/// The effective user.
pub fn user() -> u32 {
    unistd::geteuid().as_raw()
}

/// The effective group.
pub fn group() -> u32 {
    unistd::getegid().as_raw()
}

/// Takes a smaller share of a busy processor than the others: `nice` 1 to 19.
pub fn be_nice(nice: i32) {
    // SAFETY: setpriority takes numbers only; if it is refused, nothing is lost but politeness.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
}

/// Raises the soft limit of open files to the hard one, if that is allowed.
pub fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let (_, hard) = *FILE_LIMIT.get_or_init(|| (soft, hard));
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    });
    if raised.is_err() {
        // Then it must do with fewer; whoever runs out of them says so.
    }
}

/// Makes `dir` the current directory.
pub fn enter(dir: impl std::os::fd::AsFd) -> Result<()> {
    unistd::fchdir(dir)
}
