//! Signals: they end a run cleanly, suspend and resume it, and make it print its progress.

use crate::common::live::{Live, count_entries, is_alive, state, with_default_signals};
use crate::common::mounts::in_own_mounts;
use crate::common::{
    PCOPY, Run, Sandbox, cells, children_of, each_jobs, has_strace, skip, tool, wait_until,
};
use crate::dead_disk::DeadDisk;
use crate::processes::open_files;
use nix::sys::signal::Signal::{
    self, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGSTOP, SIGTERM, SIGTSTP, SIGUSR1,
};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

/// The time after which a run counts as hung. pcopy promises 2 s, but a busy machine may need longer.
const SOON: Duration = Duration::from_secs(10);

const FILES: usize = 6000;

fn sandbox() -> Sandbox {
    let env = Sandbox::new();
    env.many("src", FILES, 300_000);
    env
}

/// Checks, after a signal has ended a run, that a rerun of the command completes the copy.
#[track_caller]
fn a_rerun_resumes(env: &Sandbox, run: &Run<'_>) {
    run.stderr_has("interrupted after").stderr_has("rerun the command to resume");
    assert!(!env.path("dst").exists(), "half a copy was published\n{}", run.story());

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
    env.assert_nothing_staged();
}

cells! {
    each_signal_that_ends_a_run_leaves_something_to_resume_from,
    sigint_jobs_1 => (SIGINT, "1"),
    sigterm_jobs_2 => (SIGTERM, "2"),
    sighup_jobs_8 => (SIGHUP, "8"),
    sigint_jobs_8 => (SIGINT, "8"),
}
fn each_signal_that_ends_a_run_leaves_something_to_resume_from(signal: Signal, jobs: &str) {
    let env = sandbox();
    let live = env.frozen_mid_copy(&["-j", jobs, "src", "dst"]);

    live.signal(signal);
    live.thaw();
    let run = live.end_within(SOON);

    run.died_by(signal).stdout_is("");
    a_rerun_resumes(&env, &run);
}

#[test]
fn a_signal_to_the_whole_group_does_the_same_as_one_to_the_parent() {
    let env = sandbox();
    let live = env.frozen_mid_copy(&["-j", "2", "src", "dst"]);

    live.signal_all(SIGINT);
    live.thaw();
    let run = live.end_within(SOON);

    run.died_by(SIGINT);
    a_rerun_resumes(&env, &run);
}

#[test]
fn after_a_signal_a_line_has_the_counts_and_another_one_says_how_to_discard_the_rest() {
    let env = sandbox();
    let live = env.frozen_mid_copy(&["src", "dst"]);

    live.signal(SIGINT);
    live.thaw();
    let run = live.end_within(SOON);

    run.died_by(SIGINT);
    assert_eq!(run.stderr.lines().count(), 2, "{}", run.story());
    assert!(run.stderr.starts_with("pcopy: interrupted after "), "{}", run.story());
    assert!(run.stderr.ends_with(": rm -r .dst.pcopy-partial\n"), "{}", run.story());
    let counted = run.stderr.contains(" entries (") || run.stderr.contains(" 1 entry (");
    assert!(counted, "{}", run.story());
}

#[test]
fn quiet_is_quiet_after_a_signal_too() {
    let env = sandbox();
    let live = env.frozen_mid_copy(&["-q", "src", "dst"]);

    live.signal(SIGTERM);
    live.thaw();

    let run = live.end_within(SOON);
    run.died_by(SIGTERM);
    assert_eq!(run.stderr, "", "{}", run.story());
}

#[test]
fn what_was_copied_before_the_signal_is_not_copied_again() {
    let env = sandbox();
    let live = env.frozen_mid_copy(&["src", "dst"]);
    live.signal(SIGINT);
    live.thaw();
    live.end_within(SOON).died_by(SIGINT);
    let staged = count_entries(&env.path(".dst.pcopy-partial"));
    assert!(staged > 1, "nothing remained to resume from");

    let run = env.pcopy(["-v", "src", "dst"]);

    run.exits(0).stderr_has(" skipped");
    assert!(run.stdout.lines().count() < count_entries(&env.path("dst")), "{}", run.story());
}

#[test]
fn no_copier_survives_a_signal() {
    let env = sandbox();
    let live = env.frozen_mid_copy(&["-j", "8", "src", "dst"]);
    let copiers = live.children();
    assert!(!copiers.is_empty());

    live.signal(SIGINT);
    live.thaw();
    live.end_within(SOON).died_by(SIGINT);

    assert!(copiers.iter().all(|&pid| !is_alive(pid)), "still there: {copiers:?}");
}

#[test]
fn a_copier_that_is_stopped_does_not_keep_a_run_from_ending() {
    let env = sandbox();
    let live = env.frozen_mid_copy(&["-j", "2", "src", "dst"]);
    let copiers = live.children();

    live.signal(SIGINT);
    live.signal(SIGCONT); // the copiers stay stopped
    let run = live.end_within(SOON);

    run.died_by(SIGINT);
    assert!(copiers.iter().all(|&pid| !is_alive(pid)), "still there: {copiers:?}");
    a_rerun_resumes(&env, &run);
}

/// Starts a run, stops its copiers, so that a first signal cannot end it yet, and sends it this signal.
fn interrupted<'a>(env: &'a Sandbox, signal: Signal) -> Live<'a> {
    let live = env.frozen_mid_copy(&["-j", "2", "src", "dst"]);
    live.signal(SIGCONT);
    live.signal(signal);
    wait_until("the first is read", || !has_pending(live.pid(), signal as u32));
    live
}

cells! {
    a_second_signal_ends_the_run_at_once,
    another_one => (SIGTERM, Duration::ZERO),
    the_same_after_a_while => (SIGINT, Duration::from_millis(1100)),
}
fn a_second_signal_ends_the_run_at_once(second: Signal, after: Duration) {
    let env = sandbox();
    let live = interrupted(&env, SIGINT);
    let copiers = live.children();

    std::thread::sleep(after);
    live.signal(second);
    let run = live.end_within(SOON);

    run.died_by(SIGINT);
    assert!(!env.path("dst").exists());
    wait_until("the copiers are gone", || copiers.iter().all(|&pid| !is_alive(pid)));
}

/// timeout(1) signals its child, and then its whole process group.
#[test]
fn the_same_signal_from_the_same_process_counts_once_within_a_second() {
    let env = sandbox();
    let live = interrupted(&env, SIGTERM);

    live.signal(SIGTERM);
    wait_until("the second is read", || !has_pending(live.pid(), SIGTERM as u32));
    live.signal_all(SIGCONT);

    let run = live.end_within(SOON);
    run.died_by(SIGTERM).stderr_has("interrupted after");
}

#[test]
fn a_run_that_timeout_ends_says_so() {
    let env = Sandbox::new();
    env.tree("", ["file a 10", "fifo p"]); // a copier waits for a reader of the FIFO
    for jobs in ["-j1", "-j8"] {
        let run = env.run(env.before(&["timeout", "0.3"], [jobs, "a", "p"]));

        run.exits(124).stderr_has("interrupted after");
    }
}

/// Whether a signal is pending for a process.
fn has_pending(pid: u32, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap_or("0");
    u64::from_str_radix(line.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
}

#[test]
fn a_hangup_that_was_ignored_at_the_start_stays_ignored() {
    let env = sandbox();
    let nohup = ["env", "--default-signal=INT,TERM", "--ignore-signal=HUP"];
    let (live, mut names) =
        env.long_names("long", 15_000).launch_stuck(env.before(&nohup, ["-v", "long", "dst"]));
    let mut live = live;
    live.wait_for_children(1);

    live.signal_all(SIGHUP);
    names.read_to_string(&mut String::new()).unwrap();

    live.end().exits(0);
    env.assert_same("long", "dst");
}

#[test]
fn an_interrupt_that_was_ignored_at_the_start_stays_ignored() {
    let env = Sandbox::new();
    let ignoring = ["env", "--ignore-signal=INT"]; // as a script's `pcopy a b &` does
    let (mut live, mut names) =
        env.long_names("src", 15_000).launch_stuck(env.before(&ignoring, ["-v", "src", "dst"]));
    live.wait_for_children(1);

    live.signal_all(SIGINT);
    names.read_to_string(&mut String::new()).unwrap();

    live.end().exits(0);
}

each_jobs!(a_signal_ends_a_run_whose_output_is_not_read, 1, 8);
fn a_signal_ends_a_run_whose_output_is_not_read(jobs: &str) {
    let env = Sandbox::new();
    env.long_names("src", 15_000);
    let (mut live, names) = env.launch_stuck(env.tame(["-v", "-j", jobs, "src", "dst"]));
    live.wait_for_children(1);
    wait_for_a_jam(&env);

    live.signal(SIGINT);
    let run = live.end_within(SOON);

    run.died_by(SIGINT);
    assert!(!env.path("dst").exists());
    drop(names);
    env.pcopy(["-q", "src", "dst"]).exits(0);
    env.assert_same("src", "dst");
}

/// Waits until no new entries appear in the target any more.
fn wait_for_a_jam(env: &Sandbox) {
    let count = || count_entries(&env.path(".dst.pcopy-partial"));
    let (mut before, mut quiet) = (0, 0);
    wait_until("the run is jammed", || {
        std::thread::sleep(Duration::from_millis(50));
        let now = count();
        quiet = if now == before && now > 0 { quiet + 1 } else { 0 };
        before = now;
        quiet == 6
    });
}

#[test]
fn a_signal_ends_a_run_that_has_only_its_last_names_left_to_print() {
    let env = Sandbox::new();
    env.long_names("src", 1000); // more than a pipe holds, less than pcopy buffers for a slow reader
    let (live, names) = env.launch_stuck(env.tame(["-v", "src", "dst"]));
    wait_until("all is copied", || env.path("dst").exists());

    live.signal(SIGINT);
    let run = live.end_within(SOON);

    assert_eq!(run.status.signal(), Some(SIGINT as i32), "{}", run.story());
    env.assert_same("src", "dst");
    drop(names);
}

/// Starts a run that copies one file of 64 MiB at some 12 MB per second. Returns it while that file is in
/// progress.
fn slow_file(env: &Sandbox) -> Live<'_> {
    env.tree("src", ["file big 64M", "file small 1K"]);
    let delay = ["-e", "trace=write", "-e", "inject=write:delay_enter=20000"];
    let run = ["--reflink=never", "-j", "1", "src", "dst"]; // through the buffer
    let mut live = env.launch(env.traced(&delay, run));
    let partial = env.path(".dst.pcopy-partial/big");
    wait_until("the big file is begun", || {
        assert!(live.is_running(), "too fast");
        std::fs::metadata(&partial).is_ok_and(|file| file.len() > 0)
    });
    live
}

/// The command that the hint prints removes all that a run has left, and nothing else.
#[test]
fn what_is_left_in_an_existing_directory_is_named_with_the_command_that_removes_it() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src dir", ["file sub/new's/deep/big 64M"]).tree("dst", ["text sub/kept old"]);
    let names = || env.listing("dst").into_keys().collect::<Vec<_>>();
    let before = names();
    let delay = ["-e", "trace=write", "-e", "inject=write:delay_enter=20000"];
    let line = ["--reflink=never", "-j1", "-T", "src dir", "dst"];
    let live = env.launch(env.traced(&delay, line));
    let left = "dst/sub/.new's.pcopy-partial";
    wait_until("it is begun", || env.path(left).join("deep/big").exists());

    live.signal(SIGINT);
    let run = live.end_within(SOON);

    run.died_by(SIGINT);
    let command = run.stderr.split_once("unfinished instead: ").unwrap().1.trim_end();
    assert_eq!(command, format!("rm -r \"{left}\""));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", command]).current_dir(env.path(""));
    env.run(shell).exits(0);
    assert_eq!(names(), before);
}

#[test]
fn a_big_file_in_progress_is_aborted_when_it_takes_too_long_and_stays_for_the_next_run() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    let live = slow_file(&env);

    live.signal(SIGINT);
    let run = live.end_within(SOON);

    run.died_by(SIGINT);
    let left = std::fs::metadata(env.path(".dst.pcopy-partial/big")).unwrap();
    assert!(left.len() < 64 << 20, "it was not aborted");
    run.stderr_has("hint: to discard what is unfinished instead: rm -r .dst.pcopy-partial");
    a_rerun_resumes(&env, &run);
}

each_jobs!(suspending_stops_every_process_and_continuing_completes_the_run, 1, 2, 8);
fn suspending_stops_every_process_and_continuing_completes_the_run(jobs: &str) {
    let env = Sandbox::new();
    env.long_names("src", 15_000);
    let target = format!("dst-{jobs}");
    let (mut live, mut names) = env.launch_stuck(env.tame(["-v", "-j", jobs, "src", &target]));
    live.wait_for_children(1);

    live.signal(SIGTSTP);
    wait_until("all of it stops", || {
        let mut all = live.children();
        all.push(live.pid());
        all.iter().all(|&pid| state(pid) == Some('T'))
    });
    live.signal(SIGCONT);
    names.read_to_string(&mut String::new()).unwrap();

    live.end().exits(0);
    env.assert_same("src", &target);
}

#[test]
fn the_time_of_a_suspension_is_not_counted() {
    for suspend in [SIGTSTP, SIGSTOP] {
        let env = Sandbox::new();
        env.tree("src", ["file a 10", "fifo p"]);
        let begun = Instant::now();
        let mut live = env.start(["--copy-contents", "--progress=always", "-j1", "src", "dst"]);
        live.wait_for_children(1);
        live.signal(suspend);
        wait_until("it stops", || state(live.pid()) == Some('T'));
        std::thread::sleep(Duration::from_secs(3));
        live.signal(SIGCONT);
        wait_until("it continues", || state(live.pid()) == Some('S'));
        drop(std::fs::File::options().write(true).open(env.path("src/p")).unwrap());
        let run = live.end();

        run.exits(0);
        let text = run.stderr.rsplit_once(" in ").unwrap().1;
        let seconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
        let whole = begun.elapsed().as_secs_f64();
        assert!(seconds < whole - 2.5, "{seconds} of {whole}: {}", run.story());
    }
}

#[test]
fn a_run_can_be_suspended_again_and_again() {
    let env = Sandbox::new();
    let (mut live, mut names) =
        env.long_names("src", 15_000).launch_stuck(env.tame(["-v", "-j2", "src", "dst"]));
    live.wait_for_children(1);

    for _ in 0..5 {
        live.signal_all(SIGTSTP); // to all of them at once, as a terminal does
        wait_until("it stops", || state(live.pid()) == Some('T'));
        live.signal_all(SIGCONT);
        wait_until("it continues", || state(live.pid()) != Some('T'));
    }
    names.read_to_string(&mut String::new()).unwrap();

    live.end().exits(0);
    env.assert_same("src", "dst");
}

#[test]
fn a_suspended_run_can_be_ended() {
    let env = sandbox();
    let live = env.frozen_mid_copy(&["src", "dst"]);
    live.signal(SIGTSTP);
    live.signal(SIGTERM);

    live.thaw();
    wait_until("it ends", || {
        live.signal_all(SIGCONT); // it may be suspended first
        !is_alive(live.pid())
    });

    let run = live.end_within(SOON);
    run.died_by(SIGTERM);
    a_rerun_resumes(&env, &run);
}

#[test]
fn stopping_the_parent_alone_loses_nothing() {
    let env = Sandbox::new();
    let (mut live, mut names) =
        env.long_names("src", 15_000).launch_stuck(env.tame(["-v", "-j2", "src", "dst"]));
    live.wait_for_children(1);

    live.signal(SIGSTOP);
    std::thread::sleep(Duration::from_millis(300)); // the copiers fill their pipes meanwhile
    live.signal(SIGCONT);
    names.read_to_string(&mut String::new()).unwrap();

    live.end().exits(0);
    env.assert_same("src", "dst");
}

#[test]
fn usr1_prints_one_status_line_and_the_run_continues() {
    let env = Sandbox::new();
    let (mut live, mut names) =
        env.long_names("src", 15_000).launch_stuck(env.tame(["-v", "-j2", "src", "dst"]));
    live.wait_for_children(1);
    wait_for_a_jam(&env);

    live.signal(SIGUSR1);
    wait_until("it is answered", || live.stderr().ends_with('\n'));
    let stderr = live.stderr();
    names.read_to_string(&mut String::new()).unwrap();

    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("pcopy: ") && stderr.contains(" entries, "), "{stderr}");
    live.end().exits(0).stderr_has("copied 15,151 entries");
    env.assert_same("src", "dst");
}

#[test]
fn usr1_to_the_whole_group_is_answered_once() {
    let env = Sandbox::new();
    let (mut live, mut names) =
        env.long_names("src", 15_000).launch_stuck(env.tame(["-v", "-j8", "src", "dst"]));
    live.wait_for_children(2);

    live.signal_all(SIGUSR1);
    wait_until("it is answered", || live.stderr().ends_with('\n'));
    names.read_to_string(&mut String::new()).unwrap();

    let run = live.end();
    run.exits(0);
    assert_eq!(run.stderr.lines().count(), 2, "{}", run.story());
}

each_jobs!(a_killed_parent_takes_its_copiers_along, 1, 2, 8);
fn a_killed_parent_takes_its_copiers_along(jobs: &str) {
    let env = sandbox();
    let live = env.frozen_mid_copy(&["-j", jobs, "src", "dst"]);
    let copiers = children_of(live.pid());
    assert!(!copiers.is_empty());

    live.signal(SIGKILL);
    let pid = live.pid();
    live.signal_all(SIGCONT);
    live.end_within(SOON).died_by(SIGKILL);

    let begun = std::time::Instant::now();
    wait_until("they are gone", || copiers.iter().all(|&pid| !is_alive(pid)));
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    assert_eq!(children_of(pid), [0; 0]);
    assert!(!env.path("dst").exists());
    env.pcopy(["src", "dst"]).exits(0);
    env.assert_same("src", "dst");
}

#[test]
fn a_copier_with_a_file_in_progress_dies_with_its_parent() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    let live = slow_file(&env);
    let copiers = live.children();
    let big = env.path("src/big").canonicalize().unwrap();
    assert!(copiers.iter().any(|&pid| open_files(pid).contains(&big)), "{copiers:?}");

    live.signal(SIGKILL);
    live.end_within(SOON).died_by(SIGKILL);

    let begun = std::time::Instant::now();
    wait_until("they are gone", || copiers.iter().all(|&pid| !is_alive(pid)));
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
}

#[test]
fn a_copier_blocked_by_a_dead_disk_does_not_block_the_run() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file small 10", "dir disk"]);
    let Some(disk) = DeadDisk::mount(&env.path("src/disk")) else {
        return skip!("no /dev/fuse");
    };
    let mut live = env.start(["-j2", "src", "dst"]);
    wait_until("a copier waits for the disk", || disk.is_waited_for());
    let copiers = live.children();

    live.signal(SIGINT);
    let begun = Instant::now();
    while live.is_running() && begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = begun.elapsed();
    let held: Vec<_> = copiers.into_iter().filter(|&pid| is_alive(pid)).collect();
    let states: Vec<_> = held.iter().map(|&pid| state(pid)).collect();
    // Before any assertion: a listing of the sandbox would wait for the disk, too.
    drop(disk);

    // pcopy promises two seconds; the machine may be busy.
    assert!(took < Duration::from_secs(5), "it waits for the disk");
    live.end_within(SOON).died_by(SIGINT).stderr_has("interrupted after");
    assert_eq!(states, [Some('D')]);
    wait_until("the copier is gone, too", || held.iter().all(|&pid| !is_alive(pid)));
}

#[test]
fn a_signal_during_publication_leaves_the_rest_to_a_rerun() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    let sources: Vec<String> = (0..50).map(|number| format!("src/{number}")).collect();
    for source in &sources {
        env.tree(source, ["file x 10"]);
    }
    std::fs::create_dir(env.path("dst")).unwrap();
    let arguments = || sources.iter().map(String::as_str).chain(["dst"]);
    let slow = ["-e", "trace=renameat2", "-e", "inject=renameat2:delay_exit=100000"];
    let live = env.launch(env.traced(&slow, arguments()));
    let published = || (0..50).filter(|number| env.path(format!("dst/{number}")).exists()).count();
    wait_until("the first is published", || published() > 0);

    live.signal(SIGTERM);
    let run = live.end_within(SOON);

    run.died_by(SIGTERM).stderr_has("interrupted after 100 entries");
    assert!(published() < 50, "all were published\n{}", run.story());
    env.pcopy(arguments()).exits(0);
    for source in &sources {
        env.assert_same(source, source.replace("src", "dst"));
    }
    env.assert_nothing_staged();
}

each_jobs!(a_fifo_that_no_process_reads_does_not_block_a_signal, 1, 2, 8);
fn a_fifo_that_no_process_reads_does_not_block_a_signal(jobs: &str) {
    let env = Sandbox::new();
    env.tree("", ["file a 10", "fifo p"]);
    std::os::unix::fs::symlink(PCOPY, env.path("cp")).unwrap();
    for as_cp in [false, true] {
        let mut live = if as_cp {
            let mut command = std::process::Command::new(env.path("cp"));
            command.args(["-j", jobs, "a", "p"]).current_dir(env.path(""));
            env.launch(with_default_signals(command))
        } else {
            env.start(["-j", jobs, "a", "p"])
        };
        live.wait_for_children(1);
        std::thread::sleep(Duration::from_millis(100)); // a copier waits in open(2)

        live.signal(SIGINT);

        live.end_within(SOON).died_by(SIGINT);
    }
}
