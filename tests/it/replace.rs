//! Which existing files are replaced, which stay, and how they are backed up: as with cp.

use crate::common::entries::*;
use crate::common::mounts::*;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

holds_on_every_file_system!();

/// Plants `src` and `dst` with files that only one of them has, and with files that both have: older, newer,
/// with the same time and another size, and identical.
fn planted() -> Sandbox {
    let env = Sandbox::new();
    env.tree("src", ["file only-src 10", "file sub/both 20", "file sub/deep/x 5", "link l new"]);
    env.tree(
        "dst",
        ["file only-dst 10", "text sub/both old", "text sub/both~ backup", "link l old"],
    );
    for (name, theirs, ours) in [("newer", 200, 100), ("older", 100, 200), ("same", 150, 150)] {
        for dir in ["", "sub/"] {
            let name = format!("{dir}{name}");
            env.tree("src", [&*format!("text {name} source")]);
            env.tree("dst", [&*format!("text {name} target!")]);
            set_times(&env.path("src").join(&name), (theirs, 5), (theirs, 5));
            set_times(&env.path("dst").join(&name), (ours, 5), (ours, 5));
        }
    }
    env.tree("dst", ["text sub/newer.~1~ one", "text sub/newer.~3~ three", "text newer~ kept"]);
    env
}

/// Returns the texts of the files and symlinks in a tree.
fn texts(root: &Path) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for path in listing(root).into_keys() {
        let place = root.join(&path);
        let text = if place.is_symlink() {
            format!("-> {}", fs::read_link(&place).unwrap().display())
        } else if place.is_dir() {
            "directory".to_owned()
        } else {
            String::from_utf8_lossy(&fs::read(&place).unwrap()).into_owned()
        };
        texts.insert(path.to_str().unwrap().to_owned(), text);
    }
    texts
}

each_jobs!(what_is_replaced_and_what_stays_is_what_cp_replaces_and_leaves, 1, 2, 8);
fn what_is_replaced_and_what_stays_is_what_cp_replaces_and_leaves(jobs: &str) {
    for (options, ours) in [
        (&["-u"][..], &["-u"][..]),
        (&["--update"], &["--update"]),
        (&["-u"], &["--update=older"]),
        (&["-n"], &["-n"]),
        (&["-n"], &["--update=none"]),
        (&["-u", "-n"], &["-u", "-n"]),
        (&[], &["--update=all"]),
        (&["-f"], &["-f", "--update=all"]),
        (&["--remove-destination"], &["--remove-destination", "--update=all"]),
        (&["-b"], &["-b"]),
        (&["--backup"], &["--backup"]),
        (&["--backup=simple"], &["--backup=simple"]),
        (&["--backup=never", "-S", ".old"], &["--backup=never", "-S", ".old"]),
        (&["-S", ".old"], &["--suffix=.old"]),
        (&["--backup=numbered"], &["--backup=numbered"]),
        (&["--backup=t"], &["--backup=t"]),
        (&["--backup=existing"], &["--backup=existing"]),
        (&["--backup=none"], &["--backup=none"]),
        (&["--backup=off", "-S", "x"], &["--backup=off", "-S", "x"]),
        (&["-b", "-u"], &["-b", "-u"]),
    ] {
        let (expected, env) = (planted(), planted());
        let mut cp = Command::new("cp");
        cp.args(["-rT", "-p"]).args(options).args(["src", "dst"]);
        expected.run(cp_in(&expected, cp)).exits(0);

        let run = env.pcopy([&["-T", "-p", "-j", jobs][..], ours, &["src", "dst"]].concat());

        run.exits(0);
        let (cp, pcopy) = (texts(&expected.path("dst")), texts(&env.path("dst")));
        assert_eq!(pcopy, cp, "cp {options:?}\n{}", run.story());
        env.assert_nothing_staged();
    }
}

fn cp_in(env: &Sandbox, mut cp: Command) -> Command {
    cp.current_dir(env.path("")).env_remove("VERSION_CONTROL").env_remove("SIMPLE_BACKUP_SUFFIX");
    cp
}

#[test]
fn the_environment_selects_backups_where_no_option_does() {
    for (variable, value, backup) in [
        ("VERSION_CONTROL", "numbered", Some("sub/both.~1~")),
        ("VERSION_CONTROL", "simple", Some("sub/both~")),
        ("SIMPLE_BACKUP_SUFFIX", ".bak", Some("sub/both.bak")),
        ("VERSION_CONTROL", "off", None),
    ] {
        let env = planted();
        fs::remove_file(env.path("dst/sub/both~")).unwrap();
        let mut command = env.command(["-b", "-T", "src", "dst"]);
        command.env(variable, value);

        env.run(command).exits(0);

        let texts = texts(&env.path("dst"));
        let found = texts.iter().find(|(_, text)| *text == "old").map(|(name, _)| name.as_str());
        assert_eq!(found, backup, "{variable}={value}");
    }
}

#[test]
fn a_backup_that_would_be_the_source_is_refused() {
    let env = Sandbox::new();
    env.tree("", ["text a target", "text a~ source"]);
    set_times(&env.path("a"), (1000, 0), (1000, 0)); // or both may have one time, and be up to date

    let run = env.pcopy(["--backup=simple", "a~", "a"]);

    run.exits(1).stderr_has("backing up 'a' would destroy the source; 'a~' not copied");
    assert_eq!(texts(&env.path(""))["a"], "target");
    assert_eq!(texts(&env.path(""))["a~"], "source");
    env.pcopy(["--backup=numbered", "a~", "a"]).exits(0);
    assert_eq!(texts(&env.path(""))["a.~1~"], "target");
}

#[test]
fn a_file_is_never_without_a_name_while_it_is_backed_up() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for (control, call) in [
        ("simple", "linkat"),
        ("simple", "renameat"),
        ("numbered", "linkat"),
        ("numbered", "renameat"),
    ] {
        let env = Sandbox::new();
        env.tree("", ["text src/a new!", "text dst/a old", "text dst/a~ older"]);
        // The call kills its process, in three rounds; then the file is skipped.
        let (trace, deadly) =
            (format!("trace={call}"), format!("inject={call}:signal=KILL:when=1"));

        let run = env.run(env.traced(
            &["-e", &trace, "-e", &deadly],
            [&format!("--backup={control}"), "-T", "src", "dst"],
        ));

        run.exits(1).stderr_has("skipping 'src/a': copiers repeatedly died on it");
        let left = texts(&env.path("dst"));
        assert_eq!(left["a"], "old", "{control} {call}: {left:?}");
        assert!(left["a~"] == "older" || left["a~"] == "old", "{control} {call}: {left:?}");
        env.pcopy([&format!("--backup={control}"), "-T", "src", "dst"]).exits(0);
        let left = texts(&env.path("dst"));
        assert_eq!(left["a"], "new!", "{control} {call}: {left:?}");
        assert!(left.values().any(|text| text == "old"), "{control} {call}: {left:?}");
        env.assert_nothing_staged();
    }
}

#[test]
fn a_file_is_never_without_a_name_while_it_is_replaced() {
    if !has_strace!() {
        return;
    }
    let deadly = "inject=renameat,renameat2:signal=KILL:when=1";
    for (new, old) in [
        ("text src/a new!", "text dst/a old"),
        ("link src/a here", "text dst/a old"),
        ("text src/a new!", "link dst/a there"),
        ("link src/a here", "link dst/a there"),
    ] {
        let env = Sandbox::new();
        env.tree("", [new, old]);
        let before = env.listing("dst");

        // The call that renames the new file into place kills its process, in three rounds.
        let run = env.run(env.traced(
            &["-e", "trace=renameat,renameat2", "-e", deadly],
            ["--preserve=mode", "-T", "src", "dst"],
        ));

        run.exits(1).stderr_has("skipping 'src/a': copiers repeatedly died on it");
        let a = Path::new("a");
        assert_eq!(env.listing("dst").get(a), before.get(a), "{new}, {old}");
    }
}

#[test]
fn a_name_too_long_for_a_backup_is_a_failure_and_stays() {
    let env = Sandbox::new();
    let name = "n".repeat(255);
    env.tree("src", [&*format!("text {name} new"), "file other 5"]);
    env.tree("dst", [&*format!("text {name} older")]);

    let run = env.pcopy(["-b", "-T", "src", "dst"]);

    run.exits(1).stderr_has("cannot back up 'dst/nnn").stderr_has("File name too long");
    assert_eq!(texts(&env.path("dst"))[&name], "older");
    env.assert_same("src/other", "dst/other");
    env.assert_nothing_staged();
}

#[test]
fn with_none_fail_each_file_that_stays_is_named() {
    let env = planted();

    let run = env.pcopy(["--update=none-fail", "-T", "src", "dst"]);

    run.exits(1)
        .stderr_has("pcopy: not replacing 'dst/sub/both'")
        .stderr_has("8 entries failed: not replaced");
    assert_eq!(texts(&env.path("dst"))["sub/both"], "old");
    env.assert_same("src/sub/deep", "dst/sub/deep");
}

#[test]
fn the_last_update_option_counts() {
    for (options, replaced) in [
        (&["-n", "-u"][..], true),
        (&["-u", "-n"], false),
        (&["--update=all", "-n"], false),
        (&["-n", "--update=all"], true),
        (&["--update=none", "--update=older"], true),
    ] {
        let env = planted();

        env.pcopy([&["-T"][..], options, &["src", "dst"]].concat()).exits(0);

        let text = &texts(&env.path("dst"))["newer"];
        assert_eq!(text, if replaced { "source" } else { "target!" }, "{options:?}");
    }
}

#[test]
fn what_an_interrupted_run_staged_is_no_existing_file() {
    for update in ["--update=none", "--update=older", "--update=all"] {
        let env = Sandbox::new();
        env.tree("src", ["file a 10", "file b 20"]);
        env.tree(".dst.pcopy-partial", ["file a 5"]);

        env.pcopy([update, "src", "dst"]).exits(0);

        env.assert_same("src", "dst");
    }
}

each_jobs!(one_file_system_leaves_mount_points_empty, 1, 8);
fn one_file_system_leaves_mount_points_empty(jobs: &str) {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "dir mounted", "file sub/b 5"]);
    let Some(_mounted) =
        mount(&["-t", "tmpfs", "-o", "mode=711", "none"], &env.path("src/mounted"))
    else {
        return skip!("no tmpfs");
    };
    env.tree("src/mounted", ["file inside 10", "file deep/x 10"]);
    let mut cp = Command::new("cp");
    cp.args(["-axT", "src", "cp"]);
    env.run(cp_in(&env, cp)).exits(0);

    env.pcopy(["-x", "-j", jobs, "src", "dst"]).exits(0);

    assert_eq!(differences(&env.listing("cp"), &env.listing("dst")), "");
    assert_eq!(mode_of(env.path("dst/mounted")), 0o711);

    env.pcopy(["-x", "-j", jobs, "src/mounted", "new"]).exits(0); // an operand is on its own file system

    env.assert_same("src/mounted", "new");
}

#[test]
fn stripped_of_slashes_a_symlink_is_itself() {
    let env = Sandbox::new();
    env.tree("", ["file d/a 10", "link l d"]);

    env.pcopy(["--strip-trailing-slashes", "l///", "copy"]).exits(0);
    env.pcopy(["l/", "contents"]).exits(0);

    assert_eq!(fs::read_link(env.path("copy")).unwrap(), Path::new("d"));
    env.assert_same("d", "contents");
}

each_jobs!(of_two_sources_with_one_name_the_second_does_not_overwrite_the_first, 1, 8);
fn of_two_sources_with_one_name_the_second_does_not_overwrite_the_first(jobs: &str) {
    for (options, code) in
        [(&[][..], 1), (&["-b"], 1), (&["--backup=numbered"], 0), (&["-n"], 0), (&["-u"], 0)]
    {
        let (expected, env) = (Sandbox::new(), Sandbox::new());
        for env in [&expected, &env] {
            env.tree("one", ["text x first", "text d/f first", "text d/one 1"]);
            env.tree("two", ["text x second", "text d/f second!", "text d/two 2"]).tree("dst", []);
            for file in ["one/x", "one/d/f", "two/x", "two/d/f"] {
                set_times(&env.path(file), (100, 0), (100, 0));
            }
        }
        let sources = ["one/x", "one/d", "two/x", "two/d", "dst"];
        let mut cp = Command::new("cp");
        cp.arg("-rp").args(options).args(sources);
        let theirs = expected.run(cp_in(&expected, cp));
        theirs.exits(code);

        let run = env.pcopy([&["-p", "-j", jobs][..], options, &sources].concat());

        run.exits(code);
        let (cp, pcopy) = (texts(&expected.path("dst")), texts(&env.path("dst")));
        assert_eq!(pcopy, cp, "{options:?}\n{}", run.story());
        if code == 1 {
            let words = "will not overwrite just-created 'dst/x' with 'two/x'";
            theirs.stderr_has(words);
            run.stderr_has(words);
        }
    }
}

#[test]
fn a_source_that_is_named_twice_is_copied_once_and_reported() {
    let env = planted();
    env.tree("into", []);

    let run = env.pcopy(["src/sub/both", "src/sub", "./src/sub/both", "src/./sub/", "into"]);

    run.exits(0)
        .stderr_has("pcopy: warning: source file './src/sub/both' specified more than once\n")
        .stderr_has("pcopy: warning: source directory 'src/./sub' specified more than once\n");
    env.assert_same("src/sub", "into/sub");
    env.assert_same("src/sub/both", "into/both");
}

#[test]
fn a_backup_that_cannot_be_made_leaves_the_old_file() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for (linkat, backup) in [("EPERM", "older"), ("EPERM", ""), ("EIO", "older"), ("EIO", "")] {
        let env = Sandbox::new();
        env.tree("", ["text src/a new!", "text dst/a old"]);
        if !backup.is_empty() {
            env.tree("dst", [&*format!("text a~ {backup}")]);
        }
        // Neither a hard link to the old file nor a rename is possible.
        let links = format!("inject=linkat:error={linkat}");
        let broken = ["-e", "trace=linkat,renameat,renameat2", "-e", &links];
        let renames = ["-e", "inject=renameat,renameat2:error=EACCES"];

        let run =
            env.run(env.traced(&[&broken[..], &renames].concat(), ["-b", "-T", "src", "dst"]));

        assert!(!run.status.success(), "{}", run.story());
        let left = texts(&env.path("dst"));
        assert_eq!(left["a"], "old", "{}", run.story());
        assert_eq!(left.get("a~").map_or("", String::as_str), backup, "{}", run.story());
        env.assert_nothing_staged();
    }
}

#[test]
fn with_backups_a_source_may_be_named_twice() {
    for (options, code) in [("--backup=numbered", 0), ("-b", 1)] {
        let (expected, env) = (Sandbox::new(), Sandbox::new());
        for env in [&expected, &env] {
            env.tree("", ["text a once", "dir dst"]);
        }
        let mut cp = Command::new("cp");
        cp.args([options, "a", "a", "dst"]);
        expected.run(cp_in(&expected, cp)).exits(code);

        env.pcopy(["--update=all", options, "a", "a", "dst"]).exits(code);

        assert_eq!(texts(&env.path("dst")), texts(&expected.path("dst")), "{options}");
    }
}

#[test]
fn an_old_file_moved_to_its_backup_is_restored_if_the_new_one_cannot_replace_it() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for control in ["--backup=simple", "--backup=numbered"] {
        let env = Sandbox::new();
        env.tree("", ["text src/a new!", "text dst/a old"]);
        let calls = ["-e", "trace=linkat,renameat", "-e", "inject=linkat:error=EPERM"];
        let broken = [&calls[..], &["-e", "inject=renameat:error=EACCES"]].concat();

        let run = env.run(env.traced(&broken, [control, "-T", "src", "dst"]));

        run.exits(1).stderr_has("cannot rename 'dst/a' into place: Permission denied");
        let left = texts(&env.path("dst"));
        let left: Vec<_> = left.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(left, [("", "directory"), ("a", "old")], "{}", run.story());
    }
}
