//! Random trees with random ignore files: `--gitignore` leaves out what git ignores.
//!
//! Each run has the same cases, unless `PCOPY_SEED=number` selects others; `PCOPY_CASES=number` runs more.

use crate::common::chance::Dice;
use crate::common::*;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NAMES: [&[u8]; 26] = [
    b"a",
    b"b",
    b"c",
    b"ab",
    b"abc",
    b"a.o",
    b"b.c",
    b"foo",
    b"foobar",
    b"a]",
    b"a*",
    b"[a]",
    b"a\\b",
    b"a\\",
    b".x",
    b"-",
    b"1",
    b"A b",
    b"a ",
    b"!a",
    b"#a",
    b"a\r",
    b"a\x0b",
    b"\xff",
    b"\xc3\xa9",
    b"**",
];

const PARTS: [&[u8]; 52] = [
    b"a",
    b"b",
    b"c",
    b".o",
    b"foo",
    b"*",
    b"*",
    b"**",
    b"**/",
    b"/**",
    b"/**/",
    b"***",
    b"?",
    b"[ab]",
    b"[!a]",
    b"[^b]",
    b"[a-c]",
    b"[c-a]",
    b"[a-c-e]",
    b"[]a]",
    b"[!]a]",
    b"[a-]",
    b"[--a]",
    b"[\\]a]",
    b"[a-\\c]",
    b"[/]",
    b"[!/]",
    b"[.-0]",
    b"[\x01-\xff]",
    b"[[:alpha:]]",
    b"[[:space:]]",
    b"[![:punct:]]",
    b"[[:digit:]a]",
    b"[[:foo:]]",
    b"[[::]]",
    b"[[:x]",
    b"[",
    b"[a-",
    b"\\",
    b"\\*",
    b"\\a",
    b"\\/",
    b"\\ ",
    b"/",
    b"/",
    b"!",
    b"#",
    b" ",
    b"\r",
    b"\xff",
    b"\xef\xbb\xbf",
    b"-",
];

const WHOLE: [&[u8]; 16] = [
    b"", b" ", b"#a", b"!", b"/", b"//", b"\\", b"*", b"!*", b"*/", b"!*/", b"/*", b"**", b"\r",
    b"a\0b", b"/*/",
];

const ENDS: [&[u8]; 6] = [b" ", b"  ", b"\\ ", b"\\  ", b"\t", b"\r"];

/// How many repositories one run copies.
const AT_ONCE: usize = 10;

fn pick(dice: &mut Dice, all: &[&'static [u8]]) -> &'static [u8] {
    all[dice.below(all.len())]
}

/// A repository of git, which may contain others.
struct Repository {
    root: PathBuf,
    /// The paths of its entries, relative to the root, without those that git keeps for itself.
    paths: Vec<Vec<u8>>,
    /// The paths of its directories, and the root.
    dirs: Vec<Vec<u8>>,
    /// The repositories in it, with their paths.
    inner: Vec<(Vec<u8>, Repository)>,
}

impl Repository {
    fn grow(dice: &mut Dice, root: PathBuf, depth: usize) -> Self {
        must_run("git", &["init", "-q", "--template="], &root);
        fs::create_dir_all(root.join(".git/logs/a")).unwrap();
        fs::create_dir(root.join(".git/info")).unwrap();
        let (paths, dirs) = (Vec::new(), vec![Vec::new()]);
        let mut repository = Self { root, paths, dirs, inner: Vec::new() };
        repository.fill(dice, b"", depth);
        for dir in repository.dirs.clone() {
            if dir.is_empty() || dice.below(3) == 0 {
                let path = [&dir[..], if dir.is_empty() { b"" } else { b"/" }, b".gitignore"];
                repository.write_rules(dice, &path.concat(), &dir);
                repository.paths.push(path.concat());
            }
        }
        if dice.below(2) == 0 {
            repository.write_rules(dice, b".git/info/exclude", b"");
        }
        repository
    }

    fn fill(&mut self, dice: &mut Dice, dir: &[u8], depth: usize) {
        for _ in 0..=dice.below(5) {
            let slash: &[u8] = if dir.is_empty() { b"" } else { b"/" };
            let relative = [dir, slash, pick(dice, &NAMES)].concat();
            let path = self.root.join(OsStr::from_bytes(&relative));
            if path.symlink_metadata().is_ok() {
                continue;
            }
            self.paths.push(relative.clone());
            match dice.below(8) {
                0..=3 if depth < 4 => {
                    fs::create_dir(&path).unwrap();
                    if dice.below(16) == 0 {
                        self.inner.push((relative, Self::grow(dice, path, depth + 1)));
                    } else {
                        self.fill(dice, &relative, depth + 1);
                        self.dirs.push(relative);
                    }
                }
                4 => std::os::unix::fs::symlink("..", &path).unwrap(),
                _ => fs::write(&path, "").unwrap(),
            }
        }
    }

    /// Writes an ignore file with random lines, for the entries in `dir`.
    fn write_rules(&self, dice: &mut Dice, file: &[u8], dir: &[u8]) {
        let below: Vec<_> = self.paths.iter().filter_map(|path| path.strip_prefix(dir)).collect();
        let end: &[u8] = if dice.below(4) == 0 { b"\r\n" } else { b"\n" };
        let mut text = if dice.below(16) == 0 { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
        for _ in 0..=dice.below(5) {
            text.extend(line(dice, &below));
            text.extend_from_slice(end);
        }
        text.truncate(text.len() - dice.below(2) * end.len());
        fs::write(self.root.join(OsStr::from_bytes(file)), text).unwrap();
    }

    /// Adds the paths that git does not ignore, each behind `prefix`.
    fn add_taken(&self, prefix: &[u8], into: &mut BTreeSet<Vec<u8>>) {
        let ignored = self.ignored_by_git();
        let is_ignored = |path: &[u8]| {
            let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            let mut ends = slashes.map(|(at, _)| at).chain([path.len()]);
            ends.any(|end| ignored.contains(&path[..end]))
        };
        let taken = self.paths.iter().filter(|path| !is_ignored(path));
        into.extend(taken.map(|path| [prefix, path].concat()));
        for (path, inner) in &self.inner {
            if !is_ignored(path) {
                inner.add_taken(&[prefix, path, b"/"].concat(), into);
            }
        }
        let of_git = paths_below(&self.root.join(".git"));
        into.insert([prefix, b".git"].concat());
        into.extend(of_git.iter().map(|path| [prefix, b".git/", path].concat()));
    }

    fn ignored_by_git(&self) -> BTreeSet<&[u8]> {
        let mut command = Command::new("git");
        command.args(["-c", "core.excludesFile=", "check-ignore", "--no-index", "-vnz", "--stdin"]);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir(&self.root);
        let mut child = command.spawn().unwrap();
        // A colon at the beginning of a path would be magic for git.
        let asked: Vec<u8> =
            self.paths.iter().flat_map(|path| [b"./", &path[..], b"\0"].concat()).collect();
        let mut input = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || input.write_all(&asked).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let fields: Vec<_> = output.stdout.split(|byte| *byte == 0).collect();
        let answers: Vec<_> = fields.chunks_exact(4).map(|answer| answer[2]).collect();
        assert_eq!(answers.len(), self.paths.len(), "git in {:?}: {}", self.root, output.status);
        let answered = self.paths.iter().zip(answers);
        let ignored = answered.filter(|(_, rule)| !rule.is_empty() && !rule.starts_with(b"!"));
        ignored.map(|(path, _)| &path[..]).collect()
    }
}

fn line(dice: &mut Dice, paths: &[&[u8]]) -> Vec<u8> {
    if dice.below(16) == 0 {
        return pick(dice, &WHOLE).to_vec();
    }
    let pattern = loop {
        let pattern = match paths.len() {
            count if count > 0 && dice.below(2) == 0 => {
                let path = paths[dice.below(count)];
                changed(dice, path)
            }
            _ => (0..=dice.below(5)).flat_map(|_| pick(dice, &PARTS)).copied().collect(),
        };
        if !depends_on_version(&pattern) {
            break pattern;
        }
    };
    let negation: &[u8] = if dice.below(3) == 0 { b"!" } else { b"" };
    let start: &[u8] = if dice.below(4) == 0 { b"/" } else { b"" };
    let end: &[u8] = if dice.below(4) == 0 { b"/" } else { b"" };
    let blanks = if dice.below(8) == 0 { pick(dice, &ENDS) } else { b"" };
    [negation, start, &pattern, end, blanks].concat()
}

/// Returns a pattern that may match the path.
fn changed(dice: &mut Dice, path: &[u8]) -> Vec<u8> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let name = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let path = &path[if dice.below(3) == 0 { name } else { 0 }..];
    let mut pattern = Vec::new();
    for &byte in path {
        match (dice.below(16), byte) {
            (0..=3, b'/') => pattern.extend_from_slice(b"/**/"),
            (0, _) => pattern.push(b'*'),
            (1, _) => pattern.push(b'?'),
            (2, _) => pattern.extend_from_slice(&[b'[', b'!', byte, b']']),
            (3, _) => pattern.extend_from_slice(&[b'[', byte, b'-', b'z', b']']),
            (4, _) => pattern.extend_from_slice(pick(dice, &PARTS)),
            (5..=13, b'*' | b'?' | b'[' | b'\\') => pattern.extend_from_slice(&[b'\\', byte]),
            _ => pattern.push(byte),
        }
    }
    pattern
}

/// Whether two stars are the first wildcards and follow a literal: `foo**/bar`. Git before 2.52 took them for the
/// beginning of a component, so that the pattern matched `foo/x/bar`.
fn depends_on_version(pattern: &[u8]) -> bool {
    let first = pattern.iter().position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
    first.is_some_and(|at| at > 0 && pattern[at - 1] != b'/' && pattern[at..].starts_with(b"**"))
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
fn random_ignore_files_leave_out_what_git_ignores() {
    if !tool("git") {
        return skip!("git is not installed");
    }
    let cases = std::env::var("PCOPY_CASES").map_or(100, |text| text.parse().unwrap());
    let seed = std::env::var("PCOPY_SEED").map_or(1, |text| text.parse().unwrap());
    let mut dice = Dice::seeded(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
    let env = Sandbox::new();
    let mut left_out = 0;
    for first in (0..cases).step_by(AT_ONCE) {
        let mut expected = BTreeSet::new();
        for number in first..cases.min(first + AT_ONCE) {
            let root = env.path("src").join(number.to_string());
            fs::create_dir_all(&root).unwrap();
            let repository = Repository::grow(&mut dice, root, 0);
            expected.insert(number.to_string().into_bytes());
            repository.add_taken(format!("{number}/").as_bytes(), &mut expected);
        }

        let run = env.pcopy(["--gitignore", "-T", "src", "dst"]);

        run.exits(0);
        let found = paths_below(&env.path("dst"));
        if let Some(path) = found.symmetric_difference(&expected).next() {
            let who = if found.contains(path) { "only pcopy takes" } else { "only git takes" };
            let path = String::from_utf8_lossy(path);
            panic!("PCOPY_SEED={seed}, {who} {path:?} in {:?}", env.path("src"));
        }
        left_out += paths_below(&env.path("src")).len() - found.len();
        fs::remove_dir_all(env.path("src")).unwrap();
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
    assert!(left_out > cases, "the random rules ignored {left_out} entries only");
}
