//! Folders for which a symlink in the target stands (`--keep-directory-symlink`).
//!
//! Such a symlink may lead to where another folder goes, as `lib` does to `usr/lib`: then two copiers
//! would meet there, and take each other's staged names for leftovers. So each of these folders is an
//! entry of its own, which the waves keep from all that it meets, and the walk that comes to it goes on
//! without it.

use super::placement_native::Planner;
use super::{Operand, Plan};
use crate::options::Dereference;
use pcopy_sys::file::{self, Kind};
use std::collections::HashSet;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// The folders, each by the entry in which the walk comes to it, and its path from where that is.
pub(super) type SymlinkedDirs = HashSet<(u32, Vec<u8>)>;

impl Plan {
    /// Whether the folder at `path`, which begins with the source name of `entry`, is an entry of its own.
    pub fn is_apart(&self, operand: u32, path: &[u8]) -> bool {
        !self.apart.is_empty() && self.apart.contains(&(operand, path.to_vec()))
    }

    /// Whether there is any such folder.
    pub fn has_apart(&self) -> bool {
        !self.apart.is_empty()
    }
}

impl Planner<'_> {
    /// Puts each of the folders behind the entry that it is found in.
    pub(super) fn set_apart(&mut self) -> SymlinkedDirs {
        let mut apart = SymlinkedDirs::new();
        if !self.options.keep_directory_symlink {
            return apart;
        }
        let number_of = |operands: &Vec<Operand>| u32::try_from(operands.len()).unwrap_or(u32::MAX);
        let mut operands = Vec::new();
        let mut numbers = Vec::new(); // the new ones, by the old ones
        for operand in std::mem::take(&mut self.operands) {
            numbers.push(number_of(&operands));
            let first = operands.len();
            operands.push(operand);
            let mut at = first;
            while at < operands.len() {
                for path in self.symlinks_for_folders(&operands[at]) {
                    let container = &operands[at];
                    // What cannot be opened is copied on the way, and told there.
                    let Some(operand) = self.folder_of(container, &path) else { continue };
                    let name = container.source_name.to_bytes();
                    let key = [name, b"/", path.as_os_str().as_bytes()].concat();
                    apart.insert((u32::try_from(at).unwrap_or(u32::MAX), key));
                    operands.push(operand);
                }
                at += 1;
            }
        }
        numbers.push(number_of(&operands));
        let new = |old: &mut u32| *old = numbers.get(*old as usize).copied().unwrap_or(*old);
        self.notes.iter_mut().for_each(|note| new(&mut note.before));
        self.named_dirs.values_mut().for_each(new);
        operands.iter_mut().for_each(|operand| operand.again.iter_mut().for_each(new));
        self.operands = operands;
        apart
    }

    /// The paths of folders below an entry in whose place the target has a symlink to a directory.
    fn symlinks_for_folders(&self, operand: &Operand) -> Vec<PathBuf> {
        let mut found = Vec::new();
        if !operand.is_dir {
            return found;
        }
        let mut walk = WalkDir::new(&operand.source_shown)
            .min_depth(1)
            .follow_links(self.options.dereference == Dereference::Always)
            .same_file_system(self.options.one_file_system)
            .into_iter();
        while let Some(next) = walk.next() {
            let Ok(next) = next else { continue }; // the copiers find the same, and tell it
            let Ok(path) = next.path().strip_prefix(&operand.source_shown) else { continue };
            if !next.file_type().is_dir() {
                continue;
            }
            let target = operand.target_shown.join(path);
            let kind = |follow| file::stat_path(&target, follow).map(|stat| stat.kind());
            match kind(false) {
                Ok(Kind::Directory) => continue,
                Ok(Kind::Symlink) if kind(true) == Ok(Kind::Directory) => {
                    found.push(path.to_owned());
                }
                _ => {}
            }
            walk.skip_current_dir();
        }
        found
    }

    /// The entry that a folder at `path` below another entry becomes.
    fn folder_of(&mut self, container: &Operand, path: &Path) -> Option<Operand> {
        let (source_shown, target_shown) =
            (container.source_shown.join(path), container.target_shown.join(path));
        let stat = file::stat_path(&source_shown, true).ok()?;
        if self.options.one_file_system && stat.identity().0 != container.device {
            return None;
        }
        let name = CString::new(path.file_name()?.as_bytes()).ok()?;
        let whole = [container.source_name.to_bytes(), b"/", path.as_os_str().as_bytes()].concat();
        Some(Operand {
            source_name: name.clone(),
            target_name: name,
            listed: container.listed_as(&whole),
            is_dir: true,
            device: stat.identity().0,
            again: Vec::new(),
            follow: false,
            into_itself: None,
            written: None,
            identity: stat.identity(),
            source_dir: self.open_dir(source_shown.parent()?).ok()?,
            target_dir: self.open_dir(target_shown.parent()?).ok()?,
            source_shown,
            target_shown,
        })
    }
}
