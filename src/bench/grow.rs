//! Makes a tree on the disk.

use super::random::Random;
use super::stop::Stop;
use super::trees::{Entry, Tree};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// So many bytes are made and written at once.
const PIECE: usize = 1 << 20;

/// Makes `tree` in `root`, a folder that does not exist; asks before each entry whether to go on.
pub fn grow(tree: &Tree, root: &Path, go_on: &dyn Fn() -> Result<(), Stop>) -> Result<(), Stop> {
    let mut buffer = vec![0; PIECE];
    let mut folders = vec![root.to_owned()];
    fs::create_dir(root).map_err(|error| Stop::cannot("create", root, &error))?;
    tree.each(|path, entry| {
        go_on()?;
        let path = root.join(path);
        make(root, &path, &entry, &mut buffer)
            .map_err(|error| Stop::cannot("create", &path, &error))?;
        if entry == Entry::Folder {
            folders.push(path);
        }
        Ok::<(), Stop>(())
    })?;
    // Their times change as long as something is made in them.
    for (number, folder) in folders.iter().enumerate() {
        let aged = File::open(folder).and_then(|folder| folder.set_modified(age(number as u64)));
        aged.map_err(|error| Stop::cannot("set the time of", folder, &error))?;
    }
    Ok(())
}

/// A time in the past, to the nanosecond: who keeps none, or only seconds of them, is found out.
fn age(stream: u64) -> SystemTime {
    const FIRST: u64 = 1_577_836_800; // the year 2020
    const YEAR: u64 = 365 * 86_400;
    let mut random = Random::new(stream, 1);
    let seconds = FIRST + random.below(YEAR);
    UNIX_EPOCH + Duration::new(seconds, random.below(1_000_000_000) as u32)
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
            file.set_modified(age(stream))
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
            file.set_modified(age(*stream))
        }
        Entry::Symlink(text) => symlink(text, path),
        Entry::Link(first) => fs::hard_link(root.join(first), path),
    }
}
