//! From options to a plan: what will be copied where, fixed before the first fork.
//!
//! A [`Draft`] is made by looking only, and every reason to refuse the run that looking can find is found there.
//! When the run begins, [`Draft::begin`] creates the directories that `--parents` needs, and the draft becomes a
//! [`Plan`].

pub(crate) mod backup_name;
mod comparisons;
mod directories;
mod draft;
mod manifest_line;
mod manifest_place;
mod notes;
mod operands;
mod placement;
mod symlinked_dirs;
mod waves;

pub use comparisons::{Check, Listed, ListedFile};
pub use directories::Parent;
pub use draft::Draft;
pub use manifest_line::BadManifestLine;
pub use manifest_place::{ManifestPlace, ManifestTarget};
pub use notes::{Note, NoteKind, ParentError, Severity};
pub use operands::Operand;
pub(crate) use operands::trim;
pub(crate) use waves::fold;

use crate::error::{EntryError, Op, ends_the_run};
use crate::options::{CopyMode, CopyOptions, Dereference};
use crate::policy::Policy;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use std::collections::HashMap;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use symlinked_dirs::SymlinkedDirs;

/// The most copiers that may be asked for.
pub const JOBS_MAX: u16 = 512;

/// What will be done.
///
/// Many fields, because this is all that the processes of a run have in common: complete before the first
/// fork, and only read from then on.
pub struct Plan {
    /// The sources of the command line, each with its target.
    pub operands: Vec<Operand>,
    /// The operands in the order in which they must be copied: those of one wave may be copied in
    /// parallel. There is more than one wave only if the contents of directories meet (`a/. b/. DST`), two
    /// sources have one name, or one is inside another (`--parents`); the last one named wins, as with cp.
    pub waves: Vec<Range<u32>>,
    /// The options of the command line.
    pub options: CopyOptions,
    /// What follows from the program that the user has started, where the options leave it open.
    pub policy: Policy,
    /// The permission bits that are cleared in the mode of a new entry.
    pub umask: u32,
    /// Directories above sources, for `--parents`, the upper ones first.
    pub parents: Vec<Parent>,
    /// What is to be reported on the way, in order.
    pub notes: Vec<Note>,
    /// The manifest that is written when the run has ended.
    pub manifest: Option<ManifestPlace>,
    /// What the target is compared with, if nothing is copied.
    pub check: Option<Check>,
    /// The most copiers.
    pub jobs: u16,
    /// How many copiers to begin with: fewer than `jobs` if the run adapts their number.
    pub jobs_at_first: u16,
    /// Further attempts at an entry after a transient failure.
    pub retries: u16,
    /// The directories among the operands, for cp only: where it meets one of them again below a later operand,
    /// it does not copy it a second time.
    named_dirs: HashMap<Identity, u32>,
    dirs: Vec<OwnedFd>,
    symlinked_dirs: SymlinkedDirs,
}

impl Plan {
    /// Whether nothing more can be copied after this error.
    pub fn ends_with(&self, error: EntryError) -> bool {
        self.policy.stops_when_target_is_lost && self.check.is_none() && ends_the_run(error)
    }

    /// The operand before `operand` that is the directory `dir`, which must not be copied again below it.
    pub fn earlier_dir(&self, operand: u32, dir: Identity) -> Option<&Operand> {
        let earlier = self.named_dirs.get(&dir).filter(|&&earlier| earlier < operand)?;
        self.operands.get(*earlier as usize)
    }

    /// Whether an operand is a directory that is copied into an existing directory, and not as that directory.
    pub fn is_inside_target(&self, operand: u32) -> bool {
        let operand = self.operands.get(operand as usize);
        operand.is_some_and(|operand| operand.is_dir && !operand.manifest_prefix.is_empty())
    }

    /// Whether [`earlier_dir`](Self::earlier_dir) need be asked.
    pub fn has_earlier_dirs(&self) -> bool {
        self.named_dirs.len() > 1
    }

    /// Removes the directories that were created for the plan, if it is not carried out.
    pub fn give_back(&self) {
        directories::remove_created(self.parents.iter());
    }

    /// The directory that the source is in.
    pub fn source_dir(&self, operand: &Operand) -> BorrowedFd<'_> {
        self.dirs[operand.source_dir].as_fd()
    }

    /// Opens the directory at `path` below the directory that the source is in. Symbolic links on the way are
    /// followed only with `-L`.
    pub fn open_source(&self, operand: &Operand, path: &[u8]) -> Result<OwnedFd, Errno> {
        match self.options.dereference {
            Dereference::Always => file::open_dir_following(self.source_dir(operand), path),
            _ => file::open_dir_beneath(self.source_dir(operand), path),
        }
    }

    /// Whether symbolic links in a source directory are followed; `named` is the operand, if the entry is one.
    pub fn follows(&self, named: Option<&Operand>) -> bool {
        self.options.dereference == Dereference::Always
            || named.is_some_and(|operand| operand.follow)
    }

    /// Opens the directory at `path` below the directory that the target is in. Symbolic links on the way are
    /// followed only with `--keep-directory-symlink`.
    pub fn open_target(&self, operand: &Operand, path: &[u8]) -> Result<OwnedFd, Errno> {
        if self.options.keep_directory_symlink {
            file::open_dir_following(self.target_dir(operand), path)
        } else {
            file::open_dir_beneath(self.target_dir(operand), path)
        }
    }

    /// The same, to access entries in it by name only: it need not be readable.
    pub fn reach_target(&self, operand: &Operand, path: &[u8]) -> Result<OwnedFd, Errno> {
        if self.options.keep_directory_symlink {
            return self.open_target(operand, path);
        }
        file::open_dir_path_beneath(self.target_dir(operand), path)
    }

    /// The directory that the target is in; it exists.
    pub fn target_dir(&self, operand: &Operand) -> BorrowedFd<'_> {
        self.dirs[operand.target_dir].as_fd()
    }
}

/// The operation that creates the copy of `source`, as its failure is reported.
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

/// The identity of an open directory and of all directories above it, up to the root.
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
