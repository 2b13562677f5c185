//! Whether a copy is like its source. Shares no code with the copiers.

use super::peers::Demands;
use super::stop::{Stop, Watch};
use super::survey::unreadable;
use crate::quote::quote;
use crate::sys::file::Node;
use crate::sys::{process, xattr};
use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use walkdir::WalkDir;

/// So much of each of two files is read at once.
const PIECE: usize = 256 << 10;

/// What is wrong with a copy; nothing, if there are no differences.
#[derive(Default, Debug)]
pub(super) struct Differences {
    /// How many entries differ, are missing or too many.
    pub(super) entries: u64,
    /// The first of them, and in what.
    pub(super) first: String,
}

impl Differences {
    fn add(&mut self, path: &Path, what: &str) {
        if self.entries == 0 {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            self.first = format!("{} ({what})", quote(path.as_os_str().as_encoded_bytes()));
        }
        self.entries += 1;
    }

    /// In words; `None` if there are none.
    pub(super) fn describe(&self) -> Option<String> {
        match self.entries {
            0 => None,
            1 => Some(format!("1 entry differs: {}", self.first)),
            many => Some(format!("{many} entries differ: first {}", self.first)),
        }
    }
}

/// Compares `copy` with `source` in what is demanded.
pub(super) fn compare(
    source: &Path,
    copy: &Path,
    demands: Demands,
    watch: &Watch,
) -> Result<Differences, Stop> {
    let mut differences = Differences::default();
    let mut comparison = Comparison {
        demands,
        with_owner: demands.rest && process::is_root(),
        inodes: HashMap::new(),
        buffers: [(); 2].map(|()| vec![0; PIECE]),
    };
    let mut missing = 0;
    let mut found: u64 = 0;
    for entry in WalkDir::new(source) {
        watch.look()?;
        let entry = entry.map_err(|error| unreadable(source, error))?;
        let name = entry.path().strip_prefix(source).unwrap_or(entry.path());
        let theirs = if name.as_os_str().is_empty() { copy.to_owned() } else { copy.join(name) };
        found += 1;
        match comparison.entry(entry.path(), &theirs) {
            Ok(None) => {}
            Ok(Some(what)) => differences.add(name, what),
            // In place of a folder there may be a file.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                missing += 1;
                differences.add(name, "missing");
            }
            Err(error) => return Err(Stop::cannot("compare", entry.path(), &error)),
        }
    }
    // Nothing is missing beyond what was counted, so what is too many shows in the numbers.
    let mut there: u64 = 0;
    for entry in WalkDir::new(copy) {
        watch.look()?;
        let Ok(entry) = entry else { continue }; // it was missing, or unreadable, before
        there += 1;
        if there > found - missing {
            let name = entry.path().strip_prefix(copy).unwrap_or(entry.path());
            differences.add(extra(source, copy).as_deref().unwrap_or(name), "not in the source");
            break;
        }
    }
    Ok(differences)
}

/// The first entry of the copy that the source does not have.
fn extra(source: &Path, copy: &Path) -> Option<std::path::PathBuf> {
    let names = WalkDir::new(copy).min_depth(1).into_iter().flatten();
    let mut names =
        names.filter_map(|entry| Some(entry.path().strip_prefix(copy).ok()?.to_owned()));
    names.find(|name| fs::symlink_metadata(source.join(name)).is_err())
}

struct Comparison {
    demands: Demands,
    with_owner: bool,
    /// For each file with several names, by its inode in the source: its inode in the copy.
    inodes: HashMap<(u64, u64), u64>,
    buffers: [Vec<u8>; 2],
}

impl Comparison {
    /// In what the two differ.
    fn entry(&mut self, ours: &Path, theirs: &Path) -> io::Result<Option<&'static str>> {
        let (our, their) = (fs::symlink_metadata(ours)?, fs::symlink_metadata(theirs)?);
        let kind = our.file_type();
        if kind != their.file_type() {
            return Ok(Some("kind"));
        }
        if let Some(what) = self.about(&our, &their) {
            return Ok(Some(what));
        }
        if kind.is_symlink() {
            return Ok((fs::read_link(ours)? != fs::read_link(theirs)?).then_some("text"));
        }
        if kind.is_file() && our.len() != their.len() {
            return Ok(Some("size"));
        }
        if kind.is_file() && self.is_known(&our, &their) == Some(false) {
            return Ok(Some("hard link"));
        }
        if kind.is_dir() && !self.demands.rest || kind.is_fifo() || kind.is_socket() {
            return Ok(None);
        }
        if !kind.is_dir() && !kind.is_file() {
            return Ok((our.rdev() != their.rdev()).then_some("device number"));
        }
        let (ours, theirs) = (File::open(ours)?, File::open(theirs)?);
        if self.demands.rest && attributes(&ours)? != attributes(&theirs)? {
            return Ok(Some("attributes"));
        }
        if kind.is_file() && !self.same_bytes(ours, theirs)? {
            return Ok(Some("contents"));
        }
        Ok(None)
    }

    /// Compares what stands beside the contents.
    fn about(&self, our: &Metadata, their: &Metadata) -> Option<&'static str> {
        let kind = our.file_type();
        let wanted = if kind.is_dir() { self.demands.folders } else { self.demands.files };
        if self.with_owner && (our.uid(), our.gid()) != (their.uid(), their.gid()) {
            return Some("owner");
        }
        if !wanted || kind.is_symlink() {
            return None;
        }
        // Set-id bits would lend the rights of an owner, who is not always kept.
        let mask = if self.with_owner { 0o7777 } else { 0o777 };
        if (our.mode() & mask) != (their.mode() & mask) {
            return Some("permission bits");
        }
        let times = |of: &Metadata| (of.mtime(), of.mtime_nsec());
        (times(our) != times(their)).then_some("modification time")
    }

    /// Whether another name of the file, if one came before, has led to the same copy.
    fn is_known(&mut self, our: &Metadata, their: &Metadata) -> Option<bool> {
        if !self.demands.links || our.nlink() < 2 {
            return None;
        }
        let before = self.inodes.insert((our.dev(), our.ino()), their.ino());
        before.map(|before| before == their.ino())
    }

    fn same_bytes(&mut self, mut ours: File, mut theirs: File) -> io::Result<bool> {
        let [our, their] = &mut self.buffers;
        loop {
            let (read, other) = (fill(&mut ours, our)?, fill(&mut theirs, their)?);
            if our[..read] != their[..other] {
                return Ok(false);
            }
            if read < PIECE {
                return Ok(true);
            }
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// The attributes that users give, and the access list.
fn attributes(file: &File) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let node = Node::Open(file.as_fd());
    let (mut names, mut found) = (Vec::new(), BTreeMap::new());
    xattr::list(node, &mut names)?;
    for name in names.split(|&byte| byte == 0) {
        if name.starts_with(b"user.") || name == xattr::ACCESS_LIST.to_bytes() {
            let mut value = Vec::new();
            xattr::get(node, &CString::new(name)?, &mut value)?;
            found.insert(name.to_vec(), value);
        }
    }
    Ok(found)
}
