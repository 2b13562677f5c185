//! Makes a tree on the disk.

use super::random::Random;
use super::stop::{Stop, Watch};
use super::trees::{Entry, Tree};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::Path;

/// So many bytes are made and written at once.
const PIECE: usize = 1 << 20;

/// Makes `tree` in `root`, a folder that does not exist.
pub fn grow(tree: &Tree, root: &Path, watch: &Watch) -> Result<(), Stop> {
    let mut buffer = vec![0; PIECE];
    fs::create_dir(root).map_err(|error| Stop::cannot("create", root, &error))?;
    tree.each(|path, entry| {
        watch.look()?;
        let path = root.join(path);
        make(root, &path, &entry, &mut buffer)
            .map_err(|error| Stop::cannot("create", &path, &error))
    })
}

fn make(root: &Path, path: &Path, entry: &Entry, buffer: &mut [u8]) -> io::Result<()> {
    match entry {
        Entry::Folder => fs::create_dir(path),
        &Entry::File { bytes, stream, program } => {
            let mode = if program { 0o777 } else { 0o666 };
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
            let mut random = Random::new(stream, 0);
            let mut left = bytes;
            while left > 0 {
                let piece = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                random.fill(&mut buffer[..piece]);
                file.write_all(&buffer[..piece])?;
                left -= piece as u64;
            }
            Ok(())
        }
        Entry::Image { bytes, stream, piece, at } => {
            let file = File::create_new(path)?;
            let mut random = Random::new(*stream, 0);
            let piece = &mut buffer[..usize::try_from(*piece).unwrap_or(PIECE).min(PIECE)];
            file.set_len(*bytes)?;
            for &at in at {
                random.fill(piece);
                file.write_all_at(piece, at)?;
            }
            Ok(())
        }
        Entry::Symlink(text) => symlink(text, path),
        Entry::Link(first) => fs::hard_link(root.join(first), path),
    }
}
