//! Copying the names of a list: `--files-from`. And what `--explain` says.

use crate::common::*;
use crate::selection::names;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

fn tree(env: &Sandbox) {
    env.tree(
        "src",
        [
            "file a 1",
            "file b 1",
            "dir d",
            "file d/c 1",
            "file d/e 1",
            "dir d/f",
            "file d/f/g 1",
            "file d/f/h.o 1",
        ],
    );
}

#[test]
fn only_listed_names_are_copied_with_the_directories_above() {
    for jobs in ["1", "8"] {
        let env = Sandbox::new();
        tree(&env);
        fs::write(env.path("list"), "d/f/g\n# comment\n\na\na\n./d//c\n").unwrap();

        let run = env.pcopy(["-j", jobs, "--files-from=list", "src", "dst"]);

        run.exits(0).stderr_has("copied 6 entries").stderr_lacks("excluded");
        assert_eq!(names(&env, "dst"), ["a", "d", "d/c", "d/f", "d/f/g"]);
    }
}

#[test]
fn a_slash_takes_all_that_is_in_a_directory() {
    let env = Sandbox::new();
    tree(&env);
    for (list, expected) in [
        ("d", &["d"][..]),
        ("d/", &["d", "d/c", "d/e", "d/f", "d/f/g", "d/f/h.o"]),
        ("d\nd/", &["d", "d/c", "d/e", "d/f", "d/f/g", "d/f/h.o"]),
        (".", &[]),
        ("./", &["a", "b", "d", "d/c", "d/e", "d/f", "d/f/g", "d/f/h.o"]),
    ] {
        fs::write(env.path("list"), list).unwrap();

        env.pcopy(["--files-from=list", "src", "dst"]).exits(0);

        assert_eq!(names(&env, "dst"), expected, "{list}");
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

#[test]
fn rules_are_for_what_is_listed_with_a_slash() {
    let env = Sandbox::new();
    tree(&env);
    fs::write(env.path("list"), "a\nd/f/\n").unwrap();

    env.pcopy(["--files-from=list", "--exclude=*.o", "--exclude=a", "src", "dst"]).exits(0);

    assert_eq!(names(&env, "dst"), ["a", "d", "d/f", "d/f/g"]);
}

#[test]
fn the_output_of_find_is_a_list() {
    let env = Sandbox::new();
    tree(&env);
    for (source, target) in [("src", "one"), ("./src", "two"), ("src/.", "three")] {
        let found = Command::new("find")
            .args([source, "-name", "[gc]", "-print0"])
            .current_dir(env.path(""))
            .output()
            .unwrap();
        let mut command = env.command(["-0", "--files-from=-", "-T", source, target]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&found.stdout).unwrap();

        assert!(child.wait().unwrap().success());

        assert_eq!(names(&env, target), ["d", "d/c", "d/f", "d/f/g"], "{source}");
    }
}

#[test]
fn a_listed_name_that_does_not_exist_is_a_failure_unless_accepted() {
    let env = Sandbox::new();
    tree(&env);
    fs::write(env.path("list"), "a\nd/none\n").unwrap();

    let run = env.pcopy(["--files-from=list", "src", "dst"]);
    run.exits(1).stderr_has("cannot copy 'src/d/none': it is in --files-from and does not exist");
    assert_eq!(names(&env, "dst"), ["a", "d"]);

    env.pcopy(["--files-from=list", "--ignore-missing", "-T", "src", "dst"]).exits(0);
}

#[test]
fn a_name_that_leads_out_of_the_source_is_refused_with_its_line() {
    let env = Sandbox::new();
    tree(&env);
    for (name, why) in
        [("../x", "'..' may lead out of SRC"), ("/etc/passwd", "does not begin with SRC")]
    {
        fs::write(env.path("list"), format!("a\n{name}\n")).unwrap();

        let run = env.pcopy(["--files-from=list", "src", "dst"]);

        run.exits(2).stderr_has(&format!("list:2: invalid path '{name}': ")).stderr_has(why);
        assert!(!env.path("dst").exists());
    }
}

#[test]
fn a_list_needs_one_directory() {
    let env = Sandbox::new();
    tree(&env);
    fs::write(env.path("list"), "a\n").unwrap();
    env.tree("dst", []);

    for sources in [&["src/a"][..], &["src", "src/d"], &["none"]] {
        let line = [&["--files-from=list"], sources, &["dst"]].concat();
        env.pcopy(line).exits(2).stderr_has("needs a directory as the only SRC");
    }
    env.pcopy(["--files-from=nothing", "src", "dst"])
        .exits(2)
        .stderr_has("cannot read the names in 'nothing': No such file or directory");
}

#[test]
fn what_is_not_listed_is_not_extraneous() {
    let env = Sandbox::new();
    tree(&env);
    env.pcopy(["src", "dst"]).exits(0);
    fs::write(env.path("dst/mine"), "").unwrap();
    fs::write(env.path("dst/d/f/mine"), "").unwrap();
    fs::remove_file(env.path("src/a")).unwrap();
    fs::write(env.path("list"), "a\nd/f/\n").unwrap();

    let line = ["--check", "--no-preserve=timestamps", "--files-from=list", "--ignore-missing"];
    let run = env.pcopy([&line[..], &["-T", "src", "dst"]].concat());

    run.exits(6).stdout_is("extraneous: 'dst/a'\nextraneous: 'dst/d/f/mine'\n");
}

#[test]
fn it_is_explained_which_rule_decides() {
    let env = Sandbox::new();
    tree(&env);
    fs::write(env.path("src/d/.gitignore"), "f\n!g\n").unwrap();
    fs::write(env.path("rules"), "\n*.o\n").unwrap();
    let explain = |path: &str, options: &[&str]| {
        env.run(env.command([options, &["--explain", path, "src"]].concat()))
    };

    explain("a", &[]).exits(0).stdout_is("taken: a: no rule\n");
    let below = explain("src/d/f/g", &["--gitignore"]);
    below.exits(1).stdout_is("taken: d: no rule\nexcluded: d/f: d/.gitignore:1: f\n");
    let other = explain("x/y.o", &["--include=/x/", "--exclude-from=rules"]);
    other.exits(1).stdout_is("taken: x: --include=/x/\nexcluded: x/y.o: rules:2: - *.o\n");
    explain("d/c", &["--max-depth=1"])
        .exits(1)
        .stdout_is("taken: d: no rule\nexcluded: d/c: --max-depth\n");
    explain("../x", &[]).exits(2).stderr_has("'..' may lead out of SRC");
    assert!(!env.path("src-copy").exists());
}

#[test]
fn a_listed_name_that_the_source_does_not_have_is_removed_with_delete() {
    for jobs in ["-j1", "-j8"] {
        let env = Sandbox::new();
        env.tree("src", ["file a 1", "file d/b 1", "file d/new 1", "file other 1", "dir whole"]);
        env.tree(
            "dst",
            ["file gone 1", "file a 1", "file d/old 1", "file d/mine 1", "file mine 1"],
        );
        env.tree("dst", ["file whole/y/z 1"]);
        fs::write(env.path("list"), "a\nd/old\nd/new\ngone\nwhole/\nnowhere\n").unwrap();

        let run = env.pcopy([jobs, "--delete", "--files-from=list", "-T", "src", "dst"]);

        run.exits(0).stderr_has("; 4 removed");
        let left = ["a", "d", "d/mine", "d/new", "mine", "whole"];
        assert_eq!(names(&env, "dst"), left);
    }
}
