//! Makes an entry a hard link to its *leader*: another name of the same inode, which has been copied already.

use super::create::meant_by;
use super::decide::{
    check_just_created, has_contents_of, is_up_to_date, keeps_contents, skipped_by_update,
    was_published,
};
use super::itemize;
use super::result::{Applied, Done, Unfinished};
use super::{
    Entry, EntryCopier, data_bytes, discard, points_to, remove_leftover_of, staged_name_for,
};
use crate::copier::context::Context;
use crate::error::{EntryError, Op, may_forbid_link, may_forbid_staging};
use crate::hash::Digest;
use crate::ipc::memory::counters::Count;
use crate::ipc::memory::fs_caps::Capability;
use crate::ipc::wire::event::BackupKind;
use crate::ipc::wire::itemized::Act;
use crate::options::{CopyMode, Update};
use crate::staging::leftover::remove_leftover;
use crate::staging::removal::remove;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Lock, Stat};
use pcopy_sys::statfs;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// A complete entry in the target. Other names of its source become hard links to it.
pub(in crate::copier) struct Leader {
    pub(in crate::copier) dir: Rc<OwnedFd>,
    pub(in crate::copier) name: CString,
    pub(in crate::copier) stat: Stat,
    /// The digest of its data, if it is known and the options require one.
    pub(in crate::copier) digest: Option<Digest>,
}

/// A link that was made.
struct Link {
    /// The kind of the backup of the existing entry.
    backup: BackupKind,
    /// Whether the entry was a link to the leader already.
    existed: bool,
}

/// Why an entry did not become a link to a leader.
pub(in crate::copier) enum NoLink {
    /// There is no leader to link to: the leader no longer exists, another file has its name, or the existing
    /// entry must keep its contents. The caller copies the entry.
    Gone,
    /// The kernel refuses the link: the file has too many links, it is on another file system, or the file
    /// system has no hard links. The caller copies the entry.
    Refused(Errno),
    /// The entry has failed or waits for a prompt. The caller does not copy it.
    Unfinished(Unfinished),
}

impl From<EntryError> for NoLink {
    fn from(error: EntryError) -> Self {
        Self::Unfinished(error.into())
    }
}

impl Leader {
    /// Returns the leader `name` in `dir`; `None` if it does not exist or its status cannot be read.
    pub(in crate::copier) fn find(dir: Rc<OwnedFd>, name: CString) -> Option<Self> {
        // If the first attempt fails, a second one follows. Otherwise a transient disk error would make the
        // other names separate files.
        let stat = file::stat_at(&dir, &name).or_else(|_| file::stat_at(&dir, &name)).ok()?;
        Some(Self { dir, name, stat, digest: None })
    }
}

impl EntryCopier<'_> {
    /// Makes the entry a hard link to the newest of `leaders` (the last one) to which the kernel permits a
    /// link.
    pub(in crate::copier) fn link_to_leader(
        &mut self,
        entry: &Entry<'_>,
        source: &Stat,
        leaders: &[Leader],
    ) -> Result<Applied, NoLink> {
        let cx = self.cx;
        let old = entry.dirs.find(cx.plan(), entry.target_name, Op::Link)?;
        if let Some(old) = &old
            && let Some(applied) = keep_existing(&cx, entry, (source, old), leaders)?
        {
            return Ok(applied);
        }
        let replaced = match &old {
            Some(old) if !entry.dirs.staged => {
                let is_copy = is_copy(&cx, entry, source, old).map_err(NoLink::Unfinished)?;
                Some(old).filter(|_| !is_copy)
            }
            old => old.as_ref(),
        };
        let itemizes = cx.options().itemize_changes;
        let itemized = itemizes
            .then(|| Box::new(itemize::of_entry(&cx, entry, (source, old.as_ref()), Act::Link)));
        let mut why = NoLink::Gone;
        let empty = cx.options().copy_mode == CopyMode::AttributesOnly;
        let likely = |leader: &&Leader| empty || is_like(source, &leader.stat);
        for leader in leaders.iter().rev().filter(likely) {
            cx.outbox.begin();
            let publish = |staged: &CStr| self.publish_over(entry, source, replaced, staged);
            match make_link(&cx, leader, entry, old.as_ref(), publish) {
                Ok(Link { backup, existed }) => {
                    cx.status.add(Count::BytesSkipped, data_bytes(source));
                    let done = if existed { Done::Skipped } else { Done::Linked };
                    let mut applied = Applied::linked(done, leader.digest);
                    applied.details.backup = backup;
                    applied.itemized = itemized.filter(|_| done == Done::Linked);
                    return Ok(applied);
                }
                Err(no_link) => {
                    cx.outbox.settle();
                    match no_link {
                        NoLink::Gone => {}
                        NoLink::Refused(_) => why = no_link,
                        NoLink::Unfinished(_) => return Err(no_link),
                    }
                }
            }
        }
        Err(why)
    }
}

/// Returns the result of the entry if the existing entry stays; `None` if a link replaces it.
fn keep_existing(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    (source, old): (&Stat, &Stat),
    leaders: &[Leader],
) -> Result<Option<Applied>, NoLink> {
    let dirs = entry.dirs;
    let mut same = leaders.iter().filter(|leader| leader.stat.identity() == old.identity());
    if let Some(leader) = same.next() {
        let done = already_linked(cx, entry, source)?;
        return Ok(Some(Applied::linked(done, leader.digest)));
    }
    // With `links_newer_names`, a link also replaces an existing entry that `--update` would skip as newer.
    let links_all = cx.policy().links_newer_names;
    if !links_all && skipped_by_update(cx, entry, source, old)?.is_some() {
        cx.status.add(Count::BytesSkipped, data_bytes(source));
        return Ok(Some(Applied::plain(Done::Skipped)));
    }
    check_just_created(cx, dirs.just_created)?;
    check_old(entry, source, old)?;
    let stays = keeps_contents(cx) && source.type_bits() == old.type_bits();
    if !links_all && stays && !dirs.staged {
        return Err(NoLink::Gone); // the existing file keeps its contents, and a link would replace them
    }
    Ok(None)
}

/// Whether the existing entry is already a copy of the source, and not the user's file. The caller makes no
/// backup of a copy: the user's file already has its backup.
///
/// The copy comes from an earlier round or from an interrupted run. In that round or run, this name may have
/// been the leader, so a copier copied it.
fn is_copy(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    old: &Stat,
) -> Result<bool, Unfinished> {
    if cx.was_done(entry.name) {
        return Ok(true);
    }
    if was_published(cx, entry, source, old)? {
        remove_leftover_of(entry.dirs, entry.target_name);
        return Ok(true);
    }
    // Without `--update=all`, pcopy does not replace an entry that has the contents of its source, and so makes
    // no backup of it. cp does make one.
    let options = cx.options();
    let leaves_alone = !cx.policy().backs_up_complete && options.update != Update::All;
    if !leaves_alone || options.copy_mode != CopyMode::Copy || options.backup.is_none() {
        return Ok(false);
    }
    match options.update {
        Update::Different => has_contents_of(cx, entry, (source, old), true),
        _ => is_up_to_date(cx, entry, source, old),
    }
}

/// Returns how to count a name that is already a link to a leader: as linked if a copier of this run made the
/// link and died before it reported that, otherwise as skipped.
fn already_linked(cx: &Context<'_>, entry: &Entry<'_>, source: &Stat) -> Result<Done, NoLink> {
    if entry.dirs.staged && !entry.dirs.existed {
        // The target takes two names of the source for one, as 'A' and 'a' where case is ignored.
        return Err(Op::Link.error()(Errno::EEXIST).into());
    }
    cx.status.add(Count::BytesSkipped, data_bytes(source));
    Ok(if cx.was_begun(entry.name) { Done::Linked } else { Done::Skipped })
}

/// Whether a leader still has the type and size of the source. If another program has replaced the leader by
/// another file, the other names must not become links to that file.
fn is_like(source: &Stat, leader: &Stat) -> bool {
    source.type_bits() == leader.type_bits() && data_bytes(source) == data_bytes(leader)
}

/// Checks whether a link may replace the existing entry `old`, by the rules that hold for every entry.
fn check_old(entry: &Entry<'_>, source: &Stat, old: &Stat) -> Result<(), EntryError> {
    let dirs = entry.dirs;
    if dirs.staged && !dirs.existed {
        return Err(Op::Link.error()(Errno::EEXIST)); // see `already_linked`
    }
    if !dirs.staged && old.kind() == Kind::Directory {
        return Err(Op::Link.error()(Errno::EISDIR));
    }
    if points_to(entry, source, old) {
        return Err(Op::SameFile.error()(Errno::EEXIST));
    }
    Ok(())
}

/// Makes the link. If its final name does not exist and no later run could take the link for the user's file,
/// the link gets that name at once. Otherwise the link gets a staged name, and `publish` renames it over the
/// existing entry.
fn make_link(
    cx: &Context<'_>,
    leader: &Leader,
    entry: &Entry<'_>,
    old: Option<&Stat>,
    publish: impl FnOnce(&CStr) -> Result<BackupKind, EntryError>,
) -> Result<Link, NoLink> {
    let (dirs, target_name) = (entry.dirs, entry.target_name);
    let is_free = match old.map(Stat::kind) {
        None => {
            dirs.staged
                || cx.options().in_place
                || dirs.traits.is_append_only
                || cx.lacks(dirs.traits.device, Capability::Staging)
        }
        Some(kind @ Kind::Directory) if dirs.staged => {
            remove(dirs.target.as_fd(), kind, target_name).map_err(Op::Link.error())?;
            true
        }
        Some(_) if dirs.traits.is_append_only => {
            return Err(Op::Publish.error()(Errno::EPERM).into());
        }
        Some(_) => false,
    };
    if !is_free {
        match link_over(leader, entry, publish) {
            // Where the link cannot be staged, it can still be made.
            Err(NoLink::Unfinished(Unfinished::Failed(error)))
                if old.is_none() && may_forbid_staging(error.errno) => {}
            Err(NoLink::Refused(_)) if old.is_none() => {}
            made => return made,
        }
    }
    let (from, to) = (leader.dir.as_fd(), dirs.target.as_fd());
    file::link(from, &leader.name, to, target_name, false)
        .map_err(|errno| no_link(meant_by(errno, to), to))?;
    Ok(Link { backup: BackupKind::None, existed: false })
}

/// Makes the link under a staged name, and calls `publish` with that name.
///
/// `publish` makes a backup of the existing entry, if the options require one, and renames the link over that
/// entry.
///
/// Some FUSE file systems (mergerfs, sshfs) show the names of one file as files with different inode numbers. There
/// a link looks like its leader in all but the inode number. That an existing entry was a link to the leader
/// already is only found out when the new link is renamed over it: rename(2) then does nothing.
fn link_over(
    leader: &Leader,
    entry: &Entry<'_>,
    publish: impl FnOnce(&CStr) -> Result<BackupKind, EntryError>,
) -> Result<Link, NoLink> {
    let (dirs, target_name) = (entry.dirs, entry.target_name);
    let staged = staged_name_for(dirs, target_name);
    let target = dirs.target.as_fd();
    // A link shares the lock of the leader, because both are one inode. While this run holds that lock,
    // another run does not take the staged link for the leftover of an interrupted run.
    let guard = if dirs.contended {
        hold(leader)?
    } else if dirs.is_open_to_other_runs() {
        hold(leader).unwrap_or_default() // another program may have locked the file; the link is made anyway
    } else {
        None
    };
    let link = || {
        let made = file::link(leader.dir.as_fd(), &leader.name, target, &staged, false);
        made.map_err(|errno| meant_by(errno, target))
    };
    let is_named = |is_it: &dyn Fn(&Stat) -> bool| {
        file::stat_at(target, &staged).is_ok_and(|stat| is_it(&stat))
    };
    let is_leader = || is_named(&|stat| stat.identity() == leader.stat.identity());
    match link() {
        Err(Errno::EEXIST) if is_leader() => {} // a copier died right after it had made this link
        Err(Errno::EEXIST) => {
            remove_leftover(target, &staged, dirs.is_open_to_other_runs())
                .map_err(Op::Link.error())?;
            link().map_err(|errno| no_link(errno, target))?;
        }
        result => result.map_err(|errno| no_link(errno, target))?,
    }
    let is_hidden = !is_leader();
    if is_hidden
        && !(statfs::may_be_shared(target) && is_named(&|stat| is_twin(stat, &leader.stat)))
    {
        return Err(Op::Publish.error()(Errno::EBUSY).into());
    }
    let backup = publish(&staged)?;
    let existed = is_hidden && is_named(&|stat| is_twin(stat, &leader.stat));
    if existed {
        discard(dirs, &staged);
    }
    drop(guard);
    Ok(Link { backup, existed })
}

/// Whether two names show the same file, apart from the inode number and the number of names.
fn is_twin(one: &Stat, other: &Stat) -> bool {
    let facts = |stat: &Stat| {
        (stat.mode(), stat.size(), stat.owner(), stat.group(), stat.device(), stat.modified())
    };
    facts(one) == facts(other)
}

/// Locks a leader and returns its descriptor, which holds the lock. Returns `None` if it cannot be locked: it
/// is not a regular file, or the user may not read it, so it cannot be opened. Fails with `EBUSY` if another
/// process has locked it.
fn hold(leader: &Leader) -> Result<Option<OwnedFd>, EntryError> {
    if leader.stat.kind() != Kind::File {
        return Ok(None);
    }
    let Ok(opened) = file::open_source(&leader.dir, &leader.name, false) else { return Ok(None) };
    if file::lock(opened.as_fd(), Lock::Exclusive) == Err(Errno::EAGAIN) {
        return Err(Op::Link.error()(Errno::EBUSY));
    }
    Ok(Some(opened))
}

/// Returns what the error of making a link in the directory `target` means.
fn no_link(errno: Errno, target: BorrowedFd<'_>) -> NoLink {
    match errno {
        Errno::ENOENT => NoLink::Gone,
        // It is the directory that forbids it, and would forbid a separate file. (Written in place, an existing file
        // would be, as cp does not.)
        Errno::EACCES if file::may_write_in(target) == Err(Errno::EACCES) => {
            Op::Link.error()(errno).into()
        }
        _ if may_forbid_link(errno) => NoLink::Refused(errno),
        _ => Op::Link.error()(errno).into(),
    }
}
