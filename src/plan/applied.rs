//! What `--apply` does: the operations of a plan, by the place of each entry.
//!
//! The walk of a copier lists no directory of the source then: the names that it visits are those of the plan, and what it
//! does with each is decided as in any run, after the entry was compared with what the plan says of it. Directories are
//! compared before the first fork, because the run itself changes those of the target. A directory that is only on the way
//! to an entry keeps its attributes.

use super::plan_output::roots;
use super::{Operand, Plan};
use crate::error::{EntryError, Op, Refusal};
use crate::ipc::wire::task::{put_name, split_last};
use crate::options::ApplyRequest;
use crate::plan_file::{Change, Operation, Root, Seen};
use crate::sanitize::quote;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stamp, Stat};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The operations of a plan that are carried out.
pub struct Applied {
    /// For each operand, what is done with its entries, by their paths in the source, which begin with the source name.
    entries: Vec<HashMap<Vec<u8>, Role>>,
    /// For each operand, the packed names of each of its directories.
    names: Vec<HashMap<Vec<u8>, Vec<u8>>>,
    /// The attributes that directories keep in which something is removed.
    kept: HashMap<(u32, Vec<u8>), KeptDir>,
    /// What is removed, in the order of the plan.
    pub removals: Vec<Operation>,
    /// Where each of them is in that list, by its operand and its path in the source.
    removal_at: HashMap<(u32, Vec<u8>), usize>,
    /// The operations whose target has several names and was not as the plan says when the run began: by the operand, the path
    /// in the source, and whether it is a removal.
    moved: HashSet<(u32, Vec<u8>, bool)>,
    /// How many entries the target would have kept when the plan was made.
    pub kept_entries: u64,
    /// The directories below which nothing can be done, and those that are not as the plan says.
    pub failures: Vec<(u32, Vec<u8>, EntryError)>,
}

/// What is done with an entry.
pub enum Role {
    /// An operation with an entry that is not a directory.
    Entry(Operation),
    /// A directory is created, or gets the attributes of its source.
    Directory,
    /// A directory is entered and keeps its attributes.
    Passed(KeptDir),
    /// The entry stays, and other names become hard links to it.
    Leader,
}

/// The attributes of a directory of the target that stay as they are.
#[derive(Clone, Copy, Debug)]
pub struct KeptDir {
    /// The permission bits.
    pub permissions: u32,
    /// The times of access and modification; `None` if the options do not preserve times.
    pub times: Option<(Stamp, Stamp)>,
}

/// What becomes of a directory.
enum Verdict {
    Change,
    Pass(KeptDir),
    /// Nothing can be done in it.
    Blocked,
}

impl Applied {
    /// Prepares a plan. Refuses it if it was made for other operands.
    pub(super) fn prepare(plan: &Plan, request: &ApplyRequest) -> Result<Self, Refusal> {
        check_roots(plan, request)?;
        let count = plan.operands.len();
        let mut applied = Self {
            entries: (0..count).map(|_| HashMap::new()).collect(),
            names: (0..count).map(|_| HashMap::new()).collect(),
            kept: HashMap::new(),
            removals: Vec::new(),
            removal_at: HashMap::new(),
            moved: HashSet::new(),
            kept_entries: request.plan.kept,
            failures: Vec::new(),
        };
        let mut dirs = BTreeMap::new();
        for operation in &request.plan.operations {
            let Some(operand) = plan.operands.get(operation.operand as usize) else { continue };
            let path = source_path(operand, &operation.path);
            applied.look_at_names(plan, operand, operation, &path);
            if operation.change == Change::Remove {
                applied.removal_at.insert((operation.operand, path), applied.removals.len());
                applied.removals.push(operation.clone());
                continue;
            }
            for end in ends(&path) {
                dirs.entry((operation.operand, path[..end].to_vec())).or_insert(None);
            }
            if operation.source.is_some_and(|source| source.is_dir()) {
                dirs.insert((operation.operand, path), Some(operation));
            }
        }
        // A directory comes before those in it.
        for ((number, path), operation) in dirs {
            applied.add_dir(plan, (number, path), operation);
        }
        for operation in &request.plan.operations {
            applied.add_entry(plan, operation);
        }
        for operation in &request.plan.operations {
            if let Some((operand, path)) = &operation.link_to {
                applied.add_leader(plan, *operand, path);
            }
        }
        applied.keep_dirs_of_removals(plan);
        Ok(applied)
    }

    /// Returns what is done with the entry at `path` in the source; `None` if nothing is.
    pub fn role(&self, operand: u32, path: &[u8]) -> Option<&Role> {
        self.entries.get(operand as usize)?.get(path)
    }

    /// Returns the removal of the entry with this path in the source.
    pub fn removal(&self, operand: u32, path: &[u8]) -> Option<&Operation> {
        self.removals.get(*self.removal_at.get(&(operand, path.to_vec()))?)
    }

    /// Whether anything is done with an operand or in it.
    pub fn has(&self, operand: u32) -> bool {
        self.entries.get(operand as usize).is_some_and(|entries| !entries.is_empty())
    }

    /// Returns the packed names of the directory at `path` in the source with which something is done.
    pub fn names_in(&self, operand: u32, path: &[u8]) -> &[u8] {
        let names = self.names.get(operand as usize).and_then(|names| names.get(path));
        names.map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the attributes that the directory at `path` in the source keeps in the target, if it is not changed.
    pub fn kept_dir(&self, operand: u32, path: &[u8]) -> Option<KeptDir> {
        match self.role(operand, path) {
            Some(Role::Passed(kept)) => Some(*kept),
            Some(_) => None,
            None => self.kept.get(&(operand, path.to_vec())).copied(),
        }
    }

    /// Whether the target of an operation is as the plan says. `path` is the path in the source.
    ///
    /// An inode with several names was compared before the first fork, because the run itself may have changed it since.
    pub fn is_target_still(
        &self,
        operation: &Operation,
        path: &[u8],
        now: Result<Stat, Errno>,
    ) -> bool {
        match (&operation.target, now) {
            (Some(then), Ok(now)) if then.has_other_names() => {
                let is_removal = operation.change == Change::Remove;
                let key = (operation.operand, path.to_vec(), is_removal);
                then.is_inode_of(&now) && !self.moved.contains(&key)
            }
            (Some(then), Ok(now)) => then.is_still(&now),
            (None, Err(errno)) => errno == Errno::ENOENT,
            _ => false,
        }
    }

    fn look_at_names(
        &mut self,
        plan: &Plan,
        operand: &Operand,
        operation: &Operation,
        path: &[u8],
    ) {
        let Some(then) = operation.target.filter(Seen::has_other_names) else { return };
        let now = stat_target(plan, operand, path);
        if !now.is_ok_and(|now| then.is_still(&now)) {
            let is_removal = operation.change == Change::Remove;
            self.moved.insert((operation.operand, path.to_vec(), is_removal));
        }
    }

    fn add_dir(
        &mut self,
        plan: &Plan,
        (number, path): (u32, Vec<u8>),
        operation: Option<&Operation>,
    ) {
        let Some(operand) = plan.operands.get(number as usize) else { return };
        let (above, name) = split_last(&path);
        let is_in_known = above.is_empty() || self.role(number, above).is_some();
        if !is_in_known {
            return; // the failure of the directory above stands for it
        }
        let role = match judge(plan, operand, &path, operation) {
            (verdict, Some(error)) => {
                self.failures.push((number, path.clone(), error));
                verdict
            }
            (verdict, None) => verdict,
        };
        let role = match role {
            Verdict::Change => Role::Directory,
            Verdict::Pass(kept) => Role::Passed(kept),
            Verdict::Blocked => return,
        };
        self.add(number, &path, (above, name), role);
    }

    fn add_entry(&mut self, plan: &Plan, operation: &Operation) {
        let number = operation.operand;
        let is_entry = operation.change != Change::Remove
            && operation.source.is_some_and(|source| !source.is_dir());
        let operand = plan.operands.get(number as usize).filter(|_| is_entry);
        let Some(operand) = operand else { return };
        let path = source_path(operand, &operation.path);
        let (above, name) = split_last(&path);
        if above.is_empty() || self.role(number, above).is_some() {
            self.add(number, &path, (above, name), Role::Entry(operation.clone()));
        }
    }

    /// Adds a name to which others become hard links, unless the plan does something with it anyway.
    fn add_leader(&mut self, plan: &Plan, number: u32, path: &[u8]) {
        let Some(operand) = plan.operands.get(number as usize) else { return };
        let path = source_path(operand, path);
        if self.role(number, &path).is_some() {
            return;
        }
        for end in ends(&path) {
            let dir = &path[..end];
            if self.role(number, dir).is_some() {
                continue;
            }
            let (Verdict::Pass(kept), _) = judge(plan, operand, dir, None) else { return };
            self.add(number, dir, split_last(dir), Role::Passed(kept));
        }
        self.add(number, &path, split_last(&path), Role::Leader);
    }

    fn add(&mut self, number: u32, path: &[u8], (above, name): (&[u8], &[u8]), role: Role) {
        let kind = match &role {
            Role::Entry(operation) => operation.source.map_or(Kind::Unknown, |seen| seen.kind()),
            Role::Directory | Role::Passed(_) => Kind::Directory,
            Role::Leader => Kind::Unknown,
        };
        let number = number as usize;
        self.entries[number].insert(path.to_vec(), role);
        let Ok(name) = CString::new(name) else { return };
        if !above.is_empty() {
            put_name(self.names[number].entry(above.to_vec()).or_default(), kind, &name);
        }
    }

    /// Notes the attributes of the directories in which something is removed and nothing is copied.
    fn keep_dirs_of_removals(&mut self, plan: &Plan) {
        let mut kept = HashMap::new();
        for removal in &self.removals {
            let Some(operand) = plan.operands.get(removal.operand as usize) else { continue };
            let path = source_path(operand, &removal.path);
            let key = (removal.operand, split_last(&path).0.to_vec());
            if self.role(key.0, &key.1).is_some() || kept.contains_key(&key) {
                continue;
            }
            if let Ok(target) = stat_target(plan, operand, &key.1) {
                kept.insert(key, kept_dir(plan, &target));
            }
        }
        self.kept = kept;
    }
}

/// Returns the path of an entry in the source, with the source name, from its path in a plan.
fn source_path(operand: &Operand, path: &[u8]) -> Vec<u8> {
    let name = operand.source_name.to_bytes();
    if path.is_empty() { name.to_vec() } else { [name, b"/", path].concat() }
}

/// Returns where the paths of the directories above an entry end, the uppermost first.
fn ends(path: &[u8]) -> impl Iterator<Item = usize> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at)
}

/// Refuses a plan that was made for other directories.
fn check_roots(plan: &Plan, request: &ApplyRequest) -> Result<(), Refusal> {
    let planned = &request.plan.header.roots;
    let found = roots(plan).map_err(|errno| Refusal::cannot("read", &request.file, errno))?;
    let refuse = |root: &Root, is_source: bool| {
        let (what, path) =
            if is_source { ("source", &root.source) } else { ("target", &root.target) };
        let file = quote(request.file.as_os_str().as_bytes());
        Err(Refusal {
            message: format!(
                "{file} is the plan of another run: the {what} {} is not the one that it was made for",
                quote(path)
            ),
            hint: Some("make a new plan".into()),
        })
    };
    for (number, now) in found.iter().enumerate() {
        let Some(then) = planned.get(number) else { return refuse(now, true) };
        if now.source_place != then.source_place {
            return refuse(now, true);
        }
        let name = |root: &Root| {
            Path::new(OsStr::from_bytes(&root.target)).file_name().map(OsStr::to_owned)
        };
        let is_target = match then.target_place {
            Some(_) => now.target_place == then.target_place,
            None => now.target_dir == then.target_dir && name(now) == name(then),
        };
        if !is_target {
            return refuse(now, false);
        }
    }
    match planned.get(found.len()) {
        Some(missing) => refuse(missing, true),
        None => Ok(()),
    }
}

/// Finds out what becomes of a directory, and whether it is not as the plan says.
fn judge(
    plan: &Plan,
    operand: &Operand,
    path: &[u8],
    operation: Option<&Operation>,
) -> (Verdict, Option<EntryError>) {
    let source = match plan.open_source(operand, path).and_then(file::stat_fd) {
        Ok(source) => source,
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return changed(Verdict::Blocked),
        Err(errno) => return (Verdict::Blocked, Some(Op::ReadDirectory.error()(errno))),
    };
    let target = match stat_target(plan, operand, path) {
        Ok(target) => Some(target),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => None,
        Err(errno) => return (Verdict::Blocked, Some(Op::OpenTarget.error()(errno))),
    };
    let passed = target.filter(|target| target.kind() == Kind::Directory);
    let passed = passed.map_or(Verdict::Blocked, |target| Verdict::Pass(kept_dir(plan, &target)));
    let Some(operation) = operation else {
        let is_blocked = matches!(passed, Verdict::Blocked);
        return if is_blocked { changed(passed) } else { (passed, None) };
    };
    let is_still = |then: Option<Seen>, now: Option<&Stat>| match (then, now) {
        (Some(then), Some(now)) => then.is_still(now),
        (None, None) => true,
        _ => false,
    };
    let is_source_still = is_still(operation.source, Some(&source));
    if is_source_still && is_still(operation.target, target.as_ref()) {
        return (Verdict::Change, None);
    }
    // A run that was interrupted has finished it.
    let is_done = is_source_still
        && plan.options.preserve.timestamps.is_wanted()
        && target.is_some_and(|target| target.modified() == source.modified())
        && matches!(passed, Verdict::Pass(_));
    if is_done { (passed, None) } else { changed(passed) }
}

fn changed(verdict: Verdict) -> (Verdict, Option<EntryError>) {
    (verdict, Some(Op::NotAsPlanned.error()(Errno::ECANCELED)))
}

/// Returns the status of the copy of an entry, from its path in the source.
fn stat_target(plan: &Plan, operand: &Operand, path: &[u8]) -> Result<Stat, Errno> {
    let target = operand.target_of(path);
    let (above, name) = split_last(&target);
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    let look =
        if plan.options.keep_directory_symlink { file::stat_at_following } else { file::stat_at };
    match above {
        b"" => look(plan.target_dir(operand), &name),
        above => look(plan.reach_target(operand, above)?.as_fd(), &name),
    }
}

fn kept_dir(plan: &Plan, target: &Stat) -> KeptDir {
    let keep = &plan.options.preserve;
    let keeps_times = keep.timestamps.is_wanted() && !keep.omits_dir_times;
    let times = keeps_times.then(|| (target.accessed(), target.modified()));
    KeptDir { permissions: target.permissions(), times }
}
