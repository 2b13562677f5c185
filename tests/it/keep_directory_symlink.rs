//! `--keep-directory-symlink`, where symlinks in the target lead to directories into which other directories
//! are copied, too.

use crate::common::entries::inode;
use crate::common::*;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Plants `lib` and `usr/lib`, which have one target, because `dst/lib` is a symlink. Both contain a
/// directory `arch` with a subdirectory.
fn planted() -> Sandbox {
    let env = Sandbox::new();
    for number in 0..40 {
        for dir in ["arch", "arch/sub"] {
            let lines = [
                format!("text lib/{dir}/a{number} of lib"),
                format!("text lib/{dir}/both{number} of lib"),
                format!("text usr/lib/{dir}/b{number} of usr"),
                format!("text usr/lib/{dir}/both{number} of usr, which is longer"),
            ];
            env.tree("src", lines.iter().map(String::as_str));
        }
    }
    env.tree("dst", ["dir usr/lib", "link lib usr/lib"]);
    env
}

/// Fails unless every entry exists once. Of two files with one name, the file that was copied through the
/// symlink must exist.
#[track_caller]
fn assert_merged(env: &Sandbox, run: &Run<'_>) {
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    for dir in ["arch", "arch/sub"] {
        for number in 0..40 {
            let of = |name: &str| text(&env.path(format!("dst/usr/lib/{dir}/{name}{number}")));
            let all = [of("a"), of("b"), of("both")];
            assert_eq!(all, ["of lib", "of usr", "of lib"], "{dir} {number}\n{}", run.story());
        }
    }
    assert_eq!(fs::read_link(env.path("dst/lib")).unwrap(), Path::new("usr/lib"));
    assert_eq!(env.listing("dst").len(), 1 + 5 + 240, "{}", run.story());
    env.assert_nothing_staged();
}

each_jobs!(directories_that_meet_behind_a_symlink_are_merged, 1, 2, 8);
fn directories_that_meet_behind_a_symlink_are_merged(jobs: &str) {
    let jobs = &*format!("-j{jobs}");
    for options in [&[][..], &["--inplace"], &["-a"], &["--fsync", "--verify"]] {
        let env = planted();
        let line = [options, &["--keep-directory-symlink", jobs, "-T", "src", "dst"]].concat();

        let run = env.pcopy(line);

        run.exits(0);
        assert_merged(&env, &run);
    }
}

#[test]
fn as_cp_directories_that_meet_behind_a_symlink_are_merged() {
    for options in ["-r", "-a"] {
        let env = planted();
        std::os::unix::fs::symlink(PCOPY, env.path("cp")).unwrap();
        let mut command = Command::new(env.path("cp"));
        command.args([options, "--keep-directory-symlink", "-T", "src", "dst"]);
        command.env("PCOPY_JOBS", "4").current_dir(env.path(""));

        let run = env.run(command);

        run.exits(0);
        assert_merged(&env, &run);
    }
}

each_jobs!(each_entry_is_counted_and_reported_once, 1, 2, 8);
fn each_entry_is_counted_and_reported_once(jobs: &str) {
    let jobs = &*format!("-j{jobs}");
    let env = planted();

    let run = env.pcopy(["--keep-directory-symlink", "-v", jobs, "-T", "src", "dst"]);

    run.exits(0);
    let all = env.listing("src").len();
    // Existing directories are not printed but skipped: the top, lib, usr, usr/lib, and one arch with its
    // directory.
    let mut printed: Vec<_> = run.stdout.lines().collect();
    printed.sort_unstable();
    printed.dedup();
    assert_eq!(printed.len(), all - 6, "{}", run.story());
    assert_eq!(run.stdout.lines().count(), all - 6, "{}", run.story());
    run.stderr_has(&format!("copied {} entries", all - 6)).stderr_has("; 6 skipped");
}

#[test]
fn a_manifest_has_the_names_by_which_files_are_reached() {
    let env = planted();
    fs::remove_dir_all(env.path("src/usr/lib/arch")).unwrap();

    env.pcopy(["--keep-directory-symlink", "--manifest=sums", "-T", "src", "dst"]).exits(0);

    let sums = fs::read_to_string(env.path("sums")).unwrap();
    assert!(sums.lines().any(|line| line.ends_with("  lib/arch/sub/a7")), "{sums}");
    assert_eq!(sums.lines().count(), 160);
}

each_jobs!(hard_links_stay_one_file_by_both_paths, 1, 2, 8);
fn hard_links_stay_one_file_by_both_paths(jobs: &str) {
    let jobs = &*format!("-j{jobs}");
    let env = planted();
    for name in ["src/usr/lib/arch/other", "src/top"] {
        fs::hard_link(env.path("src/lib/arch/a1"), env.path(name)).unwrap();
    }

    env.pcopy(["--keep-directory-symlink", jobs, "-T", "src", "dst"]).exits(0);

    let names = ["dst/usr/lib/arch/a1", "dst/usr/lib/arch/other", "dst/top"];
    let [one, two, three] = names.map(|name| inode(env.path(name)));
    assert!(one == two && two == three, "{jobs}: {one} {two} {three}");
}

each_jobs!(symlinks_may_point_into_one_another_and_outside, 1, 2, 8);
fn symlinks_may_point_into_one_another_and_outside(jobs: &str) {
    let jobs = &*format!("-j{jobs}");
    let env = Sandbox::new();
    let files = ["file a/in/f 3K", "file a/in/deep/g 2K", "file b/h 2K", "file b/deep/i 1K"];
    env.tree("src", files).tree("src", ["file out/j 1K", "file plain/k 1K"]).tree("away", []);
    env.tree("dst", ["dir real/deep", "link a b", "link b real", "link out ../away"]);
    env.tree("dst", ["link in ."]).tree("dst/real", ["link in ."]);

    env.pcopy(["--keep-directory-symlink", jobs, "-T", "src", "dst"]).exits(0);

    for (source, target) in [
        ("src/a/in/f", "dst/real/f"),
        ("src/a/in/deep/g", "dst/real/deep/g"),
        ("src/b/h", "dst/real/h"),
        ("src/b/deep/i", "dst/real/deep/i"),
        ("src/out/j", "away/j"),
        ("src/plain/k", "dst/plain/k"),
    ] {
        env.assert_same(source, target);
    }
    env.assert_nothing_staged();
}

each_jobs!(a_new_directory_tree_is_published_behind_a_symlink_too, 1, 2, 8);
fn a_new_directory_tree_is_published_behind_a_symlink_too(jobs: &str) {
    let jobs = &*format!("-j{jobs}");
    let env = Sandbox::new();
    env.tree("src", ["file lib/new/one/two/f 3K", "file lib/new/g 1K"]);
    env.tree("dst", ["dir usr/lib", "link lib usr/lib"]);

    env.pcopy(["--keep-directory-symlink", jobs, "-T", "src", "dst"]).exits(0);

    env.assert_same("src/lib/new", "dst/usr/lib/new");
    env.assert_nothing_staged();
}

#[test]
fn check_compares_with_the_directory_behind_a_symlink() {
    let env = Sandbox::new();
    env.tree("src", ["text d/f one", "text d/e/g two", "link link d"]);
    env.tree("dst", ["link d ../elsewhere"]).tree("elsewhere", ["dir e"]);
    env.pcopy(["--keep-directory-symlink", "-T", "src", "dst"]).exits(0);
    for jobs in ["-j1", "-j8"] {
        let line = ["--check", "--keep-directory-symlink", jobs, "-T", "src", "dst"];
        env.pcopy(line).exits(0).stderr_has("identical");
        let plain = env.pcopy(["--check", jobs, "-T", "src", "dst"]);
        plain.exits(6);
        assert!(plain.stdout.contains("'dst/d': a symlink"), "{}", plain.story());

        fs::write(env.path("elsewhere/e/g"), "owt").unwrap();
        fs::write(env.path("elsewhere/more"), "").unwrap();
        let run = env.pcopy(line);
        run.exits(6);
        for line in ["different: 'dst/d/e/g'", "extraneous: 'dst/d/more'"] {
            assert!(run.stdout.contains(line), "{}", run.story());
        }

        fs::remove_file(env.path("elsewhere/more")).unwrap();
        env.pcopy(["--keep-directory-symlink", "-T", "src", "dst"]).exits(0);
    }
}

#[test]
fn check_compares_with_the_directory_behind_a_symlink_that_is_the_target() {
    let env = Sandbox::new();
    env.tree("src", ["text f one"]).tree("real", ["text f one"]).tree("", ["link dst real"]);
    env.pcopy(["--keep-directory-symlink", "-T", "src", "dst"]).exits(0);

    let line = ["--check", "--keep-directory-symlink", "-T", "src", "dst"];
    env.pcopy(line).exits(0).stderr_has("identical");
}
