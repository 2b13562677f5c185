//! The file that `--manifest` writes: where it may be, when it appears, and what happens to it if the run
//! fails.

use crate::common::chance::Dice;
use crate::common::checksum_programs::*;
use crate::common::entries::*;
use crate::common::live::{send, state};
use crate::common::*;
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use std::cell::Cell;
use std::collections::HashSet;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

fn small(env: &Sandbox) {
    env.tree("src", ["text a one", "text d/b two"]);
    set_times(&env.path("src"), (1000, 5), (1000, 5));
}

#[test]
fn a_manifest_may_lie_in_the_copy_which_keeps_its_time() {
    for (before, manifest) in [
        ("", "dst/SUMS"),
        ("", "./dst/SUMS"),
        ("dst", "dst/SUMS"),
        ("dst", "src/../dst/../dst/SUMS"),
    ] {
        let env = Sandbox::new();
        small(&env);
        fs::create_dir_all(env.path(before)).unwrap();
        for turn in 0..2 {
            let line = ["-T", "src", "dst", "--hash=sha256", "--manifest", manifest];
            env.pcopy(line).exits(0);
            assert_eq!(names_in(env.path("dst/SUMS")), ["a", "d/b"], "{turn}");
            assert_eq!(accepts(&env, "sha256sum", "dst", "dst/SUMS"), Ok(()));
            assert_eq!(modified(env.path("dst")), (1000, 5), "{turn} {before:?}");
        }
        env.assert_nothing_staged();
    }
}

#[test]
fn a_path_that_would_do_harm_is_refused_before_anything_is_changed() {
    for (manifest, why) in [
        ("src/sums", "'src/sums' lies inside 'src'"),
        ("src/d/b", "'src/d/b' lies inside 'src'"),
        ("to-src/sums", "'to-src/sums' lies inside 'src'"),
        ("dst/a", "the manifest 'dst/a' would replace a part of the copy"),
        ("dst/d/b", "the manifest 'dst/d/b' would replace a part of the copy"),
        ("dst/d", "cannot create 'dst/d': Is a directory"),
        ("new/", "cannot create 'new/': Is a directory"),
        ("no/dir/sums", "cannot create 'no/dir/sums': No such file or directory"),
        ("other/sums", "cannot create 'other/sums': Not a directory"),
        ("nowhere", "cannot create 'nowhere': No such file or directory"),
    ] {
        let env = Sandbox::new();
        small(&env);
        env.tree("", ["dir dst/d", "text other x", "link nowhere no/thing", "link to-src src"]);
        let before = env.listing("");

        let run = env.pcopy(["-T", "src", "dst", "--manifest", manifest]);

        run.exits(3).stderr_has(&format!("pcopy: {why}"));
        assert_eq!(env.listing(""), before, "{manifest}");
    }
}

#[test]
fn a_path_that_is_a_file_of_the_copy_is_refused() {
    let env = Sandbox::new();
    env.tree("", ["text f one"]);
    for manifest in ["f", "g", "./g"] {
        let run = env.pcopy(["f", "g", "--manifest", manifest]);
        run.exits(3);
        assert!(!exists(env.path("g")), "{manifest}");
    }
    env.pcopy(["f", "g", "--manifest=h"]).exits(0);
    assert_eq!(names_in(env.path("h")), ["g"]);
}

#[test]
fn a_path_that_may_not_be_written_is_refused() {
    let env = Sandbox::new();
    small(&env);
    env.tree("", ["dir closed"]);
    env.give_to_plain_user();
    chmod(&env.path("closed"), 0o555);

    let run = env.plain_pcopy_as_is(["src", "dst", "--manifest=closed/sums"]);

    run.exits(3).stderr_has("cannot create 'closed/sums': Permission denied");
    assert!(!exists(env.path("dst")));
}

#[test]
fn an_old_manifest_exists_until_the_new_one_does_and_keeps_its_mode() {
    let env = Sandbox::new();
    env.long_names("src", 3000);
    env.tree("", ["text real old", "link sums real"]);
    chmod(&env.path("real"), 0o640);
    // The run cannot end before the names on its standard output are read.
    let (mut live, names) = env.launch_stuck(env.tame(["-v", "src", "dst", "--manifest=sums"]));
    wait_until("some are copied", || {
        assert!(live.is_running());
        crate::common::live::count_entries(&env.path(".dst.pcopy-partial")) > 100
    });
    assert_eq!(fs::read(env.path("real")).unwrap(), b"old");
    drop(names);

    live.end();

    assert_eq!(names_in(env.path("real")).len(), 3000);
    assert_eq!(mode_of(env.path("real")), 0o640);
    assert!(fs::symlink_metadata(env.path("sums")).unwrap().is_symlink(), "it was written through");
    env.assert_nothing_staged();
}

#[test]
fn a_new_manifest_has_the_mode_of_any_new_file() {
    let env = Sandbox::new();
    small(&env);
    let run = |mask: &str| {
        let mut command = std::process::Command::new("sh");
        let script = format!("umask {mask}; exec \"$0\" src -T dst --manifest=sums-{mask}");
        command.args(["-c", &script, PCOPY]).current_dir(env.path(""));
        env.run(command).exits(0);
        mode_of(env.path(format!("sums-{mask}")))
    };
    assert_eq!((run("027"), run("002")), (0o640, 0o664));
}

#[test]
fn standard_output_and_other_streams_take_the_lines() {
    let env = Sandbox::new();
    small(&env);
    env.pcopy(["src", "dst", "--manifest=sums"]).exits(0);
    let sums = fs::read_to_string(env.path("sums")).unwrap();

    env.pcopy(["-T", "src", "dst", "--manifest=-"]).exits(0).stdout_is(&sums);
    env.pcopy(["-T", "src", "dst", "--manifest=/dev/fd/1"]).exits(0);
    let fifo = env.path("fifo");
    node(&fifo, "fifo", 0, 0);
    let reader = std::thread::spawn(move || fs::read_to_string(fifo).unwrap());
    env.pcopy(["-T", "src", "dst", "--manifest=fifo"]).exits(0);
    assert_eq!(reader.join().unwrap(), sums);
    let (live, mut out) =
        env.launch_stuck(env.tame(["-T", "src", "dst", "--manifest=/dev/stdout"]));
    let mut read = String::new();
    std::io::Read::read_to_string(&mut out, &mut read).unwrap();
    live.end().exits(0);
    assert_eq!(read, sums);
}

#[test]
fn a_manifest_that_cannot_be_written_is_a_failure_and_the_copy_is_complete() {
    let env = Sandbox::new();
    small(&env);
    let run = env.pcopy(["src", "dst", "--manifest=/dev/full"]);
    run.exits(1).stderr_has("pcopy: cannot write '/dev/full': No space left on device");
    env.assert_same("src", "dst");

    let mut command = env.command(["-T", "src", "dst", "--manifest=-"]);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut child = command.stdout(full).stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(wait(&mut child, HANG).unwrap().code(), Some(1));
}

#[test]
fn a_run_killed_while_it_is_written_leaves_the_old_one() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    small(&env);
    fs::write(env.path("sums"), "old").unwrap();
    let staged = env.path(".sums.pcopy-partial");
    let place = ["-P", staged.to_str().unwrap()];
    for (place, call) in [(&place[..], "write"), (&[], "renameat,renameat2")] {
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL"));
        let options = [place, &["-e", &trace, "-e", &inject]].concat();

        let run = env.run(env.traced(&options, ["-T", "src", "dst", "--manifest=sums"]));

        assert_eq!(run.status.code(), None, "it was not killed\n{}", run.story());
        assert_eq!(fs::read(env.path("sums")).unwrap(), b"old", "{call}");
        assert!(exists(&staged));
    }
    env.pcopy(["-T", "src", "dst", "--manifest=sums"]).exits(0);
    assert_eq!(names_in(env.path("sums")), ["a", "d/b"]);
    env.assert_nothing_staged();
}

#[test]
fn a_run_that_copies_nothing_lists_nothing_missing() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file locked 10", "link l a"]);
    chmod(&env.path("src/locked"), 0);

    let run = env.plain_pcopy(["src", "dst", "--manifest=sums"]);

    run.exits(1).stderr_has("cannot open 'src/locked' for reading");
    assert_eq!(names_in(env.path("sums")), ["a"]);
}

#[test]
fn a_manifest_is_whole_though_copiers_are_killed() {
    let env = Sandbox::new();
    env.many("src", 2000, 700_000);
    for number in 0..40 {
        let name = |kind: &str| env.path(format!("src/dir-{}/{kind}-{number}", number / 10 * 100));
        fs::write(name("linked"), vec![b'l'; 1000 * number]).unwrap();
        fs::hard_link(name("linked"), env.path(format!("src/z-{number}"))).unwrap();
    }
    let line = ["src", "dst", "--hash=sha256", "--manifest"];
    let begun = Instant::now();
    env.pcopy([&line[..], &["whole"]].concat()).exits(0);
    let took = begun.elapsed();
    assert_lists(&env, "whole", "sha256sum", "dst");
    let whole = fs::read(env.path("whole")).unwrap();
    fs::remove_dir_all(env.path("dst")).unwrap();
    let mut dice = Dice::new();
    let killed = Cell::new(0);
    for turn in (0..300).take_while(|turn| *turn < 40 || killed.get() < 40) {
        let options = [&["--inplace"][..], &[], &["-b"], &["--no-preserve=links"]][turn % 4];
        let jobs = ["1", "2", "8"][turn % 3];
        let mut live = env.start([&["-j", jobs, "-T"], options, &line[..], &["sums"]].concat());
        // A file at which three copiers die is skipped.
        for _ in 0..2 {
            std::thread::sleep(dice.moment(took / 2));
            let copiers = live.children();
            if live.is_running() && !copiers.is_empty() {
                killed.set(killed.get() + 1);
                send(copiers[dice.below(copiers.len())], SIGKILL);
            }
        }

        let run = live.end();

        run.exits(0);
        let sums = fs::read(env.path("sums")).unwrap();
        assert!(sums == whole, "{options:?} -j{jobs}: {} bytes\n{}", sums.len(), run.story());
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
    assert!(killed.get() >= 40, "only {killed:?} were killed");
}

#[test]
fn a_run_that_is_interrupted_lists_what_is_complete_and_the_next_one_all() {
    let env = Sandbox::new();
    env.many("src", 3000, 700_000);
    let mut dice = Dice::new();
    let (mut partial, line) = (0, ["src", "dst", "--hash=sha256", "--manifest=sums"]);
    for _ in 0..12 {
        let live = env.start(line);
        std::thread::sleep(dice.moment(Duration::from_millis(150)));
        live.signal(SIGTERM);

        let run = live.end();

        let place = env.path(".dst.pcopy-partial");
        if exists(&place) && exists(env.path("sums")) {
            let names: HashSet<_> = names_in(env.path("sums")).into_iter().collect();
            partial += usize::from((1..3000).contains(&names.len()));
            if !names.is_empty() {
                let checked = accepts(&env, "sha256sum", ".dst.pcopy-partial", "sums");
                assert_eq!(checked, Ok(()), "{}", run.story());
            }
        }
        env.pcopy([&line[..], &["-T"]].concat()).exits(0);
        assert_lists(&env, "sums", "sha256sum", "dst");
        fs::remove_dir_all(env.path("dst")).unwrap();
        fs::remove_file(env.path("sums")).unwrap();
    }
    assert!(partial > 0, "no run was caught in its middle");
}

#[test]
fn what_vanishes_between_two_rounds_is_not_listed() {
    let env = Sandbox::new();
    // In any order of the listing, some are copied before the copier waits for a writer.
    env.tree("src", ["text a 1", "text b 2", "fifo fifo", "text c 3", "text d 4"]);
    let line = ["-j1", "--copy-contents", "src", "dst", "--manifest=sums"];
    let mut live = env.start(line);
    let (source, staged) = (env.path("src"), env.path(".dst.pcopy-partial"));
    let is_done = |name: &str| exists(staged.join(name));
    wait_until("it waits", || {
        assert!(live.is_running());
        ["a", "b", "c", "d"].into_iter().any(is_done)
            && live.children().iter().any(|&copier| state(copier) == Some('S'))
    });
    std::thread::sleep(Duration::from_millis(100)); // without a writer
    let gone = ["a", "b", "c", "d"].into_iter().find(|name| is_done(name)).unwrap();
    fs::remove_file(source.join(gone)).unwrap();
    let first = live.children();
    first.iter().for_each(|&copier| send(copier, SIGKILL));
    wait_until("another copier comes", || live.children().iter().any(|new| !first.contains(new)));
    fs::write(source.join("fifo"), "from a writer").unwrap();

    live.end().exits(0);

    let names = names_in(env.path("sums"));
    assert_eq!(names.len(), 4, "{names:?} without {gone:?}");
    assert!(!names.iter().any(|name| name == gone), "{names:?} without {gone:?}");
    assert!(!exists(env.path("dst").join(gone)));
}

#[test]
fn options_that_make_no_copies_have_no_manifest() {
    let env = Sandbox::new();
    small(&env);
    for wrong in [
        &["--manifest=s", "-l"][..],
        &["--manifest=s", "-s"],
        &["--manifest=s", "--attributes-only"],
        &["--manifest=-", "-v"],
        &["--manifest="],
        &["--hash=sha256"],
        &["--manifest=s", "--hash=md5"],
    ] {
        env.pcopy([&["src", "dst"], wrong].concat()).exits(2);
        assert!(!exists(env.path("dst")) && !exists(env.path("s")), "{wrong:?}");
    }
}
