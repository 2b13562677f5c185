//! File systems that refuse what a local Linux disk permits: writes that are not in order, renames, names with a
//! leading dot, long names. Where cp can copy, pcopy can.

use crate::common::entries::set_times;
use crate::common::habits::mount_with_habits;
use crate::common::images::mounted_or_skip;
use crate::common::mounts::in_own_mounts;
use crate::common::*;
use std::fs;

/// The size from which several copiers copy a file.
const LARGE: &str = "file d/large 16M";

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
    const SMALL_INODES: &[&str] = &["mkfs.ext4", "-q", "-F", "-I", "128"];
    let Some(_mounted) = mounted_or_skip!(&env, "at", SMALL_INODES) else { return };
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
