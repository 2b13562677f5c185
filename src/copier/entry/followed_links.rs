//! Targets that follow a symlink when its owner or times are to be set.
//!
//! The protocol of sshfs has no such operation for a symlink itself. So the server changes the file to which the
//! symlink leads, and that may be any file of the server. On such a target, symlinks get no attributes.

use super::result::AttributeErrors;
use crate::copier::context::Context;
use crate::copier::dir_pair::DirPair;
use crate::ipc::memory::fs_caps::Capability;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stamp, Stat};
use pcopy_sys::statfs;
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

/// The text of a symlink that leads nowhere.
const NOWHERE: &CStr = c".pcopy-nowhere/none";

impl Context<'_> {
    /// Whether setting the owner or times of a symlink in a directory of the target would change the file to which
    /// the symlink leads.
    ///
    /// On each device where that may be so, a copier finds it out with a symlink of its own that leads nowhere.
    pub(super) fn follows_symlinks(&self, dirs: &DirPair, kind: Kind) -> bool {
        let device = dirs.traits.device;
        if kind != Kind::Symlink || self.lacks(device, Capability::UntriedSymlinks) {
            return false;
        }
        if self.lacks(device, Capability::SymlinkAttributes) {
            return true;
        }
        match statfs::may_be_shared(&dirs.target).then(|| follows(dirs)) {
            Some(None) => false, // no symlink can be created
            Some(Some(true)) => {
                self.note_lack(device, Capability::SymlinkAttributes);
                self.note_refused_times(device, kind);
                true
            }
            Some(Some(false)) | None => {
                self.note_lack(device, Capability::UntriedSymlinks);
                false
            }
        }
    }

    /// Returns the attributes that the symlink `name` lacks, if none may be set.
    pub(super) fn lost_of_symlink(
        &self,
        dirs: &DirPair,
        name: &CStr,
        source: &Stat,
    ) -> AttributeErrors {
        let mut lost = AttributeErrors::default();
        if let Ok(made) = file::stat_at(&dirs.target, name) {
            self.attrs.note_lost_of_symlink(source, &made, &mut lost);
        }
        lost
    }
}

/// Creates a symlink that leads nowhere, and sets its times. Returns whether that fails because nothing is there;
/// `None` if the symlink cannot be created.
fn follows(dirs: &DirPair) -> Option<bool> {
    let target = dirs.target.as_fd();
    let name = CString::new(format!(".pcopy-link-{}", std::process::id())).ok()?;
    file::make_symlink(NOWHERE, target, &name).ok()?;
    let time = Stamp { seconds: 1_000_000_000, nanoseconds: 0 };
    let set = file::set_times_at(target, &name, time, time);
    if file::unlink(target, &name).is_err() {
        // The next run that builds this directory removes the symlink.
    }
    Some(set == Err(Errno::ENOENT))
}
