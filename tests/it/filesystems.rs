//! The same copy on every file system. The file systems are in images, which are mounted in a mount namespace
//! of the test.

use crate::common::entries::*;
use crate::common::images::*;
use crate::common::mounts::*;
use crate::common::*;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// Plants the mixed tree without the entries that some file systems cannot hold: times before 1901, and
/// symlinks of more than 1024 bytes.
fn plant(env: &Sandbox, root: &str) {
    env.plant(root, "fixtures/mixed.tree");
    let time = modified(env.path(root));
    fs::remove_file(env.path(root).join("long-before-1970")).unwrap();
    fs::remove_file(env.path(root).join("long-text")).unwrap();
    std::os::unix::fs::symlink("y".repeat(1000), env.path(root).join("long-text")).unwrap();
    set_times(&env.path(root).join("long-text"), (6, 7), (8, 9));
    set_times(&env.path(root), time, time);
}

cells! {
    a_file_system_holds_the_same_tree,
    tmpfs => TMPFS,
    ext4 => EXT4,
    ext4_whose_listings_have_no_types => EXT4_WITHOUT_TYPES,
    xfs => XFS,
    btrfs => BTRFS,
}
/// Copies the mixed tree from tmpfs to a file system, within that file system, and back; then once more onto
/// the copy.
fn a_file_system_holds_the_same_tree(make: Make) {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    let Some(_mounted) = mounted_or_skip!(&env, "at", make) else { return };
    plant(&env, "src");
    let source = env.listing("src");
    for jobs in ["1", "2", "8"] {
        let steps = [("src", "at/dst"), ("at/dst", "at/again"), ("at/again", "back")];
        for (from, to) in steps {
            env.pcopy(["-j", jobs, from, to]).exits(0);

            let wrong = differences(&source, &env.listing(to));
            assert!(wrong.is_empty(), "from {from} to {to} with {jobs} copiers:\n{wrong}");

            env.pcopy(["-j", jobs, "-T", from, to]).exits(0).stderr_has("copied 0 entries");
        }
        for (_, to) in steps {
            fs::remove_dir_all(env.path(to)).unwrap();
        }
    }
    let device = |name: &str| fs::metadata(env.path(name)).unwrap().dev();
    assert_ne!(device("at"), device("src"), "nothing was mounted");
}

#[test]
fn a_tree_goes_round_all_file_systems_and_comes_back_the_same() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    plant(&env, "src");
    let mut at = "src".to_owned();
    let mut mounts = Vec::new();
    let all = [("ext4", EXT4), ("xfs", XFS), ("btrfs", BTRFS), ("tmpfs", TMPFS), ("last", EXT4)];
    for (place, make) in all {
        if let Some(mounted) = mounted_or_skip!(&env, place, make) {
            mounts.push(mounted);
            let to = format!("{place}/dst");
            env.pcopy(["-j", "4", &at, &to]).exits(0);
            at = to;
        }
    }

    let wrong = differences(&env.listing("src"), &env.listing(&at));

    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_source_that_spans_file_systems_is_copied_whole() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file sub/b 20"]);
    let Some(_mounted) = mounted_or_skip!(&env, "src/mounted", TMPFS) else { return };
    env.tree("src/mounted", ["file c 30", "file deeper/d 300K"]);

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn a_target_that_spans_file_systems_is_merged_into() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file sub/b 20", "file sub/new/c 30", "file sub/d 3M"]);
    env.tree("dst", []);
    let Some(_mounted) = mounted_or_skip!(&env, "dst/sub", TMPFS) else { return };
    env.tree("dst/sub", ["text b old"]);

    env.pcopy(["-T", "src", "dst"]).exits(0);

    env.assert_same("src", "dst");
    env.assert_nothing_staged();
}

#[test]
fn a_mount_point_can_be_the_target() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    plant(&env, "src");
    let Some(_mounted) = mounted_or_skip!(&env, "at", TMPFS) else { return };

    env.pcopy(["-T", "src", "at"]).exits(0);

    env.assert_same("src", "at");
}

#[test]
fn a_mount_point_can_be_the_source() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    let Some(_mounted) = mounted_or_skip!(&env, "at", TMPFS) else { return };
    plant(&env, "at");

    env.pcopy(["at", "dst"]).exits(0);

    env.assert_same("at", "dst");
}

#[test]
fn an_overlay_holds_the_same_tree() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    let Some(_mounted) = mounted_or_skip!(&env, "disk", TMPFS) else { return };
    env.tree("disk", ["file lower/below/x 10", "file lower/dst/a 5", "dir upper", "dir work"]);
    fs::create_dir(env.path("over")).unwrap();
    let dir = |name: &str| env.path("disk").join(name).display().to_string();
    let options =
        format!("lowerdir={},upperdir={},workdir={}", dir("lower"), dir("upper"), dir("work"));
    let words = ["-t", "overlay", "-o", &options, "overlay"];
    let Some(_overlay) = mount(&words, &env.path("over")) else {
        return skip!("cannot mount an overlay here");
    };
    plant(&env, "src");

    env.pcopy(["src", "over/new"]).exits(0);
    env.pcopy(["-T", "src", "over/dst"]).exits(0);
    env.pcopy(["over/below", "below"]).exits(0);

    env.assert_same("src", "over/new");
    env.assert_same("src", "over/dst");
    env.assert_same("over/below", "below");
}

each_jobs!(a_target_that_fills_up_publishes_nothing_and_is_completed_when_there_is_space, 1, 8);
fn a_target_that_fills_up_publishes_nothing_and_is_completed_when_there_is_space(jobs: &str) {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    fs::create_dir(env.path("small")).unwrap();
    let place = env.path("small");
    let words = ["-t", "tmpfs", "-o", "size=1M", "tmpfs"];
    let Some(_mounted) = mount(&words, &place) else {
        return skip!("cannot mount a tmpfs here");
    };
    let lines: Vec<String> = (0..40).map(|number| format!("file f{number} 100K")).collect();
    env.tree("src", lines.iter().map(String::as_str));

    let run = env.pcopy(["-j", jobs, "src", "small/dst"]);
    run.exits(11).stderr_has("No space left on device").stderr_has("\nhint: ");
    assert!(!exists(env.path("small/dst")), "{}", run.story());

    let grown = Command::new("mount").args(["-o", "remount,size=100M"]).arg(&place).status();
    assert!(grown.unwrap().success());
    env.pcopy(["-j", jobs, "src", "small/dst"]).exits(0);
    env.assert_same("src", "small/dst");
    assert!(!exists(env.path("small/.dst.pcopy-partial")));
}

#[test]
fn a_time_that_the_target_cannot_hold_does_not_stop_the_copy() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    let Some(_mounted) = mounted_or_skip!(&env, "at", EXT4) else { return };
    env.tree("src", ["file old 10", "file new 20"]);
    set_times(&env.path("src/old"), (-9_999_999_999, 5), (-9_999_999_999, 5));
    set_times(&env.path("src/new"), (99_999_999_999, 5), (99_999_999_999, 5));

    env.pcopy(["src", "at/dst"]).exits(0);

    for file in ["old", "new"] {
        assert_eq!(
            fs::read(env.path("src").join(file)).unwrap(),
            fs::read(env.path("at/dst").join(file)).unwrap()
        );
    }
}
