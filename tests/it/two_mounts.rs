//! Two runs onto one target through two mounts of it, whose locks do not reach each other and which remember
//! names for a second, as on two machines.

use crate::common::habits::mount_at;
use crate::common::live::Live;
use crate::common::mounts::Mounted;
use crate::common::*;
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What another machine writes into its lock file.
const FAR_AWAY: &str = "pcopy far-away 4711 another-boot pid:[1] 5\n";

/// Mounts the directory `under` at `one` and at `other`, and plants a source with a large file.
fn planted(test: &str, env: &Sandbox) -> Option<(Mounted, Mounted)> {
    planted_with(test, env, &["cache=1"])
}

fn planted_with(test: &str, env: &Sandbox, habits: &[&str]) -> Option<(Mounted, Mounted)> {
    let mounts = (mount_at(test, env, "one", habits)?, mount_at(test, env, "other", habits)?);
    env.tree("src", ["file a 10", "file d/large 40M", "file d/small 3K"]);
    Some(mounts)
}

/// Returns a `pcopy` command to which fstatfs(2) says that every file system is NFS, which carries locks.
fn on_nfs(env: &Sandbox, arguments: &[&str]) -> Command {
    let nfs = "inject=fstatfs:poke_exit=@arg2=6969000000000000";
    env.traced(&["-e", "trace=fstatfs", "-e", nfs], arguments)
}

/// Starts a run that stops while it copies.
fn stopped<'a>(env: &'a Sandbox, target: &str) -> Live<'a> {
    let mut first = env.start(["-j1", "-T", "src", target]);
    first.wait_for_children(1);
    first.freeze();
    first
}

each_jobs!(a_second_run_is_refused_and_the_first_is_complete, 1, 4);
fn a_second_run_is_refused_and_the_first_is_complete(jobs: &str) {
    for existed in [false, true] {
        let env = Sandbox::new();
        let Some(_mounts) = planted(test_name!(), &env) else { return };
        if existed {
            env.tree("under/dst", ["file d/large 44M", "file own 10"]);
        }
        let first = stopped(&env, "one/dst");

        let second = env.pcopy(["-j", jobs, "-T", "src", "other/dst"]);

        second.exits(3).stderr_has("another pcopy is writing to 'other/dst': process ");
        second.stderr_has("remove its file .pcopy-lock");
        first.thaw();
        first.end().exits(0);
        let (made, source) = (env.path("under/dst/d/large"), env.path("src/d/large"));
        assert_eq!(fs::read(made).unwrap(), fs::read(source).unwrap());
        assert!(!env.path("under/dst/.pcopy-lock").exists());
        env.assert_nothing_staged();
    }
}

#[test]
fn a_second_run_is_refused_while_the_first_copies_another_source_of_the_same_name() {
    let env = Sandbox::new();
    let Some(_mounts) = planted(test_name!(), &env) else { return };
    env.tree("a/x", ["file small 10"]).tree("b/x", ["file large 40M"]);
    let first = env.start(["-j1", "a/x", "b/x", "one"]);
    wait_until("the second source is copied", || env.path("under/x").exists());
    first.freeze();

    let second = env.pcopy(["-T", "src", "other/x"]);

    second.exits(3).stderr_has("another pcopy is writing to 'other/x': process ");
    first.thaw();
    first.end().exits(0);
    assert_eq!(env.listing("under/x").len(), 3, "the directory and its two files");
    assert_eq!(
        fs::read(env.path("under/x/large")).unwrap(),
        fs::read(env.path("b/x/large")).unwrap()
    );
}

#[test]
fn a_run_takes_over_what_a_killed_run_of_this_machine_has_left() {
    let env = Sandbox::new();
    let Some(_mounts) = planted(test_name!(), &env) else { return };
    let first = stopped(&env, "one/dst");
    first.signal_all(Signal::SIGKILL);
    first.end();

    env.pcopy(["-T", "src", "other/dst"]).exits(0);

    env.assert_same("src", "under/dst");
    env.assert_nothing_staged();
}

#[test]
fn what_a_run_of_another_machine_has_left_is_named_and_not_touched() {
    let env = Sandbox::new();
    let Some(_mounts) = planted(test_name!(), &env) else { return };
    env.tree("under", ["dir .dst.pcopy-partial"]);
    let lock = env.path("under/.dst.pcopy-partial/.pcopy-lock");
    fs::write(&lock, FAR_AWAY).unwrap();

    let run = env.pcopy(["-T", "src", "one/dst"]);

    run.exits(3).stderr_has("another pcopy is writing to 'one/dst': process 4711 on far-away");
    assert!(lock.exists());

    fs::remove_file(&lock).unwrap();
    env.pcopy(["-T", "src", "one/dst"]).exits(0);
    env.assert_same("src", "under/dst");
}

#[test]
fn where_locks_reach_other_machines_a_run_of_another_machine_is_dead_once_its_lock_is_gone() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    let habits = ["cache=1", "locks"];
    let Some(_mounts) = planted_with(test_name!(), &env, &habits) else { return };
    let first = env.launch(on_nfs(&env, &["-j1", "-T", "src", "one/dst"]));
    let staged = env.path("under/.dst.pcopy-partial");
    wait_until("it copies", || staged.join("d").exists());
    first.freeze();
    fs::write(staged.join(".pcopy-lock"), FAR_AWAY).unwrap();

    let second = env.run(on_nfs(&env, &["-T", "src", "other/dst"]));
    second.exits(3).stderr_has("another pcopy is writing to 'other/dst': process 4711 on far-away");

    first.signal_all(Signal::SIGKILL);
    first.end();
    env.run(on_nfs(&env, &["-T", "src", "other/dst"])).exits(0);
    env.assert_same("src", "under/dst");
    env.assert_nothing_staged();
}

#[test]
fn what_an_older_version_left_is_completed() {
    let env = Sandbox::new();
    let Some(_mounts) = planted(test_name!(), &env) else { return };
    env.tree("under/.dst.pcopy-partial", ["file a 3", "file gone 10"]);

    env.pcopy(["-T", "src", "one/dst"]).exits(0);

    env.assert_same("src", "under/dst");
    env.assert_nothing_staged();
}

#[test]
fn a_local_file_system_gets_no_lock_file() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]);

    env.launch(env.traced(&["-e", "trace=openat"], ["src", "dst"])).end().exits(0);

    assert!(!fs::read_to_string(env.path("trace")).unwrap().contains(".pcopy-lock"));
}

#[test]
fn a_source_that_has_a_lock_file_is_copied_with_it() {
    let env = Sandbox::new();
    let Some(_mounts) = planted(test_name!(), &env) else { return };
    env.tree("src", ["text .pcopy-lock of the source"]);

    env.pcopy(["-T", "src", "one/dst"]).exits(0);
    env.pcopy(["-T", "src", "one/dst"]).exits(0).stderr_has("copied 0 entries");

    env.assert_same("src", "under/dst");
    assert!(Path::new(&env.path("under/dst/.pcopy-lock")).exists());
}

/// Of two runs that copy one file at once, one may replace the other's, but no half file gets the name.
#[test]
fn no_half_file_is_published() {
    let env = Sandbox::new();
    let Some(_mounts) = planted(test_name!(), &env) else { return };
    env.tree("under", ["dir to"]);
    let whole = fs::read(env.path("src/d/large")).unwrap();
    let mut first = env.start(["-j1", "src/d/large", "one/to/copy"]);
    first.wait_for_children(1);
    first.freeze();

    let mut second = env.start(["-j1", "src/d/large", "other/to/copy"]);
    second.wait_for_children(1);
    second.signal_all(Signal::SIGKILL);
    second.end();
    first.thaw();
    let ended = first.end();

    let is_whole = fs::read(env.path("under/to/copy")).is_ok_and(|copy| copy == whole);
    assert!(is_whole || ended.status.code() == Some(1), "{}", ended.story());
    assert!(is_whole || !env.path("under/to/copy").exists(), "{}", ended.story());
}
