//! File systems that are lost in the middle of a run: their server, their daemon or their device is gone.

use crate::common::mounts::mount;
use crate::common::*;
use crate::failing::Failing;

const FILES: [&str; 8] = [
    "file a/1 20K",
    "file a/2 20K",
    "file b/3 20K",
    "file b/4 20K",
    "file c/5 20K",
    "file c/6 20K",
    "file d/7 20K",
    "file d/8 20K",
];

/// Fails unless the run has ended with 11, one message about the loss and the two lines of the summary.
#[track_caller]
fn one_loss(run: &Run<'_>, side: &str) {
    run.exits(11).stderr_has(&format!("lost the file system of the {side} at '"));
    let of_entries = run.stderr.lines().filter(|line| line.contains("'")).count();
    assert_eq!(of_entries, 1, "{}", run.story());
}

cells! {
    a_source_that_is_lost_is_one_failure_and_a_rerun_resumes,
    closed_connection => ("ENOTCONN open 3 on", "1"),
    failing_device => ("EIO read 5 on", "8"),
    stale_handles => ("ESTALE getattr 7 on", "8"),
    no_device => ("ENODEV readdir b on", "1"),
    no_host => ("EHOSTDOWN open 3 on", "8"),
    killed_server => ("exit read 3", "8"),
}
fn a_source_that_is_lost_is_one_failure_and_a_rerun_resumes(order: &str, jobs: &str) {
    let env = Sandbox::new();
    let Some(mut disk) = Failing::mount(test_name!(), &env) else { return };
    env.tree("under/src", FILES);
    let line = ["-j", jobs, "--retries=0", "at/src", "dst"];
    disk.order(order);

    one_loss(&env.pcopy(line), "source");

    disk.recover();
    env.pcopy(line).exits(0);
    env.assert_same("under/src", "dst");
}

cells! {
    a_target_that_is_lost_is_one_failure_and_a_rerun_resumes,
    closed_connection => ("ENOTCONN create 3 on", &["-j8"]),
    no_device => ("ENODEV write 5 on", &["-j1"]),
    stale_handles => ("ESTALE utimens 7 on", &["-j8"]),
    killed_server => ("exit write 3", &["-j8"]),
    in_place => ("ESHUTDOWN create 3 on", &["-j8", "--inplace"]),
    while_links_are_made => ("ENOTCONN link * on", &["-j8"]),
    while_it_is_read_back => ("ENOTCONN read 3 on", &["-j8", "--verify"]),
}
fn a_target_that_is_lost_is_one_failure_and_a_rerun_resumes(order: &str, options: &[&str]) {
    let env = Sandbox::new();
    let Some(mut disk) = Failing::mount(test_name!(), &env) else { return };
    env.tree("src", FILES);
    std::fs::hard_link(env.path("src/a/1"), env.path("src/a/link")).unwrap();
    let line = [options, &["--retries=0", "-T", "src", "at/dst"]].concat();
    disk.order(order);

    one_loss(&env.pcopy(&line), "target");

    disk.recover();
    env.pcopy(&line).exits(0);
    env.assert_same("src", "under/dst");
}

cells! {
    a_comparison_ends_if_one_side_is_lost,
    source => ("source", &["--check", "-T", "at/tree", "tree"]),
    target => ("target", &["--check", "-T", "tree", "at/tree"]),
    manifest => ("target", &["--check-manifest", "list", "at/tree"]),
}
fn a_comparison_ends_if_one_side_is_lost(side: &str, line: &[&str]) {
    let env = Sandbox::new();
    let Some(disk) = Failing::mount(test_name!(), &env) else { return };
    env.tree("tree", FILES).tree("under/tree", FILES);
    env.pcopy(["-q", "--manifest=list", "tree", "copy"]).exits(0);
    disk.order("ENOTCONN open 3 on");

    one_loss(&env.pcopy(line), side);
}

cells! {
    one_file_that_cannot_be_read_is_the_failure_of_that_file,
    read => "EIO read 5",
    open => "EIO open 5",
    status => "ESTALE getattr 5",
    device => "ENXIO open 5",
}
fn one_file_that_cannot_be_read_is_the_failure_of_that_file(order: &str) {
    let env = Sandbox::new();
    let Some(disk) = Failing::mount(test_name!(), &env) else { return };
    env.tree("under/src", FILES);
    disk.order(order);

    let run = env.pcopy(["--retries=0", "at/src", "dst"]);

    run.exits(1).stderr_has("'at/src/c/5'").stderr_lacks("lost");
    assert_eq!(env.listing("dst").len(), 5 + 7, "all others are copied\n{}", run.story());
}

#[test]
fn a_lost_file_system_below_the_source_is_no_loss_of_the_source() {
    let env = Sandbox::new();
    let Some(disk) = Failing::mount(test_name!(), &env) else { return };
    env.tree("under", ["file x 10"]).tree("src", ["file a 10", "dir disk", "file z 10"]);
    let words = ["--bind".into(), env.path("at").into_os_string()];
    let _bound = mount(&words, &env.path("src/disk")).expect("it can be mounted twice");
    disk.order("ENOTCONN");

    let run = env.pcopy(["--retries=0", "src", "dst"]);

    disk.order("");
    run.exits(1).stderr_has("'src/disk'").stderr_lacks("lost");
    env.assert_same("src/a", "dst/a");
    env.assert_same("src/z", "dst/z");
}
