//! Writes random bytes into the memory that all processes of a run share.

use crate::checker::{Excuse, wrongs};
use crate::common::Sandbox;
use crate::common::chance::Dice;
use crate::ending::finish_with_output;
use crate::world::{Line, PLAIN, World};
use std::fs::{self, File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// The number of files that are added to each world, so that the run takes long enough.
const MORE_FILES: usize = 400;

/// Runs a line and writes random bytes into its shared memory `name`. Returns what is wrong after the run,
/// and whether the bytes were written before its end.
///
/// After this, counts may be wrong (exit code 14), copiers may die (16), and lost entries are failures (1).
/// But if the run reports success, the copy must be right, and every published file must be whole.
pub(crate) fn is_survived(name: &str, line: Line, jobs: u16, seed: u64) -> (String, bool) {
    let mut dice = Dice::seeded(seed);
    let env = Sandbox::new();
    env.many("src", MORE_FILES, 0);
    let world = World::within(env, line);
    let output = tempfile::tempfile().unwrap();
    let stream = || output.try_clone().unwrap();
    let mut command = world.command(&[], jobs);
    let child = command.stdout(stream()).stderr(stream()).spawn().unwrap();
    std::thread::sleep(dice.moment(Duration::from_millis(12)));
    let hit = scribble(child.id(), name, &mut dice);
    let ending = finish_with_output(child, output);
    let excuse = Excuse { half: true, again: true, numbers: true, ..Excuse::default() };
    let wrong = wrongs(&world, &ending, excuse);
    let story = || format!("{name}, {jobs} copiers, seed {seed}, {line:?}\n{wrong}");
    (if wrong.is_empty() { String::new() } else { story() }, hit)
}

/// The largest number of nonzero words in a ring that contains only its first task: the numbers of its
/// header, the turn, and the task.
pub(crate) const FIRST_WORDS: usize = 8;

/// The bits that are flipped in the chosen word.
pub(crate) const BITS: [u64; 2] = [1, 1 << 63];

/// A second word whose top bit is flipped, too. In the word with the next push's ticket, this bit closes the
/// ring.
pub(crate) const CLOSING: [Option<usize>; 3] = [None, Some(0), Some(1)];

/// Flips `bits` in the `word`-th nonzero word of the ring, before the first copier runs. Returns what is
/// wrong after the run, and whether the ring had such a word.
pub(crate) fn first_task_is_survived(
    word: usize,
    bits: u64,
    closing: Option<usize>,
) -> (String, bool) {
    let world = World::new(PLAIN);
    let late = "strace -D -qq -o /dev/null -e trace=clone,clone3 \
                -e inject=clone,clone3:delay_enter=300000:when=1";
    let late: Vec<String> = late.split_whitespace().map(str::to_owned).collect();
    let output = tempfile::tempfile().unwrap();
    let stream = || output.try_clone().unwrap();
    let mut command = world.command(&late, 2);
    let child = command.stdout(stream()).stderr(stream()).spawn().unwrap();
    let flips = [Some((word, bits)), closing.map(|word| (word, 1 << 63))];
    let hit = flip(child.id(), flips.into_iter().flatten().collect());
    let ending = finish_with_output(child, output);
    let excuse = Excuse { again: true, numbers: true, ..Excuse::default() };
    let wrong = wrongs(&world, &ending, excuse);
    let story = || format!("word {word}, bits {bits:x}, {closing:?}\n{wrong}");
    (if wrong.is_empty() { String::new() } else { story() }, hit)
}

fn flip(pid: u32, flips: Vec<(usize, u64)>) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        if let Some((memory, range)) = open(pid, "pcopy-ring") {
            let mut bytes = vec![0; 64 * 1024];
            memory.read_exact_at(&mut bytes, range.start).unwrap();
            let word_at = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
            let full: Vec<usize> =
                (0..bytes.len()).step_by(8).filter(|&at| word_at(at) != 0).collect();
            if full.len() > 5 {
                return flips.iter().all(|&(word, bits)| {
                    let Some(&at) = full.get(word) else { return false };
                    let other = word_at(at) ^ bits;
                    memory.write_at(&other.to_ne_bytes(), range.start + at as u64).is_ok()
                });
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// Opens the memory of a process. Returns it with the address range of the mapping `name`.
fn open(pid: u32, name: &str) -> Option<(File, Range<u64>)> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let line = maps.lines().find(|line| line.contains(name))?;
    let (begin, end) = line.split(' ').next()?.split_once('-')?;
    let [begin, end] = [begin, end].map(|number| u64::from_str_radix(number, 16).unwrap());
    let memory = OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem")).ok()?;
    Some((memory, begin..end))
}

/// Writes random bytes at random positions into a mapping of the parent that all processes share. Returns
/// whether it wrote any.
fn scribble(pid: u32, name: &str, dice: &mut Dice) -> bool {
    let Some((memory, Range { start: begin, end })) = open(pid, name) else { return false };
    let mut hit = false;
    for _ in 0..=dice.below(200) {
        let bytes: Vec<u8> = (0..=dice.below(15)).map(|_| dice.below(256) as u8).collect();
        // Most of the important data lies at the beginning.
        let length = (end - begin) as usize;
        let within = if dice.below(2) == 0 { length.min(4096) } else { length };
        let at = begin + dice.below(within) as u64;
        hit |= memory.write_at(&bytes, at).is_ok();
    }
    hit
}
