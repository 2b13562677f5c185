//! A file so large that several copiers work on it, and which processes made which system calls.

use super::Sandbox;
use std::collections::BTreeSet;
use std::fs;

/// More than sixteen chunks of 4 MiB, the last one partial.
pub(crate) const LARGE: &str = "file big 70001K";

/// The processes whose lines in strace's log contain `call`.
pub(crate) fn who_called(env: &Sandbox, call: &str) -> BTreeSet<String> {
    let log = fs::read_to_string(env.path("trace")).unwrap();
    let lines = log.lines().filter(|line| line.contains(call));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Part of a log line that reads or writes a whole buffer at an offset; the loader of a program reads less.
pub(crate) const READS: &str = ", 262144, ";

/// The BLAKE3 digest that a manifest has for its one file.
pub(crate) fn listed(env: &Sandbox, manifest: &str) -> String {
    let manifest = fs::read_to_string(env.path(manifest)).unwrap();
    assert_eq!(manifest.lines().count(), 1, "{manifest}");
    manifest.split(' ').next().unwrap().to_owned()
}

/// The BLAKE3 digest of a file, read from its first byte to its last.
pub(crate) fn digest(env: &Sandbox, file: &str) -> String {
    blake3::hash(&fs::read(env.path(file)).unwrap()).to_string()
}

/// Comparisons of a directory with a large file, of the file itself, and with a manifest.
pub(crate) const COMPARISONS: [&[&str]; 3] = [
    &["-j4", "--check", "-T", "src", "dst"],
    &["-j4", "--check", "-T", "src/big", "dst/big"],
    &["-j4", "--check-manifest", "blake3", "dst"],
];

/// A large file, its copy, and manifests of it.
pub(crate) fn copied() -> Sandbox {
    let env = Sandbox::new();
    env.tree("src", [LARGE]);
    env.pcopy(["-q", "--hash=sha256", "--manifest=sha256", "src", "dst"]).exits(0);
    env.pcopy(["-q", "--manifest=blake3", "-T", "src", "dst"]).exits(0);
    env
}
