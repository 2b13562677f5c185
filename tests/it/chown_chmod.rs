//! `--chown` and `--chmod`: the owner and the permission bits that copies get in place of those of their sources.

use crate::common::chance::Dice;
use crate::common::entries::*;
use crate::common::plain_user::*;
use crate::common::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Mode, user and group of an entry.
type Status = (u32, u32, u32);

fn status(path: impl AsRef<Path>) -> Status {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
}

fn owner(path: impl AsRef<Path>) -> (u32, u32) {
    let (_, user, group) = status(path);
    (user, group)
}

/// The status of each entry of a tree.
fn statuses(root: &Path) -> BTreeMap<PathBuf, Status> {
    let mut found = BTreeMap::new();
    walk(root, |path, at, _| {
        found.insert(path, status(at));
    });
    found
}

/// The user and the group as which the tests run `pcopy`, if `is_plain` as an ordinary user.
fn own_ids(env: &Sandbox, is_plain: bool) -> (u32, u32) {
    if is_plain { owner(env.path("")) } else { owner("/proc/self") }
}

/// Runs `pcopy` as the user who runs the tests, or as an ordinary user, to whom the sandbox belongs.
fn pcopy<'a>(env: &'a Sandbox, is_plain: bool, words: &[&str]) -> Run<'a> {
    if is_plain { env.plain_pcopy_as_is(words) } else { env.pcopy(words) }
}

// ---- modes -----------------------------------------------------------------------------------

/// Values of `--chmod`, as rsync's manual describes them.
const LISTS: [&str; 40] = [
    "D755,F644",
    "D2775,F664",
    "Dg+s,ug+w,Fo-w,+X",
    "ugo=rwX",
    "u+rwX",
    "a+X",
    "a=rX",
    "go-rwx",
    "go=",
    "u=rw,go=r",
    "g=u",
    "o=g,g=",
    "g-o",
    "go+u",
    "+u",
    "600",
    "0755",
    "7777",
    "F400",
    "D-w",
    "D-x",
    "Fa-x",
    "FX",
    "F+X",
    "uF+s",
    "ug+s",
    "u-s,g-s",
    "ug=s",
    "+t",
    "D-t",
    "+s",
    "o+s",
    "+w",
    "-w",
    "=rw",
    "=",
    "a-x,a+X",
    "F600,g+r",
    "u+xX",
    "Da+rx,Du+w,F0",
];

/// Creates files and directories of several modes.
fn modes(env: &Sandbox, is_root: bool) {
    let files = [0o644, 0o755, 0o600, 0o400, 0o777, 0o4755, 0o2751, 0o6711, 0o1644, 0o0];
    let directories = [0o755, 0o700, 0o2775, 0o1777, 0o555, 0o500];
    let file = |at: PathBuf, mode: u32| {
        fs::write(&at, "x").unwrap();
        if !is_root {
            give(&at);
        }
        chmod(&at, mode);
    };
    fs::create_dir(env.path("src")).unwrap();
    for mode in files.into_iter().filter(|mode| is_root || mode & 0o400 != 0) {
        file(env.path(format!("src/file-{mode:04o}")), mode);
    }
    for mode in directories {
        let directory = env.path(format!("src/directory-{mode:04o}"));
        fs::create_dir(&directory).unwrap();
        file(directory.join("inside"), 0o640);
        if !is_root {
            give(&directory);
        }
        chmod(&directory, mode);
    }
}

/// Gives an entry to the ordinary user.
fn give(path: &Path) {
    if is_root() {
        lchown(path, Some(65534), Some(65534)).unwrap();
    }
}

/// Runs a program with an umask, as root or as the ordinary user.
fn run_with_umask<'a>(env: &'a Sandbox, is_plain: bool, umask: &str, words: &[&str]) -> Run<'a> {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]).args(words);
    command.current_dir(env.path(""));
    if is_plain && is_root() {
        command.uid(65534).gid(65534);
    }
    env.run(command)
}

/// Copies with rsync and with pcopy, and compares the modes. Returns false if this rsync does not know a list.
fn compare_modes(env: &Sandbox, is_plain: bool, list: &str, jobs: &str, preserves: bool) -> bool {
    let (option, program) = (format!("--chmod={list}"), plain_program().to_str().unwrap());
    let dir = |name: &str| {
        let path = env.path(name);
        fs::create_dir(&path).unwrap();
        if is_plain {
            give(&path);
        }
    };
    dir("one");
    dir("other");
    let keep = if preserves { ["-rp", "--preserve=mode"] } else { ["-r", "--preserve=none"] };
    let umask = "027";
    let rsync = ["rsync", keep[0], &option, "src/", "one/copy/"];
    let pcopy = [program, "-q", "-j", jobs, keep[1], &option, "-T", "src", "other/copy"];

    let rsync = run_with_umask(env, is_plain, umask, &rsync);
    let is_known = !rsync.stderr.contains("Invalid argument passed to --chmod");
    let pcopy = run_with_umask(env, is_plain, umask, &pcopy);
    if is_known {
        pcopy.exits(0);
        let [mut expected, mut found] =
            ["one/copy", "other/copy"].map(|root| statuses(&env.path(root)));
        if is_plain && rsync.status.code() == Some(23) {
            // It cannot fill the directories that the list makes read-only.
            rsync.stderr_has("Permission denied");
            found.retain(|path, _| expected.contains_key(path));
        } else {
            rsync.exits(0);
        }
        if is_plain {
            // Those that its owner may not read get back fewer bits from pcopy than from rsync.
            let names = expected.keys().filter(|path| env.path("src").join(path).is_dir());
            for name in names.cloned().collect::<Vec<_>>() {
                for all in [&mut expected, &mut found] {
                    all.get_mut(&name).unwrap().0 &= !0o700;
                }
            }
        }
        if !preserves {
            // As with cp, and not with rsync, a new directory has the sticky bit of its source.
            for (mode, ..) in expected.values_mut().chain(found.values_mut()) {
                *mode &= !0o1000;
            }
        }
        assert_eq!(expected, found, "{option} {keep:?}\n{}", pcopy.story());
    }
    for root in ["one", "other"] {
        fs::remove_dir_all(env.path(root)).unwrap();
    }
    is_known
}

cells! {
    modes_are_those_that_rsync_gives,
    root_preserves => (false, true),
    root_does_not_preserve => (false, false),
    plain_user_preserves => (true, true),
    plain_user_does_not_preserve => (true, false),
}
fn modes_are_those_that_rsync_gives(is_plain: bool, preserves: bool) {
    if !tool("rsync") {
        return skip!("rsync is not installed");
    }
    let env = Sandbox::new();
    let is_plain = is_plain || !is_root();
    modes(&env, !is_plain);
    let jobs = |number: usize| ["1", "8"][number % 2];
    let compared = LISTS
        .iter()
        .enumerate()
        .filter(|(number, list)| compare_modes(&env, is_plain, list, jobs(*number), preserves));
    assert!(compared.count() >= 25);
    let mut dice = Dice::seeded(7);
    for number in 0..25 {
        compare_modes(&env, is_plain, &random_list(&mut dice), jobs(number), preserves);
    }
}

/// Returns a list of one to three random items.
fn random_list(dice: &mut Dice) -> String {
    let mut one_of = |words: &[&str]| words[dice.below(words.len())].to_owned();
    let mut item = || {
        let limit = one_of(&["", "", "D", "F"]);
        if one_of(&["", "", "", "number"]).is_empty() {
            // Older versions of rsync take `a+s` for `u+s`.
            let who = one_of(&["", "u", "g", "o", "ug", "go", "ugo"]);
            let what = one_of(&["r", "w", "x", "X", "rw", "rX", "rwx", "s", "t", "xs", ""]);
            limit + &who + &one_of(&["+", "-", "="]) + &what
        } else {
            limit + &one_of(&["0", "644", "755", "2750", "4711", "01777", "7000"])
        }
    };
    let items = [item(), item(), item()];
    items[..1 + dice.below(3)].join(",")
}

each_jobs!(a_directory_that_is_made_read_only_is_filled_first, 1, 8);
fn a_directory_that_is_made_read_only_is_filled_first(jobs: &str) {
    for is_plain in [false, true] {
        let env = Sandbox::new();
        env.tree("src", ["file a/b/c/x 10", "file a/y 20", "dir a/e", "fifo a/b/p"]);
        let words = ["-j", jobs, "--chmod=D-w,D-x", "-T", "src", "dst"];
        if is_plain {
            env.give_to_plain_user();
        }

        pcopy(&env, is_plain, &words).exits(0);

        for directory in ["", "a", "a/b", "a/b/c", "a/e"] {
            assert_eq!(mode_of(env.path("dst").join(directory)), 0o444, "{directory}");
            chmod(&env.path("dst").join(directory), 0o700);
        }
        assert_eq!(env.listing("src").len(), env.listing("dst").len());
    }
}

each_jobs!(a_run_with_the_same_changes_finds_nothing_to_do, 1, 8);
fn a_run_with_the_same_changes_finds_nothing_to_do(jobs: &str) {
    for is_plain in [false, true] {
        for options in [
            &["--chmod=D555,F440"][..],
            &["--chmod=Dg+s,Du-w,Fo-rwx", "-a"],
            &["--chmod=Fu+s,Fo=u", "--inplace"],
        ] {
            let env = Sandbox::new();
            env.tree("src", ["file a/b/x 10", "file a/y 20", "fifo p", "link l a", "dir e"]);
            fs::hard_link(env.path("src/a/y"), env.path("src/e/z")).unwrap();
            if is_plain {
                env.give_to_plain_user();
            }
            let words =
                |more: &[&'static str]| [more, options, &["-j", jobs, "-T", "src", "dst"]].concat();
            pcopy(&env, is_plain, &words(&[])).exits(0);
            let before = statuses(&env.path("dst"));

            let again = pcopy(&env, is_plain, &words(&["--itemize-changes"]));

            again.exits(0).stderr_has("copied 0 entries").stdout_is("");
            assert_eq!(statuses(&env.path("dst")), before, "{options:?}");
            let mut check = words(&["--check"]);
            check.retain(|word| *word != "--inplace");
            pcopy(&env, is_plain, &check).exits(0);
        }
    }
}

#[test]
fn other_changes_are_made_without_copying_again() {
    let env = Sandbox::new();
    env.tree("src", ["file a/x 10", "file y 20"]);
    env.pcopy(["-T", "src", "dst"]).exits(0);
    let (old, target) = (inode(env.path("dst/y")), ["-T", "src", "dst"]);
    let words = [&["--chmod=F600,Do=", "-p", "--itemize-changes"][..], &target].concat();

    let check = env.pcopy([&["--check", "--chmod=F600"][..], &target].concat());
    let dry = env.pcopy([&["--dry-run"][..], &words].concat());
    let run = env.pcopy(words);

    check.exits(6).stdout_is(
        "different: 'dst/a/x': permission bits 0644 instead of 0600\n\
         different: 'dst/y': permission bits 0644 instead of 0600\n",
    );
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let expected = [".d...p..... ./", ".d...p..... a/", ".f...p..... a/x", ".f...p..... y"];
    assert_eq!(sorted(&run.stdout), expected);
    assert_eq!(sorted(&dry.stdout), expected);
    run.exits(0).stderr_has("copied 0 entries");
    assert_eq!((mode_of(env.path("dst/y")), inode(env.path("dst/y"))), (0o600, old));
}

#[test]
fn a_file_that_is_replaced_or_written_into_gets_the_changed_mode() {
    for options in [&[][..], &["--inplace"], &["--backup"], &["--attributes-only"]] {
        let env = Sandbox::new();
        env.tree("src", ["file x 10"]).tree("dst", ["file x 30"]);
        chmod(&env.path("dst/x"), 0o666);

        env.pcopy([options, &["--chmod=F4750", "-T", "src", "dst"]].concat()).exits(0);

        assert_eq!(mode_of(env.path("dst/x")), 0o4750, "{options:?}");
    }
}

each_jobs!(a_large_file_of_which_the_owner_may_not_write_is_copied, 1, 8);
fn a_large_file_of_which_the_owner_may_not_write_is_copied(jobs: &str) {
    for is_plain in [false, true] {
        let env = Sandbox::new();
        env.tree("src", ["file big 40M", "file small 3"]);
        if is_plain {
            env.give_to_plain_user();
        }
        let words = ["-j", jobs, "--reflink=never", "--chmod=F440", "-T", "src", "dst"];

        pcopy(&env, is_plain, &words).exits(0);

        assert_eq!(mode_of(env.path("dst/big")), 0o440);
        assert_eq!(fs::read(env.path("src/big")).unwrap(), fs::read(env.path("dst/big")).unwrap());
    }
}

each_jobs!(a_file_that_its_owner_may_not_read_is_verified, 1, 8);
fn a_file_that_its_owner_may_not_read_is_verified(jobs: &str) {
    for is_plain in [false, true] {
        for options in [&["--chmod=F0"][..], &["--chmod=F200", "--inplace"]] {
            let env = Sandbox::new();
            env.tree("src", ["file a/x 10", "file y 20"]);
            if is_plain {
                env.give_to_plain_user();
            }
            let words = [&["--verify", "-j", jobs], options, &["-T", "src", "dst"]].concat();

            pcopy(&env, is_plain, &words).exits(0).stderr_has("verified");

            let mode = if options.len() == 1 { 0 } else { 0o200 };
            for name in ["dst/a/x", "dst/y"] {
                assert_eq!(mode_of(env.path(name)), mode, "{name} with {options:?}");
            }
        }
    }
}

#[test]
fn the_mode_of_dst_stays_unless_modes_are_asked_for() {
    for (option, mode) in [("-v", 0o2775), ("--preserve=mode", 0o750)] {
        let env = Sandbox::new();
        env.tree("src", ["file x 1"]).tree("dst", []);
        chmod(&env.path("dst"), 0o2775);

        env.pcopy([option, "--chmod=D750", "-T", "src", "dst"]).exits(0);

        assert_eq!(mode_of(env.path("dst")), mode, "{option}");
    }
}

#[test]
fn without_the_modes_of_the_source_the_changes_begin_with_those_of_new_entries() {
    let env = Sandbox::new();
    env.tree("src", ["file x 1", "dir d"]);
    chmod(&env.path("src/x"), 0o700);
    env.pcopy(["src", "dst"]).exits(0);
    chmod(&env.path("dst/x"), 0o604);
    for (list, file, directory) in [
        ("go-w", 0o640, 0o750),
        ("F4777,D3777", 0o750, 0o1750),
        ("g-r,o=g", 0o600, 0o710),
        ("Du-w", 0o640, 0o550),
    ] {
        let option = format!("--chmod={list}");
        let words = ["-q", "--no-preserve=mode", &option];

        let into = |target| [&[PCOPY][..], &words, &["-T", "src", target]].concat();
        run_with_umask(&env, false, "027", &into("new")).exits(0);
        run_with_umask(&env, false, "027", &into("dst")).exits(0);

        let found = ["new/x", "new/d", "dst/x"].map(|name| mode_of(env.path(name)));
        assert_eq!(
            found,
            [file, directory, 0o604],
            "{list}: what is not copied again keeps its mode"
        );
        fs::remove_dir_all(env.path("new")).unwrap();
    }
}

#[test]
fn no_entry_is_more_accessible_before_it_gets_the_changed_mode() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file d/x 10", "fifo p"]);
    for path in ["src/d/x", "src/p", "src/d"] {
        chmod(&env.path(path), 0o777);
    }
    for keep in ["--preserve=mode", "--preserve=none", "--no-preserve=mode"] {
        for options in [&[][..], &["--inplace"]] {
            let calls = "trace=openat,mkdirat,mknodat";
            let words = [options, &["-j1", keep, "--chmod=go=", "-T", "src", "dst"]].concat();
            env.run(env.traced(&["-e", calls], words)).exits(0);

            let trace = fs::read_to_string(env.path("trace")).unwrap();
            let creates = |line: &&str| {
                (line.contains("O_CREAT") && line.contains("\"x")
                    || line.contains("mknodat(")
                    || line.contains("mkdirat("))
                    && !line.contains(" = -1 ")
            };
            let made: Vec<_> = trace.lines().filter(creates).collect();
            assert!(made.len() >= 4, "{trace}");
            for line in made {
                // The permissions are the last argument, or for mknod the one before it.
                assert!(line.contains("00)") || line.contains("00, 0)"), "{line}");
            }
            fs::remove_dir_all(env.path("dst")).unwrap();
        }
    }
}

#[test]
fn an_acl_is_changed_as_chmod_changes_it() {
    let env = Sandbox::new();
    env.tree("src", ["file x 10", "dir d"]);
    for name in ["src/x", "src/d"] {
        if !run_tool("setfacl", &["-m", "u:7:rwx,g:8:r"], &env.path(name)) {
            return skip!("no ACLs here");
        }
    }
    let words = ["-a", "--chmod=g=r,o=", "-T", "src", "dst"];
    env.pcopy(words).exits(0);
    env.tree("", ["dir expected"]);
    for name in ["x", "d"] {
        must_run(
            "cp",
            &["-a", env.path("src").join(name).to_str().unwrap()],
            &env.path("expected"),
        );
        must_run("chmod", &["g=r,o="], &env.path("expected").join(name));
        let acl = |root| xattr::get(env.path(root).join(name), "system.posix_acl_access").unwrap();
        assert!(acl("dst").is_some());
        assert_eq!(acl("dst"), acl("expected"), "{name}");
    }

    env.pcopy([&["--check"][..], &words].concat()).exits(0);
    let again = env.pcopy([&["--itemize-changes"][..], &words].concat());
    again.exits(0).stdout_is("");
    assert_eq!(mode_of(env.path("dst/x")), 0o640);
}

#[test]
fn a_small_file_takes_no_further_call_for_its_mode() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file x 10", "file y 20"]);

    env.run(env.traced(
        &["-e", "trace=fchmod,fchmodat,fchown,fchownat"],
        ["-j1", "--chmod=F600", "-T", "src", "dst"],
    ))
    .exits(0);

    let trace = fs::read_to_string(env.path("trace")).unwrap();
    let calls = trace.lines().filter(|line| line.contains("fchmod") || line.contains("fchown"));
    assert_eq!(calls.count(), 1, "only the directory's mode is set: {trace}");
    assert_eq!(mode_of(env.path("dst/x")), 0o600);
}

// ---- owners ----------------------------------------------------------------------------------

/// A source with entries of all types, a large file among them, that belong to user 1 and group 2.
fn of_another(env: &Sandbox) {
    env.tree("src", ["file a/b/x 10", "file a/y 20", "fifo p", "link l nowhere", "dir e"]);
    env.tree("src", ["file big 20M"]);
    fs::hard_link(env.path("src/a/y"), env.path("src/e/z")).unwrap();
    walk(&env.path("src"), |_, at, _| lchown(at, Some(1), Some(2)).unwrap());
}

each_jobs!(every_entry_gets_the_named_owner_and_what_is_not_named_is_as_without_the_option, 1, 8);
fn every_entry_gets_the_named_owner_and_what_is_not_named_is_as_without_the_option(jobs: &str) {
    if !is_root() {
        return skip!("needs root");
    }
    let env = Sandbox::new();
    of_another(&env);
    for (options, expected) in [
        (&["--chown=5:6"][..], (5, 6)),
        (&["--chown=5"], (5, 0)),
        (&["--chown=5:"], (5, 0)),
        (&["--chown=:6"], (0, 6)),
        (&["--chown=5", "-a"], (5, 2)),
        (&["-a", "--chown=:6"], (1, 6)),
        (&["--chown=5:6", "--preserve=none"], (5, 6)),
        (&["--chown=5:6", "--inplace"], (5, 6)),
        (&["--chown=:6", "--chown=5"], (5, 6)),
        (&["--chown=7:8", "--chown=5"], (5, 8)),
        (&["--chown=root:root", "-a"], (0, 0)),
    ] {
        let words = |more: &[&'static str]| {
            [more, options, &["-j", jobs, "--reflink=never", "-T", "src", "dst"]].concat()
        };
        env.pcopy(words(&[])).exits(0);

        for (path, (_, user, group)) in statuses(&env.path("dst")) {
            assert_eq!((user, group), expected, "{path:?} with {options:?}");
        }
        let again = env.pcopy(words(&["--itemize-changes"]));
        again.exits(0).stdout_is("").stderr_has("copied 0 entries");
        let compared: Vec<_> = words(&["--check"])
            .into_iter()
            .filter(|word| !["--inplace", "--reflink=never"].contains(word))
            .collect();
        env.pcopy(compared).exits(0);
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

#[test]
fn owners_are_those_that_rsync_gives() {
    if !is_root() || !tool("rsync") {
        return skip!("needs root and rsync");
    }
    let env = Sandbox::new();
    of_another(&env);
    for option in ["--chown=5:6", "--chown=5", "--chown=:6", "--chown=5:", "--chown=daemon:7"] {
        let mut rsync = Command::new("rsync");
        rsync.args(["-aH", option, "src/", "one/"]).current_dir(env.path(""));
        env.run(rsync).exits(0);

        env.pcopy(["-a", option, "-T", "src", "other"]).exits(0);

        assert_eq!(statuses(&env.path("one")), statuses(&env.path("other")), "{option}");
        for root in ["one", "other"] {
            fs::remove_dir_all(env.path(root)).unwrap();
        }
    }
}

#[test]
fn another_owner_is_given_without_copying_again() {
    if !is_root() {
        return skip!("needs root");
    }
    let env = Sandbox::new();
    env.tree("src", ["file a/x 10", "link l x"]);
    env.pcopy(["-T", "src", "dst"]).exits(0);
    let line = |more: &'static str| [more, "--itemize-changes", "--chown=5:6", "-T", "src", "dst"];
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };

    let check = env.pcopy(["--check", "--chown=5:6", "-T", "src", "dst"]);
    let dry = env.pcopy(line("--dry-run"));
    let run = env.pcopy(line("-q"));

    check.exits(6);
    assert_eq!(check.stdout.lines().filter(|line| line.contains("owner")).count(), 4);
    let expected = [".L....og... l", ".d....og... ./", ".d....og... a/", ".f....og... a/x"];
    assert_eq!(sorted(&dry.stdout), expected);
    assert_eq!(sorted(&run.stdout), expected);
    assert!(statuses(&env.path("dst")).values().all(|(_, user, group)| (*user, *group) == (5, 6)));
    env.pcopy(["--check", "--chown=5:6", "-T", "src", "dst"]).exits(0);
    let group = env.pcopy(["--dry-run", "--itemize-changes", "--chown=:7", "-T", "src", "dst"]);
    assert!(group.stdout.contains(".f.....g... a/x"), "{}", group.story());
}

each_jobs!(an_owner_that_the_user_may_not_give_is_a_failure_and_the_data_is_copied, 1, 8);
fn an_owner_that_the_user_may_not_give_is_a_failure_and_the_data_is_copied(jobs: &str) {
    for option in ["--chown=1", "--chown=1:2", "--chown=:2"] {
        for more in ["-q", "-a", "--inplace"] {
            let env = Sandbox::new();
            env.tree("src", ["file a/x 10"]);
            env.give_to_plain_user();

            let run = env.plain_pcopy_as_is([more, "-j", jobs, option, "-T", "src", "dst"]);

            run.exits(1).stderr_has("cannot set owner of 'dst");
            run.stderr_has("Operation not permitted");
            assert_eq!(
                fs::read(env.path("src/a/x")).unwrap(),
                fs::read(env.path("dst/a/x")).unwrap()
            );
            assert_eq!(owner(env.path("dst/a/x")), own_ids(&env, true));
        }
    }
}

#[test]
fn an_owner_that_copies_have_in_any_case_needs_no_right() {
    let env = Sandbox::new();
    env.tree("src", ["file a/x 10", "link l x"]);
    env.give_to_plain_user();
    let (user, group) = own_ids(&env, true);
    for own in [format!("{user}"), format!(":{group}"), format!("{user}:{group}")] {
        let run = env.plain_pcopy_as_is(["-T", &format!("--chown={own}"), "src", "dst"]);
        run.exits(0).stderr_lacks("cannot");
    }
}

#[test]
fn root_without_the_right_to_give_files_away_fails_and_gives_no_set_id_bits() {
    if !is_root() || !tool("setpriv") {
        return skip!("needs root and setpriv");
    }
    let env = Sandbox::new();
    env.tree("src", ["file x 10"]);
    chmod(&env.path("src/x"), 0o775);
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set=-chown", PCOPY, "-T"]);
    command.args(["--chown=5:6", "--chmod=Fug+s", "src", "dst"]).current_dir(env.path(""));

    let run = env.run(command);

    run.exits(1).stderr_has("cannot set owner of");
    assert_eq!(status(env.path("dst/x")), (0o755, 0, 0), "a wrong group gets what others have");
}

#[test]
fn set_id_bits_of_the_source_do_not_follow_to_another_owner_and_those_of_chmod_do() {
    if !is_root() {
        return skip!("needs root");
    }
    let env = Sandbox::new();
    env.tree("src", ["file x 10"]);
    chown(env.path("src/x"), Some(1), Some(2)).unwrap();
    chmod(&env.path("src/x"), 0o6755);
    for (options, expected) in [
        (&["--chown=0:0"][..], (0o755, 0, 0)),
        (&["--chown=5:6", "-a"], (0o755, 5, 6)),
        (&["--chown=5", "-a"], (0o2755, 5, 2)),
        (&["--chown=:6", "-a"], (0o4755, 1, 6)),
        (&["--chown=1:2"], (0o6755, 1, 2)),
        (&["--chown=5:6", "--chmod=u+s"], (0o4755, 5, 6)),
        (&["--chown=5:6", "--chmod=u+s", "--inplace"], (0o4755, 5, 6)),
        (&["--chown=5:6", "--chmod=2711"], (0o2711, 5, 6)),
        (&["--chmod=go-w"], (0o755, 0, 0)),
    ] {
        let words = |more: &[&'static str]| [more, options, &["-T", "src", "dst"]].concat();
        env.pcopy(words(&[])).exits(0);
        assert_eq!(status(env.path("dst/x")), expected, "{options:?}");

        let again = env.pcopy(words(&["--itemize-changes"]));
        again.exits(0).stdout_is("");
        assert_eq!(status(env.path("dst/x")), expected, "{options:?}");
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

#[test]
fn a_file_is_private_until_it_has_the_named_owner() {
    if !tool("strace") || !is_root() {
        return skip!("needs root and strace");
    }
    let env = Sandbox::new();
    env.tree("src", ["file x 10"]);
    chmod(&env.path("src/x"), 0o664);
    let calls = "trace=openat,fchown,fsetxattr,utimensat,fchmod";
    let words = ["-j1", "--chown=5:6", "--chmod=u+s", "src", "dst"];

    env.run(env.traced(&["-y", "-e", calls], words)).exits(0);

    let trace = fs::read_to_string(env.path("trace")).unwrap();
    let calls: Vec<_> =
        trace.lines().filter(|line| line.contains(".dst.pcopy-partial/x>")).collect();
    assert_eq!(calls.len(), 4, "{calls:#?}");
    for (call, name) in calls.iter().zip(["O_CREAT", "fchown", "utimensat", "fchmod"]) {
        assert!(call.contains(name), "{name} in {calls:#?}");
    }
    assert!(calls[0].contains(", 0600)") || calls[0].contains(", 0600<"), "{}", calls[0]);
    assert_eq!(status(env.path("dst/x")), (0o4664, 5, 6));
}

#[test]
fn parents_and_single_files_get_owner_and_mode_too() {
    if !is_root() {
        return skip!("needs root");
    }
    let env = Sandbox::new();
    env.tree("", ["file a/b/x 10", "dir into"]);
    let options = ["--chown=5:6", "--chmod=D711,F600"];

    env.pcopy([&options[..], &["--parents", "a/b/x", "into"]].concat()).exits(0);
    env.pcopy([&options[..], &["a/b/x", "into/y"]].concat()).exits(0);

    for (path, mode) in [("a", 0o711), ("a/b", 0o711), ("a/b/x", 0o600), ("y", 0o600)] {
        assert_eq!(status(env.path("into").join(path)), (mode, 5, 6), "{path}");
    }
}

#[test]
fn directories_above_dst_that_mkpath_makes_stay_as_they_are() {
    let env = Sandbox::new();
    env.tree("src", ["file x 10"]);

    env.pcopy(["--mkpath", "--chmod=D711", "-T", "src", "new/path/dst"]).exits(0);

    let modes = ["new", "new/path", "new/path/dst"].map(|path| mode_of(env.path(path)));
    assert_ne!(modes[0], 0o711);
    assert_eq!(modes, [modes[0], modes[0], 0o711]);
}

each_jobs!(a_source_that_gets_links_in_place_of_copies_keeps_owner_and_mode, 1, 8);
fn a_source_that_gets_links_in_place_of_copies_keeps_owner_and_mode(jobs: &str) {
    let env = Sandbox::new();
    env.tree("src", ["file a/x 10", "file y 20"]);
    fs::hard_link(env.path("src/y"), env.path("src/a/z")).unwrap();
    let before = statuses(&env.path("src"));
    let owner = if is_root() { "--chown=5:6" } else { "-v" };
    let source = env.path("src");
    let words = ["-j", jobs, owner, "--chmod=D711,F600", "-T", source.to_str().unwrap(), "dst"];
    for option in ["--link", "--symbolic-link"] {
        env.pcopy([&[option][..], &words].concat()).exits(0);
        env.pcopy([&[option][..], &words].concat()).exits(0).stderr_has("copied 0 entries");

        assert_eq!(statuses(&env.path("src")), before, "{option}");
        assert_eq!(mode_of(env.path("dst/a")), 0o711);
        env.pcopy(words).exits(0); // copies take the places of the links
        assert_eq!(statuses(&env.path("src")), before, "{option}");
        assert_eq!(mode_of(env.path("dst/y")), 0o600, "{option}");
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

#[test]
fn an_interrupted_copy_is_resumed_and_gets_owner_and_mode() {
    if !is_root() {
        return skip!("needs root");
    }
    let env = Sandbox::new();
    of_another(&env);
    // What a killed run leaves: a directory that is not published, in which a part is done and has its owner.
    env.pcopy(["-q", "--chown=5:6", "--chmod=D750,F640", "-T", "src", "dst"]).exits(0);
    fs::rename(env.path("dst"), env.path(".dst.pcopy-partial")).unwrap();
    fs::remove_file(env.path(".dst.pcopy-partial/a/b/x")).unwrap();
    chown(env.path(".dst.pcopy-partial/big"), Some(0), Some(0)).unwrap();
    chmod(&env.path(".dst.pcopy-partial/a/y"), 0o600);

    env.pcopy(["--chown=5:6", "--chmod=D750,F640", "-T", "src", "dst"]).exits(0);

    for (path, found) in statuses(&env.path("dst")) {
        let mode = match fs::symlink_metadata(env.path("dst").join(&path)).unwrap().file_type() {
            kind if kind.is_dir() => 0o750,
            kind if kind.is_symlink() => 0o777,
            _ => 0o640,
        };
        assert_eq!(found, (mode, 5, 6), "{path:?}");
    }
    env.assert_nothing_staged();
}

// ---- usage -----------------------------------------------------------------------------------

#[test]
fn a_value_that_is_none_is_named_and_nothing_is_copied() {
    let env = Sandbox::new();
    env.tree("src", ["file x 1"]);
    for (option, value, why) in [
        ("--chown", "no-such-user:5", "there is no user 'no-such-user'"),
        ("--chown", ":no-such-group", "there is no group 'no-such-group'"),
        ("--chown", "*:5", "there is no user '*'"), // as for rsync, which goes on without it
        ("--chown", "", "expected USER, USER:GROUP or :GROUP"),
        ("--chown", ":", "expected USER, USER:GROUP or :GROUP"),
        ("--chown", "4294967295", "expected an ID from 0 to 4294967294"),
        ("--chmod", "F644,u*x", "expected a list of modes such as"),
        ("--chmod", "", "a mode is empty"),
        ("--chmod", "u+r,", "a mode is empty"),
        ("--chmod", "8", "not '8'"),
    ] {
        let run = env.pcopy([&format!("{option}={value}"), "-T", "src", "dst"]);

        run.exits(2).stderr_has(&format!("invalid value '{value}' for '{option}"));
        run.stderr_has(why);
        assert!(!exists(env.path("dst")));
    }
}

#[test]
fn cp_has_neither_option() {
    let env = Sandbox::new();
    env.tree("src", ["file x 1"]);
    for option in ["--chown=5", "--chmod=600"] {
        let mut command = env.command([option, "src/x", "y"]);
        std::os::unix::process::CommandExt::arg0(&mut command, "cp");
        env.run(command).exits(1).stderr_has("unrecognized option");
    }
}
