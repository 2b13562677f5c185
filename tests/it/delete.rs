//! `--delete`: what the target has and the source does not have is removed, after everything is copied.

use crate::common::entries::*;
use crate::common::mounts::in_own_mounts;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use crate::selection::names;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

holds_on_every_file_system!(except
    directories_that_only_the_target_has_may_be_read_only,
    what_a_mount_point_hides_stays
);

/// A source, and a copy of it that has more: files, a directory with others in it, a link, and entries in a directory that
/// both have.
fn mirror(env: &Sandbox) {
    env.tree("src", ["file a 10", "dir d", "file d/b 10", "dir empty"]);
    env.tree("dst", ["file a 10", "dir d", "file d/b 10", "file d/old 20", "file old 30"]);
    env.tree("dst", ["dir gone/deep/er", "file gone/x 5", "file gone/deep/y 5", "dir empty"]);
    env.tree("dst", ["file empty/z 1", "link link a"]);
}

const KEPT: [&str; 4] = ["a", "d", "d/b", "empty"];

#[test]
fn what_the_source_does_not_have_is_removed() {
    for jobs in ["1", "8"] {
        let env = Sandbox::new();
        mirror(&env);

        let run = env.pcopy(["-j", jobs, "--delete", "-T", "src", "dst"]);

        // old, d/old, link, empty/z, and the three directories of gone with their two files
        run.exits(0).stderr_has("; 9 removed");
        assert_eq!(names(&env, "dst"), KEPT);
        env.assert_same("src", "dst");
        let line = ["--check", "--delete", "-T", "src", "dst"];
        env.pcopy(line).exits(0);
        let again = env.pcopy(["-j", jobs, "--delete", "-T", "src", "dst"]);
        again.exits(0).stderr_lacks("removed");
    }
}

#[test]
fn without_delete_nothing_is_removed() {
    let env = Sandbox::new();
    mirror(&env);

    env.pcopy(["-T", "src", "dst"]).exits(0).stderr_lacks("removed");

    assert!(exists(env.path("dst/gone/deep/er")) && exists(env.path("dst/d/old")));
}

#[test]
fn the_other_spellings_mean_the_same() {
    for option in ["--delete-after", "--delete-during", "--delete-delay", "--del"] {
        let env = Sandbox::new();
        mirror(&env);

        env.pcopy([option, "-T", "src", "dst"]).exits(0);

        assert_eq!(names(&env, "dst"), KEPT, "{option}");
    }
}

#[test]
fn only_the_copy_of_a_directory_is_cleaned() {
    let env = Sandbox::new();
    mirror(&env);
    env.tree("into/src", ["file extra 1"]).tree("into/other", ["file extra 1"]);
    env.tree("onto", ["file extra 1"]);

    env.pcopy(["--delete", "src", "into"]).exits(0).stderr_has("; 1 removed");
    env.pcopy(["--delete", "src/.", "onto"]).exits(0).stderr_has("; 1 removed");

    assert!(exists(env.path("into/other/extra")) && !exists(env.path("into/src/extra")));
    assert!(!exists(env.path("onto/extra")));
    env.assert_same("src", "onto");
}

#[test]
fn beside_the_copies_of_files_nothing_is_removed_and_that_is_said() {
    let env = Sandbox::new();
    mirror(&env);

    let run = env.pcopy(["--delete", "src/a", "src/d", "dst"]);

    run.exits(0).stderr_has("note: --delete removes only what is in the copy of a directory");
    assert!(exists(env.path("dst/old")) && !exists(env.path("dst/d/old")));
}

#[test]
fn a_dry_run_prints_what_the_run_removes() {
    for options in [&[][..], &["--exclude=x"], &["--exclude=x", "--delete-excluded"]] {
        for output in ["-v", "--itemize-changes"] {
            let env = Sandbox::new();
            mirror(&env);
            let line = |first: &'static str| {
                [&[first, "--delete", output], options, &["-T", "src", "dst"]].concat()
            };
            let before = env.listing("dst");

            let dry = env.pcopy(line("--dry-run"));
            assert!(before == env.listing("dst"), "{options:?}");
            let run = env.pcopy(line("-j2"));

            let sorted = |text: &str| {
                let text = text.replace("would be removed", "removed");
                let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
                lines.sort();
                lines
            };
            assert_eq!(sorted(&dry.stdout), sorted(&run.stdout), "{options:?}");
            dry.exits(0).stderr_has("would be removed");
            let number =
                |text: &str| text.split("; ").find(|part| part.contains("removed")).map(digits);
            assert_eq!(number(&dry.stderr), number(&run.stderr), "{options:?}");
        }
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

#[test]
fn removed_entries_are_itemized_as_by_rsync() {
    let env = Sandbox::new();
    mirror(&env);

    let run = env.pcopy(["--delete", "--itemize-changes", "--exclude=a", "-T", "src", "dst"]);

    let mut lines: Vec<_> =
        run.stdout.lines().filter(|line| line.starts_with("*deleting")).collect();
    lines.sort_unstable();
    let expected = [
        "*deleting   d/old",
        "*deleting   empty/z",
        "*deleting   gone/",
        "*deleting   gone/deep/",
        "*deleting   gone/deep/er/",
        "*deleting   gone/deep/y",
        "*deleting   gone/x",
        "*deleting   link",
        "*deleting   old",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_a_rule_leaves_out_stays_with_the_directories_above_it() {
    for jobs in ["1", "8"] {
        let env = Sandbox::new();
        mirror(&env);
        env.tree("src", ["file d/main.o 1"]);
        env.tree("dst", ["file gone/deep/er/k.o 1", "file gone/deep/y2 1", "file d/k.o 1"]);
        let line = ["-j", jobs, "--delete", "--exclude=*.o", "-T", "src", "dst"];

        let run = env.pcopy(line);

        run.exits(0).stderr_has("protected by a rule, not extraneous").stderr_lacks("cannot");
        let expected = ["a", "d", "d/b", "d/k.o", "empty", "gone", "gone/deep", "gone/deep/er"];
        assert_eq!(names(&env, "dst")[..8], expected);
        assert_eq!(names(&env, "dst")[8..], ["gone/deep/er/k.o"]);
        env.pcopy(["--check", "--delete", "--exclude=*.o", "-T", "src", "dst"]).exits(0);
        env.pcopy(line).exits(0).stderr_lacks("removed");
    }
}

#[test]
fn with_delete_excluded_what_a_rule_leaves_out_is_removed() {
    let env = Sandbox::new();
    mirror(&env);
    env.tree("src", ["file d/main.o 1"]);
    env.tree("dst", ["file d/main.o 1", "file d/k.o 1"]);

    let line = ["--delete-excluded", "--exclude=*.o", "--filter=P old", "-T", "src", "dst"];
    env.pcopy(line).exits(0);

    assert_eq!(names(&env, "dst"), ["a", "d", "d/b", "d/old", "empty", "old"]);
}

#[test]
fn what_its_size_or_depth_leaves_out_is_never_removed() {
    for options in [&["--max-size=5"][..], &["--max-depth=1"], &["--newer-than=1h"]] {
        let env = Sandbox::new();
        mirror(&env);
        env.tree("src", ["file d/big 100"]).tree("dst", ["file d/big 90"]);
        set_times(&env.path("src/d/big"), (1, 0), (1, 0));
        let line = [&["--delete-excluded"], options, &["-T", "src", "dst"]].concat();

        env.pcopy(line).exits(0);

        assert_eq!(fs::read(env.path("dst/d/big")).unwrap().len(), 90, "{options:?}");
    }
}

#[test]
fn directories_get_back_the_times_that_removals_have_changed() {
    let env = Sandbox::new();
    mirror(&env);
    for dir in ["d", "empty", ""] {
        set_times(&env.path("src").join(dir), (1_000, 5), (2_000, 6));
    }

    env.pcopy(["-a", "--delete", "-T", "src", "dst"]).exits(0);

    for dir in ["d", "empty", ""] {
        let stat = fs::metadata(env.path("dst").join(dir)).unwrap();
        assert_eq!((stat.mtime(), stat.mtime_nsec()), (2_000, 6), "{dir}");
    }
}

/// A plain user, for whom the kernel checks permissions.
#[test]
fn directories_that_only_the_target_has_may_be_read_only() {
    for jobs in ["1", "8"] {
        let env = Sandbox::new();
        mirror(&env);
        for (path, mode) in [
            ("dst/gone/deep/er", 0o500),
            ("dst/gone/deep", 0o555),
            ("dst/gone", 0o555),
            ("dst/d", 0o555),
        ] {
            chmod(&env.path(path), mode);
        }
        chmod(&env.path("src/d"), 0o555);

        env.plain_pcopy(["-j", jobs, "--delete", "-T", "src", "dst"]).exits(0);

        assert_eq!(names(&env, "dst"), KEPT);
        assert_eq!(mode_of(env.path("dst/d")), 0o555);
    }
}

#[test]
fn staged_names_of_an_earlier_run_are_gone_after_the_run() {
    let env = Sandbox::new();
    mirror(&env);
    env.tree("dst", ["file .a.pcopy-partial 3", "file .old.pcopy-partial 3"]);
    fs::remove_file(env.path("dst/a")).unwrap();

    env.pcopy(["--delete", "-T", "src", "dst"]).exits(0);

    assert_eq!(names(&env, "dst"), KEPT);
}

#[test]
fn a_manifest_in_the_target_stays() {
    let env = Sandbox::new();
    mirror(&env);
    let line = ["--delete", "--manifest=dst/list", "-T", "src", "dst"];

    env.pcopy(line).exits(0);
    env.pcopy(line).exits(0);

    assert!(fs::read_to_string(env.path("dst/list")).unwrap().contains("d/b"));
    assert!(!exists(env.path("dst/old")));
}

#[test]
fn a_file_that_cannot_be_read_does_not_keep_the_rest_from_being_removed() {
    for jobs in ["1", "8"] {
        let env = Sandbox::new();
        mirror(&env);
        env.tree("src", ["file secret 10"]);
        chmod(&env.path("src/secret"), 0);

        let run = env.plain_pcopy(["-j", jobs, "--delete", "-T", "src", "dst"]);

        run.exits(1).stderr_has("cannot open 'src/secret'").stderr_has("; 9 removed");
        assert_eq!(names(&env, "dst"), KEPT);
    }
}

#[test]
fn an_entry_that_cannot_be_removed_is_a_failure_and_the_others_go() {
    if !is_root() || !tool("chattr") {
        return skip!("needs root and chattr");
    }
    let env = Sandbox::new();
    mirror(&env);
    let stuck = env.path("dst/gone/deep/y");
    let made = Command::new("chattr").arg("+i").arg(&stuck).output().unwrap();
    if !made.status.success() {
        return; // this file system has no immutable files
    }

    let run = env.pcopy(["-j2", "--delete", "-T", "src", "dst"]);
    let freed = Command::new("chattr").arg("-i").arg(&stuck).status().unwrap();

    assert!(freed.success());
    run.exits(1).stderr_has("cannot remove 'dst/gone/deep/y': Operation not permitted");
    assert!(!exists(env.path("dst/gone/x")) && !exists(env.path("dst/old")));
    env.pcopy(["--delete", "-T", "src", "dst"]).exits(0);
    assert_eq!(names(&env, "dst"), KEPT);
}

#[test]
fn nothing_that_a_symlink_leads_to_is_removed() {
    let env = Sandbox::new();
    mirror(&env);
    env.tree("outside", ["file precious 10", "dir sub", "file sub/too 10"]);
    symlink("../../outside", env.path("dst/gone/out")).unwrap();
    symlink("../outside", env.path("dst/out")).unwrap();
    let before = env.listing("outside");

    env.pcopy(["--delete", "-T", "src", "dst"]).exits(0);

    assert!(before == env.listing("outside"));
    assert_eq!(names(&env, "dst"), KEPT);
}

#[test]
fn what_a_mount_point_hides_stays() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    mirror(&env);
    let disk = env.path("dst/gone/disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&disk).status();
    assert!(mounted.unwrap().success());
    env.tree("dst/gone/disk", ["file precious 10"]);

    let run = env.pcopy(["-j2", "--delete", "-T", "src", "dst"]);

    run.exits(1).stderr_has(
        "cannot remove 'dst/gone/disk', which the source does not have: it is a mount point",
    );
    assert!(exists(env.path("dst/gone/disk/precious")));
    assert!(!exists(env.path("dst/gone/x")) && !exists(env.path("dst/old")));
}

#[test]
fn a_name_of_any_bytes_is_removed() {
    use std::os::unix::ffi::OsStrExt;
    let env = Sandbox::new();
    mirror(&env);
    for name in [&b"new\nline"[..], b"\xff\xfe", b" ", b"-rf", b"*", b"\x1b[31m"] {
        let path = env.path("dst").join(std::ffi::OsStr::from_bytes(name));
        // Some file systems refuse names that are not UTF-8.
        let _: std::io::Result<()> = fs::write(path, "x");
    }

    env.pcopy(["--delete", "--max-delete=100", "-T", "src", "dst"]).exits(0);

    assert_eq!(names(&env, "dst"), KEPT);
}

#[test]
fn a_directory_of_any_size_and_depth_is_removed() {
    for jobs in ["1", "8"] {
        let env = Sandbox::new();
        mirror(&env);
        let mut deep = env.path("dst/gone");
        for _ in 0..300 {
            deep.push("d");
        }
        fs::create_dir_all(&deep).unwrap();
        env.many("dst/wide", 3000, 1);

        env.pcopy(["-j", jobs, "--delete", "--max-delete=100%", "-T", "src", "dst"]).exits(0);

        assert_eq!(names(&env, "dst"), KEPT);
    }
}

#[test]
fn two_sources_that_become_one_are_refused() {
    let env = Sandbox::new();
    mirror(&env);
    env.tree("more/src", ["file other 1"]).tree("into/src", ["file mine 1"]);

    for line in [&["src", "more/src", "into"][..], &["src/.", "more/.", "into"]] {
        let run = env.pcopy([&["--delete"], line].concat());
        run.exits(2).stderr_has("are copied to one place");
    }
    assert!(exists(env.path("into/src/mine")));
}

#[test]
fn options_that_need_delete_are_refused_without_it() {
    let env = Sandbox::new();
    mirror(&env);
    for option in [
        "--max-delete=3",
        "--allow-empty-source",
        "--delete-despite-errors",
        "--delete-in-system-directory",
    ] {
        let run = env.pcopy([option, "-T", "src", "dst"]);
        run.exits(2).stderr_has("needs --delete");
    }
    for value in ["", "x", "101%", "-1", "1.5", "%", "5%%"] {
        env.pcopy(["--delete", &format!("--max-delete={value}"), "-T", "src", "dst"]).exits(2);
    }
}

#[test]
fn the_short_option_that_rsync_has_for_dry_runs_is_refused() {
    let env = Sandbox::new();
    mirror(&env);
    let before = env.listing("dst");

    for line in [&["-n", "--delete"][..], &["--delete", "-rn"], &["-n", "--delete-excluded"]] {
        let run = env.pcopy([line, &["-T", "src", "dst"]].concat());
        run.exits(2).stderr_has("say --no-clobber or --dry-run");
    }

    assert!(before == env.listing("dst"));
}

#[test]
fn cp_has_no_such_option() {
    let env = Sandbox::new();
    mirror(&env);
    for option in ["--delete", "--delete-excluded", "--max-delete=3", "--del"] {
        env.cp(["-r", option, "-T", "src", "dst"]).exits(1);
    }
    assert!(exists(env.path("dst/old")));
}

/// A file where the target has a directory, a directory where it has a file, and symlinks; with hard links among them.
fn of_other_types(env: &Sandbox) {
    env.tree("src", ["file x 10", "dir d", "file d/sub/f 5", "file d/g 5", "link l d", "dir m"]);
    env.tree("dst", ["file x/a 1", "file x/sub/deep/b 1", "file d 3", "file l/k 1", "link m .."]);
    for (one, other) in [("d/g", "d/g2"), ("x", "x2")] {
        fs::hard_link(env.path("src").join(one), env.path("src").join(other)).unwrap();
    }
    set_times(&env.path("src"), (1, 0), (1000, 7));
}

#[test]
fn an_entry_of_another_type_makes_way() {
    for options in
        [&["-j1"][..], &["-j8"], &["-j1", "-a"], &["-j8", "--inplace"], &["--fsync", "--verify"]]
    {
        let env = Sandbox::new();
        of_other_types(&env);
        let line = [options, &["--delete", "-T", "src", "dst"]].concat();

        let run = env.pcopy(&line);

        // x with four below, d, l with one, m
        run.exits(0).stderr_has("; 9 removed");
        env.assert_same("src", "dst");
        assert_eq!(inode(env.path("dst/d/g")), inode(env.path("dst/d/g2")));
        assert_eq!(inode(env.path("dst/x")), inode(env.path("dst/x2")));
        env.pcopy(&line).exits(0).stderr_has("copied 0 entries").stderr_lacks("removed");
    }
}

#[test]
fn without_delete_an_entry_of_another_type_stays() {
    let env = Sandbox::new();
    of_other_types(&env);

    env.pcopy(["-T", "src", "dst"]).exits(1).stderr_has("cannot overwrite directory 'dst/l'");

    assert!(exists(env.path("dst/x/sub/deep/b")) && env.path("dst/d").is_file());
}

#[test]
fn a_dry_run_foresees_what_makes_way() {
    for jobs in ["-j1", "-j8"] {
        let env = Sandbox::new();
        of_other_types(&env);
        let sorted = |first: &str| {
            let run = env.pcopy([first, jobs, "--delete", "--itemize-changes", "-T", "src", "dst"]);
            let mut lines: Vec<_> = run.exits(0).stdout.lines().map(str::to_owned).collect();
            // Which of two names becomes a link to the other depends on the order of the listing.
            lines.iter_mut().filter(|line| line.contains(" x") || line.contains("d/g")).for_each(
                |line| {
                    *line = line.replace("hf+", ">f+");
                },
            );
            lines.sort();
            lines
        };

        let dry = sorted("--dry-run");

        assert_eq!(dry, sorted("--progress=never"));
        assert!(dry.contains(&"*deleting   x/sub/deep/".to_owned()), "{dry:?}");
    }
}

#[test]
fn what_a_rule_protects_makes_no_way() {
    for jobs in ["-j1", "-j8"] {
        for rule in ["--exclude=*.o", "--filter=P x", "--filter=P b.o"] {
            let env = Sandbox::new();
            of_other_types(&env);
            env.tree("dst", ["file x/sub/deep/b.o 1"]);
            let line = ["--delete", jobs, rule, "-T", "src", "dst"];

            let dry = env.pcopy([&["--dry-run"], &line[..]].concat());
            let run = env.pcopy(line);

            for run in [dry, run] {
                run.exits(1).stderr_has("cannot overwrite directory 'dst/x' with non-directory");
            }
            assert!(exists(env.path("dst/x/a")) && exists(env.path("dst/x/sub/deep/b.o")));
            assert!(env.path("dst/d").is_dir());
        }
    }
}

/// The mistake that too many removals are keeps all of them from being removed.
#[test]
fn nothing_makes_way_if_nothing_is_removed() {
    let env = Sandbox::new();
    of_other_types(&env);

    let run = env.pcopy(["--delete", "--max-delete=3", "-T", "src", "dst"]);

    run.exits(25).stderr_has("cannot overwrite directory 'dst/l' with non-directory");
    assert!(exists(env.path("dst/x/sub/deep/b")) && env.path("dst/d").is_file());
    assert!(exists(env.path("dst/x2")), "what is new is copied");
}
