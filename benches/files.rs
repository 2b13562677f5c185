//! The cost of a small file from start to end of a copy: `cargo bench --bench files`.
//!
//! Runs the program with one copier, so that nothing is waited for, on a file system in memory if
//! there is one. Prints the medians of several runs; the options take turns, in every second run in
//! reverse order. The second column is a second copy over the complete first one: each file is
//! found to be up to date by its attributes, or, where times are not preserved, by its contents.

use pcopy::bench::generate;
use pcopy::bench::trees::{TreeKind, TreeSpec};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 7;
const FILES: u32 = 20_000;

/// A set of options, and the times of the runs with it.
struct Variant {
    name: &'static str,
    options: &'static [&'static str],
    copies: Vec<Duration>,
    second_copies: Vec<Duration>,
}

impl Variant {
    fn new(name: &'static str, options: &'static [&'static str]) -> Self {
        Self { name, options, copies: Vec::new(), second_copies: Vec::new() }
    }
}

fn main() {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let dir = tempfile::Builder::new().prefix("pcopy-files-").tempdir_in(base);
    let dir = dir.expect("cannot create a directory");
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    let tree = TreeSpec { kind: TreeKind::Small, seed: 1, scale: 0.2 };
    generate(&tree, &source, &|| Ok(())).expect("cannot generate the tree");

    let mut variants = [
        Variant::new("--preserve=none", &["--preserve=none"]),
        Variant::new("default", &[]),
        Variant::new("-a", &["-a"]),
    ];
    // The first run is not counted.
    for run in 0..=RUNS {
        // No variant always follows the same one.
        let mut order: Vec<&mut Variant> = variants.iter_mut().collect();
        if run % 2 == 1 {
            order.reverse();
        }
        for variant in order {
            let copy = time(variant.options, &source, &target);
            let second_copy = time(variant.options, &source, &target);
            std::fs::remove_dir_all(&target).expect("cannot remove the copy");
            if run > 0 {
                variant.copies.push(copy);
                variant.second_copies.push(second_copy);
            }
        }
    }
    println!("{:<20} {:>14} {:>24}", "", "per file", "second copy");
    for Variant { name, copies, second_copies, .. } in variants {
        let per_file = median(copies) * 1e6 / f64::from(FILES);
        let rate = f64::from(FILES) / median(second_copies);
        println!("{name:<20} {per_file:>11.2} µs {rate:>16.0} files/s");
    }
}

/// Runs the program, and returns how long it took.
fn time(options: &[&str], source: &PathBuf, target: &PathBuf) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pcopy"));
    command.args(["-q", "-j1", "-T"]).args(options).arg(source).arg(target);
    command.stdin(Stdio::null());
    let started = Instant::now();
    let status = command.status().expect("cannot run pcopy");
    let taken = started.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    taken
}

/// The median, in seconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}
