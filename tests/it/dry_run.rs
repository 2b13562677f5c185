//! `--dry-run` and `--itemize-changes`: what a run would do, said before it is done.

use crate::common::entries::*;
use crate::common::mounts::in_own_mounts;
use crate::common::*;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// A source, and an older copy of it in which some entries differ, some are missing and one is linked otherwise.
fn trees(env: &Sandbox) {
    env.tree(
        "src",
        [
            "file same 10",
            "file size 20",
            "file time 10",
            "file mode 10",
            "text link-text new",
            "dir d",
            "file d/new 5000",
            "dir d/sub",
            "file d/sub/x 3",
            "dir kept",
            "file kept/y 3",
            "link link size",
        ],
    );
    fs::hard_link(env.path("src/same"), env.path("src/same-too")).unwrap();
    env.pcopy(["src", "dst"]).exits(0);
    fs::remove_dir_all(env.path("dst/d")).unwrap();
    fs::write(env.path("dst/size"), "short").unwrap();
    set_times(&env.path("dst/time"), (1, 0), (1, 0));
    chmod(&env.path("dst/mode"), 0o600);
    fs::remove_file(env.path("dst/link")).unwrap();
    std::os::unix::fs::symlink("other", env.path("dst/link")).unwrap();
    fs::remove_file(env.path("dst/same-too")).unwrap();
    fs::write(env.path("dst/mine"), "").unwrap();
}

/// Returns the lines in order.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_dry_run_changes_nothing() {
    for options in [&[][..], &["--inplace"], &["--checksum"], &["--update=all"], &["-a"], &["-b"]] {
        for jobs in ["1", "8"] {
            let env = Sandbox::new();
            trees(&env);
            let before = (env.listing("src"), env.listing("dst"));
            let inodes = ["same", "size", "d"].map(|name| {
                env.path("dst")
                    .join(name)
                    .symlink_metadata()
                    .ok()
                    .map(|_| inode(env.path("dst").join(name)))
            });

            let line = [&["--dry-run", "-j", jobs], options, &["-T", "src", "dst"]].concat();
            env.pcopy(line).exits(0).stderr_has("dry run: ").stderr_has("would be copied to 'dst'");

            assert!(before == (env.listing("src"), env.listing("dst")), "{options:?}");
            let after = ["same", "size", "d"].map(|name| {
                env.path("dst")
                    .join(name)
                    .symlink_metadata()
                    .ok()
                    .map(|_| inode(env.path("dst").join(name)))
            });
            assert_eq!(inodes, after, "{options:?}");
        }
    }
}

#[test]
fn a_dry_run_makes_no_call_that_changes_a_file() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    trees(&env);
    let calls = "trace=mkdir,mkdirat,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mknod,\
                 mknodat,chmod,fchmod,fchmodat,chown,fchown,fchownat,lchown,utimensat,setxattr,lsetxattr,fsetxattr,\
                 removexattr,fremovexattr,truncate,flock,copy_file_range,open,openat,openat2,creat";
    let strace = ["strace", "-f", "-qq", "-o", "calls", "-e", calls];

    env.run(env.before(&strace, ["--dry-run", "-a", "-j2", "-T", "src", "dst"])).exits(0);

    let text = fs::read_to_string(env.path("calls")).unwrap();
    let opens = |line: &&str| line.contains("open");
    let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"];
    for line in text.lines().filter(opens) {
        let is_null = line.contains("/dev/null");
        assert!(is_null || !writes.iter().any(|flag| line.contains(flag)), "{line}");
    }
    let others: Vec<_> =
        text.lines().filter(|line| !opens(line) && !line.contains("+++")).collect();
    let is_signal = |line: &&&str| line.contains("SIG");
    assert_eq!(others.iter().find(|line| !is_signal(line)), None);
}

#[test]
fn a_target_that_does_not_exist_is_not_created() {
    let env = Sandbox::new();
    trees(&env);

    let run = env.pcopy(["--dry-run", "src", "new"]);

    run.exits(0).stderr_has("dry run: 13 entries").stderr_has("; 1 linked");
    assert!(!exists(env.path("new")) && !exists(env.path(".new.pcopy-partial")));
}

#[test]
fn the_letters_are_those_of_rsync() {
    let env = Sandbox::new();
    trees(&env);

    let run = env.pcopy(["--dry-run", "--itemize-changes", "-j1", "-T", "src", "dst"]);

    run.exits(0);
    // Which of two names becomes a link to the other depends on the order of the listing.
    let lines: Vec<_> =
        sorted(&run.stdout).into_iter().filter(|line| !line.contains("same")).collect();
    let expected = [
        ".d..t...... ./",
        ".f...p..... mode",
        ">f+++++++++ d/new",
        ">f+++++++++ d/sub/x",
        ">f..t...... time",
        ">f.st...... size",
        "cLc.t...... link",
        "cd+++++++++ d/",
        "cd+++++++++ d/sub/",
    ];
    assert_eq!(lines, expected);
}

/// In order to open such a directory, a copier of an ordinary user adds permissions first.
#[test]
fn nothing_changes_of_a_directory_that_its_owner_may_not_write_or_read() {
    let env = Sandbox::new();
    env.tree("src", ["file closed/sub/x 10", "dir hidden"]);
    env.give_to_plain_user();
    chmod(&env.path("src/closed"), 0o555);
    let words = ["--itemize-changes", "-T", "src", "dst"];
    env.plain_pcopy_as_is(words).exits(0);
    chmod(&env.path("dst/hidden"), 0o300);

    let dry = env.plain_pcopy_as_is([&["--dry-run"][..], &words].concat());
    let run = env.plain_pcopy_as_is(words);

    dry.exits(0).stdout_is(".d...p..... hidden/\n");
    run.exits(0).stdout_is(&dry.stdout);
}

#[test]
fn the_run_prints_what_the_dry_run_has_printed() {
    for options in [
        &[][..],
        &["-a"],
        &["--no-preserve=timestamps"],
        &["--inplace"],
        &["--checksum"],
        &["--update=all"],
        &["--update=none"],
        &["--update=older"],
        &["--exclude=d", "--max-size=15"],
        &["--existing"],
        &["-b"],
        &["--no-preserve=links"],
        &["--attributes-only"],
        &["--symbolic-link", "--force"],
        &["--link", "--force"],
    ] {
        let env = Sandbox::new();
        trees(&env);
        let absolute = env.path("src").display().to_string();
        let line = |more: &[&str]| {
            [more, options, &["-j1", "--itemize-changes", "-T", &*absolute, "dst"]]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let dry = env.pcopy(line(&["--dry-run"]));
        let run = env.pcopy(line(&[]));

        assert_eq!(sorted(&dry.stdout), sorted(&run.stdout), "{options:?}");
        assert!(options.contains(&"--update=none") || !dry.stdout.is_empty(), "{options:?}");
        let again = env.pcopy(line(&["--dry-run"]));
        let repeats = ["--update=all", "-b", "--attributes-only"];
        if !options.iter().any(|option| repeats.contains(option)) {
            assert_eq!(again.stdout, "", "{options:?}");
        }
    }
}

#[test]
fn verbose_names_are_those_that_the_run_prints() {
    let env = Sandbox::new();
    trees(&env);

    let dry = env.pcopy(["--dry-run", "-v", "-T", "src", "dst"]);
    let run = env.pcopy(["-v", "-T", "src", "dst"]);

    assert_eq!(sorted(&dry.stdout), sorted(&run.stdout));
    assert!(dry.stdout.contains("dst/d/new\n"), "{}", dry.story());
}

#[test]
fn names_are_relative_to_the_target() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1"]).tree("into", []);
    let itemized = |line: &[&str]| {
        let run = env.pcopy([&["--dry-run", "--itemize-changes"], line].concat());
        run.exits(0).stdout.clone()
    };

    assert_eq!(sorted(&itemized(&["src", "into"])), [">f+++++++++ src/a", "cd+++++++++ src/"]);
    assert_eq!(sorted(&itemized(&["src", "new"])), [">f+++++++++ a", "cd+++++++++ ./"]);
    assert_eq!(sorted(&itemized(&["src/a", "into"])), [">f+++++++++ a"]);
}

#[test]
fn a_dry_run_of_an_unchanged_tree_says_so() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1", "dir d", "file d/b 1"]);
    env.pcopy(["src", "dst"]).exits(0);

    let run = env.pcopy(["--dry-run", "-T", "src", "dst"]);

    run.exits(0).stderr_has("dry run: nothing would be copied to 'dst'; 4 skipped");
}

#[test]
fn what_a_run_refuses_a_dry_run_refuses() {
    let env = Sandbox::new();
    env.tree("src", ["dir d", "file f 1"]).tree("dst", ["file d 1"]);

    env.pcopy(["--dry-run", "src", "src/d/x"]).exits(3);
    env.pcopy(["--dry-run", "none", "dst"]).exits(3);
    env.pcopy(["--dry-run", "-T", "src", "dst"])
        .exits(1)
        .stderr_has("cannot overwrite non-directory 'dst/d' with directory 'src/d'");
    assert_eq!(fs::read_dir(env.path("dst")).unwrap().count(), 1);
}

#[test]
fn a_file_that_may_not_be_read_is_a_failure_in_advance() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1", "file b 1"]);
    chmod(&env.path("src/a"), 0);

    let run = env.plain_pcopy(["--dry-run", "src", "dst"]);

    run.exits(1).stderr_has("cannot open 'src/a' for reading: Permission denied");
    assert!(!env.path("dst").exists());
}

#[test]
fn a_dry_run_finds_out_that_there_is_no_room() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 3M", "file b 3M"]);
    fs::create_dir(env.path("small")).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=4M", "none"];
    let mounted = Command::new("mount").args(mount).arg(env.path("small")).status();
    assert!(mounted.unwrap().success());

    env.pcopy(["--dry-run", "src", "small/dst"]).exits(11).stderr_has("small");
    env.pcopy(["--dry-run", "src/a", "small"]).exits(0);

    assert_eq!(fs::read_dir(env.path("small")).unwrap().count(), 0);
    assert!(Command::new("umount").arg(env.path("small")).status().unwrap().success());
}

#[test]
fn options_that_make_no_sense_in_a_dry_run_are_refused() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1"]);
    for option in ["-i", "--manifest=m", "--check", "--parents"] {
        env.pcopy(["--dry-run", option, "src", "dst"]).exits(2).stderr_has("cannot be used with");
    }
    env.pcopy(["-n", "--itemize-changes", "src", "dst"]).exits(2).stderr_has("--dry-run");
    assert!(!env.path("dst").exists());
}

#[test]
fn a_dry_run_names_the_rules_that_decide_nothing() {
    for jobs in ["-j1", "-j8"] {
        let env = Sandbox::new();
        trees(&env);
        let rules = ["--exclude=*.tmp", "--include=*.c", "--exclude=size", "--exclude=/d/sub/"];

        let run = env.pcopy([&["--dry-run", jobs], &rules[..], &["src", "new"]].concat());

        run.exits(0).stderr_has("note: no entry was decided by '--exclude=*.tmp'\n");
        run.stderr_has("decided by '--include=*.c'\n");
        run.stderr_lacks("--exclude=size").stderr_lacks("sub");
        let copied = env.pcopy([&rules[..], &["src", "new"]].concat());
        copied.exits(0).stderr_lacks("decided by");
    }
}

#[test]
fn of_many_rules_that_decide_nothing_ten_are_named() {
    let env = Sandbox::new();
    trees(&env);
    let rules: String = (0..100).map(|number| format!("no-{number}\n")).collect();
    fs::write(env.path("rules"), rules).unwrap();

    let run = env.pcopy(["--dry-run", "--exclude-from=rules", "src", "new"]);

    run.exits(0).stderr_has("decided by 'rules:10: - no-9', and 90 other rules");
    assert_eq!(run.stderr.matches("decided by").count(), 10, "{}", run.story());
}

#[test]
fn a_followed_symlink_is_compared_by_a_dry_run_as_by_the_run() {
    let env = Sandbox::new();
    env.tree("src", ["file f 10", "link l f"]);
    env.pcopy(["-L", "-T", "src", "dst"]).exits(0);

    for option in ["--checksum", "--no-preserve=timestamps"] {
        let run = env.pcopy(["--dry-run", "-L", option, "--itemize-changes", "-T", "src", "dst"]);
        run.exits(0).stderr_lacks("cannot open");
        assert_eq!(run.stdout, "", "{option}");
    }
}

#[test]
fn a_comparison_in_a_dry_run_keeps_times_of_access() {
    let env = Sandbox::new();
    env.tree("src", ["file f 10", "dir d", "file d/.gitignore 1"]);
    env.pcopy(["src/f", "copy"]).exits(0);
    let paths = ["src/f", "copy", "src/d", "src/d/.gitignore"].map(|path| env.path(path));
    let accessed = || paths.each_ref().map(|path| path.metadata().unwrap().accessed().unwrap());
    for path in &paths {
        let modified = path.metadata().unwrap();
        set_times(path, (1, 0), (modified.mtime(), modified.mtime_nsec()));
    }
    let before = accessed();

    env.pcopy(["--dry-run", "-T", "src/f", "copy"]).exits(0).stderr_has("1 skipped");
    env.pcopy(["--dry-run", "-L", "--gitignore", "src/d", "new"]).exits(0);

    assert_eq!(before, accessed());
}

#[test]
fn an_unchanged_symlink_that_is_replaced_has_no_line() {
    let env = Sandbox::new();
    env.tree("src", ["link l nowhere"]);
    env.pcopy(["-T", "src", "dst"]).exits(0);

    let run = env.pcopy(["--update=all", "--itemize-changes", "-T", "src", "dst"]);

    assert_eq!(run.exits(0).stdout, "");
}

#[test]
fn linked_names_that_keep_their_contents_get_attributes_in_a_dry_run_as_in_the_run() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]);
    fs::hard_link(env.path("src/a"), env.path("src/b")).unwrap();
    env.tree("dst", ["file a 10", "file b 10"]);
    chmod(&env.path("dst/a"), 0o600);
    chmod(&env.path("dst/b"), 0o600);
    let line = ["--attributes-only", "-j1", "--itemize-changes", "-T", "src", "dst"];

    let dry = env.pcopy([&["--dry-run"], &line[..]].concat());
    let run = env.pcopy(line);

    assert_eq!(sorted(&dry.stdout), sorted(&run.stdout));
    assert_eq!(run.stdout.matches("p..... ").count(), 2, "{}", run.story());
}

#[test]
fn a_dry_run_counts_the_bytes_that_the_run_writes() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]);
    fs::File::create(env.path("src/hole")).unwrap().set_len(100_000).unwrap();

    env.pcopy(["--dry-run", "--attributes-only", "src", "new"]).exits(0).stderr_has("(0 bytes)");
    env.pcopy(["--dry-run", "--sparse=never", "src", "new"]).exits(0).stderr_has("(100 kB)");
}

#[test]
fn a_name_that_fails_in_a_dry_run_is_no_leader_of_other_names() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]).tree("dst", ["file a 1", "file b 1"]);
    for name in ["b", "c"] {
        fs::hard_link(env.path("src/a"), env.path("src").join(name)).unwrap();
    }
    let line = ["--update=none-fail", "--itemize-changes", "-T", "src", "dst"];

    let dry = env.pcopy([&["--dry-run"], &line[..]].concat());
    let run = env.pcopy(line);

    assert_eq!(sorted(&dry.exits(1).stdout), sorted(&run.exits(1).stdout));
}

#[test]
fn a_target_that_may_not_be_written_is_a_failure_in_advance() {
    let env = Sandbox::new();
    env.tree("src", ["dir d", "file d/a 1", "dir e", "file e/b 1", "dir f"]);
    env.tree("dst", ["dir d", "dir e"]);
    env.give_to_plain_user();
    if is_root() {
        let chown = Command::new("chown").arg("0:0").arg(env.path("dst/d")).status();
        assert!(chown.unwrap().success());
    }
    chmod(&env.path("dst/d"), 0o555);
    chmod(&env.path("dst/e"), 0o555);

    let dry = env.plain_pcopy_as_is(["--dry-run", "-v", "-T", "src", "dst"]);
    let run = env.plain_pcopy_as_is(["-v", "-T", "src", "dst"]);

    // A directory that belongs to the user gets the permission to write for the time of the copy.
    let code = if is_root() { 1 } else { 0 };
    assert_eq!((dry.status.code(), run.status.code()), (Some(code), Some(code)), "{}", dry.story());
    assert_eq!(sorted(&dry.stdout), sorted(&run.stdout), "{}", dry.story());
}

#[test]
fn a_read_only_target_ends_a_dry_run_as_it_ends_the_run() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 1"]);
    fs::create_dir(env.path("disk")).unwrap();
    for options in ["mode=755", "remount,ro"] {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(env.path("disk"))
            .status();
        assert!(mounted.unwrap().success());
        if options != "remount,ro" {
            fs::create_dir(env.path("disk/dst")).unwrap();
        }
    }

    let dry = env.pcopy(["--dry-run", "-T", "src", "disk/dst"]);
    let run = env.pcopy(["-T", "src", "disk/dst"]);

    assert_eq!(dry.status.code(), run.status.code(), "{}{}", dry.story(), run.story());
    assert_ne!(dry.status.code(), Some(0));
}
