//! What a run prints, on which stream, and what happens when its streams are closed, full or slow.

use crate::common::entries::chmod;
use crate::common::live::send;
use crate::common::{HANG, PCOPY, Sandbox, each_jobs, has_strace, wait, wait_until};
use crate::terminal::Terminal;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Names that must not be printed unchanged on a terminal, and how they are shown.
const WILD: [(&[u8], &str); 12] = [
    (b"new\nline", "new\\nline"),
    (b"\x1b[2Jescape", "\\x1b[2Jescape"),
    (b"not-utf8-\xff", "not-utf8-\\xff"),
    (b"back\\slash", "back\\\\slash"),
    ("turned\u{202e}gpj".as_bytes(), "turned\\u{202e}gpj"),
    ("c1-\u{9b}31m".as_bytes(), "c1-\\u{9b}31m"),
    (b"bell\x07", "bell\\x07"),
    (b"over\rcarriage", "over\\rcarriage"),
    (b"back\x08\x08space", "back\\x08\\x08space"),
    (b"\x1b]0;title\x1b\\", "\\x1b]0;title\\x1b\\\\"),
    ("isolated\u{2067}gpj".as_bytes(), "isolated\\u{2067}gpj"),
    ("line\u{2028}separator".as_bytes(), "line\\u{2028}separator"),
];

fn wild_tree(env: &Sandbox) {
    env.tree("src", ["dir ."]);
    for (name, _) in WILD {
        fs::write(env.path("src").join(OsStr::from_bytes(name)), "x").unwrap();
    }
}

/// Fails if a text contains characters that could control a terminal.
#[track_caller]
fn assert_harmless(text: &str) {
    let turns = |c| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let was_no_text = |c| c == '\u{fffd}';
    let bad = |c: char| (c.is_control() && c != '\n') || turns(c) || was_no_text(c);
    assert!(!text.contains(bad), "raw bytes in {text:?}");
    assert!(!text.lines().any(|line| line.starts_with("line")), "a raw newline in {text:?}");
}

/// Runs a command with both outputs on a terminal. Returns what was written to the terminal.
fn on_terminal(mut command: Command) -> String {
    let terminal = Terminal::new(200);
    let shown = format!("{command:?}");
    let mut child = command.stdout(terminal.stream()).stderr(terminal.stream()).spawn().unwrap();
    drop(command); // it has the terminal open
    wait(&mut child, HANG).unwrap_or_else(|| panic!("{shown} hung"));
    let bytes = terminal.close().bytes; // which fails at escapes that pcopy does not use
    let text = String::from_utf8(bytes).unwrap_or_else(|error| panic!("{shown}: {error}"));
    text.replace("\r\n", "\n") // the terminal turns one into the other
}

// ---- what is printed when everything succeeds ------------------------------------------------

each_jobs!(the_summary_is_one_line, 1, 2, 8);
fn the_summary_is_one_line(jobs: &str) {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file b/c 1K"]);
    let run = env.pcopy(["-j", jobs, "src", &format!("dst-{jobs}")]);

    run.exits(0).stdout_is("");
    let line = run.stderr.strip_suffix('\n').unwrap();
    let begin = format!("copied 4 entries (4.1 kB) to 'dst-{jobs}' in ");
    let rest = line.strip_prefix(&begin).unwrap_or_else(|| panic!("{line}"));
    let (time, rate) = rest.split_once(" s, ").unwrap();
    assert!(time.parse::<f64>().is_ok(), "{line}");
    let rate = rate.strip_suffix("/s").unwrap();
    assert!(rate.replace(',', "").parse::<u64>().is_ok(), "{line}");
}

#[test]
fn a_run_that_succeeds_is_silent_unless_standard_error_is_a_terminal() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K"]);
    for line in [
        &["-T", "src", "dst"][..],
        &["--check", "-T", "src", "dst"],
        &["--progress=never", "-T", "src", "dst"],
        &["--manifest=sums", "-T", "src", "dst"],
        &["--check-manifest", "sums", "dst"],
        &["--verify", "--update=all", "-T", "src", "dst"],
    ] {
        let run = env.run(env.command(line));
        run.exits(0).stdout_is("");
        assert_eq!(run.stderr, "", "{}", run.story());

        for flag in ["--progress=auto", "--progress=never"] {
            let shown = on_terminal(env.command([&[flag], line].concat()));
            let verb = if line[0].starts_with("--check") { "compared " } else { "copied " };
            assert!(shown.starts_with(verb), "{line:?}: {shown:?}");
        }
        assert_eq!(on_terminal(env.command([&["-q"], line].concat())), "", "{line:?}");
    }
}

#[test]
fn verbose_debug_and_progress_always_ask_for_the_summary() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K"]);
    for flag in ["-v", "--debug", "--progress=always", "--progress"] {
        let run = env.run(env.command([flag, "--update=all", "-T", "src", "dst"]));

        run.exits(0);
        assert!(run.stderr.starts_with("copied "), "{flag}: {}", run.story());
        assert_eq!(run.stderr.lines().count(), 1, "{flag}: {}", run.story());
    }
    let run = env.run(env.command(["--progress=always", "-q", "-T", "src", "dst"]));
    assert_eq!(run.stderr, "", "-q: {}", run.story());
}

#[test]
fn warnings_and_failures_are_printed_without_a_terminal() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file b 3K"]).tree("dst", ["dir a", "dir b"]);

    let run = env.run(env.command(["-T", "src", "dst"]));
    let twice = env.run(env.command(["src/a", "src/a", "dst/a"]));

    run.exits(1)
        .stderr_has("pcopy: cannot overwrite directory 'dst/a' with non-directory 'src/a'\n");
    run.stderr_has("pcopy: 2 entries failed: cannot overwrite a directory with a non-directory\n");
    assert_eq!(run.stderr.lines().count(), 3, "{}", run.story());
    let warning = "pcopy: warning: source file 'src/a' specified more than once\n";
    assert_eq!(twice.exits(0).stderr, warning, "{}", twice.story());
}

#[test]
fn one_entry_is_not_called_entries() {
    let env = Sandbox::new();
    env.tree("", ["file a 1"]);

    env.pcopy(["a", "b"]).exits(0).stderr_has("copied 1 entry (1 byte) to 'b' in ");
}

#[test]
fn quiet_prints_nothing_when_everything_succeeds() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K"]);

    let run = env.pcopy(["-q", "src", "dst"]);

    run.exits(0).stdout_is("");
    assert_eq!(run.stderr, "");
}

#[test]
fn quiet_still_prints_errors_and_nothing_else() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file b 3K"]).tree("dst", ["dir a", "dir b"]);

    let run = env.pcopy(["-q", "-T", "src", "dst"]);

    run.exits(1).stdout_is("");
    let lines: BTreeSet<_> = run.stderr.lines().collect();
    let expected = [
        "pcopy: cannot overwrite directory 'dst/a' with non-directory 'src/a'",
        "pcopy: cannot overwrite directory 'dst/b' with non-directory 'src/b'",
    ];
    assert_eq!(lines, BTreeSet::from(expected), "{}", run.story());
}

each_jobs!(verbose_names_each_entry_once_as_a_path_of_the_target, 1, 2, 8);
fn verbose_names_each_entry_once_as_a_path_of_the_target(jobs: &str) {
    let env = Sandbox::new();
    env.many("src", 700, 0).tree("src", ["link link-1 a", "fifo fifo-1", "dir empty"]);
    let expected: BTreeSet<String> = env
        .listing("src")
        .into_keys()
        .map(|path| format!("DST/{}", path.display()).trim_end_matches('/').to_owned())
        .collect();
    let target = format!("dst-{jobs}");

    let run = env.pcopy(["-v", "-j", jobs, "src", &target]);

    run.exits(0);
    let printed: Vec<String> =
        run.stdout.lines().map(|name| name.replacen(&target, "DST", 1)).collect();
    assert_eq!(printed.len(), expected.len(), "each once");
    assert_eq!(printed.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn verbose_names_are_below_the_directory_that_was_copied_into() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1K"]).tree("into", ["dir ."]);

    let run = env.pcopy(["-v", "src", "into"]);

    let names: BTreeSet<_> = run.stdout.lines().collect();
    assert_eq!(names, BTreeSet::from(["into/src", "into/src/a"]), "{}", run.story());
}

#[test]
fn verbose_does_not_name_what_was_up_to_date() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1K", "file b 1K"]);
    env.pcopy(["src", "dst"]).exits(0);
    fs::write(env.path("src/b"), "changed").unwrap();

    let run = env.pcopy(["-v", "-T", "src", "dst"]);

    run.exits(0).stdout_is("dst/b\n").stderr_has("2 skipped");
}

#[test]
fn verbose_names_are_escaped() {
    let env = Sandbox::new();
    wild_tree(&env);

    let run = env.pcopy(["-v", "src", "dst"]);

    run.exits(0);
    let names: BTreeSet<_> = run.stdout.lines().map(str::to_owned).collect();
    let mut expected: BTreeSet<_> = WILD.iter().map(|(_, shown)| format!("dst/{shown}")).collect();
    expected.insert("dst".to_owned());
    assert_eq!(names, expected);
}

// ---- failures --------------------------------------------------------------------------------

#[test]
fn a_failure_is_reported_in_the_words_that_the_manual_promises() {
    let env = Sandbox::new();
    env.tree("src", ["file a/x 1K", "file ok 1K"]);
    chmod(&env.path("src/a/x"), 0o000);
    env.give_to_plain_user();

    let run = env.plain_pcopy(["src", "dst"]);

    run.exits(1);
    let message = "pcopy: cannot open 'src/a/x' for reading: Permission denied\n";
    assert_eq!(run.stderr.matches(message).count(), 1, "{}", run.story());
}

each_jobs!(ten_thousand_failures_are_all_named_and_summed_up_in_one_line, 1, 8);
fn ten_thousand_failures_are_all_named_and_summed_up_in_one_line(jobs: &str) {
    let env = Sandbox::new();
    fs::create_dir(env.path("src")).unwrap();
    for number in 0..10_000 {
        fs::write(env.path(format!("src/{number}")), "").unwrap();
        fs::create_dir_all(env.path(format!("dst/{number}"))).unwrap();
    }
    let run = env.pcopy(["-j", jobs, "-T", "src", "dst"]);

    run.exits(1).stderr_has("10,000 failed");
    let failures =
        run.stderr.lines().filter(|line| line.starts_with("pcopy: cannot overwrite directory "));
    assert_eq!(failures.collect::<BTreeSet<_>>().len(), 10_000);
    let sum = "10,000 entries failed: cannot overwrite a directory with a non-directory";
    assert_eq!(run.stderr.matches(sum).count(), 1, "{}", run.story());
    assert_eq!(run.stderr.lines().count(), 10_002);
}

/// The second of two equal commands copies into the copy that the first has made.
#[test]
fn a_copy_into_an_earlier_copy_is_noted_on_a_terminal() {
    let note = "note: 'dst' exists: copying into 'dst/src'; use -T to update 'dst' itself\n";
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "dir d"]);
    let seen = || on_terminal(env.command(["src", "dst"])).contains(note);

    assert!(!seen(), "the first copy");
    env.tree("src", ["file more 10"]); // one that the first copy does not have
    assert!(seen(), "the second");
    assert!(!seen(), "now it is there");
    env.tree("other", ["file a 10", "file more 5", "file most 5"]).tree("empty", []);
    for line in [["other", "dst"], ["empty", "dst"]] {
        assert!(!on_terminal(env.command(line)).contains("note: "), "{line:?}");
    }
    std::fs::remove_dir_all(env.path("dst/src")).unwrap();
    env.pcopy(["src", "dst"]).exits(0).stderr_lacks("note: ");
}

#[test]
fn on_a_terminal_twenty_failures_of_a_kind_are_named() {
    let env = Sandbox::new();
    for number in 0..50 {
        env.tree("src", [&*format!("file {number} 1")]).tree("dst", [&*format!("dir {number}")]);
    }
    for number in 50..60 {
        env.tree("src", [&*format!("dir {number}")]).tree("dst", [&*format!("file {number} 1")]);
    }

    let screen = on_terminal(env.command(["-T", "src", "dst"]));

    let begin = "pcopy: cannot overwrite ";
    let named = |what: &str| screen.matches(&format!("{begin}{what} 'dst/")).count();
    assert_eq!((named("directory"), named("non-directory")), (20, 10), "{screen}");
    assert!(screen.contains("50 entries failed: cannot overwrite a directory "), "{screen}");
    let hint = "hint: 30 failures are not named above; 2>FILE names all in FILE";
    assert!(screen.contains(hint), "{screen}");
}

#[test]
fn failures_of_several_kinds_have_a_line_each() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1", "file b 1", "file c/x 1", "file d/x 1"]);
    env.tree("dst", ["dir a", "dir b", "file c 1", "file d 1"]);

    let run = env.pcopy(["-T", "src", "dst"]);

    run.exits(1).stderr_has("2 entries failed: cannot overwrite a directory with a non-directory");
    run.stderr_has("2 entries failed: cannot overwrite a non-directory with a directory");
}

#[test]
fn names_in_messages_are_escaped() {
    let env = Sandbox::new();
    wild_tree(&env);
    for (name, _) in WILD {
        fs::create_dir_all(env.path("dst").join(OsStr::from_bytes(name))).unwrap();
    }

    let run = env.pcopy(["-T", "src", "dst"]);

    run.exits(1);
    assert_harmless(&run.stderr);
    for (_, shown) in WILD {
        run.stderr_has(&format!(
            "cannot overwrite directory 'dst/{shown}' with non-directory 'src/{shown}'"
        ));
    }
}

#[test]
fn names_in_refusals_are_escaped() {
    let env = Sandbox::new();
    for (name, shown) in WILD {
        let run = env.pcopy([OsStr::from_bytes(name), OsStr::new("dst")]);

        run.exits(3).stderr_has(shown);
        assert_harmless(&run.stderr);
    }
}

#[test]
fn no_name_does_anything_to_a_terminal() {
    let env = Sandbox::new();
    wild_tree(&env);
    env.tree("empty", ["dir ."]);
    for (name, _) in WILD {
        let name = OsStr::from_bytes(name);
        fs::create_dir_all(env.path("directories").join(name)).unwrap();
        for place in ["prompted", "backed-up", "other"] {
            env.tree(place, ["dir ."]);
            fs::write(env.path(place).join(name), "another").unwrap();
        }
    }
    env.pcopy(["-q", "--manifest=sums", "-T", "src", "listed"]).exits(0);
    let lines: [&[&str]; 12] = [
        &["-v", "src", "dst"],
        &["-v", "--debug", "--update=all", "src", "dst"],
        &["-T", "src", "directories"],
        &["-i", "-T", "src", "prompted"],
        &["-v", "-b", "-T", "src", "backed-up"],
        &["--check", "-T", "src", "empty"],
        &["--check", "-T", "empty", "src"],
        &["--check", "-T", "src", "other"],
        &["--check-manifest", "sums", "empty"],
        &["--check-manifest", "sums", "other"],
        &["--manifest=-", "-T", "src", "listed-1"],
        &["--manifest=/dev/stdout", "-T", "src", "listed-2"],
    ];
    for line in lines {
        let text = on_terminal(env.command(line.iter().chain(&["--progress=never"])));

        assert_harmless(&text);
        for (_, shown) in WILD {
            assert!(text.contains(shown), "{line:?}: {shown} is not in {text}");
        }
    }
    for (name, shown) in WILD {
        let manifest = OsString::from_vec([b"--manifest=none/", name].concat());
        let line = [manifest.as_os_str(), OsStr::new("src"), OsStr::new("dst-2")];
        let text = on_terminal(env.command(line));
        assert_harmless(&text);
        assert!(text.contains(shown), "{shown} is not in {text}");

        let list = OsStr::from_bytes(name);
        fs::write(env.path(list), "no manifest\n").unwrap();
        let line = [OsStr::new("--check-manifest"), list, OsStr::new("src")];
        let text = on_terminal(env.command(line));
        assert_harmless(&text);
        assert!(text.contains(shown), "{shown} is not in {text}");
    }
}

#[test]
fn usage_errors_are_escaped() {
    let env = Sandbox::new();
    for (name, _) in WILD {
        for flag in [&b"--no-such-"[..], b"--progress=", b"--jobs=", b"-j", b"-Y"] {
            let wrong = OsString::from_vec([flag, name].concat());

            let run = env.pcopy([wrong.as_os_str(), OsStr::new("src"), OsStr::new("dst")]);

            run.exits(2);
            assert_harmless(&run.stderr);
        }
    }
}

#[test]
fn a_refusal_has_a_hint_on_a_line_of_its_own() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1K"]);

    let run = env.pcopy(["src", "src/inside"]);

    run.exits(3);
    let lines: Vec<_> = run.stderr.lines().collect();
    assert_eq!(lines[0], "pcopy: 'src/inside' lies inside 'src'");
    assert!(lines[1].starts_with("hint: ") && lines.len() == 2, "{lines:?}");
}

// ---- help and usage --------------------------------------------------------------------------

#[test]
fn help_names_every_flag_and_exits_well() {
    let env = Sandbox::new();
    let run = env.pcopy(["--help"]);
    run.exits(0);
    assert_eq!(run.stderr, "");
    for flag in [
        "--jobs",
        "--target-directory",
        "--no-target-directory",
        "--suffix-name",
        "--sparse",
        "--reflink",
        "--verbose",
        "--quiet",
        "--progress",
        "--help",
        "--version",
        "Exit codes:",
    ] {
        assert!(run.stdout.contains(flag), "help lacks {flag}\n{}", run.stdout);
    }
}

#[test]
fn version_is_one_line_with_the_programs_name() {
    let env = Sandbox::new();

    let run = env.pcopy(["--version"]);

    run.exits(0).stdout_is(&format!("pcopy {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_usage_error_names_the_flag() {
    let env = Sandbox::new();
    for (wrong, named) in [
        (&["--no-such-flag", "a", "b"][..], "--no-such-flag"),
        (&["-j", "0", "a", "b"], "--jobs"),
        (&["-T", "a"], "-T"),
        (&["a", "b", "--suffix-name=x"], "--suffix-name"),
        (&["-t", "d", "-T", "a"], "--target-directory"),
    ] {
        env.pcopy(wrong).exits(2).stdout_is("").stderr_has(named);
    }
}

// ---- standard output that is closed, full or slow --------------------------------------------

each_jobs!(a_reader_that_leaves_does_not_harm_the_copy, 1, 8);
fn a_reader_that_leaves_does_not_harm_the_copy(jobs: &str) {
    let env = Sandbox::new();
    env.long_names("src", 15_000);
    let target = format!("dst-{jobs}");
    let (live, names) = env.launch_stuck(env.tame(["-v", "-j", jobs, "src", &target]));
    let mut first = String::new();
    BufReader::new(names).read_line(&mut first).unwrap(); // and closes it: `| head -1`
    assert!(first.starts_with(&target), "{first}");

    let run = live.end();

    run.exits(0).stderr_lacks("standard output");
    env.assert_same("src", &target);
    env.assert_nothing_staged();
}

#[test]
fn as_cp_a_reader_that_leaves_ends_the_run() {
    let env = Sandbox::new();
    env.long_names("src", 15_000);
    let mut command = Command::new(PCOPY);
    command.arg0("cp").args(["-rv", "src", "dst"]).current_dir(env.path(""));
    let (live, names) = env.launch_stuck(command);
    let mut first = String::new();
    BufReader::new(names).read_line(&mut first).unwrap();

    let run = live.end();

    run.died_by(Signal::SIGPIPE);
    assert_eq!(run.stderr, "", "{}", run.story());
}

#[test]
fn a_reader_that_leaves_a_manifest_is_a_failure() {
    let env = Sandbox::new();
    env.long_names("src", 15_000);
    let (live, names) = env.launch_stuck(env.tame(["--manifest=-", "src", "dst"]));
    let mut first = String::new();
    BufReader::new(names).read_line(&mut first).unwrap();

    live.end().exits(1).stderr_has("pcopy: cannot write to standard output: Broken pipe");

    env.assert_same("src", "dst");
}

#[test]
fn a_full_standard_output_does_not_harm_the_copy() {
    let env = Sandbox::new();
    env.many("src", 700, 0);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = env.command(["-v", "src", "dst"]);
    command.stdout(full).stderr(Stdio::piped());

    let output = command.output().unwrap();

    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let message = "pcopy: cannot write to standard output: No space left on device";
    assert_eq!(stderr.matches(message).count(), 1, "{stderr}");
    env.assert_same("src", "dst");
}

#[test]
fn a_closed_standard_output_does_not_harm_the_copy() {
    let env = Sandbox::new();
    env.many("src", 700, 0);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" -v src dst >&-", PCOPY]).current_dir(env.path(""));

    let run = env.run(command);

    run.exits(1).stderr_has("pcopy: cannot write to standard output: Bad file descriptor");
    env.assert_same("src", "dst");
}

#[test]
fn a_closed_standard_output_is_no_failure_when_nothing_is_printed() {
    let env = Sandbox::new();
    env.many("src", 700, 0);
    let mut command = Command::new("sh");
    let lines = "$0 src dst >&- && $0 -v -T src dst >&- && $0 --check -T src dst >&-";
    command.args(["-c", lines, PCOPY]).current_dir(env.path(""));

    env.run(command).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn all_three_streams_may_be_closed() {
    let env = Sandbox::new();
    env.many("src", 700, 0);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" src dst <&- >&- 2>&-", PCOPY]);
    command.current_dir(env.path(""));

    let run = env.run(command);

    run.exits(0).stdout_is("");
    env.assert_same("src", "dst");
}

#[test]
fn a_full_standard_error_does_not_harm_the_copy() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1K", "file b 1K"]).tree("dst", ["dir a"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();

    let status = env.command(["-T", "src", "dst"]).stderr(full).status().unwrap();

    assert_eq!(status.code(), Some(1));
    env.assert_same("src/b", "dst/b");
}

each_jobs!(a_slow_reader_gets_every_line, 1, 8);
fn a_slow_reader_gets_every_line(jobs: &str) {
    let env = Sandbox::new();
    env.long_names("src", 15_000);
    let target = format!("dst-{jobs}");
    let (live, mut names) = env.launch_stuck(env.tame(["-v", "-j", jobs, "src", &target]));
    let mut all = Vec::new();
    let mut piece = vec![0; 200_000];
    loop {
        std::thread::sleep(std::time::Duration::from_millis(5));
        match names.read(&mut piece).unwrap() {
            0 => break,
            length => all.extend_from_slice(&piece[..length]),
        }
    }

    live.end().exits(0);

    let lines: BTreeSet<_> = all.split(|&byte| byte == b'\n').collect();
    assert_eq!(lines.len(), 15_151 + 1, "each once, and nothing after the last newline");
    assert_eq!(all.iter().filter(|&&byte| byte == b'\n').count(), 15_151);
}

#[test]
fn a_nonblocking_pipe_gets_every_line() {
    let env = Sandbox::new();
    env.long_names("src", 15_000);
    let (mut names, writer) = std::io::pipe().unwrap();
    // Some programs (ssh, node) leave a pipe that they pass on in this mode.
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut command = env.command(["-v", "src", "dst"]);
    let mut child = command.stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    drop(command); // it has the pipe open, too
    std::thread::sleep(std::time::Duration::from_millis(300));

    let mut all = String::new();
    names.read_to_string(&mut all).unwrap();

    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(all.lines().count(), 15_151);
}

/// Where contents decide, an empty file looks complete as soon as it exists.
#[test]
fn an_empty_file_whose_copier_died_right_after_its_creation_is_printed_and_counted() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file empty 0"]);
    // The copier opens the source and then creates the copy. The second call returns late.
    let inject = "inject=openat:delay_exit=1000000:when=2";
    let options = ["-P", "empty", "-e", "trace=openat", "-e", inject];
    let line = ["--no-preserve=timestamps", "-v", "-j1", "src", "dst"];
    let live = env.launch(env.traced(&options, line));
    wait_until("the file is created", || env.path(".dst.pcopy-partial/empty").exists());
    for copier in live.children() {
        send(copier, Signal::SIGKILL);
    }

    let run = live.end();

    run.exits(0).stdout_is("dst/empty\ndst\n").stderr_has("copied 2 entries");
}
