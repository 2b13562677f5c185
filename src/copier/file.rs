//! One entry that is not a directory, from start to commit.
//!
//! Where nobody looks yet (in a staged directory), it is made under its own name; a name that an
//! earlier run left there is kept if complete and made anew if not. In a directory that others may
//! be reading, it is made under a staged name and renamed over the old one, so that they see the
//! old one or the new one, whole.

use super::Job;
use super::attrs::{self, Attrs, Born, Names};
use super::backup::Numbers;
use super::clean::{self, remove_leftover, still_named};
use super::data::{self, BUFFER_BYTES, Transfer, Unfinished, Ways};
use super::dirs::{Dirs, free_staged_name};
use super::meter::Meter;
use crate::ipc::abilities::Pair;
use crate::ipc::counters::{Count, Desk};
use crate::ipc::firsts::Firsts;
use crate::ipc::outbox::Outbox;
use crate::ipc::report::{Fault, Step};
use crate::options::{Control, Update, Way};
use crate::staging::staged_name;
use crate::sys::Errno;
use crate::sys::file::{self, Identity, Kind, Node, Stat};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

/// How an entry ended well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Copied,
    Linked,
    Skipped,
}

/// Copies files, symlinks and special files; owns the buffer.
pub(super) struct Files<'a> {
    job: Job<'a>,
    numbers: Numbers,
    desk: Desk<'a>,
    pub(super) outbox: Outbox<'a>,
    pub(super) attrs: Attrs,
    /// Where copiers agree on which name of a file is copied; nothing where each is on its own.
    firsts: Option<&'a Firsts>,
    /// The inode of the entry that was just looked at, if it has several names.
    pub(super) linked: Option<Identity>,
    buffer: Vec<u8>,
}

impl<'a> Files<'a> {
    pub(super) fn new(job: Job<'a>, desk: Desk<'a>, outbox: Outbox<'a>, attrs: Attrs) -> Self {
        Self {
            job,
            numbers: Numbers::default(),
            desk,
            outbox,
            attrs,
            firsts: job.firsts,
            linked: None,
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Copies `name` of `dirs.source` to `target_name` in `dirs.target`.
    pub(super) fn copy(
        &mut self,
        dirs: &Dirs,
        kind: Kind,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        self.linked = None;
        if dirs.staged && kind == Kind::File {
            return self.staged_file(dirs, name, target_name);
        }
        let source = dirs.stat_source(name).map_err(Step::Stat.fault())?;
        if source.kind() != kind {
            return Err(changed());
        }
        self.come_first(&source)?;
        if dirs.staged {
            self.staged_other(dirs, &source, name, target_name)
        } else {
            self.replace(dirs, &source, name, target_name)
        }
    }

    /// The common case, in the fewest calls: open, stat, create, read, write, times, two closes.
    fn staged_file(
        &mut self,
        dirs: &Dirs,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        let (from, source) = open_source(dirs, name)?;
        self.come_first(&source)?;
        let names = self.attrs.look(Node::Open(from.as_fd()))?;
        let bits = self.attrs.birth_permissions(&source, &names, dirs.born());
        let Some(to) = self.make(dirs, &source, name, target_name, |name| {
            file::create_file(&dirs.target, name, bits)
        })?
        else {
            self.desk.add(Count::BytesSpared, source.size());
            return Ok(Done::Skipped);
        };
        let filled = self.fill(dirs, from, &source, &names, to);
        filled.inspect_err(|_| discard(dirs, target_name))?.into_done()
    }

    /// Notes a file that has several names; goes on with the one that comes first, in the round.
    fn come_first(&mut self, source: &Stat) -> Result<(), Unfinished> {
        let Some(firsts) = self.firsts.filter(|_| source.links() > 1) else { return Ok(()) };
        self.linked = Some(source.identity());
        if firsts.is_first(source.identity()) { Ok(()) } else { Err(Unfinished::Deferred) }
    }

    /// Removes what an earlier round or run has left half done of an entry that has failed.
    pub(super) fn give_up(&self, dirs: &Dirs, name: &CStr, target_name: &CStr) {
        if !dirs.staged {
            let staged = staged_name_for(dirs, target_name);
            if remove_leftover(dirs.target.as_fd(), &staged, dirs.contended).is_err() {
                // There is none, or another run is building it.
            }
            return;
        }
        let source = dirs.stat_source(name);
        let target = file::stat_at(&dirs.target, target_name);
        let complete = source.is_ok_and(|source| {
            let same = |target| self.is_same(dirs, &source, &target, name, target_name);
            target.is_ok_and(|target| same(target).unwrap_or(false))
        });
        if !complete {
            discard(dirs, target_name);
        }
    }

    fn staged_other(
        &self,
        dirs: &Dirs,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        let text = link_text(dirs, source, name)?;
        let made = self.make(dirs, source, name, target_name, |name| {
            self.make_other(dirs, source, &text, name)
        })?;
        if made.is_none() {
            return Ok(Done::Skipped);
        }
        self.finish_other(dirs, source, name, target_name)?.into_done()
    }

    fn finish_other(
        &self,
        dirs: &Dirs,
        source: &Stat,
        name: &CStr,
        made: &CStr,
    ) -> Result<Filled, Fault> {
        self.outbox.begin();
        let from = Node::Named(dirs.source.as_fd(), name);
        let finished =
            self.attrs.finish_other(from, (dirs.target.as_fd(), made), source, dirs.masked);
        finished.inspect_err(|_| discard(dirs, made)).map(Filled::Whole)
    }

    fn make_other(
        &self,
        dirs: &Dirs,
        source: &Stat,
        text: &CStr,
        name: &CStr,
    ) -> Result<(), Errno> {
        if source.kind() == Kind::Symlink {
            return file::make_symlink(text, &dirs.target, name);
        }
        let bits = self.attrs.node_permissions(source, dirs.masked);
        file::make_node(&dirs.target, name, source, bits)
    }

    /// In a directory that stood there before: beside the old one, then over it.
    fn replace(
        &mut self,
        dirs: &Dirs,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        let old = match file::stat_at(&dirs.target, target_name) {
            Ok(old) => Some(old),
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(Step::Create.fault()(errno).into()),
        };
        // As with cp, these wishes come before a look at what stands there.
        if let Some(old) = &old
            && self.is_wanted_as_it_is(source, old)?
        {
            self.linked = None; // it need not be what the other names of the file are to be
            self.desk.add(Count::BytesSpared, data_bytes(source));
            return Ok(Done::Skipped);
        }
        if let Some(old) = &old
            && self.stays(dirs, source, old, name, target_name)?
        {
            self.desk.add(Count::BytesSpared, data_bytes(source));
            return Ok(Done::Skipped);
        }
        let staged = staged_name_for(dirs, target_name);
        let (filled, guard) = self.build(dirs, source, name, &staged)?;
        let target = dirs.target.as_fd();
        if guard.as_ref().is_some_and(|ours| !still_named(target, &staged, ours.as_fd())) {
            return Err(Step::Publish.fault()(Errno::EBUSY).into());
        }
        self.publish_over(dirs, source, old.as_ref(), &staged, target_name)?;
        filled.into_done()
    }

    /// Whether what stands in the target is to stay there; an error if that is a failure.
    fn stays(
        &self,
        dirs: &Dirs,
        source: &Stat,
        old: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<bool, Unfinished> {
        if old.kind() == Kind::Directory {
            return Err(Step::Create.fault()(Errno::EISDIR).into());
        }
        self.check_again(dirs)?;
        if leads_to(dirs, source, name, old) {
            return Err(Step::SameFile.fault()(Errno::EEXIST).into());
        }
        let makes_room = self.job.plan.backup.is_some() || self.job.plan.remove_destination;
        let keeps_contents = self.job.plan.way == Way::AttributesOnly && !makes_room;
        if keeps_contents && source.type_bits() == old.type_bits() {
            self.mend(dirs, source, old, name, target_name)?;
            self.attrs.set_times_of((dirs.target.as_fd(), target_name), source)?;
            return Ok(true);
        }
        if self.job.plan.update == Update::All {
            if old.identity() == source.identity() {
                return Err(Step::SameFile.fault()(Errno::EEXIST).into());
            }
            return Ok(false);
        }
        if !self.is_same(dirs, source, old, name, target_name)? {
            return Ok(false);
        }
        self.mend(dirs, source, old, name, target_name)?;
        Ok(true)
    }

    /// Refuses to replace what this run has made of another source with the same name.
    pub(super) fn check_again(&self, dirs: &Dirs) -> Result<(), Fault> {
        let backup = self.job.plan.backup.as_ref();
        let numbered = backup.is_some_and(|backup| backup.control == Control::Numbered);
        let refused = Step::JustCreated.fault()(Errno::EEXIST);
        if dirs.again && !numbered { Err(refused) } else { Ok(()) }
    }

    /// Whether the user wants what stands in the target to stay, whatever it is.
    pub(super) fn is_wanted_as_it_is(&self, source: &Stat, old: &Stat) -> Result<bool, Fault> {
        match self.job.plan.update {
            Update::Older => Ok(!source.is_newer_than(old)),
            Update::None => Ok(true),
            Update::NoneFail => Err(Step::NotReplaced.fault()(Errno::EEXIST)),
            Update::Different | Update::All => Ok(false),
        }
    }

    /// Whether a link may take the place of a file. As with cp, symlinks and special files that are
    /// not followed may without a wish.
    pub(super) fn may_replace_for_link(&self, dirs: &Dirs, source: &Stat) -> bool {
        let other = !dirs.follow && source.kind() != Kind::File;
        other || self.job.plan.force || self.job.plan.backup.is_some()
    }

    /// Gives what is staged its final name, over the old entry, which is kept if the user wants that.
    pub(super) fn publish_over(
        &mut self,
        dirs: &Dirs,
        source: &Stat,
        old: Option<&Stat>,
        staged: &CStr,
        name: &CStr,
    ) -> Result<(), Fault> {
        let kept = match (&self.job.plan.backup, old) {
            (Some(backup), Some(_)) if !dirs.staged => {
                self.numbers.keep(backup, dirs, source, name)
            }
            _ => Ok(None), // what an interrupted run has staged is nothing to be kept
        };
        let moved = kept.inspect_err(|_| discard(dirs, staged))?;
        let published = file::replace(&dirs.target, staged, name).map_err(Step::Publish.fault());
        if published.is_err() {
            discard(dirs, staged);
            let back = moved.map(|moved| file::rename_new(dirs.target.as_fd(), &moved, name));
            if back.is_some_and(|back| back.is_err()) {
                // Then it has the name of its backup, and the failure that is told names the entry.
            }
        }
        published
    }

    /// Builds an entry under its staged name. Where other runs may be about, the file comes back
    /// open, because its lock must last until it has its final name.
    fn build(
        &mut self,
        dirs: &Dirs,
        source: &Stat,
        name: &CStr,
        staged: &CStr,
    ) -> Result<(Filled, Option<OwnedFd>), Unfinished> {
        if source.kind() != Kind::File {
            let text = link_text(dirs, source, name)?;
            make_fresh(dirs, staged, |name| self.make_other(dirs, source, &text, name))?;
            return Ok((self.finish_other(dirs, source, name, staged)?, None));
        }
        let (from, source) = open_source(dirs, name)?;
        let names = self.attrs.look(Node::Open(from.as_fd()))?;
        let bits = self.attrs.birth_permissions(&source, &names, dirs.born());
        let to = make_fresh(dirs, staged, |name| file::create_file(&dirs.target, name, bits))?;
        if dirs.contended && !is_ours(&to) {
            return Err(Step::Create.fault()(Errno::EBUSY).into());
        }
        let guard = if dirs.contended { to.try_clone().ok() } else { None };
        let filled = self.fill(dirs, from, &source, &names, to);
        Ok((filled.inspect_err(|_| discard(dirs, staged))?, guard))
    }

    /// Data, attributes, close: in this order, and each may fail the file.
    ///
    /// A source that changed twice while it was read keeps what was read of it, without its time,
    /// so that the next run copies it again.
    fn fill(
        &mut self,
        dirs: &Dirs,
        from: OwnedFd,
        source: &Stat,
        names: &Names,
        to: OwnedFd,
    ) -> Result<Filled, Unfinished> {
        self.outbox.begin();
        if self.job.plan.way == Way::AttributesOnly {
            self.desk.add(Count::BytesSpared, source.size());
            return self.finish_file(&from, source, names, to, dirs.born());
        }
        let pair = Pair::of(source.identity().0, dirs.device);
        let ways = Ways { plan: self.job.plan, abilities: self.job.abilities, pair };
        let ends = (from.as_fd(), to.as_fd());
        let mut transfer = Transfer::new(ends, ways, &mut self.buffer, Meter::new(self.desk));
        let result = transfer.copy_steady(source);
        transfer.meter.end(source.size());
        let Some(read) = result? else {
            file::close(to).map_err(Step::Close.fault())?;
            return Ok(Filled::Changed);
        };
        // If it changed and was read again, the bits it was born with may be old ones.
        let masked = dirs.masked || read.permissions() != source.permissions();
        self.finish_file(&from, &read, names, to, Born { masked, ..dirs.born() })
    }

    fn finish_file(
        &self,
        from: &OwnedFd,
        source: &Stat,
        names: &Names,
        to: OwnedFd,
        born: Born,
    ) -> Result<Filled, Unfinished> {
        let (from, open) = (from.as_fd(), to.as_fd());
        let lacking = self.attrs.finish_file(from, open, source, names, born)?;
        file::close(to).map_err(Step::Close.fault())?;
        Ok(Filled::Whole(lacking))
    }

    /// Makes a name in a staged directory; `None` if an earlier run has made it and it is complete.
    fn make<T>(
        &self,
        dirs: &Dirs,
        source: &Stat,
        source_name: &CStr,
        name: &CStr,
        mut create: impl FnMut(&CStr) -> Result<T, Errno>,
    ) -> Result<Option<T>, Unfinished> {
        match create(name) {
            Ok(made) => return Ok(Some(made)),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(Step::Create.fault()(errno).into()),
        }
        let old = file::stat_at(&dirs.target, name).map_err(Step::Create.fault())?;
        // What `-l` has left of an interrupted run is the source itself, and no copy of it.
        let is_copy = old.identity() != source.identity();
        if is_copy && self.is_same(dirs, source, &old, source_name, name)? {
            self.mend(dirs, source, &old, source_name, name)?;
            return Ok(None);
        }
        if !dirs.existed {
            // Nobody has been here before us: two names of the source are one in the target, as 'A' and
            // 'a' are where case is ignored. What was made under the other one must stay.
            return Err(Step::Create.fault()(Errno::EEXIST).into());
        }
        clean::remove(dirs.target.as_fd(), old.kind(), name).map_err(Step::Create.fault())?;
        Ok(Some(create(name).map_err(Step::Create.fault())?))
    }

    /// Sets right what a complete entry lacks.
    fn mend(
        &self,
        dirs: &Dirs,
        source: &Stat,
        old: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<(), Fault> {
        let to = (dirs.target.as_fd(), target_name);
        if dirs.follow && source.kind() == Kind::File {
            // By its name it would be the symlink that leads to it.
            let from =
                file::open_source(&dirs.source, name, true).map_err(Step::OpenSource.fault())?;
            return self.attrs.mend(Node::Open(from.as_fd()), to, source, old);
        }
        self.attrs.mend(Node::Named(dirs.source.as_fd(), name), to, source, old)
    }

    /// Whether the target has all that the source has. A symlink must also say the same, and where
    /// times are not kept the contents must be the same.
    fn is_same(
        &self,
        dirs: &Dirs,
        source: &Stat,
        old: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<bool, Unfinished> {
        let times_tell = self.attrs.times_tell();
        if !attrs::looks_complete(source, old, times_tell) {
            return Ok(false);
        }
        match source.kind() {
            Kind::Symlink => {
                let text = file::read_symlink(&dirs.source, name).map_err(Step::Read.fault())?;
                Ok(file::read_symlink(&dirs.target, target_name).is_ok_and(|old| old == text))
            }
            Kind::File if !times_tell => {
                let (from, _) = open_source(dirs, name)?;
                // One that cannot be read is made anew.
                let Ok(to) = file::open_source(&dirs.target, target_name, false) else {
                    return Ok(false);
                };
                Ok(data::same(from.as_fd(), to.as_fd())?)
            }
            _ => Ok(true),
        }
    }
}

/// How a new entry was filled.
enum Filled {
    /// As the source is, perhaps but for something that leaves it whole.
    Whole(Option<Fault>),
    /// The source did not stay as it was while it was read.
    Changed,
}

impl Filled {
    fn into_done(self) -> Result<Done, Unfinished> {
        match self {
            Filled::Whole(None) => Ok(Done::Copied),
            Filled::Whole(Some(lacking)) => Err(lacking.into()),
            Filled::Changed => Err(changed()),
        }
    }
}

/// Opens the source and looks at it; another kind of thing than the listing said is a change.
fn open_source(dirs: &Dirs, name: &CStr) -> Result<(OwnedFd, Stat), Unfinished> {
    let from = match file::open_source(&dirs.source, name, dirs.follow) {
        Ok(from) => from,
        Err(Errno::ELOOP | Errno::ENXIO) => return Err(changed()), // a symlink or a socket now
        Err(errno) => return Err(Step::OpenSource.fault()(errno).into()),
    };
    let source = file::stat_fd(&from).map_err(Step::Stat.fault())?;
    if source.kind() == Kind::File { Ok((from, source)) } else { Err(changed()) }
}

/// Makes a staged name; what a killed run left under it goes first.
pub(super) fn make_fresh<T>(
    dirs: &Dirs,
    staged: &CStr,
    mut create: impl FnMut(&CStr) -> Result<T, Errno>,
) -> Result<T, Unfinished> {
    match create(staged) {
        Err(Errno::EEXIST) => {
            remove_leftover(dirs.target.as_fd(), staged, dirs.contended)
                .map_err(Step::Create.fault())?;
            Ok(create(staged).map_err(Step::Create.fault())?)
        }
        result => Ok(result.map_err(Step::Create.fault())?),
    }
}

/// The name under which `name` is built where others look.
pub(super) fn staged_name_for(dirs: &Dirs, name: &CStr) -> CString {
    if dirs.contended {
        staged_name(name, 0) // what else is beside the source does not come along
    } else {
        free_staged_name(dirs, name).1
    }
}

/// Whether a staged file is ours to build, when two runs may meet on one name.
///
/// Whoever has its lock builds it; without that, one could rename what the other has half written.
/// Before we had the lock, the other may have taken the file for a leftover and removed its name.
fn is_ours(to: &OwnedFd) -> bool {
    let locked = file::lock(to.as_fd(), file::Lock::Exclusive) != Err(Errno::EAGAIN);
    locked && file::stat_fd(to).is_ok_and(|stat| stat.links() > 0)
}

/// Whether the source is a symlink to the very thing that it would replace, and then to itself.
pub(super) fn leads_to(dirs: &Dirs, source: &Stat, name: &CStr, old: &Stat) -> bool {
    source.kind() == Kind::Symlink
        && old.kind() != Kind::Symlink
        && file::stat_at_end(&dirs.source, name).is_ok_and(|end| end.identity() == old.identity())
}

/// What a symlink says; nothing for the others.
fn link_text(dirs: &Dirs, source: &Stat, name: &CStr) -> Result<CString, Unfinished> {
    if source.kind() != Kind::Symlink {
        return Ok(CString::default());
    }
    let text = file::read_symlink(&dirs.source, name).map_err(Step::Read.fault())?;
    CString::new(text.into_vec()).map_err(|_| Step::Read.fault()(Errno::EINVAL).into())
}

/// Removes what was begun. If that fails, the next run finds it incomplete and does it again.
pub(super) fn discard(dirs: &Dirs, name: &CStr) {
    if file::unlink(&dirs.target, name).is_err() {
        // The first failure is the one to tell; see above for why this one may be silent.
    }
}

pub(super) fn data_bytes(stat: &Stat) -> u64 {
    if stat.kind() == Kind::File { stat.size() } else { 0 }
}

pub(super) fn changed() -> Unfinished {
    Step::Changed.fault()(Errno::ESTALE).into()
}
