//! Targets that ignore case, as FAT, NTFS and many network disks do: of two names that are one there the
//! second fails, and the first keeps its file.

use crate::common::things::*;
use crate::common::*;
use std::fs;
use std::process::Command;

/// Mounts such a file system on `at`; tells that `test` is skipped if that cannot be.
fn folding(test: &str, env: &Sandbox) -> Option<Mounted> {
    if !in_own_mounts(test) {
        return None;
    }
    env.tree("", ["dir under", "dir at"]);
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/folding.py");
    let mut command = Command::new("/usr/bin/python3");
    let output = command.arg(fixture).args(["under", "at"]).current_dir(env.path("")).output();
    let why = match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = why {
        skip(test, why.lines().last().unwrap_or_default());
        return None;
    }
    let mounted = Mounted(env.path("at"));
    env.tree("at", ["dir TRY"]);
    assert!(env.path("at/try").is_dir(), "it does not ignore case");
    fs::remove_dir(env.path("at/TRY")).unwrap();
    Some(mounted)
}

/// Which of two names has the one file that is there, whose contents say it, and that the other was told.
#[track_caller]
fn one_of_two_is_told(env: &Sandbox, run: &Run<'_>, at: &str, names: [&str; 2]) {
    let there = fs::read_to_string(env.path(at).join(names[0])).unwrap();
    let [winner, loser] = if there == names[0] { names } else { [names[1], names[0]] };
    assert_eq!(there, winner);
    run.exits(1).stderr_has(&format!("{at}/{loser}'")).stderr_lacks(&format!("{at}/{winner}'"));
}

/// Ways to copy that meet what stands there differently.
const WAYS: [&[&str]; 5] =
    [&["-j1"], &["-j2"], &["--inplace"], &["--preserve=none"], &["-a", "--update=all"]];

#[test]
fn of_two_files_whose_names_are_one_there_each_is_whole_or_told() {
    let test = "of_two_files_whose_names_are_one_there_each_is_whole_or_told";
    let env = Sandbox::new();
    let Some(_mounted) = folding(test, &env) else { return };
    env.tree("src", ["text other same", "text read read", "text READ READ"]);
    for name in ["read", "READ"] {
        set_times(&env.path("src").join(name), (1000, 0), (1000, 0)); // nor do times tell them apart
    }
    for way in WAYS {
        for stands in [false, true] {
            if stands {
                env.tree("at/dst", []);
            }
            let words = [way, &["-T", "src", "at/dst"]].concat();

            one_of_two_is_told(&env, &env.pcopy(&words), "at/dst", ["read", "READ"]);
            // Nor does the next run change its mind.
            let there = fs::read(env.path("at/dst/read")).unwrap();
            one_of_two_is_told(&env, &env.pcopy(&words), "at/dst", ["read", "READ"]);
            assert_eq!(fs::read(env.path("at/dst/read")).unwrap(), there);

            env.assert_nothing_staged();
            fs::remove_dir_all(env.path("at/dst")).unwrap();
        }
    }
}

#[test]
fn of_two_folders_whose_names_are_one_there_one_is_told() {
    let test = "of_two_folders_whose_names_are_one_there_one_is_told";
    let env = Sandbox::new();
    let Some(_mounted) = folding(test, &env) else { return };
    env.tree("src", ["text dir/x dir", "text DIR/x DIR"]);
    for way in WAYS {
        for stands in ["", "dir at/dst", "dir at/dst/Dir"] {
            env.tree("", (!stands.is_empty()).then_some(stands));

            let run = env.pcopy([way, &["-T", "src", "at/dst"]].concat());

            let there = fs::read_to_string(env.path("at/dst/dir/x")).unwrap();
            let loser = if there == "dir" { "DIR" } else { "dir" };
            run.exits(1).stderr_has(&format!("at/dst/{loser}'"));
            env.assert_nothing_staged();
            fs::remove_dir_all(env.path("at/dst")).unwrap();
        }
    }
}

#[test]
fn of_two_files_the_first_by_its_name_gets_what_the_user_has_called_otherwise() {
    let test = "of_two_files_the_first_by_its_name_gets_what_the_user_has_called_otherwise";
    let env = Sandbox::new();
    let Some(_mounted) = folding(test, &env) else { return };
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
fn what_the_user_has_called_otherwise_before_is_replaced() {
    let test = "what_the_user_has_called_otherwise_before_is_replaced";
    let env = Sandbox::new();
    let Some(_mounted) = folding(test, &env) else { return };
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
fn of_two_sources_whose_names_are_one_there_one_is_told() {
    let test = "of_two_sources_whose_names_are_one_there_one_is_told";
    let env = Sandbox::new();
    let Some(_mounted) = folding(test, &env) else { return };
    for way in WAYS {
        env.tree("at/dst", []).tree("src", ["text read read", "text READ READ"]);

        let run = env.pcopy([way, &["src/read", "src/READ", "at/dst"]].concat());

        one_of_two_is_told(&env, &run, "at/dst", ["read", "READ"]);
        fs::remove_dir_all(env.path("at/dst")).unwrap();
    }
}
