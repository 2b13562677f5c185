//! Which entries may be copied side by side, and which one after the other.
//!
//! Two copiers that make one name at the same time would take each other's staged file for a leftover.

use super::{Note, Operand, ancestors, backup_name};
use crate::options::{Compat, CopyOptions};
use pcopy_sys::file::{self, Identity};
use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// Cuts the entries wherever one may write into what another of its wave does.
pub(super) fn waves(
    operands: &[Operand],
    dirs: &[OwnedFd],
    notes: &[Note],
    options: &CopyOptions,
) -> Vec<Range<u32>> {
    // Who reads what cp says finds it in the order of the sources.
    let stops: HashSet<u32> = match options.compat {
        Compat::Gnu => notes.iter().map(|note| note.before).collect(),
        Compat::Native => HashSet::new(),
    };
    let is_shared = shared(operands, options);
    let merges = |operand: &Operand| operand.target_name.as_c_str() == c"." || is_shared(operand);
    let mut places = Places::of(operands, dirs, options);
    let mut waves: Vec<Range<u32>> = Vec::new();
    for (number, operand) in (0..).zip(operands) {
        let place = places.find(operand);
        let alone = merges(operand)
            || stops.contains(&number)
            || waves.last().is_none_or(|wave| merges(&operands[wave.start as usize]))
            || places.are_taken(&place);
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

/// Whether an entry is written into one file under two names, or into another source, or takes the name
/// of another's backup: then there is an order.
fn shared(operands: &[Operand], options: &CopyOptions) -> impl Fn(&Operand) -> bool {
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

/// The places in the target of the last wave.
struct Places<'a> {
    dirs: &'a [OwnedFd],
    /// Whether one may lie in another, or be another by a symlink.
    may_meet: bool,
    above: HashMap<usize, Rc<[Identity]>>,
    /// By which number a folder goes here that was opened by several paths.
    numbers: HashMap<Identity, usize>,
    /// The names of entries as they are where case is ignored: there two of them may be one.
    names: HashSet<(usize, String)>,
    /// The folders that stand there already under the names of entries. What lies in one of them lies
    /// in one that stands: folders on the way were made.
    tops: HashSet<Identity>,
    /// The folders that entries lie in, with all above.
    around: HashSet<Identity>,
}

/// Where an entry is to be.
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
            may_meet: options.keep_directory_symlink || used.any(|dir| Some(dir) != first),
            above: HashMap::new(),
            numbers: HashMap::new(),
            names: HashSet::new(),
            tops: HashSet::new(),
            around: HashSet::new(),
        }
    }

    fn find(&mut self, operand: &Operand) -> Place {
        let name = fold(&operand.target_name);
        if !self.may_meet {
            return Place { name: (operand.target_dir, name), top: None, around: Rc::new([]) };
        }
        let dir = &self.dirs[operand.target_dir];
        let above = self.above.entry(operand.target_dir);
        let above = above.or_insert_with(|| ancestors(dir.as_fd()).collect());
        // A symlink that stands for a folder lies in one, and leads to what may lie in another.
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

    /// Whether an entry of the wave has this place, or lies in it, or around it.
    fn are_taken(&self, place: &Place) -> bool {
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

/// What a name is where case is ignored.
pub(crate) fn fold(name: &CStr) -> String {
    name.to_string_lossy().to_lowercase()
}
