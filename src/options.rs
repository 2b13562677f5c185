//! What the user options, as plain data.

use crate::hash::Algorithm;
use std::ffi::OsString;
use std::path::PathBuf;

/// The options of one command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Whether it is copied at all.
    pub command: Command,
    /// What is to be copied, and where to.
    pub operands: Operands,
    /// How it is to be copied.
    pub copy: CopyOptions,
    /// Whether the folders above each source are made in the target directory, too.
    pub parents: bool,
    /// Where the digests of all files in the copy are listed; `-` is standard output.
    pub manifest: Option<PathBuf>,
    /// How many copiers; the plan chooses if there is no wish.
    pub jobs: Option<u16>,
    /// How often an entry is tried again after a failure that may pass; the plan chooses, too.
    pub retries: Option<u16>,
    /// Whether to print nothing but errors.
    pub quiet: bool,
    /// When to draw the progress line.
    pub progress: When,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// To copy.
    Copy,
    /// To compare what is there with what a copy would be.
    Check,
    /// To compare what is in a folder with a manifest.
    CheckManifest {
        /// The manifest; `-` is standard input.
        file: PathBuf,
        /// The folder.
        dir: PathBuf,
    },
}

/// How things are to be copied; the same for all that the user named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyOptions {
    /// Which program the user believes to have started.
    pub compat: Compat,
    /// What copies keep of their sources.
    pub preserve: Preserve,
    /// When a file that stands in the target is replaced.
    pub update: Update,
    /// Whether the user is asked before one is replaced.
    pub ask: bool,
    /// How what is replaced is kept; `None` if it is not.
    pub backup: Option<Backup>,
    /// What is made of the source's files.
    pub copy_mode: CopyMode,
    /// Whether links may take the place of what stands in the target; in the compat of cp, whether
    /// a file that cannot be opened for writing makes room.
    pub force: bool,
    /// Whether what stands in the target makes room even where its contents would be kept.
    pub remove_destination: bool,
    /// Whether files that stand in the target are written into, and new folders have their final
    /// names from the beginning.
    pub in_place: bool,
    /// Whether folders are copied at all.
    pub recursive: bool,
    /// Whether FIFOs and devices are read like files.
    pub copy_contents: bool,
    /// Which symlinks in a source are followed.
    pub dereference: Dereference,
    /// Whether a symlink to a folder in the target may stand for a folder of the source.
    pub keep_directory_symlink: bool,
    /// Whether a file may be made where a symlink in the target leads that leads nowhere.
    pub write_through_dangling: bool,
    /// Whether to stay on the file system of each source.
    pub one_file_system: bool,
    /// When to leave out what is only zeros: where the source has a hole, or wherever it can.
    pub sparse: When,
    /// When to make files that share their bytes with their sources: if it can be, or else fail.
    pub reflink: When,
    /// Which hash of each file is taken while it is copied, if one is wanted.
    pub hash: Option<Algorithm>,
    /// The security context of all that is made, if the user has one in mind.
    pub context: Option<OsString>,
    /// Whether the contents of files, and not their times, tell that a copy is complete.
    pub checksum: bool,
    /// Whether all is to be on the disk before it is published, and before the run ends well.
    pub fsync: bool,
    /// Whether what was written is read back from the disk and compared with what was read.
    pub verify: bool,
    /// Whether to print the name of each finished entry on standard output.
    pub verbose: bool,
    /// Whether to print how each file was copied, too.
    pub debug: bool,
}

impl CopyOptions {
    /// Whether what is staged is written out before it is published.
    pub fn writes_back_before_publish(&self) -> bool {
        self.fsync || self.verify
    }

    /// Whether an entry that is done must not be looked at again as if it had stood there: a backup of
    /// it would take the place of the user's old file, and he would be asked for it, or told of it
    /// twice.
    pub fn must_remember(&self) -> bool {
        let makes_again = self.in_place || self.update == Update::All;
        self.backup.is_some()
            || self.ask
            || self.update == Update::NoneFail
            || self.verbose && makes_again
    }
}

/// The program whose command line, words and exit codes the user expects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compat {
    /// This one.
    Native,
    /// GNU cp: pcopy was started under its name.
    Gnu,
}

/// What a copy keeps of its source, beside type and contents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preserve {
    /// Permission bits.
    pub permissions: Permissions,
    /// User and group, where we may give things away.
    pub ownership: bool,
    /// Times of last access and of last modification.
    pub timestamps: bool,
    /// Which names are one file.
    pub links: Links,
    /// POSIX access lists.
    pub access_lists: bool,
    /// Extended attributes but for access lists and security contexts.
    pub attributes: Preservation,
    /// The SELinux context.
    pub context: Preservation,
}

impl Preserve {
    /// Nothing: what `cp -r` keeps.
    pub const NOTHING: Self = Self {
        permissions: Permissions::Masked,
        ownership: false,
        timestamps: false,
        links: Links::No,
        access_lists: false,
        attributes: Preservation::No,
        context: Preservation::No,
    };

    /// What is kept without a wish.
    pub const DEFAULT: Self = Self {
        permissions: Permissions::Exact,
        timestamps: true,
        links: Links::Names,
        ..Self::NOTHING
    };

    /// The bits that a directory is made with which has its final name from the beginning, before the
    /// umask; `source` are those of its source. For its owner alone, unless a next run, if this one is
    /// killed, would leave it at that.
    pub fn bits_from_birth(&self, source: u32) -> u32 {
        match self.permissions {
            Permissions::Exact => 0o700,
            Permissions::Masked => source & 0o777 | 0o700,
            Permissions::Fresh => 0o777,
        }
    }

    /// Whether anything is to be kept that lies in extended attributes.
    pub fn looks_at_attributes(&self) -> bool {
        self.access_lists || self.attributes != Preservation::No || self.context != Preservation::No
    }
}

/// Which names of the source are one file in the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Links {
    /// Each is a file of its own.
    No,
    /// Those that are hard links to one file.
    Names,
    /// Those, and symlinks to it, where symlinks are followed.
    Ends,
}

/// Where the permission bits of a copy come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permissions {
    /// The source's, all of them.
    Exact,
    /// The source's without the set-id bits and what the umask, or the target directory's default
    /// access list, takes away.
    Masked,
    /// Those of a new file, whatever the source has.
    Fresh,
}

/// How much something is wanted that not every file system can keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preservation {
    /// Not at all.
    No,
    /// If it can be kept.
    IfPossible,
    /// It is a failure if it cannot be kept.
    Required,
}

/// What is made of the source's files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyMode {
    /// Files with the same contents.
    Copy,
    /// Second names of theirs.
    HardLink,
    /// Symlinks to them.
    Symlink,
    /// Files with what is kept of them, but without their contents.
    AttributesOnly,
}

/// Which symlinks in a source are followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dereference {
    /// None: they are copied as symlinks.
    Never,
    /// Those that the user named.
    Named,
    /// All.
    Always,
}

/// When a file that stands in the target is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Update {
    /// If it has not the source's type, size and modification time.
    Different,
    /// In any case.
    All,
    /// Never: it is passed over.
    None,
    /// Never, and that is a failure.
    NoneFail,
    /// If its modification time is older than the source's.
    Older,
}

/// How what is replaced is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backup {
    /// Which name it gets.
    pub control: Control,
    /// What is appended for a simple backup; has no slash.
    pub suffix: OsString,
}

/// Which name a backup gets; the words of cp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    /// The suffix, in place of an older backup.
    Simple,
    /// `.~1~`, `.~2~`, and so on.
    Numbered,
    /// Numbered if the file has such backups already, else simple.
    Existing,
}

/// The paths of the command line, in the roles that its form gives them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operands {
    /// `SRC`: the copy is made beside it.
    Beside {
        /// The source.
        source: PathBuf,
        /// What is appended to its name.
        suffix: OsString,
    },
    /// `SRC... DST`: into DST if it is a directory, else onto it.
    Onto {
        /// The sources; at least one.
        sources: Vec<PathBuf>,
        /// The last operand.
        target: PathBuf,
    },
    /// `-T SRC DST`: onto DST even if it is a directory.
    Exactly {
        /// The source.
        source: PathBuf,
        /// The target.
        target: PathBuf,
    },
    /// `-t DIRECTORY SRC...`.
    Into {
        /// The sources; at least one.
        sources: Vec<PathBuf>,
        /// The directory, which must exist.
        directory: PathBuf,
    },
}

/// When to do something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// If it fits: the progress line, if standard error is a terminal.
    Auto,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}
