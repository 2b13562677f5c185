//! Copies one entry that is not a directory: a file, a symlink or a special file. A copier takes four steps;
//! the last one, *record*, is in `visitors/copy/record`.
//!
//! * *Inspect*: the copier reads the status of source and target, with the fewest system calls that the
//!   options need. In a new directory that this run builds, the copier does not inspect the target. It opens
//!   the source file, reads its status and creates the target file.
//! * *Decide*: [`decide`] chooses an [`Action`] from this status. This step changes nothing.
//! * *Apply*: in a new directory that this run builds, [`create`] creates the entry. In a directory that
//!   other processes use, [`replace`] builds the entry under a staged name and renames it into place.
//!   [`write_into`] writes into existing files, for `--inplace` and in GNU cp compatibility mode.
//!   [`write_stream`] writes into a FIFO or device that is named as the target. These four copy data with
//!   [`fill`]. [`link`] makes the links of `--link` and `--symbolic-link`.

pub(super) mod action;
pub(super) mod attributes;
mod backup;
pub(super) mod chunks;
mod create;
pub(super) mod data;
pub(super) mod decide;
mod fill;
mod followed_links;
pub(super) mod hard_link;
mod hash_file;
pub(super) mod itemize;
mod large_copy;
pub(super) mod link;
mod meter;
pub(super) mod replace;
pub(super) mod result;
mod resume;
mod stored_times;
mod target_file;
mod timestamps;
mod write_into;
mod write_stream;

pub(super) use hash_file::OpenFile;
pub(super) use large_copy::help;
pub(super) use meter::ReadMeter;

use super::context::Context;
use super::dir_pair::{DirPair, free_staged_name};
use crate::error::{EntryError, Op};
use crate::hash::Hasher;
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::task::EntryPathBuf;
use crate::options::{CopyMode, Dereference, Links, Update};
use crate::plan::op_to_create;
use crate::policy::ExistingRules;
use crate::staging::leftover::remove_leftover;
use crate::staging::staged_name;
use action::{Action, Doubt, Reason};
use backup::BackupNumbers;
use data::BUFFER_BYTES;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Node, Stat};
use result::{Applied, AttributeErrors, Done, Unfinished};
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;

/// The size in bytes from which copying a file takes much longer than handing an entry over to another
/// copier. Handing an entry over costs about as much as copying a small file: 20 us.
pub(super) const HEAVY_BYTES: u64 = 1024 * 1024;

/// An entry in the source and in the target: the directories that contain it, and its names in them.
pub(super) struct Entry<'e> {
    /// The path of the directory. Other copiers find a large file by this path if they help to copy it.
    pub(super) at: &'e EntryPathBuf,
    pub(super) dirs: &'e DirPair,
    pub(super) name: &'e CStr,
    pub(super) target_name: &'e CStr,
}

/// Copies files, symlinks and special files. Reuses its data buffer, its hasher, and the backup numbers that it
/// has found, for the next entry.
pub(super) struct EntryCopier<'a> {
    pub(super) cx: Context<'a>,
    backups: BackupNumbers,
    pub(super) buffer: Vec<u8>,
    /// Hashes the file that is being copied, if the options require that.
    hasher: Option<Box<Hasher>>,
    /// The device on which this copier has set the times of a file last, if the file has kept them.
    keeps_times_on: Option<u64>,
}

impl<'a> EntryCopier<'a> {
    pub(super) fn new(cx: Context<'a>) -> Self {
        let (backups, buffer) = (BackupNumbers::default(), vec![0; BUFFER_BYTES]);
        let hasher = cx.options().hash.map(|algorithm| Box::new(Hasher::new(algorithm)));
        Self { cx, backups, buffer, hasher, keeps_times_on: None }
    }

    /// Copies an entry of the type `kind`. If the source has another type, fails with
    /// [`Unfinished::OtherType`].
    pub(super) fn copy(&mut self, entry: &Entry<'_>, kind: Kind) -> Result<Applied, Unfinished> {
        if entry.dirs.staged && copies_contents(&self.cx, kind) {
            return self.create_file(entry);
        }
        let (cx, dirs) = (self.cx, entry.dirs);
        let source = dirs.stat_source(entry.name).map_err(Op::Stat.error())?;
        if source.kind() != kind {
            return Err(Unfinished::OtherType);
        }
        if dirs.staged {
            let leads = self.lead_or_defer(dirs.contended, &source)?;
            return self.create_other(entry, &source, leads);
        }
        if cx.was_done(entry.name) {
            let leads = self.lead_or_defer(dirs.contended, &source)?;
            cx.status.add(Count::BytesSkipped, data_bytes(&source));
            return Ok(Applied::plain(Done::Skipped).leading(leads));
        }
        if let Some(stream) = cx.plan().stream.as_ref().filter(|_| dirs.contended) {
            return self.write_to_stream(entry, &source, stream);
        }
        if cx.policy().existing == ExistingRules::Gnu {
            return self.copy_as_gnu(entry, &source);
        }
        if self.may_be_deferred(dirs.contended, &source) {
            decide::prompt_before_deferring(&cx, entry, &source)?;
        }
        let leads = self.lead_or_defer(dirs.contended, &source)?;
        let action = decide::native::decide(&cx, entry, &source)?;
        let action = self.unless_only_time_differs(entry, &source, action)?;
        let itemized = itemize::of_action(&cx, entry, &source, &action).map(Box::new);
        Ok(Applied { itemized, ..self.apply(entry, &source, action, leads)? })
    }

    /// Returns what [`copy`](Self::copy) would do with an entry, without doing it: the status of the source, the action,
    /// and the inode of which the entry would be the leader. Fails as `copy` would, and with [`Unfinished::Deferred`] if
    /// another name of the inode is the leader. The directory exists in the target; elsewhere there is nothing to decide.
    pub(super) fn foresee(
        &self,
        entry: &Entry<'_>,
        kind: Kind,
    ) -> Result<(Stat, Action, Option<Identity>), Unfinished> {
        let (cx, dirs) = (&self.cx, entry.dirs);
        let source = dirs.stat_source(entry.name).map_err(Op::Stat.error())?;
        if source.kind() != kind {
            return Err(Unfinished::OtherType);
        }
        if self.may_be_deferred(dirs.contended, &source)
            && cx.may_hold_back(dirs)
            && let Ok(old) = file::stat_at(&dirs.target, entry.target_name)
        {
            decide::hold_back(cx, entry, &old)?;
        }
        let leads = self.lead_or_defer(dirs.contended, &source)?;
        let mut action = decide::native::decide(cx, entry, &source)?;
        // Whether the target refuses times can only be tried; with backups, that does not matter.
        if cx.options().backup.is_some() {
            action = self.unless_only_time_differs(entry, &source, action)?;
        }
        Ok((source, action, leads))
    }

    /// Returns [`Action::Skip`] in place of `action` if the existing entry differs in nothing but its time, and
    /// replacing it would be useless or do harm:
    ///
    /// * A copy would differ in the same way, because the target refuses to set times.
    /// * The options require a backup. The existing entry may be the work of an earlier run whose times were
    ///   refused, and the backup of the user's file would be lost to the backup of that copy.
    fn unless_only_time_differs(
        &self,
        entry: &Entry<'_>,
        source: &Stat,
        action: Action,
    ) -> Result<Action, Unfinished> {
        let (options, dirs) = (self.cx.options(), entry.dirs);
        let is_replaced = matches!(action, Action::Replace { .. } | Action::WriteInto { .. });
        let backs_up = options.backup.is_some();
        let keeps_times = self.keeps_times_on == Some(dirs.traits.device);
        if keeps_times && !backs_up
            || !is_replaced
            || options.update != Update::Different
            || options.copy_mode != CopyMode::Copy
            || self.cx.was_begun_in_place(entry.name)
        {
            return Ok(action);
        }
        let old = match action {
            Action::Replace { old, .. } => old,
            _ => match file::stat_at(&dirs.target, entry.target_name) {
                Ok(old) => old,
                Err(_) => return Ok(action),
            },
        };
        let in_place = matches!(action, Action::WriteInto { .. });
        let is_same = old.links() <= source.links() // as in `stays` in decide/native.rs
            && (backs_up || self.finds_times_refused(entry, source, &old, in_place))
            && decide::has_contents_of(&self.cx, entry, (source, &old), true)?;
        Ok(if is_same { Action::Skip { reason: Reason::UpToDate, old } } else { action })
    }

    /// Finds out whether the existing entry `old`, which looks complete except for its time, lacks that time
    /// because the target refuses to set times. Tries to set the times that `old` has. `in_place` says that
    /// the inode would stay; otherwise a copy would belong to this user.
    fn finds_times_refused(
        &self,
        entry: &Entry<'_>,
        source: &Stat,
        old: &Stat,
        in_place: bool,
    ) -> bool {
        let (cx, dirs) = (&self.cx, entry.dirs);
        let place = (dirs, entry.target_name);
        if cx.has_time_of(place, source, old) || !attributes::looks_complete(source, old) {
            return false;
        }
        if cx.follows_symlinks(dirs, old.kind()) {
            return true;
        }
        let times = (old.accessed(), old.modified());
        match file::set_times_at(&dirs.target, entry.target_name, times.0, times.1) {
            Ok(()) if !in_place && cx.ignores_times(place, old) => {
                cx.note_refused_times(dirs.traits.device, source.kind());
                true
            }
            Ok(()) => false,
            // the file of another user: that says nothing about a new file
            Err(Errno::EPERM | Errno::EACCES) if !cx.attrs.may_set_attributes(old) => in_place,
            Err(_) => {
                cx.note_refused_times(dirs.traits.device, source.kind());
                true
            }
        }
    }

    fn copy_as_gnu(&mut self, entry: &Entry<'_>, source: &Stat) -> Result<Applied, Unfinished> {
        let mut action = decide::gnu::decide(&self.cx, entry, source)?;
        if matches!(action, Action::CreateAnew) {
            // `lead_or_defer` may defer the entry until all other entries are copied. The incomplete entry
            // must not stay until then.
            discard(entry.dirs, entry.target_name);
            action = Action::Create;
        }
        let leads = match action {
            Action::Skip { reason, .. } if !reason.leads(self.cx.policy()) => None,
            _ => self.lead_or_defer(entry.dirs.contended, source)?,
        };
        self.apply(entry, source, action, leads)
    }

    /// Carries out `action`. `leads` is the inode whose other names become hard links to this entry, if there
    /// is one.
    fn apply(
        &mut self,
        entry: &Entry<'_>,
        source: &Stat,
        action: Action,
        leads: Option<Identity>,
    ) -> Result<Applied, Unfinished> {
        let in_place = self.cx.options().in_place;
        let applied = match action {
            Action::Skip { reason, old } => {
                let followed = leads.filter(|_| reason.leads(self.cx.policy()));
                return Ok(self.skip(entry, source, reason, &old)?.leading(followed));
            }
            Action::Replace { old, removed } => self.replace(entry, source, Some(&old), removed),
            Action::Create if !in_place => self.replace(entry, source, None, false),
            Action::WriteInto { through } if copies_contents(&self.cx, source.kind()) => {
                self.remove_staged(entry, source);
                self.write_into(entry, source, through)
            }
            Action::CreateThrough => self.create_through(entry),
            Action::CreateAnew => {
                discard(entry.dirs, entry.target_name);
                self.remove_staged(entry, source);
                self.create_in_place(entry, source)
            }
            Action::Create | Action::WriteInto { .. } => {
                self.remove_staged(entry, source);
                self.create_in_place(entry, source)
            }
        };
        applied.map(|applied| applied.leading(leads))
    }

    /// Keeps the existing entry `old`. If `reason` requires that, removes a leftover (the staged file of a
    /// killed copier), repairs attributes, or sets times.
    fn skip(
        &self,
        entry: &Entry<'_>,
        source: &Stat,
        reason: Reason,
        old: &Stat,
    ) -> Result<Applied, EntryError> {
        let lost = match reason {
            // An earlier round may have published the entry, and a later round may have begun it again. If a
            // copier died in that later round, it has left a staged file.
            Reason::Published => {
                remove_leftover_of(entry.dirs, entry.target_name);
                AttributeErrors::default()
            }
            Reason::UpToDate => repair(&self.cx, entry, source, old)?,
            Reason::Compared(doubt) => {
                note_comparison(&self.cx, entry, (source, old), doubt);
                repair(&self.cx, entry, source, old)?
            }
            Reason::AttributesOnly => {
                let mut lost = repair(&self.cx, entry, source, old)?;
                let to = (entry.dirs.target.as_fd(), entry.target_name);
                if !self.cx.follows_symlinks(entry.dirs, source.kind()) {
                    self.cx.attrs.set_times_of(to, source, &mut lost);
                }
                lost
            }
            Reason::SameFile | Reason::NotOlder | Reason::NoClobber => AttributeErrors::default(),
        };
        self.cx.status.add(Count::BytesSkipped, data_bytes(source));
        Ok(Applied::plain(Done::Skipped).lacking(lost))
    }

    /// Decides whether the copier copies the entry under this name, or defers it because of its hard links.
    ///
    /// Copiers copy an inode with several names only once, under the name that a copier reaches first: the
    /// *leader*. If this name is the leader, returns the inode. If the inode has no other names, or they
    /// become separate files, returns `None`. If another name is the leader, fails with
    /// [`Unfinished::Deferred`]; this name becomes a hard link to the leader after all other entries have
    /// been copied.
    ///
    /// `contended` is true for operands (see [`DirPair`]).
    pub(super) fn lead_or_defer(
        &self,
        contended: bool,
        source: &Stat,
    ) -> Result<Option<Identity>, Unfinished> {
        let may_be_deferred = self.may_be_deferred(contended, source);
        let Some(inodes) = self.cx.job.inodes.filter(|_| may_be_deferred) else { return Ok(None) };
        let inode = source.identity();
        if self.cx.options().applies {
            // The names that are to become links are deferred before.
            return Ok(inodes.insert(inode).then_some(inode));
        }
        // In the round for prompted names, the set is new and lacks the inodes that were copied before. So
        // copiers defer every prompted name of an inode that may have other names; otherwise they would copy
        // the inode a second time.
        let is_first = !self.cx.job.prompts_answered && inodes.insert(inode);
        if is_first { Ok(Some(inode)) } else { Err(Unfinished::Deferred(inode)) }
    }

    /// Whether the inode may have several names in the copy, so that only one of them is copied at once.
    fn may_be_deferred(&self, contended: bool, source: &Stat) -> bool {
        source.links() > 1 || self.may_be_met_again(contended)
    }

    /// Whether a followed symlink may lead to an inode that has only one name in the source. With
    /// [`Links::AndFollowed`], such a symlink becomes a hard link to the copy of that inode.
    fn may_be_met_again(&self, contended: bool) -> bool {
        let options = self.cx.options();
        options.preserve.links == Links::AndFollowed
            && match options.dereference {
                Dereference::Always => true,
                Dereference::CommandLine => contended,
                Dereference::Never => false,
            }
    }

    /// Removes from the target what an earlier round or run has left of an entry that has failed now: its
    /// leftover (a staged file), or an incomplete entry.
    pub(super) fn remove_remains(&self, entry: &Entry<'_>) {
        let (cx, dirs) = (&self.cx, entry.dirs);
        if !dirs.staged {
            if cx.was_begun_new(entry.name) {
                discard(dirs, entry.target_name);
            }
            remove_leftover_of(dirs, entry.target_name);
            return;
        }
        let source = dirs.stat_source(entry.name);
        let target = file::stat_at(&dirs.target, entry.target_name);
        let complete = source.is_ok_and(|source| {
            let same = |target| decide::is_up_to_date(cx, entry, &source, &target);
            target.is_ok_and(|target| same(target).unwrap_or(false))
        });
        if !complete && dirs.has_spelling(entry.target_name) == Ok(true) {
            discard(dirs, entry.target_name);
        }
    }
}

/// Sets the attributes of the source that an up-to-date entry lacks. If not the times but the contents have
/// decided that it is up to date, also sets the times. Returns the attributes that could not be set.
fn repair(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    old: &Stat,
) -> Result<AttributeErrors, EntryError> {
    let dirs = entry.dirs;
    let to = (dirs.target.as_fd(), entry.target_name);
    if cx.follows_symlinks(dirs, source.kind()) {
        return Ok(cx.lost_of_symlink(dirs, entry.target_name, source));
    }
    let mut lost = AttributeErrors::default();
    if !cx.has_time_of((dirs, entry.target_name), source, old) {
        cx.attrs.set_times_of(to, source, &mut lost);
    }
    if dirs.follow && source.kind() == Kind::File {
        // `entry.name` may be a symlink that the copier follows. `attrs.repair` would read the attributes of
        // the symlink itself, so the file is opened.
        let from =
            file::open_source(&dirs.source, entry.name, true).map_err(Op::OpenSource.error())?;
        lost.append(cx.attrs.repair(Node::Open(from.as_fd()), to, source, old));
    } else {
        let from = Node::Named(dirs.source.as_fd(), entry.name);
        lost.append(cx.attrs.repair(from, to, source, old));
    }
    Ok(lost)
}

/// Counts the comparison of a source with the existing entry `old`, which have the same contents.
///
/// If there was doubt because of the ctime, sets the times of the existing entry again. Its status then changed later
/// than that of the source, so the next run need not compare them. Other names of the inode may belong to other
/// programs, so an inode with several names stays as it is.
fn note_comparison(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    (source, old): (&Stat, &Stat),
    doubt: Doubt,
) {
    cx.status.add(Count::Compared, 1);
    if doubt != Doubt::ChangedLater || old.links() > 1 {
        return;
    }
    let dirs = entry.dirs;
    let is_as_before = |now: Stat, then: &Stat| {
        (now.identity(), now.changed()) == (then.identity(), then.changed())
    };
    // If one of them has changed meanwhile, the contents may differ, whatever its times are now.
    let is_unchanged = dirs.stat_source(entry.name).is_ok_and(|now| is_as_before(now, source))
        && file::stat_at(&dirs.target, entry.target_name).is_ok_and(|now| is_as_before(now, old));
    let times = (old.accessed(), old.modified());
    if is_unchanged
        && file::set_times_at(&dirs.target, entry.target_name, times.0, times.1).is_err()
    {
        // Ignored: the entry has its times. The next run compares it again.
    }
}

/// Whether a copier copies the contents of a source of this type. It does for regular files, and with
/// `--copy-contents` also for special files.
pub(super) fn copies_contents(cx: &Context<'_>, kind: Kind) -> bool {
    kind == Kind::File || kind == Kind::Special && cx.options().copy_contents
}

/// Returns the operation that creates a copy of `source`, for the message if it fails.
fn op_of(cx: &Context<'_>, source: &Stat) -> Op {
    op_to_create(cx.options(), source)
}

/// Returns the text of a symlink, that is, the path in it; an empty string if `source` is not a symlink.
fn link_text(entry: &Entry<'_>, source: &Stat) -> Result<CString, Unfinished> {
    if source.kind() != Kind::Symlink {
        return Ok(CString::default());
    }
    let text = file::read_symlink(&entry.dirs.source, entry.name);
    let text = text.map_err(Op::ReadSymlink.error())?;
    CString::new(text.into_vec()).map_err(|_| Op::Read.error()(Errno::EINVAL).into())
}

/// Whether the source is a symlink to the existing file `old`. If it replaced that file, it would lead to
/// itself.
pub(super) fn points_to(entry: &Entry<'_>, source: &Stat, old: &Stat) -> bool {
    source.kind() == Kind::Symlink
        && old.kind() != Kind::Symlink
        && file::stat_at_following(&entry.dirs.source, entry.name)
            .is_ok_and(|end| end.identity() == old.identity())
}

/// Removes the incomplete entry `name` from the target. Ignores errors: an entry that remains is incomplete,
/// so the next run copies it again.
pub(super) fn discard(dirs: &DirPair, name: &CStr) {
    if file::unlink(&dirs.target, name).is_err() {
        // Ignored, as said above. The caller reports the error that left the entry incomplete.
    }
}

/// Removes a file that was not filled completely. Keeps it if the source changed while the copier read it:
/// the file then keeps the data that was read.
fn discard_half(dirs: &DirPair, name: &CStr, unfinished: &Unfinished) {
    if !unfinished.keeps_what_was_read() {
        discard(dirs, name);
    }
}

/// Removes the leftover of `name`: the staged file that a killed run, or a copier that died, has left.
/// Ignores errors.
pub(super) fn remove_leftover_of(dirs: &DirPair, name: &CStr) {
    let staged = staged_name_for(dirs, name);
    if remove_leftover(dirs.target.as_fd(), &staged, dirs.is_open_to_other_runs()).is_err() {
        // Ignored: nearly always the error is that no leftover exists. Otherwise another run is building that
        // file.
    }
}

/// Returns the staged name of `name`, under which a copier builds the entry in a directory that other
/// processes use.
pub(super) fn staged_name_for(dirs: &DirPair, name: &CStr) -> CString {
    if dirs.contended {
        staged_name(name, 0) // only operands are copied here, no source entry of this name
    } else {
        free_staged_name(dirs, name).1
    }
}

/// Returns the size of a regular file in bytes; 0 for all other entries.
pub(super) fn data_bytes(stat: &Stat) -> u64 {
    if stat.kind() == Kind::File { stat.size() } else { 0 }
}
