//! The life of one entry that is not a directory: inspect, decide, apply. What came of it is returned, and
//! the walk records it.
//!
//! * *Inspect*: the fewest system calls that the options need. A file in a directory that this round has
//!   made is opened, looked at and created, without a look at the target.
//! * [`decide`]: facts in, an [`Action`] out. Nothing is changed.
//! * *Apply*: [`create`] in a directory that no other process sees, [`replace`] by a rename where others
//!   look, [`write_into`] for `--inplace` and cp, [`link`] for `--link` and `--symbolic-link`. The bytes go
//!   through [`fill`].

pub(super) mod action;
pub(super) mod attributes;
mod backup;
pub(super) mod chunks;
mod create;
pub(super) mod data;
pub(super) mod decide;
mod fill;
pub(super) mod hard_link;
mod hash_file;
mod large_copy;
pub(super) mod link;
mod meter;
pub(super) mod replace;
pub(super) mod result;
mod target_file;
mod write_into;

pub(super) use hash_file::OpenFile;
pub(super) use large_copy::help;
pub(super) use meter::ReadMeter;

use super::context::Context;
use super::dir_pair::{DirPair, free_staged_name};
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::task::EntryPathBuf;
use crate::options::{Dereference, Links};
use crate::plan::op_to_create;
use crate::policy::ExistingRules;
use crate::staging::leftover::remove_leftover;
use crate::staging::staged_name;
use action::{Action, Reason};
use backup::BackupNumbers;
use data::BUFFER_BYTES;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Node, Stat};
use result::{Applied, Done, Unfinished, changed};
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;

/// From this size on the copying of a file takes long beside handing an entry over, which costs about as
/// much as a small file: 20 us.
pub(super) const HEAVY_BYTES: u64 = 1024 * 1024;

/// An entry on both sides: its directories, and its names in them.
pub(super) struct Entry<'e> {
    /// The path of the directory, for the copiers that may help.
    pub(super) at: &'e EntryPathBuf,
    pub(super) dirs: &'e DirPair,
    pub(super) name: &'e CStr,
    pub(super) target_name: &'e CStr,
}

/// Copies files, symlinks and special files; owns what outlives one of them.
pub(super) struct EntryCopier<'a> {
    pub(super) cx: Context<'a>,
    backups: BackupNumbers,
    pub(super) buffer: Vec<u8>,
}

impl<'a> EntryCopier<'a> {
    pub(super) fn new(cx: Context<'a>) -> Self {
        Self { cx, backups: BackupNumbers::default(), buffer: vec![0; BUFFER_BYTES] }
    }

    /// Copies an entry of which the listing said that it is of this kind.
    pub(super) fn copy(&mut self, entry: &Entry<'_>, kind: Kind) -> Result<Applied, Unfinished> {
        if entry.dirs.staged && reads(&self.cx, kind) {
            return self.create_file(entry);
        }
        let (cx, dirs) = (self.cx, entry.dirs);
        let source = dirs.stat_source(entry.name).map_err(Op::Stat.error())?;
        if source.kind() != kind {
            return Err(changed());
        }
        if dirs.staged {
            let leads = self.come_first(dirs, &source)?;
            return self.create_other(entry, &source, leads);
        }
        if cx.was_done(entry.name) {
            let leads = self.come_first(dirs, &source)?;
            cx.status.add(Count::BytesSkipped, data_bytes(&source));
            return Ok(Applied::plain(Done::Skipped).leading(leads));
        }
        if cx.policy().existing == ExistingRules::Gnu {
            return self.copy_as_gnu(entry, &source);
        }
        decide::prompt_before_deferring(&cx, entry, &source)?;
        let leads = self.come_first(dirs, &source)?;
        let action = decide::native::decide(&cx, entry, &source)?;
        self.apply(entry, &source, action, leads)
    }

    fn copy_as_gnu(&mut self, entry: &Entry<'_>, source: &Stat) -> Result<Applied, Unfinished> {
        let mut action = decide::gnu::decide(&self.cx, entry, source)?;
        if matches!(action, Action::CreateAnew) {
            discard(entry.dirs, entry.target_name); // before the name may be deferred to the end
            action = Action::Create;
        }
        let leads = match action {
            Action::Skip { reason, .. } if !reason.leads(self.cx.policy()) => None,
            _ => self.come_first(entry.dirs, source)?,
        };
        self.apply(entry, source, action, leads)
    }

    /// Does what was decided; `leads` is the inode whose other names wait for this one.
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
                return self
                    .skip(entry, source, reason, &old)
                    .map(|applied| applied.leading(followed))
                    .or_else(|error| Unfinished::from(error).or_lacking(leads));
            }
            Action::Replace { old, removed } => self.replace(entry, source, Some(&old), removed),
            Action::Create if !in_place => self.replace(entry, source, None, false),
            Action::WriteInto { through } if reads(&self.cx, source.kind()) => {
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
        applied.map(|applied| applied.leading(leads)).or_else(|failed| failed.or_lacking(leads))
    }

    /// Leaves the existing entry as it is, but for what the reason asks for.
    fn skip(
        &self,
        entry: &Entry<'_>,
        source: &Stat,
        reason: Reason,
        old: &Stat,
    ) -> Result<Applied, EntryError> {
        match reason {
            // It may have been built in an earlier round, and begun once more in the one that died.
            Reason::Published => remove_leftover_of(entry.dirs, entry.target_name),
            Reason::UpToDate => repair(&self.cx, entry, source, old)?,
            Reason::AttributesOnly => {
                repair(&self.cx, entry, source, old)?;
                let to = (entry.dirs.target.as_fd(), entry.target_name);
                self.cx.attrs.set_times_of(to, source)?;
            }
            Reason::SameFile | Reason::NotOlder | Reason::NoClobber => {}
        }
        self.cx.status.add(Count::BytesSkipped, data_bytes(source));
        Ok(Applied::plain(Done::Skipped))
    }

    /// Of an inode with several names, one is copied: the first that any copier comes to. That name
    /// `leads`; the others are deferred, and become links to it at the end.
    fn come_first(&self, dirs: &DirPair, source: &Stat) -> Result<Option<Identity>, Unfinished> {
        let may_come_again = source.links() > 1 || self.may_be_met_again(dirs);
        let Some(inodes) = self.cx.job.inodes.filter(|_| may_come_again) else { return Ok(None) };
        let inode = source.identity();
        // What was prompted for comes after all others, and they are known no more.
        let is_first = !self.cx.job.asked && inodes.insert(inode);
        if is_first { Ok(Some(inode)) } else { Err(Unfinished::Deferred(inode)) }
    }

    /// Whether a symlink that is followed may lead to what is met here under its only name.
    fn may_be_met_again(&self, dirs: &DirPair) -> bool {
        let options = self.cx.options();
        options.preserve.links == Links::AndFollowed
            && match options.dereference {
                Dereference::Always => true,
                Dereference::CommandLine => dirs.contended, // the operands
                Dereference::Never => false,
            }
    }

    /// Removes what an earlier round or run has left half done of an entry that has failed.
    pub(super) fn give_up(&self, entry: &Entry<'_>) {
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
        if !complete && dirs.is_written(entry.target_name) == Ok(true) {
            discard(dirs, entry.target_name);
        }
    }
}

/// Gives an up-to-date entry what it lacks of the source's attributes.
fn repair(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    old: &Stat,
) -> Result<(), EntryError> {
    let dirs = entry.dirs;
    let to = (dirs.target.as_fd(), entry.target_name);
    if cx.options().checksum && source.modified() != old.modified() {
        cx.attrs.set_times_of(to, source)?;
    }
    if dirs.follow && source.kind() == Kind::File {
        // The name may be that of a symlink, and the attributes are those of what it leads to.
        let from =
            file::open_source(&dirs.source, entry.name, true).map_err(Op::OpenSource.error())?;
        return cx.attrs.repair(Node::Open(from.as_fd()), to, source, old);
    }
    cx.attrs.repair(Node::Named(dirs.source.as_fd(), entry.name), to, source, old)
}

/// Whether what is copied of such a source is its bytes.
pub(super) fn reads(cx: &Context<'_>, kind: Kind) -> bool {
    kind == Kind::File || kind == Kind::Special && cx.options().copy_contents
}

/// The operation that creates one like `source`, as messages name it.
fn op_of(cx: &Context<'_>, source: &Stat) -> Op {
    op_to_create(cx.options(), source)
}

/// What a symlink contains; empty for all others.
fn link_text(entry: &Entry<'_>, source: &Stat) -> Result<CString, Unfinished> {
    if source.kind() != Kind::Symlink {
        return Ok(CString::default());
    }
    let text = file::read_symlink(&entry.dirs.source, entry.name);
    let text = text.map_err(Op::ReadSymlink.error())?;
    CString::new(text.into_vec()).map_err(|_| Op::Read.error()(Errno::EINVAL).into())
}

/// Whether the source is a symlink to the very file that it would replace; it would lead to itself then.
pub(super) fn leads_to(entry: &Entry<'_>, source: &Stat, old: &Stat) -> bool {
    source.kind() == Kind::Symlink
        && old.kind() != Kind::Symlink
        && file::stat_at_following(&entry.dirs.source, entry.name)
            .is_ok_and(|end| end.identity() == old.identity())
}

/// Removes what was begun. If that fails, the next run finds it incomplete and does it again.
pub(super) fn discard(dirs: &DirPair, name: &CStr) {
    if file::unlink(&dirs.target, name).is_err() {
        // The first failure is the one to report; see above for why this one may be silent.
    }
}

/// Removes a file that was not filled, unless it keeps what was read of its source.
fn discard_half(dirs: &DirPair, name: &CStr, unfinished: &Unfinished) {
    if !unfinished.keeps_what_was_read() {
        discard(dirs, name);
    }
}

/// Removes what a killed run, or a copier, has left under the staged name of `name`.
pub(super) fn remove_leftover_of(dirs: &DirPair, name: &CStr) {
    let staged = staged_name_for(dirs, name);
    if remove_leftover(dirs.target.as_fd(), &staged, dirs.is_shared()).is_err() {
        // Nearly always there is none, or else another run is building it.
    }
}

/// The name under which `name` is built where others look.
pub(super) fn staged_name_for(dirs: &DirPair, name: &CStr) -> CString {
    if dirs.contended {
        staged_name(name, 0) // what else is beside an operand is not copied
    } else {
        free_staged_name(dirs, name).1
    }
}

/// The bytes of a regular file; 0 for all others.
pub(super) fn data_bytes(stat: &Stat) -> u64 {
    if stat.kind() == Kind::File { stat.size() } else { 0 }
}
