//! Runs of pcopy as an ordinary user, without privileges.

use super::entries::chmod;
use super::{PCOPY, Run, Sandbox, copy_program, is_root, with_summary, without_progress_lines};
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

impl Sandbox {
    /// Makes an ordinary user the owner of the whole sandbox, and runs `pcopy` as that user.
    ///
    /// If root runs the tests, the ordinary user is `nobody`; else it is the user who runs the tests. A test
    /// that needs entries of another user changes their owner after [`Sandbox::give_to_plain_user`], and then
    /// calls [`Sandbox::plain_pcopy_as_is`].
    pub(crate) fn plain_pcopy<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Run<'_> {
        self.give_to_plain_user();
        self.plain_pcopy_as_is(arguments)
    }

    /// Runs `pcopy` as the ordinary user, without changing owners first.
    pub(crate) fn plain_pcopy_as_is<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Run<'_> {
        let mut run = self.run(as_plain_user(self.command(with_summary(arguments))));
        run.stderr = without_progress_lines(&run.stderr);
        run
    }

    /// Makes the ordinary user the owner of the whole sandbox.
    pub(crate) fn give_to_plain_user(&self) {
        if is_root() {
            let chown =
                Command::new("chown").args(["-hR", "65534:65534"]).arg(self.path("")).status();
            assert!(chown.unwrap().success());
            // chown clears the set-id bits: a test that needs them sets them afterwards
        }
    }
}

/// Returns a command that runs as the ordinary user.
pub(crate) fn as_plain_user(command: Command) -> Command {
    if !is_root() {
        return command;
    }
    // The ordinary user may not be able to reach the program where it was built.
    let mut plain = Command::new(plain_program());
    plain.uid(65534).gid(65534); // std drops the supplementary groups along with root
    copy_settings(&command, &mut plain);
    plain.stdin(Stdio::null());
    plain
}

/// Copies the arguments, the directory and the environment of a command to another command.
pub(crate) fn copy_settings(from: &Command, to: &mut Command) {
    to.args(from.get_args()).stdin(Stdio::null());
    if let Some(dir) = from.get_current_dir() {
        to.current_dir(dir);
    }
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
}

/// Returns the path of a copy of the program that every user may execute. Each test process makes its own copy, which
/// is removed when the process has ended, however it ends.
pub(crate) fn plain_program() -> &'static Path {
    static PROGRAM: OnceLock<(PathBuf, Child)> = OnceLock::new();
    let (path, _) = PROGRAM.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("pcopy-for-all-{}", std::process::id()));
        copy_program(Path::new(PCOPY), &path);
        chmod(&path, 0o755);
        // Its input ends with this process.
        let mut remover = Command::new("sh");
        remover.args(["-c", "cat; rm -f \"$0\""]).arg(&path).stdin(Stdio::piped());
        let remover = remover.stdout(Stdio::null()).process_group(0).spawn().unwrap();
        (path, remover)
    });
    path
}
