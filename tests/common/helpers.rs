//! Programs that some tests use. A test is skipped if its program is not installed, or is not permitted here, or
//! lacks an option. A program that works and then fails unexpectedly is a failure of the test.

use super::print_line;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Copies a program so that it can be executed at once. If this process copied it, a child that another thread
/// starts meanwhile could have the copy open for writing, and the kernel would not execute it (`ETXTBSY`).
pub(crate) fn copy_program(from: &Path, to: &Path) {
    must_run("cp", &[from.to_str().unwrap()], to);
}

/// Whether a program is installed and works here.
///
/// A container may forbid what strace, unshare and fakeroot need. Such a program is tried once; if it fails, what
/// it printed is printed, and it counts as not installed.
pub(crate) fn tool(name: &str) -> bool {
    static KNOWN: Mutex<BTreeMap<String, bool>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap();
    *known.entry(name.to_owned()).or_insert_with(|| is_installed(name) && works(name))
}

fn is_installed(name: &str) -> bool {
    in_path(name).iter().any(|program| program.is_file())
}

/// Where a program may be, in the order of PATH.
fn in_path(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).collect()
}

fn works(name: &str) -> bool {
    let trial: &[&str] = match name {
        "strace" => {
            let changes = "inject=fsync:poke_exit=@arg2=00:when=1+"; // from 5.11 on
            &["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", changes, "true"]
        }
        "unshare" => &["-m", "--propagation", "private", "--", "true"],
        "fakeroot" => &["true"],
        "setpriv" => &["--inh-caps=-all", "--bounding-set=-chown", "true"],
        "prlimit" => &["--nofile=64", "true"],
        "setsid" => &["--wait", "true"],
        _ => return true,
    };
    let output = Command::new(name).args(trial).output().unwrap();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let why = stderr.lines().next().unwrap_or_default();
        print_line(&format!("{name} cannot be used here: {}, {why}", output.status));
    }
    output.status.success()
}

/// The first Python in PATH that has fusepy; else any. Often one without the modules of the distribution comes first.
pub(crate) fn python() -> PathBuf {
    let has_fusepy = |python: &PathBuf| {
        let output = Command::new(python).args(["-c", "import fusepy"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    in_path("python3").into_iter().find(has_fusepy).unwrap_or_else(|| "python3".into())
}

/// Whether a program that is installed lists an option in its help.
pub(crate) fn has_option(program: &str, option: &str) -> bool {
    let output = Command::new(program).arg("--help").output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).contains(option)
}

/// Runs a program. Returns false if it is not installed or fails, for example because the file system lacks ACLs.
pub(crate) fn run_tool(program: &str, arguments: &[&str], path: &Path) -> bool {
    let output = Command::new(program).args(arguments).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

/// Runs a program that must succeed.
#[track_caller]
pub(crate) fn must_run(program: &str, arguments: &[&str], path: &Path) {
    let output = Command::new(program).args(arguments).arg(path).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?} {path:?}: {}\n{shown}",
        output.status
    );
}
