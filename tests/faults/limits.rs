//! Runs onto targets that are full, small or read-only, and runs of processes with low limits.

use crate::checker::{Excuse, wrongs};
use crate::common::Sandbox;
use crate::common::images::{BTRFS, Make, TMPFS, mounted_of};
use crate::common::mounts::mount;
use crate::common::plain_user::plain_program;
use crate::ending::{finish, run};
use crate::world::{Line, World};
use nix::sys::statvfs::statvfs;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// Creates an ext4 in a small image: without blocks reserved for root, and with nanoseconds in times.
pub(crate) const EXT4_SMALL: Make = &["mkfs.ext4", "-q", "-F", "-m", "0", "-I", "256"];

/// Limits that the shell's `ulimit` sets, with the amounts to try.
pub(crate) const LIMITS: [(&str, &[usize]); 5] = [
    ("-n", &[3, 5, 8, 12, 14, 16, 20, 24, 32]), // open files
    ("-f", &[0, 1, 4, 16, 64, 200]),            // size of a file in blocks of 512 or 1024 bytes
    ("-v", &[1_000, 3_000, 5_000, 6_000, 8_000, 12_000, 20_000, 40_000]), // address space in KiB
    ("-l", &[0]),
    ("-t", &[1]),
];

/// Runs a line with a limit. Returns what is wrong after the run.
pub(crate) fn under_limit(line: Line, jobs: u16, (flag, amount): (&str, usize)) -> (String, bool) {
    let world = World::new(line);
    let script = format!("ulimit {flag} {amount} || exit 77; exec \"$@\"");
    let words = ["sh", "-c", &script, "sh"].map(str::to_owned);
    let ending = run(world.command(&words, jobs));
    let code = ending.code();
    // Before it calls `main`, the language allocates a stack for its signal handlers, or gives up.
    let has_no_stack = ending.stderr.contains("failed to allocate an alternative stack");
    let excuse = Excuse {
        // Without memory the language aborts, and so does the loader.
        signals: if flag == "-v" { &[libc::SIGABRT, libc::SIGSEGV] } else { &[] },
        stillborn: code == Some(127) || code == Some(77) || flag == "-v" && has_no_stack,
        mute: flag == "-f", // its messages go into a file, too
        half: true,
        again: true,
        ..Excuse::default()
    };
    let wrong = wrongs(&world, &ending, excuse);
    let story = format!("ulimit {flag} {amount}, {jobs} copiers, {line:?}\n{wrong}");
    (if wrong.is_empty() { wrong } else { story }, code != Some(0))
}

/// Runs a line as a user with a limited number of processes. Returns what is wrong after the run.
pub(crate) fn with_few_processes(line: Line, jobs: u16, amount: usize) -> (String, bool) {
    static USERS: AtomicU32 = AtomicU32::new(0);
    // The kernel counts all processes of a user, so each run has a user of its own.
    let user = 100_000 + std::process::id() % 10_000 * 100_000 + USERS.fetch_add(1, Relaxed);
    let world = World::owned_by(user, line);
    let program = plain_program().to_str().unwrap();
    let script = format!(
        "shift; exec prlimit --nproc={amount} \
         setpriv --reuid={user} --regid={user} --clear-groups {program} \"$@\""
    );
    let words = ["sh", "-c", &script, "sh"].map(str::to_owned);
    let ending = run(world.command(&words, jobs));
    let wrong = wrongs(&world, &ending, Excuse::default());
    let story = format!("{amount} processes, {jobs} copiers, {line:?}\n{wrong}");
    let code = ending.code();
    (if wrong.is_empty() { wrong } else { story }, code != Some(0))
}

/// Runs a line on a file system on which only `room` is left after the source was planted. Returns what is
/// wrong after the run.
pub(crate) fn in_little_room(line: Line, jobs: u16, room: Room) -> (String, bool) {
    let base = Sandbox::new();
    let mounted = match room {
        Room::Ext4(_) => mounted_of(&base, "little", EXT4_SMALL, 16 << 20),
        Room::Quota(_) => mounted_of(&base, "little", BTRFS, 256 << 20),
        _ => mounted_of(&base, "little", TMPFS, 0),
    };
    let mounted = match mounted {
        Ok(mounted) => mounted,
        Err(why) => return (why, false),
    };
    let place = room.place_within(&base.path("little"));
    let world = World::within(Sandbox::within(&place), line);
    room.narrow(&place);
    let ending = if room == Room::ReadOnly {
        let mut command = world.command(&[], jobs);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(2));
        // This fails while a file is open for writing.
        let _: Option<()> = mount(&["-o", "remount,ro"], &place).map(std::mem::forget);
        finish(child)
    } else {
        run(world.command(&[], jobs))
    };
    let code = ending.code();
    room.widen(&place);
    let mute = room == Room::ReadOnly;
    let excuse = Excuse { half: true, again: true, mute, bare: true, ..Excuse::default() };
    let wrong = wrongs(&world, &ending, excuse);
    drop(world);
    drop(mounted);
    let story = format!("{room:?} {jobs} copiers, {line:?}\n{wrong}");
    (if wrong.is_empty() { wrong } else { story }, code != Some(0))
}

/// The space that is left beside the source.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Room {
    /// This many bytes of a file system in memory.
    Bytes(u64),
    Inodes(u64),
    /// Enough space, but the file system soon becomes read-only.
    ReadOnly,
    /// This many bytes of an ext4 of 16 MiB.
    Ext4(u64),
    /// This many bytes of a btrfs quota group.
    Quota(u64),
}

impl Room {
    /// Returns the directory of the file system in which the trees are.
    fn place_within(self, mounted: &Path) -> PathBuf {
        if !matches!(self, Self::Quota(_)) {
            return mounted.to_owned();
        }
        let place = mounted.join("limited");
        btrfs(&["quota", "enable"], mounted);
        btrfs(&["subvolume", "create"], &place);
        place
    }

    /// Reduces the free space to this room.
    fn narrow(self, place: &Path) {
        let used = statvfs(place).unwrap();
        match self {
            Self::Bytes(more) => {
                let bytes = (used.blocks() - used.blocks_free()) * used.fragment_size();
                resize(place, &format!("size={}", bytes + more));
            }
            Self::Inodes(more) => {
                resize(place, &format!("nr_inodes={}", used.files() - used.files_free() + more));
            }
            Self::ReadOnly => {}
            Self::Ext4(more) => {
                let mut ballast = fs::File::create(place.join("ballast")).unwrap();
                let free = || {
                    let now = statvfs(place).unwrap();
                    now.blocks_available() * now.fragment_size()
                };
                while free() > more && ballast.write_all(&[0; 4096]).is_ok() {}
            }
            Self::Quota(more) => {
                nix::unistd::syncfs(fs::File::open(place).unwrap()).unwrap();
                let (_, used) = quota_of(place);
                set_quota(place, &(used + more).to_string());
            }
        }
    }

    /// Restores enough free space.
    fn widen(self, place: &Path) {
        match self {
            Self::Ext4(_) => {
                fs::remove_file(place.join("ballast")).unwrap();
                // Freed blocks can be used after the change was flushed.
                nix::unistd::syncfs(fs::File::open(place).unwrap()).unwrap();
            }
            Self::Quota(_) => set_quota(place, "none"),
            _ => resize(place, "rw,size=60M,nr_inodes=10000"),
        }
    }
}

fn resize(place: &Path, options: &str) {
    let options = format!("remount,{options}");
    assert!(mount(&["-o", &options], place).map(std::mem::forget).is_some(), "{options}");
}

/// Returns the quota group of a subvolume, and how many bytes it has used.
fn quota_of(place: &Path) -> (String, u64) {
    let groups = btrfs(&["qgroup", "show", "--raw", "-f"], place);
    let line = groups.lines().find(|line| line.starts_with("0/")).unwrap();
    let mut words = line.split_whitespace();
    (words.next().unwrap().to_owned(), words.next().unwrap().parse().unwrap())
}

fn set_quota(place: &Path, most: &str) {
    let (group, _) = quota_of(place);
    // Through the subvolume this fails when it is full.
    btrfs(&["qgroup", "limit", most, &group], place.parent().unwrap());
}

fn btrfs(words: &[&str], place: &Path) -> String {
    let output = Command::new("btrfs").args(words).arg(place).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "btrfs {words:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}
