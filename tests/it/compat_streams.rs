//! GNU cp compatibility: FIFOs, devices, full file systems, and several names in the target that are one
//! file.

use crate::common::chance::Dice;
use crate::common::entries::*;
use crate::common::mounts::*;
use crate::common::reference_cp::*;
use crate::common::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

/// Returns a command that runs a shell script in which `cp` is pcopy, for tests that need a shell.
fn shell(env: &Sandbox, script: &str) -> Command {
    if !exists(env.path("bin")) {
        fs::create_dir(env.path("bin")).unwrap();
        symlink(PCOPY, env.path("bin/cp")).unwrap();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all = env.path("bin").into_os_string();
    all.push(":");
    all.push(path);
    let mut command = Command::new("bash");
    command.args(["-c", script]).current_dir(env.path("")).env("PATH", all).env("LC_ALL", "C");
    command.stdin(Stdio::null());
    command
}

#[test]
fn the_name_cp_alone_selects_compatibility_mode() {
    let env = Sandbox::new();
    env.tree("src", ["file a 10"]);

    let run = env.run(shell(&env, "cp src new"));

    run.exits(1).stdout_is("");
    assert_eq!(run.stderr, "cp: -r not specified; omitting directory 'src'\n");
    let path = env.path("bin/cp");
    let mut by_path = Command::new(&path);
    by_path.args(["src", "new"]).current_dir(env.path(""));
    let words = format!("{}: -r not specified; omitting directory 'src'\n", path.display());
    assert_eq!(env.run(by_path).exits(1).stderr, words);
}

each_jobs!(a_fifo_operand_is_read_like_a_file, 1, 2, 8);
fn a_fifo_operand_is_read_like_a_file(jobs: &str) {
    let env = Sandbox::new();
    env.tree("", ["fifo p", "text b previous text", "dir d"]);
    for (line, target) in [("p new", "new"), ("p b", "b"), ("p d", "d/p"), ("-f p b", "b")] {
        let script = format!("echo through > p & cp -j {jobs} {line}; code=$?; wait; exit $code");

        env.run(shell(&env, &script)).exits(0);

        assert_eq!(fs::read(env.path(target)).unwrap(), b"through\n", "{line}");
    }
}

each_jobs!(a_fifo_below_a_directory_is_recreated_and_with_copy_contents_read, 1, 2, 8);
fn a_fifo_below_a_directory_is_recreated_and_with_copy_contents_read(jobs: &str) {
    let env = Sandbox::new();
    env.tree("src", ["fifo p", "file a 10"]);

    env.cp(["-r", "-j", jobs, "src", "new"]).exits(0);
    let script = format!(
        "echo through > src/p & cp -r -j {jobs} --copy-contents src read; code=$?; wait; exit $code"
    );
    env.run(shell(&env, &script)).exits(0);

    assert_eq!(mode_of(env.path("new/p")), mode_of(env.path("src/p")));
    assert!(fs::read(env.path("read/p")).unwrap() == b"through\n");
}

#[test]
fn standard_input_is_copied_whatever_it_is() {
    for script in [
        "printf hello | cp /dev/stdin new",
        "cp /dev/stdin new <<< hello",
        "cp /dev/stdin new < a",
        "cp /dev/fd/0 new < a",
        "cp -r /dev/stdin new < a",
        "cp -p /dev/stdin new < a",
        "cp <(printf hello) new",
        "cp <(printf hello) <(printf there) d",
        "cp -rL <(printf hello) new",
        "cat a | cp /proc/self/fd/0 new",
        "cp /dev/null new",
        "cp /dev/null a",
        "cp a /dev/null",
        "cp a a2 /dev/null",
        "cp -f a /dev/null",
        "cp a /dev/stdout",
        "cp a /dev/stdout | cat",
        "cp big /dev/stdout | true; echo ${PIPESTATUS[0]} > new",
        "trap '' PIPE; cp big /dev/stdout | true; echo ${PIPESTATUS[0]} > new",
        "cp a >(cat > new; echo done > d/done); while ! test -s d/done; do sleep .01; done",
        "cp a /dev/full",
        "cp big /dev/full",
        "cp -v a /dev/full",
        "cp nothing /dev/full",
        "cp /proc/version new && cmp new /proc/version && echo whole > new",
        "cp /proc/self/nothing new",
        "umask 077; cp a new; cp -r d new2; mkdir -m 777 wide; cp -r wide wide2",
        "umask 0; cp a new; cp -r d new2; cp --no-preserve=mode x.sh new3",
        "cp a new >&-",
        "cp -v a new >&-",
        "cp -v a new > /dev/full",
        "cp nothing new 2>&-",
    ] {
        let ended = |jobs: Option<&str>| {
            let env = Sandbox::new();
            env.tree("", ["text a hello", "text a2 other", "file big 300K", "text x.sh run"]);
            env.tree("d", ["text f x"]);
            chmod(&env.path("x.sh"), 0o755);
            let mut command = shell(&env, script);
            match jobs {
                Some(jobs) => command.env("PCOPY_JOBS", jobs),
                None => command.env("PATH", std::env::var_os("PATH").unwrap()),
            };
            let run = env.run(command);
            let modes = env.listing("").into_iter().filter(|(path, _)| !path.starts_with("bin"));
            let tree: Vec<_> =
                modes.map(|(path, entry)| (path, entry.mode, entry.size, entry.what)).collect();
            let mut stderr: Vec<_> = run.stderr.lines().map(str::to_owned).collect();
            stderr.sort();
            // The shell chooses the names of descriptors, the same for both programs.
            (run.status.code(), run.stdout.clone(), stderr, tree)
        };
        let theirs = ended(None);
        for jobs in ["1", "2", "8"] {
            assert_eq!(ended(Some(jobs)), theirs, "left pcopy, right cp: {script} -j {jobs}");
        }
    }
}

#[test]
fn special_files_below_directories_are_recreated() {
    if !is_root() {
        return skip!("needs root");
    }
    let plant = |env: &Sandbox| {
        env.tree("src", ["text a x", "fifo p"]).tree("", ["text b old", "fifo pb"]);
        node(&env.path("src/null"), "char", 1, 3);
        node(&env.path("src/loop"), "block", 7, 200);
        node(&env.path("src/s"), "socket", 0, 0);
    };
    same_as_cp(plant, ["src/null new", "src/null b", "-r src/null new", "-a src/s new"]);
    same_as_cp(plant, ["-r src new", "-a src new", "-r src/p b", "-r src/p pb"]);
    same_as_cp(plant, ["-u -r src/p pb", "-rb src/p pb", "-rl src/p new"]);
}

/// Copies two sources at the same time to two names of one file, many times. Fails if the file ever contains
/// parts of both.
///
/// `prepare` makes `targets` names of one file. The two are in different directories, because one copier
/// would copy both if they were in one.
#[track_caller]
fn assert_never_a_mixture(targets: [&str; 2], prepare: impl Fn(&Sandbox)) {
    let mut dice = Dice::new();
    let mut first = 0;
    for round in 0..60 {
        let env = Sandbox::new();
        env.tree("src/p", ["file other1 10K"]).tree("src/q", ["file other2 10K"]);
        env.tree("dst", ["dir p", "dir q"]);
        let bytes = 1 + dice.below(2_000_000);
        // Each byte shows which source it is from.
        let both = [vec![b'1'; bytes], vec![b'2'; bytes / 2 + 1]];
        for (name, bytes) in targets.iter().zip(&both) {
            fs::write(env.path("src").join(name), bytes).unwrap();
        }
        prepare(&env);
        let form = [&["-T", "src", "dst"][..], &["src/p", "src/q", "dst"]][round % 2];
        let line = [&["-r", "-j", ["8", "2"][round / 2 % 2]][..], form].concat();

        env.cp(&line).exits(0);

        let [found, other] = targets.map(|name| fs::read(env.path("dst").join(name)).unwrap());
        assert!(both.contains(&found), "round {round}: a mixture of {} bytes", found.len());
        assert!(found == other, "round {round}: no longer one file");
        first += usize::from(found == both[0]);
    }
    eprintln!("the first source came last in {first} of 60 rounds");
}

#[test]
fn two_hard_links_in_the_target_end_as_one_of_their_sources() {
    assert_never_a_mixture(["p/x", "q/x"], |env| {
        fs::write(env.path("dst/p/x"), vec![b'0'; 100_000]).unwrap();
        fs::hard_link(env.path("dst/p/x"), env.path("dst/q/x")).unwrap();
    });
}

#[test]
fn two_symlinks_to_one_file_end_as_one_of_their_sources() {
    assert_never_a_mixture(["p/x", "q/x"], |env| {
        fs::write(env.path("file"), vec![b'0'; 5_000_000]).unwrap();
        for name in ["p/x", "q/x"] {
            symlink("../../file", env.path("dst").join(name)).unwrap();
        }
    });
}

#[test]
fn a_symlink_and_its_file_end_as_one_of_their_sources() {
    assert_never_a_mixture(["p/x", "q/y"], |env| {
        env.tree("dst/p", ["text x old"]).tree("dst/q", ["link y ../p/x"]);
    });
}

each_jobs!(a_full_disk_fails_one_file_and_does_not_end_the_run, 1, 2, 8);
fn a_full_disk_fails_one_file_and_does_not_end_the_run(jobs: &str) {
    if !in_own_mounts!() {
        return;
    }
    let env = Sandbox::new();
    env.tree("", ["text outside old"]).tree("tiny", []);
    env.tree("src", ["file big 3M", "file small 10", "file z/last 10", "text l elsewhere"]);
    let options = ["-t", "tmpfs", "-o", "size=1M,mode=755", "none"];
    let Some(_mounted) = mount(&options, &env.path("tiny")) else {
        return skip!("no tmpfs");
    };
    env.tree("tiny", ["link l ../outside"]); // leads to a file system that has space

    let run = env.cp(["-r", "-j", jobs, "src/big", "src/small", "src/z", "src/l", "tiny"]);

    run.exits(1).stdout_is("");
    run.stderr_has("cp: error writing 'tiny/big': No space left on device\n");
    assert_eq!(fs::read(env.path("outside")).unwrap(), b"elsewhere", "{}", run.story());
    // Whether there is space for these again is chance; each is copied or reported.
    for (source, target) in [("src/small", "tiny/small"), ("src/z/last", "tiny/z/last")] {
        let reported = run.stderr.contains(&format!("'{target}'"));
        assert!(reported || same_bytes(&env, source, target), "{target}\n{}", run.story());
    }
    for line in run.stderr.lines() {
        assert!(line.ends_with(": No space left on device"), "{line}");
    }
}

fn same_bytes(env: &Sandbox, one: &str, other: &str) -> bool {
    fs::read(env.path(one)).unwrap() == fs::read(env.path(other)).unwrap_or_default()
}

#[test]
fn a_limit_on_the_size_of_files_fails_one_file_alone() {
    let env = Sandbox::new();
    env.tree("", ["file big 300K", "text small x", "dir dst"]);

    let run = env.run(shell(&env, "ulimit -f 100; trap '' XFSZ; cp big small dst"));

    run.exits(1).stderr_has("cp: error writing 'dst/big': File too large\n");
    assert_eq!(fs::read(env.path("dst/small")).unwrap(), b"x");
}

#[test]
fn zeros_are_written_where_no_hole_is_possible() {
    let env = Sandbox::new();
    fs::write(env.path("zeros"), vec![0; 1_000_000]).unwrap();
    env.tree("", ["fifo pipe"]);
    let pipe = env.path("pipe");
    let reader = std::thread::spawn(move || fs::read(pipe).unwrap().len());

    env.cp(["--sparse=always", "zeros", "pipe"]).exits(0);

    assert_eq!(reader.join().unwrap(), 1_000_000);
    env.cp(["--sparse=always", "zeros", "/dev/null"]).exits(0);
}
