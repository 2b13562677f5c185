//! What a round must not do again when a copier of the round before it has died: to the user's old
//! files, to names of one file, to him. The death comes at a certain system call, by strace.

use crate::common::*;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

/// The program under `name`, of which each copier dies that comes to its `nth` call of `calls`: from 2 on
/// every round comes farther. Standard input says yes to everything.
fn dying<'e>(
    env: &'e Sandbox,
    name: &str,
    (calls, nth): (&str, u32),
    arguments: &[&str],
) -> Run<'e> {
    let program = env.path(format!("bin/{name}"));
    if !program.exists() {
        fs::create_dir_all(env.path("bin")).unwrap();
        std::os::unix::fs::symlink(PCOPY, &program).unwrap();
    }
    let mut command = Command::new("strace");
    command.args(["-DD", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    command.args(["-e", &format!("inject={calls}:signal=KILL:when={nth}")]);
    command.arg(&program).args(arguments).current_dir(env.path(""));
    command.env("PCOPY_JOBS", "1").env("LC_ALL", "C").env_remove("VERSION_CONTROL");
    fs::write(env.path("yes"), "y\n".repeat(100)).unwrap();
    command.stdin(Stdio::from(fs::File::open(env.path("yes")).unwrap()));
    env.run(command)
}

const RENAME: &str = "renameat,renameat2";

fn can_die(test: &str) -> bool {
    let can = tool("strace");
    if !can {
        skip(test, "strace is not installed");
    }
    can
}

/// New files to take the place of old ones.
fn three_files() -> Sandbox {
    let env = Sandbox::new();
    for number in 1..=3 {
        env.tree("src", [format!("text f{number} new {number}").as_str()]);
        env.tree("dst", [format!("text f{number} the old {number}").as_str()]);
    }
    env
}

#[test]
fn a_backup_is_of_the_users_old_file_however_the_new_one_is_made() {
    if !can_die("a_backup_is_of_the_users_old_file_however_the_new_one_is_made") {
        return;
    }
    let source = |env: &Sandbox| env.path("src").to_str().unwrap().to_owned();
    for (name, options) in [
        ("cp", &["-r"][..]),
        ("cp", &["-rs"]),
        ("cp", &["-r", "--attributes-only"]),
        ("cp", &["-r", "-i"]),
        ("pcopy", &["-q", "-j1", "--update=all"]),
        ("pcopy", &["-q", "-j1", "--update=all", "--inplace"]),
        ("pcopy", &["-q", "-j1", "--attributes-only"]),
        ("pcopy", &["-q", "-j1", "-i"]),
    ] {
        for control in ["simple", "numbered"] {
            let env = three_files();
            let (from, backup) = (source(&env), format!("--backup={control}"));
            let line = [options, &[&backup, "-T", &from, "dst"]].concat();

            let run = dying(&env, name, (RENAME, 3), &line);

            run.exits(0);
            for number in 1..=3 {
                let suffix = if control == "simple" { "~" } else { ".~1~" };
                let kept = fs::read_to_string(env.path(format!("dst/f{number}{suffix}")));
                let old = format!("the old {number}");
                assert_eq!(kept.ok(), Some(old), "{name} {line:?}\n{}", run.story());
            }
            assert_eq!(fs::read_dir(env.path("dst")).unwrap().count(), 6, "{}", run.story());
        }
    }
}

#[test]
fn none_fail_does_not_tell_of_what_the_run_itself_has_made() {
    if !can_die("none_fail_does_not_tell_of_what_the_run_itself_has_made") {
        return;
    }
    for nth in [2, 3] {
        let env = Sandbox::new();
        env.tree("src", ["text f1 a", "text f2 b", "text f3 c"]).tree("dst", ["text other x"]);
        let line = ["-j1", "--update=none-fail", "src/f1", "src/f2", "src/f3", "dst"];

        let run = dying(&env, "pcopy", (RENAME, nth), &line);

        run.exits(0).stderr_lacks("not replacing");
        for file in ["f1", "f2", "f3"] {
            let both = ["src", "dst"].map(|root| fs::read(env.path(root).join(file)).unwrap());
            assert!(both[0] == both[1], "{file}\n{}", run.story());
        }
    }
}

#[test]
fn names_of_one_file_stay_one_and_the_numbers_add_up() {
    if !can_die("names_of_one_file_stay_one_and_the_numbers_add_up") {
        return;
    }
    for (name, options) in [
        ("cp", &["-a"][..]),
        ("cp", &["-ai"]),
        ("cp", &["-ab"]),
        ("pcopy", &["-j1"]),
        ("pcopy", &["-j1", "-i"]),
        ("pcopy", &["-j1", "--inplace"]),
    ] {
        for at in [(RENAME, 2), (RENAME, 3), ("linkat", 2)] {
            if at.0 == "linkat" && options == ["-ab"] {
                continue; // a backup is a link, too
            }
            let env = three_files();
            for number in 1..=3 {
                let path = |root: &str, name: &str| env.path(format!("{root}/{name}{number}"));
                fs::hard_link(path("src", "f"), path("src", "g")).unwrap();
                fs::write(path("dst", "g"), "another old one").unwrap();
            }
            let line = [options, &["-T", "src", "dst"]].concat();

            let run = dying(&env, name, at, &line);

            run.exits(0).stderr_lacks("add up");
            for number in 1..=3 {
                let inode = |name: &str| {
                    fs::metadata(env.path(format!("dst/{name}{number}"))).unwrap().ino()
                };
                assert_eq!(inode("f"), inode("g"), "{name} {line:?} {at:?}\n{}", run.story());
            }
        }
    }
}

#[test]
fn each_name_is_told_once() {
    if !can_die("each_name_is_told_once") {
        return;
    }
    for at in [("mkdirat", 2), ("symlinkat", 2)] {
        let env = three_files();
        env.tree("src", ["file d/e/f 10", "link l f1", "link d/l f1"]);

        let run = dying(&env, "cp", at, &["-rvT", "src", "dst"]);

        run.exits(0);
        let mut lines: Vec<_> = run.stdout.lines().collect();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!((lines.len(), run.stdout.lines().count()), (8, 8), "{at:?}\n{}", run.story());
    }
}

#[test]
fn a_folder_that_is_left_for_the_end_again_and_again_is_no_gain() {
    if !can_die("a_folder_that_is_left_for_the_end_again_and_again_is_no_gain") {
        return;
    }
    for jobs in ["-j1", "-j2"] {
        let env = three_files();
        env.tree("src", ["dir new"]);
        fs::hard_link(env.path("src/f1"), env.path("src/new/other")).unwrap();

        // Each copier ends when it tells what it has done. So does the parent, but then it is over.
        let deadly = ["-e", "trace=write", "-e", "inject=write:error=EPIPE:when=1"];
        let run = env.run(env.traced(&deadly, [jobs, "--inplace", "-T", "src", "dst"]));

        run.exits(16);
        env.pcopy(["--inplace", "-T", "src", "dst"]).exits(0);
        env.assert_same("src", "dst");
    }
}

#[test]
fn a_wait_that_fails_does_not_hold_the_run() {
    if !can_die("a_wait_that_fails_does_not_hold_the_run") {
        return;
    }
    for error in ["EINTR", "ECHILD"] {
        for nth in 1..=3 {
            let env = three_files();
            let fail = format!("inject=wait4:error={error}:when={nth}");

            let run = env.run(env.traced(&["-e", "trace=wait4", "-e", &fail], ["src", "new"]));

            run.exits(0);
            env.assert_same("src", "new");
        }
    }
}

#[test]
fn copying_all_again_and_again_in_the_manner_of_cp_is_no_gain() {
    if !can_die("copying_all_again_and_again_in_the_manner_of_cp_is_no_gain") {
        return;
    }
    let env = three_files();

    // After the files it is the folder that gets its bits, and that cannot be passed over.
    let run = dying(&env, "cp", ("fchmod", 1), &["-a", "-T", "src", "new"]);

    run.exits(1).stderr_has("copiers kept dying");
}

#[test]
fn a_folder_that_is_made_again_each_time_does_not_keep_the_run_going() {
    if !can_die("a_folder_that_is_made_again_each_time_does_not_keep_the_run_going") {
        return;
    }
    for nth in 6..=9 {
        let env = three_files();
        env.tree("src", ["file d/e/f 10", "file n/m/f 10", "file r/f 10"]);

        let run = dying(&env, "pcopy", ("getdents64", nth), &["-j1", "-T", "src", "new"]);

        assert!(matches!(run.status.code(), Some(0 | 1 | 16)), "{}", run.story());
        env.pcopy(["-T", "src", "new"]).exits(0);
        env.assert_same("src", "new");
    }
}
