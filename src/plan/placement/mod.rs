//! Where each source is copied to: the native rules, and those of GNU cp.

mod gnu;
mod native;
mod native_checks;

use super::directories::Directories;
use super::notes::{Note, NoteKind};
use super::operands::Operand;
use crate::error::Refusal;
use crate::options::{Compat, CopyOptions, Dereference, Operands, Options, Permissions};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity};
use std::collections::{BTreeSet, HashMap};
use std::ffi::CString;
use std::ops::Range;
use std::path::Path;

/// The operands of a plan in the making, each with its place.
pub(super) struct Placement {
    pub(super) options: CopyOptions,
    /// Whether the directories above the sources are created in the target.
    with_parents: bool,
    pub(super) operands: Vec<Operand>,
    pub(super) dirs: Directories,
    pub(super) notes: Vec<Note>,
    /// The sources by their targets: directory and name.
    placed: HashMap<(usize, CString), Vec<PlacedSource>>,
    creations: Vec<Creation>,
}

/// A source that has a target.
struct PlacedSource {
    identity: Identity,
    /// The directory that the source is in: a hard link in another directory is another source.
    parent: Option<Identity>,
    name: CString,
    is_dir: bool,
    operand: u32,
}

/// Directories to be created before an operand can be copied.
struct Creation {
    /// Those of [`Directories::parents`], the upper ones first.
    parents: Vec<usize>,
    /// How many operands there were before.
    before: u32,
    /// Whether an operand followed; a source that cannot be copied has none.
    has_operand: bool,
    /// The notes about the source itself, which would not be there had the directories failed.
    notes: Range<usize>,
}

impl Placement {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            options: options.copy.clone(),
            with_parents: options.parents,
            operands: Vec::new(),
            dirs: Directories::default(),
            notes: Vec::new(),
            placed: HashMap::new(),
            creations: Vec::new(),
        }
    }

    /// Finds a target for each source of a copy.
    pub(super) fn place(&mut self, operands: &Operands) -> Result<(), Refusal> {
        match self.options.compat {
            Compat::Native => native::place(self, operands),
            Compat::Gnu => {
                gnu::place(self, operands);
                Ok(())
            }
        }
    }

    /// Finds the targets of sources that are only compared.
    pub(super) fn place_to_compare(&mut self, operands: &Operands) -> Result<(), Refusal> {
        native::place_to_compare(self, operands)
    }

    /// Has something reported before the next operand is copied.
    fn note(&mut self, kind: NoteKind) {
        let before = self.count();
        self.notes.push(Note { before, kind });
    }

    fn count(&self) -> u32 {
        u32::try_from(self.operands.len()).unwrap_or(u32::MAX)
    }

    /// Whether operands that are symbolic links are followed.
    fn follows_operands(&self) -> bool {
        self.options.dereference != Dereference::Never
    }

    /// Whether existing directories above a target get the attributes of the source's, as with `cp -p`.
    fn updates_parents(&self) -> bool {
        self.options.preserve.permissions == Permissions::Exact
    }

    /// The sources that become this name in the directory with this number, in their order.
    fn sources_at(&self, target: &(usize, CString)) -> Option<&Vec<PlacedSource>> {
        self.placed.get(target)
    }

    /// Whether an earlier operand is this very source, with this very target.
    fn is_named_twice(&self, operand: &Operand, parent: Option<Identity>) -> bool {
        let target = (operand.target_dir, operand.target_name.clone());
        self.placed.get(&target).into_iter().flatten().any(|earlier| {
            earlier.identity == operand.identity
                && (operand.is_dir
                    || earlier.parent == parent && earlier.name == operand.source_name)
        })
    }

    /// Adds an operand. Directories are merged with an earlier one of the same name, the last one
    /// winning, and files are copied after the earlier ones: only then it is known whether the second is to
    /// be copied. The same source, in the same directory `parent`, is not copied again.
    fn push(&mut self, mut operand: Operand, parent: Option<Identity>) {
        let once = operand.is_dir || self.options.backup.is_none();
        if once && self.is_named_twice(&operand, parent) {
            let source = operand.source_path;
            return self.note(NoteKind::NamedTwice { is_dir: operand.is_dir, source });
        }
        let number = self.count();
        let target = (operand.target_dir, operand.target_name.clone());
        let all = self.placed.entry(target).or_default();
        if !operand.is_dir || self.options.compat == Compat::Gnu {
            operand.again = all.iter().map(|earlier| earlier.operand).collect();
        }
        all.push(PlacedSource {
            identity: operand.identity,
            parent,
            name: operand.source_name.clone(),
            is_dir: operand.is_dir,
            operand: number,
        });
        self.operands.push(operand);
    }

    /// Remembers the directories that are to be created for a source, before which there were that many
    /// operands. The notes from number `notes` on are about the source itself.
    fn push_creation(&mut self, parents: Vec<usize>, before: u32, notes: usize) {
        if !parents.is_empty() {
            let has_operand = self.count() > before;
            let notes = notes..self.notes.len();
            self.creations.push(Creation { parents, before, has_operand, notes });
        }
    }

    /// Creates the directories that operands need. Where that fails the run is refused, or in GNU cp
    /// compatibility mode the operand is dropped and the failure reported.
    pub(super) fn create_parents(&mut self) -> Result<(), Refusal> {
        if self.creations.is_empty() {
            return Ok(());
        }
        let (mut dropped, mut failures) = (BTreeSet::new(), Vec::new());
        for creation in std::mem::take(&mut self.creations) {
            let operand = creation.has_operand.then_some(creation.before);
            let failure = match self.options.compat {
                Compat::Native => {
                    self.create_native(&creation.parents, operand)?;
                    None
                }
                Compat::Gnu => self.create_gnu(&creation.parents, operand).err(),
            };
            if let Some(kind) = failure {
                failures.push((creation.notes, Note { before: creation.before, kind }));
                dropped.extend(operand);
            }
        }
        // The last ones first, so that the numbers of the others stay.
        for (notes, failure) in failures.into_iter().rev() {
            self.notes.splice(notes, [failure]);
        }
        self.drop_operands(&dropped);
        self.refresh_containers();
        Ok(())
    }

    /// Removes operands, and gives the others their numbers.
    fn drop_operands(&mut self, dropped: &BTreeSet<u32>) {
        if dropped.is_empty() {
            return;
        }
        let (mut numbers, mut next) = (Vec::new(), 0);
        for number in 0..=self.count() {
            numbers.push(next);
            next += u32::from(!dropped.contains(&number));
        }
        let mut number = 0..;
        self.operands.retain(|_| !dropped.contains(&number.next().unwrap_or(u32::MAX)));
        for operand in &mut self.operands {
            operand.again.retain(|earlier| !dropped.contains(earlier));
        }
        self.renumber(&numbers);
    }

    /// Gives operands new numbers, by their old ones; the last is that of the end.
    pub(super) fn renumber(&mut self, numbers: &[u32]) {
        let new = |old: &mut u32| *old = numbers.get(*old as usize).copied().unwrap_or(*old);
        self.notes.iter_mut().for_each(|note| new(&mut note.before));
        self.operands.iter_mut().for_each(|operand| operand.again.iter_mut().for_each(new));
    }

    /// Looks again at sources that new directories were created in.
    fn refresh_containers(&mut self) {
        for operand in self.operands.iter_mut().filter(|operand| operand.into_itself.is_some()) {
            if let Ok(stat) = self.dirs.stat(operand.source_dir, &operand.source_name) {
                operand.into_itself = Some(stat);
            }
        }
    }

    /// The directories among the operands, each with the number of the first operand that is it. cp does not
    /// copy them once more below a later operand.
    pub(super) fn named_dirs(&self) -> HashMap<Identity, u32> {
        let mut named = HashMap::new();
        let is_cp = self.options.compat == Compat::Gnu;
        if is_cp && self.options.dereference != Dereference::Always {
            for (number, operand) in (0..).zip(&self.operands).filter(|(_, operand)| operand.is_dir)
            {
                named.entry(operand.identity).or_insert(number);
            }
        }
        named
    }
}

/// Which directory is at `path`; symbolic links are followed only if `follow`.
fn identity_of(path: &Path, follow: bool) -> Result<Identity, Errno> {
    file::stat_path(path, follow).map(|stat| stat.identity())
}
