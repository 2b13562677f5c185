//! Random copies onto random trees, in which comparisons and manifests find no differences.
//!
//! Each run has the same cases, unless `PCOPY_SEED=number` selects others; `PCOPY_CASES=number` runs more.

use crate::common::chance::runner;
use crate::common::checksum_programs::{accepts, files_below, names_in};
use crate::common::small_trees::{Things, things, tree_of};
use crate::common::testtree::plant;
use crate::common::*;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use std::fs;

type Case = (Things, Things, (&'static str, &'static str), (&'static str, bool));

fn check(case: &Case) -> Result<(), TestCaseError> {
    let (source, target, (keep, way), (jobs, change)) = case;
    let env = Sandbox::new();
    plant(&tree_of(source, b"source"), &env.path("src"));
    plant(&tree_of(target, b"target"), &env.path("dst"));
    let line = ["-T", "-j", jobs, keep, way, "src", "dst"];
    let listing = |update, file| [update, "--hash=sha256", "--manifest", file];
    // A file may have the size and the time of its source by chance.
    let run = env.pcopy([&line[..], &listing("--update=all", "sums")].concat());
    let fail =
        |what: String, run: &Run<'_>| Err(TestCaseError::fail(format!("{what}\n{}", run.story())));
    if run.status.code() == Some(1) {
        // A directory and another entry had one name: the rest is listed.
        return match accepts(&env, "sha256sum", "dst", "sums") {
            Err(output) if !names_in(env.path("sums")).is_empty() => fail(output, &run),
            _ => Ok(()),
        };
    }
    prop_assert_eq!(run.status.code(), Some(0), "{}", run.story());
    let files: Vec<_> =
        files_below(&env.path("src")).into_iter().map(|path| path.into_os_string()).collect();
    prop_assert_eq!(&names_in(env.path("sums")), &files, "{}", run.story());
    let again = env.pcopy([&line[..], &listing("--backup=none", "again")].concat());
    let sums = ["sums", "again"].map(|file| fs::read_to_string(env.path(file)).unwrap());
    prop_assert!(sums[0] == sums[1], "{sums:?}\n{}", again.story());
    if !files.is_empty() {
        prop_assert_eq!(accepts(&env, "sha256sum", "dst", "sums"), Ok(()), "{}", run.story());
        let again = env.pcopy(["-j", jobs, "--check-manifest", "sums", "dst"]);
        let wrong = again.stdout.lines().find(|line| !line.starts_with("extraneous: "));
        prop_assert_eq!(wrong, None, "{}", again.story());
    }

    let compare = || env.pcopy(["-T", "-j", jobs, keep, "--check", "src", "dst"]);
    let compared = compare();
    let wrong = compared.stdout.lines().find(|line| !line.starts_with("extraneous: "));
    prop_assert_eq!(wrong, None, "{}", compared.story());
    let code = if compared.stdout.is_empty() { 0 } else { 6 };
    prop_assert_eq!(compared.status.code(), Some(code), "{}", compared.story());
    // A difference is found.
    if let Some(file) = files.first().filter(|_| *change) {
        let path = env.path("dst").join(file);
        let bytes = fs::read(&path).unwrap().len();
        fs::write(&path, vec![b'~'; bytes + 1]).unwrap();
        let compared = compare();
        let line = format!("different: 'dst/{}': contents", file.to_str().unwrap());
        let seen = compared.stdout.lines().any(|text| text.starts_with(&line));
        prop_assert!(seen, "{line}\n{}", compared.story());
    }
    Ok(())
}

#[test]
fn a_copy_matches_its_source_and_its_manifest() {
    let (mut runner, seed) = runner(150, 300);
    let case = (
        things(true),
        things(false),
        (
            select(vec!["-p", "-a", "-d", "--preserve=xattr"]),
            select(vec!["--reflink=auto", "--reflink=never", "--sparse=always", "--inplace"]),
        ),
        (select(vec!["1", "2", "8"]), any::<bool>()),
    );

    let result = runner.run(&case, |case| check(&case));

    if let Err(error) = result {
        panic!("PCOPY_SEED={seed}: {error}");
    }
}
