//! The processes of a run: what each of them does, and which descriptors it has open.

use crate::common::live::{Live, state};
use crate::common::{Run, Sandbox, cells, children_of, each_jobs, skip, tool, wait_until};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

/// A traced run: which processes opened files, and which forked.
struct Trace {
    /// The number of source files that each process opened.
    opened: BTreeMap<u32, usize>,
    /// The number of processes that each process forked.
    forked: BTreeMap<u32, usize>,
}

impl Trace {
    /// Runs `pcopy`, and records which processes open files called `file-*` and which processes fork.
    fn of<'a>(env: &'a Sandbox, arguments: &[&str]) -> (Self, Run<'a>) {
        let watched = ["-e", "trace=openat,clone,clone3,fork,vfork", "-e", "signal=none"];
        let run = env.run(env.traced(&watched, arguments));
        let mut trace = Self { opened: BTreeMap::new(), forked: BTreeMap::new() };
        for line in fs::read_to_string(env.path("trace")).unwrap().lines() {
            let (pid, call) = line.split_once(' ').unwrap();
            let (pid, call) = (pid.parse().unwrap(), call.trim_start());
            if call.starts_with("openat(") && call.contains("\"file-") && call.contains("O_RDONLY")
            {
                *trace.opened.entry(pid).or_default() += 1;
            } else if call.starts_with("clone") || call.starts_with("fork") {
                *trace.forked.entry(pid).or_default() += 1;
            }
        }
        (trace, run)
    }
}

each_jobs!(as_many_copiers_work_as_were_asked_for, 1, 2, 8);
fn as_many_copiers_work_as_were_asked_for(jobs: &str) {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.many("src", 3000, 0);
    let target = format!("dst-{jobs}");

    let (trace, run) = Trace::of(&env, &["-j", jobs, "src", &target]);

    run.exits(0);
    assert_eq!(
        trace.opened.len().to_string(),
        jobs,
        "copiers that opened files: {:?}",
        trace.opened
    );
    assert_eq!(trace.opened.values().sum::<usize>(), 3000, "each file is opened once");
    env.assert_same("src", &target);
}

cells! {
    blocked_copiers_become_more_than_there_are_cpus_unless_a_number_was_given,
    default => None,
    jobs_2 => (Some("-j2")),
}
fn blocked_copiers_become_more_than_there_are_cpus_unless_a_number_was_given(jobs: Option<&str>) {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let cpus = std::thread::available_parallelism().unwrap().get().max(2);
    if cpus >= 32 {
        return skip!("there are never more than 32 copiers");
    }
    let env = Sandbox::new();
    env.many("src", 3000, 0);
    // A disk that is slow at each file; strace itself uses CPU time, too.
    let options = ["-e", "trace=openat", "-e", "inject=openat:delay_exit=5000"];

    env.run(env.traced(&options, ["src", "dst"].into_iter().chain(jobs))).exits(0);

    let log = fs::read_to_string(env.path("trace")).unwrap();
    let opened = log.lines().filter(|line| line.contains("\"file-"));
    let copiers: BTreeSet<_> = opened.filter_map(|line| line.split_whitespace().next()).collect();
    match jobs {
        None => assert!(copiers.len() > cpus, "only {copiers:?}"),
        Some(_) => assert_eq!(copiers.len(), 2, "{copiers:?}"),
    }
    env.assert_same("src", "dst");
}

#[test]
fn the_parent_forks_all_and_opens_no_file() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.many("src", 3000, 0);

    let (trace, run) = Trace::of(&env, &["-j", "4", "src", "dst"]);

    run.exits(0);
    let forks: Vec<_> = trace.forked.values().collect();
    assert_eq!(forks, [&4], "only one process forks, four times: {:?}", trace.forked);
    let parent = trace.forked.keys().next().unwrap();
    assert!(!trace.opened.contains_key(parent), "{:?}", trace.opened);
}

#[test]
fn a_tiny_tree_is_not_worth_eight_copiers() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.many("src", 3, 0);
    // On a busy machine the parent may find one copier too slow; not five times in a row.
    let fewest = (0..5).map(|turn| {
        let (trace, run) = Trace::of(&env, &["-j8", "src", &format!("dst-{turn}")]);
        run.exits(0);
        trace.forked.values().sum::<usize>()
    });
    assert!(fewest.min().unwrap() <= 3);
}

#[test]
fn one_file_needs_one_copier() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("", ["file file-1 3K"]);

    let (trace, run) = Trace::of(&env, &["-j8", "file-1", "copy"]);

    run.exits(0);
    assert_eq!(trace.opened.len(), 1, "{:?}", trace.opened);
}

#[test]
fn no_process_has_a_second_thread() {
    let env = Sandbox::new();
    env.long_names("src", 15_000);
    let (mut live, mut names) = env.launch_stuck(env.tame(["-v", "-j", "8", "src", "dst"]));
    let mut all = live.wait_for_children(2);
    all.push(live.pid());

    for pid in all {
        assert_eq!(fs::read_dir(format!("/proc/{pid}/task")).unwrap().count(), 1);
    }

    names.read_to_string(&mut String::new()).unwrap();
    live.end().exits(0);
}

/// Starts a run that is slow enough to need all of its eight copiers for seconds.
fn with_eight_copiers(env: &Sandbox) -> (Live<'_>, Vec<u32>) {
    env.many("src", 3000, 0);
    let slow = ["-e", "trace=openat", "-e", "inject=openat:delay_enter=5000"];
    let mut live = env.launch(env.traced(&slow, ["-j", "8", "src", "dst"]));
    let copiers = live.wait_for_children(8);
    (live, copiers)
}

#[test]
fn all_copiers_are_children_of_the_parent() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();

    let (_live, copiers) = with_eight_copiers(&env);

    assert_eq!(copiers.len(), 8);
    assert!(copiers.iter().all(|&pid| children_of(pid).is_empty()), "a copier forked");
}

#[test]
fn nothing_of_a_run_is_left_when_it_has_ended() {
    let env = Sandbox::new();
    env.many("src", 3000, 0);
    let live = env.frozen_mid_copy(&["-j", "8", "src", "dst"]);
    let (parent, copiers) = (live.pid(), live.children());
    live.thaw();

    live.end().exits(0);

    let left: Vec<_> = copiers.iter().filter(|&&pid| state(pid).is_some()).collect();
    assert!(left.is_empty(), "{left:?} of {parent}");
}

#[test]
fn a_copier_holds_few_descriptors_however_many_copiers_and_levels_there_are() {
    let env = Sandbox::new();
    env.long_names("src", 15_000);
    let deep = "d/".repeat(300);
    for branch in 0..20 {
        env.tree(&format!("src/branch-{branch}"), [format!("file {deep}file 10").as_str()]);
    }
    let (mut live, mut names) = env.launch_stuck(env.tame(["-v", "-j", "64", "src", "dst"]));
    live.wait_for_children(8);

    // A copier that was just forked has not yet closed the pipes of the others, so a descriptor counts only
    // if it was open 10 ms before, too.
    let mut most = 0;
    let mut before = HashMap::new();
    for _ in 0..20 {
        let held = |pid: u32| (pid, open_files(pid).len());
        let now: HashMap<_, _> = live.children().into_iter().map(held).collect();
        let both = now.iter().filter_map(|(pid, held)| before.get(pid).map(|last| *held.min(last)));
        most = most.max(both.max().unwrap_or(0));
        before = now;
        std::thread::sleep(Duration::from_millis(10));
    }

    assert!((5..40).contains(&most), "a copier holds {most} descriptors");
    names.read_to_string(&mut String::new()).unwrap();
    live.end().exits(0);
    env.assert_same("src", "dst");
}

#[test]
fn a_copier_holds_one_pipe_and_it_is_its_own() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    let (_live, copiers) = with_eight_copiers(&env);

    // The program that runs the tests may have left a pipe open in its children.
    let inherited = open_files(std::process::id());

    let mut owners: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
    for &pid in &copiers {
        let is_own_pipe = |path: &PathBuf| {
            path.to_string_lossy().starts_with("pipe:") && !inherited.contains(path)
        };
        let pipes = || open_files(pid).into_iter().filter(is_own_pipe).collect::<Vec<PathBuf>>();
        // A copier that was just forked still has the pipes of the earlier ones for a moment.
        wait_until("a copier has one pipe", || pipes().len() == 1);
        for pipe in pipes() {
            owners.entry(pipe).or_default().insert(pid);
        }
    }

    assert_eq!(owners.len(), 8, "{owners:?}");
}

#[test]
fn more_copiers_than_processes_are_allowed_is_no_failure() {
    if !tool("prlimit") {
        return skip!("no prlimit");
    }
    let env = Sandbox::new();
    env.many("src", 3000, 0);
    // Root may fork beyond its limit; the limit of descriptors, of which each copier needs one, holds for root.
    let few = ["prlimit", "--nofile=24:24"];

    env.run(env.before(&few, ["-j", "64", "src", "dst"])).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn five_hundred_copiers_can_be_asked_for() {
    let env = Sandbox::new();
    env.many("src", 3000, 0);

    env.pcopy(["-j", "512", "src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn the_parent_sleeps_until_it_forks_another_copier() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.many("src", 100, 0);
    // The only copier lists its directory long after that moment.
    let options = ["-e", "trace=poll,ppoll", "-e", "inject=getdents64:delay_enter=30000"];

    env.run(env.traced(&options, ["-j2", "src", "dst"])).exits(0);

    let log = fs::read_to_string(env.path("trace")).unwrap();
    let waits = log.lines().filter(|line| line.contains("poll(")).count();
    assert!((1..20).contains(&waits), "{waits} waits in a tenth of a second\n{log}");
}

#[test]
fn a_reader_that_never_reads_suspends_the_run_and_no_more() {
    let env = Sandbox::new();
    env.long_names("src", 15_000);
    let (mut live, mut names) = env.launch_stuck(env.tame(["-v", "-j2", "src", "dst"]));
    live.wait_for_children(1);
    std::thread::sleep(Duration::from_millis(1500));
    assert!(live.is_running() && !env.path("dst").exists(), "names were thrown away");
    let busy = cpu_ticks(live.pid());
    std::thread::sleep(Duration::from_millis(1000));
    let spent = cpu_ticks(live.pid()) - busy;
    assert!(spent < 50, "the parent spins: {spent} ticks in a second");

    names.read_to_string(&mut String::new()).unwrap();

    live.end().exits(0);
    wait_until("it is complete", || env.path("dst").exists());
}

/// Returns the CPU time of a process, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Returns the files to which the descriptors of a process refer.
pub(crate) fn open_files(pid: u32) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect()
}
