//! Where file systems are mounted, from `/proc/self/mountinfo` (proc(5)).

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The places where file systems are mounted that this process can see, each with what is mounted there.
pub struct MountPoints(Vec<Mount>);

struct Mount {
    /// The number that the kernel gives to the mount, and to no other one at the same time.
    id: u64,
    at: PathBuf,
    source: PathBuf,
}

impl MountPoints {
    /// Reads the mount points; `None` without `/proc`.
    pub fn read() -> Option<Self> {
        let text = std::fs::read("/proc/self/mountinfo").ok()?;
        let lines = text.split(|&byte| byte == b'\n');
        let parse = |line: &[u8]| {
            let mut fields = line.split(|&byte| byte == b' ');
            let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
            let at = unescaped(fields.nth(3)?);
            // A number of optional fields, '-', the type of the file system, and its source.
            let source = fields.skip_while(|field| *field != b"-").nth(2)?;
            Some(Mount { id, at, source: unescaped(source) })
        };
        Some(Self(lines.filter_map(parse).collect()))
    }

    /// Whether something is mounted at this path, which contains no symlinks.
    pub fn has(&self, path: &Path) -> bool {
        self.source_of(path).is_some()
    }

    /// Returns what is mounted at this path: a device or, for a file system without one, any text. The newest mount counts.
    pub fn source_of(&self, path: &Path) -> Option<&Path> {
        let mut mounts = self.0.iter().rev();
        mounts.find(|mount| mount.at == path).map(|mount| mount.source.as_path())
    }

    /// Returns the mounts at this path, which contains no symlinks, and below it: the number and the place of each.
    pub fn at_or_below(&self, path: &Path) -> Vec<(u64, PathBuf)> {
        let mounts = self.0.iter().filter(|mount| mount.at.starts_with(path));
        mounts.map(|mount| (mount.id, mount.at.clone())).collect()
    }

    /// Whether the mount with this number is at this path.
    pub fn has_mount(&self, id: u64, path: &Path) -> bool {
        self.0.iter().any(|mount| mount.id == id && mount.at == path)
    }

    /// Whether anything is mounted below an open directory, which may be a mount point itself. True if its path
    /// cannot be found out.
    pub fn has_below(&self, dir: impl AsFd) -> bool {
        let path = std::fs::read_link(format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd()));
        let is_below =
            |path: &Path| self.0.iter().any(|mount| mount.at.starts_with(path) && mount.at != path);
        path.map_or(true, |path| is_below(&path))
    }
}

/// Returns a path of mountinfo or of fstab(5), in which `\040` and the like stand for single bytes.
pub fn unescaped(text: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| byte == b'\\');
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) => {
                path.push(escaped);
                rest = &after[3..];
            }
            None => {
                path.push(byte);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_path_is_read_as_it_is() {
        assert_eq!(unescaped(br"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescaped(br"/a\04"), Path::new(r"/a\04"));
    }

    #[test]
    fn something_is_mounted_at_the_root() {
        let Some(points) = MountPoints::read() else { return };
        assert!(points.has(Path::new("/")) && !points.has(Path::new("/nothing")));
        assert!(points.source_of(Path::new("/")).is_some_and(|source| source != Path::new("")));
        let below = points.at_or_below(Path::new("/"));
        assert!(below.iter().all(|(id, at)| points.has_mount(*id, at)) && !below.is_empty());
        assert!(!points.has_mount(u64::MAX, Path::new("/")));
    }

    #[test]
    fn the_root_has_mounts_below_and_a_directory_of_proc_has_none() {
        let Some(points) = MountPoints::read() else { return };
        let open = |path: &Path| std::fs::File::open(path).unwrap();
        assert!(points.has_below(open(Path::new("/"))));
        assert!(!points.has_below(open(Path::new("/proc/self/fd"))));
    }
}
