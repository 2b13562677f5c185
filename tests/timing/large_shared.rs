//! Large files that several copiers copy, hash, read back or compare together. Whichever copier dies or
//! fails, each file is whole, reported once and counted once.

use crate::common::entries::inode;
use crate::common::images::{BTRFS, Make, XFS, mounted_or_skip};
use crate::common::large_files::*;
use crate::common::live::{Live, send};
use crate::common::mounts::in_own_mounts;
use crate::common::*;
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use std::fs;

use std::time::Duration;

/// Delays each write, so that the copy is slow enough for helpers to join.
const SLOW: &str = "inject=pwrite64:delay_enter=10000";

#[test]
fn one_large_file_is_copied_by_several_copiers() {
    if !has_strace!() {
        return;
    }
    for name in ["src", "src/big"] {
        let env = Sandbox::new();
        env.tree("src", [LARGE]);
        let options = ["-e", "trace=pwrite64", "-e", SLOW];

        let line = ["--progress=always", "-j4", name, "dst"];
        env.run(env.traced(&options, line)).exits(0).stderr_has("(72 MB)");

        let writers = who_called(&env, "pwrite64(");
        assert!(writers.len() >= 2, "only {writers:?} wrote {name}");
        env.assert_same(name, "dst");
    }
}

#[test]
fn a_file_that_replaces_an_old_one_is_copied_by_several_copiers() {
    if !has_strace!() {
        return;
    }
    for flag in ["-q", "--inplace"] {
        let env = Sandbox::new();
        env.tree("src", [LARGE]);
        env.tree("dst", ["text big the old one"]);
        let options = ["-e", "trace=pwrite64", "-e", SLOW];

        env.run(env.traced(&options, ["-j4", flag, "-T", "src", "dst"])).exits(0);

        assert!(who_called(&env, "pwrite64(").len() >= 2, "{flag}");
        env.assert_same("src", "dst");
        env.assert_nothing_staged();
    }
}

#[test]
fn large_files_of_a_small_directory_are_shared_out() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    let files: Vec<String> = (0..12).map(|number| format!("file f{number} 2000K")).collect();
    env.tree("src", files.iter().map(String::as_str));
    let slow = "inject=copy_file_range:delay_enter=20000";
    let options = ["-e", "trace=copy_file_range", "-e", slow];

    env.run(env.traced(&options, ["-j4", "src", "dst"])).exits(0);

    let copiers = who_called(&env, "copy_file_range(");
    assert!(copiers.len() >= 2, "only {copiers:?} copied");
    env.assert_same("src", "dst");
}

#[test]
fn of_several_large_files_in_a_directory_each_copier_begins_with_its_own() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    let files = ["a", "b", "c", "d", "e", "f"].map(|name| format!("file {name} 20M"));
    env.tree("src", files.iter().map(String::as_str));
    let slow = "inject=copy_file_range,pwrite64:delay_enter=2000";
    let options = ["-e", "trace=openat,copy_file_range,pwrite64", "-e", slow];

    env.run(env.traced(&options, ["-j2", "--reflink=never", "src", "dst"])).exits(0);

    let log = fs::read_to_string(env.path("trace")).unwrap();
    let opened: Vec<_> =
        log.lines().filter(|line| line.contains("O_RDONLY") && line.contains("O_NOCTTY")).collect();
    let first = opened[0].split('"').nth(1).unwrap();
    let times = opened.iter().filter(|line| line.contains(&format!("\"{first}\""))).count();
    assert_eq!(times, 1, "two copiers worked on the first file: {opened:#?}");
    env.assert_same("src", "dst");
}

#[test]
fn a_large_file_is_whole_whichever_copier_dies_in_the_middle() {
    if !has_strace!() {
        return;
    }
    // Each copier dies at its nth write: the owner, a helper, or both. A file at which three copiers died
    // is skipped.
    for nth in [1, 30, 100] {
        for flag in ["-q", "--inplace", "--preserve=none"] {
            let env = Sandbox::new();
            env.tree("src", [LARGE]);
            let inject = format!("inject=pwrite64:signal=KILL:when={nth}");
            let options = ["-e", "trace=pwrite64", "-e", &inject];

            let run = env.run(env.traced(&options, ["-j2", "-v", flag, "src", "dst"]));

            if run.status.code() != Some(0) {
                run.exits(1).stderr_has("'src/big'");
                assert_whole_or_none(&env, &run);
                env.pcopy(["-q", "-T", "src", "dst"]).exits(0);
            }
            let copied = fs::read(env.path("dst/big")).unwrap();
            assert!(copied == fs::read(env.path("src/big")).unwrap(), "at {nth} {flag}");
            let printed = run.stdout.lines().filter(|name| name.ends_with("/big")).count();
            assert!(printed <= 1, "printed {printed} times\n{}", run.story());
        }
    }
}

/// Fails if a partial file remains of a skipped file. The whole file may remain: it may have been complete
/// when a helper died.
#[track_caller]
fn assert_whole_or_none(env: &Sandbox, run: &Run) {
    let is_whole = |copy| copy == fs::read(env.path("src/big")).unwrap();
    assert!(fs::read(env.path("dst/big")).map_or(true, is_whole), "half a file: {}", run.story());
}

#[test]
fn a_full_target_is_reported_once_whichever_copier_wrote() {
    if !has_strace!() {
        return;
    }
    for nth in [1, 40] {
        let env = Sandbox::new();
        env.tree("src", [LARGE]);
        // No process can write to a full target. After a helper failed, the owner copies the whole file alone
        // with write(2), so that call fails, too.
        let staged = env.path(".dst.pcopy-partial");
        let full = format!("inject=write,pwrite64:error=ENOSPC:when={nth}+");
        let options = ["-P", staged.to_str().unwrap(), "-e", &full];

        let run = env.run(env.traced(&options, ["-j4", "-q", "--reflink=never", "src/big", "dst"]));

        run.exits(11).stderr_has("pcopy: cannot write 'dst': No space left on device");
        assert_eq!(run.stderr.matches("'dst'").count(), 1, "{}", run.story());
        assert!(!env.path("dst").exists());
        env.assert_nothing_staged();
    }
}

#[test]
fn a_target_that_must_be_written_in_order_is_written_in_order() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    // After its first writes each copier is refused writes at an offset; delayed reads let a helper come.
    let options = [
        "-e",
        "trace=pread64,pwrite64",
        "-e",
        "inject=pread64:delay_enter=50000",
        "-e",
        "inject=pwrite64:error=EINVAL:when=21+",
    ];

    env.run(env.traced(&options, ["-j4", "-q", "--reflink=never", "src", "dst"])).exits(0);

    assert!(who_called(&env, "pwrite64(").len() >= 2, "no helper came");
    env.assert_same("src", "dst");
}

#[test]
fn a_chunk_that_a_helper_failed_on_is_copied_by_the_owner() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    // Only one call of each copier fails, so one of them can copy the file from the beginning.
    let options = ["-e", "trace=pread64", "-e", "inject=pread64:retval=0:when=5"];

    env.run(env.traced(&options, ["-j3", "-q", "--reflink=never", "src", "dst"])).exits(0);

    env.assert_same("src", "dst");
}

/// Returns a run of four copiers that are copying a large file. Each write is delayed by `each_write`
/// microseconds.
fn begun<'e>(env: &'e Sandbox, each_write: &str) -> Live<'e> {
    env.tree("src", [LARGE]);
    let slow = format!("inject=pwrite64:delay_enter={each_write}");
    let options = ["-e", "trace=pwrite64", "-e", &slow];
    let mut live = env.launch(env.traced(&options, ["-j4", "--reflink=never", "src", "dst"]));
    wait_until("the file is begun", || {
        assert!(live.is_running(), "too quick");
        fs::metadata(env.path(HALF)).is_ok_and(|file| file.len() > 0)
    });
    live
}

/// The path of the large file while it is copied.
const HALF: &str = ".dst.pcopy-partial/big";

#[test]
fn a_large_file_is_aborted_in_time_and_the_next_run_resumes() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    let live = begun(&env, "100000");

    live.signal(SIGTERM);
    let run = live.end_within(Duration::from_secs(20));

    run.died_by(SIGTERM);
    let half = inode(env.path(HALF));
    env.pcopy(["-q", "src", "dst"]).exits(0);
    assert_eq!(inode(env.path("dst/big")), half, "it was created anew");
    env.assert_same("src", "dst");
}

#[test]
fn a_source_that_shrinks_while_several_copy_it_is_no_whole_copy() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    let live = begun(&env, "20000");

    let source = fs::OpenOptions::new().write(true).open(env.path("src/big")).unwrap();
    source.set_len(5_000_000).unwrap();
    let run = live.end();

    run.exits(0);
    env.assert_same("src", "dst");
}

/// Fails if a process read a whole buffer at the file's own offset. Only a copier that works on a file alone
/// reads so.
#[track_caller]
fn assert_no_copier_read_it_alone(env: &Sandbox) {
    let alone = who_called(env, "..., 262144) = 262144");
    assert!(alone.is_empty(), "{alone:?} read it alone");
}

#[test]
fn a_large_file_is_hashed_by_all_copiers_that_copy_it() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    let options = ["-e", "trace=pwrite64,read", "-e", SLOW];

    env.run(env.traced(&options, ["-j4", "--manifest=sums", "src", "dst"])).exits(0);

    assert!(who_called(&env, "pwrite64(").len() >= 2, "no helper came");
    assert_no_copier_read_it_alone(&env);
    assert_eq!(listed(&env, "sums"), digest(&env, "src/big"));
    env.assert_same("src", "dst");
}

cells! { a_large_file_that_was_cloned_is_hashed_by_several_copiers, xfs => XFS, btrfs => BTRFS }
fn a_large_file_that_was_cloned_is_hashed_by_several_copiers(make: Make) {
    if !has_strace!() || !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    let Some(_mounted) = mounted_or_skip!(&env, "disk", make) else { return };
    env.tree("disk/src", [LARGE]);
    let options = ["-e", "trace=pread64", "-e", "inject=pread64:delay_enter=10000"];
    let line = ["-j4", "--reflink=always", "--manifest=sums", "disk/src", "disk/dst"];

    env.run(env.traced(&options, line)).exits(0);

    assert!(who_called(&env, READS).len() >= 2, "no helper came");
    let log = fs::read_to_string(env.path("trace")).unwrap();
    let reads = log.lines().filter(|line| line.contains(READS)).count();
    assert!(reads < 400, "{reads} reads for 274 buffers: a copier read it again");
    assert_eq!(listed(&env, "sums"), digest(&env, "disk/src/big"));
}

#[test]
fn a_large_file_is_read_back_by_several_copiers() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    let slow = "inject=pread64:delay_enter=10000";
    let options = ["-e", "trace=pread64,pwrite64,read", "-e", slow];

    env.run(env.traced(&options, with_summary(["-j4", "--verify", "src", "dst"])))
        .exits(0)
        .stderr_has("1 verified");

    let (readers, writers) = (who_called(&env, READS), who_called(&env, "pwrite64("));
    let readers_back = readers.difference(&writers).count();
    assert!(readers_back >= 2, "{readers:?} have read, {writers:?} written");
    assert_no_copier_read_it_alone(&env);
    env.assert_same("src", "dst");
}

#[test]
fn a_wrong_byte_in_any_chunk_is_found_when_it_is_read_back() {
    if !has_strace!() {
        return;
    }
    for nth in [1, 60, 130] {
        let env = Sandbox::new();
        env.tree("src", [LARGE]);
        let wrong = format!("inject=pwrite64:poke_enter=@arg2=5858:when={nth}");
        let options = ["-e", "trace=pwrite64", "-e", &wrong];

        let run = env.run(env.traced(&options, ["-j2", "--verify", "-v", "src", "dst"]));

        // The nth write of each copier was wrong, perhaps also in the second attempt.
        let log = fs::read_to_string(env.path("trace")).unwrap();
        assert!(log.contains("INJECTED"), "no byte was changed");
        if run.status.code() == Some(0) {
            env.assert_same("src", "dst");
        } else {
            run.exits(6).stderr_has("'dst/big'");
            assert!(!env.path("dst/big").exists());
        }
    }
}

#[test]
fn the_digest_of_a_large_file_is_right_whichever_copier_fails_or_dies() {
    if !has_strace!() {
        return;
    }
    for fault in ["retval=0:when=5", "error=EIO:when=40"] {
        for flag in ["-q", "--verify"] {
            let env = Sandbox::new();
            env.tree("src", [LARGE]);
            let inject = format!("inject=pread64:{fault}");
            let options = ["-e", "trace=pread64", "-e", &inject];

            let run = env.run(env.traced(&options, ["-j3", flag, "--manifest=sums", "src", "dst"]));

            if run.status.code() != Some(0) {
                // A file at which three copiers died is skipped.
                run.stderr_has("/big'");
                assert_whole_or_none(&env, &run);
                continue;
            }
            assert_eq!(listed(&env, "sums"), digest(&env, "src/big"), "{fault} {flag}");
            env.assert_same("src", "dst");
        }
    }
}

#[test]
fn a_large_file_is_compared_by_several_copiers() {
    if !has_strace!() {
        return;
    }
    let env = copied();
    let slow = ["-e", "trace=pread64,read", "-e", "inject=pread64:delay_enter=10000"];
    for line in COMPARISONS {
        env.run(env.traced(&slow, line)).exits(0);
        assert!(who_called(&env, READS).len() >= 2, "no helper came with {line:?}");
        assert_no_copier_read_it_alone(&env);
    }
}

#[test]
fn a_large_file_compares_equal_whichever_copier_fails_or_dies() {
    if !has_strace!() {
        return;
    }
    let env = copied();
    for line in COMPARISONS {
        for fault in ["retval=0:when=5", "error=EIO:when=40"] {
            let options = ["-e", "trace=pread64", "-e", &format!("inject=pread64:{fault}")];
            env.run(env.traced(&options, line)).exits(0);
        }
        for victim in 0..2 {
            one_dies_while_all_read(&env, line, victim).exits(0);
        }
    }
}

#[test]
fn the_digest_of_a_large_file_is_right_whichever_copier_dies() {
    if !has_strace!() {
        return;
    }
    for flag in ["-q", "--verify"] {
        for victim in 0..2 {
            let env = Sandbox::new();
            env.tree("src", [LARGE]);
            one_dies_while_all_read(&env, &["-j4", flag, "--manifest=sums", "src", "dst"], victim)
                .exits(0);
            assert_eq!(listed(&env, "sums"), digest(&env, "src/big"), "{flag}");
            env.assert_same("src", "dst");
        }
    }
}

/// Runs a command, and kills its first or second copier while several copiers read a large file.
fn one_dies_while_all_read<'e>(env: &'e Sandbox, line: &[&str], victim: usize) -> Run<'e> {
    let trace = env.path("trace");
    fs::write(&trace, "").unwrap();
    let slow = ["-e", "trace=pread64", "-e", "inject=pread64:delay_enter=15000"];
    let mut run = env.launch(env.traced(&slow, line));
    wait_until("a helper comes", || who_called(env, READS).len() >= 2);
    send(run.wait_for_children(2)[victim], SIGKILL);
    let run = run.end();
    assert!(fs::read_to_string(trace).unwrap().contains("killed by SIGKILL"), "no copier died");
    run
}
