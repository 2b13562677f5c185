//! A draft: a plan before its run begins.

use super::backup_dir::BackupDir;
use super::comparisons::{Check, ListedFiles};
use super::deletion_guard::{self, DeletionGuard};
use super::made_path::MadePath;
use super::manifest_place::ManifestPlace;
use super::mount_guard;
use super::notes::{Note, NoteKind};
use super::operands::errno_of;
use super::placement::Placement;
use super::requirements::RequiredMounts;
use super::waves::waves;
use super::{Applied, JOBS_MAX, Operand, Parent, Plan, PlanOutput, XattrRules};
use crate::error::Refusal;
use crate::options::{
    ApplyRequest, Command, CopyOptions, Dereference, Operands, Options, Permissions, PlanRequest,
};
use crate::policy::Policy;
use crate::sanitize::quote;
use crate::selection::{Listed, Selection};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity};
use pcopy_sys::{process, selinux, statfs};
use std::collections::HashSet;
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What pcopy knows of a run before it begins. Making a draft creates and changes nothing, except that `--mkpath` creates
/// the directories above the target. If the run is refused, they are removed.
pub struct Draft {
    placement: Placement,
    manifest: Option<ManifestPlace>,
    check: Option<Check>,
    plan: Option<PlanRequest>,
    apply: Option<Arc<ApplyRequest>>,
    jobs: Option<u16>,
    retries: Option<u16>,
    timeout: Option<Duration>,
    destination: PathBuf,
    with_no_target_directory: Option<String>,
    without_deletion_limit: Option<String>,
    guards_mounts: bool,
    backup_dir: Option<BackupDir>,
    made_path: MadePath,
    required_mounts: RequiredMounts,
}

impl Draft {
    /// Finds a target for each operand. Refuses the run for any reason that reading the file system can find.
    pub fn make(options: &Options) -> Result<Self, Refusal> {
        if options.guards_mounts && !matches!(options.command, Command::CheckManifest { .. }) {
            mount_guard::check(options)?;
        }
        let required_mounts = RequiredMounts::check(options)?;
        let made_path = match options.make_path {
            true => MadePath::make(&options.operands)?,
            false => MadePath::default(),
        };
        match Self::find(options) {
            Ok(draft) => Ok(Self { made_path, required_mounts, ..draft }),
            Err(refusal) => {
                made_path.give_back();
                Err(refusal)
            }
        }
    }

    fn find(options: &Options) -> Result<Self, Refusal> {
        if let Some(selection) = options.copy.selection.as_ref().filter(|_| options.copy.dry_run) {
            selection.note_decisions().map_err(|error| Refusal {
                message: format!("cannot note which rules decide: {error}"),
                hint: None,
            })?;
        }
        let mut placement = Placement::new(options);
        let mut check = None;
        match &options.command {
            Command::CheckManifest { file, dir } => {
                let (listed, notes) = ListedFiles::read(file, dir)?;
                placement.notes = notes;
                check = Some(Check::Manifest(listed));
            }
            Command::Check => {
                placement.place_to_compare(&options.operands)?;
                check = Some(Check::Sources);
            }
            Command::Copy | Command::Explain(_) => placement.place(&options.operands)?,
        }
        if let (Some(deletion), Command::Copy) = (options.copy.deletion, &options.command) {
            deletion_guard::check(deletion, &placement.operands)?;
            placement.notes.extend(note_of_files(&placement.operands));
        }
        // When the plan was made, its rules were asked.
        if let Some(selection) = options.copy.selection.as_ref().filter(|_| options.apply.is_none())
        {
            if selection.listed().is_some() {
                refuse_symlink(&placement.operands)?;
            }
            placement.notes.extend(notes_of(selection, options));
        }
        let has_target = !placement.notes.iter().any(|note| note.kind.is_about_target());
        if options.copy.context.is_some() && !selinux::is_enabled() && has_target {
            placement.notes.push(Note { before: 0, kind: NoteKind::ContextIgnored });
        }
        let find = |path: &std::path::PathBuf| {
            ManifestPlace::find(path, &placement.operands, placement.dirs.parents())
        };
        let manifest = options.manifest.as_ref().map(find).transpose()?;
        let backup_dir = options.copy.backup.as_ref().and_then(|backup| backup.dir.as_deref());
        let backup_dir =
            backup_dir.map(|path| BackupDir::find(path, &options.copy, &placement.operands));
        let backup_dir = backup_dir.transpose()?;
        let Options { jobs, retries, timeout, .. } = *options;
        let destination = destination(&options.operands, &placement.operands);
        // If the directory exists, or the copy is made inside one that does, the same command does the same again.
        let does_the_same = || {
            let is_inside = |operand: &Operand| !operand.manifest_prefix.is_empty();
            destination.is_dir() || placement.operands.iter().any(is_inside)
        };
        let with_no_target_directory = options.with_no_target_directory.clone();
        let with_no_target_directory = with_no_target_directory.filter(|_| !does_the_same());
        Ok(Self {
            placement,
            manifest,
            check,
            plan: options.plan.clone(),
            apply: options.apply.clone(),
            jobs,
            retries,
            timeout,
            destination,
            with_no_target_directory,
            without_deletion_limit: options.without_deletion_limit.clone(),
            backup_dir,
            guards_mounts: options.guards_mounts,
            made_path: MadePath::default(),
            required_mounts: RequiredMounts::default(),
        })
    }

    /// Returns the identity of the open file that the run writes to, if it is an inherited descriptor, and not
    /// the null device.
    pub fn data_descriptor(&self) -> Option<Identity> {
        let stream = self.placement.stream.as_ref()?;
        let is_open_file = stream.descriptor.is_some() && !stream.stat.is_null_device();
        is_open_file.then(|| stream.stat.identity())
    }

    /// Creates the directories that `--parents` needs above targets, and sets the security context for new
    /// files (`--context`).
    ///
    /// Must be called before the umask is cleared and before the first fork. If the run is refused, the
    /// created directories are removed.
    pub fn begin(mut self) -> Result<Plan, Refusal> {
        let created = self.placement.create_parents();
        let set = created.and_then(|()| set_context(&self.placement.options));
        set.inspect_err(|_| {
            self.placement.dirs.give_back();
            self.made_path.give_back();
        })?;
        let (output, apply) = (self.plan.take(), self.apply.take());
        if apply.is_some() {
            self.placement.options.applies = true;
        }
        let mut plan = self.into_plan();
        let prepared = prepare(&mut plan, output.as_ref(), apply.as_deref());
        prepared.inspect_err(|_| plan.give_back())?;
        Ok(plan)
    }

    fn into_plan(mut self) -> Plan {
        let mut named_dirs = self.placement.named_dirs();
        // A comparison needs no separate operands: it may read one directory twice at the same time.
        let symlinked_dirs = match self.check {
            Some(_) => HashSet::new(),
            None => self.placement.add_symlinked_dirs(&mut named_dirs),
        };
        if self.placement.options.applies {
            self.placement.options.selection = None;
            self.placement.left_out = 0;
        }
        let Placement { options, mut operands, dirs, mut notes, stream, left_out, .. } =
            self.placement;
        let (dirs, numbers, mut parents) = dirs.finish();
        for operand in &mut operands {
            for dir in [&mut operand.source_dir, &mut operand.target_dir] {
                *dir = numbers[*dir].expect("an operand without its directory was dropped");
            }
        }
        // A directory that was to be created but turned out to exist is changed only if attributes are
        // preserved, as with `cp -p`.
        let updates_parents = options.preserve.permissions == Permissions::Exact;
        parents.retain(|parent| parent.new || updates_parents);
        notes.retain(|note| is_true(note, &parents));
        let deletes = options.deletion.is_some() && self.check.is_none();
        let deletion_guard = match deletes {
            true => DeletionGuard::of(&operands, self.guards_mounts),
            false => DeletionGuard::default(),
        };
        notes.extend(deletion_guard.absent().map(|(operand, path)| {
            let source = operands[*operand as usize].show_source(path);
            let kind = NoteKind::NotMounted(PathBuf::from(OsString::from_vec(source)));
            Note { before: 0, kind }
        }));
        let copies_xattrs = options.preserve.attributes.is_wanted();
        let sets_owners = options.sets_owner() && process::is_root();
        Plan {
            xattr_rules: if copies_xattrs { XattrRules::read() } else { XattrRules::default() },
            waves: waves(&operands, &dirs, &notes, &options),
            policy: Policy::of(options.compat),
            umask: process::umask(),
            unknown_id: if sets_owners { process::unknown_id() } else { None },
            jobs: self.jobs.unwrap_or(JOBS_DEFAULT_MAX),
            jobs_at_first: self.jobs.unwrap_or_else(default_jobs),
            retries: match &stream {
                Some(_) => 0, // what has been written into a stream cannot be taken back
                None => self.retries.unwrap_or_else(|| default_retries(&dirs)),
            },
            stream,
            left_out,
            timeout: self.timeout,
            destination: self.destination,
            made_path: self.made_path,
            required_mounts: self.required_mounts,
            deletion_guard,
            without_deletion_limit: self.without_deletion_limit,
            backup_dir: self.backup_dir,
            with_no_target_directory: self.with_no_target_directory,
            manifest: self.manifest,
            output: None,
            applied: None,
            check: self.check,
            options,
            operands,
            parents,
            notes,
            named_dirs,
            dirs,
            symlinked_dirs,
        }
    }
}

/// Opens the file for a plan, or prepares the plan that is carried out.
fn prepare(
    plan: &mut Plan,
    output: Option<&PlanRequest>,
    apply: Option<&ApplyRequest>,
) -> Result<(), Refusal> {
    let Some(file) = output.map(|request| &request.file).or(apply.map(|request| &request.file))
    else {
        return Ok(());
    };
    let refuse = |why: &str, hint: Option<&'static str>| {
        let file = quote(file.as_os_str().as_bytes());
        Err(Refusal {
            message: format!("no plan can be made for {file}: {why}"),
            hint: hint.map(Into::into),
        })
    };
    if plan.stream.is_some() {
        return refuse("the target is no file", None);
    }
    if plan.waves.len() > 1 {
        let hint = Some("make a plan for each source");
        return refuse("one source may be copied over what another one was copied to", hint);
    }
    plan.output = output.map(|request| PlanOutput::open(plan, request)).transpose()?;
    plan.applied = apply.map(|request| Applied::prepare(plan, request)).transpose()?;
    Ok(())
}

/// Returns the path of the copy, if there is one operand, or of the directory that the copies are in.
fn destination(given: &Operands, operands: &[Operand]) -> PathBuf {
    match (given, operands) {
        (_, [operand]) => operand.target_path.clone(),
        (Operands::Into { directory: target, .. } | Operands::Onto { target, .. }, _) => {
            target.clone()
        }
        _ => PathBuf::new(),
    }
}

/// Whether the note is still true. The directory that the note announces may have turned out to exist, or
/// could not be created.
fn is_true(note: &Note, parents: &[Parent]) -> bool {
    match &note.kind {
        NoteKind::ParentCreated { target, .. } => {
            parents.iter().any(|parent| parent.new && parent.target == *target)
        }
        _ => true,
    }
}

/// Returns what there is to say if something is removed only in the copies of directories, and not all sources are such: a
/// shell has replaced `SRC/*`.
fn note_of_files(operands: &[Operand]) -> Option<Note> {
    let files = operands.iter().filter(|operand| !operand.is_dir).count();
    (files > 0).then_some(Note { before: 0, kind: NoteKind::NothingExtraneous(files) })
}

/// Returns what there is to say about a selection: rules that can match nothing, and listed names that do not exist.
fn notes_of(selection: &Selection, options: &Options) -> Vec<Note> {
    let blanks = selection.with_blank_at_end().into_iter().map(NoteKind::BlankAtEnd);
    let kinds = selection.unreachable().into_iter().map(NoteKind::UnreachableRule).chain(blanks);
    // With `--delete`, a listed name that the source does not have is removed from the target.
    let deletes = options.copy.deletion.is_some();
    let listed = selection.listed().filter(|listed| !listed.accepts_missing && !deletes);
    let missing = listed.map(|listed| missing(listed, options)).into_iter().flatten();
    let kinds = kinds.chain(missing.map(NoteKind::ListedMissing));
    kinds.map(|kind| Note { before: 0, kind }).collect()
}

/// Refuses a list of names that are relative to a symbolic link that is not followed.
fn refuse_symlink(operands: &[Operand]) -> Result<(), Refusal> {
    let Some(link) = operands.iter().find(|operand| !operand.is_dir) else { return Ok(()) };
    let path = link.source_path.as_os_str().as_bytes();
    Err(Refusal {
        message: format!(
            "{} is a symbolic link, which contains no names of --files-from",
            quote(path)
        ),
        hint: Some(format!("write {} for the directory", quote(&[path, b"/"].concat())).into()),
    })
}

/// Returns the paths of the listed names that do not exist, or that only a symbolic link leads to that is not followed.
fn missing(listed: &Listed, options: &Options) -> Vec<PathBuf> {
    let source = options.operands.only_source().unwrap_or(Path::new(""));
    let Ok(root) = file::open_dir(source) else { return Vec::new() }; // a copier reports the error
    let open = match options.copy.dereference {
        Dereference::Always => file::open_dir_following,
        _ => file::open_dir_beneath,
    };
    let is_absent = |errno| {
        matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENAMETOOLONG)
    };
    let mut last = (PathBuf::new(), root.try_clone().map_err(|error| errno_of(&error)));
    let mut names = listed.names();
    names.retain(|path| {
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return false };
        if above != last.0 {
            last = (above.to_owned(), open(root.as_fd(), above.as_os_str().as_bytes()));
        }
        let name = CString::new(name.as_bytes()).unwrap_or_default();
        let found = last.1.as_ref().map_err(|errno| *errno);
        found.and_then(|dir| file::stat_at(dir, &name)).err().is_some_and(is_absent)
    });
    names.into_iter().map(|name| source.join(name)).collect()
}

/// Sets the security context for the files that this process and its children create.
fn set_context(options: &CopyOptions) -> Result<(), Refusal> {
    let Some(wanted) = options.context.as_ref().filter(|_| selinux::is_enabled()) else {
        return Ok(());
    };
    if wanted.is_empty() {
        return Ok(()); // keeps the kernel's default
    }
    selinux::set_for_new_files(wanted.as_bytes()).map_err(|error| Refusal {
        message: format!("cannot set the context {}: {error}", quote(wanted.as_bytes())),
        hint: None,
    })
}

/// The maximum number of copiers by default. Far more copiers than CPUs keep the queue of a disk full if the
/// files are not in the page cache. Measured with 18,000 such files: 2 copiers took 1.1 s, 8 copiers 0.48 s,
/// 32 copiers 0.33 s.
const JOBS_DEFAULT_MAX: u16 = 32;

/// Returns the number of copiers with which a run begins by default: at least two, even with one CPU. One
/// copier can work while the other waits. And a single copier hands over no task, so the parent could not see
/// that there is work for another copier.
fn default_jobs() -> u16 {
    cpus().clamp(2, JOBS_DEFAULT_MAX)
}

/// Returns how often an entry is retried by default. Network file systems get retries, because their failures
/// are often transient.
fn default_retries(dirs: &[OwnedFd]) -> u16 {
    if dirs.iter().any(statfs::is_network) { 2 } else { 0 }
}

/// Returns how many CPUs this process may use, at most [`JOBS_MAX`]. `available_parallelism` reads a dozen
/// files to find out.
fn cpus() -> u16 {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(cpus).unwrap_or(JOBS_MAX).min(JOBS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Operands, When};
    use std::fs;
    use std::path::Path;

    fn with_parents(copy: CopyOptions, source: &Path, directory: &Path) -> Draft {
        let operands =
            Operands::Into { sources: vec![source.to_owned()], directory: directory.to_owned() };
        Draft::make(&Options {
            make_path: false,
            guards_mounts: false,
            require_mounts: Vec::new(),
            require_files: Vec::new(),
            command: Command::Copy,
            operands,
            copy,
            parents: true,
            manifest: None,
            plan: None,
            apply: None,
            jobs: Some(1),
            retries: Some(0),
            timeout: None,
            progress: When::Never,
            with_no_target_directory: None,
            without_deletion_limit: None,
        })
        .unwrap()
    }

    #[test]
    fn a_draft_creates_nothing_and_its_beginning_creates_the_directories_above_sources() {
        let base = tempfile::tempdir().unwrap();
        let (source, directory) = (base.path().join("a/b/c"), base.path().join("dst"));
        fs::create_dir_all(source.parent().unwrap()).unwrap();
        fs::create_dir(&directory).unwrap();
        fs::write(&source, "contents").unwrap();
        let target = directory.join(source.strip_prefix("/").unwrap());
        for copy in [CopyOptions::native(), CopyOptions::gnu_cp()] {
            let draft = with_parents(copy, &source, &directory);
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);

            let plan = draft.begin().unwrap();

            assert!(target.parent().unwrap().is_dir() && !target.exists());
            assert_eq!((plan.operands.len(), plan.waves.len()), (1, 1));
            assert!(plan.parents.iter().all(|parent| parent.new));
            plan.give_back();
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        }
    }
}
