//! `--timeout`: a disk that does not answer.

use crate::common::*;
use crate::failing::Failing;
use std::time::{Duration, Instant};

cells! {
    a_disk_that_does_not_answer_ends_the_run_and_a_rerun_resumes,
    one_copier => ("hang open 3 on", &["-j1"], ["at/tree", "dst"]),
    reading => ("hang read 3 on", &["-j8"], ["at/tree", "dst"]),
    chosen_copiers => ("hang read 3 on", &[], ["at/tree", "dst"]),
    writing => ("hang write 3 on", &["-j8"], ["tree", "at/dst"]),
    reading_back => ("hang read 3 on", &["-j8", "--verify"], ["tree", "at/dst"]),
    comparing => ("hang read 3 on", &["--check", "-T"], ["at/tree", "tree"]),
}
fn a_disk_that_does_not_answer_ends_the_run_and_a_rerun_resumes(
    order: &str,
    options: &[&str],
    operands: [&str; 2],
) {
    let env = Sandbox::new();
    let Some(mut disk) = Failing::mount(test_name!(), &env) else { return };
    env.tree("tree", ["file a/1 20K", "file a/2 20K", "file b/3 20K", "file c/4 20K"]);
    env.pcopy(["-q", "tree", "under/tree"]).exits(0);
    let line = [options, &["--timeout=1"], &operands].concat();
    disk.order(order);
    let begun = Instant::now();

    let run = env.pcopy(&line);

    let lasted = begun.elapsed();
    disk.recover(); // now, because a failed assertion lists the sandbox
    run.exits(11).stderr_has("no answer from the disk for 1 s at '");
    assert!(lasted >= Duration::from_secs(1), "{lasted:?}");
    assert!(lasted < Duration::from_secs(15), "{lasted:?}");
    env.pcopy(&line).exits(0);
}

#[test]
fn work_that_lasts_longer_than_the_limit_is_no_silence() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file b 10", "file c 10", "file d 10", "file e 10"]);
    let delay = ["-e", "trace=utimensat", "-e", "inject=utimensat:delay_exit=500000"];
    let begun = Instant::now();

    env.run(env.traced(&delay, ["-j1", "--timeout=1", "src", "dst"])).exits(0);

    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    env.assert_same("src", "dst");
}

#[test]
fn a_suspended_run_is_not_timed_out() {
    let env = Sandbox::new();
    env.many("src", 30_000, 0);
    let live = env.frozen_mid_copy(&["-j2", "--timeout=1", "src", "dst"]);
    std::thread::sleep(Duration::from_millis(1500));

    live.thaw();

    live.end().exits(0);
    env.assert_same("src", "dst");
}
