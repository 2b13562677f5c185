//! SELinux: whether it is active, and which context new files get.

use std::io;
use std::path::Path;

/// Whether SELinux is active, in enforcing or in permissive mode.
pub fn is_enabled() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// Sets the context of all files that this process and its later children will create.
pub fn set_for_new_files(context: &[u8]) -> io::Result<()> {
    std::fs::write("/proc/thread-self/attr/fscreate", context)
}
