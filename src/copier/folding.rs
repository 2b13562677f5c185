//! Names that differ only in case, where the target ignores case (FAT, NTFS, many network file systems).
//!
//! If the source has `A` and `a`, only one of them can exist in the target. The other must not replace it,
//! because that would lose a file silently. In a directory that this round has created, a name that already
//! exists always means such a conflict. In an existing directory, a copier compares the name with the
//! spelling that the target lists.

use crate::error::{EntryError, Op};
use crate::plan::fold;
use pcopy_sys::Errno;
use pcopy_sys::dir_reader::DirReader;
use pcopy_sys::file;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// What a copier knows about case in the names of a target directory.
#[derive(Default)]
pub(super) struct Folding {
    /// Whether the target directory finds a name in another case; `None` until a copier has tried. The test
    /// takes one stat(2) for each directory that has an existing entry.
    ignores_case: Cell<Option<bool>>,
    /// The names of the target's entries, in the spelling that the target lists. A copier reads them only if
    /// the target ignores case.
    written: RefCell<ByFold>,
    /// The names of the entries that are copied into the target. A copier reads them only if the target lists
    /// one of them in another case.
    coming: RefCell<ByFold>,
}

/// Names by their case-folded form.
type ByFold = HashMap<String, Vec<CString>>;

impl Folding {
    /// Fails if the existing entry found in `target` as `name` is the copy of an entry whose name differs
    /// only in case. `coming` returns the names of all entries that are copied into `target`.
    pub(super) fn check_name(
        &self,
        target: &OwnedFd,
        name: &CStr,
        coming: impl FnOnce() -> Result<Vec<CString>, Errno>,
    ) -> Result<(), EntryError> {
        if self.has_spelling(target, name).map_err(Op::StatTarget.error())? {
            return Ok(());
        }
        let mut known = self.coming.borrow_mut();
        if known.is_empty() {
            *known = by_fold(coming().map_err(Op::ReadDirectory.error())?);
        }
        let (folded, written) = (fold(name), self.written.borrow());
        let [coming, written] =
            [&*known, &*written].map(|names| names.get(&folded).map_or(&[][..], Vec::as_slice));
        // The target may list the entry in a spelling that no name of the source has. Then the first name in
        // byte order gets the entry, in whichever order the names are copied.
        if coming.iter().any(|other| written.contains(other) || **other < *name) {
            return Err(Op::JustCreated.error()(Errno::EEXIST));
        }
        Ok(())
    }

    /// Whether the target lists the entry found as `name` with exactly this spelling.
    pub(super) fn has_spelling(&self, target: &OwnedFd, name: &CStr) -> Result<bool, Errno> {
        if !self.ignores_case(target, name) {
            return Ok(true);
        }
        let folded = fold(name);
        let mut written = self.written.borrow_mut();
        if !written.contains_key(&folded) {
            *written = by_fold(names_in(target)?); // the first call, or an entry was created since
        }
        Ok(written.get(&folded).is_some_and(|names| names.iter().any(|written| **written == *name)))
    }

    /// Whether the target also finds the existing entry `name` if the name is written in another case.
    fn ignores_case(&self, target: &OwnedFd, name: &CStr) -> bool {
        self.ignores_case.get().unwrap_or_else(|| {
            let Some(other) = in_other_case(name) else { return false };
            let ignores = file::stat_at(target, &other).is_ok();
            self.ignores_case.set(Some(ignores));
            ignores
        })
    }
}

fn by_fold(names: Vec<CString>) -> ByFold {
    let mut all = ByFold::new();
    for name in names {
        all.entry(fold(&name)).or_default().push(name);
    }
    all
}

/// Returns the names of all entries of a directory.
pub(super) fn names_in(dir: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let dir = file::open_dir_at(dir, c".")?;
    let (mut listing, mut names) = (DirReader::new(), Vec::new());
    while listing.fill(dir.as_fd())? {
        while let Some((_, name)) = listing.next_entry() {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Returns the name with the case of its ASCII letters swapped; `None` if it has no such letters.
pub(super) fn in_other_case(name: &CStr) -> Option<CString> {
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
