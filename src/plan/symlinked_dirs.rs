//! Directories of a source for which the target has a symbolic link to a directory
//! (`--keep-directory-symlink`).
//!
//! Such a link may lead to a directory into which another source directory is copied. For example, the target
//! may have the link `lib` to `usr/lib`, and the source the directories `lib` and `usr/lib`. Then two copiers
//! would work in one directory, and each would take the staged files of the other for leftovers of a killed
//! run.
//!
//! Therefore each such directory becomes a separate operand, as if the user had named it. The waves keep it
//! apart from all operands that share directories with it. A copier that walks the original operand skips
//! this directory when it finds it.

use super::operands::{FoundSource, Operand, TargetPlace};
use super::placement::Placement;
use super::{Identity, Plan};
use crate::options::Dereference;
use crate::selection::{PathTrees, Selection};
use pcopy_sys::file::{self, Kind};
use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walkdir::WalkDir;

/// The directories: for each, the operand in which it was found, and its path, which begins with the source
/// name of that operand.
pub(super) type SymlinkedDirs = HashSet<(u32, Vec<u8>)>;

impl Plan {
    /// Whether the directory at `path` is a separate operand; `path` begins with the source name of
    /// `operand`.
    pub fn is_symlinked_dir(&self, operand: u32, path: &[u8]) -> bool {
        !self.symlinked_dirs.is_empty() && self.symlinked_dirs.contains(&(operand, path.to_vec()))
    }

    /// Whether any directory became a separate operand because the target has a symbolic link for it.
    pub fn has_symlinked_dirs(&self) -> bool {
        !self.symlinked_dirs.is_empty()
    }
}

impl Placement {
    /// Adds each directory for which the target has a symbolic link as an operand, after the operand in which
    /// it was found.
    pub(super) fn add_symlinked_dirs(
        &mut self,
        named_dirs: &mut HashMap<Identity, u32>,
    ) -> SymlinkedDirs {
        let mut found = SymlinkedDirs::new();
        if !self.options.keep_directory_symlink {
            return found;
        }
        let number_of = |operands: &[Operand]| u32::try_from(operands.len()).unwrap_or(u32::MAX);
        let mut operands = Vec::new();
        let mut numbers = Vec::new(); // the new number for each old number
        for operand in std::mem::take(&mut self.operands) {
            numbers.push(number_of(&operands));
            let mut at = operands.len();
            operands.push(operand);
            while at < operands.len() {
                for path in self.find_symlinked_dirs(&operands[at]) {
                    let container = &operands[at];
                    // A directory that cannot be opened is not separated, and the copier that finds it
                    // reports the error.
                    let Some(operand) = self.operand_below(container, &path) else { continue };
                    let name = container.source_name.to_bytes();
                    let key = [name, b"/", path.as_os_str().as_bytes()].concat();
                    found.insert((u32::try_from(at).unwrap_or(u32::MAX), key));
                    operands.push(operand);
                }
                at += 1;
            }
        }
        numbers.push(number_of(&operands));
        self.operands = operands;
        self.renumber(&numbers);
        let new = |old: &mut u32| *old = numbers.get(*old as usize).copied().unwrap_or(*old);
        named_dirs.values_mut().for_each(new);
        found
    }

    /// Returns the paths of the directories below an operand for which the target has a symbolic link to a
    /// directory.
    fn find_symlinked_dirs(&self, operand: &Operand) -> Vec<PathBuf> {
        let mut found = Vec::new();
        if !operand.is_dir {
            return found;
        }
        let mut walk = WalkDir::new(&operand.source_path)
            .min_depth(1)
            .follow_links(self.options.dereference == Dereference::Always)
            .same_file_system(self.options.one_file_system)
            .into_iter();
        while let Some(next) = walk.next() {
            let Ok(next) = next else { continue }; // the copiers find and report the same error
            let Ok(path) = next.path().strip_prefix(&operand.source_path) else { continue };
            if !next.file_type().is_dir() {
                continue;
            }
            let whole =
                [operand.source_name.to_bytes(), b"/", path.as_os_str().as_bytes()].concat();
            let is_left_out = |selection: &Arc<Selection>| {
                let trees = PathTrees {
                    source: &operand.named_path(),
                    target: Some(&operand.named_target()),
                    follows: self.options.dereference == Dereference::Always,
                    device: self.options.one_file_system.then(|| operand.device()),
                };
                selection.leaves_out(&trees, &operand.path_for_rules(&whole), Kind::Directory)
            };
            let is_entered =
                |selection: &Arc<Selection>| selection.enters(&operand.path_for_rules(&whole));
            if self.options.selection.as_ref().is_some_and(is_left_out) {
                walk.skip_current_dir();
                continue;
            }
            let target = operand.target_path.join(path);
            let kind = |follow| file::stat_path(&target, follow).map(|stat| stat.kind());
            match kind(false) {
                Ok(Kind::Directory) if self.options.selection.as_ref().is_none_or(is_entered) => {
                    continue;
                }
                Ok(Kind::Symlink) if kind(true) == Ok(Kind::Directory) => {
                    found.push(path.to_owned());
                }
                _ => {}
            }
            walk.skip_current_dir();
        }
        found
    }

    /// Returns a new operand for the directory at `path` below another operand.
    fn operand_below(&mut self, container: &Operand, path: &Path) -> Option<Operand> {
        let source_path = container.source_path.join(path);
        let target_path = container.target_path.join(path);
        let stat = file::stat_path(&source_path, true).ok()?;
        if self.options.one_file_system && stat.identity().0 != container.device() {
            return None;
        }
        let name = path.file_name()?;
        let whole = [container.source_name.to_bytes(), b"/", path.as_os_str().as_bytes()].concat();
        let source = FoundSource {
            dir: self.dirs.open(source_path.parent()?).ok()?,
            path: &source_path,
            name,
            stat,
            follow: false,
        };
        let target = TargetPlace {
            dir: self.dirs.open(target_path.parent()?).ok()?,
            path: target_path,
            name,
            manifest_prefix: container.name_in_manifest(&whole),
        };
        let below_named = container.path_for_rules(&whole);
        Some(Operand { below_named, ..Operand::new(source, target) })
    }
}
