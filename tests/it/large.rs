//! Large files that several copiers copy, hash, read back or compare: whole, once told, counted once,
//! whoever dies or fails.

use crate::common::images::{BTRFS, XFS, mounted_or_skip};
use crate::common::live::{Live, send};
use crate::common::things::in_own_mounts;
use crate::common::*;
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::time::Duration;

/// More than sixteen pieces of 4 MiB, the last of them a part.
const LARGE: &str = "file big 70001K";

/// The processes that made the calls of strace's log that have `call` in their line.
fn who_called(env: &Sandbox, call: &str) -> BTreeSet<String> {
    let log = fs::read_to_string(env.path("trace")).unwrap();
    let lines = log.lines().filter(|line| line.contains(call));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// What makes a file go through the buffer, and slowly enough that others can help.
const SLOW: &str = "inject=pwrite64:delay_enter=10000";

#[test]
fn any_number_of_copiers_gives_the_same_file() {
    let env = Sandbox::new();
    env.tree("src", [LARGE, "file d/exact 65536K", "file d/small 10K", "file e/more 30000K"]);
    for jobs in ["1", "2", "8"] {
        for flag in ["--reflink=auto", "--reflink=never", "--inplace", "--preserve=none", "-a"] {
            let target = format!("dst-{jobs}{flag}");
            env.pcopy(["-j", jobs, flag, "src", &target]).exits(0).stderr_has("copied 7 entries");
            if flag != "--preserve=none" {
                env.assert_same("src", &target);
            }
            for name in ["big", "d/exact", "e/more"] {
                let (is, was) = (env.path(format!("{target}/{name}")), env.path("src").join(name));
                assert!(fs::read(is).unwrap() == fs::read(was).unwrap(), "{target}/{name}");
            }
        }
    }
}

#[test]
fn one_large_file_is_copied_by_several_copiers() {
    if !has_strace("one_large_file_is_copied_by_several_copiers") {
        return;
    }
    for name in ["src", "src/big"] {
        let env = Sandbox::new();
        env.tree("src", [LARGE]);
        let options = ["-e", "trace=pwrite64", "-e", SLOW];

        env.run(env.traced(&options, ["-j4", name, "dst"])).exits(0).stderr_has("(72 MB)");

        let writers = who_called(&env, "pwrite64(");
        assert!(writers.len() >= 2, "only {writers:?} wrote {name}");
        env.assert_same(name, "dst");
    }
}

#[test]
fn a_file_that_takes_the_place_of_an_old_one_is_copied_by_several_copiers() {
    if !has_strace("a_file_that_takes_the_place_of_an_old_one") {
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
fn a_lone_copier_leaves_large_files_to_the_kernel() {
    if !has_strace("a_lone_copier_leaves_large_files_to_the_kernel") {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    let options = ["-e", "trace=pwrite64,copy_file_range"];

    env.run(env.traced(&options, ["-j1", "src", "dst"])).exits(0);

    assert!(who_called(&env, "pwrite64(").is_empty());
    assert_eq!(who_called(&env, "copy_file_range(").len(), 1);
}

#[test]
fn large_files_of_a_small_folder_are_shared_out() {
    if !has_strace("large_files_of_a_small_folder_are_shared_out") {
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
fn of_several_large_files_in_a_folder_each_copier_begins_with_its_own() {
    if !has_strace("of_several_large_files_in_a_folder_each_copier_begins_with_its_own") {
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
    assert_eq!(times, 1, "the first file was the work of two: {opened:#?}");
    env.assert_same("src", "dst");
}

#[test]
fn whoever_dies_in_the_middle_of_a_large_file_it_is_whole_in_the_end() {
    if !has_strace("whoever_dies_in_the_middle_of_a_large_file") {
        return;
    }
    // Each copier dies at its nth write: the owner, a helper, or both. Three deaths at one file would
    // have it passed over.
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
            let told = run.stdout.lines().filter(|name| name.ends_with("/big")).count();
            assert!(told <= 1, "told {told} times\n{}", run.story());
        }
    }
}

/// Of a file that was passed over nothing is kept, or all, if it was complete when a helper died.
#[track_caller]
fn assert_whole_or_none(env: &Sandbox, run: &Run) {
    let is_whole = |kept| kept == fs::read(env.path("src/big")).unwrap();
    assert!(fs::read(env.path("dst/big")).map_or(true, is_whole), "half a file: {}", run.story());
}

#[test]
fn a_target_that_is_full_is_told_once_whoever_wrote() {
    if !has_strace("a_target_that_is_full_is_told_once_whoever_wrote") {
        return;
    }
    for nth in [1, 40] {
        let env = Sandbox::new();
        env.tree("src", [LARGE]);
        let full = format!("inject=pwrite64:error=ENOSPC:when={nth}+");
        let options = ["-e", "trace=pwrite64", "-e", &full];

        let run = env.run(env.traced(&options, ["-j4", "-q", "--reflink=never", "src/big", "dst"]));

        run.exits(11).stderr_has("pcopy: cannot write 'dst': No space left on device");
        assert_eq!(run.stderr.matches("'dst'").count(), 1, "{}", run.story());
        assert!(!env.path("dst").exists());
        env.assert_nothing_staged();
    }
}

#[test]
fn a_file_beyond_the_size_that_the_user_may_write_fails_once() {
    let env = Sandbox::new();
    env.tree("src", [LARGE, "file small 10K"]);
    let limited = ["prlimit", "--fsize=30000000"];

    let run = env.run(env.before(&limited, ["-j4", "-q", "--reflink=never", "src", "dst"]));

    run.exits(1).stderr_has("pcopy: cannot write 'dst/big': File too large");
    assert_eq!(run.stderr.matches("'dst/big'").count(), 1, "{}", run.story());
    assert!(!env.path("dst/big").exists());
    env.assert_same("src/small", "dst/small");
}

#[test]
fn a_target_that_takes_bytes_in_their_order_only_gets_them_so() {
    if !has_strace("a_target_that_takes_bytes_in_their_order_only_gets_them_so") {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    // Who writes somewhere in the middle is refused, but for the first of each copier's writes; reads are
    // delayed, so that there is a helper.
    let options = [
        "-e",
        "trace=pread64,pwrite64",
        "-e",
        "inject=pread64:delay_enter=50000",
        "-e",
        "inject=pwrite64:error=EINVAL:when=21+",
    ];

    env.run(env.traced(&options, ["-j4", "-q", "--reflink=never", "src", "dst"])).exits(0);

    assert!(who_called(&env, "pwrite64(").len() >= 2, "nobody helped");
    env.assert_same("src", "dst");
}

#[test]
fn a_helpers_failure_is_made_good_by_the_owner() {
    if !has_strace("a_helpers_failure_is_made_good_by_the_owner") {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    // Only one call of each copier fails, so the file can be copied by one from the beginning.
    let options = ["-e", "trace=pread64", "-e", "inject=pread64:retval=0:when=5"];

    env.run(env.traced(&options, ["-j3", "-q", "--reflink=never", "src", "dst"])).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn a_large_file_that_its_owner_may_not_write_is_copied_all_the_same() {
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    fs::set_permissions(env.path("src/big"), PermissionsExt::from_mode(0o444)).unwrap();
    env.give_to_plain_user();
    for flag in ["--reflink=auto", "--reflink=never"] {
        let target = format!("dst{flag}");
        env.plain_pcopy(["-j4", flag, "src", &target]).exits(0);
        env.assert_same("src", &target);
    }
}

/// A run of four copiers that has begun a large file, each write of which waits so many microseconds.
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

/// Where a large file is while it is copied.
const HALF: &str = ".dst.pcopy-partial/big";

#[test]
fn a_large_file_is_dropped_in_time_and_the_next_run_goes_on() {
    if !has_strace("a_large_file_is_dropped_in_time_and_the_next_run_goes_on") {
        return;
    }
    let env = Sandbox::new();
    let live = begun(&env, "100000");

    live.signal(SIGTERM);
    let run = live.end_within(Duration::from_secs(20));

    run.died_by(SIGTERM);
    assert!(!env.path(HALF).exists(), "half a file was kept\n{}", run.story());
    env.pcopy(["-q", "src", "dst"]).exits(0);
    env.assert_same("src", "dst");
}

#[test]
fn a_source_that_shrinks_while_several_copy_it_is_no_whole_copy() {
    if !has_strace("a_source_that_shrinks_while_several_copy_it") {
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

/// What is in a line of a whole buffer that comes from a place in a file, or goes there; a program's loader
/// reads less.
const READS: &str = ", 262144, ";

/// Fails if a whole buffer was read where a file was just then: that is how a copier goes through one alone.
#[track_caller]
fn assert_nobody_did_it_again(env: &Sandbox) {
    let alone = who_called(env, "..., 262144) = 262144");
    assert!(alone.is_empty(), "{alone:?} went through it alone");
}

/// The BLAKE3 digest that a manifest has for its one file.
fn listed(env: &Sandbox, manifest: &str) -> String {
    let manifest = fs::read_to_string(env.path(manifest)).unwrap();
    assert_eq!(manifest.lines().count(), 1, "{manifest}");
    manifest.split(' ').next().unwrap().to_owned()
}

/// What the digest of a file is if it is read from its first byte to its last.
fn digest(env: &Sandbox, file: &str) -> String {
    blake3::hash(&fs::read(env.path(file)).unwrap()).to_string()
}

#[test]
fn any_number_of_copiers_comes_to_the_same_digest() {
    for size in [16_777_216, 16_777_217, 20_000_000, 71_681_024] {
        let env = Sandbox::new();
        env.tree("src", [&*format!("file big {size}")]);
        let wanted = digest(&env, "src/big");
        for jobs in ["1", "2", "8"] {
            for flag in ["-q", "--preserve=none", "--inplace", "--verify"] {
                env.pcopy(["-j", jobs, flag, "--manifest=new", "src", "dst"]).exits(0);
                assert_eq!(listed(&env, "new"), wanted, "{size} -j{jobs} {flag}");
                // What is complete is read in the target.
                env.pcopy(["-j", jobs, flag, "--manifest=old", "-T", "src", "dst"]).exits(0);
                assert_eq!(listed(&env, "old"), wanted, "{size} -j{jobs} {flag}, complete");
                fs::remove_dir_all(env.path("dst")).unwrap();
            }
        }
    }
}

#[test]
fn a_large_file_is_hashed_by_all_who_copy_it() {
    if !has_strace("a_large_file_is_hashed_by_all_who_copy_it") {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    let options = ["-e", "trace=pwrite64,read", "-e", SLOW];

    env.run(env.traced(&options, ["-j4", "--manifest=sums", "src", "dst"])).exits(0);

    assert!(who_called(&env, "pwrite64(").len() >= 2, "nobody helped");
    assert_nobody_did_it_again(&env);
    assert_eq!(listed(&env, "sums"), digest(&env, "src/big"));
    env.assert_same("src", "dst");
}

#[test]
fn a_large_file_that_was_cloned_is_hashed_by_several_copiers() {
    let test = "a_large_file_that_was_cloned_is_hashed_by_several_copiers";
    if !has_strace(test) || !in_own_mounts(test) {
        return;
    }
    for (disk, make) in [("xfs", XFS), ("btrfs", BTRFS)] {
        let env = Sandbox::new();
        let Some(_mounted) = mounted_or_skip(test, &env, disk, make) else { continue };
        let (source, target) = (format!("{disk}/src"), format!("{disk}/dst"));
        env.tree(&source, [LARGE]);
        let options = ["-e", "trace=pread64", "-e", "inject=pread64:delay_enter=10000"];
        let line = ["-j4", "--reflink=always", "--manifest=sums", &source, &target];

        env.run(env.traced(&options, line)).exits(0);

        assert!(who_called(&env, READS).len() >= 2, "nobody helped on {disk}");
        let log = fs::read_to_string(env.path("trace")).unwrap();
        let reads = log.lines().filter(|line| line.contains(READS)).count();
        assert!(reads < 400, "{reads} reads for 274 buffers: somebody did it again");
        assert_eq!(listed(&env, "sums"), digest(&env, &format!("{source}/big")));
    }
}

#[test]
fn a_large_file_is_read_back_by_several_copiers() {
    if !has_strace("a_large_file_is_read_back_by_several_copiers") {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    let slow = "inject=pread64:delay_enter=10000";
    let options = ["-e", "trace=pread64,pwrite64,read", "-e", slow];

    env.run(env.traced(&options, ["-j4", "--verify", "src", "dst"]))
        .exits(0)
        .stderr_has("1 verified");

    let (readers, writers) = (who_called(&env, READS), who_called(&env, "pwrite64("));
    let readers_back = readers.difference(&writers).count();
    assert!(readers_back >= 2, "{readers:?} have read, {writers:?} written");
    assert_nobody_did_it_again(&env);
    env.assert_same("src", "dst");
}

#[test]
fn a_wrong_byte_in_any_piece_is_found_when_it_is_read_back() {
    if !has_strace("a_wrong_byte_in_any_piece_is_found_when_it_is_read_back") {
        return;
    }
    for nth in [1, 60, 130] {
        let env = Sandbox::new();
        env.tree("src", [LARGE]);
        let wrong = format!("inject=pwrite64:poke_enter=@arg2=5858:when={nth}");
        let options = ["-e", "trace=pwrite64", "-e", &wrong];

        let run = env.run(env.traced(&options, ["-j2", "--verify", "-v", "src", "dst"]));

        // Each copier's nth write was wrong, in the second attempt perhaps, too.
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
fn whoever_fails_or_dies_while_a_large_file_is_hashed_the_digest_is_that_of_the_whole() {
    if !has_strace("whoever_fails_or_dies_while_a_large_file_is_hashed") {
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
                // Three deaths at one file have it passed over.
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
fn a_hash_that_takes_bytes_in_their_order_is_one_copiers() {
    if !has_strace("a_hash_that_takes_bytes_in_their_order_is_one_copiers") {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    let options = ["-e", "trace=pread64,pwrite64"];
    let line = ["-j4", "--hash=sha256", "--manifest=sums", "src", "dst"];

    env.run(env.traced(&options, line)).exits(0);

    assert!(who_called(&env, READS).is_empty());
    env.assert_same("src", "dst");
}

/// Comparisons of a folder with a large file, of the file itself, and with a manifest.
const COMPARISONS: [&[&str]; 3] = [
    &["-j4", "--check", "-T", "src", "dst"],
    &["-j4", "--check", "-T", "src/big", "dst/big"],
    &["-j4", "--check-manifest", "blake3", "dst"],
];

/// A large file, its copy, and manifests of it.
fn copied() -> Sandbox {
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    env.pcopy(["-q", "--hash=sha256", "--manifest=sha256", "src", "dst"]).exits(0);
    env.pcopy(["-q", "--manifest=blake3", "-T", "src", "dst"]).exits(0);
    env
}

#[test]
fn a_large_file_is_compared_by_several_copiers() {
    if !has_strace("a_large_file_is_compared_by_several_copiers") {
        return;
    }
    let env = copied();
    let slow = ["-e", "trace=pread64,read", "-e", "inject=pread64:delay_enter=10000"];
    for line in COMPARISONS {
        env.run(env.traced(&slow, line)).exits(0);
        assert!(who_called(&env, READS).len() >= 2, "nobody helped with {line:?}");
        assert_nobody_did_it_again(&env);
    }
}

#[test]
fn a_difference_in_any_piece_of_a_large_file_is_found() {
    let env = copied();
    let source = fs::File::open(env.path("src/big")).unwrap();
    let copy = fs::OpenOptions::new().write(true).open(env.path("dst/big")).unwrap();
    for at in [0, 4 << 20, 33_000_000, 71_681_023] {
        let mut byte = [0];
        source.read_exact_at(&mut byte, at).unwrap();
        copy.write_all_at(&[byte[0] ^ 1], at).unwrap();
        for line in COMPARISONS.iter().chain([&["--check-manifest", "sha256", "dst"][..]].iter()) {
            let run = env.pcopy(*line);
            let told = run.exits(6).stdout.starts_with("different: 'dst/big': contents");
            assert!(told, "{}", run.story());
        }
        copy.write_all_at(&byte, at).unwrap();
    }
}

#[test]
fn whoever_fails_or_dies_while_a_large_file_is_compared_it_is_found_to_be_the_same() {
    if !has_strace("whoever_fails_or_dies_while_a_large_file_is_compared") {
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
fn whoever_dies_while_a_large_file_is_hashed_the_digest_is_that_of_the_whole() {
    if !has_strace("whoever_dies_while_a_large_file_is_hashed") {
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

/// A run of which a copier is killed, the first or the second, while several read a large file.
fn one_dies_while_all_read<'e>(env: &'e Sandbox, line: &[&str], victim: usize) -> Run<'e> {
    let trace = env.path("trace");
    fs::write(&trace, "").unwrap();
    let slow = ["-e", "trace=pread64", "-e", "inject=pread64:delay_enter=15000"];
    let mut run = env.launch(env.traced(&slow, line));
    wait_until("somebody helps", || who_called(env, READS).len() >= 2);
    send(run.wait_for_children(2)[victim], SIGKILL);
    let run = run.end();
    assert!(fs::read_to_string(trace).unwrap().contains("killed by SIGKILL"), "nobody died");
    run
}

#[test]
fn a_file_of_more_than_four_gib_which_has_larger_pieces_is_hashed_as_it_is() {
    let env = Sandbox::new();
    fs::create_dir(env.path("dst")).unwrap();
    let file = fs::File::create(env.path("dst/big")).unwrap();
    file.set_len((4 << 30) + 12_345).unwrap();
    for at in [5, 8 << 20, 3_000_000_000, (4 << 30) + 12_000] {
        file.write_all_at(b"some words", at).unwrap();
    }
    let mut whole = blake3::Hasher::new();
    whole.update_reader(fs::File::open(env.path("dst/big")).unwrap()).unwrap();
    fs::write(env.path("sums"), format!("{}  big\n", whole.finalize())).unwrap();

    for jobs in ["-j1", "-j2"] {
        env.pcopy([jobs, "--hash=blake3", "--check-manifest", "sums", "dst"]).exits(0);
    }
    file.write_all_at(b"other", 4 << 30).unwrap();
    env.pcopy(["-j2", "--hash=blake3", "--check-manifest", "sums", "dst"]).exits(6);
}
