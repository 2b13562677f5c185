//! What a small file costs on its whole way through the program: `cargo bench --bench files`.
//!
//! The real program with one copier, so that nothing waits for anything; in memory where the machine
//! has room there. Medians of several runs, which take turns, every second time backwards. Of a
//! complete copy each file is looked at and left alone; where no times are kept, it is read, too.

use pcopy::bench::generate;
use pcopy::bench::trees::{TreeKind, TreeSpec};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 7;
const FILES: u32 = 20_000;

/// What is kept: its name here, the options for it, and the times of copies and of second looks.
type Way = (&'static str, &'static [&'static str], Vec<Duration>, Vec<Duration>);

fn main() {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let dir = tempfile::Builder::new().prefix("pcopy-files-").tempdir_in(base).expect("a folder");
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    let tree = TreeSpec { kind: TreeKind::Small, seed: 1, scale: 0.2 };
    generate(&tree, &source, &|| Ok(())).expect("a tree");

    let mut ways: [Way; 3] = [
        ("nothing else kept", &["--preserve=none"], Vec::new(), Vec::new()),
        ("bits, times, links", &[], Vec::new(), Vec::new()),
        ("everything (-a)", &["-a"], Vec::new(), Vec::new()),
    ];
    for run in 0..=RUNS {
        // So that none always comes after the same one.
        let mut order: Vec<&mut Way> = ways.iter_mut().collect();
        if run % 2 == 1 {
            order.reverse();
        }
        for (_, options, copies, looks) in order {
            let (copy, look) = (time(options, &source, &target), time(options, &source, &target));
            std::fs::remove_dir_all(&target).expect("a copy");
            if run > 0 {
                copies.push(copy);
                looks.push(look);
            }
        }
    }
    println!("{:<20} {:>14} {:>24}", "", "a file copied", "a complete copy");
    for (name, _, copies, looks) in ways {
        let each = median(copies) * 1e6 / f64::from(FILES);
        let rate = f64::from(FILES) / median(looks);
        println!("{name:<20} {each:>11.2} µs {rate:>16.0} files/s");
    }
}

/// How long the program takes.
fn time(options: &[&str], source: &PathBuf, target: &PathBuf) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pcopy"));
    command.args(["-q", "-j1", "-T"]).args(options).arg(source).arg(target);
    command.stdin(Stdio::null());
    let begun = Instant::now();
    let status = command.status().expect("the program");
    let taken = begun.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    taken
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}
