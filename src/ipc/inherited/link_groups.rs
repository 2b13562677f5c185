//! The names of inodes that have several, by inode: collected by the parent, inherited by copiers.
//!
//! The parent collects the names while copiers walk the source, and sorts them into one group per inode
//! when all are known. The copiers that then create the links are forked later and have the groups in
//! their own memory. A name takes its length and 25 bytes; consecutive names of one directory share the
//! record of that directory.

use crate::ipc::wire::task::{EntryPath, split_last};
use pcopy_sys::file::Identity;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::ops::Range;

/// The part of a name among the names of its inode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LinkRole {
    /// This round created it: the others become links to it.
    Created,
    /// It existed and was up to date: the others become links to it, too.
    Existing,
    /// It is to become a link.
    Follower,
}

/// Names by inode.
#[derive(Clone, Default)]
pub struct Groups {
    text: Vec<u8>,
    dirs: Vec<PackedDir>,
    names: Vec<PackedName>,
    /// Where in `names` the groups begin that have a follower.
    starts: Vec<usize>,
    /// The target inodes of names of earlier waves, when their wave had ended; by `PackedName::text`.
    known: HashMap<usize, Identity>,
}

/// The directory of some names; one directory can have several such records.
#[derive(Clone)]
struct PackedDir {
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
struct PackedName {
    inode: u64,
    text: usize,
    dir: u32,
    role: LinkRole,
}

/// One name of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkName {
    /// Its name in the source, and, unless it is an operand, in the target.
    pub name: CString,
    /// The number of its directory, for [`Groups::dir`].
    pub dir: u32,
    /// Its role in the group.
    pub role: LinkRole,
    /// The inode that it must still be in the target, if it is of an earlier wave: it may have been
    /// replaced since.
    pub known: Option<Identity>,
}

impl Groups {
    /// Adds the name at `place`, whose inode in the source is `identity`.
    ///
    /// `existed` says whether its target directory existed before the round.
    pub fn add(&mut self, identity: Identity, place: EntryPath<'_>, existed: bool, role: LinkRole) {
        let (source, name) = split_last(place.source);
        let (target, _) = split_last(place.target);
        let (device, inode) = identity;
        let at = EntryPath { source, target, ..place };
        if !self.dirs.last().is_some_and(|last| self.is_dir(last, at, existed, device)) {
            self.add_dir(at, existed, device);
        }
        let dir = u32::try_from(self.dirs.len() - 1).expect("fewer than 2^32 directories");
        let text = self.put(name);
        self.text.push(0);
        self.names.push(PackedName { inode, text, dir, role });
    }

    /// Adds a name of an earlier wave, which was the inode `target` when that wave had ended.
    pub fn add_known(&mut self, identity: Identity, place: EntryPath<'_>, target: Identity) {
        self.add(identity, place, true, LinkRole::Existing);
        if let Some(name) = self.names.last() {
            self.known.insert(name.text, target);
        }
    }

    /// The inodes of all names.
    pub fn identities(&self) -> impl Iterator<Item = Identity> {
        self.names.iter().map(|name| self.identity_of(name))
    }

    /// The names of this wave to which others can become links: the inode, the operand and the source path
    /// of each.
    pub fn leaders(&self) -> impl Iterator<Item = (Identity, u32, Vec<u8>)> {
        let leads = |name: &&PackedName| {
            name.role != LinkRole::Follower && !self.known.contains_key(&name.text)
        };
        self.names.iter().filter(leads).map(|name| {
            let (operand, path) = self.path_of(name);
            (self.identity_of(name), operand, path)
        })
    }

    /// How many names were added.
    pub fn names(&self) -> usize {
        self.names.len()
    }

    /// Removes all names but the first ones. Must not be called after [`sort`](Self::sort).
    pub fn cut_back(&mut self, names: usize) {
        self.names.truncate(names);
    }

    /// Sorts the names into groups, in each the names that exist before those that are to become links.
    /// Returns the number of groups that have links to create.
    pub fn sort(&mut self) -> usize {
        let (dirs, names) = (&self.dirs, &mut self.names);
        let inode = |name: &PackedName| (dirs[name.dir as usize].device, name.inode);
        names.sort_unstable_by_key(|name| (inode(name), name.role, name.text));
        self.starts.clear();
        let mut start = 0;
        for group in names.chunk_by(|one, other| inode(one) == inode(other)) {
            // The followers come last.
            if group.last().is_some_and(|name| name.role == LinkRole::Follower) {
                self.starts.push(start);
            }
            start += group.len();
        }
        // In the order in which they were found, so that groups of the same directory are adjacent.
        self.starts.sort_unstable_by_key(|&start| names[start].text);
        self.starts.len()
    }

    /// How many groups have links to create; valid after [`sort`](Self::sort).
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are no links to create.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The inode that all names of a group have in the source.
    pub fn identity(&self, group: usize) -> Identity {
        self.identity_of(&self.names[self.starts[group]])
    }

    /// The names of a group: those that exist, then those that are to become links.
    pub fn members(&self, group: usize) -> impl Iterator<Item = LinkName> {
        let identity = self.identity(group);
        self.names[self.starts[group]..]
            .iter()
            .take_while(move |name| self.identity_of(name) == identity)
            .map(|name| LinkName {
                name: self.name(name).to_owned(),
                dir: name.dir,
                role: name.role,
                known: self.known.get(&name.text).copied(),
            })
    }

    /// The directory with this number, and whether its target existed before the round.
    pub fn dir(&self, number: u32) -> (EntryPath<'_>, bool) {
        let dir = &self.dirs[number as usize];
        (self.place_of(dir), dir.existed)
    }

    /// The names that this round created: the operand and the source path of each.
    pub fn made(&self) -> impl Iterator<Item = (u32, Vec<u8>)> {
        self.names
            .iter()
            .filter(|name| name.role == LinkRole::Created)
            .map(|name| self.path_of(name))
    }

    fn path_of(&self, name: &PackedName) -> (u32, Vec<u8>) {
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
        self.dirs.push(PackedDir {
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

    fn is_dir(&self, dir: &PackedDir, at: EntryPath<'_>, existed: bool, device: u64) -> bool {
        self.place_of(dir) == at && dir.existed == existed && dir.device == device
    }

    fn place_of(&self, dir: &PackedDir) -> EntryPath<'_> {
        let bytes = |at: Range<usize>| &self.text[at];
        let middle = dir.text + dir.source_bytes;
        EntryPath {
            operand: dir.operand,
            source: bytes(dir.text..middle),
            target: bytes(middle..middle + dir.target_bytes),
            staged: dir.staged,
        }
    }

    fn name(&self, name: &PackedName) -> &CStr {
        CStr::from_bytes_until_nul(&self.text[name.text..]).unwrap_or_default()
    }

    fn identity_of(&self, name: &PackedName) -> Identity {
        (self.dirs[name.dir as usize].device, name.inode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place<'a>(source: &'a [u8], target: &'a [u8]) -> EntryPath<'a> {
        EntryPath { operand: 0, source, target, staged: true }
    }

    fn names(groups: &Groups, group: usize) -> Vec<(String, LinkRole)> {
        let name = |member: LinkName| (member.name.into_string().unwrap(), member.role);
        groups.members(group).map(name).collect()
    }

    #[test]
    fn names_of_one_inode_are_one_group_in_any_order() {
        let mut groups = Groups::default();
        groups.add((1, 5), place(b"s/d/late", b"t/d/late"), false, LinkRole::Follower);
        groups.add((1, 6), place(b"s/d/alone", b"t/d/alone"), false, LinkRole::Created);
        groups.add((2, 5), place(b"s/d/other", b"t/d/other"), false, LinkRole::Follower);
        groups.add((1, 5), place(b"s/e/later", b"t/e/later"), true, LinkRole::Follower);
        groups.add((1, 5), place(b"s/first", b"t/first"), false, LinkRole::Existing);

        assert_eq!(groups.sort(), 2, "a group without a follower does not count");

        let of = |identity| (0..2).find(|&group| groups.identity(group) == identity).unwrap();
        let followers = ["late", "later"].map(|name| (name.to_owned(), LinkRole::Follower));
        let mut expected = vec![("first".to_owned(), LinkRole::Existing)];
        expected.extend(followers);
        assert_eq!(names(&groups, of((1, 5))), expected);
        assert_eq!(names(&groups, of((2, 5))), [("other".to_owned(), LinkRole::Follower)]);
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
            groups.add((1, 9), place, number == 2, LinkRole::Follower);
        }
        groups.sort();
        for (member, place) in groups.members(0).zip(places) {
            let (dir, existed) = groups.dir(member.dir);
            assert_eq!(dir.source, split_last(place.source).0);
            assert_eq!(dir.target, split_last(place.target).0);
            assert_eq!(member.name.to_bytes(), split_last(place.source).1);
            assert_eq!(existed, place.source == b"s/b/x");
        }
        assert_eq!(groups.dirs.len(), 3, "consecutive names share their directory");
    }

    #[test]
    fn created_names_are_listed_by_path() {
        let mut groups = Groups::default();
        groups.add((1, 1), place(b"s/a", b"t/a"), false, LinkRole::Created);
        groups.add((1, 2), place(b"b", b"c"), false, LinkRole::Created);
        groups.add((1, 3), place(b"s/d", b"t/d"), false, LinkRole::Existing);
        let made: Vec<_> = groups.made().collect();
        assert_eq!(made, [(0, b"s/a".to_vec()), (0, b"b".to_vec())]);
    }

    #[test]
    fn a_name_takes_little_more_than_its_length() {
        assert_eq!(size_of::<PackedName>(), 24);
    }
}
