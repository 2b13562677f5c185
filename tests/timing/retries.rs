//! `--retries`: errors that may be transient are retried, and no others.

use crate::common::{Run, Sandbox, each_jobs, has_strace};
use std::fs;

/// Runs pcopy while calls fail as `fault` says: calls on the files `a`, and on names in the directory
/// `src/d`.
fn with_fault<'e>(env: &'e Sandbox, fault: &str, arguments: &[&str]) -> Run<'e> {
    let paths = ["src/a", "src/d", "dst/a", ".dst.pcopy-partial/a"].map(|path| env.path(path));
    let mut options: Vec<&str> =
        paths.iter().flat_map(|path| ["-P", path.to_str().unwrap()]).collect();
    options.extend(["-e", fault]);
    env.run(env.traced(&options, arguments))
}

each_jobs!(a_failure_that_passes_costs_a_moment, 1, 3);
fn a_failure_that_passes_costs_a_moment(jobs: &str) {
    let jobs = &*format!("-j{jobs}");
    if !has_strace!() {
        return;
    }
    for fault in [
        "inject=openat:error=ESTALE:when=1",
        "inject=copy_file_range:error=EIO:when=1..2",
        "inject=read,copy_file_range:error=ETIMEDOUT:when=1",
        "inject=write,copy_file_range:error=EIO:when=1",
        "inject=utimensat:error=EIO:when=1",
        "inject=close:error=EIO:when=1",
        "inject=getdents64:error=EIO:when=2",
    ] {
        let env = Sandbox::new();
        env.tree("src", ["file a 30K", "file b 3K", "file d/x 3K"]);

        with_fault(&env, fault, &[jobs, "--retries=1", "src", "dst"]).exits(0);

        env.assert_same("src", "dst");
        let log = fs::read_to_string(env.path("trace")).unwrap();
        assert!(log.contains("INJECTED"), "{fault}: {log}");
    }
}

#[test]
fn without_the_option_and_after_the_last_attempt_it_is_reported() {
    if !has_strace!() {
        return;
    }
    for (flag, opened) in [("--retries=0", 1), ("--retries=2", 3), ("-q", 1)] {
        let env = Sandbox::new();
        env.tree("src", ["file d/x 3K", "file b 3K"]);
        let fault = "inject=openat:error=ESTALE";

        let run = with_fault(&env, fault, &["-j1", flag, "src", "dst"]);

        run.exits(1).stderr_has("cannot open 'src/d/x' for reading: Stale file handle");
        let log = fs::read_to_string(env.path("trace")).unwrap();
        let tried = log.lines().filter(|line| line.contains("openat(")).count();
        assert_eq!(tried, opened, "{flag}: {log}");
        env.assert_same("src/b", "dst/b");
    }
}

#[test]
fn permanent_errors_are_not_retried() {
    if !has_strace!() {
        return;
    }
    for error in ["EACCES", "ENOENT", "ENOMEM", "EINVAL"] {
        let env = Sandbox::new();
        env.tree("src", ["file d/x 3K", "file b 3K"]);
        let fault = format!("inject=openat:error={error}");

        let run = with_fault(&env, &fault, &["-j1", "--retries=5", "src", "dst"]);

        run.exits(if error == "ENOENT" { 24 } else { 1 });
        let log = fs::read_to_string(env.path("trace")).unwrap();
        assert_eq!(log.lines().filter(|line| line.contains("openat(")).count(), 1, "{log}");
    }
}

#[test]
fn a_directory_that_cannot_be_opened_for_a_moment_is_copied() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file d/x 3K", "file e/y 3K"]);
    let fault = "inject=openat,openat2:error=EIO:when=1";

    with_fault(&env, fault, &["-j1", "src", "without"]).exits(1);
    with_fault(&env, fault, &["-j1", "--retries=1", "src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn a_full_disk_is_not_waited_for() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 3K"]);
    let fault = "inject=write,copy_file_range:error=ENOSPC";

    with_fault(&env, fault, &["--retries=5", "src", "dst"]).exits(11);
}
