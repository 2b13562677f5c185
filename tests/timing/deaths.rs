//! What a round must not repeat after a copier of the previous round died: changes to the user's old files,
//! hard links, output. strace kills the copier at a certain system call.

use crate::common::habits::mount_with_habits;
use crate::common::live::send;
use crate::common::*;
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

/// Runs the program as `name`. Each copier dies at its `nth` call of `calls`; if `nth` is at least 2, every
/// round gets farther than the one before. Standard input answers yes to every prompt.
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
        skip_for(test, "strace is not installed");
    }
    can
}

/// Plants three new files that replace three old ones.
fn three_files() -> Sandbox {
    let env = Sandbox::new();
    for number in 1..=3 {
        env.tree("src", [format!("text f{number} new {number}").as_str()]);
        env.tree("dst", [format!("text f{number} the old {number}").as_str()]);
    }
    env
}

#[test]
fn a_backup_holds_the_users_old_file_however_the_new_one_is_created() {
    if !can_die(test_name!()) {
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
                let backup = fs::read_to_string(env.path(format!("dst/f{number}{suffix}")));
                let old = format!("the old {number}");
                assert_eq!(backup.ok(), Some(old), "{name} {line:?}\n{}", run.story());
            }
            assert_eq!(fs::read_dir(env.path("dst")).unwrap().count(), 6, "{}", run.story());
        }
    }
}

#[test]
fn none_fail_does_not_report_what_the_run_itself_created() {
    if !can_die(test_name!()) {
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
fn hard_links_stay_one_file_and_the_counts_add_up() {
    if !can_die(test_name!()) {
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
                continue; // a backup is a hard link, too
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
fn each_verbose_name_is_printed_once() {
    if !can_die(test_name!()) {
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

each_jobs!(a_directory_deferred_again_and_again_is_no_progress, 1, 2);
fn a_directory_deferred_again_and_again_is_no_progress(jobs: &str) {
    let jobs = &*format!("-j{jobs}");
    if !can_die(test_name!()) {
        return;
    }
    let env = three_files();
    env.tree("src", ["dir new"]);
    fs::hard_link(env.path("src/f1"), env.path("src/new/other")).unwrap();

    // Each copier ends when it reports what it did; so does the parent, but only at its end.
    let deadly = ["-e", "trace=write", "-e", "inject=write:error=EPIPE:when=1"];
    let run = env.run(env.traced(&deadly, [jobs, "--inplace", "-T", "src", "dst"]));

    run.exits(16);
    env.pcopy(["--inplace", "-T", "src", "dst"]).exits(0);
    env.assert_same("src", "dst");
}

#[test]
fn a_wait_that_fails_does_not_hold_the_run() {
    if !can_die(test_name!()) {
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
fn copying_everything_again_and_again_as_cp_is_no_progress() {
    if !can_die(test_name!()) {
        return;
    }
    let env = three_files();

    // After the files the directory gets its mode, and a directory cannot be skipped.
    let run = dying(&env, "cp", ("fchmod", 1), &["-a", "-T", "src", "new"]);

    run.exits(1).stderr_has("copiers kept dying");
}

#[test]
fn a_directory_recreated_each_time_does_not_keep_the_run_going() {
    if !can_die(test_name!()) {
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

#[test]
fn where_nothing_can_be_renamed_a_death_costs_no_old_file() {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &["no-rename=EPERM"]) else {
        return;
    };
    env.tree("src", ["file big 40M"]).tree("under/dst", ["text big the old one"]);
    let mut live = env.start(["-j1", "-T", "src", "at/dst"]);
    let staged = env.path("under/dst/.big.pcopy-partial");
    wait_until("it writes", || fs::metadata(&staged).is_ok_and(|staged| staged.len() > 0));

    for copier in live.wait_for_children(1) {
        send(copier, Signal::SIGKILL);
    }

    live.end().exits(1).stderr_has("(--inplace writes ");
    assert_eq!(fs::read_to_string(env.path("under/dst/big")).unwrap(), "the old one");
}
