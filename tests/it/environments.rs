//! Containers, mounts and programs that stand between pcopy and the kernel.

use crate::common::entries::chmod;
use crate::common::mounts::{in_own_mounts, mount};
use crate::common::*;
use std::fs;
use std::path::Path;

each_jobs!(under_fakeroot_an_entry_has_the_type_that_stat_reports, 1, 8);
fn under_fakeroot_an_entry_has_the_type_that_stat_reports(jobs: &str) {
    if !tool("fakeroot") {
        return skip!("fakeroot is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file d/file 10", "link d/link file"]);
    fs::create_dir(env.path("bin")).unwrap();
    std::os::unix::fs::symlink(PCOPY, env.path("bin/cp")).unwrap();
    // fakeroot makes a device of a regular file, and its listing shows a regular file.
    let script = "show=--progress=always; mknod src/null c 1 3; mknod src/d/loop b 7 0; chmod 640 src/null
        chown 5:6 src/null src/d/file
        \"$@\" && bin/cp -a src copy && \"$1\" $show --check -a -T src dst && \"$1\" $show -a -T src dst
        cd dst; stat -c '%n %F %t:%T %a %u:%g' null d/loop d/file
        cd ../copy; stat -c '%n %F %t:%T %a %u:%g' null d/loop d/file";
    let line = ["-q", "-j", jobs, "-a", "src", "dst"];

    let run = env.run(env.before(&["fakeroot", "sh", "-c", script, "sh"], line));

    run.exits(0).stderr_has(": identical\n").stderr_has("copied 0 entries");
    let copy = "null character special file 1:3 640 5:6\n\
        d/loop block special file 7:0 644 0:0\n\
        d/file regular file 0:0 644 5:6\n";
    run.stdout_is(&[copy, copy].concat());
}

#[test]
fn a_complete_target_that_is_read_only_is_up_to_date() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file d/b 3K", "link link a"]).tree("", ["dir disk"]);
    let Some(_mounted) = mount(&["-t", "tmpfs", "none"], &env.path("disk")) else {
        return skip!("cannot mount here");
    };
    env.pcopy(["src", "disk/dst"]).exits(0);
    let _read_only = mount(&["-o", "remount,ro"], &env.path("disk")).map(std::mem::forget);

    for option in ["-j1", "-j8", "-p", "-a", "--preserve=mode", "--preserve=acl", "--checksum"] {
        let run = env.pcopy([option, "-T", "src", "disk/dst"]);
        run.exits(0).stderr_has("copied 0 entries").stderr_lacks("cannot");
    }
    env.pcopy(["src/a", "disk/dst/a"]).exits(0).stderr_has("copied 0 entries");

    env.tree("src", ["file d/new 5"]);
    let run = env.pcopy(["-T", "src", "disk/dst"]);
    run.exits(11).stderr_has("Read-only file system");
    let absent = env.pcopy(["src", "disk/absent"]);
    absent.exits(3).stderr_has("cannot write to 'disk': Read-only file system");
}

#[test]
fn a_complete_target_of_another_user_is_up_to_date() {
    if !is_root() {
        return skip!("needs root, for a directory of another user");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file d/b 3K", "link link a"]);
    env.pcopy(["-a", "src", "dst"]).exits(0);
    chmod(&env.path(""), 0o755);
    for option in ["-j1", "-j8", "-n", "-u", "-p", "-a", "-O", "--checksum", "--inplace"] {
        let run = env.plain_pcopy_as_is([option, "-T", "src", "dst"]);
        run.exits(0).stderr_has("copied 0 entries").stderr_lacks("cannot");
    }
    env.plain_pcopy_as_is(["src/a", "dst/a"]).exits(0).stderr_has("copied 0 entries");

    env.tree("src", ["file d/new 5"]);
    let run = env.plain_pcopy_as_is(["-T", "src", "dst"]);
    run.exits(1).stderr_has("cannot create 'dst/d/new': Permission denied");
    env.plain_pcopy_as_is(["src", "dst/absent"]).exits(3).stderr_has("cannot write to 'dst'");
}

/// Sandboxes answer so to calls that they do not know.
#[test]
fn a_sandbox_that_does_not_know_faccessat2_is_no_obstacle() {
    if !has_strace!() {
        return;
    }
    for errno in ["EPERM", "EINVAL", "ENOSYS"] {
        let env = Sandbox::new();
        env.tree("src", ["file a 10", "dir d"]);
        let inject = format!("inject=faccessat2:error={errno}");
        let options = ["-e", "trace=faccessat2", "-e", &inject];
        for line in [&["src", "dst"][..], &["-T", "src", "dst"], &["--check", "-T", "src", "dst"]] {
            env.run(env.traced(&options, line)).exits(0);
        }
        env.assert_same("src", "dst");
    }
}

/// Each combination of closed standard descriptors.
const CLOSED: [&str; 8] =
    ["", "<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"];

#[test]
fn without_dev_and_with_closed_descriptors_a_run_works() {
    if !is_root() || !tool("unshare") {
        return skip!("needs root and unshare, to hide /dev");
    }
    for dev in ["", "echo text > /dev/null;"] {
        for closed in CLOSED {
            let env = Sandbox::within(&std::env::temp_dir()); // elsewhere than below /dev
            env.tree("src", ["file a 10", "file d/b 3K", "link link a"]);
            let script = format!("mount -t tmpfs none /dev && {dev} \"$@\" {closed}");
            let program = ["unshare", "-m", "sh", "-c", &script, "sh"];

            env.run(env.before(&program, ["src", "dst"])).exits(0);

            env.assert_same("src", "dst");
        }
    }
}

#[test]
fn no_file_gets_what_was_meant_for_a_closed_descriptor() {
    for closed in CLOSED {
        let env = Sandbox::new();
        env.tree("src", ["text a words", "text b words"]).tree("dst", ["dir b"]);
        let script = format!("\"$@\" {closed}");
        let run = env.run(env.before(&["sh", "-c", &script, "sh"], ["-v", "-T", "src", "dst"]));

        run.exits(1);

        let copied = fs::read_to_string(env.path("dst/a")).unwrap();
        assert_eq!(copied, "words", "{closed}");
        assert_eq!(run.stderr.is_empty(), closed.contains("2>&-"), "{}", run.story());
        assert_eq!(run.stdout.is_empty(), closed.split(' ').any(|word| word == ">&-"));
    }
}

#[test]
fn an_empty_path_is_called_empty() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]);
    for line in [&["", "dst"][..], &["src", ""], &["-t", "", "src"], &["--manifest=", "src", "dst"]]
    {
        env.pcopy(line).exits(2).stderr_has(" is empty");
    }
    assert_eq!(env.listing("").len(), 3, "nothing was made");
}

#[test]
fn an_entry_that_becomes_one_of_another_type_meanwhile_is_copied_as_what_it_is() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file b 10", "file c 10"]);
    // The listing is there, and the names are not opened yet.
    let options = ["-e", "trace=getdents64", "-e", "inject=getdents64:delay_exit=700000:when=1"];
    let live = env.launch(env.traced(&options, ["-j1", "src", "dst"]));
    wait_until("the source is listed", || {
        fs::read_to_string(env.path("trace")).is_ok_and(|log| log.contains("getdents64("))
    });
    std::thread::sleep(std::time::Duration::from_millis(100));
    fs::remove_file(env.path("src/b")).unwrap();
    std::os::unix::fs::symlink("a", env.path("src/b")).unwrap();

    live.end().exits(0);

    assert_eq!(fs::read_link(env.path("dst/b")).unwrap(), Path::new("a"));
    env.assert_same("src/a", "dst/a");
    env.assert_same("src/c", "dst/c");
}

#[test]
fn a_file_that_is_a_mount_point_can_be_written_in_place_and_the_message_says_so() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("src", ["text hosts new", "text other new"]).tree("dst", ["text hosts below"]);
    env.tree("", ["text bound old"]);
    let words = ["--bind".into(), env.path("bound").into_os_string()];
    let Some(_mounted) = mount(&words, &env.path("dst/hosts")) else {
        return skip!("cannot mount here");
    };

    let run = env.pcopy(["-T", "src", "dst"]);

    run.exits(1).stderr_has("cannot rename 'dst/hosts' into place: Device or resource busy (");
    run.stderr_has("--inplace");
    assert_eq!(fs::read(env.path("dst/hosts")).unwrap(), b"old");
    assert_eq!(fs::read(env.path("dst/other")).unwrap(), b"new");
    env.pcopy(["--inplace", "-T", "src", "dst"]).exits(0);
    assert_eq!(fs::read(env.path("bound")).unwrap(), b"new");

    env.tree("src", ["text hosts newer"]);
    let _read_only =
        mount(&["-o", "remount,ro,bind"], &env.path("dst/hosts")).map(std::mem::forget);
    let run = env.pcopy(["--inplace", "-T", "src", "dst"]);
    run.exits(1).stderr_has("cannot write 'dst/hosts', a mount point: Read-only file system\n");
    env.assert_nothing_staged();
}
