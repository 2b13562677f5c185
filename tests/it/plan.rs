//! `--plan` and `--apply`: a plan is carried out as it was written, and nothing else is done.

use crate::common::chance::Dice;
use crate::common::entries::*;
use crate::common::testtree::leaders;
use crate::common::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A source, and an older copy of it.
fn trees(env: &Sandbox) {
    env.tree(
        "src",
        [
            "file a 10",
            "file b 20",
            "dir d",
            "file d/c 30",
            "dir d/new",
            "file d/new/e 5",
            "link l a",
        ],
    );
    env.tree(
        "dst",
        [
            "file a 10",
            "file b 7",
            "dir d",
            "file d/c 30",
            "file old 3",
            "dir gone",
            "file gone/x 2",
        ],
    );
    copy_times(&env.path("src/a"), &env.path("dst/a"));
    copy_times(&env.path("src/d/c"), &env.path("dst/d/c"));
    copy_times(&env.path("src/d"), &env.path("dst/d"));
}

fn copy_times(from: &Path, to: &Path) {
    let time = modified(from);
    set_times(to, time, time);
}

const DELETE: [&str; 5] = ["--delete", "--plan=plan", "-T", "src", "dst"];

/// Returns the lines of the plan.
fn lines(env: &Sandbox) -> Vec<String> {
    fs::read_to_string(env.path("plan")).unwrap().lines().map(str::to_owned).collect()
}

fn write_lines(env: &Sandbox, lines: &[String]) {
    fs::write(env.path("plan"), lines.join("\n") + "\n").unwrap();
}

/// Takes out the lines of operations with this path.
fn take_out(env: &Sandbox, path: &str) {
    let mut lines = lines(env);
    let count = lines.len();
    lines.retain(|line| !line.contains(&format!("\"path\":\"{path}\"")));
    assert_eq!(lines.len(), count - 1, "no line, or several: {path}");
    write_lines(env, &lines);
}

/// Returns the operations of the plan by their paths.
fn operations(env: &Sandbox) -> BTreeMap<PathBuf, Value> {
    let lines = lines(env);
    let values = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let operations = values.filter(|value| value.get("op").is_some());
    operations.map(|value| (PathBuf::from(value["path"].as_str().unwrap()), value)).collect()
}

each_jobs!(a_plan_changes_nothing_and_applying_it_does_what_it_says, 1, 8);

fn a_plan_changes_nothing_and_applying_it_does_what_it_says(jobs: &str) {
    let env = Sandbox::new();
    trees(&env);
    let before = env.listing("dst");

    env.pcopy([&["-j", jobs], &DELETE[..]].concat()).exits(0).stderr_has("dry run: ");
    assert!(before == env.listing("dst"));
    env.pcopy(["--apply", "plan", "-j", jobs]).exits(0);

    env.assert_same("src", "dst");
    let again = ["--dry-run", "--delete", "--itemize-changes", "-T", "src", "dst"];
    env.pcopy(again).exits(0).stdout_is("");
}

#[test]
fn the_operations_are_sorted_and_named() {
    let env = Sandbox::new();
    trees(&env);

    for jobs in ["1", "8"] {
        env.pcopy([&["-j", jobs], &DELETE[..]].concat()).exits(0);

        let lines = lines(&env);
        let named: Vec<String> = lines[1..lines.len() - 1]
            .iter()
            .map(|line| {
                let value: Value = serde_json::from_str(line).unwrap();
                format!("{} {}", value["op"].as_str().unwrap(), value["path"].as_str().unwrap())
            })
            .filter(|name| !name.ends_with(' '))
            .collect();
        let expected = [
            "replace b",
            "create d/new",
            "create d/new/e",
            "remove gone",
            "remove gone/x",
            "create l",
            "remove old",
        ];
        assert_eq!(named, expected);
    }
}

each_jobs!(lines_that_were_taken_out_are_not_done, 1, 8);

fn lines_that_were_taken_out_are_not_done(jobs: &str) {
    let env = Sandbox::new();
    trees(&env);
    env.pcopy(DELETE).exits(0);
    let before = env.listing("dst");
    let time = modified(env.path("dst/d"));
    for path in ["b", "d/new", "d/new/e", "old", ""] {
        take_out(&env, path);
    }

    env.pcopy(["--apply", "plan", "-j", jobs]).exits(0);

    let after = env.listing("dst");
    for path in ["b", "d/c", "old", "a"].map(Path::new) {
        assert!(before[path] == after[path], "{path:?}");
    }
    assert_eq!(modified(env.path("dst/d")), time);
    assert!(!exists(env.path("dst/d/new")) && !exists(env.path("dst/gone")));
    assert!(exists(env.path("dst/l")) || env.path("dst/l").is_symlink());
    env.assert_nothing_staged();
}

#[test]
fn a_directory_that_is_only_passed_keeps_its_time_and_mode() {
    let env = Sandbox::new();
    env.tree("src", ["dir d", "file d/new 3"]);
    env.tree("dst", ["dir d", "file d/old 3"]);
    chmod(&env.path("dst/d"), 0o711);
    env.pcopy(DELETE).exits(0);
    for path in ["d", ""] {
        take_out(&env, path);
    }
    let times = ["dst", "dst/d"].map(|dir| modified(env.path(dir)));

    env.pcopy(["--apply", "plan"]).exits(0);

    assert_eq!(times, ["dst", "dst/d"].map(|dir| modified(env.path(dir))));
    assert_eq!(mode_of(env.path("dst/d")) & 0o7777, 0o711);
    assert!(exists(env.path("dst/d/new")) && !exists(env.path("dst/d/old")));
}

#[test]
fn what_is_in_a_directory_whose_line_was_taken_out_fails() {
    let env = Sandbox::new();
    trees(&env);
    env.pcopy(DELETE).exits(0);
    take_out(&env, "d/new");

    env.pcopy(["--apply", "plan"]).exits(1).stderr_has("'dst/d/new' has changed since the plan");

    assert!(!exists(env.path("dst/d/new")));
}

#[test]
fn a_changed_plan_is_refused_with_the_number_of_the_line() {
    let env = Sandbox::new();
    trees(&env);
    env.pcopy(DELETE).exits(0);
    let whole = lines(&env);
    let before = env.listing("dst");
    let last = whole.len();
    let refused = |lines: Vec<String>, line: usize| {
        write_lines(&env, &lines);
        let run = env.pcopy(["--apply", "plan"]);
        run.exits(3).stderr_has(&format!("cannot apply 'plan', line {line}: "));
        assert!(before == env.listing("dst"), "{}", run.story());
    };

    let changed = |number: usize, from: &str, to: &str| {
        let mut lines = whole.clone();
        assert!(lines[number - 1].contains(from));
        lines[number - 1] = lines[number - 1].replacen(from, to, 1);
        lines
    };
    refused(changed(3, "\"path\":\"", "\"path\":\"x"), 3);
    refused(changed(4, "create", "remove"), 4);
    refused(changed(1, "--delete", "--update"), 1);
    refused(changed(last, "\"kept\":", "\"kept\":1"), last);
    let doubled = [&whole[..3], &whole[2..]].concat();
    refused(doubled, 4);
    let added = [&whole[..2], &["{}".to_owned()], &whole[2..]].concat();
    refused(added, 3);
    refused(whole[..last - 1].to_vec(), last);
    refused(whole[1..].to_vec(), 1);
    refused([&whole[..], &whole[last - 1..]].concat(), last + 1);
}

#[test]
fn a_line_of_another_plan_is_refused() {
    let env = Sandbox::new();
    trees(&env);
    env.pcopy(DELETE).exits(0);
    let other = lines(&env);
    env.pcopy(DELETE).exits(0);
    let mut lines = lines(&env);
    lines[1] = other[1].clone();
    write_lines(&env, &lines);

    env.pcopy(["--apply", "plan"]).exits(3).stderr_has("line 2: ");
}

#[test]
fn every_byte_of_a_name_survives() {
    let env = Sandbox::new();
    fs::create_dir(env.path("src")).unwrap();
    for byte in (1..=255).filter(|&byte| byte != b'/') {
        fs::write(env.path("src").join(OsStr::from_bytes(&[b'n', byte, b'm'])), [byte]).unwrap();
    }
    fs::write(env.path("src/\u{202e}\u{2028}\u{9b}\u{fffd}"), "").unwrap();
    fs::create_dir(env.path("src").join(OsStr::from_bytes(b"d\xff"))).unwrap();
    fs::write(env.path("src").join(OsStr::from_bytes(b"d\xff/\xfe\n")), "x").unwrap();

    env.pcopy(["--plan=plan", "src", "dst"]).exits(0);
    env.pcopy(["--apply=plan"]).exits(0);

    env.assert_same("src", "dst");
    let text = fs::read_to_string(env.path("plan")).unwrap();
    let is_dangerous = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}');
    assert!(!text.chars().any(|c| c != '\n' && is_dangerous(c)));
}

#[test]
fn an_operand_that_is_not_utf8_survives() {
    let env = Sandbox::new();
    let name = OsStr::from_bytes(b"s\xff");
    fs::write(env.path(name), "contents").unwrap();
    fs::create_dir(env.path("dst")).unwrap();

    env.pcopy([OsStr::new("--plan=plan"), name, OsStr::new("dst")]).exits(0);
    env.pcopy(["--apply=plan"]).exits(0);

    assert_eq!(fs::read(env.path("dst").join(name)).unwrap(), b"contents");
}

#[test]
fn a_plan_is_applied_from_any_directory_and_with_the_same_operands_only() {
    let env = Sandbox::new();
    trees(&env);
    env.tree("other", ["file a 1"]);
    env.pcopy(["--plan=plan", "-T", "src", "dst"]).exits(0);
    let before = env.listing("dst");

    for line in [
        &["--apply=plan", "-T", "other", "dst"][..],
        &["--apply=plan", "-T", "src", "other"],
        &["--apply=plan", "src", "dst"],
        &["--apply=plan", "dst", "src"],
        &["--apply=plan", "-T", "src", "new"],
        &["--apply=plan", "src", "other", "dst"],
    ] {
        env.pcopy(line).exits(3).stderr_has("'plan' is the plan of another run");
    }
    assert!(before == env.listing("dst") && !exists(env.path("new")));
    let mut command = env.command(["--apply", env.path("plan").to_str().unwrap()]);
    command.current_dir(env.path("other"));
    env.run(command).exits(0);
    env.assert_same("src/d", "dst/d");
    env.pcopy(["--dry-run", "--itemize-changes", "-T", "src", "dst"]).stdout_is("");
    env.pcopy(["--plan=plan", "-T", "src", "new"]).exits(0);
    env.pcopy(["--apply=plan", "-T", "src", "new"]).exits(0);
    env.assert_same("src", "new");
}

#[test]
fn another_root_is_refused() {
    for swapped in ["src", "dst"] {
        let env = Sandbox::new();
        trees(&env);
        env.pcopy(DELETE).exits(0);
        fs::rename(env.path(swapped), env.path("away")).unwrap();
        let copied =
            Command::new("cp").arg("-a").args([env.path("away"), env.path(swapped)]).status();
        assert!(copied.unwrap().success());
        let before = env.listing("dst");

        env.pcopy(["--apply", "plan"]).exits(3).stderr_has(&format!("'{swapped}' is not the one"));

        assert!(before == env.listing("dst"));
    }
}

#[test]
fn a_source_that_is_empty_by_now_is_refused() {
    let env = Sandbox::new();
    trees(&env);
    env.pcopy(DELETE).exits(0);
    for name in ["a", "b", "l"] {
        fs::remove_file(env.path("src").join(name)).unwrap();
    }
    fs::remove_dir_all(env.path("src/d")).unwrap();
    let before = env.listing("dst");

    env.pcopy(["--apply", "plan"]).exits(3).stderr_has("is empty");
    assert!(before == env.listing("dst"));
    // The way out is an option of the line. What the plan would copy is gone, and what it removes is removed.
    env.pcopy(["--apply", "plan", "--allow-empty-source"]).exits(1);
    assert!(!exists(env.path("dst/old")) && exists(env.path("dst/a")));
}

#[test]
fn removals_that_are_too_many_by_now_are_not_done() {
    let env = Sandbox::new();
    env.tree("src", ["file new 3"]);
    fs::create_dir(env.path("dst")).unwrap();
    for number in 0..30 {
        fs::write(env.path(format!("src/kept-{number}")), "").unwrap();
        fs::write(env.path(format!("dst/kept-{number}")), "").unwrap();
        fs::write(env.path(format!("dst/old-{number}")), "").unwrap();
    }
    env.pcopy(["--plan=plan", "--delete", "--no-preserve=timestamps", "-T", "src", "dst"]).exits(0);
    for number in 0..10 {
        fs::remove_file(env.path(format!("dst/kept-{number}"))).unwrap();
    }

    env.pcopy(["--apply=plan"]).exits(25).stderr_has("nothing was removed: 30 of 51 entries");
    assert!(exists(env.path("dst/old-0")) && exists(env.path("dst/new")));
    env.pcopy(["--apply=plan", "--max-delete=100%"]).exits(0);
    assert!(!exists(env.path("dst/old-0")) && !exists(env.path("dst/old-29")));
    assert!(!exists(env.path("dst/kept-0")) && exists(env.path("dst/kept-10")));
}

#[test]
fn what_came_into_a_directory_since_the_plan_is_not_removed() {
    let env = Sandbox::new();
    trees(&env);
    env.pcopy(DELETE).exits(0);
    fs::write(env.path("dst/gone/came"), "").unwrap();

    env.pcopy(["--apply", "plan"]).exits(1).stderr_has("'dst/gone' has changed since the plan");

    assert!(exists(env.path("dst/gone/came")) && !exists(env.path("dst/gone/x")));
}

#[test]
fn what_the_source_has_again_is_not_removed() {
    let env = Sandbox::new();
    trees(&env);
    env.pcopy(DELETE).exits(0);
    fs::write(env.path("src/old"), "back").unwrap();

    env.pcopy(["--apply", "plan"]).exits(1).stderr_has("'dst/old' has changed since the plan");

    assert!(exists(env.path("dst/old")));
}

#[test]
fn a_file_inside_a_source_or_a_target_is_refused() {
    let env = Sandbox::new();
    trees(&env);
    fs::write(env.path("dst/d/plan"), "mine").unwrap();
    let before = (env.listing("src"), env.listing("dst"));
    for (file, inside) in
        [("src/plan", "src"), ("dst/plan", "dst"), ("dst/d/plan", "dst"), ("src/a", "src")]
    {
        let run = env.pcopy(["--plan", file, "-T", "src", "dst"]);
        run.exits(3).stderr_has(&format!("'{file}' lies inside '{inside}'"));
    }
    env.pcopy(["--plan=new", "-T", "src", "new"]).exits(3).stderr_has("lies inside 'new'");
    env.pcopy(["--plan=no/dir/plan", "-T", "src", "dst"])
        .exits(3)
        .stderr_has("cannot write 'no/dir/plan'");
    env.pcopy(["--plan=src", "-T", "src", "dst"]).exits(3);
    assert!(before == (env.listing("src"), env.listing("dst")) && !exists(env.path("new")));
}

#[test]
fn a_full_disk_is_a_failure_of_the_plan() {
    let env = Sandbox::new();
    trees(&env);

    env.pcopy(["--plan=/dev/full", "-T", "src", "dst"])
        .exits(3)
        .stderr_has("cannot write '/dev/full'");
}

#[test]
fn options_without_sense_are_refused_and_named() {
    let env = Sandbox::new();
    trees(&env);
    for option in [
        "--check",
        "--check-manifest=m",
        "--manifest=m",
        "--interactive",
        "--parents",
        "--mkpath",
        "--explain=a",
    ] {
        let name = option.split('=').next().unwrap();
        for other in ["--plan=plan", "--apply=plan"] {
            let run = env.pcopy([other, option, "src", "dst"]);
            run.exits(2).stderr_has(name).stderr_has(&other[..6]);
        }
    }
    let line = ["--plan=plan", "--files-from=-", "src", "dst"];
    env.pcopy(line).exits(2).stderr_has("'--plan' cannot be used with '--files-from=-'");
    env.pcopy(["--plan=p", "--apply=p", "src", "dst"]).exits(2).stderr_has("--apply");
    for option in ["-a", "--delete", "--dry-run", "--exclude=x", "--fsync"] {
        env.pcopy(["--apply=plan", option]).exits(2).stderr_has("--apply");
    }
    assert!(!exists(env.path("plan")));
}

#[test]
fn sources_that_are_merged_are_refused() {
    let env = Sandbox::new();
    trees(&env);

    env.pcopy(["--plan=plan", "src/.", "dst/.", "new"]).exits(3);
    fs::create_dir(env.path("new")).unwrap();
    env.pcopy(["--plan=plan", "src/.", "dst/.", "new"]).exits(3).stderr_has("no plan can be made");
}

#[test]
fn several_sources_are_planned_together() {
    let env = Sandbox::new();
    trees(&env);
    env.tree("other", ["file x 3"]);
    fs::create_dir(env.path("into")).unwrap();

    env.pcopy(["--plan=plan", "src", "other", "into"]).exits(0);
    env.pcopy(["--apply=plan"]).exits(0);

    env.assert_same("src", "into/src");
    env.assert_same("other", "into/other");
}

#[test]
fn a_plan_that_was_interrupted_is_refused() {
    let env = Sandbox::new();
    trees(&env);
    env.pcopy(DELETE).exits(0);
    let text = fs::read_to_string(env.path("plan")).unwrap();

    let mut cut = 0;
    while cut < text.len() {
        fs::write(env.path("plan"), &text[..cut]).unwrap();
        env.pcopy(["--apply", "plan"]).exits(3);
        cut += 97;
    }
    assert!(exists(env.path("dst/old")));
}

#[test]
fn a_plan_is_applied_again_and_finds_nothing_to_do() {
    for options in [&[][..], &["-a"], &["--inplace"]] {
        let env = Sandbox::new();
        trees(&env);
        fs::hard_link(env.path("src/a"), env.path("src/a2")).unwrap();
        env.pcopy([options, &DELETE].concat()).exits(0);
        env.pcopy(["--apply", "plan"]).exits(0);

        env.pcopy(["--apply", "plan", "--itemize-changes"]).exits(0).stdout_is("");

        env.assert_same("src", "dst");
    }
}

#[test]
fn a_name_becomes_a_link_to_the_name_of_the_plan() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "dir d"]);
    fs::hard_link(env.path("src/a"), env.path("src/d/b")).unwrap();
    env.pcopy(["src", "dst"]).exits(0);
    fs::remove_file(env.path("dst/d/b")).unwrap();
    env.pcopy(["--plan=plan", "-T", "src", "dst"]).exits(0);
    let own = inode(env.path("dst/a"));
    assert_eq!(operations(&env)[Path::new("d/b")]["link_to"], "a");

    env.pcopy(["--apply=plan"]).exits(0);

    assert_eq!((inode(env.path("dst/a")), inode(env.path("dst/d/b"))), (own, own));
}

#[test]
fn a_link_to_a_name_that_is_not_up_to_date_fails() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "dir d"]);
    fs::hard_link(env.path("src/a"), env.path("src/d/b")).unwrap();
    env.pcopy(["src", "dst"]).exits(0);
    fs::remove_file(env.path("dst/d/b")).unwrap();
    env.pcopy(["--plan=plan", "-T", "src", "dst"]).exits(0);
    fs::write(env.path("dst/a"), "other").unwrap();

    env.pcopy(["--apply=plan"]).exits(1).stderr_has("cannot link 'dst/d/b'");

    assert_eq!(fs::read(env.path("dst/a")).unwrap(), b"other");
    assert!(!exists(env.path("dst/d/b")));
}

#[test]
fn a_plain_user_plans_and_applies() {
    let env = Sandbox::new();
    trees(&env);
    chmod(&env.path("src/d/new"), 0o555);
    chmod(&env.path("src/d"), 0o555);
    chmod(&env.path("dst/d"), 0o555);

    env.plain_pcopy(["--plan=plan", "--delete", "-T", "src", "dst"]).exits(0);
    env.plain_pcopy_as_is(["--apply=plan"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn a_closed_directory_that_is_only_passed_stays_closed() {
    let env = Sandbox::new();
    env.tree("src", ["dir d", "dir d/sub", "file d/sub/new 3"]);
    env.tree("dst", ["dir d", "dir d/sub"]);
    env.give_to_plain_user();
    chmod(&env.path("dst/d"), 0o555);
    env.plain_pcopy_as_is(["--plan=plan", "-T", "src", "dst"]).exits(0);
    for path in ["", "d", "d/sub"] {
        take_out(&env, path);
    }

    env.plain_pcopy_as_is(["--apply=plan"]).exits(0);

    assert_eq!(mode_of(env.path("dst/d")) & 0o7777, 0o555);
    assert!(exists(env.path("dst/d/sub/new")));
}

#[test]
fn gnu_cp_has_neither_option() {
    let env = Sandbox::new();
    trees(&env);
    for option in ["--plan=plan", "--apply=plan"] {
        let mut command = env.command([option, "src", "dst"]);
        std::os::unix::process::CommandExt::arg0(&mut command, "cp");
        env.run(command).exits(1).stderr_has("unrecognized option");
    }
}

#[test]
fn a_plan_of_staged_leftovers_publishes_nothing_else() {
    let env = Sandbox::new();
    env.tree("src", ["dir d", "file d/a 3", "file d/b 3"]);
    env.tree("dst", []);
    env.pcopy(["--plan=plan", "-T", "src", "dst"]).exits(0);
    take_out(&env, "d/b");
    // What an interrupted run has left.
    env.tree("dst/.d.pcopy-partial", ["file b 3"]);

    env.pcopy(["--apply=plan"]).exits(0);

    assert!(exists(env.path("dst/d/a")) && !exists(env.path("dst/d/b")));
}

const NAMES: [&str; 8] = ["a", "b", "c.o", "d", "e f", "g", "h.o", "z"];

fn time(dice: &mut Dice) -> (i64, i64) {
    (1_600_000_000 + dice.below(3) as i64, dice.below(3) as i64)
}

fn make(dice: &mut Dice, path: &Path) {
    if dice.below(6) == 0 {
        symlink(NAMES[dice.below(3)], path).unwrap();
    } else {
        fs::write(path, &b"abcdef"[..dice.below(6)]).unwrap();
        chmod(path, [0o644, 0o600, 0o755][dice.below(3)]);
    }
    let time = time(dice);
    set_times(path, time, time);
}

fn fill(dice: &mut Dice, dir: &Path, depth: usize, links: bool, files: &mut Vec<PathBuf>) {
    for _ in 0..=dice.below(5) {
        let path = dir.join(NAMES[dice.below(NAMES.len())]);
        match dice.below(4) {
            _ if path.symlink_metadata().is_ok() => {}
            0 if depth < 3 => {
                fs::create_dir(&path).unwrap();
                fill(dice, &path, depth + 1, links, files);
                chmod(&path, [0o755, 0o700][dice.below(2)]);
                let time = time(dice);
                set_times(&path, time, time);
            }
            1 if links && !files.is_empty() => {
                fs::hard_link(&files[dice.below(files.len())], &path).unwrap();
            }
            _ => {
                make(dice, &path);
                files.push(path);
            }
        }
    }
}

fn paths(root: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    walk(root, |path, _, _| paths.push(path));
    paths.retain(|path| !path.as_os_str().is_empty());
    paths
}

/// Makes some entries older, other, or missing, and adds some.
fn change(dice: &mut Dice, root: &Path, one_in: usize) {
    for path in paths(root).into_iter().rev() {
        let path = root.join(path);
        let is_dir = path.symlink_metadata().unwrap().is_dir();
        match dice.below(7 * one_in) {
            0 if is_dir => fs::remove_dir_all(&path).unwrap(),
            1 if is_dir => chmod(&path, 0o750),
            2 if is_dir => fill(dice, &path, 2, false, &mut Vec::new()),
            3 if is_dir => {
                fs::remove_dir_all(&path).unwrap();
                make(dice, &path);
            }
            0 => fs::remove_file(&path).unwrap(),
            1 => {
                fs::remove_file(&path).unwrap();
                make(dice, &path);
            }
            2 if !path.is_symlink() => chmod(&path, 0o640),
            3 if !path.is_symlink() => fs::write(&path, "written into").unwrap(),
            4 if !is_dir => {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
            }
            _ => {}
        }
    }
    if dice.below(one_in) == 0 {
        fill(dice, root, 2, false, &mut Vec::new());
    }
}

fn copy_tree(env: &Sandbox, from: &str, to: &str) {
    let copied = Command::new("cp").arg("-a").args([env.path(from), env.path(to)]).status();
    assert!(copied.unwrap().success());
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

const OPTIONS: [&[&str]; 16] = [
    &[],
    &["-a"],
    &["-a", "--delete", "--max-delete=100%"],
    &["--delete", "--max-delete=100%", "--inplace"],
    &["--inplace"],
    &["--checksum"],
    &["--update=older"],
    &["--update=none"],
    &["--update=all"],
    &["--no-preserve=timestamps"],
    &["--no-preserve=mode"],
    &["--exclude=*.o", "--delete", "--max-delete=100%"],
    &["--exclude=*.o", "--delete-excluded", "--max-delete=100%"],
    &["--existing"],
    &["--backup"],
    &["--prune-empty-dirs", "--exclude=a", "-a"],
];

#[test]
fn an_untouched_plan_does_what_the_run_does() {
    let (cases, seed) = (number("PCOPY_CASES", 100), number("PCOPY_SEED", 1));
    let mut dice = Dice::seeded(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
    let mut compared = 0;
    for case in 0..cases {
        let env = Sandbox::new();
        fs::create_dir(env.path("src")).unwrap();
        fill(&mut dice, &env.path("src"), 0, true, &mut Vec::new());
        copy_tree(&env, "src", "dst");
        change(&mut dice, &env.path("dst"), 1);
        copy_tree(&env, "dst", "by-run");
        let options = OPTIONS[dice.below(OPTIONS.len())];
        let jobs = ["-j1", "-j8"][dice.below(2)];
        let what = format!("PCOPY_SEED={seed}, case {case}: {options:?} {jobs}");
        let line =
            |more: &[&'static str], target| [more, options, &[jobs, "-T", "src", target]].concat();

        let run = env.pcopy(line(&[], "by-run"));
        let dry = env.pcopy(line(&["--plan=plan"], "dst"));
        // With `--delete` an entry of another type makes way in a run, and not in a plan.
        let deletes = options.iter().any(|option| option.starts_with("--delete"));
        if deletes && dry.status.code() == Some(1) {
            continue;
        }
        compared += 1;
        assert_eq!(dry.status.code(), run.status.code(), "{what}\n{}", run.story());
        if dry.status.code() == Some(3) {
            continue;
        }
        let applied = env.pcopy(["--apply=plan", jobs]);

        let (mut expected, mut found) = (env.listing("by-run"), env.listing("dst"));
        if options.contains(&"--no-preserve=timestamps") {
            for entry in expected.values_mut().chain(found.values_mut()) {
                entry.modified = (0, 0);
            }
        }
        // A directory that stays though the source does not have it gets another time from a run.
        for (path, entry) in expected.iter_mut().chain(found.iter_mut()) {
            if !exists(env.path("src").join(path)) {
                entry.modified = (0, 0);
            }
        }
        let plan = || lines(&env).join("\n");
        let story = || format!("{what}\n{}\n{}\n{}", run.story(), applied.story(), plan());
        assert!(expected == found, "{}\n{}", differences(&expected, &found), story());
        let links = |root: &str| leaders(&env.path(root));
        assert_eq!(links("by-run"), links("dst"), "{}", story());
        let is_success = run.status.code() == Some(0);
        assert!(!is_success || applied.status.code() == Some(0), "{}", story());
        let repeats = options.contains(&"--update=all") || !is_success;
        if !repeats && !options.contains(&"--backup") {
            let again = env.pcopy(line(&["--dry-run", "--itemize-changes"], "dst"));
            assert_eq!(again.stdout, "", "{}", story());
        }
    }
    assert!(compared * 2 > cases, "only {compared} of {cases} were compared");
}

/// What the plan compares of an entry.
fn seen(path: &Path) -> Option<Vec<i64>> {
    let metadata = path.symlink_metadata().ok()?;
    let base = [metadata.ino() as i64, metadata.mode().into(), metadata.uid().into()];
    Some(match metadata.is_dir() {
        true => base.to_vec(),
        false => [
            &base[..],
            &[metadata.len() as i64, metadata.mtime(), metadata.mtime_nsec()],
            &[metadata.ctime(), metadata.ctime_nsec()],
        ]
        .concat(),
    })
}

type States = BTreeMap<PathBuf, [Option<Vec<i64>>; 2]>;

fn states(env: &Sandbox, paths: impl Iterator<Item = PathBuf>) -> States {
    paths
        .map(|path| {
            let both = ["src", "dst"].map(|root| seen(&env.path(root).join(&path)));
            (path, both)
        })
        .collect()
}

/// Which operations can be done, after the trees have changed.
struct Model<'m> {
    env: &'m Sandbox,
    plan: BTreeMap<PathBuf, Value>,
    then: States,
    now: States,
}

impl Model<'_> {
    fn is_still(&self, path: &Path) -> bool {
        self.then[path] == self.now[path]
    }

    /// Whether entries can be created in a directory of the target.
    fn has_dir(&self, path: &Path) -> bool {
        let above = path.parent().is_none_or(|above| self.has_dir(above));
        let is_dir = |root: &str| {
            let metadata = self.env.path(root).join(path).symlink_metadata();
            metadata.is_ok_and(|metadata| metadata.is_dir())
        };
        above
            && is_dir("src")
            && (is_dir("dst") || self.plan.contains_key(path) && self.is_done(path))
    }

    fn is_done(&self, path: &Path) -> bool {
        let operation = &self.plan[path];
        if operation["op"] != "remove" {
            return self.is_still(path) && path.parent().is_none_or(|above| self.has_dir(above));
        }
        let is_empty = || {
            let Ok(entries) = fs::read_dir(self.env.path("dst").join(path)) else { return true };
            entries
                .map(|entry| path.join(entry.unwrap().file_name()))
                .all(|path| self.plan.contains_key(&path) && self.is_done(&path))
        };
        self.is_still(path) && (operation["target"]["type"] != "directory" || is_empty())
    }
}

#[test]
fn after_random_changes_only_what_has_not_changed_is_done() {
    const OPTIONS: [&[&str]; 6] = [
        &[],
        &["-a"],
        &["-a", "--delete", "--max-delete=100%", "--allow-empty-source"],
        &["--delete", "--max-delete=100%", "--allow-empty-source", "--inplace"],
        &["--inplace"],
        &["--update=all"],
    ];
    let (cases, seed) = (number("PCOPY_CASES", 100), number("PCOPY_SEED", 1));
    let mut dice = Dice::seeded(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
    let (mut done, mut left) = (0, 0);
    for case in 0..cases {
        let env = Sandbox::new();
        fs::create_dir(env.path("src")).unwrap();
        fill(&mut dice, &env.path("src"), 0, false, &mut Vec::new());
        copy_tree(&env, "src", "dst");
        change(&mut dice, &env.path("dst"), 1);
        let options = OPTIONS[dice.below(OPTIONS.len())];
        let jobs = ["-j1", "-j8"][dice.below(2)];
        let what = format!("PCOPY_SEED={seed}, case {case}: {options:?} {jobs}");
        let planned = env.pcopy([&["--plan=plan", jobs], options, &["-T", "src", "dst"]].concat());
        if planned.status.code() == Some(3) {
            continue;
        }
        let plan = operations(&env);
        let then = states(&env, plan.keys().cloned());
        change(&mut dice, &env.path("src"), 2);
        change(&mut dice, &env.path("dst"), 2);
        let now = states(&env, plan.keys().cloned());
        let before = env.listing("dst");
        let source = env.listing("src");
        let model = Model { env: &env, plan, then, now };
        let doable: BTreeSet<&PathBuf> =
            model.plan.keys().filter(|path| model.is_done(path)).collect();
        let inodes: BTreeMap<_, _> =
            before.keys().map(|path| (path, inode(env.path("dst").join(path)))).collect();

        let run = env.pcopy(["--apply=plan", jobs, "-v"]);

        let story = |path: &Path| {
            let line = model.plan.get(path).map(Value::to_string).unwrap_or_default();
            format!("{what}: {path:?}\n{line}\n{}", run.story())
        };
        let after = env.listing("dst");
        for path in before.keys().chain(after.keys()).chain(model.plan.keys()) {
            let (old, new) = (before.get(path), after.get(path));
            if !doable.contains(path) {
                assert!(old == new, "{old:?}\n{new:?}\n{}", story(path));
                if new.is_some() {
                    assert_eq!(inodes[path], inode(env.path("dst").join(path)), "{}", story(path));
                }
            } else if model.plan[path]["op"] == "remove" {
                assert!(new.is_none(), "{}", story(path));
            } else {
                let (wanted, new) =
                    (&source[path], new.unwrap_or_else(|| panic!("{}", story(path))));
                // Without -a, an existing directory keeps some bits of its mode, and DST all of them.
                let is_same = (&wanted.what, wanted.size, wanted.modified)
                    == (&new.what, new.size, new.modified);
                assert!(is_same, "{wanted:?}\n{new:?}\n{}", story(path));
            }
        }
        done += doable.len();
        left += model.plan.len() - doable.len();
        if doable.len() == model.plan.len() {
            assert_eq!(run.status.code(), Some(0), "{what}\n{}", run.story());
        }
        env.assert_nothing_staged();
    }
    assert!(cases < 50 || done > 100 && left > 100, "{done} done, {left} not");
}

/// A plan says of each entry one thing; in a run, the entry of another type makes way.
#[test]
fn an_entry_of_another_type_is_a_failure_of_the_plan_and_stays() {
    for jobs in ["-j1", "-j8"] {
        let env = Sandbox::new();
        env.tree("src", ["file x 1", "file new 1", "file d/y 1"]);
        env.tree("dst", ["file x/inside 1", "file d 1", "file old 1"]);

        let line = ["--plan=plan", "--delete", jobs, "-T", "src", "dst"];
        env.pcopy(line).exits(1).stderr_has("cannot overwrite directory 'dst/x'");
        env.pcopy(["--apply=plan", jobs]).exits(0);

        assert!(exists(env.path("dst/x/inside")) && env.path("dst/d").is_file());
        assert!(exists(env.path("dst/new")) && !exists(env.path("dst/old")));
    }
}
