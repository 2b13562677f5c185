//! Runs that may fork no process.

use crate::common::plain_user::{copy_settings, plain_program};
use crate::common::{PCOPY, Sandbox, is_root};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Returns a command that runs `pcopy` as an ordinary user who may have no further process. (Root may fork beyond its
/// limit.) If `name` is given, the program runs under that name.
pub(crate) fn alone(env: &Sandbox, name: Option<&str>, arguments: &[&str]) -> Command {
    env.give_to_plain_user();
    let program = if is_root() { plain_program().as_os_str() } else { PCOPY.as_ref() };
    let mut command = Command::new("prlimit");
    command.arg("--nproc=1:1");
    match name {
        Some(name) => {
            let named = env.path(name);
            std::os::unix::fs::symlink(program, &named).unwrap();
            command.arg(named);
        }
        None => {
            command.arg(program);
        }
    }
    copy_settings(&env.command(arguments), &mut command);
    if is_root() {
        command.uid(65534).gid(65534);
    }
    command
}
