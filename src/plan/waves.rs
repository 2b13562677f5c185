//! Waves: groups of operands that are copied in parallel. Waves follow one another.
//!
//! Two copiers must not create the same name at the same time. Each would take the staged file of the other
//! for a leftover of a killed run.

use super::notes::Note;
use super::operands::Operand;
use super::{ancestors, backup_name};
use crate::options::{Compat, CopyOptions};
use pcopy_sys::file::{self, Identity};
use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// Divides the operands into waves. A new wave begins at each operand that may write where an operand of the
/// current wave writes.
pub(super) fn waves(
    operands: &[Operand],
    dirs: &[OwnedFd],
    notes: &[Note],
    options: &CopyOptions,
) -> Vec<Range<u32>> {
    // cp reports notes and operands in the order of the command line, so each note ends a wave.
    let stops: HashSet<u32> = match options.compat {
        Compat::Gnu => notes.iter().map(|note| note.before).collect(),
        Compat::Native => HashSet::new(),
    };
    let depends = depends_on_order(operands, options);
    let merges = |operand: &Operand| operand.target_name.as_c_str() == c"." || depends(operand);
    let mut places = Places::of(operands, dirs, options);
    let mut waves: Vec<Range<u32>> = Vec::new();
    for (number, operand) in (0..).zip(operands) {
        let place = places.find(operand);
        let alone = merges(operand)
            || stops.contains(&number)
            || waves.last().is_none_or(|wave| merges(&operands[wave.start as usize]))
            || places.overlap(&place);
        match waves.last_mut() {
            Some(wave) if !alone => wave.end += 1,
            _ => {
                places.clear();
                waves.push(number..number + 1);
            }
        }
        places.take(place);
    }
    waves
}

/// Returns a function that decides for an operand whether the time of its copy changes the result of the run.
/// The time matters if the copy writes into an existing file that another operand reads or writes. It also
/// matters if the target has the name that a backup of another operand's target may get.
fn depends_on_order(operands: &[Operand], options: &CopyOptions) -> impl Fn(&Operand) -> bool {
    let mut users: HashMap<Identity, u32> = HashMap::new();
    let written = operands.iter().filter_map(|operand| operand.written);
    let known: HashSet<Identity> = written.clone().collect();
    let read =
        operands.iter().map(|operand| operand.identity).filter(|source| known.contains(source));
    written.chain(read).for_each(|file| *users.entry(file).or_default() += 1);
    let names: HashSet<_> = match options.backup {
        Some(_) => operands
            .iter()
            .map(|operand| (operand.target_dir, operand.target_name.to_bytes()))
            .collect(),
        None => HashSet::new(),
    };
    let is_backup = move |operand: &Operand| {
        let Some(backup) = &options.backup else { return false };
        let name = operand.target_name.to_bytes();
        let simple = name.strip_suffix(backup.suffix.as_encoded_bytes());
        let numbered = backup_name::split_number(name).map(|(name, _)| name);
        simple.or(numbered).is_some_and(|of| names.contains(&(operand.target_dir, of)))
    };
    move |operand| {
        let is_one_of_many = operand.written.is_some_and(|file| users[&file] > 1);
        options.in_place && is_one_of_many || is_backup(operand)
    }
}

/// The places in the target that the current wave uses.
struct Places<'a> {
    dirs: &'a [OwnedFd],
    /// Whether a place may lie inside another place, or may be the same place through a symbolic link.
    may_overlap: bool,
    /// For each target directory, itself and all directories above it.
    above: HashMap<usize, Rc<[Identity]>>,
    /// One number for each directory, even if operands name the directory by several paths.
    numbers: HashMap<Identity, usize>,
    /// The target names without regard to case: on a case-insensitive file system, two of them may be one
    /// name.
    names: HashSet<(usize, String)>,
    /// The existing directories at the target names. A target inside one of them has only existing
    /// directories above it, because the directories for `--parents` have been created.
    tops: HashSet<Identity>,
    /// The directories that contain targets, and all directories above them.
    around: HashSet<Identity>,
}

/// The place of an operand in the target.
struct Place {
    name: (usize, String),
    top: Option<Identity>,
    around: Rc<[Identity]>,
}

impl<'a> Places<'a> {
    fn of(operands: &[Operand], dirs: &'a [OwnedFd], options: &CopyOptions) -> Self {
        let mut used = operands.iter().map(|operand| operand.target_dir);
        let first = used.next();
        Self {
            dirs,
            may_overlap: options.keep_directory_symlink || used.any(|dir| Some(dir) != first),
            above: HashMap::new(),
            numbers: HashMap::new(),
            names: HashSet::new(),
            tops: HashSet::new(),
            around: HashSet::new(),
        }
    }

    fn find(&mut self, operand: &Operand) -> Place {
        let name = fold(&operand.target_name);
        if !self.may_overlap {
            return Place { name: (operand.target_dir, name), top: None, around: Rc::new([]) };
        }
        let dir = &self.dirs[operand.target_dir];
        let above = self.above.entry(operand.target_dir);
        let above = above.or_insert_with(|| ancestors(dir.as_fd()).collect());
        // A symbolic link to a directory lies in one directory, and the directory that it leads to may lie in
        // another one.
        let end = file::open_dir_following(dir.as_fd(), operand.target_name.to_bytes()).ok();
        let ends: Vec<_> = end.iter().flat_map(|end| ancestors(end.as_fd())).collect();
        let top = ends.first().copied();
        let known = above.first().map(|dir| self.numbers.entry(*dir).or_insert(operand.target_dir));
        let number = known.copied().unwrap_or(operand.target_dir);
        let around = if ends.is_empty() {
            Rc::clone(above)
        } else {
            ends.iter().chain(&**above).copied().collect()
        };
        Place { name: (number, name), top, around }
    }

    /// Whether an operand of the wave has the same place, or a place inside or above it.
    fn overlap(&self, place: &Place) -> bool {
        self.names.contains(&place.name)
            || place.top.is_some_and(|top| self.tops.contains(&top) || self.around.contains(&top))
            || place.around.iter().any(|dir| self.tops.contains(dir))
    }

    fn take(&mut self, place: Place) {
        self.names.insert(place.name);
        self.tops.extend(place.top);
        self.around.extend(place.around.iter());
    }

    fn clear(&mut self) {
        self.names.clear();
        self.tops.clear();
        self.around.clear();
    }
}

/// Returns the name in lower case, as a case-insensitive file system compares it.
pub(crate) fn fold(name: &CStr) -> String {
    name.to_string_lossy().to_lowercase()
}
