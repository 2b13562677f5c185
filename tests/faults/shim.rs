//! Faults that strace cannot inject. They come from `shim.c`, a library between pcopy and libc.

use crate::checker::{Excuse, wrongs};
use crate::common::{skip_for, tool};
use crate::ending::{Ending, run};
use crate::world::{Line, World};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Calls that change the file system, and calls that open files.
pub(crate) const CHANGING: [(&str, libc::c_long); 15] = [
    ("openat", libc::SYS_openat),
    ("openat2", libc::SYS_openat2),
    ("write", libc::SYS_write),
    ("pwrite64", libc::SYS_pwrite64),
    ("copy_file_range", libc::SYS_copy_file_range),
    ("ftruncate", libc::SYS_ftruncate),
    ("mkdirat", libc::SYS_mkdirat),
    ("mknodat", libc::SYS_mknodat),
    ("symlinkat", libc::SYS_symlinkat),
    ("linkat", libc::SYS_linkat),
    ("renameat", libc::SYS_renameat),
    ("renameat2", libc::SYS_renameat2),
    ("unlinkat", libc::SYS_unlinkat),
    ("fchmod", libc::SYS_fchmod),
    ("utimensat", libc::SYS_utimensat),
];

/// Builds the library. If this machine cannot do that, skips `test` and returns `None`.
pub(crate) fn library(test: &str) -> Option<PathBuf> {
    if !tool("cc") || cfg!(target_feature = "crt-static") {
        skip_for(test, "needs a C compiler and a dynamically linked program");
        return None;
    }
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = place.join(format!("{test}.so"));
    let built = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(library)
}

/// Runs a line with the library and a fault. Returns how the run ended and whether the fault occurred.
fn run_with(world: &World, jobs: u16, library: &Path, fault: &str) -> (Ending, bool) {
    let log = world.env.path("trace");
    let mut command = world.command(&[], jobs);
    command.env("LD_PRELOAD", library).env("SHIM", fault).env("SHIM_LOG", &log);
    let ending = run(command);
    let occurred = fs::remove_file(log).is_ok();
    (ending, occurred)
}

/// Runs a line in which reads and writes are partial, which is not an error. Returns what is wrong after the
/// run.
pub(crate) fn is_copied_in_parts(
    line: Line,
    jobs: u16,
    library: &Path,
    seed: usize,
) -> (String, bool) {
    let world = World::new(line);
    let (ending, occurred) = run_with(&world, jobs, library, &format!("short:{seed}"));
    let mut wrong = wrongs(&world, &ending, Excuse::default());
    if ending.code() != Some(0) {
        wrong += &format!("it ended with {:?}\n{}", ending.status, ending.stderr);
    }
    let story = || format!("short:{seed} {jobs} copiers, {line:?}\n{wrong}");
    (if wrong.is_empty() { wrong.clone() } else { story() }, occurred)
}

/// Runs a line again and again. All processes die at the first occurrence of a call, then at the second, and
/// so on up to the last. Returns what is wrong after the runs, and how many runs died.
pub(crate) fn all_may_die_at(
    line: Line,
    jobs: u16,
    library: &Path,
    (call, number): (&str, libc::c_long),
) -> (String, usize) {
    let excuse = Excuse {
        signals: &[libc::SIGKILL],
        mute: true,
        half: true,
        again: true,
        ..Excuse::default()
    };
    let mut story = String::new();
    for nth in 1.. {
        let world = World::new(line);
        let (ending, occurred) = run_with(&world, jobs, library, &format!("kill:{number}:{nth}"));
        let excuse = if occurred { excuse } else { Excuse::default() };
        let wrong = wrongs(&world, &ending, excuse);
        if !wrong.is_empty() {
            story += &format!("all die at {call} {nth}, {jobs} copiers, {line:?}\n{wrong}\n");
        }
        if !occurred {
            return (story, nth - 1);
        }
    }
    unreachable!("the number of calls of a run is finite")
}
