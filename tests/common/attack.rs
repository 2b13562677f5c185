//! A thread that exchanges entries with symlinks while pcopy copies, and checks for files that were read or
//! changed outside.

use super::entries::exists;
use super::{contents, listing, wait_until};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

/// A text that every file outside the operands contains, and no file inside.
pub(crate) const MARK: &str = "THIS-WAS-NEVER-TO-BE-COPIED";

/// A thread that exchanges entries with symlinks, as fast as possible.
pub(crate) struct Attacker {
    requests: Arc<Requests>,
    thread: JoinHandle<Swaps>,
}

#[derive(Default)]
struct Requests {
    stop: AtomicBool,
    pause: AtomicBool,
    is_paused: AtomicBool,
}

/// What an attacker has done.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Swaps {
    /// The number of exchanges that succeeded.
    pub(crate) made: u64,
    /// The number of symlinks that were gone because the copier had replaced them.
    pub(crate) lost: u64,
}

/// An attacked entry: its path, the path of the symlink while the entry is in its place, and the symlink's
/// text.
#[derive(Clone, Debug)]
pub(crate) struct Victim {
    pub(crate) place: PathBuf,
    pub(crate) spare: PathBuf,
    pub(crate) leads_to: PathBuf,
}

impl Attacker {
    /// Starts a thread that exchanges all victims again and again.
    pub(crate) fn begin(victims: Vec<Victim>) -> Self {
        victims.iter().for_each(plant);
        let requests = Arc::new(Requests::default());
        let shared = Arc::clone(&requests);
        let thread = std::thread::spawn(move || {
            let mut swaps = Swaps::default();
            while !shared.stop.load(SeqCst) {
                // All, then all back: so each is a symlink half of the time.
                victims.iter().for_each(|victim| swaps.made += u64::from(swap(victim)));
                victims.iter().for_each(|victim| back(victim, &mut swaps));
                while shared.pause.load(SeqCst) {
                    shared.is_paused.store(true, SeqCst);
                    std::thread::sleep(Duration::from_micros(50));
                }
                shared.is_paused.store(false, SeqCst);
            }
            swaps
        });
        Self { requests, thread }
    }

    /// Calls `inspect` while the attacker pauses. Otherwise `inspect` itself could follow a symlink to the
    /// outside.
    pub(crate) fn while_paused<T>(&self, inspect: impl FnOnce() -> T) -> T {
        self.requests.pause.store(true, SeqCst);
        wait_until("the attacker pauses", || {
            assert!(!self.thread.is_finished(), "the attacker has failed");
            self.requests.is_paused.load(SeqCst)
        });
        let result = inspect();
        self.requests.pause.store(false, SeqCst);
        wait_until("the attacker continues", || !self.requests.is_paused.load(SeqCst));
        result
    }

    /// Ends the attack, and returns what the attacker has done.
    pub(crate) fn end(self) -> Swaps {
        self.requests.stop.store(true, SeqCst);
        self.thread.join().unwrap()
    }
}

fn back(victim: &Victim, swaps: &mut Swaps) {
    if fs::read_link(&victim.spare).is_ok() {
        return; // it was not exchanged
    }
    swaps.made += u64::from(swap(victim));
    if fs::read_link(&victim.spare).is_err() {
        plant(victim);
        swaps.lost += 1;
    }
}

fn swap(victim: &Victim) -> bool {
    let flags = RenameFlags::RENAME_EXCHANGE;
    renameat2(AT_FDCWD, &victim.place, AT_FDCWD, &victim.spare, flags).is_ok()
}

/// Creates the symlink of a victim. If a directory of the copy has the symlink's name, moves the directory
/// aside, because a copier may still be writing into it.
fn plant(victim: &Victim) {
    if fs::symlink_metadata(&victim.spare).is_ok_and(|spare| spare.is_dir()) {
        let beside = |n: &u32| victim.spare.with_extension(format!("lost-{n}"));
        let free = (0..).map(|n| beside(&n)).find(|path| !exists(path)).unwrap();
        fs::rename(&victim.spare, free).unwrap();
    } else if exists(&victim.spare) {
        fs::remove_file(&victim.spare).unwrap();
    }
    std::os::unix::fs::symlink(&victim.leads_to, &victim.spare).unwrap();
}

/// Creates a file outside the operands, which contains the mark.
pub(crate) fn plant_marked(path: &Path, bytes: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut text = format!("{MARK} {}\n", path.display()).into_bytes();
    text.extend(contents(b"outside", bytes));
    fs::write(path, text).unwrap();
}

/// Returns the files below these directories that contain the mark. Follows no symlink.
pub(crate) fn marked(roots: &[PathBuf]) -> Vec<String> {
    let grep = Command::new("grep").args(["-rslaF", MARK]).args(roots).output().unwrap();
    String::from_utf8_lossy(&grep.stdout).lines().map(str::to_owned).collect()
}

/// Returns all visible attributes of each entry below `root`, except its access time.
pub(crate) fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    let describe = |(path, entry): (PathBuf, super::Entry)| {
        let metadata = fs::symlink_metadata(root.join(&path)).unwrap();
        let owner = (metadata.uid(), metadata.gid(), metadata.ino(), metadata.nlink());
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        (path, format!("{entry:?} owner, group, inode, links {owner:?} changed {changed:?}"))
    };
    listing(root).into_iter().map(describe).collect()
}
