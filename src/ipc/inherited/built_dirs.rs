//! The directories that a run builds. What a run makes is never one of its sources.
//!
//! A source may contain the target although no path says so: through a bind mount, or through a symbolic link
//! that `-L` follows. Copying would then find its own work, copy that, find the copy, and never end. So every
//! directory of the source is looked up here, by device and inode, when it is entered.
//!
//! Only the topmost directories that a run builds are here, not those below them: a walk comes to these only
//! through the topmost one. (`-L` may lead past it; so where a followed link ends, the directories above count,
//! too.) So the memory does not grow with a new copy. While directories are merged, it grows with the new
//! directories inside existing ones, by some bytes each.

use crate::ipc::memory::inode_set::InodeSet;
use pcopy_sys::file::Identity;
use std::collections::HashMap;

/// The topmost directories that this run builds or merges into.
#[derive(Default)]
pub(crate) struct BuiltDirs {
    /// The target directories of the operands, and the directories that `--parents` has created.
    operands: HashMap<Identity, OperandDir>,
    /// New directories inside existing ones. `None` if nothing is merged.
    nested: Option<InodeSet>,
}

struct OperandDir {
    /// The operands whose target this is; none for a directory above a target.
    operands: Vec<u32>,
    /// Whether this run or an interrupted one has created the directory.
    created: bool,
}

/// What a directory of the source has to do with the directories that the run builds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Overlap {
    /// The run builds or merges into the directory.
    Target,
    /// The run has created the directory for another operand: it was not there when the run began.
    CreatedForOther,
}

impl BuiltDirs {
    /// Adds the target directory of an operand, or with `None` a directory above it. Returns false if the
    /// directory was added before.
    pub(crate) fn add(&mut self, dir: Identity, operand: Option<u32>, created: bool) -> bool {
        let is_new = !self.operands.contains_key(&dir);
        let built =
            self.operands.entry(dir).or_insert(OperandDir { operands: Vec::new(), created });
        built.operands.extend(operand);
        is_new
    }

    /// Makes room for new directories inside existing ones. Must be called before the first fork(2).
    ///
    /// If the kernel has no memory for them, the run goes without: it then also fails to create its ring.
    pub(crate) fn expect_nested(&mut self) {
        self.nested = InodeSet::create().ok();
    }

    /// Whether copiers must add the new directories that they create inside existing ones.
    pub(crate) fn expects_nested(&self) -> bool {
        self.nested.is_some()
    }

    /// Adds a new directory that a copier has created inside an existing one.
    pub(crate) fn add_nested(&self, dir: Identity) {
        if let Some(nested) = &self.nested {
            nested.insert(dir);
        }
    }

    /// Whether this is one of the directories. May be true by chance for another directory, because nested
    /// ones are kept as hashes of 64 bits: one in 2^64 for each pair of directories.
    pub(crate) fn contains(&self, dir: Identity) -> bool {
        self.operands.contains_key(&dir) || self.is_nested(dir)
    }

    /// Whether the target directory of this operand is one of the directories.
    pub(crate) fn has_target_of(&self, operand: u32) -> bool {
        self.operands.values().any(|dir| dir.operands.contains(&operand))
    }

    /// Whether a later operand has the same target directory.
    pub(crate) fn has_later(&self, operand: u32) -> bool {
        self.operands.values().any(|dir| {
            dir.operands.contains(&operand) && dir.operands.iter().any(|&other| other > operand)
        })
    }

    fn is_nested(&self, dir: Identity) -> bool {
        self.nested.as_ref().is_some_and(|nested| nested.contains(dir))
    }

    /// Whether this is one of the directories that did not exist before the run.
    pub(crate) fn has_created(&self, dir: Identity) -> bool {
        self.operands.get(&dir).map_or_else(|| self.is_nested(dir), |built| built.created)
    }

    /// Returns whether and how a directory that was found below `operand` is one of the directories. An existing
    /// target of another operand is a directory like any other: only what is created in it is not copied.
    pub(crate) fn overlap(&self, dir: Identity, operand: u32) -> Option<Overlap> {
        let Some(built) = self.operands.get(&dir) else {
            return self.is_nested(dir).then_some(Overlap::Target);
        };
        if built.operands.is_empty() || built.operands.contains(&operand) {
            return Some(Overlap::Target);
        }
        built.created.then_some(Overlap::CreatedForOther)
    }

    /// Returns the directories that were added before the first fork.
    pub(crate) fn known(&self) -> impl Iterator<Item = Identity> {
        self.operands.keys().copied()
    }
}
