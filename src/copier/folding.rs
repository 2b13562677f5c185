//! Names that are one to the target, where it ignores case as FAT, NTFS and many a network disk do.
//!
//! Of `A` and `a` in the source one can be there, and the other must not take its place: that would be
//! a file lost without a word. In what this round has made, a name that is taken already says enough. In
//! what stood there it is asked what the target calls the thing that it has found under the name.

use super::dir_pair::DirPair;
use crate::error::{EntryError, Op};
use crate::plan::{Plan, fold};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Stat};
use pcopy_sys::listing::Listing;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// What is known of a target directory's ways with names.
#[derive(Default)]
pub(super) struct Folding {
    /// Whether it finds a name that is written otherwise; one more look for each directory in which
    /// anything stands.
    ignores_case: Cell<Option<bool>>,
    /// How its entries are written. Asked for only where case is ignored.
    written: RefCell<ByFold>,
    /// How those are that are copied to here. Asked for only where an entry is written otherwise.
    coming: RefCell<ByFold>,
}

/// Names, by what they are where case is ignored.
type ByFold = HashMap<String, Vec<CString>>;

impl DirPair {
    /// What stands in the target under `name`; a fault of `step` if that is not known.
    ///
    /// Refuses to take it for an earlier copy of the entry of that name, if it is that of another entry.
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

    /// Refuses what was found under `name` if it is another entry's.
    pub(super) fn check_name(&self, plan: &Plan, name: &CStr) -> Result<(), EntryError> {
        if self.is_written(name).map_err(Op::LookAtTarget.error())? {
            return Ok(());
        }
        let mut coming = self.folding.coming.borrow_mut();
        if coming.is_empty() {
            *coming = by_fold(self.coming_names(plan).map_err(Op::ReadDirectory.error())?);
        }
        let (folded, written) = (fold(name), self.folding.written.borrow());
        let [coming, written] =
            [&*coming, &*written].map(|names| names.get(&folded).map_or(&[][..], Vec::as_slice));
        // The user may have called it otherwise before: then the first gets it, whoever comes first.
        if coming.iter().any(|other| written.contains(other) || **other < *name) {
            return Err(Op::JustCreated.error()(Errno::EEXIST));
        }
        Ok(())
    }

    /// Whether what was found in the target under `name` is written so there.
    pub(super) fn is_written(&self, name: &CStr) -> Result<bool, Errno> {
        if !self.ignores_case(name) {
            return Ok(true);
        }
        let folded = fold(name);
        let mut written = self.folding.written.borrow_mut();
        if !written.contains_key(&folded) {
            *written = by_fold(names_in(&self.target)?); // it has been made since
        }
        Ok(written.get(&folded).is_some_and(|names| names.iter().any(|written| **written == *name)))
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

    /// The names of all that is copied to here.
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
