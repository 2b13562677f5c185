//! GNU cp compatibility: run as cp, pcopy does and prints the same as cp, for root and an ordinary user, and
//! with any number of copiers.

use crate::common::entries::*;
use crate::common::plain_user::*;
use crate::common::reference_cp::*;
use crate::common::*;
use crate::every_file_system::holds_on_every_file_system;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

// How far cp comes in a directory that it copies into itself depends on the order of its names.
holds_on_every_file_system!(except a_directory_is_not_copied_into_itself);

/// Plants files of several modes, directories and symlinks, and a target that has some of them.
fn planted(env: &Sandbox) {
    env.tree("", ["text a one", "text b two!", "text c~ old", "file big 300K", "link l a"]);
    env.tree("src", ["text f new", "text sub/g deep", "link l f", "link out ../a", "dir empty"]);
    env.tree("src", ["text h1 linked", "fifo p", "file m 5000"]);
    fs::hard_link(env.path("src/h1"), env.path("src/sub/h2")).unwrap();
    env.tree("dst", ["text f previous", "text sub/g shallow", "text only here", "link l b"]);
    for (path, mode) in [("a", 0o755), ("b", 0o640), ("src/f", 0o711), ("dst/f", 0o600)] {
        chmod(&env.path(path), mode);
    }
    chmod(&env.path("src/sub"), 0o750);
    chmod(&env.path("src/empty"), 0o1777);
    set_times(&env.path("src/f"), (200, 5), (300, 5));
    set_times(&env.path("src/sub/g"), (200, 5), (50, 5));
    for path in ["dst/f", "dst/sub/g"] {
        set_times(&env.path(path), (200, 5), (200, 5));
    }
}

#[test]
fn operands_are_placed_as_by_cp() {
    same_as_cp(
        planted,
        [
            "a new",
            "a b",
            "a big",
            "big a",
            "a dst",
            "a b dst",
            "-T a dst",
            "-t dst a b",
            "a b nothing",
            "a b big",
            "a nothing/",
            "a b/",
            "nothing new",
            "nothing a dst",
            "src new",
            "a src b dst",
            "-r src new",
            "-R src dst",
            "-rT src dst",
            "-r src/. dst",
            "-r src/ new/",
            "-r src a",
            "-r src dst/f",
            "a/ new",
            "l new",
            "-P l new",
            "-d l new",
            "-rL src/sub src/l new2",
            "-H -r l src new",
            "--parents src/sub/g dst",
            "--parents src/sub/g new",
            "-r --parents src/sub dst",
            "'' new",
        ],
    );
}

/// Sources whose targets lie one inside the other, and `..` behind `--parents`.
#[test]
fn operands_that_meet_in_the_target_are_copied_as_by_cp() {
    let plant = |env: &Sandbox| {
        env.tree("src", ["text u/f one", "text u/x/g two", "text v/h three", "text u/own here"]);
        env.tree("other", ["text u/f four", "text u/x/g five", "text new/n six", "text top seven"]);
        env.tree("dst", ["dir present"]);
        chmod(&env.path("src/u"), 0o750);
        chmod(&env.path("other/u"), 0o711);
    };
    same_as_cp(
        plant,
        [
            "-r src/. other/u dst",
            "-r src/. other/new other/u dst",
            "-r src/. other/u other/. dst",
            "-r other/u src/. dst",
            "-rp src/. other/u dst",
            "-r src/. src/u dst",
            "-r src/u src/. dst",
            "-r src/u src/v src/. dst",
            "-r src/u src/../src/. dst",
            "-r src/u/x src/u dst",
            "-r --parents src src/u dst",
            "-r --parents src/u/x src/u/../u dst",
            "-r --parents src/u/.. dst",
            "-r --parents src/u/x/.. dst",
            "-r --parents src/u/x/../.. dst",
            "-rp --parents src/u/x/../.. dst",
            "-r --parents src/u/f src/u/.. dst",
            "-r --parents src/u/../u/x/../.. dst",
            "-r --parents src/u/x/../../u/x/.. dst",
        ],
    );
}

#[test]
fn what_is_preserved_is_what_cp_preserves() {
    let options = [
        "-r",
        "-a",
        "-p -r",
        "-d -r",
        "-r --preserve=mode",
        "-r --preserve=timestamps",
        "-r --preserve=links",
        "-r --preserve=ownership",
        "-a --no-preserve=mode",
        "-a --no-preserve=timestamps,links",
        "-a --no-preserve=all",
        "-r --attributes-only",
        "-a --attributes-only",
    ];
    same_as_cp(planted, each(&options, &["src new", "-T src dst"]));
}

#[test]
fn what_is_replaced_is_what_cp_replaces() {
    let options = ["-n", "-u", "-f", "-b", "--backup=numbered", "--remove-destination", "-l"];
    same_as_cp(planted, each(&options, &["a b", "a new", "a l dst", "-r -T src dst"]));
    same_as_cp(planted, each(&["-s"], &["a b", "a new", "a l dst"]));
    same_as_cp(
        planted,
        ["-b -S .bak a b", "-lf a b", "-sf a b", "-S .bak a b", "--backup=off a b"],
    );
}

/// Plants a target with two hard links of one file, and with symlinks to files elsewhere.
fn with_shared_names(env: &Sandbox) {
    env.tree("", ["text outside far", "text src/f new", "text src/g new too", "text src/l third"]);
    env.tree("dst", ["text f previous!", "link l ../outside", "link gone nowhere"]);
    fs::hard_link(env.path("dst/f"), env.path("dst/twin")).unwrap();
    chmod(&env.path("dst/f"), 0o640);
}

#[test]
fn an_existing_file_keeps_its_inode_and_its_other_names() {
    let options = ["", "-p", "-f", "-u", "--reflink=auto", "--sparse=always", "-v"];
    same_as_cp(
        with_shared_names,
        each(&options, &["-r -T src dst", "src/f dst", "src/f dst/twin"]),
    );
}

/// A file system without hard links refuses them with the same error; there the name becomes a file of its own.
#[test]
fn a_link_in_a_directory_that_may_not_be_written_is_refused() {
    let env = Sandbox::new();
    env.tree("", ["text a new", "text dst/x/b old", "dir x"]);
    fs::hard_link(env.path("a"), env.path("x/b")).unwrap();
    fs::hard_link(env.path("a"), env.path("c")).unwrap();
    chmod(&env.path("dst/x"), 0o555);

    let run = env.plain_cp("", ["--preserve=link", "--parents", "a", "x/b", "c", "dst"]);

    run.exits(1).stderr_has("cannot create hard link 'dst/x/b' to");
    assert_eq!(fs::read(env.path("dst/x/b")).unwrap(), b"old");
    assert_eq!(inode(env.path("dst/a")), inode(env.path("dst/c")));
}

#[test]
fn an_existing_file_keeps_its_owner() {
    if !is_root() {
        return skip!("needs root");
    }
    let plant = |env: &Sandbox| {
        with_shared_names(env);
        for path in ["dst/f", "outside"] {
            std::os::unix::fs::chown(env.path(path), Some(1234), Some(5678)).unwrap();
        }
    };
    let options = ["", "-f", "--preserve=mode", "-p", "-b", "--remove-destination"];
    same_as_cp(plant, each(&options, &["-r -T src dst"]));
    let env = Sandbox::new();
    plant(&env);
    env.cp(["-r", "-T", "src", "dst"]).exits(0);
    let owner = fs::metadata(env.path("dst/f")).unwrap();
    assert_eq!((owner.uid(), owner.gid()), (1234, 5678));
}

#[test]
fn a_symlink_in_the_target_is_written_through() {
    same_as_cp(
        with_shared_names,
        ["src/l dst", "-T src/l dst/l", "-r src/l dst", "-p src/l dst", "-f src/l dst"],
    );
    let env = Sandbox::new();
    with_shared_names(&env);

    env.cp(["src/l", "dst"]).exits(0);

    assert_eq!(fs::read(env.path("outside")).unwrap(), b"third");
    assert_eq!(fs::read_link(env.path("dst/l")).unwrap(), Path::new("../outside"));
}

#[test]
fn a_dangling_symlink_is_written_through_only_for_posix() {
    let options = ["", "-f", "-b", "-n", "-u", "--remove-destination", "-l", "-s", "-r"];
    same_as_cp(with_shared_names, each(&options, &["-T src/f dst/gone"]));
    for line in ["src/f dst/gone", "-f src/f dst/gone", "-v src/f dst/gone"] {
        let line = Line { variables: vec![("POSIXLY_CORRECT", "1")], ..Line::of(line) };
        let end = line_same_as_cp(with_shared_names, &line);
        assert!(end.tree.contains_key(Path::new("dst/nowhere")), "cp made no file there");
    }
}

#[test]
fn nothing_is_staged_and_nothing_locked() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let env = Sandbox::new();
    planted(&env);
    let log = env.path("log");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=file,flock", "-o"]).arg(&log);
    command.args(["sh", "-c", "ln -s \"$0\" cp && exec ./cp -r -j 2 src new"]).arg(PCOPY);
    command.current_dir(env.path(""));

    env.run(command).exits(0);

    let calls = fs::read_to_string(log).unwrap();
    assert!(calls.contains("sub"), "no trace: {calls}");
    for never in ["pcopy-partial", "flock(", "rename"] {
        assert!(!calls.contains(never), "{never} in\n{calls}");
    }
}

#[test]
fn a_source_that_fails_does_not_stop_the_others() {
    let plant = |env: &Sandbox| {
        planted(env);
        chmod(&env.path("b"), 0);
        env.tree("dst", ["dir a"]);
    };
    same_as_cp(
        plant,
        [
            "a b nothing big dst",
            "-r nothing src/sub b a big dst",
            "-v a b big dst",
            "-r src/f src/nothing src dst",
            "src a big dst",
        ],
    );
}

#[test]
fn a_directory_is_not_copied_into_itself() {
    let plant = |env: &Sandbox| {
        env.tree("d", ["text f x", "text e/g y"]);
        env.tree("", ["link l d"]);
    };
    same_as_cp(
        plant,
        [
            "-r d d",
            "-r d d/",
            "-r d d/new",
            "-r d d/e",
            "-r d d/e/new",
            "-rv d d",
            "-R d l",
            "-rT d d",
            "-r d/e d",
            "-a d d/e d",
            "-rb d d",
        ],
    );
}

#[test]
fn source_and_target_that_are_one_file_are_reported_as_by_cp() {
    let plant = |env: &Sandbox| {
        env.tree("", ["text f x", "link l f", "link l2 f", "link m l", "text d/other y"]);
        fs::hard_link(env.path("f"), env.path("h")).unwrap();
        fs::hard_link(env.path("l"), env.path("hl")).unwrap();
        env.tree("d", ["link f ../f"]);
    };
    let options = [
        "",
        "-d",
        "-f",
        "-b",
        "-fb",
        "-l",
        "-s",
        "-lf",
        "-sf",
        "--remove-destination",
        "-df",
        "-db",
        "-dl",
        "-u",
        "-n",
        "-a",
        "-bd --remove-destination",
    ];
    let operands =
        ["f f", "f l", "l f", "f h", "l l2", "l hl", "m f", "f .", "f d", "d/f .", "./f f"];
    same_as_cp(plant, each(&options, &operands));
}

#[test]
fn a_backup_of_the_source_itself_is_made_as_by_cp() {
    let plant = |env: &Sandbox| {
        env.tree("", ["text a x", "text a~ y", "text f z", "text g.~1~ old", "text g new"]);
    };
    same_as_cp(
        plant,
        [
            "-b a a~",
            "-b a~ a",
            "--backup=simple a~ a",
            "--backup=numbered a~ a",
            "-fb f f",
            "-fb f ./f",
            "-b f f",
            "-f --backup=numbered f f",
            "-fb g g",
            "-fbv f f",
            "-fb -S.old f f",
        ],
    );
}

#[test]
fn a_symlink_to_itself_is_replaced_by_the_file_it_names() {
    for (option, kept) in [("-b", true), ("--remove-destination", false)] {
        let env = Sandbox::new();
        env.tree("", ["text f x", "link l f"]);

        env.cp([option, "l", "l"]).exits(0);

        assert_eq!(fs::read(env.path("l")).unwrap(), b"x");
        assert!(!env.path("l").is_symlink());
        assert_eq!(env.path("l~").is_symlink(), kept);
    }
}

#[test]
fn of_two_sources_with_one_name_the_second_is_reported_as_by_cp() {
    let plant = |env: &Sandbox| {
        for (dir, word) in [("one", "first"), ("two", "second!")] {
            let lines = [format!("text x {word}"), format!("text d/f {word}"), "link l x".into()];
            env.tree(dir, lines.iter().map(String::as_str));
        }
        env.tree("two", ["text m target"]);
        symlink("../elsewhere", env.path("one/m")).unwrap();
        env.tree("dst", []).tree("", ["text elsewhere far"]);
    };
    same_as_cp(
        plant,
        [
            "one/x two/x dst",
            "-r one/d two/d dst",
            "-b one/x two/x dst",
            "--backup=numbered one/x two/x dst",
            "-f one/x two/x dst",
            "-n one/x two/x dst",
            "-d one/l two/l dst",
            "-d one/m two/m dst",
            "-df one/m two/m dst",
            "-db one/m two/m dst",
            "one/x one/x dst",
            "-v one/x one/x dst",
            "-r one/d one/d/ dst",
            "-b one/x one/x dst",
            "one/x ./one/x two/m dst",
        ],
    );
}

each_jobs!(nothing_is_copied_through_a_symlink_that_the_run_made, 1, 2, 8);
fn nothing_is_copied_through_a_symlink_that_the_run_made(jobs: &str) {
    let env = Sandbox::new();
    env.tree("one", ["link x ../victim"]).tree("two", ["text x intruder"]).tree("dst", []);

    let run = env.cp(["-d", "-j", jobs, "one/x", "two/x", "dst"]);

    run.exits(1).stderr_has("cp: will not copy 'two/x' through just-created symlink 'dst/x'\n");
    assert!(!exists(env.path("victim")));
}

#[test]
fn a_second_source_is_copied_where_the_first_failed() {
    let plant = |env: &Sandbox| {
        env.tree("", ["text one/x first", "text two/x second", "dir dst"]);
        chmod(&env.path("one/x"), 0);
    };
    let operands = ["one/x two/x dst", "one/nothing two/x dst"];
    same_as_cp(plant, each(&["", "-v", "-b", "-n", "-r", "-p"], &operands));
}

#[test]
fn a_source_whose_parents_cannot_be_created_does_not_keep_the_others() {
    let env = Sandbox::new();
    env.tree("a/b", ["file c 10", "file d 10"]).tree("", ["file f 10", "dir dst"]);
    env.give_to_plain_user();
    symlink(plain_program(), env.path("cp")).unwrap();
    let mut command = Command::new("sh");
    // The first directory is created, and without any permission nothing can be created in it.
    command.arg("-c").arg("umask 777 && exec ./cp -v --parents a/b/c f a/b/d dst");
    command.current_dir(env.path(""));
    if is_root() {
        command.uid(65534).gid(65534);
    }

    let run = env.run(command);

    let line = "./cp: failed to get attributes of 'dst/a/b': Permission denied\n";
    run.exits(1).stdout_is("a -> dst/a\n'f' -> 'dst/f'\n");
    assert_eq!(run.stderr, [line, line].concat());
    assert!(exists(env.path("dst/f")));
}

each_jobs!(an_umask_that_locks_the_owner_out_takes_effect_at_the_end, 1, 8);
fn an_umask_that_locks_the_owner_out_takes_effect_at_the_end(jobs: &str) {
    for words in ["./cp -r", "./pcopy --preserve=none"] {
        let env = Sandbox::new();
        env.tree("src", ["file a 10", "file d/b 10", "file d/e/c 3K", "dir d/empty"]);
        env.give_to_plain_user();
        symlink(plain_program(), env.path("cp")).unwrap();
        symlink(plain_program(), env.path("pcopy")).unwrap();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!(
            "(umask 0177 && {words} src dst) && stat -c %a dst && chmod -R u+X dst && diff -r src dst"
        ));
        command.current_dir(env.path("")).env("PCOPY_JOBS", jobs);
        if is_root() {
            command.uid(65534).gid(65534);
        }

        let run = env.run(command);

        run.exits(0).stdout_is("600\n");
    }
}
