//! A file so large that several copiers work on it, and helpers that find out which processes made which
//! system calls.

use super::Sandbox;
use std::collections::BTreeSet;
use std::fs;

/// A file of more than sixteen chunks of 4 MiB. The last chunk is partial.
pub(crate) const LARGE: &str = "file big 70001K";

/// Returns the processes that have a line with `call` in strace's log.
pub(crate) fn who_called(env: &Sandbox, call: &str) -> BTreeSet<String> {
    let log = fs::read_to_string(env.path("trace")).unwrap();
    let lines = log.lines().filter(|line| line.contains(call));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// A part of each log line that reads or writes a whole buffer at an offset. The loader of a program reads
/// less.
pub(crate) const READS: &str = ", 262144, ";

/// Returns the BLAKE3 digest in a manifest that lists one file.
pub(crate) fn listed(env: &Sandbox, manifest: &str) -> String {
    let manifest = fs::read_to_string(env.path(manifest)).unwrap();
    assert_eq!(manifest.lines().count(), 1, "{manifest}");
    manifest.split(' ').next().unwrap().to_owned()
}

/// Computes the BLAKE3 digest of a file in one pass.
pub(crate) fn digest(env: &Sandbox, file: &str) -> String {
    blake3::hash(&fs::read(env.path(file)).unwrap()).to_string()
}

/// The arguments of three comparisons: of directories that contain a large file, of the file itself, and with
/// a manifest.
pub(crate) const COMPARISONS: [&[&str]; 3] = [
    &["-j4", "--check", "-T", "src", "dst"],
    &["-j4", "--check", "-T", "src/big", "dst/big"],
    &["-j4", "--check-manifest", "blake3", "dst"],
];

/// Returns a sandbox with a large file, its copy, and manifests of it.
pub(crate) fn copied() -> Sandbox {
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    env.pcopy(["-q", "--hash=sha256", "--manifest=sha256", "src", "dst"]).exits(0);
    env.pcopy(["-q", "--manifest=blake3", "-T", "src", "dst"]).exits(0);
    env
}
