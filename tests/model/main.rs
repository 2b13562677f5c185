//! Runs random commands on random trees, and compares the results with a model.
//!
//! The model (`expected.rs` with `rules.rs`) computes from values what a command does according to the
//! manuals of pcopy and of GNU cp. Cases whose result the manuals leave open are not generated (`cases.rs`).
//!
//! Each run has the same cases, unless `PCOPY_SEED=number` selects others; `PCOPY_CASES=number` runs more.

mod cases;
#[allow(dead_code, unused_imports, unused_macros)] // it uses a part
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/every_file_system.rs"]
mod every_file_system;
mod expected;
mod names;
mod rules;
mod trees;

use cases::{Case, case};
use common::chance::runner;
use common::testtree::{Tree, plant, read, tree_differences};
use common::*;
use every_file_system::holds_on_every_file_system;
use expected::{Caller, copy};
use proptest::test_runner::TestCaseError;
use rules::Way;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

holds_on_every_file_system!();

fn check(case: &Case) -> Result<(), TestCaseError> {
    let env = Sandbox::new();
    let dir = env.path("");
    let metadata = fs::metadata(&dir).unwrap();
    let owner = (metadata.uid(), metadata.gid());
    let caller = Caller { owner, dir: dir.clone(), umask: umask() };
    let (rules, (sources, target)) = (case.rules(), case.operands());
    let before = case.before(owner);
    plant(&before, &dir);
    assert_eq!(tree_differences(&before, &tree(&dir)), "", "this was not planted as it is");
    let mut command = env.command(case.options());
    for source in sources {
        match rules.way {
            Way::Symlink => command.arg(dir.join(source)), // relative ones dangle
            _ => command.arg(source),
        };
    }
    command.arg(target);

    let run = env.run(command);

    let (after, failed) = copy(&before, &caller, &rules, sources, target);
    let ends_well = match run.status.code() {
        Some(0) => !failed,
        Some(1 | 3) => failed,
        _ => false,
    };
    let wrong = tree_differences(&after, &tree(&dir));
    if ends_well && wrong.is_empty() {
        return Ok(());
    }
    let ends = if failed { "fails" } else { "succeeds" };
    let story = format!("in the model it {ends}\n{wrong}{rules:?}\n{}", run.story());
    Err(TestCaseError::fail(story))
}

/// Reads the entries below a directory.
fn tree(dir: &Path) -> Tree {
    let mut tree = read(dir);
    tree.remove(Path::new(""));
    tree
}

/// Returns the umask of this process, which its children have, too.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let bits = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
    u32::from_str_radix(bits.trim(), 8).unwrap()
}

#[test]
fn any_command_comes_to_what_the_manuals_say() {
    let is_in_memory = std::env::var_os(PLACE).is_none();
    let (mut runner, seed) = runner(if is_in_memory { 800 } else { 100 }, 150);

    let result = runner.run(&case(), |case| check(&case));

    if let Err(error) = result {
        panic!("PCOPY_SEED={seed}: {error}");
    }
}
