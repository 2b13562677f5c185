//! A named target that is written into although `pcopy` replaces existing files: a FIFO, a device, or what
//! `/dev/stdout` leads to. To replace such a target is never what the user wants.
//!
//! Only the target that the command line names is such a stream. Entries below a directory are replaced.

use super::operands::{FoundSource, SplitPath};
use crate::error::Refusal;
use crate::options::{CopyMode, CopyOptions, When};
use crate::sanitize::quote;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use pcopy_sys::{statfs, stdio};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How many symbolic links of a path are followed; the kernel follows as many.
const SYMLINKS_MAX: u32 = 40;

/// A target that only receives the contents of its source.
pub struct StreamTarget {
    /// The status of what is written into.
    pub stat: Stat,
    /// The descriptor to write to, if the target is a descriptor that pcopy has inherited. Its file offset
    /// stays as it is. Otherwise the target is opened by its name.
    pub descriptor: Option<OwnedFd>,
}

impl StreamTarget {
    /// Returns the stream that `place` names; `None` if a copy replaces or creates what it names. Refuses a
    /// device, unless `--write-devices` is given, and options that a stream cannot fulfil.
    ///
    /// `exists` is the status of `place` itself. Must be called before planning opens a directory: its
    /// descriptor could be the one that `place` names.
    pub(super) fn find(
        place: &SplitPath<'_>,
        exists: Result<Stat, Errno>,
        options: &CopyOptions,
    ) -> Result<Option<Self>, Refusal> {
        if options.remove_destination {
            return Ok(None); // the user wants another file in its place
        }
        let cannot = |errno| Refusal::cannot("write into", place.given, errno);
        let stream = match leads_to(place, exists) {
            LeadsTo::Descriptor(number) => {
                let descriptor = stdio::inherited(number).map_err(cannot)?;
                let stat = file::stat_fd(&descriptor).map_err(cannot)?;
                if stat.kind() == Kind::Directory {
                    return Err(cannot(Errno::EISDIR));
                }
                Self { stat, descriptor: Some(descriptor) }
            }
            LeadsTo::Stream(stat) => Self { stat, descriptor: None },
            LeadsTo::Other => return Ok(None),
        };
        stream.check_device(place, options)?;
        stream.check_options(place, options)?;
        Ok(Some(stream))
    }

    fn check_device(&self, place: &SplitPath<'_>, options: &CopyOptions) -> Result<(), Refusal> {
        if self.descriptor.is_some() || self.stat.kind() == Kind::File {
            return Ok(());
        }
        if self.stat.is_socket() {
            let refusal = Refusal::cannot("write into", place.given, Errno::ENXIO);
            return Err(refusal.hint("it is a socket; --remove-destination replaces it"));
        }
        if self.stat.is_device() && !self.stat.is_null_device() && !options.write_devices {
            return Err(Refusal {
                message: format!("{} is a device", shown(place)),
                hint: Some("--write-devices writes into a device, --remove-destination replaces its device file".into()),
            });
        }
        Ok(())
    }

    fn check_options(&self, place: &SplitPath<'_>, options: &CopyOptions) -> Result<(), Refusal> {
        let is_flushable = self.stat.kind() == Kind::File || self.stat.is_block_device();
        let option = match () {
            () if options.copy_mode == CopyMode::HardLink => "--link",
            () if options.copy_mode == CopyMode::Symlink => "--symbolic-link",
            () if options.copy_mode == CopyMode::AttributesOnly => "--attributes-only",
            () if options.backup.is_some() => "--backup",
            () if options.verify => "--verify",
            () if options.hash.is_some() => "--manifest",
            () if options.reflink == When::Always => "--reflink=always",
            () if options.fsync && !is_flushable => "--fsync",
            () => return Ok(()),
        };
        Err(Refusal {
            message: format!("{option} is not possible with {}", shown(place)),
            hint: Some("a FIFO, device or open file only receives the contents of SRC".into()),
        })
    }

    /// Refuses a source without contents, and a source that is the stream itself.
    pub(super) fn check_source(
        &self,
        source: &FoundSource<'_>,
        place: &SplitPath<'_>,
        options: &CopyOptions,
    ) -> Result<(), Refusal> {
        let stat = &source.stat;
        let hint = match stat.kind() {
            Kind::File => None,
            Kind::Special if options.copy_contents => None,
            Kind::Special => Some("--copy-contents reads a FIFO or device like a file"),
            Kind::Symlink => Some("-L copies the file that a symbolic link leads to"),
            _ => Some("only the contents of a file can be written into it"),
        };
        let from = quote(source.path.as_os_str().as_bytes());
        if hint.is_some() {
            let message = format!("cannot write {from} into {}: not a file", shown(place));
            return Err(Refusal { message, hint: hint.map(Into::into) });
        }
        // Writing would never end, because each write makes the source longer. Devices do not grow.
        if stat.identity() == self.stat.identity() && !self.stat.is_device() {
            let to = shown(place);
            let message = format!("{from} and {to} are the same file");
            return Err(Refusal { message, hint: Some("choose another target".into()) });
        }
        Ok(())
    }
}

/// What a named target leads to.
enum LeadsTo {
    /// The descriptor of this process with this number.
    Descriptor(u32),
    /// Something with this status that can only be written into.
    Stream(Stat),
    /// A directory, a name that does not exist, or a file that a copy replaces.
    Other,
}

/// Finds out what `place` leads to; `exists` is its own status.
fn leads_to(place: &SplitPath<'_>, exists: Result<Stat, Errno>) -> LeadsTo {
    if place.is_itself() {
        return LeadsTo::Other;
    }
    let mut path = place.given.to_owned();
    let mut found = exists;
    for _ in 0..SYMLINKS_MAX {
        if let Some(number) = own_descriptor(&path) {
            return LeadsTo::Descriptor(number);
        }
        match found {
            Ok(stat) if stat.kind() == Kind::Special => return LeadsTo::Stream(stat),
            Ok(stat) if stat.kind() == Kind::Symlink => {}
            _ => return LeadsTo::Other,
        }
        let parent = parent_of(&path);
        if statfs::is_proc(parent) {
            // A descriptor of another process (`/proc/PID/fd/N`): the link leads to a file that may have no
            // name, and nothing can be created in its place.
            return match file::stat_path(&path, true) {
                Ok(end) if end.kind() != Kind::Directory => LeadsTo::Stream(end),
                _ => LeadsTo::Other,
            };
        }
        let Ok(text) = path.read_link() else { break };
        path = parent.join(text);
        found = file::stat_path(&path, false);
    }
    LeadsTo::Other
}

/// Returns the number of the descriptor of this process that `path` denotes: `/proc/self/fd/N`, or N in a
/// directory that is the same. Without `/proc` the path alone decides.
fn own_descriptor(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    let number = name.parse::<u32>().ok().filter(|number| number.to_string() == name)?;
    let (parent, own) = (parent_of(path), Path::new("/proc/self/fd"));
    let identity = |dir| file::stat_path(dir, true).map(|stat| stat.identity());
    let is_own = parent == own || identity(parent).is_ok_and(|dir| identity(own) == Ok(dir));
    is_own.then_some(number)
}

/// Returns the directory that contains the last component of `path`.
fn parent_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn shown(place: &SplitPath<'_>) -> String {
    quote(place.given.as_os_str().as_bytes())
}
