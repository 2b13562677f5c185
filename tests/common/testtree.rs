//! Describes trees of entries, plants them on disk, reads them back and compares them.
//!
//! A [`Tree`] is a value with all contents; it can be planted, and compared with a tree that was read. A
//! [`Listing`] has hashes instead of contents, for trees of any size. This module shares no code with the
//! program under test.

use super::entries::*;
use super::{Sandbox, contents, hash, is_root, size};
use nix::sys::stat::{major, minor};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::{self, Debug, Formatter, Write as _};
use std::fs::{self, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

// ---- values ----------------------------------------------------------------------------------

/// An entry for each path below a root. A directory comes before its entries. The root has the empty path and
/// may be missing.
pub(crate) type Tree = BTreeMap<PathBuf, Node>;

/// An entry of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Node {
    pub(crate) what: What,
    /// Permission bits.
    pub(crate) mode: u32,
    /// User and group.
    pub(crate) owner: (u32, u32),
    /// The modification time; `None` means any time.
    pub(crate) time: Option<Time>,
    /// Paths with the same number are hard links to one file. The number 0 means a file with only one path.
    pub(crate) file: u64,
    /// Extended attributes of the class `user`.
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The ctime; zero in a tree that was not read from disk.
    pub(crate) changed: Time,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Dir,
    File(Bytes),
    Symlink(PathBuf),
    Fifo,
    Socket,
    /// A `char` or `block` device with its major and minor number.
    Device(&'static str, u64, u64),
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Debug for Bytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let first = String::from_utf8_lossy(&self.0[..self.0.len().min(16)]).into_owned();
        write!(f, "{} bytes {first:?}, hash {:08x}", self.0.len(), digest(&self.0) as u32)
    }
}

impl Node {
    /// Returns an entry that the caller owns, with this mode and modification time.
    pub(crate) fn new(what: What, mode: u32, time: Time) -> Self {
        let owner = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let (xattrs, changed) = (BTreeMap::new(), (0, 0));
        Self { what, mode, owner, time: Some(time), file: 0, xattrs, changed }
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.what == What::Dir
    }

    pub(crate) fn is_symlink(&self) -> bool {
        matches!(self.what, What::Symlink(_))
    }
}

// ---- planting --------------------------------------------------------------------------------

/// Creates the tree below `root`, with modes, owners and times.
pub(crate) fn plant(tree: &Tree, root: &Path) {
    fs::create_dir_all(root).unwrap();
    let mut names: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut made = Vec::new();
    for (path, node) in tree {
        let at = below(root, path);
        if node.file != 0
            && !node.is_dir()
            && let Some(first) = names.insert(node.file, at.clone())
        {
            fs::hard_link(first, at).unwrap();
            continue;
        }
        if !make(&at, &node.what) {
            continue; // a symlink that does not fit
        }
        if is_root() {
            lchown(&at, Some(node.owner.0), Some(node.owner.1)).unwrap();
        }
        made.push((at, node));
    }
    for (at, node) in made.into_iter().rev() {
        if !node.is_symlink() {
            chmod(&at, node.mode);
        }
        if let Some(time) = node.time {
            set_times(&at, time, time);
        }
    }
}

/// Creates an entry whose parent exists. Returns false for a symlink whose text is too long for the file
/// system.
pub(crate) fn make(at: &Path, what: &What) -> bool {
    match what {
        What::Dir => fs::create_dir_all(at).unwrap(),
        What::File(bytes) => write(at, &bytes.0),
        What::Symlink(text) => return symlink_if_it_fits(text, at),
        What::Fifo => node(at, "fifo", 0, 0),
        What::Socket => node(at, "socket", 0, 0),
        What::Device(kind, major, minor) => node(at, kind, *major, *minor),
    }
    true
}

/// Writes a file. Whole blocks of zeros become holes.
fn write(at: &Path, bytes: &[u8]) {
    const BLOCK: usize = 4096;
    let file = fs::File::create(at).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    let is_data = |block: &[u8]| block.iter().any(|&byte| byte != 0);
    let (mut start, mut end) = (0, 0);
    for block in bytes.chunks(BLOCK) {
        if !is_data(block) {
            file.write_all_at(&bytes[start..end], start as u64).unwrap();
            start = end + block.len();
        }
        end += block.len();
    }
    file.write_all_at(&bytes[start..end], start as u64).unwrap();
}

fn below(root: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { root.to_owned() } else { root.join(path) }
}

// ---- descriptions ----------------------------------------------------------------------------

impl Sandbox {
    /// Creates a tree from lines: `dir NAME`, `file NAME SIZE`, `text NAME WORDS`, `link NAME TEXT`,
    /// `fifo NAME`.
    ///
    /// SIZE may end in K or M. The contents of a file depend only on its name. Missing directories above an
    /// entry are created, too. Modes and times are those of new entries.
    pub(crate) fn tree<'a>(&self, root: &str, lines: impl IntoIterator<Item = &'a str>) -> &Self {
        let root = self.path(root);
        fs::create_dir_all(&root).unwrap();
        for line in lines {
            let mut words = line.splitn(3, ' ');
            let kind = words.next().unwrap();
            let name = words.next().unwrap_or_else(|| panic!("no name in {line:?}"));
            let what = described(kind, name.as_bytes(), words.next().unwrap_or("").as_bytes());
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            assert!(make(&path, &what), "{line:?} does not fit");
        }
        self
    }

    /// Creates a tree from a fixture, a file with a line `KIND MODE TIME NAME REST` for each entry.
    ///
    /// KIND is dir, file (REST is its size), text, link, fifo, socket, char or block (REST is `MAJOR:MINOR`).
    /// Only root can create devices, so for other users they are left out. NAME and REST may contain the
    /// escapes `\n`, `\t`, `\e`, `\s` (a space), `\xHH` and `\\`. `*N` after a NAME repeats it N times. A
    /// symlink whose text is too long for the file system is left out.
    pub(crate) fn plant(&self, root: &str, fixture: &str) -> &Self {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture)).unwrap();
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        plant(&lines.filter_map(fixture_line).collect(), &self.path(root));
        self
    }
}

fn fixture_line(line: &str) -> Option<(PathBuf, Node)> {
    let mut words = line.splitn(5, ' ');
    let mut word = || words.next().unwrap_or("");
    let (kind, mode, time, name, rest) = (word(), word(), word(), word(), word());
    if matches!(kind, "char" | "block") && !is_root() {
        return None;
    }
    let mut mode = u32::from_str_radix(mode, 8).unwrap();
    if kind == "file" && !is_root() {
        mode |= 0o400; // else it could not be copied
    }
    let (seconds, nanoseconds) = time.split_once('.').unwrap_or((time, "0"));
    let time = (seconds.parse().unwrap(), nanoseconds.parse().unwrap());
    let name = unescape(name);
    let what = described(kind, &name, &unescape(rest));
    let path = if name == b"." { PathBuf::new() } else { OsStr::from_bytes(&name).into() };
    Some((path, Node::new(what, mode, time)))
}

fn described(kind: &str, name: &[u8], rest: &[u8]) -> What {
    let text = || std::str::from_utf8(rest).unwrap();
    match kind {
        "dir" => What::Dir,
        "file" => What::File(Bytes(contents(name, size(text())))),
        "text" => What::File(Bytes(rest.to_vec())),
        "link" => What::Symlink(OsStr::from_bytes(rest).into()),
        "fifo" => What::Fifo,
        "socket" => What::Socket,
        "char" | "block" => {
            let (major, minor) = text().split_once(':').unwrap();
            let kind = if kind == "block" { "block" } else { "char" };
            What::Device(kind, major.parse().unwrap(), minor.parse().unwrap())
        }
        other => panic!("{other:?} is no kind of entry"),
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let (text, times) = match text.rsplit_once('*') {
        Some((text, times)) => match times.parse() {
            Ok(times) => (text, times),
            Err(_) => panic!("no number after * in {text:?}"),
        },
        None => (text, 1),
    };
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte != b'\\' {
            byte
        } else {
            match rest.next().expect("something after a backslash") {
                b'n' => b'\n',
                b't' => b'\t',
                b'e' => 0x1b,
                b's' => b' ',
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                b'\\' => b'\\',
                other => panic!("no escape: {:?}", char::from(other)),
            }
        });
    }
    bytes.repeat(times)
}

// ---- reading ---------------------------------------------------------------------------------

/// Calls `visit` with each entry of a tree. The root comes first and has the empty path. Uses only `std`.
/// Leaves out entries that vanish meanwhile.
pub(crate) fn walk(root: &Path, mut visit: impl FnMut(PathBuf, &Path, &Metadata)) {
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        let at = below(root, &path);
        let Ok(metadata) = fs::symlink_metadata(&at) else { continue };
        if metadata.is_dir() {
            let entries = fs::read_dir(&at).unwrap_or_else(|error| panic!("{at:?}: {error}"));
            waiting.extend(entries.map(|entry| path.join(entry.unwrap().file_name())));
        }
        visit(path, &at, &metadata);
    }
}

/// Reads a tree. If `root` does not exist, the tree has no entries.
pub(crate) fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    walk(root, |path, at, metadata| {
        let node = Node {
            what: what_is(at, metadata),
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            time: Some((metadata.mtime(), metadata.mtime_nsec())),
            file: metadata.ino(),
            xattrs: user_xattrs(at),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        tree.insert(path, node);
    });
    tree
}

fn what_is(at: &Path, metadata: &Metadata) -> What {
    let kind = metadata.file_type();
    if kind.is_dir() {
        What::Dir
    } else if kind.is_symlink() {
        What::Symlink(fs::read_link(at).unwrap())
    } else if kind.is_file() {
        What::File(Bytes(fs::read(at).unwrap()))
    } else if kind.is_fifo() {
        What::Fifo
    } else if kind.is_socket() {
        What::Socket
    } else {
        let kind = if kind.is_block_device() { "block" } else { "char" };
        What::Device(kind, major(metadata.rdev()), minor(metadata.rdev()))
    }
}

fn user_xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let names = xattr::list(path).into_iter().flatten();
    let user = names.filter(|name| name.as_encoded_bytes().starts_with(b"user."));
    user.filter_map(|name| {
        let value = xattr::get(path, &name).ok()??;
        Some((name.into_encoded_bytes(), value))
    })
    .collect()
}

/// Returns for each path, except directories, the first path of the same file.
fn first_names(tree: &Tree) -> BTreeMap<&Path, &Path> {
    let mut first = BTreeMap::new();
    let files = tree.iter().filter(|(_, node)| !node.is_dir());
    files
        .map(|(path, node)| {
            let own = path.as_path();
            (own, if node.file == 0 { own } else { *first.entry(node.file).or_insert(own) })
        })
        .collect()
}

/// Reads a tree without contents. Returns for each path the first path that has the same inode.
pub(crate) fn leaders(root: &Path) -> BTreeMap<PathBuf, PathBuf> {
    let mut inodes = BTreeMap::new();
    walk(root, |path, _, metadata| _ = inodes.insert(path, metadata.ino()));
    let mut first: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let leader = |(path, inode): (PathBuf, u64)| {
        let leader = first.entry(inode).or_insert_with(|| path.clone()).clone();
        (path, leader)
    };
    inodes.into_iter().map(leader).collect()
}

/// Describes how a tree differs from the expected one: types, contents, modes, owners, times, hard links.
pub(crate) fn tree_differences(expected: &Tree, found: &Tree) -> String {
    let mut text = String::new();
    for path in expected.keys().chain(found.keys().filter(|path| !expected.contains_key(*path))) {
        let (wanted, is) = (expected.get(path), found.get(path));
        if !wanted.zip(is).is_some_and(|(wanted, is)| is_as(wanted, is)) {
            writeln!(text, "{path:?}:\n  expected {wanted:?}\n  found    {is:?}").unwrap();
        }
    }
    let (wanted, is) = (first_names(expected), first_names(found));
    for (path, first) in wanted.iter().filter(|(path, first)| is.get(*path) != Some(*first)) {
        let found = is.get(path);
        writeln!(text, "{path:?}: the same file as {first:?}; found: as {found:?}").unwrap();
    }
    text
}

fn is_as(wanted: &Node, is: &Node) -> bool {
    let same_mode = wanted.mode == is.mode || is.is_symlink();
    let same_time = wanted.time.is_none() || wanted.time == is.time;
    wanted.what == is.what && same_mode && wanted.owner == is.owner && same_time
}

// ---- listings --------------------------------------------------------------------------------

/// An entry for each path of a tree. The root has the empty path.
pub(crate) type Listing = BTreeMap<PathBuf, Entry>;

/// The properties of an entry that a copy must preserve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Type and permission bits.
    pub(crate) mode: u32,
    /// The size in bytes; 0 for a directory, whose size depends on the file system.
    pub(crate) size: u64,
    /// The modification time in seconds and nanoseconds.
    pub(crate) modified: Time,
    /// The text of a symlink, the number of a device, or the hash of a file.
    pub(crate) what: Vec<u8>,
}

/// Lists a tree, which must exist.
pub(crate) fn listing(root: &Path) -> Listing {
    let mut found = Listing::new();
    walk(root, |path, at, metadata| {
        let kind = metadata.file_type();
        let what = if kind.is_symlink() {
            fs::read_link(at).unwrap().into_os_string().into_vec()
        } else if kind.is_file() {
            digest(&fs::read(at).unwrap_or_default()).to_ne_bytes().to_vec()
        } else if kind.is_block_device() || kind.is_char_device() {
            metadata.rdev().to_ne_bytes().to_vec()
        } else {
            Vec::new()
        };
        let entry = Entry {
            mode: metadata.mode(),
            size: if kind.is_dir() { 0 } else { metadata.len() },
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            what,
        };
        found.insert(path, entry);
    });
    assert!(!found.is_empty(), "there is no {}", root.display());
    found
}

/// Describes how two listings differ.
pub(crate) fn differences(one: &Listing, other: &Listing) -> String {
    let mut text = String::new();
    for (path, entry) in one {
        match other.get(path) {
            None => writeln!(text, "missing: {path:?} {entry:?}").unwrap(),
            Some(copy) if copy != entry => {
                writeln!(text, "differs: {path:?}\n  {entry:?}\n  {copy:?}").unwrap()
            }
            Some(_) => {}
        }
    }
    for path in other.keys().filter(|path| !one.contains_key(*path)) {
        writeln!(text, "extra: {path:?}").unwrap();
    }
    text.lines().take(60).fold(String::new(), |all, line| all + line + "\n")
}

/// Computes a hash of contents: FNV-1a over 8 bytes at a time, because a debug build is slow with single
/// bytes.
fn digest(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut state = hash(rest) ^ bytes.len() as u64;
    for word in words {
        state = (state ^ u64::from_ne_bytes(*word)).wrapping_mul(0x100_0000_01b3);
        state ^= state >> 29;
    }
    state
}

impl Sandbox {
    /// Lists every entry below `root` with all properties that a copy must preserve.
    pub(crate) fn listing(&self, root: impl AsRef<OsStr>) -> Listing {
        listing(&self.path(root))
    }

    /// Fails unless both trees have the same names, types, modes, times and contents.
    #[track_caller]
    pub(crate) fn assert_same(&self, one: impl AsRef<OsStr>, other: impl AsRef<OsStr>) {
        let (one, other) = (self.path(one), self.path(other));
        let differences = differences(&listing(&one), &listing(&other));
        assert!(
            differences.is_empty(),
            "{} and {} differ:\n{differences}",
            one.display(),
            other.display()
        );
        let kind = fs::symlink_metadata(&one).unwrap().file_type();
        if !kind.is_dir() && !kind.is_file() {
            return; // diff would read from a FIFO that is its operand
        }
        let diff = Command::new("diff")
            .args(["-rq", "--no-dereference"])
            .arg(&one)
            .arg(&other)
            .output()
            .unwrap();
        let specials = |line: &&str| {
            !line.contains(" is a fifo ")
                && !line.contains(" is a socket ")
                && !line.contains(" special file")
        };
        let stdout = String::from_utf8_lossy(&diff.stdout).into_owned();
        let lines: Vec<&str> = stdout.lines().filter(specials).collect();
        assert!(lines.is_empty(), "diff -r prints: {lines:#?}");
    }

    /// Fails if the sandbox contains a staged name.
    #[track_caller]
    pub(crate) fn assert_nothing_staged(&self) {
        let mut left = Vec::new();
        walk(&self.path(""), |path, _, _| {
            if path.as_os_str().as_bytes().ends_with(b".pcopy-partial") {
                left.push(path);
            }
        });
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    /// Returns the entries of the sandbox as text for messages; at most 60 lines.
    pub(crate) fn show(&self) -> String {
        let mut lines = BTreeMap::new();
        walk(&self.path(""), |path, _, metadata| {
            let size = if metadata.is_dir() { 0 } else { metadata.len() };
            let line = format!("{:06o} {size:>9} {}\n", metadata.mode(), path.display());
            lines.insert(path, line);
        });
        lines.into_values().take(60).collect()
    }
}
