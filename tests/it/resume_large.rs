//! A large file that an interrupted run has begun: what is there and right stays, the rest is written.

use crate::common::entries::*;
use crate::common::large_files::LARGE;
use crate::common::*;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

const SIZE: u64 = 70001 << 10;
const CHUNK: u64 = 4 << 20;

/// What an interrupted run has left of a copy of `src/big`: the first half, but for one chunk that it had taken
/// and not written.
fn plant_half(env: &Sandbox, left: &Path) {
    fs::create_dir_all(left.parent().unwrap()).unwrap();
    let whole = fs::read(env.path("src/big")).unwrap();
    let half = usize::try_from(8 * CHUNK).unwrap();
    fs::write(left, &whole[..half]).unwrap();
    let file = File::options().write(true).open(left).unwrap();
    file.write_all_at(&[7; 1000], 3 * CHUNK + 5).unwrap();
}

/// Returns how many bytes the traced processes have written to files of this size and copied in the kernel.
fn written(env: &Sandbox) -> u64 {
    let trace = fs::read_to_string(env.path("trace")).unwrap();
    let calls = ["pwrite64(", "write(", "copy_file_range("];
    let lines = trace.lines().filter(|line| calls.iter().any(|call| line.contains(call)));
    lines.filter_map(|line| line.rsplit(" = ").next()?.parse::<u64>().ok()).sum()
}

const CALLS: &[&str] = &["-e", "trace=write,pwrite64,copy_file_range,ioctl"];

cells! {
    a_half_copied_file_is_completed_and_not_copied_again,
    staged_1 => (".dst.pcopy-partial/big", &["-j1", "-T", "src", "dst"]),
    staged_4 => (".dst.pcopy-partial/big", &["-j4", "-T", "src", "dst"]),
    merged_1 => ("dst/.big.pcopy-partial", &["-j1", "-T", "src", "dst"]),
    merged_4 => ("dst/.big.pcopy-partial", &["-j4", "-T", "src", "dst"]),
    alone => ("dst/.big.pcopy-partial", &["-j4", "src/big", "dst/big"]),
    in_place_1 => ("dst/big", &["-j1", "--inplace", "-T", "src", "dst"]),
    in_place_4 => ("dst/big", &["-j4", "--inplace", "-T", "src", "dst"]),
    blake3 => (".dst.pcopy-partial/big", &["-j4", "--manifest=sums", "-T", "src", "dst"]),
    sha256 => (".dst.pcopy-partial/big", &["--hash=sha256", "--manifest=sums", "-T", "src", "dst"]),
    verified => (".dst.pcopy-partial/big", &["-j4", "--verify", "-T", "src", "dst"]),
}
fn a_half_copied_file_is_completed_and_not_copied_again(left: &str, line: &[&str]) {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    chmod(&env.path("src/big"), 0o640);
    plant_half(&env, &env.path(left));
    let inode = fs::metadata(env.path(left)).unwrap().ino();

    env.launch(env.traced(CALLS, line)).end().exits(0);

    env.assert_same("src/big", "dst/big");
    assert_eq!(fs::metadata(env.path("dst/big")).unwrap().ino(), inode, "it was created anew");
    let (written, missing) = (written(&env), SIZE - 8 * CHUNK);
    assert!(written < missing + 2 * CHUNK, "{written} bytes of {missing} were written");
    env.assert_nothing_staged();
    if env.path("sums").exists() {
        env.pcopy(["--check-manifest=sums", "dst"]).exits(0);
    }
}

each_jobs!(a_source_that_has_changed_since_is_copied_as_it_is_now, 1, 4);
fn a_source_that_has_changed_since_is_copied_as_it_is_now(jobs: &str) {
    for size in [SIZE, SIZE / 2, 5 * CHUNK] {
        let env = Sandbox::new();
        env.tree("src", [LARGE]);
        plant_half(&env, &env.path(".dst.pcopy-partial/big"));
        env.tree("src", [&*format!("file big {size}")]);
        let changed = File::options().write(true).open(env.path("src/big")).unwrap();
        changed.write_all_at(b"changed", 100).unwrap();
        drop(changed);

        env.pcopy(["-j", jobs, "-T", "src", "dst"]).exits(0);

        env.assert_same("src", "dst");
    }
}

/// Another user may hold such a file open, or have given it another name.
#[test]
fn a_begun_file_with_another_name_is_not_written_into() {
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    plant_half(&env, &env.path("dst/.big.pcopy-partial"));
    fs::hard_link(env.path("dst/.big.pcopy-partial"), env.path("other")).unwrap();
    let before = fs::read(env.path("other")).unwrap();

    env.pcopy(["-T", "src", "dst"]).exits(0);

    env.assert_same("src", "dst");
    assert!(fs::read(env.path("other")).unwrap() == before, "the other name was written to");
}

#[test]
fn unchanged_bytes_count_as_skipped() {
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    plant_half(&env, &env.path(".dst.pcopy-partial/big"));

    let run = env.pcopy(["-j4", "-T", "src", "dst"]);

    run.exits(0).stderr_has("copied 2 entries (38 MB)");
}
