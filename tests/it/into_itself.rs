//! What a run makes is not one of its sources, whichever way leads from a source to the target.

use crate::common::mounts::{Mounted, in_own_mounts, mount};
use crate::common::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// More levels than any copy here has that does not contain itself.
const DEPTH_MAX: usize = 9;

/// Plants a source with a directory `t`, and binds `one` to `other`.
fn planted_and_bound(one: &str, other: &str) -> Option<(Mounted, Sandbox)> {
    let env = Sandbox::new();
    env.tree("", ["dir bound", "file other/z 10", "dir merged/a"]);
    env.tree("src", ["file a/f 10", "file a/b/g 3K", "link link a/f", "dir t"]);
    let bound = mount(&[Path::new("--bind"), &env.path(one)], &env.path(other))?;
    Some((bound, env))
}

fn depth(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let dirs = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    1 + dirs.map(|entry| depth(&entry.path())).max().unwrap_or(0)
}

/// Runs pcopy, or cp if the line begins with `cp`, in its sandbox.
fn run_line<'a>(env: &'a Sandbox, line: &str) -> Run<'a> {
    let line = line.replace("SRC", env.path("src").to_str().unwrap());
    match line.strip_prefix("cp ") {
        Some(arguments) => env.cp(arguments.split(' ')),
        None => env.pcopy(line.split(' ')),
    }
}

/// Runs each line where `bound` is the source's directory `t`. The run must end, must report that it leaves
/// out its own target, and must copy everything else to the path beside the line.
fn leaves_itself_out(lines: &[(&str, &str)]) {
    if !in_own_mounts!() {
        return;
    }
    for (line, copy) in lines {
        let Some((_bound, env)) = planted_and_bound("src/t", "bound") else {
            return skip!("cannot bind directories here");
        };
        let run = run_line(&env, line);

        assert_eq!(run.status.code(), Some(1), "{}", run.story());
        let is_told = run.stderr.contains("into itself") || run.stderr.contains("copies into it");
        assert!(is_told, "{}", run.story());
        let copy = env.path(copy);
        for rest in ["link", "a/b", "t"] {
            assert!(fs::symlink_metadata(copy.join(rest)).is_ok(), "{rest}\n{}", run.story());
        }
        assert!(depth(&env.path("src")) <= DEPTH_MAX, "{}", run.story());
        assert_eq!(depth(&copy.join("t")), 1, "{}", run.story());
        env.assert_nothing_staged();
    }
}

#[test]
fn a_target_bound_below_its_source_is_not_copied() {
    leaves_itself_out(&[
        ("src bound/new", "bound/new"),
        ("-j1 src bound/new", "bound/new"),
        ("-a src bound/new", "bound/new"),
        ("--inplace src bound/new", "bound/new"),
        ("--fsync --verify src bound/new", "bound/new"),
        ("--parents src bound", "bound/src"),
        ("-s SRC bound/new", "bound/new"),
        ("-L src bound/new", "bound/new"),
    ]);
}

#[test]
fn cp_does_not_copy_a_target_bound_below_its_source() {
    leaves_itself_out(&[
        ("cp -r src bound/new", "bound/new"),
        ("cp -a src bound", "bound/src"),
        ("cp -rs SRC bound/new", "bound/new"),
        ("cp -r --parents src bound", "bound/src"),
    ]);
}

#[test]
fn what_is_made_for_another_source_is_left_out_silently() {
    if !in_own_mounts!() {
        return;
    }
    for line in
        ["src other bound", "other src bound", "--inplace src other bound", "cp -r src other bound"]
    {
        let Some((_bound, env)) = planted_and_bound("src/t", "bound") else {
            return skip!("cannot bind directories here");
        };
        let run = run_line(&env, line);

        run.exits(1);
        let told = run.stderr.lines().filter(|line| line.contains(": cannot copy "));
        assert_eq!(told.count(), 1, "{}", run.story());
        assert!(env.path("bound/other/z").exists() && env.path("bound/src/a/b/g").exists());
        assert_eq!(fs::read_dir(env.path("bound/src/t")).unwrap().count(), 0, "{}", run.story());
    }
}

#[test]
fn a_directory_made_while_merging_is_not_a_source() {
    if !in_own_mounts!() {
        return;
    }
    // What is copied from `src/a` to `merged/a` appears in `src/a/b`, which is a source, too.
    for line in
        ["-j1 -T src merged", "-j8 -T src merged", "--inplace -T src merged", "cp -rT src merged"]
    {
        let Some((_bound, env)) = planted_and_bound("src/a/b", "merged/a") else {
            return skip!("cannot bind directories here");
        };
        let run = run_line(&env, line);

        run.exits(1);
        assert!(depth(&env.path("src")) <= 4, "{}", run.story());
        assert!(env.path("merged/a/f").exists() && env.path("merged/a/b/g").exists());
    }
}

#[test]
fn a_followed_link_into_the_new_copy_is_not_copied() {
    let env = Sandbox::new();
    env.tree("src", ["file a/f 10", "dir z"]);
    env.tree("dst", ["dir a/old"]);
    symlink("../../dst/a", env.path("src/z/link")).unwrap();

    let run = env.pcopy(["-L", "-T", "src", "dst"]);

    // The directory `dst/a` existed before, so it is copied; `dst/z`, which the run makes, is not.
    assert!(depth(&env.path("dst")) <= 5, "{}", run.story());
    assert!(env.path("dst/z/link/old").exists(), "{}", run.story());
}

#[test]
fn a_target_on_a_file_system_that_is_left_out_is_no_obstacle() {
    if !in_own_mounts!() {
        return;
    }
    for line in ["-a -x src src/t", "-a -x -T src src/t", "-x src src/t/new", "cp -ax src/. src/t"]
    {
        let env = Sandbox::new();
        env.tree("src", ["file a/f 10", "file a/b/g 3K", "dir t"]);
        let Some(_mounted) = mount(&["-t", "tmpfs", "none"], &env.path("src/t")) else {
            return skip!("cannot mount here");
        };
        let run = run_line(&env, line);

        run.exits(0);
        let copies = ["src/t", "src/t/src", "src/t/new"].map(|copy| env.path(copy));
        let copy = copies.iter().find(|copy| copy.join("a/b/g").exists());
        let copy = copy.unwrap_or_else(|| panic!("no copy\n{}", run.story()));
        assert_eq!(fs::read_dir(copy.join("t")).unwrap().count(), 0, "{}", run.story());
        // Making a name in the mount point changes its time; where it is itself the target, that is no matter.
        if line.contains("-T") {
            run_line(&env, &format!("--check {line}")).exits(0).stderr_has("identical");
        }
    }
}

#[test]
fn a_target_that_the_walk_comes_to_is_refused_with_one_file_system_too() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10", "dir t"]);

    let run = env.pcopy(["-x", "src", "src/t/new"]);

    run.exits(3).stderr_has("'src/t/new' lies inside 'src'");
}

#[test]
fn a_target_that_a_rule_leaves_out_may_be_inside_the_source() {
    for jobs in ["-j1", "-j8"] {
        for (rule, target) in [
            ("--exclude=/bak", "src/bak/new"),
            ("--exclude=bak", "src/bak"),
            ("--exclude=/new", "src/new"),
            ("--exclude=/d/new/", "src/d/new"),
        ] {
            let env = Sandbox::new();
            env.tree("src", ["file a 1", "dir d", "file d/b 1", "dir bak", "file bak/old 1"]);
            let line = [jobs, "-v", rule, "-T", "src", target];

            let run = env.pcopy(line);
            run.exits(0);
            assert!(!run.stdout.contains("partial"), "{}", run.story());
            let copied = env.listing(target);
            assert!(copied.contains_key(Path::new("d/b")) && copied.contains_key(Path::new("a")));
            let depth = copied.keys().map(|path| path.components().count()).max();
            assert_eq!(depth, Some(2), "{rule} {target}: {copied:?}");

            fs::write(env.path("src/a"), "changed").unwrap();
            env.pcopy(line).exits(0);
            assert_eq!(fs::read_to_string(env.path(target).join("a")).unwrap(), "changed");
            env.pcopy(["--dry-run", rule, "-T", "src", target]).exits(0);
            let has_more = target == "src/bak"; // the file that was there
            env.pcopy(["--check", "--no-preserve=timestamps", rule, "-T", "src", target])
                .exits(if has_more { 6 } else { 0 });
        }
    }
}

#[test]
fn a_target_inside_the_source_is_refused_if_the_rules_let_the_walk_come_there() {
    let env = Sandbox::new();
    env.tree("src", ["file a 1", "dir bak"]);
    for rule in ["--exclude=other", "--include=bak", "--filter=P bak", "--max-depth=2"] {
        env.pcopy([rule, "src", "src/bak/new"]).exits(3).stderr_has("lies inside 'src'");
    }
    env.pcopy(["--max-depth=1", "src", "src/bak/new"]).exits(0);
}
