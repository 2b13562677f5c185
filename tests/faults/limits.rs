//! Targets that are full, small or read-only, and processes that may have little of anything.

use crate::checker::{Excuse, finish, run, wrongs};
use crate::common::Sandbox;
use crate::common::things::mount;
use crate::world::{Line, World};
use std::fs;
use std::process::Stdio;
use std::time::Duration;

/// A limit that the shell sets, and how much of it.
pub(crate) const LIMITS: [(&str, &[usize]); 5] = [
    ("-n", &[3, 5, 8, 12, 14, 16, 20, 24, 32]), // open files
    ("-f", &[0, 1, 4, 16, 64, 200]),            // size of a file in blocks of 512 or 1024 bytes
    ("-v", &[1_000, 3_000, 5_000, 6_000, 8_000, 12_000, 20_000, 40_000]), // KiB of addresses
    ("-l", &[0]),
    ("-t", &[1]),
];

/// What is wrong after a run under a limit.
pub(crate) fn under_limit(line: Line, jobs: u16, (flag, amount): (&str, usize)) -> (String, bool) {
    let world = World::new(line);
    let script = format!("ulimit {flag} {amount} || exit 77; exec \"$@\"");
    let words = ["sh", "-c", &script, "sh"].map(str::to_owned);
    let ending = run(world.command(&words, jobs));
    let code = ending.status.and_then(|status| status.code());
    let excuse = Excuse {
        // Without memory the language gives up, and so does the loader.
        signals: if flag == "-v" { &[libc::SIGABRT, libc::SIGSEGV] } else { &[] },
        stillborn: code == Some(127) || code == Some(77),
        mute: flag == "-f", // what it says goes into a file, too
        half: true,
        again: true,
        ..Excuse::default()
    };
    let wrong = wrongs(&world, &ending, excuse);
    let story = format!("ulimit {flag} {amount}, {jobs} copiers, {line:?}\n{wrong}");
    (if wrong.is_empty() { wrong } else { story }, code != Some(0))
}

/// A small tmpfs for the whole sandbox, of this many bytes or inodes once the source is planted.
pub(crate) fn in_little_room(line: Line, jobs: u16, room: Room) -> (String, bool) {
    let base = Sandbox::new();
    let place = base.path("little");
    fs::create_dir(&place).unwrap();
    let Some(mounted) = mount(&["-t", "tmpfs", "-o", "size=60M", "little"], &place) else {
        return ("no tmpfs can be mounted here".to_owned(), false);
    };
    let world = World::within(Sandbox::within(&place), line);
    let resize = |options: &str| {
        let options = format!("remount,{options}");
        assert!(mount(&["-o", &options], &place).map(std::mem::forget).is_some(), "{options}");
    };
    let used = nix::sys::statvfs::statvfs(&place).unwrap();
    match room {
        Room::Bytes(more) => {
            let bytes = (used.blocks() - used.blocks_free()) * used.fragment_size();
            resize(&format!("size={}", bytes + more));
        }
        Room::Inodes(more) => {
            resize(&format!("nr_inodes={}", used.files() - used.files_free() + more))
        }
        Room::ReadOnly => {}
    }
    let ending = if room == Room::ReadOnly {
        let mut command = world.command(&[], jobs);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(2));
        // Refused while anything is open for writing; forced it is at once.
        let _: Option<()> = mount(&["-o", "remount,ro"], &place).map(std::mem::forget);
        finish(child)
    } else {
        run(world.command(&[], jobs))
    };
    let code = ending.status.and_then(|status| status.code());
    resize("rw,size=60M,nr_inodes=10000");
    let mute = room == Room::ReadOnly;
    let excuse = Excuse { half: true, again: true, mute, bare: true, ..Excuse::default() };
    let wrong = wrongs(&world, &ending, excuse);
    drop(world);
    drop(mounted);
    let story = format!("{room:?} {jobs} copiers, {line:?}\n{wrong}");
    (if wrong.is_empty() { wrong } else { story }, code != Some(0))
}

/// What there is beside the source.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Room {
    Bytes(u64),
    Inodes(u64),
    /// All, but soon nothing may be written.
    ReadOnly,
}
