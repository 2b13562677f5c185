//! `--link`, `--symbolic-link` and `--attributes-only` work as in cp.

use crate::common::entries::*;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

holds_on_every_file_system!();

fn planted() -> Sandbox {
    let env = Sandbox::new();
    env.tree(
        "src",
        ["file a 10", "file sub/b 20", "link l a", "link dangling x", "fifo p", "dir empty"],
    );
    chmod(&env.path("src/a"), 0o604);
    chmod(&env.path("src/sub"), 0o711);
    env
}

/// Lists entries with their inodes, which show hard links.
fn inodes(env: &Sandbox, root: &str) -> BTreeMap<PathBuf, (Entry, Option<u64>)> {
    let inode = |path: &PathBuf| {
        let place = env.path(root).join(path);
        (!place.is_dir() || place.is_symlink()).then(|| fs::symlink_metadata(&place).unwrap().ino())
    };
    env.listing(root)
        .into_iter()
        .map(|(path, entry)| (path.clone(), (entry, inode(&path))))
        .collect()
}

fn cp(env: &Sandbox, arguments: &[&str]) -> i32 {
    let output = Command::new("cp").args(arguments).current_dir(env.path("")).output().unwrap();
    output.status.code().unwrap()
}

each_jobs!(hard_links_instead_of_copies_are_those_of_cp, 1, 2, 8);
fn hard_links_instead_of_copies_are_those_of_cp(jobs: &str) {
    let env = planted();
    fs::remove_file(env.path("src/dangling")).unwrap();
    for options in [&["-l"][..], &["-l", "-P"], &["-l", "-d"], &["-l", "-H"], &["-a", "-l"]] {
        assert_eq!(cp(&env, &[&["-rpT"][..], options, &["src", "cp"]].concat()), 0);
        env.pcopy([&["-T", "-j", jobs][..], options, &["src", "dst"]].concat()).exits(0);

        assert_eq!(inodes(&env, "dst"), inodes(&env, "cp"), "{options:?}");
        let again = env.pcopy([&["-T", "-j", jobs][..], options, &["src", "dst"]].concat());
        again.exits(0).stderr_has("copied 0 entries");
        fs::remove_dir_all(env.path("dst")).unwrap();
        fs::remove_dir_all(env.path("cp")).unwrap();
    }
}

each_jobs!(symlinks_instead_of_copies_are_those_of_cp, 1, 2, 8);
fn symlinks_instead_of_copies_are_those_of_cp(jobs: &str) {
    let env = planted();
    let source = env.path("src");
    let source = source.to_str().unwrap();
    assert_eq!(cp(&env, &["-rsT", source, "cp"]), 0);
    let texts = |root: &str| -> BTreeMap<PathBuf, Vec<u8>> {
        env.listing(root).into_iter().map(|(path, entry)| (path, entry.what)).collect()
    };
    env.pcopy(["-s", "-T", "-j", jobs, source, "dst"]).exits(0);

    assert_eq!(texts("dst"), texts("cp"));
    env.pcopy(["-s", "-T", source, "dst"]).exits(0).stderr_has("copied 0 entries");
    env.pcopy(["-s", "src/a", "here"]).exits(0);
    assert_eq!(fs::read_link(env.path("here")).unwrap(), PathBuf::from("src/a"));
}

#[test]
fn a_relative_symlink_that_would_dangle_is_refused() {
    let env = planted();
    env.tree("", ["dir into"]);

    for arguments in
        [&["-s", "src", "dst"][..], &["-s", "src/a", "into"], &["-s", "-t", "into", "src/a"]]
    {
        let run = env.pcopy(arguments);

        run.exits(3).stderr_has("can make relative symbolic links only in current directory");
    }
    assert!(!exists(env.path("dst")) && !exists(env.path("into/a")));
}

#[test]
fn a_link_replaces_a_file_only_on_request() {
    for (options, code, replaced) in [
        (&["-lP"][..], 1, false),
        (&["-lP", "-n"], 0, false),
        (&["-lP", "-f"], 0, true),
        (&["-lP", "--remove-destination"], 0, true),
        (&["-lP", "-b"], 0, true),
        (&["-s"], 1, false),
        (&["-s", "-f"], 0, true),
        (&["-s", "-n"], 0, false),
        (&["-s", "-b"], 0, true),
    ] {
        let env = planted();
        let source = env.path("src");
        let source = source.to_str().unwrap();
        env.tree("dst", ["text a old"]).tree("cp", ["text a old"]);
        let theirs = cp(&env, &[&["-rT"][..], options, &[source, "cp"]].concat());
        assert_eq!(theirs, code, "cp {options:?}");

        let run = env.pcopy([&["-T"][..], options, &[source, "dst"]].concat());

        run.exits(code);
        let is_old = |root: &str| fs::read(env.path(root).join("a")).unwrap() == b"old";
        assert_eq!((is_old("dst"), is_old("cp")), (!replaced, !replaced), "{}", run.story());
        assert_eq!(exists(env.path("dst/a~")), options.contains(&"-b"));
        assert!(exists(env.path("dst/sub/b")), "the rest was not linked");
        if code == 1 {
            run.stderr_has("cannot create 'dst/a': File exists");
        }
        env.assert_nothing_staged();
    }
}

each_jobs!(attributes_only_copies_no_contents, 1, 8);
fn attributes_only_copies_no_contents(jobs: &str) {
    let env = planted();
    env.tree("dst", ["text a kept"]);
    chmod(&env.path("dst/a"), 0o600);
    env.tree("cp", ["text a kept"]);
    assert_eq!(cp(&env, &["-rpT", "--attributes-only", "src", "cp"]), 0);

    env.pcopy(["--attributes-only", "-p", "-T", "-j", jobs, "src", "dst"]).exits(0);

    assert_eq!(differences(&env.listing("cp"), &env.listing("dst")), "");
    assert_eq!(fs::read(env.path("dst/a")).unwrap(), b"kept");
    assert_eq!(fs::read(env.path("dst/sub/b")).unwrap(), b"");
    env.pcopy(["--attributes-only", "src", "new"]).exits(0);
    assert_eq!(fs::metadata(env.path("new/sub/b")).unwrap().len(), 0);
    env.pcopy(["-T", "src", "new"]).exits(0); // they do not count as up to date
    env.assert_same("src", "new");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let env = planted();
    for wrong in
        [["-l", "-s"], ["-l", "--attributes-only"], ["--attributes-only", "-s"], ["-n", "-b"]]
    {
        env.pcopy([&wrong[..], &["src", "dst"]].concat()).exits(2);
    }
}

#[test]
fn leftover_links_do_not_count_as_a_copy() {
    let env = planted();
    env.tree("", ["dir .dst.pcopy-partial"]);
    fs::hard_link(env.path("src/a"), env.path(".dst.pcopy-partial/a")).unwrap();

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
    assert_ne!(inode(env.path("src/a")), inode(env.path("dst/a")));
}

#[test]
fn a_symlink_that_a_killed_run_just_made_gets_its_time() {
    let env = planted();
    let source = env.path("src");
    env.tree("dst", []);
    std::os::unix::fs::symlink(source.join("a"), env.path("dst/a")).unwrap();

    env.pcopy(["-s", "-T", source.to_str().unwrap(), "dst"]).exits(0);

    assert_eq!(modified(env.path("dst/a")), modified(source.join("a")));
}
