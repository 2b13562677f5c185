//! Which processes hold flock(2) locks on a file or directory, as far as proc(5) shows it.
//!
//! The kernel does not tell a process whose lock conflicts with its own. `/proc/locks` names the process that took
//! a lock, even if that is another user's process; but children inherit locks with their descriptors, and
//! the lock may outlive the process that took it. `/proc/PID/fdinfo` shows the locks of each descriptor, but only
//! for processes of the same user.
//!
//! The functions compare the inode number alone, because some file systems report another device in proc(5)
//! than in stat(2).

use crate::file::Lock;
use crate::{Errno, Result, retry};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What `/proc` shows about the locks on one inode.
#[derive(Default, Debug)]
pub struct LockHolders {
    /// Whether `/proc` shows a lock at all. It does not show the locks of processes in other containers.
    pub is_shown: bool,
    /// Whether a process holds a lock whose name this user may not read.
    pub is_hidden: bool,
    /// The names of the other processes that hold locks. Locks that this process holds itself do not count: it
    /// has inherited them with a descriptor, or took them before it executed this program.
    pub names: Vec<String>,
    /// The names of the other processes with a [marked](mark) descriptor, and the lock that the mark stands for.
    pub marked: Vec<(String, Lock)>,
}

/// Marks a descriptor, which this process has opened itself, as one that stands for a lock. Other processes of the
/// same user find the mark with [`lock_holders`].
///
/// The mark is a status flag of the descriptor that has no effect on directories.
pub fn mark(dir: BorrowedFd<'_>, lock: Lock) -> Result<()> {
    set_flags(dir, flag_of(lock))
}

/// Removes the mark of a descriptor.
pub fn unmark(dir: BorrowedFd<'_>) -> Result<()> {
    set_flags(dir, 0)
}

fn set_flags(dir: BorrowedFd<'_>, flags: libc::c_int) -> Result<()> {
    // SAFETY: fcntl(2) with F_SETFL takes numbers only.
    let set = || unsafe { libc::fcntl(dir.as_raw_fd(), libc::F_SETFL, flags) };
    retry(|| Errno::result(set())).map(drop)
}

fn flag_of(lock: Lock) -> libc::c_int {
    match lock {
        Lock::Shared => libc::O_NONBLOCK,
        Lock::Exclusive => libc::O_APPEND,
    }
}

/// Finds the processes that hold locks on the inode with the number `inode`. Must be called before this process
/// takes such a lock. Returns `None` if `/proc` is not available.
pub fn lock_holders(inode: u64) -> Option<LockHolders> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let own = std::process::id().to_string();
    let mut mine = Vec::new();
    each_descriptor(&own, |info| mine.extend(info.lines().filter_map(|line| taker(line, inode))));
    let mut holders = LockHolders { is_shown: !mine.is_empty(), ..LockHolders::default() };
    let is_others = |pid: &String| *pid != own && !mine.contains(pid);
    for pid in locks.lines().filter_map(|line| taker(line, inode)) {
        holders.is_shown = true;
        match name_of(&pid).filter(|_| is_others(&pid)) {
            Some(name) => holders.names.push(name),
            None => holders.is_hidden |= is_others(&pid) && exists(&pid),
        }
    }
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(pid) = entry.file_name().into_string() else { continue };
        if pid == own || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        each_descriptor(&pid, |info| {
            let holds =
                info.lines().filter_map(|line| taker(line, inode)).any(|pid| is_others(&pid));
            if holds {
                holders.is_shown = true;
                holders.names.extend(name_of(&pid));
            }
            if let Some(lock) = marked(info, inode) {
                holders.marked.extend(name_of(&pid).map(|name| (name, lock)));
            }
        });
    }
    Some(holders)
}

/// Returns the lock that a marked descriptor of the inode stands for.
fn marked(info: &str, inode: u64) -> Option<Lock> {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if field("ino:")?.parse() != Ok(inode) {
        return None;
    }
    let flags = libc::c_int::from_str_radix(field("flags:")?, 8).ok()?;
    // An inherited descriptor, which another program has opened, does not have this flag.
    let is_own = flags & libc::O_CLOEXEC != 0;
    let has = |lock: &Lock| flags & flag_of(*lock) != 0;
    [Lock::Exclusive, Lock::Shared].into_iter().find(|lock| is_own && has(lock))
}

/// Calls `found` with the text of each file in `/proc/PID/fdinfo`.
fn each_descriptor(pid: &str, mut found: impl FnMut(&str)) {
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    for info in infos {
        if let Ok(info) = fs::read_to_string(info.path()) {
            found(&info);
        }
    }
}

/// Returns the process that took the flock(2) lock on the inode that a line shows. In `/proc/locks` the line is
/// "1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF"; in `/proc/PID/fdinfo`, "lock:" precedes it.
fn taker(line: &str, inode: u64) -> Option<String> {
    // After "->" comes a process that waits for a lock.
    if line.contains("->") {
        return None;
    }
    let mut words = line.split_whitespace().skip_while(|&word| word != "FLOCK").skip(3);
    let (pid, place) = (words.next()?, words.next()?);
    let is_on_inode =
        place.rsplit(':').next().and_then(|number| number.parse().ok()) == Some(inode);
    is_on_inode.then(|| pid.to_owned())
}

/// Whether a process exists, even if `/proc` hides it from this user.
fn exists(pid: &str) -> bool {
    pid.parse().is_ok_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH))
}

/// Returns the name of a process as ps(1) shows it; `None` if the process has ended or is hidden.
fn name_of(pid: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_took_a_lock_is_found_in_both_kinds_of_lines() {
        let line = "1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF";
        assert_eq!(taker(line, 5678), Some("1234".to_owned()));
        assert_eq!(taker(&format!("lock:\t{line}"), 5678), Some("1234".to_owned()));
        assert_eq!(taker(line, 678), None);
        assert_eq!(taker("1: -> FLOCK  ADVISORY  WRITE 1235 fd:01:5678 0 EOF", 5678), None);
        assert_eq!(taker("1: POSIX  ADVISORY  WRITE 1234 fd:01:5678 0 EOF", 5678), None);
    }

    #[test]
    fn a_mark_is_found_on_an_own_descriptor_only() {
        let info = |flags: &str| format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t29\nino:\t5678\n");
        assert_eq!(marked(&info("02202000"), 5678), Some(Lock::Exclusive));
        assert_eq!(marked(&info("02204000"), 5678), Some(Lock::Shared));
        assert_eq!(marked(&info("02200000"), 5678), None);
        assert_eq!(marked(&info("0202000"), 5678), None);
        assert_eq!(marked(&info("02202000"), 678), None);
    }
}
