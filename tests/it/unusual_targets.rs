//! File systems that refuse what a local Linux disk permits: writes that are not in order, renames, names with a
//! leading dot, long names. Where cp can copy, pcopy can.

use crate::common::entries::{inode, set_times};
use crate::common::habits::mount_with_habits;
use crate::common::images::{EXT4, EXT4_OF_SECONDS, mounted_or_skip};
use crate::common::mounts::in_own_mounts;
use crate::common::*;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The size from which several copiers copy a file.
const LARGE: &str = "file d/large 16M";

/// The name under which a run creates the staged directory of `dst` before it renames it.
const TRIAL: &str = ".dst.pcopy-partial-1";

/// Plants a source with files of all sizes, links and directories.
fn plant(env: &Sandbox) {
    env.tree("src", ["file a 10", "file d/e/small 3K", "link link a", "file empty 0", LARGE]);
    env.tree("src", ["file d/sparse 1M", "dir d/none"]);
    fs::hard_link(env.path("src/a"), env.path("src/d/hard")).unwrap();
    let sparse = fs::File::options().write(true).open(env.path("src/d/sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap(); // a hole at the end
}

/// Copies to a mount with this habit, and again. Both runs must succeed, and the second must copy nothing.
#[track_caller]
fn copies_once<'a>(env: &'a Sandbox, options: &[&str]) -> Run<'a> {
    let line = [options, &["-T", "src", "at/dst"]].concat();

    let run = env.pcopy(&line);

    run.exits(0);
    env.assert_same("src", "at/dst");
    env.pcopy(&line).exits(0).stderr_has("copied 0 entries");
    env.assert_nothing_staged();
    run
}

cells! {
    a_target_that_takes_bytes_in_order_only_gets_them_in_order,
    eio_1 => ("in-order=EIO", &["-j1"]),
    eio_4 => ("in-order=EIO", &["-j4"]),
    einval_8 => ("in-order=EINVAL", &["-j8"]),
    eopnotsupp_in_place => ("in-order=EOPNOTSUPP", &["-j4", "--inplace"]),
    espipe_holes => ("in-order=ESPIPE", &["-j4", "--sparse=always"]),
    eio_verified => ("in-order=EIO", &["-j4", "--verify", "--fsync"]),
}
fn a_target_that_takes_bytes_in_order_only_gets_them_in_order(habit: &str, options: &[&str]) {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &[habit]) else { return };
    plant(&env);

    copies_once(&env, options).stderr_lacks("warning");
}

#[test]
fn cp_writes_in_order_where_it_must() {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &["in-order=EIO"]) else { return };
    plant(&env);

    env.cp(["-a", "src", "at/dst"]).exits(0);

    env.assert_same("src", "at/dst");
}

cells! {
    without_renames_a_new_copy_is_built_in_place,
    nothing_1 => ("no-rename=ENOSYS", "1"),
    nothing_8 => ("no-rename=EPERM", "8"),
    failing => ("no-rename=EIO", "4"),
    directories => ("no-dir-rename=EPERM", "4"),
    hidden => ("no-leading-dot", "4"),
    short => ("names-silent=12", "4"),
}
fn without_renames_a_new_copy_is_built_in_place(habit: &str, jobs: &str) {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &[habit]) else { return };
    plant(&env);

    let run = copies_once(&env, &["-j", jobs]);

    run.stderr_has("warning: built 'at/dst' in place, not under a temporary name: ");
    assert_eq!(run.stderr.matches("warning").count(), 1, "{}", run.story());
}

each_jobs!(where_the_kernel_refuses_renames_a_new_copy_is_built_in_place, 1, 4);
fn where_the_kernel_refuses_renames_a_new_copy_is_built_in_place(jobs: &str) {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    plant(&env);
    let refused =
        ["-e", "trace=/^rename", "-e", "inject=rename,renameat,renameat2:error=EOPNOTSUPP"];

    let run = env.run(env.traced(&refused, ["-j", jobs, "src", "dst"]));

    run.exits(0).stderr_has("warning: built 'dst' in place, not under a temporary name: ");
    env.assert_same("src", "dst");
    env.assert_nothing_staged();
    assert!(!env.path(TRIAL).exists());
}

/// As in a directory that only takes new entries (`chattr +a`), or in a sandbox that forbids both.
#[test]
fn where_renames_and_removals_are_refused_a_new_copy_is_built_in_place() {
    if !has_strace!() {
        return;
    }
    let env = Sandbox::new();
    plant(&env);
    let calls = "rename,renameat,renameat2,unlinkat";
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:error=EACCES"));

    let run = env.run(env.traced(&["-e", &trace, "-e", &inject], ["src", "dst"]));

    run.exits(0).stderr_has("warning: built 'dst' in place, not under a temporary name: ");
    env.assert_same("src", "dst");
    assert_eq!(fs::read_dir(env.path(TRIAL)).unwrap().count(), 0);
    env.pcopy(["-T", "src", "dst"]).exits(0).stdout_is("");
    assert!(!env.path(TRIAL).exists());
}

/// Lets a directory take new entries only, or ends that.
fn set_append_only(dir: &Path, flag: &str) {
    assert!(Command::new("chattr").arg(flag).arg(dir).status().unwrap().success());
}

each_jobs!(an_append_only_directory_gets_complete_entries_and_keeps_nothing_staged, 1, 4);
fn an_append_only_directory_gets_complete_entries_and_keeps_nothing_staged(jobs: &str) {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    let Some(_mounted) = mounted_or_skip!(&env, "at", EXT4) else { return };
    plant(&env);
    env.tree("at/dst", ["dir d"]);
    set_append_only(&env.path("at/dst"), "+a");

    let merged = env.pcopy(["-j", jobs, "-T", "src", "at/dst"]);
    merged.exits(0).stderr_has("in place, not under a temporary name: Operation not permitted");
    env.pcopy(["-j", jobs, "src", "at/dst/new"]).exits(0);
    env.tree("", ["text first/one 1", "text second/two 2"]);
    env.pcopy(["-j", jobs, "first/.", "second", "at/dst"]).exits(0);
    assert!(env.path("at/dst/one").exists() && env.path("at/dst/second/two").exists());
    fs::write(env.path("src/a"), "changed").unwrap();
    let refused = env.pcopy(["-j", jobs, "-T", "src", "at/dst"]);
    refused.exits(1).stderr_has("cannot rename 'at/dst/a' into place: Operation not permitted");

    set_append_only(&env.path("at/dst"), "-a");
    env.assert_nothing_staged();
    env.pcopy(["-T", "src", "at/dst/new"]).exits(0).stderr_has("copied 1 entry");
    env.assert_same("src", "at/dst/new");
    for dir in ["new", "second"] {
        fs::remove_dir_all(env.path("at/dst").join(dir)).unwrap();
    }
    fs::remove_file(env.path("at/dst/one")).unwrap();
    env.pcopy(["-T", "src", "at/dst"]).exits(0).stderr_has("copied 1 entry");
    env.assert_same("src", "at/dst");
}

#[test]
fn an_empty_directory_that_a_killed_run_was_about_to_rename_is_removed() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K"]).tree(TRIAL, Vec::<&str>::new());

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
    assert!(!env.path(TRIAL).exists());
}

#[test]
fn a_directory_of_that_name_that_is_not_empty_stays() {
    let env = Sandbox::new();
    env.tree("src", ["file a 3K"]).tree(TRIAL, ["text mine of the user"]);

    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "dst");
    let mine = fs::read_to_string(env.path(TRIAL).join("mine"));
    assert_eq!(mine.unwrap(), "of the user");
}

cells! {
    without_renames_new_entries_of_an_existing_directory_are_built_in_place,
    nothing_1 => ("no-rename=ENOSYS", "1"),
    nothing_8 => ("no-rename=EPERM", "8"),
    hidden => ("no-leading-dot", "4"),
}
fn without_renames_new_entries_of_an_existing_directory_are_built_in_place(
    habit: &str,
    jobs: &str,
) {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &[habit]) else { return };
    plant(&env);
    env.tree("at/dst", ["dir d/e"]);

    let run = copies_once(&env, &["-j", jobs]);

    run.stderr_has("in place, not under a temporary name: ");
    assert_eq!(run.stderr.matches("warning").count(), 1, "{}", run.story());
    env.tree("linked", ["file a 10"]).tree("at/linked", []);
    fs::hard_link(env.path("linked/a"), env.path("linked/b")).unwrap();
    env.pcopy(["-T", "linked", "at/linked"]).exits(0);
    assert_eq!(inode(env.path("under/linked/a")), inode(env.path("under/linked/b")));
    env.pcopy(["src/d/large", "at/one"]).exits(0).stderr_has("built 'at/one' in place");
    assert_eq!(fs::read(env.path("at/one")).unwrap(), fs::read(env.path("src/d/large")).unwrap());
}

cells! {
    without_renames_an_existing_file_stays_and_inplace_is_named,
    nothing => ("no-rename=ENOSYS"),
    occupied => ("no-replace=EEXIST"),
    hidden => ("no-leading-dot"),
}
fn without_renames_an_existing_file_stays_and_inplace_is_named(habit: &str) {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &[habit]) else { return };
    env.tree("src", ["text a new", "text b other"]).tree("at/dst", ["text a old, and longer"]);

    let run = env.pcopy(["-T", "src", "at/dst"]);

    run.exits(1).stderr_has("'at/dst/a'").stderr_has("(--inplace writes ");
    assert_eq!(fs::read_to_string(env.path("at/dst/a")).unwrap(), "old, and longer");
    assert_eq!(fs::read_to_string(env.path("at/dst/b")).unwrap(), "other");
    env.assert_nothing_staged();

    env.pcopy(["--inplace", "-T", "src", "at/dst"]).exits(0);
    assert_eq!(fs::read_to_string(env.path("at/dst/a")).unwrap(), "new");
}

cells! {
    a_name_as_long_as_the_target_permits_is_copied,
    ecryptfs => ("names=143", 143),
    silent => ("names-silent=180", 180),
}
fn a_name_as_long_as_the_target_permits_is_copied(habit: &str, bytes: usize) {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &[habit]) else { return };
    let [name, dir] = ["n", "d"].map(|letter| letter.repeat(bytes));
    env.tree("src", [&*format!("file {name} 10"), &format!("file {dir}/{name} 3K")]);
    env.tree("at", ["dir merged"]);

    copies_once(&env, &["-j2"]).stderr_lacks("warning");
    env.pcopy(["-T", "src", "at/merged"]).exits(0).stderr_lacks("warning");
    env.assert_same("src", "at/merged");
    env.pcopy(["src", &*format!("at/{dir}")]).exits(0).stderr_lacks("warning");
    env.assert_nothing_staged();
}

cells! {
    an_entry_has_the_type_that_stat_reports,
    files_1 => ("types=file", "1"),
    files_8 => ("types=file", "8"),
    directories => ("types=directory", "4"),
    unknown => ("types=unknown", "4"),
}
fn an_entry_has_the_type_that_stat_reports(habit: &str, jobs: &str) {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &[habit]) else { return };
    env.tree("src", ["file a 10", "file d/e/small 3K", "link link a", "dir d/none", LARGE]);
    env.pcopy(["-T", "src", "under/src"]).exits(0);
    let line = ["-j", jobs, "-T", "at/src", "copy"];

    env.pcopy(line).exits(0);

    env.assert_same("src", "copy");
    env.pcopy(line).exits(0).stderr_has("copied 0 entries");
    env.pcopy(["--check", "-T", "at/src", "copy"]).exits(0);
    env.pcopy(["--check", "-T", "src", "at/src"]).exits(0);
    env.cp(["-a", "at/src", "as-cp"]).exits(0);
    env.assert_same("src", "as-cp");
}

/// The modification times of the source files here have a fraction of a second.
fn plant_with_times(env: &Sandbox) {
    plant(env);
    for (seconds, path) in
        (1_600_000_001..).zip(["a", "d/e/small", "link", "empty", "d/large", "d/e", "d"])
    {
        set_times(&env.path("src").join(path), (1000, 0), (seconds, 123_456_789));
    }
}

cells! {
    a_copy_is_complete_where_times_are_stored_in_steps,
    fat_1 => ("times=2000000000", "1"),
    fat_8 => ("times=2000000000", "8"),
    smb => ("times=100", "4"),
    exfat => ("times=10000000", "4"),
    seconds_up => ("times-up=1000000000", "4"),
    floating => ("times-float", "4"),
    stamped => ("stamps-at-close", "4"),
}
fn a_copy_is_complete_where_times_are_stored_in_steps(habit: &str, jobs: &str) {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &[habit]) else { return };
    plant_with_times(&env);
    let line = ["-j", jobs, "-T", "src", "at/dst"];

    env.pcopy(line).exits(0).stderr_lacks("warning");

    env.pcopy(line).exits(0).stderr_has("copied 0 entries");
    env.pcopy(["--check", "-T", "src", "at/dst"]).exits(0).stderr_has("identical");
    env.pcopy(["-u", "-T", "src", "at/dst"]).exits(0).stderr_has("copied 0 entries");

    let changed = env.path("src/d/e/small");
    fs::write(&changed, [b'x'; 3072]).unwrap();
    set_times(&changed, (1000, 0), (1_600_000_009, 123_456_789));
    env.pcopy(line).exits(0).stderr_has("copied 1 entry");
    assert_eq!(fs::read(env.path("at/dst/d/e/small")).unwrap(), [b'x'; 3072]);
}

#[test]
fn a_copy_is_complete_on_ext4_that_stores_seconds() {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    let Some(_mounted) = mounted_or_skip!(&env, "at", EXT4_OF_SECONDS) else { return };
    plant_with_times(&env);

    env.pcopy(["-T", "src", "at/dst"]).exits(0);

    env.pcopy(["-T", "src", "at/dst"]).exits(0).stderr_has("copied 0 entries");
    env.pcopy(["--check", "-T", "src", "at/dst"]).exits(0).stderr_has("identical");
}

#[test]
fn where_times_are_exact_a_rounded_time_is_another_time() {
    let env = Sandbox::new();
    env.tree("src", ["text a new", "text b new"]).tree("dst", ["text a old", "text b old"]);
    for (name, nanoseconds) in [("a", 0), ("b", 123_456_700)] {
        set_times(&env.path("src").join(name), (1000, 0), (1_600_000_001, 123_456_789));
        set_times(&env.path("dst").join(name), (1000, 0), (1_600_000_001, nanoseconds));
    }

    env.pcopy(["--check", "-T", "src", "dst"]).exits(6);
    env.pcopy(["-T", "src", "dst"]).exits(0).stderr_has("copied 2 entries");

    env.assert_same("src", "dst");
}

#[test]
fn times_within_the_modify_window_are_the_same() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file b 10", "dir d"]);
    env.pcopy(["src", "dst"]).exits(0);
    set_times(&env.path("dst/a"), (1000, 0), (1_600_000_003, 5));
    set_times(&env.path("src/a"), (1000, 0), (1_600_000_001, 9));
    let line = |window: &'static str| [window, "-T", "src", "dst"];

    env.pcopy(line("--modify-window=2")).exits(0).stderr_has("copied 0 entries");
    env.pcopy(["--modify-window=2", "--check", "-T", "src", "dst"]).exits(0);
    env.pcopy(["--modify-window=1", "--check", "-T", "src", "dst"]).exits(6);
    env.pcopy(line("--modify-window=1")).exits(0).stderr_has("copied 1 entry");
    env.pcopy(line("--modify-window=x")).exits(2);
}

each_jobs!(times_that_are_silently_ignored_are_reported_and_contents_decide, 1, 8);
fn times_that_are_silently_ignored_are_reported_and_contents_decide(jobs: &str) {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &["no-times=OK"]) else { return };
    plant_with_times(&env);
    let line = ["-j", jobs, "-T", "src", "at/dst"];

    env.pcopy(line).exits(0).stderr_has("warning: cannot set times of ");

    env.pcopy(line).exits(0).stderr_has("copied 0 entries");
    fs::write(env.path("src/d/e/small"), [b'x'; 3072]).unwrap();
    env.pcopy(line).exits(0).stderr_has("copied 1 entry");
}

#[test]
fn what_is_removed_while_it_is_open_changes_no_directory() {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &["late-remove"]) else { return };
    plant_with_times(&env);
    set_times(&env.path("src"), (1000, 0), (1_600_000_000, 123_456_789));
    let line = ["-T", "src", "at/dst"];

    env.pcopy(line).exits(0);
    env.pcopy(["--check", "-T", "src", "at/dst"]).exits(0);
    env.pcopy(line).exits(0).stderr_has("copied 0 entries");

    env.pcopy(["--check", "-T", "src", "at/dst"]).exits(0).stderr_has("identical");
    let lines: Vec<_> = fs::read_dir(env.path("under/dst")).unwrap().collect();
    assert_eq!(lines.len(), fs::read_dir(env.path("src")).unwrap().count(), "{lines:?}");
}

each_jobs!(hard_links_are_made_once_where_each_name_has_an_inode_number_of_its_own, 1, 4);
fn hard_links_are_made_once_where_each_name_has_an_inode_number_of_its_own(jobs: &str) {
    use std::os::unix::fs::MetadataExt;
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &["own-inodes"]) else { return };
    plant(&env);
    fs::hard_link(env.path("src/a"), env.path("src/third")).unwrap();
    let line = ["-j", jobs, "-T", "src", "at/dst"];

    env.pcopy(line).exits(0).stderr_has("; 2 linked");
    env.pcopy(line).exits(0).stderr_has("copied 0 entries").stderr_lacks("linked");

    env.assert_nothing_staged();
    let links = |name: &str| fs::metadata(env.path("under/dst").join(name)).unwrap().nlink();
    assert_eq!(["a", "third", "d/hard"].map(links), [3; 3]);

    // A name that is a file of its own becomes a link again.
    fs::copy(env.path("src/a"), env.path("copy")).unwrap();
    fs::rename(env.path("copy"), env.path("under/dst/third")).unwrap();
    env.pcopy(line).exits(0);
    env.assert_nothing_staged();
    assert_eq!(links("a"), 3);
}

cells! {
    entries_of_types_that_the_target_lacks_fail_alone,
    rclone_1 => ("no-symlinks=EIO", "link", "1"),
    rclone_8 => ("no-symlinks=EIO", "link", "8"),
    exfat => ("no-nodes=EIO", "fifo", "4"),
    ntfs => ("no-nodes=EOPNOTSUPP", "fifo", "4"),
    symlinks => ("no-symlinks=ENOSYS", "link", "4"),
}
fn entries_of_types_that_the_target_lacks_fail_alone(habit: &str, kind: &str, jobs: &str) {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &[habit]) else { return };
    env.tree("src", ["file a 10", "file d/b 3K", "file z 3K"]);
    env.tree("src", [&*format!("{kind} d/0 a"), &format!("{kind} 0 a")]);
    let line = ["-j", jobs, "--retries=0", "-T", "src", "at/dst"];

    let run = env.pcopy(line);

    run.exits(1).stderr_has("cannot create 'at/dst/0': ").stderr_has("; 2 failed");
    env.pcopy(line).exits(1).stderr_has("copied 0 entries");
    fs::remove_file(env.path("src/0")).unwrap();
    fs::remove_file(env.path("src/d/0")).unwrap();
    env.pcopy(line).exits(0);
    env.assert_same("src", "at/dst");
}

#[test]
fn the_size_of_what_has_no_contents_is_not_compared() {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &["odd-sizes"]) else { return };
    env.tree("src", ["file a 10", "link d/link a", "fifo d/fifo", "fifo fifo"]);

    env.pcopy(["-T", "src", "at/dst"]).exits(0);

    env.pcopy(["-T", "src", "at/dst"]).exits(0).stderr_has("copied 0 entries");
    env.pcopy(["--check", "-T", "src", "at/dst"]).exits(0);
    env.pcopy(["-T", "at/dst", "back"]).exits(0);
    env.pcopy(["-T", "at/dst", "back"]).exits(0).stderr_has("copied 0 entries");
}

cells! {
    a_time_that_the_target_cannot_store_becomes_its_latest_one,
    ext4 => ("latest=2147483647"),
    nfs => ("latest=4294967295"),
}
fn a_time_that_the_target_cannot_store_becomes_its_latest_one(habit: &str) {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &[habit]) else { return };
    plant_with_times(&env);
    for name in ["a", "link", "d/e", "d/e/small"] {
        set_times(&env.path("src").join(name), (1000, 0), (5_000_000_000, 5));
    }
    let line = ["-T", "src", "at/dst"];

    env.pcopy(line).exits(0).stderr_lacks("warning");

    env.pcopy(line).exits(0).stderr_has("copied 0 entries");
    env.pcopy(["--check", "-T", "src", "at/dst"]).exits(0).stderr_has("identical");
    set_times(&env.path("src/a"), (1000, 0), (1_500_000_000, 5));
    env.pcopy(line).exits(0).stderr_has("copied 1 entry");
}

#[test]
fn attributes_that_cannot_be_read_keep_nothing_from_being_compared() {
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &["no-xattr=EIO"]) else { return };
    plant(&env);
    env.pcopy(["-T", "src", "under/src"]).exits(0);
    env.pcopy(["-a", "--retries=0", "-T", "at/src", "dst"]).exits(0);

    // As a target, it lacks only what the source has.
    for _ in 0..2 {
        env.pcopy(["-a", "--retries=0", "-T", "src", "at/back"])
            .exits(0)
            .stderr_lacks("attributes");
    }

    let check =
        |options: &[&str]| env.pcopy([options, &["--check", "-T", "at/src", "dst"]].concat());

    // Where an ACL could not be read, the copy has no permissions for the group.
    let run = check(&["-a", "--no-preserve=mode"]);
    run.exits(0).stderr_has("warning: cannot read extended attributes of 'at/src");
    assert_eq!(run.stderr.matches("extended attributes").count(), 1, "{}", run.story());
    check(&["--preserve=xattr", "--no-preserve=mode"]).exits(1);

    fs::write(env.path("dst/d/e/small"), [b'x'; 3072]).unwrap();
    let run = check(&["-a", "--no-preserve=mode,timestamps"]);
    run.exits(6).stdout_is("different: 'dst/d/e/small': contents\n");
}

each_jobs!(where_setting_a_symlink_means_its_file_no_symlink_is_set, 1, 4);
fn where_setting_a_symlink_means_its_file_no_symlink_is_set(jobs: &str) {
    use std::os::unix::fs::{MetadataExt, lchown, symlink};
    let env = Sandbox::new();
    let Some(_mounted) = mount_with_habits(test_name!(), &env, &["follows-links"]) else { return };
    plant_with_times(&env);
    env.tree("", ["text outside x"]);
    set_times(&env.path("outside"), (1000, 0), (1000, 0));
    symlink(env.path("outside"), env.path("src/out")).unwrap();
    symlink("nowhere", env.path("src/d/dangling")).unwrap();
    lchown(env.path("src/out"), Some(1000), Some(1001)).unwrap();
    let line = ["-j", jobs, "-a", "-T", "src", "at/dst"];

    let run = env.pcopy(line);

    run.exits(0).stderr_has("warning: cannot set times of ");
    env.pcopy(line).exits(0).stderr_has("copied 0 entries");
    env.pcopy(["--inplace", "-T", "src", "at/dst"]).exits(0);
    env.cp(["-a", "src/out", "at/out"]);
    let outside = fs::metadata(env.path("outside")).unwrap();
    assert_eq!((outside.mtime(), outside.uid()), (1000, 0), "what a symlink leads to was changed");
    let (a, copy) = (fs::metadata(env.path("src/a")), fs::metadata(env.path("under/dst/a")));
    assert_eq!(copy.unwrap().modified().unwrap(), a.unwrap().modified().unwrap());
    assert_eq!(fs::read_link(env.path("under/dst/out")).unwrap(), env.path("outside"));
    env.assert_nothing_staged();
    assert!(
        fs::read_dir(env.path("under/dst")).unwrap().count()
            == fs::read_dir(env.path("src")).unwrap().count()
    );
}
