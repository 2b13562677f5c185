//! A FUSE file system with the habits of file systems that are unlike a local Linux disk (tests/fuse).

use super::Sandbox;
use super::helpers::python;
use super::mounts::{Mounted, in_own_mounts_for};
use super::skip_for;
use std::process::Command;

/// Mounts a file system with these habits at `at`; what is in it is also in `under`. If this machine cannot do
/// that, skips `test` and returns `None`.
pub(crate) fn mount_with_habits(test: &str, env: &Sandbox, habits: &[&str]) -> Option<Mounted> {
    mount_at(test, env, "at", habits)
}

/// Like [`mount_with_habits`], but mounts the file system at `at`. So `under` can be mounted twice.
pub(crate) fn mount_at(test: &str, env: &Sandbox, at: &str, habits: &[&str]) -> Option<Mounted> {
    if !in_own_mounts_for(test) {
        return None;
    }
    env.tree("", ["dir under", &*format!("dir {at}")]);
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuse/habits.py");
    let mut command = Command::new(python());
    command.arg(program).args(["under", at]).args(habits).current_dir(env.path(""));
    let why = match command.output() {
        Ok(output) if output.status.success() => return Some(Mounted(env.path(at))),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    let last = why.lines().last().unwrap_or_default();
    let lacks =
        ["No module named", "Unable to find libfuse", "No such file", "fuse: ", "fusermount: "];
    assert!(lacks.iter().any(|text| last.contains(text)) || last.is_empty(), "habits.py: {why}");
    skip_for(test, &format!("needs python3 with fusepy, and FUSE: {last}"));
    None
}
