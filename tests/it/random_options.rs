//! Random options on random trees, compared with cp.
//!
//! Each run has the same cases, unless `PCOPY_SEED=number` selects others; `PCOPY_CASES=number` runs more.

use crate::common::chance::runner;
use crate::common::small_trees::{Thing, Things, things, tree_of};
use crate::common::testtree::{leaders, plant};
use crate::common::*;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestCaseError;
use std::process::Command;

/// Whether the result depends on the order of the entries, or cp does something that no user would want.
fn is_odd(source: &Things, target: &Things, (words, _): &Words) -> bool {
    let is_other = |path: &&&str| {
        matches!(source[**path], Thing::Symlink { .. } | Thing::Fifo { .. })
            && matches!(target.get(**path), Some(Thing::File { .. }))
    };
    let has = |option: &str| words.iter().any(|word| word.starts_with(option));
    // A source with the name of a backup: the order decides.
    let meets_backup =
        (has("-b") || has("--backup")) && source.keys().any(|path| path.ends_with('~'));
    let has_fifo = source.values().any(|thing| matches!(thing, Thing::Fifo { .. }));
    // With -L cp does not replace by a FIFO, and links what -u skipped or -s made.
    let follows_oddly = has("-L") && (has_fifo || has("-u") || has("-s"));
    let has_link = source.values().any(|thing| matches!(thing, Thing::HardLink { .. }));
    // It links names that -u skipped, and what -s and --attributes-only make.
    let links_oddly = has_link && (has("-u") || has("-s") || has("--attributes"));
    let keeps_contents = has("--attributes") && source.keys().any(|path| is_other(&path));
    meets_backup || follows_oddly || links_oddly || keeps_contents
}

/// The options for both programs, and further options for pcopy only.
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

fn check(source: &Things, target: &Things, words: &Words, jobs: &str) -> Result<(), TestCaseError> {
    let (both, ours) = words;
    let env = Sandbox::new();
    plant(&tree_of(source, b"source"), &env.path("src"));
    let from = env.path("src");
    let from = from.to_str().unwrap();
    for name in ["cp", "dst"] {
        plant(&tree_of(target, b"target"), &env.path(name));
    }
    let mut cp = Command::new("cp");
    cp.arg("-rT").args(both).args([from, "cp"]).current_dir(env.path(""));
    let theirs = env.run(cp);

    let run = env.pcopy([&["-T", "-j", jobs][..], ours, both, &[from, "dst"]].concat());

    let story = || format!("{both:?}\n{}\n{}", theirs.stderr, run.story());
    if run.status.code() != theirs.status.code() {
        return Err(TestCaseError::fail(format!("exit codes: {}", story())));
    }
    let leaders = |root: &str| leaders(&env.path(root));
    // cp preserves links with -a only, and links of its own with -s and --attributes-only.
    let comparable = !both.contains(&"-s") && !both.contains(&"--attributes-only");
    if both.contains(&"-a") && comparable && leaders("cp") != leaders("dst") {
        let (theirs, ours) = (leaders("cp"), leaders("dst"));
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
