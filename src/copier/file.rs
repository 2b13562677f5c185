//! One entry that is not a directory, from start to commit.
//!
//! Where nobody looks yet (in a staged directory), it is made under its own name; a name that an
//! earlier run left there is kept if complete and made anew if not. In a directory that others may
//! be reading, it is made under a staged name and renamed over the old one, so that they see the
//! old one or the new one, whole.

use super::attrs;
use super::clean::{self, remove_leftover, still_named};
use super::data::{self, BUFFER_BYTES, Unfinished};
use super::dirs::{Dirs, free_staged_name};
use crate::ipc::counters::{Count, Desk};
use crate::ipc::firsts::Firsts;
use crate::ipc::outbox::Outbox;
use crate::ipc::report::Step;
use crate::staging::staged_name;
use crate::sys::Errno;
use crate::sys::file::{self, Identity, Kind, Stat};
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
    desk: Desk<'a>,
    outbox: Outbox<'a>,
    /// Where copiers agree on which name of a file is copied; nothing where each is on its own.
    firsts: Option<&'a Firsts>,
    /// The inode of the entry that was just looked at, if it has several names.
    pub(super) linked: Option<Identity>,
    buffer: Vec<u8>,
}

impl<'a> Files<'a> {
    pub(super) fn new(desk: Desk<'a>, outbox: Outbox<'a>, firsts: Option<&'a Firsts>) -> Self {
        Self { desk, outbox, firsts, linked: None, buffer: vec![0; BUFFER_BYTES] }
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
        let source = file::stat_at(&dirs.source, name).map_err(Step::Stat.fault())?;
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
        let Some(to) = make(dirs, target_name, &source, |name| {
            file::create_file(&dirs.target, name, attrs::birth_permissions(&source))
        })?
        else {
            self.desk.add(Count::BytesSpared, source.size());
            return Ok(Done::Skipped);
        };
        match self.fill(dirs, from, &source, to).inspect_err(|_| discard(dirs, target_name))? {
            Read::Steady => Ok(Done::Copied),
            Read::Changed => Err(changed()),
        }
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
        let source = file::stat_at(&dirs.source, name);
        let target = file::stat_at(&dirs.target, target_name);
        let complete = source
            .is_ok_and(|source| target.is_ok_and(|target| attrs::is_complete(&source, &target)));
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
        let made = make(dirs, target_name, source, |name| make_other(dirs, source, &text, name))?;
        if made.is_none() {
            return Ok(Done::Skipped);
        }
        self.outbox.begin();
        attrs::finish_at(&dirs.target, target_name, source, dirs.masked)
            .inspect_err(|_| discard(dirs, target_name))?;
        Ok(Done::Copied)
    }

    /// In a directory that stood there before: beside the old one, then over it.
    fn replace(
        &mut self,
        dirs: &Dirs,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        match file::stat_at(&dirs.target, target_name) {
            Ok(old) if old.kind() == Kind::Directory => {
                return Err(Step::Create.fault()(Errno::EISDIR).into());
            }
            Ok(old) if leads_to(dirs, source, name, &old) => {
                return Err(Step::SameFile.fault()(Errno::EEXIST).into());
            }
            Ok(old) if is_same(dirs, source, &old, name, target_name)? => {
                attrs::mend_permissions(&dirs.target, target_name, source, &old)?;
                self.desk.add(Count::BytesSpared, data_bytes(source));
                return Ok(Done::Skipped);
            }
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(Step::Create.fault()(errno).into()),
        }
        let staged = staged_name_for(dirs, target_name);
        let (read, guard) = self.build(dirs, source, name, &staged)?;
        let target = dirs.target.as_fd();
        if guard.as_ref().is_some_and(|ours| !still_named(target, &staged, ours.as_fd())) {
            return Err(Step::Publish.fault()(Errno::EBUSY).into());
        }
        file::replace(&dirs.target, &staged, target_name)
            .map_err(Step::Publish.fault())
            .inspect_err(|_| discard(dirs, &staged))?;
        match read {
            Read::Steady => Ok(Done::Copied),
            Read::Changed => Err(changed()),
        }
    }

    /// Builds an entry under its staged name. Where other runs may be about, the file comes back
    /// open, because its lock must last until it has its final name.
    fn build(
        &mut self,
        dirs: &Dirs,
        source: &Stat,
        name: &CStr,
        staged: &CStr,
    ) -> Result<(Read, Option<OwnedFd>), Unfinished> {
        if source.kind() != Kind::File {
            let text = link_text(dirs, source, name)?;
            make_fresh(dirs, staged, |name| make_other(dirs, source, &text, name))?;
            self.outbox.begin();
            attrs::finish_at(&dirs.target, staged, source, dirs.masked)
                .inspect_err(|_| discard(dirs, staged))?;
            return Ok((Read::Steady, None));
        }
        let (from, source) = open_source(dirs, name)?;
        let to = make_fresh(dirs, staged, |name| {
            file::create_file(&dirs.target, name, attrs::birth_permissions(&source))
        })?;
        if dirs.contended && !is_ours(&to) {
            return Err(Step::Create.fault()(Errno::EBUSY).into());
        }
        let guard = if dirs.contended { to.try_clone().ok() } else { None };
        let read = self.fill(dirs, from, &source, to).inspect_err(|_| discard(dirs, staged))?;
        Ok((read, guard))
    }

    /// Data, times, bits, close: in this order, and each may fail the file.
    ///
    /// A source that changed while it was read keeps what was read of it, without its time, so
    /// that the next run copies it again.
    fn fill(
        &mut self,
        dirs: &Dirs,
        from: OwnedFd,
        source: &Stat,
        to: OwnedFd,
    ) -> Result<Read, Unfinished> {
        self.outbox.begin();
        let desk = self.desk;
        let (mut copied, mut pieces) = (0, 0);
        let result =
            data::copy(from.as_fd(), to.as_fd(), source.size(), &mut self.buffer, |bytes| {
                desk.add(Count::Bytes, bytes);
                copied += bytes;
                pieces += 1;
                if desk.is_abandoned() { Err(Unfinished::Dropped) } else { Ok(()) }
            });
        desk.add(Count::BytesSpared, source.size().saturating_sub(copied));
        result?;
        // What was read in one call was read at one moment; a small file pays nothing here.
        let doubtful = pieces > 1 || copied < source.size();
        let read =
            if doubtful && has_changed(&from, source) { Read::Changed } else { Read::Steady };
        if read == Read::Steady {
            attrs::finish_file(to.as_fd(), source, dirs.masked)?;
        }
        file::close(to).map_err(Step::Close.fault())?;
        Ok(read)
    }
}

/// Whether the source stayed as it was while it was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    Steady,
    Changed,
}

/// Opens the source and looks at it; another kind of thing than the listing said is a change.
fn open_source(dirs: &Dirs, name: &CStr) -> Result<(OwnedFd, Stat), Unfinished> {
    let from = match file::open_source(&dirs.source, name) {
        Ok(from) => from,
        Err(Errno::ELOOP | Errno::ENXIO) => return Err(changed()), // a symlink or a socket now
        Err(errno) => return Err(Step::OpenSource.fault()(errno).into()),
    };
    let source = file::stat_fd(&from).map_err(Step::Stat.fault())?;
    if source.kind() == Kind::File { Ok((from, source)) } else { Err(changed()) }
}

/// Makes a name in a staged directory; `None` if an earlier run has made it and it is complete.
fn make<T>(
    dirs: &Dirs,
    name: &CStr,
    source: &Stat,
    mut create: impl FnMut(&CStr) -> Result<T, Errno>,
) -> Result<Option<T>, Unfinished> {
    match create(name) {
        Ok(made) => return Ok(Some(made)),
        Err(Errno::EEXIST) => {}
        Err(errno) => return Err(Step::Create.fault()(errno).into()),
    }
    let old = file::stat_at(&dirs.target, name).map_err(Step::Create.fault())?;
    if is_same(dirs, source, &old, name, name)? {
        attrs::mend_permissions(&dirs.target, name, source, &old)?;
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

/// Makes a staged name; what a killed run left under it goes first.
fn make_fresh<T>(
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

/// Whether the target has all that the source has; a symlink must also say the same.
fn is_same(
    dirs: &Dirs,
    source: &Stat,
    old: &Stat,
    name: &CStr,
    target_name: &CStr,
) -> Result<bool, Unfinished> {
    if !attrs::is_complete(source, old) {
        return Ok(false);
    }
    if source.kind() != Kind::Symlink {
        return Ok(true);
    }
    let text = file::read_symlink(&dirs.source, name).map_err(Step::Read.fault())?;
    Ok(file::read_symlink(&dirs.target, target_name).is_ok_and(|old| old == text))
}

fn make_other(dirs: &Dirs, source: &Stat, text: &CStr, name: &CStr) -> Result<(), Errno> {
    if source.kind() == Kind::Symlink {
        file::make_symlink(text, &dirs.target, name)
    } else {
        file::make_node(&dirs.target, name, source)
    }
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

/// Files in /sys claim more bytes than they have, so it is not the number of bytes that tells.
fn has_changed(from: &OwnedFd, before: &Stat) -> bool {
    let same = |now: Stat| now.size() == before.size() && now.modified() == before.modified();
    !file::stat_fd(from).is_ok_and(same)
}

pub(super) fn data_bytes(stat: &Stat) -> u64 {
    if stat.kind() == Kind::File { stat.size() } else { 0 }
}

pub(super) fn changed() -> Unfinished {
    Step::Changed.fault()(Errno::ESTALE).into()
}
