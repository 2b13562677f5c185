//! What the user requires of the target and other directories before and after the run: `--require-mount`,
//! `--require-file`.

use crate::error::Refusal;
use crate::options::Options;
use crate::sanitize::quote;
use pcopy_sys::file::{self, Identity};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Directories at which something must be mounted until the run ends.
#[derive(Default)]
pub struct RequiredMounts(Vec<(PathBuf, Identity)>);

impl RequiredMounts {
    /// Refuses the run if nothing is mounted at a required directory, or if a required file is missing.
    pub(super) fn check(options: &Options) -> Result<Self, Refusal> {
        let target = options.operands.target().unwrap_or(Path::new("."));
        let mut mounts = Vec::new();
        for given in &options.require_mounts {
            let dir = if given.as_os_str().is_empty() { nearest(target) } else { given.clone() };
            let identity = mounted_at(&dir).ok_or_else(|| Refusal {
                message: format!("nothing is mounted at {} (--require-mount)", shown(&dir)),
                hint: None,
            })?;
            mounts.push((dir, identity));
        }
        for name in &options.require_files {
            let path = target.join(name);
            file::stat_path(&path, true).map_err(|errno| {
                let refusal = Refusal::cannot("find", &path, errno);
                Refusal { message: format!("{} (--require-file)", refusal.message), ..refusal }
            })?;
        }
        Ok(Self(mounts))
    }

    /// Returns the directories at which not the same is mounted any more.
    pub fn changed(&self) -> impl Iterator<Item = &Path> {
        let changed = self.0.iter().filter(|(dir, identity)| mounted_at(dir) != Some(*identity));
        changed.map(|(dir, _)| dir.as_path())
    }
}

/// Returns the nearest directory that exists.
fn nearest(path: &Path) -> PathBuf {
    let existing = path.ancestors().find(|above| above.is_dir());
    existing.filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// Returns the identity of a directory at which something is mounted.
fn mounted_at(dir: &Path) -> Option<Identity> {
    let opened = file::open_dir(dir).ok()?;
    let stat = file::stat_fd(&opened).ok()?;
    file::is_mount_point(opened.as_fd()).ok()?.then(|| stat.identity())
}

fn shown(path: &Path) -> String {
    quote(path.as_os_str().as_bytes())
}
