//! Data, attributes, close: in this order, and each may fail the file.

use super::attributes::{DirDefaults, XattrNames};
use super::chunks::Team;
use super::data::{Transfer, Ways};
use super::meter::Meter;
use super::result::{Applied, Done, Unfinished, changed};
use super::target_file::TargetFile;
use super::{Entry, EntryCopier, HEAVY_BYTES};
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::Count;
use crate::ipc::memory::fs_caps::Pair;
use crate::ipc::wire::event::{Attempt, Details};
use crate::options::CopyMode;
use pcopy_sys::file::{self, Kind, Stat};
use std::os::fd::{AsFd, OwnedFd};

/// The source file, open, as it was found.
pub(super) struct Source {
    pub(super) from: OwnedFd,
    pub(super) stat: Stat,
    /// The names of its extended attributes.
    pub(super) names: XattrNames,
}

/// How a file was filled.
pub(super) enum Filled {
    /// It is what the source is.
    Whole(Applied),
    /// The source changed twice while it was read. The file keeps what was read, without the source's
    /// time, so that the next run copies it again.
    Changed,
}

impl Filled {
    pub(super) fn into_applied(self) -> Result<Applied, Unfinished> {
        match self {
            Filled::Whole(applied) => Ok(applied),
            Filled::Changed => Err(changed()),
        }
    }
}

impl EntryCopier<'_> {
    /// Copies the bytes and the attributes, and closes the target.
    pub(super) fn fill(
        &mut self,
        entry: Entry<'_>,
        source: Source,
        target: TargetFile<'_>,
    ) -> Result<Filled, Unfinished> {
        let (cx, dirs) = (self.cx, entry.dirs);
        cx.outbox.begin();
        let born = dirs.traits.born;
        if cx.options().copy_mode == CopyMode::AttributesOnly {
            cx.status.add(Count::BytesSpared, source.stat.size());
            let lacking = self.finish(entry, &source, &source.stat, target, born)?;
            return Ok(Filled::Whole(Applied { lacking, ..Applied::plain(Done::Copied) }));
        }
        let pair = Pair::of(source.stat.identity().0, target.device(dirs));
        let ways = Ways { plan: cx.plan(), fs_caps: cx.job.fs_caps, pair };
        let ends = (source.from.as_fd(), target.file());
        let team = Team::to_copy(cx, entry.at, &source.stat, &target);
        let mut transfer = Transfer::new(ends, ways, &mut self.buffer, Meter::new(cx.status));
        let result = if target.is_stream() || source.stat.kind() != Kind::File {
            transfer.digs &= !target.is_stream();
            transfer.copy_stream().map(|()| Some(source.stat))
        } else {
            transfer.team = team;
            transfer.copy_steady(&source.stat)
        };
        let method = transfer.method;
        let heavy = source.stat.size() >= HEAVY_BYTES && method.reflink != Attempt::Yes;
        let digest = transfer.digest();
        transfer.meter.end(source.stat.size());
        let Some(read) = result? else {
            target.close()?;
            return Ok(Filled::Changed);
        };
        // If it changed and was read again, it was created with what may be old permission bits.
        let masked = born.masked || read.permissions() != source.stat.permissions();
        let lacking = self.finish(entry, &source, &read, target, DirDefaults { masked, ..born })?;
        let method = cx.options().debug.then_some(method);
        let details = Details { method, ..Details::default() };
        let done = Done::Copied;
        Ok(Filled::Whole(Applied { done, lacking, leads: None, details, digest, heavy }))
    }

    /// Gives a file with all its bytes its attributes, those of `read`, and closes it; the attribute is
    /// returned that it could not be given.
    fn finish(
        &self,
        entry: Entry<'_>,
        source: &Source,
        read: &Stat,
        target: TargetFile<'_>,
        born: DirDefaults,
    ) -> Result<Option<EntryError>, EntryError> {
        let (cx, from, names) = (&self.cx, source.from.as_fd(), &source.names);
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
