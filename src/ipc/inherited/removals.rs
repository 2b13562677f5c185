//! What is to be removed from the target, because the source does not have it, packed into one buffer.
//!
//! A unit of work is one directory of the target: either some of its entries are removed, or all that it has and that is not
//! protected. An entry takes one byte more than its name, and a unit 72 bytes more than its path.

use crate::ipc::wire::extraneous::{Extraneous, ExtraneousDir};
use crate::ipc::wire::task::{EntryPath, split_last};
use pcopy_sys::file::Identity;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ffi::CStr;
use std::ops::Range;

/// What is to be removed.
#[derive(Clone, Default)]
pub(crate) struct Removals {
    text: Vec<u8>,
    units: Vec<PackedUnit>,
}

#[derive(Clone)]
struct PackedUnit {
    operand: u32,
    path: Range<usize>,
    work: PackedWork,
}

#[derive(Clone)]
enum PackedWork {
    /// The names, each with a NUL at its end.
    Entries {
        dir: Identity,
        names: Range<usize>,
        count: u64,
    },
    Clear(ExtraneousDir),
}

/// A directory of the target, and what is removed in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RemovalUnit<'a> {
    /// The operand, as an index into the plan's operands.
    pub operand: u32,
    /// The path of the directory, relative to the directory that contains the operand's target.
    pub path: &'a [u8],
    /// What is removed.
    pub work: RemovalWork<'a>,
}

/// What is removed in a directory of the target.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RemovalWork<'a> {
    /// These entries, which are not directories.
    Entries {
        /// The inode of the directory, which the source has.
        dir: Identity,
        /// The names, each with a NUL at its end.
        names: &'a [u8],
    },
    /// Everything that is not protected, apart from directories; the source does not have this directory.
    Clear(ExtraneousDir),
}

impl Removals {
    /// Adds an extraneous entry, or an extraneous directory.
    pub(crate) fn add(&mut self, place: EntryPath<'_>, extraneous: Extraneous) {
        match extraneous {
            Extraneous::Entry { dir } => self.add_entry(place, dir),
            Extraneous::Directory(dir) => {
                let path = self.put(place.target);
                let work = PackedWork::Clear(dir);
                self.units.push(PackedUnit { operand: place.operand, path, work });
            }
        }
    }

    fn add_entry(&mut self, place: EntryPath<'_>, dir: Identity) {
        let (above, name) = split_last(place.target);
        let is_here = |unit: &PackedUnit| {
            unit.operand == place.operand
                && matches!(unit.work, PackedWork::Entries { .. })
                && self.text[unit.path.clone()] == *above
        };
        if !self.units.last().is_some_and(is_here) {
            let path = self.put(above);
            let names = self.text.len()..self.text.len();
            let work = PackedWork::Entries { dir, names, count: 0 };
            self.units.push(PackedUnit { operand: place.operand, path, work });
        }
        self.put(name);
        self.text.push(0);
        let end = self.text.len();
        if let Some(PackedUnit { work: PackedWork::Entries { names, count, .. }, .. }) =
            self.units.last_mut()
        {
            names.end = end;
            *count += 1;
        }
    }

    fn put(&mut self, text: &[u8]) -> Range<usize> {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        start..self.text.len()
    }

    /// Returns the number of units.
    pub(crate) fn len(&self) -> usize {
        self.units.len()
    }

    /// Removes all units from number `units` on.
    pub(crate) fn cut_back(&mut self, units: usize) {
        self.units.truncate(units);
    }

    /// Keeps only the units of those operands for which `keeps` is true.
    pub(crate) fn retain(&mut self, keeps: impl Fn(u32) -> bool) {
        self.units.retain(|unit| keeps(unit.operand));
    }

    /// Sorts the units by their paths. The order in which copiers have found them is then no matter.
    pub(crate) fn sort(&mut self) {
        let text = &self.text;
        let key = |unit: &PackedUnit| (unit.operand, &text[unit.path.clone()]);
        self.units.sort_by(|one, other| key(one).cmp(&key(other)));
    }

    /// Returns the unit with this number.
    pub(crate) fn unit(&self, number: usize) -> Option<RemovalUnit<'_>> {
        self.units.get(number).map(|unit| self.unpack(unit))
    }

    /// Returns all units, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = RemovalUnit<'_>> {
        self.units.iter().map(|unit| self.unpack(unit))
    }

    fn unpack(&self, unit: &PackedUnit) -> RemovalUnit<'_> {
        let work = match &unit.work {
            PackedWork::Entries { dir, names, .. } => {
                RemovalWork::Entries { dir: *dir, names: &self.text[names.clone()] }
            }
            PackedWork::Clear(dir) => RemovalWork::Clear(*dir),
        };
        RemovalUnit { operand: unit.operand, path: &self.text[unit.path.clone()], work }
    }

    /// Returns how many entries are removed, with all that is below a directory.
    pub(crate) fn count(&self) -> u64 {
        let of = |unit: &PackedUnit| match &unit.work {
            PackedWork::Entries { count, .. } => *count,
            PackedWork::Clear(dir) => dir.removals(),
        };
        self.units.iter().map(of).fold(0, u64::saturating_add)
    }

    /// Returns the operand and the path of each entry that is removed, but not of what is below a directory that is removed.
    /// Of a directory that stays without belonging to the source, the path of the directory.
    pub(crate) fn uppermost(&self) -> impl Iterator<Item = (u32, Vec<u8>)> {
        self.iter().flat_map(|unit| -> Vec<(u32, Vec<u8>)> {
            match unit.work {
                RemovalWork::Entries { names, .. } => names_in(names)
                    .map(|name| (unit.operand, [unit.path, b"/", name.to_bytes()].concat()))
                    .collect(),
                RemovalWork::Clear(dir) if dir.is_uppermost || !dir.is_removed => {
                    vec![(unit.operand, unit.path.to_vec())]
                }
                RemovalWork::Clear(_) => Vec::new(),
            }
        })
    }

    /// Returns the operand and the path of each directory that the source has and in which something is removed; each once.
    pub(crate) fn touched(&self) -> Vec<(u32, Vec<u8>)> {
        let dir = |unit: RemovalUnit<'_>| match unit.work {
            RemovalWork::Entries { .. } => Some((unit.operand, unit.path.to_vec())),
            RemovalWork::Clear(dir) if dir.is_uppermost && dir.is_in_source_dir => {
                Some((unit.operand, split_last(unit.path).0.to_vec()))
            }
            RemovalWork::Clear(_) => None,
        };
        let mut dirs: Vec<_> = self.iter().filter_map(dir).collect();
        dirs.sort();
        dirs.dedup();
        dirs
    }

    /// Takes the directories that are removed with all that is in them, and what is below them, out of the list. Returns for
    /// each its operand, its path, what it is, and how many entries are removed with it.
    pub(crate) fn take_dirs(&mut self) -> Vec<(u32, Vec<u8>, ExtraneousDir, u64)> {
        let mut taken: HashMap<(u32, Vec<u8>), (ExtraneousDir, u64)> = HashMap::new();
        for unit in self.iter() {
            if let RemovalWork::Clear(dir) = unit.work
                && dir.is_uppermost
            {
                taken.insert((unit.operand, unit.path.to_vec()), (dir, 0));
            }
        }
        let Self { text, units } = self;
        units.retain(|unit| {
            let path = &text[unit.path.clone()];
            let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            let ends = ends.map(|(end, _)| end).chain([path.len()]);
            let above = ends.into_iter().find_map(|end| {
                let key = (unit.operand, path[..end].to_vec());
                taken.contains_key(&key).then_some(key)
            });
            match (above.and_then(|above| taken.get_mut(&above)), &unit.work) {
                (Some((_, count)), PackedWork::Clear(dir)) => {
                    *count += dir.removals();
                    false
                }
                _ => true,
            }
        });
        let mut dirs: Vec<_> = taken
            .into_iter()
            .map(|((operand, path), (dir, count))| (operand, path, dir, count))
            .collect();
        dirs.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        dirs
    }

    /// Returns the directories that are removed after what is in them, those with the longest paths first.
    pub(crate) fn with_dirs(&self) -> Vec<(RemovalUnit<'_>, ExtraneousDir)> {
        let all = self.iter().filter_map(|unit| match unit.work {
            RemovalWork::Clear(dir) if dir.is_removed && dir.has_dirs => Some((unit, dir)),
            _ => None,
        });
        let mut dirs: Vec<_> = all.collect();
        dirs.sort_by_key(|(unit, _)| Reverse(unit.path.len()));
        dirs
    }
}

/// Returns the names of [`RemovalWork::Entries`].
pub(crate) fn names_in(names: &[u8]) -> impl Iterator<Item = &CStr> {
    let mut rest = names;
    std::iter::from_fn(move || {
        let name = CStr::from_bytes_until_nul(rest).ok()?;
        rest = &rest[name.count_bytes() + 1..];
        Some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place<'a>(target: &'a [u8]) -> EntryPath<'a> {
        EntryPath { operand: 1, source: target, target, staged: false }
    }

    fn dir(is_removed: bool, is_uppermost: bool, has_dirs: bool) -> Extraneous {
        let (identity, entries, is_in_source_dir) = ((1, 2), 3, is_uppermost);
        let dir = ExtraneousDir {
            identity,
            entries,
            is_removed,
            is_uppermost,
            is_in_source_dir,
            has_dirs,
        };
        Extraneous::Directory(dir)
    }

    fn samples() -> Removals {
        let mut removals = Removals::default();
        let entry = Extraneous::Entry { dir: (1, 1) };
        removals.add(place(b"t/d/b"), entry);
        removals.add(place(b"t/d/a"), entry);
        removals.add(place(b"t/gone"), dir(true, true, true));
        removals.add(place(b"t/gone/below"), dir(true, false, false));
        removals.add(place(b"t/stays"), dir(false, false, false));
        removals.add(place(b"t/c"), entry);
        removals.sort();
        removals
    }

    #[test]
    fn names_of_one_directory_are_one_unit() {
        let removals = samples();
        let paths: Vec<_> = removals.iter().map(|unit| unit.path.to_vec()).collect();
        assert_eq!(paths, [&b"t"[..], b"t/d", b"t/gone", b"t/gone/below", b"t/stays"]);
        let RemovalWork::Entries { names, .. } = removals.unit(1).unwrap().work else {
            panic!("no names");
        };
        assert_eq!(names_in(names).collect::<Vec<_>>(), [c"b", c"a"]);
        assert!(removals.unit(5).is_none());
    }

    #[test]
    fn all_that_is_removed_counts_and_only_the_uppermost_is_named() {
        let removals = samples();
        // three files, two directories with three files each, and three files of a directory that stays
        assert_eq!(removals.count(), 3 + 4 + 4 + 3);
        let named: Vec<_> = removals.uppermost().map(|(_, path)| path).collect();
        assert_eq!(named, [&b"t/c"[..], b"t/d/b", b"t/d/a", b"t/gone", b"t/stays"]);
    }

    #[test]
    fn a_directory_in_which_something_is_removed_is_finished_once() {
        let touched: Vec<_> = samples().touched().into_iter().map(|(_, path)| path).collect();
        assert_eq!(touched, [&b"t"[..], b"t/d"]);
    }

    #[test]
    fn a_directory_with_directories_is_removed_after_them() {
        let removals = samples();
        let later: Vec<_> = removals.with_dirs().iter().map(|(unit, _)| unit.path).collect();
        assert_eq!(later, [b"t/gone"]);
    }

    #[test]
    fn a_directory_is_taken_with_what_is_below_it() {
        let mut removals = samples();
        let taken = removals.take_dirs();
        assert_eq!(taken.len(), 1);
        assert_eq!((&taken[0].1[..], taken[0].3), (&b"t/gone"[..], 4 + 4));
        let left: Vec<_> = removals.iter().map(|unit| unit.path.to_vec()).collect();
        assert_eq!(left, [&b"t"[..], b"t/d", b"t/stays"]);
    }

    #[test]
    fn the_units_of_an_operand_are_dropped() {
        let mut removals = samples();
        removals.retain(|operand| operand != 1);
        assert_eq!((removals.len(), removals.count()), (0, 0));
    }
}
