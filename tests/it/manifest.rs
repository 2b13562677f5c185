//! `--manifest`: which files it lists, and whether other programs accept it.

use crate::common::checksum_programs::*;
use crate::common::entries::*;
use crate::common::images::*;
use crate::common::mounts::*;
use crate::common::*;
use std::fs;
use std::process::Command;

/// Plants files of several kinds, and entries that a manifest does not list.
fn some_files(env: &Sandbox) {
    env.tree(
        "src",
        ["file a 10", "file d/b 300K", "file d/e/large 20M", "text d/c words", "file 0 0"],
    );
    env.tree("src", ["link sym a", "link d/away /etc/passwd", "dir empty", "fifo d/fifo"]);
    for (file, name) in [("a", "d/hard"), ("a", "zz"), ("d/e/large", "large"), ("sym", "sym2")] {
        fs::hard_link(env.path("src").join(file), env.path("src").join(name)).unwrap();
    }
    let hole = fs::File::create(env.path("src/hole")).unwrap();
    hole.set_len(3_000_000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&hole, b"data", 1_000_000).unwrap();
}

#[test]
fn names_are_relative_to_the_target_operand() {
    for (hash, program) in CHECKERS {
        if !has_checker!(program) {
            continue;
        }
        // What exists before, the arguments, and what the names are relative to.
        for (before, arguments, root) in [
            ("", &["src", "dst"][..], "dst"),
            ("dst", &["src", "dst"], "dst"),
            ("dst", &["src/.", "dst"], "dst"),
            ("dst", &["-T", "src", "dst/"], "dst"),
            ("dst", &["-t", "dst/.", "src/a", "src/d"], "dst"),
            ("dst", &["src/d/", "src/zz", "dst/"], "dst"),
            ("dst", &["--parents", "src/d/e", "src/a", "dst"], "dst"),
            ("", &["src"], "src-copy"),
            ("dst", &["src/a", "dst/alone"], "dst"),
            ("dst", &["-T", "src/d/c", "dst/alone"], "dst"),
        ] {
            let env = Sandbox::new();
            some_files(&env);
            fs::create_dir_all(env.path(before)).unwrap();
            let flag = format!("--hash={hash}");

            let options = [&flag, "--manifest", "sums"];
            env.pcopy([&options[..], arguments].concat()).exits(0);

            assert_lists(&env, "sums", program, root);
            assert_eq!(accepts(&env, program, root, "sums"), Ok(()), "{arguments:?}");
        }
    }
}

each_jobs!(any_name_is_escaped_as_coreutils_does, 1, 8);
fn any_name_is_escaped_as_coreutils_does(jobs: &str) {
    let env = Sandbox::new();
    env.plant("src", "fixtures/mixed.tree");
    for name in ["cr\rx", "\r", "\\n", "\n", "a\\\r\n", " * ", "#", "SHA256 (x) = y"] {
        fs::write(env.path("src").join(name), name).unwrap();
    }

    env.pcopy(["-j", jobs, "--hash=sha256", "--manifest=sums", "src", "dst"]);

    if is_root() {
        assert_lists(&env, "sums", "sha256sum", "dst"); // an ordinary user cannot read all of it
    }
    assert_eq!(accepts(&env, "sha256sum", "dst", "sums"), Ok(()));
}

#[test]
fn a_file_named_dash_is_not_taken_for_standard_input() {
    for (hash, program) in CHECKERS {
        if !has_checker!(program) {
            continue;
        }
        let env = Sandbox::new();
        env.tree("src", ["text - abc"]);
        env.pcopy([&format!("--hash={hash}"), "--manifest=sums", "src", "dst"]).exits(0);
        assert_eq!(accepts(&env, program, "dst", "sums"), Ok(()));
        fs::write(env.path("dst/-"), "abd").unwrap();
        assert!(accepts(&env, program, "dst", "sums").is_err(), "the file was not read");
    }
}

each_jobs!(what_was_up_to_date_is_listed_like_what_was_copied, 1, 2, 8);
fn what_was_up_to_date_is_listed_like_what_was_copied(jobs: &str) {
    for options in [&[][..], &["-u"], &["-n"], &["--inplace"], &["-a"], &["--no-preserve=links"]] {
        let env = Sandbox::new();
        some_files(&env);
        let list = |name: &str| {
            let manifest = format!("--manifest={name}");
            let line = ["-j", jobs, "--hash=sha256", &manifest, "-T", "src", "dst"];
            env.pcopy([&line[..], options].concat()).exits(0);
            assert_lists(&env, name, "sha256sum", "dst");
        };
        list("copied");
        list("skipped");
        for gone in ["a", "d/e/large", "hole"] {
            fs::remove_file(env.path("dst").join(gone)).unwrap();
        }
        list("some-of-both");
    }
}

#[test]
fn an_existing_file_that_is_not_replaced_is_not_listed() {
    for option in ["-n", "-u"] {
        let env = Sandbox::new();
        env.tree("src", ["text a new", "text b same"])
            .tree("dst", ["text a old one", "text own x"]);
        set_times(&env.path("src/a"), (1000, 0), (1000, 0));
        env.pcopy([option, "-T", "src", "dst", "--manifest=sums"]).exits(0);
        assert_eq!(names_in(env.path("sums")), ["b"], "{option}");
    }
}

#[test]
fn the_hash_is_of_what_was_read_and_not_of_what_was_written() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 100000"]);
    // The write of the copier to the file claims to have written, and did not.
    let lie = "inject=write:retval=100000:when=1";
    let options = ["-P", "/a-path-of-no-file", "-e", "trace=write", "-e", lie];
    let source = env.path(".dst.pcopy-partial/a");
    let options = [&["-P", source.to_str().unwrap()], &options[2..]].concat();

    env.run(env.traced(&options, ["-j1", "--hash=sha256", "--manifest=sums", "src", "dst"]))
        .exits(0);

    assert_eq!(accepts(&env, "sha256sum", "src", "sums"), Ok(()));
    assert!(accepts(&env, "sha256sum", "dst", "sums").is_err(), "the write was not lost");
}

cells! {
    clones_holes_and_zeros_are_hashed_as_they_are_read,
    tmpfs => (TMPFS, false),
    ext4 => (EXT4, false),
    xfs => (XFS, true),
    btrfs => (BTRFS, true),
}
fn clones_holes_and_zeros_are_hashed_as_they_are_read(make: Make, has_clones: bool) {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    let Some(_mounted) = mounted_or_skip!(&env, "at", make) else { return };
    some_files(&env);
    fs::write(env.path("src/zeros"), vec![0; 1 << 20]).unwrap();
    env.pcopy(["src", "at/src"]).exits(0);
    for option in ["--reflink=auto", "--reflink=never", "--sparse=always", "--sparse=never"] {
        let line = ["-j8", option, "--hash=sha256", "--manifest=sums", "at/src", "at/dst"];

        env.pcopy(line).exits(0);

        assert_lists(&env, "sums", "sha256sum", "at/dst");
        env.assert_same("src", "at/dst");
        fs::remove_dir_all(env.path("at/dst")).unwrap();
    }
    if has_clones {
        // Dirty pages may have no blocks yet, and a clone waits for these.
        let line = ["--reflink=always", "--manifest=sums", "--hash=sha256", "at/src", "at/clones"];
        env.pcopy(line).exits(0);
        assert_lists(&env, "sums", "sha256sum", "at/clones");
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_hashed_as_it_was_read_in_the_end() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for (times, code) in [(1, 0), (2, 24)] {
        let env = Sandbox::new();
        env.tree("src", ["file big 1M", "file other 10"]);
        let half = env.path(".dst.pcopy-partial/big");
        let slow = "inject=write:delay_enter=100000:delay_exit=100000";
        let options = ["-e", "trace=write", "-e", slow];
        let line = ["-j1", "--hash=sha256", "--manifest=sums", "src", "dst"];
        let mut live = env.launch(env.traced(&options, line));
        for time in 0..times {
            let size = || fs::metadata(&half).map_or(0, |half| half.len());
            wait_until("a part was copied", || {
                assert!(live.is_running(), "too fast");
                size() > 0
            });
            fs::write(env.path("src/big"), vec![b'0' + time; 1_000_000]).unwrap();
            if time + 1 < times {
                wait_until("it begins again", || size() == 0);
            }
        }

        live.end().exits(code);

        if code == 0 {
            assert_lists(&env, "sums", "sha256sum", "dst");
        } else {
            assert_eq!(names_in(env.path("sums")), ["other"]);
        }
    }
}

cells! {
    a_file_that_changes_between_its_clone_and_its_hash_is_cloned_again,
    xfs => XFS,
    btrfs => BTRFS,
}
fn a_file_that_changes_between_its_clone_and_its_hash_is_cloned_again(make: Make) {
    if !in_own_mounts!() {
        return;
    }
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    let Some(_mounted) = mounted_or_skip!(&env, "at", make) else { return };
    env.tree("at/src", ["file big 3M"]);
    let half = env.path("at/.dst.pcopy-partial/big");
    // The first call returns late: the file is cloned, and not yet read.
    let late = "inject=ioctl:delay_exit=700000:when=1";
    let options = ["-e", "trace=ioctl", "-e", late];
    let line = ["-j1", "--hash=sha256", "--manifest=sums", "at/src", "at/dst"];
    let mut live = env.launch(env.traced(&options, line));
    wait_until("it is cloned", || {
        assert!(live.is_running(), "too fast");
        fs::metadata(&half).is_ok_and(|half| half.len() == 3 << 20)
    });
    fs::write(env.path("at/src/big"), vec![7; 2 << 20]).unwrap();

    live.end().exits(0);

    assert_lists(&env, "sums", "sha256sum", "at/dst");
    env.assert_same("at/src", "at/dst");
    let calls = fs::read_to_string(env.path("trace")).unwrap();
    assert!(calls.matches("FICLONE").count() > 1, "{calls}");
}

#[test]
fn a_stream_that_becomes_a_file_is_listed() {
    let env = Sandbox::new();
    env.tree("src", ["fifo fifo", "file a 10"]);
    let fifo = env.path("src/fifo");
    let writer = std::thread::spawn(move || fs::write(fifo, vec![b'x'; 500_000]));

    env.pcopy(["--copy-contents", "--hash=sha256", "--manifest=sums", "src", "dst"]).exits(0);

    writer.join().unwrap().unwrap();
    assert_lists(&env, "sums", "sha256sum", "dst");
}

#[test]
fn directories_that_are_merged_are_listed_as_they_are_in_the_end() {
    let env = Sandbox::new();
    env.tree("a", ["text x one", "text only-a 1"]).tree("b", ["text x other", "text d/only-b 2"]);
    fs::create_dir(env.path("dst")).unwrap();

    env.pcopy(["--hash=sha256", "--manifest=sums", "a/.", "b/.", "dst"]).exits(0);

    assert_lists(&env, "sums", "sha256sum", "dst");
}

#[test]
fn a_complete_file_that_cannot_be_read_back_is_named_and_not_listed() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file b 20"]);
    env.pcopy(["src", "dst"]).exits(0);
    let place = env.path("dst/a");
    let options =
        ["-P", place.to_str().unwrap(), "-e", "trace=read", "-e", "inject=read:error=EIO"];

    let run = env.run(env.traced(&options, ["-j1", "-T", "--manifest=sums", "src", "dst"]));

    run.exits(1).stderr_has("pcopy: cannot read 'dst/a': Input/output error");
    assert_eq!(names_in(env.path("sums")), ["b"]);
    env.assert_same("src", "dst");
}

#[test]
fn reading_back_leaves_no_access_time() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]);
    env.pcopy(["src", "dst"]).exits(0);
    let accessed = || fs::metadata(env.path("dst/a")).unwrap().accessed().unwrap();
    set_times(&env.path("dst/a"), (1000, 0), modified(env.path("src/a")));
    let before = accessed();

    env.pcopy(["-T", "src", "dst", "--manifest=sums"]).exits(0).stderr_has("2 skipped");

    assert_eq!(accessed(), before);
    let read = Command::new("cat").arg(env.path("dst/a")).output().unwrap();
    assert!(read.status.success());
    if accessed() == before {
        skip!("access times are off here");
    }
}

#[test]
fn what_a_later_source_replaced_by_no_regular_file_is_not_listed() {
    let env = Sandbox::new();
    env.tree("a", ["text f one", "text g one"]).tree("b", ["link f nowhere", "text g two"]);
    env.tree("c", ["fifo h"]).tree("a", ["text h one"]).tree("dst", []);

    env.pcopy(["--hash=sha256", "--manifest=sums", "a/.", "b/.", "c/.", "dst"]).exits(0);

    let sums = fs::read_to_string(env.path("sums")).unwrap();
    assert!(sums.ends_with("  g\n") && sums.lines().count() == 1, "{sums}");
}
