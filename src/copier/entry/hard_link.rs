//! A hard link to another name of the same file, which is in the copy already: its *leader*.

use super::decide::{
    check_just_created, is_up_to_date, keeps_contents, update_rule, was_published,
};
use super::result::{Applied, Done, Unfinished};
use super::{Entry, EntryCopier, data_bytes, leads_to, remove_leftover_of, staged_name_for};
use crate::copier::context::Context;
use crate::error::{EntryError, Op};
use crate::hash::Digest;
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::BackupKind;
use crate::options::{CopyMode, Update};
use crate::staging::leftover::remove_leftover;
use crate::staging::removal::remove;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Lock, Stat};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// A complete entry in the target that other names of its source become links to.
pub(in crate::copier) struct Leader {
    pub(in crate::copier) dir: Rc<OwnedFd>,
    pub(in crate::copier) name: CString,
    pub(in crate::copier) stat: Stat,
    /// The digest of its bytes, if it is known and the options require one.
    pub(in crate::copier) digest: Option<Digest>,
}

/// Why no link to a leader was made.
pub(in crate::copier) enum NoLink {
    /// The leader no longer exists, or is another file.
    Gone,
    /// The kernel refuses the link: the file has too many, it would cross file systems, or the file system
    /// has no hard links.
    Refused(Errno),
    /// The entry itself ends here.
    Unfinished(Unfinished),
}

impl From<EntryError> for NoLink {
    fn from(error: EntryError) -> Self {
        Self::Unfinished(error.into())
    }
}

impl Leader {
    /// The leader that has this name; `None` if there is no such entry.
    pub(in crate::copier) fn find(dir: Rc<OwnedFd>, name: CString) -> Option<Self> {
        // A disk that fails for a moment would make the other names files of their own.
        let stat = file::stat_at(&dir, &name).or_else(|_| file::stat_at(&dir, &name)).ok()?;
        Some(Self { dir, name, stat, digest: None })
    }
}

impl EntryCopier<'_> {
    /// Makes the entry a hard link to the newest of `leaders` to which the kernel permits one.
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
        let mut why = NoLink::Gone;
        let empty = cx.options().copy_mode == CopyMode::AttributesOnly;
        let likely = |leader: &&Leader| empty || is_like(source, &leader.stat);
        for leader in leaders.iter().rev().filter(likely) {
            cx.outbox.begin();
            let publish = |staged: &CStr| self.publish_over(entry, source, replaced, staged);
            match make_link(&cx, leader, entry, old.as_ref(), publish) {
                Ok(backup) => {
                    cx.status.add(Count::BytesSkipped, data_bytes(source));
                    let mut applied = Applied::linked(Done::Linked, leader.digest);
                    applied.details.backup = backup;
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

/// The result if the existing entry stays; `None` if a link takes its place.
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
    // With `links_newer_names` links are made of all names, newer ones, too.
    let links_all = cx.policy().links_newer_names;
    if !links_all && update_rule(cx, source, old)?.is_some() {
        cx.status.add(Count::BytesSkipped, data_bytes(source));
        return Ok(Some(Applied::plain(Done::Skipped)));
    }
    check_just_created(cx, dirs.again)?;
    check_old(entry, source, old)?;
    let stays = keeps_contents(cx) && source.type_bits() == old.type_bits();
    if !links_all && stays && !dirs.staged {
        return Err(NoLink::Gone); // a link would have another file's contents
    }
    Ok(None)
}

/// Whether the existing entry is a copy already, and not the user's old file, which has its backup by now:
/// in an earlier round, or in an interrupted run, another name may have come first, and this one been
/// copied.
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
    // What is up to date is not replaced, and so no backup is made of it.
    let options = cx.options();
    let leaves_alone = !cx.policy().backs_up_complete && options.update != Update::All;
    let is_copy = leaves_alone && options.copy_mode == CopyMode::Copy;
    Ok(is_copy && is_up_to_date(cx, entry, source, old)?)
}

/// A name that is a link already: from before, or a copier has died right after making it.
fn already_linked(cx: &Context<'_>, entry: &Entry<'_>, source: &Stat) -> Result<Done, NoLink> {
    if entry.dirs.staged && !entry.dirs.existed {
        // Two names of the source are one in the target, as 'A' and 'a' where case is ignored.
        return Err(Op::Link.error()(Errno::EEXIST).into());
    }
    cx.status.add(Count::BytesSkipped, data_bytes(source));
    Ok(if cx.was_begun(entry.name) { Done::Linked } else { Done::Skipped })
}

/// Whether a leader is still what was made of the source; who swaps it for another file meanwhile
/// must not spread that under all names.
fn is_like(source: &Stat, leader: &Stat) -> bool {
    source.type_bits() == leader.type_bits() && data_bytes(source) == data_bytes(leader)
}

/// Whether what has the name may be replaced, by the rules for any entry.
fn check_old(entry: &Entry<'_>, source: &Stat, old: &Stat) -> Result<(), EntryError> {
    let dirs = entry.dirs;
    if dirs.staged && !dirs.existed {
        return Err(Op::Link.error()(Errno::EEXIST)); // see `already_linked`
    }
    if !dirs.staged && old.kind() == Kind::Directory {
        return Err(Op::Link.error()(Errno::EISDIR));
    }
    if leads_to(entry, source, old) {
        return Err(Op::SameFile.error()(Errno::EEXIST));
    }
    Ok(())
}

/// Makes a link: under its final name at once if the name is free and no later run could take the link for the
/// user's file, else beside the existing entry and renamed over it by `publish`.
fn make_link(
    cx: &Context<'_>,
    leader: &Leader,
    entry: &Entry<'_>,
    old: Option<&Stat>,
    publish: impl FnOnce(&CStr) -> Result<BackupKind, EntryError>,
) -> Result<BackupKind, NoLink> {
    let (dirs, target_name) = (entry.dirs, entry.target_name);
    let is_free = match old.map(Stat::kind) {
        None => dirs.staged || cx.options().in_place,
        Some(kind @ Kind::Directory) if dirs.staged => {
            remove(dirs.target.as_fd(), kind, target_name).map_err(Op::Link.error())?;
            true
        }
        Some(_) => false,
    };
    if !is_free {
        return link_over(leader, entry, publish);
    }
    let (from, to) = (leader.dir.as_fd(), dirs.target.as_fd());
    file::link(from, &leader.name, to, target_name, false).map_err(no_link)?;
    Ok(BackupKind::None)
}

/// Makes a link beside what has the name, and renames it over that.
///
/// `publish` does that, and with the old entry what the user wants done with it.
fn link_over(
    leader: &Leader,
    entry: &Entry<'_>,
    publish: impl FnOnce(&CStr) -> Result<BackupKind, EntryError>,
) -> Result<BackupKind, NoLink> {
    let (dirs, target_name) = (entry.dirs, entry.target_name);
    let staged = staged_name_for(dirs, target_name);
    let target = dirs.target.as_fd();
    // While we have the lock, another run does not take what is staged for a leftover.
    let guard = if dirs.contended {
        hold(leader)?
    } else if dirs.is_shared() {
        hold(leader).unwrap_or_default() // some program may well have it, which is no reason
    } else {
        None
    };
    let link = || file::link(leader.dir.as_fd(), &leader.name, target, &staged, false);
    let is_leader = || {
        file::stat_at(target, &staged).is_ok_and(|stat| stat.identity() == leader.stat.identity())
    };
    match link() {
        Err(Errno::EEXIST) if is_leader() => {} // a copier died right after making it
        Err(Errno::EEXIST) => {
            remove_leftover(target, &staged, dirs.is_shared()).map_err(Op::Link.error())?;
            link().map_err(no_link)?;
        }
        result => result.map_err(no_link)?,
    }
    if !is_leader() {
        return Err(Op::Publish.error()(Errno::EBUSY).into());
    }
    let kept = publish(&staged)?;
    drop(guard);
    Ok(kept)
}

/// Locks a leader, if that can be: one without read permission cannot be opened, and what is no
/// file has no lock.
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

fn no_link(errno: Errno) -> NoLink {
    match errno {
        Errno::ENOENT => NoLink::Gone,
        // FAT and some FUSE and network file systems; links to others' files may be forbidden.
        Errno::EMLINK | Errno::EXDEV | Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS => {
            NoLink::Refused(errno)
        }
        _ => Op::Link.error()(errno).into(),
    }
}
