//! Small trees as values, for the tests that grow them at random.

use super::things::{chmod, node, set_times};
use super::{contents, is_root};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What stands at a path: few paths, so that the trees meet.
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
    /// Another name of an earlier file.
    HardLink {
        of: usize,
    },
}

pub(crate) type Things = BTreeMap<&'static str, Thing>;

const PATHS: [&str; 12] =
    ["a", "b", "b~", "c", "d", "d/a", "d/b", "d/e", "d/e/f", "g", "g/b", "g/b.~1~"];

const LEADS_TO: [&str; 8] = ["a", "b", "../a", "d", "../g", "nowhere", ".", "../d/e"];

/// In a target there are only files and folders: cp writes through symlinks and into FIFOs.
fn thing(anything: bool) -> impl Strategy<Value = Thing> {
    // cp cannot write into what may not be written; here it is replaced.
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

/// Some of these paths with anything, or only with files and folders.
pub(crate) fn things(anything: bool) -> impl Strategy<Value = Things> {
    let paths = subsequence(PATHS.to_vec(), 0..PATHS.len());
    (paths, prop::collection::vec(thing(anything), PATHS.len()))
        .prop_map(|(paths, things)| paths.into_iter().zip(things).collect())
}

/// Plants what can be: a path below something that is no folder is left out.
pub(crate) fn plant(root: &Path, things: &Things, seed: &[u8]) {
    fs::create_dir(root).unwrap();
    let mut times = vec![(root.to_owned(), 50)];
    let mut files: Vec<PathBuf> = Vec::new();
    for (path, thing) in things {
        let at = root.join(path);
        let parent = at.parent().unwrap();
        if parent.is_symlink() || !parent.is_dir() {
            continue;
        }
        let time = match *thing {
            Thing::File { bytes, mode, time } => {
                fs::write(&at, contents(&[seed, path.as_bytes()].concat(), bytes)).unwrap();
                chmod(&at, mode);
                files.push(at.clone());
                time
            }
            Thing::HardLink { of } => {
                if let Some(file) = files.get(of % files.len().max(1)) {
                    fs::hard_link(file, &at).unwrap();
                }
                continue;
            }
            Thing::Dir { mode, time } => {
                fs::create_dir(&at).unwrap();
                chmod(&at, mode);
                time
            }
            Thing::Symlink { to, time } => {
                std::os::unix::fs::symlink(to, &at).unwrap();
                time
            }
            Thing::Fifo { mode, time } => {
                node(&at, "fifo", 0, 0);
                chmod(&at, mode);
                time
            }
        };
        times.push((at, time));
    }
    for (path, time) in times.into_iter().rev() {
        set_times(&path, (time, 7), (time, 7));
    }
}
