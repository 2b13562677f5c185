//! File data: holes, clones, copies by the kernel, and sources that change.

use crate::common::entries::*;
use crate::common::images::*;
use crate::common::mounts::*;
use crate::common::*;
use nix::sys::signal::Signal::SIGTERM;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// A file system, and the directory in the sandbox at which it is mounted.
type Disk = (&'static str, Make);

/// Makes a test for each file system. The function takes a [`Disk`].
macro_rules! each_disk {
    ($test:ident) => {
        cells! {
            $test,
            tmpfs => (("tmpfs", TMPFS)),
            ext4 => (("ext4", EXT4)),
            xfs => (("xfs", XFS)),
            btrfs => (("btrfs", BTRFS)),
        }
    };
}

/// The file systems whose files can share blocks.
const SHARING: [&str; 2] = ["xfs", "btrfs"];

/// Creates a file of `size` bytes with data at each of `extents` (offset and length). The rest of the file is
/// holes.
fn sparse(path: &Path, size: u64, extents: &[(u64, usize)]) {
    let file = File::create(path).unwrap();
    for &(at, length) in extents {
        file.write_all_at(&contents(b"data", length), at).unwrap();
    }
    file.set_len(size).unwrap();
}

/// Flushes a file system, because it allocates blocks only when it is flushed.
fn sync(env: &Sandbox, disk: &str) {
    assert!(Command::new("sync").arg("-f").arg(env.path(disk)).status().unwrap().success());
}

/// Returns the number of bytes that are allocated for a file.
fn allocated(path: impl AsRef<Path>) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

/// Fails unless both have the same bytes. (Other tests compare attributes, and to hash so many zeros would
/// take most of the time of these tests.)
#[track_caller]
fn same_bytes(env: &Sandbox, one: &str, other: &str) {
    let diff = Command::new("diff").arg("-r").arg(env.path(one)).arg(env.path(other)).output();
    let diff = diff.unwrap();
    assert!(diff.status.success(), "{one} and {other}: {}", String::from_utf8_lossy(&diff.stdout));
}

/// Plants files with holes at all positions.
fn plant_sparse(env: &Sandbox, root: &str) {
    fs::create_dir_all(env.path(root)).unwrap();
    let path = |name: &str| env.path(root).join(name);
    sparse(&path("only-a-hole"), 16 * MIB, &[]);
    sparse(&path("hole-at-end"), 16 * MIB, &[(0, 10_000)]);
    sparse(&path("hole-at-front"), 16 * MIB, &[(16 * MIB - 70_000, 70_000)]);
    sparse(&path("hole-between"), 16 * MIB + 1, &[(0, 5000), (16 * MIB - 3000, 3001)]);
    let many: Vec<_> = (0..16).map(|number| (number * MIB, 9000)).collect();
    sparse(&path("many-holes"), 16 * MIB, &many);
    sparse(&path("large-parts"), 24 * MIB, &[(4 * MIB, 1_000_000), (20 * MIB, 500_001)]);
    sparse(&path("one-byte"), 8 * MIB, &[(5 * MIB + 3, 1)]);
}

/// Runs `test`, whose name is `name`, with a file system mounted.
fn mounted_on(name: &str, (disk, make): Disk, test: impl Fn(&Sandbox, &str)) {
    if !in_own_mounts_for(name) {
        return;
    }
    let env = Sandbox::new();
    if let Some(_mounted) = mounted_or_skip_for(name, &env, disk, make) {
        test(&env, disk);
    }
}

/// Counts the lines of strace's log that name a system call.
fn calls(env: &Sandbox, call: &str) -> usize {
    let log = fs::read_to_string(env.path("trace")).unwrap();
    log.lines().filter(|line| line.contains(call)).count()
}

// ---- holes -----------------------------------------------------------------------------------

each_disk!(a_hole_stays_a_hole);
fn a_hole_stays_a_hole(disk: Disk) {
    mounted_on(test_name!(), disk, |env, disk| {
        plant_sparse(env, "src");
        sync(env, "src");
        for (jobs, reflink) in [("1", "never"), ("8", "auto")] {
            let flag = format!("--reflink={reflink}");
            for (from, to) in [("src", "there"), ("there", "again"), ("again", "back")] {
                let place = |name: &str| match name {
                    "src" | "back" => name.to_owned(),
                    _ => format!("{disk}/{name}"),
                };
                let (from, to) = (place(from), place(to));
                env.pcopy(["-j", jobs, &flag, &from, &to]).exits(0);
                same_bytes(env, "src", &to);
                sync(env, &to);
                for name in fs::read_dir(env.path("src")).unwrap() {
                    let name = name.unwrap().file_name();
                    let (was, is) = (env.path("src").join(&name), env.path(&to).join(&name));
                    let (was, is) = (allocated(was), allocated(is));
                    // xfs allocates some more for a file that grew.
                    assert!(is < 2 * was + MIB, "{to}/{name:?} takes {is}, {was} in the source");
                }
            }
            for made in [format!("{disk}/there"), format!("{disk}/again"), "back".to_owned()] {
                fs::remove_dir_all(env.path(made)).unwrap();
            }
        }
    });
}

each_disk!(a_hole_of_a_tebibyte_takes_no_time);
fn a_hole_of_a_tebibyte_takes_no_time(disk: Disk) {
    mounted_on(test_name!(), disk, |env, disk| {
        let (source, target) = (format!("{disk}/huge"), format!("{disk}/dst"));
        sparse(&env.path(&source), 1 << 40, &[(3 << 30, 100_000), (1 << 39, 1)]);

        let begun = Instant::now();
        env.pcopy(["--reflink=never", &source, &target]).exits(0);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?} on {disk}", begun.elapsed());

        let copy = File::open(env.path(&target)).unwrap();
        assert_eq!(copy.metadata().unwrap().len(), 1 << 40);
        sync(env, disk);
        assert!(allocated(env.path(&target)) < MIB);
        for (at, length) in [(3 << 30, 100_000), (1 << 39, 1)] {
            let mut bytes = vec![0; length];
            copy.read_exact_at(&mut bytes, at).unwrap();
            assert_eq!(bytes, contents(b"data", length));
        }
    });
}

each_disk!(without_holes_all_of_a_file_is_written);
fn without_holes_all_of_a_file_is_written(disk: Disk) {
    mounted_on(test_name!(), disk, |env, disk| {
        let (source, target) = (format!("{disk}/src"), format!("{disk}/dst"));
        plant_sparse(env, &source);

        env.pcopy(["--sparse=never", &source, &target]).exits(0);

        same_bytes(env, &source, &target);
        sync(env, disk);
        for name in ["only-a-hole", "hole-at-end", "many-holes"] {
            let is = allocated(env.path(&target).join(name));
            assert!(is >= 16 * MIB, "{name} takes {is} on {disk}");
        }
    });
}

each_disk!(zeros_become_holes_on_request);
fn zeros_become_holes_on_request(disk: Disk) {
    mounted_on(test_name!(), disk, |env, disk| {
        plant_sparse(env, "src");
        fs::write(env.path("src/zeros"), vec![0; 4 << 20]).unwrap();
        let mut mixed = vec![0; (4 << 20) + 17];
        mixed[1_000_000..1_010_000].copy_from_slice(&contents(b"x", 10_000));
        mixed[3_000_000] = 1;
        fs::write(env.path("src/mixed"), mixed).unwrap();
        env.tree("src", ["file solid 1M", "text short abc", "file empty 0"]);
        for jobs in ["1", "8"] {
            let target = format!("{disk}/dst-{jobs}");

            env.pcopy(["-j", jobs, "--sparse=always", "src", &target]).exits(0);

            same_bytes(env, "src", &target);
            sync(env, disk);
            for name in ["zeros", "mixed"] {
                let is = allocated(env.path(&target).join(name));
                assert!(is < MIB, "{target}/{name} takes {is}");
            }
            let solid = allocated(env.path(&target).join("solid"));
            assert!(solid >= MIB, "{solid} bytes are too few for {target}/solid");
        }
    });
}

#[test]
fn a_file_system_without_holes_or_with_wrong_answers_gets_a_full_copy() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    // The first two calls ask for data and holes; later ones would set positions.
    for answer in ["error=EINVAL:when=1", "error=EOPNOTSUPP:when=1", "retval=0:when=1..2"] {
        for flag in ["--reflink=auto", "--reflink=never", "--sparse=always"] {
            let env = Sandbox::new();
            fs::create_dir(env.path("src")).unwrap();
            sparse(&env.path("src/a"), 3 * MIB, &[(MIB, 5000), (2 * MIB, 5000)]);
            let inject = format!("inject=lseek:{answer}");
            let options = ["-e", "trace=lseek", "-e", &inject];

            env.run(env.traced(&options, ["-j1", flag, "src", "dst"])).exits(0);

            env.assert_same("src", "dst");
            assert!(calls(&env, "lseek(") > 0, "{answer} {flag}");
        }
    }
}

// ---- clones ----------------------------------------------------------------------------------

/// Whether a file shares all its blocks with another file.
fn is_shared(path: &Path) -> bool {
    let map = Command::new("filefrag").arg("-v").arg(path).output().unwrap();
    let map = String::from_utf8(map.stdout).unwrap();
    let extents =
        || map.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    assert!(extents().count() > 0, "{map}");
    extents().all(|line| line.contains("shared"))
}

each_disk!(a_copy_shares_the_sources_blocks_where_it_can_and_may);
fn a_copy_shares_the_sources_blocks_where_it_can_and_may(disk: Disk) {
    if !tool("filefrag") {
        return skip!("filefrag is not installed");
    }
    mounted_on(test_name!(), disk, |env, disk| {
        let source = format!("{disk}/src");
        env.tree(&source, ["file big 30M", "file small 20K", "file empty 0"]);
        sync(env, disk);
        for (number, (flag, shares)) in [
            ("--reflink=auto", true),
            ("--reflink=never", false),
            ("--sparse=never", false),
            ("--sparse=always", false),
            ("--reflink", true),
        ]
        .into_iter()
        .enumerate()
        {
            let target = format!("{disk}/dst-{number}");
            if flag == "--reflink" && !SHARING.contains(&disk) {
                continue;
            }
            env.pcopy([flag, "-j2", &source, &target]).exits(0);
            same_bytes(env, &source, &target);
            if disk == "tmpfs" {
                continue; // it has no map of extents
            }
            sync(env, disk);
            for file in ["big", "small"] {
                let path = env.path(&target).join(file);
                let expected = shares && SHARING.contains(&disk);
                assert_eq!(is_shared(&path), expected, "{disk} {flag} {file}");
            }
        }
    });
}

each_disk!(a_file_that_must_be_cloned_and_cannot_is_named_and_exits_4);
fn a_file_that_must_be_cloned_and_cannot_is_named_and_exits_4(disk: Disk) {
    mounted_on(test_name!(), disk, |env, disk| {
        env.tree("src", ["file a 10K", "file sub/b 300K", "link c a"]);
        let elsewhere = format!("{disk}/from-another");
        let run = env.pcopy(["--reflink=always", "src", &elsewhere]);
        run.exits(4).stderr_has("Invalid cross-device link").stderr_has("2 failed");
        assert!(!exists(env.path(&elsewhere).join("a")), "{}", run.story());

        if !SHARING.contains(&disk) {
            let (source, target) = (format!("{disk}/src"), format!("{disk}/dst"));
            env.tree(&source, ["file a 10K"]);
            let run = env.pcopy(["-j1", "--reflink=always", &source, &target]);
            let message = format!("cannot clone '{source}/a' to '{target}/a': Operation not supp");
            run.exits(4).stderr_has(&message);
        }
    });
}

#[test]
fn insisting_on_clones_excludes_options_about_holes() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1K"]);
    for sparse in ["--sparse=always", "--sparse=never"] {
        env.pcopy(["--reflink=always", sparse, "src", "dst"]).exits(2).stderr_has("--sparse=auto");
    }
    assert!(!exists(env.path("dst")));
}

#[test]
fn a_clone_that_fails_for_another_reason_is_an_error() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    // EIO may be a read error of the source.
    for (error, code) in [("ENOSPC", 11), ("EDQUOT", 11), ("EIO", 1), ("ENOMEM", 1)] {
        let env = Sandbox::new();
        env.tree("src", ["file a 300K"]);
        let inject = format!("inject=ioctl:error={error}");
        let options = ["-e", "trace=ioctl", "-e", &inject];

        let run = env.run(env.traced(&options, ["src", "dst"]));

        run.exits(code).stderr_has("cannot clone 'src/a' to 'dst/a': ");
        assert!(!exists(env.path("dst/a")) && !exists(env.path(".dst.pcopy-partial/a")));
    }
}

#[test]
fn what_two_file_systems_cannot_do_is_tried_once_and_what_two_files_cannot_each_time() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    const FILES: usize = 6;
    for (error, once) in [
        ("EOPNOTSUPP", true),
        ("EXDEV", true),
        ("ENOTTY", true),
        ("ENOSYS", true),
        ("EINVAL", false),
        ("ETXTBSY", false),
        ("EPERM", false),
        ("EAGAIN", false), // ZFS, if the source is not yet on the disk
        ("EOVERFLOW", false),
        ("EISDIR", false),
        ("EFBIG", false),
        ("ENOENT", false),
    ] {
        let env = Sandbox::new();
        for number in 0..FILES {
            env.tree("src", [format!("file d{}/f{number} 300K", number % 2).as_str()]);
        }
        let (clone, range) = (
            format!("inject=ioctl:error={error}"),
            format!("inject=copy_file_range:error={error}"),
        );
        let options = ["-e", "trace=ioctl,copy_file_range", "-e", &clone, "-e", &range];

        env.run(env.traced(&options, ["-j1", "src", "dst"])).exits(0);

        env.assert_same("src", "dst");
        let expected = if once { 1 } else { FILES };
        assert_eq!(calls(&env, "FICLONE"), expected, "clones after {error}");
        assert_eq!(calls(&env, "copy_file_range("), expected, "ranges after {error}");
    }
}

#[test]
fn all_copiers_learn_what_one_found_out() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.many("src", 2000, 0);
    let unable = "inject=copy_file_range:error=EOPNOTSUPP";
    let options = ["-e", "trace=ioctl,copy_file_range", "-e", unable];

    env.run(env.traced(&options, ["-j8", "src", "dst"])).exits(0);

    for call in ["FICLONE", "copy_file_range("] {
        let tries = calls(&env, call);
        assert!((1..=8).contains(&tries), "{tries} tries of {call} by 8 copiers");
    }
}

// ---- copying by the kernel -------------------------------------------------------------------

#[test]
fn a_copy_by_the_kernel_that_ends_early_is_completed() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for answer in [
        "retval=0",
        "error=EXDEV",
        "error=EOPNOTSUPP",
        "error=EINVAL",
        "error=ENOSYS",
        "error=EBADF",
        "error=EPERM",
        "error=EIO",
        "error=EINTR",
    ] {
        for when in ["1+", "2+"] {
            if answer.ends_with("EINTR") && when == "1+" {
                continue; // without end: EINTR means that the call is to be repeated
            }
            let env = Sandbox::new();
            env.tree("src", ["file big 20M"]);
            fs::create_dir_all(env.path("src")).unwrap();
            sparse(&env.path("src/holes"), 30 * MIB, &[(MIB, 18_000_000), (25 * MIB, 600_000)]);
            let when = if answer.ends_with("EINTR") { "2" } else { when };
            let inject = format!("inject=copy_file_range:{answer}:when={when}");
            let options = ["-e", "trace=copy_file_range", "-e", &inject];

            env.run(env.traced(&options, ["-j1", "src", "dst"])).exits(0);

            same_bytes(&env, "src", "dst");
            assert!(calls(&env, "copy_file_range(") > 0, "{answer} {when}");
        }
    }
}

#[test]
fn files_generated_on_read_are_copied_to_their_end() {
    let env = Sandbox::new();
    let files = ["/proc/version", "/proc/filesystems", "/sys/kernel/fscaps", "/proc/kallsyms"];
    for (number, file) in files.into_iter().enumerate() {
        if !exists(file) {
            skip!(&format!("there is no {file}"));
            continue;
        }
        for flag in ["--sparse=auto", "--sparse=always", "--sparse=never"] {
            let target = format!("dst-{number}{flag}");
            env.pcopy([flag, file, &target]).exits(0).stderr_has("copied 1 entry");
            let (is, was) = (fs::read(env.path(&target)).unwrap(), fs::read(file).unwrap());
            assert!(is == was, "{file}: {} bytes of {}", is.len(), was.len());
        }
    }
}

#[test]
fn a_small_file_takes_eight_calls_and_without_times_seven() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let count = |keep: &str, files: usize| {
        let env = Sandbox::new();
        fs::create_dir(env.path("src")).unwrap();
        for number in 0..files {
            fs::write(env.path("src").join(number.to_string()), "some words").unwrap();
        }
        env.run(env.traced(&[], ["-j1", "-q", keep, "src", "dst"])).exits(0);
        // Without the calls with which the standard library checks a descriptor in a debug build.
        calls(&env, "(") - calls(&env, "F_GETFD")
    };
    // openat, fstat, openat, copy, fstat, utimensat, close twice. The calls of the run and of the directory
    // grow by a report or a full buffer now and then. With -a the attributes are listed.
    for (keep, calls) in [("--progress=never", 8.0), ("--preserve=none", 7.0), ("-a", 9.0)] {
        let (few, many) = (count(keep, 100), count(keep, 500));
        let each = (many - few) as f64 / 400.0;
        assert!(each < calls + 0.2, "{each} calls for each file with {keep}");
    }
}

#[test]
fn a_large_file_that_the_kernel_copies_is_aborted_in_time() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file big 200M"]);
    let slow = "inject=copy_file_range:delay_exit=300000"; // 25 calls
    let options = ["-e", "trace=copy_file_range", "-e", slow];
    let mut live = env.launch(env.traced(&options, ["-j1", "src", "dst"]));
    let half = env.path(".dst.pcopy-partial/big");
    wait_until("the file is begun", || {
        assert!(live.is_running(), "too quick");
        fs::metadata(&half).is_ok_and(|file| file.len() > 0)
    });

    live.signal(SIGTERM);
    let begun = Instant::now();
    let run = live.end_within(Duration::from_secs(10));

    run.died_by(SIGTERM);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let left = fs::metadata(&half).unwrap().len();
    assert!(left < 200 << 20, "it was not aborted\n{}", run.story());
    env.pcopy(["src", "dst"]).exits(0);
    env.assert_same("src", "dst");
}

// ---- sources that change ---------------------------------------------------------------------

/// Copies `src/big` slowly, and calls `change` each time that a part has been copied.
#[track_caller]
fn copy_while_it_changes(
    env: &Sandbox,
    flag: &str,
    times: usize,
    change: impl Fn(&Path, usize) + Send,
) -> i32 {
    let (source, half) = (env.path("src/big"), env.path(".dst.pcopy-partial/big"));
    let calls = "write,copy_file_range";
    let trace = format!("trace={calls}");
    let slow = format!("inject={calls}:delay_enter=100000:delay_exit=100000");
    let command =
        env.traced(&["-e", &trace, "-e", &slow], ["--progress=always", "-j1", flag, "src", "dst"]);
    let mut live = env.launch(command);
    for time in 0..times {
        let size = || fs::metadata(&half).map_or(0, |half| half.len());
        wait_until("a part was copied", || {
            assert!(live.is_running(), "too quick");
            size() > 0
        });
        change(&source, time);
        if time + 1 < times {
            wait_until("it begins again", || size() == 0);
        }
    }
    let run = live.end();
    let code = run.status.code().unwrap();
    if code == 24 {
        run.stderr_has("pcopy: 'src/big' changed while it was read").stderr_has("1 changed");
    }
    code
}

/// For each way of copying data, the option that selects it, and a file of a suitable size.
const CHANGING: [(&str, &str); 4] = [
    ("--reflink=auto", "file big 10M"),
    ("--reflink=never", "file big 1M"),
    ("--reflink=never", "file big 3K"),
    ("--sparse=always", "file big 1M"),
];

#[test]
fn a_file_that_is_rewritten_while_it_is_read_is_copied_again() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for (flag, file) in CHANGING {
        let env = Sandbox::new();
        env.tree("src", [file, "file other 1K"]);
        let rewrite = |path: &Path, _| {
            let size = usize::try_from(fs::metadata(path).unwrap().len()).unwrap();
            let time = modified(path);
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .write_all_at(&vec![7; size], 0)
                .unwrap();
            set_times(path, time, time); // which does not hide the change
        };

        assert_eq!(copy_while_it_changes(&env, flag, 1, rewrite), 0, "{flag} {file}");

        env.assert_same("src", "dst");
    }
}

#[test]
fn a_file_that_grows_or_shrinks_while_it_is_read_is_copied_again() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for (flag, file) in CHANGING {
        for new_size in [100, 11 * MIB] {
            let env = Sandbox::new();
            env.tree("src", [file]);
            let cut = |path: &Path, _| {
                File::options().write(true).open(path).unwrap().set_len(new_size).unwrap()
            };

            let code = copy_while_it_changes(&env, flag, 1, cut);

            assert_eq!(code, 0, "{flag} {file} to {new_size}");
            env.assert_same("src", "dst");
        }
    }
}

#[test]
fn a_file_that_changes_twice_while_it_is_read_is_named_and_copied_by_the_next_run() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for (flag, file) in CHANGING {
        let env = Sandbox::new();
        env.tree("src", [file, "file other 1K"]);
        let grow = |path: &Path, time: usize| {
            let size = fs::metadata(path).unwrap().len();
            let file = File::options().write(true).open(path).unwrap();
            file.write_all_at(&[time as u8; 1000], size).unwrap();
        };

        assert_eq!(copy_while_it_changes(&env, flag, 2, grow), 24, "{flag} {file}");

        env.pcopy(["-T", "src", "dst"]).exits(0).stderr_has("copied 1 entry");
        env.assert_same("src", "dst");
    }
}

#[test]
fn permissions_that_change_while_a_file_is_read_are_those_of_the_copy() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file big 1M"]);
    chmod(&env.path("src/big"), 0o644);

    let code = copy_while_it_changes(&env, "--reflink=auto", 1, |path, _| chmod(path, 0o600));

    assert_eq!(code, 0);
    assert_eq!(mode_of(env.path("dst/big")), 0o600);
}

#[test]
fn a_file_that_ends_before_its_size_is_named_and_copied_by_the_next_run() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for kilobytes in [1, 300, 900] {
        let env = Sandbox::new();
        env.tree("src", [format!("file f {kilobytes}K").as_str()]);
        let file = env.path("src/f");
        let ends = ["-P", file.to_str().unwrap(), "-e", "trace=read", "-e", "inject=read:retval=0"];

        let run = env.run(env.traced(&ends, ["--reflink=never", "src", "dst"]));

        run.exits(24).stderr_has("'src/f' changed while it was read");
        env.pcopy(["-T", "src", "dst"]).exits(0);
        env.assert_same("src", "dst");
    }
}

/// Network file systems report only at close that they had no space.
#[test]
fn a_file_whose_close_fails_is_named_and_leaves_the_old_one() {
    if !has_strace!() {
        return;
    }
    for (exists, staged) in [(false, ".dst.pcopy-partial/a"), (true, "dst/.a.pcopy-partial")] {
        let env = Sandbox::new();
        env.tree("src", ["file a 3K", "file b 3K"]);
        if exists {
            env.tree("dst", ["text a old"]);
        }
        let path = env.path(staged);
        let fault = ["-P", path.to_str().unwrap(), "-e", "inject=close:error=EIO:when=1"];

        let run = env.run(env.traced(&fault, ["-j1", "-T", "src", "dst"]));

        run.exits(11).stderr_has("cannot close 'dst/a': Input/output error");
        let left = fs::read_to_string(env.path("dst/a")).ok();
        assert_eq!(left.as_deref(), exists.then_some("old"));
        env.pcopy(["-T", "src", "dst"]).exits(0);
        env.assert_same("src", "dst");
        env.assert_nothing_staged();
    }
}
