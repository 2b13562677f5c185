//! The lock file: keeps runs on other machines out of a directory that this run builds or merges into.
//!
//! flock(2) on a directory never leaves the machine: NFS, Lustre and FUSE have no such operation for directories.
//! So on a file system that other machines may have mounted, a run also creates a file in the directory, whose
//! name can exist only once. The file says which host, boot and process has created it, and the run holds an
//! open-file-description lock on it (fcntl(2)), which NFS, Lustre and others carry to other machines.
//!
//! Another run removes the file only if its creator is proved dead: it was a process of this boot that does not
//! exist any more, or its lock is gone on a file system that carries locks between machines. Otherwise the other
//! run is refused, because a file that two runs write becomes a mixture of both.

use pcopy_sys::Errno;
use pcopy_sys::file::{self, Stat};
use pcopy_sys::{host, process, statfs};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// The name of the lock file.
pub(crate) const LOCK_NAME: &CStr = c".pcopy-lock";

/// How long a run waits for the text in a lock file that another run has just created.
const WRITTEN_SOON: Duration = Duration::from_secs(1);

/// A lock file of this run. Dropping the value removes the file.
pub(crate) struct RunLock {
    dir: OwnedFd,
    name: CString,
    /// Holds the lock, where other machines see it. The copiers inherit it, so the lock lasts as long as any
    /// process of the run. Elsewhere the file is closed at once: many FUSE file systems rename an open file that
    /// is removed, and remove it later, which would change the time of the directory.
    file: Option<OwnedFd>,
    /// The process that has created the file: its children must not remove it.
    creator: u32,
}

/// The process that has created a lock file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Creator {
    pub(crate) host: String,
    pub(crate) pid: u32,
    /// The identifier of the host's current boot.
    boot: String,
    /// The identifier of the PID namespace: in another one, the process ID means another process.
    namespace: String,
    /// When the process was started, in clock ticks since the boot. Another process may get its ID later.
    started: String,
}

/// Why a run gets no lock.
#[derive(Debug)]
pub(crate) enum NotLocked {
    /// Another run has the lock, or had it when it ended and may not be dead; `None` if the file does not say
    /// which.
    Busy(Option<Creator>),
    /// The file cannot be created. Then nothing can be written to the directory either, or the file system does
    /// not permit such a name.
    Impossible,
}

impl RunLock {
    /// Creates the lock file in `dir`. `is_taken` says whether the source has an entry with a name.
    pub(crate) fn take(
        dir: BorrowedFd<'_>,
        is_taken: impl Fn(&CStr) -> bool,
    ) -> Result<Self, NotLocked> {
        let name = free_name(is_taken);
        let begun = Instant::now();
        loop {
            match file::create_file(dir, &name, 0o644) {
                Ok(made) => return Self::of(dir, name, made),
                Err(Errno::EEXIST) => {}
                Err(_) => return Err(NotLocked::Impossible),
            }
            match remove_dead(dir, &name) {
                Ok(()) | Err(Found::Gone) => {}
                Err(Found::Unwritten) if begun.elapsed() < WRITTEN_SOON => {
                    std::thread::sleep(WRITTEN_SOON / 50);
                }
                Err(Found::Unwritten) => return Err(NotLocked::Busy(None)),
                // The copiers of a run whose parent was killed live until their current call ends.
                Err(Found::Alive(creator))
                    if creator.has_died_here() && begun.elapsed() < WRITTEN_SOON =>
                {
                    std::thread::sleep(WRITTEN_SOON / 50);
                }
                Err(Found::Alive(creator)) => return Err(NotLocked::Busy(Some(creator))),
            }
        }
    }

    fn of(dir: BorrowedFd<'_>, name: CString, made: OwnedFd) -> Result<Self, NotLocked> {
        if file::lock_record(made.as_fd()) == Err(Errno::EAGAIN) {
            return Err(NotLocked::Busy(None)); // another run has opened it first, and takes it for a dead one's
        }
        let written = file::write_all(made.as_fd(), Creator::this().to_text().as_bytes());
        let own = dir.try_clone_to_owned();
        match (written, own) {
            (Ok(()), Ok(dir)) => {
                let file = statfs::carries_locks(&made).then_some(made);
                Ok(Self { dir, name, file, creator: std::process::id() })
            }
            _ => {
                if file::unlink(dir, &name).is_err() {
                    // The next run finds a lock file without a text, and names it.
                }
                Err(NotLocked::Impossible)
            }
        }
    }

    /// Removes the file, and gives the directory the times and permission bits that it had.
    pub(crate) fn remove(&mut self) -> Result<(), Errno> {
        let before = file::stat_fd(&self.dir)?;
        match file::unlink(&self.dir, &self.name) {
            Err(Errno::EACCES) => {
                let bits = before.permissions();
                file::set_permissions(&self.dir, bits | 0o300)?;
                let removed = file::unlink(&self.dir, &self.name);
                file::set_permissions(&self.dir, bits)?;
                removed?;
            }
            removed => removed?,
        }
        drop(self.file.take()); // NFS, too, removes an open file when it is closed
        file::set_times(&self.dir, before.accessed(), before.modified())
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        if self.creator == std::process::id() && self.remove().is_err() {
            // The file stays. The next run on this machine finds that this process is dead, and removes it.
        }
    }
}

/// What a run finds in place of a free name.
enum Found {
    Gone,
    /// The file has no text yet.
    Unwritten,
    Alive(Creator),
}

/// Removes the lock file of a run that is proved dead.
fn remove_dead(dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Found> {
    let lock = match file::open_read_write(dir, name) {
        Ok(lock) => lock,
        Err(_) => return Err(Found::Gone),
    };
    let is_free = file::lock_record(lock.as_fd()) != Err(Errno::EAGAIN);
    let mut text = [0; 512];
    let length = pcopy_sys::file_data::read_at(lock.as_fd(), &mut text, 0).unwrap_or(0);
    let creator = Creator::parse(&text[..length]).ok_or(Found::Unwritten)?;
    let is_proved = creator.has_died_here() || is_free && statfs::carries_locks(&lock);
    if !is_free || !is_proved {
        return Err(Found::Alive(creator));
    }
    // By now, another run may have removed the file, and created its own.
    match is_still(dir, name, file::stat_fd(&lock)) {
        true => file::unlink(dir, name).map_err(|_| Found::Alive(creator)),
        false => Err(Found::Gone),
    }
}

fn is_still(dir: BorrowedFd<'_>, name: &CStr, lock: Result<Stat, Errno>) -> bool {
    let named = file::stat_at(dir, name);
    lock.is_ok_and(|lock| named.is_ok_and(|named| named.identity() == lock.identity()))
}

/// Returns the name of the lock file: a variant of [`LOCK_NAME`] if the source has an entry of that name.
fn free_name(is_taken: impl Fn(&CStr) -> bool) -> CString {
    let variants = (1..).map(|number| format!("{}-{number}", LOCK_NAME.to_string_lossy()));
    let variants = variants.filter_map(|name| CString::new(name).ok());
    let mut names = std::iter::once(LOCK_NAME.to_owned()).chain(variants);
    names.find(|name| !is_taken(name)).unwrap_or_default()
}

impl Creator {
    /// Returns this process.
    fn this() -> Self {
        let pid = std::process::id();
        Self {
            host: host::name(),
            pid,
            boot: host::boot(),
            namespace: process::pid_namespace(),
            started: process::started(pid).unwrap_or_default(),
        }
    }

    fn to_text(&self) -> String {
        let Self { host, pid, boot, namespace, started } = self;
        format!("pcopy {host} {pid} {boot} {namespace} {started}\n")
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut words = text.strip_suffix('\n')?.split(' ');
        let mut word = || words.next().map(str::to_owned);
        (word()? == "pcopy").then_some(())?;
        let (host, pid) = (word()?, word()?.parse().ok()?);
        Some(Self { host, pid, boot: word()?, namespace: word()?, started: word()? })
    }

    /// Whether the process has run on this machine since its last boot, and does not exist any more.
    fn has_died_here(&self) -> bool {
        let here = Self::this();
        !self.boot.is_empty()
            && (&self.boot, &self.namespace) == (&here.boot, &here.namespace)
            && process::started(self.pid).is_none_or(|started| started != self.started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &std::path::Path) -> OwnedFd {
        file::open_dir(dir).unwrap()
    }

    #[test]
    fn a_second_run_gets_no_lock_until_the_first_has_ended() {
        let place = tempfile::tempdir().unwrap();
        let dir = open(place.path());
        let first = RunLock::take(dir.as_fd(), |_| false).unwrap();
        let Err(NotLocked::Busy(Some(creator))) = RunLock::take(dir.as_fd(), |_| false) else {
            panic!("both have the lock");
        };
        assert_eq!(creator.pid, std::process::id());
        drop(first);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
        assert!(RunLock::take(dir.as_fd(), |_| false).is_ok());
    }

    #[test]
    fn what_a_dead_process_of_this_boot_has_left_is_taken_over_and_nothing_else() {
        let this = Creator::this();
        let text = |change: &dyn Fn(&mut Creator)| {
            let mut creator = this.clone();
            change(&mut creator);
            creator.to_text()
        };
        let dead = |creator: &mut Creator| creator.started = "1".to_owned();
        for (text, is_dead) in [
            (text(&dead), true),
            (text(&|creator| (dead(creator), creator.boot = "another".to_owned()).0), false),
            (text(&|creator| (dead(creator), creator.namespace = "another".to_owned()).0), false),
            (text(&|creator| (dead(creator), creator.boot.clear()).0), false),
            (text(&|_| ()), false),
            (String::new(), false),
            ("pcopy host 1".to_owned(), false),
        ] {
            let place = tempfile::tempdir().unwrap();
            std::fs::write(place.path().join(".pcopy-lock"), &text).unwrap();
            let taken = RunLock::take(open(place.path()).as_fd(), |_| false);
            assert_eq!(taken.is_ok(), is_dead, "{text:?}");
        }
    }

    #[test]
    fn an_entry_of_the_source_keeps_its_name() {
        let place = tempfile::tempdir().unwrap();
        let dir = open(place.path());
        let lock = RunLock::take(dir.as_fd(), |name| name == LOCK_NAME).unwrap();
        assert!(place.path().join(".pcopy-lock-1").exists());
        drop(lock);
    }

    #[test]
    fn the_directory_keeps_its_times() {
        let place = tempfile::tempdir().unwrap();
        let dir = open(place.path());
        let lock = RunLock::take(dir.as_fd(), |_| false).unwrap();
        let stamp = file::Stamp { seconds: 1000, nanoseconds: 5 };
        file::set_times(&dir, stamp, stamp).unwrap();
        drop(lock);
        assert_eq!(file::stat_fd(&dir).unwrap().modified(), stamp);
    }
}
