//! Trees deeper than `PATH_MAX`.
//!
//! This file uses no path of more than a few names: the tests open each directory from its parent, and go up
//! through `..`.

use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, read, symlinkat, unlinkat, write};
use std::ffi::{CStr, CString, OsString};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::Command;

holds_on_every_file_system!();

const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

fn open_dir(dir: impl AsFd, name: &CStr) -> OwnedFd {
    openat(dir, name, DIRECTORY, Mode::empty()).unwrap()
}

fn top(path: &Path) -> OwnedFd {
    fs::File::open(path).unwrap().into()
}

fn put(dir: impl AsFd, name: &CStr, text: &str) {
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let file = openat(dir, name, flags, Mode::from_bits_truncate(0o640)).unwrap();
    assert_eq!(write(&file, text.as_bytes()).unwrap(), text.len());
}

fn contents_of(dir: impl AsFd, name: &CStr) -> Vec<u8> {
    let file = openat(dir, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
    let mut bytes = vec![0; 4096];
    let length = read(&file, &mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}

/// Returns the names in a directory, except `.` and `..`, and for each whether it is a directory.
fn names(dir: impl AsFd) -> Vec<(CString, bool)> {
    let mut listing = Dir::from_fd(open_dir(dir, c".")).unwrap();
    let mut names: Vec<_> = listing
        .iter()
        .map(Result::unwrap)
        .map(|entry| (entry.file_name().to_owned(), entry.file_type() == Some(Type::Directory)))
        .filter(|(name, _)| name.as_c_str() != c"." && name.as_c_str() != c"..")
        .collect();
    names.sort();
    names
}

/// Returns the attributes of an entry that must be equal in both trees.
fn attributes(dir: impl AsFd, name: &CStr) -> (u32, i64, i64, i64) {
    let stat = fstatat(dir, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW).unwrap();
    let is_dir = stat.st_mode & 0o170_000 == 0o040_000;
    (stat.st_mode, if is_dir { 0 } else { stat.st_size }, stat.st_mtime, stat.st_mtime_nsec)
}

/// Creates a chain of `depth` directories. Every `every`th level also gets a file, a symlink and an empty
/// directory.
fn grow_chain(root: &Path, depth: usize, name: &CStr, every: usize) {
    fs::create_dir(root).unwrap();
    let mut at = top(root);
    for level in 0..depth {
        if level % every == 0 {
            put(&at, c"file", &format!("on level {level}"));
            symlinkat(&*format!("level-{level}"), &at, c"link").unwrap();
            mkdirat(&at, c"empty", Mode::from_bits_truncate(0o750)).unwrap();
        }
        mkdirat(&at, name, Mode::from_bits_truncate(0o711)).unwrap();
        at = open_dir(&at, name);
    }
    put(&at, c"bottom", "the bottom");
}

/// Compares two trees of any depth. Returns the number of entries of each.
fn compare(one: &Path, other: &Path) -> usize {
    let mut at = (top(one), top(other));
    let mut count = 1;
    // The directories still to compare on each level above, and on this one.
    let mut waiting = vec![compare_here(&at.0, &at.1, &mut count)];
    while let Some(here) = waiting.last_mut() {
        if let Some(name) = here.pop() {
            at = (open_dir(&at.0, &name), open_dir(&at.1, &name));
            waiting.push(compare_here(&at.0, &at.1, &mut count));
        } else {
            waiting.pop();
            if !waiting.is_empty() {
                at = (open_dir(&at.0, c".."), open_dir(&at.1, c".."));
            }
        }
    }
    count
}

/// Compares the entries of two directories. Returns the directories among them.
fn compare_here(one: &OwnedFd, other: &OwnedFd, count: &mut usize) -> Vec<CString> {
    let entries = names(one);
    let others = names(other);
    assert_eq!(entries, others, "after {count} entries");
    let mode = |dir: &OwnedFd| fstat(dir).map(|stat| (stat.st_mode, stat.st_mtime)).unwrap();
    assert_eq!(mode(one), mode(other), "after {count} entries");
    for (name, is_dir) in &entries {
        *count += 1;
        assert_eq!(
            attributes(one, name),
            attributes(other, name),
            "{name:?} after {count} entries"
        );
        if !is_dir && attributes(one, name).0 & 0o170_000 == 0o100_000 {
            assert_eq!(contents_of(one, name), contents_of(other, name), "{name:?}");
        }
    }
    entries.into_iter().filter(|(_, is_dir)| *is_dir).map(|(name, _)| name).collect()
}

/// Removes a tree of any depth, which `tempfile` cannot.
fn remove(root: &Path) {
    let mut at = top(root);
    let mut way: Vec<CString> = Vec::new();
    loop {
        let mut deeper = None;
        for (name, is_dir) in names(&at) {
            let flag = if is_dir { UnlinkatFlags::RemoveDir } else { UnlinkatFlags::NoRemoveDir };
            match unlinkat(&at, name.as_c_str(), flag) {
                Ok(()) => {}
                Err(Errno::ENOTEMPTY) => deeper = Some(name),
                Err(errno) => panic!("{name:?}: {errno}"),
            }
        }
        if let Some(name) = deeper {
            at = open_dir(&at, &name);
            way.push(name);
        } else {
            let Some(name) = way.pop() else { break };
            at = open_dir(&at, c"..");
            unlinkat(&at, name.as_c_str(), UnlinkatFlags::RemoveDir).unwrap();
        }
    }
    fs::remove_dir(root).unwrap();
}

/// Removes the trees in a sandbox when it is dropped, so that a failed test leaves none.
struct Cleared<'a>(&'a Sandbox);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.0.path("")).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                remove(&entry.path());
            }
        }
    }
}

/// Copies a tree, compares it with its copy, and repeats both onto the existing copy.
///
/// Does not use `Sandbox::pcopy`, which, when it fails, prints the tree by its paths.
fn copies_right(env: &Sandbox, jobs: &str, entries: usize) {
    let (code, stderr) = pcopy(env, &["-j", jobs, "-T", "src", "dst"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(compare(&env.path("src"), &env.path("dst")), entries);

    let (code, stderr) = pcopy(env, &["-j", jobs, "-T", "src", "dst"]);
    assert_eq!(code, Some(0), "again: {stderr}");
    assert!(stderr.contains("copied 0 entries"), "again: {stderr}");
    assert_eq!(compare(&env.path("src"), &env.path("dst")), entries, "again");
}

fn pcopy(env: &Sandbox, arguments: &[&str]) -> (Option<i32>, String) {
    outcome(env.command(with_summary(arguments)))
}

fn outcome(mut command: Command) -> (Option<i32>, String) {
    let err = tempfile::tempfile().unwrap();
    let mut child = command.stderr(err.try_clone().unwrap()).spawn().unwrap();
    let Some(status) = wait(&mut child, HANG) else {
        child.kill().unwrap();
        panic!("{command:?} hung");
    };
    let mut stderr = vec![0; 4000];
    let length = std::os::unix::fs::FileExt::read_at(&err, &mut stderr, 0).unwrap();
    stderr.truncate(length);
    (status.code(), OsString::from_vec(stderr).to_string_lossy().into_owned())
}

each_jobs!(a_chain_of_300_long_names_is_copied, 1, 2, 8);
fn a_chain_of_300_long_names_is_copied(jobs: &str) {
    let env = Sandbox::new();
    let _cleared = Cleared(&env);
    let name = CString::new("n".repeat(50)).unwrap();
    grow_chain(&env.path("src"), 300, &name, 10);

    copies_right(&env, jobs, 1 + 300 + 3 * 30 + 1);
}

each_jobs!(a_chain_of_5_000_short_names_is_copied, 1, 2, 8);
fn a_chain_of_5_000_short_names_is_copied(jobs: &str) {
    let env = Sandbox::new();
    let _cleared = Cleared(&env);
    grow_chain(&env.path("src"), 5000, c"d", 500);

    copies_right(&env, jobs, 1 + 5000 + 3 * 10 + 1);
}

each_jobs!(a_chain_of_100_names_of_the_greatest_length_is_copied, 1, 2, 8);
fn a_chain_of_100_names_of_the_greatest_length_is_copied(jobs: &str) {
    let env = Sandbox::new();
    let _cleared = Cleared(&env);
    let name = CString::new("N".repeat(255)).unwrap();
    grow_chain(&env.path("src"), 100, &name, 1);

    copies_right(&env, jobs, 1 + 100 + 3 * 100 + 1);
}

each_jobs!(a_tree_that_branches_all_the_way_down_is_copied, 1, 2, 8);
fn a_tree_that_branches_all_the_way_down_is_copied(jobs: &str) {
    let env = Sandbox::new();
    let _cleared = Cleared(&env);
    // Four directories on every level, and only one of them goes deeper.
    fs::create_dir(env.path("src")).unwrap();
    let mut at = top(&env.path("src"));
    for level in 0..400 {
        for (number, side) in [c"a-side-way", c"another-one", c"z-the-last"].into_iter().enumerate()
        {
            mkdirat(&at, side, Mode::from_bits_truncate(0o755)).unwrap();
            let side = open_dir(&at, side);
            mkdirat(&side, c"inside", Mode::from_bits_truncate(0o700)).unwrap();
            put(&side, c"file", &format!("{level} {number}"));
        }
        mkdirat(&at, c"middle-where-it-goes-on", Mode::from_bits_truncate(0o755)).unwrap();
        at = open_dir(&at, c"middle-where-it-goes-on");
    }

    copies_right(&env, jobs, 1 + 400 * (1 + 3 * 3));
}

#[test]
fn a_deep_tree_is_merged_into_an_older_copy() {
    let env = Sandbox::new();
    let _cleared = Cleared(&env);
    let name = CString::new("n".repeat(50)).unwrap();
    grow_chain(&env.path("src"), 200, &name, 20);
    let (code, stderr) = pcopy(&env, &["src", "dst"]);
    assert_eq!(code, Some(0), "{stderr}");
    // Change, remove and add entries at the bottom of the copy and of the source.
    let bottom = |root: &str| (0..200).fold(top(&env.path(root)), |at, _| open_dir(&at, &name));
    let (source, target) = (bottom("src"), bottom("dst"));
    unlinkat(&target, c"bottom", UnlinkatFlags::NoRemoveDir).unwrap();
    put(&target, c"bottom", "old");
    mkdirat(&source, c"new", Mode::from_bits_truncate(0o750)).unwrap();
    put(open_dir(&source, c"new"), c"inside", "the new bottom");
    drop((source, target));

    let (code, stderr) = pcopy(&env, &["-T", "src", "dst"]);

    assert_eq!(code, Some(0), "{stderr}");
    compare(&env.path("src"), &env.path("dst"));
}

#[test]
fn a_failure_deeper_than_a_path_may_be_is_named() {
    let env = Sandbox::new();
    let _cleared = Cleared(&env);
    let name = CString::new("n".repeat(50)).unwrap();
    grow_chain(&env.path("src"), 200, &name, 300);
    grow_chain(&env.path("dst"), 200, &name, 300);
    let bottom = (0..200).fold(top(&env.path("dst")), |at, _| open_dir(&at, &name));
    unlinkat(&bottom, c"bottom", UnlinkatFlags::NoRemoveDir).unwrap();
    mkdirat(&bottom, c"bottom", Mode::from_bits_truncate(0o755)).unwrap();
    drop(bottom);

    let (code, stderr) = pcopy(&env, &["-T", "src", "dst"]);

    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.starts_with("pcopy: cannot overwrite directory 'dst/nnnn"), "{stderr}");
}

#[test]
fn a_target_may_be_as_deep_as_a_path_can_name() {
    let env = Sandbox::new();
    let _cleared = Cleared(&env);
    env.tree("src", ["file sub/a 10"]);
    // As long as a path may be, without the NUL: what is copied below it exceeds PATH_MAX.
    let rest = 4095 - env.path("t").as_os_str().len() - "/new".len();
    let path = env.path("t").join(format!("{}{}", "d/".repeat(rest / 2 - 1), "d".repeat(rest % 2)));
    let path = path.to_str().unwrap().trim_end_matches('/').to_owned();
    fs::create_dir_all(&path).unwrap();
    let target = format!("{path}/new");
    assert!(target.len() > 4000 && target.len() < 4096);

    let (code, stderr) = pcopy(&env, &["src", &target]);

    assert_eq!(code, Some(0), "{stderr}");
    compare(&env.path("src"), Path::new(&target));
}

each_jobs!(thirty_two_descriptors_are_enough_for_any_depth, 1, 8, 64);
fn thirty_two_descriptors_are_enough_for_any_depth(jobs: &str) {
    if !tool("prlimit") {
        return skip!("prlimit is not installed");
    }
    let env = Sandbox::new();
    let _cleared = Cleared(&env);
    grow_chain(&env.path("src"), 400, c"deeper", 1);
    let command = env.before(&["prlimit", "--nofile=32"], ["-j", jobs, "-T", "src", "dst"]);

    let (code, stderr) = outcome(command);

    assert_eq!(code, Some(0), "with {jobs} copiers: {stderr}");
    compare(&env.path("src"), &env.path("dst"));
}
