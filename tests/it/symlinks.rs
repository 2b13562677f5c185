//! Which symlinks of a source are followed, and what happens at symlink loops.

use crate::common::entries::*;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use std::fs;
use std::os::fd::OwnedFd;
use std::process::Command;

holds_on_every_file_system!();

/// Plants symlinks to files and directories that lead up, down, across and out of the tree, and chains of
/// symlinks.
fn planted() -> Sandbox {
    let env = Sandbox::new();
    env.tree(
        "src",
        [
            "file real/a 10",
            "file real/deep/b 20",
            "file c 30",
            "dir empty",
            "fifo p",
            "link to-file c",
            "link to-dir real",
            "link deep-link real/deep",
            "link chain to-dir",
            "link real/up-file ../c",
            "link out ../outside",
            "link out-file ../outside/x",
            "link to-empty empty",
        ],
    );
    env.tree("outside", ["file x 40", "file sub/y 50", "link inner sub"]);
    env.tree("", ["link named src", "link named-file src/c"]);
    env
}

/// Returns the copy that cp makes, with times and modes preserved.
fn expected(env: &Sandbox, options: &[&str], source: &str) -> Listing {
    let mut cp = Command::new("cp");
    cp.arg("-rpT").args(options).args([source, "expected"]).current_dir(env.path(""));
    cp.output().unwrap();
    let listing = env.listing("expected");
    let removed = if env.path("expected").is_dir() && !env.path("expected").is_symlink() {
        fs::remove_dir_all(env.path("expected"))
    } else {
        fs::remove_file(env.path("expected"))
    };
    removed.unwrap();
    listing
}

each_jobs!(each_option_follows_what_it_follows_for_cp, 1, 2, 8);
fn each_option_follows_what_it_follows_for_cp(jobs: &str) {
    let env = planted();
    for options in [
        &["-L"][..],
        &["-H"],
        &["-P"],
        &["-d"],
        &["-L", "-P"],
        &["-P", "-L"],
        &["-H", "-L"],
        &["-L", "-H"],
    ] {
        for source in ["src", "named", "named-file", "src/to-dir", "src/out"] {
            let expected = expected(&env, options, source);
            let target = env.path("dst");

            let run =
                env.pcopy([&["-p", "-T", "-j", jobs][..], options, &[source, "dst"]].concat());

            run.exits(0);
            let wrong = differences(&expected, &env.listing("dst"));
            assert_eq!(wrong, "", "{options:?} {source}\n{}", run.story());
            env.assert_nothing_staged();
            if target.is_dir() && !target.is_symlink() {
                fs::remove_dir_all(target).unwrap();
            } else {
                fs::remove_file(target).unwrap();
            }
        }
    }
}

#[test]
fn a_followed_copy_is_recognised_as_complete() {
    let env = planted();
    env.pcopy(["-L", "-a", "src", "dst"]).exits(0);

    env.pcopy(["-L", "-a", "-T", "src", "dst"]).exits(0).stderr_has("copied 0 entries");

    fs::write(env.path("outside/sub/y"), "changed").unwrap();
    env.pcopy(["-L", "-a", "-T", "src", "dst"]).exits(0);
    assert_eq!(fs::read(env.path("dst/out/sub/y")).unwrap(), b"changed");
}

each_jobs!(a_symlink_loop_is_reported_once_and_the_rest_is_copied, 1, 8);
fn a_symlink_loop_is_reported_once_and_the_rest_is_copied(jobs: &str) {
    let env = planted();
    env.tree("src", ["link real/deep/loop ..", "link self .", "link top ../src"]);

    let run = env.pcopy(["-L", "-j", jobs, "src", "dst"]);

    run.exits(1);
    for symlink in ["src/real/deep/loop", "src/self", "src/top"] {
        let line = format!("pcopy: cannot copy cyclic symbolic link '{symlink}'\n");
        assert_eq!(run.stderr.matches(&line).count(), 1, "{symlink}\n{}", run.story());
    }
    env.assert_same("src/c", "dst/c");
    env.assert_same("src/real/deep/b", "dst/chain/deep/b");
    env.assert_same("outside/sub/y", "dst/out/inner/y");
}

#[test]
fn a_dangling_symlink_is_a_failure_if_it_is_followed() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "link dangling nowhere", "link round round"]);

    let run = env.pcopy(["-L", "src", "dst"]);

    run.exits(1)
        .stderr_has("cannot follow 'src/dangling': No such file or directory")
        .stderr_has("cannot follow 'src/round': Too many levels of symbolic links");
    env.assert_same("src/a", "dst/a");
    env.pcopy(["-H", "src", "again"]).exits(0);
    env.assert_same("src", "again");
    env.pcopy(["-H", "src/dangling", "x"]).exits(3).stderr_has("cannot follow 'src/dangling'");
    assert!(!exists(env.path("x")));
}

#[test]
fn a_followed_symlink_does_not_lead_into_the_copy_itself() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "link back ../place"]).tree("place", ["file b 10"]);

    let run = env.pcopy(["-L", "src", "place/dst"]);

    run.exits(1).stderr_has("cannot copy");
    env.assert_same("src/a", "place/dst/a");
    env.assert_same("place/b", "place/dst/back/b");
    assert!(fs::metadata(env.path("place/dst/back/dst/back")).is_err(), "{}", run.story());
}

#[test]
fn a_deep_tree_behind_a_symlink_is_followed() {
    let env = Sandbox::new();
    env.tree("", ["dir src", "link src/l ../deep"]);
    fs::create_dir(env.path("deep")).unwrap();
    let mut at: OwnedFd = fs::File::open(env.path("deep")).unwrap().into();
    let name = "d".repeat(200);
    for _ in 0..30 {
        mkdirat(&at, &*name, Mode::from_bits_truncate(0o755)).unwrap();
        at = openat(&at, &*name, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
    }
    let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let bottom = openat(&at, "bottom", flags, Mode::from_bits_truncate(0o644)).unwrap();
    nix::unistd::write(&bottom, b"x").unwrap();

    env.pcopy(["-L", "-j2", "-v", "src", "dst"]).exits(0).stderr_has("copied 33 entries");

    for name in ["dst", "deep"] {
        Command::new("rm").arg("-r").arg(env.path(name)).status().unwrap();
    }
}
