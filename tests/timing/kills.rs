//! Processes are killed at any moment: only time is lost, and no final name ever refers to a partial file.

use crate::common::chance::Dice;
use crate::common::live::{Live, count_entries, is_alive, send, state};
use crate::common::{
    HANG, Listing, Run, Sandbox, children_of, differences, each_jobs, listing, skip, tool, wait,
    wait_until, with_summary,
};
use nix::sys::signal::Signal::SIGKILL;
use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The numbers of copiers with which runs are repeated.
const JOBS: [&str; 3] = ["1", "2", "8"];

/// Plants a tree whose copy takes about a tenth of a second. Returns its listing and how long the copy took
/// on this machine.
fn tree(env: &Sandbox) -> (Listing, Duration) {
    env.many("src", 3000, 700_000);
    let begun = Instant::now();
    env.start(["src", "dst"]).end().exits(0);
    let took = begun.elapsed();
    fs::remove_dir_all(env.path("dst")).unwrap();
    (env.listing("src"), took)
}

#[track_caller]
fn assert_complete(env: &Sandbox, source: &Listing, story: &str) {
    let differences = differences(source, &listing(&env.path("dst")));
    assert!(differences.is_empty(), "{differences}\n{story}");
    assert!(!env.path(".dst.pcopy-partial").exists(), "left behind\n{story}");
}

#[test]
fn a_copier_killed_at_any_moment_costs_nothing_but_time() {
    let env = Sandbox::new();
    let (source, took) = tree(&env);
    let mut dice = Dice::new();
    let mut hits = 0;
    for turn in 0..200 {
        let live = env.start(["-j", JOBS[turn % 3], "src", "dst"]);
        std::thread::sleep(dice.moment(took));
        let copiers = live.children();
        if !copiers.is_empty() {
            hits += 1;
            send(copiers[dice.below(copiers.len())], SIGKILL);
        }

        let run = live.end();

        run.exits(0);
        assert_complete(&env, &source, &run.story());
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
    assert!(hits >= 100, "only {hits} of 200 runs were hit");
}

/// Returns, sorted, the names that `-v` must print for a copy of `src` to a new `dst`.
fn expected_names(source: &Listing) -> Vec<String> {
    let name = |path: &PathBuf| match path.to_str().unwrap() {
        "" => "dst".to_owned(),
        path => format!("dst/{path}"),
    };
    let mut names: Vec<_> = source.keys().map(name).collect();
    names.sort();
    names
}

/// Returns the number in `copied 3,031 entries`.
fn copied(run: &Run<'_>) -> i64 {
    let line = run.stderr.lines().find_map(|line| line.strip_prefix("copied ")).unwrap();
    let number = line.split(' ').next().unwrap().replace(',', "");
    number.parse().unwrap()
}

#[test]
fn each_verbose_name_is_printed_once_though_copiers_are_killed() {
    let env = Sandbox::new();
    let (source, took) = tree(&env);
    let expected = expected_names(&source);
    let mut dice = Dice::new();
    let (mut rounds, mut merged) = (0, false);
    for turn in 0..60 {
        // Half of the runs merge new directories into an existing one.
        merged = !merged;
        if merged {
            fs::create_dir(env.path("dst")).unwrap();
        }
        let mut live = env.start(["-v", "-T", "-j", JOBS[turn % 3], "src", "dst"]);
        for _ in 0..4 {
            std::thread::sleep(dice.moment(took / 3));
            let copiers = live.children();
            if live.is_running() && !copiers.is_empty() {
                rounds += 1;
                send(copiers[dice.below(copiers.len())], SIGKILL);
            }
        }

        let run = live.end();

        run.exits(0);
        let mut printed: Vec<_> = run.stdout.lines().map(str::to_owned).collect();
        printed.sort();
        let expected = if merged { &expected[1..] } else { &expected[..] };
        assert_eq!(printed.len(), expected.len(), "merged: {merged}, {} printed", printed.len());
        assert_eq!(printed, expected, "merged: {merged}");
        // A copier may die after it has reported a name and before it has counted it.
        let all = i64::try_from(expected.len()).unwrap();
        assert!((copied(&run) - all).abs() <= 4, "{} of {all} copied", copied(&run));
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
    assert!(rounds >= 60, "only {rounds} copiers were killed");
}

#[test]
fn several_copiers_killed_in_one_run_cost_nothing_but_time() {
    let env = Sandbox::new();
    let (source, took) = tree(&env);
    let mut dice = Dice::new();
    for _ in 0..20 {
        let mut live = env.start(["-j", "8", "src", "dst"]);
        for _ in 0..5 {
            std::thread::sleep(dice.moment(took / 3));
            let copiers = live.children();
            if live.is_running() && !copiers.is_empty() {
                send(copiers[dice.below(copiers.len())], SIGKILL);
            }
        }

        let run = live.end();

        run.exits(0);
        assert_complete(&env, &source, &run.story());
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

each_jobs!(all_copiers_killed_at_once_are_replaced, 1, 2, 8);
fn all_copiers_killed_at_once_are_replaced(jobs: &str) {
    let env = Sandbox::new();
    env.many("src", 3000, 700_000);
    let live = env.frozen_mid_copy(&["-j", jobs, "src", "dst"]);
    live.children().into_iter().for_each(|pid| send(pid, SIGKILL));
    live.thaw();

    live.end().exits(0);

    env.assert_same("src", "dst");
    env.assert_nothing_staged();
}

#[test]
fn a_run_killed_at_any_moment_publishes_nothing_or_everything_and_can_be_completed() {
    let env = Sandbox::new();
    let (source, took) = tree(&env);
    let mut dice = Dice::new();
    let mut hits = 0;
    for turn in 0..100 {
        let arguments = ["-j", JOBS[turn % 3], "src", "dst"];
        let mut live = env.start(arguments);
        std::thread::sleep(dice.moment(took));
        hits += usize::from(live.is_running());
        kill_all(&live);
        let killed = live.end();
        let published = env.path("dst").exists();
        if published {
            assert_complete(&env, &source, &killed.story());
        }

        // With an existing target the same command would copy below it; hence -T.
        let run = env.pcopy(["-T", "src", "dst"]);

        run.exits(0);
        assert_complete(&env, &source, &run.story());
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
    assert!(hits >= 50, "only {hits} of 100 runs were hit");
}

/// Kills all processes of a run at once, as a power cut would, and waits until they are gone.
fn kill_all(live: &Live<'_>) {
    let children = children_of(live.pid());
    live.signal_all(SIGKILL);
    wait_until("all are gone", || children.iter().all(|&pid| !is_alive(pid)));
}

#[test]
fn a_merge_killed_at_any_moment_leaves_each_name_old_or_new_and_whole() {
    let env = Sandbox::new();
    let (source, _) = tree(&env);
    let mut dice = Dice::new();
    let mut hits = 0;
    for turn in 0..30 {
        let old = old_versions(&env);
        let begun = Instant::now();
        if turn == 0 {
            env.pcopy(["-T", "src", "dst"]).exits(0);
        }
        let took = begun.elapsed().max(Duration::from_millis(100));
        let mut live = env.start(["-j", JOBS[turn % 3], "-T", "src", "dst"]);
        std::thread::sleep(dice.moment(took));
        hits += usize::from(live.is_running());
        kill_all(&live);
        live.end();
        for (path, entry) in listing(&env.path("dst")) {
            if path.as_os_str().as_bytes().ends_with(b".pcopy-partial") {
                continue;
            }
            let whole = [&old, &source].iter().any(|tree| {
                tree.get(&path)
                    .is_some_and(|whole| (whole.size, &whole.what) == (entry.size, &entry.what))
            });
            assert!(whole, "{path:?} is neither the old file nor the new one: {entry:?}");
        }
        let gone = old.keys().find(|path| !env.path("dst").join(path).exists());
        assert_eq!(gone, None, "an old file is gone, and no new one replaced it");

        let run = env.pcopy(["-T", "src", "dst"]);

        run.exits(0);
        assert_complete(&env, &source, &run.story());
        env.assert_nothing_staged();
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
    assert!(hits >= 10, "only {hits} of 30 runs were hit");
}

/// Creates `dst` with an older version of every file of `src`, and returns its listing.
fn old_versions(env: &Sandbox) -> Listing {
    for (path, entry) in env.listing("src") {
        let target = env.path("dst").join(&path);
        if entry.mode & 0o170_000 == 0o040_000 {
            fs::create_dir_all(target).unwrap();
        } else {
            fs::write(target, format!("the old {}", path.display())).unwrap();
        }
    }
    env.listing("dst")
}

/// Returns a command that runs `pcopy` under strace, which kills every process that reads from the source
/// file `bad`.
fn with_a_deadly_file(env: &Sandbox, arguments: &[&str]) -> std::process::Command {
    let bad = env.path("src/dir-0/bad").canonicalize().unwrap();
    let bad = bad.to_str().unwrap();
    let kill = "inject=read,copy_file_range:signal=KILL";
    let options = ["-P", bad, "-e", "trace=read,copy_file_range", "-e", kill];
    env.traced(&options, with_summary(arguments))
}

each_jobs!(a_file_on_which_copiers_always_die_is_named_and_skipped, 1, 2, 8);
fn a_file_on_which_copiers_always_die_is_named_and_skipped(jobs: &str) {
    if !tool("strace") {
        return skip!("no strace");
    }
    let env = Sandbox::new();
    env.many("src", 300, 0).tree("src", ["file dir-0/bad 600K"]);
    let target = format!("dst-{jobs}");

    let run = env.run(with_a_deadly_file(&env, &["-j", jobs, "src", &target]));

    run.exits(1);
    let message = "pcopy: skipping 'src/dir-0/bad': copiers repeatedly died on it";
    assert_eq!(run.stderr.matches(message).count(), 1, "{}", run.story());
    run.stderr_has("1 failed");
    let mut source = env.listing("src");
    source.remove(&PathBuf::from("dir-0/bad"));
    let differences = differences(&source, &env.listing(&target));
    assert!(differences.is_empty(), "{differences}\n{}", run.story());
    env.assert_nothing_staged();
}

#[test]
fn a_failure_is_reported_once_however_many_rounds_meet_it() {
    if !tool("strace") {
        return skip!("no strace");
    }
    let env = Sandbox::new();
    env.many("src", 300, 0).tree("src", ["file dir-0/bad 600K", "file blocked 1K"]);
    env.tree("dst", ["dir blocked"]);

    let run = env.run(with_a_deadly_file(&env, &["-j2", "-T", "src", "dst"]));

    run.exits(1);
    let message =
        "pcopy: cannot overwrite directory 'dst/blocked' with non-directory 'src/blocked'";
    assert_eq!(run.stderr.matches(message).count(), 1, "{}", run.story());
    run.stderr_has("2 failed");
}

#[test]
fn no_name_is_printed_twice_however_many_rounds_there_are() {
    if !tool("strace") {
        return skip!("no strace");
    }
    let env = Sandbox::new();
    env.many("src", 300, 0).tree("src", ["file dir-0/bad 600K"]);

    let run = env.run(with_a_deadly_file(&env, &["-v", "-j2", "src", "dst"]));

    run.exits(1);
    let mut seen = HashSet::new();
    for name in run.stdout.lines() {
        assert!(seen.insert(name), "{name} was printed twice\n{}", run.story());
    }
}

#[test]
fn the_file_that_was_skipped_is_copied_by_a_later_run() {
    if !tool("strace") {
        return skip!("no strace");
    }
    let env = Sandbox::new();
    env.many("src", 300, 0).tree("src", ["file dir-0/bad 600K"]);
    env.run(with_a_deadly_file(&env, &["-j2", "src", "dst"])).exits(1);

    env.pcopy(["-T", "src", "dst"]).exits(0).stderr_has("copied 1 entry (614 kB)");

    env.assert_same("src", "dst");
}

each_jobs!(when_all_copiers_die_for_ever_the_run_gives_up, 1, 8);
fn when_all_copiers_die_for_ever_the_run_gives_up(jobs: &str) {
    if !tool("strace") {
        return skip!("no strace");
    }
    let env = Sandbox::new();
    env.many("src", 300, 0);
    // A copier begins with the request to be killed with its parent.
    let deadly = ["-e", "trace=prctl", "-e", "inject=prctl:signal=KILL"];

    let run = env.run(env.traced(&deadly, ["-j", jobs, "src", "dst"]));

    run.exits(16).stderr_has("copiers kept dying").stderr_has("hint: ");
    assert!(!env.path("dst").exists());
    env.pcopy(["src", "dst"]).exits(0);
    env.assert_same("src", "dst");
    env.assert_nothing_staged();
}

/// Runs pcopy with a progress line, so that it starts a process that counts in advance. That process gets
/// `signal` when it calls setpriority(2), which no other process calls.
#[track_caller]
fn with_a_precount_that_gets(signal: &str, then: &[char]) {
    let env = Sandbox::new();
    env.long_names("src", 15_000);
    let inject = format!("inject=setpriority:signal={signal}"); // no other process calls that
    let options = ["-e", "trace=setpriority", "-e", &inject];
    let command = env.traced(&options, ["--progress=always", "-v", "-j1", "src", "dst"]);
    let (live, mut names) = env.launch_stuck(command);
    let pid = live.pid();
    let is_hit = |child: &u32| state(*child).is_some_and(|state| then.contains(&state));
    wait_until("the process is hit", || children_of(pid).iter().any(is_hit));

    std::io::copy(&mut names, &mut std::io::sink()).unwrap();
    live.end().exits(0).stderr_has("copied 15,151 entries");

    assert_eq!(children_of(pid), [0; 0]);
    env.assert_same("src", "dst");
}

#[test]
fn a_precount_that_is_killed_does_no_harm() {
    if !tool("strace") {
        return skip!("no strace");
    }
    with_a_precount_that_gets("SIGKILL", &['Z']);
}

#[test]
fn a_precount_that_hangs_does_no_harm() {
    if !tool("strace") {
        return skip!("no strace");
    }
    with_a_precount_that_gets("SIGSTOP", &['T', 't']);
}

#[test]
fn a_killed_run_can_be_completed_with_another_number_of_copiers() {
    let env = Sandbox::new();
    env.many("src", 3000, 700_000);
    for (first, second) in [("1", "8"), ("8", "1")] {
        let live = env.frozen_mid_copy(&["-j", first, "src", "dst"]);
        kill_all(&live);
        live.end().died_by(SIGKILL);
        assert!(count_entries(&env.path(".dst.pcopy-partial")) > 1);

        env.pcopy(["-j", second, "src", "dst"]).exits(0);

        env.assert_same("src", "dst");
        env.assert_nothing_staged();
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

#[test]
fn a_run_killed_again_and_again_still_completes() {
    let env = Sandbox::new();
    let (source, took) = tree(&env);
    for _ in 0..100 {
        let live = env.start(["-T", "-j2", "src", "dst"]);
        std::thread::sleep(took / 4);
        kill_all(&live);
        live.end();
        if env.path("dst").exists() {
            return assert_complete(&env, &source, "killed again and again");
        }
    }
    let run = env.pcopy(["-T", "src", "dst"]);
    run.exits(0);
    assert_complete(&env, &source, &run.story());
}

#[test]
fn what_a_killed_run_left_does_not_show_after_the_source_changed() {
    let env = Sandbox::new();
    env.many("src", 3000, 700_000);
    let live = env.frozen_mid_copy(&["-j2", "src", "dst"]);
    kill_all(&live);
    live.end().died_by(SIGKILL);
    for number in (0..3000).step_by(7) {
        let first = number / 100 * 100;
        fs::write(env.path(format!("src/dir-{first}/file-{number}")), "changed").unwrap();
    }

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn what_a_dead_copier_left_of_a_vanished_file_is_not_published() {
    let env = Sandbox::new();
    env.tree("src", ["file small 10", "dir sub"]);
    fs::File::create(env.path("src/big")).unwrap().set_len(1 << 30).unwrap();
    let arguments = ["--sparse=never", "-j", "1", "src", "dst"];
    let mut run = env.command(arguments).stderr(Stdio::null()).spawn().unwrap();
    let half = env.path(".dst.pcopy-partial/big");
    wait_until("a part was written", || {
        fs::metadata(&half).is_ok_and(|half| half.len() > 1_000_000)
    });
    let signal = |signal: &str, pid: u32| {
        Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success()
    };

    assert!(signal("-STOP", run.id())); // so that the next round begins after the file is gone
    let copiers = children_of(run.id());
    let killed = copiers.iter().all(|&copier| signal("-KILL", copier));
    fs::rename(env.path("src/big"), env.path("big")).unwrap();
    assert!(signal("-CONT", run.id()));

    let status = wait(&mut run, HANG).expect("no hang");
    assert!(killed && !copiers.is_empty(), "it ended before it could be killed");
    assert_eq!(status.code(), Some(0));
    env.assert_same("src", "dst");
}

#[test]
fn a_rerun_right_after_the_parent_was_killed_resumes() {
    let env = Sandbox::new();
    env.many("src", 3000, 0).tree("src", ["file big 100M"]);
    for _ in 0..8 {
        let mut live = env.start(["-j8", "src", "dst"]);
        while !env.path(".dst.pcopy-partial/big").exists() && live.is_running() {}
        send(live.pid(), SIGKILL);
        // Its copiers may still be dying, and hold its locks.
        env.pcopy(["-j8", "-T", "src", "dst"]).exits(0);

        drop(live);
        env.assert_same("src", "dst");
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
}
