//! The digests of files, for the manifest (a list of file hashes) and for `--verify`. A copier reports the
//! digest of a file as soon as the file is in the copy.

use super::{CopyVisitor, CopyWalk, Found};
use crate::copier::context::Context;
use crate::copier::entry::OpenFile;
use crate::copier::entry::ReadMeter;
use crate::copier::entry::copies_contents;
use crate::copier::entry::decide::seems_up_to_date;
use crate::copier::entry::result::{Applied, Unfinished};
use crate::copier::report_writer::ParentGone;
use crate::error::{EntryError, Op};
use crate::hash::{Algorithm, Digest};
use crate::ipc::wire::event::Event;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind};
use std::os::fd::AsFd;

impl Found<'_> {
    /// Reports the digest of the entry.
    pub(super) fn report_digest(
        self,
        walk: &mut CopyWalk<'_>,
        digest: Digest,
    ) -> Result<(), ParentGone> {
        walk.report_names(self.name, self.target_name, Event::Digest(digest), || ())
    }
}

impl<'a> CopyVisitor<'a> {
    /// Adds the digest of the entry to its result, if the entry is a file. If the file cannot be hashed, the
    /// result becomes a failure.
    pub(super) fn add_digest(
        &mut self,
        walk: &CopyWalk<'a>,
        found: Found<'_>,
        result: &mut Result<Applied, Unfinished>,
    ) {
        let Ok(applied) = result else { return };
        if applied.digest.is_some() {
            return;
        }
        match self.digest_of_existing(walk, found) {
            Ok(digest) => applied.digest = digest.map(Box::new),
            Err(unfinished) => *result = Err(unfinished),
        }
    }

    /// Returns the digest of a file that was not read when its entry was processed. Returns `None` if the
    /// digest is not needed, if the entry is not a file, or if the existing file is not up to date but stays
    /// because of the options.
    fn digest_of_existing(
        &mut self,
        walk: &CopyWalk<'a>,
        found: Found<'_>,
    ) -> Result<Option<Digest>, Unfinished> {
        let Found { dirs, name, target_name } = found;
        let known = walk.cx.job.digests.get(walk.at.operand, &walk.at.source_of(name.to_bytes()));
        if known.is_none() && walk.cx.plan().manifest.is_none() {
            return Ok(None); // `--verify` reads back only what this run has written
        }
        let source = dirs.stat_source(name).map_err(Op::Stat.error())?;
        if !copies_contents(&walk.cx, source.kind()) {
            return Ok(None);
        }
        let old = file::stat_at(&dirs.target, target_name).map_err(Op::ReadBack.error())?;
        let is_copy = old.kind() == Kind::File
            && seems_up_to_date(&walk.cx, &found.at(&walk.at), &source, &old)?;
        if !is_copy {
            return Ok(None);
        }
        if known.is_some() {
            return Ok(known); // an earlier round of this run has copied the file
        }
        let error = Op::ReadBack.error();
        let opened = file::open_noatime(&dirs.target, target_name).map_err(&error)?;
        let stat = file::stat_fd(&opened).map_err(&error)?;
        if stat.identity() != old.identity() {
            return Err(error(Errno::ESTALE).into());
        }
        let tally = ReadMeter::new(walk.cx.status, None);
        let (place, names) = (walk.at.as_path(), (name, target_name));
        let opened = OpenFile { place, names, file: opened.as_fd(), stat: &stat };
        let buffer = &mut self.entry_copier.buffer;
        opened.hash(walk.cx, wanted_algorithm(&walk.cx)?, tally, buffer).map(Some)
    }
}

/// Returns the algorithm of the digests that the options require.
pub(super) fn wanted_algorithm(cx: &Context<'_>) -> Result<Algorithm, EntryError> {
    cx.options().hash.ok_or_else(|| Op::ReadBack.error()(Errno::EINVAL))
}
