//! Trees as values: made on a disk, and read back from it.

use crate::common::things::{Time, chmod, node, set_times};
use crate::common::{is_root, listing};
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter, Write as _};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, lchown, symlink};
use std::path::{Path, PathBuf};

/// What stands at each path; a folder before what is in it.
pub(crate) type World = BTreeMap<PathBuf, Node>;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Node {
    pub(crate) what: What,
    pub(crate) mode: u32,
    /// User and group.
    pub(crate) owner: (u32, u32),
    /// When it was modified; `None` where the clock or a write beside it says.
    pub(crate) time: Option<Time>,
    /// Paths with the same number are names of one file; folders have one name each.
    pub(crate) file: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Dir,
    File(Bytes),
    Symlink(PathBuf),
    Fifo,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Debug for Bytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sum = self.0.iter().fold(0_u32, |sum, &byte| sum.rotate_left(5) ^ u32::from(byte));
        write!(f, "{} bytes, {sum:08x}", self.0.len())
    }
}

impl Node {
    pub(crate) fn is_dir(&self) -> bool {
        self.what == What::Dir
    }

    pub(crate) fn is_symlink(&self) -> bool {
        matches!(self.what, What::Symlink(_))
    }
}

/// Makes everything below `root`; whole blocks of zeros become holes.
pub(crate) fn plant(world: &World, root: &Path) {
    let mut names: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for (path, node_) in world {
        let at = root.join(path);
        if !node_.is_dir()
            && let Some(first) = names.insert(node_.file, at.clone())
        {
            fs::hard_link(first, at).unwrap();
            continue;
        }
        match &node_.what {
            What::Dir => fs::create_dir(&at).unwrap(),
            What::File(bytes) => write(&at, &bytes.0),
            What::Symlink(text) => symlink(text, &at).unwrap(),
            What::Fifo => node(&at, "fifo", 0, 0),
        }
        if is_root() {
            lchown(&at, Some(node_.owner.0), Some(node_.owner.1)).unwrap();
        }
    }
    for (path, node) in world.iter().rev() {
        let at = root.join(path);
        if !node.is_symlink() {
            chmod(&at, node.mode);
        }
        let time = node.time.unwrap();
        set_times(&at, time, time);
    }
}

fn write(at: &Path, bytes: &[u8]) {
    const BLOCK: usize = 4096;
    let file = fs::File::create(at).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        if block.iter().any(|&byte| byte != 0) {
            file.write_all_at(block, (number * BLOCK) as u64).unwrap();
        }
    }
}

/// Reads everything below `root`.
pub(crate) fn read(root: &Path) -> World {
    let mut world = World::new();
    for (path, entry) in listing(root).into_iter().skip(1) {
        let at = root.join(&path);
        let metadata = fs::symlink_metadata(&at).unwrap();
        let kind = metadata.file_type();
        let what = if kind.is_dir() {
            What::Dir
        } else if kind.is_symlink() {
            What::Symlink(fs::read_link(&at).unwrap())
        } else if kind.is_file() {
            What::File(Bytes(fs::read(&at).unwrap()))
        } else {
            What::Fifo
        };
        let owner = (metadata.uid(), metadata.gid());
        let (mode, time) = (entry.mode & 0o7777, Some(entry.modified));
        world.insert(path, Node { what, mode, owner, time, file: metadata.ino() });
    }
    world
}

/// What the disk has otherwise than expected, in words.
pub(crate) fn differences(expected: &World, found: &World) -> String {
    let mut text = String::new();
    for path in expected.keys().chain(found.keys().filter(|path| !expected.contains_key(*path))) {
        let (wanted, is) = (expected.get(path), found.get(path));
        if !wanted.zip(is).is_some_and(|(wanted, is)| is_as(wanted, is)) {
            writeln!(text, "{path:?}:\n  expected {wanted:?}\n  found    {is:?}").unwrap();
        }
    }
    let (wanted, is) = (first_names(expected), first_names(found));
    for (path, first) in wanted.iter().filter(|(path, first)| is.get(*path) != Some(*first)) {
        let found = is.get(path);
        writeln!(text, "{path:?}: the same file as {first:?}; found: as {found:?}").unwrap();
    }
    text
}

fn is_as(wanted: &Node, is: &Node) -> bool {
    let same_mode = wanted.mode == is.mode || is.is_symlink();
    let same_time = wanted.time.is_none() || wanted.time == is.time;
    wanted.what == is.what && same_mode && wanted.owner == is.owner && same_time
}

/// For each path that is no folder, the first path of the same file.
fn first_names(world: &World) -> BTreeMap<&Path, &Path> {
    let mut first = BTreeMap::new();
    let files = world.iter().filter(|(_, node)| !node.is_dir());
    files
        .map(|(path, node)| (path.as_path(), *first.entry(node.file).or_insert(path.as_path())))
        .collect()
}
