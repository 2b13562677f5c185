//! Targets that ignore case, as FAT, NTFS and many network file systems do. If two names of the source are
//! one name in such a target, the second fails and the first keeps its file.

use crate::common::entries::*;
use crate::common::habits::mount_with_habits;
use crate::common::mounts::*;
use crate::common::*;
use std::fs;

/// Mounts a file system that ignores case at `at`. If this machine cannot do that, skips `test` and returns
/// `None`.
fn folding(test: &str, env: &Sandbox) -> Option<Mounted> {
    let mounted = mount_with_habits(test, env, &["fold-case"])?;
    env.tree("at", ["dir TRY"]);
    assert!(env.path("at/try").is_dir(), "it does not ignore case");
    fs::remove_dir(env.path("at/TRY")).unwrap();
    Some(mounted)
}

/// Fails unless the one file has the contents of one of the two names, and the run has reported the other
/// name.
#[track_caller]
fn one_of_two_is_reported(env: &Sandbox, run: &Run<'_>, at: &str, names: [&str; 2]) {
    let text = fs::read_to_string(env.path(at).join(names[0])).unwrap();
    let [winner, loser] = if text == names[0] { names } else { [names[1], names[0]] };
    assert_eq!(text, winner);
    run.exits(1).stderr_has(&format!("{at}/{loser}'")).stderr_lacks(&format!("{at}/{winner}'"));
}

/// Options that treat existing files in different ways.
const WAYS: [&[&str]; 5] =
    [&["-j1"], &["-j2"], &["--inplace"], &["--preserve=none"], &["-a", "--update=all"]];

#[test]
fn of_two_files_whose_names_fold_together_each_is_whole_or_reported() {
    let env = Sandbox::new();
    let Some(_mounted) = folding(test_name!(), &env) else { return };
    env.tree("src", ["text other same", "text read read", "text READ READ"]);
    for name in ["read", "READ"] {
        set_times(&env.path("src").join(name), (1000, 0), (1000, 0)); // their times are equal, too
    }
    for way in WAYS {
        for exists in [false, true] {
            if exists {
                env.tree("at/dst", []);
            }
            let words = [way, &["-T", "src", "at/dst"]].concat();

            one_of_two_is_reported(&env, &env.pcopy(&words), "at/dst", ["read", "READ"]);
            // The next run keeps the same file.
            let text = fs::read(env.path("at/dst/read")).unwrap();
            one_of_two_is_reported(&env, &env.pcopy(&words), "at/dst", ["read", "READ"]);
            assert_eq!(fs::read(env.path("at/dst/read")).unwrap(), text);

            env.assert_nothing_staged();
            fs::remove_dir_all(env.path("at/dst")).unwrap();
        }
    }
}

#[test]
fn of_two_directories_whose_names_fold_together_one_is_reported() {
    let env = Sandbox::new();
    let Some(_mounted) = folding(test_name!(), &env) else { return };
    env.tree("src", ["text dir/x dir", "text DIR/x DIR"]);
    for way in WAYS {
        for existing in ["", "dir at/dst", "dir at/dst/Dir"] {
            env.tree("", (!existing.is_empty()).then_some(existing));

            let run = env.pcopy([way, &["-T", "src", "at/dst"]].concat());

            let text = fs::read_to_string(env.path("at/dst/dir/x")).unwrap();
            let loser = if text == "dir" { "DIR" } else { "dir" };
            run.exits(1).stderr_has(&format!("at/dst/{loser}'"));
            env.assert_nothing_staged();
            fs::remove_dir_all(env.path("at/dst")).unwrap();
        }
    }
}

#[test]
fn of_two_files_the_first_by_name_replaces_a_file_of_other_case() {
    let env = Sandbox::new();
    let Some(_mounted) = folding(test_name!(), &env) else { return };
    env.tree("src", ["text read read", "text READ READ"]);
    for way in WAYS {
        env.tree("at/dst", ["text Read old!"]);

        let run = env.pcopy([way, &["-T", "src", "at/dst"]].concat());

        run.exits(1).stderr_has("at/dst/read'");
        assert_eq!(fs::read_to_string(env.path("at/dst/read")).unwrap(), "READ");
        fs::remove_dir_all(env.path("at/dst")).unwrap();
    }
}

#[test]
fn an_existing_file_of_other_case_is_replaced() {
    let env = Sandbox::new();
    let Some(_mounted) = folding(test_name!(), &env) else { return };
    env.tree("src", ["text notes new", "text sub/deep new"]);
    for way in WAYS {
        env.tree("at/dst", ["text Notes old!", "text Sub/Deep old!"]);

        env.pcopy([way, &["-T", "src", "at/dst"]].concat()).exits(0);

        for name in ["notes", "sub/deep"] {
            assert_eq!(fs::read_to_string(env.path("at/dst").join(name)).unwrap(), "new");
        }
        env.assert_nothing_staged();
        fs::remove_dir_all(env.path("at/dst")).unwrap();
    }
}

#[test]
fn of_two_operands_whose_names_fold_together_one_is_reported() {
    let env = Sandbox::new();
    let Some(_mounted) = folding(test_name!(), &env) else { return };
    for way in WAYS {
        env.tree("at/dst", []).tree("src", ["text read read", "text READ READ"]);

        let run = env.pcopy([way, &["src/read", "src/READ", "at/dst"]].concat());

        one_of_two_is_reported(&env, &run, "at/dst", ["read", "READ"]);
        fs::remove_dir_all(env.path("at/dst")).unwrap();
    }
}
