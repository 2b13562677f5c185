//! Somebody who swaps entries for others while a copy is made, and what must be unharmed after that.

use super::things::exists;
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

/// What is in every file outside of what is copied, and in none that is.
pub(crate) const MARK: &str = "THIS-WAS-NEVER-TO-BE-COPIED";

/// Somebody who exchanges entries with symlinks, as fast as possible.
pub(crate) struct Attacker {
    wishes: Arc<Wishes>,
    thread: JoinHandle<Swaps>,
}

/// What the attacker is told.
#[derive(Default)]
struct Wishes {
    stop: AtomicBool,
    rest: AtomicBool,
    rests: AtomicBool,
}

/// What an attacker has done.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Swaps {
    /// Exchanges that succeeded.
    pub(crate) made: u64,
    /// Symlinks that were no longer there, because the copier had put something in their place.
    pub(crate) lost: u64,
}

/// An entry that is attacked: where it is, and where the symlink is kept and what that says.
#[derive(Clone, Debug)]
pub(crate) struct Victim {
    pub(crate) place: PathBuf,
    pub(crate) spare: PathBuf,
    pub(crate) leads_to: PathBuf,
}

impl Attacker {
    /// Begins, and goes through the victims again and again.
    pub(crate) fn begin(victims: Vec<Victim>) -> Self {
        victims.iter().for_each(plant);
        let wishes = Arc::new(Wishes::default());
        let told = Arc::clone(&wishes);
        let thread = std::thread::spawn(move || {
            let mut swaps = Swaps::default();
            while !told.stop.load(SeqCst) {
                // All there, then all back: so each is a symlink half of the time.
                victims.iter().for_each(|victim| swaps.made += u64::from(swap(victim)));
                victims.iter().for_each(|victim| back(victim, &mut swaps));
                while told.rest.load(SeqCst) {
                    told.rests.store(true, SeqCst);
                    std::thread::sleep(Duration::from_micros(50));
                }
                told.rests.store(false, SeqCst);
            }
            swaps
        });
        Self { wishes, thread }
    }

    /// Looks at what is there while nothing is swapped, or the one who looks would be led outside.
    pub(crate) fn at_rest<T>(&self, look: impl FnOnce() -> T) -> T {
        self.wishes.rest.store(true, SeqCst);
        wait_until("the attacker rests", || {
            assert!(!self.thread.is_finished(), "the attacker has failed");
            self.wishes.rests.load(SeqCst)
        });
        let seen = look();
        self.wishes.rest.store(false, SeqCst);
        wait_until("the attacker goes on", || !self.wishes.rests.load(SeqCst));
        seen
    }

    /// Ends it.
    pub(crate) fn end(self) -> Swaps {
        self.wishes.stop.store(true, SeqCst);
        self.thread.join().unwrap()
    }
}

fn back(victim: &Victim, swaps: &mut Swaps) {
    if fs::read_link(&victim.spare).is_ok() {
        return; // there was nothing to exchange it for
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

/// Puts the symlink where it is kept. A folder of the copy that was left there stays beside it: somebody
/// may still be writing into it.
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

/// Makes a file that is none of the copier's business.
pub(crate) fn plant_marked(path: &Path, bytes: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut text = format!("{MARK} {}\n", path.display()).into_bytes();
    text.extend(contents(b"outside", bytes));
    fs::write(path, text).unwrap();
}

/// What is below these folders and has the mark in it; no symlink is followed.
pub(crate) fn marked(roots: &[PathBuf]) -> Vec<String> {
    let grep = Command::new("grep").args(["-rslaF", MARK]).args(roots).output().unwrap();
    String::from_utf8_lossy(&grep.stdout).lines().map(str::to_owned).collect()
}

/// All that can be told of each entry below `root` but the time when it was read.
pub(crate) fn portrait(root: &Path) -> BTreeMap<PathBuf, String> {
    let describe = |(path, entry): (PathBuf, super::Entry)| {
        let metadata = fs::symlink_metadata(root.join(&path)).unwrap();
        let owner = (metadata.uid(), metadata.gid(), metadata.ino(), metadata.nlink());
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        (path, format!("{entry:?} owner, group, inode, links {owner:?} changed {changed:?}"))
    };
    listing(root).into_iter().map(describe).collect()
}
