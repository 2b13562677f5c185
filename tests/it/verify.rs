//! `--verify`: data is read back from the disk after it was written, and wrong files are repaired or removed.

use crate::common::entries::chmod;
use crate::common::live::send;
use crate::common::mounts::{in_own_mounts, mount};
use crate::common::plain_user::plain_program;
use crate::common::{Sandbox, each_jobs, has_strace, is_root, skip, wait_until, with_summary};
use nix::sys::signal::Signal::SIGKILL;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;
use std::time::{Duration, Instant};

each_jobs!(all_that_was_written_is_read_back_and_nothing_else_changes, 1, 4);
fn all_that_was_written_is_read_back_and_nothing_else_changes(jobs: &str) {
    let jobs = &*format!("-j{jobs}");
    for flags in [&["--verify"][..], &["--verify", "-a"], &["--verify", "--inplace"]] {
        let env = Sandbox::new();
        env.tree("src", ["file a 3K", "file b/c 20M", "file b/d/e 1K", "link l a", "dir f"]);
        fs::hard_link(env.path("src/a"), env.path("src/b/other")).unwrap();
        let sparse = fs::File::create(env.path("src/sparse")).unwrap();
        sparse.set_len(1 << 20).unwrap();
        sparse.write_all_at(b"x", 300_000).unwrap();
        env.tree("there", ["file a 2K", "file b/old 1K", "file stays 1K"]);
        let new = [flags, &[jobs, "src", "dst"]].concat();
        let merged = [flags, &[jobs, "-T", "src", "there"]].concat();

        env.pcopy(&new).exits(0).stderr_has("; 5 verified; 1 linked");
        env.pcopy(&merged).exits(0).stderr_has("; 5 verified; 1 linked");

        env.assert_same("src", "dst");
        env.assert_same("src/b/d", "there/b/d");
        env.assert_nothing_staged();
        // Files that were up to date are not written, so they are not read back.
        env.pcopy([&["-T"], &new[..]].concat()).exits(0).stderr_lacks("verified");
    }
}

/// The interrupted run has verified nothing.
#[test]
fn what_an_interrupted_run_has_copied_is_compared_with_its_source() {
    for jobs in ["-j1", "-j4"] {
        let env = Sandbox::new();
        env.tree("src", ["text a right", "text d/b right"]);
        env.pcopy(["-T", "src", ".dst.pcopy-partial"]).exits(0);
        for name in ["a", "d/b"] {
            let copy = env.path(".dst.pcopy-partial").join(name);
            let times = fs::metadata(&copy).unwrap();
            fs::write(&copy, "wrong").unwrap();
            let (accessed, modified) = (times.accessed().unwrap(), times.modified().unwrap());
            let set = fs::FileTimes::new().set_accessed(accessed).set_modified(modified);
            fs::File::options().write(true).open(&copy).unwrap().set_times(set).unwrap();
        }

        env.pcopy(["--verify", jobs, "src", "dst"]).exits(0);

        env.assert_same("src", "dst");
    }
}

/// strace's option that changes the first bytes of each write.
const WRONG: &str = "inject=write,pwrite64:poke_enter=@arg2=5858";

/// Returns a command that runs `pcopy` under strace, which puts wrong bytes into each write to `path`.
fn with_wrong_bytes(env: &Sandbox, path: &str, arguments: &[&str]) -> Command {
    let path = env.path(path);
    let options = ["-P", path.to_str().unwrap(), "-e", "trace=write,pwrite64", "-e", WRONG];
    env.traced(&options, arguments)
}

fn assert_bytes_were_wrong(env: &Sandbox) {
    let log = fs::read_to_string(env.path("trace")).unwrap();
    assert!(log.contains("INJECTED"), "no byte was changed:\n{log}");
}

#[test]
fn what_was_rewritten_is_flushed_before_it_is_read_back_again() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 3K"]);
    let path = env.path(".dst.pcopy-partial/a");
    let calls = "trace=write,pwrite64,fsync,fadvise64";
    let options = ["-P", path.to_str().unwrap(), "-e", calls, "-e", WRONG];

    env.run(env.traced(&options, ["--verify", "src", "dst"])).exits(6);

    assert_bytes_were_wrong(&env);
    let log = fs::read_to_string(env.path("trace")).unwrap();
    let name = |line| str::split(line, '(').next().unwrap().rsplit(' ').next().unwrap();
    let calls: Vec<&str> = log.lines().map(name).collect();
    let again = calls.iter().rposition(|call| call.ends_with("write") || *call == "pwrite64");
    let then = &calls[again.unwrap() + 1..];
    assert_eq!(then.iter().take(2).collect::<Vec<_>>(), [&"fsync", &"fadvise64"], "{log}");
}

each_jobs!(what_is_wrong_twice_is_reported_and_removed, 1, 3);
fn what_is_wrong_twice_is_reported_and_removed(jobs: &str) {
    let jobs = &*format!("-j{jobs}");
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file b/c 3K"]).tree("there", ["file b/old 1K"]);
    let new = [jobs, "--verify", "src", "dst"];
    let merged = [jobs, "--verify", "-T", "src", "there"];

    let run = env.run(with_wrong_bytes(&env, ".dst.pcopy-partial/a", &new));
    assert_bytes_were_wrong(&env);
    run.exits(6).stderr_has("pcopy: 'dst/a' differed twice from what was read from 'src/a'");
    let run = env.run(with_wrong_bytes(&env, "there/b/.c.pcopy-partial", &merged));
    assert_bytes_were_wrong(&env);
    run.exits(0); // at the second attempt it had its final name, and was right

    assert!(!env.path("dst/a").exists(), "a wrong file was published");
    env.assert_same("src/b", "dst/b");
    env.assert_same("src/b/c", "there/b/c");
    env.pcopy([jobs, "--verify", "-T", "src", "dst"]).exits(0).stderr_has("; 1 verified");
    env.assert_same("src", "dst");
}

#[test]
fn a_file_that_its_owner_may_not_write_is_rewritten_and_has_its_mode() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file c 3K"]).tree("there", ["file c 1K"]);
    chmod(&env.path("src/c"), 0o444);
    chmod(&env.path(""), 0o777);
    env.give_to_plain_user();
    let path = env.path("there/.c.pcopy-partial");
    let mut command = Command::new("strace");
    command.args(["-DD", "-f", "-qq", "-o"]).arg(env.path("trace"));
    command.arg("-P").arg(path).args(["-e", "trace=write,pwrite64", "-e", WRONG]);
    if is_root() {
        command.args(["-u", "nobody"]);
    }
    command.arg(plain_program()).args(with_summary(["--verify", "-T", "src", "there"]));
    command.current_dir(env.path(""));

    env.run(command).exits(0).stderr_has("; 1 verified");

    assert_bytes_were_wrong(&env);
    env.assert_same("src", "there");
}

#[test]
fn hard_links_stay_one_file_when_it_is_rewritten() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file c 3K"]).tree("there", ["file old 1K"]);
    fs::hard_link(env.path("src/c"), env.path("src/d")).unwrap();
    let arguments = ["-j1", "--verify", "-T", "src", "there"];

    for staged in ["there/.c.pcopy-partial", "there/.d.pcopy-partial"] {
        env.run(with_wrong_bytes(&env, staged, &arguments)).exits(0);
        env.assert_same("src/c", "there/c");
        let inode = |name: &str| fs::metadata(env.path(name)).unwrap().ino();
        assert_eq!(inode("there/c"), inode("there/d"));
        fs::remove_file(env.path("there/c")).unwrap();
        fs::remove_file(env.path("there/d")).unwrap();
    }
}

#[test]
fn a_byte_that_changes_on_the_disk_is_found_and_repaired() {
    if !has_strace!() || !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    fs::File::create(env.path("image")).unwrap().set_len(60 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(env.path("image")).output();
    fs::create_dir(env.path("disk")).unwrap();
    let image = env.path("image");
    let words = ["-t", "ext4", "-o", "loop", image.to_str().unwrap()];
    let mounted = made.is_ok_and(|made| made.status.success());
    let Some(_disk) = mount(&words, &env.path("disk")).filter(|_| mounted) else {
        return skip!("cannot mount ext4 from an image here");
    };
    let mark = b"these bytes are searched for on the disk";
    env.tree("src", ["file other 100K"]);
    fs::write(env.path("src/a"), mark.repeat(1000)).unwrap();
    let slow = ["-e", "trace=syncfs", "-e", "inject=syncfs:delay_exit=3000000:when=1"];

    let run = env.launch(env.traced(&slow, with_summary(["--verify", "src", "disk/dst"])));
    let flipped = flip(&image, mark);
    let run = run.end();

    assert!(flipped, "the bytes were never on the disk: {}", run.story());
    run.exits(0).stderr_has("; 2 verified");
    env.assert_same("src", "disk/dst");
    // Compare with what is on the disk, not with the page cache.
    Command::new("sh").args(["-c", "echo 1 > /proc/sys/vm/drop_caches"]).status().unwrap();
    env.assert_same("src", "disk/dst");
}

/// Changes one byte of the text `wanted` as soon as the disk contains the text. Returns false if it never
/// does.
fn flip(image: &std::path::Path, wanted: &[u8]) -> bool {
    let begun = Instant::now();
    let disk = fs::OpenOptions::new().read(true).write(true).open(image).unwrap();
    while begun.elapsed() < Duration::from_secs(20) {
        let bytes = fs::read(image).unwrap();
        // A file begins at a block.
        let mut blocks = (0..).step_by(1024).zip(bytes.chunks(1024));
        if let Some((place, _)) = blocks.find(|(_, block)| block.starts_with(wanted)) {
            disk.write_all_at(b"T", place).unwrap();
            return true;
        }
    }
    false
}

#[test]
fn a_copier_that_dies_while_it_reads_back_costs_time_only() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.many("src", 60, 0);
    let options = ["-e", "trace=fadvise64", "-e", "inject=fadvise64:delay_enter=20000"];
    let mut run = env.launch(env.traced(&options, ["-j2", "--verify", "src", "dst"]));
    wait_until("files are read back", || {
        fs::read_to_string(env.path("trace")).is_ok_and(|log| log.contains("fadvise64("))
    });

    let copiers = run.wait_for_children(1);
    send(copiers[0], SIGKILL);

    run.end().exits(0);
    env.assert_same("src", "dst");
    let log = fs::read_to_string(env.path("trace")).unwrap();
    assert!(log.contains("killed by SIGKILL"), "no copier died");
}

#[test]
fn a_manifest_has_what_was_read_back() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file b/c 30K"]);

    env.pcopy(["--verify", "--manifest=sums", "--hash=sha256", "src", "dst"]).exits(0);

    let mut command = Command::new("sha256sum");
    command.args(["-c", "--quiet", "../sums"]).current_dir(env.path("dst"));
    let checked = command.output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn a_kernel_that_only_claims_to_have_copied_is_not_believed() {
    if !has_strace!() {
        return;
    }
    let lie = "inject=copy_file_range:retval=3072";
    let options = ["-e", "trace=copy_file_range", "-e", lie];
    for (verify, is_right) in [(&["--verify"][..], true), (&[], false)] {
        let env = Sandbox::new();
        env.tree("src", ["file a 3K", "file b/c 3K"]);

        env.run(env.traced(&options, [verify, &["-j1", "src", "dst"]].concat())).exits(0);

        let is_same = |name: &str| {
            let read = |tree: &str| fs::read(env.path(tree).join(name)).unwrap();
            read("src") == read("dst")
        };
        // Without the option the wrong copy stays: that shows that the injected answer was wrong.
        assert_eq!([is_same("a"), is_same("b/c")], [is_right; 2], "{verify:?}");
    }
}
