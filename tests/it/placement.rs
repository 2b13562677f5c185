//! Where the copy goes: as with GNU `cp -r`, and next to the source if SRC is the only operand.

use crate::common::entries::{chmod, exists, mode_of, modified, set_times};
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

holds_on_every_file_system!();

/// Plants the tree from which each command line starts. The tests do not compare times and modes, because
/// `cp -r` preserves neither.
fn lay_out(env: &Sandbox, root: &str) {
    env.tree(
        root,
        [
            "text src/a of-src",
            "text src/sub/b of-src/sub",
            "dir src/empty",
            "link src/l a",
            "fifo src/p",
            "text other/a of-other",
            "text other/c of-other",
            "text other/sub/d of-other",
            "dir dir",
            "text full/a of-full",
            "text full/keep of-full",
            "text full/src/a of-full/src",
            "text full/src/keep of-full/src",
            "text full/src/sub/keep of-full/src/sub",
            "text blocked/src not-a-directory",
            "dir blocked/file",
            "text file of-file",
            "text file2 of-file2",
            "link to-src src",
            "link to-dir dir",
            "link to-full full",
            "link to-file file",
            "link dangling nowhere",
            "fifo fifo",
            "text deep/x/y/z/leaf of-leaf",
            "link dir-link/inside ../src",
            "link to-blocked blocked",
        ],
    );
}

/// Returns the names, types and contents of a tree.
fn shape(path: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let entries = listing(path).into_iter();
    entries.map(|(path, entry)| (path, (entry.mode & 0o170_000, entry.what))).collect()
}

/// Runs `cp -r` and `pcopy` with the same arguments on the same tree, both in its subdirectory `working`.
/// Returns what differs.
fn compare(row: usize, working: &str, arguments: &[&str]) -> Option<String> {
    let env = Sandbox::new();
    let roots = [format!("{row}-cp"), format!("{row}-pcopy")];
    let mut ends = Vec::new();
    for root in &roots {
        lay_out(&env, root);
        let mut command = if root.ends_with("pcopy") {
            env.command(arguments)
        } else {
            let mut cp = Command::new("cp");
            cp.arg("-r").args(arguments);
            cp
        };
        command.current_dir(env.path(root).join(working));
        let run = env.run(command);
        ends.push((run.status.code(), run.stderr.clone()));
    }
    let [cp, pcopy] = roots.map(|root| shape(&env.path(root)));
    let both_succeeded = ends.iter().all(|(code, _)| *code == Some(0));
    let both_failed = ends[0].0 == Some(1) && matches!(ends[1].0, Some(1 | 3));
    if cp == pcopy && (both_succeeded || both_failed) {
        return None;
    }
    let missing: Vec<_> = cp.iter().filter(|&(key, value)| pcopy.get(key) != Some(value)).collect();
    let extra: Vec<_> = pcopy.iter().filter(|&(key, value)| cp.get(key) != Some(value)).collect();
    Some(format!(
        "{arguments:?} in '{working}':\n  cp    {:?}\n  pcopy {:?}\n  only cp: {missing:?}\n  only pcopy: {extra:?}\n",
        ends[0], ends[1]
    ))
}

#[track_caller]
fn all_as_cp(working: &str, rows: &[&[&str]]) {
    let wrong: String =
        rows.iter().enumerate().filter_map(|(row, line)| compare(row, working, line)).collect();
    assert!(wrong.is_empty(), "not as cp -r:\n{wrong}");
}

#[test]
fn one_directory_goes_where_cp_puts_it() {
    all_as_cp(
        "",
        &[
            &["src", "new"],
            &["src", "new/"],
            &["src", "./new"],
            &["src", "dir/new"],
            &["src", "dir"],
            &["src", "dir/"],
            &["src", "dir/."],
            &["src", "dir/.."],
            &["src", "full"],
            &["src", "full/"],
            &["src", "blocked"],
            &["src", "file"],
            &["src", "file/"],
            &["src", "fifo"],
            &["src", "missing/new"],
            &["src", "missing/new/"],
            &["src", "file/new"],
            &["src", "to-dir"],
            &["src", "to-dir/"],
            &["src", "to-dir/."],
            &["src", "to-dir/new"],
            &["src", "to-full"],
            &["src", "to-file"],
            &["src", "to-blocked"],
            &["src", "dangling"],
            &["src", "dangling/"],
            &["src", "deep/x"],
            &["src/", "new"],
            &["src//", "new"],
            &["src/", "dir"],
            &["src///", "dir///"],
            &["./src", "dir"],
            &["deep/../src", "dir"],
            &["src/sub/..", "new"],
            &["src/sub/..", "dir"],
            &["deep/x", "dir"],
            &["deep/x/y/", "dir"],
            &["deep/x/y/z", "dir"],
            &["missing", "new"],
            &["missing", "dir"],
            &["missing/", "dir"],
        ],
    );
}

#[test]
fn the_contents_of_a_directory_go_where_cp_puts_them() {
    all_as_cp(
        "",
        &[
            &["src/.", "new"],
            &["src/.", "new/"],
            &["src/.", "dir"],
            &["src/.", "full"],
            &["src/.", "full/."],
            &["src/./", "dir"],
            &["src/.//", "new"],
            &["src/.", "to-dir"],
            &["src/.", "file"],
            &["src/.", "missing/new"],
            &["to-src/.", "new"],
            &["to-src/.", "dir"],
            &["src/.", "other/.", "dir"],
            &["src/.", "other", "dir"],
            &["src/.", "file", "dir"],
            &["-T", "src/.", "dir"],
            &["-T", "src/.", "full"],
            &["-t", "dir", "src/."],
        ],
    );
}

#[test]
fn the_parent_directory_goes_where_cp_puts_it() {
    all_as_cp(
        "src/sub",
        &[
            &["..", "../../new"],
            &["..", "../../dir"],
            &["../", "../../dir"],
            &["../.", "../../dir"],
            &[".", "../../new"],
            &[".", "../../dir"],
            &["./", "../../dir"],
            &[".", "../../full"],
            &["..", "-t", "../../full"],
            &["-T", "..", "../../full"],
            &["../../other", "."],
            &["../../other", "./"],
            &["../../other", ".."],
            &["../../other/.", "."],
            &["../../file", "."],
            &["../../file", ".."],
            &["../../file", "../"],
        ],
    );
}

#[test]
fn with_no_target_directory_the_target_is_taken_as_by_cp() {
    all_as_cp(
        "",
        &[
            &["-T", "src", "new"],
            &["-T", "src", "new/"],
            &["-T", "src", "dir"],
            &["-T", "src", "dir/"],
            &["-T", "src", "full"],
            &["-T", "src/", "full/"],
            &["-T", "src", "file"],
            &["-T", "src", "to-dir"],
            &["-T", "src", "to-dir/"],
            &["-T", "src", "dangling"],
            &["-T", "file", "new"],
            &["-T", "file", "file2"],
            &["-T", "file", "dir"],
            &["-T", "file", "full"],
            &["-T", "other", "src"],
        ],
    );
}

#[test]
fn several_sources_go_where_cp_puts_them() {
    all_as_cp(
        "",
        &[
            &["src", "other", "dir"],
            &["src", "other", "file", "dir/"],
            &["src", "other", "full"],
            &["src/", "other/", "to-dir"],
            &["src", "other", "new"],
            &["src", "other", "file"],
            &["file", "file2", "src", "full"],
            &["file", "file2", "to-src", "dangling", "fifo", "dir"],
            &["src", "src/sub", "src/a", "dir"],
            &["src", "file", "blocked"],
            &["-t", "dir", "src", "other"],
            &["src", "other", "-t", "dir"],
            &["src", "-t", "dir/", "other"],
            &["--target-directory=dir", "src", "other"],
            &["--target-directory", "to-dir", "src", "file"],
            &["-t", "dir", "src"],
            &["-t", "full", "src"],
            &["-t", "missing", "src"],
            &["-t", "file", "src"],
            &["-t", "missing", "src", "file"],
            &["--no-target-directory", "src", "full"],
        ],
    );
}

#[test]
fn a_single_file_goes_where_cp_puts_it() {
    all_as_cp(
        "",
        &[
            &["file", "new"],
            &["file", "new/"],
            &["file", "dir"],
            &["file", "dir/"],
            &["file", "dir/new"],
            &["file", "file2"],
            &["file", "file2/"],
            &["file/", "new"],
            &["file/.", "new"],
            &["file", "to-dir"],
            &["file", "to-dir/"],
            &["file", "missing/new"],
            &["file", "blocked"],
            &["src/a", "full"],
            &["src/a", "full/a"],
            &["src/a", "full/src"],
            &["fifo", "new"],
            &["fifo", "dir"],
            &["fifo", "dir/new"],
        ],
    );
}

#[test]
fn a_symlink_operand_is_taken_as_by_cp() {
    all_as_cp(
        "",
        &[
            &["to-src", "new"],
            &["to-src", "dir"],
            &["to-src/", "new"],
            &["to-src/", "dir"],
            &["to-src/", "full"],
            &["to-src/.", "full"],
            &["to-src/sub", "dir"],
            &["to-src/a", "dir"],
            &["to-file", "new"],
            &["to-file", "dir"],
            &["to-file/", "new"],
            &["dangling", "new"],
            &["dangling", "dir"],
            &["dangling/", "new"],
            &["dir-link/inside", "new"],
            &["dir-link/inside/", "dir"],
            &["dir-link", "dir"],
            &["-T", "to-src/", "dir"],
            &["-t", "dir", "to-src", "to-file"],
            &["-t", "dir", "to-src/", "to-file"],
        ],
    );
}

#[test]
fn a_path_may_be_absolute() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]).tree("dst", []);
    let mut command = env.command([env.path("src"), env.path("dst")]);
    command.current_dir("/");

    env.run(command).exits(0);

    env.assert_same("src", "dst/src");
}

// ---- SRC alone ---------------------------------------------------------------------------------

fn alone() -> Sandbox {
    let env = Sandbox::new();
    env.tree("at/src", ["file a 10", "file sub/b 20"]);
    env.tree("at/file", []);
    fs::remove_dir(env.path("at/file")).unwrap();
    fs::write(env.path("at/file"), "words").unwrap();
    env
}

/// Returns the names in a directory.
fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_source_alone_is_copied_beside_itself() {
    for (working, source) in [
        ("at", "src"),
        ("at", "src/"),
        ("at", "src//"),
        ("at", "./src"),
        ("at", "sub/../src"),
        ("at", "src/."),
        ("at/src", "."),
        ("at/src", "./"),
        ("at/src/sub", ".."),
        ("at/src/sub", "../"),
        ("", "at/src"),
        ("", "at/src/"),
        ("at/src", "../src"),
    ] {
        let env = alone();
        fs::create_dir(env.path("at/sub")).unwrap();
        let mut command = env.command([source]);
        command.current_dir(env.path(working));

        env.run(command).exits(0);

        assert_eq!(
            names(&env.path("at")),
            ["file", "src", "src-copy", "sub"],
            "{source} in {working}"
        );
        env.assert_same("at/src", "at/src-copy");
    }
}

#[test]
fn a_source_alone_may_be_named_by_its_whole_path() {
    let env = alone();

    env.pcopy([env.path("at/src")]).exits(0);

    env.assert_same("at/src", "at/src-copy");
}

#[test]
fn a_file_alone_is_copied_beside_itself() {
    let env = alone();

    env.pcopy(["at/file"]).exits(0);

    env.assert_same("at/file", "at/file-copy");
}

#[test]
fn a_symlink_alone_is_copied_beside_itself() {
    let env = alone();
    std::os::unix::fs::symlink("src", env.path("at/link")).unwrap();

    env.pcopy(["at/link"]).exits(0);

    assert_eq!(fs::read_link(env.path("at/link-copy")).unwrap(), Path::new("src"));
}

#[test]
fn the_directory_behind_a_symlink_with_a_slash_is_copied_beside_the_symlink() {
    let env = alone();
    std::os::unix::fs::symlink("src", env.path("at/link")).unwrap();

    env.pcopy(["at/link/"]).exits(0);

    env.assert_same("at/src", "at/link-copy");
}

#[test]
fn the_root_has_no_place_beside_it() {
    let env = alone();

    env.pcopy(["/"]).exits(3).stderr_has("pcopy: '/' has no place beside it\nhint: ");
}

/// A script must find the copy wherever it runs.
#[test]
fn the_suffix_does_not_depend_on_the_locale() {
    for variables in [[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "")], [("LANG", "C"), ("LC_ALL", "C")]] {
        let env = alone();
        let mut command = env.command(["at/src"]);
        command.envs(variables);

        env.run(command).exits(0);

        assert_eq!(names(&env.path("at")), ["file", "src", "src-copy"], "{variables:?}");
    }
}

#[test]
fn the_suffix_can_be_chosen() {
    let env = alone();

    env.pcopy(["--suffix-name", ".bak", "at/src"]).exits(0);
    env.pcopy(["at/src", "--suffix-name=-ü"]).exits(0);

    assert_eq!(names(&env.path("at")), ["file", "src", "src-ü", "src.bak"]);
    env.assert_same("at/src", "at/src.bak");
}

#[test]
fn a_source_alone_copied_twice_is_one_copy() {
    let env = alone();

    env.pcopy(["at/src"]).exits(0);
    env.pcopy(["at/src"]).exits(0).stderr_has("; 4 skipped");

    assert_eq!(names(&env.path("at")), ["file", "src", "src-copy"]);
    assert_eq!(names(&env.path("at/src-copy")), ["a", "sub"]);
}

#[test]
fn a_name_that_would_be_too_long_with_its_suffix_fails() {
    let env = Sandbox::new();
    let name = "n".repeat(252);
    env.tree(&name, ["file a 1"]);

    let run = env.pcopy([&name]);

    assert!(matches!(run.status.code(), Some(1 | 3)), "{}", run.story());
    run.stderr_has("File name too long");
    assert_eq!(names(&env.path("")), [name]);
}

#[test]
fn of_two_directories_whose_contents_meet_the_last_operand_wins() {
    for round in 0..10 {
        let env = Sandbox::new();
        lay_out(&env, "");

        env.pcopy(["-j", "8", "src/.", "other/.", "dir"]).exits(0);

        env.assert_nothing_staged();
        assert_eq!(fs::read(env.path("dir/a")).unwrap(), b"of-other", "in round {round}");
        assert_eq!(names(&env.path("dir/sub")), ["b", "d"], "in round {round}");
    }
}

each_jobs!(with_parents_each_source_has_its_full_name_below_the_target, 1, 8);
fn with_parents_each_source_has_its_full_name_below_the_target(jobs: &str) {
    for options in [&["-p"][..], &["-a"]] {
        let env = Sandbox::new();
        env.tree("a/b", ["file c/d 10", "file x 20"])
            .tree("e", ["file f 30"])
            .tree("", ["dir cp", "dir dst/e"]);
        env.tree("cp", ["dir e"]);
        let dirs = [("a/b/c", 0o710, 100), ("a/b", 0o750, 200), ("a", 0o701, 300)];
        for (dir, mode, time) in dirs {
            chmod(&env.path(dir), mode);
            set_times(&env.path(dir), (time, 1), (time, 1));
        }
        let sources = ["a/b/c/d", "a/b//x", "./e/f", "a/b/c/"];
        let mut cp = Command::new("cp");
        cp.args(["-r", "--parents"])
            .args(options)
            .args(sources)
            .arg("cp")
            .current_dir(env.path(""));
        assert!(cp.status().unwrap().success());
        let words = [&["--parents", "-j", jobs][..], options, &sources, &["dst"]].concat();

        let run = env.pcopy(words);

        run.exits(0);
        for (dir, _, time) in dirs {
            assert_eq!(modified(env.path("dst").join(dir)), (time, 1), "{dir}");
        }
        let mut trees = [env.listing("cp"), env.listing("dst")];
        for tree in &mut trees {
            // cp loses the times of a directory to which another source adds entries.
            let dirs = tree.values_mut().filter(|entry| entry.mode & 0o170_000 == 0o040_000);
            dirs.for_each(|entry| entry.modified = (0, 0));
        }
        let [cp, pcopy] = trees;
        assert_eq!(differences(&cp, &pcopy), "", "{}", run.story());
    }
}

#[test]
fn with_parents_an_absolute_source_lies_below_the_target_too() {
    let env = Sandbox::new();
    env.tree("a", ["file f 10"]).tree("dst", []);
    let source = env.path("a/f");

    env.pcopy([Path::new("--parents"), &source, Path::new("dst")]).exits(0);

    let inside = env.path("dst").join(source.strip_prefix("/").unwrap());
    assert_eq!(fs::read(inside).unwrap(), fs::read(source).unwrap());
}

#[test]
fn with_parents_what_is_impossible_is_refused_and_leaves_no_directories() {
    let env = Sandbox::new();
    env.tree("a/b", ["file c 10"]).tree("dst", []).tree("", ["file file 5"]);
    for (arguments, words) in [
        (&["--parents", "a/b/c", "a/missing/x", "dst"][..], "cannot stat 'a/missing/x'"),
        (&["--parents", "../x", "dst"], "'../x' leads out of the target with --parents"),
        (&["--parents", "a/../../x", "dst"], "leads out of the target with --parents"),
        (
            &["--parents", "a/b/c", "a/../b/../../x", "dst"],
            "leads out of the target with --parents",
        ),
        (&["--parents", "a/nowhere/../b/c", "dst"], "cannot stat 'a/nowhere/../b/c'"),
        (&["--parents", "a/b/c/../c", "dst"], "cannot stat 'a/b/c/../c': Not a directory"),
        (&["--parents", "a/b/c", "nowhere"], "cannot copy into 'nowhere': No such file"),
        (&["--parents", "a/b/c", "file"], "'file' is not a directory"),
        (&["--parents", "a/b/c", "dst/a"], "cannot copy into 'dst/a': No such file"),
    ] {
        env.pcopy(arguments).exits(3).stderr_has(words);
        assert!(!exists(env.path("dst/a")), "{arguments:?}");
    }
    env.pcopy(["--parents", "-T", "a/b/c", "dst"]).exits(2);
    env.pcopy(["--parents", "a/b/c"]).exits(2).stderr_has("needs a directory to copy into");
}

#[test]
fn with_parents_a_source_whose_dots_stay_inside_is_copied_to_where_cp_copies_it() {
    for options in [&["-j1"][..], &["-j8"], &["--inplace"], &["-a"]] {
        for source in [
            "s/a/../a/f",
            "s/../s/a",
            "s/a/../../s/a/f",
            "s/b/../a/f",
            "s/a/./../b",
            "s/l/../f",
            "s/b/../l/g",
            "s/a/../b/../a",
            "./s/../s",
            "s/a/../a/../a/",
        ] {
            let env = Sandbox::new();
            env.tree("s", ["file a/f 10", "file b/x 20", "link l ../o/q"]);
            env.tree("o", ["file f 30", "file q/g 40"]).tree("", ["dir dst", "dir other"]);
            let mut cp = Command::new("/bin/cp");
            cp.args(["-r", "--parents", source, "other"]).current_dir(env.path(""));
            assert!(cp.status().unwrap().success(), "{source}");

            for _ in ["first", "again"] {
                let run = env.pcopy([options, &["--parents", source, "dst"]].concat());

                run.exits(0);
                let names =
                    |dir| env.listing(dir).into_iter().map(|(path, entry)| (path, entry.what));
                assert!(names("dst").eq(names("other")), "{options:?} {source}\n{}", run.story());
            }
        }
    }
}

#[test]
fn with_parents_a_source_that_ends_with_dots_is_merged_into_its_directory() {
    for (source, copy) in
        [("s/a/..", "dst/s"), ("s/a/../", "dst/s"), ("s/..", "dst"), ("s/l/..", "dst/s")]
    {
        let env = Sandbox::new();
        env.tree("top/s", ["file a/f 10", "file b/x 20", "link l ../o/q"]);
        env.tree("top/o", ["file f 30", "file q/g 40"]).tree("", ["dir dst"]);
        let mut command = env.command(["--parents", source, "../dst"]);
        command.current_dir(env.path("top"));

        env.run(command).exits(0);

        let from = env.path("top").join(source);
        for name in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().file_name()) {
            assert!(exists(env.path(copy).join(&name)), "{source}: {name:?}");
        }
        env.assert_nothing_staged();
    }
}

#[test]
fn with_parents_dots_never_lead_through_a_symlink_of_the_target() {
    let env = Sandbox::new();
    env.tree("s", ["file d/x 10", "file f 20"]).tree("away", ["dir inner"]);
    env.tree("dst", ["dir s"]);
    symlink("../../away/inner", env.path("dst/s/d")).unwrap();

    env.pcopy(["--parents", "s/d/../f", "dst"]).exits(0);

    env.assert_same("s/f", "dst/s/f");
    assert!(!exists(env.path("away/f")));
}

#[test]
fn with_parents_nested_sources_do_not_get_into_each_others_way() {
    for round in 0..30 {
        let env = Sandbox::new();
        env.tree("a/b", ["file c/d 300K", "file c/e 10", "file x 20"]).tree("dst", ["dir real"]);
        env.tree("dst", ["link l real"]).tree("l", ["file f 200K"]).tree("real", ["dir x"]);
        fs::copy(env.path("l/f"), env.path("real/f")).unwrap();
        let sources = ["a/b/c/d", "a/b/c/", "a/b/c/e", "a", "l/f", "real/f"];

        env.pcopy(["--parents", "-j", "8"].iter().chain(&sources).chain(&["dst"])).exits(0);

        env.assert_nothing_staged();
        for name in ["a/b/c/d", "a/b/c/e", "a/b/x", "real/f"] {
            env.assert_same(name, format!("dst/{name}"));
        }
        assert!(!exists(env.path("dst/a/b/c/c")), "in round {round}");
    }
}

#[test]
fn with_parents_what_ends_in_a_dot_has_its_full_name_too() {
    for source in ["a/b/.", "./a/b/.", "a/b/./", "a//b/"] {
        let env = Sandbox::new();
        env.tree("src/a/b", ["text f new"]).tree("dst", ["text f precious"]);

        let mut command = env.command(["--parents", source, "../dst"]);
        command.current_dir(env.path("src"));
        env.run(command).exits(0);

        let text = |name: &str| fs::read_to_string(env.path(name)).unwrap();
        assert_eq!(
            (text("dst/f"), text("dst/a/b/f")),
            ("precious".into(), "new".into()),
            "{source}"
        );
    }
}

#[test]
fn with_parents_directories_that_a_killed_run_made_get_their_attributes() {
    let env = Sandbox::new();
    env.tree("a/b", ["file c/d 10"]).tree("dst", ["dir a/b"]);
    for dir in ["a/b", "a"] {
        chmod(&env.path(dir), 0o751);
        set_times(&env.path(dir), (100, 1), (100, 1));
        chmod(&env.path("dst").join(dir), 0o700); // the mode with which it is created
    }

    env.pcopy(["--parents", "a/b/c", "dst"]).exits(0);

    for dir in ["a", "a/b"] {
        let copy = env.path("dst").join(dir);
        assert_eq!((mode_of(&copy), modified(&copy)), (0o751, (100, 1)), "{dir}");
    }
}

#[test]
fn a_symlink_that_was_copied_may_be_copied_again() {
    let env = Sandbox::new();
    env.tree("", ["text target words", "text file old", "dir dst"]);
    std::os::unix::fs::symlink(env.path("target"), env.path("link")).unwrap();
    env.pcopy(["link", "file", "dst"]).exits(0);
    fs::write(env.path("file"), "a new one").unwrap();

    env.pcopy(["link", "file", "dst"]).exits(0);

    assert_eq!(fs::read_link(env.path("dst/link")).unwrap(), env.path("target"));
    assert_eq!(fs::read_to_string(env.path("dst/file")).unwrap(), "a new one");
}
