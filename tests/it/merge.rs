//! Copies into an existing directory: entries are replaced as a whole, skipped if up to date, and never
//! followed.

use crate::common::entries::*;
use crate::common::live::Live;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

holds_on_every_file_system!();

/// Gives the target the modification time of the source.
fn same_time(env: &Sandbox, source: &str, target: &str) {
    let time = modified(env.path(source));
    set_times(&env.path(target), time, time);
}

#[test]
fn extraneous_entries_in_the_target_stay() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file sub/b 20"]);
    env.tree("dst", ["text extra kept", "text sub/extra kept", "dir more/deep", "link l nowhere"]);

    env.pcopy(["-T", "src", "dst"]).exits(0);

    for kept in ["dst/extra", "dst/sub/extra"] {
        assert_eq!(fs::read(env.path(kept)).unwrap(), b"kept");
    }
    assert!(exists(env.path("dst/more/deep")) && exists(env.path("dst/l")));
    env.assert_same("src/a", "dst/a");
    env.assert_same("src/sub/b", "dst/sub/b");
}

#[test]
fn a_directory_is_merged_into_one_of_its_name_in_the_target() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file sub/b 20"]);
    env.tree("dst/src", ["text a old", "text extra kept"]);

    env.pcopy(["src", "dst"]).exits(0).stderr_lacks("failed");

    env.assert_same("src/a", "dst/src/a");
    env.assert_same("src/sub", "dst/src/sub");
    assert_eq!(fs::read(env.path("dst/src/extra")).unwrap(), b"kept");
}

cells! {
    a_directory_named_after_the_one_that_contains_its_target_is_merged,
    jobs_1 => (&["-j1"]),
    jobs_8 => (&["-j8"]),
    in_place => (&["--inplace"]),
    archive => (&["-a", "-j4"]),
    verified => (&["--fsync", "--verify"]),
}
fn a_directory_named_after_the_one_that_contains_its_target_is_merged(options: &[&str]) {
    let env = Sandbox::new();
    env.tree(
        "base",
        ["text etc/f base", "text etc/x/g base", "text etc/own here", "text v/h base"],
    );
    env.tree("over", ["text etc/f override", "text etc/x/g override", "text new/n override"]);
    env.tree("dst", ["dir present"]);

    env.pcopy([options, &["base/.", "over/etc", "over/new", "dst"]].concat()).exits(0);

    let text = |path: &str| fs::read_to_string(env.path("dst").join(path)).unwrap();
    for path in ["etc/f", "etc/x/g", "new/n"] {
        assert_eq!(text(path), "override");
    }
    assert_eq!([text("etc/own"), text("v/h")], ["here", "base"]);
    env.assert_nothing_staged();
}

#[test]
fn a_reader_of_the_old_file_continues_to_read_it() {
    let env = Sandbox::new();
    env.tree("src", ["text a new"]).tree("dst", ["text a the-old-words"]);
    let mut reader = fs::File::open(env.path("dst/a")).unwrap();

    env.pcopy(["-T", "src", "dst"]).exits(0);

    let mut words = String::new();
    reader.read_to_string(&mut words).unwrap();
    assert_eq!(words, "the-old-words");
    assert_eq!(fs::read(env.path("dst/a")).unwrap(), b"new");
}

#[test]
fn another_name_of_the_old_file_keeps_the_old_contents() {
    let env = Sandbox::new();
    env.tree("src", ["text a new"]).tree("dst", ["text a older"]);
    fs::hard_link(env.path("dst/a"), env.path("dst/linked")).unwrap();
    let old = inode(env.path("dst/linked"));

    env.pcopy(["-T", "src", "dst"]).exits(0);

    assert_eq!(fs::read(env.path("dst/linked")).unwrap(), b"older");
    assert_eq!(inode(env.path("dst/linked")), old);
    assert_ne!(inode(env.path("dst/a")), old);
    env.assert_same("src/a", "dst/a");
}

each_jobs!(what_is_complete_is_skipped_and_counted, 1, 2, 8);
fn what_is_complete_is_skipped_and_counted(jobs: &str) {
    let env = Sandbox::new();
    env.plant("src", "fixtures/mixed.tree");
    env.pcopy(["src", "dst"]).exits(0).stderr_lacks("skipped");
    let entries = env.listing("src").len();
    let before: Vec<_> = inodes(&env, "dst");

    let run = env.pcopy(["-j", jobs, "-T", "src", "dst"]);

    run.exits(0).stderr_has("copied 0 entries (0 bytes)");
    run.stderr_has(&format!("; {entries} skipped"));
    assert_eq!(inodes(&env, "dst"), before);
    env.assert_same("src", "dst");
}

/// Returns path, inode and ctime of each entry. Directories are left out.
fn inodes(env: &Sandbox, root: &str) -> Vec<(std::path::PathBuf, u64, (i64, i64))> {
    let paths = env.listing(root).into_keys();
    paths
        .map(|path| {
            let metadata = fs::symlink_metadata(env.path(root).join(&path)).unwrap();
            // An ordinary user has to chmod read-only directories for a moment, to list them.
            let changed = (metadata.ctime(), metadata.ctime_nsec());
            let changed = if metadata.is_dir() { (0, 0) } else { changed };
            (path, metadata.ino(), changed)
        })
        .collect()
}

#[test]
fn a_file_of_the_same_size_with_another_time_is_copied_again() {
    let env = Sandbox::new();
    env.tree("src", ["text a new"]).tree("dst", ["text a old"]);
    set_times(&env.path("src/a"), (1_600_000_000, 0), (1_600_000_000, 1));
    set_times(&env.path("dst/a"), (1_600_000_000, 0), (1_600_000_000, 2));

    env.pcopy(["-T", "src", "dst"]).exits(0);

    env.assert_same("src/a", "dst/a");
}

#[test]
fn a_file_of_the_same_time_with_another_size_is_copied_again() {
    let env = Sandbox::new();
    env.tree("src", ["text a new"]).tree("dst", ["text a older"]);
    same_time(&env, "src/a", "dst/a");

    env.pcopy(["-T", "src", "dst"]).exits(0);

    env.assert_same("src/a", "dst/a");
}

#[test]
fn a_newer_target_is_replaced_too() {
    let env = Sandbox::new();
    env.tree("src", ["text a right"]).tree("dst", ["text a wrong"]);
    set_times(&env.path("dst/a"), (4_000_000_000, 0), (4_000_000_000, 0));

    env.pcopy(["-T", "src", "dst"]).exits(0);

    env.assert_same("src/a", "dst/a");
}

#[test]
fn the_mode_of_a_skipped_file_is_repaired() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "fifo p"]);
    env.pcopy(["src", "dst"]).exits(0);
    let before = inode(env.path("dst/a"));
    chmod(&env.path("src/a"), 0o751);
    chmod(&env.path("dst/a"), 0o4600);
    chmod(&env.path("src/p"), 0o622);

    env.pcopy(["-T", "src", "dst"]).exits(0).stderr_has("; 3 skipped");

    assert_eq!(mode_of(env.path("dst/a")), 0o751);
    assert_eq!(mode_of(env.path("dst/p")), 0o622);
    assert_eq!(inode(env.path("dst/a")), before);
}

#[test]
fn a_replaced_file_gets_the_mode_of_the_source() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]).tree("dst", ["file a 20"]);
    chmod(&env.path("src/a"), 0o7751);
    chmod(&env.path("dst/a"), 0o200);

    env.pcopy(["-T", "src", "dst"]).exits(0);

    assert_eq!(mode_of(env.path("dst/a")), 0o7751);
}

#[test]
fn the_mode_of_a_directory_is_repaired() {
    let env = Sandbox::new();
    env.tree("src", ["dir a", "file b/c 1"]).tree("dst", ["dir a", "dir b"]);
    chmod(&env.path("src/a"), 0o1751);
    chmod(&env.path("src/b"), 0o2750);
    chmod(&env.path("dst/a"), 0o777);

    env.pcopy(["-T", "src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

each_jobs!(directories_have_their_times_after_a_merge_that_added_to_them, 1, 2, 8);
fn directories_have_their_times_after_a_merge_that_added_to_them(jobs: &str) {
    let env = Sandbox::new();
    env.tree(
        "src",
        ["file a 10", "file old/b 20", "file old/new/c 30", "file old/older/d 40", "dir new/e/f"],
    );
    env.tree("dst", ["file old/b 1", "file old/older/d 1", "dir old/older"]);
    for (number, path) in env.listing("src").into_keys().enumerate() {
        let time = (1_000_000_000 + i64::try_from(number).unwrap(), 3);
        set_times(&env.path("src").join(path), time, time);
    }
    let target = format!("dst-{jobs}");
    env.pcopy(["-T", "dst", &target]).exits(0);

    env.pcopy(["-j", jobs, "-T", "src", &target]).exits(0);

    env.assert_same("src", &target);
}

#[test]
fn a_directory_in_the_way_of_a_file_fails_alone() {
    let env = Sandbox::new();
    env.tree("src", ["file bad 10", "file good 20", "file sub/good 30"]);
    env.tree("dst", ["file bad/kept 5"]);

    let run = env.pcopy(["-T", "src", "dst"]);

    run.exits(1)
        .stderr_has("pcopy: cannot overwrite directory 'dst/bad' with non-directory 'src/bad'\n");
    run.stderr_has("; 1 skipped; 1 failed");
    assert!(exists(env.path("dst/bad/kept")));
    env.assert_same("src/good", "dst/good");
    env.assert_same("src/sub", "dst/sub");
    env.assert_nothing_staged();
}

#[test]
fn a_file_in_the_way_of_a_directory_fails_alone() {
    let env = Sandbox::new();
    env.tree("src", ["file bad/lost 10", "file good 20"]);
    env.tree("dst", ["text bad kept"]);

    let run = env.pcopy(["-T", "src", "dst"]);

    run.exits(1)
        .stderr_has("pcopy: cannot overwrite non-directory 'dst/bad' with directory 'src/bad'\n");
    assert_eq!(fs::read(env.path("dst/bad")).unwrap(), b"kept");
    env.assert_same("src/good", "dst/good");
    env.assert_nothing_staged();
}

#[test]
fn a_symlink_in_the_way_of_a_directory_is_not_followed() {
    let env = Sandbox::new();
    env.tree("src", ["file bad/a 10", "file good 20"]);
    env.tree("dst", ["link bad ../outside"]).tree("outside", ["text a kept"]);
    let outside = env.listing("outside");

    for option in ["-q", "--inplace"] {
        let run = env.pcopy([option, "-T", "src", "dst"]);

        run.exits(1).stderr_has(
            "pcopy: cannot create directory 'dst/bad': a symbolic link to a directory exists \
            (--keep-directory-symlink copies into that directory)\n",
        );
        assert_eq!(env.listing("outside"), outside);
        assert_eq!(fs::read_link(env.path("dst/bad")).unwrap(), Path::new("../outside"));
        env.assert_same("src/good", "dst/good");
    }
}

#[test]
fn a_directory_in_the_way_of_a_symlink_fails_alone() {
    let env = Sandbox::new();
    env.tree("src", ["link bad x", "fifo bad-too", "file good 20"]);
    env.tree("dst", ["dir bad", "dir bad-too"]);

    let run = env.pcopy(["-T", "src", "dst"]);

    run.exits(1)
        .stderr_has("pcopy: cannot overwrite directory 'dst/bad' with non-directory 'src/bad'\n");
    run.stderr_has(
        "pcopy: cannot overwrite directory 'dst/bad-too' with non-directory 'src/bad-too'\n",
    )
    .stderr_has("; 2 failed");
    env.assert_same("src/good", "dst/good");
}

#[test]
fn a_file_in_the_way_of_the_whole_directory_is_refused() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]).tree("dst", ["text src kept"]);

    let run = env.pcopy(["src", "dst"]);

    run.exits(3);
    run.stderr_has("pcopy: cannot overwrite non-directory 'dst/src' with directory 'src'\n");
    assert_eq!(fs::read(env.path("dst/src")).unwrap(), b"kept");
    env.assert_nothing_staged();
}

#[test]
fn a_file_replaces_a_symlink_and_leaves_what_it_points_to() {
    let env = Sandbox::new();
    env.tree("src", ["text a new", "text b new", "text c new"]).tree("outside", ["text a kept"]);
    env.tree("dst", ["link a ../outside/a", "link b nowhere", "link c ../outside"]);
    let outside = env.listing("outside");

    env.pcopy(["-T", "src", "dst"]).exits(0);

    assert_eq!(env.listing("outside"), outside);
    assert!(!exists(env.path("dst/nowhere")));
    for name in ["a", "b", "c"] {
        env.assert_same(format!("src/{name}"), format!("dst/{name}"));
    }
}

#[test]
fn a_file_named_alone_replaces_a_symlink_and_leaves_what_it_points_to() {
    let env = Sandbox::new();
    env.tree("", ["text a new", "text old kept", "link dst old"]);

    env.pcopy(["a", "dst"]).exits(0);

    assert_eq!(fs::read(env.path("old")).unwrap(), b"kept");
    env.assert_same("a", "dst");
}

#[test]
fn a_symlink_with_another_text_is_replaced() {
    let env = Sandbox::new();
    env.tree("src", ["link a here", "link b here", "link c there"]);
    env.tree("dst", ["link a away", "text b file", "link c there"]);
    for name in ["a", "b", "c"] {
        // The same size and time: only the text differs.
        set_times(&env.path("src").join(name), (5, 5), (1_500_000_000, 5));
        set_times(&env.path("dst").join(name), (5, 5), (1_500_000_000, 5));
    }
    let complete = inode(env.path("dst/c"));

    env.pcopy(["-T", "src", "dst"]).exits(0);

    assert_eq!(fs::read_link(env.path("dst/a")).unwrap(), Path::new("here"));
    assert_eq!(fs::read_link(env.path("dst/b")).unwrap(), Path::new("here"));
    assert_eq!(inode(env.path("dst/c")), complete);
}

#[test]
fn special_files_are_replaced_and_replace() {
    let env = Sandbox::new();
    env.tree("src", ["fifo a", "fifo b", "file c 7", "fifo d", "link e x"]);
    env.tree("dst", ["file a 5", "link b nowhere", "fifo c", "fifo d", "fifo e"]);
    node(&env.path("src/f"), "socket", 0, 0);
    node(&env.path("dst/f"), "fifo", 0, 0);
    same_time(&env, "src/f", "dst/f"); // the same size and time, but another type
    same_time(&env, "src/d", "dst/d");
    let complete = inode(env.path("dst/d"));

    env.pcopy(["-T", "src", "dst"]).exits(0);

    env.assert_same("src", "dst");
    assert!(fs::symlink_metadata(env.path("dst/f")).unwrap().file_type().is_socket());
    assert_eq!(inode(env.path("dst/d")), complete);
}

#[test]
fn a_device_with_another_number_is_replaced() {
    if !is_root() {
        return skip!("needs root, to make devices");
    }
    let env = Sandbox::new();
    env.tree("src", []).tree("dst", []);
    node(&env.path("src/d"), "char", 1, 3);
    node(&env.path("dst/d"), "char", 1, 5);
    same_time(&env, "src/d", "dst/d");

    env.pcopy(["-T", "src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn a_symlink_to_the_target_is_followed_to_it() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]).tree("real", ["file src/kept 5"]).tree("", ["link dst real"]);

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src/a", "real/src/a");
    assert!(exists(env.path("real/src/kept")));
    assert!(fs::symlink_metadata(env.path("dst")).unwrap().is_symlink());
}

each_jobs!(a_source_with_names_like_staged_ones_is_copied, 1, 8);
fn a_source_with_names_like_staged_ones_is_copied(jobs: &str) {
    let env = Sandbox::new();
    env.tree(
        "src",
        [
            "file a 10",
            "text .a.pcopy-partial a-file-of-the-user",
            "text .a.pcopy-partial-1 another",
            "file d/inside 5",
            "file .d.pcopy-partial/inside 6",
            "file .d.pcopy-partial-1 7",
            "link .e.pcopy-partial x",
            "file e/f 8",
            "file ..a.pcopy-partial.pcopy-partial 9",
        ],
    );
    let (fresh, merged) = (format!("fresh-{jobs}"), format!("merged-{jobs}"));
    env.tree(&merged, ["text a old", "text .a.pcopy-partial old", "dir e"]);

    env.pcopy(["-j", jobs, "src", &fresh]).exits(0);
    env.pcopy(["-j", jobs, "-T", "src", &merged]).exits(0);

    env.assert_same("src", &fresh);
    env.assert_same("src", &merged);
}

#[test]
fn what_a_killed_run_left_of_a_file_is_cleaned_up() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "link b x", "fifo c", "file d 20"]);
    env.tree(
        "dst",
        [
            "file a 5",
            "file .a.pcopy-partial 7",
            "file .b.pcopy-partial 7",
            "link .c.pcopy-partial /etc/passwd",
            "fifo .d.pcopy-partial",
        ],
    );

    env.pcopy(["-T", "src", "dst"]).exits(0);

    env.assert_same("src", "dst");
    env.assert_nothing_staged();
}

#[test]
fn what_a_killed_run_left_of_a_directory_is_resumed() {
    let env = Sandbox::new();
    env.tree("src", ["file new/a 10", "file new/sub/b 20", "file new/c 30"]);
    env.tree("dst", ["file .new.pcopy-partial/a 10", "text .new.pcopy-partial/sub/b half"]);
    set_times(&env.path("dst/.new.pcopy-partial/a"), (1, 1), modified(env.path("src/new/a")));
    fs::copy(env.path("src/new/a"), env.path("dst/.new.pcopy-partial/a")).unwrap();
    same_time(&env, "src/new/a", "dst/.new.pcopy-partial/a");
    let complete = inode(env.path("dst/.new.pcopy-partial/a"));

    env.pcopy(["-T", "src", "dst"]).exits(0);

    env.assert_same("src", "dst");
    env.assert_nothing_staged();
    assert_eq!(inode(env.path("dst/new/a")), complete, "it was complete");
}

#[test]
fn a_leftover_that_is_a_directory_does_not_stop_a_file() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file b 20"]);
    env.tree("dst", ["file a 5", "file .a.pcopy-partial/inside 7"]);

    let run = env.pcopy(["-T", "src", "dst"]);

    // pcopy makes no such directory, so it may be the user's: it may be refused, but not removed.
    env.assert_same("src/b", "dst/b");
    if run.status.code() == Some(0) {
        env.assert_same("src/a", "dst/a");
    } else {
        run.exits(1).stderr_has("'dst/a'");
    }
    assert!(exists(env.path("dst/.a.pcopy-partial/inside")));
}

#[test]
fn a_leftover_that_is_a_symlink_is_not_followed() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file new/b 10"]).tree("outside", ["text victim kept", "dir d"]);
    env.tree(
        "dst",
        [
            "file a 5",
            "link .a.pcopy-partial ../outside/victim",
            "link .new.pcopy-partial ../outside/d",
        ],
    );
    let outside = env.listing("outside");

    env.pcopy(["-T", "src", "dst"]).exits(0);

    assert_eq!(env.listing("outside"), outside);
    env.assert_same("src", "dst");
}

#[test]
fn a_leftover_symlink_of_the_whole_target_is_not_followed() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]).tree("outside", ["text a kept"]);
    symlink("outside", env.path(".dst.pcopy-partial")).unwrap();
    let outside = env.listing("outside");

    let run = env.pcopy(["src", "dst"]);

    assert_eq!(env.listing("outside"), outside);
    run.exits(0);
    env.assert_same("src", "dst");
}

#[test]
fn a_file_that_several_names_share_is_split_not_overwritten() {
    let env = Sandbox::new();
    env.tree("src", ["text a one", "text b two"]).tree("dst", ["text a same"]);
    fs::hard_link(env.path("dst/a"), env.path("dst/b")).unwrap();

    env.pcopy(["-T", "src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn a_target_file_that_is_the_source_under_another_name_stays_whole() {
    let env = Sandbox::new();
    env.tree("src", ["text a words", "text b other"]).tree("dst", []);
    fs::hard_link(env.path("src/a"), env.path("dst/a")).unwrap();
    fs::hard_link(env.path("src/b"), env.path("dst/a2")).unwrap();
    symlink("../src/b", env.path("dst/b")).unwrap();
    let source = env.listing("src");

    env.pcopy(["-T", "src", "dst"]).exits(0);

    assert_eq!(env.listing("src"), source);
    assert_eq!(fs::read(env.path("dst/a")).unwrap(), b"words");
    env.assert_same("src/b", "dst/b");
}

#[test]
fn a_source_that_shrank_since_the_first_run_is_copied_whole_again() {
    let env = Sandbox::new();
    env.tree("src", ["file a 300K", "file b 10"]);
    env.pcopy(["src", "dst"]).exits(0);
    fs::write(env.path("src/a"), "short").unwrap();

    env.pcopy(["-T", "src", "dst"]).exits(0).stderr_has("copied 1 entry (5 bytes)");

    env.assert_same("src", "dst");
}

each_jobs!(a_merge_of_a_wide_directory_skips_and_replaces_exactly, 1, 8);
fn a_merge_of_a_wide_directory_skips_and_replaces_exactly(jobs: &str) {
    let env = Sandbox::new();
    let names: Vec<String> =
        (0..4000).map(|number| format!("file f{number} {}", number % 50)).collect();
    env.tree("src", names.iter().map(String::as_str));
    let target = format!("dst-{jobs}");
    env.pcopy(["src", &target]).exits(0);
    for number in (0..4000).step_by(4) {
        fs::write(env.path(&target).join(format!("f{number}")), "changed").unwrap();
    }
    for number in (1..4000).step_by(4) {
        fs::remove_file(env.path(&target).join(format!("f{number}"))).unwrap();
    }

    let run = env.pcopy(["-j", jobs, "-T", "src", &target]);

    run.exits(0).stderr_has("copied 2,000 entries").stderr_has("; 2,001 skipped");
    env.assert_same("src", &target);
}

#[test]
fn a_symlink_does_not_replace_the_file_that_it_points_to() {
    let env = Sandbox::new();
    env.tree("src", ["link a ../dst/a", "file b 10", "link c ../dst/b"]);
    env.tree("dst", ["text a kept", "text b old"]);

    let run = env.pcopy(["-T", "src", "dst"]);

    assert_eq!(fs::read(env.path("dst/a")).unwrap(), b"kept", "{}", run.story());
    run.exits(1).stderr_has("a'").stderr_has("; 1 failed");
    env.assert_same("src/b", "dst/b");
    assert_eq!(fs::read_link(env.path("dst/c")).unwrap(), Path::new("../dst/b"));
}

#[test]
fn a_new_directory_in_an_existing_one_is_published_as_soon_as_it_is_complete() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    for number in 0..100 {
        env.tree(&format!("src/{number}"), ["file x 10", "file sub/y 10"]);
    }
    fs::create_dir(env.path("dst")).unwrap();
    let live = env.launch(env.traced(&["-e", "trace=renameat2"], ["-j1", "-T", "src", "dst"]));
    let parent = live.pid().to_string();

    live.end().exits(0);

    // The parent need not remember directories that copiers rename, so its memory stays small.
    let trace = fs::read_to_string(env.path("trace")).unwrap();
    let renames = trace.lines().filter(|line| line.contains("renameat2("));
    let (by_parent, by_copiers): (Vec<_>, Vec<_>) =
        renames.partition(|line| line.starts_with(&parent));
    assert_eq!((by_parent.len(), by_copiers.len()), (0, 100), "{trace}");
    env.assert_same("src", "dst");
}

each_jobs!(names_that_look_like_staged_names_do_not_meet, 1, 8);
fn names_that_look_like_staged_names_do_not_meet(jobs: &str) {
    let env = Sandbox::new();
    let names = ["a", "a.1", ".a.pcopy-partial", "a-1", ".a.pcopy-partial-1", ".a.1.pcopy-partial"];
    for name in names {
        env.tree("src", [&*format!("text {name} of {name}"), &*format!("file d/{name}/x 5")]);
        env.tree("dst", [&*format!("text {name} old"), "dir d"]);
    }

    env.pcopy(["-j", jobs, "-T", "src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

each_jobs!(what_another_run_stages_in_the_same_directory_is_left_alone, 1, 4);
fn what_another_run_stages_in_the_same_directory_is_left_alone(jobs: &str) {
    let jobs = &*format!("-j{jobs}");
    let env = Sandbox::new();
    env.tree("src", ["text d/f new", "text d/g new"]);
    env.tree("dst", ["text d/f old one", "text d/.f.pcopy-partial half"]);
    // The other run came through a symlink or a mount, and did not see the lock of this run.
    let other = fs::File::open(env.path("dst/d/.f.pcopy-partial")).unwrap();
    other.lock().unwrap();

    let run = env.pcopy([jobs, "-T", "src", "dst"]);

    run.exits(1).stderr_has("cannot create 'dst/d/f': Device or resource busy");
    let text = |name: &str| fs::read_to_string(env.path(name)).unwrap();
    let texts = ["dst/d/f", "dst/d/.f.pcopy-partial", "dst/d/g"].map(text);
    assert_eq!(texts, ["old one", "half", "new"]);
    drop(other);
    env.pcopy([jobs, "-T", "src", "dst"]).exits(0);
    env.assert_same("src", "dst");
}

/// Starts a run that slowly writes a file in an existing directory. Returns the run and the staged name of
/// the file.
fn slow_copy(env: &Sandbox) -> (Live<'_>, PathBuf) {
    env.tree("src", ["file d/f 3K"]).tree("dst", ["text d/f old"]);
    let calls = "trace=write,copy_file_range";
    let slow = "inject=write,copy_file_range:delay_enter=1000000";
    let live = env.launch(env.traced(&["-e", calls, "-e", slow], ["-j1", "-T", "src", "dst"]));
    let staged = env.path("dst/d/.f.pcopy-partial");
    wait_until("it is staged", || staged.exists());
    (live, staged)
}

/// Waits until the run has locked the file that it stages. Without the lock another run would take the file
/// for a leftover.
#[track_caller]
fn wait_for_lock(staged: &Path) {
    let file = fs::File::open(staged).unwrap();
    wait_until("it is locked", || {
        let free = file.try_lock().is_ok();
        file.unlock().unwrap();
        !free
    });
}

#[test]
fn what_this_run_stages_in_an_existing_directory_is_locked() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    let (live, staged) = slow_copy(&env);

    wait_for_lock(&staged);

    live.end().exits(0);
    env.assert_same("src", "dst");
}

#[test]
fn what_took_the_staged_name_meanwhile_is_not_published() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    let (live, staged) = slow_copy(&env);
    wait_for_lock(&staged);
    fs::remove_file(&staged).unwrap();
    fs::write(&staged, "half of another run's").unwrap();

    let run = live.end();

    // Refused when it is opened, if the test came early, or when it is renamed into place.
    run.exits(1).stderr_has("'dst/d/f'").stderr_has(": Device or resource busy");
    assert_eq!(fs::read_to_string(env.path("dst/d/f")).unwrap(), "old");
    assert_eq!(fs::read_to_string(&staged).unwrap(), "half of another run's");
}

each_jobs!(a_staged_directory_is_removed_when_another_has_its_final_name, 1, 4);
fn a_staged_directory_is_removed_when_another_has_its_final_name(jobs: &str) {
    let jobs = &*format!("-j{jobs}");
    let env = Sandbox::new();
    env.tree("src", ["text d/f new", "text d/deep/g new"]);
    // A killed run staged it, and then another program made one of that name.
    env.tree("dst", ["text .d.pcopy-partial/f half", "text .d.pcopy-partial/deep/g half", "dir d"]);
    env.tree("", ["text .dst.pcopy-partial/d/f half"]);

    env.pcopy([jobs, "-T", "src", "dst"]).exits(0);

    env.assert_nothing_staged();
    assert!(!exists(env.path(".dst.pcopy-partial")));
    env.assert_same("src", "dst");
}
