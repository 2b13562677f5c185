//! Random trees and random lists of rules: pcopy copies what rsync lists.
//!
//! Each run has the same cases, unless `PCOPY_SEED=number` selects others; `PCOPY_CASES=number` runs more.

use crate::common::chance::Dice;
use crate::common::*;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::Command;

const NAMES: [&[u8]; 15] = [
    b"a", b"b", b"ab", b"a.o", b"b.c", b"foo", b"a]", b"a*", b"[a]", b"a\\b", b".x", b"-", b"1",
    b"A b", b"\xff",
];

const PARTS: [&[u8]; 28] = [
    b"a",
    b"b",
    b".o",
    b"foo",
    b"*",
    b"**",
    b"***",
    b"?",
    b"[ab]",
    b"[!a]",
    b"[^b]",
    b"[a-c]",
    b"[[:alpha:]]",
    b"[]a]",
    b"[",
    b"\\",
    b"\\*",
    b"/",
    b"/",
    b"x",
    b"-",
    b"\xff",
    b"[\\]a]",
    b"[a-]",
    b"[--a]",
    b"[[:digit:]a]",
    b"[[:x]",
    b".",
];

const PREFIXES: [&[u8]; 16] = [
    b"- ",
    b"- ",
    b"- ",
    b"+ ",
    b"+ ",
    b"-! ",
    b"H ",
    b"S ",
    b"P ",
    b"-s ",
    b"-r ",
    b"exclude ",
    b"include_",
    b"hide, ",
    b"show_",
    b"-p ",
];

const WHOLE: [&[u8]; 5] = [b"- *", b"+ */", b"- **/", b"+ *.o", b"!"];

fn pick(dice: &mut Dice, all: &[&'static [u8]]) -> &'static [u8] {
    all[dice.below(all.len())]
}

fn fill(dice: &mut Dice, dir: &Path, depth: usize) {
    for _ in 0..=dice.below(5) {
        let path = dir.join(OsStr::from_bytes(pick(dice, &NAMES)));
        match dice.below(8) {
            _ if path.symlink_metadata().is_ok() => {}
            0..=3 if depth < 4 => {
                fs::create_dir(&path).unwrap();
                fill(dice, &path, depth + 1);
            }
            4 => std::os::unix::fs::symlink("x", &path).unwrap(),
            _ => fs::write(&path, "").unwrap(),
        }
    }
}

fn rule(dice: &mut Dice) -> OsString {
    if dice.below(8) == 0 {
        return OsString::from_vec([b"--filter=", pick(dice, &WHOLE)].concat());
    }
    let mut pattern = Vec::new();
    for _ in 0..=dice.below(4) {
        pattern.extend_from_slice(pick(dice, &PARTS));
    }
    let start: &[u8] = if dice.below(3) == 0 { b"/" } else { b"" };
    let end: &[u8] = if dice.below(3) == 0 { b"/" } else { b"" };
    OsString::from_vec([b"--filter=", pick(dice, &PREFIXES), start, &pattern, end].concat())
}

/// Returns the paths that rsync would copy; `None` if it refuses the rules.
fn listed_by_rsync(env: &Sandbox, rules: &[OsString]) -> Option<BTreeSet<Vec<u8>>> {
    let mut command = Command::new("rsync");
    command.args(["-rln", "-8", "--out-format=%n"]).args(rules).args(["src/", "nothing/"]);
    let output = command.current_dir(env.path("")).output().unwrap();
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let paths = lines.map(|line| line.strip_suffix(b"/").unwrap_or(line));
    let paths = paths.filter(|path| !path.is_empty() && *path != b".").map(<[u8]>::to_vec);
    output.status.success().then(|| paths.collect())
}

fn paths_below(root: &Path) -> BTreeSet<Vec<u8>> {
    let mut paths = BTreeSet::new();
    testtree::walk(root, |path, _, _| {
        let path = path.as_os_str().as_bytes().to_vec();
        if !path.is_empty() {
            paths.insert(path);
        }
    });
    paths
}

#[test]
fn random_rules_select_what_they_select_for_rsync() {
    if !tool("rsync") {
        return skip!("rsync is not installed");
    }
    let cases = std::env::var("PCOPY_CASES").map_or(150, |text| text.parse().unwrap());
    let seed = std::env::var("PCOPY_SEED").map_or(1, |text| text.parse().unwrap());
    let mut dice = Dice::seeded(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
    let env = Sandbox::new();
    let mut compared = 0;
    for case in 0..cases {
        if case % 5 == 0 {
            let _ = fs::remove_dir_all(env.path("src"));
            fs::create_dir(env.path("src")).unwrap();
            fill(&mut dice, &env.path("src"), 0);
        }
        let rules: Vec<_> = (0..=dice.below(5)).map(|_| rule(&mut dice)).collect();
        let Some(expected) = listed_by_rsync(&env, &rules) else { continue };

        let mut line = rules.clone();
        line.extend(["-T", "src", "dst"].map(OsString::from));
        let run = env.pcopy(&line);

        run.exits(0);
        let found = paths_below(&env.path("dst"));
        assert_eq!(found, expected, "PCOPY_SEED={seed}, case {case}: {rules:?}");
        fs::remove_dir_all(env.path("dst")).unwrap();
        compared += 1;
    }
    assert!(compared * 10 > cases * 9, "rsync refused most of the rules");
}
