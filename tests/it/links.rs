//! Hard links: names of one file in the source become names of one file in the target, and no other names do.

use crate::common::chance::Dice;
use crate::common::entries::*;
use crate::common::live::{is_alive, send};
use crate::common::mounts::*;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use nix::sys::signal::Signal::SIGKILL;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

// The first mounts a file system of its own, with more names than some can hold; the second depends on the
// order of a listing in memory; the others take long, and one file system is enough for their moments.
holds_on_every_file_system!(
    except a_file_with_more_links_than_the_file_system_allows_becomes_several,
    a_copier_killed_right_after_making_a_link_takes_no_name_and_no_number_with_it,
    copiers_killed_at_any_moment_cost_no_link_and_no_number,
    a_run_killed_at_any_moment_can_be_completed_with_its_links,
);

/// The numbers of copiers with which runs are repeated.
const JOBS: [&str; 3] = ["1", "2", "8"];

/// The largest number of runs that are started until enough of them were killed in progress.
const TURNS_MAX: usize = 300;

/// Returns the sets of names below `root` that are one file. Files with a single name are left out.
fn groups(root: &Path) -> BTreeSet<BTreeSet<PathBuf>> {
    let mut found: BTreeMap<(u64, u64), BTreeSet<PathBuf>> = BTreeMap::new();
    walk(root, |path, _, metadata| {
        if !metadata.is_dir() {
            found.entry((metadata.dev(), metadata.ino())).or_default().insert(path);
        }
    });
    found.into_values().filter(|names| names.len() > 1).collect()
}

/// Fails unless both trees are the same, including their hard links.
#[track_caller]
fn assert_same_links(env: &Sandbox, one: &str, other: &str, run: &Run<'_>) {
    let wrong = differences(&env.listing(one), &env.listing(other));
    assert!(wrong.is_empty(), "{one} and {other} differ:\n{wrong}\n{}", run.story());
    let (one, other) = (groups(&env.path(one)), groups(&env.path(other)));
    let missing: Vec<_> = one.difference(&other).take(3).collect();
    let extra: Vec<_> = other.difference(&one).take(3).collect();
    assert!(one == other, "missing: {missing:#?}\nextra: {extra:#?}\n{}", run.story());
    env.assert_nothing_staged();
}

fn link(env: &Sandbox, old: &str, new: &str) {
    let (old, new) = (env.path(old), env.path(new));
    fs::create_dir_all(new.parent().unwrap()).unwrap();
    nix::unistd::linkat(
        nix::fcntl::AT_FDCWD,
        &old,
        nix::fcntl::AT_FDCWD,
        &new,
        nix::fcntl::AtFlags::empty(),
    )
    .unwrap_or_else(|error| panic!("{} -> {}: {error}", new.display(), old.display()));
}

/// Plants hard links of entries of all types, within one directory and across directories, and entries
/// without hard links.
fn mixed(env: &Sandbox) {
    env.tree(
        "src",
        [
            "file a/one 3000",
            "file a/alone 700",
            "file b/two 300K",
            "file b/empty 0",
            "link b/symlink ../a/one",
            "link b/dangling nowhere",
            "fifo c/fifo",
            "dir d/e/f",
        ],
    );
    node(&env.path("src/c/socket"), "socket", 0, 0);
    for (old, new) in [
        ("a/one", "a/one-more"),
        ("a/one", "d/e/f/one"),
        ("a/one", "top"),
        ("b/two", "c/two"),
        ("b/empty", "a/empty"),
        ("b/symlink", "a/symlink"),
        ("b/dangling", "d/e/dangling"),
        ("c/fifo", "d/fifo"),
        ("c/socket", "d/e/f/socket"),
    ] {
        link(env, &format!("src/{old}"), &format!("src/{new}"));
    }
    chmod(&env.path("src/a/one"), 0o640);
    if is_root() {
        node(&env.path("src/c/null"), "char", 1, 3);
        link(env, "src/c/null", "src/d/null");
    }
    for (number, dir) in ["d/e/f", "d/e", "d", "c", "b", "a", ""].into_iter().enumerate() {
        let time = (1_000_000_000 + number as i64, 123);
        set_times(&env.path("src").join(dir), time, time);
    }
}

/// Plants files with two names each, the second name in another directory. Each directory has 100 names.
fn farm(env: &Sandbox, root: &str, inodes: usize) {
    let root = env.path(root);
    for first in (0..inodes).step_by(100) {
        let (one, other) = (root.join(format!("one/{first}")), root.join(format!("two/{first}")));
        fs::create_dir_all(&one).unwrap();
        fs::create_dir_all(&other).unwrap();
        for number in first..inodes.min(first + 100) {
            let name = one.join(format!("file-{number}"));
            fs::write(&name, contents(&number.to_ne_bytes(), number % 50)).unwrap();
            fs::hard_link(&name, other.join(format!("link-{number}"))).unwrap();
        }
    }
}

/// Returns the number before a word of the summary, such as 12 in `12 linked`.
fn number_of(run: &Run<'_>, word: &str) -> usize {
    let line = run.stderr.lines().find(|line| line.starts_with("copied ")).unwrap_or("");
    let words: Vec<&str> = line.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|&here| here == word);
    at.map_or(0, |at| words[at - 1].replace(',', "").parse().unwrap())
}

each_jobs!(hard_links_stay_hard_links, 1, 2, 8);
fn hard_links_stay_hard_links(jobs: &str) {
    let env = Sandbox::new();
    mixed(&env);

    let run = env.pcopy(["-j", jobs, "src", "dst"]);

    run.exits(0).stderr_lacks("cannot");
    assert_same_links(&env, "src", "dst", &run);
    assert_eq!(number_of(&run, "linked"), if is_root() { 10 } else { 9 }, "{}", run.story());
}

each_jobs!(each_name_is_printed_once_whether_copied_or_linked, 1, 2, 8);
fn each_name_is_printed_once_whether_copied_or_linked(jobs: &str) {
    let env = Sandbox::new();
    mixed(&env);

    let run = env.pcopy(["-v", "-j", jobs, "src", "dst"]);

    let mut printed: Vec<&str> = run.stdout.lines().collect();
    printed.sort_unstable();
    let expected = env.listing("src").into_keys().map(|path| env.path("dst").join(path));
    let expected: BTreeSet<String> = expected
        .map(|path| path.strip_prefix(env.path("")).unwrap().to_str().unwrap().to_owned())
        .map(|path| path.trim_end_matches('/').to_owned())
        .collect();
    assert_eq!(printed, expected.iter().collect::<Vec<_>>());
}

/// Returns inode and ctime of each entry in `dst`, except directories.
fn changes(env: &Sandbox) -> Vec<(u64, i64, i64)> {
    let paths = env.listing("dst").into_keys();
    paths
        .map(|path| fs::symlink_metadata(env.path("dst").join(path)).unwrap())
        .filter(|metadata| !metadata.is_dir())
        .map(|metadata| (metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
        .collect()
}

each_jobs!(a_second_run_has_nothing_to_do, 1, 2, 8);
fn a_second_run_has_nothing_to_do(jobs: &str) {
    let env = Sandbox::new();
    mixed(&env);
    env.pcopy(["src", "dst"]).exits(0);
    let before = changes(&env);

    let run = env.pcopy(["-j", jobs, "-T", "src", "dst"]);

    run.exits(0).stderr_has("copied 0 entries").stderr_lacks("linked");
    assert_same_links(&env, "src", "dst", &run);
    assert_eq!(changes(&env), before, "something was changed");
}

each_jobs!(hard_links_across_operands_stay_hard_links, 1, 2, 8);
fn hard_links_across_operands_stay_hard_links(jobs: &str) {
    let env = Sandbox::new();
    env.tree("a", ["file x 100"]).tree("b", ["dir sub"]).tree("dst", []);
    fs::write(env.path("operand"), "something").unwrap();
    link(&env, "a/x", "b/sub/y");
    link(&env, "a/x", "named");
    link(&env, "operand", "other");
    link(&env, "operand", "b/operand");

    let run = env.pcopy(["-j", jobs, "a", "b", "named", "operand", "other", "dst"]);

    run.exits(0);
    let linked =
        [["a/x", "b/sub/y"], ["a/x", "named"], ["operand", "other"], ["operand", "b/operand"]];
    for [one, other] in linked.map(|pair| pair.map(|name| env.path("dst").join(name))) {
        assert_eq!(inode(&one), inode(&other), "{other:?}\n{}", run.story());
    }
    for name in ["a", "b", "other"] {
        env.assert_same(name, format!("dst/{name}"));
    }
    env.assert_nothing_staged();
}

each_jobs!(existing_operand_targets_are_replaced_by_links, 1, 2, 8);
fn existing_operand_targets_are_replaced_by_links(jobs: &str) {
    let env = Sandbox::new();
    fs::write(env.path("a"), "new").unwrap();
    link(&env, "a", "b");
    env.tree("dst", ["text a the old a", "text b the old b", "text .b.pcopy-partial half"]);

    let run = env.pcopy(["-j", jobs, "a", "b", "dst"]);

    run.exits(0);
    assert_eq!(inode(env.path("dst/a")), inode(env.path("dst/b")));
    env.assert_same("b", "dst/b");
    env.assert_nothing_staged();
}

each_jobs!(an_existing_target_gets_the_hard_links_of_the_source, 1, 2, 8);
fn an_existing_target_gets_the_hard_links_of_the_source(jobs: &str) {
    let env = Sandbox::new();
    mixed(&env);
    let linked = "the right links";
    let cases: [(&str, &dyn Fn()); 4] = [
        ("no links yet", &|| unlink_all(&env.path("dst"))),
        (linked, &|| {}),
        ("links that the source lacks", &|| {
            fs::remove_file(env.path("dst/a/alone")).unwrap();
            link(&env, "dst/a/one", "dst/a/alone");
            fs::remove_file(env.path("dst/c/two")).unwrap();
            link(&env, "dst/b/empty", "dst/c/two");
        }),
        ("other entries", &|| {
            for name in ["a/one", "d/e/f/one", "b/symlink", "d/fifo"] {
                fs::remove_file(env.path("dst").join(name)).unwrap();
                fs::write(env.path("dst").join(name), "other").unwrap();
            }
            fs::remove_dir_all(env.path("dst/d/e/f")).unwrap();
        }),
    ];
    for (case, damage) in cases {
        println!("the target has {case}");
        env.run(command_cp(&env)).exits(0);
        damage();

        let run = env.pcopy(["-j", jobs, "-T", "src", "dst"]);

        run.exits(0);
        assert_same_links(&env, "src", "dst", &run);
        let nothing = run.stderr.contains("copied 0 entries") && number_of(&run, "linked") == 0;
        assert_eq!(nothing, case == linked, "{case}\n{}", run.story());
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
}

fn command_cp(env: &Sandbox) -> Command {
    let mut cp = Command::new("cp");
    cp.args(["-aT", "src", "dst"]).current_dir(env.path(""));
    cp
}

/// Makes each name a separate file with the same contents and times.
fn unlink_all(root: &Path) {
    for (path, entry) in listing(root) {
        let path = root.join(path);
        if entry.mode & 0o170_000 == 0o100_000 {
            let copy = path.with_extension("copy");
            assert!(Command::new("cp").arg("-p").arg(&path).arg(&copy).status().unwrap().success());
            fs::rename(copy, path).unwrap();
        }
    }
}

each_jobs!(links_are_preserved_in_new_directories_within_existing_ones, 1, 2, 8);
fn links_are_preserved_in_new_directories_within_existing_ones(jobs: &str) {
    let env = Sandbox::new();
    mixed(&env);
    farm(&env, "src/a/farm", 300);
    farm(&env, "src/d/e/farm", 300);
    link(&env, "src/a/farm/one/0/file-7", "src/d/e/farm/seven");
    for (number, dir) in ["d/e/farm", "d/e", "a/farm", "a/farm/one", "a", "d"].iter().enumerate() {
        let time = (1_100_000_000 + number as i64, 5);
        set_times(&env.path("src").join(dir), time, time);
    }
    fs::create_dir_all(env.path("dst/d")).unwrap();

    let run = env.pcopy(["-j", jobs, "-T", "src", "dst"]);

    run.exits(0);
    assert_same_links(&env, "src", "dst", &run);
}

each_jobs!(directories_that_lock_their_owner_out_keep_their_links, 1, 2, 8);
fn directories_that_lock_their_owner_out_keep_their_links(jobs: &str) {
    let env = Sandbox::new();
    farm(&env, "src", 300);
    env.tree("src", ["file inner/deep/x 10", "file outer 5"]);
    link(&env, "src/inner/deep/x", "src/inner/y");
    link(&env, "src/one/0/file-3", "src/inner/deep/z");
    env.give_to_plain_user();
    if !is_root() {
        return skip!("needs a second user");
    }
    // Owned by root and open to others: the owner of the copies has no permission to enter them.
    for dir in ["src/inner/deep", "src/inner", "src/one/0", "src/one"] {
        std::os::unix::fs::chown(env.path(dir), Some(0), Some(0)).unwrap();
        chmod(&env.path(dir), 0o055);
    }
    for merged in [false, true] {
        let target = format!("dst-{jobs}-{merged}");
        if merged {
            fs::create_dir(env.path(&target)).unwrap();
            std::os::unix::fs::chown(env.path(&target), Some(65534), Some(65534)).unwrap();
        }

        let run = env.plain_pcopy_as_is(["-j", jobs, "-T", "src", &target]);

        run.exits(0);
        assert_same_links(&env, "src", &target, &run);
    }
}

each_jobs!(names_outside_the_tree_do_not_matter, 1, 2, 8);
fn names_outside_the_tree_do_not_matter(jobs: &str) {
    let env = Sandbox::new();
    farm(&env, "all", 2000);
    fs::rename(env.path("all/one"), env.path("src")).unwrap();

    let run = env.pcopy(["-j", jobs, "src", "dst"]);

    run.exits(0).stderr_lacks("linked");
    env.assert_same("src", "dst");
    assert_eq!(groups(&env.path("dst")), BTreeSet::new());
    env.assert_nothing_staged();
}

each_jobs!(without_links_each_name_becomes_a_file_of_its_own, 1, 2, 8);
fn without_links_each_name_becomes_a_file_of_its_own(jobs: &str) {
    let env = Sandbox::new();
    mixed(&env);
    let target = format!("dst-{jobs}");

    let run = env.pcopy(["-j", jobs, "--no-preserve=links", "src", &target]);

    run.exits(0).stderr_lacks("linked");
    env.assert_same("src", &target);
    assert_eq!(groups(&env.path(&target)), BTreeSet::new());
}

each_jobs!(a_farm_of_links_has_the_same_groups, 1, 2, 8);
fn a_farm_of_links_has_the_same_groups(jobs: &str) {
    let env = Sandbox::new();
    farm(&env, "src", 10_000);

    let run = env.pcopy(["-j", jobs, "src", "dst"]);

    run.exits(0);
    assert_same_links(&env, "src", "dst", &run);
    assert_eq!(number_of(&run, "linked"), 10_000);
    assert_eq!(number_of(&run, "entries"), 10_203);
}

each_jobs!(inodes_of_two_file_systems_with_one_number_are_two_files, 1, 2, 8);
fn inodes_of_two_file_systems_with_one_number_are_two_files(jobs: &str) {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    fs::create_dir_all(env.path("src/one")).unwrap();
    fs::create_dir_all(env.path("src/two")).unwrap();
    let options = ["-t", "tmpfs", "-o", "size=10M", "tmpfs"];
    let Some(_one) = mount(&options, &env.path("src/one")) else {
        return skip!("cannot mount a tmpfs here");
    };
    let _two = mount(&options, &env.path("src/two")).unwrap();
    for dir in ["one", "two"] {
        for number in 0..50 {
            let file = format!("src/{dir}/file-{number}");
            fs::write(env.path(&file), format!("{dir} {number}")).unwrap();
            link(&env, &file, &format!("src/{dir}/sub/link-{number}"));
        }
    }
    assert_eq!(inode(env.path("src/one/file-7")), inode(env.path("src/two/file-7")));
    let target = format!("dst-{jobs}");

    let run = env.pcopy(["-j", jobs, "src", &target]);

    run.exits(0);
    assert_same_links(&env, "src", &target, &run);
}

each_jobs!(a_name_on_another_file_system_of_the_target_becomes_a_file_of_its_own, 1, 2, 8);
fn a_name_on_another_file_system_of_the_target_becomes_a_file_of_its_own(jobs: &str) {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    for number in 0..20 {
        env.tree("src", [format!("file here/{number} 100").as_str()]);
        // One between the two that are together, whatever way the walk goes.
        for other in ["there/one", "there/two", "also-here/other"] {
            link(&env, &format!("src/here/{number}"), &format!("src/{other}-{number}"));
        }
    }
    let target = format!("dst-{jobs}");
    fs::create_dir_all(env.path(&target).join("there")).unwrap();
    let options = ["-t", "tmpfs", "-o", "size=10M", "tmpfs"];
    let Some(_mounted) = mount(&options, &env.path(&target).join("there")) else {
        return skip!("cannot mount a tmpfs here");
    };

    let run = env.pcopy(["-j", jobs, "-T", "src", &target]);

    run.exits(0);
    env.assert_same("src", &target);
    let messages = run.stderr.matches("cannot link ").count();
    assert_eq!(messages, 1, "it is reported once\n{}", run.story());
    run.stderr_has(" and others: Invalid cross-device link; they were copied as separate files");
    for number in 0..20 {
        let same = |one: &str, other: &str| {
            let path = |name: &str| env.path(&target).join(format!("{name}{number}"));
            assert_eq!(inode(path(one)), inode(path(other)), "{}", run.story());
        };
        same("here/", "also-here/other-");
        same("there/one-", "there/two-");
    }
}

#[test]
fn a_file_with_more_links_than_the_file_system_allows_becomes_several() {
    const LINKS: usize = 65_001; // 65,000 are allowed on ext4
    if !in_own_mounts!() {
        return;
    }
    if !tool("mkfs.ext4") {
        return skip!("mkfs.ext4 is not installed");
    }
    let env = Sandbox::new();
    fs::create_dir(env.path("at")).unwrap();
    let image = env.path("image");
    fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status().unwrap();
    assert!(made.success());
    let words = ["-t".as_ref(), "ext4".as_ref(), "-o".as_ref(), "loop".as_ref(), image.as_os_str()];
    let Some(_mounted) = mount(&words, &env.path("at")) else {
        return skip!("cannot mount ext4 from an image here");
    };
    env.tree("src", ["text 0 words"]);
    (1..LINKS).for_each(|number| {
        fs::hard_link(env.path("src/0"), env.path("src").join(number.to_string())).unwrap();
    });
    for jobs in ["1", "8"] {
        let run = env.pcopy(["-j", jobs, "src", "at/dst"]);

        run.exits(0).stderr_has(": Too many links; it was copied as a separate file\n");
        assert_eq!(run.stderr.matches("cannot link ").count(), 1, "{}", run.story());
        let files: BTreeSet<u64> = fs::read_dir(env.path("at/dst"))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().ino())
            .collect();
        assert_eq!(files.len(), 2);
        env.assert_same("src", "at/dst");
        assert_eq!(number_of(&run, "linked"), LINKS - 2);

        let again = env.pcopy(["-j", "1", "-T", "src", "at/dst"]);

        again.exits(0).stderr_lacks("cannot link");
        fs::remove_dir_all(env.path("at/dst")).unwrap();
    }
}

/// Returns a command that runs `pcopy` under strace, which makes a call fail on one path of the source or the
/// target.
fn with_a_failing_call(env: &Sandbox, path: &str, inject: &str, arguments: &[&str]) -> Command {
    let path = env.path("").canonicalize().unwrap().join(path);
    let call = inject.split(':').next().unwrap();
    let (trace, inject) = (format!("trace={call}"), format!("inject={inject}"));
    let options = ["-P", path.to_str().unwrap(), "-e", &trace, "-e", &inject];
    env.traced(&options, arguments)
}

each_jobs!(where_the_first_name_cannot_be_copied_the_next_one_is, 1, 2, 8);
fn where_the_first_name_cannot_be_copied_the_next_one_is(jobs: &str) {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    env.tree("src", ["file one/bad 300K"]);
    for other in ["two/b", "three/c", "d"] {
        link(&env, "src/one/bad", &format!("src/{other}"));
    }
    let path = env.path("src/one/bad");
    let failing = with_a_failing_call(
        &env,
        path.strip_prefix(env.path("")).unwrap().to_str().unwrap(),
        "read:error=EIO:when=1",
        &["-j", jobs, "src", "dst"],
    );

    let run = env.run(failing);

    // If another name came first, nothing failed.
    let failed = run.stderr.contains("cannot read 'src/one/bad'");
    run.exits(i32::from(failed));
    let inodes = ["two/b", "three/c", "d"].map(|name| inode(env.path("dst").join(name)));
    assert!(inodes.iter().all(|&inode| inode == inodes[0]), "{}", run.story());
    env.assert_same("src/d", "dst/d");
    assert_eq!(exists(env.path("dst/one/bad")), !failed, "{}", run.story());
    env.assert_nothing_staged();
}

each_jobs!(where_the_file_system_has_no_hard_links_all_names_become_files, 1, 2, 8);
fn where_the_file_system_has_no_hard_links_all_names_become_files(jobs: &str) {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    farm(&env, "src", 200);
    let options = ["-e", "trace=linkat", "-e", "inject=linkat:error=EPERM"];

    let run = env.run(env.traced(&options, ["-j", jobs, "src", "dst"]));

    run.exits(0).stderr_lacks("linked");
    env.assert_same("src", "dst");
    assert_eq!(groups(&env.path("dst")), BTreeSet::new());
    let messages = run.stderr.matches("cannot link ").count();
    assert_eq!(messages, 1, "it is reported once\n{}", run.story());
    run.stderr_has("and others: Operation not permitted; they were copied as separate files");

    let line = with_summary(["-j", jobs, "-T", "src", "dst"]);
    let again = env.run(env.traced(&options, line));

    again.exits(0).stderr_has("copied 0 entries").stderr_lacks("cannot");
}

#[test]
fn whatever_a_refused_link_is_answered_with_the_names_become_files() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for errno in ["EINVAL", "EACCES", "EAGAIN", "EBADF", "EOVERFLOW"] {
        for mode in [&["-T"][..], &["--inplace", "-T"]] {
            let env = Sandbox::new();
            farm(&env, "src", 20);
            let inject = format!("inject=linkat:error={errno}");
            let options = ["-e", "trace=linkat", "-e", &inject];

            let run = env.run(env.traced(&options, [mode, &["src", "dst"]].concat()));

            run.exits(0).stderr_has("; they were copied as separate files");
            env.assert_same("src", "dst");
        }
    }
}

#[test]
fn a_full_target_ends_the_run_while_links_are_made() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    farm(&env, "src", 200);
    let options = ["-e", "trace=linkat", "-e", "inject=linkat:error=ENOSPC:when=20+"];

    let run = env.run(env.traced(&options, ["-j", "2", "src", "dst"]));

    run.exits(11).stderr_has("cannot link 'dst/");
    assert!(!exists(env.path("dst")));
    let again = env.pcopy(["src", "dst"]);
    again.exits(0);
    assert_same_links(&env, "src", "dst", &again);
}

#[test]
fn a_link_on_which_copiers_always_die_is_named_and_skipped() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for merged in [false, true] {
        let env = Sandbox::new();
        farm(&env, "src", 100);
        env.tree("src", ["file bad/one 10"]);
        link(&env, "src/bad/one", "src/bad/two");
        if merged {
            env.tree("dst", ["text bad/one old", "text bad/two old"]);
        }
        let bad = env.path(if merged { "dst/bad" } else { ".dst.pcopy-partial/bad" });
        fs::create_dir_all(&bad).unwrap();
        let bad = bad.canonicalize().unwrap();
        let options =
            ["-P", bad.to_str().unwrap(), "-e", "trace=linkat", "-e", "inject=linkat:signal=KILL"];

        let run = env.run(env.traced(&options, with_summary(["-j", "2", "-T", "src", "dst"])));

        run.exits(1).stderr_has("': copiers repeatedly died on it");
        assert_eq!(run.stderr.matches("pcopy: skipping 'src/bad/").count(), 1, "{}", run.story());
        assert_eq!(number_of(&run, "linked"), 100, "{}", run.story());
        assert_eq!(number_of(&run, "failed"), 1, "{}", run.story());
        env.assert_nothing_staged();
        env.assert_same("src/one", "dst/one");
        env.assert_same("src/two", "dst/two");
    }
}

#[test]
fn a_copier_killed_right_after_making_a_link_takes_no_name_and_no_number_with_it() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    farm(&env, "src", 10);
    let options = ["-e", "trace=linkat", "-e", "inject=linkat:delay_exit=2000000:when=4"];
    let live = env.launch(env.traced(&options, ["-v", "-j1", "src", "dst"]));
    // The order of the listing decides which of the two directories is copied and which gets links.
    let either = env.path(".dst.pcopy-partial/one/0");
    let is_linked = |file: fs::DirEntry| file.metadata().is_ok_and(|file| file.nlink() > 1);
    wait_until("the fourth link is made", || {
        fs::read_dir(&either)
            .is_ok_and(|dir| dir.flatten().map(is_linked).filter(|&is| is).count() == 4)
    });
    live.children().into_iter().for_each(|pid| send(pid, SIGKILL));

    let run = live.end();

    run.exits(0);
    assert_same_links(&env, "src", "dst", &run);
    let printed: BTreeSet<&str> = run.stdout.lines().collect();
    assert_eq!((printed.len(), run.stdout.lines().count()), (25, 25), "{}", run.story());
    assert_eq!(
        (number_of(&run, "linked"), number_of(&run, "entries")),
        (10, 15),
        "{}",
        run.story()
    );
}

/// Plants a tree with many hard links. Returns how long a copy of it takes on this machine.
fn tree_to_kill(env: &Sandbox) -> Duration {
    mixed(env);
    farm(env, "src/farm", 1000);
    let begun = Instant::now();
    env.start(["src", "dst"]).end().exits(0);
    let took = begun.elapsed();
    fs::remove_dir_all(env.path("dst")).unwrap();
    took
}

#[test]
fn copiers_killed_at_any_moment_cost_no_link_and_no_number() {
    let env = Sandbox::new();
    let took = tree_to_kill(&env);
    let all = env.listing("src").len();
    let mut dice = Dice::new();
    let hits = Cell::new(0);
    for turn in (0..TURNS_MAX).take_while(|turn| *turn < 40 || hits.get() < 20) {
        let merged = turn % 2 == 1;
        if merged {
            fs::create_dir(env.path("dst")).unwrap();
        }
        let mut live = env.start(["-v", "-T", "-j", JOBS[turn % 3], "src", "dst"]);
        // A file at which three copiers die is skipped.
        for _ in 0..2 {
            std::thread::sleep(dice.moment(took / 2));
            let copiers = live.children();
            if live.is_running() && !copiers.is_empty() {
                hits.set(hits.get() + 1);
                send(copiers[dice.below(copiers.len())], SIGKILL);
            }
        }

        let run = live.end();

        run.exits(0);
        assert_same_links(&env, "src", "dst", &run);
        let printed: BTreeSet<&str> = run.stdout.lines().collect();
        let expected = all - usize::from(merged);
        assert_eq!(printed.len(), run.stdout.lines().count(), "a name was printed twice");
        assert_eq!(printed.len(), expected, "{}", run.story());
        // A copier may die after it has reported a name and before it has counted it.
        let made = number_of(&run, "entries") + number_of(&run, "linked");
        assert!(made.abs_diff(expected) <= 3, "{made} of {expected} made\n{}", run.story());
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
    assert!(hits.get() >= 20, "only {hits:?} copiers were killed");
}

#[test]
fn a_run_killed_at_any_moment_can_be_completed_with_its_links() {
    let env = Sandbox::new();
    let took = tree_to_kill(&env);
    let mut dice = Dice::new();
    let hits = Cell::new(0);
    for turn in (0..TURNS_MAX).take_while(|turn| *turn < 30 || hits.get() < 10) {
        if turn % 2 == 1 {
            fs::create_dir(env.path("dst")).unwrap();
        }
        let mut live = env.start(["-j", JOBS[turn % 3], "-T", "src", "dst"]);
        std::thread::sleep(dice.moment(took));
        hits.set(hits.get() + usize::from(live.is_running()));
        let children = children_of(live.pid());
        live.signal_all(SIGKILL);
        wait_until("all are gone", || children.iter().all(|&pid| !is_alive(pid)));
        live.end();

        let run = env.pcopy(["-j", JOBS[turn / 3 % 3], "-T", "src", "dst"]);

        run.exits(0);
        assert_same_links(&env, "src", "dst", &run);
        fs::remove_dir_all(env.path("dst")).unwrap();
    }
    assert!(hits.get() >= 10, "only {hits:?} runs were hit");
}

each_jobs!(hard_links_across_waves_stay_one_file, 1, 8);
fn hard_links_across_waves_stay_one_file(jobs: &str) {
    let env = Sandbox::new();
    env.tree("a", ["file f 100", "file sub/only 10"]).tree("b", ["file own 10", "dir deep"]);
    env.tree("c", ["file own 20"]);
    for name in ["b/g", "b/deep/h", "c/i"] {
        fs::hard_link(env.path("a/f"), env.path(name)).unwrap();
    }

    fs::create_dir(env.path("dst")).unwrap();
    env.pcopy(["-j", jobs, "a/.", "b/.", "c/.", "dst"]).exits(0);
    let inodes = ["f", "g", "deep/h", "i"].map(|name| inode(env.path("dst").join(name)));
    assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{inodes:?}");
}

#[test]
fn a_name_that_another_source_replaced_is_no_leader() {
    let env = Sandbox::new();
    env.tree("a", ["text f one"]).tree("b", ["text f second", "dir deep"]);
    fs::hard_link(env.path("a/f"), env.path("b/deep/g")).unwrap();
    fs::create_dir(env.path("dst")).unwrap();

    env.pcopy(["a/.", "b/.", "dst"]).exits(0);

    let text = |name: &str| fs::read_to_string(env.path(name)).unwrap();
    assert_eq!((text("dst/f"), text("dst/deep/g")), ("second".to_owned(), "one".to_owned()));
}

#[test]
fn a_copy_that_becomes_a_hard_link_later_keeps_the_backup_of_the_users_file() {
    for backup in ["--backup=simple", "--backup=numbered"] {
        let env = Sandbox::new();
        env.tree("src", ["file d/one 3K"]).tree("dst", ["text d/one old"]);
        env.pcopy(["-j1", backup, "-T", "src", "dst"]).exits(0);
        // The file gets more names, one of which is copied first.
        for number in 0..12 {
            let dir = env.path(format!("src/n{number}"));
            fs::create_dir(&dir).unwrap();
            fs::hard_link(env.path("src/d/one"), dir.join("another")).unwrap();
        }

        env.pcopy(["-j1", backup, "-T", "src", "dst"]).exits(0);

        env.assert_same("src/d/one", "dst/d/one");
        let name = if backup.ends_with("simple") { "dst/d/one~" } else { "dst/d/one.~1~" };
        assert_eq!(fs::read_to_string(env.path(name)).unwrap(), "old", "{backup}");
        assert_eq!(fs::read_dir(env.path("dst/d")).unwrap().count(), 2, "{backup}");
    }
}

#[test]
fn a_name_that_became_a_file_of_its_own_gets_its_own_mode() {
    let env = Sandbox::new();
    env.tree("src", ["text a words"]);
    link(&env, "src/a", "src/b");
    env.pcopy(["src", "dst"]).exits(0);
    let (old, own) = (modified(env.path("src/b")), env.path("src/own"));
    fs::copy(env.path("src/b"), &own).unwrap();
    set_times(&own, old, old);
    chmod(&own, 0o600);
    fs::rename(&own, env.path("src/b")).unwrap();

    env.pcopy(["-T", "src", "dst"]).exits(0);

    assert_eq!(mode_of(env.path("dst/b")), 0o600);
    assert_ne!(inode(env.path("dst/a")), inode(env.path("dst/b")));
    assert_eq!(mode_of(env.path("dst/a")), mode_of(env.path("src/a")));
    env.pcopy(["--check", "-T", "src", "dst"]).exits(0);
}

#[test]
fn a_link_to_the_source_is_no_copy_of_it() {
    for options in [&[][..], &["-a"], &["--inplace"], &["--checksum"]] {
        let env = Sandbox::new();
        env.tree("src", ["text a words", "text d/b words"]);
        link(&env, "src/a", "src/also");
        env.pcopy(["-l", "src", "dst"]).exits(0);
        assert_eq!(inode(env.path("src/a")), inode(env.path("dst/a")));

        env.pcopy([options, &["-T", "src", "dst"]].concat()).exits(0);

        for name in ["a", "also", "d/b"] {
            assert_ne!(
                inode(env.path("src").join(name)),
                inode(env.path("dst").join(name)),
                "{name}"
            );
        }
        assert_eq!(inode(env.path("dst/a")), inode(env.path("dst/also")));
        env.assert_same("src", "dst");
    }
}
