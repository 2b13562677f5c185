//! GNU cp compatibility: copiers are killed at any moment, and at the end the tree equals the one that cp
//! makes.

use crate::common::chance::Dice;
use crate::common::entries::*;
use crate::common::live::*;
use crate::common::*;
use nix::sys::signal::Signal::SIGKILL;
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The numbers of copiers with which runs are repeated.
const JOBS: [&str; 3] = ["1", "2", "8"];

/// The largest number of runs that are started until enough of them were killed in progress.
const TURNS_MAX: usize = 300;

/// Plants small files, and some that take a while, in directories of several modes.
fn plant_source(env: &Sandbox) {
    for dir in 0..12 {
        let root = format!("src/d{dir}");
        let small: Vec<_> =
            (0..40).map(|number| format!("file f{number} {}", number * 31)).collect();
        env.tree(&root, small.iter().map(String::as_str));
        env.tree(&root, ["file big1 2M", "file big2 700K", "file deep/er/x 100", "link l f1"]);
        chmod(&env.path(format!("{root}/deep")), [0o755, 0o555, 0o2710, 0o700][dir % 4]);
        chmod(&env.path(format!("{root}/f2")), 0o640);
    }
    for (path, _) in env.listing("src").into_iter().rev() {
        set_times(&env.path("src").join(path), (5_000, 3), (5_000, 3));
    }
}

/// Plants an existing target: each directory has some files that are older or newer than those of the source.
fn plant_target(env: &Sandbox) {
    for dir in 0..12 {
        let root = format!("dst/d{dir}");
        for (name, time) in [("f1", 4_000), ("f3", 6_000), ("big1", 4_000), ("big2", 6_000)] {
            let old = format!("text {name} the old {name} of {dir}");
            env.tree(&root, [old.as_str()]);
            set_times(&env.path(format!("{root}/{name}")), (time, 0), (time, 0));
        }
        env.tree(&root, ["text only here"]);
    }
}

/// Lists everything that must be equal: all properties except the times of entries that a run has just made.
fn tree(root: &Path) -> Listing {
    let mut listing = listing(root);
    let new = listing.values_mut().filter(|entry| entry.modified.0 > 1_000_000);
    new.for_each(|entry| entry.modified = (i64::MAX, 0));
    listing
}

#[track_caller]
fn assert_as_cp_though_killed(options: &[&str], exists_before: bool, deaths: usize) {
    let env = Sandbox::new();
    plant_source(&env);
    let prepare = || {
        if exists(env.path("dst")) {
            fs::remove_dir_all(env.path("dst")).unwrap();
        }
        if exists_before {
            plant_target(&env);
        }
    };
    prepare();
    let line = [options, &["-T", "src", "dst"]].concat();
    let mut cp = Command::new("cp");
    cp.args(&line).current_dir(env.path("")).env_remove("VERSION_CONTROL");
    env.run(cp).exits(0);
    let theirs = tree(&env.path("dst"));
    prepare();
    let begun = Instant::now();
    env.cp(&line).exits(0);
    let took = begun.elapsed().max(Duration::from_millis(20));
    let mut dice = Dice::new();
    let hits = Cell::new(0);
    // A run may end before it is hit.
    for turn in (0..TURNS_MAX).take_while(|turn| *turn < 15 || hits.get() < 8) {
        prepare();
        let arguments = [&["-j", JOBS[turn % 3]][..], &line].concat();
        let mut live = env.launch(env.cp_command(arguments));
        for _ in 0..deaths {
            std::thread::sleep(dice.moment(took));
            let copiers = live.children();
            if live.is_running() && !copiers.is_empty() {
                hits.set(hits.get() + 1);
                send(copiers[dice.below(copiers.len())], SIGKILL);
            }
        }

        let run = live.end();

        run.exits(0).stdout_is("");
        assert_eq!(run.stderr, "", "{options:?}");
        let ours = tree(&env.path("dst"));
        assert_eq!(differences(&theirs, &ours), "", "{options:?} turn {turn}");
    }
    assert!(hits.get() >= 8, "only {hits:?} copiers were hit");
}

#[test]
fn a_copy_to_a_new_directory_ends_as_with_cp() {
    assert_as_cp_though_killed(&["-r"], false, 1);
    assert_as_cp_though_killed(&["-a"], false, 2);
}

#[test]
fn existing_files_end_as_with_cp() {
    assert_as_cp_though_killed(&["-r"], true, 1);
    assert_as_cp_though_killed(&["-rp"], true, 2);
}

#[test]
fn with_backups_the_old_files_are_whole_in_them() {
    assert_as_cp_though_killed(&["-r", "-b"], true, 1);
    assert_as_cp_though_killed(&["-rp", "-b"], true, 2);
    assert_as_cp_though_killed(&["-r", "--backup=numbered"], true, 2);
}

#[test]
fn with_no_clobber_what_killed_copiers_began_is_completed() {
    assert_as_cp_though_killed(&["-r", "-n"], true, 1);
    assert_as_cp_though_killed(&["-r", "-n"], false, 2);
    assert_as_cp_though_killed(&["-rp", "-n"], true, 2);
}

#[test]
fn with_update_what_killed_copiers_began_is_completed() {
    assert_as_cp_though_killed(&["-r", "-u"], true, 1);
    assert_as_cp_though_killed(&["-r", "-u"], false, 2);
    assert_as_cp_though_killed(&["-rp", "-u"], true, 2);
    assert_as_cp_though_killed(&["-rp", "-u", "-b"], true, 2);
}

#[test]
fn with_force_and_removal_it_ends_as_with_cp() {
    assert_as_cp_though_killed(&["-r", "-f"], true, 1);
    assert_as_cp_though_killed(&["-a", "--remove-destination"], true, 2);
}

#[test]
fn a_file_on_which_copiers_always_die_is_reported_and_skipped() {
    if !tool("strace") {
        return skip!("no strace");
    }
    let env = Sandbox::new();
    env.tree("src", ["file bad 600K", "file good 10", "file d/other 10"])
        .tree("dst", ["text bad old"]);
    fs::create_dir(env.path("bin")).unwrap();
    std::os::unix::fs::symlink(PCOPY, env.path("bin/cp")).unwrap();
    let bad = env.path("src/bad").canonicalize().unwrap();
    for options in [&["-r"][..], &["-r", "-b"]] {
        let mut command = Command::new("strace");
        command.args(["-DD", "-f", "-qq", "-o", "trace", "-P", bad.to_str().unwrap()]);
        command.args(["-e", "trace=read,copy_file_range"]);
        command.args(["-e", "inject=read,copy_file_range:signal=KILL", "bin/cp", "-j2"]);
        command.args(options).args(["-T", "src", "dst"]).current_dir(env.path(""));

        let run = env.run(command);

        run.exits(1);
        let message = "passed over 'src/bad': copiers died on it again and again\n";
        assert_eq!(run.stderr.matches(message).count(), 1, "{}", run.story());
        for name in ["good", "d/other"] {
            let both = ["src", "dst"].map(|root| fs::read(env.path(root).join(name)).unwrap());
            assert!(both[0] == both[1]);
        }
        if options.contains(&"-b") {
            let files = ["dst/bad", "dst/bad~"].map(|name| fs::read(env.path(name)).ok());
            let old = Some(b"old".to_vec());
            assert!(files.contains(&old), "the old file is lost\n{}", run.story());
        }
        env.assert_nothing_staged();
        fs::write(env.path("dst/bad"), "old").unwrap();
    }
}

#[test]
fn verbose_lines_are_printed_once_each() {
    let env = Sandbox::new();
    plant_source(&env);
    let line = ["-r", "-v", "-T", "src", "dst"];
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let mut cp = Command::new("cp");
    cp.args(line).current_dir(env.path(""));
    let theirs = sorted(&env.run(cp).exits(0).stdout);
    let mut dice = Dice::new();
    for turn in 0..15 {
        fs::remove_dir_all(env.path("dst")).unwrap();
        let arguments = [&["-j", JOBS[turn % 3]][..], &line].concat();
        let mut live = env.launch(env.cp_command(arguments));
        std::thread::sleep(dice.moment(Duration::from_millis(40)));
        let copiers = live.children();
        if live.is_running() && !copiers.is_empty() {
            send(copiers[dice.below(copiers.len())], SIGKILL);
        }

        let run = live.end();

        run.exits(0);
        let ours = sorted(&run.stdout);
        let missing: Vec<_> = theirs.iter().filter(|line| !ours.contains(line)).collect();
        let twice: Vec<_> = ours.windows(2).filter(|two| two[0] == two[1]).collect();
        assert!(ours == theirs, "not printed: {missing:?}, printed twice: {twice:?}");
    }
}

#[test]
fn a_killed_run_leaves_each_old_file_whole_under_one_of_two_names() {
    let env = Sandbox::new();
    plant_source(&env);
    let mut dice = Dice::new();
    let hits = Cell::new(0);
    for turn in (0..TURNS_MAX).take_while(|turn| *turn < 30 || hits.get() < 8) {
        if exists(env.path("dst")) {
            fs::remove_dir_all(env.path("dst")).unwrap();
        }
        plant_target(&env);
        let mut live =
            env.launch(env.cp_command(["-r", "-b", "-j", JOBS[turn % 3], "-T", "src", "dst"]));
        std::thread::sleep(dice.moment(Duration::from_millis(30)));
        hits.set(hits.get() + usize::from(live.is_running()));
        let children = live.children();
        live.signal_all(SIGKILL);
        wait_until("all are gone", || children.iter().all(|&pid| !is_alive(pid)));
        live.end();

        for dir in 0..12 {
            for name in ["f1", "f3", "big1", "big2"] {
                let path = format!("dst/d{dir}/{name}");
                let read = |path: String| fs::read_to_string(env.path(path)).ok();
                let (now, backup) = (fs::read(env.path(&path)).ok(), read(format!("{path}~")));
                let old = format!("the old {name} of {dir}");
                match backup {
                    Some(backup) => assert_eq!(backup, old, "{path}~"),
                    None => assert_eq!(now.as_deref(), Some(old.as_bytes()), "{path}"),
                }
            }
        }
    }
    assert!(hits.get() >= 8, "only {hits:?} runs were hit");
}
