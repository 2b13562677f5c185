//! Runs the tests of a module again on every file system.

use crate::common::entries::modified;
use crate::common::images::{Make, mounted_or_skip_for};
use crate::common::mounts::in_own_mounts_for;
use crate::common::{PLACE, Sandbox, all_tests, print_line};
use std::process::Command;

/// Runs all other tests of this module again on ext4, xfs, btrfs and tmpfs, in images that are mounted for
/// this purpose. Tests named after `except` are not run again: they do not depend on the file system, or do
/// not work on each.
macro_rules! holds_on_every_file_system {
    ($(except $($name:ident),+ $(,)?)?) => {
        $crate::common::cells! {
            on_every_file_system,
            ext4 => ($crate::common::images::EXT4),
            xfs => ($crate::common::images::XFS),
            btrfs => ($crate::common::images::BTRFS),
            tmpfs => ($crate::common::images::TMPFS),
        }
        fn on_every_file_system(make: $crate::common::images::Make) {
            let name = $crate::common::test_name!();
            let except: &[&str] = &[$($(stringify!($name)),+)?];
            $crate::every_file_system::run_again_on(name, make, except);
        }
    };
}

pub(crate) use holds_on_every_file_system;

/// Runs the tests of one module in sandboxes on a new file system, and prints a line for each. The module is
/// that of the test `name`. Leaves out `name` itself and `except`.
#[track_caller]
pub(crate) fn run_again_on(name: &str, make: Make, except: &[&str]) {
    if !in_own_mounts_for(name) {
        return;
    }
    let env = Sandbox::new();
    let Some(_mounted) = mounted_or_skip_for(name, &env, "at", make) else { return };
    let untouched = modified(env.path("at"));
    let (prefix, file_system) = name.split_once("on_every_file_system::").unwrap();
    let is_wanted = |test: &String| {
        let fact = test.strip_prefix(prefix).and_then(|test| test.split("::").next());
        fact.is_some_and(|fact| fact != "on_every_file_system" && !except.contains(&fact))
    };

    let run = Command::new(std::env::current_exe().unwrap())
        .arg("--exact")
        .args(all_tests().into_iter().filter(is_wanted))
        .env(PLACE, env.path("at"))
        .env_remove("PCOPY_TEST_IN_OWN_MOUNTS")
        .output()
        .unwrap();

    let [stdout, stderr] = [&run.stdout, &run.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(run.status.success(), "on {file_system}:\n{stdout}\n{stderr}");
    assert_ne!(modified(env.path("at")), untouched, "nothing was made there:\n{stdout}");
    for (test, result) in stdout.lines().filter_map(|line| line.split_once(" ... ")) {
        print_line(&format!("{test} on {file_system} ... {result}"));
    }
    stderr.lines().filter(|line| line.starts_with("skipped: ")).for_each(print_line);
}
