//! Makes a tree on the disk.

use super::random::Random;
use super::stop::Stop;
use super::trees::{Entry, Tree};
use crate::sys::file::{Stamp, set_times_at};
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// So many bytes are made and written at once.
const PIECE: usize = 1 << 20;

/// Makes `tree` in `root`, a folder that does not exist; asks before each entry, and before each
/// piece of a large one, whether to go on.
pub fn grow(tree: &Tree, root: &Path, go_on: &dyn Fn() -> Result<(), Stop>) -> Result<(), Stop> {
    let mut buffer = vec![0; PIECE];
    let mut folders = vec![root.to_owned()];
    fs::create_dir(root).map_err(|error| Stop::cannot("create", root, &error))?;
    tree.each(|path, entry| {
        go_on()?;
        let path = root.join(path);
        make(root, &path, &entry, &mut buffer, go_on)?;
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

/// Gives a symlink a time that follows from its name.
fn age_symlink(path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let stream = name.iter().fold(0_u64, |sum, &byte| sum.wrapping_mul(31) + u64::from(byte));
    let since = age(stream).duration_since(UNIX_EPOCH).unwrap_or_default();
    let time =
        Stamp { seconds: since.as_secs().cast_signed(), nanoseconds: since.subsec_nanos().into() };
    let dir = File::open(path.parent().unwrap_or(Path::new(".")))?;
    Ok(set_times_at(dir, &CString::new(name)?, time, time)?)
}

fn make(
    root: &Path,
    path: &Path,
    entry: &Entry,
    buffer: &mut [u8],
    go_on: &dyn Fn() -> Result<(), Stop>,
) -> Result<(), Stop> {
    let cannot = |error: io::Error| Stop::cannot("create", path, &error);
    match entry {
        Entry::Folder => fs::create_dir(path).map_err(cannot),
        &Entry::File { bytes, stream, program } => {
            let mode = if program { 0o777 } else { 0o666 };
            let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
            let length = |at| usize::try_from(bytes - at).unwrap_or(PIECE).min(PIECE);
            let pieces = (0..bytes).step_by(PIECE).map(|at| (at, length(at)));
            let file = opened.map_err(cannot)?;
            write(&file, stream, pieces, buffer, go_on, &cannot)
        }
        Entry::Image { bytes, stream, piece, at } => {
            let piece = usize::try_from(*piece).unwrap_or(PIECE).min(PIECE);
            let file = File::create_new(path).map_err(cannot)?;
            file.set_len(*bytes).map_err(cannot)?;
            write(&file, *stream, at.iter().map(|&at| (at, piece)), buffer, go_on, &cannot)
        }
        Entry::Symlink(text) => {
            symlink(text, path).and_then(|()| age_symlink(path)).map_err(cannot)
        }
        Entry::Link(first) => fs::hard_link(root.join(first), path).map_err(cannot),
    }
}

/// Writes the bytes of a stream to these places of a file, and gives that its time.
fn write(
    file: &File,
    stream: u64,
    pieces: impl Iterator<Item = (u64, usize)>,
    buffer: &mut [u8],
    go_on: &dyn Fn() -> Result<(), Stop>,
    cannot: &dyn Fn(io::Error) -> Stop,
) -> Result<(), Stop> {
    let mut random = Random::new(stream, 0);
    for (at, length) in pieces {
        go_on()?;
        random.fill(&mut buffer[..length]);
        file.write_all_at(&buffer[..length], at).map_err(cannot)?;
    }
    file.set_modified(age(stream)).map_err(cannot)
}
