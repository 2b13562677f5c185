//! Commands that pcopy refuses: exit code 3, and nothing is changed.

use crate::common::entries::*;
use crate::common::mounts::*;
use crate::common::plain_user::*;
use crate::common::*;
use nix::fcntl::{Flock, FlockArg};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Returns all visible attributes of each entry, including inode numbers and ctimes.
fn snapshot(path: &Path) -> BTreeMap<PathBuf, (Entry, u64, i64, i64)> {
    let whole = |(name, entry): (PathBuf, Entry)| {
        let metadata = fs::symlink_metadata(path.join(&name)).unwrap();
        (name, (entry, metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
    };
    listing(path).into_iter().map(whole).collect()
}

/// Runs pcopy in the directory `working`. Fails unless pcopy refuses with this message and changes nothing.
#[track_caller]
fn refused_in(env: &Sandbox, working: &str, arguments: &[&str], words: &str) {
    let before = snapshot(&env.path(""));
    let mut command = env.command(arguments);
    command.current_dir(env.path(working));

    let run = env.run(command);

    run.exits(3).stderr_has(&format!("pcopy: {words}")).stdout_is("");
    assert_eq!(snapshot(&env.path("")), before, "something was changed\n{}", run.story());
}

#[track_caller]
fn refused(env: &Sandbox, arguments: &[&str], words: &str) {
    refused_in(env, "", arguments, words);
}

fn small() -> Sandbox {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file sub/b 20", "dir sub/deeper"]);
    env.tree("other", ["file a 30", "file sub/b 40"]);
    env.tree("dst", ["file kept 5"]).tree("", ["file file 50", "file file2 60"]);
    env
}

#[test]
fn a_source_that_is_missing_is_refused() {
    let env = small();
    for arguments in [
        &["missing", "new"][..],
        &["missing", "dst"],
        &["src/missing", "dst"],
        &["-T", "missing", "new"],
        &["-t", "dst", "missing"],
        &["missing"],
        &["missing/", "new"],
        &["missing/.", "new"],
    ] {
        let source = arguments.iter().find(|word| word.contains("missing")).unwrap();
        let words = format!("cannot stat '{source}': No such file or directory\nhint: ");
        refused(&env, arguments, &words);
    }
}

#[test]
fn one_missing_source_among_several_is_refused_before_the_others_are_copied() {
    refused(&small(), &["src", "file", "missing", "other", "dst"], "cannot stat 'missing': ");
}

#[test]
fn a_source_below_a_file_is_refused() {
    refused(&small(), &["file/x", "new"], "cannot stat 'file/x': Not a directory");
    refused(&small(), &["file/", "new"], "cannot stat 'file/': Not a directory");
}

#[test]
fn a_target_whose_parent_directory_is_missing_is_refused() {
    let env = small();
    for arguments in
        [&["src", "missing/new"][..], &["file", "missing/new"], &["-T", "src", "missing/new/"]]
    {
        let run = env.pcopy(arguments);
        run.exits(3).stderr_has("'missing").stderr_has("No such file or directory\nhint: ");
        refused(&env, arguments, "");
    }
}

#[test]
fn a_directory_to_copy_into_must_exist() {
    refused(&small(), &["-t", "missing", "src"], "cannot copy into 'missing': No such file");
    refused(&small(), &["-t", "file", "src"], "target 'file' is not a directory");
}

#[test]
fn several_sources_need_a_directory() {
    let env = small();
    symlink("nowhere", env.path("dangling")).unwrap();
    for target in ["file", "dangling"] {
        refused(
            &env,
            &["src", "other", target],
            &format!("target '{target}' is not a directory\n"),
        );
    }
    for (target, in_a_shell) in [("new", "new"), ("not yet", "'not yet'"), ("-p", "./-p")] {
        let message = format!(
            "cannot copy into '{target}': No such file or directory\n\
             hint: create the directory first: mkdir -p {in_a_shell}\n"
        );
        refused(&env, &["--", "src", "other", target], &message);
        refused(&env, &[&format!("--target-directory={target}"), "src"], &message);
    }
}

#[test]
fn of_several_sources_those_that_can_be_copied_are_copied() {
    let env = small();
    env.tree("holds", ["dir file", "file src 5"]);

    let run = env.pcopy(["src", "file", "other", "holds"]);

    run.exits(1);
    run.stderr_has("pcopy: cannot overwrite non-directory 'holds/src' with directory 'src'\n");
    run.stderr_has("pcopy: cannot overwrite directory 'holds/file' with non-directory 'file'\n");
    env.assert_same("other", "holds/other");
}

/// cp's words, and no run that counts.
#[test]
fn a_target_of_the_wrong_type_is_refused() {
    let env = small();
    env.tree("", ["file plain 5", "link to-dir other", "dir holds/file", "file holds/src 5"]);
    for options in [&[][..], &["--inplace"], &["-b"], &["--update=all"], &["--remove-destination"]]
    {
        for (source, target, message) in [
            ("src", "plain", "cannot overwrite non-directory 'plain' with directory 'src'\n"),
            ("src", "holds", "cannot overwrite non-directory 'holds/src' with directory 'src'\n"),
            (
                "file",
                "holds",
                "cannot overwrite directory 'holds/file' with non-directory 'file'\n",
            ),
        ] {
            refused(&env, &[options, &[source, target]].concat(), message);
        }
    }
    refused(
        &env,
        &["-T", "src", "to-dir"],
        "cannot overwrite symbolic link 'to-dir' with directory 'src'\n\
         hint: --keep-directory-symlink ",
    );
}

#[test]
fn a_file_and_a_directory_of_one_name_are_refused() {
    let env = small();
    env.tree("third", ["file sub 10", "dir a"]);

    refused(&env, &["src/a", "third/a", "dst"], "two sources would become 'dst/a'\nhint: ");
    refused(&env, &["src/sub", "third/sub", "-t", "dst"], "two sources would become 'dst/sub'");
}

#[test]
fn a_target_inside_the_source_is_refused() {
    let env = small();
    symlink("src", env.path("to-src")).unwrap();
    symlink("src/sub", env.path("to-sub")).unwrap();
    let whole = env.path("src/sub/new").to_str().unwrap().to_owned();
    for arguments in [
        &["src", "src/new"][..],
        &["src", "src"], // would be src/src
        &["src", "src/"],
        &["src", "src/sub"],
        &["src", "src/sub/new"],
        &["src", "src/sub/deeper/new"],
        &["src", &whole],
        &["src", "./src/../src/sub/new"],
        &["src", "to-src"],
        &["src", "to-src/new"],
        &["src", "to-sub"],
        &["src", "to-sub/new"],
        &["to-src/", "src/new"],
        &["src/.", "src/new"],
        &["src/.", "src/sub"],
        &["src/sub/..", "src/new"],
        &["-T", "src", "src/sub"],
        &["-T", "src", "to-sub/"],
        &["-t", "src", "src"],
        &["-t", "src/sub", "src"],
        &["file", "src", "src/sub"],
        &[".", "new"],
        &[".", "dst"],
    ] {
        let words = |text: &str| text.contains("lies inside");
        let run = env.pcopy(arguments);
        assert!(words(&run.stderr) && run.stderr.contains("\nhint: "), "{}", run.story());
        refused(&env, arguments, "");
    }
    refused_in(&env, "src/sub", &["..", "new"], "'new' lies inside '..'");
    refused_in(&env, "src/sub", &["../../src", "deeper"], "'deeper/src' lies inside '../../src'");
}

#[test]
fn a_directory_beside_the_source_with_a_longer_name_is_not_inside_it() {
    let env = small();

    env.pcopy(["src", "src2"]).exits(0);

    env.assert_same("src", "src2");
}

#[test]
fn a_directory_copied_onto_itself_is_refused() {
    let env = small();
    symlink("src", env.path("to-src")).unwrap();
    let whole = env.path("src").to_str().unwrap().to_owned();
    for arguments in [
        &["-T", "src", "src"][..],
        &["-T", "src", "./src"],
        &["-T", "./src/", "src"],
        &["-T", "src", "src/."],
        &["-T", "src", "src/sub/.."],
        &["-T", "src", &whole],
        &["-T", &whole, "src/"],
        &["-T", "to-src/", "src"],
        &["-T", "src", "to-src/"],
        &["src", "."], // would be ./src
        &["src", "./"],
        &["src/", "src/.."],
        &["src/.", "src"],
        &["src/.", "to-src"],
        &["-t", ".", "src"],
        &["other", "src", "."],
    ] {
        let run = env.pcopy(arguments);
        assert!(run.stderr.contains(" are the same directory\nhint: "), "{}", run.story());
        refused(&env, arguments, "");
    }
    refused_in(&env, "src", &[".", "../src"], "'.' and '../src' are the same directory");
}

#[test]
fn a_file_copied_onto_itself_is_refused() {
    let env = small();
    fs::hard_link(env.path("file"), env.path("linked")).unwrap();
    let whole = env.path("file").to_str().unwrap().to_owned();
    for arguments in [
        &["file", "file"][..],
        &["file", "./file"],
        &["file", &whole],
        &["file", "."],
        &["file", "src/../file"],
        &["-T", "file", "file"],
        &["-t", ".", "file"],
        &["file", "linked"],
        &["linked", "file"],
        &["src", "file", "."],
    ] {
        let run = env.pcopy(arguments);
        assert!(run.stderr.contains(" are the same "), "{}", run.story());
        refused(&env, arguments, "");
    }
}

#[test]
fn a_symlink_does_not_replace_the_file_it_points_to() {
    let env = small();
    symlink("file", env.path("link")).unwrap();

    refused(&env, &["link", "file"], "'link' and 'file' are the same file");
}

#[test]
fn a_file_does_not_replace_a_symlink_that_points_to_it() {
    let env = small();
    symlink("file", env.path("link")).unwrap();

    refused(&env, &["file", "link"], "'file' and 'link' are the same file");
}

#[test]
fn a_directory_reached_through_a_bind_mount_is_the_same_directory() {
    if !in_own_mounts!() {
        return;
    }
    let env = small();
    fs::create_dir(env.path("bound")).unwrap();
    let bind = ["--bind".into(), env.path("src")];
    let Some(_mounted) = mount(&bind, &env.path("bound")) else {
        return skip!("cannot make a bind mount here");
    };

    refused(&env, &["-T", "src", "bound"], "'src' and 'bound' are the same directory");
    refused(&env, &["src/.", "bound"], "'src/.' and 'bound' are the same directory");
    refused(&env, &["bound", "src/new"], "'src/new' lies inside 'bound'");
    refused(&env, &["src", "bound/new"], "'bound/new' lies inside 'src'");
    refused(&env, &["src", "bound/sub/new"], "'bound/sub/new' lies inside 'src'");
    refused(&env, &["src/a", "bound/a"], "'src/a' and 'bound/a' are the same file");
}

each_jobs!(a_copy_into_a_bind_mount_of_a_directory_inside_the_source_ends, 1, 8);
fn a_copy_into_a_bind_mount_of_a_directory_inside_the_source_ends(jobs: &str) {
    if !in_own_mounts!() {
        return;
    }
    let env = small();
    fs::create_dir(env.path("bound")).unwrap();
    let bind = ["--bind".into(), env.path("src/sub")];
    let Some(_mounted) = mount(&bind, &env.path("bound")) else {
        return skip!("cannot make a bind mount here");
    };

    let run = env.pcopy(["-j", jobs, "src", "bound/new"]);

    assert!(matches!(run.status.code(), Some(1 | 3)), "{}", run.story());
    assert!(!exists(env.path("bound/new/sub/new")), "{}", run.story());
}

#[test]
fn a_target_that_may_not_be_written_is_refused() {
    let env = small();
    env.give_to_plain_user();
    env.tree("locked", ["file kept/x 5"]);
    chmod(&env.path("locked/kept"), 0o555);
    chmod(&env.path("locked"), 0o555);
    let before = snapshot(&env.path(""));
    for arguments in [
        &["src", "locked/new"][..],
        &["src", "locked"],
        &["file", "locked"],
        &["file", "locked/new"],
        &["-t", "locked", "src", "file"],
    ] {
        let run = env.plain_pcopy_as_is(arguments);

        run.exits(3).stderr_has("pcopy: cannot write to 'locked': Permission denied\nhint: ");
        assert_eq!(snapshot(&env.path("")), before, "{}", run.story());
    }
}

#[test]
fn an_existing_target_of_another_user_is_refused() {
    if !is_root() {
        return skip!("needs root, to have directories of two users");
    }
    let env = small();
    env.give_to_plain_user();
    std::os::unix::fs::chown(env.path("dst"), Some(0), Some(0)).unwrap();
    let before = snapshot(&env.path(""));

    let run = env.plain_pcopy_as_is(["-T", "src", "dst"]);

    run.exits(3).stderr_has("pcopy: cannot write to 'dst': Permission denied\nhint: ");
    assert_eq!(snapshot(&env.path("")), before, "{}", run.story());
}

#[test]
fn a_source_that_may_not_be_read_is_refused() {
    let env = small();
    env.give_to_plain_user();
    chmod(&env.path("src"), 0o311);

    let run = env.plain_pcopy_as_is(["src", "new"]);

    chmod(&env.path("src"), 0o755);
    run.exits(3).stderr_has("pcopy: cannot read directory 'src': Permission denied");
    assert!(!exists(env.path("new")));
    env.assert_nothing_staged();
}

#[test]
fn a_target_on_a_read_only_file_system_is_refused() {
    if !in_own_mounts!() {
        return;
    }
    let env = small();
    fs::create_dir(env.path("ro")).unwrap();
    let words = ["-t", "tmpfs", "-o", "ro", "tmpfs"];
    let Some(_mounted) = mount(&words, &env.path("ro")) else {
        return skip!("cannot mount a tmpfs here");
    };

    refused(&env, &["src", "ro"], "cannot write to 'ro': Read-only file system\nhint: ");
    refused(&env, &["src", "ro/new"], "cannot write to 'ro': Read-only file system");
    refused(&env, &["file", "ro/new"], "cannot write to 'ro': Read-only file system");
    // What exists may be complete already, so the run finds out.
    env.pcopy(["-T", "src", "ro"]).exits(11).stderr_has("Read-only file system");
}

// ---- another run -------------------------------------------------------------------------------

/// A lock that a script holds while it runs pcopy.
fn locked(path: &Path, how: FlockArg) -> Flock<fs::File> {
    Flock::lock(fs::File::open(path).unwrap(), how).map_err(|(_, errno)| errno).unwrap()
}

/// A lock that another process with the name of pcopy holds.
struct OtherRun {
    child: Child,
    /// The directory of the program.
    _dir: tempfile::TempDir,
}

impl OtherRun {
    /// Locks `path` with flock(1) under another name. `how` is an option of flock(1).
    fn locks(env: &Sandbox, path: &str, how: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("pcopy-other");
        let flock = Command::new("sh").args(["-c", "command -v flock"]).output().unwrap().stdout;
        copy_program(String::from_utf8(flock).unwrap().trim_end().as_ref(), &program);
        let mut command = Command::new(&program);
        command.args([how, "--close", path, "cat"]).current_dir(env.path(""));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        wait_until("the lock is held", || {
            let lock = fs::File::open(env.path(path)).unwrap();
            Flock::lock(lock, FlockArg::LockExclusiveNonblock).is_err()
        });
        Self { child, _dir: dir }
    }
}

impl Drop for OtherRun {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // cat ends, and then flock does
        self.child.wait().unwrap();
    }
}

#[test]
fn a_target_that_another_run_stages_is_refused() {
    let env = small();
    fs::create_dir(env.path(".new.pcopy-partial")).unwrap();
    if !tool("flock") {
        return skip!("flock is not installed");
    }
    let lock = OtherRun::locks(&env, ".new.pcopy-partial", "-x");

    refused(&env, &["src", "new"], "another pcopy is writing to 'new'\nhint: ");

    drop(lock);
    env.pcopy(["src", "new"]).exits(0);
    env.assert_same("src", "new");
    env.assert_nothing_staged();
}

/// Where the kernel cannot rename without replacing, two runs may give one name to their directories.
#[test]
fn a_run_whose_new_directory_was_replaced_before_it_was_locked_is_refused() {
    if !has_strace!() {
        return;
    }
    let env = small();
    let staged = env.path(".new.pcopy-partial");
    let path = ["-P", staged.to_str().unwrap()];
    let stops = ["-e", "trace=flock", "-e", "inject=flock:signal=STOP:when=1"];
    let run = env.launch(env.traced(&[path.as_slice(), &stops].concat(), ["src", "new"]));
    let log = || fs::read_to_string(env.path("trace")).unwrap_or_default();
    wait_until("it locks its directory and stops", || log().contains("stopped by SIGSTOP"));
    env.tree("", ["dir others"]);
    fs::rename(env.path("others"), &staged).unwrap();

    run.thaw();

    run.end().exits(3).stderr_has("another pcopy is writing to 'new'\n");
    assert!(exists(&staged), "it removed the directory of the other run");
}

#[test]
fn a_target_that_another_run_merges_into_is_refused() {
    let env = small();
    if !tool("flock") {
        return skip!("flock is not installed");
    }
    let lock = OtherRun::locks(&env, "dst", "-x");

    refused(&env, &["-T", "src", "dst"], "another pcopy is writing to 'dst'\nhint: ");
    refused(&env, &["src/.", "dst"], "another pcopy is writing to 'dst'");

    drop(lock);
    env.pcopy(["-T", "src", "dst"]).exits(0);
}

#[test]
fn a_target_inside_what_another_run_merges_into_is_refused() {
    let env = Sandbox::new();
    env.many("src", 3000, 100_000).tree("small", ["file a 10"]);
    fs::create_dir_all(env.path("dst/deep/er")).unwrap();
    let mut first = env.start(["-j", "2", "-T", "src", "dst"]);
    first.wait_for_children(1);
    first.freeze();

    for target in ["dst/new", "dst/deep", "dst/deep/er", "dst/deep/er/new"] {
        let run = env.pcopy(["small", target]);
        run.exits(3).stderr_has("pcopy: another pcopy is writing to 'dst/");
    }

    first.thaw();
    first.end().exits(0);
    env.assert_nothing_staged();
    assert!(!exists(env.path("dst/new")) && !exists(env.path("dst/deep/small")));
}

#[test]
fn a_lock_that_a_script_holds_above_the_target_is_no_other_run() {
    let env = small();
    let _lock = locked(&env.path(""), FlockArg::LockExclusiveNonblock);

    env.pcopy(["src", "new"]).exits(0);
    env.pcopy(["src", "dst"]).exits(0);

    env.assert_same("src", "new");
    env.assert_same("src", "dst/src");
}

#[test]
fn a_lock_that_the_caller_holds_on_the_target_is_no_other_run() {
    let locks = [FlockArg::LockExclusiveNonblock, FlockArg::LockSharedNonblock];
    for how in locks {
        for options in [&["-j1"][..], &["-j8"], &["--inplace"], &["-a"]] {
            let env = small();
            fs::create_dir(env.path(".new.pcopy-partial")).unwrap();
            let _locks = ["dst", ".new.pcopy-partial"].map(|dir| locked(&env.path(dir), how));

            env.pcopy([options, &["-T", "src", "dst"]].concat()).exits(0);
            env.pcopy([options, &["src", "new"]].concat()).exits(0);

            env.assert_same("src/a", "dst/a");
            env.assert_same("src", "new");
        }
    }
}

#[test]
fn a_lock_that_pcopy_has_inherited_is_no_other_run() {
    if !tool("flock") {
        return skip!("flock is not installed");
    }
    for script in [
        "flock dst \"$0\" -T src dst",
        "flock --shared dst \"$0\" -T src dst",
        "flock --no-fork dst \"$0\" -T src dst",
        "flock --close dst \"$0\" -T src dst",
        "flock dst sh -c '\"$0\" -T src dst' \"$0\"",
        "exec 9<dst; flock 9; \"$0\" -T src dst",
        "exec 9<dst; flock 9; \"$0\" -T src dst 9<&-",
        "exec 9<.; flock 9; \"$0\" -T src dst",
    ] {
        let env = small();
        let mut command = Command::new("bash");
        command.args(["-c", script, PCOPY]).current_dir(env.path(""));

        let run = env.run(command);

        run.exits(0).stderr_lacks("another");
        env.assert_same("src/a", "dst/a");
    }
}

#[test]
fn two_runs_under_one_lock_of_the_caller_never_work_in_one_directory() {
    let env = Sandbox::new();
    env.many("src", 3000, 100_000).tree("small", ["file a 10"]).tree("dst", ["dir in"]);
    let _lock = locked(&env.path("dst"), FlockArg::LockExclusiveNonblock);
    let mut first = env.start(["-j", "2", "-T", "src", "dst"]);
    first.wait_for_children(1);
    first.freeze();

    for arguments in [["-T", "small", "dst"], ["-q", "small", "dst/in"]] {
        let second = env.pcopy(arguments);
        second.exits(3).stderr_has("pcopy: another pcopy is writing to 'dst");
    }

    first.thaw();
    first.end().exits(0);
}

#[test]
fn runs_under_one_lock_of_the_caller_make_different_copies_at_the_same_time() {
    let env = Sandbox::new();
    env.many("src", 1000, 10_000).tree("dst", []);
    let _lock = locked(&env.path("dst"), FlockArg::LockExclusiveNonblock);

    let runs = ["dst/one", "dst/two"].map(|target| env.start(["-j", "2", "src", target]));

    for run in runs {
        run.end().exits(0);
    }
    env.assert_same("src", "dst/one");
    env.assert_same("src", "dst/two");
}

#[test]
fn a_target_that_another_run_works_inside_of_is_refused() {
    let env = small();
    if !tool("flock") {
        return skip!("flock is not installed");
    }
    let _lock = OtherRun::locks(&env, "dst", "-s");

    refused(&env, &["-T", "src", "dst"], "another pcopy is writing to 'dst'\nhint: ");
}

#[test]
fn a_second_run_of_the_same_command_is_refused_and_does_no_harm() {
    let env = Sandbox::new();
    env.many("src", 3000, 100_000);
    let first = env.frozen_mid_copy(&["-j", "2", "src", "dst"]);

    let second = env.pcopy(["-j", "2", "src", "dst"]);
    second.exits(3).stderr_has("pcopy: another pcopy is writing to 'dst'\nhint: ");

    first.thaw();
    first.end().exits(0);
    env.assert_same("src", "dst");
    env.assert_nothing_staged();
}

#[test]
fn two_runs_into_one_directory_under_different_names_both_succeed() {
    let env = Sandbox::new();
    env.many("src", 1000, 10_000).tree("dst", []);
    for round in 0..5 {
        let targets = [format!("dst/one-{round}"), format!("dst/other-{round}")];
        let runs: Vec<_> =
            targets.iter().map(|target| env.start(["-j", "2", "src", target])).collect();

        for run in runs {
            run.end().exits(0);
        }

        for target in &targets {
            env.assert_same("src", target);
        }
    }
    env.assert_nothing_staged();
}

#[test]
fn two_runs_of_single_files_into_one_directory_both_succeed() {
    let env = Sandbox::new();
    env.tree("", ["file a 3M", "file b 3M"]).tree("dst", []);
    for _ in 0..10 {
        let runs = [env.start(["a", "dst"]), env.start(["b", "dst"])];
        for run in runs {
            run.end().exits(0);
        }
        env.assert_same("a", "dst/a");
        env.assert_same("b", "dst/b");
        fs::remove_file(env.path("dst/a")).unwrap();
        fs::remove_file(env.path("dst/b")).unwrap();
    }
    env.assert_nothing_staged();
}

#[test]
fn two_runs_onto_one_file_leave_one_of_the_two_whole() {
    let env = Sandbox::new();
    env.tree("", ["file a 3M", "file b 2M"]);
    for _ in 0..20 {
        let runs = [env.start(["a", "dst"]), env.start(["b", "dst"])];
        let ends = runs.map(|run| run.end());

        let won = fs::read(env.path("dst")).unwrap();
        let whole = ["a", "b"].map(|name| fs::read(env.path(name)).unwrap() == won);
        assert!(whole[0] || whole[1], "neither: {}\n{}", ends[0].story(), ends[1].story());
        assert!(
            ends.iter().zip(whole).any(|(end, whole)| whole && end.status.success()),
            "the run whose file is in place did not succeed\n{}\n{}",
            ends[0].story(),
            ends[1].story()
        );
        fs::remove_file(env.path("dst")).unwrap();
        env.assert_nothing_staged();
    }
}

// ---- what looks similar and is allowed ----------------------------------------------------------

#[test]
fn a_directory_can_be_copied_over_its_parent() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "file sub/a 20", "file sub/b 30", "file sub/deeper/c 40"]);

    env.pcopy(["-T", "src/sub", "src"]).exits(0);

    for name in ["a", "b", "deeper/c"] {
        env.assert_same(format!("src/sub/{name}"), format!("src/{name}"));
    }
}

#[test]
fn one_source_inside_another_is_copied_twice() {
    let env = small();

    env.pcopy(["src", "src/sub", "dst"]).exits(0);

    env.assert_same("src", "dst/src");
    env.assert_same("src/sub", "dst/sub");
}

#[test]
fn nothing_is_staged_beside_a_directory_that_cannot_be_inspected() {
    if !tool("strace") {
        return skip!("no strace");
    }
    let mut refused = 0;
    for nth in 1..=4 {
        let env = Sandbox::new();
        env.tree("src", ["file a 1K"]).tree("dst", ["file b 1K"]);
        let fail = format!("inject=newfstatat:error=EIO:when={nth}");
        let options = ["-P", "dst", "-e", "trace=newfstatat", "-e", &fail];

        let run = env.run(env.traced(&options, ["-T", "src", "dst"]));

        refused += usize::from(run.status.code() == Some(3));
        env.assert_nothing_staged();
    }
    assert!(refused > 0, "no inspection of the target failed");
}

#[test]
fn a_directory_that_must_always_be_retried_fails_in_the_end() {
    if !tool("strace") {
        return skip!("no strace");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a/b/c/d/e/f/g 1K"]);
    let options = ["-e", "trace=openat2", "-e", "inject=openat2:error=EAGAIN"];

    env.run(env.traced(&options, ["src", "dst"])).exits(1).stderr_has("temporarily unavailable");
}

// ---- directories for --parents ------------------------------------------------------------------

#[test]
fn directories_that_cannot_be_created_are_refused_and_none_is_left() {
    let env = Sandbox::new();
    env.tree("a/b", ["file c 10"]).tree("e", ["file f 10"]).tree("dst", []);
    env.give_to_plain_user();
    let before = snapshot(&env.path("a"));
    let mut command = std::process::Command::new("sh");
    // The first one is created, and without any permission nothing can be created in it.
    let program = plain_program().display();
    command.arg("-c").arg(format!("umask 777 && exec {program} --parents e/f a/b/c dst"));
    command.current_dir(env.path(""));
    if is_root() {
        command.uid(65534).gid(65534);
    }

    let run = env.run(command);

    run.exits(3).stdout_is("").stderr_has("pcopy: cannot create ");
    assert_eq!(names_in(&env.path("dst")), [""; 0], "{}", run.story());
    assert_eq!(snapshot(&env.path("a")), before);
}

fn names_in(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

// ---- subcommands -------------------------------------------------------------------------------

#[cfg(not(feature = "bench"))]
#[test]
fn the_name_of_a_subcommand_that_is_not_built_in_is_an_operand() {
    let env = Sandbox::new();
    env.tree("bench", ["file a 1K"]);

    env.pcopy(["bench", "dst"]).exits(0);

    env.assert_same("bench", "dst");
}
