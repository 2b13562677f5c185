//! The reasons for which `pcopy` refuses a target, and the messages of these refusals.

use super::{NativeRules, SourceParents};
use crate::error::Refusal;
use crate::options::{CopyMode, Update};
use crate::plan::operands::{Operand, SplitPath, trim};
use crate::plan::placement::identity_of;
use crate::sanitize::quote;
use crate::shell_quote;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use pcopy_sys::process;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

impl NativeRules<'_> {
    pub(super) fn check_source_with_parents(&self, source: &Path) -> Result<(), Refusal> {
        if SourceParents::of(source).is_none() {
            return Err(Refusal {
                message: format!("{} leads out of the target with --parents", shown(source)),
                hint: Some("name the source without '..'".into()),
            });
        }
        let stat = SplitPath::parse(trim(source))
            .stat()
            .map_err(|errno| Refusal::cannot("stat", source, errno).hint_if_missing(errno))?;
        if self.placed.follows_operands() && stat.kind() == Kind::Symlink {
            let end = file::stat_path(trim(source), true);
            end.map_err(|errno| Refusal::cannot("follow", source, errno))?;
        }
        Ok(())
    }

    /// Refuses two errors that copiers would otherwise find only in the middle of the run. Either one target
    /// path would have to be a directory for one source and a file for another; or a file exists where a
    /// directory must be created.
    pub(super) fn check_parents(
        &self,
        sources: &[PathBuf],
        directory: &Path,
    ) -> Result<(), Refusal> {
        let mut kinds: HashMap<PathBuf, bool> = HashMap::new();
        for source in sources {
            let Some(SourceParents { parents, place }) = SourceParents::of(source) else {
                continue;
            };
            let end = file::stat_path(trim(source), self.placed.follows_operands());
            let is_dir = end.is_ok_and(|stat| stat.kind() == Kind::Directory);
            let parents = parents.into_iter().map(|(_, to)| (to, true));
            for (to, is_parent) in parents.chain([(place, false)]) {
                let target = directory.join(to);
                let kind = is_parent || is_dir;
                if kinds.insert(target.clone(), kind) == Some(!kind) {
                    return Err(two_sources(&target));
                }
                let existing = file::stat_path(&target, true);
                if is_parent && existing.is_ok_and(|stat| stat.kind() != Kind::Directory) {
                    return Err(Refusal::cannot("create directory", &target, Errno::EEXIST));
                }
            }
        }
        Ok(())
    }

    /// Refuses symbolic links (`-s`) that would be dangling. The text of such a link is the source as the
    /// user named it.
    pub(super) fn check_symlink(&self, operand: &Operand) -> Result<(), Refusal> {
        if self.placed.options.copy_mode != CopyMode::Symlink || operand.source_path.is_absolute() {
            return Ok(());
        }
        let here = identity_of(Path::new("."), true).ok();
        if !operand.is_dir
            && here.is_some()
            && here == self.placed.dirs.identity(operand.target_dir)
        {
            return Ok(());
        }
        let target = shown(&operand.target_path);
        Err(Refusal {
            message: format!(
                "{target}: can make relative symbolic links only in current directory"
            ),
            hint: Some("name the source by its absolute path".into()),
        })
    }

    /// Refuses a source that would be copied onto or into itself, and a target that cannot be written.
    pub(super) fn check(
        &self,
        operand: &Operand,
        source: &Stat,
        target_dir: &Path,
    ) -> Result<(), Refusal> {
        let target = match self.placed.dirs.stat(operand.target_dir, &operand.target_name) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            // For example, the name may be too long for the file system; without this check, the run would
            // find that only at its end.
            Err(errno) => return Err(Refusal::cannot("create", &operand.target_path, errno)),
        };
        if let Some(target) = &target {
            self.check_same(operand, source, target, target_dir)?;
            self.check_type(operand, target)?;
        }
        let is_inside = operand.is_dir && self.placed.comes_to_target(operand);
        if is_inside && !self.placed.leaves_out_target(operand) {
            let (from, to) = (shown(&operand.source_path), shown(&operand.target_path));
            return Err(Refusal {
                message: format!("{to} lies inside {from}"),
                hint: Some(
                    "choose a target outside the source directory, or leave it out with --exclude"
                        .into(),
                ),
            });
        }
        if self.compares || self.placed.dirs.is_missing(operand.target_dir) {
            return Ok(());
        }
        let exists = target.is_some();
        let merged = target.filter(|target| operand.is_dir && target.kind() == Kind::Directory);
        let written = if merged.is_some() { &operand.target_path } else { target_dir };
        match file::may_write_dir(written) {
            // A directory of this user without its write bit is no obstacle. A copy of a read-only directory
            // is such a directory, and the next run must be able to resume it.
            Err(Errno::EACCES) if merged.is_some_and(|dir| dir.owner() == process::user()) => {
                Ok(())
            }
            // The copy may be complete already. If not, the first write ends the run.
            Err(Errno::EROFS) if exists => Ok(()),
            Err(Errno::EACCES | Errno::EPERM)
                if target.is_some_and(|target| may_be_complete(operand, source, &target)) =>
            {
                Ok(())
            }
            Err(errno) => Err(cannot_write(written, errno)),
            Ok(()) => Ok(()),
        }
    }

    /// Refuses a single source that is a directory while its target is none, and the reverse.
    fn check_type(&self, operand: &Operand, target: &Stat) -> Result<(), Refusal> {
        let is_link = target.kind() == Kind::Symlink;
        let follows = is_link && self.placed.options.keep_directory_symlink;
        // With the other values of `--update` the existing directory may be skipped.
        let update = self.placed.options.update;
        let is_replaced = operand.is_dir || matches!(update, Update::Different | Update::All);
        let is_refused = self.has_one_source && !self.compares && !self.placed.with_parents;
        if !is_refused
            || !is_replaced
            || follows
            || operand.is_dir == (target.kind() == Kind::Directory)
        {
            return Ok(());
        }
        let (from, to) = (shown(&operand.source_path), shown(&operand.target_path));
        if !operand.is_dir {
            let message = format!("cannot overwrite directory {to} with non-directory {from}");
            return Err(Refusal { message, hint: None });
        }
        let end = self.placed.dirs.stat_end(operand.target_dir, &operand.target_name);
        if is_link && end.is_ok_and(|end| end.kind() == Kind::Directory) {
            return Err(Refusal {
                message: format!("cannot overwrite symbolic link {to} with directory {from}"),
                hint: Some("--keep-directory-symlink copies into the directory behind it".into()),
            });
        }
        let message = format!("cannot overwrite non-directory {to} with directory {from}");
        Err(Refusal { message, hint: None })
    }

    /// Refuses a target that is its own source.
    fn check_same(
        &self,
        operand: &Operand,
        source: &Stat,
        target: &Stat,
        target_dir: &Path,
    ) -> Result<(), Refusal> {
        let path = target_dir.join(OsStr::from_bytes(operand.target_name.to_bytes()));
        let same = target.identity() == source.identity();
        let links = same || is_link_to_other((&operand.source_path, source), (&path, target));
        if !links || self.is_done_already(operand, same, &path) {
            return Ok(());
        }
        let kind = if operand.is_dir { "directory" } else { "file" };
        let (from, to) = (shown(&operand.source_path), shown(&operand.target_path));
        Err(Refusal {
            message: format!("{from} and {to} are the same {kind}"),
            hint: Some("choose another target; with SRC alone the copy is made beside it".into()),
        })
    }

    /// Whether the existing target may be the result of an earlier run, or must not be changed.
    fn is_done_already(&self, operand: &Operand, same: bool, target: &Path) -> bool {
        if operand.is_dir {
            return false;
        }
        match (self.placed.options.update, self.placed.options.copy_mode) {
            (Update::None | Update::NoneFail, _) => true,
            (_, CopyMode::HardLink) => same,
            (_, CopyMode::Symlink) => {
                std::fs::read_link(target).is_ok_and(|text| text == operand.source_path)
            }
            _ => false,
        }
    }
}

impl Refusal {
    pub(super) fn hint_if_missing(self, errno: Errno) -> Self {
        if errno == Errno::ENOENT {
            self.hint("check the spelling; nothing was copied")
        } else {
            self
        }
    }
}

pub(super) fn cannot_open(act: &str, dir: &Path, errno: Errno) -> Refusal {
    let refusal = Refusal::cannot(act, dir, errno);
    match errno {
        Errno::EMFILE => {
            refusal.hint("too many places at once: raise 'ulimit -n' or copy in several runs")
        }
        _ => hint_at_mkdir(refusal, dir, errno),
    }
}

/// Adds the command that creates `dir`, if that is what is missing.
fn hint_at_mkdir(refusal: Refusal, dir: &Path, errno: Errno) -> Refusal {
    if errno != Errno::ENOENT {
        return refusal;
    }
    let is_option = dir.as_os_str().as_bytes().starts_with(b"-");
    let dir = if is_option { Path::new(".").join(dir) } else { dir.to_owned() };
    let dir = shell_quote::quote_if_needed(dir.as_os_str().as_bytes());
    refusal.hint(format!("create the directory first: mkdir -p {dir}"))
}

pub(super) fn cannot_write(dir: &Path, errno: Errno) -> Refusal {
    let refusal = Refusal::cannot("write to", dir, errno);
    refusal.hint("choose a target that you may write, or another user")
}

pub(super) fn two_sources(target: &Path) -> Refusal {
    Refusal {
        message: format!("two sources would become {}", shown(target)),
        hint: Some("copy them in two runs, or into two directories".into()),
    }
}

/// Refuses a target that must be an existing directory and is none.
pub(super) fn not_a_directory(target: &Path) -> Refusal {
    match file::stat_path(target, false) {
        Ok(_) => {
            Refusal { message: format!("target {} is not a directory", shown(target)), hint: None }
        }
        Err(errno) => hint_at_mkdir(Refusal::cannot("copy into", target, errno), target, errno),
    }
}

pub(super) fn shown(path: &Path) -> String {
    quote(path.as_os_str().as_bytes())
}

/// Whether an existing target, which this user may not write to, looks complete at first sight: a directory that has
/// all names of the source, or a file of the same size.
fn may_be_complete(operand: &Operand, source: &Stat, target: &Stat) -> bool {
    if !operand.is_dir {
        return source.size() == target.size();
    }
    has_names_of(&operand.target_path, &operand.source_path) != Some(false)
}

/// Whether a directory has all names that `source` has; `None` if that has none.
pub(super) fn has_names_of(directory: &Path, source: &Path) -> Option<bool> {
    let mut names = std::fs::read_dir(source).ok()?.peekable();
    names.peek()?;
    let has = |name: &OsStr| directory.join(name).symlink_metadata().is_ok();
    Some(names.all(|entry| entry.is_ok_and(|entry| has(&entry.file_name()))))
}

/// Whether a directory has at least half of the names that `source` has, and any.
pub(super) fn has_most_names_of(directory: &Path, source: &Path) -> bool {
    /// The names of a large directory are not all looked up.
    const LOOKED_UP: usize = 1000;
    let Ok(names) = std::fs::read_dir(source) else { return false };
    let has = |name: &OsStr| directory.join(name).symlink_metadata().is_ok();
    let found: Vec<bool> =
        names.take(LOOKED_UP).flatten().map(|entry| has(&entry.file_name())).collect();
    let there = found.iter().filter(|found| **found).count();
    there > 0 && 2 * there >= found.len()
}

/// Whether one of the two is a symbolic link that leads to the other.
///
/// A link that replaced the file that it leads to would lead to itself, and the contents of the file would be
/// lost.
fn is_link_to_other(
    (source_path, source): (&Path, &Stat),
    (target_path, target): (&Path, &Stat),
) -> bool {
    let is_link = |stat: &Stat| stat.kind() == Kind::Symlink;
    // If both are links, the copy gets the same text, and no contents are lost.
    if is_link(source) == is_link(target) {
        return false;
    }
    identity_of(source_path, true).is_ok_and(|end| identity_of(target_path, true) == Ok(end))
}
