//! A FIFO, a device or an open file that is named as the target: it is written into, and never replaced.

use crate::common::entries::*;
use crate::common::*;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Returns a sandbox with a file `x`, and names that lead to open files as those in `/dev` do.
fn planted() -> Sandbox {
    let env = Sandbox::new();
    env.tree("", ["text x hello", "file big 3M", "dir dev", "fifo p"]);
    for (name, end) in [("stdout", "fd/1"), ("stderr", "fd/2"), ("fd", "fd")] {
        symlink(format!("/proc/self/{end}"), env.path("dev").join(name)).unwrap();
    }
    env
}

/// Creates devices: `null`, `zero` and `full`. Returns false if they cannot be created or used here.
fn has_devices(env: &Sandbox) -> bool {
    if !is_root() {
        return false;
    }
    for (name, minor) in [("null", 3), ("zero", 5), ("full", 7)] {
        node(&env.path(name), "char", 1, minor);
    }
    fs::File::options().write(true).open(env.path("null")).is_ok()
}

/// Runs a shell script in which `$0` is pcopy. The script writes its results into files.
fn script<'a>(env: &'a Sandbox, text: &str) -> Run<'a> {
    let mut command = Command::new("bash");
    command.args(["-c", text, PCOPY]).current_dir(env.path("")).stdin(Stdio::null());
    env.run(command)
}

fn contents_of(env: &Sandbox, name: &str) -> String {
    fs::read_to_string(env.path(name)).unwrap()
}

each_jobs!(a_named_fifo_gets_the_contents_and_stays, 1, 2, 8);
fn a_named_fifo_gets_the_contents_and_stays(jobs: &str) {
    let env = planted();
    symlink("p", env.path("link")).unwrap();
    for line in ["x p", "-T x p", "-a x p", "--inplace x p", "x link", "-u x p", "--checksum x p"] {
        script(&env, "touch x"); // `-u` skips a target that is newer

        let run = script(
            &env,
            &format!("cat p > got & \"$0\" -j {jobs} {line}; code=$?; wait; exit $code"),
        );

        run.exits(0);
        assert_eq!(contents_of(&env, "got"), "hello", "{line}\n{}", run.story());
        assert!(fs::symlink_metadata(env.path("p")).unwrap().file_type().is_fifo(), "{line}");
        assert!(env.path("link").is_symlink(), "{line}");
    }
    script(&env, &format!("cat p > got & \"$0\" -j {jobs} big p; wait")).exits(0);
    assert!(fs::read(env.path("got")).unwrap() == fs::read(env.path("big")).unwrap());
}

#[test]
fn the_null_device_is_written_into_under_any_name_and_keeps_its_attributes() {
    let env = planted();
    if !has_devices(&env) {
        return skip!("no devices can be created here");
    }
    symlink("null", env.path("link")).unwrap();
    let status = |name| {
        let stat = fs::symlink_metadata(env.path(name)).unwrap();
        (stat.ino(), stat.mode(), stat.mtime(), stat.uid(), stat.rdev())
    };
    let before = (status("null"), status("link"));
    chmod(&env.path("x"), 0o751);
    for option in ["-r", "-a", "-p", "--inplace", "--write-devices", "--sparse=always"] {
        for name in ["null", "link"] {
            env.pcopy([option, "x", name]).exits(0).stderr_has("copied 1 entry (5 bytes)");
        }
    }
    assert_eq!((status("null"), status("link")), before);
    env.pcopy(["--remove-destination", "x", "null"]).exits(0);
    assert_eq!(contents_of(&env, "null"), "hello", "the user wanted another file in its place");
}

#[test]
fn a_plain_user_may_name_dev_null() {
    let env = planted();

    env.plain_pcopy(["x", "/dev/null"]).exits(0).stderr_has("copied 1 entry");
}

#[test]
fn another_device_is_refused_unless_write_devices_is_given() {
    let env = planted();
    if !has_devices(&env) {
        return skip!("no devices can be created here");
    }
    node(&env.path("block"), "block", 250, 250);
    symlink("zero", env.path("link")).unwrap();
    for name in ["zero", "full", "block", "link"] {
        let run = env.pcopy(["x", name]);

        run.exits(3).stderr_has(&format!("pcopy: '{name}' is a device\nhint: --write-devices"));
    }
    env.pcopy(["--write-devices", "x", "zero"]).exits(0);
    env.pcopy(["--write-devices", "x", "link"]).exits(0);
    let full = env.pcopy(["--write-devices", "x", "full"]);
    full.exits(11).stderr_has("cannot write 'full': No space left on device");
    for name in ["zero", "full"] {
        assert!(fs::symlink_metadata(env.path(name)).unwrap().file_type().is_char_device());
    }
    assert!(env.path("link").is_symlink());
}

#[test]
fn a_named_socket_is_refused() {
    let env = planted();
    node(&env.path("s"), "socket", 0, 0);

    env.pcopy(["x", "s"]).exits(3).stderr_has("cannot write into 's': No such device or address");

    assert!(fs::symlink_metadata(env.path("s")).unwrap().file_type().is_socket());
}

each_jobs!(what_standard_output_is_gets_the_contents, 1, 2, 8);
fn what_standard_output_is_gets_the_contents(jobs: &str) {
    for target in ["dev/stdout", "dev/fd/1", "/proc/self/fd/1"] {
        for (line, expected) in [
            ("PCOPY x TARGET > got", "hello"),
            ("PCOPY x TARGET | cat > got", "hello"),
            ("PCOPY -T x TARGET > got", "hello"),
            ("echo old > got; PCOPY x TARGET >> got", "old\nhello"),
            ("{ echo head; PCOPY x TARGET; echo tail; } > got", "head\nhellotail\n"),
            ("PCOPY x dev/fd/7 7> got", "hello"),
            ("PCOPY x dev/stderr 2> got", "hello"),
            ("PCOPY -v x dev/stderr 2> got > names", "hello"),
            ("PCOPY -v x TARGET > got 2> names", "hello"),
            ("PCOPY --progress=always x dev/stderr 2> got", "hello"),
            ("PCOPY x >(cat > got); while ! test -s got; do sleep .01; done", "hello"),
        ] {
            let env = planted();
            let line =
                line.replace("PCOPY", &format!("\"$0\" -j {jobs}")).replace("TARGET", target);

            let run = script(&env, &line);

            run.exits(0);
            assert_eq!(contents_of(&env, "got"), expected, "{line}\n{}", run.story());
            assert!(env.path("dev/stdout").is_symlink() && env.path("dev/stderr").is_symlink());
        }
    }
}

#[test]
fn an_open_file_of_another_process_is_written_into() {
    let env = planted();

    let run = script(&env, "sleep 60 > got & \"$0\" x /proc/$!/fd/1; code=$?; kill $!; exit $code");

    run.exits(0);
    assert_eq!(contents_of(&env, "got"), "hello");
}

#[test]
fn names_of_verbose_are_not_mixed_with_the_contents() {
    let env = planted();

    script(&env, "\"$0\" -v x dev/stdout > got 2> messages").exits(0);

    assert_eq!(contents_of(&env, "got"), "hello");
    assert!(contents_of(&env, "messages").starts_with("dev/stdout\ncopied 1 entry (5 bytes)"));
}

#[test]
fn a_descriptor_that_cannot_be_written_to_is_refused() {
    let env = planted();
    for line in ["x dev/stdout >&-", "x dev/stderr 2>&- ", "x dev/fd/0", "x dev/fd/9"] {
        let run = script(&env, &format!("\"$0\" {line}"));

        run.exits(3);
        if !line.contains("2>") {
            run.stderr_has("pcopy: cannot write into 'dev/").stderr_has("': Bad file descriptor");
        }
        assert!(env.path("dev/stdout").is_symlink() && env.path("dev/stderr").is_symlink());
    }
}

#[test]
fn a_source_that_would_be_appended_to_itself_is_refused() {
    let env = planted();

    let run = script(&env, "\"$0\" x dev/stdout >> x");

    run.exits(3).stderr_has("pcopy: 'x' and 'dev/stdout' are the same file");
    assert_eq!(contents_of(&env, "x"), "hello");
}

#[test]
fn options_that_a_stream_cannot_fulfil_are_refused() {
    let env = planted();
    for option in [
        "--link",
        "--symbolic-link",
        "--attributes-only",
        "--backup",
        "--verify",
        "--manifest=sums",
        "--reflink=always",
        "--fsync",
    ] {
        let run = env.pcopy([option, "x", "p"]);

        let name = if option.starts_with("--manifest") { "--manifest" } else { option };
        run.exits(3).stderr_has(&format!("pcopy: {name} is not possible with 'p'\nhint: "));
    }
    assert!(fs::symlink_metadata(env.path("p")).unwrap().file_type().is_fifo());
    env.pcopy(["-n", "x", "p"]).exits(0).stderr_has("; 1 skipped");
    env.pcopy(["--update=none-fail", "x", "p"]).exits(1).stderr_has("not replacing 'p'");
    let run = env.pcopy(["--check", "x", "p"]);
    run.exits(6).stdout_is("different: 'p': a FIFO instead of a file\n");
}

#[test]
fn an_open_regular_file_can_be_flushed() {
    let env = planted();

    script(&env, "\"$0\" --fsync x dev/stdout > got").exits(0);

    assert_eq!(contents_of(&env, "got"), "hello");
}

#[test]
fn a_source_without_contents_is_refused() {
    let env = planted();
    env.tree("", ["dir d", "fifo q", "link l x"]);
    for source in ["d", "q", "l"] {
        let run = env.pcopy([source, "p"]);

        run.exits(3).stderr_has(&format!("pcopy: cannot write '{source}' into 'p': not a file"));
    }
    script(&env, "cat p > got & \"$0\" -L l p; wait").exits(0);
    assert_eq!(contents_of(&env, "got"), "hello");
    script(&env, "cat p > got & echo on > q & \"$0\" --copy-contents q p; wait").exits(0);
    assert_eq!(contents_of(&env, "got"), "on\n");
}

each_jobs!(what_is_not_named_is_replaced, 1, 2, 8);
fn what_is_not_named_is_replaced(jobs: &str) {
    let env = planted();
    env.tree("src", ["text p in", "text d/p in"]).tree("dst", ["fifo p", "fifo d/p"]);
    env.tree("into", ["fifo x"]);

    env.pcopy(["-j", jobs, "-T", "src", "dst"]).exits(0);
    env.pcopy(["-j", jobs, "x", "into"]).exits(0);
    fs::rename(env.path("p"), env.path("x-copy")).unwrap();
    env.pcopy(["-j", jobs, "x"]).exits(0);

    env.assert_same("src", "dst");
    assert_eq!(["into/x", "x-copy"].map(|name| contents_of(&env, name)), ["hello", "hello"]);
}

#[test]
fn a_named_symlink_to_a_regular_file_is_replaced() {
    for option in ["-v", "--inplace"] {
        let env = planted();
        env.tree("", ["text old old", "link link old"]);

        env.pcopy([option, "x", "link"]).exits(0);

        assert!(!env.path("link").is_symlink());
        assert_eq!(["old", "link"].map(|name| contents_of(&env, name)), ["old", "hello"]);
    }
}

#[test]
fn an_answer_decides_whether_a_stream_is_written_into() {
    let env = planted();
    for (answer, expected) in [("y", "hello"), ("n", "")] {
        let run = script(
            &env,
            &format!("cat p > got & exec 3<> p; echo {answer} | \"$0\" -i x p; exec 3>&-; wait"),
        );

        run.exits(0).stderr_has("pcopy: replace 'p'? ");
        assert_eq!(contents_of(&env, "got"), expected);
    }
}

#[test]
fn a_pipe_without_readers_is_a_failure() {
    let env = planted();

    let run = script(&env, "\"$0\" big dev/stdout | true; echo ${PIPESTATUS[0]} > status");

    run.stderr_has("pcopy: cannot write 'dev/stdout': Broken pipe");
    assert_eq!(contents_of(&env, "status"), "1\n");
}

#[test]
fn a_nonblocking_pipe_gets_every_byte() {
    let env = planted();
    let (mut reader, writer) = std::io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut command = env.command(["big", "dev/stdout"]);
    let mut child = command.stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    drop(command); // it has the pipe open, too
    std::thread::sleep(std::time::Duration::from_millis(200));

    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();

    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(all == fs::read(env.path("big")).unwrap());
}

each_jobs!(a_stream_is_written_once_even_if_the_copier_dies, 1, 2, 8);
fn a_stream_is_written_once_even_if_the_copier_dies(jobs: &str) {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    for as_cp in [false, true] {
        let env = planted();
        symlink(PCOPY, env.path("cp")).unwrap();
        let program = if as_cp { env.path("cp") } else { PathBuf::from(PCOPY) };
        let path = env.path("p").canonicalize().unwrap();
        let reader = std::thread::spawn({
            let path = path.clone();
            move || fs::read(path).unwrap().len()
        });
        let mut command = Command::new("strace");
        command.args(["-DD", "-f", "-qq", "-o"]).arg(env.path("trace")).arg("-P").arg(&path);
        command.args(["-e", "trace=write", "-e", "inject=write:signal=KILL:when=2"]);
        command.arg(program).args(["-j", jobs, "big", "p"]);
        command.current_dir(env.path("")).stdin(Stdio::null());

        let run = env.run(command);

        run.exits(1).stderr_has("'big': copiers");
        let length = reader.join().unwrap();
        assert!(length < 3 << 20, "{length} bytes were written\n{}", run.story());
    }
}
