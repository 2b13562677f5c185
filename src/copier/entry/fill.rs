//! Data, attributes, close: in this order, and each may fail the file.

use super::attributes::{DirDefaults, XattrNames};
use super::chunks::Team;
use super::data::{Steadiness, Transfer, Ways};
use super::meter::Meter;
use super::result::{Applied, Done, Unfinished, changed};
use super::target_file::TargetFile;
use super::{Entry, EntryCopier, HEAVY_BYTES};
use crate::copier::context::Context;
use crate::copier::dir_pair::DirPair;
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::Count;
use crate::ipc::memory::fs_caps::Pair;
use crate::ipc::wire::event::{Attempt, Details};
use crate::options::CopyMode;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Node, Stat};
use std::os::fd::{AsFd, OwnedFd};

/// The source file, open, as it was found.
pub(super) struct Source {
    pub(super) file: OwnedFd,
    pub(super) stat: Stat,
    /// The names of its extended attributes, once they were asked for.
    names: XattrNames,
}

impl Source {
    /// Opens the source of an entry; if it is of another kind than the listing said, it has changed.
    pub(super) fn open(cx: &Context<'_>, entry: &Entry<'_>) -> Result<Self, Unfinished> {
        let (dirs, name) = (entry.dirs, entry.name);
        let special = cx.options().copy_contents;
        let opened = if special {
            file::open_stream(&dirs.source, name, dirs.follow)
        } else {
            file::open_source(&dirs.source, name, dirs.follow)
        };
        let file = match opened {
            Ok(file) => file,
            Err(Errno::ELOOP) if !dirs.follow => return Err(changed()), // a symlink now
            Err(Errno::ENXIO) if !special => return Err(changed()),     // a socket now
            Err(errno) => return Err(Op::OpenSource.error()(errno).into()),
        };
        let stat = file::stat_fd(&file).map_err(Op::Stat.error())?;
        let is_kind = stat.kind() == Kind::File || special && stat.kind() == Kind::Special;
        if is_kind { Ok(Self { file, stat, names: XattrNames::default() }) } else { Err(changed()) }
    }

    /// Asks for the names of its extended attributes, if any are to be preserved.
    pub(super) fn list_attributes(&mut self, cx: &Context<'_>) -> Result<(), EntryError> {
        self.names = cx.attrs.look(Node::Open(self.file.as_fd()))?;
        Ok(())
    }

    /// The same, and returns the mode that a copy of it in `dirs` is created with.
    pub(super) fn birth_mode(
        &mut self,
        cx: &Context<'_>,
        dirs: &DirPair,
    ) -> Result<u32, EntryError> {
        self.list_attributes(cx)?;
        Ok(cx.attrs.birth_permissions(&self.stat, &self.names, dirs.traits.born))
    }
}

impl EntryCopier<'_> {
    /// Copies the bytes and the attributes, and closes the target.
    ///
    /// If the source changed twice while it was read (see [`Unfinished::keeps_what_was_read`]), the file
    /// keeps what was read, without the source's time, so that the next run copies it again.
    pub(super) fn fill(
        &mut self,
        entry: &Entry<'_>,
        source: &Source,
        target: TargetFile<'_>,
    ) -> Result<Applied, Unfinished> {
        let (cx, dirs) = (self.cx, entry.dirs);
        cx.outbox.begin();
        let born = dirs.traits.born;
        if cx.options().copy_mode == CopyMode::AttributesOnly {
            cx.status.add(Count::BytesSkipped, source.stat.size());
            let lacking = self.finish(entry, source, &source.stat, target, born)?;
            return Ok(Applied { lacking, ..Applied::plain(Done::Copied) });
        }
        let pair = Pair::of(source.stat.identity().0, target.device(dirs));
        let ways = Ways { plan: cx.plan(), fs_caps: cx.job.fs_caps, pair };
        let ends = (source.file.as_fd(), target.file());
        let mut transfer = Transfer::new(ends, ways, &mut self.buffer, Meter::new(cx.status));
        let result = if target.is_stream() || source.stat.kind() != Kind::File {
            transfer.digs &= !target.is_stream();
            transfer.copy_stream().map(|()| Steadiness::Steady)
        } else {
            if let Some(team) = Team::to_copy(cx, entry.at.as_path(), &source.stat, &target) {
                transfer.team = Some(team);
            }
            transfer.copy_steady(&source.stat)
        };
        let method = transfer.method;
        let heavy = source.stat.size() >= HEAVY_BYTES && method.reflink != Attempt::Yes;
        let digest = transfer.digest().map(Box::new);
        transfer.meter.end(source.stat.size());
        let again = match result? {
            Steadiness::Steady => None,
            Steadiness::SteadyAgain(stat) => Some(stat),
            Steadiness::Changing => {
                target.close()?;
                return Err(changed());
            }
        };
        let read = again.as_deref().unwrap_or(&source.stat);
        // If it changed and was read again, it was created with what may be old permission bits.
        let masked = born.masked || read.permissions() != source.stat.permissions();
        let lacking = self.finish(entry, source, read, target, DirDefaults { masked, ..born })?;
        let method = cx.options().debug().then_some(method);
        let details = Details { method, ..Details::default() };
        let done = Done::Copied;
        Ok(Applied { done, lacking, leads: None, details, digest, heavy })
    }

    /// Gives a file with all its bytes its attributes, those of `read`, and closes it; the attribute is
    /// returned that it could not be given.
    fn finish(
        &self,
        entry: &Entry<'_>,
        source: &Source,
        read: &Stat,
        target: TargetFile<'_>,
        born: DirDefaults,
    ) -> Result<Option<EntryError>, EntryError> {
        let (cx, from, names) = (&self.cx, source.file.as_fd(), &source.names);
        let lacking = match &target {
            TargetFile::New(to, _) => {
                let created = (to.as_fd(), entry.dirs.known_hands(cx.plan()));
                cx.attrs.finish_file(from, created, read, names, born)?
            }
            TargetFile::Old(to, old, _) => {
                cx.attrs.finish_old(from, to.as_fd(), read, names, old)?
            }
        };
        // What is staged is written out all at once, before it is published.
        if cx.options().fsync && !entry.dirs.staged {
            file::sync(target.file()).map_err(Op::Sync.error())?;
        }
        target.close()?;
        Ok(lacking)
    }
}
