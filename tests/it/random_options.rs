//! Options that nobody thought of together, on trees that nobody thought of, against cp itself.
//!
//! The same cases every time; `PCOPY_SEED=number` gives others, `PCOPY_CASES=number` more of them.

use crate::common::chance::runner;
use crate::common::planted::{Thing, Things, plant, things};
use crate::common::*;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestCaseError;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether the end is a matter of chance, or cp does something that nobody would want.
fn is_odd(source: &Things, target: &Things, (words, _): &Words) -> bool {
    let is_other = |path: &&&str| {
        matches!(source[**path], Thing::Symlink { .. } | Thing::Fifo { .. })
            && matches!(target.get(**path), Some(Thing::File { .. }))
    };
    let says = |option: &str| words.iter().any(|word| word.starts_with(option));
    // A source that has the name of a backup, too: which of the two comes first decides.
    let meets_backup =
        (says("-b") || says("--backup")) && source.keys().any(|path| path.ends_with('~'));
    let has_fifo = source.values().any(|thing| matches!(thing, Thing::Fifo { .. }));
    // Under -L cp does not replace by a FIFO, and links what -u has passed over or -s has made.
    let follows_oddly = says("-L") && (has_fifo || says("-u") || says("-s"));
    let has_link = source.values().any(|thing| matches!(thing, Thing::HardLink { .. }));
    // It links names that -u has passed over, and what -s and --attributes-only make.
    let links_oddly = has_link && (says("-u") || says("-s") || says("--attributes"));
    let keeps_contents = says("--attributes") && source.keys().any(|path| is_other(&path));
    meets_backup || follows_oddly || links_oddly || keeps_contents
}

/// Words for both programs, and those for cp and for pcopy alone.
type Words = (Vec<&'static str>, &'static [&'static str]);

fn options() -> impl Strategy<Value = Words> {
    let one = |words: &[&'static str]| select(words.to_vec());
    (
        one(&["-p", "-a"]),
        one(&["-P", "-L", "-H", "-P", "-P"]),
        one(&["", "", "-u", "-n"]),
        one(&["", "", "-b", "--backup=numbered", "--backup=simple", "--backup=existing"]),
        one(&["", "", "", "-l", "-s", "--attributes-only"]),
        one(&["", "-f", "--remove-destination"]),
    )
        .prop_map(|(keep, follow, update, backup, way, force)| {
            let backup = if update == "-n" { "" } else { backup };
            let ours: &[&str] = if update.is_empty() { &["--update=all"] } else { &[] };
            let words = [keep, follow, update, backup, way, force];
            (words.into_iter().filter(|word| !word.is_empty()).collect(), ours)
        })
}

/// Which names are one file: for each path that is no folder, the first path of the same inode.
fn groups(root: &Path) -> BTreeMap<PathBuf, PathBuf> {
    let mut first = BTreeMap::new();
    let mut groups = BTreeMap::new();
    for (path, entry) in listing(root) {
        if entry.mode & 0o170_000 != 0o040_000 {
            let inode = fs::symlink_metadata(root.join(&path)).unwrap().ino();
            groups.insert(path.clone(), first.entry(inode).or_insert(path).clone());
        }
    }
    groups
}

fn check(source: &Things, target: &Things, words: &Words, jobs: &str) -> Result<(), TestCaseError> {
    let (both, ours) = words;
    let env = Sandbox::new();
    plant(&env.path("src"), source, b"source");
    let from = env.path("src");
    let from = from.to_str().unwrap();
    for name in ["cp", "dst"] {
        plant(&env.path(name), target, b"target");
    }
    let mut cp = Command::new("cp");
    cp.arg("-rT").args(both).args([from, "cp"]).current_dir(env.path(""));
    let theirs = env.run(cp);

    let run = env.pcopy([&["-T", "-j", jobs][..], ours, both, &[from, "dst"]].concat());

    let story = || format!("{both:?}\n{}\n{}", theirs.stderr, run.story());
    if run.status.code() != theirs.status.code() {
        return Err(TestCaseError::fail(format!("exit codes: {}", story())));
    }
    let groups = |root: &str| groups(&env.path(root));
    // cp keeps links with -a only, and those of its -s and --attributes-only are its own.
    let comparable = !both.contains(&"-s") && !both.contains(&"--attributes-only");
    if both.contains(&"-a") && comparable && groups("cp") != groups("dst") {
        let (theirs, ours) = (groups("cp"), groups("dst"));
        return Err(TestCaseError::fail(format!("{theirs:?}\n{ours:?}\n{}", story())));
    }
    let wrong = differences(&env.listing("cp"), &env.listing("dst"));
    if wrong.is_empty() { Ok(()) } else { Err(TestCaseError::fail(format!("{wrong}{}", story()))) }
}

#[test]
fn options_that_cp_knows_do_what_they_do_for_cp() {
    let (mut runner, seed) = runner(300, 500);

    let result = runner.run(
        &(things(true), things(false), options(), any::<Index>()),
        |(source, target, words, jobs)| {
            prop_assume!(!is_odd(&source, &target, &words));
            check(&source, &target, &words, ["1", "2", "8"][jobs.index(3)])
        },
    );

    if let Err(error) = result {
        panic!("PCOPY_SEED={seed}: {error}");
    }
}
