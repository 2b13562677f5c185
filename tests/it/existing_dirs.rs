//! The modes of directories that exist in the target before the run.

use crate::common::entries::{chmod, mode_of, node};
use crate::common::plain_user::as_plain_user;
use crate::common::*;
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::process::Command;
use std::time::Duration;

/// Options under which permission bits are preserved without being asked for.
const DEFAULTS: [&[&str]; 6] =
    [&["-j1"], &["-j8"], &["--inplace"], &["-d"], &["--preserve=timestamps"], &["--checksum"]];

/// Returns a sandbox with a source whose directories have mode 0755, and a target that has the same
/// directories with other modes.
fn shared_target() -> Sandbox {
    let env = Sandbox::new();
    env.tree("src", ["file a 1K", "file d/b 1K", "file d/e/c 1K", "file closed/f 10"]);
    env.tree("dst", ["dir d/e", "dir closed"]);
    for dir in ["src", "src/d", "src/d/e"] {
        chmod(&env.path(dir), 0o755);
    }
    chmod(&env.path("src/closed"), 0o700);
    for (dir, mode) in [("dst", 0o2770), ("dst/d", 0o2775), ("dst/d/e", 0o775)] {
        chmod(&env.path(dir), mode);
    }
    chmod(&env.path("dst/closed"), 0o2775);
    env
}

fn modes<const N: usize>(env: &Sandbox, dirs: [&str; N]) -> [u32; N] {
    dirs.map(|dir| mode_of(env.path(dir)))
}

#[test]
fn dst_keeps_its_mode_and_every_directory_its_set_group_id_bit_by_default() {
    for options in DEFAULTS {
        for arguments in [&["-T", "src", "dst"][..], &["src/.", "dst"], &["src/", "-T", "dst/"]] {
            let env = shared_target();

            for _ in ["first", "again"] {
                let run = env.pcopy([options, arguments].concat());

                run.exits(0);
                let found = modes(&env, ["dst", "dst/d", "dst/d/e", "dst/closed"]);
                assert_eq!(found, [0o2770, 0o2775, 0o755, 0o2720], "{}", run.story());
            }
            let check = env.pcopy([&["--check"], arguments].concat());
            check.exits(0);
        }
    }
}

#[test]
fn a_plain_users_dst_without_write_permission_has_its_mode_again_in_the_end() {
    for (mode, jobs) in
        [(0o555, "-j1"), (0o555, "-j8"), (0o2070, "-j2"), (0, "-j1"), (0o333, "-j8")]
    {
        for more in ["--inplace", "-q"] {
            let env = shared_target();
            env.give_to_plain_user();
            chmod(&env.path("dst"), mode);

            let run = env.plain_pcopy_as_is([jobs, more, "-T", "src", "dst"]);

            run.exits(0);
            assert_eq!(mode_of(env.path("dst")), mode, "{}", run.story());
            chmod(&env.path("dst"), 0o755);
            env.assert_same("src/d/e/c", "dst/d/e/c");
        }
    }
}

#[test]
fn modes_that_were_asked_for_are_exact_in_every_directory() {
    for options in ["-p", "-a", "--preserve=mode", "--preserve"] {
        let env = shared_target();

        let check = env.pcopy(["--check", options, "-T", "src", "dst"]);
        assert!(check.stdout.contains("'dst/d': permission bits 2775 instead of 0755"));
        let run = env.pcopy([options, "-T", "src", "dst"]);

        run.exits(0);
        let found = modes(&env, ["dst", "dst/d", "dst/d/e", "dst/closed"]);
        assert_eq!(found, [0o755, 0o755, 0o755, 0o700], "{options}\n{}", run.story());
    }
}

#[test]
fn modes_that_are_not_preserved_stay() {
    for options in ["--no-preserve=mode", "--preserve=none"] {
        let env = shared_target();

        let run = env.pcopy([options, "-T", "src", "dst"]);

        run.exits(0);
        let found = modes(&env, ["dst", "dst/d", "dst/d/e", "dst/closed"]);
        assert_eq!(found, [0o2770, 0o2775, 0o775, 0o2775], "{options}\n{}", run.story());
        env.pcopy(["--check", options, "-T", "src", "dst"]).exits(0);
    }
}

#[test]
fn a_directory_inside_dst_does_not_count_as_dst() {
    let env = shared_target();
    env.tree("dst/src", ["dir d"]);
    chmod(&env.path("dst/src"), 0o700);
    chmod(&env.path("dst/src/d"), 0o2770);

    let run = env.pcopy(["src", "dst"]);

    run.exits(0);
    let found = modes(&env, ["dst", "dst/src", "dst/src/d"]);
    assert_eq!(found, [0o2770, 0o755, 0o2775], "{}", run.story());
    env.pcopy(["--check", "src", "dst"]).exits(0);
}

#[test]
fn the_directories_of_parents_keep_their_set_group_id_bit() {
    let env = shared_target();
    env.tree("dst/src", ["dir d"]);
    chmod(&env.path("dst/src"), 0o2775);

    let run = env.pcopy(["--parents", "src/d/b", "src/d/e", "dst"]);

    run.exits(0);
    assert_eq!(modes(&env, ["dst", "dst/src"]), [0o2770, 0o2775], "{}", run.story());
}

#[test]
fn several_sources_merged_into_dst_leave_its_mode() {
    let env = shared_target();
    env.tree("more", ["file d/x 10"]);
    chmod(&env.path("more"), 0o711);

    let run = env.pcopy(["src/.", "more/.", "dst"]);

    run.exits(0);
    assert_eq!(modes(&env, ["dst", "dst/d"]), [0o2770, 0o2775], "{}", run.story());
}

#[test]
fn a_directory_behind_a_followed_symlink_keeps_its_set_group_id_bit() {
    let env = shared_target();
    fs::rename(env.path("dst/d"), env.path("elsewhere")).unwrap();
    symlink("../elsewhere", env.path("dst/d")).unwrap();

    let run = env.pcopy(["--keep-directory-symlink", "-T", "src", "dst"]);

    run.exits(0);
    assert_eq!(modes(&env, ["dst", "elsewhere"]), [0o2770, 0o2775], "{}", run.story());
}

#[test]
fn a_user_outside_the_group_of_a_directory_does_not_clear_its_set_group_id_bit() {
    if !is_root() {
        return skip!("only root can give a directory to a group");
    }
    let env = shared_target();
    env.give_to_plain_user();
    for dir in ["dst", "dst/d"] {
        chown(env.path(dir), None, Some(7)).unwrap();
        chmod(&env.path(dir), 0o2775);
    }

    let run = env.plain_pcopy_as_is(["-T", "src", "dst"]);

    run.exits(0);
    assert_eq!(modes(&env, ["dst", "dst/d"]), [0o2775, 0o2775], "{}", run.story());
}

#[test]
fn new_directories_have_the_modes_of_their_sources() {
    for options in [["-j1", "-q"], ["-j8", "--inplace"]] {
        let env = shared_target();
        chmod(&env.path("src/d"), 0o2750);
        chmod(&env.path("dst"), 0o2775);
        fs::remove_dir_all(env.path("dst/d")).unwrap();

        env.pcopy([options[0], options[1], "-T", "src", "dst"]).exits(0);
        env.pcopy([options[0], options[1], "-T", "src", "dst/new"]).exits(0);

        let found = modes(&env, ["dst/d", "dst/d/e", "dst/new", "dst/new/d"]);
        assert_eq!(found, [0o2750, 0o755, 0o755, 0o2750], "{options:?}");
    }
}

/// Starts a run that waits for the writer of a FIFO in `src/d`, and kills all its processes.
fn kill_in_d<'e>(env: &'e Sandbox, command: Command, target: &str) -> Run<'e> {
    let mut live = env.launch(command);
    wait_until("d is copied", || {
        assert!(live.is_running(), "the run had ended\n{}", live.stderr());
        env.path(target).join("a").exists()
            && fs::symlink_metadata(env.path(target).join("d")).is_ok()
    });
    std::thread::sleep(Duration::from_millis(50)); // until it waits for the writer
    live.signal_all(Signal::SIGKILL);
    live.end()
}

#[test]
fn a_killed_run_in_place_and_a_second_one_come_to_the_same_modes_as_one_run() {
    for (mode, above) in [(0o755, 0o755), (0o2770, 0o755), (0o750, 0o2775), (0o1777, 0o2775)] {
        let env = shared_target();
        fs::remove_dir_all(env.path("dst/d")).unwrap();
        chmod(&env.path("dst"), above);
        for dir in ["src", "src/d"] {
            chmod(&env.path(dir), mode);
        }
        for target in ["dst", "dst/new"] {
            node(&env.path("src/d/fifo"), "fifo", 0, 0);
            let arguments = ["--inplace", "--copy-contents", "-j1", "-T", "src", target];
            kill_in_d(&env, env.tame(arguments), target);
            fs::remove_file(env.path("src/d/fifo")).unwrap();

            env.pcopy(["--inplace", "-T", "src", target]).exits(0);
        }

        let found = modes(&env, ["dst/new", "dst/new/d", "dst", "dst/d"]);
        assert_eq!(found, [mode, mode, above, mode], "above 0{above:o}");
    }
}

#[test]
fn a_failed_run_and_a_second_one_come_to_the_same_mode_as_one_run() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    // The first `mkdirat` of each process: the staged directory, and one below it that is then built in place.
    let failures = [("mkdirat:error=EIO:when=1", "dst"), ("getdents64:error=EIO:when=1", "src")];
    for (failure, path) in failures {
        for mode in [0o755, 0o2770, 0o750] {
            let env = shared_target();
            fs::remove_dir_all(env.path("dst")).unwrap();
            chmod(&env.path("src"), mode);
            let (call, path) = (failure.split(':').next().unwrap(), env.path(path));
            let (trace, inject) = (format!("trace={call}"), format!("inject={failure}"));
            let on_source = ["-P", path.to_str().unwrap(), "-e", &trace, "-e", &inject];
            let options = if call == "mkdirat" { &on_source[2..] } else { &on_source[..] };

            let failed = env.run(env.traced(options, ["--retries=0", "-j1", "-T", "src", "dst"]));
            env.pcopy(["-T", "src", "dst"]).exits(0);

            assert!(!failed.status.success(), "{failure}\n{}", failed.story());
            assert_eq!(mode_of(env.path("dst")), mode, "{failure}\n{}", failed.story());
        }
    }
}

cells! {
    a_run_in_which_a_call_fails_for_good_and_a_second_one_come_to_the_mode_of_the_source,
    stat => ("newfstatat", "ELOOP"),
    chmod => ("fchmod", "EPERM"),
    open => ("openat", "ENOMEM"),
    chmod_of_a_lost_disk => ("fchmod", "EIO"),
}
fn a_run_in_which_a_call_fails_for_good_and_a_second_one_come_to_the_mode_of_the_source(
    call: &str,
    errno: &str,
) {
    if !has_strace!() {
        return;
    }
    let mut left = 0;
    // The calls are counted in each process.
    for nth in 1.. {
        let env = Sandbox::new();
        // The parent finishes directories with hard links.
        env.tree("src", ["file a 10", "dir d"]);
        fs::hard_link(env.path("src/a"), env.path("src/b")).unwrap();
        chmod(&env.path("src"), 0o755);
        let (trace, inject) =
            (format!("trace={call}"), format!("inject={call}:error={errno}:when={nth}+"));

        let options = ["-e", &trace, "-e", &inject];
        let first = env.run(env.traced(&options, ["--retries=0", "-j1", "-T", "src", "dst"]));
        if !fs::read_to_string(env.path("trace")).unwrap().contains("INJECTED") {
            break;
        }
        left += usize::from(env.path("dst").exists());
        env.pcopy(["-T", "src", "dst"]).exits(0);

        assert_eq!(mode_of(env.path("dst")), 0o755, "{nth}\n{}", first.story());
    }
    assert!(left > 0, "no run left a target");
}

#[test]
fn a_directory_whose_mode_the_user_changed_keeps_it() {
    for mode in [0o700, 0o2700, 0o1777] {
        let env = Sandbox::new();
        env.tree("src", ["file a 10"]);
        chmod(&env.path("src"), 0o755);
        env.pcopy(["-T", "src", "dst"]).exits(0);
        chmod(&env.path("dst"), mode);

        env.pcopy(["-T", "src", "dst"]).exits(0);

        assert_eq!(mode_of(env.path("dst")), mode);
    }
}

#[test]
fn a_killed_run_leaves_no_directory_with_fewer_permissions_than_before() {
    for (mode, options) in [(0o2070, "--inplace"), (0o2575, "-q"), (0o077, "--inplace")] {
        let env = shared_target();
        node(&env.path("src/d/fifo"), "fifo", 0, 0);
        env.give_to_plain_user();
        for dir in ["dst/d", "dst"] {
            chmod(&env.path(dir), mode);
        }
        let arguments = [options, "--copy-contents", "-j1", "-T", "src", "dst"];
        let command = as_plain_user(env.command(arguments));

        let killed = kill_in_d(&env, command, "dst");

        let dst = mode_of(env.path("dst"));
        chmod(&env.path("dst"), 0o755);
        for found in [dst, mode_of(env.path("dst/d"))] {
            assert_eq!(found & mode, mode, "0{mode:o} became 0{found:o}\n{}", killed.story());
        }
    }
}

#[test]
fn dst_with_an_acl_keeps_it() {
    let env = shared_target();
    let acl = "u:7:rwx,d:u:7:rwx";
    if !run_tool("setfacl", &["-m", acl], &env.path("dst")) {
        return skip!("setfacl is not installed, or the file system has no ACLs");
    }
    let before = mode_of(env.path("dst"));

    let run = env.pcopy(["-T", "src", "dst"]);

    run.exits(0);
    assert_eq!(mode_of(env.path("dst")), before, "{}", run.story());
    env.pcopy(["--check", "-T", "src", "dst"]).exits(0);
}
