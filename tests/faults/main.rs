//! Faults: whatever fails while pcopy runs, no data is lost, no file is partial, and pcopy reports the
//! failure.
//!
//! After each fault an undisturbed run of the same command must complete the copy. `checker.rs` has the
//! conditions that always hold. The short form runs a sample, which a seed chooses; the seed is printed
//! (`PCOPY_SEED`). `PCOPY_FAULTS=long cargo test --release --test
//! faults` runs all cases, `PCOPY_FAULTS_CALL` selects those of one system call, and `PCOPY_FAULTS_MINUTES`
//! limits the time of each part.

mod calls;
mod checked;
mod checker;
#[allow(dead_code, unused_imports, unused_macros)] // it uses a part
#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod damage;
mod ending;
mod errnos;
mod limits;
mod memory;
mod moving;
mod random_kills;
mod scribble;
mod shim;
mod world;

use calls::{Fault, Scope, before_main, counted};
use checker::wrongs;
use common::chance::Dice;
use common::images::mounted_of;
use common::mounts::in_own_mounts;
use common::{Sandbox, has_strace, is_root, skip, test_name, tool};
use errnos::errnos;
use limits::{EXT4_SMALL, LIMITS, Room, in_little_room, under_limit, with_few_processes};
use random_kills::Victim;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use world::{LINES, Preserves, World};

/// Returns random numbers for the sample. To repeat a sample, set `PCOPY_SEED`, or `PCOPY_FAULTS_SEED` for
/// this test program alone.
fn dice() -> Dice {
    let own = "PCOPY_FAULTS_SEED";
    if std::env::var_os(own).is_some() { Dice::from(own) } else { Dice::new() }
}

/// Whether all cases run and not only a sample.
fn is_long() -> bool {
    std::env::var_os("PCOPY_FAULTS").is_some_and(|form| form == "long")
}

/// Returns `short` in the short form, and `long` in the long form.
fn short_or_long(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// Returns how long the cases of a part may run: `short` seconds in the short form; in the long form
/// `PCOPY_FAULTS_MINUTES`, or without limit.
fn seconds(short: u64) -> Duration {
    let minutes =
        std::env::var("PCOPY_FAULTS_MINUTES").ok().and_then(|minutes| minutes.parse().ok());
    let long = minutes.map_or(Duration::MAX, |minutes: u64| Duration::from_secs(60 * minutes));
    if is_long() { long } else { Duration::from_secs(short) }
}

/// Whether the user has selected faults of this call.
fn is_wanted(call: &str) -> bool {
    std::env::var_os("PCOPY_FAULTS_CALL").is_none_or(|wanted| wanted == call)
}

/// Returns all faults: each effect that `effects` gives for a call, at each occurrence of the call.
fn faults(effects: impl Fn(&str) -> Vec<String>, step: Option<usize>) -> Vec<Fault> {
    let mut all = Vec::new();
    for line in LINES {
        for jobs in [1, 2] {
            for scope in [Scope::All, Scope::Trees] {
                let calls = counted(line, jobs, scope).into_iter();
                for (call, most) in calls.filter(|(call, _)| is_wanted(call)) {
                    for effect in effects(&call) {
                        let fault = |nth| {
                            let (call, effect) = (call.clone(), effect.clone());
                            Fault { line, jobs, scope, call, effect, nth, step }
                        };
                        all.extend((1..=most).map(fault));
                    }
                }
            }
        }
    }
    all
}

/// Returns the cases in random order, so that a time limit does not always leave out the same cases.
fn shuffled<C>(mut cases: Vec<C>, dice: &mut Dice) -> Vec<C> {
    for place in (1..cases.len()).rev() {
        cases.swap(place, dice.below(place + 1));
    }
    cases
}

/// Returns at most `each` faults of each call and effect, in random order.
fn sample(faults: Vec<Fault>, each: usize, dice: &mut Dice) -> Vec<Fault> {
    let mut faults = shuffled(faults, dice);
    let mut taken = HashMap::new();
    faults.retain(|fault| {
        let number = taken.entry((fault.call.clone(), fault.effect.clone())).or_insert(0);
        *number += 1;
        *number <= each
    });
    faults
}

/// Calls that the kernel completes by itself, so that no signal interrupts them. All other calls may be
/// interrupted, at least on FUSE and network file systems.
const MACHINES: [&str; 10] = [
    "clone",
    "fcntl",
    "memfd_create",
    "mmap",
    "mprotect",
    "pipe2",
    "prctl",
    "rt_sigaction",
    "rt_sigprocmask",
    "signalfd4",
];

/// Runs a line with each of these faults. Fails if anything is wrong after a run, or if too few faults
/// occurred.
#[track_caller]
fn survives(what: &str, cases: &[Fault], limit: Duration) {
    let loaders = before_main();
    let (done, hit) = crowd::all(what, cases, limit, |fault| {
        let world = World::new(fault.line);
        let damaged = fault.inject(&world, &loaders);
        let mut wrong = wrongs(&world, &damaged.ending, damaged.excuse);
        let code = damaged.ending.code();
        let interrupted = fault.effect == "error=EINTR"
            && !MACHINES.contains(&&*fault.call)
            && !damaged.excuse.stillborn;
        if interrupted && code != Some(0) {
            wrong += &format!("an interruption is no failure: {code:?}\n{}", damaged.ending.stderr);
        }
        let story = || format!("{fault:?}\n{}\n{wrong}", damaged.shown);
        (if wrong.is_empty() { wrong } else { story() }, damaged.hits > 0)
    });
    assert!(done > 0 && hit * 2 > done, "only {hit} of {done} faults occurred");
}

#[test]
fn every_system_call_can_fail() {
    if !has_strace!() {
        return;
    }
    let errors = |call: &str| errnos(call).iter().map(|errno| format!("error={errno}")).collect();
    let all = faults(errors, None);
    let cases = sample(all, short_or_long(8, usize::MAX), &mut dice());

    survives("calls that fail once", &cases, seconds(100));
}

#[test]
fn every_system_call_can_fail_from_some_point_on() {
    if !has_strace!() {
        return;
    }
    // A call that is always interrupted may be repeated without end.
    let lasting = |errno: &&&str| **errno != "EINTR";
    let errors = |call: &str| {
        errnos(call).iter().filter(lasting).map(|errno| format!("error={errno}")).collect()
    };
    let all = faults(errors, Some(1));
    let cases = sample(all, short_or_long(2, 40), &mut dice());

    survives("calls that fail from some point on", &cases, seconds(60));
}

#[test]
fn every_second_call_can_be_interrupted() {
    if !has_strace!() {
        return;
    }
    let all = faults(|_| vec!["error=EINTR".to_owned()], Some(2));
    let cases = sample(all, short_or_long(6, 60), &mut dice());

    survives("calls that are interrupted again and again", &cases, seconds(60));
}

#[test]
fn a_process_can_be_killed_at_every_call() {
    if !has_strace!() {
        return;
    }
    let all = faults(|_| vec!["signal=KILL".to_owned()], None);
    let cases = sample(all, short_or_long(12, usize::MAX), &mut dice());

    survives("kills at a call", &cases, seconds(60));
}

#[test]
fn a_copier_can_be_killed_at_any_moment() {
    let victims = [Victim::Copier, Victim::Copier, Victim::Stopped, Victim::Suspended];
    let kills = random_kills::random(short_or_long(3500, 35_000), &LINES, &victims, &mut dice());

    random_kills::all_survive("copiers killed", &kills, seconds(90));
}

#[test]
fn the_parent_or_all_of_a_run_can_be_killed_at_any_moment() {
    let victims = [Victim::Parent, Victim::Group];
    let kills = random_kills::random(short_or_long(1000, 10_000), &LINES, &victims, &mut dice());

    random_kills::all_survive("runs killed", &kills, seconds(60));
}

#[test]
fn a_call_that_returns_zero_makes_no_short_copy() {
    if !has_strace!() {
        return;
    }
    let nothing = |call: &str| match call {
        "copy_file_range" | "write" | "pwrite64" | "pread64" | "read" | "sendfile" => {
            vec!["retval=0".to_owned()]
        }
        _ => Vec::new(),
    };
    let mut all = faults(nothing, None);
    all.extend(faults(nothing, Some(1)));
    // A read of 0 bytes is the end of the file: cp accepts that, and so does pcopy as cp. In the parent it
    // is a read of a signal, which always has one length.
    all.retain(|fault| fault.call != "read" || fault.scope == Scope::Trees && !fault.line.as_cp);
    let cases = sample(all, short_or_long(150, usize::MAX), &mut dice());

    survives("calls that do nothing", &cases, seconds(60));
}

#[test]
fn a_run_may_have_little_of_anything() {
    let mut cases = Vec::new();
    for line in LINES {
        for jobs in [1, 2, 8] {
            for (flag, amounts) in LIMITS {
                cases.extend(amounts.iter().map(|&amount| (line, jobs, (flag, amount))));
            }
        }
    }
    let cases = shuffled(cases, &mut dice());
    let limit = seconds(60);

    let (done, hit) =
        crowd::all("limits", &cases, limit, |&(line, jobs, limit)| under_limit(line, jobs, limit));

    assert!(hit * 5 > done, "only {hit} of {done} runs were hit");
}

#[test]
fn a_user_may_have_few_processes() {
    if !is_root() || !tool("setpriv") || !tool("prlimit") {
        return skip!("needs root, setpriv and prlimit, to run as other users");
    }
    let mut cases = Vec::new();
    for line in LINES.into_iter().filter(|line| !line.as_cp && line.preserves < Preserves::All) {
        for jobs in [1, 2, 8] {
            cases.extend([1, 2, 3, 4, 9].map(|amount| (line, jobs, amount)));
        }
    }

    let (done, failed) =
        crowd::all("few processes", &cases, Duration::MAX, |&(line, jobs, amount)| {
            with_few_processes(line, jobs, amount)
        });

    // Where no copier can be forked, the parent copies.
    assert_eq!(failed, 0, "{failed} of {done} runs failed");
}

#[test]
fn a_target_may_be_full_or_read_only_from_any_point_on() {
    if !in_own_mounts!() {
        return;
    }
    let bytes = [0, 4096, 8192, 40_000, 100_000, 300_000, 400_000, 5_000_000, 12_000_000];
    let rooms = bytes.into_iter().map(Room::Bytes);
    let rooms = rooms.chain((0..20).map(Room::Inodes)).chain([Room::ReadOnly; 4]);
    let on_disks: [u64; 5] = [0, 4096, 40_000, 300_000, 600_000];
    let rooms = rooms.chain(on_disks.map(Room::Ext4)).chain(on_disks.map(Room::Quota));
    let rooms: Vec<_> = rooms.collect();
    let mut cases = Vec::new();
    for line in LINES {
        let fits = |room: &&Room| !(line.large && matches!(room, Room::Ext4(_)));
        for jobs in [1, 2] {
            cases.extend(rooms.iter().filter(fits).map(|&room| (line, jobs, room)));
        }
    }
    let cases = shuffled(cases, &mut dice());
    let limit = seconds(60);

    let (done, hit) = crowd::all("little room", &cases, limit, |&(line, jobs, room)| {
        in_little_room(line, jobs, room)
    });

    assert!(hit * 3 > done, "only {hit} of {done} runs were hit");
}

#[test]
fn a_disk_may_fail_while_it_is_read() {
    if !in_own_mounts!() {
        return;
    }
    if let Err(why) = mounted_of(&Sandbox::new(), "try", EXT4_SMALL, 16 << 20) {
        return skip!(&why);
    }
    let mut dice = dice();
    let mut case =
        |_| (LINES[dice.below(LINES.len())], [1, 2, 8][dice.below(3)], dice.below(1 << 30));
    let cases: Vec<_> = (0..short_or_long(100, 5000)).map(&mut case).collect();
    let limit = seconds(40);

    let (done, hit) = crowd::all("broken disks", &cases, limit, |&(line, jobs, seed)| {
        damage::is_survived(line, jobs, seed as u64)
    });

    assert!(hit * 4 > done, "only in {hit} of {done} runs a read failed");
}

#[test]
fn a_source_may_change_while_it_is_copied() {
    let mut dice = dice();
    let options: [&[&str]; 3] = [&[], &["--reflink=never"], &["--preserve=none"]];
    let mut case = |_| (options[dice.below(3)], [1, 2, 8][dice.below(3)], dice.below(1 << 30));
    let cases: Vec<_> = (0..short_or_long(150, 5000)).map(&mut case).collect();
    let limit = seconds(40);

    let (done, hit) = crowd::all("moving sources", &cases, limit, |&(options, jobs, seed)| {
        moving::is_copied_while_it_changes(options, jobs, seed as u64)
    });

    assert!(hit * 2 > done, "only {hit} of {done} sources changed in time");
}

#[test]
fn shared_memory_may_be_scribbled_on() {
    const MEMORIES: [&str; 7] = [
        "pcopy-ring",
        "pcopy-inodes",
        "pcopy-larges",
        "pcopy-digests",
        "pcopy-fs-caps",
        "pcopy-outboxes",
        "pcopy-counters",
    ];
    let mut dice = dice();
    let mut case = |_| {
        let (name, line) = (MEMORIES[dice.below(7)], LINES[dice.below(LINES.len())]);
        (name, line, [1, 2, 8][dice.below(3)], dice.below(1 << 30))
    };
    let cases: Vec<_> = (0..short_or_long(400, 10_000)).map(&mut case).collect();
    let limit = seconds(60);

    let (done, hit) = crowd::all("scribbled memory", &cases, limit, |&(name, line, jobs, seed)| {
        scribble::is_survived(name, line, jobs, seed as u64)
    });

    assert!(hit * 10 > done, "only {hit} of {done} runs were hit");
}

#[test]
fn the_first_task_may_be_scribbled_on() {
    if !has_strace!() {
        return;
    }
    let mut cases = Vec::new();
    for word in 0..scribble::FIRST_WORDS {
        for bits in scribble::BITS {
            cases.extend(scribble::CLOSING.map(|closing| (word, bits, closing)));
        }
    }

    let (done, hit) =
        crowd::all("scribbled first task", &cases, Duration::MAX, |&(word, bits, closing)| {
            scribble::first_task_is_survived(word, bits, closing)
        });

    assert!(hit * 2 > done, "only {hit} of {done} words were there");
}

#[test]
fn each_old_file_is_in_its_backup_whichever_copier_is_killed() {
    let lines: Vec<_> = LINES.into_iter().filter(|line| line.backs_up()).collect();
    let victims = [Victim::Copier, Victim::Stopped];
    let kills = random_kills::random(short_or_long(3000, 30_000), &lines, &victims, &mut dice());

    random_kills::all_survive("copiers killed while they back up", &kills, seconds(40));
}

#[test]
fn reads_and_writes_may_be_partial() {
    let Some(library) = shim::library(test_name!()) else {
        return;
    };
    let mut dice = dice();
    let mut case =
        |_| (LINES[dice.below(LINES.len())], [1, 2, 8][dice.below(3)], dice.below(1 << 30));
    let cases: Vec<_> = (0..short_or_long(500, 20_000)).map(&mut case).collect();
    let limit = seconds(40);

    let (done, hit) =
        crowd::all("reads and writes in parts", &cases, limit, |&(line, jobs, seed)| {
            shim::is_copied_in_parts(line, jobs, &library, seed)
        });

    assert!(hit * 2 > done, "only {hit} of {done} runs were hit");
}

#[test]
fn all_of_a_run_can_be_killed_at_every_call_that_changes_something() {
    let Some(library) = shim::library(test_name!()) else { return };
    let mut cases = Vec::new();
    for line in LINES {
        for jobs in [1, 2] {
            cases.extend(shim::CHANGING.map(|call| (line, jobs, call)));
        }
    }
    let cases = shuffled(cases, &mut dice());
    let limit = seconds(90);

    let killed = AtomicUsize::new(0);
    let (done, hit) = crowd::all("runs killed at a call", &cases, limit, |&(line, jobs, call)| {
        let (wrong, kills) = shim::all_may_die_at(line, jobs, &library, call);
        killed.fetch_add(kills, Relaxed);
        (wrong, kills > 0)
    });

    eprintln!("{killed:?} runs were killed at {hit} calls");
    assert!(hit * 2 > done, "only {hit} of {done} calls were made");
}

#[test]
fn a_run_may_have_little_memory() {
    if !memory::can_be_limited(test_name!()) {
        return;
    }
    let mut cases = Vec::new();
    for line in LINES {
        for jobs in [1, 2, 8] {
            cases.extend(memory::LIMITS.map(|limit| (line, jobs, limit)));
        }
    }
    let cases = shuffled(cases, &mut dice());
    let limit = seconds(40);

    let (done, hit) = crowd::all("little memory", &cases, limit, |&(line, jobs, limit)| {
        memory::with_little_memory(line, jobs, limit)
    });

    assert!(hit * 5 > done, "only in {hit} of {done} runs a process was killed");
}

#[test]
fn a_copier_killed_by_the_oom_killer_costs_nothing_but_time() {
    if !memory::can_be_limited(test_name!()) {
        return;
    }
    let victims = [Victim::Starved];
    let kills = random_kills::random(short_or_long(400, 10_000), &LINES, &victims, &mut dice());

    random_kills::all_survive("copiers shot for their memory", &kills, seconds(40));
}
