//! Creates a tree on disk, as described in `trees`.

use super::abort::Abort;
use super::random::Random;
use super::trees::{TreeEntry, TreeSpec};
use pcopy_sys::file::{Stamp, set_times_at};
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The largest number of bytes that one call writes to a file.
const CHUNK_BYTES: usize = 1 << 20;

/// Creates `tree` in `root`, a directory that does not exist yet.
///
/// Calls `check` before each entry and before each chunk of a large file. If `check` returns an error, the
/// work ends with that error.
pub fn generate(
    tree: &TreeSpec,
    root: &Path,
    check: &dyn Fn() -> Result<(), Abort>,
) -> Result<(), Abort> {
    let mut directories = vec![root.to_owned()];
    fs::create_dir(root).map_err(|error| Abort::cannot("create", root, &error))?;
    let mut generator = Generator { root, check, buffer: vec![0; CHUNK_BYTES] };
    tree.for_each_entry(|path, entry| {
        check()?;
        let path = root.join(path);
        generator.create(&path, &entry)?;
        if entry == TreeEntry::Directory {
            directories.push(path);
        }
        Ok::<(), Abort>(())
    })?;
    // The times of directories are set last, because each new entry changes the modification time of its
    // directory.
    for (number, directory) in directories.iter().enumerate() {
        let time = past_time(number as u64);
        let set = File::open(directory).and_then(|directory| directory.set_modified(time));
        set.map_err(|error| Abort::cannot("set the modification time of", directory, &error))?;
    }
    Ok(())
}

struct Generator<'a> {
    root: &'a Path,
    check: &'a dyn Fn() -> Result<(), Abort>,
    buffer: Vec<u8>,
}

impl Generator<'_> {
    fn create(&mut self, path: &Path, entry: &TreeEntry) -> Result<(), Abort> {
        let cannot = |error: io::Error| Abort::cannot("create", path, &error);
        match entry {
            TreeEntry::Directory => fs::create_dir(path).map_err(cannot),
            &TreeEntry::File { bytes, stream, executable } => {
                let mode = if executable { 0o777 } else { 0o666 };
                let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
                let file = file.map_err(cannot)?;
                let offsets = (0..bytes).step_by(CHUNK_BYTES);
                let chunks = offsets.map(|offset| (offset, chunk_length(bytes - offset)));
                self.fill(&NewFile { path, file, stream }, chunks)
            }
            TreeEntry::SparseFile { bytes, stream, chunk, offsets } => {
                let length = chunk_length(*chunk);
                let file = File::create_new(path).map_err(cannot)?;
                file.set_len(*bytes).map_err(cannot)?;
                let chunks = offsets.iter().map(|&offset| (offset, length));
                self.fill(&NewFile { path, file, stream: *stream }, chunks)
            }
            TreeEntry::Symlink(target) => {
                symlink(target, path).and_then(|()| set_symlink_time(path)).map_err(cannot)
            }
            TreeEntry::HardLink(first) => {
                fs::hard_link(self.root.join(first), path).map_err(cannot)
            }
        }
    }

    /// Writes random bytes to the given chunks (offset and length) of a file, and sets the file's
    /// modification time.
    fn fill(
        &mut self,
        new: &NewFile<'_>,
        chunks: impl Iterator<Item = (u64, usize)>,
    ) -> Result<(), Abort> {
        let cannot = |error: io::Error| Abort::cannot("create", new.path, &error);
        let mut random = Random::new(new.stream, 0);
        for (offset, length) in chunks {
            (self.check)()?;
            let bytes = &mut self.buffer[..length];
            random.fill(bytes);
            new.file.write_all_at(bytes, offset).map_err(cannot)?;
        }
        new.file.set_modified(past_time(new.stream)).map_err(cannot)
    }
}

/// A new file without data, and the number of the random stream for its contents.
struct NewFile<'a> {
    path: &'a Path,
    file: File,
    stream: u64,
}

/// Returns how many of `bytes` bytes one call writes.
fn chunk_length(bytes: u64) -> usize {
    usize::try_from(bytes).map_or(CHUNK_BYTES, |bytes| bytes.min(CHUNK_BYTES))
}

/// Returns a modification time in the year 2020, with nanoseconds.
///
/// The time is in the past, so that the current time of a fresh copy is never equal to it (rsync treats times
/// within one second as equal). It has nanoseconds, so that a copy with whole seconds is found to differ.
fn past_time(stream: u64) -> SystemTime {
    const FIRST: u64 = 1_577_836_800; // 2020-01-01
    const YEAR: u64 = 365 * 86_400;
    let mut random = Random::new(stream, 1);
    let seconds = FIRST + random.below(YEAR);
    UNIX_EPOCH + Duration::new(seconds, random.below(1_000_000_000) as u32)
}

/// Sets the modification time of a symbolic link. The time is derived from the link's name.
fn set_symlink_time(path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let stream = name.iter().fold(0_u64, |sum, &byte| sum.wrapping_mul(31) + u64::from(byte));
    let since = past_time(stream).duration_since(UNIX_EPOCH).unwrap_or_default();
    let time =
        Stamp { seconds: since.as_secs().cast_signed(), nanoseconds: since.subsec_nanos().into() };
    let dir = File::open(path.parent().unwrap_or(Path::new(".")))?;
    Ok(set_times_at(dir, &CString::new(name)?, time, time)?)
}
