//! A rerun of the command after an interrupted run resumes where that run stopped.
//!
//! These tests plant the files that an interrupted run leaves; the tests in `tests/timing/kills.rs` kill
//! runs.

use crate::common::entries::*;
use crate::common::plain_user::*;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

holds_on_every_file_system!();

const STAGED: &str = ".dst.pcopy-partial";

/// Plants a copy of `src` as a killed run leaves it: some entries are whole, some partial, and some missing.
fn half_done(env: &Sandbox, staged: &str) {
    assert_eq!(env.run(command_cp(env, "src", staged)).status.code(), Some(0));
    let entries: Vec<(PathBuf, Entry)> = env.listing("src").into_iter().collect();
    let is_dir = |entry: &Entry| entry.mode & 0o170_000 == 0o040_000;
    for (path, _) in entries.iter().filter(|(_, entry)| is_dir(entry)) {
        chmod(&env.path(staged).join(path), 0o700); // the mode with which a copier makes it
    }
    for (number, (path, entry)) in entries.iter().enumerate().rev() {
        let copy = env.path(staged).join(path);
        match number % 5 {
            _ if is_dir(entry) => {}
            0 | 1 => {}
            2 => fs::remove_file(&copy).unwrap(),
            3 if entry.mode & 0o170_000 == 0o100_000 => {
                chmod(&copy, 0o600);
                fs::write(&copy, contents(b"half", usize::try_from(entry.size / 2).unwrap()))
                    .unwrap();
            }
            3 => set_times(&copy, (1, 1), (1, 1)),
            _ => {
                fs::remove_file(&copy).unwrap();
                if number % 2 == 0 {
                    std::os::unix::fs::symlink("/etc/passwd", &copy).unwrap();
                } else {
                    node(&copy, "fifo", 0, 0);
                }
            }
        }
    }
}

fn command_cp(env: &Sandbox, source: &str, target: &str) -> std::process::Command {
    let mut cp = std::process::Command::new("cp");
    cp.args(["-aT", source, target]).current_dir(env.path(""));
    cp
}

each_jobs!(a_half_done_copy_is_completed, 1, 2, 8);
fn a_half_done_copy_is_completed(jobs: &str) {
    let env = Sandbox::new();
    env.plant("src", "fixtures/mixed.tree");
    half_done(&env, STAGED);

    env.pcopy(["-j", jobs, "src", "dst"]).exits(0);

    env.assert_same("src", "dst");
    assert!(!exists(env.path(STAGED)));
}

each_jobs!(a_half_done_copy_inside_an_existing_target_is_completed, 1, 2, 8);
fn a_half_done_copy_inside_an_existing_target_is_completed(jobs: &str) {
    let env = Sandbox::new();
    env.plant("src", "fixtures/mixed.tree").tree("dst", ["text kept words"]);
    half_done(&env, "dst/.src.pcopy-partial");

    env.pcopy(["-j", jobs, "src", "dst"]).exits(0);

    env.assert_same("src", "dst/src");
    assert!(!exists(env.path("dst/.src.pcopy-partial")) && exists(env.path("dst/kept")));
}

#[test]
fn what_was_complete_is_not_written_again() {
    let env = Sandbox::new();
    env.tree("src", ["file a 300K", "file sub/b 10", "link l a", "fifo p", "file sub/half 300K"]);
    env.run(command_cp(&env, "src", STAGED)).exits(0);
    chmod(&env.path(STAGED).join("sub"), 0o700);
    fs::write(env.path(STAGED).join("sub/half"), "half").unwrap();
    let complete = ["a", "sub/b", "l", "p"];
    let before = complete.map(|name| fs::symlink_metadata(env.path(STAGED).join(name)).unwrap());

    env.pcopy(["src", "dst"]).exits(0).stderr_has(" skipped");

    env.assert_same("src", "dst");
    for (name, before) in complete.iter().zip(before) {
        let now = fs::symlink_metadata(env.path("dst").join(name)).unwrap();
        assert_eq!(
            (now.ino(), now.ctime(), now.ctime_nsec()),
            (before.ino(), before.ctime(), before.ctime_nsec()),
            "{name} was changed"
        );
    }
}

#[test]
fn only_what_was_left_is_counted_as_copied() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1000", "file b 2000", "file c 4000"]);
    env.tree(STAGED, ["file a 1000"]);
    let time = modified(env.path("src/a"));
    set_times(&env.path(STAGED).join("a"), time, time);

    let run = env.pcopy(["src", "dst"]);

    // The directory itself was begun and not finished: it is one of the three.
    run.exits(0).stderr_has("copied 3 entries (6.0 kB)").stderr_has("; 1 skipped");
}

#[test]
fn a_complete_copy_that_is_only_staged_is_published() {
    let env = Sandbox::new();
    env.plant("src", "fixtures/mixed.tree");
    env.run(command_cp(&env, "src", STAGED)).exits(0);
    let entries = env.listing("src").len();

    let run = env.pcopy(["src", "dst"]);

    run.exits(0).stderr_has("copied 0 entries").stderr_has(&format!("; {entries} skipped"));
    env.assert_same("src", "dst");
    assert!(!exists(env.path(STAGED)));
}

#[test]
fn a_file_whose_copier_died_between_times_and_mode_gets_its_mode() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file sub/b 20"]);
    chmod(&env.path("src/a"), 0o4755);
    chmod(&env.path("src/sub"), 0o2755);
    env.run(command_cp(&env, "src", STAGED)).exits(0);
    chmod(&env.path(STAGED).join("a"), 0o755);
    chmod(&env.path(STAGED).join("sub"), 0o700);
    chmod(&env.path(STAGED), 0o700);
    let time = modified(env.path("src/sub"));
    set_times(&env.path(STAGED).join("sub"), time, time);

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn a_file_that_changed_in_the_source_since_the_first_run_is_copied_again() {
    let env = Sandbox::new();
    env.tree("src", ["text a new-words", "text b same", "file was-dir 5", "file was-file/x 6"]);
    env.tree(STAGED, ["text a old-words", "text b same", "dir was-dir", "file was-file 7"]);
    let time = modified(env.path("src/b"));
    set_times(&env.path(STAGED).join("b"), time, time);

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn what_the_source_lost_since_the_first_run_is_not_in_the_copy() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file sub/b 20"]);
    env.tree(STAGED, ["file gone 5", "file sub/gone 6", "file gone-dir/x 7", "file a 3"]);

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn a_directory_that_became_a_file_since_the_first_run_is_replaced_with_its_contents() {
    let env = Sandbox::new();
    env.tree("src", ["file changed 10", "link changed-too x"]);
    env.tree(STAGED, ["file changed/inside/x 5", "file changed-too/y 6"]);

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn a_file_with_the_staged_name_of_the_whole_target_is_replaced() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]).tree("", ["text .dst.pcopy-partial words"]);

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
    assert!(!exists(env.path(STAGED)));
}

#[test]
fn a_half_written_single_file_is_written_anew() {
    let env = Sandbox::new();
    env.tree("", ["file a 1M", "text .b.pcopy-partial half"]);

    env.pcopy(["a", "b"]).exits(0);

    env.assert_same("a", "b");
    assert!(!exists(env.path(".b.pcopy-partial")));
}

#[test]
fn a_single_file_with_a_long_name_finds_its_leftover() {
    let env = Sandbox::new();
    let name = "n".repeat(255);
    env.tree("", ["file a 1M", "dir dst"]);
    fs::rename(env.path("a"), env.path(&name)).unwrap();

    env.pcopy([&*name, "dst"]).exits(0);
    env.assert_same(&name, format!("dst/{name}"));
    env.assert_nothing_staged();
}

#[test]
fn leftovers_of_several_sources_are_all_resumed() {
    let env = Sandbox::new();
    env.tree("one", ["file a 10"]).tree("two", ["file b 20"]).tree("", ["file three 30"]);
    env.tree(
        "dst",
        ["file .one.pcopy-partial/a 3", "dir .two.pcopy-partial", "file .three.pcopy-partial 5"],
    );

    env.pcopy(["one", "two", "three", "dst"]).exits(0);

    env.assert_nothing_staged();
    for name in ["one", "two", "three"] {
        env.assert_same(name, format!("dst/{name}"));
    }
}

#[test]
fn a_leftover_of_another_target_is_left_alone() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]).tree(".other.pcopy-partial", ["file a 5"]);

    env.pcopy(["src", "dst"]).exits(0);

    assert!(exists(env.path(".other.pcopy-partial/a")));
}

#[test]
fn what_a_run_from_another_source_left_does_not_get_into_the_copy() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file sub/b 20"]);
    env.tree("other", ["file secret 10", "file sub/c 20", "link l /etc"]);
    env.run(command_cp(&env, "other", STAGED)).exits(0);

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn a_file_on_which_copiers_die_again_and_again_leaves_no_partial_file() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for (target, half) in [("dst", ".dst.pcopy-partial/big"), ("old", "old/.big.pcopy-partial")] {
        let env = Sandbox::new();
        env.tree("src", ["file a 10", "file big 3M", "file sub/b 20"]).tree("old", ["file c 5"]);
        // Any copier dies at its third write to this file.
        let half = env.path(half);
        let options = ["-P", half.to_str().unwrap(), "-e", "inject=write:signal=KILL:when=3"];

        let through_buffer = ["--reflink=never", "-j", "2", "-T", "src", target];
        let run = env.run(env.traced(&options, through_buffer));

        run.exits(1).stderr_has("pcopy: skipping 'src/big': copiers repeatedly died on it");
        assert!(!exists(env.path(target).join("big")), "{}", run.story());
        env.assert_nothing_staged();
        env.assert_same("src/a", format!("{target}/a"));
        env.assert_same("src/sub", format!("{target}/sub"));
    }
}

#[test]
fn leftovers_that_are_removed_are_seen_nowhere_meanwhile() {
    if !tool("strace") || !is_root() {
        return skip!("needs root and strace");
    }
    let env = Sandbox::new();
    env.tree("src", ["dir sub"])
        .tree("dst", ["file .sub.pcopy-partial/x/y/z 10", "dir .sub.pcopy-partial/w/v"]);
    env.give_to_plain_user();
    chmod(&env.path("src/sub"), 0);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-o"]).arg(env.path("trace")).args(["-y", "-e", "trace=renameat2"]);
    traced.arg(plain_program()).args(["-T", "src", "dst"]).current_dir(env.path(""));
    traced.uid(65534).gid(65534);

    env.run(traced).exits(1);

    let trace = fs::read_to_string(env.path("trace")).unwrap();
    let moves: Vec<_> = trace.lines().filter(|line| line.contains("removed")).collect();
    assert_eq!(moves.len(), 2, "{trace}");
    for line in moves {
        assert!(line.contains(".sub.pcopy-partial>, \".removed"), "{line}");
    }
    env.assert_nothing_staged();
}

each_jobs!(with_checksum_the_contents_decide_what_is_up_to_date, 1, 4);
fn with_checksum_the_contents_decide_what_is_up_to_date(jobs: &str) {
    let jobs = &*format!("-j{jobs}");
    let env = Sandbox::new();
    env.tree("src", ["file same 3K", "file late 3K", "file other 3K", "file longer 4K"]);
    env.pcopy([jobs, "-T", "src", "dst"]).exits(0);
    let time = |name: &str| fs::metadata(env.path(name)).unwrap().modified().unwrap();
    fs::write(env.path("dst/other"), [7; 3 << 10]).unwrap();
    fs::File::open(env.path("dst/other")).unwrap().set_modified(time("src/other")).unwrap();
    let late = std::time::SystemTime::UNIX_EPOCH;
    fs::File::open(env.path("dst/late")).unwrap().set_modified(late).unwrap();
    let inode = || fs::metadata(env.path("dst/late")).unwrap().ino();
    let before = inode();

    let run = env.pcopy([jobs, "--checksum", "-T", "src", "dst"]);

    run.exits(0).stderr_has("copied 1 entry (3.1 kB)").stderr_has("4 skipped");
    env.assert_same("src", "dst");
    assert_eq!(inode(), before, "a file with the same contents was copied");
}
