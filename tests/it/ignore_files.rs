//! Files in a source that say what is left out: `.gitignore`, `--ignore-file`, `--ignore-from`, rsync's files of filter
//! rules in each directory, and tags.

use crate::common::*;
use crate::selection::names;
use std::fs;
use std::os::unix::fs::symlink;

/// A repository: sources, objects, and a nested repository.
fn repository(env: &Sandbox) {
    env.tree(
        "src",
        [
            "dir .git",
            "dir .git/info",
            "text .git/info/exclude secret",
            "file a.c 1",
            "file a.o 1",
            "file keep.o 1",
            "file secret 1",
            "dir build",
            "file build/x.c 1",
            "dir lib",
            "file lib/b.o 1",
            "file lib/local 1",
            "dir lib/build",
            "file lib/build/y 1",
            "dir nested",
            "dir nested/.git",
            "file nested/n.o 1",
            "file nested/secret 1",
        ],
    );
    fs::write(env.path("src/.gitignore"), "*.o\n!keep.o\n/build/\n").unwrap();
    fs::write(env.path("src/lib/.gitignore"), "local\n!b.o\n").unwrap();
}

#[test]
fn what_git_ignores_is_left_out() {
    for jobs in ["1", "8"] {
        let env = Sandbox::new();
        repository(&env);

        let run = env.pcopy(["-j", jobs, "--gitignore", "--exclude=.git", "src", "dst"]);

        run.exits(0).stderr_has("; 6 excluded");
        let expected = [
            ".gitignore",
            "a.c",
            "keep.o",
            "lib",
            "lib/.gitignore",
            "lib/b.o",
            "lib/build",
            "lib/build/y",
            "nested",
            "nested/n.o",
            "nested/secret",
        ];
        assert_eq!(names(&env, "dst"), expected);
    }
}

#[test]
fn without_a_repository_gitignore_holds_too() {
    let env = Sandbox::new();
    env.tree("src", ["text .gitignore *.o", "file a.o 1", "file a.c 1"]);

    env.pcopy(["--gitignore", "src", "dst"]).exits(0);

    assert_eq!(names(&env, "dst"), [".gitignore", "a.c"]);
}

#[test]
fn a_gitignore_above_the_source_or_behind_a_symlink_has_no_influence() {
    let env = Sandbox::new();
    env.tree("", ["text .gitignore *.o", "dir src", "file src/a.o 1"]);
    symlink("../.gitignore", env.path("src/.gitignore")).unwrap();

    env.pcopy(["--gitignore", "src", "dst"]).exits(0);

    assert_eq!(names(&env, "dst"), [".gitignore", "a.o"]);
}

#[test]
fn a_rule_of_the_command_line_comes_before_an_ignore_file() {
    let env = Sandbox::new();
    repository(&env);

    env.pcopy(["--gitignore", "--include=/a.o", "--exclude=*.c", "src", "dst"]).exits(0);

    let names = names(&env, "dst");
    assert!(names.contains(&"a.o".to_owned()) && !names.contains(&"a.c".to_owned()), "{names:?}");
}

#[test]
fn ignore_files_may_have_any_name_and_nested_repositories_do_not_end_them() {
    let env = Sandbox::new();
    repository(&env);
    fs::write(env.path("src/.backupignore"), "secret\n").unwrap();
    fs::write(env.path("src/lib/.backupignore"), "!secret\nbuild\n").unwrap();
    fs::write(env.path("src/lib/secret"), "").unwrap();

    env.pcopy(["--ignore-file=.backupignore", "--exclude=.git", "src", "dst"]).exits(0);

    let names = names(&env, "dst");
    let has = |name: &str| names.contains(&name.to_owned());
    assert!(!has("secret") && !has("nested/secret") && !has("lib/build"), "{names:?}");
    assert!(has("lib/secret") && has("a.o"), "{names:?}");
}

#[test]
fn an_ignore_file_outside_of_the_source_has_the_least_power() {
    let env = Sandbox::new();
    repository(&env);
    fs::write(env.path("rules"), "*.c\nkeep.o\n/nested/\n").unwrap();
    fs::write(env.path("more"), "!a.c\n").unwrap();

    env.pcopy(["--gitignore", "--ignore-from=rules", "--ignore-from=more", "src", "dst"]).exits(0);

    let names = names(&env, "dst");
    let has = |name: &str| names.contains(&name.to_owned());
    assert!(has("keep.o") && has("a.c") && !has("nested"), "{names:?}");
}

#[test]
fn a_comparison_knows_what_is_ignored_on_both_sides() {
    let env = Sandbox::new();
    repository(&env);
    env.pcopy(["--gitignore", "src", "dst"]).exits(0);
    fs::write(env.path("dst/lib/mine.o"), "").unwrap();
    fs::write(env.path("dst/lib/mine.c"), "").unwrap();

    let run = env.pcopy(["--no-preserve=timestamps", "--gitignore", "--check", "-T", "src", "dst"]);

    run.exits(6).stdout_is("extraneous: 'dst/lib/mine.c'\n");
}

#[test]
fn filter_rules_in_a_directory_hold_for_it_and_below() {
    for jobs in ["1", "8"] {
        let env = Sandbox::new();
        env.tree(
            "src",
            [
                "text .rules - *.o",
                "file a.o 1",
                "dir d",
                "text d/.rules + /keep.o",
                "file d/keep.o 1",
                "file d/b.o 1",
                "dir d/e",
                "file d/e/keep.o 1",
                "dir f",
                "text f/.rules !",
                "file f/c.o 1",
            ],
        );

        let line = ["-j", jobs, "--filter=: .rules", "--exclude=.rules", "src", "dst"];
        env.pcopy(line).exits(0);

        assert_eq!(names(&env, "dst"), ["d", "d/e", "d/keep.o", "f", "f/c.o"]);
    }
}

#[test]
fn rules_before_those_of_the_directories_win_and_rules_after_lose() {
    let env = Sandbox::new();
    env.tree("src", ["text .rules + *.c", "file a.c 1", "file b.c 1", "file c.o 1"]);

    env.pcopy(["--exclude=a.c", "--filter=dir-merge .rules", "--exclude=*", "src", "dst"]).exits(0);

    assert_eq!(names(&env, "dst"), ["b.c"]);
}

#[test]
fn a_file_with_a_line_that_is_no_rule_is_a_failure() {
    let env = Sandbox::new();
    env.tree("src", ["text .rules x", "file a.c 1"]);

    let run = env.pcopy(["--filter=: .rules", "src", "dst"]);

    run.exits(1).stderr_has("'src/.rules' is not copied, and its rules do not hold");
    assert_eq!(names(&env, "dst"), ["a.c"]);
}

/// A cache with its tag, and a directory that has another file of that name.
fn caches(env: &Sandbox) {
    env.tree(
        "src",
        [
            "dir cache",
            "file cache/a 1",
            "dir cache/b",
            "file cache/b/c 1",
            "dir no-cache",
            "text no-cache/CACHEDIR.TAG Signature",
            "file no-cache/a 1",
        ],
    );
    let tag = "Signature: 8a477f597d28d172789f06886806bc55\n# a cache\n";
    fs::write(env.path("src/cache/CACHEDIR.TAG"), tag).unwrap();
}

#[test]
fn of_a_cache_only_the_tag_is_copied() {
    let env = Sandbox::new();
    caches(&env);

    env.pcopy(["--exclude-caches", "src", "dst"]).exits(0).stderr_has("; 2 excluded");

    let expected =
        ["cache", "cache/CACHEDIR.TAG", "no-cache", "no-cache/CACHEDIR.TAG", "no-cache/a"];
    assert_eq!(names(&env, "dst"), expected);
}

#[test]
fn of_a_directory_with_a_named_entry_only_that_entry_is_copied() {
    let env = Sandbox::new();
    env.tree(
        "src",
        ["file .nobackup 1", "dir a", "dir a/.nobackup", "file a/b 1", "dir c", "file c/d 1"],
    );

    env.pcopy(["--exclude-if-present=.nobackup", "src", "dst"]).exits(0);

    // SRC itself is copied.
    assert_eq!(names(&env, "dst"), [".nobackup", "a", "a/.nobackup", "c", "c/d"]);
}

#[test]
fn an_include_saves_an_entry_of_a_cache() {
    let env = Sandbox::new();
    caches(&env);

    env.pcopy(["--exclude-caches", "--include=/cache/a", "src", "dst"]).exits(0);

    assert!(env.path("dst/cache/a").exists() && !env.path("dst/cache/b").exists());
}

#[test]
fn the_files_of_version_control_are_left_out() {
    let env = Sandbox::new();
    repository(&env);
    env.tree("src", ["dir .svn", "dir CVS", "dir .hg", "file core 1"]);

    env.pcopy(["--exclude-vcs", "src", "dst"]).exits(0);

    let names = names(&env, "dst");
    let is_left = |name: &str| names.iter().any(|found| found.ends_with(name));
    assert!([".git", ".gitignore", ".svn", "CVS", ".hg"].iter().all(|name| !is_left(name)));
    assert!(is_left("core") && is_left("a.c"), "{names:?}");
}
