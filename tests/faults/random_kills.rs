//! Kills, stops and starves processes at random moments.

use crate::checker::{Excuse, wrongs};
use crate::common::chance::Dice;
use crate::common::children_of;
use crate::common::live::send;
use crate::crowd;
use crate::ending::{Ending, finish};
use crate::memory::Cgroup;
use crate::world::{Line, World};
use nix::sys::signal::Signal::{self, SIGCONT, SIGKILL, SIGSTOP};
use nix::sys::signal::killpg;
use nix::unistd::Pid;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// The processes that are hit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Victim {
    Copier,
    Parent,
    /// All processes of the run are killed, as `kill -9 -PGID` does.
    Group,
    /// All copiers are stopped, then one of them is killed, while the parent continues.
    Stopped,
    /// All processes of the run are stopped and continued, again and again.
    Suspended,
    /// A copier gets no more memory, so that the OOM killer kills it.
    Starved,
}

/// The memory that a starved copier gets in addition to the memory that it already has, in KiB.
const CRUMBS: usize = 4;

/// A run, the processes that are hit, and the time after which they are hit.
#[derive(Clone, Debug)]
pub(crate) struct Kill {
    line: Line,
    jobs: u16,
    victim: Victim,
    after: Duration,
}

/// Returns `count` random kills of runs with these lines.
pub(crate) fn random(
    count: usize,
    lines: &[Line],
    victims: &[Victim],
    dice: &mut Dice,
) -> Vec<Kill> {
    let usual = usual_duration(lines);
    let kill = |_| Kill {
        line: lines[dice.below(lines.len())],
        jobs: [1, 2, 8][dice.below(3)],
        victim: victims[dice.below(victims.len())],
        after: dice.moment(usual),
    };
    (0..count).map(kill).collect()
}

/// Returns how long a run with one of these lines takes at present. On a busy machine that is several times
/// what it is on a quiet one, and kills that come too early hit no copier.
fn usual_duration(lines: &[Line]) -> Duration {
    let mut durations: Vec<Duration> = lines
        .iter()
        .map(|&line| {
            let world = World::new(line);
            let mut command = world.command(&[], 2);
            let begun = Instant::now();
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
            begun.elapsed()
        })
        .collect();
    durations.sort();
    durations[durations.len() / 2]
}

/// Carries out one kill. Returns what is wrong afterwards, and whether a process was hit.
pub(crate) fn survives(kill: &Kill) -> (String, bool) {
    let world = World::new(kill.line);
    let group = (kill.victim == Victim::Starved).then(|| Cgroup::new(CRUMBS).unwrap());
    let mut command = world.command(&[], kill.jobs);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(kill.after);
    let hit = match &group {
        Some(group) => children_of(child.id()).first().is_some_and(|&copier| {
            send(copier, SIGSTOP); // to add it takes longer than most runs
            let is_added = group.add(copier);
            send(copier, SIGCONT);
            is_added
        }),
        None => strike(&mut child, kill.victim),
    };
    let ending: Ending = finish(child);
    let killed: &[i32] = match kill.victim {
        Victim::Copier | Victim::Stopped | Victim::Suspended | Victim::Starved => &[],
        Victim::Parent | Victim::Group => &[libc::SIGKILL],
    };
    let excuse =
        Excuse { signals: killed, mute: true, half: true, again: true, ..Excuse::default() };
    let hit = hit && group.is_none_or(|group| group.has_killed());
    let mut wrong = wrongs(&world, &ending, excuse);
    // The process that waits for the disk is a child, too: a write-back error is lost with it.
    let may_be_lost = kill.line.words.contains(&"--fsync");
    let code = ending.code();
    if killed.is_empty() && code != Some(0) && !(may_be_lost && code == Some(11)) {
        wrong += &format!("{:?}: it cost more than time", ending.status);
    }
    (if wrong.is_empty() { wrong } else { format!("{kill:?}\n{wrong}") }, hit)
}

fn strike(child: &mut Child, victim: Victim) -> bool {
    let pid = child.id();
    let running = child.try_wait().unwrap().is_none();
    let group = |signal: Signal| {
        let _: nix::Result<()> = killpg(Pid::from_raw(pid.cast_signed()), signal);
    };
    let copiers = children_of(pid);
    match victim {
        Victim::Copier => copiers.iter().take(1).for_each(|&copier| send(copier, SIGKILL)),
        Victim::Stopped => {
            copiers.iter().for_each(|&copier| send(copier, SIGSTOP));
            std::thread::sleep(Duration::from_millis(2));
            copiers.iter().take(1).for_each(|&copier| send(copier, SIGKILL));
            group(SIGCONT);
        }
        Victim::Suspended => {
            for _ in 0..3 {
                group(SIGSTOP);
                group(SIGCONT);
            }
        }
        Victim::Parent if running => send(pid, SIGKILL),
        Victim::Group if running => group(SIGKILL),
        Victim::Parent | Victim::Group | Victim::Starved => {}
    }
    running && (!copiers.is_empty() || matches!(victim, Victim::Parent | Victim::Group))
}

/// Carries out all kills. Fails if anything is wrong after one, or if too few kills hit a process.
#[track_caller]
pub(crate) fn all_survive(what: &str, kills: &[Kill], limit: Duration) {
    let (done, hit) = crowd::all(what, kills, limit, survives);
    assert!(done > 0 && hit * 10 > done, "only {hit} of {done} kills hit");
}
