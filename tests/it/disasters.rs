//! Mistakes and accidents that make a mirror remove what should stay: nothing is removed, and the message says why.

use crate::common::attack::{Attacker, Victim, plant_marked, snapshot};
use crate::common::entries::*;
use crate::common::images::{EXT4, mounted_of};
use crate::common::live::count_entries;
use crate::common::mounts::in_own_mounts;
use crate::common::*;
use crate::failing::Failing;
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Mirrors as a script does.
const DELETE: [&str; 3] = ["--delete", "-T", "src"];

fn trees(env: &Sandbox) {
    env.tree("src", ["file a 10", "dir d", "file d/b 10"]);
    env.tree("dst", ["file a 10", "dir d", "file d/b 10", "file d/old 20", "file old 30"]);
}

/// Fails unless the run has ended with this code and message, and has removed nothing.
#[track_caller]
fn removes_nothing(env: &Sandbox, line: &[&str], code: i32, message: &str) {
    let roots = ["dst", "top"].into_iter().filter(|root| exists(env.path(root)));
    let listing = || roots.clone().flat_map(|root| env.listing(root)).collect::<Listing>();
    let before: Vec<_> = listing().into_keys().collect();
    assert!(!before.is_empty());
    for jobs in ["-j1", "-j8"] {
        let run = env.pcopy([&[jobs], line].concat());
        run.exits(code).stderr_has(message);
        let after = listing();
        let gone: Vec<_> = before.iter().filter(|path| !after.contains_key(*path)).collect();
        assert!(gone.is_empty(), "{gone:?}\n{}", run.story());
    }
}

fn mount(arguments: &[&str], on: &Path) {
    assert!(Command::new("mount").args(arguments).arg(on).status().unwrap().success());
}

#[test]
fn an_empty_source_is_refused() {
    let env = Sandbox::new();
    trees(&env);
    env.tree("nothing", []);

    let line = ["--delete", "-T", "nothing", "dst"];
    removes_nothing(&env, &line, 3, "'nothing' is empty: all of 'dst' would be removed");
    removes_nothing(&env, &["--dry-run", "--delete", "-T", "nothing", "dst"], 3, "is empty");
    let line = ["--delete", "src", "nothing", "dst"];
    env.tree("dst/nothing", ["file x 1"]);
    removes_nothing(&env, &line, 3, "'nothing' is empty: all of 'dst/nothing' would be removed");

    env.pcopy(["--delete", "nothing", "new"]).exits(0);
    let line = ["--delete", "--allow-empty-source", "-T", "nothing", "dst"];
    env.pcopy(line).exits(0);
    assert_eq!(fs::read_dir(env.path("dst")).unwrap().count(), 0);
}

#[test]
fn too_many_removals_are_no_removal() {
    let env = Sandbox::new();
    trees(&env);
    env.tree("src", ["file new 5"]);

    let line = [&DELETE[..], &["dst", "--max-delete=1"]].concat();
    removes_nothing(&env, &line, 25, "nothing was removed: 2 of 7 entries are extraneous");
    assert!(exists(env.path("dst/new")), "what is new is copied");
    let line = [&["--dry-run"], &DELETE[..], &["dst", "--max-delete=28%"]].concat();
    removes_nothing(&env, &line, 25, "\n  'dst/d/old'\n  'dst/old'\nhint: ");

    // The command of the hint: the last one of several options holds.
    let line = [&DELETE[..], &["dst", "--max-delete=1", "--max-delete=100%"]].concat();
    env.pcopy(line).exits(0).stderr_has("; 2 removed");
}

#[test]
fn half_of_a_large_target_is_too_much_unless_the_user_says_so() {
    let env = Sandbox::new();
    trees(&env);
    env.many("dst/more", 100, 1);

    let line = [&DELETE[..], &["dst"]].concat();
    removes_nothing(&env, &line, 25, "104 of 108 entries are extraneous");
    let run = env.pcopy([&DELETE[..], &["dst"]].concat());
    let hint = run.stderr.lines().find(|line| line.starts_with("hint: ")).unwrap();
    assert!(
        hint.ends_with("pcopy --max-delete=100% '--progress=always' --delete -T src dst"),
        "{hint}"
    );
    let first_five = run.stderr.lines().filter(|line| line.starts_with("  '")).count();
    assert_eq!(first_five, 3, "the directory and two files are the uppermost\n{}", run.stderr);

    env.pcopy(["--max-delete=100%", "--delete", "-T", "src", "dst"]).exits(0);
    env.assert_same("src", "dst");
}

#[test]
fn a_target_that_contains_the_source_is_refused() {
    let env = Sandbox::new();
    env.tree("top", ["dir src", "file src/a 1", "file other 1"]);

    for line in [
        &["--delete", "-T", "top/src", "top"][..],
        &["--delete", "top/src/.", "top"],
        &["--delete", "--delete-in-system-directory", "-T", "top/src", "top"],
        &["--dry-run", "--delete", "-T", "top/src", "top"],
    ] {
        removes_nothing(&env, line, 3, "it contains the source");
    }
}

#[test]
fn a_target_that_contains_the_current_directory_is_refused() {
    let env = Sandbox::new();
    trees(&env);
    let before = env.listing("dst");
    let mut command = env.command(["--delete", "-T", "../../src", ".."]);
    command.current_dir(env.path("dst/d"));

    env.run(command).exits(3).stderr_has("it contains the current directory");

    assert!(before == env.listing("dst"));
}

#[test]
fn a_home_directory_is_refused() {
    let env = Sandbox::new();
    trees(&env);
    let before = env.listing("dst");
    let mut command = env.command(["--delete", "-T", "src", "dst"]);
    command.env("HOME", env.path("dst"));

    let run = env.run(command);

    run.exits(3).stderr_has("it is your home directory");
    run.stderr_has("say --delete-in-system-directory");
    assert!(before == env.listing("dst"));
    let mut command = env.command(["--delete", "--delete-in-system-directory", "-T", "src", "dst"]);
    command.env("HOME", env.path("dst"));
    env.run(command).exits(0);
}

/// In a namespace in which a directory of the test is `/opt`.
#[test]
fn a_system_directory_is_refused() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    trees(&env);
    mount(&["--bind", env.path("dst").to_str().unwrap()], Path::new("/opt"));

    removes_nothing(&env, &["--delete", "-T", "src", "/opt"], 3, "it is a system directory");
    removes_nothing(&env, &["--delete", "-T", "src", "dst"], 3, "it is a system directory");
    env.pcopy(["--delete", "--delete-in-system-directory", "-T", "src", "/opt"]).exits(0);
    assert!(!exists(env.path("dst/old")));
}

/// `DST` would be the root directory of the machine: only a dry run may try that.
#[test]
fn the_root_directory_is_refused() {
    let env = Sandbox::new();
    trees(&env);

    for option in ["--delete", "--delete-in-system-directory"] {
        let run = env.pcopy(["--dry-run", "--delete", option, "-T", "src", "/"]);
        run.exits(3).stderr_has("it is the root directory");
    }
}

#[test]
fn a_directory_that_cannot_be_listed_keeps_everything() {
    let env = Sandbox::new();
    let Some(disk) = Failing::mount(test_name!(), &env) else { return };
    env.tree("under/src", ["file a 10", "dir d", "file d/b 10", "dir e", "file e/c 10"]);
    env.pcopy(["-T", "under/src", "dst"]).exits(0);
    env.tree("dst", ["file d/old 1", "file e/old 1"]);
    disk.order("EIO readdir src/e");

    let line = ["--retries=0", "--delete", "-T", "at/src", "dst"];
    let message = "nothing was removed from 'dst': a part of 'at/src' could not be read";
    removes_nothing(&env, &line, 1, message);

    let run = env.pcopy([&["--delete-despite-errors"], &line[..]].concat());
    run.exits(1).stderr_has("; 1 removed").stderr_lacks("nothing was removed");
    assert!(!exists(env.path("dst/d/old")), "the directory that could be read is cleaned");
    assert!(exists(env.path("dst/e/old")) && exists(env.path("dst/e/c")));
}

#[test]
fn a_directory_that_may_not_be_read_keeps_everything() {
    for jobs in ["-j1", "-j8"] {
        let env = Sandbox::new();
        trees(&env);
        chmod(&env.path("src/d"), 0);

        let run = env.plain_pcopy([&[jobs], &DELETE[..], &["dst"]].concat());

        run.exits(1).stderr_has("a part of 'src' could not be read (--delete-despite-errors");
        assert!(exists(env.path("dst/old")) && exists(env.path("dst/d/old")));
        let run = env.plain_pcopy([&["--delete-despite-errors"], &DELETE[..], &["dst"]].concat());
        run.exits(1);
        assert!(!exists(env.path("dst/old")) && exists(env.path("dst/d/old")));
        chmod(&env.path("src/d"), 0o755);
    }
}

#[test]
fn a_source_that_is_unmounted_during_the_run_keeps_everything() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("disk", []).tree("dst", ["file old 1"]);
    mount(&["-t", "tmpfs", "none"], &env.path("disk"));
    env.many("disk", 5000, 2000);

    let live = env.frozen_amid(&["-j1", "--delete", "-T", "disk", "dst"], "disk", "dst");
    assert!(Command::new("umount").arg("-l").arg(env.path("disk")).status().unwrap().success());
    live.thaw();

    let run = live.end();
    run.exits(1).stderr_has("'disk' is not what it was when the run began");
    assert!(exists(env.path("dst/old")));
    let copied = count_entries(&env.path("dst"));
    assert!(copied > 100, "what was copied stays: {copied}");
}

#[test]
fn a_file_system_below_the_source_that_is_unmounted_during_the_run_keeps_everything() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.many("src", 5000, 2000);
    env.tree("src/zdisk", []).tree("dst", ["file old 1", "file zdisk/photo 1"]);
    mount(&["-t", "tmpfs", "none"], &env.path("src/zdisk"));
    env.tree("src/zdisk", ["file photo 1"]);

    let live = env.frozen_amid(&["-j1", "--delete", "-T", "src", "dst"], "src", "dst");
    let unmounted = Command::new("umount").arg("-l").arg(env.path("src/zdisk")).status();
    assert!(unmounted.unwrap().success());
    live.thaw();

    live.end().exits(1).stderr_has("or a file system in it was unmounted");
    assert!(exists(env.path("dst/old")) && exists(env.path("dst/zdisk/photo")));
}

#[test]
fn the_copy_of_a_disk_that_is_not_mounted_stays() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    trees(&env);
    env.tree("src/usb", []).tree("dst/usb", ["file photos 1", "file more/deep 1"]);
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = text.lines().rfind(|line| line.split(' ').nth(4) == Some("/")).unwrap();
    let root = root.split(" - ").nth(1).unwrap().split(' ').nth(1).unwrap();
    assert!(
        Command::new("cp").args(["-a", "/etc"]).arg(env.path("etc")).status().unwrap().success()
    );
    let disk = env.path("src/usb").canonicalize().unwrap();
    let lines =
        format!("{root} / ext4 defaults 0 1\n/dev/sdx1 {} vfat noauto 0 0\n", disk.display());
    fs::write(env.path("etc/fstab"), lines).unwrap();
    mount(&["--bind", env.path("etc").to_str().unwrap()], Path::new("/etc"));

    let run = env.pcopy([&DELETE[..], &["dst"]].concat());

    run.exits(1).stderr_has("src/usb' is in /etc/fstab and not mounted; nothing is removed");
    assert!(exists(env.path("dst/usb/photos")) && exists(env.path("dst/usb/more/deep")));
    assert!(!exists(env.path("dst/old")), "the rest is cleaned");

    mount(&["-t", "tmpfs", "none"], &env.path("src/usb"));
    env.tree("src/usb", ["file photos 1"]);
    env.pcopy([&DELETE[..], &["dst"]].concat()).exits(0);
    assert!(!exists(env.path("dst/usb/more")));
}

#[test]
fn a_full_target_keeps_everything() {
    let env = Sandbox::new();
    if !in_own_mounts!() {
        return;
    }
    let mounted = match mounted_of(&env, "at", EXT4, 16 << 20) {
        Ok(mounted) => mounted,
        Err(why) => return skip!(&why),
    };
    for number in 0..200 {
        env.tree("src", [&*format!("file f{number} 200K")]);
    }
    env.tree("at/dst", ["file old 1", "dir gone", "file gone/x 1"]);

    let run = env.pcopy(["--delete", "-T", "src", "at/dst"]);

    run.exits(11).stderr_lacks("removed");
    assert!(exists(env.path("at/dst/old")) && exists(env.path("at/dst/gone/x")));
    mounted.detach();
}

#[test]
fn an_interrupted_run_has_removed_nothing() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let env = Sandbox::new();
        env.many("src", 5000, 2000);
        env.tree("dst", ["file old 1", "dir gone", "file gone/x 1"]);

        let live = env.frozen_amid(&["-j2", "--delete", "-T", "src", "dst"], "src", "dst");
        live.signal(signal);
        live.thaw();
        live.end();

        assert!(exists(env.path("dst/old")) && exists(env.path("dst/gone/x")), "{signal}");
        env.pcopy(["-q", "--delete", "-T", "src", "dst"]).exits(0);
        env.assert_same("src", "dst");
    }
}

#[test]
fn a_directory_that_becomes_a_symlink_while_it_is_cleared_leads_nowhere() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1"]).tree("attic", []);
    for number in 0..4 {
        plant_marked(&env.path(format!("outside/{number}/one")), 100);
        plant_marked(&env.path(format!("outside/{number}/sub/one")), 100);
    }
    let before = snapshot(&env.path("outside"));
    let plant = |env: &Sandbox| {
        for (number, file) in (0..4).flat_map(|number| (0..40).map(move |file| (number, file))) {
            for dir in [format!("d{number}"), format!("d{number}/sub")] {
                env.tree("dst", [&*format!("file {dir}/one 1"), &*format!("file {dir}/f{file} 1")]);
            }
        }
    };
    plant(&env);
    let victims = (0..4).map(|number| {
        // One is uppermost, the next one is not.
        let below = if number % 2 == 0 { "" } else { "/sub" };
        Victim {
            place: env.path(format!("dst/d{number}{below}")),
            spare: env.path(format!("attic/{number}")),
            leads_to: env.path(format!("outside/{number}{below}")),
        }
    });
    let attacker = Attacker::begin(victims.collect());
    let begun = Instant::now();
    let mut removed = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        let run = env.pcopy(["-j4", "--delete", "--max-delete=100%", "-T", "src", "dst"]);
        attacker.while_paused(|| {
            assert!(run.status.code().is_some(), "{}", run.story());
            assert_eq!(snapshot(&env.path("outside")), before, "{}", run.story());
            removed += usize::from(!exists(env.path("dst/d0/one")));
            plant(&env);
        });
    }
    attacker.end();
    assert!(removed > 0, "nothing was ever removed");
}
