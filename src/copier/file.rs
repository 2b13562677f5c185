//! One entry that is not a directory, from start to commit.
//!
//! Where nobody looks yet (in a staged directory), it is made under its own name; a name that an
//! earlier run left there is kept if complete and made anew if not. In a directory that others may
//! be reading, it is made under a staged name and renamed over the old one, so that they see the
//! old one or the new one, whole.

use super::Job;
use super::attributes::{Attrs, DirDefaults, XattrNames};
use super::backup::Numbers;
use super::chunks::Team;
use super::clean::{self, remove_leftover, still_named};
use super::data::{BUFFER_BYTES, Transfer, Unfinished, Ways};
use super::dir_pair::{DirPair, free_staged_name};
use super::meter::Meter;
use super::target_file::{Filled, TargetFile};
use crate::error::{EntryError, Op};
use crate::hash::Digest;
use crate::ipc::memory::counters::{Count, StatusSlot};
use crate::ipc::memory::fs_caps::Pair;
use crate::ipc::memory::inode_set::InodeSet;
use crate::ipc::memory::outbox::Outbox;
use crate::ipc::wire::event::{Attempt, Details};
use crate::ipc::wire::task::EntryPath;
use crate::options::{Backup, CopyMode, Dereference, Links};
use crate::plan::{Plan, op_to_create};
use crate::staging::staged_name;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Node, Stat};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

/// From which size on the copying of a file is long beside handing one over, which costs about as much
/// as a small file: 20 us.
pub(super) const HEAVY_BYTES: u64 = 1024 * 1024;

/// How an entry ended well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Copied,
    Linked,
    Skipped,
}

/// Copies files, symlinks and special files; owns the buffer.
pub(super) struct Files<'a> {
    pub(super) job: Job<'a>,
    numbers: Numbers,
    pub(super) status: StatusSlot<'a>,
    pub(super) outbox: Outbox<'a>,
    pub(super) attrs: Attrs,
    /// Where copiers agree on which name of a file is copied; nothing where each is on its own.
    inodes: Option<&'a InodeSet>,
    /// The inode of the entry that was just looked at, if it has several names.
    pub(super) linked: Option<Identity>,
    /// How the entry in hand comes to be.
    pub(super) how: Details,
    /// The digest of the file in hand, if it was read and that is wanted.
    pub(super) digest: Option<Digest>,
    /// Whether the entry in hand took much longer than it would take to hand one over.
    pub(super) was_heavy: bool,
    /// The directories that the walk is in.
    pub(super) here: Here,
    /// Whose files they are.
    number: u16,
    pub(super) buffer: Vec<u8>,
}

/// A [`EntryPath`] that is kept.
#[derive(Default)]
pub(super) struct Here {
    operand: u32,
    source: Vec<u8>,
    target: Vec<u8>,
    staged: bool,
}

impl Here {
    pub(super) fn go_to(&mut self, place: EntryPath<'_>) {
        (self.operand, self.staged) = (place.operand, place.staged);
        self.source.clear();
        self.source.extend_from_slice(place.source);
        self.target.clear();
        self.target.extend_from_slice(place.target);
    }

    fn place(&self) -> EntryPath<'_> {
        EntryPath {
            operand: self.operand,
            source: &self.source,
            target: &self.target,
            staged: self.staged,
        }
    }
}

impl<'a> Files<'a> {
    pub(super) fn new(
        (job, number): (Job<'a>, u16),
        status: StatusSlot<'a>,
        outbox: Outbox<'a>,
        attrs: Attrs,
    ) -> Self {
        Self {
            job,
            number,
            was_heavy: false,
            here: Here::default(),
            numbers: Numbers::default(),
            status,
            outbox,
            attrs,
            inodes: job.inodes,
            linked: None,
            how: Details::default(),
            digest: None,
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Copies `name` of `dirs.source` to `target_name` in `dirs.target`.
    pub(super) fn copy(
        &mut self,
        dirs: &DirPair,
        kind: Kind,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        self.begin();
        if dirs.staged && self.reads_kind(kind) {
            return self.staged_file(dirs, name, target_name);
        }
        let source = dirs.stat_source(name).map_err(Op::Stat.error())?;
        if source.kind() != kind {
            return Err(changed());
        }
        if !dirs.staged && self.was_done(name) {
            self.come_first(dirs, &source)?;
            self.status.add(Count::BytesSpared, data_bytes(&source));
            return Ok(Done::Skipped);
        }
        if !dirs.staged && self.job.plan.options.in_place {
            return self.in_place(dirs, &source, name, target_name);
        }
        self.ask_first(dirs, &source, name, target_name)?;
        self.come_first(dirs, &source)?;
        if dirs.staged {
            self.staged_other(dirs, &source, name, target_name)
        } else {
            self.replace(dirs, &source, name, target_name)
        }
    }

    /// Turns to another entry.
    pub(super) fn begin(&mut self) {
        self.linked = None;
        self.how = Details::default();
        self.digest = None;
        self.was_heavy = false;
    }

    /// Whether it is the bytes that are copied of such a source.
    pub(super) fn reads(&self, source: &Stat) -> bool {
        self.reads_kind(source.kind())
    }

    fn reads_kind(&self, kind: Kind) -> bool {
        kind == Kind::File || kind == Kind::Special && self.job.plan.options.copy_contents
    }

    /// The common case, in the fewest calls: open, stat, create, read, write, times, two closes.
    fn staged_file(
        &mut self,
        dirs: &DirPair,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        let (from, source) = open_source(self.job.plan, dirs, name)?;
        self.come_first(dirs, &source)?;
        let names = self.attrs.look(Node::Open(from.as_fd()))?;
        let bits = self.attrs.birth_permissions(&source, &names, dirs.traits.born);
        let create = |name: &CStr| file::create_file(&dirs.target, name, bits);
        let made = self.make(dirs, &source, name, target_name, Op::Create, create)?;
        let Some(to) = made else {
            self.status.add(Count::BytesSpared, source.size());
            return Ok(Done::Skipped);
        };
        let sink = TargetFile::New(to, Some((name, target_name)));
        let filled = self.fill(dirs, from, &source, &names, sink);
        filled.inspect_err(|_| discard(dirs, target_name))?.into_done()
    }

    /// Notes a file that has several names; goes on with the one that comes first, in the round.
    pub(super) fn come_first(&mut self, dirs: &DirPair, source: &Stat) -> Result<(), Unfinished> {
        let may_come_again = source.links() > 1 || self.may_be_met_again(dirs);
        let Some(inodes) = self.inodes.filter(|_| may_come_again) else { return Ok(()) };
        self.linked = Some(source.identity());
        // What the user was asked for comes after the others, which are known no more.
        let is_first = !self.job.asked && inodes.is_first(source.identity());
        if is_first { Ok(()) } else { Err(Unfinished::Deferred) }
    }

    /// Whether a symlink that is followed may lead to what is met here under its only name.
    fn may_be_met_again(&self, dirs: &DirPair) -> bool {
        let options = &self.job.plan.options;
        options.preserve.links == Links::AndFollowed
            && match options.dereference {
                Dereference::Always => true,
                Dereference::CommandLine => dirs.contended, // the named ones
                Dereference::Never => false,
            }
    }

    /// Removes what an earlier round or run has left half done of an entry that has failed.
    pub(super) fn give_up(&self, dirs: &DirPair, name: &CStr, target_name: &CStr) {
        if !dirs.staged {
            if self.was_begun_new(name) {
                discard(dirs, target_name);
            }
            drop_leftover(dirs, target_name);
            return;
        }
        let source = dirs.stat_source(name);
        let target = file::stat_at(&dirs.target, target_name);
        let complete = source.is_ok_and(|source| {
            let same = |target| self.is_same(dirs, &source, &target, name, target_name);
            target.is_ok_and(|target| same(target).unwrap_or(false))
        });
        if !complete && dirs.is_written(target_name) == Ok(true) {
            discard(dirs, target_name);
        }
    }

    fn staged_other(
        &self,
        dirs: &DirPair,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        let text = link_text(dirs, source, name)?;
        let make = |name: &CStr| {
            self.outbox.begin();
            self.make_other(dirs, source, &text, name)
        };
        let made = self.make(dirs, source, name, target_name, self.op_of(source), make)?;
        if made.is_none() {
            self.outbox.settle();
            return Ok(Done::Skipped);
        }
        self.finish_other(dirs, source, name, target_name)?.into_done()
    }

    pub(super) fn finish_other(
        &self,
        dirs: &DirPair,
        source: &Stat,
        name: &CStr,
        made: &CStr,
    ) -> Result<Filled, EntryError> {
        self.outbox.begin();
        let from = Node::Named(dirs.source.as_fd(), name);
        let finished = self.attrs.finish_other(
            from,
            (dirs.target.as_fd(), made),
            source,
            dirs.traits.born.masked,
        );
        finished.inspect_err(|_| discard(dirs, made)).map(Filled::Whole)
    }

    /// What it is called to make one like `source`.
    pub(super) fn op_of(&self, source: &Stat) -> Op {
        op_to_create(&self.job.plan.options, source)
    }

    pub(super) fn make_other(
        &self,
        dirs: &DirPair,
        source: &Stat,
        text: &CStr,
        name: &CStr,
    ) -> Result<(), Errno> {
        if source.kind() == Kind::Symlink {
            return file::make_symlink(text, &dirs.target, name);
        }
        let bits = self.attrs.node_permissions(source, dirs.traits.born.masked);
        file::make_node(&dirs.target, name, source, bits)
    }

    /// In a directory that stood there before: beside the old one, then over it.
    fn replace(
        &mut self,
        dirs: &DirPair,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        match self.replaced(dirs, source, name, target_name)? {
            Some(old) => self.make_over(dirs, source, name, target_name, old.as_ref()),
            None => {
                self.status.add(Count::BytesSpared, data_bytes(source));
                Ok(Done::Skipped)
            }
        }
    }

    /// Makes an entry beside what has its name, and renames it over that.
    pub(super) fn make_over(
        &mut self,
        dirs: &DirPair,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
        old: Option<&Stat>,
    ) -> Result<Done, Unfinished> {
        let staged = staged_name_for(dirs, target_name);
        let (filled, guard) = self.build(dirs, source, name, &staged)?;
        let target = dirs.target.as_fd();
        let named =
            guard.as_ref().map_or(Ok(true), |ours| still_named(target, &staged, ours.as_fd()));
        match named {
            Ok(true) => {}
            Ok(false) => return Err(Op::Publish.error()(Errno::EBUSY).into()),
            Err(errno) => {
                discard(dirs, &staged); // while we have its lock nobody puts another there
                return Err(Op::Publish.error()(errno).into());
            }
        }
        match old {
            Some(_) => self.publish_over(dirs, (source, name), old, &staged, target_name)?,
            None => publish_new(dirs, &staged, target_name)?,
        }
        filled.into_done()
    }

    /// Gives what is staged its final name, over the old entry, which is kept if the user wants that.
    pub(super) fn publish_over(
        &mut self,
        dirs: &DirPair,
        source: (&Stat, &CStr),
        old: Option<&Stat>,
        staged: &CStr,
        name: &CStr,
    ) -> Result<(), EntryError> {
        let kept = match (&self.job.plan.options.backup, old) {
            (Some(backup), Some(_)) if !dirs.staged => {
                self.numbers.keep(backup, dirs, source, name).map(Some)
            }
            _ => Ok(None), // what an interrupted run has staged is nothing to be kept
        };
        let (kept, moved) = kept.inspect_err(|_| discard(dirs, staged))?.unwrap_or_default();
        self.how.kept = kept;
        let published = file::replace(&dirs.target, staged, name).map_err(Op::Publish.error());
        if published.is_err() {
            discard(dirs, staged);
            let back = moved.map(|moved| file::rename_new(dirs.target.as_fd(), &moved, name));
            if back.is_some_and(|back| back.is_err()) {
                // Then it has the name of its backup, and the failure that is told names the entry.
            }
        }
        published
    }

    /// Gives what has a directory's name another one, as a backup; the name is free then.
    pub(super) fn move_away(
        &mut self,
        dirs: &DirPair,
        backup: &Backup,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<(), EntryError> {
        let source = dirs.stat_source(name).map_err(Op::Stat.error())?;
        let (_, moved) = self.numbers.keep(backup, dirs, (&source, name), target_name)?;
        match moved {
            Some(_) => Ok(()),
            None => file::unlink(&dirs.target, target_name).map_err(Op::Backup.error()),
        }
    }

    /// Builds an entry under its staged name. Where other runs may be about, the file comes back
    /// open, because its lock must last until it has its final name.
    fn build(
        &mut self,
        dirs: &DirPair,
        source: &Stat,
        name: &CStr,
        staged: &CStr,
    ) -> Result<(Filled, Option<OwnedFd>), Unfinished> {
        if !self.reads(source) {
            let (text, op) = (link_text(dirs, source, name)?, self.op_of(source));
            make_fresh(dirs, staged, op, |name| self.make_other(dirs, source, &text, name))?;
            return Ok((self.finish_other(dirs, source, name, staged)?, None));
        }
        let (from, source) = open_source(self.job.plan, dirs, name)?;
        let names = self.attrs.look(Node::Open(from.as_fd()))?;
        let bits = self.attrs.birth_permissions(&source, &names, dirs.traits.born);
        let create = |name: &CStr| file::create_file(&dirs.target, name, bits);
        let to = make_fresh(dirs, staged, Op::Create, create)?;
        if dirs.is_shared() && !is_ours(&to) {
            return Err(Op::Create.error()(Errno::EBUSY).into());
        }
        let guard = if dirs.is_shared() { to.try_clone().ok() } else { None };
        let sink = TargetFile::New(to, Some((name, staged)));
        let filled = self.fill(dirs, from, &source, &names, sink);
        Ok((filled.inspect_err(|_| discard(dirs, staged))?, guard))
    }

    /// Data, attributes, close: in this order, and each may fail the file.
    ///
    /// A source that changed twice while it was read keeps what was read of it, without its time,
    /// so that the next run copies it again.
    pub(super) fn fill(
        &mut self,
        dirs: &DirPair,
        from: OwnedFd,
        source: &Stat,
        names: &XattrNames,
        sink: TargetFile<'_>,
    ) -> Result<Filled, Unfinished> {
        self.outbox.begin();
        if self.job.plan.options.copy_mode == CopyMode::AttributesOnly {
            self.status.add(Count::BytesSpared, source.size());
            return self.finish_file(dirs, &from, source, names, sink, dirs.traits.born);
        }
        let pair = Pair::of(source.identity().0, sink.device(dirs));
        let ways = Ways { plan: self.job.plan, fs_caps: self.job.fs_caps, pair };
        let ends = (from.as_fd(), sink.file());
        let team = Team::to_copy(self.job, self.number, self.here.place(), source, &sink);
        let mut transfer = Transfer::new(ends, ways, &mut self.buffer, Meter::new(self.status));
        let result = if sink.is_stream() || source.kind() != Kind::File {
            transfer.digs &= !sink.is_stream();
            transfer.copy_stream().map(|()| Some(*source))
        } else {
            transfer.team = team;
            transfer.copy_steady(source)
        };
        self.was_heavy = source.size() >= HEAVY_BYTES && transfer.method.reflink != Attempt::Yes;
        if self.job.plan.options.debug() {
            self.how.method = Some(transfer.method);
        }
        let digest = transfer.digest();
        transfer.meter.end(source.size());
        let Some(read) = result? else {
            sink.close()?;
            return Ok(Filled::Changed);
        };
        self.digest = digest;
        // If it changed and was read again, the bits it was born with may be old ones.
        let masked = dirs.traits.born.masked || read.permissions() != source.permissions();
        let born = DirDefaults { masked, ..dirs.traits.born };
        self.finish_file(dirs, &from, &read, names, sink, born)
    }

    fn finish_file(
        &self,
        dirs: &DirPair,
        from: &OwnedFd,
        source: &Stat,
        names: &XattrNames,
        sink: TargetFile<'_>,
        born: DirDefaults,
    ) -> Result<Filled, Unfinished> {
        let from = from.as_fd();
        let lacking = match &sink {
            TargetFile::New(to, _) => {
                let made = (to.as_fd(), dirs.known_hands(self.job.plan));
                self.attrs.finish_file(from, made, source, names, born)?
            }
            TargetFile::Old(to, old, _) => {
                self.attrs.finish_old(from, to.as_fd(), source, names, old)?
            }
        };
        // What is staged is written out all at once, before it is published.
        if self.job.plan.options.fsync && !dirs.staged {
            file::sync(sink.file()).map_err(Op::Sync.error())?;
        }
        sink.close()?;
        Ok(Filled::Whole(lacking))
    }

    /// Makes a name in a staged directory; `None` if an earlier run has made it and it is complete.
    fn make<T>(
        &self,
        dirs: &DirPair,
        source: &Stat,
        source_name: &CStr,
        name: &CStr,
        op: Op,
        mut create: impl FnMut(&CStr) -> Result<T, Errno>,
    ) -> Result<Option<T>, Unfinished> {
        match create(name) {
            Ok(made) => return Ok(Some(made)),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(op.error()(errno).into()),
        }
        if !dirs.existed || !dirs.is_written(name).map_err(op.error())? {
            // Nobody has been here before us: two names of the source are one in the target, as 'A' and
            // 'a' are where case is ignored. What was made under the other one must stay.
            return Err(op.error()(Errno::EEXIST).into());
        }
        let old = file::stat_at(&dirs.target, name).map_err(op.error())?;
        // What `-l` has left of an interrupted run is the source itself, and no copy of it.
        let is_copy = old.identity() != source.identity();
        if is_copy && self.is_same(dirs, source, &old, source_name, name)? {
            self.repair(dirs, source, &old, source_name, name)?;
            return Ok(None);
        }
        if old.kind() == Kind::Directory && dirs.is_seen(self.job.plan) {
            return Err(Op::FileOverDirectory.error()(Errno::EISDIR).into()); // a stranger's
        }
        clean::remove(dirs.target.as_fd(), old.kind(), name).map_err(op.error())?;
        Ok(Some(create(name).map_err(op.error())?))
    }
}

/// Opens the source and looks at it; another kind of thing than the listing said is a change.
pub(super) fn open_source(
    plan: &Plan,
    dirs: &DirPair,
    name: &CStr,
) -> Result<(OwnedFd, Stat), Unfinished> {
    let special = plan.options.copy_contents;
    let opened = if special {
        file::open_stream(&dirs.source, name, dirs.follow)
    } else {
        file::open_source(&dirs.source, name, dirs.follow)
    };
    let from = match opened {
        Ok(from) => from,
        Err(Errno::ELOOP) if !dirs.follow => return Err(changed()), // a symlink now
        Err(Errno::ENXIO) if !special => return Err(changed()),     // a socket now
        Err(errno) => return Err(Op::OpenSource.error()(errno).into()),
    };
    let source = file::stat_fd(&from).map_err(Op::Stat.error())?;
    let is_kind = source.kind() == Kind::File || special && source.kind() == Kind::Special;
    if is_kind { Ok((from, source)) } else { Err(changed()) }
}

/// Makes a staged name; what a killed run left under it goes first.
pub(super) fn make_fresh<T>(
    dirs: &DirPair,
    staged: &CStr,
    op: Op,
    mut create: impl FnMut(&CStr) -> Result<T, Errno>,
) -> Result<T, Unfinished> {
    match create(staged) {
        Err(Errno::EEXIST) => {
            remove_leftover(dirs.target.as_fd(), staged, dirs.is_shared()).map_err(op.error())?;
            Ok(create(staged).map_err(op.error())?)
        }
        result => Ok(result.map_err(op.error())?),
    }
}

/// Removes what a killed run, or a copier, has left under the staged name of `name`.
pub(super) fn drop_leftover(dirs: &DirPair, name: &CStr) {
    let staged = staged_name_for(dirs, name);
    if remove_leftover(dirs.target.as_fd(), &staged, dirs.is_shared()).is_err() {
        // Nearly always there is none, or else another run is building it.
    }
}

/// The name under which `name` is built where others look.
pub(super) fn staged_name_for(dirs: &DirPair, name: &CStr) -> CString {
    if dirs.contended {
        staged_name(name, 0) // what else is beside the source does not come along
    } else {
        free_staged_name(dirs, name).1
    }
}

/// Gives what is staged its final name, which was free: what has taken it meanwhile is another's.
fn publish_new(dirs: &DirPair, staged: &CStr, name: &CStr) -> Result<(), EntryError> {
    let published = file::rename_new(dirs.target.as_fd(), staged, name);
    published.inspect_err(|_| discard(dirs, staged)).map_err(Op::Publish.error())
}

/// Whether a staged file is ours to build, when two runs may meet on one name.
///
/// Whoever has its lock builds it; without that, one could rename what the other has half written.
/// Before we had the lock, the other may have taken the file for a leftover and removed its name.
pub(super) fn is_ours(to: &OwnedFd) -> bool {
    let locked = file::lock(to.as_fd(), file::Lock::Exclusive) != Err(Errno::EAGAIN);
    locked && file::stat_fd(to).is_ok_and(|stat| stat.links() > 0)
}

/// Whether the source is a symlink to the very thing that it would replace, and then to itself.
pub(super) fn leads_to(dirs: &DirPair, source: &Stat, name: &CStr, old: &Stat) -> bool {
    source.kind() == Kind::Symlink
        && old.kind() != Kind::Symlink
        && file::stat_at_end(&dirs.source, name).is_ok_and(|end| end.identity() == old.identity())
}

/// What a symlink says; nothing for the others.
pub(super) fn link_text(dirs: &DirPair, source: &Stat, name: &CStr) -> Result<CString, Unfinished> {
    if source.kind() != Kind::Symlink {
        return Ok(CString::default());
    }
    let text = file::read_symlink(&dirs.source, name).map_err(Op::ReadSymlink.error())?;
    CString::new(text.into_vec()).map_err(|_| Op::Read.error()(Errno::EINVAL).into())
}

/// Removes what was begun. If that fails, the next run finds it incomplete and does it again.
pub(super) fn discard(dirs: &DirPair, name: &CStr) {
    if file::unlink(&dirs.target, name).is_err() {
        // The first failure is the one to tell; see above for why this one may be silent.
    }
}

pub(super) fn data_bytes(stat: &Stat) -> u64 {
    if stat.kind() == Kind::File { stat.size() } else { 0 }
}

pub(super) fn changed() -> Unfinished {
    Op::Changed.error()(Errno::ESTALE).into()
}
