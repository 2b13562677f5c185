//! Names of one file: which of them is copied, and how the others become links to it at the end.
//!
//! While the tree is walked, the first name of an inode that anybody comes to is copied, and all
//! others are put off, so that no copier ever waits for another. When everything else is there,
//! each group of names is one copier's, which goes through it in order: what is a link already is
//! passed over, so a group can be done again from its beginning by whoever comes after a death.
//!
//! A group need not have a name that was copied: that one may have failed. Then the next is copied
//! and leads the rest. So it is where the kernel refuses a link, because the file has too many
//! (65,000 on ext4) or lies on another file system.

use super::Worker;
use super::clean::{remove, remove_leftover};
use super::context::Context;
use super::dir_pair::DirPair;
use super::entry::decide::{
    check_just_created, is_up_to_date, keeps_contents, update_rule, was_published,
};
use super::entry::result::{Applied, Done, Unfinished, changed};
use super::entry::{Entry, data_bytes, discard, leads_to, remove_leftover_of, staged_name_for};
use super::report_writer::ParentGone;
use super::walk::{DirProgress, Walker};
use crate::error::{EntryError, Op};
use crate::hash::Digest;
use crate::ipc::inherited::link_groups::{LinkName, LinkRole};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::{BackupKind, Details, Event};
use crate::ipc::wire::task::EntryPathBuf;
use crate::options::{CopyMode, Update};
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

impl Walker<'_> {
    /// Leaves an entry for the end, because another name of its inode is copied; `existed` says whether its
    /// target directory existed before this round.
    ///
    /// Its directory is changed once more then, and must not be finished before.
    pub(super) fn defer(
        &mut self,
        name: &CStr,
        target_name: &CStr,
        (identity, existed): (Identity, bool),
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        self.defer_prompt(progress);
        self.report_name(name, target_name, Event::LinkDeferred { identity, existed }, || ())
    }

    /// Notes that something in the directory that the walk is at is left for the end.
    pub(super) fn defer_prompt(&mut self, progress: &mut DirProgress) {
        progress.given = true;
        progress.shared = true;
        self.note_shared(self.at.source.len(), true);
    }

    /// Counts and reports an entry whose other names become links to it at the end.
    ///
    /// Until then its directory must be reachable: under the name that it has now, and with a mode that lets
    /// us in.
    pub(super) fn lead(
        &mut self,
        name: &CStr,
        target_name: &CStr,
        (identity, applied): (Identity, &Applied),
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        progress.given = true;
        self.note_shared(self.at.source.len(), false);
        let new = applied.done != Done::Skipped || self.cx.was_begun(name);
        let count = if new { Count::Copied } else { Count::Skipped };
        let (status, details) = (self.cx.status, applied.details);
        let event = Event::Leader { identity, new, details };
        self.report_name(name, target_name, event, || status.add(count, 1))
    }

    /// Reports an entry that lacks an attribute and is whole otherwise: so will its other names be.
    pub(super) fn lead_lacking(
        &mut self,
        name: &CStr,
        target_name: &CStr,
        identity: Identity,
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        progress.given = true;
        self.note_shared(self.at.source.len(), false);
        let event = Event::Leader { identity, new: false, details: Details::default() };
        self.report_name(name, target_name, event, || ())
    }

    /// Makes the links of the groups `first..end`, and hands over what somebody hungry can do.
    pub(super) fn link_groups(&mut self, first: u32, end: u32) -> Result<(), ParentGone> {
        let known = u32::try_from(self.cx.job.groups.len()).unwrap_or(u32::MAX);
        self.ranges.groups = first..end.min(known);
        let mut open = Open::default();
        while let Some(group) = self.ranges.groups.next() {
            self.hand_over(None)?;
            self.one_group(group as usize, &mut open)?;
            if self.is_stopped() {
                break;
            }
        }
        Ok(())
    }

    fn one_group(&mut self, group: usize, open: &mut Open) -> Result<(), ParentGone> {
        let groups = self.cx.job.groups;
        let identity = groups.identity(group);
        let mut leaders = Vec::new();
        for member in groups.members(group) {
            if self.is_stopped() {
                break;
            }
            if member.role == LinkRole::Follower {
                self.one_link(identity, &member, &mut leaders, open)?;
                self.reports.flush_if_old()?;
            } else {
                leaders.extend(self.find_leader(&member, open));
            }
        }
        Ok(())
    }

    /// Looks for the name that was copied. If it is not there, the next one is copied.
    fn find_leader(&self, member: &LinkName, open: &mut Open) -> Option<Leader> {
        let dir = match &open.leader {
            Some((number, dir)) if *number == member.dir => dir.clone(),
            _ => {
                let (place, _) = self.cx.job.groups.dir(member.dir);
                let operand = self.cx.job.plan.operands.get(place.operand as usize)?;
                let dir = Rc::new(self.cx.job.plan.reach_target(operand, place.target).ok()?);
                open.leader = Some((member.dir, dir.clone()));
                dir
            }
        };
        let mut leader = leader_at(dir, self.target_name(member))?;
        if self.cx.job.plan.options.hash.is_some() {
            let (place, _) = self.cx.job.groups.dir(member.dir);
            let path = EntryPathBuf::from(place).source_of(member.name.to_bytes());
            leader.digest = self.cx.job.hashed.get(place.operand, &path);
        }
        let is_it = member.known.is_none_or(|known| known == leader.stat.identity());
        is_it.then_some(leader)
    }

    /// What a member is called in the target: at the top as the user wants it.
    fn target_name(&self, member: &LinkName) -> CString {
        let (place, _) = self.cx.job.groups.dir(member.dir);
        let operand = self.cx.job.plan.operands.get(place.operand as usize);
        operand
            .filter(|_| place.source.is_empty())
            .map_or_else(|| member.name.clone(), |operand| operand.target_name.clone())
    }

    /// Brings one name that was put off to its end.
    fn one_link(
        &mut self,
        identity: Identity,
        member: &LinkName,
        leaders: &mut Vec<Leader>,
        open: &mut Open,
    ) -> Result<(), ParentGone> {
        let (name, target_name) = (&*member.name, &*self.target_name(member));
        let dirs = match self.enter_follower(member.dir, open) {
            Ok(dirs) => dirs,
            Err(error) => return self.record_failed(Some(name), error),
        };
        self.cx.status.at(name);
        if self.cx.is_passed_over(name) {
            self.entry_copier.give_up(Entry::new(&self.at, dirs, name, target_name));
            discard(dirs, &staged_name_for(dirs, target_name));
            return self.record_failed(Some(name), Op::KillsCopiers.error()(Errno::EIO));
        }
        let ended = self.link_or_copy(dirs, identity, (name, target_name), leaders);
        if let (Some(errno), Ok(Applied { done: Done::Copied, lacking: None, .. })) =
            (ended.refused, &ended.result)
        {
            self.report_name(name, target_name, Event::LinkFailed(errno), || ())?;
        }
        match self.with_digest(dirs, name, target_name, ended.result) {
            Ok(applied) => {
                self.report_digest(name, target_name, &applied)?;
                match applied.lacking {
                    None => self.record(Some(name), applied.done, applied.details),
                    Some(error) => self.record_failed(Some(name), error),
                }
            }
            Err(unfinished) => self.record_unfinished(dirs, name, target_name, &unfinished),
        }
    }

    /// Goes to the directory with this number.
    fn enter_follower<'o>(
        &mut self,
        number: u32,
        open: &'o mut Open,
    ) -> Result<&'o DirPair, EntryError> {
        if open.follower.as_ref().is_none_or(|(last, _)| *last != number) {
            let (place, existed) = self.cx.job.groups.dir(number);
            self.at.go_to(place);
            self.cx.status.enter(place.operand, place.source);
            // What an earlier attempt has left in a directory that was new need not be whole.
            let existed = existed || !self.cx.job.is_first;
            let dirs = self.dirs_of(place, existed);
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
        dirs: &DirPair,
        identity: Identity,
        (name, target_name): (&CStr, &CStr),
        leaders: &mut Vec<Leader>,
    ) -> Ended {
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
            match self.link(dirs, &source, (name, target_name), leaders) {
                Ok(applied) => return ended(Ok(applied)),
                Err(NoLink::Unfinished(unfinished)) => return ended(Err(unfinished)),
                Err(NoLink::Refused(errno)) => refused = Some(errno),
                Err(NoLink::Gone) => {}
            }
        }
        let entry = Entry::new(&self.at, dirs, name, target_name);
        let result = self.entry_copier.copy(entry, source.kind());
        if let (Ok(applied), true) = (&result, is_of_group) {
            let own = keeps_contents(&self.cx) && applied.done == Done::Skipped;
            if !own {
                let dir = dirs.target.try_clone().ok();
                let leader = dir.and_then(|dir| leader_at(Rc::new(dir), target_name.to_owned()));
                leaders.extend(leader.map(|leader| Leader { digest: applied.digest, ..leader }));
            }
        }
        Ended { result, refused }
    }

    /// Makes the name a link to the newest of `leaders` to which the kernel lets it be one.
    fn link(
        &mut self,
        dirs: &DirPair,
        source: &Stat,
        (name, target_name): (&CStr, &CStr),
        leaders: &[Leader],
    ) -> Result<Applied, NoLink> {
        let entry = Entry::new(&self.at, dirs, name, target_name);
        let cx = &self.cx;
        let old = dirs.find(cx.plan(), target_name, Op::Link)?;
        if let Some(old) = &old {
            let is_it = |leader: &&Leader| leader.stat.identity() == old.identity();
            if let Some(leader) = leaders.iter().find(is_it) {
                let digest = leader.digest;
                return Ok(Applied { digest, ..Applied::plain(found(cx, entry, source)?) });
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
            self.cx.outbox.begin();
            let copier = &mut self.entry_copier;
            let publish = |staged: &CStr| copier.publish_over(entry, source, to_keep, staged);
            let direct = dirs.staged || self.cx.options().in_place && old.is_none();
            match make_link(leader, entry, (direct, old.as_ref()), publish) {
                Ok(kept) => {
                    self.cx.status.add(Count::BytesSkipped, data_bytes(source));
                    let mut applied =
                        Applied { digest: leader.digest, ..Applied::plain(Done::Linked) };
                    applied.details.backup = kept;
                    return Ok(applied);
                }
                Err(no_link) => {
                    self.cx.outbox.settle();
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

/// Whether the existing entry is a copy already, and not the user's old file, which has its backup by now:
/// in an earlier round, or in an interrupted run, another name may have come first, and this one been
/// copied.
fn is_copy(
    cx: &Context<'_>,
    entry: Entry<'_>,
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
fn found(cx: &Context<'_>, entry: Entry<'_>, source: &Stat) -> Result<Done, NoLink> {
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
fn check_old(entry: Entry<'_>, source: &Stat, old: &Stat) -> Result<(), EntryError> {
    let dirs = entry.dirs;
    if dirs.staged && !dirs.existed {
        return Err(Op::Link.error()(Errno::EEXIST)); // see `found`
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
    entry: Entry<'_>,
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
    entry: Entry<'_>,
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
