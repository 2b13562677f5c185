//! The names of inodes that have several names (hard links), in one group per inode.
//!
//! While copiers walk the source, the parent collects the names that they report. When all names are known,
//! the parent sorts them into groups. Then the parent forks the copiers that create the links; these inherit
//! the groups in their memory.
//!
//! A name takes its length plus 25 bytes. Consecutive names of one directory share one record of that
//! directory.

use crate::ipc::wire::task::{EntryPath, split_last};
use pcopy_sys::file::Identity;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::ops::Range;

/// The role of a name among the names of its inode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum LinkRole {
    /// This round created the name. Followers become links to it.
    Created,
    /// The name existed in the target and was up to date. Followers become links to it, too.
    Existing,
    /// The name is to become a link.
    Follower,
}

/// Names, grouped by inode.
#[derive(Clone, Default)]
pub(crate) struct Groups {
    text: Vec<u8>,
    dirs: Vec<PackedDir>,
    names: Vec<PackedName>,
    /// Offsets in `names` of the groups that have at least one follower.
    starts: Vec<usize>,
    /// For names of earlier waves (groups of operands that are copied together): the target inode of the name
    /// at the end of that wave. The key is `PackedName::text`.
    known: HashMap<usize, Identity>,
}

/// The directory of some names. One directory can have several such records.
#[derive(Clone)]
struct PackedDir {
    text: usize,
    source_bytes: usize,
    target_bytes: usize,
    operand: u32,
    staged: bool,
    existed: bool,
    /// The device of the inodes, which may differ from the device of the directory.
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
pub(crate) struct LinkName {
    /// The name in the source. Its name in the target is the same, unless the entry is an operand.
    pub name: CString,
    /// The number of the name's directory, for [`Groups::dir`].
    pub dir: u32,
    /// The role of the name in the group.
    pub role: LinkRole,
    /// For a name of an earlier wave: the inode that it had in the target. A copier must not link to the name
    /// if it has another inode now, because it was replaced since.
    pub known: Option<Identity>,
}

impl Groups {
    /// Adds the name at `place`, whose inode in the source is `identity`.
    ///
    /// `existed` says whether the target directory of the name existed before the current round.
    pub(crate) fn add(
        &mut self,
        identity: Identity,
        place: EntryPath<'_>,
        existed: bool,
        role: LinkRole,
    ) {
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

    /// Adds a name of an earlier wave; `target` is the inode that the name had in the target at the end of
    /// that wave.
    pub(crate) fn add_known(&mut self, identity: Identity, place: EntryPath<'_>, target: Identity) {
        self.add(identity, place, true, LinkRole::Existing);
        if let Some(name) = self.names.last() {
            self.known.insert(name.text, target);
        }
    }

    /// Returns the source inode of each name.
    pub(crate) fn identities(&self) -> impl Iterator<Item = Identity> {
        self.names.iter().map(|name| self.identity_of(name))
    }

    /// Returns each name of this wave to which further names of the same inode can become links: the inode in
    /// the source, the number of the operand, and the path in the source.
    pub(crate) fn leaders(&self) -> impl Iterator<Item = (Identity, u32, Vec<u8>)> {
        let leads = |name: &&PackedName| {
            name.role != LinkRole::Follower && !self.known.contains_key(&name.text)
        };
        self.names.iter().filter(leads).map(|name| {
            let (operand, path) = self.path_of(name);
            (self.identity_of(name), operand, path)
        })
    }

    /// Returns how many names were added.
    pub(crate) fn names(&self) -> usize {
        self.names.len()
    }

    /// Removes all names but the first `names`. Must not be called after [`sort`](Self::sort).
    pub(crate) fn cut_back(&mut self, names: usize) {
        self.names.truncate(names);
    }

    /// Sorts the names into groups. In each group, names that exist come before names that are to become
    /// links. Returns the number of groups that have links to create.
    pub(crate) fn sort(&mut self) -> usize {
        let (dirs, names) = (&self.dirs, &mut self.names);
        let inode = |name: &PackedName| (dirs[name.dir as usize].device, name.inode);
        names.sort_unstable_by_key(|name| (inode(name), name.role, name.text));
        self.starts.clear();
        let mut start = 0;
        for group in names.chunk_by(|one, other| inode(one) == inode(other)) {
            // Followers come last in a group.
            if group.last().is_some_and(|name| name.role == LinkRole::Follower) {
                self.starts.push(start);
            }
            start += group.len();
        }
        // The groups are sorted by the order in which their names were found, so that groups of one directory
        // are adjacent.
        self.starts.sort_unstable_by_key(|&start| names[start].text);
        self.starts.len()
    }

    /// Returns how many groups have links to create; valid after [`sort`](Self::sort).
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Returns the source inode of a group's names.
    pub(crate) fn identity(&self, group: usize) -> Identity {
        self.identity_of(&self.names[self.starts[group]])
    }

    /// Returns the names of a group: first names that exist, then names that are to become links.
    pub(crate) fn members(&self, group: usize) -> impl Iterator<Item = LinkName> {
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

    /// Returns the directory with this number, and whether its target existed before the current round.
    pub(crate) fn dir(&self, number: u32) -> (EntryPath<'_>, bool) {
        let dir = &self.dirs[number as usize];
        (self.place_of(dir), dir.existed)
    }

    /// Returns the operand and the source path of each name that this round created.
    pub(crate) fn made(&self) -> impl Iterator<Item = (u32, Vec<u8>)> {
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
