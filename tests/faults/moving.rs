//! A source that changes while it is copied. Each file changes at most once, atomically.

use crate::common::chance::Dice;
use crate::common::entries::node;
use crate::common::testtree::{Tree, What, read};
use crate::common::{PCOPY, Sandbox, contents};
use crate::ending::{Ending, run};
use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

const FILES: usize = 240;

/// A change of a file. Each change is atomic.
#[derive(Clone, Copy, Debug)]
enum Change {
    Grows,
    Shrinks,
    Vanishes,
    BecomesFifo,
    HasOtherBytes,
}

const CHANGES: [Change; 5] =
    [Change::Grows, Change::Shrinks, Change::Vanishes, Change::BecomesFifo, Change::HasOtherBytes];

/// Runs pcopy while the source changes, then once more without changes. Returns what is wrong after both
/// runs.
pub(crate) fn is_copied_while_it_changes(options: &[&str], jobs: u16, seed: u64) -> (String, bool) {
    let env = Sandbox::new();
    for number in 0..FILES {
        let path = env.path(format!("src/{}/{number}", number / 40));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let size = [100, 5_000, 60_000, 400_000][number % 4];
        fs::write(path, contents(&number.to_ne_bytes(), size)).unwrap();
    }
    let before = read(&env.path("src"));
    let ended = AtomicBool::new(false);
    let ending = std::thread::scope(|scope| {
        scope.spawn(|| change_all(&env.path("src"), seed, &ended));
        let ending = run(command(&env, options, jobs));
        ended.store(true, Relaxed);
        ending
    });
    let after = read(&env.path("src"));
    let changed = before.iter().filter(|(path, node)| after.get(*path) != Some(*node)).count();
    let mut wrongs = wrongs(&before, &after, &read(&env.path("dst")), &ending);
    let again = run(command(&env, options, 2));
    let copy = read(&env.path("dst"));
    let bytes = |tree: &Tree| -> Vec<(PathBuf, What)> {
        tree.iter().map(|(path, node)| (path.clone(), node.what.clone())).collect()
    };
    let gone = |path: &PathBuf| before.contains_key(path) && !after.contains_key(path);
    let copy: Tree = copy.into_iter().filter(|(path, _)| !gone(path)).collect();
    if again.code() != Some(0) || bytes(&copy) != bytes(&after) {
        wrongs.push(format!("the second run does not complete it: {}", again.stderr));
    }
    let story = format!("{options:?} -j{jobs} {:?}\n{}", ending.status, ending.stderr);
    let wrong = if wrongs.is_empty() { String::new() } else { wrongs.join("\n") + &story };
    (wrong, changed > 0)
}

fn command(env: &Sandbox, options: &[&str], jobs: u16) -> Command {
    let mut command = Command::new(PCOPY);
    command.args(options).arg(format!("-j{jobs}")).args(["-T", "src", "dst"]);
    command.current_dir(env.path("")).stdin(Stdio::null()).env("LC_ALL", "C").process_group(0);
    command
}

/// Changes one file after the other, in random order, until the run has ended.
fn change_all(source: &Path, seed: u64, ended: &AtomicBool) {
    let mut dice = Dice::seeded(seed);
    let mut changed = HashSet::new();
    for _ in 0..FILES {
        if ended.load(Relaxed) {
            return;
        }
        let number = dice.below(FILES);
        let path = source.join(format!("{}/{number}", number / 40));
        if changed.insert(number) {
            change(&path, CHANGES[dice.below(CHANGES.len())]);
        }
        std::thread::sleep(Duration::from_micros(dice.below(150) as u64));
    }
}

fn change(path: &Path, change: Change) {
    let file = || OpenOptions::new().append(true).open(path).unwrap();
    match change {
        Change::Grows => file().write_all(b"+").unwrap(),
        Change::Shrinks => file().set_len(10).unwrap(),
        Change::Vanishes => fs::remove_file(path).unwrap(),
        Change::BecomesFifo => {
            let beside = path.parent().unwrap().parent().unwrap().with_file_name("beside");
            node(&beside, "fifo", 0, 0);
            fs::rename(beside, path).unwrap();
        }
        Change::HasOtherBytes => {
            OpenOptions::new().write(true).open(path).unwrap().write_at(b"!", 0).map(drop).unwrap();
        }
    }
}

fn wrongs(before: &Tree, after: &Tree, copy: &Tree, ending: &Ending) -> Vec<String> {
    let mut wrongs = Vec::new();
    let code = ending.code();
    if !matches!(code, Some(0 | 1 | 24)) || ending.stderr.contains("panicked") {
        wrongs.push(format!("it ended with {:?}", ending.status));
    }
    for (path, old) in before {
        let name = format!("'src/{}'", path.display());
        let is_reported = ending.stderr.contains(&name);
        let new = after.get(path);
        let is_state = |what: &What| old.what == *what || new.is_some_and(|new| new.what == *what);
        let is_right = match copy.get(path) {
            Some(copy) => is_state(&copy.what) || is_reported,
            None => is_reported || new.is_none(),
        };
        if !is_right {
            wrongs.push(format!("{name} was {old:?}, is {new:?}, became {:?}", copy.get(path)));
        }
    }
    wrongs
}
