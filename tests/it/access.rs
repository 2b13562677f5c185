//! Permissions: what an ordinary user can copy, and which other users can access files while they are copied.

use crate::common::entries::*;
use crate::common::mounts::*;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

holds_on_every_file_system!();

/// Gives the owner all permissions below `roots`. Then an ordinary user who runs the tests can compare and
/// remove everything, too.
fn open_up(env: &Sandbox, roots: &[&str]) {
    for root in roots {
        let done =
            Command::new("chmod").args(["-R", "u+rwX"]).arg(env.path(root)).status().unwrap();
        assert!(done.success());
    }
}

each_jobs!(a_file_that_cannot_be_read_fails_alone, 1, 2, 8);
fn a_file_that_cannot_be_read_fails_alone(jobs: &str) {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file bad 20", "file sub/b 300K", "file sub/bad 20"]);
    chmod(&env.path("src/bad"), 0o000);
    chmod(&env.path("src/sub/bad"), 0o200);

    let run = env.plain_pcopy(["-j", jobs, "src", "dst"]);

    run.exits(1).stderr_has("; 2 failed");
    run.stderr_has("pcopy: cannot open 'src/bad' for reading: Permission denied\n");
    run.stderr_has("pcopy: cannot open 'src/sub/bad' for reading: Permission denied\n");
    assert!(!exists(env.path("dst/bad")) && !exists(env.path("dst/sub/bad")));
    env.assert_same("src/a", "dst/a");
    env.assert_same("src/sub/b", "dst/sub/b");
    env.assert_nothing_staged();
}

each_jobs!(a_directory_that_cannot_be_read_fails_alone, 1, 2, 8);
fn a_directory_that_cannot_be_read_fails_alone(jobs: &str) {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file none/x 20", "file no-list/x 30", "file sub/b 40"]);
    chmod(&env.path("src/none"), 0o000);
    chmod(&env.path("src/no-list"), 0o311);

    let run = env.plain_pcopy(["-j", jobs, "src", "dst"]);

    open_up(&env, &["src", "dst"]);
    run.exits(1).stderr_has("; 2 failed");
    run.stderr_has("pcopy: cannot read directory 'src/none': Permission denied\n");
    run.stderr_has("pcopy: cannot read directory 'src/no-list': Permission denied\n");
    env.assert_same("src/a", "dst/a");
    env.assert_same("src/sub", "dst/sub");
    env.assert_nothing_staged();
}

#[test]
fn a_directory_that_may_be_listed_but_not_searched_fails_entry_by_entry() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file list/x 20", "link list/y 30", "dir list/z", "file b 40"]);
    chmod(&env.path("src/list"), 0o444);

    let run = env.plain_pcopy(["src", "dst"]);

    open_up(&env, &["src", "dst"]);
    run.exits(1);
    for name in ["x", "y", "z"] {
        run.stderr_has(&format!("'src/list/{name}'"));
    }
    run.stderr_has("Permission denied");
    env.assert_same("src/a", "dst/a");
    env.assert_same("src/b", "dst/b");
}

#[test]
fn a_run_after_the_permissions_were_repaired_completes_the_copy() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file bad 20", "file none/x 20"]);
    chmod(&env.path("src/bad"), 0o000);
    chmod(&env.path("src/none"), 0o000);
    env.plain_pcopy(["src", "dst"]).exits(1);
    chmod(&env.path("src/bad"), 0o644);
    chmod(&env.path("src/none"), 0o755);
    let complete = inode(env.path("dst/a"));

    env.plain_pcopy(["-T", "src", "dst"]).exits(0);

    env.assert_same("src", "dst");
    assert_eq!(inode(env.path("dst/a")), complete);
}

const READ_ONLY: [&str; 6] =
    ["file a 10", "file r/a 20", "file r/s/b 30", "dir r/s/e", "file x/y/z/c 40", "link x/l r"];

fn make_read_only(env: &Sandbox, root: &str) {
    for (path, mode) in [
        ("r/a", 0o400),
        ("r/s/e", 0o500),
        ("r/s", 0o555),
        ("r", 0o500),
        ("x/y/z", 0o555),
        ("x/y", 0o511),
    ] {
        chmod(&env.path(root).join(path), mode);
    }
    chmod(&env.path(root), 0o555);
}

each_jobs!(read_only_directories_are_copied_with_their_modes, 1, 2, 8);
fn read_only_directories_are_copied_with_their_modes(jobs: &str) {
    let env = Sandbox::new();
    env.tree("src", READ_ONLY);
    env.give_to_plain_user();
    make_read_only(&env, "src");

    env.plain_pcopy_as_is(["-j", jobs, "src", "dst"]).exits(0);

    let (source, copy) = (env.listing("src"), env.listing("dst"));
    open_up(&env, &["src", "dst"]);
    assert_eq!(differences(&source, &copy), "", "with {jobs} copiers");
    env.assert_nothing_staged();
}

each_jobs!(a_copy_of_read_only_directories_can_be_brought_up_to_date, 1, 2, 8);
fn a_copy_of_read_only_directories_can_be_brought_up_to_date(jobs: &str) {
    let env = Sandbox::new();
    env.tree("src", READ_ONLY);
    env.give_to_plain_user();
    make_read_only(&env, "src");
    env.plain_pcopy_as_is(["-j", jobs, "src", "dst"]).exits(0);
    open_up(&env, &["src"]);
    fs::write(env.path("src/r/s/b"), "changed").unwrap();
    fs::write(env.path("src/x/y/z/c"), "changed, too").unwrap();
    env.tree("src", ["file r/s/new 5", "file x/y/new/d 6"]);
    if is_root() {
        let all = ["r/s/b", "x/y/z/c", "r/s/new", "x/y/new", "x/y/new/d"];
        for name in all {
            chown(env.path("src").join(name), Some(65534), Some(65534)).unwrap();
        }
    }
    make_read_only(&env, "src");

    env.plain_pcopy_as_is(["-j", jobs, "-T", "src", "dst"]).exits(0);

    let (source, copy) = (env.listing("src"), env.listing("dst"));
    open_up(&env, &["src", "dst"]);
    assert_eq!(differences(&source, &copy), "", "with {jobs} copiers");
    env.assert_nothing_staged();
}

#[test]
fn a_target_directory_without_permissions_is_repaired() {
    let env = Sandbox::new();
    env.tree("src", ["file sub/a 10", "file deep/er/b 20"]);
    env.tree("dst", ["file sub/a 5", "file deep/er/kept 5"]);
    env.give_to_plain_user();
    chmod(&env.path("dst/deep/er"), 0o000);
    chmod(&env.path("dst/deep"), 0o000);
    chmod(&env.path("dst/sub"), 0o000);

    env.plain_pcopy_as_is(["-T", "src", "dst"]).exits(0);

    env.assert_same("src/sub", "dst/sub");
    env.assert_same("src/deep/er/b", "dst/deep/er/b");
    assert_eq!(mode_of(env.path("dst/deep")), mode_of(env.path("src/deep")));
    assert!(exists(env.path("dst/deep/er/kept")));
}

#[test]
fn set_id_bits_of_another_users_file_are_not_copied() {
    if !is_root() {
        return skip!("needs root, to have files of two users");
    }
    let env = Sandbox::new();
    env.tree("src", ["file user 10", "file group 10", "file mine 10"]);
    env.give_to_plain_user();
    chown(env.path("src/user"), Some(0), None).unwrap();
    chown(env.path("src/group"), None, Some(0)).unwrap();
    for name in ["user", "group", "mine"] {
        chmod(&env.path("src").join(name), 0o6755);
    }
    for _ in 0..2 {
        env.plain_pcopy_as_is(["-T", "src", "dst"]).exits(0);

        assert_eq!(mode_of(env.path("dst/user")), 0o2755);
        assert_eq!(mode_of(env.path("dst/group")), 0o4755);
        assert_eq!(mode_of(env.path("dst/mine")), 0o6755);
        assert_eq!(fs::metadata(env.path("dst/user")).unwrap().uid(), 65534);
    }
}

/// Copies `src` to `dst` under strace with umask 000, and returns the system calls that created an entry.
fn creations(env: &Sandbox) -> Vec<String> {
    let mut command = Command::new("sh");
    let traced = "strace -f -qq -o trace -e trace=openat,mkdirat,mknodat";
    command.arg("-c").arg(format!("umask 000 && exec {traced} '{PCOPY}' -T src dst"));
    command.current_dir(env.path(""));
    env.run(command).exits(0);
    let trace = fs::read_to_string(env.path("trace")).unwrap();
    let creates = |line: &&str| line.contains("O_CREAT") || line.contains("mkdirat(");
    trace.lines().filter(creates).map(str::to_owned).collect()
}

fn born(calls: &[String], name: &str) -> u32 {
    let call = calls.iter().find(|call| call.contains(name));
    let call = call.unwrap_or_else(|| panic!("{name} was not created:\n{}", calls.join("\n")));
    let (call, _) = call.rsplit_once(") ").unwrap(); // strace fills up with spaces before the =
    let mode = call.split(')').next().unwrap().rsplit(", ").next().unwrap();
    u32::from_str_radix(mode, 8).unwrap_or_else(|_| panic!("no mode in {call}"))
}

#[test]
fn a_file_is_never_more_permissive_than_in_the_end() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for target in [&["dir dst"][..], &[]] {
        let env = Sandbox::new();
        env.tree("", target.iter().copied());
        let none = if is_root() { 0o000 } else { 0o400 };
        let files =
            [("secret", 0o600), ("none", none), ("team", 0o640), ("all", 0o666), ("id", 0o4711)];
        for (name, mode) in files {
            env.tree("src", [&*format!("file {name} 10"), &*format!("file sub/{name}-2 10")]);
            chmod(&env.path("src").join(name), mode);
            chmod(&env.path("src/sub").join(format!("{name}-2")), mode);
        }

        let calls = creations(&env);

        for (name, mode) in files {
            for name in [name.to_owned(), format!("{name}-2")] {
                let staged = format!("\".{name}.pcopy-partial\"");
                let name = if calls.iter().any(|call| call.contains(&staged)) {
                    staged
                } else {
                    format!("\"{name}\"")
                };
                let born = born(&calls, &name);
                assert_eq!(born & !mode, 0, "{name}: born {born:04o}, to be {mode:04o}");
                assert_eq!(born & 0o7000, 0, "{name}: born {born:04o}");
            }
        }
        env.assert_same("src/sub", "dst/sub");
    }
}

#[test]
fn a_staged_directory_is_accessible_to_its_owner_only() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for (target, names) in [
        (&[][..], &[".dst.pcopy-partial", "sub", "deep", "secret"][..]),
        (&["dir dst"], &[".sub.pcopy-partial", "deep", ".secret.pcopy-partial"]),
    ] {
        let env = Sandbox::new();
        env.tree("src", ["file sub/deep/a 10", "dir secret"]).tree("", target.iter().copied());
        chmod(&env.path("src/secret"), 0o700);

        let calls = creations(&env);

        for name in names {
            let born = born(&calls, &format!("\"{name}\""));
            assert_eq!(born & 0o077, 0, "{name}: born {born:04o}");
        }
    }
}

#[test]
fn a_source_in_a_directory_that_may_only_be_searched_is_copied() {
    let env = Sandbox::new();
    env.tree("private", ["file src/a 10", "file src/sub/b 20", "file file 30"]);
    env.give_to_plain_user();
    chmod(&env.path("private"), 0o111);

    let runs = [["private/src", "dst"], ["private/file", "copy"]];
    let runs = runs.map(|arguments| env.plain_pcopy_as_is(arguments));

    chmod(&env.path("private"), 0o755);
    runs.iter().for_each(|run| {
        run.exits(0);
    });
    env.assert_same("private/src", "dst");
    env.assert_same("private/file", "copy");
}

#[test]
fn a_target_in_a_directory_that_may_be_written_but_not_listed_is_created() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file sub/b 20"]).tree("", ["file file 30", "dir drop"]);
    env.give_to_plain_user();
    chmod(&env.path("drop"), 0o333);

    let runs = [["src", "drop"], ["file", "drop"]];
    let runs = runs.map(|arguments| env.plain_pcopy_as_is(arguments));

    chmod(&env.path("drop"), 0o755);
    runs.iter().for_each(|run| {
        run.exits(0);
    });
    env.assert_same("src", "drop/src");
    env.assert_same("file", "drop/file");
}

#[test]
fn a_target_directory_of_another_user_fails_alone() {
    if !is_root() {
        return skip!("needs root, to have directories of two users");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file theirs/b 20", "file theirs/new/c 30", "file mine/d 40"]);
    env.tree("dst", ["file theirs/kept 5", "file mine/d 5"]);
    env.give_to_plain_user();
    for path in ["dst/theirs", "dst/theirs/kept"] {
        chown(env.path(path), Some(0), Some(0)).unwrap();
    }
    let theirs = env.listing("dst/theirs");

    let run = env.plain_pcopy_as_is(["-T", "src", "dst"]);

    run.exits(1).stderr_has("'dst/theirs/b': Permission denied");
    run.stderr_has("'dst/theirs/new': Permission denied");
    assert_eq!(env.listing("dst/theirs"), theirs);
    env.assert_same("src/a", "dst/a");
    env.assert_same("src/mine", "dst/mine");
}

#[test]
fn a_file_of_another_user_in_the_callers_directory_is_replaced() {
    if !is_root() {
        return skip!("needs root, to have files of two users");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]).tree("dst", ["file a 5"]);
    env.give_to_plain_user();
    chown(env.path("dst/a"), Some(0), Some(0)).unwrap();
    chmod(&env.path("dst/a"), 0o400);

    env.plain_pcopy_as_is(["-T", "src", "dst"]).exits(0);

    env.assert_same("src", "dst");
    assert_eq!(fs::metadata(env.path("dst/a")).unwrap().uid(), 65534);
}

#[test]
fn what_only_root_can_make_fails_alone() {
    if !is_root() {
        return skip!("needs root, to make a device");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "fifo p"]);
    node(&env.path("src/null"), "char", 1, 3);
    node(&env.path("src/disk"), "block", 7, 100);

    let run = env.plain_pcopy(["src", "dst"]);

    run.exits(1).stderr_has("pcopy: cannot create 'dst/null': Operation not permitted\n");
    run.stderr_has("pcopy: cannot create 'dst/disk': Operation not permitted\n");
    assert!(!exists(env.path("dst/null")));
    env.assert_same("src/a", "dst/a");
    env.assert_same("src/p", "dst/p");
}

each_jobs!(a_plain_user_copies_a_mixed_tree, 1, 2, 8);
fn a_plain_user_copies_a_mixed_tree(jobs: &str) {
    let env = Sandbox::new();
    env.plant("src", "fixtures/mixed.tree");
    for name in ["locked", "null", "char", "block"] {
        if exists(env.path("src").join(name)) {
            fs::remove_file(env.path("src").join(name)).unwrap();
        }
    }
    env.give_to_plain_user();
    let target = format!("dst-{jobs}");

    env.plain_pcopy_as_is(["-j", jobs, "src", &target]).exits(0);

    let differences = differences(&env.listing("src"), &env.listing(&target));
    assert_eq!(differences, "", "with {jobs} copiers");
    open_up(&env, &["src", &target]);
}

#[test]
fn the_default_acl_of_the_target_does_not_change_modes() {
    if !tool("setfacl") {
        return skip!("setfacl is not installed");
    }
    for base in [Path::new("/dev/shm"), &std::env::temp_dir()] {
        if !base.is_dir() {
            continue;
        }
        let env = Sandbox::within(base);
        env.plant("src", "fixtures/mixed.tree").tree("into", []);
        let acl = ["-d", "-m", "u::rwx,g::r-x,o::---,m::r-x"];
        let set = Command::new("setfacl").args(acl).arg(env.path("into")).output().unwrap();
        if !set.status.success() {
            return skip!("the file system of the temporary directory has no ACLs");
        }

        env.pcopy(["src", "into"]).exits(0);

        let differences = differences(&env.listing("src"), &env.listing("into/src"));
        assert_eq!(differences, "", "on {}", base.display());
    }
}

#[test]
fn a_half_written_file_whose_source_became_unreadable_is_not_published() {
    let env = Sandbox::new();
    env.tree("src", ["file whole 10", "file locked 100"]);
    env.tree(".dst.pcopy-partial", ["file locked 50"]);
    env.give_to_plain_user();
    chmod(&env.path("src/locked"), 0);

    let run = env.plain_pcopy_as_is(["src", "dst"]);

    run.exits(1).stderr_has("cannot open 'src/locked' for reading: Permission denied");
    assert!(exists(env.path("dst/whole")));
    assert!(!exists(env.path("dst/locked")), "{}", run.story());
}

/// What an observer saw of a file while it was copied: its mode, its owner, and whether it was in progress,
/// that is, whether its size was neither the old nor the new one.
type Sightings = BTreeSet<(u32, u32, bool)>;

/// Inspects `places` without a pause while `copy` creates a file at one of them. `bytes` are the sizes of the
/// old and of the new file; a file of any other size is in progress.
fn watched(places: &[PathBuf], bytes: [u64; 2], copy: impl FnOnce()) -> Sightings {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = Sightings::new();
            while !done.load(SeqCst) {
                for metadata in places.iter().filter_map(|place| fs::symlink_metadata(place).ok()) {
                    let mode = metadata.mode() & 0o7777;
                    seen.insert((mode, metadata.uid(), !bytes.contains(&metadata.len())));
                }
            }
            seen
        });
        copy();
        done.store(true, SeqCst);
        watcher.join().unwrap()
    })
}

#[test]
fn no_other_user_sees_a_file_more_permissive_than_in_the_end() {
    const BYTES: u64 = 12 * 1024 * 1024;
    const OLD_BYTES: u64 = 10;
    let (me, other) = (fs::metadata("/proc/self").unwrap().uid(), 65534);
    let mut files = vec![(0o600, me), (0o640, me)];
    if is_root() {
        files.extend([(0o644, other), (0o600, other), (0o4755, other)]); // -a sets the owner
    }
    for (mode, owner) in files {
        for ways in [&["-a"][..], &["-a", "--inplace"], &["-j1", "-a", "--reflink=never"]] {
            for exists in [false, true] {
                let what =
                    format!("{mode:o} of {owner}, {ways:?}, onto an existing file: {exists}");
                let mut was_amid = false;
                for _ in 0..TRIES {
                    let env = Sandbox::new();
                    env.tree("src", [&*format!("file f {BYTES}")]);
                    chown(env.path("src/f"), Some(owner), None).unwrap();
                    chmod(&env.path("src/f"), mode);
                    if exists {
                        env.tree("dst", [&*format!("file f {OLD_BYTES}")]);
                        chmod(&env.path("dst/f"), 0o600);
                    }
                    let places = ["dst/f", "dst/.f.pcopy-partial", ".dst.pcopy-partial/f"];
                    let places = places.map(|place| env.path(place));

                    let seen = watched(&places, [OLD_BYTES, BYTES], || {
                        env.pcopy(["-T", "src", "dst"].iter().chain(ways)).exits(0);
                    });

                    assert_eq!(mode_of(env.path("dst/f")), mode, "{what}");
                    for &(was, by, _) in &seen {
                        assert_eq!(was & !mode, 0, "{what}: was {was:04o} of {by}\n{seen:?}");
                        let open = if by == owner { 0 } else { was & 0o7077 };
                        assert_eq!(open, 0, "{what}: was {was:04o} of {by}\n{seen:?}");
                    }
                    was_amid |= seen.iter().any(|&(_, _, is_amid)| is_amid);
                    if was_amid {
                        break;
                    }
                }
                assert!(was_amid, "{what}: never seen before its end, in {TRIES} tries");
            }
        }
    }
}

/// How often a run is repeated if the observer has not seen the file in progress.
const TRIES: usize = 20;

/// Creates a directory with a staged name that another user owns.
fn directory_of_another_user(env: &Sandbox, name: &str) {
    let path = env.path(name);
    fs::create_dir(&path).unwrap();
    std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
}

#[test]
fn nothing_is_staged_in_a_directory_that_another_user_made() {
    if !is_root() {
        return skip!("needs root");
    }
    for options in [&[][..], &["-a"]] {
        let env = Sandbox::new();
        env.tree("src", ["text secret words"]).tree("dst", []);
        directory_of_another_user(&env, "dst/.src.pcopy-partial");

        let run = env.pcopy([options, &["src", "dst"]].concat());

        run.exits(3).stderr_has("'dst/.src.pcopy-partial' belongs to another user");
        assert_eq!(fs::read_dir(env.path("dst/.src.pcopy-partial")).unwrap().count(), 0);
    }
}

each_jobs!(a_new_directory_in_an_existing_one_is_not_staged_in_another_users_directory, 1, 4);
fn a_new_directory_in_an_existing_one_is_not_staged_in_another_users_directory(jobs: &str) {
    let jobs = &*format!("-j{jobs}");
    if !is_root() {
        return skip!("needs root");
    }
    let env = Sandbox::new();
    env.tree("src", ["text new/secret words"]).tree("dst", []);
    directory_of_another_user(&env, "dst/.new.pcopy-partial");

    env.pcopy([jobs, "-T", "src", "dst"]).exits(0);

    env.assert_same("src/new", "dst/new");
    assert_eq!(fs::metadata(env.path("dst/new")).unwrap().uid(), 0);
    assert_eq!(fs::read_dir(env.path("dst/.new.pcopy-partial")).unwrap().count(), 0);
}

#[test]
fn a_directory_that_changed_owner_before_the_end_is_resumed() {
    if !is_root() {
        return skip!("needs root");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file b 3K"]).tree("dst", []);
    std::os::unix::fs::chown(env.path("src"), Some(65534), Some(65534)).unwrap();
    directory_of_another_user(&env, "dst/.src.pcopy-partial"); // its owner may read the source anyway

    env.pcopy(["-a", "src", "dst"]).exits(0);

    env.assert_same("src", "dst/src");
    env.assert_nothing_staged();
}

#[test]
fn where_all_new_files_belong_to_another_user_a_run_resumes_as_elsewhere() {
    if !in_own_mounts!() {
        return;
    }
    if !tool("bindfs") {
        return skip!("bindfs is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a 3K", "file d/b 3K"]).tree("under", []).tree("dst", []);
    let mut bind = Command::new("bindfs");
    bind.args(["--force-user=nobody", "--force-group=nogroup", "under", "dst"]);
    let bound = bind.current_dir(env.path("")).output().unwrap();
    if !bound.status.success() {
        return skip!(&format!("bindfs: {}", String::from_utf8_lossy(&bound.stderr).trim()));
    }
    let mounted = Mounted(env.path("dst"));
    // What a killed run left, of the whole target and of a directory in an existing one.
    env.tree("dst", ["dir .src.pcopy-partial", "dir old/.d.pcopy-partial"]);

    env.pcopy(["src", "dst"]).exits(0);
    env.pcopy(["-T", "src", "dst/old"]).exits(0);

    env.assert_same("src", "dst/src");
    env.assert_same("src", "dst/old");
    env.assert_nothing_staged();
    drop(mounted);
}
