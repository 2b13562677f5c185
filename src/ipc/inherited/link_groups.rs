//! The names of inodes that have several, as the supervisor gathers them and copiers take them over.
//!
//! They are gathered while copiers walk, and sorted into groups, one for each inode, when all of
//! them are there. The copiers that then make the links are forked later and find them in their
//! own memory. A name costs its length and 25 bytes; what it has in common with the one before (its
//! directory) is kept once.

use crate::ipc::wire::task::{EntryPath, split_last};
use pcopy_sys::file::Identity;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::ops::Range;

/// What a name is to the others of its inode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// It was made by this round: the others become links to it.
    Made,
    /// It stood there, complete: the others become links to it, too.
    Found,
    /// It is to become a link.
    Follower,
}

/// Names by inode.
#[derive(Clone, Default)]
pub struct Groups {
    text: Vec<u8>,
    dirs: Vec<Dir>,
    names: Vec<Name>,
    /// Where in `names` each group begins that has a follower.
    starts: Vec<usize>,
    /// What the names of an earlier wave were when it had ended, by where their text is.
    known: HashMap<usize, Identity>,
}

/// A directory with such names in it, or one of several such records for it.
#[derive(Clone)]
struct Dir {
    text: usize,
    source_bytes: usize,
    target_bytes: usize,
    operand: u32,
    staged: bool,
    existed: bool,
    /// The device of the inodes, which need not be that of the directory.
    device: u64,
}

#[derive(Clone)]
struct Name {
    inode: u64,
    text: usize,
    dir: u32,
    role: Role,
}

/// One name of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// In the source; in the target, too, unless it is what the user named.
    pub name: CString,
    /// The number of its directory, for [`Groups::dir`].
    pub dir: u32,
    /// What it is to the others.
    pub role: Role,
    /// What it must be in the target, if it is of an earlier wave: another may have taken its place.
    pub known: Option<Identity>,
}

impl Groups {
    /// Adds the name at `place`, whose inode in the source is `identity`.
    ///
    /// `existed` says whether its target directory stood there before the round.
    pub fn add(&mut self, identity: Identity, place: EntryPath<'_>, existed: bool, role: Role) {
        let (source, name) = split_last(place.source);
        let (target, _) = split_last(place.target);
        let (device, inode) = identity;
        let at = EntryPath { source, target, ..place };
        if !self.dirs.last().is_some_and(|last| self.is_dir(last, at, existed, device)) {
            self.add_dir(at, existed, device);
        }
        let dir = u32::try_from(self.dirs.len() - 1).expect("2^32 directories are no memory's");
        let text = self.put(name);
        self.text.push(0);
        self.names.push(Name { inode, text, dir, role });
    }

    /// Adds a name of an earlier wave, which was `target` when that had ended.
    pub fn add_known(&mut self, identity: Identity, place: EntryPath<'_>, target: Identity) {
        self.add(identity, place, true, Role::Found);
        if let Some(name) = self.names.last() {
            self.known.insert(name.text, target);
        }
    }

    /// The inodes of all names.
    pub fn identities(&self) -> impl Iterator<Item = Identity> {
        self.names.iter().map(|name| self.identity_of(name))
    }

    /// The names of this wave that others can become links to: each with its inode, its entry and its
    /// source path.
    pub fn leaders(&self) -> impl Iterator<Item = (Identity, u32, Vec<u8>)> {
        let leads =
            |name: &&Name| name.role != Role::Follower && !self.known.contains_key(&name.text);
        self.names.iter().filter(leads).map(|name| {
            let (operand, path) = self.path_of(name);
            (self.identity_of(name), operand, path)
        })
    }

    /// How many names were gathered.
    pub fn names(&self) -> usize {
        self.names.len()
    }

    /// Forgets all names but the first ones; not to be called when they have been sorted.
    pub fn cut_back(&mut self, names: usize) {
        self.names.truncate(names);
    }

    /// Sorts what was gathered, those that are there before those that are to become links to
    /// them. Returns the number of groups in which there is something to do.
    pub fn sort(&mut self) -> usize {
        let (dirs, names) = (&self.dirs, &mut self.names);
        let inode = |name: &Name| (dirs[name.dir as usize].device, name.inode);
        names.sort_unstable_by_key(|name| (inode(name), name.role, name.text));
        self.starts.clear();
        let mut start = 0;
        for group in names.chunk_by(|one, other| inode(one) == inode(other)) {
            // The followers come last.
            if group.last().is_some_and(|name| name.role == Role::Follower) {
                self.starts.push(start);
            }
            start += group.len();
        }
        // As they were found, so that the groups of one directory follow one another.
        self.starts.sort_unstable_by_key(|&start| names[start].text);
        self.starts.len()
    }

    /// How many groups there were when they were sorted.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The inode that all names of a group have in the source.
    pub fn identity(&self, group: usize) -> Identity {
        self.identity_of(&self.names[self.starts[group]])
    }

    /// The names of a group: those that are there, then those that are to become links.
    pub fn members(&self, group: usize) -> impl Iterator<Item = Member> {
        let identity = self.identity(group);
        self.names[self.starts[group]..]
            .iter()
            .take_while(move |name| self.identity_of(name) == identity)
            .map(|name| Member {
                name: self.name(name).to_owned(),
                dir: name.dir,
                role: name.role,
                known: self.known.get(&name.text).copied(),
            })
    }

    /// The directory with this number, and whether its target stood there before the round.
    pub fn dir(&self, number: u32) -> (EntryPath<'_>, bool) {
        let dir = &self.dirs[number as usize];
        (self.place_of(dir), dir.existed)
    }

    /// The names that this round has made, by entry and source path.
    pub fn made(&self) -> impl Iterator<Item = (u32, Vec<u8>)> {
        self.names.iter().filter(|name| name.role == Role::Made).map(|name| self.path_of(name))
    }

    fn path_of(&self, name: &Name) -> (u32, Vec<u8>) {
        let dir = self.place_of(&self.dirs[name.dir as usize]);
        let mut path = dir.source.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(self.name(name).to_bytes());
        (dir.operand, path)
    }

    fn add_dir(&mut self, at: EntryPath<'_>, existed: bool, device: u64) {
        let text = self.put(at.source);
        self.put(at.target);
        self.dirs.push(Dir {
            text,
            source_bytes: at.source.len(),
            target_bytes: at.target.len(),
            operand: at.operand,
            staged: at.staged,
            existed,
            device,
        });
    }

    fn put(&mut self, text: &[u8]) -> usize {
        let at = self.text.len();
        self.text.extend_from_slice(text);
        at
    }

    fn is_dir(&self, dir: &Dir, at: EntryPath<'_>, existed: bool, device: u64) -> bool {
        self.place_of(dir) == at && dir.existed == existed && dir.device == device
    }

    fn place_of(&self, dir: &Dir) -> EntryPath<'_> {
        let bytes = |at: Range<usize>| &self.text[at];
        let middle = dir.text + dir.source_bytes;
        EntryPath {
            operand: dir.operand,
            source: bytes(dir.text..middle),
            target: bytes(middle..middle + dir.target_bytes),
            staged: dir.staged,
        }
    }

    fn name(&self, name: &Name) -> &CStr {
        CStr::from_bytes_until_nul(&self.text[name.text..]).unwrap_or_default()
    }

    fn identity_of(&self, name: &Name) -> Identity {
        (self.dirs[name.dir as usize].device, name.inode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place<'a>(source: &'a [u8], target: &'a [u8]) -> EntryPath<'a> {
        EntryPath { operand: 0, source, target, staged: true }
    }

    fn names(groups: &Groups, group: usize) -> Vec<(String, Role)> {
        let name = |member: Member| (member.name.into_string().unwrap(), member.role);
        groups.members(group).map(name).collect()
    }

    #[test]
    fn names_of_one_inode_are_a_group_whoever_told_them_when() {
        let mut groups = Groups::default();
        groups.add((1, 5), place(b"s/d/late", b"t/d/late"), false, Role::Follower);
        groups.add((1, 6), place(b"s/d/alone", b"t/d/alone"), false, Role::Made);
        groups.add((2, 5), place(b"s/d/other", b"t/d/other"), false, Role::Follower);
        groups.add((1, 5), place(b"s/e/later", b"t/e/later"), true, Role::Follower);
        groups.add((1, 5), place(b"s/first", b"t/first"), false, Role::Found);

        assert_eq!(groups.sort(), 2, "one with nothing to do is none");

        let of = |identity| (0..2).find(|&group| groups.identity(group) == identity).unwrap();
        let followers = ["late", "later"].map(|name| (name.to_owned(), Role::Follower));
        let mut expected = vec![("first".to_owned(), Role::Found)];
        expected.extend(followers);
        assert_eq!(names(&groups, of((1, 5))), expected);
        assert_eq!(names(&groups, of((2, 5))), [("other".to_owned(), Role::Follower)]);
    }

    #[test]
    fn each_name_knows_its_directory() {
        let mut groups = Groups::default();
        let places = [
            place(b"s/a/x", b"t/a/x"),
            place(b"s/a/y", b"t/a/y"),
            place(b"s/b/x", b".t/b/x"),
            place(b"operand", b"renamed"),
        ];
        for (number, &place) in places.iter().enumerate() {
            groups.add((1, 9), place, number == 2, Role::Follower);
        }
        groups.sort();
        for (member, place) in groups.members(0).zip(places) {
            let (dir, existed) = groups.dir(member.dir);
            assert_eq!(dir.source, split_last(place.source).0);
            assert_eq!(dir.target, split_last(place.target).0);
            assert_eq!(member.name.to_bytes(), split_last(place.source).1);
            assert_eq!(existed, place.source == b"s/b/x");
        }
        assert_eq!(groups.dirs.len(), 3, "what is common is kept once");
    }

    #[test]
    fn what_was_made_is_known_by_its_path() {
        let mut groups = Groups::default();
        groups.add((1, 1), place(b"s/a", b"t/a"), false, Role::Made);
        groups.add((1, 2), place(b"b", b"c"), false, Role::Made);
        groups.add((1, 3), place(b"s/d", b"t/d"), false, Role::Found);
        let made: Vec<_> = groups.made().collect();
        assert_eq!(made, [(0, b"s/a".to_vec()), (0, b"b".to_vec())]);
    }

    #[test]
    fn a_name_costs_little_more_than_its_length() {
        assert_eq!(size_of::<Name>(), 24);
    }
}
