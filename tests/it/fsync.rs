//! `--fsync`: after exit code 0 a power cut loses no data, and every published file is whole.

use crate::common::chance::Dice;
use crate::common::images::{EXT4, XFS, make_image};
use crate::common::mounts::{Mounted, in_own_mounts, mount};
use crate::common::*;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Returns the calls of a traced run that flush or rename, in order. Leaves out the rename of a new empty
/// directory, by which the run finds out whether the target can rename.
fn calls(env: &Sandbox) -> Vec<String> {
    let log = fs::read_to_string(env.path("trace")).unwrap();
    let call = |line: &str| Some(line.split_once(' ')?.1.trim_start().to_owned());
    let is_trial = |line: &String| line.contains(".pcopy-partial-1\"");
    let calls = log.lines().filter_map(call).filter(|line| line.contains('('));
    calls.filter(|line| !is_trial(line)).collect()
}

/// Runs pcopy, and returns which of these calls it made. Returns `None` without strace.
fn traced(env: &Sandbox, test: &str, options: &[&str], arguments: &[&str]) -> Option<Vec<String>> {
    if !has_strace_for(test) {
        return None;
    }
    let watched = ["-y", "-e", "trace=syncfs,fsync,fdatasync,rename,renameat,renameat2"];
    env.run(env.traced(&[&watched[..], options].concat(), arguments)).exits(0);
    Some(calls(env))
}

fn place(calls: &[String], what: &str) -> usize {
    let found = calls.iter().position(|call| call.starts_with(what));
    found.unwrap_or_else(|| panic!("no {what} in {calls:#?}"))
}

each_jobs!(a_new_directory_is_flushed_before_it_is_published_and_its_name_after, 1, 4);
fn a_new_directory_is_flushed_before_it_is_published_and_its_name_after(jobs: &str) {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file b/c 3K"]);
    let line = ["-j", jobs, "--fsync", "src", "dst"];
    let Some(calls) = traced(&env, test_name!(), &[], &line) else { return };

    let published = place(&calls, "renameat2");
    assert!(place(&calls, "syncfs") < published, "{calls:#?}");
    let after = &calls[published + 1..];
    assert!(place(after, "syncfs") < place(after, "fsync"), "{calls:#?}");
}

/// The kernel reports a write-back error only through descriptors that were open when the error happened.
#[test]
fn write_back_errors_are_read_from_descriptors_opened_before_the_first_byte() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file b/c 3K"]);
    let calls = ["-e", "trace=openat,openat2,fcntl,dup,write,copy_file_range,syncfs"];

    env.run(env.traced(&calls, ["-j2", "--fsync", "src", "dst"])).exits(0);

    let log = fs::read_to_string(env.path("trace")).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    let pid = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    let parent = pid(lines[0]);
    let flushed = lines.iter().find_map(|line| line.split_once("syncfs("));
    let number = flushed.unwrap().1.split([')', '<', ' ']).next().unwrap().to_owned();
    let returns_it = |line: &&str| pid(line) == parent && line.ends_with(&format!("= {number}"));
    let opened = lines.iter().rposition(returns_it).unwrap();
    let copies = |line: &&str| {
        pid(line) != parent && ["write(", "range("].iter().any(|call| line.contains(call))
    };
    let first = lines.iter().position(copies).unwrap();
    assert!(opened < first, "{number} was opened too late:\n{log}");
}

#[test]
fn what_is_replaced_is_replaced_by_flushed_data() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K"]).tree("dst", ["file a 2K"]);
    let Some(calls) = traced(&env, test_name!(), &[], &["-T", "--fsync", "src", "dst"]) else {
        return;
    };

    let own = calls.iter().position(|call| call.starts_with("fsync") && call.contains(".a.pcopy"));
    let own = own.unwrap_or_else(|| panic!("the file was not flushed: {calls:#?}"));
    assert!(own < place(&calls, "renameat"), "{calls:#?}");
}

#[test]
fn a_new_directory_in_an_existing_one_is_flushed_too() {
    let env = Sandbox::new();
    env.tree("src", ["file new/a 3K", "file new/deep/b 1K", "file leaf/c 1K", "dir empty"]);
    env.tree("dst", ["file old 1K"]);
    let Some(calls) = traced(&env, test_name!(), &[], &["-T", "--fsync", "src", "dst"]) else {
        return;
    };

    assert!(place(&calls, "syncfs") < place(&calls, "renameat2"), "{calls:#?}");
    for name in ["new", "leaf", "empty"] {
        env.assert_same(format!("src/{name}"), format!("dst/{name}"));
    }
}

#[test]
fn a_manifest_is_flushed_before_it_is_renamed_into_place() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K"]);
    let arguments = ["--fsync", "--manifest=sums", "src", "dst"];
    let Some(calls) = traced(&env, test_name!(), &[], &arguments) else { return };

    let named = calls.iter().position(|call| call.contains("\"sums\"")).unwrap();
    let written = |call: &String| call.starts_with("fsync") && call.contains(".sums.pcopy");
    assert!(calls[..named].iter().any(written), "{calls:#?}");
    assert!(place(&calls[named..], "fsync") > 0);
}

#[test]
fn a_link_that_replaces_a_file_waits_until_its_target_is_flushed() {
    let env = Sandbox::new();
    env.tree("src", ["file a/one 3K"]).tree("dst", ["file two 1K"]);
    fs::hard_link(env.path("src/a/one"), env.path("src/two")).unwrap();
    let arguments = ["-j1", "-T", "--fsync", "src", "dst"];
    let Some(calls) = traced(&env, test_name!(), &[], &arguments) else { return };

    let replaced = calls.iter().position(|call| call.contains("\"two\"")).unwrap();
    let waited = calls[..replaced].iter().any(|call| call.contains("sync"));
    assert!(waited, "{calls:#?}");
    env.assert_same("src", "dst");
}

#[test]
fn without_the_option_nothing_is_flushed() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file b/c 3K"]).tree("dst", ["file a 2K"]);
    let Some(calls) = traced(&env, test_name!(), &[], &["-T", "src", "dst"]) else { return };

    assert!(calls.iter().all(|call| call.starts_with("rename")), "{calls:#?}");
}

#[test]
fn each_file_system_of_the_target_is_flushed() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 1K", "file b/c/d 1K"]).tree("dst", ["dir b/c"]);
    let Some(_mounted) = mount(&["-t", "tmpfs", "tmpfs"], &env.path("dst/b/c")) else {
        return skip!("cannot mount a tmpfs here");
    };
    let Some(calls) = traced(&env, test_name!(), &[], &["-T", "--fsync", "src", "dst"]) else {
        return;
    };

    let elsewhere = calls.iter().any(|call| call.starts_with("syncfs") && call.contains("dst/b/c"));
    assert!(elsewhere, "{calls:#?}");
}

/// Runs pcopy while one call fails.
fn with_fault<'e>(env: &'e Sandbox, fault: &str, arguments: &[&str]) -> Run<'e> {
    env.run(env.traced(&["-e", "trace=syncfs,fsync", "-e", fault], arguments))
}

#[test]
fn what_may_not_be_flushed_is_neither_published_nor_taken_for_complete_later() {
    if !has_strace!() {
        return;
    }
    for tree in ["dst", "dst/old"] {
        let env = Sandbox::new();
        env.tree("src", ["file a 3K", "file b/c 3K"]);
        if tree != "dst" {
            env.tree("dst", ["file old/x 1K"]);
        }
        let target = if tree == "dst" { "dst" } else { "dst/new" };

        let run = with_fault(&env, "inject=syncfs:error=EIO:when=1", &["--fsync", "src", target]);

        run.exits(11).stderr_has("to stable storage: Input/output error").stderr_has("to resume");
        assert!(!env.path(target).exists());
        env.assert_nothing_staged();
        env.pcopy(["--fsync", "src", target]).exits(0);
        env.assert_same("src", target);
    }
}

#[test]
fn a_file_that_cannot_be_flushed_leaves_the_old_one() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 3K"]).tree("dst", ["file a 2K"]);
    let old = fs::read(env.path("dst/a")).unwrap();

    let run =
        with_fault(&env, "inject=fsync:error=ENOSPC:when=1", &["-T", "--fsync", "src", "dst"]);

    run.exits(11).stderr_has("cannot flush 'dst/a' to stable storage: No space left on device");
    assert_eq!(fs::read(env.path("dst/a")).unwrap(), old);
    env.assert_nothing_staged();
}

#[test]
fn what_an_interrupted_run_left_is_not_trusted_by_its_time() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file b 3K"]);
    env.pcopy(["src", "dst"]).exits(0);
    // As after a power cut: the file has its size and its time, but not its data.
    fs::rename(env.path("dst"), env.path(".dst.pcopy-partial")).unwrap();
    let lost = env.path(".dst.pcopy-partial/a");
    let time = fs::metadata(&lost).unwrap().modified().unwrap();
    fs::write(&lost, [0; 3 * 1024]).unwrap();
    fs::File::open(&lost).unwrap().set_modified(time).unwrap();

    env.pcopy(["--fsync", "src", "dst"])
        .exits(0)
        .stderr_has("copied 1 entry")
        .stderr_has("2 skipped");

    env.assert_same("src", "dst");
}

/// A file system in an image that outlives the mount, so that a test can inspect it after a power cut.
struct Disk<'e> {
    env: &'e Sandbox,
    kind: &'static str,
    mounted: Option<Mounted>,
}

impl<'e> Disk<'e> {
    /// Mounts a new file system at `disk`. If this machine cannot do that, skips `test` and returns `None`.
    fn new(test: &str, env: &'e Sandbox, kind: &'static str, bytes: u64) -> Option<Self> {
        let make = if kind == "ext4" { EXT4 } else { XFS };
        if !tool(make[0]) || !tool("xfs_io") {
            skip_for(test, &format!("{} or xfs_io is not installed", make[0]));
            return None;
        }
        let image = env.path("image");
        make_image(&image, make, bytes);
        fs::create_dir_all(env.path("disk")).unwrap();
        let mut disk = Self { env, kind, mounted: None };
        disk.mount();
        if disk.mounted.is_none() {
            skip_for(test, &format!("cannot mount {kind} from an image here"));
            return None;
        }
        Some(disk)
    }

    fn mount(&mut self) {
        let image = self.env.path("image");
        let words = ["-t", self.kind, "-o", "loop", image.to_str().unwrap()];
        self.mounted = mount(&words, &self.env.path("disk"));
    }

    /// Simulates a power cut: from now on the file system writes nothing, not even dirty pages. With
    /// `flushes` it first writes its journal, so the disk gets the names of files before their data.
    fn cut(&self, flushes: bool) {
        let mut command = Command::new("xfs_io");
        let shutdown = if flushes { "shutdown -f" } else { "shutdown" };
        let cut = command.args(["-x", "-c", shutdown]).arg(self.env.path("disk"));
        let cut = cut.output().unwrap();
        assert!(cut.status.success(), "{}", String::from_utf8_lossy(&cut.stderr));
    }

    /// Mounts the file system again, in the state that the disk has.
    fn recover(&mut self) {
        // After the last process has closed its files there: or the old mount would be continued.
        self.mounted.take().unwrap().detach();
        self.mount();
        assert!(self.mounted.is_some(), "the file system cannot be mounted again");
    }
}

cells! { a_power_cut_right_after_the_end_loses_nothing, ext4 => "ext4", xfs => "xfs" }
fn a_power_cut_right_after_the_end_loses_nothing(kind: &'static str) {
    if !in_own_mounts!() {
        return;
    }
    for flags in [&["--fsync"][..], &["--fsync", "--inplace"], &["--fsync", "-a", "-j1"]] {
        let env = Sandbox::new();
        let Some(mut disk) = Disk::new(test_name!(), &env, kind, 400 << 20) else { return };
        env.tree(
            "src",
            ["file a 300K", "file b/c 1K", "file b/d/e 30M", "link l a", "file old 9K"],
        );
        env.tree("disk/there", ["file old 5K"]);
        let merged = [flags, &["-T", "src", "disk/there"]].concat();
        let new = [flags, &["src", "disk/new"]].concat();
        env.pcopy(&merged).exits(0);
        env.pcopy(&new).exits(0);
        // This one shows that the cut loses what was not flushed.
        env.pcopy(["src", "disk/lost"]).exits(0);

        disk.cut(false);
        disk.recover();

        env.assert_same("src", "disk/there");
        env.assert_same("src", "disk/new");
        assert!(!env.path("disk/lost").exists(), "nothing was lost by the cut");
    }
}

cells! { a_power_cut_at_any_moment_leaves_the_whole_or_nothing, ext4 => "ext4", xfs => "xfs" }
/// Also checks that the next run completes the copy.
fn a_power_cut_at_any_moment_leaves_the_whole_or_nothing(kind: &'static str) {
    if !in_own_mounts!() {
        return;
    }
    let mut dice = Dice::new();
    for case in 0..16 {
        let env = Sandbox::new();
        let Some(mut disk) = Disk::new(test_name!(), &env, kind, 400 << 20) else { return };
        let files: Vec<_> = (0..200).map(|n| format!("file {}/f{n} {n}K", n % 4)).collect();
        env.tree("src", files.iter().map(String::as_str));
        env.tree("disk/there", ["file 0/f0 5K", "file 1/f1 5K", "file 1/other 1K"]);
        assert!(Command::new("sync").arg("-f").arg(env.path("disk")).status().unwrap().success());
        let target = ["disk/new", "disk/there"][case % 2];
        let line = ["--fsync", "-j3", "-T", "src", target];
        let run = env.start(line);
        let moment = dice.moment(Duration::from_millis(250));
        std::thread::sleep(moment);
        let flushes = case % 4 < 2;
        disk.cut(flushes);
        run.signal(nix::sys::signal::Signal::SIGKILL);
        drop(run.end_within(Duration::from_secs(30)));
        disk.recover();

        let story = format!("{kind}, cut after {moment:?}, {line:?}, journal: {flushes}");
        if target == "disk/new" && env.path(target).exists() {
            env.assert_same("src", target);
        }
        let seen = if target == "disk/there" { env.listing(target) } else { Default::default() };
        for name in seen.keys() {
            let (path, staged) = (env.path(target).join(name), name.to_string_lossy());
            if !path.is_file() || staged.contains(".pcopy-partial") || name.ends_with("other") {
                continue;
            }
            let is_old =
                ["0/f0", "1/f1"].contains(&&*staged) && path.metadata().unwrap().len() == 5 << 10;
            let whole =
                is_old || fs::read(&path).unwrap() == fs::read(env.path("src").join(name)).unwrap();
            assert!(whole, "{name:?} is neither old nor new: {story}");
        }
        env.pcopy(line).exits(0);
        drop(fs::remove_file(env.path(target).join("1/other")));
        let same =
            Command::new("diff").args(["-r", "src", target]).current_dir(env.path("")).output();
        let same = same.unwrap();
        assert!(same.status.success(), "{story}:\n{}", String::from_utf8_lossy(&same.stdout));
    }
}

#[test]
fn a_disk_that_loses_data_after_the_write_is_reported() {
    if !in_own_mounts!() {
        return;
    }
    for (flag, code) in [("--fsync", 11), ("--progress=never", 0)] {
        let env = Sandbox::new();
        // A disk that reports more space than it has: its image is on too small a file system.
        fs::create_dir(env.path("thin")).unwrap();
        let Some(_thin) = mount(&["-t", "tmpfs", "-o", "size=24M", "tmpfs"], &env.path("thin"))
        else {
            return skip!("cannot mount a tmpfs here");
        };
        std::os::unix::fs::symlink("thin/image", env.path("image")).unwrap();
        let Some(_disk) = Disk::new(test_name!(), &env, "ext4", 200 << 20) else { return };
        env.tree("src", ["file a 30M", "file b 10M"]);

        let run = env.pcopy([flag, "src", "disk/dst"]);

        run.exits(code);
        if code != 0 {
            run.stderr_has("to stable storage: "); // and not only the error of its aborted journal
        }
        assert_eq!(env.path("disk/dst").exists(), code == 0);
    }
}
