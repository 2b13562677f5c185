//! Where the kernel lets the program fork no process (`pids.max`, `RLIMIT_NPROC`, `TasksMax`), the parent copies.

use crate::common::*;
use crate::limited::alone;
use std::fs;
use std::process::Stdio;

const TREE: [&str; 7] = [
    "file a 10",
    "file d/big 40M",
    "file d/small 3K",
    "link d/link small",
    "dir d/empty",
    "file e/f/g 5",
    "text e/old new words",
];

/// Creates the tree, with hard links.
fn source(env: &Sandbox) {
    env.tree("src", TREE);
    fs::hard_link(env.path("src/a"), env.path("src/e/hard")).unwrap();
}

cells! {
    without_a_process_the_parent_copies,
    one_copier => (&["-j1"]),
    eight_copiers => (&["-j8"]),
    chosen => (&[]),
    verified => (&["-j8", "--verify"]),
    flushed => (&["--fsync"]),
    in_place => (&["-j8", "--inplace"]),
    everything => (&["-a"]),
}
fn without_a_process_the_parent_copies(options: &[&str]) {
    if !tool("prlimit") {
        return skip!("prlimit is not installed");
    }
    let env = Sandbox::new();
    source(&env);
    let line = [options, &["-v", "src", "dst"]].concat();

    let run = env.run(alone(&env, None, &line));

    run.exits(0);
    let mut names: Vec<_> = run.stdout.lines().collect();
    names.sort_unstable();
    let wanted = ["dst", "dst/a", "dst/d", "dst/d/big", "dst/d/empty", "dst/d/link"];
    assert_eq!(names[..6], wanted, "{}", run.story());
    assert_eq!(names.len(), 12, "{}", run.story());
    env.assert_same("src", "dst");
    env.assert_nothing_staged();
}

#[test]
fn without_a_process_failures_are_reported_and_the_rest_is_copied() {
    if !tool("prlimit") {
        return skip!("prlimit is not installed");
    }
    let env = Sandbox::new();
    source(&env);
    env.tree("dst", ["dir a/not_a_file"]);

    let run = env.run(alone(&env, None, &["--progress=always", "-T", "src", "dst"]));

    run.exits(1).stderr_has("'dst/a'").stderr_has("1 failed");
    env.assert_same("src/d", "dst/d");
}

#[test]
fn without_a_process_two_trees_are_compared() {
    if !tool("prlimit") {
        return skip!("prlimit is not installed");
    }
    let env = Sandbox::new();
    source(&env);
    env.pcopy(["-q", "src", "dst"]).exits(0);
    fs::write(env.path("dst/e/old"), "old").unwrap();

    let run = env.run(alone(&env, None, &["--check", "-T", "src", "dst"]));

    run.exits(6).stdout_is("different: 'dst/e/old': contents, modification time\n");
}

#[test]
fn without_a_process_prompts_are_answered() {
    if !tool("prlimit") {
        return skip!("prlimit is not installed");
    }
    let env = Sandbox::new();
    source(&env);
    env.tree("dst", ["text a old", "text e/old older"]);
    fs::write(env.path("answers"), "y\nn\n").unwrap();
    let mut command = alone(&env, None, &["--progress=always", "-i", "-T", "src", "dst"]);
    command.stdin(Stdio::from(fs::File::open(env.path("answers")).unwrap()));

    env.run(command).exits(0).stderr_has("replace 'dst/a'? ").stderr_has("1 declined");

    assert_eq!(fs::read(env.path("dst/a")).unwrap(), fs::read(env.path("src/a")).unwrap());
    assert_eq!(fs::read(env.path("dst/e/old")).unwrap(), b"older");
}

each_jobs!(copiers_that_cannot_be_forked_leave_the_work_to_the_others, 2, 8);
fn copiers_that_cannot_be_forked_leave_the_work_to_the_others(jobs: &str) {
    if !has_strace!() {
        return;
    }
    for which in ["when=1", "when=2+", "when=1+2"] {
        let env = Sandbox::new();
        source(&env);
        let fault = format!("inject=clone,clone3,fork:error=EAGAIN:{which}");

        env.run(env.traced(&["-e", &fault], ["-j", jobs, "src", "dst"])).exits(0);

        env.assert_same("src", "dst");
    }
}
