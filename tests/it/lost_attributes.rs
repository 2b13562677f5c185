//! Attributes that cannot be read or set: the data is copied all the same, and the loss is reported once for
//! each kind.

use crate::common::entries::{chmod, inode, mode_of, modified, node, set_times};
use crate::common::helpers::python;
use crate::common::mounts::{in_own_mounts, mount};
use crate::common::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};
use std::path::Path;
use std::process::Command;

/// A tree with an entry of each type that the plain user can create.
const TREE: [&str; 6] =
    ["file a 3K", "file d/b 10", "file d/e/c 300K", "link d/link a", "fifo d/fifo", "dir empty"];

/// The number of entries in [`TREE`], with its root and the directories above its files.
const ENTRIES: usize = 9;

const OLD: (i64, i64) = (1_000_000_000, 0);

/// Returns a sandbox with [`TREE`] in `src`, whose files are old.
fn planted() -> Sandbox {
    let env = Sandbox::new();
    env.tree("src", TREE);
    for name in ["a", "d/b", "d/e/c", "d/link"] {
        set_times(&env.path("src").join(name), OLD, OLD);
    }
    env
}

/// Runs pcopy. Each of the calls that `calls` lists fails with `errno`.
fn failing<'e>(env: &'e Sandbox, calls: &str, errno: &str, arguments: &[&str]) -> Run<'e> {
    env.run(env.traced(&options(calls, errno).each_ref().map(String::as_str), arguments))
}

/// Like [`failing`], for pcopy as cp.
fn failing_cp<'e>(env: &'e Sandbox, calls: &str, errno: &str, arguments: &[&str]) -> Run<'e> {
    let program = env.path("bin/cp");
    if !program.exists() {
        fs::create_dir(env.path("bin")).unwrap();
        symlink(PCOPY, &program).unwrap();
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null"]).args(options(calls, errno)).arg(program);
    command.args(arguments).current_dir(env.path(""));
    env.run(command)
}

fn options(calls: &str, errno: &str) -> [String; 4] {
    ["-e".into(), format!("trace={calls}"), "-e".into(), format!("inject={calls}:error={errno}")]
}

/// Fails unless `dst` has the types, names and contents of `src`.
#[track_caller]
fn assert_same_data(env: &Sandbox, run: &Run<'_>) {
    let data = |root: &str| -> Vec<_> {
        let entries = env.listing(root).into_iter();
        entries.map(|(path, entry)| (path, entry.mode >> 12, entry.size, entry.what)).collect()
    };
    assert!(data("src") == data("dst"), "{}", run.story());
    env.assert_nothing_staged();
}

cells! {
    refused_times_cost_no_file_and_one_warning,
    eperm => "EPERM", enosys => "ENOSYS", eopnotsupp => "EOPNOTSUPP", eio => "EIO", enospc => "ENOSPC",
}
fn refused_times_cost_no_file_and_one_warning(errno: &str) {
    if !has_strace!() {
        return;
    }
    for options in [&["-j1"][..], &["-j8"], &["-a"], &["--inplace"], &["--preserve=xattr"]] {
        let env = planted();

        let run = failing(&env, "utimensat", errno, &[options, &["src", "dst"]].concat());

        run.exits(0).stderr_has("pcopy: warning: cannot set times of 'dst/");
        run.stderr_has(&format!("' and {} other entries: ", ENTRIES - 1));
        assert_eq!(run.stderr.matches("cannot ").count(), 1, "{}", run.story());
        assert_same_data(&env, &run);
    }
}

each_jobs!(times_that_were_named_and_are_refused_are_a_failure_and_cost_no_file, 1, 8);
fn times_that_were_named_and_are_refused_are_a_failure_and_cost_no_file(jobs: &str) {
    if !has_strace!() {
        return;
    }
    for option in ["-p", "--preserve=timestamps"] {
        let env = planted();

        let run = failing(&env, "utimensat", "EPERM", &["-j", jobs, option, "src", "dst"]);

        run.exits(1).stderr_has("pcopy: cannot set times of 'dst/");
        assert_eq!(run.stderr.matches("cannot ").count(), 1, "{}", run.story());
        assert_same_data(&env, &run);
    }
}

#[test]
fn quiet_hides_the_warning_and_not_the_failure() {
    if !has_strace!() {
        return;
    }
    let env = planted();
    let silent = failing(&env, "utimensat", "EPERM", &["-q", "src", "dst"]);
    silent.exits(0);
    assert_eq!(silent.stderr, "");

    let named = failing(&env, "utimensat", "EPERM", &["-q", "-p", "-T", "src", "dst"]);
    named.exits(1).stderr_has("cannot set times of 'dst/");
}

each_jobs!(where_times_are_refused_the_contents_decide, 1, 8);
fn where_times_are_refused_the_contents_decide(jobs: &str) {
    if !has_strace!() {
        return;
    }
    for option in ["-q", "--inplace"] {
        let env = planted();
        let line = ["-j", jobs, option, "-v", "-T", "src", "dst"];
        failing(&env, "utimensat", "EPERM", &line).exits(0);
        let inodes =
            |env: &Sandbox| ["a", "d/b", "d/e/c"].map(|name| inode(env.path("dst").join(name)));
        let before = inodes(&env);

        let again = failing(&env, "utimensat", "EPERM", &line);

        again.exits(0).stdout_is("");
        assert_eq!(inodes(&env), before, "a file was copied again\n{}", again.story());

        fs::write(env.path("dst/d/b"), "other bytes").unwrap();
        fs::write(env.path("dst/a"), vec![7; 3 << 10]).unwrap(); // as many bytes as the source
        let mended = failing(&env, "utimensat", "EPERM", &line);

        let mut copied: Vec<_> = mended.stdout.lines().collect();
        copied.sort_unstable();
        assert_eq!(copied, ["dst/a", "dst/d/b"], "{}", mended.story());
        assert_same_data(&env, &mended);
    }
}

#[test]
fn times_that_were_refused_are_set_as_soon_as_they_can_be() {
    if !has_strace!() {
        return;
    }
    let env = planted();
    failing(&env, "utimensat", "EPERM", &["src", "dst"]).exits(0);

    env.pcopy(["-T", "src", "dst"]).exits(0).stderr_lacks("cannot");

    env.assert_same("src", "dst");
    env.pcopy(["-T", "src", "dst"]).exits(0).stderr_has("copied 0 entries");
}

#[test]
fn symlinks_whose_times_are_refused_are_copied_once_and_files_get_their_times() {
    if !has_strace!() {
        return;
    }
    let env = planted();
    env.tree("src", ["link links/one a"]);
    // strace knows a symlink by the directory that contains it, whose own times are refused, too.
    let [staged, dir] = [".dst.pcopy-partial/links", "dst/links"].map(|name| env.path(name));
    let fault = "inject=utimensat:error=EOPNOTSUPP";
    let options = ["-P", staged.to_str().unwrap(), "-P", dir.to_str().unwrap(), "-e", fault];

    let run = env.run(env.traced(&options, ["-j1", "src", "dst"]));

    run.exits(0).stderr_has("warning: cannot set times of 'dst/links/one' and another entry: ");
    assert_eq!(modified(env.path("dst/a")), OLD);
    let before = inode(dir.join("one"));
    let again = env.run(env.traced(&options, ["-v", "-T", "src", "dst"]));
    again.exits(0).stdout_is("");
    assert_eq!(inode(dir.join("one")), before);
}

#[test]
fn no_other_attribute_costs_a_file_either() {
    if !has_strace!() {
        return;
    }
    // ACLs and attributes are set by fsetxattr, modes by fchmod where they differ from those of a new file.
    for (calls, errno, what) in [
        ("flistxattr", "EPERM", "read extended attributes"),
        ("flistxattr", "EACCES", "read extended attributes"),
        ("flistxattr", "EIO", "read extended attributes"),
        ("fgetxattr", "EIO", "read extended attributes"),
        ("fsetxattr", "ENOSPC", "set extended attributes"),
        ("fsetxattr", "E2BIG", "set extended attributes"),
        ("fsetxattr", "ERANGE", "set extended attributes"),
        ("fsetxattr", "EINVAL", "set extended attributes"),
        ("fchmod", "EPERM", "set permissions"),
        ("fchmod", "EIO", "set permissions"),
        ("fchown", "EINVAL", "set owner"),
        ("fchown", "EIO", "set owner"),
    ] {
        let env = planted();
        if xattr::set(env.path("src/a"), "user.x", b"value").is_err() {
            return skip!("no attributes here");
        }
        if calls == "fchown" {
            if !is_root() {
                continue;
            }
            chown(env.path("src/a"), Some(1000), Some(1001)).unwrap();
        }

        let run = failing(&env, calls, errno, &["-a", "src", "dst"]);

        run.exits(0).stderr_has(&format!("pcopy: warning: cannot {what} of '"));
        assert_eq!(run.stderr.matches("cannot ").count(), 1, "{}", run.story());
        assert_same_data(&env, &run);
    }
}

#[test]
fn cp_reports_what_it_must_preserve_and_is_silent_on_the_rest() {
    if !has_strace!() {
        return;
    }
    let env = planted();
    if xattr::set(env.path("src/a"), "user.x", b"value").is_err() {
        return skip!("no attributes here");
    }
    for (calls, option, code, message) in [
        ("utimensat", "-r", 0, ""),
        ("utimensat", "-a", 1, "cp: preserving times for 'dst/a': Operation not permitted\n"),
        ("flistxattr", "-a", 0, ""),
        ("fsetxattr", "-a", 0, ""),
        ("fgetxattr", "-a", 0, ""),
        (
            "flistxattr",
            "--preserve=xattr",
            1,
            "listing attributes of 'src/a': Operation not permitted\n",
        ),
        ("fsetxattr", "--preserve=xattr", 1, "setting attribute"),
    ] {
        let run = failing_cp(&env, calls, "EPERM", &["-r", option, "src", "dst"]);

        run.exits(code).stderr_has(message);
        assert_eq!(run.stderr.is_empty(), message.is_empty(), "{calls} {option}\n{}", run.story());
        assert_same_data(&env, &run);
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

#[test]
fn an_acl_is_preserved_even_if_attributes_cannot_be_listed() {
    if !has_strace!() {
        return;
    }
    let env = planted();
    if !run_tool("setfacl", &["-m", "u:1:rw"], &env.path("src/a")) {
        return skip!("no ACLs here");
    }

    failing(&env, "flistxattr", "EPERM", &["-a", "src", "dst"]).exits(0);

    let acl = |path| xattr::get(path, "system.posix_acl_access").unwrap();
    assert_eq!(acl(env.path("dst/a")), acl(env.path("src/a")));
    assert_eq!(mode_of(env.path("dst/a")), mode_of(env.path("src/a")));
    assert_eq!(acl(env.path("dst/d/b")), None);
}

/// cp, too, takes these answers for "there are no ACLs here".
#[test]
fn as_cp_an_acl_that_the_file_system_does_not_support_is_none() {
    if !has_strace!() {
        return;
    }
    for errno in ["EOPNOTSUPP", "EINVAL", "ENOSYS"] {
        let env = planted();
        if !run_tool("setfacl", &["-m", "u:1:rw"], &env.path("src/a")) {
            return skip!("no ACLs here");
        }
        let run = failing_cp(&env, "getxattr,fgetxattr,lgetxattr", errno, &["-rp", "src", "dst"]);
        run.exits(0);
        assert_eq!(run.stderr, "", "{}", run.story());
        assert_same_data(&env, &run);
    }
}

#[test]
fn as_cp_permission_bits_that_are_right_need_not_be_set() {
    if !has_strace!() {
        return;
    }
    for errno in ["EPERM", "EOPNOTSUPP", "EROFS"] {
        let env = planted();
        let run = failing_cp(&env, "chmod,fchmod,fchmodat", errno, &["-r", "src", "dst"]);
        run.exits(0);
        assert_eq!(run.stderr, "", "{}", run.story());
        assert_same_data(&env, &run);
    }
}

/// All owners without an ID in a user namespace look the same, so nobody knows whether the copy has the right one.
#[test]
fn an_owner_without_an_id_in_this_user_namespace_grants_the_group_nothing() {
    let unshared = Command::new("unshare").args(["-Ur", "true"]).output();
    if !is_root() || !unshared.is_ok_and(|output| output.status.success()) {
        return skip!("needs root, and unshare with user namespaces");
    }
    let env = Sandbox::new();
    env.tree("src", ["dir d", "fifo f"]).tree("", ["dir into"]);
    chown(env.path("into"), None, Some(2000)).unwrap();
    chmod(&env.path("into"), 0o2775);
    for (name, bits) in [("d", 0o750), ("f", 0o660)] {
        chown(env.path("src").join(name), None, Some(1000)).unwrap();
        chmod(&env.path("src").join(name), bits);
    }
    chmod(&env.path(""), 0o755);
    for (option, code) in [("-p", 1), ("-a", 0)] {
        let target = format!("into/copy{option}");

        let run = env.run(env.before(&["unshare", "-Ur"], [option, "src", &target]));

        run.exits(code).stderr_has("cannot set owner of ").stderr_has(": Invalid argument");
        for name in ["d", "f"] {
            let mode = mode_of(env.path(&target).join(name));
            assert_eq!(mode & 0o070, 0, "{option} {name} {mode:o}");
        }
    }
}

/// Returns a sandbox of the plain user in which `shared` belongs to another user, and is open to all.
fn shared_dir() -> Sandbox {
    let env = planted();
    fs::create_dir(env.path("shared")).unwrap();
    chmod(&env.path("shared"), 0o777);
    env.give_to_plain_user();
    chown(env.path("shared"), Some(0), Some(0)).unwrap();
    env
}

#[test]
fn the_attributes_of_another_users_directory_are_not_asked_for() {
    if !is_root() {
        return skip!("needs root, for a directory of another user");
    }
    let env = shared_dir();
    for option in ["-j1", "-j8", "-a"] {
        let run = env.plain_pcopy_as_is([option, "-T", "src", "shared"]);

        run.exits(0).stderr_lacks("cannot");
        assert_eq!(mode_of(env.path("shared")), 0o777);
        assert_eq!(modified(env.path("shared/d/b")), OLD);
    }
    env.plain_pcopy_as_is(["-p", "-T", "src", "shared"])
        .exits(1)
        .stderr_has("pcopy: cannot set times of 'shared': Operation not permitted\n");
    env.plain_pcopy_as_is(["--preserve=timestamps", "-O", "-T", "src", "shared"])
        .exits(0)
        .stderr_lacks("cannot");
}

#[test]
fn another_users_file_that_only_differs_in_its_time_is_not_written_again_in_place() {
    if !is_root() {
        return skip!("needs root, for a file of another user");
    }
    let env = shared_dir();
    fs::copy(env.path("src/a"), env.path("shared/a")).unwrap();
    chmod(&env.path("shared/a"), 0o666);
    let before = fs::metadata(env.path("shared/a")).unwrap();

    let run = env.plain_pcopy_as_is(["--inplace", "-v", "-T", "src", "shared"]);

    run.exits(0).stderr_has("warning: cannot set ");
    assert!(!run.stdout.lines().any(|name| name == "shared/a"), "{}", run.story());
    assert_eq!(fs::metadata(env.path("shared/a")).unwrap().mtime_nsec(), before.mtime_nsec());
}

#[test]
fn without_dir_times_directories_keep_theirs_and_compare_as_identical() {
    let env = planted();
    set_times(&env.path("src/d"), OLD, OLD);
    set_times(&env.path("src"), OLD, OLD);

    env.pcopy(["--omit-dir-times", "src", "dst"]).exits(0);

    assert_ne!(modified(env.path("dst/d")), OLD);
    assert_eq!(modified(env.path("dst/d/b")), OLD);
    env.pcopy(["--check", "-O", "-T", "src", "dst"]).exits(0);
    env.pcopy(["--check", "-T", "src", "dst"]).exits(6);
    env.pcopy(["-O", "-T", "src", "dst"]).exits(0).stderr_has("copied 0 entries");
    assert_ne!(modified(env.path("dst/d")), OLD);
}

#[test]
fn a_refused_owner_opens_nothing_to_the_group_that_the_directory_gives() {
    if !is_root() || !tool("setpriv") {
        return skip!("needs root and setpriv, to run without CAP_CHOWN");
    }
    let unprivileged = ["setpriv", "--bounding-set=-chown", "--inh-caps=-chown"];
    let env = Sandbox::new();
    env.tree("src", ["file closed 10", "file open 10", "fifo fifo", "dir d"]);
    for (name, mode) in [("closed", 0o640), ("open", 0o644), ("fifo", 0o660), ("d", 0o750)] {
        let path = env.path("src").join(name);
        chown(&path, Some(0), Some(3)).unwrap();
        chmod(&path, mode);
    }
    for (option, code) in [("-a", 0), ("-p", 1)] {
        let _ = fs::remove_dir_all(env.path("group"));
        fs::create_dir(env.path("group")).unwrap();
        chown(env.path("group"), Some(0), Some(2)).unwrap();
        chmod(&env.path("group"), 0o2775);
        env.tree("group", ["dir into"]); // gets the group, and gives it to the entries

        let run = env.run(env.before(&unprivileged, [option, "-T", "src", "group/into"]));

        run.exits(code).stderr_has("cannot set owner of 'group/into/");
        let mode = |name: &str| mode_of(env.path("group/into").join(name)) & 0o777;
        assert_eq!(mode("closed"), 0o600, "{option}\n{}", run.story());
        assert_eq!(mode("fifo"), 0o600, "{option}\n{}", run.story());
        assert_eq!(mode("d"), 0o700, "{option}\n{}", run.story());
        assert_eq!(mode("open"), 0o644, "the others may read it, so the group may, too");
    }
}

#[test]
fn no_entry_has_a_wrong_group_with_permissions_before_its_owner_is_set() {
    if !is_root() || !has_strace!() {
        return;
    }
    for option in ["--preserve=ownership", "-a"] {
        let env = Sandbox::new();
        env.tree("src", ["fifo d/fifo", "file d/file 10"]);
        for name in ["d/fifo", "d/file", "d"] {
            chown(env.path("src").join(name), Some(1000), Some(1001)).unwrap();
        }
        let options = ["-e", "trace=mkdirat,mknodat,openat"];

        env.run(env.traced(&options, ["--no-preserve=mode", option, "src", "dst"])).exits(0);

        let log = fs::read_to_string(env.path("trace")).unwrap();
        let created = |line: &&str| {
            line.contains("mknodat(") && line.contains("S_IFIFO")
                || line.contains("mkdirat(") && line.contains("\"d\"")
                || line.contains("O_CREAT") && line.contains("\"file\"")
        };
        let lines: Vec<_> = log.lines().filter(created).collect();
        assert_eq!(lines.len(), 3, "{log}");
        for line in lines {
            let is_private = line.contains("0600") || line.contains("0700");
            assert!(is_private, "{option}: {line}");
        }
    }
}

cells!(
    attributes_of_entries_that_cannot_be_opened_need_no_proc,
    this_kernel => false,
    kernel_before_6_13 => true,
);
fn attributes_of_entries_that_cannot_be_opened_need_no_proc(is_old: bool) {
    if !is_root() || !tool("unshare") {
        return skip!("needs root and unshare, to hide /proc");
    }
    let (python, old_kernel) =
        (python(), env!("CARGO_MANIFEST_DIR").to_owned() + "/tests/common/old_kernel.py");
    let mut without_proc =
        vec!["unshare", "-m", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"];
    if is_old {
        without_proc.extend([python.to_str().unwrap(), &old_kernel]);
    }
    let mut trial = Command::new(without_proc[0]);
    trial.args(&without_proc[1..]).arg("true");
    if !trial.status().is_ok_and(|status| status.success()) {
        return skip!("no Python, or seccomp is not permitted");
    }
    let env = planted();
    node(&env.path("src/null"), "char", 1, 3);
    lchown(env.path("src/d/link"), Some(7), Some(8)).unwrap();
    let acl = ["-m", "u:1:rw"];
    if !run_tool("setfacl", &acl, &env.path("src/d/fifo"))
        || xattr::set(env.path("src/d/link"), "trusted.x", b"value").is_err()
    {
        return skip!("no ACLs or attributes here");
    }

    let run = env.run(env.before(&without_proc, ["-a", "src", "dst"]));

    run.exits(0).stderr_lacks("cannot");
    env.run(env.before(&without_proc, ["--check", "-a", "-T", "src", "dst"])).exits(0);
    let fifo = |root: &str| xattr::get(env.path(root).join("d/fifo"), "system.posix_acl_access");
    assert!(fifo("src").unwrap().is_some() && fifo("src").unwrap() == fifo("dst").unwrap());
    assert_eq!(xattr::get(env.path("dst/d/link"), "trusted.x").unwrap().unwrap(), b"value");
}

#[test]
fn attributes_that_the_machine_says_to_skip_are_skipped() {
    if !in_own_mounts!() {
        return;
    }
    let rules = Path::new("/etc/xattr.conf");
    let env = planted();
    fs::write(env.path("rules"), "# names\nuser.index.* skip # of a search engine\n").unwrap();
    let words = ["--bind".into(), env.path("rules").into_os_string()];
    if !rules.exists() {
        return skip!("libattr's configuration file is not installed");
    }
    let Some(_mounted) = mount(&words, rules) else { return skip!("cannot mount here") };
    for name in ["user.index.time", "user.kept"] {
        if xattr::set(env.path("src/a"), name, b"value").is_err() {
            return skip!("no attributes here");
        }
    }
    for run in [env.pcopy(["-a", "src", "dst"]), env.cp(["-a", "src", "copy"])] {
        run.exits(0);
    }
    for root in ["dst", "copy"] {
        let names: Vec<_> = xattr::list(env.path(root).join("a")).unwrap().collect();
        assert!(names.contains(&"user.kept".into()), "{names:?}");
        assert!(!names.contains(&"user.index.time".into()), "{names:?}");
    }
    env.pcopy(["--check", "-a", "-T", "src", "dst"]).exits(0);
}

each_jobs!(the_users_backup_survives_the_rerun_after_times_were_refused, 1, 8);
fn the_users_backup_survives_the_rerun_after_times_were_refused(jobs: &str) {
    if !has_strace!() {
        return;
    }
    let env = planted();
    fs::hard_link(env.path("src/d/b"), env.path("src/d/e/b")).unwrap();
    env.tree("dst", ["text a old", "text d/b old", "text d/e/b old", "link d/link old"]);
    let line = ["-j", jobs, "--backup=simple", "-T", "src", "dst"];
    failing(&env, "utimensat", "EPERM", &line).exits(0);

    env.pcopy(line).exits(0);

    for name in ["a~", "d/b~", "d/e/b~"] {
        assert_eq!(fs::read(env.path("dst").join(name)).unwrap(), b"old", "{name}");
    }
    assert_eq!(fs::read_link(env.path("dst/d/link~")).unwrap(), Path::new("old"));
    assert_eq!(modified(env.path("dst/a")), OLD);
}
