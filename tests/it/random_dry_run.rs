//! Random trees, random older copies of them and random options: a dry run prints what the run prints, the run changes
//! what it prints, and with `-a` both print what rsync prints.
//!
//! Each run has the same cases, unless `PCOPY_SEED=number` selects others; `PCOPY_CASES=number` runs more.

use crate::common::chance::Dice;
use crate::common::entries::{chmod, set_times};
use crate::common::*;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const NAMES: [&str; 8] = ["a", "b", "c.o", "d", "e f", "g", "h.o", "z"];

const OPTIONS: [&[&str]; 16] = [
    &[],
    &[],
    &["-a"],
    &["-a"],
    &["-a"],
    &["--inplace"],
    &["--checksum"],
    &["--update=older"],
    &["--update=none"],
    &["--no-preserve=timestamps"],
    &["--no-preserve=mode"],
    &["--exclude=*.o"],
    &["--max-size=3"],
    &["--existing"],
    &["--backup"],
    &["--prune-empty-dirs", "--exclude=a"],
];

/// The times in whole seconds, because rsync ignores the rest.
fn time(dice: &mut Dice) -> (i64, i64) {
    (1_600_000_000 + dice.below(3) as i64, 0)
}

fn make(dice: &mut Dice, path: &Path) {
    if dice.below(6) == 0 {
        symlink(NAMES[dice.below(3)], path).unwrap();
    } else {
        fs::write(path, &b"abcdef"[..dice.below(6)]).unwrap();
        chmod(path, [0o644, 0o600, 0o755][dice.below(3)]);
    }
    let time = time(dice);
    set_times(path, time, time);
}

fn fill(dice: &mut Dice, dir: &Path, depth: usize) {
    for _ in 0..=dice.below(5) {
        let path = dir.join(NAMES[dice.below(NAMES.len())]);
        match dice.below(3) {
            _ if path.symlink_metadata().is_ok() => {}
            0 if depth < 3 => {
                fs::create_dir(&path).unwrap();
                fill(dice, &path, depth + 1);
                chmod(&path, [0o755, 0o700][dice.below(2)]);
                let time = time(dice);
                set_times(&path, time, time);
            }
            _ => make(dice, &path),
        }
    }
}

/// Makes some entries older, other, or missing.
fn age(dice: &mut Dice, root: &Path) {
    let mut paths = Vec::new();
    walk(root, |path, _, metadata| {
        if !path.as_os_str().is_empty() {
            paths.push((root.join(path), metadata.is_dir()));
        }
    });
    for (path, is_dir) in paths.into_iter().rev() {
        match dice.below(8) {
            0 if is_dir => fs::remove_dir_all(&path).unwrap(),
            1 if is_dir => chmod(&path, 0o750),
            0 => fs::remove_file(&path).unwrap(),
            1 => {
                fs::remove_file(&path).unwrap();
                make(dice, &path);
            }
            2 if !is_dir && !path.is_symlink() => chmod(&path, 0o640),
            _ => {}
        }
    }
}

/// Returns the lines of rsync's dry run.
fn itemized_by_rsync(env: &Sandbox) -> BTreeSet<String> {
    let mut command = Command::new("rsync");
    command.args(["-aHAXni", "--out-format=%i %n", "src/", "dst/"]).current_dir(env.path(""));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Returns the path of a line, relative to the target.
fn path_of(line: &str) -> PathBuf {
    let path = line[12..].trim_end_matches('/');
    PathBuf::from(if path == "." { "" } else { path })
}

#[test]
fn a_dry_run_prints_what_the_run_does() {
    if !tool("rsync") {
        return skip!("rsync is not installed");
    }
    let cases = std::env::var("PCOPY_CASES").map_or(100, |text| text.parse().unwrap());
    let seed = std::env::var("PCOPY_SEED").map_or(1, |text| text.parse().unwrap());
    let mut dice = Dice::seeded(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
    for case in 0..cases {
        let env = Sandbox::new();
        fs::create_dir(env.path("src")).unwrap();
        fill(&mut dice, &env.path("src"), 0);
        set_times(&env.path("src"), (1, 0), (1, 0));
        let copied =
            Command::new("cp").args(["-a", "src", "dst"]).current_dir(env.path("")).status();
        assert!(copied.unwrap().success());
        age(&mut dice, &env.path("dst"));
        let options = OPTIONS[dice.below(OPTIONS.len())];
        let jobs = ["-j1", "-j8"][dice.below(2)];
        let what = format!("PCOPY_SEED={seed}, case {case}: {options:?}");
        let line = |more: &[&'static str]| {
            [more, options, &[jobs, "--itemize-changes", "-T", "src", "dst"]].concat()
        };
        let before = env.listing("dst");
        let by_rsync = (options == ["-a"]).then(|| itemized_by_rsync(&env));

        let dry = env.pcopy(line(&["--dry-run"]));
        assert!(before == env.listing("dst"), "{what}: the dry run has changed something");
        let run = env.pcopy(line(&[]));

        let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let said = lines(&dry.stdout);
        assert_eq!(said.len(), dry.stdout.lines().count(), "{what}: a line twice");
        assert_eq!(said, lines(&run.stdout), "{what}");
        assert_eq!(dry.status.code(), run.status.code(), "{what}");
        if let Some(by_rsync) = by_rsync {
            assert_eq!(said, by_rsync, "{what}");
        }
        let after = env.listing("dst");
        let is_backup = |path: &&PathBuf| path.display().to_string().ends_with('~');
        let all: BTreeSet<_> =
            before.keys().chain(after.keys()).filter(|path| !is_backup(path)).collect();
        let changed = |path: &PathBuf| {
            let (old, new) = (before.get(path), after.get(path));
            // What is created in a directory changes its time, if times are not preserved.
            let is_dir = old.zip(new).is_some_and(|(old, new)| (old.mode & new.mode) >> 12 == 4);
            let times_matter = !is_dir || !options.contains(&"--no-preserve=timestamps");
            match (old, new) {
                (Some(old), Some(new)) => {
                    (old.mode, &old.what) != (new.mode, &new.what)
                        || times_matter && old.modified != new.modified
                }
                _ => true,
            }
        };
        let seen: BTreeSet<PathBuf> =
            all.into_iter().filter(|path| changed(path)).cloned().collect();
        let printed: BTreeSet<PathBuf> = said.iter().map(|line| path_of(line)).collect();
        // A directory whose entries change keeps its time in the end, and a run that fails leaves other entries alone.
        assert_eq!(printed, seen, "{what}\n{}", run.story());
    }
}
