//! Turns options into a plan, which says what is copied where. The plan is complete before the first fork.
//!
//! Making a [`Draft`] only reads the file system, and refuses the run for every reason that reading can find.
//! When the run begins, [`Draft::begin`] creates the directories that `--parents` needs and turns the draft
//! into a [`Plan`].

mod applied;
pub(crate) mod backup_dir;
pub(crate) mod backup_name;
mod comparisons;
mod deletion_guard;
mod directories;
mod draft;
mod lost;
mod made_path;
mod manifest_line;
mod manifest_place;
mod mount_guard;
mod notes;
mod operands;
mod placement;
mod plan_output;
mod requirements;
mod stream_target;
mod symlinked_dirs;
mod waves;
mod xattr_rules;

use self::backup_dir::BackupDir;
pub use applied::{Applied, KeptDir, Role};
pub use comparisons::{Check, ListedFile, ListedFiles};
pub use deletion_guard::{Absent, DeletionGuard};
pub use directories::Parent;
pub use draft::Draft;
pub use manifest_line::BadManifestLine;
pub use manifest_place::{ManifestPlace, ManifestTarget};
pub use notes::{Note, NoteKind, ParentError, Severity};
pub use operands::Operand;
pub(crate) use operands::trim;
pub use plan_output::PlanOutput;
pub use stream_target::StreamTarget;
pub(crate) use waves::fold;
pub use xattr_rules::XattrRules;

use crate::error::{EntryError, Op, ends_the_run};
use crate::options::{CopyMode, CopyOptions, Dereference};
use crate::policy::Policy;
use made_path::MadePath;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use pcopy_sys::stdio;
use requirements::RequiredMounts;
use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;
use symlinked_dirs::SymlinkedDirs;

/// The maximum number of copiers that the user may ask for.
pub const JOBS_MAX: u16 = 512;

/// Where a directory in the target comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DirOrigin {
    /// This run creates the directory, or an interrupted run has begun it.
    New,
    /// The directory existed before the run.
    Existing,
    /// The directory existed before the run with this mode, which it keeps, because it is DST itself.
    Destination(u32),
}

/// Everything that the run will do.
///
/// The plan has many fields, because it holds all the data that the processes of a run share and that does
/// not change. It is complete before the first fork, and afterwards the processes only read it.
pub struct Plan {
    /// The operands: the sources of the command line, each with its target.
    pub operands: Vec<Operand>,
    /// The waves: ranges of operands, in the order in which they must be copied. Operands of one wave may be
    /// copied in parallel.
    ///
    /// Most plans have one wave. There are more if, for example, two sources have one target name, one target
    /// lies inside another (`--parents`), or the contents of directories are merged (`a/. b/. DST`). If two
    /// merged directories have a file of the same name, the operand that the user named last wins, as with
    /// cp.
    pub waves: Vec<Range<u32>>,
    /// How many sources of the command line a selection rule leaves out.
    pub left_out: u64,
    /// The options of the command line.
    pub options: CopyOptions,
    /// The behaviour of the program that the user started, where no option decides.
    pub policy: Policy,
    /// The permission bits that are cleared in the mode of a new entry.
    pub umask: u32,
    /// The ID of all owners and groups that have none in this user namespace, if owners are to be preserved and there
    /// may be such.
    pub unknown_id: Option<u32>,
    /// The target, if it is a stream; the plan then has one operand.
    pub stream: Option<StreamTarget>,
    /// Directories above sources, for `--parents`; a directory comes before those below it.
    pub parents: Vec<Parent>,
    /// Notes to report to the user during the run, in order.
    pub notes: Vec<Note>,
    /// The directories at which the same must be mounted at the end (`--require-mount`).
    pub required_mounts: RequiredMounts,
    /// What the run remembers of its sources, for `--delete`.
    deletion_guard: DeletionGuard,
    /// The command that removes what is extraneous, however much it is.
    pub without_deletion_limit: Option<String>,
    /// Where backups are kept; `None` if beside the files.
    pub backup_dir: Option<BackupDir>,
    /// The directories that were created above the target, for `--mkpath`.
    made_path: MadePath,
    /// Where the manifest (a list of file hashes) is written when the run has ended.
    pub manifest: Option<ManifestPlace>,
    /// Which extended attributes are not copied; empty if none are to be preserved.
    pub xattr_rules: XattrRules,
    /// What the target is compared with; `None` if the run copies.
    pub check: Option<Check>,
    /// Where the run writes what another run is to do (`--plan`).
    pub output: Option<PlanOutput>,
    /// What the run does, and nothing else (`--apply`).
    pub applied: Option<Applied>,
    /// The maximum number of copiers.
    pub jobs: u16,
    /// How many copiers the run begins with: fewer than `jobs` if the run adapts the number.
    pub jobs_at_first: u16,
    /// How often an entry is tried again after a transient failure.
    pub retries: u16,
    /// For how long copiers may make no progress before the run ends; `None` for no limit.
    pub timeout: Option<Duration>,
    /// The path of the copy, or of the directory that the copies are in.
    pub destination: PathBuf,
    /// The command that resumes the run once the target exists, if it is another one than that of this run: that one
    /// would then copy the source into the target.
    pub with_no_target_directory: Option<String>,
    /// The directories among the operands, only for cp. If cp finds one of them again below a later operand,
    /// it does not copy the directory a second time.
    named_dirs: HashMap<Identity, u32>,
    dirs: Vec<OwnedFd>,
    symlinked_dirs: SymlinkedDirs,
}

impl Plan {
    /// Whether the run must end after this error, because no other entry can be written either.
    pub fn ends_with(&self, error: EntryError) -> bool {
        let is_lost = matches!(error.op, Op::SourceLost | Op::TargetLost);
        self.policy.stops_when_target_is_lost
            && (self.check.is_none() || is_lost)
            && ends_the_run(error)
    }

    /// Whether this error ends the run by SIGPIPE.
    pub fn dies_with(&self, error: EntryError) -> bool {
        self.policy.dies_of_broken_pipe
            && (error.op, error.errno) == (Op::Write, Errno::EPIPE)
            && !stdio::sigpipe_was_ignored()
    }

    /// Returns the operand before `operand` that is the directory `dir`. Copiers must not copy that directory
    /// again below `operand`.
    pub fn earlier_dir(&self, operand: u32, dir: Identity) -> Option<&Operand> {
        let earlier = self.named_dirs.get(&dir).filter(|&&earlier| earlier < operand)?;
        self.operands.get(*earlier as usize)
    }

    /// Whether an operand is a directory whose target is a name inside DST, and not DST itself.
    pub fn is_inside_target(&self, operand: u32) -> bool {
        let operand = self.operands.get(operand as usize);
        operand.is_some_and(|operand| operand.is_dir && !operand.manifest_prefix.is_empty())
    }

    /// Returns where the target of the directory at `source` comes from; `source` begins with the source name
    /// of the operand. `new` says that this run has created the target.
    pub fn dir_origin(&self, operand: u32, source: &[u8], new: bool) -> DirOrigin {
        if new {
            return DirOrigin::New;
        }
        let is_top = !source.contains(&b'/');
        let operand = self.operands.get(operand as usize).filter(|_| is_top);
        operand.and_then(|operand| operand.destination).unwrap_or(DirOrigin::Existing)
    }

    /// Whether [`earlier_dir`](Self::earlier_dir) can return an operand at all.
    pub fn has_earlier_dirs(&self) -> bool {
        self.named_dirs.len() > 1
    }

    /// Removes the directories that were created for the plan, for a run that is refused.
    pub fn give_back(&self) {
        directories::remove_created(self.parents.iter());
        self.made_path.give_back();
    }

    /// Whether an entry of an open directory of the target is where the run writes its manifest.
    pub fn is_manifest(&self, dir: BorrowedFd<'_>, entry: &CStr) -> bool {
        let Some(ManifestPlace { to: ManifestTarget::File { dir: place, name, .. }, .. }) =
            &self.manifest
        else {
            return false;
        };
        let identity = |stat: Stat| stat.identity();
        name.as_os_str().as_bytes() == entry.to_bytes()
            && file::stat_path(place, true).map(identity) == file::stat_fd(dir).map(identity)
    }

    /// Returns the directory that contains the source of an operand.
    pub fn source_dir(&self, operand: &Operand) -> BorrowedFd<'_> {
        self.dirs[operand.source_dir].as_fd()
    }

    /// Opens the directory at `path`, relative to the directory that contains the source. Follows symbolic
    /// links in `path` only with `-L`.
    pub fn open_source(&self, operand: &Operand, path: &[u8]) -> Result<OwnedFd, Errno> {
        let (root, follow) =
            (self.source_dir(operand), self.options.dereference == Dereference::Always);
        let open = match (follow, self.options.dry_run) {
            (true, true) => file::open_dir_following_noatime,
            (true, false) => file::open_dir_following,
            (false, true) => file::open_dir_beneath_noatime,
            (false, false) => file::open_dir_beneath,
        };
        open(root, path)
    }

    /// Opens the directory of the source whose path for selection rules is `path` (see
    /// [`Operand::path_for_rules`]).
    pub fn open_below_named(&self, operand: &Operand, path: &[u8]) -> Result<OwnedFd, Errno> {
        let Some(below) = operand.strip_named(path) else {
            return file::open_dir(&operand.named_path().join(OsStr::from_bytes(path)));
        };
        let name = operand.source_name.to_bytes();
        self.open_source(
            operand,
            &[name, if below.is_empty() { b"" } else { b"/" }, below].concat(),
        )
    }

    /// Whether to follow a symbolic link in the source; `named` is the operand if the link is itself an
    /// operand.
    pub fn follows(&self, named: Option<&Operand>) -> bool {
        self.options.dereference == Dereference::Always
            || named.is_some_and(|operand| operand.follow)
    }

    /// Opens the directory at `path`, relative to the directory that contains the target. Follows symbolic
    /// links in `path` only with `--keep-directory-symlink`.
    ///
    /// If the user may search but not read the directory, opens it with `O_PATH`, which suffices for everything
    /// but listing and locking it.
    pub fn open_target(&self, operand: &Operand, path: &[u8]) -> Result<OwnedFd, Errno> {
        match self.open_readable_target(operand, path) {
            Err(Errno::EACCES) => searchable(self.reach_target(operand, path)?),
            result => result,
        }
    }

    /// Like [`open_target`](Self::open_target), but fails with `EACCES` if the user may not read the directory.
    pub fn open_readable_target(&self, operand: &Operand, path: &[u8]) -> Result<OwnedFd, Errno> {
        let open = match (self.options.keep_directory_symlink, self.options.dry_run) {
            (true, true) => file::open_dir_following_noatime,
            (true, false) => file::open_dir_following,
            (false, true) => file::open_dir_beneath_noatime,
            (false, false) => file::open_dir_beneath,
        };
        open(self.target_dir(operand), path)
    }

    /// Opens the directory like [`open_target`](Self::open_target), but always with `O_PATH`.
    pub fn reach_target(&self, operand: &Operand, path: &[u8]) -> Result<OwnedFd, Errno> {
        if self.options.keep_directory_symlink {
            return file::open_dir_path_following(self.target_dir(operand), path);
        }
        file::open_dir_path_beneath(self.target_dir(operand), path)
    }

    /// Opens the child `name` of a directory in the target with `O_PATH`. Fails with `EACCES` if the user may not
    /// access entries in the child.
    pub fn reach_target_child(&self, dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
        searchable(if self.options.keep_directory_symlink {
            file::open_dir_path_following(dir, name.to_bytes())?
        } else {
            file::open_dir_path_at(dir, name)?
        })
    }

    /// Returns the directory that contains the target of an operand. This directory exists.
    pub fn target_dir(&self, operand: &Operand) -> BorrowedFd<'_> {
        self.dirs[operand.target_dir].as_fd()
    }
}

/// Fails with `EACCES` if the user may not access entries in the directory.
fn searchable(dir: OwnedFd) -> Result<OwnedFd, Errno> {
    file::stat_at(&dir, c".").map(|_| dir)
}

/// Returns the operation that creates the copy of `source`, for the message if it fails.
pub(crate) fn op_to_create(options: &CopyOptions, source: &Stat) -> Op {
    match (source.kind(), options.copy_mode) {
        (Kind::Directory, _) => Op::CreateDirectory,
        (_, CopyMode::HardLink) => Op::HardLinkTo,
        (_, CopyMode::Symlink) => Op::SymlinkTo,
        (Kind::Symlink, _) => Op::CreateSymlink,
        (Kind::Special, _) if options.copy_contents => Op::Create,
        (Kind::Special, _) if source.is_fifo() => Op::CreateFifo,
        (Kind::Special, _) => Op::CreateNode,
        _ => Op::Create,
    }
}

/// Returns the identities of an open directory and of all directories above it, up to the root.
pub fn ancestors(dir: BorrowedFd<'_>) -> impl Iterator<Item = Identity> {
    let mut next = file::stat_fd(dir).ok().map(|stat| stat.identity());
    let mut at = dir.try_clone_to_owned().ok();
    std::iter::from_fn(move || {
        let identity = next.take()?;
        let parent = file::open_parent(at.take()?).ok();
        next = parent
            .as_ref()
            .and_then(|parent| file::stat_fd(parent).ok())
            .map(|stat| stat.identity())
            .filter(|&parent| parent != identity); // the parent of the root is the root
        at = parent;
        Some(identity)
    })
}
