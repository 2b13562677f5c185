//! What the user asked for, as plain data. The command lines (`cli`) fill it in, the plan reads it.

use crate::hash::Algorithm;
use std::ffi::OsString;
use std::path::PathBuf;

/// The options of one command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Copy, or compare only.
    pub command: Command,
    /// The paths of the command line.
    pub operands: Operands,
    /// How each source is copied.
    pub copy: CopyOptions,
    /// `--parents`: recreate the directories above each source below the target directory.
    pub parents: bool,
    /// `--manifest`: the file that lists the hash of each file of the copy; `-` is standard output.
    pub manifest: Option<PathBuf>,
    /// `-j`: the number of copiers, 1 to 512; `None` lets the plan choose and the run adapt it.
    pub jobs: Option<u16>,
    /// `--retries`: further attempts at an entry after a transient failure, 0 to 100; `None` lets the plan
    /// choose.
    pub retries: Option<u16>,
    /// `--progress`: when to draw the progress line.
    pub progress: When,
}

/// What the run does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Copy.
    Copy,
    /// `--check`: compare the target with what copying the source would produce.
    Check,
    /// `--check-manifest`: compare the files in a directory with a manifest.
    CheckManifest {
        /// The manifest; `-` is standard input.
        file: PathBuf,
        /// The directory.
        dir: PathBuf,
    },
}

/// How sources are copied; the same for all operands.
///
/// One flat structure, like GNU's `struct cp_options`: each field is one option of the manual, and code
/// asks for one of them at a time. Groups would only make the way to a field longer. A command line
/// begins with [`native`](Self::native) or [`gnu_cp`](Self::gnu_cp) and sets the fields that it names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyOptions {
    /// Whose command line it is.
    pub compat: Compat,
    /// `-a`, `-p`, `--preserve`, `--no-preserve`: which attributes are preserved.
    pub preserve: Preserve,
    /// `--update`: which existing files are updated.
    pub update: Update,
    /// `-i`: prompt before an existing file is overwritten.
    pub ask: bool,
    /// `--backup`: how an existing file is backed up before it is replaced; `None` without backups.
    pub backup: Option<Backup>,
    /// `-l`, `-s`, `--attributes-only`: what is made of a regular file.
    pub copy_mode: CopyMode,
    /// `-f`: links may replace existing files; in GNU cp compatibility mode, an existing file that cannot be
    /// opened for writing is removed.
    pub force: bool,
    /// `--remove-destination`: an existing file is removed before it would be opened.
    pub remove_destination: bool,
    /// `--inplace`: existing files are written into, and new directories are created under their final names.
    pub in_place: bool,
    /// `-R`: copy directories.
    pub recursive: bool,
    /// `--copy-contents`: read FIFOs and devices like regular files.
    pub copy_contents: bool,
    /// `-L`, `-H`, `-P`: which symbolic links in a source are followed.
    pub dereference: Dereference,
    /// `--keep-directory-symlink`: an existing symbolic link to a directory takes the place of a directory.
    pub keep_directory_symlink: bool,
    /// `POSIXLY_CORRECT`: a file may be created through a dangling symbolic link in the target.
    pub write_through_dangling: bool,
    /// `-x`: stay on the file system of each source.
    pub one_file_system: bool,
    /// `--sparse`: `Auto` keeps the holes of the source, `Always` makes more of blocks of zeros.
    pub sparse: When,
    /// `--reflink`: `Auto` clones where the file system can, `Always` fails where it cannot.
    pub reflink: When,
    /// The hash that is taken of each file while it is copied, if one is needed.
    pub hash: Option<Algorithm>,
    /// `--context`: the SELinux context of everything that is created; empty means the kernel's default.
    pub context: Option<OsString>,
    /// `--checksum`: the contents of a file, not its times, decide whether it is up to date.
    pub checksum: bool,
    /// `--fsync`: data is flushed to stable storage before it is published and before a successful end.
    pub fsync: bool,
    /// `--verify`: written data is re-read from the disk and compared with what was read from the source.
    pub verify: bool,
    /// `-q`, `-v`, `--debug`: how much is printed.
    pub verbosity: Verbosity,
}

impl CopyOptions {
    /// What `pcopy` does without options.
    pub const fn native() -> Self {
        Self {
            compat: Compat::Native,
            preserve: Preserve::DEFAULT,
            update: Update::Different,
            ask: false,
            backup: None,
            copy_mode: CopyMode::Copy,
            force: false,
            remove_destination: false,
            in_place: false,
            recursive: true,
            copy_contents: false,
            dereference: Dereference::Never,
            keep_directory_symlink: false,
            write_through_dangling: false,
            one_file_system: false,
            sparse: When::Auto,
            reflink: When::Auto,
            hash: None,
            context: None,
            checksum: false,
            fsync: false,
            verify: false,
            verbosity: Verbosity::Normal,
        }
    }

    /// What GNU `cp` does without options, but for what follows from `-r` and its absence: symbolic links
    /// are followed and special files read only without it.
    pub fn gnu_cp() -> Self {
        Self {
            compat: Compat::Gnu,
            preserve: Preserve::NOTHING,
            update: Update::All,
            in_place: true,
            recursive: false,
            ..Self::native()
        }
    }

    /// Whether the name of each entry is printed on standard output when it is complete.
    pub fn verbose(&self) -> bool {
        self.verbosity >= Verbosity::Verbose
    }

    /// Whether it is also printed how each file was copied.
    pub fn debug(&self) -> bool {
        self.verbosity >= Verbosity::Debug
    }

    /// Whether staged data is flushed to stable storage before it is published.
    pub fn writes_back_before_publish(&self) -> bool {
        self.fsync || self.verify
    }

    /// Whether a later round must know which entries are done. Otherwise it would take them for existing
    /// entries: a backup of one would replace the backup of the user's file, and the user would be asked
    /// about it, or it would be reported a second time.
    pub fn must_remember(&self) -> bool {
        let makes_again = self.in_place || self.update == Update::All;
        self.backup.is_some()
            || self.ask
            || self.update == Update::NoneFail
            || self.verbose() && makes_again
    }
}

/// How much is printed; each level prints what the one before it does, and more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verbosity {
    /// `-q`: errors only.
    Quiet,
    /// Errors, warnings and a summary.
    Normal,
    /// `-v`: also the name of each entry.
    Verbose,
    /// `--debug`: also how each file was copied.
    Debug,
}

/// The program whose command line, messages and exit codes the user expects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compat {
    /// pcopy itself.
    Native,
    /// GNU cp compatibility mode: pcopy was started as `cp`.
    Gnu,
}

/// Which attributes of a source its copy preserves, beside type and contents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preserve {
    /// Permission bits.
    pub permissions: Permissions,
    /// User and group, as far as the process may set them.
    pub ownership: bool,
    /// Times of last access and last modification.
    pub timestamps: bool,
    /// Hard links between files.
    pub links: Links,
    /// POSIX ACLs.
    pub access_lists: bool,
    /// Extended attributes other than ACLs and security contexts.
    pub attributes: Preservation,
    /// The SELinux context.
    pub context: Preservation,
}

impl Preserve {
    /// What `cp -r` preserves: nothing.
    pub const NOTHING: Self = Self {
        permissions: Permissions::Masked,
        ownership: false,
        timestamps: false,
        links: Links::No,
        access_lists: false,
        attributes: Preservation::No,
        context: Preservation::No,
    };

    /// What `pcopy` preserves by default: permission bits, times and hard links.
    pub const DEFAULT: Self = Self {
        permissions: Permissions::Exact,
        timestamps: true,
        links: Links::HardLinks,
        ..Self::NOTHING
    };

    /// The mode, before the umask, of a directory that is created under its final name; `source` is the
    /// mode of its source. The directory is private to its owner until it is complete, except where no
    /// later step sets the mode: then a killed run must not leave it private.
    pub fn initial_mode(&self, source: u32) -> u32 {
        match self.permissions {
            Permissions::Exact => 0o700,
            Permissions::Masked => source & 0o777 | 0o700,
            Permissions::Fresh => 0o777,
        }
    }

    /// Whether anything is preserved that the kernel stores in extended attributes.
    pub fn looks_at_attributes(&self) -> bool {
        self.access_lists || self.attributes != Preservation::No || self.context != Preservation::No
    }
}

/// Which names of the source become hard links to one file in the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Links {
    /// None: each name becomes a file of its own.
    No,
    /// Hard links to one file.
    HardLinks,
    /// Hard links to one file and symbolic links to it that are followed, as with cp.
    AndFollowed,
}

/// Where the permission bits of a copy come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permissions {
    /// All bits of the source.
    Exact,
    /// The bits of the source without set-id bits, and without those that the umask, or the default ACL
    /// of the target directory, clears.
    Masked,
    /// Those of a new file, whatever the source has.
    Fresh,
}

/// Whether an attribute is preserved that not every file system supports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preservation {
    /// It is not preserved.
    No,
    /// It is preserved where the file system supports it.
    IfPossible,
    /// The entry fails where it cannot be preserved.
    Required,
}

/// What is made of a regular file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyMode {
    /// A file with the same contents.
    Copy,
    /// `-l`: a hard link to the source.
    HardLink,
    /// `-s`: a symbolic link to the source.
    Symlink,
    /// `--attributes-only`: a file with the preserved attributes and no contents.
    AttributesOnly,
}

/// Which symbolic links in a source are followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dereference {
    /// `-P`: none; they are copied as symbolic links.
    Never,
    /// `-H`: those that are operands.
    CommandLine,
    /// `-L`: all.
    Always,
}

/// Which existing files are updated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Update {
    /// Those whose type, size or modification time differs from the source's.
    Different,
    /// All.
    All,
    /// None: they are skipped.
    None,
    /// None, and each is an error.
    NoneFail,
    /// Those with an older modification time than the source.
    Older,
}

/// How an existing file is backed up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backup {
    /// Which name the backup gets.
    pub control: Control,
    /// The suffix of a simple backup; has no slash.
    pub suffix: OsString,
}

/// Which name a backup gets; cp's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    /// The name with the suffix; an older backup is replaced.
    Simple,
    /// The name with `.~1~`, `.~2~` and so on.
    Numbered,
    /// Numbered if the file has numbered backups already, else simple.
    Existing,
}

/// The paths of the command line, in the roles that its form gives them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operands {
    /// `SRC`: the copy is made next to it.
    Beside {
        /// The source.
        source: PathBuf,
        /// What is appended to its name.
        suffix: OsString,
    },
    /// `SRC... DST`: into DST if it is a directory, else as DST.
    Onto {
        /// The sources; at least one.
        sources: Vec<PathBuf>,
        /// The last operand.
        target: PathBuf,
    },
    /// `-T SRC DST`: as DST, even if that is a directory.
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
    /// Where it makes sense: for the progress line, if standard error is a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
