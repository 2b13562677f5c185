//! Targets that the user may write to and search, but not list.

use crate::common::entries::{chmod, mode_of};
use crate::common::*;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::process::Command;

/// Modes that let other users write and search, but not list.
const MODES: [u32; 3] = [0o333, 0o1733, 0o3773];

/// Returns a sandbox of the plain user with a source, and with a directory `box` of another user that has a
/// directory `d` and a file `a`, which the plain user may replace or write into.
fn with_box(mode: u32) -> Sandbox {
    let env = Sandbox::new();
    env.tree("src", ["file a 1K", "file d/b 1K", "file d/e/c 20M", "link d/l a", "dir empty"]);
    fs::hard_link(env.path("src/a"), env.path("src/d/h")).unwrap();
    env.tree("box", ["dir d"]);
    env.give_to_plain_user();
    for dir in ["box/d", "box"] {
        chown(env.path(dir), Some(1000), Some(1000)).unwrap();
        chmod(&env.path(dir), mode);
    }
    env
}

#[track_caller]
fn assert_same_bytes(env: &Sandbox, one: &str, other: &str) {
    assert!(fs::read(env.path(one)).unwrap() == fs::read(env.path(other)).unwrap(), "{other}");
}

/// Whether the test can make directories of another user.
macro_rules! has_users {
    () => {
        is_root() || {
            skip!("only root can make a directory of another user");
            false
        }
    };
}

#[test]
fn a_directory_that_cannot_be_listed_can_be_copied_into() {
    if !has_users!() {
        return;
    }
    for mode in MODES {
        for options in [
            &["-j1"][..],
            &["-j8"],
            &["--inplace"],
            &["--no-preserve=mode"],
            &["-a"],
            &["--fsync"],
            &["-b"],
        ] {
            let env = with_box(mode);

            for _ in ["first", "again"] {
                let run = env.plain_pcopy_as_is([options, &["-T", "src", "box"]].concat());

                run.exits(0).stderr_lacks("cannot");
                assert_eq!(mode_of(env.path("box")), mode, "{}", run.story());
                for file in ["a", "d/b", "d/e/c", "d/l", "d/h", "empty"] {
                    env.assert_same(format!("src/{file}"), format!("box/{file}"));
                }
                env.assert_nothing_staged();
            }
        }
    }
}

#[test]
fn new_entries_in_a_directory_that_cannot_be_listed_are_complete() {
    if !has_users!() {
        return;
    }
    for mode in MODES {
        for (arguments, copy) in [
            (&["src", "box"][..], "box/src"),
            (&["src", "box/new"], "box/new"),
            (&["--inplace", "src", "box/new"], "box/new"),
            (&["--verify", "-T", "src", "box/new"], "box/new"),
            (&["-t", "box/d", "src"], "box/d/src"),
        ] {
            let env = with_box(mode);

            let run = env.plain_pcopy_as_is(arguments);

            run.exits(0);
            env.assert_same("src", copy);
            env.assert_nothing_staged();
        }
        let env = with_box(mode);
        env.plain_pcopy_as_is(["src/a", "box/"]).exits(0);
        env.plain_pcopy_as_is(["--parents", "src/d/b", "box"]).exits(0);
        env.assert_same("src/a", "box/a");
        env.assert_same("src/d/b", "box/src/d/b");
    }
}

#[test]
fn a_user_copies_into_an_unlistable_directory_of_his_own() {
    for options in [&["-j1"][..], &["-j8"], &["--inplace"], &["--preserve=none"]] {
        let env = Sandbox::new();
        env.tree("src", ["file a 1K", "file d/b 1K"]);
        env.tree("box", ["dir d"]);
        env.give_to_plain_user();
        chmod(&env.path("box"), 0o333);

        let run = env.plain_pcopy_as_is([options, &["-T", "src", "box"]].concat());

        run.exits(0);
        assert_eq!(mode_of(env.path("box")), 0o333, "{}", run.story());
        assert_same_bytes(&env, "src/d/b", "box/d/b");
    }
}

#[test]
fn an_interrupted_copy_into_an_unlistable_directory_is_resumed() {
    if !has_users!() {
        return;
    }
    let env = with_box(0o333);
    for left in [".a.pcopy-partial", "d/.b.pcopy-partial"] {
        fs::write(env.path("box").join(left), "half").unwrap();
        chown(env.path("box").join(left), Some(65534), Some(65534)).unwrap();
    }

    env.plain_pcopy_as_is(["-T", "src", "box"]).exits(0);

    env.assert_same("src/d/b", "box/d/b");
    env.assert_nothing_staged();
}

#[test]
fn a_followed_symlink_may_lead_to_an_unlistable_directory() {
    if !has_users!() {
        return;
    }
    let env = with_box(0o333);
    fs::create_dir(env.path("dst")).unwrap();
    symlink("../box/d", env.path("dst/d")).unwrap();
    chown(env.path("dst"), Some(65534), Some(65534)).unwrap();

    env.plain_pcopy_as_is(["--keep-directory-symlink", "-T", "src", "dst"]).exits(0);

    env.assert_same("src/d/e/c", "box/d/e/c");
}

#[test]
fn a_directory_that_cannot_be_entered_is_one_failure() {
    if !has_users!() {
        return;
    }
    let env = with_box(0o777);
    chmod(&env.path("box/d"), 0o700);

    let run = env.plain_pcopy_as_is(["-T", "src", "box"]);

    run.exits(1).stderr_has("pcopy: cannot open directory 'box/d': Permission denied");
    assert_eq!(run.stderr.matches("cannot").count(), 1, "{}", run.story());
    env.assert_same("src/a", "box/a");
}

#[test]
fn a_comparison_needs_to_list_the_directory_and_says_so() {
    if !has_users!() {
        return;
    }
    let env = with_box(0o333);

    let run = env.plain_pcopy_as_is(["--check", "-T", "src", "box"]);

    run.exits(1).stderr_has("pcopy: cannot open directory 'box': Permission denied");
}

#[test]
fn cp_copies_into_an_unlistable_directory() {
    if !has_users!() {
        return;
    }
    for arguments in [["-rT", "src", "box"], ["-r", "src/.", "box"], ["-r", "src", "box/new"]] {
        let env = with_box(0o333);
        let program = env.path("cp");
        symlink(plain_user::plain_program(), &program).unwrap();
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(env.path(""));
        std::os::unix::process::CommandExt::uid(&mut command, 65534);
        std::os::unix::process::CommandExt::gid(&mut command, 65534);

        let run = env.run(command);

        run.exits(0).stdout_is("");
        let copy = if arguments[2] == "box" { "box/d/e/c" } else { "box/new/d/e/c" };
        assert_same_bytes(&env, "src/d/e/c", copy);
    }
}
