//! Random trees, random targets and random rules: with `--delete` the target becomes what rsync makes of it, a dry run prints
//! what the run prints, what is printed as removed is what is gone, and `--check` then finds nothing extraneous.
//!
//! Each run has the same cases, unless `PCOPY_SEED=number` selects others; `PCOPY_CASES=number` runs more.

use crate::common::chance::Dice;
use crate::common::entries::{chmod, set_times};
use crate::common::*;
use crate::selection::names;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

const NAMES: [&str; 8] = ["a", "b", "c.o", "d", "e.o", "f", "g.x", "z"];

const RULES: [&str; 12] = [
    "- *.o", "- a", "+ a", "- d/", "- /b", "P *.x", "P f", "R e.o", "H z", "S z", "- d/***", "+ */",
];

/// The times in whole seconds, because rsync ignores the rest.
fn fill(dice: &mut Dice, dir: &Path, depth: usize) {
    fs::create_dir_all(dir).unwrap();
    for _ in 0..dice.below(6) {
        let path = dir.join(NAMES[dice.below(NAMES.len())]);
        match dice.below(5) {
            _ if path.symlink_metadata().is_ok() => continue,
            0 | 1 if depth < 3 => fill(dice, &path, depth + 1),
            2 => symlink(NAMES[dice.below(3)], &path).unwrap(),
            _ => {
                fs::write(&path, &b"abcdef"[..dice.below(6)]).unwrap();
                chmod(&path, [0o644, 0o600][dice.below(2)]);
            }
        }
        let time = (1_600_000_000 + dice.below(3) as i64, 0);
        set_times(&path, time, time);
    }
}

/// Returns the names of the lines about removed entries.
fn removed(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("*deleting   "));
    lines.map(|name| name.trim_end_matches('/').to_owned()).collect()
}

#[test]
fn the_target_becomes_what_rsync_makes_of_it() {
    if !tool("rsync") {
        return skip!("rsync is not installed");
    }
    let cases = std::env::var("PCOPY_CASES").map_or(120, |text| text.parse().unwrap());
    let seed = std::env::var("PCOPY_SEED").map_or(1, |text| text.parse().unwrap());
    let mut dice = Dice::seeded(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
    let (mut all_removed, mut compared) = (0, 0);
    for case in 0..cases {
        let env = Sandbox::new();
        fill(&mut dice, &env.path("src"), 0);
        fs::write(env.path("src/one"), "").unwrap(); // an empty source would be refused
        fill(&mut dice, &env.path("dst"), 0);
        let dst = env.path("dst");
        must_run("cp", &["-a", dst.to_str().unwrap()], &env.path("by-rsync"));
        let mut options =
            vec![["--delete", "--delete-excluded"][usize::from(dice.below(4) == 0)].to_owned()];
        for _ in 0..dice.below(4) {
            options.push(format!("--filter={}", RULES[dice.below(RULES.len())]));
        }
        let jobs = ["-j1", "-j8"][dice.below(2)];
        let what = format!("PCOPY_SEED={seed}, case {case}: {options:?} {jobs}");
        let line = |first: &str| {
            let last = ["--max-delete=100%", "--itemize-changes", jobs, "-T", "src", "dst"];
            let words = [&[first], &last[..]].concat().into_iter().map(str::to_owned);
            words.chain(options.clone()).collect::<Vec<_>>()
        };

        let mut rsync = Command::new("rsync");
        rsync.arg("-aHAX").args(&options).args(["src/", "by-rsync/"]).current_dir(env.path(""));
        let by_rsync = rsync.output().unwrap();
        let before: BTreeSet<_> = names(&env, "dst").into_iter().collect();
        let dry = env.pcopy(line("--dry-run"));
        let run = env.pcopy(line("-a"));

        assert_eq!(removed(&dry.stdout), removed(&run.stdout), "{what}");
        assert_eq!(dry.status.code(), run.status.code(), "{what}");
        // What was removed to make way for an entry of another type is there again.
        let after: BTreeSet<_> = names(&env, "dst").into_iter().collect();
        let gone: BTreeSet<_> = before.difference(&after).cloned().collect();
        let printed = removed(&run.stdout);
        assert!(printed.is_superset(&gone), "{what}\n{}", run.story());
        let again: Vec<_> =
            printed.difference(&gone).filter(|name| !after.contains(*name)).collect();
        assert!(again.is_empty(), "{what}: {again:?}");
        all_removed += printed.len();
        // What is protected and in the way of an entry of another type stays as it is; rsync removes a part of it.
        if run.status.code() == Some(0) {
            let words = ["--check", "-T", "src", "dst"].map(str::to_owned);
            env.pcopy(words.into_iter().chain(options)).exits(0);
            assert!(by_rsync.status.success(), "{what}: {by_rsync:?}");
            assert_eq!(names(&env, "dst"), names(&env, "by-rsync"), "{what}\n{}", run.story());
            compared += 1;
        }
    }
    assert!(all_removed > cases, "only {all_removed} entries were removed");
    assert!(compared > cases / 2, "only {compared} cases were compared with rsync");
}
