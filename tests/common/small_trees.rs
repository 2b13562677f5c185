//! Small random trees for the tests that compare with cp.

use super::testtree::{Bytes, Node, Tree, What};
use super::{contents, is_root};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// An entry of a random tree. The trees use only a few paths, so that source and target have paths in common.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Thing {
    File {
        bytes: usize,
        mode: u32,
        time: i64,
    },
    Dir {
        mode: u32,
        time: i64,
    },
    Symlink {
        to: &'static str,
        time: i64,
    },
    Fifo {
        mode: u32,
        time: i64,
    },
    /// A hard link to an earlier file.
    HardLink {
        of: usize,
    },
}

pub(crate) type Things = BTreeMap<&'static str, Thing>;

const PATHS: [&str; 12] =
    ["a", "b", "b~", "c", "d", "d/a", "d/b", "d/e", "d/e/f", "g", "g/b", "g/b.~1~"];

const LEADS_TO: [&str; 8] = ["a", "b", "../a", "d", "../g", "nowhere", ".", "../d/e"];

/// Returns an entry of any type if `anything` is set, else a file or directory. Targets have only these two,
/// because cp writes through symlinks and into FIFOs.
fn thing(anything: bool) -> impl Strategy<Value = Thing> {
    // cp cannot write into a file without write permission; pcopy replaces it.
    let closed = if is_root() { 0o444 } else { 0o604 };
    let mode = select(vec![0o644_u32, 0o755, 0o600, 0o640, 0o711, closed]);
    let time = select(vec![100_i64, 200, 300]);
    (0..if anything { 10 } else { 5 }, 0..40_usize, mode, time, select(LEADS_TO.to_vec())).prop_map(
        |(kind, bytes, mode, time, to)| match kind {
            0 | 1 => Thing::Dir { mode: mode | 0o700, time },
            5 => Thing::Fifo { mode, time },
            6 | 7 => Thing::Symlink { to, time },
            8 | 9 => Thing::HardLink { of: bytes },
            _ => Thing::File { bytes, mode, time },
        },
    )
}

/// Returns some of the paths with an entry for each: of any type, or only files and directories.
pub(crate) fn things(anything: bool) -> impl Strategy<Value = Things> {
    let paths = subsequence(PATHS.to_vec(), 0..PATHS.len());
    (paths, prop::collection::vec(thing(anything), PATHS.len()))
        .prop_map(|(paths, things)| paths.into_iter().zip(things).collect())
}

/// Returns the tree below a new directory; `seed` chooses the contents. Leaves out entries that cannot exist:
/// a path below an entry that is not a directory, and a hard link before any file.
pub(crate) fn tree_of(things: &Things, seed: &[u8]) -> Tree {
    let mut tree = Tree::from([(PathBuf::new(), Node::new(What::Dir, 0o755, (50, 7)))]);
    let mut files: Vec<Node> = Vec::new();
    for (path, thing) in things {
        let path = PathBuf::from(path);
        if !tree.get(path.parent().unwrap()).is_some_and(Node::is_dir) {
            continue;
        }
        let node = match *thing {
            Thing::File { bytes, mode, time } => {
                let seed = [seed, path.as_os_str().as_bytes()].concat();
                let what = What::File(Bytes(contents(&seed, bytes)));
                let file = files.len() as u64 + 1;
                files.push(Node { file, ..Node::new(what, mode, (time, 7)) });
                files[files.len() - 1].clone()
            }
            Thing::HardLink { .. } if files.is_empty() => continue,
            Thing::HardLink { of } => files[of % files.len()].clone(),
            Thing::Dir { mode, time } => Node::new(What::Dir, mode, (time, 7)),
            Thing::Symlink { to, time } => Node::new(What::Symlink(to.into()), 0o777, (time, 7)),
            Thing::Fifo { mode, time } => Node::new(What::Fifo, mode, (time, 7)),
        };
        tree.insert(path, node);
    }
    tree
}
