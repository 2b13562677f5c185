//! Names that are one to the target, where it ignores case as FAT, NTFS and many a network disk do.
//!
//! Of `A` and `a` in the source one can be there, and the other must not take its place: that would be
//! a file lost without a word. In what this round has made, a name that is taken already says enough. In
//! what stood there it is asked what the target calls the thing that it has found under the name.

use super::dirs::Dirs;
use crate::ipc::report::{Fault, Step};
use crate::plan::Plan;
use crate::sys::Errno;
use crate::sys::file;
use crate::sys::listing::Listing;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// What is known of a target directory's ways with names.
#[derive(Default)]
pub(super) struct Folding {
    /// Whether it finds a name that is written otherwise; one more look for each directory in which
    /// anything stands.
    ignores_case: Cell<Option<bool>>,
    /// How its entries are written. Asked for only where case is ignored.
    names: RefCell<HashSet<CString>>,
    /// Of the names in the source that are one there, the first by its bytes. Asked for only where an
    /// entry is written otherwise than in the source.
    firsts: RefCell<HashMap<String, CString>>,
}

impl Dirs {
    /// Refuses to take what stands under `name` for an earlier copy of the entry of that name, if it is
    /// that of another entry.
    pub(super) fn check_name(&self, plan: &Plan, name: &CStr) -> Result<(), Fault> {
        if self.is_written(name).map_err(Step::LookAtTarget.fault())? {
            return Ok(());
        }
        let folded = fold(name);
        let names = self.folding.names.borrow();
        let mut others = names.iter().filter(|other| fold(other) == folded);
        // The user may have called it otherwise before: then the first gets it, whoever comes first.
        if others.any(|other| self.source_has(plan, other))
            || !self.is_first(plan, name, &folded)?
        {
            return Err(Step::JustCreated.fault()(Errno::EEXIST));
        }
        Ok(())
    }

    /// Whether what was found in the target under `name` is written so there.
    pub(super) fn is_written(&self, name: &CStr) -> Result<bool, Errno> {
        if !self.ignores_case(name) || self.folding.names.borrow().contains(name) {
            return Ok(true);
        }
        // It may have been made since.
        let names: HashSet<CString> = names_in(&self.target)?.into_iter().collect();
        let is_written = names.contains(name);
        self.folding.names.replace(names);
        Ok(is_written)
    }

    /// Whether no other name in the source that is the same there comes before this one.
    fn is_first(&self, plan: &Plan, name: &CStr, folded: &str) -> Result<bool, Fault> {
        let mut firsts = self.folding.firsts.borrow_mut();
        if firsts.is_empty() {
            let names = if self.contended {
                plan.entries.iter().map(|entry| entry.target_name.clone()).collect()
            } else {
                names_in(&self.source).map_err(Step::ReadDirectory.fault())?
            };
            for name in names {
                let first = firsts.entry(fold(&name)).or_insert_with(|| name.clone());
                if name < *first {
                    *first = name;
                }
            }
        }
        Ok(firsts.get(folded).is_none_or(|first| **first == *name))
    }

    /// Whether the target finds what it has under `name` under another one, too.
    fn ignores_case(&self, name: &CStr) -> bool {
        self.folding.ignores_case.get().unwrap_or_else(|| {
            let Some(other) = in_other_case(name) else { return false };
            let ignores = file::stat_at(&self.target, &other).is_ok();
            self.folding.ignores_case.set(Some(ignores));
            ignores
        })
    }

    /// Whether something that is copied to here has this name.
    fn source_has(&self, plan: &Plan, name: &CStr) -> bool {
        if self.contended {
            plan.entries.iter().any(|entry| *entry.target_name == *name)
        } else {
            self.stat_source(name).is_ok()
        }
    }
}

fn names_in(dir: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let dir = file::open_dir_at(dir, c".")?;
    let (mut listing, mut names) = (Listing::new(), Vec::new());
    while listing.fill(dir.as_fd())? {
        while let Some((_, name)) = listing.next_entry() {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// The name with small letters for capitals and the other way round; `None` if it has neither.
fn in_other_case(name: &CStr) -> Option<CString> {
    let turn = |byte: &u8| if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { *byte };
    let other: Vec<u8> = name.to_bytes().iter().map(turn).collect();
    CString::new(other).ok().filter(|other| **other != *name)
}

fn fold(name: &CStr) -> String {
    name.to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_letters_have_another_case() {
        assert_eq!(in_other_case(c"Read-Me.2"), Some(c"rEAD-mE.2".to_owned()));
        assert_eq!(in_other_case(c"2026.11"), None);
        assert_eq!(in_other_case(c"\xc3\x84a"), Some(c"\xc3\x84A".to_owned()));
    }
}
