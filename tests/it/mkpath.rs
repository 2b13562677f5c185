//! `--mkpath`: the missing directories above the target are created.

use crate::common::entries::*;
use crate::common::*;
use std::fs;

#[test]
fn missing_directories_above_the_target_are_created() {
    for (line, copy) in [
        (&["src", "a/b/c"][..], "a/b/c"),
        (&["-T", "src", "a/b/c"], "a/b/c"),
        (&["src", "a/b/"], "a/b/src"),
        (&["-t", "a/b", "src"], "a/b/src"),
        (&["src", "other", "a/b"], "a/b/src"),
        (&["src/", "a/../b/./c"], "b/c"),
    ] {
        let env = Sandbox::new();
        env.tree("src", ["file f 1"]).tree("other", []);

        env.pcopy([&["--mkpath"], line].concat()).exits(0);

        env.assert_same("src", copy);
    }
}

#[test]
fn without_the_option_they_are_an_error() {
    let env = Sandbox::new();
    env.tree("src", ["file f 1"]);

    env.pcopy(["src", "a/b/c"]).exits(3).stderr_has("a/b").stderr_has("No such file or directory");

    assert!(!exists(env.path("a")));
}

#[test]
fn they_get_the_mode_of_new_directories() {
    let env = Sandbox::new();
    env.tree("src", ["file f 1"]);
    chmod(&env.path("src"), 0o700);

    let masked =
        env.before(&["sh", "-c", "umask 027; exec \"$@\"", "sh"], ["--mkpath", "src", "a/b"]);
    env.run(masked).exits(0);

    assert_eq!(mode_of(env.path("a")) & 0o777, 0o750);
    assert_eq!(mode_of(env.path("a/b")) & 0o777, 0o700);
}

#[test]
fn if_the_run_is_refused_they_are_removed() {
    let env = Sandbox::new();
    env.tree("src", ["file f 1"]).tree("a", ["file f 1"]);

    env.pcopy(["--mkpath", "none", "a/b/c/d"]).exits(3).stderr_has("'none'");
    env.pcopy(["--mkpath", "src", "src/x/y"]).exits(3);
    env.pcopy(["--mkpath", "src", "a/b/../f/c"])
        .exits(3)
        .stderr_has("cannot create directory 'a/b/../f'");

    assert_eq!(fs::read_dir(env.path("a")).unwrap().count(), 1);
    assert!(!exists(env.path("src/x")));
}

#[test]
fn directories_that_exist_stay_when_a_run_is_refused() {
    let env = Sandbox::new();
    env.tree("a", ["dir b"]);

    env.pcopy(["--mkpath", "none", "a/b/c"]).exits(3);

    assert!(exists(env.path("a/b")));
}
