//! The model: computes the result of a copy as the manuals define it.
//!
//! The model has no processes, staged names or interruptions. It visits the source once, in order, and puts
//! each entry into the target.

use crate::common::testtree::{Bytes, Node, Tree, What};
use crate::names::{backup_of, names_in, resolve};
use crate::rules::{Mode, Rules, Update, Way};
use std::collections::BTreeMap;
use std::mem::discriminant;
use std::path::{Path, PathBuf};

/// The process that runs the command: working directory, user and group, umask.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) dir: PathBuf,
    pub(crate) owner: (u32, u32),
    pub(crate) umask: u32,
}

/// Returns the tree after `sources` were copied to `target`, and whether an entry failed.
pub(crate) fn copy(
    before: &Tree,
    caller: &Caller,
    rules: &Rules,
    sources: &[&str],
    target: &str,
) -> (Tree, bool) {
    let (linked, dst) = (BTreeMap::new(), Path::new(target));
    let next = before.values().map(|node| node.file).max().unwrap_or(0) + 1;
    let mut copy = Copy {
        before,
        caller,
        rules,
        target: dst,
        after: before.clone(),
        failed: false,
        linked,
        next,
    };
    let several = sources.len() > 1;
    let is_done = sources.iter().all(|source| copy.operand(source, dst, several));
    (copy.after, copy.failed || !is_done)
}

/// What happens to an existing entry of the target.
enum Fate {
    Stays,
    /// The existing entry makes the copy of this entry fail.
    IsInTheWay,
    /// The existing entry gets the attributes of the source, but its contents stay.
    IsRepaired,
    IsReplaced,
}

struct Copy<'a> {
    before: &'a Tree,
    caller: &'a Caller,
    rules: &'a Rules,
    /// DST.
    target: &'a Path,
    after: Tree,
    failed: bool,
    /// For each file of the source that has hard links: the number of its copy.
    linked: BTreeMap<u64, u64>,
    next: u64,
}

impl Copy<'_> {
    /// Copies an operand onto the target or into it. Returns false if the whole command is refused.
    fn operand(&mut self, operand: &str, target: &Path, several: bool) -> bool {
        let bare = operand.trim_end_matches('/');
        let is_dir_by_slash = bare != operand && !self.rules.strip;
        let source = Path::new(bare);
        let follow = is_dir_by_slash || self.rules.follows(true);
        if follow && resolve(self.before, source).is_none() {
            return self.refuse();
        }
        let into = several || self.rules.parents || self.is_dir(target);
        let target = if self.rules.onto || !into {
            target.to_owned()
        } else {
            if let Some(dir) = self.after.get_mut(target) {
                dir.time = None; // an entry may be added to it
            }
            if self.rules.parents {
                if self.dirs_above(source, target).is_none() {
                    return self.refuse();
                }
                target.join(source)
            } else if operand.ends_with("/.") {
                target.to_owned()
            } else {
                target.join(source.file_name().unwrap())
            }
        };
        self.entry(source, source, &target, follow, &[]);
        true
    }

    /// Refuses the command, which leaves everything as it was. Returns false.
    fn refuse(&mut self) -> bool {
        self.after = self.before.clone();
        false
    }

    /// Creates the directories of `--parents` in the target. Returns `None` if another entry is in the way.
    /// Existing directories get the attributes of their sources if permission bits are preserved.
    fn dirs_above(&mut self, source: &Path, target: &Path) -> Option<()> {
        let mut above: Vec<_> = source.ancestors().skip(1).collect();
        above.pop(); // the working directory
        for dir in above.into_iter().rev() {
            let (dir, to) = (self.before[dir].clone(), target.join(dir));
            self.dir(&dir, &to)?;
            if self.before.contains_key(&to) {
                if self.rules.preserves_mode() {
                    self.set_attributes(&dir, &to);
                }
                self.after.get_mut(&to).unwrap().time = None;
            }
        }
        Some(())
    }

    fn is_dir(&self, path: &Path) -> bool {
        let place = resolve(self.before, path);
        place.is_some_and(|place| self.before[&place].is_dir())
    }

    /// Copies the entry at `from` with everything below it. `named` is its path as the operand gives it.
    /// `above` are the directories that contain it.
    fn entry(&mut self, named: &Path, from: &Path, to: &Path, follow: bool, above: &[PathBuf]) {
        let place = if follow { resolve(self.before, from) } else { Some(from.to_owned()) };
        let Some(place) = place.filter(|place| !above.contains(place)) else {
            self.failed = true; // dangles, or is a loop
            return;
        };
        let source = self.before[&place].clone();
        if !source.is_dir() {
            return self.file(&source, named, to);
        }
        if self.dir(&source, to).is_none() {
            return;
        }
        let above = [above, std::slice::from_ref(&place)].concat();
        for name in names_in(self.before, &place) {
            let (named, to) = (named.join(&name), to.join(&name));
            self.entry(&named, &place.join(&name), &to, self.rules.follows(false), &above);
        }
        self.set_attributes(&source, to);
    }

    /// Creates a directory at `to`, unless it exists. Returns `None` if another entry is in the way.
    fn dir(&mut self, source: &Node, to: &Path) -> Option<()> {
        match self.after.get(to) {
            None => {
                let mut dir = self.new_node(source, What::Dir, 0);
                if !self.rules.preserves_mode() {
                    let above = to.parent().and_then(|above| self.after.get(above));
                    dir.mode |= above.map_or(0, |above| above.mode & 0o2000);
                }
                self.after.insert(to.to_owned(), dir);
            }
            Some(old) if old.is_dir() => {}
            Some(_) => {
                self.failed = true;
                return None;
            }
        }
        Some(())
    }

    /// Copies an entry that is not a directory.
    fn file(&mut self, source: &Node, named: &Path, to: &Path) {
        let new = self.copy_of(source, named);
        let Some(old) = self.after.get(to).cloned() else {
            self.after.insert(to.to_owned(), new);
            return;
        };
        match self.fate_of(&old, source, &new) {
            Fate::Stays => {}
            Fate::IsInTheWay => self.failed = true,
            Fate::IsRepaired => {
                // A file whose contents must stay stays a file of its own.
                let makes_room = self.rules.remove || self.rules.backs_up();
                let may_link = self.rules.way != Way::Attributes || makes_room;
                if may_link && self.linked.contains_key(&source.file) {
                    self.after.get_mut(to).unwrap().file = new.file;
                }
                self.set_attributes(source, to);
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

    /// Returns what happens to the existing entry `old`.
    fn fate_of(&self, old: &Node, source: &Node, new: &Node) -> Fate {
        let rules = self.rules;
        match rules.update {
            _ if rules.way == Way::HardLink && old.file == new.file => return Fate::Stays,
            Update::Nothing => return Fate::Stays,
            Update::Older if old.time >= source.time => return Fate::Stays,
            Update::NothingAndFail => return Fate::IsInTheWay,
            _ if old.is_dir() => return Fate::IsInTheWay,
            Update::Differing if self.is_up_to_date(source, new, old) => return Fate::IsRepaired,
            _ => {}
        }
        // cp removes an existing entry for anything but a regular file, unless it follows symlinks.
        let makes_room = rules.force
            || rules.remove
            || rules.backs_up()
            || (!is_file(source) && !rules.follows(false));
        let has_contents = discriminant(&source.what) == discriminant(&old.what);
        match rules.way {
            Way::HardLink | Way::Symlink if !makes_room => Fate::IsInTheWay,
            Way::Attributes if has_contents && !rules.remove && !rules.backs_up() => {
                Fate::IsRepaired
            }
            _ => Fate::IsReplaced,
        }
    }

    /// Returns the copy of an entry that does not exist in the target.
    fn copy_of(&mut self, source: &Node, named: &Path) -> Node {
        match self.rules.way {
            Way::HardLink => return source.clone(),
            Way::Symlink => {
                let text = What::Symlink(self.caller.dir.join(named));
                let file = self.another();
                // It belongs to the caller, but has the time of the source, for cp, too.
                return Node { owner: self.caller.owner, ..self.new_node(source, text, file) };
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
        self.new_node(source, what, file)
    }

    fn another(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Whether the existing entry is up to date, so that it need not be replaced.
    fn is_up_to_date(&self, source: &Node, new: &Node, old: &Node) -> bool {
        let same_time = !self.rules.times || old.time == source.time;
        let wanted = if self.rules.way == Way::Attributes { source } else { new };
        // Where a backup would be made, an entry that differs in its time alone is not replaced.
        let contents_decide = self.rules.backs_up() && self.rules.way == Way::Copy;
        match (&wanted.what, &old.what) {
            _ if self.rules.way == Way::HardLink => false, // it is no link to the source
            (new, old) if contents_decide && new == old => true,
            (What::File(new), What::File(old)) if self.rules.times => {
                same_time && new.0.len() == old.0.len()
            }
            (new, old) => same_time && new == old,
        }
    }

    /// Returns a new entry with all attributes of the source that are preserved.
    fn new_node(&self, source: &Node, what: What, file: u64) -> Node {
        let rules = self.rules;
        let owner = if rules.owner { source.owner } else { self.caller.owner };
        let usual = if source.is_dir() { 0o777 } else { 0o666 };
        let mode = match rules.mode {
            Mode::Preserved | Mode::ByDefault => mode_for(source, owner),
            Mode::Masked => source.mode & 0o1777 & !self.caller.umask,
            // The sticky bit of a directory is copied all the same, for cp, too.
            Mode::Default => (usual | source.mode & 0o1000) & !self.caller.umask,
        };
        let time = source.time.filter(|_| rules.times);
        Node { owner, time, file, ..Node::new(what, mode, (0, 0)) }
    }

    /// Gives the existing entry all attributes of the source that are preserved.
    fn set_attributes(&mut self, source: &Node, to: &Path) {
        let Some(node) = self.after.get_mut(to) else { return };
        if self.rules.owner {
            node.owner = source.owner;
        }
        if self.rules.preserves_mode() {
            node.mode = match self.before.get(to).filter(|old| old.is_dir()) {
                Some(old) if self.rules.mode == Mode::ByDefault && to == self.target => old.mode,
                Some(old) if self.rules.mode == Mode::ByDefault && old.mode & 0o2000 != 0 => {
                    mode_for(source, node.owner) | old.mode & 0o2020
                }
                _ => mode_for(source, node.owner),
            };
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

/// Returns the mode of a copy. It has set-ID bits only if its owner is the owner of the source.
fn mode_for(source: &Node, owner: (u32, u32)) -> u32 {
    let user = if owner.0 == source.owner.0 || source.is_dir() { 0o4000 } else { 0 };
    let group = if owner.1 == source.owner.1 || source.is_dir() { 0o2000 } else { 0 };
    source.mode & (0o1777 | user | group)
}
