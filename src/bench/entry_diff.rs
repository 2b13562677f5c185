//! Compares one entry of a copy with its source.

use super::abort::{Abort, SignalWatch};
use super::copy_command::Requirements;
use pcopy_sys::file::Node;
use pcopy_sys::{process, xattr};
use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// The number of bytes of each file that are read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// The smallest total size of a file's holes, in bytes, for which holes are compared.
const HOLES_MIN: u64 = 1 << 20;

/// An inode's identity: device and inode number.
type InodeId = (u64, u64);

/// Why an entry could not be compared.
pub(super) enum NotCompared {
    /// The copy has no such entry.
    MissingInCopy,
    /// The entry of the copy cannot be read, which makes the copy wrong.
    UnreadableInCopy,
    /// The entry of the source cannot be read, so the copy cannot be judged.
    SourceError(io::Error),
    /// A signal that ends the benchmark has arrived.
    Abort(Abort),
}

impl NotCompared {
    fn copy_error(error: io::Error) -> Self {
        match error.kind() {
            // ENOTDIR: the copy has a file in place of a parent directory.
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::MissingInCopy,
            _ => Self::UnreadableInCopy,
        }
    }
}

/// Compares the entries of one copy, and remembers which names are hard links to one file.
pub(super) struct EntryComparer<'a> {
    requirements: Requirements,
    is_root: bool,
    signals: &'a SignalWatch,
    /// For each file of the source with several names: the file that the copy has under the first of these
    /// names.
    copy_of: HashMap<InodeId, InodeId>,
    /// For each file of the copy with several names: the file that the source has under the first of these
    /// names.
    source_of: HashMap<InodeId, InodeId>,
    buffers: [Vec<u8>; 2],
}

impl<'a> EntryComparer<'a> {
    /// Returns a comparer for one copy. `requirements` select what is compared.
    pub(super) fn new(requirements: Requirements, signals: &'a SignalWatch) -> Self {
        Self {
            requirements,
            is_root: process::is_root(),
            signals,
            copy_of: HashMap::new(),
            source_of: HashMap::new(),
            buffers: [(); 2].map(|()| vec![0; CHUNK_BYTES]),
        }
    }

    /// Returns the first property in which the two entries differ; `None` if they are equal.
    ///
    /// Source and copy must also be different inodes: a hard link to the source would pass all other
    /// comparisons.
    pub(super) fn compare(
        &mut self,
        source_path: &Path,
        copy_path: &Path,
    ) -> Result<Option<&'static str>, NotCompared> {
        let source = fs::symlink_metadata(source_path).map_err(NotCompared::SourceError)?;
        let copy = fs::symlink_metadata(copy_path).map_err(NotCompared::copy_error)?;
        let kind = source.file_type();
        if kind != copy.file_type() {
            return Ok(Some("file type"));
        }
        if inode_id(&source) == inode_id(&copy) {
            return Ok(Some("the source itself"));
        }
        if let Some(difference) = self.compare_metadata(&source, &copy) {
            return Ok(Some(difference));
        }
        if kind.is_symlink() {
            let source = fs::read_link(source_path).map_err(NotCompared::SourceError)?;
            let copy = fs::read_link(copy_path).map_err(NotCompared::copy_error)?;
            return Ok((source != copy).then_some("target of the symbolic link"));
        }
        if kind.is_file()
            && let Some(difference) = self.compare_file_metadata(&source, &copy)
        {
            return Ok(Some(difference));
        }
        if kind.is_dir() && !self.requirements.all_attributes || kind.is_fifo() || kind.is_socket()
        {
            return Ok(None);
        }
        if !kind.is_dir() && !kind.is_file() {
            return Ok((source.rdev() != copy.rdev()).then_some("device number"));
        }
        let source = File::open(source_path).map_err(NotCompared::SourceError)?;
        let copy = File::open(copy_path).map_err(NotCompared::copy_error)?;
        if self.requirements.all_attributes && !self.has_equal_attributes(&source, &copy)? {
            return Ok(Some("extended attributes"));
        }
        if kind.is_file() && !self.has_equal_contents(source, copy)? {
            return Ok(Some("contents"));
        }
        Ok(None)
    }

    /// Compares owner, mode and modification time.
    fn compare_metadata(&self, source: &Metadata, copy: &Metadata) -> Option<&'static str> {
        let (requirements, kind) = (self.requirements, source.file_type());
        let is_required = if kind.is_dir() { requirements.directories } else { requirements.files };
        let with_owner = requirements.all_attributes && self.is_root;
        if with_owner && (source.uid(), source.gid()) != (copy.uid(), copy.gid()) {
            return Some("owner");
        }
        // If the owner is not preserved, programs must drop the set-ID bits. Symbolic links have no mode.
        let mask = if with_owner { 0o7777 } else { 0o777 };
        let mode = |of: &Metadata| of.mode() & mask;
        let compare_mode = is_required && requirements.modes && !kind.is_symlink();
        if compare_mode && mode(source) != mode(copy) {
            return Some("mode");
        }
        let is_required = is_required && (requirements.all_attributes || !kind.is_symlink());
        let time = |of: &Metadata| (of.mtime(), of.mtime_nsec());
        let compare_time = is_required && requirements.times;
        (compare_time && time(source) != time(copy)).then_some("modification time")
    }

    /// Compares the properties that only regular files have: size, hard links and holes.
    fn compare_file_metadata(
        &mut self,
        source: &Metadata,
        copy: &Metadata,
    ) -> Option<&'static str> {
        if source.len() != copy.len() {
            Some("size")
        } else if !self.note_links(source, copy) {
            Some("hard link")
        } else if self.requirements.holes && are_holes_filled(source, copy) {
            Some("holes filled")
        } else {
            None
        }
    }

    /// Notes the inodes of a name on both sides. Returns whether the hard links agree so far: names of one file
    /// in the copy must be names of one file in the source. If hard links are required, the reverse must be
    /// true, too.
    fn note_links(&mut self, source: &Metadata, copy: &Metadata) -> bool {
        let mut is_equal = true;
        let (source_id, copy_id) = (inode_id(source), inode_id(copy));
        if self.requirements.hard_links && source.nlink() > 1 {
            is_equal &= *self.copy_of.entry(source_id).or_insert(copy_id) == copy_id;
        }
        if copy.nlink() > 1 {
            is_equal &= *self.source_of.entry(copy_id).or_insert(source_id) == source_id;
        }
        is_equal
    }

    fn has_equal_attributes(&self, source: &File, copy: &File) -> Result<bool, NotCompared> {
        let in_source = attributes(source, self.is_root).map_err(NotCompared::SourceError)?;
        let in_copy = attributes(copy, self.is_root).map_err(NotCompared::copy_error)?;
        Ok(in_source == in_copy)
    }

    fn has_equal_contents(
        &mut self,
        mut source: File,
        mut copy: File,
    ) -> Result<bool, NotCompared> {
        let [source_buffer, copy_buffer] = &mut self.buffers;
        loop {
            self.signals.check().map_err(NotCompared::Abort)?;
            let from_source = fill(&mut source, source_buffer).map_err(NotCompared::SourceError)?;
            let from_copy = fill(&mut copy, copy_buffer).map_err(NotCompared::copy_error)?;
            if source_buffer[..from_source] != copy_buffer[..from_copy] {
                return Ok(false);
            }
            if from_source < CHUNK_BYTES {
                return Ok(true);
            }
        }
    }
}

fn inode_id(of: &Metadata) -> InodeId {
    (of.dev(), of.ino())
}

/// Whether more than half of the source's holes are filled in the copy, judged by the allocated space. A
/// smaller part proves nothing, because each file system allocates space in units of its own.
fn are_holes_filled(source: &Metadata, copy: &Metadata) -> bool {
    let allocated = |of: &Metadata| of.blocks() * 512;
    let holes = source.len().saturating_sub(allocated(source));
    holes >= HOLES_MIN && allocated(copy) > allocated(source) + holes / 2
}

/// Reads until the buffer is full or the file ends. Returns the number of bytes read.
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

/// Returns those extended attributes that every program can be expected to preserve: `user.*`, ACLs, and for
/// root also capabilities.
fn attributes(file: &File, is_root: bool) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let node = Node::Open(file.as_fd());
    let (mut names, mut found) = (Vec::new(), BTreeMap::new());
    let acls = [xattr::ACCESS_ACL, xattr::DEFAULT_ACL].map(|name| name.to_bytes());
    xattr::list(node, &mut names)?;
    for name in names.split(|&byte| byte == 0) {
        if name.starts_with(b"user.")
            || acls.contains(&name)
            || is_root && name == b"security.capability"
        {
            let mut value = Vec::new();
            xattr::get(node, &CString::new(name)?, &mut value)?;
            found.insert(name.to_vec(), value);
        }
    }
    Ok(found)
}
