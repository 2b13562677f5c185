//! Limits of what is copied: size, age, depth, what the target has, and directories without contents.

use crate::common::entries::*;
use crate::common::*;
use crate::selection::names;
use std::fs;
use std::time::SystemTime;

/// Files of 0, 1,000, 1,024 and 5,000 bytes.
fn sizes(env: &Sandbox) {
    env.tree(
        "src",
        ["file empty 0", "file thousand 1000", "file kibi 1024", "dir d", "file d/large 5000"],
    );
    env.tree("src", ["link link d/large"]);
}

#[test]
fn files_are_left_out_by_their_size_and_nothing_else_is() {
    for (option, expected) in [
        ("--max-size=1000", &["d", "empty", "link", "thousand"][..]),
        ("--max-size=1KB", &["d", "empty", "link", "thousand"]),
        ("--max-size=1K", &["d", "empty", "kibi", "link", "thousand"]),
        ("--max-size=1K-1", &["d", "empty", "link", "thousand"]),
        ("--min-size=1", &["d", "d/large", "kibi", "link", "thousand"]),
        ("--min-size=1k+1", &["d", "d/large", "link"]),
    ] {
        let env = Sandbox::new();
        sizes(&env);

        env.pcopy([option, "src", "dst"]).exits(0);

        assert_eq!(names(&env, "dst"), expected, "{option}");
    }
}

#[test]
fn a_rule_does_not_save_a_file_from_a_limit() {
    let env = Sandbox::new();
    sizes(&env);

    env.pcopy(["--include=*", "--max-size=0", "src", "dst"]).exits(0);

    assert_eq!(names(&env, "dst"), ["d", "empty", "link"]);
}

#[test]
fn operands_have_limits_too() {
    let env = Sandbox::new();
    sizes(&env);
    env.tree("dst", []);

    let run = env.pcopy(["--max-size=1000", "src/kibi", "src/empty", "dst"]);

    run.exits(0).stderr_has("; 1 excluded");
    assert_eq!(names(&env, "dst"), ["empty"]);
}

#[test]
fn an_older_version_that_stays_because_of_a_limit_is_counted() {
    let env = Sandbox::new();
    sizes(&env);
    env.pcopy(["src", "dst"]).exits(0);
    fs::write(env.path("src/kibi"), contents(b"new", 2000)).unwrap();

    let run = env.pcopy(["--max-size=1000", "-T", "src", "dst"]);

    run.exits(0).stderr_has("; 2 excluded, 1 of them with another version in the target");
}

#[test]
fn what_is_left_out_by_its_size_is_not_extraneous() {
    let env = Sandbox::new();
    sizes(&env);
    env.pcopy(["src", "dst"]).exits(0);

    let run = env.pcopy(["--check", "--max-size=1000", "-T", "src", "dst"]);

    run.exits(0).stderr_has("2 excluded").stderr_has("identical");
}

#[test]
fn files_are_left_out_by_their_age() {
    let env = Sandbox::new();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let ago = |days: i64| i64::try_from(now).unwrap() - 86_400 * days;
    env.tree("src", ["file new 1", "file week 1", "file year 1"]);
    for (name, age) in [("week", 7), ("year", 365)] {
        set_times(&env.path("src").join(name), (ago(age), 0), (ago(age), 0));
    }
    fs::copy(env.path("src/week"), env.path("stamp")).unwrap();
    let week = modified(env.path("src/week"));
    set_times(&env.path("stamp"), week, week);

    for (option, expected) in [
        ("--newer-than=8d".to_owned(), &["new", "week"][..]),
        ("--older-than=8d".to_owned(), &["year"]),
        ("--newer-than=file:stamp".to_owned(), &["new"]),
        ("--older-than=file:stamp".to_owned(), &["year"]),
        (format!("--newer-than=@{}", ago(300)), &["new", "week"]),
        ("--newer-than=1970-01-02".to_owned(), &["new", "week", "year"]),
        ("--older-than=2099-01-01T00:00:00Z".to_owned(), &["new", "week", "year"]),
    ] {
        env.pcopy([&*option, "src", "dst"]).exits(0);

        assert_eq!(names(&env, "dst"), expected, "{option}");
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

#[test]
fn a_limit_that_is_no_size_or_time_is_a_usage_error() {
    let env = Sandbox::new();
    sizes(&env);
    for (option, why) in [
        ("--max-size=1X", "expected a size"),
        ("--min-size=", "expected a size"),
        ("--newer-than=yesterday", "expected 7d"),
        ("--newer-than=file:nothing", "No such file or directory"),
        ("--max-depth=0", "expected a number from 1"),
    ] {
        env.pcopy([option, "src", "dst"]).exits(2).stderr_has(why).stderr_has(&option[..10]);
        assert!(!env.path("dst").exists());
    }
}

#[test]
fn deeper_levels_are_neither_copied_nor_extraneous() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1", "dir d", "file d/b 1", "dir d/e", "file d/e/c 1"]);

    env.pcopy(["--max-depth=1", "src", "one"]).exits(0).stderr_has("copied 3 entries");
    env.pcopy(["--max-depth=2", "src", "two"]).exits(0);

    assert_eq!(names(&env, "one"), ["a", "d"]);
    assert_eq!(names(&env, "two"), ["a", "d", "d/b", "d/e"]);
    fs::write(env.path("one/d/mine"), "").unwrap();
    let check = ["--check", "--no-preserve=timestamps", "--max-depth=1", "-T", "src", "one"];
    env.pcopy(check).exits(0);
}

/// Directories with nothing that is copied in them: empty, or with excluded files only.
fn hollow(env: &Sandbox) {
    env.tree(
        "src",
        [
            "dir empty",
            "dir a",
            "dir a/b",
            "file a/b/x.o 1",
            "dir c",
            "dir c/d",
            "file c/d/x.c 1",
            "dir c/e",
            "dir c/e/f",
        ],
    );
}

#[test]
fn no_directory_is_made_in_which_nothing_would_be() {
    for jobs in ["1", "8"] {
        let env = Sandbox::new();
        hollow(&env);

        let line = ["-j", jobs, "--exclude=*.o", "--prune-empty-dirs", "src", "dst"];
        env.pcopy(line).exits(0).stderr_has("copied 4 entries").stderr_has("; 3 excluded");

        assert_eq!(names(&env, "dst"), ["c", "c/d", "c/d/x.c"]);
        env.pcopy([&["--check"], &line[2..4], &["-T", "src", "dst"]].concat()).exits(0);
    }
}

/// Each directory is looked through once, and not once for each directory above.
#[test]
fn empty_directories_of_a_deep_tree_are_found_with_few_calls() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    let mut dir = env.path("src");
    for _ in 0..100 {
        dir.push("d");
        fs::create_dir_all(dir.join("empty")).unwrap();
    }
    fs::write(dir.join("file"), "").unwrap();
    let strace = ["strace", "-f", "-qq", "-o", "calls", "-e", "trace=getdents64"];

    env.run(env.before(&strace, ["-j1", "--prune-empty-dirs", "src", "dst"])).exits(0);

    let calls = fs::read_to_string(env.path("calls")).unwrap().lines().count();
    assert!(calls < 1500, "{calls} calls for 201 directories");
}

#[test]
fn only_takes_what_matches_with_the_directories_above_and_all_below() {
    let env = Sandbox::new();
    hollow(&env);

    env.pcopy(["--only=*.c", "src", "one"]).exits(0);
    env.pcopy(["--only=a", "--only=e/", "--exclude=x.o", "src", "two"]).exits(0);
    env.pcopy(["--only=/c", "src", "three"]).exits(0);

    assert_eq!(names(&env, "one"), ["c", "c/d", "c/d/x.c"]);
    assert!(names(&env, "two").is_empty());
    assert_eq!(names(&env, "three"), ["c", "c/d", "c/d/x.c"]);
}

#[test]
fn with_existing_only_what_the_target_has_is_copied() {
    for jobs in ["1", "8"] {
        let env = Sandbox::new();
        env.tree("src", ["text a new", "file b 1", "dir d", "text d/c new", "dir e", "file e/f 1"]);
        env.tree("dst", ["text a old", "dir d", "text d/c old", "file d/mine 1"]);

        let run = env.pcopy(["-j", jobs, "--existing", "-T", "src", "dst"]);

        run.exits(0).stderr_has("; 2 excluded");
        assert_eq!(names(&env, "dst"), ["a", "d", "d/c", "d/mine"]);
        assert_eq!(fs::read_to_string(env.path("dst/d/c")).unwrap(), "new");
    }
}

#[test]
fn with_existing_a_target_that_does_not_exist_is_not_made() {
    let env = Sandbox::new();
    sizes(&env);

    env.pcopy(["--existing", "src", "dst"]).exits(0).stderr_has("; 1 excluded");

    assert!(!env.path("dst").exists());
}
