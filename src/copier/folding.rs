//! Names that differ only in case, where the target ignores case (FAT, NTFS, many network file systems).
//!
//! Of `A` and `a` in the source only one can exist in the target, and the other must not replace it: that
//! would lose a file silently. In a directory that this round created, it is enough that a name is taken
//! already. In an existing directory, the name under which the target lists the entry is compared.

use super::dir_pair::DirPair;
use crate::error::{EntryError, Op};
use crate::plan::{Plan, fold};
use pcopy_sys::Errno;
use pcopy_sys::dir_reader::DirReader;
use pcopy_sys::file::{self, Stat};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// What is known about case in the names of a target directory.
#[derive(Default)]
pub(super) struct Folding {
    /// Whether it finds a name in another case; takes one stat(2) per directory that has an existing entry.
    ignores_case: Cell<Option<bool>>,
    /// The names of its entries as it lists them. Read only if it ignores case.
    written: RefCell<ByFold>,
    /// The names of the entries that are copied into it. Read only if one is listed in another case.
    coming: RefCell<ByFold>,
}

/// Names by their case-folded form.
type ByFold = HashMap<String, Vec<CString>>;

impl DirPair {
    /// The status of the existing destination entry `name`; an error of `op` if that cannot be read.
    ///
    /// An error also if the existing entry is the copy of an entry whose name differs in case.
    pub(super) fn find(
        &self,
        plan: &Plan,
        name: &CStr,
        op: Op,
    ) -> Result<Option<Stat>, EntryError> {
        match file::stat_at(&self.target, name) {
            Ok(old) => {
                if !self.staged {
                    self.check_name(plan, name)?;
                }
                Ok(Some(old))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(op.error()(errno)),
        }
    }

    /// An error if what was found as `name` is the copy of an entry whose name differs in case.
    pub(super) fn check_name(&self, plan: &Plan, name: &CStr) -> Result<(), EntryError> {
        if self.is_written(name).map_err(Op::StatTarget.error())? {
            return Ok(());
        }
        let mut coming = self.folding.coming.borrow_mut();
        if coming.is_empty() {
            *coming = by_fold(self.coming_names(plan).map_err(Op::ReadDirectory.error())?);
        }
        let (folded, written) = (fold(name), self.folding.written.borrow());
        let [coming, written] =
            [&*coming, &*written].map(|names| names.get(&folded).map_or(&[][..], Vec::as_slice));
        // The target may list it in a case that no name of the source has. Then the first name in byte order
        // gets it, whichever is copied first.
        if coming.iter().any(|other| written.contains(other) || **other < *name) {
            return Err(Op::JustCreated.error()(Errno::EEXIST));
        }
        Ok(())
    }

    /// Whether the target lists what was found as `name` in that case.
    pub(super) fn is_written(&self, name: &CStr) -> Result<bool, Errno> {
        if !self.ignores_case(name) {
            return Ok(true);
        }
        let folded = fold(name);
        let mut written = self.folding.written.borrow_mut();
        if !written.contains_key(&folded) {
            *written = by_fold(names_in(&self.target)?); // created since the last listing
        }
        Ok(written.get(&folded).is_some_and(|names| names.iter().any(|written| **written == *name)))
    }

    /// Whether the target also finds the existing `name` in another case.
    fn ignores_case(&self, name: &CStr) -> bool {
        self.folding.ignores_case.get().unwrap_or_else(|| {
            let Some(other) = in_other_case(name) else { return false };
            let ignores = file::stat_at(&self.target, &other).is_ok();
            self.folding.ignores_case.set(Some(ignores));
            ignores
        })
    }

    /// The names of all entries that are copied into the directory.
    fn coming_names(&self, plan: &Plan) -> Result<Vec<CString>, Errno> {
        if self.contended {
            return Ok(plan.operands.iter().map(|operand| operand.target_name.clone()).collect());
        }
        names_in(&self.source)
    }
}

fn by_fold(names: Vec<CString>) -> ByFold {
    let mut all = ByFold::new();
    for name in names {
        all.entry(fold(&name)).or_default().push(name);
    }
    all
}

fn names_in(dir: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let dir = file::open_dir_at(dir, c".")?;
    let (mut listing, mut names) = (DirReader::new(), Vec::new());
    while listing.fill(dir.as_fd())? {
        while let Some((_, name)) = listing.next_entry() {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// The name with the case of its ASCII letters swapped; `None` if it has none.
fn in_other_case(name: &CStr) -> Option<CString> {
    let turn = |byte: &u8| if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { *byte };
    let other: Vec<u8> = name.to_bytes().iter().map(turn).collect();
    CString::new(other).ok().filter(|other| **other != *name)
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
