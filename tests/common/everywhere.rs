//! The facts of a test file on every file system: the file runs itself once more on each.

use crate::common::images::{Make, mounted_or_skip};
use crate::common::things::{in_own_mounts, modified};
use crate::common::{PLACE, Sandbox, all_tests};
use std::process::Command;

/// Has all other tests of this file run on ext4, xfs, btrfs and tmpfs, too, in images that are
/// mounted for them; `except` those whose fact is none of the file system's business, or not
/// possible on each.
macro_rules! holds_on_every_file_system {
    ($(except $($name:ident),+ $(,)?)?) => {
        $crate::everywhere::holds_on! {
            [$($(stringify!($name)),+)?]
            all_of_this_holds_on_ext4 EXT4,
            all_of_this_holds_on_xfs XFS,
            all_of_this_holds_on_btrfs BTRFS,
            all_of_this_holds_on_tmpfs TMPFS,
        }
    };
}

macro_rules! holds_on {
    ($except:tt $($name:ident $make:ident,)+) => {
        $(#[test]
        fn $name() {
            let make = $crate::common::images::$make;
            let (module, name) = (module_path!(), stringify!($name));
            $crate::everywhere::all_of_this_holds_on(module, name, make, &$except);
        })+
    };
}

pub(crate) use {holds_on, holds_on_every_file_system};

/// Runs the tests of a module, without those that call this and those of `except`, in sandboxes
/// on a new file system.
#[track_caller]
pub(crate) fn all_of_this_holds_on(module: &str, name: &str, make: Make, except: &[&str]) {
    if !in_own_mounts(name) {
        return;
    }
    let env = Sandbox::new();
    let Some(_mounted) = mounted_or_skip(name, &env, "at", make) else { return };
    let untouched = modified(env.path("at"));

    let prefix = module.split_once("::").map_or(String::new(), |(_, module)| format!("{module}::"));
    let tests = all_tests().into_iter().filter(|test| {
        test.strip_prefix(&prefix).is_some_and(|test| {
            !test.starts_with("all_of_this_holds_on") && !except.contains(&test)
        })
    });

    let all = Command::new(std::env::current_exe().unwrap())
        .arg("--exact")
        .args(tests)
        .env(PLACE, env.path("at"))
        .env_remove("PCOPY_TEST_IN_OWN_MOUNTS")
        .output()
        .unwrap();

    let (told, said) = (String::from_utf8_lossy(&all.stdout), String::from_utf8_lossy(&all.stderr));
    assert!(all.status.success(), "in {name}:\n{told}\n{said}");
    assert_ne!(modified(env.path("at")), untouched, "nothing was made there:\n{told}");
    said.lines().filter(|line| line.starts_with("skipped:")).for_each(|line| eprintln!("{line}"));
}
