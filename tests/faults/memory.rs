//! Control groups with little memory. When a group's memory is used up, the OOM killer kills one of its
//! processes.

use crate::checker::{Excuse, wrongs};
use crate::common::skip_for;
use crate::ending::run;
use crate::world::{Line, World};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// The limits that are tried: the memory of a whole run, in KiB.
pub(crate) const LIMITS: [usize; 8] = [500, 1_000, 1_500, 2_000, 3_000, 5_000, 8_000, 16_000];

/// The directories of the memory controller in both versions, each with the file for the limit.
const CONTROLLERS: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// A control group. Dropping the value removes it.
pub(crate) struct Cgroup(PathBuf);

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The last of its processes may not have been reaped yet.
        for _ in 0..1000 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Cgroup {
    /// Creates a group whose processes may use `limit` KiB together. Returns `None` if this machine cannot do
    /// that.
    pub(crate) fn new(limit: usize) -> Option<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("pcopy-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        CONTROLLERS.iter().find_map(|(root, file)| {
            let dir = Path::new(root).join(&name);
            fs::create_dir(&dir).ok()?;
            let group = Self(dir);
            fs::write(group.0.join(file), format!("{limit}K")).ok()?;
            Some(group)
        })
    }

    /// Adds a process to the group. Returns false if the process has ended.
    pub(crate) fn add(&self, pid: u32) -> bool {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).is_ok()
    }

    /// Whether the OOM killer has killed a process of the group.
    pub(crate) fn has_killed(&self) -> bool {
        ["memory.oom_control", "memory.events"].iter().any(|file| {
            let text = fs::read_to_string(self.0.join(file)).unwrap_or_default();
            let killed = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
            killed.is_some_and(|number| number != "0")
        })
    }
}

/// Whether this machine can create such groups. If not, prints that `test` is skipped.
pub(crate) fn can_be_limited(test: &str) -> bool {
    let can = Cgroup::new(1_000).is_some();
    if !can {
        skip_for(test, "needs root and the memory controller");
    }
    can
}

/// Runs a line with `limit` KiB of memory. Returns what is wrong after the run, and whether the OOM killer
/// killed a process.
pub(crate) fn with_little_memory(line: Line, jobs: u16, limit: usize) -> (String, bool) {
    let world = World::new(line);
    let group = Cgroup::new(limit).unwrap();
    let script = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
    let words = ["sh", "-c", script, group.0.to_str().unwrap()].map(str::to_owned);
    let ending = run(world.command(&words, jobs));
    let killed = group.has_killed();
    let signals: &[i32] = if killed { &[libc::SIGKILL] } else { &[] };
    let excuse = Excuse { signals, half: true, again: true, ..Excuse::default() };
    let wrong = wrongs(&world, &ending, excuse);
    let story = || format!("{limit} KiB, {jobs} copiers, {line:?}\n{wrong}");
    (if wrong.is_empty() { String::new() } else { story() }, killed)
}
