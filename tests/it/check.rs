//! `--check`: missing, extraneous and changed entries are reported, and no entry is modified.

use crate::common::chance::Dice;
use crate::common::entries::*;
use crate::common::images::*;
use crate::common::mounts::*;
use crate::common::*;
use nix::sys::signal::Signal::{SIGTERM, SIGUSR1};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Returns the access times of all files in both trees, without reading any file.
fn accesses(env: &Sandbox) -> String {
    let find = Command::new("find")
        .args(["src", "dst", "-type", "f", "-printf", "%A@ %p\\n"])
        .current_dir(env.path(""))
        .output();
    String::from_utf8_lossy(&find.unwrap().stdout).into_owned()
}

/// Sets all access times so far back that any read would change them.
fn age(env: &Sandbox, roots: &[&str]) {
    let status = Command::new("find")
        .args(roots)
        .args(["-exec", "touch", "-h", "-a", "-d", "2001-01-01", "{}", "+"])
        .current_dir(env.path(""))
        .status();
    assert!(status.unwrap().success());
}

cells! {
    a_copy_is_identical_and_nothing_is_changed,
    jobs_1 => (&[], "1"),
    jobs_2_archive => (&["-a"], "2"),
    jobs_8_preserve => (&["-p"], "8"),
    jobs_8_links => (&["-d"], "8"),
}
fn a_copy_is_identical_and_nothing_is_changed(options: &[&str], jobs: &str) {
    if !is_root() {
        return skip!("an ordinary user cannot copy all of the tree");
    }
    let env = Sandbox::new();
    env.plant("src", "fixtures/mixed.tree");
    if xattr::set(env.path("src/large"), "user.colour", b"blue").is_err() {
        // tmpfs has such attributes since Linux 6.6
    }
    fs::hard_link(env.path("src/large"), env.path("src/old-dir/a/hard")).unwrap();
    env.pcopy([options, &["src", "dst"]].concat()).exits(0);
    let before = env.listing("");
    age(&env, &["src", "dst"]);
    let accessed = accesses(&env);

    let run = env.pcopy([options, &["-j", jobs, "--check", "-T", "src", "dst"]].concat());

    run.exits(0).stdout_is("").stderr_has(": identical");
    assert!(accessed.lines().count() > 50, "{accessed}");
    assert_eq!(accesses(&env), accessed);
    assert_eq!(env.listing(""), before);
}

#[test]
fn a_directory_keeps_its_access_time() {
    let env = Sandbox::new();
    env.tree("src", ["file d/a 10"]);
    env.pcopy(["src", "dst"]).exits(0);
    age(&env, &["src", "dst"]);
    let accessed = |path: &str| fs::metadata(env.path(path)).unwrap().atime();
    let directories = ["src", "src/d", "dst", "dst/d"];
    let before = directories.map(accessed);
    env.pcopy(["--check", "-T", "src", "dst"]).exits(0);
    assert_eq!(directories.map(accessed), before);
    fs::read_dir(env.path("src/d")).unwrap().count();
    if accessed("src/d") == before[1] {
        skip!("access times are off here");
    }
}

/// Returns a sandbox with a source and an exact copy of it.
fn copied() -> Sandbox {
    let env = Sandbox::new();
    env.tree("src", ["text a one", "text d/b two", "link d/sym a", "fifo d/fifo", "file d/big 1M"]);
    for (path, mode) in [("a", 0o644), ("d/b", 0o640), ("d", 0o755), ("d/fifo", 0o600)] {
        chmod(&env.path("src").join(path), mode);
    }
    env.pcopy(["src", "dst"]).exits(0);
    env
}

/// Modifies the copy, then restores the times of its directories.
fn spoil(env: &Sandbox, act: impl Fn(&Path)) {
    let dirs = ["dst", "dst/d"].map(|dir| env.path(dir));
    let times = dirs.each_ref().map(modified);
    act(&env.path("dst"));
    dirs.iter().zip(times).filter(|(dir, _)| dir.is_dir()).for_each(|(dir, time)| {
        set_times(dir, time, time);
    });
}

fn rewrite(path: PathBuf, text: &[u8]) {
    let time = modified(&path);
    fs::write(&path, text).unwrap();
    set_times(&path, time, time);
}

each_jobs!(each_difference_has_one_line, 1, 8);
fn each_difference_has_one_line(jobs: &str) {
    let cases: [(Act, &str); 15] = [
        (|dst| fs::remove_file(dst.join("a")).unwrap(), "missing: 'dst/a'"),
        (
            |dst| fs::remove_dir_all(dst.join("d")).unwrap(),
            "missing: 'dst/d', a directory, with its contents",
        ),
        (|dst| fs::write(dst.join("d/new\n"), "x").unwrap(), "extraneous: 'dst/d/new\\n'"),
        (
            |dst| fs::create_dir_all(dst.join("x/y/z")).unwrap(),
            "extraneous: 'dst/x', a directory, with its contents",
        ),
        (|dst| rewrite(dst.join("d/b"), b"tww"), "different: 'dst/d/b': contents"),
        (|dst| rewrite(dst.join("a"), b"ones"), "different: 'dst/a': contents"),
        (
            |dst| {
                let mut big = fs::read(dst.join("d/big")).unwrap();
                big[900_000] ^= 1;
                rewrite(dst.join("d/big"), &big);
            },
            "different: 'dst/d/big': contents",
        ),
        (
            |dst| chmod(&dst.join("a"), 0o600),
            "different: 'dst/a': permission bits 0600 instead of 0644",
        ),
        (
            |dst| chmod(&dst.join("d"), 0o700),
            "different: 'dst/d': permission bits 0700 instead of 0755",
        ),
        (|dst| set_times(&dst.join("a"), (1, 1), (1, 1)), "different: 'dst/a': modification time"),
        (
            |dst| set_times(&dst.join("d/sym"), (1, 1), (1, 1)),
            "different: 'dst/d/sym': modification time",
        ),
        (
            |dst| {
                let time = modified(dst.join("d/sym"));
                fs::remove_file(dst.join("d/sym")).unwrap();
                symlink("b", dst.join("d/sym")).unwrap();
                set_times(&dst.join("d/sym"), time, time);
            },
            "different: 'dst/d/sym': contents",
        ),
        (
            |dst| {
                fs::remove_file(dst.join("a")).unwrap();
                symlink("d/b", dst.join("a")).unwrap();
            },
            "different: 'dst/a': a symlink instead of a file",
        ),
        (
            |dst| {
                fs::remove_file(dst.join("d/fifo")).unwrap();
                fs::create_dir(dst.join("d/fifo")).unwrap();
            },
            "different: 'dst/d/fifo': a directory instead of a FIFO",
        ),
        (
            |dst| {
                fs::write(dst.join("a"), "other").unwrap();
                chmod(&dst.join("a"), 0o4755);
            },
            "different: 'dst/a': contents, permission bits 4755 instead of 0644, modification time",
        ),
    ];
    for (number, (act, line)) in cases.into_iter().enumerate() {
        let env = copied();
        spoil(&env, act);
        let run = env.pcopy(["-j", jobs, "--check", "-T", "src", "dst"]);
        run.exits(6).stdout_is(&format!("{line}\n"));
        let what = line.split(':').next().unwrap();
        run.stderr_has(&format!(": 1 {what}\n"));
        assert_eq!(run.stderr.lines().count(), 1, "{number}\n{}", run.story());
    }
}

/// A modification of a copy.
type Act = fn(&Path);

#[test]
fn owner_acls_and_attributes_count_where_they_are_preserved() {
    if !is_root() || !tool("setfacl") {
        return skip!("needs root and setfacl");
    }
    let trial = Sandbox::new();
    if !run_tool("setfacl", &["-m", "u:7:r"], &trial.path(""))
        || xattr::set(trial.path(""), "user.x", b"y").is_err()
    {
        return skip!("no ACLs or attributes here");
    }
    let acts: [(Act, &str, bool); 4] = [
        (
            |dst| std::os::unix::fs::lchown(dst.join("d/sym"), Some(7), None).unwrap(),
            "owner or group",
            true,
        ),
        (|dst| xattr::set(dst.join("a"), "user.x", b"y").unwrap(), "extended attributes", false),
        (|dst| xattr::set(dst.join("d"), "user.x", b"y").unwrap(), "extended attributes", false),
        (
            |dst| {
                let set =
                    Command::new("setfacl").args(["-d", "-m", "u:7:r"]).arg(dst.join("d")).status();
                assert!(set.unwrap().success());
            },
            "ACL",
            true,
        ),
    ];
    for (act, word, with_p) in acts {
        let env = copied();
        spoil(&env, act);
        env.pcopy(["--check", "-T", "src", "dst"]).exits(0);
        let code = if with_p { 6 } else { 0 };
        env.pcopy(["-p", "--check", "-T", "src", "dst"]).exits(code);
        let run = env.pcopy(["-a", "--check", "-T", "src", "dst"]);
        run.exits(6);
        assert!(run.stdout.trim_end().ends_with(&format!(": {word}")), "{}", run.story());
        assert_eq!(run.stdout.lines().count(), 1, "{}", run.story());
    }
}

#[test]
fn what_a_copy_does_not_preserve_does_not_count() {
    let env = copied();
    spoil(&env, |dst| {
        chmod(&dst.join("a"), 0o600);
        set_times(&dst.join("a"), (1, 1), (1, 1));
    });
    env.pcopy(["--no-preserve=mode", "--check", "-T", "src", "dst"]).exits(6);
    env.pcopy(["--no-preserve=mode,timestamps", "--check", "-T", "src", "dst"]).exits(0);
    env.pcopy(["--preserve=none", "--check", "-T", "src", "dst"]).exits(0);
}

each_jobs!(hard_links_must_be_hard_links_and_other_files_not, 1, 8);
fn hard_links_must_be_hard_links_and_other_files_not(jobs: &str) {
    let env = Sandbox::new();
    env.tree("src", ["text a same", "text b same", "text d/c same"]);
    for name in ["a", "b", "d/c"] {
        set_times(&env.path("src").join(name), (1000, 0), (1000, 0));
    }
    fs::hard_link(env.path("src/a"), env.path("src/d/link")).unwrap();
    env.pcopy(["src", "good"]).exits(0);
    env.pcopy(["--check", "-T", "src", "good"]).exits(0);

    env.pcopy(["--no-preserve=links", "src", "apart"]).exits(0);
    let run = env.pcopy(["-j", jobs, "--check", "-T", "src", "apart"]);
    run.exits(6)
        .stdout_is("different: 'apart/d/link': hard-linked to 'apart/a' on one side only\n");
    env.pcopy(["-j", jobs, "--no-preserve=links", "--check", "-T", "src", "apart"]).exits(0);

    let time = modified(env.path("good"));
    fs::remove_file(env.path("good/b")).unwrap();
    fs::hard_link(env.path("good/a"), env.path("good/b")).unwrap();
    set_times(&env.path("good"), time, time);
    let run = env.pcopy(["--check", "-T", "src", "good"]);
    run.exits(6).stdout_is("different: 'good/b': hard-linked to 'good/a' on one side only\n");
}

#[test]
fn sources_and_targets_are_placed_as_for_a_copy() {
    for (before, copy, check) in [
        ("dst", &["src", "dst"][..], &["src", "dst"][..]),
        ("dst", &["src", "dst"], &["-T", "src", "dst/src"]),
        ("dst", &["src/.", "dst"], &["-T", "src", "dst"]),
        ("dst", &["src/.", "dst"], &["src/.", "dst"]),
        ("dst", &["-t", "dst", "src/a", "src/d"], &["-t", "dst", "src/a", "src/d"]),
        ("dst", &["src/a", "dst/alone"], &["src/a", "dst/alone"]),
        ("", &["src"], &["src"]),
        ("", &["src", "--suffix-name=.bak"], &["src", "--suffix-name=.bak"]),
        ("", &["src", "dst"], &["-T", "src", "dst"]),
    ] {
        let env = Sandbox::new();
        env.tree("src", ["text a one", "text d/b two"]);
        fs::create_dir_all(env.path(before)).unwrap();
        env.pcopy(copy).exits(0);
        env.pcopy([&["--check"], check].concat()).exits(0).stderr_has("identical");
        for spoiled in ["src/a", "src/d/b"] {
            fs::write(env.path(spoiled), "another text").unwrap();
        }
        let run = env.pcopy([&["--check"], check].concat());
        run.exits(6);
        assert!(run.stdout.contains(": contents"), "{check:?}\n{}", run.story());
    }
}

#[test]
fn a_wrong_directory_gets_a_hint() {
    let env = copied();
    let run = env.pcopy(["--check", "src", "dst"]);
    run.exits(6).stdout_is("missing: 'dst/src', a directory, with its contents\n");
    run.stderr_has(
        "hint: DST is a directory, so SRC is looked up inside it; use -T to compare SRC with DST itself",
    );
    fs::create_dir(env.path("dst/src")).unwrap();
    env.pcopy(["--check", "src", "dst"]).exits(6).stderr_lacks("hint:");
}

#[test]
fn symlinks_are_never_followed() {
    let env = copied();
    env.tree("", ["text outside/b two"]);
    spoil(&env, |dst| {
        fs::rename(dst.join("d"), dst.parent().unwrap().join("moved")).unwrap();
        symlink("../moved", dst.join("d")).unwrap();
    });
    let run = env.pcopy(["--check", "-T", "src", "dst"]);
    run.exits(6).stdout_is("different: 'dst/d': a symlink instead of a directory\n");
}

#[test]
fn what_cannot_be_read_is_named_and_exits_1() {
    let env = copied();
    env.give_to_plain_user();
    spoil(&env, |dst| chmod(&dst.join("a"), 0o644));
    for (path, what) in [
        ("src/a", "cannot open 'src/a' for reading: Permission denied"),
        ("dst/a", "cannot read 'dst/a': Permission denied"),
        ("src/d", "cannot read directory 'src/d': Permission denied"),
        ("dst/d", "cannot open directory 'dst/d': Permission denied"),
    ] {
        let mode = mode_of(env.path(path));
        chmod(&env.path(path), 0);
        let run = env.plain_pcopy_as_is(["--check", "-T", "src", "dst", "--no-preserve=mode"]);
        run.exits(1).stderr_has(&format!("pcopy: {what}\n")).stderr_has(": 1 failed");
        chmod(&env.path(path), mode);
    }
    env.plain_pcopy_as_is(["--check", "-T", "src", "dst"]).exits(0);
    if is_root() {
        // A comparison needs no write permission.
        let chown = Command::new("chown").args(["-hR", "0:0"]).arg(env.path("dst")).status();
        assert!(chown.unwrap().success());
        chmod(&env.path("dst/d/b"), 0o644);
        env.plain_pcopy_as_is(["--no-preserve=mode", "--check", "-T", "src", "dst"]).exits(0);
    }
}

#[test]
fn a_file_with_a_read_error_is_named_and_the_rest_compared() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = copied();
    spoil(&env, |dst| rewrite(dst.join("d/b"), b"tww"));
    let place = env.path("dst/a");
    let options =
        ["-P", place.to_str().unwrap(), "-e", "trace=read", "-e", "inject=read:error=EIO"];
    let run = env.run(env.traced(&options, ["--progress=always", "--check", "-T", "src", "dst"]));
    run.exits(1).stderr_has("pcopy: cannot read 'dst/a': Input/output error");
    run.stdout_is("different: 'dst/d/b': contents\n").stderr_has(": 1 different, 1 failed");
}

#[test]
fn a_comparison_reports_its_status_and_ends_on_a_signal() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file big 20M", "text a one"]);
    env.pcopy(["src", "dst", "--manifest=sums"]).exits(0);
    fs::write(env.path("dst/a"), "another").unwrap();
    let big = ["src/big", "dst/big"].map(|file| env.path(file).to_str().unwrap().to_owned());
    let slow = ["-e", "trace=pread64", "-e", "inject=pread64:delay_exit=200000"]; // 80 of each file
    let slow = [&["-P", &big[0], "-P", &big[1]], &slow[..]].concat();
    for (line, at) in [
        (&["-j2", "--check", "-T", "src", "dst"][..], "src/big"),
        (&["-j2", "--check-manifest", "sums", "dst"], "dst/big"),
    ] {
        let mut live = env.launch(env.traced(&slow, line));
        wait_until("it reads", || {
            assert!(live.is_running(), "it has ended\n{}", live.stderr());
            fs::metadata(env.path("trace")).is_ok_and(|trace| trace.len() > 0)
        });
        wait_until("the status names the large file", || {
            assert!(live.is_running(), "it has ended\n{}", live.stderr());
            live.signal(SIGUSR1);
            std::thread::sleep(Duration::from_millis(50));
            live.stderr().contains(&format!("at '{at}'"))
        });
        live.signal(SIGTERM);
        let begun = Instant::now();

        let run = live.end_within(Duration::from_secs(20));

        run.died_by(SIGTERM).stderr_has("interrupted: compared");
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        fs::remove_file(env.path("trace")).unwrap();
    }
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let env = copied();
    env.tree("other", ["text x 1"]);
    for (line, why) in [
        (&["no", "dst"][..], "cannot stat 'no'"),
        (&["src", "no/dst"], "cannot open directory 'no': No such file or directory\n"),
        (&["src/.", "other/.", "dst"], "several sources would become 'dst'"),
        (&["-T", "src", "src"], "'src' and 'src' are the same directory"),
    ] {
        let before = env.listing("");
        env.pcopy([&["--check"], line].concat()).exits(3).stderr_has(why);
        assert_eq!(env.listing(""), before);
    }
    for wrong in [
        &["-l"][..],
        &["-u"],
        &["-n"],
        &["-i"],
        &["-b"],
        &["--inplace"],
        &["-L"],
        &["--parents"],
        &["--manifest=x"],
        &["-v"],
        &["--reflink=never"],
        &["--hash=sha256"],
        &["--checksum"],
        &["--verify"],
        &["--fsync"],
        &["--retries=2"],
    ] {
        env.pcopy([&["--check", "-T", "src", "dst"], wrong].concat()).exits(2);
    }
}

#[test]
fn a_directory_on_another_file_system_is_left_out_on_request() {
    if !in_own_mounts!() {
        return;
    }
    let env = copied();
    fs::create_dir(env.path("src/on")).unwrap();
    fs::remove_dir_all(env.path("dst")).unwrap();
    fs::remove_dir(env.path("src/on")).unwrap();
    let Some(_mounted) = mounted_or_skip!(&env, "src/on", TMPFS) else { return };
    env.tree("src/on", ["text other x"]);
    env.pcopy(["-x", "src", "dst"]).exits(0);
    env.pcopy(["-x", "--check", "-T", "src", "dst"]).exits(0);
    let run = env.pcopy(["--check", "-T", "src", "dst"]);
    run.exits(6).stdout_is("missing: 'dst/on/other'\n");
}

/// Computes the expected report about two trees, with code that the program does not share.
fn expected(env: &Sandbox) -> BTreeSet<String> {
    let (one, other) = (env.listing("src"), env.listing("dst"));
    let kind = |entry: &Entry| entry.mode & 0o170_000;
    let contents = |entry: &Entry| {
        if kind(entry) == 0o040_000 { ", a directory, with its contents" } else { "" }
    };
    let mut lines = BTreeSet::new();
    // Nothing is compared below what is missing, extraneous or of another type.
    let both = |path: &Path| {
        let is_directory = |tree: &Listing| tree.get(path).is_some_and(|e| kind(e) == 0o040_000);
        is_directory(&one) && is_directory(&other)
    };
    let is_seen = |path: &Path| path.ancestors().skip(1).all(both);
    for (path, entry) in one.iter().filter(|(path, _)| is_seen(path)) {
        let name = Path::new("dst").join(path).display().to_string();
        let name = name.trim_end_matches('/');
        let Some(copy) = other.get(path) else {
            lines.insert(format!("missing: '{name}'{}", contents(entry)));
            continue;
        };
        let mut aspects = Vec::new();
        if kind(entry) != kind(copy) {
            lines.insert(format!("different: '{name}': type"));
            continue;
        }
        if entry.what != copy.what || entry.size != copy.size {
            aspects.push("contents".to_owned());
        }
        let mode = |entry: &Entry| entry.mode & 0o7777;
        if mode(entry) != mode(copy) && kind(entry) != 0o120_000 {
            aspects.push(format!(
                "permission bits {:04o} instead of {:04o}",
                mode(copy),
                mode(entry)
            ));
        }
        if entry.modified != copy.modified {
            aspects.push("modification time".to_owned());
        }
        if !aspects.is_empty() {
            lines.insert(format!("different: '{name}': {}", aspects.join(", ")));
        }
    }
    for (path, entry) in other.iter().filter(|(path, _)| is_seen(path) && !one.contains_key(*path))
    {
        lines.insert(format!("extraneous: 'dst/{}'{}", path.display(), contents(entry)));
    }
    lines
}

/// Modifies a random entry of the copy.
fn damage(env: &Sandbox, dice: &mut Dice) {
    let all: Vec<_> = env.listing("dst").into_keys().skip(1).collect();
    let path = env.path("dst").join(&all[dice.below(all.len())]);
    let metadata = fs::symlink_metadata(&path).unwrap();
    let remove = || match metadata.is_dir() {
        true => fs::remove_dir_all(&path).unwrap(),
        false => fs::remove_file(&path).unwrap(),
    };
    match dice.below(7) {
        0 => remove(),
        1 if metadata.is_dir() => fs::write(path.join("extra"), "x").unwrap(),
        2 if metadata.is_file() => {
            let time = modified(&path);
            fs::write(&path, "other contents").unwrap();
            set_times(&path, time, time);
        }
        3 if !metadata.is_symlink() => chmod(&path, 0o711),
        4 => set_times(&path, (7, 7), (7, 7)),
        5 => {
            remove();
            fs::create_dir(&path).unwrap();
        }
        6 => {
            remove();
            symlink("nowhere", &path).unwrap();
        }
        _ => {}
    }
}

#[test]
fn random_differences_are_all_named_in_order_for_any_number_of_copiers() {
    let mut dice = Dice::new();
    for turn in 0..12 {
        let env = Sandbox::new();
        // Wide directories, which several copiers share, and deep ones.
        env.many("src", if turn % 3 == 0 { 2000 } else { 150 }, 300_000);
        env.long_names("src/wide", if turn % 4 == 0 { 1500 } else { 20 });
        env.tree("src", ["dir d/e/f/g/h", "file d/e/f/x 10", "link l d", "fifo p"]);
        env.pcopy(["src", "dst"]).exits(0);
        for _ in 0..dice.below(60) {
            damage(&env, &mut dice);
        }
        let wanted = expected(&env);
        let mut last = None;
        for jobs in ["1", "2", "8"] {
            let run = env.pcopy(["-j", jobs, "--check", "-T", "src", "dst"]);
            run.exits(if wanted.is_empty() { 0 } else { 6 });
            let report: BTreeSet<_> = run
                .stdout
                .lines()
                .map(|line| match line.split_once(" instead of a ") {
                    Some((line, _)) => format!("{}: type", line.rsplit_once(": ").unwrap().0),
                    None => line.to_owned(),
                })
                .collect();
            assert_eq!(report, wanted, "turn {turn}, -j{jobs}");
            assert_eq!(run.stdout.lines().count(), wanted.len(), "each once");
            assert!(last.is_none_or(|last| last == run.stdout), "another order with -j{jobs}");
            last = Some(run.stdout.clone());
        }
    }
}

#[test]
fn killed_copiers_change_nothing_in_the_report_of_check() {
    let env = Sandbox::new();
    env.many("src", 3000, 700_000);
    env.pcopy(["src", "dst"]).exits(0);
    let mut dice = Dice::new();
    for _ in 0..30 {
        damage(&env, &mut dice);
    }
    let line = ["--check", "-T", "src", "dst"];
    let begun = Instant::now();
    let report = env.pcopy(line).stdout.clone();
    let took = begun.elapsed();
    env.reports_the_same_though_copiers_die(&line, (&report, took), &mut dice);
}

each_jobs!(a_file_on_which_copiers_die_is_named_and_the_rest_compared, 1, 8);
fn a_file_on_which_copiers_die_is_named_and_the_rest_compared(jobs: &str) {
    let jobs = &*format!("-j{jobs}");
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let deep = format!("{}/file", ["a-long-name"; 40].join("/"));
    let env = Sandbox::new();
    env.tree("src", [&format!("text {deep} one"), "text a two", "text b three"]);
    env.pcopy(["src", "dst", "--manifest=sums"]).exits(0);
    fs::write(env.path("dst/a"), "other").unwrap();
    let place = env.path("dst").join(&deep);
    let options =
        ["-P", place.to_str().unwrap(), "-e", "trace=read", "-e", "inject=read:signal=KILL"];
    for line in [&["--check", "-T", "src", "dst"][..], &["--check-manifest", "sums", "dst"]] {
        let run = env.run(env.traced(&options, [&[jobs, "--progress=always"], line].concat()));
        run.exits(1).stderr_has("pcopy: skipping '").stderr_has("1 different, 1 failed\n");
        assert!(run.stdout.starts_with("different: 'dst/a': contents"), "{}", run.story());
        assert_eq!(run.stdout.lines().count(), 1, "{}", run.story());
    }
}
