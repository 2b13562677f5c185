//! From options to a plan: what will be copied where, fixed before the first fork.
//!
//! Here the disk is looked at and nothing on it is changed, but for the folders that `--parents`
//! wants. Every reason to refuse the run is found here, so that a refusal never leaves anything half
//! done.

pub(crate) mod backup_name;
mod comparisons;
mod manifest_place;
mod note;
mod placement_gnu;
mod placement_native;
mod split_path;
mod symlinked_dirs;
mod waves;

pub use comparisons::{Check, Listed, ListedFile};
pub use manifest_place::{Listing, To};
pub use note::{Note, NoteKind, ParentError};
pub(crate) use split_path::trim;

use crate::error::{EntryError, Op, Refusal, ends_the_run};
use crate::options::{Command, Compat, CopyMode, CopyOptions, Dereference, Options};
use crate::policy::Policy;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use pcopy_sys::volume;
use placement_native::Planner;
use std::collections::HashMap;
use std::ffi::CString;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use symlinked_dirs::SymlinkedDirs;
pub(crate) use waves::fold;
use waves::waves;

/// The most copiers that may be asked for.
pub const JOBS_MAX: u16 = 512;

/// What will be done.
pub struct Plan {
    /// The things that the user named, each with its place in the target.
    pub operands: Vec<Operand>,
    /// The entries in the order in which they must be copied: what is in one wave may be copied
    /// side by side. More than one only if the contents of folders meet (`a/. b/. DST`), two
    /// sources have one name, or one lies in another (`--parents`); the last one named wins, as with cp.
    pub waves: Vec<Range<u32>>,
    /// How it will be done.
    pub options: CopyOptions,
    /// What the program that the user has started wants where the options do not say it.
    pub policy: Policy,
    /// The permission bits that are taken away from what has none of its own to keep.
    pub umask: u32,
    /// Folders above sources that `--parents` is about, the upper ones first.
    pub parents: Vec<Parent>,
    /// What planning has found that does not end the run, in the order of the operands.
    pub notes: Vec<Note>,
    /// The manifest that is written when the run has ended.
    pub manifest: Option<Listing>,
    /// What things are compared with, where nothing is copied.
    pub check: Option<Check>,
    /// How many copiers at most.
    pub jobs: u16,
    /// How many to begin with: fewer than `jobs` where the user leaves their number to the run.
    pub jobs_at_first: u16,
    /// How often an entry is tried again after a failure that may pass.
    pub retries: u16,
    /// The directories that the user named, if there are several: cp copies none of them again below
    /// a later one.
    named_dirs: HashMap<Identity, u32>,
    dirs: Vec<OwnedFd>,
    apart: SymlinkedDirs,
}

/// A folder above a source, and the one in the target that was made for it.
#[derive(Clone)]
pub struct Parent {
    /// As the user named it.
    pub source: PathBuf,
    /// What it is to become.
    pub target: PathBuf,
    /// Whether it was made for this run.
    pub new: bool,
}

/// One thing that the user named, and what it is to become.
pub struct Operand {
    /// Its name in its source directory; `.` if it has none of its own (`/`, `.`, `SRC/`).
    pub source_name: CString,
    /// Its name in its target directory; `.` for the contents of a directory (`SRC/.`).
    pub target_name: CString,
    /// The source as the user named it.
    pub source_shown: PathBuf,
    /// The target as the user would name it.
    pub target_shown: PathBuf,
    /// What stands before its names in a manifest.
    listed: Vec<u8>,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// The file system that it is on.
    pub device: u64,
    /// The earlier entries that become the same file: if one of them was copied, this one is not.
    pub again: Vec<u32>,
    /// Whether it is what the symlink leads to that is copied.
    pub follow: bool,
    /// What the source was before the target was made in it: only cp puts up with that.
    pub into_itself: Option<Stat>,
    /// The file that it would be written into, if that may have other names.
    written: Option<Identity>,
    /// What is copied.
    identity: Identity,
    source_dir: usize,
    target_dir: usize,
}

impl Plan {
    /// Looks at what the user named and decides; touches nothing.
    pub fn make(options: &Options) -> Result<Self, Refusal> {
        let mut planner = Planner::new(options);
        let mut check = None;
        let planned = match options.copy.compat {
            Compat::Native => match &options.command {
                Command::CheckManifest { file, dir } => {
                    Listed::read(file, dir).map(|(listed, notes)| {
                        planner.notes = notes;
                        check = Some(Check::Manifest(listed));
                    })
                }
                Command::Check => planner.add_to_compare(&options.operands).map(|()| {
                    check = Some(Check::Sources);
                }),
                Command::Copy => planner.add_all(&options.operands),
            },
            Compat::Gnu => planner.add_all_as_cp(&options.operands),
        };
        let planned = planned.and_then(|()| planner.set_context()).and_then(|()| {
            let wish = options.manifest.as_ref();
            wish.map(|wish| Listing::plan(wish, &planner.operands)).transpose()
        });
        let manifest = planned.inspect_err(|_| give_back(&planner.made))?;
        let apart = planner.set_apart();
        Ok(Self {
            waves: waves(&planner.operands, &planner.dirs, &planner.notes, &options.copy),
            options: options.copy.clone(),
            policy: Policy::of(options.copy.compat),
            manifest,
            check,
            umask: pcopy_sys::process::umask(),
            jobs: options.jobs.unwrap_or(JOBS_DEFAULT_MAX),
            jobs_at_first: options.jobs.unwrap_or_else(default_jobs),
            retries: options.retries.unwrap_or_else(|| default_retries(&planner.dirs)),
            parents: std::mem::take(&mut planner.made),
            notes: std::mem::take(&mut planner.notes),
            named_dirs: planner.named_dirs,
            operands: planner.operands,
            dirs: planner.dirs,
            apart,
        })
    }

    /// Whether nothing more can be copied after this. cp goes on nevertheless.
    pub fn ends_with(&self, error: EntryError) -> bool {
        self.policy.stops_when_target_is_lost && self.check.is_none() && ends_the_run(error)
    }

    /// The entry before `entry` that is this directory, which must not be copied again below it.
    pub fn earlier_dir(&self, operand: u32, dir: Identity) -> Option<&Operand> {
        let earlier = self.named_dirs.get(&dir).filter(|&&earlier| earlier < operand)?;
        self.operands.get(*earlier as usize)
    }

    /// Whether an entry that is a folder goes into a folder that stands there.
    pub fn is_looked_for_inside(&self, operand: u32) -> bool {
        let operand = self.operands.get(operand as usize);
        operand.is_some_and(|operand| operand.is_dir && !operand.listed.is_empty())
    }

    /// Whether [`earlier_dir`](Self::earlier_dir) need be asked.
    pub fn has_earlier_dirs(&self) -> bool {
        self.named_dirs.len() > 1
    }

    /// Removes what was made for the plan, which is not carried out.
    pub fn give_back(&self) {
        give_back(&self.parents);
    }

    /// The directory that `entry`'s source is in.
    pub fn source_dir(&self, operand: &Operand) -> BorrowedFd<'_> {
        self.dirs[operand.source_dir].as_fd()
    }

    /// Opens the directory at `path` from the directory that `entry`'s source is in. Symlinks on the
    /// way are followed only if all are.
    pub fn open_source(&self, operand: &Operand, path: &[u8]) -> Result<OwnedFd, Errno> {
        match self.options.dereference {
            Dereference::Always => file::open_dir_following(self.source_dir(operand), path),
            _ => file::open_dir_beneath(self.source_dir(operand), path),
        }
    }

    /// Whether symlinks in a source directory are followed; `named` is the entry that the user named
    /// in it, if it is that which is looked for.
    pub fn follows(&self, named: Option<&Operand>) -> bool {
        self.options.dereference == Dereference::Always
            || named.is_some_and(|operand| operand.follow)
    }

    /// Opens the directory at `path` from the directory that `entry`'s target is in. Symlinks on the
    /// way are followed only if the user wants them to stand for directories.
    pub fn open_target(&self, operand: &Operand, path: &[u8]) -> Result<OwnedFd, Errno> {
        if self.options.keep_directory_symlink {
            file::open_dir_following(self.target_dir(operand), path)
        } else {
            file::open_dir_beneath(self.target_dir(operand), path)
        }
    }

    /// The same, only to reach what is in it by name: it need not be readable.
    pub fn reach_target(&self, operand: &Operand, path: &[u8]) -> Result<OwnedFd, Errno> {
        if self.options.keep_directory_symlink {
            return self.open_target(operand, path);
        }
        file::reach_dir_beneath(self.target_dir(operand), path)
    }

    /// The directory that `entry`'s target is in; it exists.
    pub fn target_dir(&self, operand: &Operand) -> BorrowedFd<'_> {
        self.dirs[operand.target_dir].as_fd()
    }
}

impl Operand {
    /// Where the source at `path` has its final place, from this entry's target directory.
    pub fn target_of(&self, path: &[u8]) -> Vec<u8> {
        [self.target_name.to_bytes(), below(path)].concat()
    }

    /// How the user would name the source at `path`, which begins with this entry's source name.
    pub fn show_source(&self, path: &[u8]) -> Vec<u8> {
        show(&self.source_shown, path)
    }

    /// How the user would name, in the end, the target of the source at `path`.
    pub fn show_target(&self, path: &[u8]) -> Vec<u8> {
        show(&self.target_shown, path)
    }
}

/// `shown` in place of the first component of `path`.
fn show(shown: &Path, path: &[u8]) -> Vec<u8> {
    let mut whole = shown.as_os_str().as_bytes().to_vec();
    let below = below(path);
    if !below.is_empty() && whole.last() == Some(&b'/') {
        whole.pop();
    }
    whole.extend_from_slice(below);
    whole
}

/// What follows the first component of `path`, with the slash before it.
fn below(path: &[u8]) -> &[u8] {
    let slash = path.iter().position(|&byte| byte == b'/');
    &path[slash.unwrap_or(path.len())..]
}

/// What it is called, and told when it fails, to make of `source` what the user wants.
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

fn give_back(made: &[Parent]) {
    for parent in made.iter().filter(|parent| parent.new).rev() {
        if std::fs::remove_dir(&parent.target).is_err() {
            // Somebody uses it already.
        }
    }
}

/// The most copiers, where the user names no number. Many more than processors keep the queue of a
/// cold disk full: measured cold, 18,000 files, 2 copiers 1.1 s, 8 copiers 0.48 s, 32 copiers 0.33 s.
const JOBS_DEFAULT_MAX: u16 = 32;

/// How many copiers to begin with, where the user names no number: even a lone processor has something
/// to do while one of two waits, and a lone copier would not show that work waits.
fn default_jobs() -> u16 {
    processors().clamp(2, JOBS_DEFAULT_MAX)
}

/// How often an entry is tried again where the user does not say it: a network has bad moments.
fn default_retries(dirs: &[OwnedFd]) -> u16 {
    if dirs.iter().any(volume::is_on_network) { 2 } else { 0 }
}

/// How many processors this process may use, as far as `-j` goes. Asks a dozen files.
fn processors() -> u16 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(processors).unwrap_or(JOBS_MAX).min(JOBS_MAX)
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
