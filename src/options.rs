//! The options of a command line, as plain data. The parsers (`cli`) fill them in, and `plan` reads them.

use crate::hash::Algorithm;
use crate::mode_changes::ModeChanges;
use crate::plan_file::PlanFile;
use crate::selection::Selection;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The options of one command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Whether to copy or only to compare.
    pub command: Command,
    /// The paths of the command line.
    pub operands: Operands,
    /// How each source is copied.
    pub copy: CopyOptions,
    /// `--parents`: recreate the directories above each source below the target directory.
    pub parents: bool,
    /// `--mkpath`: create the missing directories above the target.
    pub make_path: bool,
    /// Whether a run is refused if a source or the target is on a disk of `/etc/fstab` that is not mounted; not with
    /// `--no-mount-guard`, and never for cp.
    pub guards_mounts: bool,
    /// `--require-mount`: directories at which something must be mounted; an empty path is the target.
    pub require_mounts: Vec<PathBuf>,
    /// `--require-file`: paths relative to the target that must exist.
    pub require_files: Vec<PathBuf>,
    /// `--manifest`: the file that lists the hash of each file of the copy; `-` is standard output.
    pub manifest: Option<PathBuf>,
    /// `--plan`: where what a copy would do is written, so that another run can do it.
    pub plan: Option<PlanRequest>,
    /// `--apply`: the plan to carry out; nothing else is copied.
    pub apply: Option<Arc<ApplyRequest>>,
    /// `-j`: the number of copiers, 1 to 512; with `None` the plan chooses a number and the parent adapts it
    /// during the run.
    pub jobs: Option<u16>,
    /// `--retries`: how often an entry is tried again after a transient failure, 0 to 100; with `None` the
    /// plan chooses.
    pub retries: Option<u16>,
    /// `--timeout`: for how long copiers may make no progress before the run ends; `None` for no limit.
    pub timeout: Option<Duration>,
    /// `--progress`: when to draw the progress line.
    pub progress: When,
    /// The same command line with `--max-delete=100%`, for a shell, if it has `--delete`.
    pub without_deletion_limit: Option<String>,
    /// The same command line with `-T`, for a shell, if it names one source and a target. It resumes the copy once the
    /// target exists: without `-T` the source would then be copied into it.
    pub with_no_target_directory: Option<String>,
}

/// A plan that is to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanRequest {
    /// The file that it is written to.
    pub file: PathBuf,
    /// The command line, with the name of the program: the plan is carried out with its options.
    pub arguments: Vec<OsString>,
}

/// A plan that is to be carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApplyRequest {
    /// The file that it was read from.
    pub file: PathBuf,
    /// The plan.
    pub plan: PlanFile,
}

/// What the run does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Copy the sources.
    Copy,
    /// `--check`: compare the target with the result that copying the sources would have.
    Check,
    /// `--explain`: print which selection rule decides about this path.
    Explain(PathBuf),
    /// `--check-manifest`: compare the files in a directory with a manifest, a list of file hashes.
    CheckManifest {
        /// The file with the manifest; `-` is standard input.
        file: PathBuf,
        /// The directory that the names in the manifest are relative to.
        dir: PathBuf,
    },
}

/// How sources are copied; the same for all operands.
///
/// The structure is flat, like GNU's `struct cp_options`: each field is one option of the manual, and code
/// asks for one of them at a time. Nested groups would only lengthen the access to a field. A parser begins
/// with [`native`](Self::native) or [`gnu_cp`](Self::gnu_cp) and sets the fields that the command line names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyOptions {
    /// The program whose command line the options come from.
    pub compat: Compat,
    /// `-a`, `-p`, `--preserve`, `--no-preserve`: which attributes are preserved.
    pub preserve: Preserve,
    /// `--chown`: the owner and the group that copies get in place of those of their sources.
    pub chown: NewOwner,
    /// `--chmod`: changes of the permission bits that copies get.
    pub chmod: ModeChanges,
    /// `--update`: which existing files are updated.
    pub update: Update,
    /// `-i`: prompt before an existing file is overwritten.
    pub ask: bool,
    /// `--backup`: how an existing file is backed up before it is replaced; `None` without backups.
    pub backup: Option<Backup>,
    /// `-l`, `-s`, `--attributes-only`: what a regular file becomes in the target.
    pub copy_mode: CopyMode,
    /// `-f`: links may replace existing files. In GNU cp compatibility mode, an existing file that cannot be
    /// opened for writing is removed.
    pub force: bool,
    /// `--remove-destination`: existing files are removed instead of being opened for writing.
    pub remove_destination: bool,
    /// `--inplace`: copiers write into existing files and create new directories under their final names.
    pub in_place: bool,
    /// `--write-devices`: a device that is named as the target is written into.
    pub write_devices: bool,
    /// `-R`: copy directories.
    pub recursive: bool,
    /// `--copy-contents`: read FIFOs and devices like regular files.
    pub copy_contents: bool,
    /// `--exclude`, `--include`, `--filter`: the rules that select entries; `None` if all entries are taken.
    pub selection: Option<Arc<Selection>>,
    /// `-L`, `-H`, `-P`: which symbolic links in a source are followed.
    pub dereference: Dereference,
    /// `--keep-directory-symlink`: a directory is copied into the directory that an existing symbolic link
    /// leads to.
    pub keep_directory_symlink: bool,
    /// `POSIXLY_CORRECT`: copiers may create a file through a dangling symbolic link in the target.
    pub write_through_dangling: bool,
    /// `-x`: stay on the file system of each source.
    pub one_file_system: bool,
    /// `--sparse`: `Auto` preserves the holes of the source, `Always` also makes holes from blocks of zeros.
    pub sparse: When,
    /// `--reflink`: `Auto` clones files if the file system supports it, `Always` fails if it does not.
    pub reflink: When,
    /// The algorithm with which copiers hash each file while they copy it; `None` if no hash is needed.
    pub hash: Option<Algorithm>,
    /// `--context`: the SELinux context of all entries that the run creates; empty means the kernel's
    /// default.
    pub context: Option<OsString>,
    /// `--checksum`: the contents of a file, and not its times, decide whether it is up to date.
    pub checksum: bool,
    /// `--ignore-ctime`: a file whose copy has its size and modification time is up to date, whenever its status has
    /// changed last.
    pub ignore_ctime: bool,
    /// `--modify-window`: modification times that differ by no more than this are the same.
    pub modify_window: Duration,
    /// `--fsync`: data is flushed to stable storage before it is published and before a run ends
    /// successfully.
    pub fsync: bool,
    /// `--verify`: written data is read back from the disk and compared with the data that was read from the
    /// source.
    pub verify: bool,
    /// `-q`, `-v`, `--debug`: how much is printed.
    pub verbosity: Verbosity,
    /// `--itemize-changes`: print what is changed of each entry.
    pub itemize_changes: bool,
    /// `--dry-run`: change nothing, and print what a run would do.
    pub dry_run: bool,
    /// `--check-first`: find out what the run would do, and copy only if there is room for it.
    pub check_first: bool,
    /// `--plan`: a dry run that finds out what another run is to do.
    pub plans: bool,
    /// `--apply`: do what a plan says, and nothing else.
    pub applies: bool,
    /// `--delete`: remove from the target what the source does not have; `None` if it stays.
    pub deletion: Option<Deletion>,
}

impl CopyOptions {
    /// Whether what is extraneous is removed before anything is copied.
    pub fn deletes_before(&self) -> bool {
        self.deletion.is_some_and(|deletion| deletion.before)
    }

    /// Returns the options of `pcopy` without arguments.
    pub const fn native() -> Self {
        Self {
            compat: Compat::Native,
            preserve: Preserve::DEFAULT,
            chown: NewOwner { user: None, group: None },
            chmod: ModeChanges::none(),
            update: Update::Different,
            ask: false,
            backup: None,
            copy_mode: CopyMode::Copy,
            force: false,
            remove_destination: false,
            in_place: false,
            write_devices: false,
            recursive: true,
            copy_contents: false,
            selection: None,
            dereference: Dereference::Never,
            keep_directory_symlink: false,
            write_through_dangling: false,
            one_file_system: false,
            sparse: When::Auto,
            reflink: When::Auto,
            hash: None,
            context: None,
            checksum: false,
            ignore_ctime: false,
            modify_window: Duration::ZERO,
            fsync: false,
            verify: false,
            verbosity: Verbosity::Normal,
            itemize_changes: false,
            dry_run: false,
            check_first: false,
            plans: false,
            applies: false,
            deletion: None,
        }
    }

    /// Returns the options of GNU `cp` without arguments, except for the fields that depend on `-r`. Without
    /// `-r`, cp follows symbolic links and reads special files; the parser sets these fields.
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

    /// Whether to print the name of each complete entry on standard output.
    pub fn verbose(&self) -> bool {
        self.verbosity >= Verbosity::Verbose
    }

    /// Whether to print also how each file was copied.
    pub fn debug(&self) -> bool {
        self.verbosity >= Verbosity::Debug
    }

    /// Whether to find out what is changed of each entry.
    pub fn finds_changes(&self) -> bool {
        self.itemize_changes || self.plans
    }

    /// Whether copiers flush staged data to stable storage before they publish it.
    pub fn writes_back_before_publish(&self) -> bool {
        self.fsync || self.verify
    }

    /// Whether the parent must remember which entries are done, for the round that follows the death of a
    /// copier.
    ///
    /// Otherwise the later round would take finished entries for existing entries of the user. It would
    /// replace the backup of the user's file by a backup of the copy, prompt for the copy, or report the
    /// entry a second time.
    pub fn must_remember(&self) -> bool {
        let makes_again = self.in_place || self.update == Update::All;
        self.backup.is_some()
            || self.ask
            || self.applies
            || self.update == Update::NoneFail
            || self.verbose() && makes_again
    }
}

/// How what only the target has is removed, and what keeps it from being removed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Deletion {
    /// `--delete-before`: before anything is copied, so that there is more room.
    pub before: bool,
    /// `--max-delete`: of how many entries nothing is removed.
    pub limit: DeletionLimit,
    /// `--allow-empty-source`: also if the source has no entry at all.
    pub allows_empty_source: bool,
    /// `--delete-despite-errors`: also if a directory of the source could not be read.
    pub despite_errors: bool,
    /// `--delete-in-system-directory`: also in a directory such as `/etc`.
    pub in_system_directory: bool,
}

/// How many entries may be removed. If more are extraneous, nothing is removed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum DeletionLimit {
    /// [`DEFAULT_PERCENT`](Self::DEFAULT_PERCENT) of the entries of the target, or fewer than
    /// [`ALWAYS`](Self::ALWAYS).
    #[default]
    Default,
    /// This many.
    Entries(u64),
    /// This share of the entries of the target, in percent.
    Percent(u8),
}

impl DeletionLimit {
    /// The share of the entries of the target that may be removed without an option, in percent.
    pub const DEFAULT_PERCENT: u8 = 50;

    /// Without an option, the share does not matter for fewer removals: in a small directory each has a large one.
    pub const ALWAYS: u64 = 20;

    /// Whether this many of the `all` entries of the target may be removed.
    pub fn permits(self, removals: u64, all: u64) -> bool {
        let is_within =
            |percent: u8| u128::from(removals) * 100 <= u128::from(all) * u128::from(percent);
        match self {
            Self::Entries(most) => removals <= most,
            Self::Percent(percent) => is_within(percent),
            Self::Default => removals < Self::ALWAYS || is_within(Self::DEFAULT_PERCENT),
        }
    }
}

/// How much is printed. Each level also prints what the level before it prints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verbosity {
    /// `-q`: only errors.
    Quiet,
    /// Errors, warnings and a summary.
    Normal,
    /// `-v`: also the name of each complete entry.
    Verbose,
    /// `--debug`: also how each file was copied.
    Debug,
}

/// The program that the user started; decides the command line, the messages and the exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compat {
    /// `pcopy` itself.
    Native,
    /// GNU cp compatibility mode: the user started pcopy as `cp`.
    Gnu,
}

/// The attributes of a source that its copy preserves, besides type and contents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preserve {
    /// Permission bits.
    pub permissions: Permissions,
    /// Whether a copy must get the permission bits, if they are preserved exactly.
    pub permissions_required: bool,
    /// Whether an existing directory keeps its set-group-ID bit with the group write permission, and DST its
    /// whole mode, although permission bits are preserved: the user has not asked for them.
    pub keeps_dir_modes: bool,
    /// User and group, as far as the kernel lets the process set them.
    pub ownership: Preservation,
    /// The times of last access and last modification.
    pub timestamps: Preservation,
    /// `--omit-dir-times`: directories do not get the times of their sources.
    pub omits_dir_times: bool,
    /// Hard links between files.
    pub links: Links,
    /// POSIX ACLs.
    pub access_lists: Preservation,
    /// Extended attributes other than ACLs and security contexts.
    pub attributes: Preservation,
    /// The SELinux context.
    pub context: Preservation,
}

impl Preserve {
    /// What `cp -r` preserves: nothing.
    pub const NOTHING: Self = Self {
        permissions: Permissions::Masked,
        permissions_required: false,
        keeps_dir_modes: false,
        ownership: Preservation::No,
        timestamps: Preservation::No,
        omits_dir_times: false,
        links: Links::No,
        access_lists: Preservation::No,
        attributes: Preservation::No,
        context: Preservation::No,
    };

    /// What `pcopy` preserves by default: permission bits, times and hard links.
    pub const DEFAULT: Self = Self {
        permissions: Permissions::Exact,
        keeps_dir_modes: true,
        timestamps: Preservation::IfPossible,
        links: Links::HardLinks,
        ..Self::NOTHING
    };

    /// Whether to preserve any attribute that the kernel stores as an extended attribute.
    pub fn looks_at_attributes(&self) -> bool {
        self.access_lists.is_wanted() || self.attributes.is_wanted() || self.context.is_wanted()
    }
}

/// The owner and the group that the user has named for all copies (`--chown`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct NewOwner {
    /// The user ID; `None` if no user is named.
    pub user: Option<u32>,
    /// The group ID; `None` if no group is named.
    pub group: Option<u32>,
}

/// Which names in the source become hard links to one file in the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Links {
    /// None: each name becomes a separate file.
    No,
    /// Names that are hard links to one file.
    HardLinks,
    /// Names that are hard links to one file, and followed symbolic links to that file, as with cp.
    AndFollowed,
}

/// Where the permission bits of a copy come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permissions {
    /// All permission bits of the source.
    Exact,
    /// The permission bits of the source without set-id bits, and without the bits that the umask or the
    /// default ACL of the target directory clears.
    Masked,
    /// The permission bits of any new file, independent of the source.
    Fresh,
}

/// How strictly to preserve an attribute, which some file systems or kernels refuse to set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preservation {
    /// Do not preserve the attribute.
    No,
    /// Preserve the attribute where possible. If it is lost, the copy still counts as successful.
    IfPossible,
    /// Preserve the attribute, because the user has named it. If it is lost, the run fails, but the copy has
    /// everything else.
    Required,
}

impl Preservation {
    /// Whether to preserve the attribute at all.
    pub fn is_wanted(self) -> bool {
        self != Self::No
    }
}

/// What a regular file becomes in the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyMode {
    /// A file with the same contents.
    Copy,
    /// `-l`: a hard link to the source.
    HardLink,
    /// `-s`: a symbolic link to the source.
    Symlink,
    /// `--attributes-only`: a file with the preserved attributes, but without contents.
    AttributesOnly,
}

/// Which symbolic links in a source are followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dereference {
    /// `-P`: none; symbolic links are copied as symbolic links.
    Never,
    /// `-H`: only symbolic links that are operands.
    CommandLine,
    /// `-L`: all symbolic links.
    Always,
}

/// Which existing files are updated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Update {
    /// Files whose type, size or modification time differs from the source's.
    Different,
    /// All files.
    All,
    /// No files: existing files are skipped.
    None,
    /// No files, and each existing file is an error.
    NoneFail,
    /// Files with an older modification time than the source.
    Older,
}

/// How an existing file is backed up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backup {
    /// Which name the backup gets.
    pub control: Control,
    /// The suffix of a simple backup; contains no slash.
    pub suffix: OsString,
    /// Whether `--suffix` gives the suffix.
    pub is_suffix_given: bool,
    /// `--backup-dir`: where the backups are; `None` if beside the files.
    pub dir: Option<PathBuf>,
}

/// Which name a backup gets; the variants are named as in cp's manual.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    /// The name with the suffix; an older backup of this name is replaced.
    Simple,
    /// The name with the next number: `.~1~`, `.~2~` and so on.
    Numbered,
    /// Numbered if the file already has numbered backups, otherwise simple.
    Existing,
}

/// The paths of the command line, by the form of the command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operands {
    /// `SRC`: copy it to a new name in the same directory.
    Beside {
        /// The source.
        source: PathBuf,
        /// The text to append to the name of the source.
        suffix: OsString,
    },
    /// `SRC... DST`: copy into DST if it is a directory, otherwise as DST.
    Onto {
        /// The sources; at least one.
        sources: Vec<PathBuf>,
        /// The target, which is the last path of the command line.
        target: PathBuf,
    },
    /// `-T SRC DST`: copy as DST, even if DST is a directory.
    Exactly {
        /// The source.
        source: PathBuf,
        /// The target.
        target: PathBuf,
    },
    /// `-t DIRECTORY SRC...`: copy into DIRECTORY.
    Into {
        /// The sources; at least one.
        sources: Vec<PathBuf>,
        /// The directory, which must exist.
        directory: PathBuf,
    },
}

impl Operands {
    /// Returns the path of the target as the user typed it; `None` if the copy is made next to the source.
    pub fn target(&self) -> Option<&Path> {
        match self {
            Self::Into { directory, .. } => Some(directory),
            Self::Onto { target, .. } | Self::Exactly { target, .. } => Some(target),
            Self::Beside { .. } => None,
        }
    }

    /// Returns the operands with relative paths below `dir`.
    pub fn below(self, dir: &Path) -> Self {
        let all = |paths: Vec<PathBuf>| paths.iter().map(|path| dir.join(path)).collect();
        match self {
            Self::Beside { source, suffix } => Self::Beside { source: dir.join(source), suffix },
            Self::Onto { sources, target } => {
                Self::Onto { sources: all(sources), target: dir.join(target) }
            }
            Self::Exactly { source, target } => {
                Self::Exactly { source: dir.join(source), target: dir.join(target) }
            }
            Self::Into { sources, directory } => {
                Self::Into { sources: all(sources), directory: dir.join(directory) }
            }
        }
    }

    /// Returns the source, if there is one.
    pub fn only_source(&self) -> Option<&Path> {
        match self {
            Self::Into { sources, .. } | Self::Onto { sources, .. } => match &sources[..] {
                [source] => Some(source),
                _ => None,
            },
            Self::Beside { source, .. } | Self::Exactly { source, .. } => Some(source),
        }
    }
}

/// When to do something; `--progress`, `--sparse` and `--reflink` use it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Where it makes sense; for the progress line: if standard error is a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
