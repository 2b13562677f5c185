//! Processes: fork, wait, kill, and child processes that die with their parent.

use super::Result;
use super::exit;
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
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::Duration;

pub use nix::unistd::Pid;

/// The soft and the hard limit of open files before [`raise_file_limit`] raised the soft limit.
static FILE_LIMIT: OnceLock<(rlim_t, rlim_t)> = OnceLock::new();

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Death {
    /// The process exited with this status.
    Exited(i32),
    /// This signal killed the process.
    Killed(i32),
}

impl Death {
    /// Whether SIGPIPE killed the process, which happens when it writes to a pipe whose reader has ended.
    pub fn is_by_sigpipe(self) -> bool {
        self == Self::Killed(libc::SIGPIPE)
    }
}

/// The side of a fork on which the code runs.
pub enum Side {
    /// The new process.
    Child,
    /// The old process. It gets the ID of the new process.
    Parent(Pid),
}

/// Forks this process.
///
/// Must not be called once a second thread exists: the child would inherit locks that none of its threads can
/// release.
pub fn fork() -> Result<Side> {
    // SAFETY: the program starts no thread before its last fork, so the child may do everything that the
    // parent may do.
    match unsafe { unistd::fork() }? {
        ForkResult::Child => Ok(Side::Child),
        ForkResult::Parent { child } => Ok(Side::Parent(child)),
    }
}

/// Forks a child that runs `work` and exits with the status that `work` returns.
///
/// The child dies with its parent, and ignores the signals that a terminal sends to the whole process group.
/// If this cannot be set up, the child exits with status 1.
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

/// Returns the ID of this process.
pub fn own_pid() -> Pid {
    unistd::getpid()
}

/// Returns the CPU time that a process has used so far.
pub fn cpu_time(pid: Pid) -> Result<Duration> {
    let now = time::clock_gettime(time::clock_getcpuclockid(pid)?)?;
    let nanoseconds = u32::try_from(now.tv_nsec()).unwrap_or(0);
    Ok(Duration::new(u64::try_from(now.tv_sec()).unwrap_or(0), nanoseconds))
}

/// Whether this process may draw on the terminal `stream`: whether it is in the terminal's foreground process
/// group. A shell has started a job with `&` in the background. Returns true if `stream` is not the controlling
/// terminal of this process.
pub fn is_in_foreground(stream: impl AsFd) -> bool {
    // SAFETY: tcgetpgrp takes a number and returns one.
    let group = unsafe { libc::tcgetpgrp(stream.as_fd().as_raw_fd()) };
    group == -1 || group == unistd::getpgrp().as_raw()
}

/// Returns how much data in memory the kernel has not written to disks yet, from `/proc/meminfo`; empty without `/proc`.
pub fn unwritten_memory() -> Vec<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let is_unwritten = |line: &&str| {
        ["Dirty:", "Writeback:", "WritebackTmp:"].iter().any(|name| line.starts_with(name))
    };
    let number = |line: &str| line.split_whitespace().nth(1)?.parse().ok();
    text.lines().filter(is_unwritten).filter_map(number).collect()
}

/// Returns the name of this program as ps(1) shows it.
pub fn own_name() -> String {
    std::fs::read_to_string("/proc/self/comm").unwrap_or_default().trim_end().to_owned()
}

/// Returns when a process was started, in clock ticks since the boot; `None` if it does not exist or is a
/// zombie. Without /proc, every process counts as not existing.
pub fn started(pid: u32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program is in parentheses and may contain anything; after it come fields 3 to 52.
    let (_, fields) = status.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let is_alive = !matches!(fields.next()?, "Z" | "X");
    fields.nth(18).filter(|_| is_alive).map(str::to_owned)
}

/// Returns the identifier of this process's PID namespace; an empty string if it cannot be read.
pub fn pid_namespace() -> String {
    let found = std::fs::read_link("/proc/self/ns/pid");
    found.map(|id| id.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Returns the ID that stands for every user and group without an ID in this user namespace; `None` if all have one,
/// or if that cannot be found out.
pub fn unknown_id() -> Option<u32> {
    /// In the first user namespace each ID stands for itself.
    const ALL: [&str; 3] = ["0", "0", "4294967295"];
    let maps = ["/proc/self/uid_map", "/proc/self/gid_map"].map(std::fs::read_to_string);
    let is_partial = |map: &String| map.split_whitespace().ne(ALL);
    let are_partial = maps.iter().flatten().any(is_partial);
    let shown =
        || std::fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?.trim().parse().ok();
    if are_partial { shown() } else { None }
}

/// What the kernel permits root, and other users only if they own the file: capabilities(7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Capability {
    /// `CAP_CHOWN`: changing the owner of a file.
    Chown = 0,
    /// `CAP_FOWNER`: setting the mode and the times of another user's file.
    Fowner = 3,
}

/// Whether this process has a capability. Returns false if that cannot be found out.
pub fn has_capability(capability: Capability) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
    set >> capability as u32 & 1 == 1
}

/// Makes the kernel kill this process when its parent dies. Exits if the parent is already dead.
///
/// The check is needed because the parent may die between the fork and the prctl(2) call.
pub fn die_with_parent(parent: Pid) {
    // SAFETY: prctl with these arguments takes numbers only.
    let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if result != 0 || unistd::getppid() != parent {
        exit(1);
    }
}

/// Returns how the child `pid` ended, or `None` if it is still running. Never waits.
pub fn reap(pid: Pid) -> Result<Option<Death>> {
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(status) => return Ok(death(status)),
            Err(Errno::EINTR) => {} // repeated here: the caller asks again only when another child ends
            Err(errno) => return Err(errno),
        }
    }
}

/// Waits until the child `pid` has ended, and returns how it ended.
pub fn join(pid: Pid) -> Result<Death> {
    loop {
        match waitpid(pid, None).map(death) {
            Ok(Some(death)) => return Ok(death),
            Err(Errno::EINTR) | Ok(None) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Returns how a process ended, or `None` if `status` reports something else than its end.
fn death(status: WaitStatus) -> Option<Death> {
    match status {
        WaitStatus::Exited(_, status) => Some(Death::Exited(status)),
        WaitStatus::Signaled(_, signal, _) => Some(Death::Killed(signal as i32)),
        _ => None,
    }
}

/// The resources that a process and its reaped children have used.
#[derive(Clone, Copy, Default, Debug)]
pub struct Usage {
    /// The CPU time, user and system.
    pub cpu: Duration,
    /// The maximum resident set size of the largest process, in bytes.
    pub memory: u64,
}

/// Starts a program in a process group of its own. The program dies with this process.
///
/// The program starts as from a shell: no signal is blocked, SIGXFSZ has its default action, and the limit of
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
    // SAFETY: between fork and exec the child makes only system calls that take numbers or the child's own
    // memory. It allocates nothing and takes no lock.
    unsafe { command.process_group(0).pre_exec(prepare) }.spawn()
}

/// Returns how the child `pid` ended and which resources it used, or `None` if it is still running. Never
/// waits.
pub fn reap_with_usage(pid: Pid) -> Result<Option<(Death, Usage)>> {
    let mut status = 0;
    // SAFETY: wait4 writes one number and one `rusage`, for which there is room, and any bits are a valid
    // value of both.
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
    let memory = u64::try_from(used.ru_maxrss).unwrap_or(0) * 1024; // getrusage(2): the unit is KiB
    Ok(Some((death, Usage { cpu, memory })))
}

/// Sends SIGTERM, or SIGKILL if `at_once` is set, to all processes of the group that [`start`] created.
pub fn end_group(leader: Pid, at_once: bool) -> Result<()> {
    signal::killpg(leader, if at_once { Signal::SIGKILL } else { Signal::SIGTERM })
}

/// Sends SIGKILL to `pid`.
pub fn kill(pid: Pid) -> Result<()> {
    signal::kill(pid, Signal::SIGKILL)
}

/// Suspends the process `pid` until [`resume`] is called.
pub fn suspend(pid: Pid) -> Result<()> {
    signal::kill(pid, Signal::SIGSTOP)
}

/// Resumes the suspended process `pid`.
pub fn resume(pid: Pid) -> Result<()> {
    signal::kill(pid, Signal::SIGCONT)
}

/// Creates a pipe. Reads from the first end never block; writes to the second end do.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    Ok((reader, writer))
}

/// Sets the umask to 0, so that files are created with exactly the given mode.
pub fn clear_umask() {
    nix::sys::stat::umask(Mode::empty());
}

/// Returns the umask, which is the set of permission bits that new files do not get.
pub fn umask() -> u32 {
    let umask = nix::sys::stat::umask(Mode::empty());
    nix::sys::stat::umask(umask); // the umask can be read only by setting it
    umask.bits()
}

/// Whether the effective user is root, who is exempt from permission checks.
pub fn is_root() -> bool {
    unistd::geteuid().is_root()
}

/// Returns the effective user ID.
pub fn user() -> u32 {
    unistd::geteuid().as_raw()
}

/// Returns the effective group ID.
pub fn group() -> u32 {
    unistd::getegid().as_raw()
}

/// Lowers the priority of this process: sets its nice value to `nice`, which is 1 to 19 (the lowest
/// priority).
pub fn set_nice(nice: i32) {
    // SAFETY: setpriority takes numbers only. If it fails, the priority does not change.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
}

/// Raises the soft limit of open files to the hard limit, if that is permitted.
pub fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let (_, hard) = *FILE_LIMIT.get_or_init(|| (soft, hard));
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    });
    if raised.is_err() {
        // The run then has a lower limit. If an open fails with EMFILE, that error is reported.
    }
}

/// Makes `dir` the current directory.
pub fn change_dir(dir: impl std::os::fd::AsFd) -> Result<()> {
    unistd::fchdir(dir)
}
