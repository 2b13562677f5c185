//! The model: what a copy comes to, by the manual.
//!
//! It knows nothing of processes, staged names or interruptions: it goes through the source once, in
//! order, and puts each thing where it belongs.

use crate::names::{backup_of, names_in, resolve};
use crate::rules::{Mode, Rules, Update, Way};
use crate::world::{Bytes, Node, What, World};
use std::collections::BTreeMap;
use std::mem::discriminant;
use std::path::{Path, PathBuf};

/// Who copies, where, and with which umask.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) folder: PathBuf,
    pub(crate) owner: (u32, u32),
    pub(crate) umask: u32,
}

/// The world after `sources` were copied to `target`, and whether something failed.
pub(crate) fn copy(
    before: &World,
    caller: &Caller,
    rules: &Rules,
    sources: &[&str],
    target: &str,
) -> (World, bool) {
    let linked = BTreeMap::new();
    let next = before.values().map(|node| node.file).max().unwrap_or(0) + 1;
    let mut copy =
        Copy { before, caller, rules, after: before.clone(), failed: false, linked, next };
    let several = sources.len() > 1;
    let is_done = sources.iter().all(|source| copy.operand(source, Path::new(target), several));
    (copy.after, copy.failed || !is_done)
}

/// What becomes of what stands where something is to go.
enum Fate {
    /// As it is.
    Stays,
    IsInTheWay,
    /// It gets what is kept of the source; what is in it stays.
    IsDressed,
    IsReplaced,
}

struct Copy<'a> {
    before: &'a World,
    caller: &'a Caller,
    rules: &'a Rules,
    after: World,
    failed: bool,
    /// The copy of each file of the source that has several names.
    linked: BTreeMap<u64, u64>,
    next: u64,
}

impl Copy<'_> {
    /// Copies what the user has named, onto the target or into it; false if all is refused.
    fn operand(&mut self, said: &str, target: &Path, several: bool) -> bool {
        let bare = said.trim_end_matches('/');
        let is_folder_by_slash = bare != said && !self.rules.strip;
        let source = Path::new(bare);
        let follow = is_folder_by_slash || self.rules.follows(true);
        if follow && resolve(self.before, source).is_none() {
            return self.refuse();
        }
        let into = several || self.rules.parents || self.is_folder(target);
        let target = if self.rules.onto || !into {
            target.to_owned()
        } else {
            if let Some(folder) = self.after.get_mut(target) {
                folder.time = None; // something may come into it
            }
            if self.rules.parents {
                if self.folders_above(source, target).is_none() {
                    return self.refuse();
                }
                target.join(source)
            } else if said.ends_with("/.") {
                target.to_owned()
            } else {
                target.join(source.file_name().unwrap())
            }
        };
        self.entry(source, source, &target, follow, &[]);
        true
    }

    /// Leaves all as it was.
    fn refuse(&mut self) -> bool {
        self.after = self.before.clone();
        false
    }

    /// Has the folders of `--parents` stand in the target; `None` if something is in the way. Those that
    /// stood there stay as they are.
    fn folders_above(&mut self, source: &Path, target: &Path) -> Option<()> {
        let mut above: Vec<_> = source.ancestors().skip(1).collect();
        above.pop(); // the current folder
        for folder in above.into_iter().rev() {
            let (folder, to) = (self.before[folder].clone(), target.join(folder));
            self.folder(&folder, &to)?;
            if self.before.contains_key(&to) {
                self.after.get_mut(&to).unwrap().time = None;
            }
        }
        Some(())
    }

    fn is_folder(&self, path: &Path) -> bool {
        let place = resolve(self.before, path);
        place.is_some_and(|place| self.before[&place].is_dir())
    }

    /// Copies one thing and all that is in it: what stands at `from`, to which the user's words lead as
    /// `said`; `above` are the folders that it lies in.
    fn entry(&mut self, said: &Path, from: &Path, to: &Path, follow: bool, above: &[PathBuf]) {
        let place = if follow { resolve(self.before, from) } else { Some(from.to_owned()) };
        let Some(place) = place.filter(|place| !above.contains(place)) else {
            self.failed = true; // leads nowhere, or in a circle
            return;
        };
        let source = self.before[&place].clone();
        if !source.is_dir() {
            return self.thing(&source, said, to);
        }
        if self.folder(&source, to).is_none() {
            return;
        }
        let above = [above, std::slice::from_ref(&place)].concat();
        for name in names_in(self.before, &place) {
            let (said, to) = (said.join(&name), to.join(&name));
            self.entry(&said, &place.join(&name), &to, self.rules.follows(false), &above);
        }
        self.dress(&source, to);
    }

    /// Has a folder stand at `to`; `None` if something else does.
    fn folder(&mut self, source: &Node, to: &Path) -> Option<()> {
        match self.after.get(to) {
            None => {
                let folder = self.born(source, What::Dir, 0);
                self.after.insert(to.to_owned(), folder);
            }
            Some(old) if old.is_dir() => {}
            Some(_) => {
                self.failed = true;
                return None;
            }
        }
        Some(())
    }

    /// Copies what is no folder.
    fn thing(&mut self, source: &Node, said: &Path, to: &Path) {
        let new = self.made_of(source, said);
        let Some(old) = self.after.get(to).cloned() else {
            self.after.insert(to.to_owned(), new);
            return;
        };
        match self.fate_of(&old, source, &new) {
            Fate::Stays => {}
            Fate::IsInTheWay => self.failed = true,
            Fate::IsDressed => {
                // Whose contents are to stay stays a file of its own.
                let makes_room = self.rules.remove || self.rules.backs_up();
                let may_link = self.rules.way != Way::Attributes || makes_room;
                if may_link && self.linked.contains_key(&source.file) {
                    self.after.get_mut(to).unwrap().file = new.file;
                }
                self.dress(source, to);
            }
            Fate::IsReplaced => {
                if self.rules.backs_up() {
                    let Some(backup) = backup_of(&self.after, self.rules, to) else {
                        return self.failed = true;
                    };
                    self.after.insert(backup, old);
                }
                self.after.insert(to.to_owned(), new);
            }
        }
    }

    /// What becomes of what stands where a thing is to go.
    fn fate_of(&self, old: &Node, source: &Node, new: &Node) -> Fate {
        let rules = self.rules;
        match rules.update {
            _ if rules.way == Way::HardLink && old.file == new.file => return Fate::Stays,
            Update::Nothing => return Fate::Stays,
            Update::Older if old.time >= source.time => return Fate::Stays,
            Update::NothingAndFail => return Fate::IsInTheWay,
            _ if old.is_dir() => return Fate::IsInTheWay,
            Update::Differing if self.is_complete(source, new, old) => return Fate::IsDressed,
            _ => {}
        }
        // For what is no file, cp always makes room unless it follows symlinks.
        let makes_room = rules.force
            || rules.remove
            || rules.backs_up()
            || (!is_file(source) && !rules.follows(false));
        let has_contents = discriminant(&source.what) == discriminant(&old.what);
        match rules.way {
            Way::HardLink | Way::Symlink if !makes_room => Fate::IsInTheWay,
            Way::Attributes if has_contents && !rules.remove && !rules.backs_up() => {
                Fate::IsDressed
            }
            _ => Fate::IsReplaced,
        }
    }

    /// What a thing becomes where nothing stands.
    fn made_of(&mut self, source: &Node, said: &Path) -> Node {
        match self.rules.way {
            Way::HardLink => return source.clone(),
            Way::Symlink => {
                let text = What::Symlink(self.caller.folder.join(said));
                let file = self.another();
                // It belongs to who has made it, but is as old as the source, for cp, too.
                return Node { owner: self.caller.owner, ..self.born(source, text, file) };
            }
            Way::Copy | Way::Attributes => {}
        }
        let names = self.before.values().filter(|node| node.file == source.file).count();
        let file = if self.rules.links && (names > 1 || self.rules.joins()) {
            let another = self.another();
            *self.linked.entry(source.file).or_insert(another)
        } else {
            self.another()
        };
        let empty = self.rules.way == Way::Attributes && is_file(source);
        let what = if empty { What::File(Bytes(Vec::new())) } else { source.what.clone() };
        self.born(source, what, file)
    }

    fn another(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Whether what stands there need not be replaced.
    fn is_complete(&self, source: &Node, new: &Node, old: &Node) -> bool {
        let same_time = !self.rules.times || old.time == source.time;
        let wanted = if self.rules.way == Way::Attributes { source } else { new };
        match (&wanted.what, &old.what) {
            _ if self.rules.way == Way::HardLink => false, // what is no link to it
            (What::File(new), What::File(old)) if self.rules.times => {
                same_time && new.0.len() == old.0.len()
            }
            (new, old) => same_time && new == old,
        }
    }

    /// Something new, with all that is kept of the source.
    fn born(&self, source: &Node, what: What, file: u64) -> Node {
        let rules = self.rules;
        let owner = if rules.owner { source.owner } else { self.caller.owner };
        let usual = if source.is_dir() { 0o777 } else { 0o666 };
        let mode = match rules.mode {
            Mode::Kept => bits(source, owner),
            Mode::NotKept => source.mode & 0o1777 & !self.caller.umask,
            // The sticky bit of a folder comes all the same, for cp, too.
            Mode::Refused => (usual | source.mode & 0o1000) & !self.caller.umask,
        };
        Node { what, mode, owner, time: source.time.filter(|_| rules.times), file }
    }

    /// Gives what stands there all that is kept of the source.
    fn dress(&mut self, source: &Node, to: &Path) {
        let Some(node) = self.after.get_mut(to) else { return };
        if self.rules.owner {
            node.owner = source.owner;
        }
        if self.rules.mode == Mode::Kept {
            node.mode = bits(source, node.owner);
        }
        if self.rules.times {
            node.time = source.time;
        } else if node.is_dir() {
            node.time = None;
        }
    }
}

fn is_file(node: &Node) -> bool {
    matches!(node.what, What::File(_))
}

/// The permission bits of a copy: set-id bits only where they lend nobody else's rights.
fn bits(source: &Node, owner: (u32, u32)) -> u32 {
    let user = if owner.0 == source.owner.0 || source.is_dir() { 0o4000 } else { 0 };
    let group = if owner.1 == source.owner.1 || source.is_dir() { 0o2000 } else { 0 };
    source.mode & (0o1777 | user | group)
}
