//! The file that `--plan` writes and `--apply` reads: what a run would do, one operation a line, in JSON.
//!
//! ```text
//! {"type":"plan","v":1,…,"check":"9f…"}         header: the command line, the roots, the time
//! {"n":1,"op":"create","path":"a/b",…}          an operation
//! {"type":"end","operations":1,…}               trailer: sums
//! ```
//!
//! Each line ends with a check value: a hash of the check value of the header and of the line up to there. So a line may be
//! taken out by hand, but a changed line, or a line of another plan, does not fit. The operations are numbered in ascending
//! order: a line that occurs twice is not above the last one. That protects from mistakes, not from malice: a
//! program that writes the file can compute hashes.

mod json;
mod read;
mod time;
mod write;

pub use read::Damage;
pub use write::Writer;

use pcopy_sys::file::{Identity, Kind, Stamp, Stat};
use std::ffi::OsString;

/// The version of the format.
const VERSION: u64 = 1;

/// What a plan file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanFile {
    /// For what the plan was made.
    pub header: Header,
    /// The operations, in their order in the file.
    pub operations: Vec<Operation>,
    /// How many entries the target would have kept, apart from what would be removed.
    pub kept: u64,
}

/// For what a plan was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// When the plan was made.
    pub time: Stamp,
    /// The command line, with the name of the program.
    pub arguments: Vec<OsString>,
    /// The current directory.
    pub dir: Vec<u8>,
    /// The operands, in their order.
    pub roots: Vec<Root>,
}

/// An operand: the source and its target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root {
    /// The path of the source, as the user gave it.
    pub source: Vec<u8>,
    /// The path of the target.
    pub target: Vec<u8>,
    /// The source.
    pub source_place: Place,
    /// The directory that contains the target.
    pub target_dir: Place,
    /// The target; `None` if it does not exist.
    pub target_place: Option<Place>,
}

/// An inode, and the file system that it is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Device and inode number.
    pub identity: Identity,
    /// The ID of the file system (statvfs(3)); 0 if it has none.
    pub file_system: u64,
}

/// What is done with an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Change {
    /// The target has no such entry.
    Create = 1,
    /// The contents of the entry are replaced, or the entry itself.
    Replace,
    /// Only attributes change.
    Update,
    /// The name becomes a hard link.
    Link,
    /// The entry is removed.
    Remove,
}

impl Change {
    const ALL: [(Self, &str); 5] = [
        (Self::Create, "create"),
        (Self::Replace, "replace"),
        (Self::Update, "update"),
        (Self::Link, "link"),
        (Self::Remove, "remove"),
    ];
}

/// One operation of a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// The operand, as an index into the roots.
    pub operand: u32,
    /// The path below the operand; empty for the operand itself.
    pub path: Vec<u8>,
    /// What is done.
    pub change: Change,
    /// What the source was; `None` if it has no such entry.
    pub source: Option<Seen>,
    /// What the target was; `None` if it has no such entry.
    pub target: Option<Seen>,
    /// The name that this one becomes a hard link to: its operand, and its path below that.
    pub link_to: Option<(u32, Vec<u8>)>,
}

/// The status by which a change of an entry is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Type and permission bits.
    pub mode: u32,
    /// Device and inode number.
    pub identity: Identity,
    /// The number of hard links.
    pub links: u64,
    /// The user ID.
    pub user: u32,
    /// The group ID.
    pub group: u32,
    /// The size in bytes.
    pub size: u64,
    /// The modification time.
    pub modified: Stamp,
    /// The time of the last status change.
    pub changed: Stamp,
}

impl Seen {
    /// Returns what is remembered of an entry.
    pub fn of(stat: &Stat) -> Self {
        Self {
            mode: stat.mode(),
            identity: stat.identity(),
            links: stat.links(),
            user: stat.owner(),
            group: stat.group(),
            size: stat.size(),
            modified: stat.modified(),
            changed: stat.changed(),
        }
    }

    /// Returns the type of the entry.
    pub fn kind(&self) -> Kind {
        match self.type_name() {
            Some("file") => Kind::File,
            Some("directory") => Kind::Directory,
            Some("symlink") => Kind::Symlink,
            Some(_) => Kind::Special,
            None => Kind::Unknown,
        }
    }

    /// Whether the entry is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == Kind::Directory
    }

    /// Whether the entry is as it was.
    ///
    /// Of a directory, size and times do not matter: they change with every entry in it, and the run itself changes some.
    pub fn is_still(&self, now: &Stat) -> bool {
        self.has_contents_of(now) && (self.is_dir() || self.changed == now.changed())
    }

    /// Like [`is_still`](Self::is_still), but the time of the last status change does not matter.
    pub fn has_contents_of(&self, now: &Stat) -> bool {
        let is_same = (self.mode, self.identity, self.user, self.group)
            == (now.mode(), now.identity(), now.owner(), now.group());
        let same_times = || (self.size, self.modified) == (now.size(), now.modified());
        is_same && (self.is_dir() || same_times())
    }

    /// Whether the entry is a name of the same inode as before.
    pub fn is_inode_of(&self, now: &Stat) -> bool {
        self.identity == now.identity() && self.mode & TYPE_BITS == now.type_bits()
    }

    /// Whether the inode has other names. What the run does with one of them changes all.
    pub fn has_other_names(&self) -> bool {
        self.links > 1 && !self.is_dir()
    }

    fn type_name(&self) -> Option<&'static str> {
        TYPES.iter().find(|(bits, _)| self.mode & TYPE_BITS == *bits).map(|(_, name)| *name)
    }
}

/// The part of a mode that is the type: `S_IFMT`.
const TYPE_BITS: u32 = 0o170_000;

/// The types of entries.
const TYPES: [(u32, &str); 7] = [
    (0o100_000, "file"),
    (0o040_000, "directory"),
    (0o120_000, "symlink"),
    (0o010_000, "fifo"),
    (0o140_000, "socket"),
    (0o060_000, "block_device"),
    (0o020_000, "character_device"),
];

/// Returns the lines with the check values that a plan with these lines would have, whatever they say.
#[cfg(any(test, fuzzing))]
pub(crate) fn sealed(lines: &[&str]) -> String {
    let mut seed = String::new();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let open = line.trim_end_matches('}');
        let check = json::check_value(&seed, open);
        text += &format!("{open},\"check\":\"{check}\"}}\n");
        if number == 0 {
            seed = check;
        }
    }
    text
}
