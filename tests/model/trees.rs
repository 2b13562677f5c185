//! Random trees for the model.

use crate::common::testtree::{Bytes, Node, Tree, What};

use crate::common::{contents, is_root};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The paths of all trees. They are few, so that source and target have paths in common. `LONG` is a name of
/// 255 bytes.
const PATHS: [&[u8]; 14] = [
    b"a",
    b"b",
    b"c",
    b"d",
    b"d/a",
    b"d/-j",
    b"d/e",
    b"d/e/f",
    b"d/LONG",
    b"g",
    b"g/a\n\x1b[31m",
    b"g/b",
    b"LONG",
    b"\xff\xfe",
];

/// Names that backups have, or may get. The source has none of them: if two entries got one name, the result
/// would depend on their order.
const BACKUPS: [&[u8]; 8] =
    [b"a~", b"a.~1~", b"a.~9~", b"b.old", b"d/a~", b"d/a.~2~", b"d/e/f~", b"g/b.~x~"];

const LEADS_TO: [&str; 9] = ["a", "b", "../a", "d", "../g", "nowhere", ".", "../d/e", "../two/a"];

/// Entries at some of the paths.
pub(crate) type Things = Vec<(PathBuf, Thing)>;

#[derive(Clone, Debug)]
pub(crate) enum Thing {
    Node(Node),
    /// A hard link to an earlier file of the same tree.
    HardLink(Index),
    /// Only in a target: a copy of the source's entry, with a time this many seconds later, and perhaps
    /// another mode.
    Like(i64, Option<u32>),
    /// Only in a target: a hard link to the source's entry.
    Itself,
}

impl Thing {
    /// Gives the entry a time that no entry of the source has.
    pub(crate) fn be_of_another_time(&mut self) {
        if let Self::Node(node) = self {
            node.time = node.time.map(|(seconds, more)| (seconds, more + 1));
        }
    }

    /// If the entry is an exact copy of the source's entry, makes it a hard link to that.
    pub(crate) fn be_the_source_itself(&mut self) {
        if let Self::Like(0, None) = self {
            *self = Self::Itself;
        }
    }
}

/// The owner of most entries: root. It is used only if the tests may change owners.
const ME: (u32, u32) = (0, 0);

pub(crate) fn source() -> impl Strategy<Value = Things> {
    let owners = if is_root() { vec![ME, ME, (5, 0), (0, 7), (5, 7)] } else { vec![ME] };
    let set_ids = if is_root() { 0o6755 } else { 0o755 };
    let thing = prop_oneof![
        7 => node(owners, set_ids).prop_map(Thing::Node),
        1 => any::<Index>().prop_map(Thing::HardLink),
    ];
    things(PATHS.to_vec(), thing)
}

pub(crate) fn target() -> impl Strategy<Value = Things> {
    let like = (select(vec![-100, 0, 0, 0, 100]), weighted(0.3, Just(0o604)));
    let thing = prop_oneof![
        4 => node(vec![ME], 0o711).prop_map(Thing::Node),
        1 => any::<Index>().prop_map(Thing::HardLink),
        4 => like.prop_map(|(later, mode)| Thing::Like(later, mode)),
    ];
    things([&PATHS[..], &BACKUPS].concat(), thing)
}

fn things(
    paths: Vec<&'static [u8]>,
    thing: impl Strategy<Value = Thing>,
) -> impl Strategy<Value = Things> {
    let count = paths.len();
    let mut paths: Vec<PathBuf> = paths.into_iter().map(path).collect();
    paths.sort_unstable(); // a directory before its entries
    (subsequence(paths, 0..count), vec(thing, count))
        .prop_map(|(paths, things)| paths.into_iter().zip(things).collect())
}

fn path(bytes: &[u8]) -> PathBuf {
    let long = [b'n'; 255];
    let steps = bytes.split(|&byte| byte == b'/');
    steps.map(|step| OsStr::from_bytes(if step == b"LONG" { &long } else { step })).collect()
}

fn node(owners: Vec<(u32, u32)>, set_ids: u32) -> impl Strategy<Value = Node> {
    let mode = |modes: Vec<u32>, needed: u32| {
        // An ordinary user keeps the permissions that the copy needs.
        let needed = if is_root() { 0 } else { needed };
        select(modes).prop_map(move |mode| mode | needed)
    };
    let file = mode(vec![0o644, 0o600, 0o755, 0o440, 0o666, set_ids], 0o400);
    let dir = mode(vec![0o755, 0o700, 0o711, 0o777, 0o1777, 0o550, 0o2775, 0o2755], 0o700);
    let what = prop_oneof![
        5 => (bytes().prop_map(What::File), file),
        4 => (Just(What::Dir), dir),
        2 => (select(LEADS_TO.to_vec()).prop_map(|to| What::Symlink(to.into())), Just(0o777)),
        1 => (Just(What::Fifo), mode(vec![0o644, 0o600, 0o622], 0)),
    ];
    let seconds = select(vec![100, 200, 300]);
    (what, select(owners), seconds, select(vec![0, 7])).prop_map(
        |((what, mode), owner, seconds, nanoseconds)| {
            let time = (seconds, nanoseconds);
            Node { owner, ..Node::new(what, mode, time) }
        },
    )
}

fn bytes() -> impl Strategy<Value = Bytes> {
    let size = select(vec![0, 5, 5, 6, 6, 5000, 300_000]);
    (size, any::<bool>(), any::<bool>()).prop_map(|(size, seed, holes)| {
        let mut bytes = contents(&[u8::from(seed)], size);
        if holes && size > 10_000 {
            bytes[size / 4..size / 2].fill(0);
        }
        Bytes(bytes)
    })
}

/// Adds entries below `root`, with copies of entries below `source`.
///
/// Leaves out entries that cannot exist: entries below an entry that is not a directory, hard links without a
/// file, and, unless `may_link` is set, all hard links.
pub(crate) fn add(
    tree: &mut Tree,
    root: &Path,
    things: &Things,
    source: Option<&Path>,
    may_link: bool,
) {
    let me = tree[root].owner;
    let mut files: Vec<Node> = Vec::new();
    for (path, thing) in things {
        let at = root.join(path);
        if !at.parent().and_then(|parent| tree.get(parent)).is_some_and(Node::is_dir) {
            continue;
        }
        let file = tree.len() as u64 + 1;
        let node = match thing {
            Thing::Node(node) if is_root() => Node { file, ..node.clone() },
            Thing::Node(node) => Node { file, owner: me, ..node.clone() },
            Thing::HardLink(_) if files.is_empty() || !may_link => continue,
            Thing::HardLink(index) => index.get(&files).clone(),
            Thing::Like(..) | Thing::Itself => {
                let Some(theirs) = source.and_then(|root| tree.get(&root.join(path))) else {
                    continue;
                };
                match thing {
                    Thing::Like(later, mode) if !theirs.is_dir() => {
                        let time = theirs.time.map(|(seconds, more)| (seconds + later, more));
                        let mode = mode.unwrap_or(theirs.mode & 0o1777);
                        Node { time, mode, owner: me, file, ..theirs.clone() }
                    }
                    // Entries may inherit the group of a directory. The model knows one group for new ones.
                    _ if theirs.is_dir() => Node { owner: me, ..theirs.clone() },
                    _ => theirs.clone(),
                }
            }
        };
        if !node.is_dir() {
            files.push(node.clone());
        }
        tree.insert(at, node);
    }
}
