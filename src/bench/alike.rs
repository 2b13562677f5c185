//! Whether one entry of a copy is like the one that it was made from.

use super::peers::Demands;
use super::stop::{Stop, Watch};
use crate::sys::file::Node;
use crate::sys::{process, xattr};
use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// So much of each of two files is read at once.
const PIECE: usize = 256 << 10;

/// In smaller files holes are left to chance.
const HOLES_FROM: u64 = 1 << 20;

/// What makes an inode unique: device and number.
type Inode = (u64, u64);

/// Why two entries were not compared.
pub(super) enum End {
    /// The copy has no such entry.
    Missing,
    /// The copy cannot be read, which is its fault.
    Unreadable,
    /// The source cannot be read, which is nobody's.
    Ours(io::Error),
    /// A signal asked for the end.
    Stop(Stop),
}

impl End {
    fn theirs(error: io::Error) -> Self {
        match error.kind() {
            // In place of a folder there may be a file.
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            _ => Self::Unreadable,
        }
    }
}

/// What is known while a tree is compared.
pub(super) struct Comparison<'a> {
    demands: Demands,
    as_root: bool,
    watch: &'a Watch,
    /// For each file of the source with several names: its inode in the copy.
    copies: HashMap<Inode, Inode>,
    /// For each file of the copy with several names: its inode in the source.
    sources: HashMap<Inode, Inode>,
    buffers: [Vec<u8>; 2],
}

impl<'a> Comparison<'a> {
    /// In what is demanded.
    pub(super) fn new(demands: Demands, watch: &'a Watch) -> Self {
        Self {
            demands,
            as_root: process::is_root(),
            watch,
            copies: HashMap::new(),
            sources: HashMap::new(),
            buffers: [(); 2].map(|()| vec![0; PIECE]),
        }
    }

    /// In what the two differ.
    pub(super) fn entry(
        &mut self,
        ours: &Path,
        theirs: &Path,
    ) -> Result<Option<&'static str>, End> {
        let our = fs::symlink_metadata(ours).map_err(End::Ours)?;
        let their = fs::symlink_metadata(theirs).map_err(End::theirs)?;
        let kind = our.file_type();
        if kind != their.file_type() {
            return Ok(Some("kind"));
        }
        if inode(&our) == inode(&their) {
            return Ok(Some("the source itself"));
        }
        if let Some(what) = self.about(&our, &their) {
            return Ok(Some(what));
        }
        if kind.is_symlink() {
            let our = fs::read_link(ours).map_err(End::Ours)?;
            let their = fs::read_link(theirs).map_err(End::theirs)?;
            return Ok((our != their).then_some("text"));
        }
        if kind.is_file() && our.len() != their.len() {
            return Ok(Some("size"));
        }
        if kind.is_file() && !self.is_linked_alike(&our, &their) {
            return Ok(Some("hard link"));
        }
        if kind.is_file() && self.demands.holes && are_holes_filled(&our, &their) {
            return Ok(Some("holes filled"));
        }
        if kind.is_dir() && !self.demands.rest || kind.is_fifo() || kind.is_socket() {
            return Ok(None);
        }
        if !kind.is_dir() && !kind.is_file() {
            return Ok((our.rdev() != their.rdev()).then_some("device number"));
        }
        let ours = File::open(ours).map_err(End::Ours)?;
        let theirs = File::open(theirs).map_err(End::theirs)?;
        if self.demands.rest && self.do_attributes_differ(&ours, &theirs)? {
            return Ok(Some("attributes"));
        }
        if kind.is_file() && !self.same_bytes(ours, theirs)? {
            return Ok(Some("contents"));
        }
        Ok(None)
    }

    /// Compares what stands beside the contents.
    fn about(&self, our: &Metadata, their: &Metadata) -> Option<&'static str> {
        let (demands, kind) = (self.demands, our.file_type());
        let wanted = if kind.is_dir() { demands.folders } else { demands.files };
        let with_owner = demands.rest && self.as_root;
        if with_owner && (our.uid(), our.gid()) != (their.uid(), their.gid()) {
            return Some("owner");
        }
        // Set-id bits would lend the rights of an owner, who is not always kept. Symlinks have none.
        let mask = if with_owner { 0o7777 } else { 0o777 };
        let bits = |of: &Metadata| of.mode() & mask;
        if wanted && demands.bits && !kind.is_symlink() && bits(our) != bits(their) {
            return Some("permission bits");
        }
        let wanted = wanted && (demands.rest || !kind.is_symlink());
        let times = |of: &Metadata| (of.mtime(), of.mtime_nsec());
        (wanted && demands.times && times(our) != times(their)).then_some("modification time")
    }

    /// Whether names of one file in the source are names of one file in the copy, where that is
    /// demanded; and, always, whether names of one file in the copy are that in the source.
    fn is_linked_alike(&mut self, our: &Metadata, their: &Metadata) -> bool {
        let mut alike = true;
        let (ours, theirs) = (inode(our), inode(their));
        if self.demands.links && our.nlink() > 1 {
            alike &= *self.copies.entry(ours).or_insert(theirs) == theirs;
        }
        if their.nlink() > 1 {
            alike &= *self.sources.entry(theirs).or_insert(ours) == ours;
        }
        alike
    }

    /// Compares those attributes that everybody can be asked to keep.
    fn do_attributes_differ(&self, ours: &File, theirs: &File) -> Result<bool, End> {
        let our = attributes(ours, self.as_root).map_err(End::Ours)?;
        Ok(our != attributes(theirs, self.as_root).map_err(End::theirs)?)
    }

    fn same_bytes(&mut self, mut ours: File, mut theirs: File) -> Result<bool, End> {
        let [our, their] = &mut self.buffers;
        loop {
            self.watch.look().map_err(End::Stop)?;
            let read = fill(&mut ours, our).map_err(End::Ours)?;
            let other = fill(&mut theirs, their).map_err(End::theirs)?;
            if our[..read] != their[..other] {
                return Ok(false);
            }
            if read < PIECE {
                return Ok(true);
            }
        }
    }
}

fn inode(of: &Metadata) -> Inode {
    (of.dev(), of.ino())
}

/// Whether the copy takes so much room that more than half of the holes must be gone. File systems
/// allocate in steps of their own, so a little more says nothing.
fn are_holes_filled(our: &Metadata, their: &Metadata) -> bool {
    let allocated = |of: &Metadata| of.blocks() * 512;
    let holes = our.len().saturating_sub(allocated(our));
    holes >= HOLES_FROM && allocated(their) > allocated(our) + holes / 2
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

/// The attributes that users give, the access lists, and, as root, what a program is able to do.
fn attributes(file: &File, as_root: bool) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let node = Node::Open(file.as_fd());
    let (mut names, mut found) = (Vec::new(), BTreeMap::new());
    let lists = [xattr::ACCESS_LIST, xattr::DEFAULT_LIST].map(|name| name.to_bytes());
    xattr::list(node, &mut names)?;
    for name in names.split(|&byte| byte == 0) {
        if name.starts_with(b"user.")
            || lists.contains(&name)
            || as_root && name == b"security.capability"
        {
            let mut value = Vec::new();
            xattr::get(node, &CString::new(name)?, &mut value)?;
            found.insert(name.to_vec(), value);
        }
    }
    Ok(found)
}
