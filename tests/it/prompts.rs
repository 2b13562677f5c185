//! Prompts before files are replaced (`-i`), in native and in GNU cp compatibility mode.

use crate::common::entries::*;
use crate::common::live::*;
use crate::common::reference_cp::*;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use nix::sys::signal::Signal::{SIGINT, SIGTERM};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

holds_on_every_file_system!();

fn planted() -> Sandbox {
    let env = Sandbox::new();
    env.tree(
        "src",
        ["text a newer", "text b newer", "text same x", "text sub/c newer", "text n 1"],
    );
    env.tree("dst", ["text a old", "text b old", "text same x", "text sub/c old", "text only z"]);
    for root in ["src", "dst"] {
        set_times(&env.path(root).join("same"), (100, 0), (100, 0));
    }
    env
}

fn answered<'a>(env: &'a Sandbox, answers: &str, arguments: &[&str]) -> Run<'a> {
    let mut command = env.command(with_summary(arguments));
    command.stdin(input(answers));
    env.run(command)
}

fn text(env: &Sandbox, path: &str) -> String {
    fs::read_to_string(env.path(path)).unwrap()
}

each_jobs!(what_is_confirmed_is_replaced_and_the_rest_left_unchanged, 1, 2, 8);
fn what_is_confirmed_is_replaced_and_the_rest_left_unchanged(jobs: &str) {
    let env = planted();

    let run = answered(&env, "y\nno\nYes\n", &["-i", "-j", jobs, "-T", "src", "dst"]);

    run.exits(0).stderr_has("; 1 declined");
    let questions = "pcopy: replace 'dst/a'? pcopy: replace 'dst/b'? pcopy: replace 'dst/sub/c'? ";
    assert!(run.stderr.starts_with(questions), "{}", run.story());
    let found = ["a", "b", "sub/c", "n", "only"].map(|name| text(&env, &format!("dst/{name}")));
    assert_eq!(found, ["newer", "old", "newer", "1", "z"], "{}", run.story());
    env.assert_same("src/sub/c", "dst/sub/c");
    env.assert_nothing_staged();
}

#[test]
fn prompts_come_only_for_what_would_be_replaced() {
    for (options, questions) in [
        (&["-i"][..], 3),
        (&["-i", "-n"], 0),
        (&["-n", "-i"], 3),
        (&["-i", "--update=none"], 0),
        (&["-i", "--update=none-fail"], 0),
        (&["-i", "--update=all"], 4),
        (&["-i", "-b"], 3),
        (&["-i", "--inplace"], 3),
        (&["-i", "-q"], 3),
    ] {
        let env = planted();

        let run = answered(&env, &"y\n".repeat(9), &[options, &["-T", "src", "dst"]].concat());

        run.exits(i32::from(options.contains(&"--update=none-fail")));
        assert_eq!(run.stderr.matches("? ").count(), questions, "{options:?} {}", run.story());
        env.pcopy([options, &["-T", "src", "new"]].concat()).exits(0).stderr_lacks("? ");
    }
}

#[test]
fn the_end_of_the_input_counts_as_no() {
    for (answers, replaced) in [("", 0), ("y", 1), ("y\n", 1), ("y\ny", 2), ("\n\n\n", 0), ("n", 0)]
    {
        let env = planted();

        let run = answered(&env, answers, &["-i", "-T", "src", "dst"]);

        run.exits(0).stderr_has(&format!("; {} declined", 3 - replaced));
        let found = ["a", "b", "sub/c"].map(|name| text(&env, &format!("dst/{name}")));
        assert_eq!(found.iter().filter(|text| *text == "newer").count(), replaced, "{answers:?}");
    }
}

#[test]
fn closed_input_counts_as_no() {
    let env = planted();
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "exec \"$0\" --progress=always -i -T src dst <&-", PCOPY])
        .current_dir(env.path(""));

    env.run(command).exits(0).stderr_has("; 3 declined");

    assert_eq!(text(&env, "dst/a"), "old");
    assert_eq!(text(&env, "dst/n"), "1");
}

each_jobs!(prompts_come_after_everything_else_was_copied, 1, 2, 8);
fn prompts_come_after_everything_else_was_copied(jobs: &str) {
    let env = Sandbox::new();
    env.many("src", 2000, 0).tree("src", ["text 0first new"]).tree("dst", ["text 0first older"]);
    let mut command = env.tame(["-i", "-j", jobs, "-T", "src", "dst"]);
    command.stdin(Stdio::piped());
    let live = env.launch(command);
    wait_until("it asks", || live.stderr().contains("replace 'dst/0first'? "));

    assert_eq!(count_entries(&env.path("dst")), count_entries(&env.path("src")));

    drop(live); // its input is still open, so it would wait for an answer without end
}

#[test]
fn a_signal_in_place_of_an_answer_ends_the_run() {
    for (signal, options) in [(SIGINT, &["-i"][..]), (SIGTERM, &["-i", "--inplace"])] {
        let env = planted();
        let mut command = env.tame([options, &["-T", "src", "dst"]].concat());
        let (input, _keyboard) = nix::unistd::pipe().unwrap();
        command.stdin(Stdio::from(input));
        let live = env.launch(command);
        wait_until("it asks", || live.stderr().contains("replace 'dst/a'? "));

        live.signal(signal);

        let run = live.end_within(std::time::Duration::from_secs(10));
        run.died_by(signal);
        assert_eq!((text(&env, "dst/a"), text(&env, "dst/n")), ("old".into(), "1".into()));
        env.assert_nothing_staged();
    }
}

each_jobs!(hard_links_are_restored_where_all_were_confirmed_and_left_where_not, 1, 2, 8);
fn hard_links_are_restored_where_all_were_confirmed_and_left_where_not(jobs: &str) {
    for (answers, count) in [("y\n", 3), ("n\n", 0)] {
        let env = Sandbox::new();
        env.tree("src", ["text a new!", "dir d"]).tree("dst", ["text a old", "text d/b old"]);
        fs::hard_link(env.path("src/a"), env.path("src/d/b")).unwrap();
        fs::hard_link(env.path("src/a"), env.path("src/d/c")).unwrap();

        let run = answered(&env, &answers.repeat(9), &["-i", "-j", jobs, "-T", "src", "dst"]);

        run.exits(0);
        if count > 0 {
            env.assert_same("src", "dst");
            let links = ["a", "d/b", "d/c"]
                .map(|name| fs::metadata(env.path("dst").join(name)).unwrap().nlink());
            assert_eq!(links, [3, 3, 3], "{}", run.story());
        } else {
            assert_eq!(text(&env, "dst/a"), "old");
            assert_eq!(text(&env, "dst/d/b"), "old");
            assert_eq!(text(&env, "dst/d/c"), "new!");
        }
    }
}

each_jobs!(what_is_confirmed_in_many_directories_is_all_copied, 1, 2, 8);
fn what_is_confirmed_in_many_directories_is_all_copied(jobs: &str) {
    let env = Sandbox::new();
    env.many("src", 1500, 100_000).many("dst", 1500, 0);
    for number in 0..1500 {
        let path = format!("dst/dir-{}/file-{number}", number / 100 * 100);
        fs::write(env.path(path), "the old one").unwrap();
    }

    let run = answered(&env, &"y\n".repeat(1500), &["-i", "-j", jobs, "-T", "src", "dst"]);

    run.exits(0).stderr_lacks("declined");
    env.assert_same("src", "dst");
    env.assert_nothing_staged();
}

#[test]
fn directories_keep_their_times_and_modes_though_files_are_replaced_late() {
    for inplace in [&[][..], &["--inplace"]] {
        let env = planted();
        chmod(&env.path("src/sub"), 0o500);
        set_times(&env.path("src/sub"), (100, 5), (100, 5));

        answered(&env, "y\ny\ny\n", &[&["-i", "-T", "src", "dst"], inplace].concat()).exits(0);

        env.assert_same("src/sub", "dst/sub");
    }
}

// GNU cp compatibility. A cp older than 9.2 exits with 0 where a prompt was declined: that is not compared.

each_jobs!(as_cp_a_declined_prompt_is_a_failure, 1, 2, 8);
fn as_cp_a_declined_prompt_is_a_failure(jobs: &str) {
    for (answers, code, left) in
        [("y\n", 0, "newer"), ("n\n", 1, "old"), ("", 1, "old"), ("Y", 0, "newer")]
    {
        let env = planted();

        let run = env.cp_answered(answers, ["-i", "-j", jobs, "src/a", "dst/a"]);

        run.exits(code).stdout_is("");
        assert_eq!(run.stderr, "cp: overwrite 'dst/a'? ");
        assert_eq!(text(&env, "dst/a"), left);
    }
}

#[test]
fn as_cp_confirmed_replacements_are_those_of_cp() {
    let plant = |env: &Sandbox| {
        env.tree("src", ["text a newer", "text sub/c newer", "text n 1", "link l a"]);
        env.tree("dst", ["text a old", "text sub/c old", "text b old", "link l b"]);
        set_times(&env.path("src/a"), (100, 0), (300, 0));
    };
    for line in [
        "-i src/a dst/a",
        "-i src/a src/n dst",
        "-ri -T src dst",
        "-ai -T src dst",
        "-if -r -T src dst",
        "-ib -r -T src dst",
        "-iv -r -T src dst",
        "-iu -r -T src dst",
        "-in src/a dst",
        "-ni src/a dst",
        "-i --remove-destination src/a dst",
        "-il src/a dst",
        "-is src/a dst",
        "-i src/a dst/l",
        "-i --attributes-only src/a dst",
        "-i src dst",
        "-ri src/sub dst/a",
        "-ri src/a dst/sub",
        "-i src/a src/nothing dst",
        "-i dst/a dst/a",
        "-r --interactive -T src dst",
    ] {
        let answers = "y\n".repeat(9);
        line_same_as_cp(plant, &Line { answers: &answers, ..Line::of(line) });
    }
}

each_jobs!(as_cp_prompts_for_unwritable_files_are_worded_differently, 1, 2, 8);
fn as_cp_prompts_for_unwritable_files_are_worded_differently(jobs: &str) {
    for (options, answer, words, code, left) in [
        (&["-i"][..], "n", "unwritable 'b' (mode 0444, r--r--r--); try anyway? ", 1, "old"),
        (&["-if"], "n", "replace 'b', overriding mode 0444 (r--r--r--)? ", 1, "old"),
        (&["-if"], "y", "replace 'b', overriding mode 0444 (r--r--r--)? ", 0, "new"),
        (
            &["-i", "--remove-destination"],
            "y",
            "replace 'b', overriding mode 0444 (r--r--r--)? ",
            0,
            "new",
        ),
    ] {
        let env = Sandbox::new();
        env.tree("", ["text a new", "text b old"]);
        chmod(&env.path("b"), 0o444);

        let run = env.plain_cp(answer, [options, &["-j", jobs, "a", "b"]].concat());

        run.exits(code);
        assert_eq!(run.stderr, format!("cp: {words}"), "{}", run.story());
        assert_eq!(text(&env, "b"), left);
    }
    let env = Sandbox::new();
    env.tree("", ["text a new", "text b old"]);
    chmod(&env.path("b"), 0o444);
    let run = env.plain_cp("y", ["-i", "a", "b"]);
    run.exits(1);
    let words = "cp: unwritable 'b' (mode 0444, r--r--r--); try anyway? \
                 cp: cannot create regular file 'b': Permission denied\n";
    assert_eq!(run.stderr, words, "{}", run.story());
}
