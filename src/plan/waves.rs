//! Which entries may be copied side by side, and which one after the other.
//!
//! Two copiers that make one name at the same time would take each other's staged file for a leftover.

use super::{Entry, Note, ancestors, backup_name};
use crate::options::{Manner, Wishes};
use crate::sys::file::{self, Identity};
use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// Cuts the entries wherever one may write into what another of its wave does.
pub(super) fn waves(
    entries: &[Entry],
    dirs: &[OwnedFd],
    notes: &[Note],
    wishes: &Wishes,
) -> Vec<Range<u32>> {
    // Who reads what cp says finds it in the order of the sources.
    let stops: HashSet<u32> = match wishes.manner {
        Manner::Cp => notes.iter().map(|note| note.before).collect(),
        Manner::Pcopy => HashSet::new(),
    };
    let is_shared = shared(entries, wishes);
    let merges = |entry: &Entry| entry.target_name.as_c_str() == c"." || is_shared(entry);
    let mut places = Places::of(entries, dirs, wishes);
    let mut waves: Vec<Range<u32>> = Vec::new();
    for (number, entry) in (0..).zip(entries) {
        let place = places.find(entry);
        let alone = merges(entry)
            || stops.contains(&number)
            || waves.last().is_none_or(|wave| merges(&entries[wave.start as usize]))
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
fn shared(entries: &[Entry], wishes: &Wishes) -> impl Fn(&Entry) -> bool {
    let mut users: HashMap<Identity, u32> = HashMap::new();
    let written = entries.iter().filter_map(|entry| entry.written);
    let known: HashSet<Identity> = written.clone().collect();
    let read = entries.iter().map(|entry| entry.identity).filter(|source| known.contains(source));
    written.chain(read).for_each(|file| *users.entry(file).or_default() += 1);
    let names: HashSet<_> = match wishes.backup {
        Some(_) => {
            entries.iter().map(|entry| (entry.target_dir, entry.target_name.to_bytes())).collect()
        }
        None => HashSet::new(),
    };
    let is_backup = move |entry: &Entry| {
        let Some(backup) = &wishes.backup else { return false };
        let name = entry.target_name.to_bytes();
        let simple = name.strip_suffix(backup.suffix.as_encoded_bytes());
        let numbered = backup_name::split_number(name).map(|(name, _)| name);
        simple.or(numbered).is_some_and(|of| names.contains(&(entry.target_dir, of)))
    };
    move |entry| {
        let is_one_of_many = entry.written.is_some_and(|file| users[&file] > 1);
        wishes.in_place && is_one_of_many || is_backup(entry)
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
    fn of(entries: &[Entry], dirs: &'a [OwnedFd], wishes: &Wishes) -> Self {
        let mut used = entries.iter().map(|entry| entry.target_dir);
        let first = used.next();
        Self {
            dirs,
            may_meet: wishes.keep_directory_symlink || used.any(|dir| Some(dir) != first),
            above: HashMap::new(),
            numbers: HashMap::new(),
            names: HashSet::new(),
            tops: HashSet::new(),
            around: HashSet::new(),
        }
    }

    fn find(&mut self, entry: &Entry) -> Place {
        let name = fold(&entry.target_name);
        if !self.may_meet {
            return Place { name: (entry.target_dir, name), top: None, around: Rc::new([]) };
        }
        let dir = &self.dirs[entry.target_dir];
        let above = self.above.entry(entry.target_dir);
        let above = above.or_insert_with(|| ancestors(dir.as_fd()).collect());
        // A symlink that stands for a folder lies in one, and leads to what may lie in another.
        let end = file::open_dir_following(dir.as_fd(), entry.target_name.to_bytes()).ok();
        let ends: Vec<_> = end.iter().flat_map(|end| ancestors(end.as_fd())).collect();
        let top = ends.first().copied();
        let known = above.first().map(|dir| self.numbers.entry(*dir).or_insert(entry.target_dir));
        let number = known.copied().unwrap_or(entry.target_dir);
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
