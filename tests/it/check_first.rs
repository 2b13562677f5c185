//! `--check-first` and `--delete-before`: the run looks what it would do before it begins.

use crate::common::entries::*;
use crate::common::images::{EXT4, mounted_of};
use crate::common::mounts::in_own_mounts;
use crate::common::*;
use crate::selection::names;
use std::fs;

fn trees(env: &Sandbox) {
    env.tree("src", ["file a 10", "dir d", "file d/b 10", "dir new", "file new/c 5"]);
    env.tree("dst", ["file a 9", "dir d", "file d/b 10", "file d/old 20", "file old/x 30"]);
    fs::hard_link(env.path("src/a"), env.path("src/d/a2")).unwrap();
}

#[test]
fn a_run_that_has_looked_first_does_the_same() {
    for options in [&["--check-first"][..], &["--check-first", "--delete"], &["--delete-before"]] {
        for jobs in ["-j1", "-j8"] {
            let (one, other) = (Sandbox::new(), Sandbox::new());
            trees(&one);
            trees(&other);
            let line = |options: &[&'static str]| {
                [options, &[jobs, "-v", "--itemize-changes", "-T", "src", "dst"]].concat()
            };
            let plain: &[_] = if options == ["--check-first"] { &[] } else { &["--delete"] };

            let expected = one.pcopy(line(plain));
            let run = other.pcopy(line(options));

            let sorted = |text: &str| {
                let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
                lines.sort();
                lines
            };
            run.exits(0);
            assert_eq!(sorted(&run.stdout), sorted(&expected.stdout), "{options:?} {jobs}");
            let counts = |text: &str| text.split_once("; ").map(|(_, counts)| counts.to_owned());
            assert_eq!(counts(&run.stderr), counts(&expected.stderr), "{options:?} {jobs}");
            assert!(one.listing("dst").keys().eq(other.listing("dst").keys()), "{options:?}");
            assert_eq!(inode(other.path("dst/a")), inode(other.path("dst/d/a2")));
        }
    }
}

#[test]
fn what_is_extraneous_goes_before_anything_is_copied() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    trees(&env);
    let calls =
        ["strace", "-f", "-qq", "-o", "calls", "-e", "trace=unlinkat,mkdirat,renameat,renameat2"];
    let line = ["-j1", "--delete-before", "-T", "src", "dst"];

    env.run(env.before(&calls, line)).exits(0);

    let text = fs::read_to_string(env.path("calls")).unwrap();
    let at = |what: &str| text.lines().position(|line| line.contains(what) && line.contains("= 0"));
    let (file, dir, created) = (at("\"x\""), at("\"old\", AT_REMOVEDIR"), at("mkdirat("));
    assert!(file.is_some() && file < dir && dir < created, "{text}");
    env.assert_same("src", "dst");
}

#[test]
fn a_target_of_another_type_goes_before_and_the_source_is_copied() {
    for jobs in ["-j1", "-j8"] {
        let env = Sandbox::new();
        env.tree("src", ["file x 10", "file d/y 5"]).tree("dst", ["file x/a/b 1", "file d 1"]);

        env.pcopy([jobs, "--delete-before", "-T", "src", "dst"]).exits(0).stderr_has("; 4 removed");

        env.assert_same("src", "dst");
    }
}

#[test]
fn too_many_removals_end_the_run_before_it_begins() {
    for options in [&["--check-first", "--delete"][..], &["--delete-before"]] {
        let env = Sandbox::new();
        trees(&env);
        let before = env.listing("dst");
        let line = [options, &["--max-delete=2", "-T", "src", "dst"]].concat();

        let run = env.pcopy(&line);

        run.exits(25).stderr_has("nothing was removed: 3 of ");
        run.stderr_has("looked first, and copied nothing: ");
        assert!(before == env.listing("dst"), "{options:?}");
        assert!(!exists(env.path(".dst.pcopy-partial")));
    }
}

#[test]
fn a_source_that_cannot_be_read_removes_nothing_before() {
    for jobs in ["-j1", "-j8"] {
        let env = Sandbox::new();
        trees(&env);
        chmod(&env.path("src/d"), 0);

        let run = env.plain_pcopy([jobs, "--delete-before", "-T", "src", "dst"]);

        run.exits(1).stderr_has("nothing was removed from 'dst': a part of 'src'");
        let of_d = run.stderr.lines().filter(|line| line.contains("'src/d'")).count();
        assert_eq!(of_d, 1, "{}", run.story());
        assert!(exists(env.path("dst/old/x")) && exists(env.path("dst/new/c")));
        chmod(&env.path("src/d"), 0o755);
    }
}

#[test]
fn a_target_without_room_is_not_begun() {
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
    let before = env.listing("at");

    let line = ["--check-first", "--parents", "src", "at"];
    env.pcopy(line).exits(2);
    let run = env.pcopy(["--check-first", "src", "at/dst"]);

    run.exits(11).stderr_has("looked first, and copied nothing: 201 entries");
    assert!(before == env.listing("at"));

    // What is replaced makes room.
    fs::remove_dir_all(env.path("src")).unwrap();
    env.tree("src", ["file large 9M"]);
    env.pcopy(["src", "at/dst"]).exits(0);
    fs::write(env.path("at/dst/large"), vec![1; 10 << 20]).unwrap();
    env.pcopy(["--check-first", "--inplace", "-T", "src", "at/dst"]).exits(0);
    mounted.detach();
}

#[test]
fn short_files_need_whole_blocks() {
    let env = Sandbox::new();
    if !in_own_mounts!() {
        return;
    }
    let make = &["mkfs.ext4", "-q", "-F", "-b", "4096"];
    let mounted = match mounted_of(&env, "at", make, 16 << 20) {
        Ok(mounted) => mounted,
        Err(why) => return skip!(&why),
    };
    env.many("src", 3900, 300); // they have less than a megabyte

    for line in [&["--dry-run"][..], &["--check-first"]] {
        let run = env.pcopy([line, &["src", "at/dst"]].concat());
        run.exits(11).stderr_has("at/dst");
    }
    assert!(!names(&env, "at").contains(&"dst".to_owned()));
    mounted.detach();
}
