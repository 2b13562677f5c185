//! What pcopy says about the command that resumes a run or tries it again: it is the same command, or the message has
//! the right one, ready for a shell.

use crate::common::live::with_default_signals;
use crate::common::*;
use nix::sys::signal::Signal;
use std::process::Command;

/// Runs the command that stands in `stderr` after `before`, at the end of a line.
#[track_caller]
fn run_what_is_said<'e>(env: &'e Sandbox, stderr: &str, before: &str) -> Run<'e> {
    let (_, after) = stderr.split_once(before).unwrap_or_else(|| panic!("no {before:?}: {stderr}"));
    let line = after.lines().next().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(env.path(""));
    env.run(command)
}

/// The target exists now, and the same command would copy into it.
#[test]
fn after_a_failure_the_command_that_tries_again_is_printed() {
    if !is_root() {
        return skip!("needs root, who makes a file readable for another user");
    }
    for extra in [&[][..], &["--inplace"], &["-j2", "--preserve=mode,links"]] {
        let env = Sandbox::new();
        env.tree("my src", ["file a 10", "file closed 20"]);
        entries::chmod(&env.path("my src/closed"), 0o000);

        let run = env.plain_pcopy([extra, &["my src", "it's new"]].concat());

        run.exits(1).stderr_has("cannot open 'my src/closed'");
        assert!(run.stderr.lines().last().unwrap().starts_with("hint: to try again, run: "));
        entries::chmod(&env.path("my src/closed"), 0o644);
        run_what_is_said(&env, &run.stderr, "hint: to try again, run: ").exits(0);
        env.assert_same("my src", "it's new");
    }
}

#[test]
fn where_the_same_command_tries_again_nothing_else_is_said() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]).tree("dst", ["dir a"]).tree("into", ["dir src/a"]);
    env.tree("empty", []);
    let full = ["sh", "-c", "exec \"$@\" > /dev/full", "sh"];
    env.run(env.before(&full, ["-v", "src", "empty"])).exits(1).stderr_lacks("hint");
    for line in [&["-T", "src", "dst"][..], &["src", "into"], &["-t", "into", "src"]] {
        env.pcopy(line).exits(1).stderr_lacks("hint");
    }
}

#[test]
fn after_an_interrupted_copy_in_place_the_command_that_resumes_is_printed() {
    let env = Sandbox::new();
    env.many("src", 3000, 100_000);
    let line = ["--inplace", "-j2", "src", "dst"];
    let live = env.launch(with_default_signals(env.command(line)));
    wait_until("it copies", || env.path("dst/dir-0").exists());
    live.signal(Signal::SIGINT);

    let run = live.end();

    run.died_by(Signal::SIGINT).stderr_has("interrupted after ");
    run_what_is_said(&env, &run.stderr, "; resume it with: ").exits(0);
    env.assert_same("src", "dst");
}

#[test]
fn while_another_run_builds_the_target_the_command_for_later_is_printed() {
    let env = Sandbox::new();
    env.many("src", 3000, 100_000).tree("small", ["file one-more 10"]);
    let mut first = env.start(["-j", "2", "src", "dst"]);
    first.wait_for_children(1);
    first.freeze();

    let second = env.pcopy(["small", "dst"]);

    second.exits(3).stderr_has("another pcopy is writing to 'dst'\n");
    first.thaw();
    first.end().exits(0);
    run_what_is_said(&env, &second.stderr, "hint: wait until it has finished, then run: ").exits(0);
    assert!(env.path("dst/one-more").exists());
}

#[test]
fn a_command_that_is_very_long_is_not_repeated() {
    if !is_root() {
        return skip!("needs root, who makes a file readable for another user");
    }
    let env = Sandbox::new();
    env.tree("src", ["file closed 20"]);
    entries::chmod(&env.path("src/closed"), 0o000);
    let target = format!("{}new", "./".repeat(600));

    let run = env.plain_pcopy(["src", &target]);

    run.exits(1).stderr_has("\nhint: to try again, run: the same command with -T\n");
}

/// Where several copies are, or the copy itself if it is one.
#[test]
fn the_summary_says_where_the_copy_is() {
    let env = Sandbox::new();
    env.tree("a", ["file f 10"]).tree("b", ["file f 10"]).tree("into", []);
    for (line, place) in [
        (&["a", "new"][..], "'new'"),
        (&["a", "into"], "'into/a'"),
        (&["a", "b", "into"], "'into'"),
        (&["-t", "into", "a/f", "b/f", "a"], "'into'"),
        (&["-T", "a", "into"], "'into'"),
        (&["a/f", "one"], "'one'"),
        (&["b"], "'b-copy'"),
    ] {
        let run = env.pcopy(line);
        run.stderr_has(&format!(") to {place} in "));
    }
}
