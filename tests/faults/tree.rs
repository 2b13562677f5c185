//! A tree as it stands on the disk, contents and all, to be compared with what it was.

use crate::common::things::Time;
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What stands at each path below a folder, which is itself the entry of the empty path.
pub(crate) type Tree = BTreeMap<PathBuf, Node>;

/// An entry, with all that a copy may keep of it and all that reading it must leave alone.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Node {
    pub(crate) what: What,
    pub(crate) mode: u32,
    /// User and group.
    pub(crate) owner: (u32, u32),
    pub(crate) modified: Time,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The inode, and when it was changed in any way but by being read.
    pub(crate) inode: (u64, Time),
}

#[derive(Clone, PartialEq)]
pub(crate) enum What {
    Dir,
    File(Vec<u8>),
    Symlink(PathBuf),
    Other,
}

impl Debug for What {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir => write!(out, "a folder"),
            Self::File(bytes) => {
                let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(16)]).into_owned();
                write!(out, "{} bytes: {begin:?}", bytes.len())
            }
            Self::Symlink(text) => write!(out, "a symlink to {text:?}"),
            Self::Other => write!(out, "a FIFO or the like"),
        }
    }
}

impl Node {
    pub(crate) fn is_dir(&self) -> bool {
        self.what == What::Dir
    }
}

/// Reads everything below `root`; nothing if there is none.
pub(crate) fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        let at = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(&path) };
        let Ok(metadata) = fs::symlink_metadata(&at) else { continue };
        let kind = metadata.file_type();
        let what = if kind.is_dir() {
            let entries = fs::read_dir(&at).unwrap();
            waiting.extend(entries.map(|entry| path.join(entry.unwrap().file_name())));
            What::Dir
        } else if kind.is_symlink() {
            What::Symlink(fs::read_link(&at).unwrap())
        } else if kind.is_file() {
            What::File(fs::read(&at).unwrap())
        } else {
            assert!(kind.is_fifo() || kind.is_socket(), "{at:?}");
            What::Other
        };
        let node = Node {
            what,
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            xattrs: xattrs(&at),
            inode: (metadata.ino(), (metadata.ctime(), metadata.ctime_nsec())),
        };
        tree.insert(path, node);
    }
    tree
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let names = xattr::list(path).into_iter().flatten();
    let user = names.filter(|name| name.as_encoded_bytes().starts_with(b"user."));
    user.filter_map(|name| {
        let value = xattr::get(path, &name).ok()??;
        Some((name.into_encoded_bytes(), value))
    })
    .collect()
}
