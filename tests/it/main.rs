//! Tests of the program from outside: what it does to files, what it prints, and with which exit code it
//! ends.
//!
//! Each subject has a file of its own. These tests run in parallel; tests that a busy machine disturbs are in
//! `tests/timing`.

mod access;
mod backup_dir;
mod case_folding;
mod check;
mod check_first;
mod check_manifest;
mod chown_chmod;
#[path = "../common/mod.rs"]
mod common;
mod compat;
mod compat_streams;
mod containment;
mod copy;
mod data;
mod deep;
mod delete;
mod descriptors;
mod disasters;
mod drop_boxes;
mod dry_run;
mod environments;
#[path = "../common/every_file_system.rs"]
mod every_file_system;
mod existing_dirs;
mod exits;
#[path = "../common/failing.rs"]
mod failing;
mod filesystems;
mod from_rsync;
mod fsync;
mod help;
mod hidden_changes;
mod ignore_files;
mod inplace;
mod into_itself;
mod keep_directory_symlink;
mod language;
mod large;
mod layers;
#[path = "../common/limited.rs"]
mod limited;
mod limits;
mod link_mode;
mod links;
mod listed_names;
mod lost_attributes;
mod lost_disks;
mod manifest;
mod manifest_file;
mod manifest_lines;
mod merge;
mod mkpath;
mod mount_guard;
mod named_streams;
mod no_processes;
mod output;
mod placement;
mod plan;
mod preserve;
mod promises;
mod prompts;
mod random;
mod random_check;
mod random_compat;
mod random_delete;
mod random_dry_run;
mod random_ignore_files;
mod random_options;
mod random_selection;
mod refusals;
mod replace;
mod rerun;
mod resume;
mod resume_large;
mod selection;
mod symlinks;
#[allow(dead_code)] // only `timing` reads the screen
#[path = "../common/terminal.rs"]
mod terminal;
mod two_mounts;
mod unusual_targets;
mod usage_errors;
mod verify;
mod wide;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The test programs: the directories in `tests` that have a `main.rs`.
const PROGRAMS: [&str; 5] = ["faults", "it", "model", "ring", "timing"];

/// Returns the names in a directory below `tests`.
fn names_in(directory: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(directory);
    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn there_are_five_test_programs() {
    let mut expected = BTreeSet::from(PROGRAMS.map(str::to_owned));
    expected.extend(["common", "fuse"].map(str::to_owned));
    let mut names = names_in("");
    names.retain(|name| !name.ends_with(".sh")); // run by hand

    assert_eq!(names, expected, "each test program is linked and run by itself");
}

#[test]
fn every_test_file_is_in_the_module_list_of_its_program() {
    for program in PROGRAMS {
        let main =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(program).join("main.rs");
        let main = fs::read_to_string(main).unwrap();
        let is_listed = |module: &str| main.lines().any(|line| line == format!("mod {module};"));
        let names = names_in(program);
        let modules = names.iter().filter_map(|name| name.strip_suffix(".rs"));
        let forgotten: Vec<_> =
            modules.filter(|module| *module != "main" && !is_listed(module)).collect();
        assert!(forgotten.is_empty(), "not compiled into {program}: {forgotten:?}");
    }
}
