//! Decides where each source is copied to, by the rules of `pcopy` or by those of GNU cp.

mod gnu;
mod native;

use super::directories::Directories;
use super::notes::{Note, NoteKind};
use super::operands::Operand;
use super::stream_target::StreamTarget;
use crate::error::Refusal;
use crate::options::{Compat, CopyOptions, Dereference, Operands, Options, Permissions};
use crate::selection::PathTrees;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind};
use std::collections::{BTreeSet, HashMap};
use std::ffi::CString;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The operands of a plan that is being made, each with its target.
pub(super) struct Placement {
    pub(super) options: CopyOptions,
    /// Whether the directories above the sources are created in the target (`--parents`).
    with_parents: bool,
    pub(super) operands: Vec<Operand>,
    pub(super) dirs: Directories,
    pub(super) notes: Vec<Note>,
    /// The target, if it is a stream; there is one source then.
    pub(super) stream: Option<StreamTarget>,
    /// How many sources a selection rule leaves out.
    pub(super) left_out: u64,
    /// The sources that have a target, by the directory and name of the target.
    placed: HashMap<(usize, CString), Vec<PlacedSource>>,
    creations: Vec<Creation>,
}

/// A source that has a target.
struct PlacedSource {
    identity: Identity,
    /// The directory that contains the source. A hard link to the source in another directory counts as
    /// another source.
    parent: Option<Identity>,
    name: CString,
    is_dir: bool,
    operand: u32,
}

/// Directories that must be created before an operand can be copied.
struct Creation {
    /// Indexes into [`Directories::parents`]; a directory comes before those below it.
    parents: Vec<usize>,
    /// How many operands the plan had before this one.
    before: u32,
    /// Whether an operand was added; a source that cannot be copied adds none.
    has_operand: bool,
    /// The notes about the source itself. They are dropped if the directories cannot be created.
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
            stream: None,
            left_out: 0,
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

    /// Adds a note, which is reported before the next operand is copied.
    fn note(&mut self, kind: NoteKind) {
        let before = self.count();
        self.notes.push(Note { before, kind });
    }

    fn count(&self) -> u32 {
        u32::try_from(self.operands.len()).unwrap_or(u32::MAX)
    }

    /// Whether symbolic links that are operands are followed.
    fn follows_operands(&self) -> bool {
        self.options.dereference != Dereference::Never
    }

    /// Whether existing directories above a target get the attributes of the corresponding source
    /// directories, as with `cp -p`.
    fn updates_parents(&self) -> bool {
        self.options.preserve.permissions == Permissions::Exact
    }

    /// Returns the sources whose target is `target`, in the order of the command line. A target is the number
    /// of a directory, and a name in that directory.
    fn sources_at(&self, target: &(usize, CString)) -> Option<&Vec<PlacedSource>> {
        self.placed.get(target)
    }

    /// Whether an earlier operand has the same source and the same target.
    fn is_named_twice(&self, operand: &Operand, parent: Option<Identity>) -> bool {
        let target = (operand.target_dir, operand.target_name.clone());
        self.placed.get(&target).into_iter().flatten().any(|earlier| {
            earlier.identity == operand.identity
                && (operand.is_dir
                    || earlier.parent == parent && earlier.name == operand.source_name)
        })
    }

    /// Adds an operand, unless the user named the same source, in the same directory `parent`, before. With
    /// `--backup`, a file is added each time that it is named.
    ///
    /// If an earlier operand has the same target, a directory is merged with it, and entries of the later
    /// directory win. A file is copied after the earlier operands, because it is copied only if all of them
    /// have failed, or if existing files get numbered backups.
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
            operand.same_target = all.iter().map(|earlier| earlier.operand).collect();
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

    /// Remembers the directories that must be created for a source. `before` is the number of operands before
    /// that source; the notes from number `notes` on are about the source itself.
    fn push_creation(&mut self, parents: Vec<usize>, before: u32, notes: usize) {
        if !parents.is_empty() {
            let has_operand = self.count() > before;
            let notes = notes..self.notes.len();
            self.creations.push(Creation { parents, before, has_operand, notes });
        }
    }

    /// Creates the directories that operands need. If a directory cannot be created, `pcopy` refuses the run;
    /// in GNU cp compatibility mode, the operand is dropped and the failure is reported.
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
        // The last notes are replaced first, so that the numbers of the other notes stay valid.
        for (notes, failure) in failures.into_iter().rev() {
            self.notes.splice(notes, [failure]);
        }
        self.drop_operands(&dropped);
        self.refresh_containers();
        Ok(())
    }

    /// Removes operands and renumbers the others.
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
            operand.same_target.retain(|earlier| !dropped.contains(earlier));
        }
        self.renumber(&numbers);
    }

    /// Renumbers operands: `numbers` has the new number for each old number, and one more for the end.
    pub(super) fn renumber(&mut self, numbers: &[u32]) {
        let new = |old: &mut u32| *old = numbers.get(*old as usize).copied().unwrap_or(*old);
        self.notes.iter_mut().for_each(|note| new(&mut note.before));
        self.operands.iter_mut().for_each(|operand| operand.same_target.iter_mut().for_each(new));
    }

    /// Reads again the status of each source in which the run has created directories.
    fn refresh_containers(&mut self) {
        for operand in self.operands.iter_mut().filter(|operand| operand.into_itself.is_some()) {
            if let Ok(stat) = self.dirs.stat(operand.source_dir, &operand.source_name) {
                operand.into_itself = Some(stat);
            }
        }
    }

    /// Whether a walk of the operand's source comes to its target.
    fn comes_to_target(&self, operand: &Operand) -> bool {
        let target = (operand.target_dir, &*operand.target_name);
        self.dirs.is_reached(target, operand.identity, self.options.one_file_system)
    }

    /// Whether the selection keeps the walk of an operand's source from its target, which is inside: it leaves out the target
    /// or a directory above it.
    fn leaves_out_target(&self, operand: &Operand) -> bool {
        let Some(selection) = &self.options.selection else { return false };
        let (Some(parent), Some(name)) =
            (operand.target_path.parent(), operand.target_path.file_name())
        else {
            return false;
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let (Ok(source), Ok(parent)) = (operand.source_path.canonicalize(), parent.canonicalize())
        else {
            return false;
        };
        // Through a bind mount, the walk may come to the target by another path.
        let Ok(below) = parent.strip_prefix(&source) else { return false };
        let trees = PathTrees {
            source: &operand.source_path,
            target: None,
            follows: self.options.dereference == Dereference::Always,
            device: None,
        };
        let target = below.join(name);
        let mut above = target.ancestors().filter(|path| !path.as_os_str().is_empty());
        above.any(|path| {
            let path = path.as_os_str().as_bytes();
            selection.leaves_out(&trees, path, Kind::Directory)
                || path.len() < target.as_os_str().len() && !selection.enters(path)
        })
    }

    /// Returns the directories among the operands, each with the number of the first operand that is this
    /// directory. cp does not copy them again below a later operand.
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

/// Returns the identity of the entry at `path`; follows symbolic links only if `follow`.
fn identity_of(path: &Path, follow: bool) -> Result<Identity, Errno> {
    file::stat_path(path, follow).map(|stat| stat.identity())
}
