//! The progress line, shown on a pseudo-terminal.

use crate::common::live::{Live, send, state};
use crate::common::mounts::{in_own_mounts, mount};
use crate::common::{
    PCOPY, Run, Sandbox, cells, children_of, each_jobs, has_strace, skip, tool, wait_until,
};
use crate::terminal::{Seen, Terminal};
use nix::sys::signal::Signal::{SIGCONT, SIGINT, SIGSTOP, SIGTSTP, SIGUSR1};
use std::io::Read;
use std::process::{ChildStdout, Command};
use std::time::Duration;
use unicode_width::UnicodeWidthStr;

/// The number of files in the copied tree. With their 150 directories and the root, the tree has 15,151
/// entries.
const FILES: usize = 15_000;

/// A run whose speed the test controls: with `-v` into a pipe, the run continues only while the test reads
/// names.
struct Paced<'a> {
    live: Live<'a>,
    names: ChildStdout,
    terminal: Terminal,
}

impl<'a> Paced<'a> {
    fn start(env: &'a Sandbox, width: u16, arguments: &[&str]) -> Self {
        Self::start_in(env, "C.UTF-8", width, arguments)
    }

    fn start_in(env: &'a Sandbox, locale: &str, width: u16, arguments: &[&str]) -> Self {
        Self::start_on(env, locale, Terminal::new(width), arguments)
    }

    fn start_on(env: &'a Sandbox, locale: &str, terminal: Terminal, arguments: &[&str]) -> Self {
        let mut command = env.tame(arguments.iter().chain(&["-v", "src", "dst"]));
        command.env("TERM", "xterm-256color").env("LC_ALL", locale).env_remove("NO_COLOR");
        let nothing = tempfile::tempfile().unwrap();
        let (live, names) = env.launch_piped(command, terminal.stream(), nothing);
        Self { live, names, terminal }
    }

    /// Waits until `text` was written to the terminal.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        wait_until(&format!("{text:?} on the terminal"), || {
            assert!(
                self.live.is_running(),
                "ended without {text:?}: {:?}",
                self.terminal.written()
            );
            self.terminal.written().contains(text)
        });
    }

    /// Lets the run complete, slowly enough for the progress line to show each step.
    fn end(self) -> (Run<'a>, Seen) {
        let Self { live, mut names, terminal } = self;
        let mut buffer = vec![0; 64 * 1024];
        while names.read(&mut buffer).unwrap() > 0 {
            std::thread::sleep(Duration::from_millis(15));
        }
        (live.end(), terminal.close())
    }
}

fn sandbox() -> Sandbox {
    let env = Sandbox::new();
    env.long_names("src", FILES);
    env
}

/// Returns the percentages that were shown, in order.
fn percentages(seen: &Seen) -> Vec<u32> {
    let percent = |state: &String| state.split_once('%')?.0.trim().parse().ok();
    seen.states.iter().filter_map(percent).collect()
}

each_jobs!(the_line_shows_percentage_counts_and_rate, 1, 8);
fn the_line_shows_percentage_counts_and_rate(jobs: &str) {
    let env = sandbox();
    let mut run = Paced::start(&env, 100, &["-j", jobs]);
    run.wait_for(" of 15,151");
    run.wait_for("%");

    let (run, seen) = run.end();

    run.exits(0);
    let full = |state: &&String| {
        state.contains("% [") && state.contains(" of 15,151") && state.contains("/s")
    };
    assert!(seen.states.iter().filter(full).count() > 3, "{:#?}", seen.states);
}

#[test]
fn what_a_followed_operand_contains_is_counted_ahead() {
    let env = sandbox();
    std::fs::rename(env.path("src"), env.path("tree")).unwrap();
    std::os::unix::fs::symlink("tree", env.path("src")).unwrap();
    let mut run = Paced::start(&env, 100, &["-H", "-j1"]);
    run.wait_for(" of 15,151");

    run.end().0.exits(0);
}

each_jobs!(the_percentage_never_goes_down_and_ends_at_a_hundred, 1, 2, 8);
fn the_percentage_never_goes_down_and_ends_at_a_hundred(jobs: &str) {
    let env = sandbox();
    let mut run = Paced::start(&env, 100, &["-j", jobs]);
    run.wait_for("%");

    let (run, seen) = run.end();

    run.exits(0);
    let shown = percentages(&seen);
    assert!(shown.is_sorted(), "{shown:?}");
    assert!(shown.last().is_some_and(|&last| last <= 100) && shown.len() > 3, "{shown:?}");
    assert!(shown.first() < shown.last(), "{shown:?}");
}

#[test]
fn a_hundred_percent_is_not_shown_while_something_is_left() {
    let env = sandbox();
    let mut run = Paced::start(&env, 100, &["-j", "2"]);
    run.wait_for("%");

    let (run, seen) = run.end();

    run.exits(0);
    let early: Vec<_> = seen
        .states
        .iter()
        .filter(|state| state.starts_with("100%") && !state.contains("15,151 of 15,151"))
        // The parts of the line are from different moments: the percentage of one, the counts of another.
        .filter(|state| !state.contains("15,1"))
        .collect();
    assert!(early.is_empty(), "{early:?}");
}

#[test]
fn until_the_precount_ends_the_line_says_counting() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = sandbox();
    let terminal = Terminal::new(100);
    // Copiers list their directories before the line appears; after that only the counting process does,
    // whose start is delayed.
    let slow = ["-e", "trace=setpriority", "-e", "inject=setpriority:delay_enter=1500000"];
    let mut command = env.traced(&slow, ["-v", "-j1", "src", "dst"]);
    command.env("TERM", "xterm-256color");
    let nothing = tempfile::tempfile().unwrap();
    let (live, names) = env.launch_piped(command, terminal.stream(), nothing);
    let mut run = Paced { live, names, terminal };
    run.wait_for("counting");
    assert!(!run.terminal.written().contains('%'), "{:?}", run.terminal.written());

    run.wait_for("%");
    let (run, seen) = run.end();

    run.exits(0);
    assert!(seen.states[0].contains(", counting"), "{:?}", seen.states[0]);
    assert!(!seen.states[0].contains(" of "), "{:?}", seen.states[0]);
    assert!(seen.states.last().is_some_and(|state| !state.contains("counting")));
}

#[test]
fn in_the_end_only_the_summary_is_on_the_screen() {
    let env = sandbox();
    let mut run = Paced::start(&env, 100, &["-j", "2"]);
    run.wait_for("%");

    let (run, seen) = run.end();

    run.exits(0);
    assert_eq!(seen.screen.len(), 1, "{:#?}", seen.screen);
    assert!(
        seen.screen[0].starts_with("copied 15,151 entries (0 bytes) to 'dst' in "),
        "{:?}",
        seen.screen
    );
}

#[test]
fn after_an_interrupt_only_its_message_is_on_the_screen() {
    let env = sandbox();
    let mut run = Paced::start(&env, 100, &["-j", "2"]);
    run.wait_for("%");

    run.live.signal(SIGINT);
    let (run, seen) = run.end();

    run.died_by(SIGINT);
    assert_eq!(seen.screen.len(), 2, "{:#?}", seen.screen);
    assert!(seen.screen[0].starts_with("pcopy: interrupted after "), "{:?}", seen.screen);
    assert!(seen.screen[1].starts_with("hint: to discard "), "{:?}", seen.screen);
}

/// Renames the directories of the tree, so that `suffix` is part of each path.
fn rename_dirs(env: &Sandbox, suffix: &str) {
    for directory in std::fs::read_dir(env.path("src")).unwrap() {
        let path = directory.unwrap().path();
        let mut renamed = path.clone().into_os_string();
        renamed.push(suffix);
        std::fs::rename(path, renamed).unwrap();
    }
}

cells! {
    no_line_is_wider_than_the_window,
    ascii => "-name",
    chinese_and_japanese => "-目录中的文件-ファイル",
    emoji_and_combining_marks => "-👍🏽👩‍👩‍👧‍👦🇩🇪-e\u{301}e\u{301}e\u{301}",
}
fn no_line_is_wider_than_the_window(suffix: &str) {
    let env = sandbox();
    rename_dirs(&env, suffix);
    for width in [20, 40, 200] {
        let mut run = Paced::start(&env, width, &["-j", "2"]);
        run.wait_for("%");

        let (run, seen) = run.end();

        run.exits(0);
        let lines = seen.states.iter().filter(|state| !state.starts_with("copied"));
        let widest = lines.map(|state| state.width()).max().unwrap();
        assert!(widest < usize::from(width), "{widest} in {width} columns");
        std::fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

#[test]
fn a_wide_window_shows_the_end_of_the_name_in_progress() {
    let env = sandbox();
    let mut run = Paced::start(&env, 120, &["-j", "1"]);
    run.wait_for("%");

    let (run, seen) = run.end();

    run.exits(0);
    assert!(seen.states.iter().any(|state| state.contains("  ...0")), "{:#?}", seen.states);
}

#[test]
fn in_the_c_locale_everything_shown_is_ascii() {
    let env = sandbox();
    for width in [40, 120] {
        let mut run = Paced::start_in(&env, "C", width, &["-j", "2"]);
        run.wait_for("%");

        let (run, seen) = run.end();

        run.exits(0);
        assert!(seen.bytes.is_ascii(), "{:#?}", seen.states);
        std::fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

#[test]
fn a_window_without_a_size_is_no_harm() {
    let env = sandbox();
    let mut run = Paced::start(&env, 0, &["-j", "2"]);
    run.wait_for("%");

    let (run, seen) = run.end();

    run.exits(0);
    assert_eq!(seen.screen.len(), 1, "{:#?}", seen.screen);
}

/// As in `script` without a terminal, followed by `stty cols 200`.
#[test]
fn a_window_without_rows_is_taken_for_one_of_80_columns() {
    let env = sandbox();
    let terminal = Terminal::with_rows(0, 200);
    let mut run = Paced::start_on(&env, "C.UTF-8", terminal, &["-j", "2"]);
    run.wait_for("%");

    let (run, seen) = run.end();

    run.exits(0);
    let is_whole = |line: &&String| line.width() < 80 && line.contains("  ...");
    let named = seen.states.iter().filter(|state| state.contains("%") && state.contains("/"));
    assert!(named.filter(is_whole).count() > 3, "{:#?}", seen.states);
}

#[test]
fn control_characters_in_names_never_reach_the_terminal() {
    let env = Sandbox::new();
    env.long_names("src", FILES);
    rename_dirs(&env, "-\x1b[31m\x07\n\u{202e}"); // directories are shown, too
    let mut run = Paced::start(&env, 400, &["-j", "2"]);
    run.wait_for("%");

    let (run, seen) = run.end(); // `Seen` fails at escapes that pcopy does not use

    run.exits(0);
    let all = String::from_utf8_lossy(&seen.bytes);
    assert!(all.contains("\\x1b[31m\\x07\\n\\u{202e}"), "the names were not shown at all");
    assert!(!all.contains("\x1b[31m") && !all.contains('\x07') && !all.contains('\u{202e}'));
}

#[test]
fn messages_appear_above_the_line() {
    let env = sandbox();
    let mut run = Paced::start(&env, 100, &["-j", "2"]);
    run.wait_for("%");

    run.live.signal(SIGUSR1);
    run.wait_for("copiers, at ");
    let (run, seen) = run.end();

    run.exits(0);
    assert!(seen.screen[0].starts_with("pcopy: ") && seen.screen[0].contains(" entries, "));
    assert!(seen.screen.last().unwrap().starts_with("copied 15,151 entries"), "{:#?}", seen.screen);
}

#[test]
fn the_line_is_redrawn_after_a_suspension() {
    let env = sandbox();
    let mut run = Paced::start(&env, 100, &["-j", "2"]);
    run.wait_for("%");

    run.live.signal(SIGTSTP);
    wait_until("it stops", || state(run.live.pid()) == Some('T'));
    std::thread::sleep(Duration::from_millis(200)); // for the terminal to pass everything on
    let before = run.terminal.written();
    assert!(before.ends_with("\x1b[2K"), "the shell's prompt would follow the line: {before:?}");
    run.live.signal(SIGCONT);
    wait_until("it is drawn again", || run.terminal.written()[before.len()..].contains('%'));
    let (run, seen) = run.end();

    run.exits(0);
    assert!(percentages(&seen).is_sorted());
    assert_eq!(seen.screen.len(), 1, "{:#?}", seen.screen);
}

#[test]
fn never_means_no_line_even_on_a_terminal() {
    let env = sandbox();
    for flag in ["--progress=never", "-q"] {
        let terminal = Terminal::new(100);
        let nothing = tempfile::tempfile().unwrap();
        let mut command = env.tame([flag, "-T", "src", "dst"]);
        command.arg("-v"); // the last of -q and -v wins, so a run with -q is suspended instead
        if flag == "-q" {
            command = env.tame([flag, "-T", "src", "dst"]);
        }
        let (live, names) = env.launch_piped(command, terminal.stream(), nothing);
        if flag == "-q" {
            live.freeze();
        }
        std::thread::sleep(Duration::from_millis(1200));
        live.thaw();
        let mut run = Paced { live, names, terminal };
        run.live.is_running();
        let (run, seen) = run.end();

        run.exits(0);
        assert!(!seen.bytes.contains(&0x1b) && !seen.bytes.contains(&b'%'), "{:?}", seen.screen);
        assert_eq!(seen.screen.len(), usize::from(flag != "-q"), "{:?}", seen.screen);
        std::fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

#[test]
fn a_short_run_shows_no_line() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K"]);
    // On a busy machine even this may take half a second; not five times in a row.
    let shown = |turn| {
        let terminal = Terminal::new(100);
        let nothing = tempfile::tempfile().unwrap();
        let command = env.tame(["src", &format!("dst-{turn}")]);
        let (live, _names) = env.launch_piped(command, terminal.stream(), nothing);
        live.end().exits(0);
        terminal.close().bytes.contains(&0x1b)
    };
    assert!((0..5).any(|turn| !shown(turn)));
}

#[test]
fn without_a_terminal_there_is_no_line_and_no_escape() {
    let env = sandbox();
    let (live, mut names) = env.launch_stuck(env.tame(["-v", "-j2", "src", "dst"]));
    std::thread::sleep(Duration::from_millis(1200));
    names.read_to_string(&mut String::new()).unwrap();

    let run = live.end();

    run.exits(0);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.story());
    assert!(!run.stderr.contains('\x1b') && !run.stderr.contains('\r'), "{:?}", run.stderr);
}

#[test]
fn always_without_a_terminal_prints_plain_lines() {
    let env = sandbox();
    for flag in ["--progress=always", "--progress"] {
        let command = env.tame(["-v", "-j2", flag, "-T", "src", "dst"]);
        let (mut live, mut names) = env.launch_stuck(command);
        wait_until("a line is printed", || {
            assert!(live.is_running(), "no line was printed: {}", live.stderr());
            live.stderr().contains(" of 15,151")
        });
        names.read_to_string(&mut String::new()).unwrap();

        let run = live.end();

        run.exits(0);
        assert!(!run.stderr.contains(['\x1b', '\r']), "{:?}", run.stderr);
        let lines: Vec<_> = run.stderr.lines().collect();
        assert!(lines.last().unwrap().starts_with("copied 15,151 entries"), "{lines:?}");
        assert!(lines.len() > 1 && lines.iter().all(|line| !line.is_empty()), "{lines:?}");
        std::fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

#[test]
fn the_line_continues_while_data_is_read_back() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 3M", "file b 3M", "file c 3M", "file d 3M"]);
    let options = ["-e", "trace=syncfs,fadvise64", "-e", "inject=syncfs:delay_enter=1600000"];
    let options = [&options[..], &["-e", "inject=fadvise64:delay_enter=700000"]].concat();

    let run = env.run(env.traced(&options, ["--progress=always", "--verify", "-j1", "src", "dst"]));

    run.exits(0).stderr_has("flushing to stable storage");
    let percents = run.stderr.lines().filter(|line| line.contains(" read back"));
    let percents: Vec<u32> =
        percents.map(|line| line.split_once('%').unwrap().0.trim().parse().unwrap()).collect();
    assert!(percents.is_sorted() && percents.len() > 1, "{}", run.story());
    assert!((50..100).contains(&percents[0]), "{}", run.story());
}

/// Returns a command that runs in a session of its own, with `terminal` as the controlling terminal.
fn in_session(env: &Sandbox, terminal: &Terminal, program: &[&str]) -> Command {
    let mut command = Command::new("setsid");
    command.args(["--wait", "--ctty", "env", "--default-signal=INT,TERM,HUP,TSTP"]).args(program);
    command.current_dir(env.path("")).env("TERM", "xterm-256color");
    command.stdin(terminal.stream());
    command
}

#[test]
fn control_c_on_a_terminal_ends_the_run_and_a_rerun_resumes() {
    if !tool("setsid") {
        return skip!("setsid is not installed");
    }
    let env = sandbox();
    let terminal = Terminal::new(100);
    let command = in_session(&env, &terminal, &[PCOPY, "-v", "-j2", "src", "dst"]);
    let nothing = tempfile::tempfile().unwrap();
    let (live, names) = env.launch_piped(command, terminal.stream(), nothing);
    let mut run = Paced { live, names, terminal };
    run.wait_for("%");

    run.terminal.type_in(b"\x03");
    let (run, seen) = run.end();

    assert!(!run.status.success(), "{}", run.story());
    // setsid adds a line about a child that a signal ended.
    let shows = |words: &str| seen.screen.iter().any(|row| row.contains(words));
    assert!(shows("pcopy: interrupted after "), "{:#?}", seen.screen);
    assert!(shows("did not exit normally"), "{:#?}", seen.screen);
    assert!(!env.path("dst").exists());
    env.pcopy(["src", "dst"]).exits(0);
    env.assert_same("src", "dst");
    env.assert_nothing_staged();
}

/// Both come from the kernel, and at once.
#[test]
fn a_second_control_c_on_a_terminal_ends_the_run_at_once() {
    if !tool("setsid") {
        return skip!("setsid is not installed");
    }
    let env = Sandbox::new();
    env.tree("", ["file a 10", "fifo p"]); // a copier waits for a reader of the FIFO
    let terminal = Terminal::new(100);
    let command = in_session(&env, &terminal, &[PCOPY, "-j2", "a", "p"]);
    let nothing = tempfile::tempfile().unwrap();
    let (live, names) = env.launch_piped(command, terminal.stream(), nothing);
    let setsid = live.pid();
    let run_of = || children_of(setsid).into_iter().next();
    wait_until("a copier works", || run_of().is_some_and(|run| !children_of(run).is_empty()));
    for copier in run_of().into_iter().flat_map(children_of) {
        send(copier, SIGSTOP); // so the first signal cannot end the run yet
    }
    let mut run = Paced { live, names, terminal };

    run.terminal.type_in(b"\x03");
    std::thread::sleep(Duration::from_millis(50));
    run.terminal.type_in(b"\x03");
    let (run, seen) = run.end();

    assert!(!run.status.success(), "{}", run.story());
    let shows = |words: &str| seen.screen.iter().any(|row| row.contains(words));
    assert!(!shows("interrupted after"), "{:#?}", seen.screen);
}

#[test]
fn control_z_and_fg_in_a_shell_suspend_and_continue_the_run() {
    if !tool("setsid") || !tool("bash") {
        return skip!("no setsid or bash");
    }
    let env = sandbox();
    let terminal = Terminal::new(100);
    // The shell gets the terminal back when its job stops, prints a line, and continues the job in the
    // foreground.
    let script = format!("set -m; {} -v -j2 src dst; echo STOPPED $? >&2; fg >&2", PCOPY);
    let command = in_session(&env, &terminal, &["bash", "-c", &script]);
    let nothing = tempfile::tempfile().unwrap();
    let (live, names) = env.launch_piped(command, terminal.stream(), nothing);
    let mut run = Paced { live, names, terminal };
    run.wait_for("%");

    run.terminal.type_in(b"\x1a");
    run.wait_for("STOPPED 148"); // 128 + TSTP
    let (run, seen) = run.end();

    run.exits(0);
    assert!(seen.screen.last().unwrap().starts_with("copied 15,151 entries"), "{:#?}", seen.screen);
    env.assert_same("src", "dst");
}

#[test]
fn in_the_background_of_a_shell_nothing_is_drawn_over_the_prompt() {
    if !tool("setsid") || !tool("bash") {
        return skip!("no setsid or bash");
    }
    for (flag, draws) in [("--progress=auto", false), ("--progress=always", true)] {
        let env = sandbox();
        let terminal = Terminal::new(100);
        let script = format!("set -m; {PCOPY} {flag} -v -j2 src dst & echo PROMPT >&2; wait $!");
        let command = in_session(&env, &terminal, &["bash", "-c", &script]);
        let nothing = tempfile::tempfile().unwrap();
        let (live, names) = env.launch_piped(command, terminal.stream(), nothing);
        let mut run = Paced { live, names, terminal };
        run.wait_for("PROMPT");
        std::thread::sleep(Duration::from_millis(1500)); // the run waits for a reader of its names

        let written = run.terminal.written();
        let (run, seen) = run.end();

        assert_eq!(written.contains(" of "), draws, "{flag}: {written:?}");
        assert_eq!(written.contains('\x1b'), draws, "{flag}: {written:?}");
        run.exits(0);
        let is_summary = |line: &String| line.starts_with("copied 15,151 entries");
        assert!(seen.screen.iter().any(is_summary), "{flag}: {:#?}", seen.screen);
    }
}

#[test]
fn a_run_that_is_continued_in_the_background_stops_drawing() {
    if !tool("setsid") || !tool("bash") {
        return skip!("no setsid or bash");
    }
    let env = sandbox();
    let terminal = Terminal::new(100);
    let script = format!("set -m; {PCOPY} -v -j2 src dst; bg >&2; echo PROMPT >&2; wait");
    let command = in_session(&env, &terminal, &["bash", "-c", &script]);
    let nothing = tempfile::tempfile().unwrap();
    let (live, names) = env.launch_piped(command, terminal.stream(), nothing);
    let mut run = Paced { live, names, terminal };
    run.wait_for(" of ");

    run.terminal.type_in(b"\x1a");
    run.wait_for("PROMPT");
    std::thread::sleep(Duration::from_millis(500));
    let written = run.terminal.written();
    let (run, _) = run.end();

    let (_, after) = written.split_once("PROMPT").unwrap();
    assert!(!after.contains(['%', '\x1b']), "{after:?}");
    run.exits(0);
}

#[test]
fn where_the_rest_does_not_fit_a_warning_comes_before_the_target_is_full() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    if !in_own_mounts!() {
        return;
    }
    for (size, warned) in [("size=4M", true), ("size=4M,nr_inodes=150", true), ("size=40M", false)]
    {
        let env = Sandbox::new();
        let files: Vec<_> = (0..200).map(|number| format!("file f{number} 30K")).collect();
        env.tree("src", files.iter().map(String::as_str));
        std::fs::create_dir(env.path("small")).unwrap();
        let Some(_mounted) = mount(&["-t", "tmpfs", "-o", size, "tmpfs"], &env.path("small"))
        else {
            return skip!("cannot mount a tmpfs here");
        };
        let slow = ["-e", "trace=openat", "-e", "inject=openat:delay_exit=6000"];
        let arguments = ["-j2", "--progress=always", "src", "small/dst"];

        let run = env.run(env.traced(&slow, arguments));

        run.exits(if warned { 11 } else { 0 });
        let warning = "free on the file system of 'small/dst'";
        if warned {
            run.stderr_has(warning)
        } else {
            run.stderr_lacks("warning")
        };
    }
}

/// The text of a progress line that does not change for a while: by then, the rate is not shown any more.
const WAITS: &str = "no progress for 0:06";

/// The FIFO in the source whose reader waits.
const FIFOS: [&str; 2] = ["src/fifo/a-fifo-with-a-long-name", "源/管道/名字很长的管道文件"];

/// Starts to copy `source` on a terminal of this width.
fn start_on<'a>(width: u16, source: &str, env: &'a Sandbox) -> (Live<'a>, Terminal) {
    let terminal = Terminal::new(width);
    let target = format!("{source}-{width}");
    let mut command = env.tame(["--copy-contents", "-j4", source, &target]);
    command.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR");
    let nothing = tempfile::tempfile().unwrap();
    let (live, _names) = env.launch_piped(command, terminal.stream(), nothing);
    (live, terminal)
}

/// Replaces the time and the speed of the last line by `#`.
fn without_times(summary: &str) -> String {
    let (copied, times) = summary.split_once(" in ").unwrap_or((summary, ""));
    let is_measured = |word: &&str| word.starts_with(|character: char| character.is_ascii_digit());
    let words = times.split(' ').map(|word| if is_measured(&word) { "#" } else { word });
    format!("{copied} in {}", words.collect::<Vec<_>>().join(" "))
}

/// On a screen: the line while a copier waits for the writer of a FIFO, and what stays at the end.
#[test]
fn the_screen_is_as_recorded() {
    let env = Sandbox::new();
    let sources = FIFOS.map(|fifo| fifo.split('/').next().unwrap());
    for (source, fifo) in sources.iter().zip(FIFOS) {
        env.tree(source, ["file small 4K", "file directory/file 1500K"]);
        env.tree("", [&*format!("fifo {fifo}")]);
    }
    let start = |source| [40, 80, 200].map(|width| (width, start_on(width, source, &env)));
    let runs: Vec<_> = sources.into_iter().flat_map(start).collect();
    for (_, (_, terminal)) in &runs {
        wait_until("it waits", || terminal.written().contains(WAITS));
    }
    let writers = FIFOS.map(|fifo| std::fs::File::options().write(true).open(env.path(fifo)));
    drop(writers);
    let recorded = runs.into_iter().map(|(width, (live, terminal))| {
        live.end().exits(0);
        let seen = terminal.close();
        let line = seen.states.iter().find(|state| state.contains(WAITS)).unwrap();
        let end: Vec<_> = seen.screen.iter().map(|row| without_times(row)).collect();
        format!("{width} columns\n{line}\n{}\n", end.join("\n"))
    });

    let recorded: Vec<_> = recorded.collect();

    assert_eq!(recorded.join("\n"), include_str!("../../fixtures/screens.txt"));
}
