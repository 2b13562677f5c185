//! Random trees, copied to a new target and onto a damaged copy.
//!
//! Each run has the same trees, unless `PCOPY_SEED=number` selects others; `PCOPY_CASES=number` runs more.

use crate::common::chance::runner;
use crate::common::entries::*;
use crate::common::testtree::{Bytes, Node, Tree, What, plant, read, tree_differences};
use crate::common::*;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns a name: random bytes, or one of a few names that may collide with staged names.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let few = prop::sample::select(vec![
        &b"a"[..],
        b"b",
        b".a.pcopy-partial",
        b".b.pcopy-partial",
        b".a.pcopy-partial-1",
        b"a.1",
        b"-j",
        b"...",
        b"\n",
        b"\xff",
    ]);
    let byte = (1..=255_u8).prop_filter("no slash", |byte| *byte != b'/');
    let any = prop_oneof![8 => vec(byte.clone(), 1..12), 1 => vec(byte, 225..=255)];
    prop_oneof![1 => few.prop_map(<[u8]>::to_vec), 3 => any]
        .prop_filter("no dots", |name| name != b"." && name != b"..")
}

/// Returns a mode. It includes the permissions `needed`, without which an ordinary user could not copy the
/// entry.
fn mode(needed: u32) -> impl Strategy<Value = u32> {
    let needed = if is_root() { 0 } else { needed };
    prop_oneof![2 => 0..=0o777_u32, 1 => 0..=0o7777_u32, 2 => Just(0o644), 2 => Just(0o755)]
        .prop_map(move |mode| mode | needed)
}

fn time() -> impl Strategy<Value = Time> {
    let seconds = prop_oneof![1_000_000_000..2_000_000_000_i64, -4_000_000_000..8_000_000_000_i64];
    (seconds, prop_oneof![Just(0), 0..1_000_000_000_i64])
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        2 => Just(0),
        6 => 1..5_000_usize,
        1 => 250_000..270_000_usize,
        1 => 500_000..1_200_000_usize,
    ]
}

/// Returns a tree of one entry.
fn leaf(what: What, mode: u32, time: Time) -> Tree {
    Tree::from([(PathBuf::new(), Node::new(what, mode, time))])
}

fn tree() -> impl Strategy<Value = Tree> {
    let file = |(mode, time, size, seed): (_, _, _, u8)| {
        leaf(What::File(Bytes(contents(&[seed], size))), mode, time)
    };
    let symlink = |(text, time): (Vec<u8>, _)| {
        leaf(What::Symlink(OsString::from_vec(text).into()), 0o777, time)
    };
    let leaf = prop_oneof![
        5 => (mode(0o400), time(), size(), any::<u8>()).prop_map(file),
        1 => (vec(1..=255_u8, 1..60), time()).prop_map(symlink),
        1 => (mode(0), time()).prop_map(|(mode, time)| leaf(What::Fifo, mode, time)),
        1 => (mode(0), time()).prop_map(|(mode, time)| leaf(What::Socket, mode, time)),
    ];
    let inner = leaf.prop_recursive(6, 120, 10, |inner| directory(inner, 10).boxed());
    directory(inner, 14)
}

/// Returns a directory that contains fewer than `most` of these trees.
fn directory(inner: impl Strategy<Value = Tree>, most: usize) -> impl Strategy<Value = Tree> {
    (mode(0o700), time(), btree_map(name(), inner, 0..most)).prop_map(|(mode, time, trees)| {
        let mut tree = leaf(What::Dir, mode, time);
        for (name, inner) in trees {
            let root = PathBuf::from(OsString::from_vec(name));
            let path = |path: PathBuf| {
                if path.as_os_str().is_empty() { root.clone() } else { root.join(path) }
            };
            tree.extend(inner.into_iter().map(|(below, node)| (path(below), node)));
        }
        tree
    })
}

const EXTRA: &[u8] = b"only in the target";

/// Damages a copy. For each entry in turn, a byte of `harm` selects what happens to it.
///
/// Directories stay directories, and other entries do not become directories, because a copy onto another
/// type would fail.
fn damage(root: &Path, harm: &[u8]) {
    let entries: Vec<(PathBuf, Entry)> = listing(root).into_iter().skip(1).collect();
    for ((path, entry), harm) in entries.iter().rev().zip(harm.iter().cycle()) {
        let path = root.join(path);
        let is_dir = entry.mode & 0o170_000 == 0o040_000;
        match harm % 9 {
            0 if is_dir => fs::remove_dir_all(&path).unwrap(),
            1 if is_dir => fs::write(path.join(OsStr::from_bytes(EXTRA)), "kept").unwrap(),
            2 if is_dir => chmod(&path, 0o711),
            _ if is_dir => {}
            0 => fs::remove_file(&path).unwrap(),
            1 => replace(&path, || fs::write(&path, "something else").unwrap()),
            2 => replace(&path, || std::os::unix::fs::symlink("/etc/passwd", &path).unwrap()),
            3 => replace(&path, || node(&path, "fifo", 0, 0)),
            4 => set_times(&path, (1, 1), (1, 1)),
            5 if entry.mode & 0o170_000 != 0o120_000 => chmod(&path, 0o604),
            6 => {
                // As a killed run may leave it.
                let mut staged = b".".to_vec();
                staged.extend_from_slice(path.file_name().unwrap().as_bytes());
                staged.extend_from_slice(b".pcopy-partial");
                let staged = path.with_file_name(OsStr::from_bytes(&staged));
                if staged.file_name().unwrap().len() <= 255 && !exists(&staged) {
                    fs::remove_file(&path).unwrap();
                    fs::write(staged, "half").unwrap();
                }
            }
            _ => {}
        }
    }
}

fn replace(path: &Path, make: impl FnOnce()) {
    fs::remove_file(path).unwrap();
    make();
}

fn ensure(what: bool, why: impl FnOnce() -> String) -> Result<(), TestCaseError> {
    if what { Ok(()) } else { Err(TestCaseError::fail(why())) }
}

fn check(source: &Tree, jobs: u16, harm: &[u8]) -> Result<(), TestCaseError> {
    let env = Sandbox::new();
    plant(source, &env.path("src"));
    let wrong = tree_differences(source, &read(&env.path("src")));
    assert_eq!(wrong, "", "this was not planted as it is");
    let jobs = jobs.to_string();

    let run = env.pcopy(["-j", &jobs, "src", "fresh"]);
    ensure(run.status.success(), || run.story())?;
    ensure(run.stderr.contains(&format!("copied {} entr", grouped(source.len()))), || run.story())?;
    let wrong = tree_differences(source, &read(&env.path("fresh")));
    ensure(wrong.is_empty(), || format!("fresh:\n{wrong}\n{}", run.story()))?;

    let cp = Command::new("cp").args(["-aT", "src", "older"]).current_dir(env.path("")).output();
    assert!(cp.unwrap().status.success());
    damage(&env.path("older"), harm);
    let run = env.pcopy(["-j", &jobs, "-T", "src", "older"]);
    ensure(run.status.success(), || run.story())?;
    let mut merged = read(&env.path("older"));
    merged.retain(|path, _| path.file_name().is_none_or(|name| name.as_bytes() != EXTRA));
    let planted = |path: &PathBuf| source.contains_key(path);
    let is_staged = |path: &Path| path.to_string_lossy().contains(".pcopy-partial");
    // A leftover may stay under a variant of its staged name, which it has where the source has that name.
    merged.retain(|path, _| planted(path) || !is_staged(path));
    let wrong = tree_differences(source, &merged);
    ensure(wrong.is_empty(), || format!("merged:\n{wrong}\n{}", run.story()))?;

    let run = env.pcopy(["-j", &jobs, "-T", "src", "older"]);
    ensure(run.stderr.contains("copied 0 entries"), || format!("again:\n{}", run.story()))
}

/// Formats a number with a comma between thousands.
fn grouped(number: usize) -> String {
    if number < 1000 {
        number.to_string()
    } else {
        format!("{},{:03}", number / 1000, number % 1000)
    }
}

#[test]
fn any_tree_is_copied_exactly_to_a_new_target_and_over_a_damaged_copy() {
    let (mut runner, seed) = runner(60, 300);
    let jobs = prop::sample::select(vec![1_u16, 2, 3, 8]);

    let result = runner.run(&(tree(), jobs, vec(any::<u8>(), 1..40)), |(tree, jobs, harm)| {
        check(&tree, jobs, &harm)
    });

    if let Err(error) = result {
        panic!("PCOPY_SEED={seed}: {error}");
    }
}
