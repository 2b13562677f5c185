//! Large files are copied completely, whatever the number of copiers. The tests of several copiers that work
//! on one file at the same time are in `tests/timing/large_shared.rs`.

use crate::common::large_files::*;
use crate::common::*;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};

each_jobs!(any_number_of_copiers_gives_the_same_file, 1, 2, 8);
fn any_number_of_copiers_gives_the_same_file(jobs: &str) {
    let env = Sandbox::new();
    env.tree("src", [LARGE, "file d/exact 65536K", "file d/small 10K", "file e/more 30000K"]);
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

#[test]
fn a_lone_copier_leaves_large_files_to_the_kernel() {
    if !has_strace!() {
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
fn a_file_beyond_the_file_size_limit_fails_once() {
    if !tool("prlimit") {
        return skip!("prlimit is not installed");
    }
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

each_jobs!(any_number_of_copiers_comes_to_the_same_digest, 1, 2, 8);
fn any_number_of_copiers_comes_to_the_same_digest(jobs: &str) {
    for size in [16_777_216, 16_777_217, 20_000_000, 71_681_024] {
        let env = Sandbox::new();
        env.tree("src", [&*format!("file big {size}")]);
        let wanted = digest(&env, "src/big");
        for flag in ["-q", "--preserve=none", "--inplace", "--verify"] {
            env.pcopy(["-j", jobs, flag, "--manifest=new", "src", "dst"]).exits(0);
            assert_eq!(listed(&env, "new"), wanted, "{size} -j{jobs} {flag}");
            // An up-to-date file is read in the target.
            env.pcopy(["-j", jobs, flag, "--manifest=old", "-T", "src", "dst"]).exits(0);
            assert_eq!(listed(&env, "old"), wanted, "{size} -j{jobs} {flag}, complete");
            fs::remove_dir_all(env.path("dst")).unwrap();
        }
    }
}

#[test]
fn a_sequential_hash_is_computed_by_one_copier() {
    if !has_strace!() {
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

#[test]
fn a_difference_in_any_chunk_of_a_large_file_is_found() {
    let env = copied();
    let source = fs::File::open(env.path("src/big")).unwrap();
    let copy = fs::OpenOptions::new().write(true).open(env.path("dst/big")).unwrap();
    for at in [0, 4 << 20, 33_000_000, 71_681_023] {
        let mut byte = [0];
        source.read_exact_at(&mut byte, at).unwrap();
        copy.write_all_at(&[byte[0] ^ 1], at).unwrap();
        for line in COMPARISONS.iter().chain([&["--check-manifest", "sha256", "dst"][..]].iter()) {
            let run = env.pcopy(*line);
            let reported = run.exits(6).stdout.starts_with("different: 'dst/big': contents");
            assert!(reported, "{}", run.story());
        }
        copy.write_all_at(&byte, at).unwrap();
    }
}

#[test]
fn a_file_of_more_than_four_gib_with_larger_chunks_is_hashed_correctly() {
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
