//! Names of one file: which of them is copied, and how the others become links to it at the end.
//!
//! During the walk, the first name of an inode that any copier comes to is copied, and all others are deferred, so
//! that no copier ever waits for another. After everything else is copied, each group of names is given to one
//! copier, which goes through it in order. It skips what is a link already, so after a death another copier can
//! do the group again from its beginning.
//!
//! A group need not have a name that was copied: that one may have failed. Then the next name is copied and leads
//! the rest. The same happens where the kernel refuses a link, because the file has too many (65,000 on ext4) or
//! is on another file system.

use super::prompted::open_dirs;
use super::record::record;
use super::{CopyVisitor, CopyWalk, Found};
use crate::copier::context::Context;
use crate::copier::dir_pair::DirPair;
use crate::copier::entry::decide::{
    check_just_created, is_up_to_date, keeps_contents, update_rule, was_published,
};
use crate::copier::entry::result::{Applied, Done, Unfinished, changed};
use crate::copier::entry::{
    Entry, data_bytes, discard, leads_to, remove_leftover_of, staged_name_for,
};
use crate::copier::report_writer::ParentGone;
use crate::copier::traverse::DirProgress;
use crate::copier::traverse::Visitor;
use crate::copier::traverse::offer::hand_over;
use crate::error::{EntryError, Op};
use crate::hash::Digest;
use crate::ipc::inherited::link_groups::{LinkName, LinkRole};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::{BackupKind, Details, Event};
use crate::ipc::wire::task::EntryPathBuf;
use crate::options::{CopyMode, Update};
use crate::staging::leftover::remove_leftover;
use crate::staging::removal::remove;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Lock, Stat};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// A name in the target that is complete, and that others become links to.
struct Leader {
    dir: Rc<OwnedFd>,
    name: CString,
    stat: Stat,
    /// Its digest, where it is known and wanted.
    digest: Option<Digest>,
}

/// The directories that were used last: most groups lie beside the one before.
#[derive(Default)]
struct Open {
    leader: Option<(u32, Rc<OwnedFd>)>,
    follower: Option<(u32, Result<DirPair, EntryError>)>,
}

/// Why there is no link to a leader, if that is not the entry's failure.
enum NoLink {
    /// The leader is not there any more, or is another file.
    Gone,
    /// The kernel makes none: too many, two file systems, or a file system that knows no links.
    Refused(Errno),
    /// As for any entry.
    Unfinished(Unfinished),
}

impl From<EntryError> for NoLink {
    fn from(error: EntryError) -> Self {
        Self::Unfinished(error.into())
    }
}

/// How one name of a group came to its end.
struct Ended {
    result: Result<Applied, Unfinished>,
    /// Why it was copied and is no link, if the kernel refused one.
    refused: Option<Errno>,
}

impl<'a> CopyVisitor<'a> {
    /// Leaves an entry for the end, because another name of its inode is copied.
    pub(super) fn defer(
        &mut self,
        walk: &mut CopyWalk<'a>,
        found: Found<'_>,
        identity: Identity,
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        self.wait_for_end(walk, progress);
        let event = Event::LinkDeferred { identity, existed: found.dirs.existed };
        walk.report_names(found.name, found.target_name, event, || ())
    }

    /// Notes that something in the directory that the walk is in is left for the end. The directory is
    /// changed once more then, and must not be finished before.
    pub(super) fn wait_for_end(&mut self, walk: &CopyWalk<'a>, progress: &mut DirProgress) {
        progress.given = true;
        progress.shared = true;
        self.note_shared(walk.at.source.len(), true);
    }

    /// Reports an entry whose other names become links to it at the end, and counts it unless it lacks an
    /// attribute, which is a failure of its own; the other names will lack it, too.
    ///
    /// Until then its directory must be reachable: under the name that it has now, and with a mode that lets
    /// us in.
    pub(super) fn lead(
        &mut self,
        walk: &mut CopyWalk<'a>,
        found: Found<'_>,
        (identity, applied): (Identity, &Applied),
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        progress.given = true;
        self.note_shared(walk.at.source.len(), false);
        let Found { name, target_name, .. } = found;
        if applied.lacking.is_some() {
            let event = Event::Leader { identity, new: false, details: Details::default() };
            return walk.report_names(name, target_name, event, || ());
        }
        let new = applied.done != Done::Skipped || walk.cx.was_begun(name);
        let count = if new { Count::Copied } else { Count::Skipped };
        let (status, details) = (walk.cx.status, applied.details);
        let event = Event::Leader { identity, new, details };
        walk.report_names(name, target_name, event, || status.add(count, 1))
    }

    /// Makes the links of the groups `first..end`, and hands over what copiers without work can do.
    pub(super) fn link_groups(
        &mut self,
        walk: &mut CopyWalk<'a>,
        first: u32,
        end: u32,
    ) -> Result<(), ParentGone> {
        let known = u32::try_from(walk.cx.job.groups.len()).unwrap_or(u32::MAX);
        walk.ranges.groups = first..end.min(known);
        let mut open = Open::default();
        while let Some(group) = walk.ranges.groups.next() {
            hand_over(walk, self, None)?;
            self.one_group(walk, group as usize, &mut open)?;
            if walk.is_stopped() {
                break;
            }
        }
        Ok(())
    }

    fn one_group(
        &mut self,
        walk: &mut CopyWalk<'a>,
        group: usize,
        open: &mut Open,
    ) -> Result<(), ParentGone> {
        let groups = walk.cx.job.groups;
        let identity = groups.identity(group);
        let mut leaders = Vec::new();
        for member in groups.members(group) {
            if walk.is_stopped() {
                break;
            }
            if member.role == LinkRole::Follower {
                self.one_link(walk, identity, &member, &mut leaders, open)?;
                walk.reports.flush_if_old()?;
            } else {
                leaders.extend(self.find_leader(walk, &member, open));
            }
        }
        Ok(())
    }

    /// Looks for the name that was copied. If it is not there, the next one is copied.
    fn find_leader(
        &self,
        walk: &CopyWalk<'a>,
        member: &LinkName,
        open: &mut Open,
    ) -> Option<Leader> {
        let dir = match &open.leader {
            Some((number, dir)) if *number == member.dir => dir.clone(),
            _ => {
                let (place, _) = walk.cx.job.groups.dir(member.dir);
                let operand = walk.cx.job.plan.operands.get(place.operand as usize)?;
                let dir = Rc::new(walk.cx.job.plan.reach_target(operand, place.target).ok()?);
                open.leader = Some((member.dir, dir.clone()));
                dir
            }
        };
        let mut leader = leader_at(dir, target_name_of(walk, member))?;
        if walk.cx.job.plan.options.hash.is_some() {
            let (place, _) = walk.cx.job.groups.dir(member.dir);
            let path = EntryPathBuf::from(place).source_of(member.name.to_bytes());
            leader.digest = walk.cx.job.hashed.get(place.operand, &path);
        }
        let is_it = member.known.is_none_or(|known| known == leader.stat.identity());
        is_it.then_some(leader)
    }

    /// Brings one name that was put off to its end.
    fn one_link(
        &mut self,
        walk: &mut CopyWalk<'a>,
        identity: Identity,
        member: &LinkName,
        leaders: &mut Vec<Leader>,
        open: &mut Open,
    ) -> Result<(), ParentGone> {
        let (name, target_name) = (&*member.name, &*target_name_of(walk, member));
        let dirs = match self.enter_follower(walk, member.dir, open) {
            Ok(dirs) => dirs,
            Err(error) => return walk.record_failed(Some(name), error),
        };
        let found = Found { dirs, name, target_name };
        walk.cx.status.at(name);
        if walk.cx.is_passed_over(name) {
            self.entry_copier.give_up(&found.at(&walk.at));
            discard(dirs, &staged_name_for(dirs, target_name));
            return walk.record_failed(Some(name), Op::KillsCopiers.error()(Errno::EIO));
        }
        let mut ended = self.link_or_copy(walk, found, identity, leaders);
        if let (Some(errno), Ok(Applied { done: Done::Copied, lacking: None, .. })) =
            (ended.refused, &ended.result)
        {
            walk.report_names(name, target_name, Event::LinkFailed(errno), || ())?;
        }
        if walk.cx.options().hash.is_some() {
            self.add_digest(walk, found, &mut ended.result);
        }
        match ended.result {
            Ok(applied) => {
                if let Some(digest) = applied.digest {
                    found.report_digest(walk, *digest)?;
                }
                match applied.lacking {
                    None => record(walk, Some(name), applied.done, applied.details),
                    Some(error) => walk.record_failed(Some(name), error),
                }
            }
            Err(unfinished) => self.record_unfinished(walk, found, &unfinished),
        }
    }

    /// Goes to the directory with this number.
    fn enter_follower<'o>(
        &mut self,
        walk: &mut CopyWalk<'a>,
        number: u32,
        open: &'o mut Open,
    ) -> Result<&'o DirPair, EntryError> {
        if open.follower.as_ref().is_none_or(|(last, _)| *last != number) {
            let (place, existed) = walk.cx.job.groups.dir(number);
            walk.at.go_to(place);
            walk.cx.status.enter(place.operand, place.source);
            // What an earlier attempt has left in a directory that was new need not be whole.
            let existed = existed || !walk.cx.job.history.is_first;
            let dirs = open_dirs(walk, place, existed);
            open.follower = Some((number, dirs));
        }
        match &open.follower {
            Some((_, Ok(dirs))) => Ok(dirs),
            Some((_, Err(error))) => Err(*error),
            None => Err(Op::OpenTarget.error()(Errno::EINVAL)), // it was just put there
        }
    }

    /// Makes the name a link to one of `leaders`, or else a file of its own, which then leads, too.
    fn link_or_copy(
        &mut self,
        walk: &CopyWalk<'a>,
        found: Found<'_>,
        identity: Identity,
        leaders: &mut Vec<Leader>,
    ) -> Ended {
        let Found { dirs, name, target_name } = found;
        let ended = |result| Ended { result, refused: None };
        let source = match dirs.stat_source(name) {
            Ok(source) => source,
            Err(errno) => return ended(Err(Op::Stat.error()(errno).into())),
        };
        if source.kind() == Kind::Directory {
            return ended(Err(changed()));
        }
        let is_of_group = source.identity() == identity; // else the name means another file by now
        let mut refused = None;
        if is_of_group {
            match self.link(walk, found, &source, leaders) {
                Ok(applied) => return ended(Ok(applied)),
                Err(NoLink::Unfinished(unfinished)) => return ended(Err(unfinished)),
                Err(NoLink::Refused(errno)) => refused = Some(errno),
                Err(NoLink::Gone) => {}
            }
        }
        let result = self.entry_copier.copy(&found.at(&walk.at), source.kind());
        if let (Ok(applied), true) = (&result, is_of_group) {
            let own = keeps_contents(&walk.cx) && applied.done == Done::Skipped;
            if !own {
                let dir = dirs.target.try_clone().ok();
                let leader = dir.and_then(|dir| leader_at(Rc::new(dir), target_name.to_owned()));
                leaders.extend(
                    leader.map(|leader| Leader {
                        digest: applied.digest.as_deref().copied(),
                        ..leader
                    }),
                );
            }
        }
        Ended { result, refused }
    }

    /// Makes the name a link to the newest of `leaders` to which the kernel lets it be one.
    fn link(
        &mut self,
        walk: &CopyWalk<'a>,
        found: Found<'_>,
        source: &Stat,
        leaders: &[Leader],
    ) -> Result<Applied, NoLink> {
        let (entry, cx) = (&found.at(&walk.at), &walk.cx);
        let Found { dirs, target_name, .. } = found;
        let old = dirs.find(cx.plan(), target_name, Op::Link)?;
        if let Some(old) = &old {
            let is_it = |leader: &&Leader| leader.stat.identity() == old.identity();
            if let Some(leader) = leaders.iter().find(is_it) {
                let digest = leader.digest;
                return Ok(Applied {
                    digest: digest.map(Box::new),
                    ..Applied::plain(already_linked(cx, entry, source)?)
                });
            }
            // With `links_newer_names` links are made of all names, newer ones, too.
            let links_all = cx.policy().links_newer_names;
            if !links_all && update_rule(cx, source, old)?.is_some() {
                cx.status.add(Count::BytesSkipped, data_bytes(source));
                return Ok(Applied::plain(Done::Skipped));
            }
            check_just_created(cx, dirs.again)?;
            check_old(entry, source, old)?;
            let stays = keeps_contents(cx) && source.type_bits() == old.type_bits();
            if !links_all && stays && !dirs.staged {
                return Err(NoLink::Gone); // a link would have another file's contents
            }
        }
        let is_copy = match &old {
            Some(old) if !dirs.staged => {
                is_copy(cx, entry, source, old).map_err(NoLink::Unfinished)?
            }
            _ => false,
        };
        let to_keep = old.as_ref().filter(|_| !is_copy);
        let mut why = NoLink::Gone;
        let empty = cx.options().copy_mode == CopyMode::AttributesOnly;
        let likely = |leader: &&Leader| empty || is_like(source, &leader.stat);
        for leader in leaders.iter().rev().filter(likely) {
            walk.cx.outbox.begin();
            let copier = &mut self.entry_copier;
            let publish = |staged: &CStr| copier.publish_over(entry, source, to_keep, staged);
            let direct = dirs.staged || walk.cx.options().in_place && old.is_none();
            match make_link(leader, entry, (direct, old.as_ref()), publish) {
                Ok(kept) => {
                    walk.cx.status.add(Count::BytesSkipped, data_bytes(source));
                    let mut applied = Applied {
                        digest: leader.digest.map(Box::new),
                        ..Applied::plain(Done::Linked)
                    };
                    applied.details.backup = kept;
                    return Ok(applied);
                }
                Err(no_link) => {
                    walk.cx.outbox.settle();
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

/// What a member is called in the target: an operand as the user wants it.
fn target_name_of(walk: &CopyWalk<'_>, member: &LinkName) -> CString {
    let (place, _) = walk.cx.job.groups.dir(member.dir);
    let operand = walk.cx.plan().operands.get(place.operand as usize);
    operand
        .filter(|_| place.source.is_empty())
        .map_or_else(|| member.name.clone(), |operand| operand.target_name.clone())
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

fn leader_at(dir: Rc<OwnedFd>, name: CString) -> Option<Leader> {
    // A disk that fails for a moment would make the other names files of their own.
    let stat = file::stat_at(&dir, &name).or_else(|_| file::stat_at(&dir, &name)).ok()?;
    Some(Leader { dir, name, stat, digest: None })
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

/// Makes a link: at once, if it may be `direct` and the name is free, else over what has the name.
fn make_link(
    leader: &Leader,
    entry: &Entry<'_>,
    (direct, old): (bool, Option<&Stat>),
    publish: impl FnOnce(&CStr) -> Result<BackupKind, EntryError>,
) -> Result<BackupKind, NoLink> {
    let (dirs, target_name) = (entry.dirs, entry.target_name);
    if !direct {
        return link_over(leader, entry, publish);
    }
    match old.map(Stat::kind) {
        None => {}
        Some(kind @ Kind::Directory) => {
            remove(dirs.target.as_fd(), kind, target_name).map_err(Op::Link.error())?;
        }
        Some(_) => return link_over(leader, entry, publish),
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
