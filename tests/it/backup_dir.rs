//! `--backup-dir`: what is replaced or removed is kept elsewhere, under its path relative to DST.

use crate::common::entries::*;
use crate::common::mounts::in_own_mounts;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use crate::selection::names;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

holds_on_every_file_system!(except another_file_system_is_refused);

fn trees(env: &Sandbox) {
    env.tree("src", ["text a new", "dir d", "text d/b newer", "text d/same x", "text kind file"]);
    env.tree("dst", ["text a old", "dir d", "text d/b older", "text d/same x", "text kind/k old"]);
    env.tree("dst", ["text d/extra old", "text gone/x old", "dir gone/empty", "link link a"]);
    for path in ["src/d/same", "dst/d/same", "dst/gone/empty", "dst/gone", "dst/a"] {
        set_times(&env.path(path), (1000, 5), (2000, 6));
    }
    chmod(&env.path("dst/gone"), 0o750);
    chmod(&env.path("dst/d"), 0o711);
}

const KEPT: [&str; 10] =
    ["a", "d", "d/b", "d/extra", "gone", "gone/empty", "gone/x", "kind", "kind/k", "link"];

#[test]
fn what_is_replaced_or_removed_is_moved_there() {
    for jobs in ["-j1", "-j8"] {
        let env = Sandbox::new();
        trees(&env);
        let inodes = ["a", "gone/x", "d/b"].map(|name| inode(env.path("dst").join(name)));

        let run = env.pcopy([jobs, "--delete", "--backup-dir=kept/today", "-T", "src", "dst"]);

        // d/extra, gone with two below, kind with one, link
        run.exits(0).stderr_has("; 7 removed");
        assert_eq!(names(&env, "kept/today"), KEPT);
        env.assert_same("src", "dst");
        for (name, inode_before) in ["a", "gone/x", "d/b"].into_iter().zip(inodes) {
            assert_eq!(inode(env.path("kept/today").join(name)), inode_before, "{name}");
        }
        let stat = |name: &str| {
            let stat = fs::metadata(env.path("kept/today").join(name)).unwrap();
            (stat.mode() & 0o7777, stat.mtime(), stat.mtime_nsec())
        };
        assert_eq!(stat("gone"), (0o750, 2000, 6));
        assert_eq!((stat("gone/empty").1, stat("a").1), (2000, 2000));
        assert_eq!(stat("d").0, 0o711);
        let again = env.pcopy([jobs, "--delete", "--backup-dir=kept/2", "-T", "src", "dst"]);
        again.exits(0).stderr_lacks("removed");
        assert!(!exists(env.path("kept/2")), "nothing was to be kept");
    }
}

#[test]
fn paths_are_relative_to_dst() {
    let env = Sandbox::new();
    trees(&env);
    fs::create_dir(env.path("into")).unwrap();
    fs::rename(env.path("dst"), env.path("into/src")).unwrap();

    env.pcopy(["--delete", "--backup-dir=kept", "src", "into"]).exits(0);

    assert!(exists(env.path("kept/src/a")) && exists(env.path("kept/src/gone/x")));
    env.assert_same("src", "into/src");
}

#[test]
fn no_backup_is_replaced() {
    let env = Sandbox::new();
    trees(&env);
    env.tree("kept", ["text a first", "text a.~1~ second", "text gone file", "text d/b first"]);

    env.pcopy(["--delete", "--backup-dir=kept", "-T", "src", "dst"]).exits(0);

    for (name, text) in [
        ("a", "first"),
        ("a.~1~", "second"),
        ("a.~2~", "old"),
        ("d/b", "first"),
        ("d/b.~1~", "older"),
    ] {
        assert_eq!(fs::read_to_string(env.path("kept").join(name)).unwrap(), text, "{name}");
    }
    assert!(env.path("kept/gone").is_file() && exists(env.path("kept/gone.~1~/x")));
}

#[test]
fn a_suffix_is_added_if_one_is_given() {
    let env = Sandbox::new();
    trees(&env);

    env.pcopy(["--delete", "--backup-dir=kept", "--suffix=.old", "-T", "src", "dst"]).exits(0);

    for name in ["a.old", "d/b.old", "d/extra.old", "gone.old/x"] {
        assert!(exists(env.path("kept").join(name)), "{name}");
    }
}

#[test]
fn without_delete_what_is_replaced_is_kept() {
    for options in [&["-j1"][..], &["-j8", "-a"], &["--inplace"], &["--update=all"]] {
        let env = Sandbox::new();
        trees(&env);
        fs::remove_dir_all(env.path("dst/kind")).unwrap();
        let line = [options, &["--backup-dir=kept", "-T", "src", "dst"]].concat();

        env.pcopy(line).exits(0);

        assert_eq!(fs::read_to_string(env.path("kept/a")).unwrap(), "old", "{options:?}");
        assert_eq!(fs::read_to_string(env.path("kept/d/b")).unwrap(), "older", "{options:?}");
        assert!(exists(env.path("dst/gone/x")) && !exists(env.path("kept/gone")));
    }
}

#[test]
fn what_is_removed_is_printed_as_without_backups() {
    let (one, other) = (Sandbox::new(), Sandbox::new());
    trees(&one);
    trees(&other);
    let sorted = |env: &Sandbox, options: &[&'static str]| {
        let line = [options, &["-v", "--itemize-changes", "--delete", "-T", "src", "dst"]].concat();
        let run = env.pcopy(line);
        let mut lines: Vec<_> = run.exits(0).stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };

    let dry = sorted(&other, &["--dry-run", "--backup-dir=kept"]);
    assert!(!exists(other.path("kept")));
    let kept = sorted(&other, &["--backup-dir=kept"]);
    let plain = sorted(&one, &[]);

    assert_eq!(kept, plain);
    let would = |lines: &[String]| -> Vec<String> {
        lines.iter().map(|line| line.replace("would be removed", "removed")).collect()
    };
    let mut dry = would(&dry);
    dry.sort();
    assert_eq!(dry, plain);
}

#[test]
fn what_a_rule_protects_is_not_moved() {
    let env = Sandbox::new();
    trees(&env);
    env.tree("dst", ["text gone/deep/y.keep mine", "text gone/z old"]);
    let line = ["--delete", "--backup-dir=kept", "--exclude=*.keep", "-T", "src", "dst"];

    env.pcopy(line).exits(0);

    assert!(exists(env.path("dst/gone/deep/y.keep")) && !exists(env.path("dst/gone/x")));
    assert!(exists(env.path("kept/gone/x")) && exists(env.path("kept/gone/empty")));
}

#[test]
fn a_place_where_backups_would_be_removed_or_copied_is_refused() {
    let env = Sandbox::new();
    trees(&env);
    let before = (env.listing("src"), env.listing("dst"));

    for (dir, why) in [
        ("dst/kept", "--delete would remove them from 'dst'"),
        ("dst", "--delete would remove them from 'dst'"),
        ("./dst/d/../kept", "--delete would remove them from 'dst'"),
        ("src/kept", "they would be copied with 'src'"),
    ] {
        let line = ["--delete", "--backup-dir", dir, "-T", "src", "dst"];
        env.pcopy(line).exits(3).stderr_has(why);
        env.pcopy([&["--dry-run"], &line[..]].concat()).exits(3);
    }
    env.tree("", ["text file x"]);
    env.pcopy(["--backup-dir=file/x", "-T", "src", "dst"]).exits(3).stderr_has("file");

    assert!(before == (env.listing("src"), env.listing("dst")));
    fs::remove_dir_all(env.path("dst/kind")).unwrap();
    env.pcopy(["--backup-dir=dst/kept", "-T", "src", "dst"]).exits(0);
    assert!(exists(env.path("dst/kept/a")), "without --delete they may be in the copy");
}

#[test]
fn another_file_system_is_refused() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    trees(&env);
    env.tree("disk", []);
    let disk = env.path("disk");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&disk).status();
    assert!(mounted.unwrap().success());

    let run = env.pcopy(["--delete", "--backup-dir=disk/kept", "-T", "src", "dst"]);

    run.exits(3).stderr_has("it is on another file system than 'dst'");
    assert!(exists(env.path("dst/gone/x")));
}

#[test]
fn delete_needs_a_place_for_backups() {
    let env = Sandbox::new();
    trees(&env);
    for option in ["-b", "--backup", "--backup=numbered", "--suffix=.old"] {
        let run = env.pcopy([option, "--delete", "-T", "src", "dst"]);
        run.exits(2).stderr_has("--backup-dir");
    }
    assert!(exists(env.path("dst/gone/x")));
}
