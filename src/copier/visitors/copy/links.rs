//! Files with several names (hard links): which name is copied, and how the other names become links to it.
//!
//! During the walk, an inode is copied by the copier that first finds one of its names, under that name.
//! Copiers defer all other names, so no copier waits for another copier. After everything else is copied, one
//! copier processes each group (the names of one inode), in order. It skips names that are already links. So
//! if this copier dies, another copier can process the group again from the beginning.
//!
//! A group may have no copied name, because copying that name failed. Then the copier copies the next name,
//! and the remaining names become links to it. The same happens where the kernel refuses a link, because the
//! file has too many links (65,000 on ext4) or is on another file system.

use super::planned::{Drift, drift, operation_of};
use super::prompted::open_dirs;
use super::record::{record, report_changes, report_lost};
use super::{CopyVisitor, CopyWalk, Found};
use crate::copier::dir_pair::DirPair;
use crate::copier::entry::decide::keeps_contents;
use crate::copier::entry::hard_link::{Leader, NoLink};
use crate::copier::entry::result::{Applied, Done, Unfinished, changed};
use crate::copier::entry::{discard, itemize, staged_name_for};
use crate::copier::report_writer::ParentGone;
use crate::copier::traverse::DirProgress;
use crate::copier::traverse::offer::hand_over;
use crate::error::{EntryError, Op};
use crate::ipc::inherited::link_groups::{LinkName, LinkRole};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::Event;
use crate::ipc::wire::itemized::Itemized;
use crate::ipc::wire::task::EntryPathBuf;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// A group: the names of one file.
struct Group {
    /// The inode of the file in the source.
    identity: Identity,
    /// Complete names in the target. The next name becomes a link to one of them. The newest is the last.
    leaders: Vec<Leader>,
    /// Why a complete name could not be reached, if that was so.
    unreached: Option<Errno>,
}

/// The directories of the last names that were processed. Most groups are in the same directories as the
/// group before.
#[derive(Default)]
struct GroupDirs {
    leader: Option<(u32, Rc<OwnedFd>)>,
    follower: Option<(u32, Result<DirPair, EntryError>)>,
}

impl GroupDirs {
    /// Finds the complete name `member` in the target. Returns `None` if it does not exist any more or has
    /// another inode; then the next name is copied. Fails if its directory cannot be opened.
    fn find_leader(
        &mut self,
        walk: &CopyWalk<'_>,
        member: &LinkName,
    ) -> Result<Option<Leader>, Errno> {
        let dir = match &self.leader {
            Some((number, dir)) if *number == member.dir => dir.clone(),
            _ => {
                let (place, _) = walk.cx.job.groups.dir(member.dir);
                let plan = walk.cx.plan();
                let operand = plan.operands.get(place.operand as usize).ok_or(Errno::EINVAL)?;
                // Two attempts, as in `Leader::find`.
                let reach = || plan.reach_target(operand, place.target);
                let dir = match reach().or_else(|_| reach()) {
                    Ok(dir) => Rc::new(dir),
                    Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
                    Err(errno) => return Err(errno),
                };
                self.leader = Some((member.dir, dir.clone()));
                dir
            }
        };
        let Some(mut leader) = Leader::find(dir, target_name_of(walk, member)) else {
            return Ok(None);
        };
        if walk.cx.job.plan.options.hash.is_some() {
            let (place, _) = walk.cx.job.groups.dir(member.dir);
            let path = EntryPathBuf::from(place).source_of(member.name.to_bytes());
            leader.digest = walk.cx.job.digests.get(place.operand, &path);
        }
        let is_it = member.known.is_none_or(|known| known == leader.stat.identity());
        Ok(is_it.then_some(leader))
    }

    /// Makes the walk go to the directory with this number, in which names become links. Returns the
    /// directory.
    fn enter(&mut self, walk: &mut CopyWalk<'_>, number: u32) -> Result<&DirPair, EntryError> {
        if self.follower.as_ref().is_none_or(|(last, _)| *last != number) {
            let (place, existed) = walk.cx.job.groups.dir(number);
            walk.at.go_to(place);
            walk.cx.status.enter(place.operand, place.source);
            // Even in a directory that was new, an earlier round of this phase may have left incomplete
            // entries.
            let existed = existed || !walk.cx.job.history.is_first;
            let dirs = open_dirs(walk, place, existed);
            self.follower = Some((number, dirs));
        }
        match &self.follower {
            Some((_, Ok(dirs))) => Ok(dirs),
            Some((_, Err(error))) => Err(*error),
            None => Err(Op::OpenTarget.error()(Errno::EINVAL)), // it was set above
        }
    }
}

/// The result of one name of a group.
struct Ended {
    result: Result<Applied, Unfinished>,
    /// Why the name was copied and did not become a link, if the kernel refused a link.
    refused: Option<Errno>,
}

impl<'a> CopyVisitor<'a> {
    /// Defers an entry to a later phase, because another name of its inode is copied.
    pub(super) fn defer(
        &mut self,
        walk: &mut CopyWalk<'a>,
        found: Found<'_>,
        identity: Identity,
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        self.pending.wait_for_end(walk, progress);
        let event = Event::LinkDeferred { identity, existed: found.dirs.existed };
        walk.report_names(found.name, found.target_name, event, || ())
    }

    /// Reports a leader: an entry to which the other names of its inode become links at the end. Counts the
    /// entry, unless it lacks an attribute. A missing attribute counts as a failure, which the caller
    /// records; the other names will lack the attribute, too.
    ///
    /// Until the links are made, copiers must be able to reach the directory: it must keep its current name,
    /// and its mode must permit access.
    pub(super) fn report_leader(
        &mut self,
        walk: &mut CopyWalk<'a>,
        found: Found<'_>,
        (identity, applied): (Identity, &Applied),
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        progress.below_handed_over = true;
        self.pending.note_handed_over(walk.at.source.len(), false);
        let Found { name, target_name, .. } = found;
        let new = applied.done != Done::Skipped || walk.cx.was_begun(name);
        let count = if new { Count::Copied } else { Count::Skipped };
        let (status, details) = (walk.cx.status, applied.details);
        let event = Event::Leader { identity, new, details };
        walk.report_names(name, target_name, event, || status.add(count, 1))
    }

    /// Makes the links of the groups `first..end`. Hands over a part of the groups while the ring is hungry.
    pub(super) fn link_groups(
        &mut self,
        walk: &mut CopyWalk<'a>,
        first: u32,
        end: u32,
    ) -> Result<(), ParentGone> {
        let known = u32::try_from(walk.cx.job.groups.len()).unwrap_or(u32::MAX);
        walk.ranges.groups = first..end.min(known);
        let mut dirs = GroupDirs::default();
        while let Some(group) = walk.ranges.groups.next() {
            hand_over(walk, self, None)?;
            self.one_group(walk, group as usize, &mut dirs)?;
            if walk.is_stopped() {
                break;
            }
        }
        Ok(())
    }

    fn one_group(
        &mut self,
        walk: &mut CopyWalk<'a>,
        number: usize,
        dirs: &mut GroupDirs,
    ) -> Result<(), ParentGone> {
        let groups = walk.cx.job.groups;
        let mut group =
            Group { identity: groups.identity(number), leaders: Vec::new(), unreached: None };
        for member in groups.members(number) {
            if walk.is_stopped() {
                break;
            }
            if member.role == LinkRole::Follower {
                self.one_link(walk, &mut group, &member, dirs)?;
                walk.reports.flush_if_old()?;
            } else {
                match dirs.find_leader(walk, &member) {
                    Ok(leader) => group.leaders.extend(leader),
                    Err(errno) => group.unreached = Some(errno),
                }
            }
        }
        Ok(())
    }

    /// Makes one deferred name a link, or copies it as a separate file, and records the result.
    fn one_link(
        &mut self,
        walk: &mut CopyWalk<'a>,
        group: &mut Group,
        member: &LinkName,
        dirs: &mut GroupDirs,
    ) -> Result<(), ParentGone> {
        let (name, target_name) = (&*member.name, &*target_name_of(walk, member));
        let dirs = match dirs.enter(walk, member.dir) {
            Ok(dirs) => dirs,
            Err(error) => return walk.record_failed(Some(name), error),
        };
        let found = Found { dirs, name, target_name };
        walk.cx.status.at(name);
        if walk.cx.is_passed_over(name) {
            self.entry_copier.remove_remains(&found.at(&walk.at));
            discard(dirs, &staged_name_for(dirs, target_name));
            return walk.record_failed(Some(name), Op::KillsCopiers.error()(Errno::EIO));
        }
        let mut ended = self.link_or_copy(walk, found, group);
        if let (Some(errno), Ok(Applied { done: Done::Copied, .. })) =
            (ended.refused, &ended.result)
        {
            walk.report_names(name, target_name, Event::LinkFailed(errno), || ())?;
        }
        if walk.cx.options().hash.is_some() {
            self.add_digest(walk, found, &mut ended.result);
        }
        if walk.cx.options().itemize_changes {
            itemize::complete(
                &walk.cx,
                &found.at(&walk.at),
                &mut ended.result,
                Itemized::new_entry,
            );
        }
        match ended.result {
            Ok(applied) => {
                if let Some(digest) = applied.digest {
                    found.report_digest(walk, *digest)?;
                }
                report_lost(walk, Some(name), &applied.attribute_errors)?;
                if let Some(item) = applied.itemized.as_deref() {
                    report_changes(walk, Some(name), item)?;
                }
                record(walk, Some(name), applied.done, applied.details)
            }
            Err(unfinished) => self.record_unfinished(walk, found, &unfinished),
        }
    }

    /// Makes a name a link to a leader of the group. If that is not possible, copies it as a separate file,
    /// which also becomes a leader.
    fn link_or_copy(&mut self, walk: &CopyWalk<'a>, found: Found<'_>, group: &mut Group) -> Ended {
        let Found { dirs, name, target_name } = found;
        let ended = |result| Ended { result, refused: None };
        let source = match dirs.stat_source(name) {
            Ok(source) => source,
            Err(errno) => return ended(Err(Op::Stat.error()(errno).into())),
        };
        if source.kind() == Kind::Directory {
            return ended(Err(changed()));
        }
        // false if the name belongs to another file by now
        let is_of_group = source.identity() == group.identity;
        let mut refused = group.unreached.filter(|_| group.leaders.is_empty());
        let operation = operation_of(walk, found);
        if let Some(operation) = operation
            && !is_begun(walk, found, group)
            && drift(walk, found, operation) != Drift::None
        {
            return ended(Err(Op::NotAsPlanned.error()(Errno::ECANCELED).into()));
        }
        if is_of_group {
            match self.entry_copier.link_to_leader(&found.at(&walk.at), &source, &group.leaders) {
                Ok(applied) => return ended(Ok(applied)),
                Err(NoLink::Unfinished(unfinished)) => return ended(Err(unfinished)),
                Err(NoLink::Refused(errno)) => refused = Some(errno),
                Err(NoLink::Gone) => {}
            }
        }
        if operation.is_some() && refused.is_none() {
            return ended(Err(Op::LinkNotAsPlanned.error()(Errno::ECANCELED).into()));
        }
        let result = self.entry_copier.copy(&found.at(&walk.at), source.kind());
        if let (Ok(applied), true) = (&result, is_of_group) {
            let own = keeps_contents(&walk.cx) && applied.done == Done::Skipped;
            if !own {
                let dir = dirs.target.try_clone().ok();
                let leader = dir.and_then(|dir| Leader::find(Rc::new(dir), target_name.to_owned()));
                let digest = applied.digest.as_deref().copied();
                group.leaders.extend(leader.map(|leader| Leader { digest, ..leader }));
            }
        }
        Ended { result, refused }
    }
}

/// Whether this run, or an interrupted one, has begun or finished to make a name a link.
fn is_begun(walk: &CopyWalk<'_>, found: Found<'_>, group: &Group) -> bool {
    let Found { dirs, name, target_name } = found;
    walk.cx.was_done(name)
        || walk.cx.was_begun(name)
        || file::stat_at(&dirs.target, target_name).is_ok_and(|now| {
            group.leaders.iter().any(|leader| leader.stat.identity() == now.identity())
        })
}

/// Returns the current name of a member in the target. If the member is an operand, the user may have chosen
/// that name.
fn target_name_of(walk: &CopyWalk<'_>, member: &LinkName) -> CString {
    let (place, _) = walk.cx.job.groups.dir(member.dir);
    let operand = walk.cx.plan().operands.get(place.operand as usize);
    operand
        .filter(|_| place.source.is_empty())
        .map_or_else(|| member.name.clone(), |operand| operand.target_name.clone())
}
