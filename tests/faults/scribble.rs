//! Random bytes in the memory that all processes of a run share.

use crate::common::chance::Dice;
use crate::common::{PCOPY, Sandbox};
use crate::ending::{Ending, finish_with_words, run};
use crate::tree::{Tree, What, read};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What is wrong after a run into whose memory called `name` somebody has written, and whether he came
/// in time.
///
/// The numbers may be wrong then (exit 14), a copier may die of it (16), what was lost is a failure (1);
/// but whoever says that all is well must be right, and what has a final name is whole.
pub(crate) fn is_survived(name: &str, jobs: u16, seed: u64) -> (String, bool) {
    let mut dice = Dice::seeded(seed);
    let env = Sandbox::new();
    env.many("src", 600, 0).tree("beside", ["text mine keep"]);
    let (source, beside) = (read(&env.path("src")), read(&env.path("beside")));
    let command = || {
        let mut command = Command::new(PCOPY);
        command.arg(format!("-j{jobs}")).args(["-T", "src", "dst"]).current_dir(env.path(""));
        command.stdin(Stdio::null()).env("LC_ALL", "C").process_group(0);
        command
    };
    let said = tempfile::tempfile().unwrap();
    let words = || said.try_clone().unwrap();
    let child = command().stdout(words()).stderr(words()).spawn().unwrap();
    std::thread::sleep(dice.moment(Duration::from_millis(12)));
    let hit = scribble(child.id(), name, &mut dice);
    let ending = finish_with_words(child, said);
    let mut wrongs = wrongs(&source, &read(&env.path("dst")), &ending);
    if read(&env.path("src")) != source || read(&env.path("beside")) != beside {
        wrongs.push("something outside the target was touched".to_owned());
    }
    let names = fs::read_dir(env.path("")).unwrap().count();
    if names > 4 {
        wrongs.push(format!("there is more beside the trees: {}", env.show()));
    }
    let again = run(command());
    if again.status.and_then(|status| status.code()) != Some(0)
        || contents(&read(&env.path("dst"))) != contents(&source)
    {
        wrongs.push(format!("the second run does not complete it: {}", again.stderr));
    }
    let story =
        || format!("{name}, {jobs} copiers, seed {seed}, {:?}\n{}", ending.status, ending.stderr);
    (if wrongs.is_empty() { String::new() } else { wrongs.join("\n") + &story() }, hit)
}

fn contents(tree: &Tree) -> Vec<(&std::path::PathBuf, &What)> {
    tree.iter().map(|(path, node)| (path, &node.what)).collect()
}

/// Writes some bytes somewhere into a mapping of the parent, which all share.
fn scribble(pid: u32, name: &str, dice: &mut Dice) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let Some(line) = maps.lines().find(|line| line.contains(name)) else { return false };
    let (begin, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
    let [begin, end] = [begin, end].map(|number| u64::from_str_radix(number, 16).unwrap());
    let memory = OpenOptions::new().write(true).open(format!("/proc/{pid}/mem"));
    let Ok(memory) = memory else { return false };
    let mut hit = false;
    for _ in 0..=dice.below(200) {
        let bytes: Vec<u8> = (0..=dice.below(15)).map(|_| dice.below(256) as u8).collect();
        // Most of what matters lies at the beginning.
        let length = (end - begin) as usize;
        let within = if dice.below(2) == 0 { length.min(4096) } else { length };
        let at = begin + dice.below(within) as u64;
        hit |= memory.write_at(&bytes, at).is_ok();
    }
    hit
}

fn wrongs(source: &Tree, copy: &Tree, ending: &Ending) -> Vec<String> {
    let mut wrongs = Vec::new();
    let code = ending.status.and_then(|status| status.code());
    if !matches!(code, Some(0 | 1 | 11 | 14 | 16 | 24)) || ending.stderr.contains("panicked") {
        wrongs.push(format!("it ended with {:?}", ending.status));
    }
    for (path, node) in copy {
        let is_right = source.get(path).is_some_and(|source| source.what == node.what);
        if !is_right && (code == Some(0) || node.what != What::Dir) {
            wrongs.push(format!("{path:?} is {node:?}"));
        }
    }
    if code == Some(0) {
        let missing = source.keys().filter(|path| !copy.contains_key(*path));
        wrongs.extend(missing.map(|path| format!("{path:?} is missing, with exit 0")));
    }
    wrongs
}
