//! Copiers access entries by descriptors: no system call of a copier takes a path that another process could
//! redirect.

use crate::common::{Sandbox, skip, tool};
use std::collections::BTreeMap;
use std::fs;

/// One system call in the log of strace.
struct Call<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// Returns what is wrong with a call, if anything. Each name must follow the descriptor of an open directory,
/// and must have one component.
///
/// Exceptions:
/// * `openat2` takes several components, with flags that follow no symlink and do not leave the directory;
/// * the text of a symlink is not a path;
/// * before Linux 6.13, no system call for attributes of entries that cannot be opened (symlinks, FIFOs)
///   takes a descriptor. These calls take a path in `/proc` that consists of an open directory and one name,
///   and do not follow the name.
fn fault(call: &Call<'_>) -> Option<&'static str> {
    let arguments = split(call.arguments);
    let is_descriptor = |word: &str| word.parse::<u32>().is_ok();
    let known = "RESOLVE_NO_MAGICLINKS|RESOLVE_NO_SYMLINKS|RESOLVE_BENEATH";
    if matches!(call.name, "llistxattr" | "lgetxattr" | "lsetxattr" | "lremovexattr") {
        let place =
            arguments[0].strip_prefix("\"/proc/self/fd/").and_then(|rest| rest.split_once('/'));
        let is_one = place.is_some_and(|(dir, name)| is_descriptor(dir) && !name.contains('/'));
        return (!is_one).then_some("not an open directory and one name");
    }
    for (at, argument) in
        arguments.iter().enumerate().filter(|(_, argument)| argument.starts_with('"'))
    {
        let is_text = call.name == "symlinkat" && at == 0 || call.name == "readlinkat" && at == 2;
        if is_text {
            continue;
        }
        if at == 0 || !is_descriptor(arguments[at - 1]) {
            return Some("a path from the working directory");
        }
        if call.name == "openat2" {
            if !call.arguments.contains(known) || argument.starts_with("\"/") {
                return Some("it may leave the directory");
            }
        } else if argument.contains('/') || *argument == "\"..\"" {
            return Some("more than one name");
        }
    }
    None
}

/// Splits the arguments of a call. A comma within quotes or braces belongs to an argument.
fn split(arguments: &str) -> Vec<&str> {
    let (mut depth, mut is_quoted, mut start) = (0, false, 0);
    let mut found = Vec::new();
    for (at, byte) in arguments.bytes().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'{' | b'[' if !is_quoted => depth += 1,
            b'}' | b']' if !is_quoted => depth -= 1,
            b',' if !is_quoted && depth == 0 => {
                found.push(arguments[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(arguments[start..].trim());
    found
}

/// Returns the calls of each process in the log.
fn calls(log: &str) -> BTreeMap<&str, Vec<Call<'_>>> {
    let mut found: BTreeMap<&str, Vec<Call<'_>>> = BTreeMap::new();
    for line in log.lines() {
        let (pid, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        if call.starts_with(['<', '+', '-']) {
            continue; // the end of a call that is listed, or of a process, or a signal
        }
        let (name, rest) = call.split_once('(').unwrap();
        let end = rest.rfind(") ").or_else(|| rest.rfind(" <unfinished"));
        let arguments = &rest[..end.unwrap_or_else(|| panic!("no end: {line}"))];
        found.entry(pid).or_default().push(Call { name, arguments });
    }
    found
}

/// Plants a tree with entries of all types. Some are so deep that copiers open them from the top.
fn plant(env: &Sandbox) {
    env.tree(
        "src",
        [
            "file a 10K",
            "file large 20M",
            "link link nowhere/at/all",
            "fifo fifo",
            "file b/c/d/e/f/g/h 3K",
        ],
    );
    for number in 0..600 {
        env.tree("src/wide", [&*format!("file {number:0>40} 10")]);
    }
    for directory in ["", "b/", "b/c/d/e/f/g/"] {
        env.tree("src", [&*format!("file {directory}one 1K")]);
        let [one, again] = ["one", "again"].map(|name| env.path(format!("src/{directory}{name}")));
        fs::hard_link(one, again).unwrap();
    }
}

#[test]
fn copiers_access_everything_by_descriptors() {
    if !tool("strace") {
        return skip!("strace is not installed");
    }
    let ways: [&[&str]; 8] = [
        &[],
        &["-a"],
        &["--inplace", "--update=all"],
        &["-a", "-b", "--update=all"],
        &["--preserve=none", "--reflink=never", "--sparse=always", "--update=all"],
        &["-lP", "--update=all"],
        &["--fsync", "--manifest=list", "--update=all"],
        &["--check"],
    ];
    for exists in [false, true] {
        for way in ways {
            let env = Sandbox::new();
            plant(&env);
            if exists || way.contains(&"--check") {
                env.pcopy(["-q", "-T", "src", "dst"]).exits(0);
                // No longer up to date, and some entries of another type.
                env.tree("dst", ["file a 9K", "file b/c/d/e/f/g/h 1", "file wide/0 3"]);
                fs::remove_file(env.path("dst/link")).unwrap();
                env.tree("dst", ["file link 3"]);
            }
            let options = ["-s", "4096", "-e", "trace=%file"];
            let arguments = ["-j4", "-q", "-T", "src", "dst"].iter().chain(way);

            let run = env.run(env.traced(&options, arguments));

            // Differences, and a link whose name exists, are expected.
            assert!(matches!(run.status.code(), Some(0 | 1 | 6)), "{}", run.story());
            let log = read_whole(&env);
            let calls = calls(&log);
            let first = log.split_once(' ').unwrap().0;
            let copiers = calls.iter().filter(|(pid, _)| **pid != first);
            let calls: Vec<_> = copiers.flat_map(|(_, calls)| calls).collect();
            assert!(calls.len() > 100, "only {} calls by copiers: {way:?}", calls.len());
            let bad: Vec<_> = calls
                .iter()
                .filter_map(|call| Some((fault(call)?, call.name, call.arguments)))
                .take(20)
                .collect();
            assert!(bad.is_empty(), "{way:?}, onto an existing target: {exists}: {bad:#?}");
        }
    }
}

/// Reads the whole log. strace outlives the run, so it may still be writing the log.
fn read_whole(env: &Sandbox) -> String {
    let read = || fs::read_to_string(env.path("trace")).unwrap();
    let mut log = read();
    loop {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let longer = read();
        if longer == log {
            return log;
        }
        log = longer;
    }
}
