//! Exit codes: each has at least one test.

use crate::common::entries::{chmod, inode};
use crate::common::live::{Live, send};
use crate::common::mounts::in_own_mounts;
use crate::common::{Sandbox, each_jobs, has_strace, skip, tool, with_summary};
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::Command;

#[test]
fn zero_means_that_everything_was_copied() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "dir b", "link c a"]);

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn zero_also_when_everything_was_up_to_date() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "dir b", "link c a"]);
    env.pcopy(["src", "dst"]).exits(0);

    env.pcopy(["-T", "src", "dst"]).exits(0).stderr_has("copied 0 entries");

    env.assert_same("src", "dst");
}

#[test]
fn one_means_that_some_entries_failed() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file b 3K"]).tree("dst", ["dir b"]);

    env.pcopy(["-T", "src", "dst"]).exits(1).stderr_has("1 failed");
}

#[test]
fn two_means_that_the_command_line_makes_no_sense() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1K"]);
    for wrong in [
        &["--no-such-flag", "src", "dst"][..],
        &[],
        &["-j", "0", "src", "dst"],
        &["-j", "513", "src", "dst"],
        &["-j", "many", "src", "dst"],
        &["--progress=sometimes", "src", "dst"],
        &["-T", "src"],
        &["", "dst"],
    ] {
        let run = env.pcopy(wrong);
        run.exits(2).stdout_is("");
        assert!(!run.stderr.is_empty());
    }
    assert!(!env.path("dst").exists());
}

#[test]
fn three_means_that_the_run_was_refused() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1K"]);
    for refused in [["src", "src/inside"], ["missing", "dst"], ["src", "missing/dst"]] {
        env.pcopy(refused).exits(3);
    }
    assert_eq!(env.listing("").len(), 3, "something was changed\n{}", env.show());
}

#[test]
fn four_means_that_the_machine_lacks_a_required_feature() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file b 3K"]).tree("dst", ["dir b"]);
    let options = ["-e", "trace=ioctl", "-e", "inject=ioctl:error=EOPNOTSUPP"];

    let run = env.run(env.traced(&options, with_summary(["--reflink", "-T", "src", "dst"])));

    run.exits(4).stderr_has("cannot clone 'src/a' to 'dst/a': Operation not supported");
    run.stderr_has("cannot overwrite directory 'dst/b' with non-directory 'src/b'")
        .stderr_has("2 failed");
}

each_jobs!(eleven_means_that_the_target_is_full_and_the_command_can_be_rerun, 1, 8);
fn eleven_means_that_the_target_is_full_and_the_command_can_be_rerun(jobs: &str) {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.many("src", 500, 0);
    env.tree("src", ["file big-1 3M", "file big-2 3M", "file big-3 3M"]);
    let small = env.path("small");
    fs::create_dir(&small).unwrap();
    mount(&["-t", "tmpfs", "-o", "size=4M", "none"], &small);

    let run = env.pcopy(["-j", jobs, "src", "small/dst"]);

    run.exits(11).stderr_has("No space left on device").stderr_has("hint: ");
    run.stderr_has(" left to copy\n");
    assert!(!env.path("small/dst").exists(), "{}", run.story());
    let source = env.listing("src");
    // With several copiers, the large files may have taken all the room: then no file is whole.
    let mut whole = Vec::new();
    for (path, entry) in env.listing("small/.dst.pcopy-partial") {
        if entry.mode & 0o170_000 == 0o100_000 {
            assert_eq!(source.get(&path), Some(&entry), "{path:?} is half\n{}", run.story());
            whole.push((inode(small.join(".dst.pcopy-partial").join(&path)), path));
        }
    }
    assert!(jobs != "1" || !whole.is_empty(), "{}", run.story());

    mount(&["-o", "remount,size=64M"], &small);
    env.pcopy(["-j", jobs, "src", "small/dst"]).exits(0);
    env.assert_same("src", "small/dst");
    for (number, path) in whole {
        assert_eq!(inode(small.join("dst").join(&path)), number, "{path:?} was copied again");
    }
    env.assert_nothing_staged();
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
}

/// The kernel says that there is no space.
#[test]
fn a_target_without_free_inodes_is_called_so() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.many("src", 300, 0);
    let small = env.path("small");
    fs::create_dir(&small).unwrap();
    mount(&["-t", "tmpfs", "-o", "nr_inodes=100", "none"], &small);

    let run = env.pcopy(["src", "small/dst"]);

    run.exits(11).stderr_has("No space left on device");
    run.stderr_has("pcopy: the file system of 'small/dst' has ")
        .stderr_has(" free inodes left, and ");
    mount(&["-o", "remount,nr_inodes=10000"], &small);
    env.pcopy(["src", "small/dst"]).exits(0);
    env.assert_same("src", "small/dst");
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
}

fn mount(arguments: &[&str], on: &std::path::Path) {
    assert!(Command::new("mount").args(arguments).arg(on).status().unwrap().success());
}

#[test]
fn eleven_also_means_an_io_error_of_the_target() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for error in ["EIO", "EDQUOT", "EROFS"] {
        let env = Sandbox::new();
        env.many("src", 600, 0);
        let fail = format!("inject=mkdirat:error={error}:when=2+"); // each process may create one
        let options = ["-e", "trace=mkdirat", "-e", &fail];

        env.run(env.traced(&options, ["-j2", "src", "dst"])).exits(11).stderr_has("hint: ");

        assert!(!env.path("dst").exists());
        env.pcopy(["src", "dst"]).exits(0);
        env.assert_same("src", "dst");
    }
}

each_jobs!(when_eleven_ends_a_run_no_new_directory_is_published_without_what_failed, 1, 2);
fn when_eleven_ends_a_run_no_new_directory_is_published_without_what_failed(jobs: &str) {
    if !has_strace!() {
        return;
    }
    let jobs = &*format!("-j{jobs}");
    for tree in [&["link new/a text", "file new/b 1K", "file other 1K"][..], &["link new/a text"]] {
        let env = Sandbox::new();
        env.tree("src", tree.iter().copied()).tree("dst", []);
        let options = ["-e", "trace=symlinkat", "-e", "inject=symlinkat:error=ENOSPC:when=1"];

        let run = env.run(env.traced(&options, [jobs, "-T", "src", "dst"]));

        run.exits(11).stderr_has("hint: ");
        assert!(!env.path("dst/new").exists(), "{}", run.story());
        env.pcopy([jobs, "-T", "src", "dst"]).exits(0);
        env.assert_same("src", "dst");
        env.assert_nothing_staged();
    }
}

#[test]
fn a_read_error_of_the_source_is_the_failure_of_one_entry() {
    if !tool("strace") {
        return skip!("no strace");
    }
    let env = Sandbox::new();
    env.many("src", 300, 0).tree("src", ["file bad 1K"]);
    let bad = env.path("src/bad");
    let fail = "inject=read,copy_file_range:error=EIO";
    let options = ["-P", bad.to_str().unwrap(), "-e", "trace=read,copy_file_range", "-e", fail];

    let run = env.run(env.traced(&options, ["-j2", "src", "dst"]));

    run.exits(1).stderr_has("pcopy: cannot read 'src/bad': Input/output error");
    assert!(!env.path("dst/bad").exists(), "half a file remained");
}

#[test]
fn fourteen_means_that_the_counts_do_not_add_up() {
    let env = Sandbox::new();
    env.many("src", 6000, 300_000);
    let live = env.frozen_mid_copy(&["-j2", "src", "dst"]);
    // Scribble on the shared memory: copier 0 has found a million more entries. The counters begin with a
    // line of 32 words for the whole run; then come those of copier 0, the first of which counts the
    // entries that it has found.
    let found = counters_of(&live) + 32 * 8;
    let memory =
        OpenOptions::new().read(true).write(true).open(format!("/proc/{}/mem", live.pid()));
    let Ok(memory) = memory else {
        return skip!("/proc/PID/mem is closed");
    };
    let mut word = [0; 8];
    memory.read_exact_at(&mut word, found).unwrap();
    memory.write_all_at(&(u64::from_ne_bytes(word) + 1_000_000).to_ne_bytes(), found).unwrap();
    live.thaw();

    live.end().exits(14).stderr_has("pcopy: internal error: the counts do not balance");
}

/// Returns the address at which the parent has mapped the counters.
fn counters_of(live: &Live<'_>) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{}/maps", live.pid())).unwrap();
    let line = maps.lines().find(|line| line.contains("pcopy-counters")).unwrap();
    u64::from_str_radix(line.split_once('-').unwrap().0, 16).unwrap()
}

#[test]
fn sixteen_means_that_copiers_kept_dying() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 1K"]);
    let deadly = ["-e", "trace=prctl", "-e", "inject=prctl:signal=KILL"];

    env.run(env.traced(&deadly, ["-j2", "src", "dst"])).exits(16);

    assert!(!env.path("dst").exists());
}

#[test]
fn a_run_that_cannot_allocate_its_memory_leaves_nothing_behind() {
    if !tool("strace") {
        return skip!("no strace");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 1K"]);
    let full = ["-e", "trace=memfd_create", "-e", "inject=memfd_create:error=EMFILE"];

    env.run(env.traced(&full, ["src", "dst"])).exits(16).stderr_has("Too many open files");

    env.assert_nothing_staged();
}

/// Returns a command that runs pcopy under strace, where `src/gone` vanishes after it is listed and before it
/// is opened.
fn with_a_vanishing_file(env: &Sandbox, arguments: &[&str]) -> Command {
    // strace compares the name in the call, too.
    let options = ["-P", "gone", "-e", "trace=openat", "-e", "inject=openat:error=ENOENT"];
    env.traced(&options, with_summary(arguments))
}

#[test]
fn twenty_four_means_that_source_entries_vanished() {
    if !tool("strace") {
        return skip!("no strace");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file gone 3K", "file z 3K"]);

    let run = env.run(with_a_vanishing_file(&env, &["src", "dst"]));

    run.exits(24).stderr_has("'src/gone' vanished before it was copied").stderr_has("1 vanished");
    assert!(env.path("dst/a").exists() && env.path("dst/z").exists());
}

#[test]
fn a_failure_is_worse_than_a_vanished_entry() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file gone 3K", "file z 3K"]).tree("dst", ["dir z"]);

    let run = env.run(with_a_vanishing_file(&env, &["-T", "src", "dst"]));

    run.exits(1).stderr_has("1 vanished").stderr_has("1 failed");
}

#[test]
fn a_lost_target_is_worse_than_a_failure() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file z 3K"]).tree("dst", ["dir a", "dir z"]);
    env.many("src/more", 300, 0).tree("src", ["link symlink anywhere"]);
    let options = ["-e", "trace=symlinkat", "-e", "inject=symlinkat:error=ENOSPC"];

    env.run(env.traced(&options, ["-T", "src", "dst"])).exits(11);
}

#[test]
fn a_signal_is_worse_than_a_failure() {
    let env = Sandbox::new();
    env.many("src", 6000, 300_000).tree("src", ["file blocked 1K"]);
    env.tree("dst", ["dir blocked"]);
    let (mut live, names) = {
        env.long_names("src/long", 15_000);
        env.launch_stuck(env.tame(["-v", "-j2", "-T", "src", "dst"]))
    };
    live.wait_for_children(1);
    live.signal(SIGTERM);
    drop(names);

    live.end().died_by(SIGTERM);
}

#[test]
fn a_parent_that_was_killed_has_no_code() {
    let env = Sandbox::new();
    env.many("src", 6000, 300_000);
    let live = env.frozen_mid_copy(&["src", "dst"]);

    send(live.pid(), SIGKILL);
    live.thaw();

    live.end().died_by(SIGKILL);
}

#[test]
fn an_ordinary_user_learns_of_unreadable_files_by_the_code() {
    let env = Sandbox::new();
    env.tree("src", ["file open 1K", "file closed 1K"]);
    chmod(&env.path("src/closed"), 0o000);
    env.give_to_plain_user();

    let run = env.plain_pcopy(["src", "dst"]);

    run.exits(1).stderr_has("pcopy: cannot open 'src/closed' for reading: Permission denied");
    assert!(env.path("dst/open").exists() && !env.path("dst/closed").exists());
}
