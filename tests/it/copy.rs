//! The copy is exact: the type, name, mode, time and size of every entry.

use crate::common::entries::*;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

// xfs cannot hold numbers that large.
holds_on_every_file_system!(except devices_are_recreated_with_their_numbers);

#[test]
fn a_small_tree_is_copied_with_all_that_is_in_it() {
    let env = Sandbox::new();
    env.tree(
        "src",
        ["file a 3K", "dir empty", "link l a", "file sub/b 300K", "fifo sub/f", "file zero 0"],
    );

    env.pcopy(["src", "dst"]).exits(0).stderr_has("copied 8 entries");

    env.assert_same("src", "dst");
    env.assert_nothing_staged();
}

each_jobs!(any_number_of_copiers_gives_the_same_tree, 1, 2, 8, 64);
fn any_number_of_copiers_gives_the_same_tree(jobs: &str) {
    let env = Sandbox::new();
    env.plant("src", "fixtures/mixed.tree");
    let source = env.listing("src");
    let target = format!("dst-{jobs}");

    env.pcopy(["-j", jobs, "src", &target]).exits(0);

    let differences = differences(&source, &env.listing(&target));
    assert!(differences.is_empty(), "with {jobs} copiers:\n{differences}");
    env.assert_same("src", &target);
}

#[test]
fn the_source_is_left_unchanged() {
    let env = Sandbox::new();
    env.plant("src", "fixtures/mixed.tree");
    let changes = || -> Vec<(PathBuf, i64, i64)> {
        env.listing("src")
            .into_keys()
            .map(|path| {
                let metadata = fs::symlink_metadata(env.path("src").join(&path)).unwrap();
                (path, metadata.ctime(), metadata.ctime_nsec())
            })
            .collect()
    };
    let (entries, before) = (env.listing("src"), changes());

    env.pcopy(["src", "dst"]).exits(0);

    assert_eq!(env.listing("src"), entries);
    assert_eq!(changes(), before, "times of the last change of inodes");
}

#[test]
fn every_mode_of_a_file_is_preserved() {
    let env = Sandbox::new();
    fs::create_dir(env.path("src")).unwrap();
    for mode in 0..=0o7777 {
        let path = env.path(format!("src/{mode:04o}"));
        fs::write(&path, "x").unwrap();
        chmod(&path, mode);
    }

    env.pcopy(["src", "dst"]).exits(if is_root() { 0 } else { 1 });

    for mode in (0..=0o7777).filter(|mode| is_root() || mode & 0o400 != 0) {
        assert_eq!(mode_of(env.path(format!("dst/{mode:04o}"))), mode, "{mode:04o}");
    }
}

#[test]
fn every_mode_of_a_directory_is_preserved() {
    if !is_root() {
        return skip!("needs root, to enter those without rights");
    }
    let env = Sandbox::new();
    for mode in 0..=0o7777 {
        let path = env.path(format!("src/{mode:04o}"));
        fs::create_dir_all(&path).unwrap();
        if mode % 3 == 0 {
            fs::write(path.join("inside"), "x").unwrap();
        }
        chmod(&path, mode);
    }

    env.pcopy(["src", "dst"]).exits(0);

    for mode in 0..=0o7777 {
        assert_eq!(mode_of(env.path(format!("dst/{mode:04o}"))), mode, "{mode:04o}");
    }
}

#[test]
fn every_mode_of_a_fifo_is_preserved() {
    let env = Sandbox::new();
    fs::create_dir(env.path("src")).unwrap();
    for mode in 0..=0o7777 {
        let path = env.path(format!("src/{mode:04o}"));
        node(&path, "fifo", 0, 0);
        chmod(&path, mode);
    }

    env.pcopy(["src", "dst"]).exits(0);

    for mode in 0..=0o7777 {
        assert_eq!(mode_of(env.path(format!("dst/{mode:04o}"))), mode, "{mode:04o}");
    }
}

#[test]
fn the_umask_of_the_caller_does_not_matter() {
    let env = Sandbox::new();
    env.plant("src", "fixtures/mixed.tree");
    for umask in ["000", "022", "077", "777"] {
        let target = format!("dst-{umask}");
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("umask {umask} && exec '{PCOPY}' src '{target}'"));
        command.current_dir(env.path(""));

        env.run(command).exits(0);

        let differences = differences(&env.listing("src"), &env.listing(&target));
        assert!(differences.is_empty(), "with umask {umask}:\n{differences}");
    }
}

#[test]
fn the_set_user_id_bit_is_dropped_when_the_copy_has_another_owner() {
    if !is_root() {
        return skip!("needs root, to have files of two users");
    }
    let env = Sandbox::new();
    fs::create_dir(env.path("src")).unwrap();
    // name, owner, group, mode, mode of root's copy
    let cases = [
        ("mine", 0, 0, 0o6755, 0o6755),
        ("other-user", 65534, 0, 0o6755, 0o2755),
        ("other-group", 0, 65534, 0o6755, 0o4755),
        ("other-both", 65534, 65534, 0o7711, 0o1711),
        ("other-plain", 65534, 65534, 0o640, 0o640),
    ];
    for (name, user, group, mode, _) in cases {
        let path = env.path("src").join(name);
        fs::write(&path, "x").unwrap();
        std::os::unix::fs::chown(&path, Some(user), Some(group)).unwrap();
        chmod(&path, mode);
    }

    for target in ["dst", "dst"] {
        env.pcopy(["-T", "src", target]).exits(0); // copied, then skipped: nothing is to be repaired

        for (name, _, _, _, wanted) in cases {
            let got = mode_of(env.path("dst").join(name));
            assert_eq!(got, wanted, "{name}: {got:04o} instead of {wanted:04o}");
        }
    }
}

#[test]
fn times_are_preserved_to_the_nanosecond() {
    let env = Sandbox::new();
    env.tree("src", ["file f 10", "dir d", "link l f", "fifo p", "file full/x 1"]);
    let times: [Time; 6] = [
        (1_600_000_000, 1),
        (1_600_000_000, 999_999_999),
        (0, 0),
        (-1, 999_999_999),
        (-5_000_000_000, 123_456_789),
        (6_000_000_000, 987_654_321),
    ];
    for (number, time) in times.into_iter().enumerate() {
        for name in ["src/f", "src/d", "src/l", "src/p", "src/full/x", "src/full", "src"] {
            set_times(&env.path(name), time, time);
        }
        let target = format!("dst-{number}");

        env.pcopy(["src", &target]).exits(0);

        let time = modified(env.path("src/f")); // not every file system can hold 1811
        for name in ["f", "d", "l", "p", "full/x", "full", ""] {
            assert_eq!(modified(env.path(&target).join(name)), time, "of '{name}'");
        }
    }
}

#[test]
fn access_times_are_preserved_too() {
    let env = Sandbox::new();
    env.tree("src", ["file f 10", "dir d", "link l f", "fifo p", "file full/x 1"]);
    let names = ["f", "d", "l", "p", "full/x", "full", ""];
    let accessed: Time = (1_234_567_890, 987_654_321);
    for name in names {
        set_times(&env.path("src").join(name), accessed, (1_600_000_000, 5));
    }

    env.pcopy(["src", "dst"]).exits(0);

    for name in names {
        let copy = fs::symlink_metadata(env.path("dst").join(name)).unwrap();
        assert_eq!((copy.atime(), copy.atime_nsec()), accessed, "of '{name}'");
    }
}

each_jobs!(a_directory_keeps_its_time_though_it_is_filled_later, 1, 2, 8);
fn a_directory_keeps_its_time_though_it_is_filled_later(jobs: &str) {
    let env = Sandbox::new();
    let (source, target) = (format!("src-{jobs}"), format!("dst-{jobs}"));
    for dir in 0..40 {
        for file in 0..10 {
            let path = env.path(&source).join(format!("{}/{dir}/{}", dir % 4, file % 3));
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join(file.to_string()), "x").unwrap();
        }
    }
    let dirs: Vec<PathBuf> = env.listing(&source).into_keys().collect();
    for (number, path) in dirs.iter().enumerate() {
        let time = (1_000_000_000 + i64::try_from(number).unwrap(), 7);
        set_times(&env.path(&source).join(path), time, time);
    }

    env.pcopy(["-j", jobs, &source, &target]).exits(0);

    env.assert_same(&source, &target);
}

each_jobs!(a_name_may_be_any_bytes, 1, 8);
fn a_name_may_be_any_bytes(jobs: &str) {
    let env = Sandbox::new();
    let bytes = (1..=255_u8).filter(|byte| *byte != b'/');
    let names = bytes.clone().filter(|byte| *byte != b'.').map(|byte| vec![byte]);
    let pairs = bytes.clone().map(|byte| vec![byte, 0xff - (byte & 0x0e), b'\n', byte]);
    for (number, name) in names.chain(pairs).enumerate() {
        let path = env.path("src").join(OsString::from_vec(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match number % 3 {
            0 => fs::write(path, number.to_string()).unwrap(),
            1 => fs::create_dir(path).unwrap(),
            _ => std::os::unix::fs::symlink("x", path).unwrap(),
        }
    }
    let target = format!("dst-{jobs}");

    env.pcopy(["-j", jobs, "src", &target]).exits(0);

    env.assert_same("src", &target);
}

#[test]
fn operands_may_be_any_bytes() {
    let env = Sandbox::new();
    for name in [&b"\xff\xfe"[..], b"a\nb", b"\x1b[31m", b" ", b"*"] {
        let name = OsString::from_vec(name.to_vec());
        fs::create_dir(env.path(&name)).unwrap();
        fs::write(env.path(&name).join("inside"), "x").unwrap();
        let mut target = name.clone();
        target.push("\u{1}to");

        env.pcopy([&name, &target]).exits(0).stderr_lacks("\u{1b}").stderr_lacks("\u{1}");

        env.assert_same(&name, &target);
    }
}

#[test]
fn names_of_every_length_up_to_the_limit_are_copied() {
    let env = Sandbox::new();
    for length in 230..=255 {
        env.tree("src", [&*format!("file {} {length}", "f".repeat(length))]);
        env.tree("src", [&*format!("file {}/x {length}", "d".repeat(length))]);
    }

    env.pcopy(["src", "dst"]).exits(0);
    env.assert_same("src", "dst");

    env.tree("half", ["dir x"]);
    env.pcopy(["-T", "src", "half"]).exits(0); // these are staged one by one
    fs::remove_dir(env.path("half/x")).unwrap();
    set_times(&env.path("half"), modified(env.path("src")), modified(env.path("src")));
    env.assert_same("src", "half");
    env.assert_nothing_staged();
}

#[test]
fn files_of_every_size_around_the_buffer_are_whole() {
    const BUFFER: usize = 256 * 1024;
    let env = Sandbox::new();
    let sizes = [0, 1, 2, 4095, 4096, 4097, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER - 1]
        .into_iter()
        .chain([2 * BUFFER, 2 * BUFFER + 1, 3_333_333, 20_000_003]);
    for size in sizes {
        env.tree("src", [&*format!("file {size} {size}")]);
    }

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn a_file_with_holes_reads_the_same() {
    let env = Sandbox::new();
    fs::create_dir(env.path("src")).unwrap();
    let file = fs::File::create(env.path("src/holes")).unwrap();
    use std::os::unix::fs::FileExt;
    file.write_all_at(b"middle", 5_000_000).unwrap();
    file.set_len(9_999_999).unwrap();
    fs::File::create(env.path("src/nothing")).unwrap().set_len(3_000_000).unwrap();

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn symlinks_are_copied_with_their_text() {
    let env = Sandbox::new();
    env.tree("src", ["file a 5", "dir d"]);
    env.tree("outside", ["text secret words"]);
    let (long, longest) = ("x".repeat(1000), "x".repeat(4095));
    let texts = ["a", "d", "no/such", "/etc/passwd", "../outside", "..", ".", "../src", " "];
    let texts = [&texts[..], &[&long, &longest]].concat();
    let fits = |number: usize, text: &str| {
        symlink_if_it_fits(text, &env.path(format!("src/link-{number}")))
    };
    let numbered = texts.iter().enumerate();
    let made: Vec<_> = numbered.filter(|&(number, text)| fits(number, text)).collect();

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
    for (number, text) in made {
        let copy = fs::read_link(env.path(format!("dst/link-{number}"))).unwrap();
        assert_eq!(copy, Path::new(text));
    }
}

#[test]
fn devices_are_recreated_with_their_numbers() {
    if !is_root() {
        return skip!("needs root, to make devices");
    }
    let env = Sandbox::new();
    fs::create_dir(env.path("src")).unwrap();
    let devices = [("char", 1, 5), ("char", 4095, 1_048_575), ("block", 8, 17), ("char", 0, 0)];
    for (number, (kind, major, minor)) in devices.into_iter().enumerate() {
        node(&env.path(format!("src/{number}-{kind}")), kind, major, minor);
    }

    env.pcopy(["src", "dst"]).exits(0); // 1:5 is /dev/zero: read as a file, it would never end

    env.assert_same("src", "dst");
}

#[test]
fn a_fifo_is_not_opened() {
    use std::os::unix::fs::OpenOptionsExt;
    let env = Sandbox::new();
    env.tree("src", ["fifo waiting", "file a 10"]);
    // The test has it open and has written: another process that opens it could read that.
    let mut ours = fs::File::options()
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(env.path("src/waiting"))
        .unwrap();
    std::io::Write::write_all(&mut ours, b"for another reader").unwrap();

    env.pcopy(["src", "dst"]).exits(0);

    let mut words = [0; 18];
    std::io::Read::read_exact(&mut ours, &mut words).unwrap();
    assert_eq!(&words, b"for another reader");
    assert!(fs::symlink_metadata(env.path("dst/waiting")).unwrap().file_type().is_fifo());
}

#[test]
fn special_files_are_never_opened() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.plant("src", "fixtures/mixed.tree");
    env.tree("dst", ["file fifo 10", "fifo small", "file socket 10"]);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "trace", "-e", "trace=open,openat,openat2", PCOPY]);
    command.args(["-T", "src", "dst"]).current_dir(env.path(""));

    env.run(command).exits(0);

    let trace = fs::read_to_string(env.path("trace")).unwrap();
    assert!(trace.contains("\"words\""), "the trace shows no opened files:\n{trace}");
    for special in ["fifo", "locked-fifo", "socket", "null", "char", "block"] {
        let opened = trace.lines().find(|line| line.contains(&format!("\"{special}\"")));
        assert_eq!(opened, None, "{special}");
    }
}

#[test]
fn a_single_entry_of_any_type_can_be_copied() {
    let env = Sandbox::new();
    env.tree("", ["file f 300K", "file e 0", "link l nowhere", "fifo p", "dir d"]);
    node(&env.path("s"), "socket", 0, 0);
    let mut names = vec!["f", "e", "l", "p", "d", "s"];
    if is_root() {
        node(&env.path("c"), "char", 1, 3);
        names.push("c");
    }
    for name in names {
        set_times(&env.path(name), (1_500_000_000, 3), (1_500_000_000, 3));
        let target = format!("{name}-to");

        env.pcopy([name, &target]).exits(0).stderr_has("copied 1 entry");

        assert_eq!(env.listing(name), env.listing(&target), "{name}");
    }
    env.assert_nothing_staged();
}

#[test]
fn a_file_without_a_size_is_copied_to_its_end() {
    let env = Sandbox::new();

    env.pcopy(["/proc/version", "version"]).exits(0);

    let copy = fs::read(env.path("version")).unwrap();
    assert_eq!(copy, fs::read("/proc/version").unwrap());
    assert!(!copy.is_empty());
}

#[test]
fn a_directory_of_files_that_report_too_large_a_size_is_copied() {
    // Files in /sys report a size of 4096 bytes and have fewer.
    let source = Path::new("/sys/kernel/mm/transparent_hugepage");
    if fs::read(source.join("enabled")).is_err() {
        return skip!("this kernel shows no /sys/kernel/mm/transparent_hugepage/enabled");
    }
    let env = Sandbox::new();

    env.pcopy([source.join("enabled"), env.path("enabled")]).exits(0);

    assert_eq!(fs::read(env.path("enabled")).unwrap(), fs::read(source.join("enabled")).unwrap());
}

#[test]
fn an_empty_directory_is_copied_alone() {
    let env = Sandbox::new();
    env.tree("src", []);
    chmod(&env.path("src"), 0o710);
    set_times(&env.path("src"), (5, 6), (7, 8));

    env.pcopy(["src", "dst"]).exits(0).stderr_has("copied 1 entry (0 bytes)");

    env.assert_same("src", "dst");
}

each_jobs!(what_is_copied_is_counted_exactly, 1, 8);
fn what_is_copied_is_counted_exactly(jobs: &str) {
    let env = Sandbox::new();
    env.plant("src", "fixtures/mixed.tree");
    let source = env.listing("src");
    let target = format!("dst-{jobs}");
    let run = env.pcopy(["-j", jobs, "src", &target]);
    run.exits(0).stderr_has(&format!("copied {} entries (", source.len()));
}

#[test]
fn the_working_directory_may_have_been_removed() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]).tree("gone", []);
    let mut command = Command::new("sh");
    command.arg("-c").arg(r#"cd gone && rmdir ../gone && exec "$0" "$1" "$2""#);
    command.arg(PCOPY).arg(env.path("src")).arg(env.path("dst")).current_dir(env.path(""));

    env.run(command).exits(0);

    env.assert_same("src", "dst");
}

#[test]
fn a_file_beyond_the_size_that_the_user_may_write_fails_alone() {
    if !tool("prlimit") {
        return skip!("prlimit is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file big 10M", "file small 1M", "file sub/a 10"]);

    let run = env.run(env.before(&["prlimit", "--fsize=8000000"], ["-j", "2", "src", "dst"]));

    run.exits(1).stderr_has("pcopy: cannot write 'dst/big': File too large\n");
    assert!(!exists(env.path("dst/big")));
    env.assert_same("src/small", "dst/small");
    env.assert_same("src/sub", "dst/sub");
}
