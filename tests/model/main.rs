//! Commands that nobody thought of, on trees that nobody thought of, against a model of our own.
//!
//! The model (`copy.rs`, with `rules.rs`) says what a command comes to by the manuals, ours and GNU's,
//! as a function of values. What the manuals leave to chance is not asked (`cases.rs`).
//!
//! The same cases every time; `PCOPY_SEED=number` gives others, `PCOPY_CASES=number` more of them.

mod cases;
#[allow(dead_code)] // it uses a part
#[path = "../common/mod.rs"]
mod common;
mod copy;
#[path = "../common/everywhere.rs"]
mod everywhere;
mod names;
mod rules;
mod trees;
mod world;

use cases::{Case, case};
use common::chance::runner;
use common::*;
use copy::{Caller, copy};
use everywhere::holds_on_every_file_system;
use proptest::test_runner::TestCaseError;
use rules::Way;
use std::fs;
use std::os::unix::fs::MetadataExt;
use world::{differences, plant, read};

holds_on_every_file_system!();

fn check(case: &Case) -> Result<(), TestCaseError> {
    let env = Sandbox::new();
    let folder = env.path("");
    let place = fs::metadata(&folder).unwrap();
    let owner = (place.uid(), place.gid());
    let caller = Caller { owner, folder: folder.clone(), umask: umask() };
    let (rules, (sources, target)) = (case.rules(), case.operands());
    let before = case.before(owner);
    plant(&before, &folder);
    assert_eq!(differences(&before, &read(&folder)), "", "this was not planted as it is");
    let mut command = env.command(case.options());
    for source in sources {
        match rules.way {
            Way::Symlink => command.arg(folder.join(source)), // others lead nowhere
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
    let wrong = differences(&after, &read(&folder));
    if ends_well && wrong.is_empty() {
        return Ok(());
    }
    let ends = if failed { "fails" } else { "succeeds" };
    let story = format!("in the model it {ends}\n{wrong}{rules:?}\n{}", run.story());
    Err(TestCaseError::fail(story))
}

/// The bits that new files of this process do not get.
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
