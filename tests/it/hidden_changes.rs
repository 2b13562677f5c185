//! Sources that have changed although they have the size and modification time of their copies, and sources that
//! only look so.

use crate::common::entries::*;
use crate::common::habits::mount_with_habits;
use crate::common::images::{EXT4, EXT4_OF_SECONDS, mounted_or_skip};
use crate::common::mounts::in_own_mounts;
use crate::common::test_name::test_name;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

// The tests with a large file or with mounts of their own need no other file system.
holds_on_every_file_system!(except
    before_more_than_a_gibibyte_is_compared_a_line_names_the_option,
    where_ctimes_come_from_a_server_they_say_nothing,
    a_file_behind_a_followed_symlink_is_judged_by_its_own_file_system,
    a_ctime_in_whole_seconds_is_compared_by_its_seconds,
    a_copy_that_changes_while_it_is_compared_keeps_its_new_time
);

/// Skips the test if the sandbox is on a file system of another kind than those whose ctimes pcopy trusts.
macro_rules! kernel_ctimes_or_skip {
    ($env:expr) => {
        if !has_kernel_ctimes(&$env) {
            return skip!("the temporary directory is on an unusual file system");
        }
    };
}

fn has_kernel_ctimes(env: &Sandbox) -> bool {
    let output = Command::new("stat").args(["-f", "-c", "%T"]).arg(env.path("")).output().unwrap();
    let kind = String::from_utf8_lossy(&output.stdout);
    let kinds = ["ext", "xfs", "btrfs", "f2fs", "zfs", "tmpfs", "overlay"];
    kinds.iter().any(|known| kind.starts_with(known))
}

fn ctime(path: &Path) -> Time {
    let status = fs::metadata(path).unwrap();
    (status.ctime(), status.ctime_nsec())
}

/// Changes the contents of a file, and sets its time to the old one.
fn change_behind(path: &Path, text: &str) {
    let time = modified(path);
    assert_eq!(fs::metadata(path).unwrap().len(), text.len() as u64, "the size must stay");
    fs::write(path, text).unwrap();
    set_times(path, time, time);
}

/// Waits until a status change gets a later time than all that happened before. Only then may files be left
/// uncompared.
fn wait_for_next_tick(env: &Sandbox) {
    let probe = env.path("clock");
    fs::write(&probe, "").unwrap();
    let before = ctime(&probe);
    wait_until("the clock advances", || {
        chmod(&probe, 0o600);
        ctime(&probe) > before
    });
    fs::remove_file(&probe).unwrap();
}

/// Two files, the second with the size and time of the first.
fn like_each_other(env: &Sandbox) {
    fs::write(env.path("a"), "one").unwrap();
    fs::write(env.path("b"), "two").unwrap();
    let time = modified(env.path("a"));
    set_times(&env.path("b"), time, time);
}

/// `src` with files `a` and `b`, and its copy `dst`, both older than the current time of the clock.
fn copied(env: &Sandbox) {
    env.tree("src", ["file a 3", "file b 3", "dir d", "file d/c 3"]);
    wait_for_next_tick(env);
    env.pcopy(["src", "dst"]).exits(0);
    wait_for_next_tick(env);
}

#[test]
fn one_file_is_copied_onto_another_of_its_size_and_time() {
    for jobs in ["1", "8"] {
        let env = Sandbox::new();
        like_each_other(&env);

        env.pcopy(["-j", jobs, "a", "b"]).exits(0).stderr_has("copied 1 entry (3 bytes) to 'b'");

        assert_eq!(fs::read_to_string(env.path("b")).unwrap(), "one");
    }
}

#[test]
fn one_file_is_copied_onto_another_that_was_written_in_the_same_moment() {
    let env = Sandbox::new();
    for _ in 0..20 {
        fs::write(env.path("a"), "one").unwrap();
        fs::write(env.path("b"), "two").unwrap();

        env.pcopy(["a", "b"]).exits(0);

        assert_eq!(fs::read_to_string(env.path("b")).unwrap(), "one");
    }
}

/// The copy was touched after the change, so the times say nothing.
#[test]
fn one_file_is_compared_though_the_copy_changed_later() {
    let env = Sandbox::new();
    like_each_other(&env);
    env.tree("", ["dir into"]);
    fs::rename(env.path("b"), env.path("into/a")).unwrap();
    wait_for_next_tick(&env);
    chmod(&env.path("into/a"), mode_of(env.path("a")) & 0o777);

    env.pcopy(["a", "into"]).exits(0).stderr_has("copied 1 entry");

    env.pcopy(["a", "into"]).exits(0).stderr_has("1 skipped; 1 compared by content");
    assert_eq!(fs::read_to_string(env.path("into/a")).unwrap(), "one");
}

#[test]
fn a_source_that_changed_and_got_its_old_time_back_is_copied() {
    for line in [&["-j1"][..], &["-j8"], &["-a"], &["--inplace"]] {
        let env = Sandbox::new();
        kernel_ctimes_or_skip!(env);
        copied(&env);
        change_behind(&env.path("src/a"), "new");
        change_behind(&env.path("src/d/c"), "new");

        let run = env.pcopy([line, &["-T", "src", "dst"]].concat());

        run.exits(0).stderr_has("copied 2 entries (6 bytes)");
        env.assert_same("src", "dst");
    }
}

/// As in a store whose files all have the same time.
#[test]
fn a_new_source_with_the_size_and_time_of_the_old_one_is_copied() {
    let env = Sandbox::new();
    kernel_ctimes_or_skip!(env);
    env.tree("src", ["file a 3"]);
    set_times(&env.path("src/a"), (1, 0), (1, 0));
    env.pcopy(["src", "dst"]).exits(0);
    fs::remove_file(env.path("src/a")).unwrap();
    fs::write(env.path("src/a"), "new").unwrap();
    set_times(&env.path("src/a"), (1, 0), (1, 0));

    env.pcopy(["-T", "src", "dst"]).exits(0);

    assert_eq!(fs::read_to_string(env.path("dst/a")).unwrap(), "new");
}

#[test]
fn a_source_that_changed_while_its_copy_was_interrupted_is_copied() {
    let env = Sandbox::new();
    kernel_ctimes_or_skip!(env);
    copied(&env);
    fs::rename(env.path("dst"), env.path(".dst.pcopy-partial")).unwrap();
    change_behind(&env.path("src/a"), "new");

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn a_changed_source_is_prompted_for() {
    let env = Sandbox::new();
    kernel_ctimes_or_skip!(env);
    copied(&env);
    change_behind(&env.path("src/a"), "new");

    let run = env.pcopy(["-i", "-T", "src", "dst"]); // standard input is empty

    run.exits(0).stderr_has("replace 'dst/a'?").stderr_lacks("replace 'dst/b'?");
}

#[test]
fn an_unchanged_source_is_not_compared() {
    let env = Sandbox::new();
    copied(&env);

    let run = env.pcopy(["-T", "src", "dst"]);

    run.exits(0).stderr_has("copied 0 entries").stderr_lacks("compared");
}

/// The whole source was moved or restored: the first run compares it, the next one does not.
#[test]
fn files_that_were_compared_are_not_compared_again() {
    let env = Sandbox::new();
    kernel_ctimes_or_skip!(env);
    copied(&env);
    for name in ["a", "b", "d/c"] {
        fs::rename(env.path("src").join(name), env.path("moved")).unwrap();
        fs::rename(env.path("moved"), env.path("src").join(name)).unwrap();
    }
    wait_for_next_tick(&env);

    let first = env.pcopy(["-T", "src", "dst"]);
    let next = env.pcopy(["-T", "src", "dst"]);

    first.exits(0).stderr_has("copied 0 entries").stderr_has("; 3 compared by content");
    next.exits(0).stderr_has("copied 0 entries").stderr_lacks("compared");
    env.assert_same("src", "dst");
}

/// Other names may belong to another program, such as a backup made of hard links.
#[test]
fn a_copy_with_other_names_is_compared_and_not_touched() {
    let env = Sandbox::new();
    kernel_ctimes_or_skip!(env);
    copied(&env);
    fs::hard_link(env.path("dst/a"), env.path("dst.1")).unwrap();
    wait_for_next_tick(&env);
    fs::rename(env.path("src/a"), env.path("src/a2")).unwrap();
    fs::rename(env.path("src/a2"), env.path("src/a")).unwrap();
    let before = ctime(&env.path("dst.1"));

    env.pcopy(["-T", "src", "dst"]).exits(0).stderr_has("; 1 compared by content");

    assert_eq!(ctime(&env.path("dst.1")), before);
    assert_eq!(inode(env.path("dst/a")), inode(env.path("dst.1")));
}

#[test]
fn a_change_of_mode_that_is_repaired_is_no_reason_to_compare() {
    let env = Sandbox::new();
    copied(&env);
    chmod(&env.path("src/a"), 0o640);

    env.pcopy(["-T", "src", "dst"]).exits(0).stderr_lacks("compared");

    assert_eq!(mode_of(env.path("dst/a")) & 0o777, 0o640);
}

/// The option keeps the mode from being repaired, so nothing explains the later ctime.
#[test]
fn a_change_of_mode_that_is_not_preserved_is_a_reason_to_compare() {
    let env = Sandbox::new();
    kernel_ctimes_or_skip!(env);
    copied(&env);
    chmod(&env.path("src/a"), 0o640);

    let run = env.pcopy(["--no-preserve=mode", "-T", "src", "dst"]);

    run.exits(0).stderr_has("; 1 compared by content");
}

/// A new name of a file changes its ctime.
#[test]
fn a_source_with_several_names_is_not_compared() {
    let env = Sandbox::new();
    copied(&env);
    fs::hard_link(env.path("src/a"), env.path("a2")).unwrap();

    env.pcopy(["-T", "src", "dst"]).exits(0).stderr_lacks("compared");
}

#[test]
fn a_plain_user_gets_changed_sources_copied() {
    let env = Sandbox::new();
    kernel_ctimes_or_skip!(env);
    env.tree("src", ["file a 3", "file b 3"]);
    env.give_to_plain_user();
    wait_for_next_tick(&env);
    env.plain_pcopy_as_is(["-a", "src", "dst"]).exits(0);
    change_behind(&env.path("src/a"), "new");

    env.plain_pcopy_as_is(["-a", "-T", "src", "dst"]).exits(0);

    assert_eq!(fs::read_to_string(env.path("dst/a")).unwrap(), "new");
}

#[test]
fn the_option_that_ignores_ctimes_leaves_size_and_time_to_decide() {
    let env = Sandbox::new();
    like_each_other(&env);
    copied(&env);
    change_behind(&env.path("src/a"), "new");

    env.pcopy(["--ignore-ctime", "a", "b"]).exits(0).stderr_has("copied 0 entries");
    env.pcopy(["--ignore-ctime", "-T", "src", "dst"]).exits(0).stderr_has("copied 0 entries");

    assert_eq!(fs::read_to_string(env.path("b")).unwrap(), "two");
    env.pcopy(["--check", "-T", "src", "dst"]).exits(6).stdout_is("different: 'dst/a': contents\n");
}

#[test]
fn before_more_than_a_gibibyte_is_compared_a_line_names_the_option() {
    let env = Sandbox::new();
    kernel_ctimes_or_skip!(env);
    env.tree("src", ["file a 1", "file b 1"]);
    for name in ["a", "b"] {
        let file = fs::File::options().write(true).open(env.path("src").join(name)).unwrap();
        file.set_len(600 << 20).unwrap();
    }
    wait_for_next_tick(&env);
    env.pcopy(["src", "dst"]).exits(0);
    wait_for_next_tick(&env);
    let touch = |name: &str| {
        let (path, aside) = (env.path("src").join(name), env.path("aside"));
        fs::rename(&path, &aside).unwrap();
        fs::rename(aside, path).unwrap();
    };
    let line = "pcopy: note: more than 1 GiB of files with the size and time of their copies";

    touch("a");
    let little = env.pcopy(["-i", "-T", "src", "dst"]); // a prompt is no reason to read it twice
    ["a", "b"].iter().for_each(|name| touch(name));
    let much = env.pcopy(["-T", "src", "dst"]);

    little.exits(0).stderr_lacks("note: ");
    much.exits(0).stderr_has(line).stderr_has("--ignore-ctime");
    assert_eq!(much.stderr.matches(line).count(), 1, "{}", much.story());
}

#[test]
fn where_ctimes_come_from_a_server_they_say_nothing() {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &[]) else { return };
    env.tree("at/src", ["file a 3", "file b 3"]);
    wait_for_next_tick(&env);
    env.pcopy(["at/src", "dst"]).exits(0);
    change_behind(&env.path("at/src/a"), "new");

    let run = env.pcopy(["-T", "at/src", "dst"]);

    run.exits(0).stderr_has("copied 0 entries").stderr_lacks("compared");
}

/// The directory with the symlink is on a FUSE file system, whose ctimes are a server's; the file is not.
#[test]
fn a_file_behind_a_followed_symlink_is_judged_by_its_own_file_system() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    let Some(_fuse) = mount_with_habits(test_name!(), &env, &[]) else { return };
    let Some(_ext4) = mounted_or_skip!(&env, "disk", EXT4) else { return };
    env.tree("disk", ["file a 3"]).tree("at/src", []);
    std::os::unix::fs::symlink(env.path("disk/a"), env.path("at/src/a")).unwrap();
    wait_for_next_tick(&env);
    env.pcopy(["-L", "at/src", "disk/dst"]).exits(0);
    change_behind(&env.path("disk/a"), "new");

    env.pcopy(["-L", "-T", "at/src", "disk/dst"]).exits(0).stderr_has("copied 1 entry");

    assert_eq!(fs::read_to_string(env.path("disk/dst/a")).unwrap(), "new");
}

/// The kernel drops the set-group-ID bit of the copy in each run, so the copy always has another mode.
#[test]
fn a_difference_of_mode_that_stays_hides_no_change() {
    if !is_root() {
        return skip!("needs root, who gives files to another user");
    }
    let env = Sandbox::new();
    kernel_ctimes_or_skip!(env);
    env.tree("src", ["file a 3"]).tree("dst", []);
    env.give_to_plain_user();
    chown(env.path("src/a"), None, Some(0)).unwrap();
    chown(env.path("dst"), None, Some(0)).unwrap();
    chmod(&env.path("src/a"), 0o2755);
    chmod(&env.path("dst"), 0o2777);
    env.plain_pcopy_as_is(["-T", "src", "dst"]).exits(0);
    assert_eq!(mode_of(env.path("dst/a")) & 0o7777, 0o755);
    wait_for_next_tick(&env);
    change_behind(&env.path("src/a"), "new");
    chmod(&env.path("src/a"), 0o2755);

    env.plain_pcopy_as_is(["-T", "src", "dst"]).exits(0);

    assert_eq!(fs::read_to_string(env.path("dst/a")).unwrap(), "new");
}

#[test]
fn a_difference_of_mode_that_this_user_cannot_repair_hides_no_change() {
    if !is_root() {
        return skip!("needs root, who gives files to another user");
    }
    let env = Sandbox::new();
    kernel_ctimes_or_skip!(env);
    copied(&env);
    env.give_to_plain_user();
    chown(env.path("dst/a"), Some(0), Some(0)).unwrap();
    chmod(&env.path("dst/a"), 0o664);
    wait_for_next_tick(&env);
    change_behind(&env.path("src/a"), "new");

    env.plain_pcopy_as_is(["-T", "src", "dst"]).exits(0);

    assert_eq!(fs::read_to_string(env.path("dst/a")).unwrap(), "new");
}

#[test]
fn a_ctime_in_whole_seconds_is_compared_by_its_seconds() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    let Some(_disk) = mounted_or_skip!(&env, "at", EXT4_OF_SECONDS) else { return };
    kernel_ctimes_or_skip!(env);
    env.tree("at/src", ["file a 3"]);
    let second = || ctime(&env.path("at/src/a")).0;
    let begun = second();
    wait_until("a second begins", || {
        chmod(&env.path("at/src/a"), 0o600);
        second() > begun
    });
    env.pcopy(["at/src", "dst"]).exits(0);
    change_behind(&env.path("at/src/a"), "new"); // in the same second

    env.pcopy(["-T", "at/src", "dst"]).exits(0);

    assert_eq!(fs::read_to_string(env.path("dst/a")).unwrap(), "new");
}

/// A run that reads no contents must not make the next run believe that they were compared.
#[test]
fn a_run_that_only_sets_attributes_says_nothing_of_the_contents() {
    for extra in [&["--attributes-only"][..], &["--attributes-only", "--no-preserve=timestamps"]] {
        let env = Sandbox::new();
        kernel_ctimes_or_skip!(env);
        copied(&env);
        wait_for_next_tick(&env);
        change_behind(&env.path("src/a"), "new");

        let run = env.pcopy([extra, &["-T", "src", "dst"]].concat());

        run.exits(0).stderr_lacks("compared");
        if extra.len() == 2 {
            wait_for_next_tick(&env);
            env.pcopy(["-T", "src", "dst"]).exits(0);
            assert_eq!(fs::read_to_string(env.path("dst/a")).unwrap(), "new");
        }
    }
}

/// Otherwise the old time would hide the damage from all later runs.
#[test]
fn a_copy_that_changes_while_it_is_compared_keeps_its_new_time() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    kernel_ctimes_or_skip!(env);
    env.tree("src", ["file a 4M"]);
    wait_for_next_tick(&env);
    env.pcopy(["src", "dst"]).exits(0);
    wait_for_next_tick(&env);
    fs::rename(env.path("src/a"), env.path("src/b")).unwrap();
    fs::rename(env.path("src/b"), env.path("src/a")).unwrap();
    let slow = ["-e", "trace=read", "-e", "inject=read:delay_exit=10000:when=30+", "-y"];
    let live = env.launch(env.traced(&slow, ["-j1", "-T", "src", "dst"]));
    let log = || fs::read_to_string(env.path("trace")).unwrap_or_default();
    wait_until("the copy is compared", || log().matches("dst/a>").count() > 5);

    let file = fs::File::options().write(true).open(env.path("dst/a")).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"damage", 0).unwrap();
    drop(file);
    live.end().exits(0);

    assert_ne!(modified(env.path("dst/a")), modified(env.path("src/a")));
    env.pcopy(["-T", "src", "dst"]).exits(0);
    env.assert_same("src", "dst");
}

/// The size and the time decide, as before: a comparison is not possible.
#[test]
fn a_source_that_may_not_be_read_is_no_failure_if_it_looks_unchanged() {
    if !is_root() {
        return skip!("needs root, who makes a file unreadable");
    }
    let env = Sandbox::new();
    copied(&env);
    env.give_to_plain_user();
    for path in ["src/a", "dst/b"] {
        chmod(&env.path(path), 0o600);
        chown(env.path(path), Some(0), Some(0)).unwrap();
    }
    wait_for_next_tick(&env);
    for name in ["a", "b"] {
        fs::rename(env.path("src").join(name), env.path("aside")).unwrap();
        fs::rename(env.path("aside"), env.path("src").join(name)).unwrap();
    }
    let before = inode(env.path("dst/b"));

    env.plain_pcopy_as_is(["--no-preserve=mode", "-T", "src", "dst"]).exits(0);

    assert_eq!(inode(env.path("dst/b")), before);
}

#[test]
fn a_single_file_that_was_compared_is_not_touched() {
    let env = Sandbox::new();
    env.tree("", ["file a 3"]);
    env.pcopy(["a", "b"]).exits(0);
    let before = ctime(&env.path("b"));
    wait_for_next_tick(&env);

    env.pcopy(["a", "b"]).exits(0).stderr_has("; 1 compared by content");

    assert_eq!(ctime(&env.path("b")), before);
}
