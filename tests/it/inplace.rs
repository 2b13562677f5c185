//! Writing into existing files (`--inplace`), and other options of cp in native mode.

use crate::common::chance::Dice;
use crate::common::entries::*;
use crate::common::live::*;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use nix::sys::signal::Signal::SIGKILL;
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

holds_on_every_file_system!();

const JOBS: [&str; 3] = ["1", "2", "8"];

/// The largest number of runs that are started until enough of them were killed in progress.
const TURNS_MAX: usize = 300;

fn planted() -> Sandbox {
    let env = Sandbox::new();
    env.tree("src", ["file a 300K", "file sub/b 20", "file new/c 30", "link l a", "fifo p"]);
    env.tree("dst", ["file a 1M", "text sub/b old", "text only x", "link l b"]);
    env
}

each_jobs!(a_file_keeps_its_inode_and_readers_see_the_new_bytes_come, 1, 2, 8);
fn a_file_keeps_its_inode_and_readers_see_the_new_bytes_come(jobs: &str) {
    let env = planted();
    let before = ["a", "sub/b"].map(|name| inode(env.path("dst").join(name)));
    let mut reader = fs::File::open(env.path("dst/sub/b")).unwrap();

    env.pcopy(["--inplace", "-j", jobs, "-T", "src", "dst"]).exits(0);

    assert_eq!(["a", "sub/b"].map(|name| inode(env.path("dst").join(name))), before);
    let mut seen = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut seen).unwrap();
    assert_eq!(seen, fs::read(env.path("src/sub/b")).unwrap());
    fs::remove_file(env.path("dst/only")).unwrap();
    set_times(&env.path("dst"), (0, 0), modified(env.path("src")));
    env.assert_same("src", "dst");
}

#[test]
fn a_file_keeps_its_owner() {
    if !is_root() {
        return skip!("needs root");
    }
    let env = planted();
    std::os::unix::fs::chown(env.path("dst/a"), Some(1234), Some(5678)).unwrap();

    env.pcopy(["--inplace", "-T", "src", "dst"]).exits(0);

    let left = fs::metadata(env.path("dst/a")).unwrap();
    assert_eq!((left.uid(), left.gid()), (1234, 5678));
    assert_eq!(fs::read(env.path("dst/a")).unwrap(), fs::read(env.path("src/a")).unwrap());
}

#[test]
fn without_preserved_links_a_file_keeps_its_other_names() {
    let env = planted();
    fs::hard_link(env.path("dst/a"), env.path("other")).unwrap();

    env.pcopy(["--inplace", "--no-preserve=links", "-T", "src", "dst"]).exits(0);

    env.assert_same("src/a", "other");
    assert_eq!(inode(env.path("dst/a")), inode(env.path("other")));
}

#[test]
fn nothing_is_staged_while_it_runs() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for target in ["dst", "fresh"] {
        let env = planted();

        env.run(env.traced(&["-e", "trace=file"], ["--inplace", "-j2", "-T", "src", target]))
            .exits(0);

        let calls = fs::read_to_string(env.path("trace")).unwrap();
        let stages = |line: &&str| line.contains("pcopy-partial") && line.contains("O_CREAT");
        let staged: Vec<_> = calls.lines().filter(stages).collect();
        assert!(staged.is_empty(), "{staged:#?}");
        let makes = |line: &&str| line.contains("mkdir") && line.contains("pcopy-partial");
        assert_eq!(calls.lines().find(makes), None);
    }
}

#[test]
fn new_directories_have_their_final_names_at_once() {
    let env = Sandbox::new();
    env.many("src", 3000, 700_000);
    let mut live = env.start(["--inplace", "-j2", "src", "dst"]);

    wait_until("it is half done", || {
        assert!(!exists(env.path(".dst.pcopy-partial")));
        count_entries(&env.path("dst")) > 300 || !live.is_running()
    });

    live.end().exits(0);
    env.assert_same("src", "dst");
    env.assert_nothing_staged();
}

#[test]
fn a_run_that_was_killed_is_completed_by_the_same_command() {
    let env = Sandbox::new();
    env.many("src", 3000, 700_000);
    let begun = Instant::now();
    env.start(["--inplace", "src", "dst"]).end().exits(0);
    let took = begun.elapsed();
    fs::remove_dir_all(env.path("dst")).unwrap();
    let mut dice = Dice::new();
    let hits = Cell::new(0);
    for turn in (0..TURNS_MAX).take_while(|turn| *turn < 24 || hits.get() < 5) {
        let old = turn % 2 == 1;
        if old {
            env.many("dst", 3000, 10_000);
        }
        let line = ["--inplace", "-j", JOBS[turn % 3], "-T", "src", "dst"];
        let mut live = env.start(line);
        std::thread::sleep(dice.moment(took));
        hits.set(hits.get() + usize::from(live.is_running()));
        let children = live.children();
        live.signal_all(SIGKILL);
        wait_until("all are gone", || children.iter().all(|&pid| !is_alive(pid)));
        live.end();

        env.pcopy(line).exits(0);

        env.assert_same("src", "dst");
        env.assert_nothing_staged();
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
    assert!(hits.get() >= 5, "only {hits:?} runs were hit");
}

#[test]
fn copiers_that_are_killed_cost_nothing_but_time() {
    let env = Sandbox::new();
    env.many("src", 2000, 700_000);
    let mut dice = Dice::new();
    let hits = Cell::new(0);
    for turn in (0..TURNS_MAX).take_while(|turn| *turn < 20 || hits.get() < 5) {
        env.many("dst", 2000, 10_000);
        let mut live = env.start(["--inplace", "-j", JOBS[turn % 3], "-T", "src", "dst"]);
        // A file at which three copiers die is skipped.
        for _ in 0..2 {
            std::thread::sleep(dice.moment(Duration::from_millis(60)));
            let copiers = live.children();
            if live.is_running() && !copiers.is_empty() {
                hits.set(hits.get() + 1);
                send(copiers[dice.below(copiers.len())], SIGKILL);
            }
        }

        live.end().exits(0);

        env.assert_same("src", "dst");
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
    assert!(hits.get() >= 5, "only {hits:?} copiers were hit");
}

each_jobs!(a_file_that_cannot_be_opened_for_writing_is_replaced, 1, 2, 8);
fn a_file_that_cannot_be_opened_for_writing_is_replaced(jobs: &str) {
    let env = planted();
    chmod(&env.path("dst/a"), 0o444);

    let run = env.plain_pcopy(["--inplace", "-j", jobs, "-T", "src", "dst"]);

    run.exits(0);
    env.assert_same("src/a", "dst/a");
    env.assert_same("src/sub", "dst/sub");
}

#[test]
fn a_program_that_runs_is_replaced() {
    let env = Sandbox::new();
    env.tree("src", ["text sleep new"]).tree("dst", []);
    copy_program("/bin/sleep".as_ref(), &env.path("dst/sleep"));
    let mut asleep = std::process::Command::new(env.path("dst/sleep")).arg("60").spawn().unwrap();

    let run = env.pcopy(["--inplace", "-T", "src", "dst"]);

    asleep.kill().unwrap();
    asleep.wait().unwrap();
    run.exits(0);
    env.assert_same("src/sleep", "dst/sleep");
}

#[test]
fn source_and_target_that_are_one_file_lose_nothing() {
    let env = Sandbox::new();
    env.tree("src", ["file a 300K", "file b 10"]).tree("dst", []);
    fs::hard_link(env.path("src/a"), env.path("dst/a")).unwrap();
    symlink("../src/b", env.path("dst/b")).unwrap();
    let before = fs::read(env.path("src/a")).unwrap();
    for options in [&["--update=all"][..], &[], &["-b"], &["--no-preserve=links"]] {
        env.pcopy([&["--inplace", "-T"], options, &["src", "dst"]].concat());

        assert_eq!(fs::read(env.path("src/a")).unwrap(), before, "{options:?}");
        assert_eq!(fs::metadata(env.path("src/b")).unwrap().len(), 10, "{options:?}");
    }
}

#[test]
fn symlinks_in_the_target_are_replaced_and_never_written_through() {
    let env = Sandbox::new();
    env.tree("", ["text outside mine", "text src/a new"]).tree("dst", ["link a ../outside"]);

    env.pcopy(["--inplace", "-T", "src", "dst"]).exits(0);

    assert_eq!(fs::read(env.path("outside")).unwrap(), b"mine");
    env.assert_same("src/a", "dst/a");
}

#[test]
fn with_copy_contents_special_files_are_read() {
    for options in [&[][..], &["--inplace"]] {
        let env = Sandbox::new();
        env.tree("src", ["fifo p", "file a 10"]);
        let path = env.path("src/p");
        let writer = std::thread::spawn(move || fs::write(path, "through").unwrap());

        env.pcopy([options, &["--copy-contents", "src", "dst"]].concat()).exits(0);

        writer.join().unwrap();
        assert_eq!(fs::read(env.path("dst/p")).unwrap(), b"through");
        env.assert_same("src/a", "dst/a");
    }
}

each_jobs!(a_symlink_to_a_directory_in_the_target_is_kept_on_request, 1, 2, 8);
fn a_symlink_to_a_directory_in_the_target_is_kept_on_request(jobs: &str) {
    for cp in [false, true] {
        let env = Sandbox::new();
        env.tree("", ["dir elsewhere", "file src/d/a 10", "file src/e/b 10"]);
        env.tree("dst", ["link d ../elsewhere", "dir e"]);
        let line = ["-r", "-j", jobs, "--keep-directory-symlink", "-T", "src", "dst"];
        let without = ["-r", "-j", jobs, "-T", "src", "dst"];

        let refused = if cp { env.cp(without) } else { env.pcopy(without) };
        assert_eq!(count_entries(&env.path("elsewhere")), 1);
        if cp {
            refused
                .exits(1)
                .stderr_has("cp: cannot overwrite non-directory 'dst/d' with directory 'src/d'\n");
        } else {
            refused.exits(1);
        }
        let run = if cp { env.cp(line) } else { env.pcopy(line) };

        run.exits(0);
        assert_eq!(fs::read_link(env.path("dst/d")).unwrap(), Path::new("../elsewhere"));
        assert_eq!(
            fs::read(env.path("elsewhere/a")).unwrap(),
            fs::read(env.path("src/d/a")).unwrap()
        );
        env.assert_nothing_staged();
    }
}

each_jobs!(with_archive_a_file_and_a_symlink_to_it_that_is_followed_are_one_file, 1, 2, 8);
fn with_archive_a_file_and_a_symlink_to_it_that_is_followed_are_one_file(jobs: &str) {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "link l a", "link d/l ../a", "file d/b 5"]);

    env.pcopy(["-aL", "-j", jobs, "src", "one"]).exits(0);
    env.pcopy(["-L", "-j", jobs, "src", "each"]).exits(0);

    let links = |root: &str| {
        ["a", "l", "d/l"].map(|name| fs::metadata(env.path(root).join(name)).unwrap().nlink())
    };
    assert_eq!((links("one"), links("each")), ([3; 3], [1; 3]));
}

#[test]
fn a_context_is_ignored_with_a_warning_where_there_are_none() {
    if Path::new("/sys/fs/selinux/enforce").exists() {
        return skip!("SELinux is enforcing");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]);
    let warning = "pcopy: warning: ignoring --context; it requires an SELinux-enabled kernel\n";
    for (option, target) in [("-Z", "one"), ("--context", "two"), ("--context=a:b:c:d", "three")] {
        let run = env.pcopy([option, "src", target]);

        run.exits(0);
        assert_eq!(run.stderr.matches(warning).count(), 1, "{option} {}", run.story());
        env.assert_same("src", target);
    }
    env.pcopy(["-Z", "--preserve=context", "src", "new"]).exits(2);
    assert!(!exists(env.path("new")));
}

#[test]
fn special_files_replace_regular_files() {
    let env = Sandbox::new();
    env.tree("src", ["fifo p", "link l x"]).tree("dst", ["text p old", "text l old"]);

    env.pcopy(["--inplace", "-T", "src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn hard_links_stay_one_file_when_some_are_complete() {
    let env = Sandbox::new();
    env.tree("src", ["file h1 10"]);
    for name in ["src/h2", "src/h3"] {
        fs::hard_link(env.path("src/h1"), env.path(name)).unwrap();
    }
    env.pcopy(["--inplace", "-T", "src", "dst"]).exits(0);
    fs::remove_file(env.path("dst/h2")).unwrap();

    env.pcopy(["--inplace", "-T", "src", "dst"]).exits(0);

    assert_eq!(fs::metadata(env.path("dst/h2")).unwrap().nlink(), 3);
}

each_jobs!(a_link_that_a_killed_run_has_staged_is_removed_where_the_file_is_written_into, 1, 2, 8);
fn a_link_that_a_killed_run_has_staged_is_removed_where_the_file_is_written_into(jobs: &str) {
    let env = Sandbox::new();
    env.tree("src", ["file a 20K"]).tree("dst", ["text a old", "text b old", "file mine 1"]);
    fs::hard_link(env.path("src/a"), env.path("src/b")).unwrap();
    for staged in [".a.pcopy-partial", ".b.pcopy-partial"] {
        fs::hard_link(env.path("dst/mine"), env.path("dst").join(staged)).unwrap();
    }

    env.pcopy(["--inplace", "-j", jobs, "-T", "src", "dst"]).exits(0);

    env.assert_nothing_staged();
    assert_eq!(inode(env.path("dst/a")), inode(env.path("dst/b")));
}

each_jobs!(what_a_run_without_the_option_staged_is_removed, 1, 2, 8);
fn what_a_run_without_the_option_staged_is_removed(jobs: &str) {
    let env = planted();
    env.tree("dst", ["text .a.pcopy-partial half", "text .new.pcopy-partial/c half"]);
    env.tree("dst/sub", ["text .b.pcopy-partial half"]);

    env.pcopy(["--inplace", "-j", jobs, "-T", "src", "dst"]).exits(0);

    env.assert_nothing_staged();
    env.assert_same("src/new", "dst/new");
}

#[test]
fn with_archive_attributes_that_the_source_lacks_are_removed() {
    let env = Sandbox::new();
    env.tree("src", ["text x new"]).tree("dst", ["text x older"]);
    if xattr::set(env.path("dst/x"), "user.old", b"1").is_err() {
        return skip!("no attributes here");
    }

    env.pcopy(["-a", "--inplace", "-T", "src", "dst"]).exits(0);

    assert_eq!(xattr::get(env.path("dst/x"), "user.old").unwrap(), None);
    env.pcopy(["-a", "--check", "-T", "src", "dst"]).exits(0);
}

#[test]
fn directories_without_preserved_modes_are_not_left_locked_by_a_killed_run() {
    for _ in 0..5 {
        let env = Sandbox::new();
        env.tree("src", ["file d/e/f 60M"]).tree("dst", []);
        let line = ["--preserve=none", "--inplace", "-T", "src", "dst"];
        let mut live = env.start(line);
        while !env.path("dst/d/e").exists() && live.is_running() {}
        live.signal_all(SIGKILL);
        drop(live);

        env.pcopy(line).exits(0);

        assert_eq!([mode_of(env.path("dst/d")), mode_of(env.path("dst/d/e"))], [0o755; 2]);
    }
}
