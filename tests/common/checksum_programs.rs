//! Manifests as `sha256sum` and `b3sum` write and check them.

use super::{Sandbox, listing, skip_for, tool};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The values of `--hash`, each with the program that writes and checks such manifests.
pub(crate) const CHECKERS: [(&str, &str); 2] = [("sha256", "sha256sum"), ("blake3", "b3sum")];

/// Returns the regular files below `dir`, sorted by the bytes of their names.
pub(crate) fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = listing(dir)
        .into_iter()
        .filter(|(_, entry)| entry.mode & 0o170_000 == 0o100_000)
        .map(|(path, _)| path)
        .collect();
    files.sort_by(|one, other| one.as_os_str().as_bytes().cmp(other.as_os_str().as_bytes()));
    files
}

/// Returns the manifest that `program` writes of `files` in `dir`.
pub(crate) fn written_by(program: &str, dir: &Path, files: &[PathBuf]) -> Vec<u8> {
    let mut all = Vec::new();
    for some in files.chunks(1000) {
        let output = Command::new(program).arg("--").args(some).current_dir(dir).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} in {}: {stderr}", dir.display());
        all.extend(output.stdout);
    }
    all
}

/// Fails unless `file` is the manifest that `program` writes of all files below `dir`.
#[track_caller]
pub(crate) fn assert_lists(env: &Sandbox, file: &str, program: &str, dir: &str) {
    let dir = env.path(dir);
    let files = files_below(&dir);
    assert!(!files.is_empty(), "nothing to list in {}", dir.display());
    let (is, wanted) = (fs::read(env.path(file)).unwrap(), written_by(program, &dir, &files));
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(is == wanted, "{file} is\n{}\n{program} writes\n{}", shown(&is), shown(&wanted));
}

/// Checks that `program -c` accepts all lines of `file` in `dir`. The error is the program's output.
pub(crate) fn accepts(env: &Sandbox, program: &str, dir: &str, file: &str) -> Result<(), String> {
    let output = Command::new(program)
        .arg("-c")
        .arg(env.path(file))
        .current_dir(env.path(dir))
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    output.status.success().then_some(()).ok_or(String::from_utf8_lossy(&text).into_owned())
}

/// Returns the names in a manifest that has no escaped names.
pub(crate) fn names_in(path: impl AsRef<Path>) -> Vec<OsString> {
    let text = fs::read(path).unwrap();
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| OsString::from_vec(line[66..].to_vec())).collect()
}

/// Whether this program is installed. If not, reports the test as skipped.
macro_rules! has_checker {
    ($program:expr) => {
        $crate::common::checksum_programs::has_checker_for(
            $crate::common::test_name::test_name!(),
            $program,
        )
    };
}
pub(crate) use has_checker;

pub(crate) fn has_checker_for(test: &str, program: &str) -> bool {
    let has = tool(program);
    if !has {
        skip_for(test, &format!("{program} is not installed"));
    }
    has
}
