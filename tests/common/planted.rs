//! Small trees as values, for the tests that grow them at random.

use super::contents;
use super::things::{chmod, node, set_times};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What stands at a path: few paths, so that the trees meet.
#[derive(Clone, Copy, Debug)]
pub enum Thing {
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

pub type Things = BTreeMap<&'static str, Thing>;

/// Plants what can be: a path below something that is no folder is left out.
pub fn plant(root: &Path, things: &Things, seed: &[u8]) {
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
