//! Mounts that are visible only to the test.

use super::{is_root, print_line, run_alone, skip_for, tool, wait_until};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs this test again in a mount namespace of its own; in that second run, returns true. In the first run
/// returns false, after the second run has ended, or at once if this machine cannot do that.
macro_rules! in_own_mounts {
    () => {
        $crate::common::mounts::in_own_mounts_for($crate::common::test_name::test_name!())
    };
}
pub(crate) use in_own_mounts;

/// Like [`in_own_mounts`], for a helper function, which gets the name of its test as an argument.
pub(crate) fn in_own_mounts_for(name: &str) -> bool {
    if std::env::var_os("PCOPY_TEST_IN_OWN_MOUNTS").is_some() {
        return true;
    }
    if !is_root() || !tool("unshare") {
        skip_for(name, "needs root and unshare, to mount file systems");
        return false;
    }
    run_alone();
    let inner = Command::new("unshare")
        .args(["-m", "--propagation", "private", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads", "1"])
        .env("PCOPY_TEST_IN_OWN_MOUNTS", "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&inner.stderr);
    if !inner.status.success() {
        panic!("{}\n{stderr}", String::from_utf8_lossy(&inner.stdout));
    }
    let is_for_user = |line: &&str| line.starts_with("skipped: ") || line.starts_with("test ");
    stderr.lines().filter(is_for_user).for_each(print_line);
    false
}

/// A mounted file system. Dropping the value unmounts it, and must happen before the sandbox that contains it
/// is dropped.
pub(crate) struct Mounted(pub(crate) PathBuf);

impl Mounted {
    /// Unmounts the file system as soon as no process uses it. (A process that another test forks has copies
    /// of this process's descriptors for a moment. A lazy unmount is not used, because the kernel would still
    /// write to the disk after it.)
    pub(crate) fn detach(self) {
        wait_until("the disk is free", || {
            Command::new("umount").arg(&self.0).output().unwrap().status.success()
        });
        std::mem::forget(self);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(std::thread::panicking() || done.is_ok_and(|status| status.success()));
    }
}

/// Runs `mount` with these arguments and the place. Returns `None` if this machine cannot do that.
pub(crate) fn mount(words: &[impl AsRef<OsStr>], place: &Path) -> Option<Mounted> {
    let output = Command::new("mount").args(words).arg(place).output();
    let done = output.is_ok_and(|output| output.status.success());
    done.then(|| Mounted(place.to_owned()))
}
