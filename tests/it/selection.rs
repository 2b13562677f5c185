//! Rules that select what is copied: `--exclude`, `--include`, `--filter` and files with rules.

use crate::common::entries::*;
use crate::common::live::with_default_signals;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use nix::sys::signal::Signal;
use std::fs;
use std::io::Write;
use std::process::Stdio;

holds_on_every_file_system!(except
    a_killed_copier_loses_no_count,
    rules_can_come_from_standard_input,
    standard_input_is_read_for_one_list,
    a_file_with_rules_that_cannot_be_read_is_a_failure,
    a_rule_that_cannot_be_used_is_named_with_its_place
);

/// A tree like that of a program: sources, objects, and a directory of modules.
fn project(env: &Sandbox) {
    env.tree(
        "src",
        [
            "file main.c 10",
            "file main.o 20",
            "file keep.o 30",
            "dir lib",
            "file lib/a.c 10",
            "file lib/a.o 20",
            "dir node_modules",
            "dir node_modules/x",
            "file node_modules/x/index.js 10",
            "dir lib/node_modules",
            "file lib/node_modules/y.js 10",
            "link link main.o",
        ],
    );
}

/// Returns the paths in a tree, without the directory itself.
pub(crate) fn names(env: &Sandbox, root: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut waiting = vec![env.path(root)];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            names.push(path.strip_prefix(env.path(root)).unwrap().display().to_string());
            if path.is_dir() && !path.is_symlink() {
                waiting.push(path);
            }
        }
    }
    names.sort();
    names
}

#[test]
fn what_a_pattern_matches_is_not_copied_nor_what_is_below() {
    for jobs in ["1", "8"] {
        let env = Sandbox::new();
        project(&env);

        let line = ["-j", jobs, "--exclude=*.o", "--exclude=node_modules/", "src", "dst"];
        let run = env.pcopy(line);

        run.exits(0).stderr_has("copied 5 entries").stderr_has("; 5 excluded");
        assert_eq!(names(&env, "dst"), ["lib", "lib/a.c", "link", "main.c"]);
    }
}

#[test]
fn the_first_rule_that_matches_decides_in_the_order_of_the_command_line() {
    let env = Sandbox::new();
    project(&env);

    env.pcopy(["--include=/keep.o", "--exclude=*.o", "src", "one"]).exits(0);
    env.pcopy(["--exclude=*.o", "--include=/keep.o", "src", "other"]).exits(0);

    assert!(env.path("one/keep.o").exists() && !env.path("one/main.o").exists());
    assert!(!env.path("other/keep.o").exists());
}

/// As with rsync: the directories must be included, too.
#[test]
fn only_some_names_are_copied_if_all_others_are_excluded() {
    let env = Sandbox::new();
    project(&env);

    env.pcopy(["--include=*/", "--include=*.c", "--exclude=*", "src", "dst"]).exits(0);

    let expected =
        ["lib", "lib/a.c", "lib/node_modules", "main.c", "node_modules", "node_modules/x"];
    assert_eq!(names(&env, "dst"), expected);
}

#[test]
fn a_slash_at_the_beginning_of_a_pattern_is_the_source() {
    let env = Sandbox::new();
    project(&env);
    env.tree("into", []);

    for line in [&["src", "into"][..], &["-T", "src/", "into/src"], &["src/.", "into/src"]] {
        env.pcopy([&["--exclude=/node_modules"], line].concat()).exits(0);

        assert!(!env.path("into/src/node_modules").exists(), "{line:?}");
        assert!(env.path("into/src/lib/node_modules/y.js").exists(), "{line:?}");
        fs::remove_dir_all(env.path("into/src")).unwrap();
        fs::create_dir(env.path("into/src")).unwrap();
    }
}

#[test]
fn what_is_excluded_stays_as_it_is_in_the_target() {
    let env = Sandbox::new();
    project(&env);
    env.tree("dst", ["text main.o mine", "dir node_modules", "text node_modules/z old"]);

    env.pcopy(["--exclude=*.o", "--exclude=node_modules", "-T", "src", "dst"]).exits(0);

    assert_eq!(fs::read_to_string(env.path("dst/main.o")).unwrap(), "mine");
    assert_eq!(names(&env, "dst/node_modules"), ["z"]);
}

#[test]
fn a_comparison_leaves_out_the_same_on_both_sides() {
    let env = Sandbox::new();
    project(&env);
    let rules = ["--exclude=*.o", "--exclude=node_modules/"];
    env.pcopy([&rules[..], &["src", "dst"]].concat()).exits(0);
    let check = |extra: &[&str]| env.pcopy([&["--check"], extra, &["-T", "src", "dst"]].concat());

    check(&rules).exits(0).stderr_has("5 excluded").stderr_has("identical");
    let time = modified(env.path("dst"));
    env.tree("dst", ["file mine.o 5", "dir node_modules", "file mine.c 5"]);
    set_times(&env.path("dst"), time, time);

    check(&rules).exits(6).stdout_is("extraneous: 'dst/mine.c'\n");
    check(&[&rules[..], &["--filter=P mine.c"]].concat()).exits(0);
    check(&[&["--filter=R mine.o"], &rules[..]].concat())
        .exits(6)
        .stdout_is("extraneous: 'dst/mine.c'\nextraneous: 'dst/mine.o'\n");
}

#[test]
fn a_manifest_has_no_file_that_is_excluded() {
    let env = Sandbox::new();
    project(&env);

    env.pcopy(["--exclude=*.o", "--exclude=*.js", "--manifest=list", "src", "dst"]).exits(0);

    let list = fs::read_to_string(env.path("list")).unwrap();
    let files: Vec<_> = list.lines().filter_map(|line| line.split("  ").nth(1)).collect();
    assert_eq!(files, ["lib/a.c", "main.c"]);
}

#[test]
fn the_other_names_of_an_excluded_file_are_linked() {
    for excluded in ["a", "b", "c"] {
        let env = Sandbox::new();
        env.tree("src", ["file a 10"]);
        ["b", "c"].iter().for_each(|name| {
            fs::hard_link(env.path("src/a"), env.path("src").join(name)).unwrap();
        });
        let rule = format!("--exclude={excluded}");

        env.pcopy([&*rule, "src", "dst"]).exits(0);

        let inodes: Vec<_> =
            names(&env, "dst").iter().map(|name| inode(env.path("dst").join(name))).collect();
        assert_eq!(inodes.len(), 2, "{excluded}");
        assert_eq!(inodes[0], inodes[1], "{excluded}");
    }
}

#[test]
fn a_symlink_that_is_followed_to_a_directory_is_matched_as_one() {
    let env = Sandbox::new();
    env.tree("src", ["dir d", "file d/a 1", "link to-dir d", "link to-file d/a"]);

    env.pcopy(["-L", "--exclude=to-*/", "src", "followed"]).exits(0);
    env.pcopy(["--exclude=to-*/", "src", "kept"]).exits(0);

    assert_eq!(names(&env, "followed"), ["d", "d/a", "to-file"]);
    assert_eq!(names(&env, "kept"), ["d", "d/a", "to-dir", "to-file"]);
}

#[test]
fn names_of_a_wide_directory_that_copiers_share_are_selected() {
    let env = Sandbox::new();
    env.tree("src", []);
    for number in 0..3000 {
        fs::write(env.path("src").join(format!("{number}.{}", ["c", "o"][number % 2])), "")
            .unwrap();
    }

    let run = env.pcopy(["-j8", "--exclude=*.o", "src", "dst"]);

    run.exits(0).stderr_has("copied 1,501 entries").stderr_has("; 1,500 excluded");
    assert!(names(&env, "dst").iter().all(|name| name.ends_with(".c")));
}

/// A run without the rule was interrupted, and has left entries that are excluded now.
#[test]
fn what_an_interrupted_run_has_copied_of_the_excluded_is_removed() {
    let env = Sandbox::new();
    project(&env);
    env.pcopy(["src", "dst"]).exits(0);
    fs::rename(env.path("dst"), env.path(".dst.pcopy-partial")).unwrap();

    env.pcopy(["--exclude=*.o", "--exclude=node_modules", "src", "dst"]).exits(0);

    assert_eq!(names(&env, "dst"), ["lib", "lib/a.c", "link", "main.c"]);
}

#[test]
fn rules_begin_at_the_source_also_where_the_target_has_a_symlink() {
    let env = Sandbox::new();
    env.tree("src", ["dir lib", "file lib/a 1", "file lib/b 1", "dir x", "file x/c 1"]);
    env.tree("dst", ["dir usr", "link lib usr", "link x usr"]);

    let rules = ["--keep-directory-symlink", "--exclude=/lib/a", "--exclude=/x"];
    env.pcopy([&rules[..], &["-T", "src", "dst"]].concat()).exits(0);

    assert_eq!(names(&env, "dst/usr"), ["b"]);
}

#[test]
fn a_killed_copier_loses_no_count() {
    let env = Sandbox::new();
    env.many("src", 3000, 10_000);
    for _ in 0..3 {
        let line = ["-j2", "--progress=always", "--exclude=*7*", "src", "dst"];
        let mut live = env.launch(with_default_signals(env.command(line)));
        let copiers = live.wait_for_children(1);
        live::send(copiers[0], Signal::SIGKILL);

        let run = live.end();

        run.exits(0);
        let names = names(&env, "dst");
        assert!(names.iter().all(|name| !name.contains('7')), "{names:?}");
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

#[test]
fn operands_are_matched_like_entries() {
    let env = Sandbox::new();
    project(&env);
    env.tree("into", []).tree("", ["file z.o 1", "file z.c 1"]);

    let line = ["--exclude=*.o", "--exclude=node_modules", "-t", "into"];
    let sources = ["z.o", "z.c", "src/node_modules", "src/lib/"];
    let run = env.pcopy([&line[..], &sources].concat());

    run.exits(0).stderr_has("; 4 excluded");
    assert_eq!(names(&env, "into"), ["lib", "lib/a.c", "z.c"]);
}

#[test]
fn with_parents_no_directory_is_made_for_a_source_that_is_left_out() {
    let env = Sandbox::new();
    project(&env);
    env.tree("into", []);

    let line = ["--parents", "--exclude=*.o", "-t", "into", "src/lib/a.o", "src/main.c"];
    env.pcopy(line).exits(0).stderr_has("1 excluded");

    assert_eq!(names(&env, "into"), ["src", "src/main.c"]);
}

#[test]
fn a_single_source_that_a_rule_leaves_out_is_a_usage_error() {
    let env = Sandbox::new();
    project(&env);

    for line in [&["--exclude=src", "src", "dst"][..], &["--exclude=*.o", "src/main.o", "x"]] {
        env.pcopy(line).exits(2).stderr_has("the only source");
    }
    // A wildcard is about what is in the directory.
    env.pcopy(["--exclude=*", "src", "dst"]).exits(0).stderr_has("copied 1 entry");
}

#[test]
fn rules_can_come_from_files() {
    let env = Sandbox::new();
    project(&env);
    fs::write(env.path("rules"), "# objects\n\n; and others\r\n+ /keep.o\n*.o\r\nnode_modules/")
        .unwrap();
    fs::write(env.path("nul"), "*.o\0#x\0node_modules").unwrap();
    fs::write(env.path("merged"), "- *.o\n- node_modules\n").unwrap();

    env.pcopy(["--exclude-from=rules", "src", "lines"]).exits(0);
    env.pcopy(["-0", "--exclude-from=nul", "src", "nuls"]).exits(0);
    env.pcopy(["--filter=. merged", "src", "filter"]).exits(0);

    assert_eq!(names(&env, "lines"), ["keep.o", "lib", "lib/a.c", "link", "main.c"]);
    for other in ["nuls", "filter"] {
        assert_eq!(names(&env, other), ["lib", "lib/a.c", "link", "main.c"]);
    }
}

#[test]
fn rules_can_come_from_standard_input() {
    let env = Sandbox::new();
    project(&env);
    let mut command = env.command(["--exclude-from=-", "src", "dst"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"*.o\n").unwrap();

    assert!(child.wait().unwrap().success());

    assert!(names(&env, "dst").iter().all(|name| !name.ends_with(".o")));
}

#[test]
fn a_rule_that_cannot_be_used_is_named_with_its_place() {
    let env = Sandbox::new();
    project(&env);
    fs::write(env.path("git"), "*.o\n!keep.o\n").unwrap();
    fs::write(env.path("loop"), ". loop\n").unwrap();
    for (rule, message) in [
        ("--filter=x a", "invalid value 'x a' for '--filter': expected one of the letters"),
        ("--filter=:- .gitignore", "use --gitignore"),
        ("--filter=-q a", "the modifier 'q' is not supported"),
        ("--exclude=", "the pattern is missing"),
        ("--exclude-from=git", "git:2: invalid rule '!keep.o': this is git's grammar"),
        ("--exclude-from=nothing", "cannot read the rules in 'nothing': No such file or directory"),
        ("--filter=. loop", "the files merge each other"),
    ] {
        let run = env.pcopy([rule, "src", "dst"]);
        run.exits(2).stderr_has(message);
        assert!(!env.path("dst").exists());
    }
}

#[test]
fn a_rule_that_can_match_nothing_is_named() {
    let env = Sandbox::new();
    project(&env);

    let run = env.pcopy(["--exclude=/lib", "--include=/lib/a.c", "src", "dst"]);

    let note = "note: the rule '--include=/lib/a.c' matches nothing: 'lib' is left out by '--exclude=/lib'";
    run.exits(0).stderr_has(note);
    env.pcopy(["--include=/lib/a.c", "--exclude=/lib/*", "-T", "src", "dst"]).stderr_lacks("note");
}

/// The same letters mean other things to people who come from rsync.
#[test]
fn short_options_that_rsync_uses_otherwise_are_refused_beside_rules() {
    let env = Sandbox::new();
    project(&env);
    for (short, long) in [
        (&["-n"][..], &["--no-clobber"][..]),
        (&["-an"], &["-a", "--no-clobber"]),
        (&["-l"], &["--link"]),
        (&["-S", "~"], &["--suffix=~"]),
        (&["-i"], &["--interactive"]),
    ] {
        let line = |options: &[&'static str]| {
            [&["--exclude=*.o"], options, &["-T", "src", "dst"]].concat()
        };
        let run = env.pcopy(line(short));
        run.exits(2)
            .stderr_has("beside options of rsync: pcopy and rsync mean different things by it");
        assert!(!env.path("dst").exists(), "{short:?}");

        env.pcopy(line(long)).exits(0);
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
    // A value is no option, and without rules nothing is ambiguous.
    env.pcopy(["--exclude=*.o", "-tn", "src"]).exits(3);
    env.pcopy(["-n", "src", "dst"]).exits(0);
}

/// Writes a list for `--files-from`.
fn list(env: &Sandbox, names: &str) {
    fs::write(env.path("list"), names).unwrap();
}

/// As `find` prints them: each directory alone, then what is in it.
#[test]
fn a_directory_that_is_listed_alone_contains_what_is_listed_in_it() {
    let env = Sandbox::new();
    project(&env);
    list(&env, "src\nsrc/lib\nsrc/lib/a.c\nsrc/node_modules\n");

    env.pcopy(["--files-from=list", "-T", "src", "dst"]).exits(0);

    assert_eq!(names(&env, "dst"), ["lib", "lib/a.c", "node_modules"]);
}

/// `find src/` prints `src/` first.
#[test]
fn the_source_as_typed_is_listed_alone_also_with_a_slash() {
    let env = Sandbox::new();
    project(&env);
    list(&env, "src/\nsrc/main.c\n");

    env.pcopy(["--files-from=list", "-T", "src/", "dst"]).exits(0);

    assert_eq!(names(&env, "dst"), ["main.c"]);
}

#[test]
fn a_listed_name_that_no_directory_leads_to_is_a_failure() {
    let env = Sandbox::new();
    env.tree("src", ["dir d", "file d/a 1", "link link d", "file f 1"]);
    list(&env, "link/a\nf/a\n");

    let run = env.pcopy(["--files-from=list", "-T", "src", "dst"]);

    run.exits(1).stderr_has("cannot copy 'src/link/a'").stderr_has("cannot copy 'src/f/a'");
    assert!(names(&env, "dst").is_empty());
}

#[test]
fn a_listed_name_may_lead_through_a_symlink_that_is_followed() {
    let env = Sandbox::new();
    env.tree("src", ["dir d", "file d/a 1", "file d/b 1", "link link d"]);
    list(&env, "link/a\n");

    env.pcopy(["-L", "--files-from=list", "-T", "src", "dst"]).exits(0);

    assert_eq!(names(&env, "dst"), ["link", "link/a"]);
}

#[test]
fn a_carriage_return_ends_a_rule() {
    let env = Sandbox::new();
    project(&env);
    fs::write(env.path("rules"), "*.c\r*.o\r\nnode_modules\r\n").unwrap();

    env.pcopy(["--exclude-from=rules", "-T", "src", "dst"]).exits(0);

    assert_eq!(names(&env, "dst"), ["lib", "link"]);
}

/// The second list would be empty, and nothing or too much would be copied.
#[test]
fn standard_input_is_read_for_one_list() {
    let env = Sandbox::new();
    project(&env);

    let run = env.pcopy(["--exclude-from=-", "--files-from=-", "-T", "src", "dst"]);

    run.exits(2).stderr_has("standard input is used for another list");
    assert!(!env.path("dst").exists());
}

/// As with rsync: of the patterns in a file in a directory, only those that begin with a slash begin there.
#[test]
fn a_pattern_in_a_directory_is_matched_with_the_whole_path() {
    let env = Sandbox::new();
    env.tree("src", ["dir [x]", "file [x]/a 1", "file [x]/b 1", "dir [x]/d", "file [x]/d/b 1"]);
    fs::write(env.path("src/[x]/.rules"), "- ?x]/a\n- /b\n").unwrap();

    env.pcopy(["--filter=: .rules", "-T", "src", "dst"]).exits(0);

    assert_eq!(names(&env, "dst"), ["[x]", "[x]/.rules", "[x]/d", "[x]/d/b"]);
}

/// Also if a rule leaves out the file, or its copy is up to date: what its rules leave out was copied.
#[test]
fn a_file_with_rules_that_cannot_be_read_is_a_failure() {
    let env = Sandbox::new();
    project(&env);
    for (name, option) in [(".rules", "--filter=: .rules"), (".gitignore", "--gitignore")] {
        let path = env.path("src").join(name);
        fs::File::create(&path).unwrap().set_len(101 << 20).unwrap();

        let run = env.pcopy([option, &format!("--exclude={name}"), "-T", "src", "dst"]);

        run.exits(1).stderr_has("its rules do not hold: File too large");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_symlink_in_the_target_beyond_the_depth_is_not_followed() {
    let env = Sandbox::new();
    env.tree("src", ["dir d", "dir d/deep", "file d/deep/a 1"]);
    env.tree("dst", ["dir d", "dir real", "link d/deep ../real"]);
    chmod(&env.path("src/d/deep"), 0o700);
    chmod(&env.path("dst/real"), 0o755);

    let line = ["-a", "--keep-directory-symlink", "--max-depth=1", "-T", "src", "dst"];
    env.pcopy(line).exits(0);

    assert_eq!(mode_of(env.path("dst/real")), 0o755);
}

#[test]
fn names_below_a_symlink_that_is_not_followed_are_refused() {
    let env = Sandbox::new();
    project(&env);
    std::os::unix::fs::symlink("src", env.path("link")).unwrap();
    list(&env, "main.c\n");

    let run = env.pcopy(["--files-from=list", "-T", "link", "dst"]);

    run.exits(3).stderr_has("'link' is a symbolic link").stderr_has("write 'link/'");
    for line in [&["-T", "link/", "dst"][..], &["-L", "-T", "link", "dst"]] {
        env.pcopy([&["--files-from=list"], line].concat()).exits(0);

        assert_eq!(names(&env, "dst"), ["main.c"], "{line:?}");
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

#[test]
fn a_blank_at_the_end_of_a_line_belongs_to_the_pattern_and_is_named() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1"]);
    fs::write(env.path("src/b "), "").unwrap();
    fs::write(env.path("rules"), "a \nb \n").unwrap();

    let run = env.pcopy(["--exclude-from=rules", "src", "dst"]);

    run.exits(0).stderr_has("note: the rule 'rules:1: - a ' ends with a blank");
    assert_eq!(names(&env, "dst"), ["a"]);
    env.pcopy(["--exclude=a ", "src", "other"]).exits(0).stderr_lacks("blank");
}

#[test]
fn gitignore_takes_a_repository_whole() {
    let env = Sandbox::new();
    env.tree("src", ["dir .git", "dir .git/logs", "file .git/logs/x.log 1", "file a.log 1"]);
    fs::create_dir(env.path("src/logs")).unwrap();
    fs::write(env.path("src/.gitignore"), ".*\n*.log\nlogs\n").unwrap();
    fs::write(env.path("src/.git/.gitignore"), "*\n").unwrap();

    env.pcopy(["--gitignore", "-T", "src", "dst"]).exits(0);

    let mut found = names(&env, "dst");
    found.sort();
    assert_eq!(found, [".git", ".git/.gitignore", ".git/logs", ".git/logs/x.log"]);
}
