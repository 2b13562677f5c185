//! Directories with very many entries, on which several copiers work together.

use crate::common::entries::*;
use crate::common::*;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn names(path: &Path) -> HashSet<OsString> {
    fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

/// Creates `count` files whose names do not sort in the order of creation. Every hundredth file contains one
/// byte.
fn wide_files(env: &Sandbox, root: &str, count: u32) {
    let root = env.path(root);
    fs::create_dir(&root).unwrap();
    for number in 0..count {
        let path = root.join(format!("{:08x}-{number}", number.wrapping_mul(2_654_435_761)));
        fs::write(path, if number % 100 == 0 { "x" } else { "" }).unwrap();
    }
    set_times(&root, (1_500_000_000, 7), (1_500_000_000, 7));
}

#[test]
fn a_directory_of_100_000_files_is_copied_name_by_name() {
    let env = Sandbox::new();
    wide_files(&env, "src", 100_000);
    let source = names(&env.path("src"));
    for jobs in ["1", "8"] {
        let run = env.pcopy(["-j", jobs, "src", "dst"]);

        run.exits(0).stderr_has("copied 100,001 entries (1.0 kB)");
        assert!(names(&env.path("dst")) == source, "with {jobs} copiers the names differ");
        assert_eq!(modified(env.path("dst")), (1_500_000_000, 7), "with {jobs} copiers");
        for name in source.iter().step_by(17) {
            let (one, other) = (env.path("src").join(name), env.path("dst").join(name));
            assert_eq!(modified(&one), modified(&other), "{name:?} with {jobs} copiers");
            assert_eq!(fs::read(&one).unwrap(), fs::read(&other).unwrap(), "{name:?}");
        }
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

each_jobs!(a_directory_of_20_000_directories_is_copied_name_by_name, 1, 8);
fn a_directory_of_20_000_directories_is_copied_name_by_name(jobs: &str) {
    let env = Sandbox::new();
    for number in 0..20_000 {
        let path = env.path(format!("src/{:08x}", u32::wrapping_mul(number, 2_654_435_761)));
        fs::create_dir_all(&path).unwrap();
        if number % 10 == 0 {
            fs::write(path.join("inside"), number.to_string()).unwrap();
        }
    }

    env.pcopy(["-j", jobs, "src", "dst"]).exits(0).stderr_has("copied 22,001 entries");

    let differences = differences(&env.listing("src"), &env.listing("dst"));
    assert!(differences.is_empty(), "with {jobs} copiers:\n{differences}");
}

each_jobs!(a_wide_directory_keeps_its_mode_and_times_though_it_was_shared, 1, 2, 8, 64);
fn a_wide_directory_keeps_its_mode_and_times_though_it_was_shared(jobs: &str) {
    let env = Sandbox::new();
    for wide in ["one", "two", "three"] {
        fs::create_dir_all(env.path("src")).unwrap();
        wide_files(&env, &format!("src/{wide}"), 5000);
    }
    chmod(&env.path("src/one"), 0o555);
    chmod(&env.path("src/two"), 0o1750);
    set_times(&env.path("src/two"), (-5, 5), (-5, 5));
    chmod(&env.path("src/three"), 0o700);
    set_times(&env.path("src"), (3, 4), (5, 6));
    let target = format!("dst-{jobs}");

    env.pcopy(["-j", jobs, "src", &target]).exits(0);

    let differences = differences(&env.listing("src"), &env.listing(&target));
    assert!(differences.is_empty(), "with {jobs} copiers:\n{differences}");
}

each_jobs!(a_wide_directory_of_long_names_is_copied, 2, 8);
fn a_wide_directory_of_long_names_is_copied(jobs: &str) {
    let env = Sandbox::new();
    fs::create_dir(env.path("src")).unwrap();
    for number in 0..3000 {
        fs::write(env.path("src").join(format!("{number:0>255}")), "x").unwrap();
    }
    let source = names(&env.path("src"));
    let target = format!("dst-{jobs}");

    env.pcopy(["-j", jobs, "src", &target]).exits(0);

    assert!(names(&env.path(&target)) == source, "with {jobs} copiers");
}

each_jobs!(a_wide_mixed_directory_is_copied_whole, 1, 2, 8);
fn a_wide_mixed_directory_is_copied_whole(jobs: &str) {
    let env = Sandbox::new();
    fs::create_dir(env.path("src")).unwrap();
    for number in 0..6000 {
        let path = env.path("src").join(format!("entry-{number}"));
        match number % 6 {
            0 => fs::write(path, vec![b'x'; number]).unwrap(),
            1 => std::os::unix::fs::symlink(format!("to-{number}"), path).unwrap(),
            2 => node(&path, "fifo", 0, 0),
            3 => {
                fs::create_dir(&path).unwrap();
                fs::write(path.join("inside"), "y").unwrap();
                chmod(&path, 0o750);
            }
            4 => node(&path, "socket", 0, 0),
            _ => fs::write(path, "").unwrap(),
        }
    }
    let target = format!("dst-{jobs}");

    env.pcopy(["-j", jobs, "src", &target]).exits(0);

    let differences = differences(&env.listing("src"), &env.listing(&target));
    assert!(differences.is_empty(), "with {jobs} copiers:\n{differences}");
}

#[test]
fn failures_in_a_wide_directory_are_each_reported_once() {
    let env = Sandbox::new();
    let lines: Vec<String> = (0..3000).map(|number| format!("file f{number} 1")).collect();
    env.tree("src", lines.iter().map(String::as_str));
    let lines: Vec<String> = (0..3000).step_by(100).map(|n| format!("dir f{n}")).collect();
    env.tree("dst", lines.iter().map(String::as_str));

    let run = env.pcopy(["-j", "8", "-T", "src", "dst"]);

    run.exits(1).stderr_has("copied 2,970 entries").stderr_has("; 1 skipped; 30 failed");
    for number in (0..3000).step_by(100) {
        let line = format!(
            "pcopy: cannot overwrite directory 'dst/f{number}' with non-directory 'src/f{number}'\n"
        );
        assert_eq!(run.stderr.matches(&line).count(), 1, "{line}{}", run.story());
    }
}

each_jobs!(many_sources_on_the_command_line_are_each_copied, 1, 8);
fn many_sources_on_the_command_line_are_each_copied(jobs: &str) {
    let env = Sandbox::new();
    let names: Vec<String> = (0..3000).map(|number| format!("n{number}")).collect();
    for name in &names {
        fs::write(env.path(name), name).unwrap();
    }
    let target = format!("dst-{jobs}");
    fs::create_dir(env.path(&target)).unwrap();
    let arguments = ["-j", jobs, "-t", &target].into_iter().chain(names.iter().map(String::as_str));

    env.pcopy(arguments).exits(0).stderr_has("copied 3,000 entries");

    for name in &names {
        assert_eq!(fs::read(env.path(&target).join(name)).unwrap(), name.as_bytes());
    }
}

#[test]
fn the_link_count_of_a_wide_directory_shows_that_no_subdirectory_is_lost() {
    let env = Sandbox::new();
    for number in 0..2000 {
        fs::create_dir_all(env.path(format!("src/{number}/{}", number % 7))).unwrap();
    }

    env.pcopy(["-j", "8", "src", "dst"]).exits(0);

    assert_eq!(
        fs::metadata(env.path("dst")).unwrap().nlink(),
        fs::metadata(env.path("src")).unwrap().nlink()
    );
}
