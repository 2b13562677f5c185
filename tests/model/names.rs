//! Paths in a tree: the entries of a directory, the targets of symlinks, the names of backups.

use crate::common::testtree::{Node, Tree, What};
use crate::rules::{Control, Rules};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// Returns the names in a directory.
pub(crate) fn names_in(tree: &Tree, dir: &Path) -> Vec<OsString> {
    let inside = tree.keys().filter(|path| path.parent() == Some(dir));
    inside.map(|path| path.file_name().unwrap().to_owned()).collect()
}

/// Returns a path with all its symlinks followed; `None` if one is dangling or they are a loop.
pub(crate) fn resolve(tree: &Tree, path: &Path) -> Option<PathBuf> {
    let mut place = PathBuf::new();
    let mut rest: Vec<OsString> = path.iter().rev().map(OsString::from).collect();
    let mut turns = 0;
    while let Some(step) = rest.pop() {
        let is_dir = place.as_os_str().is_empty() || tree.get(&place)?.is_dir();
        match Path::new(&step).components().next() {
            _ if !is_dir => return None,
            Some(Component::ParentDir) => _ = place.pop(),
            Some(Component::Normal(_)) => {
                let next = place.join(&step);
                match &tree.get(&next)?.what {
                    What::Symlink(text) => {
                        turns += 1;
                        rest.extend(text.iter().rev().map(OsString::from));
                    }
                    _ => place = next,
                }
            }
            _ => {}
        }
        if turns > 40 {
            return None;
        }
    }
    Some(place)
}

/// Returns the name of the backup of an existing file; `None` if the name is too long or is that of a
/// directory.
pub(crate) fn backup_of(tree: &Tree, rules: &Rules, path: &Path) -> Option<PathBuf> {
    let name = path.file_name().unwrap().as_bytes();
    let others = names_in(tree, path.parent().unwrap());
    let last = others.iter().filter_map(|other| number_of(other.as_bytes(), name)).max();
    let is_numbered = match rules.control {
        Control::Numbered => true,
        Control::Existing => last.is_some(),
        Control::Simple | Control::Off => false,
    };
    let of_number = |number| OsString::from_vec([name, format!(".~{number}~").as_bytes()].concat());
    if let Some(latest) =
        last.filter(|_| is_numbered).map(|last| path.with_file_name(of_number(last)))
        && tree[&latest].file == tree[path].file
        && !tree[path].is_dir()
    {
        return Some(latest); // it is a backup of this file already
    }
    let numbered = format!(".~{}~", last.unwrap_or(0) + 1);
    let ending = if is_numbered { &numbered } else { rules.suffix };
    let name = OsString::from_vec([name, ending.as_bytes()].concat());
    let backup = path.with_file_name(&name);
    let is_free = !tree.get(&backup).is_some_and(Node::is_dir);
    (is_free && name.len() <= 255).then_some(backup)
}

/// Returns the number of a backup of `name`: 7 for `NAME.~7~`.
fn number_of(backup: &[u8], name: &[u8]) -> Option<u64> {
    let number = backup.strip_prefix(name)?.strip_prefix(b".~")?.strip_suffix(b"~")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}
