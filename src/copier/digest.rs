//! The digests of files, for the manifest and for who reads them back: told as soon as a file is known to
//! be in the copy.

use super::dir_pair::DirPair;
use super::entry::Tally;
use super::entry::chunks::Team;
use super::entry::decide::is_up_to_date;
use super::entry::result::{Applied, Unfinished};
use super::entry::{Entry, reads};
use super::report_writer::ParentGone;
use super::walk::Walker;
use crate::error::Op;
use crate::hash::{Algorithm, Digest, Hasher};
use crate::ipc::wire::event::Event;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

impl Walker<'_> {
    /// The result with the digest of the entry, if that is a file and its digest is wanted; a failure if
    /// it cannot be hashed.
    pub(super) fn with_digest(
        &mut self,
        dirs: &DirPair,
        name: &CStr,
        target_name: &CStr,
        result: Result<Applied, Unfinished>,
    ) -> Result<Applied, Unfinished> {
        let applied = result?;
        let is_known = applied.digest.is_some() || applied.lacking.is_some();
        if self.cx.options().hash.is_none() || is_known {
            return Ok(applied);
        }
        let digest = self.digest_of_existing(dirs, name, target_name)?;
        Ok(Applied { digest, ..applied })
    }

    /// Reports the digest of an entry that is in the copy.
    pub(super) fn report_digest(
        &mut self,
        name: &CStr,
        target_name: &CStr,
        applied: &Applied,
    ) -> Result<(), ParentGone> {
        match applied.digest {
            Some(digest) => self.report_name(name, target_name, Event::Digest(digest), || ()),
            None => Ok(()),
        }
    }

    /// The digest of an existing file that was not read; `None` if it is no file, or not what the source
    /// is (it stays because the user wants it to).
    fn digest_of_existing(
        &mut self,
        dirs: &DirPair,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Option<Digest>, Unfinished> {
        let known = self.cx.job.hashed.get(self.at.operand, &self.at.source_of(name.to_bytes()));
        if known.is_none() && self.cx.plan().manifest.is_none() {
            return Ok(None); // only what this run has written is read back
        }
        let source = dirs.stat_source(name).map_err(Op::Stat.error())?;
        if !reads(&self.cx, source.kind()) {
            return Ok(None);
        }
        let old = file::stat_at(&dirs.target, target_name).map_err(Op::ReadBack.error())?;
        let entry = Entry::new(&self.at, dirs, name, target_name);
        let is_copy = old.kind() == Kind::File && is_up_to_date(&self.cx, entry, &source, &old)?;
        if !is_copy {
            return Ok(None);
        }
        if known.is_some() {
            return Ok(known); // an earlier round of this run has made it
        }
        let error = Op::ReadBack.error();
        let opened = file::open_untouched(&dirs.target, target_name).map_err(&error)?;
        let stat = file::stat_fd(&opened).map_err(&error)?;
        if stat.identity() != old.identity() {
            return Err(error(Errno::ESTALE).into());
        }
        let tally = Tally::new(self.cx.status, None);
        self.hash_open(opened.as_fd(), &stat, (name, target_name), tally).map(Some)
    }

    /// The digest of a file in the target that was opened a moment ago, when it was `stat`.
    pub(super) fn hash_open(
        &mut self,
        file: BorrowedFd<'_>,
        stat: &Stat,
        names: (&CStr, &CStr),
        tally: Tally<'_>,
    ) -> Result<Digest, Unfinished> {
        let algorithm = self.cx.job.plan.options.hash.ok_or(Errno::EINVAL);
        let algorithm = algorithm.map_err(Op::ReadBack.error())?;
        let team = Team::to_hash(self.cx, self.at.as_path(), names, stat);
        hash_all((file, stat), algorithm, team, &mut self.entry_copier.buffer, tally)
    }
}

/// The digest of a file of a target that was opened a moment ago, when it was `stat`, read through `buffer`.
pub(super) fn hash_all(
    (file, stat): (BorrowedFd<'_>, &Stat),
    algorithm: Algorithm,
    team: Option<Team<'_>>,
    buffer: &mut [u8],
    mut tally: Tally<'_>,
) -> Result<Digest, Unfinished> {
    let together =
        team.and_then(|team| team.hash(file, stat.size(), buffer, |far| tally.up_to(far)));
    if let Some(digest) = together {
        return Ok(digest);
    }
    let (mut hash, mut far) = (Hasher::new(algorithm), 0);
    loop {
        if tally.status.is_abandoned() {
            return Err(Unfinished::Dropped);
        }
        match file::read(file, buffer).map_err(Op::ReadBack.error())? {
            0 => return Ok(hash.finalize()),
            read => {
                hash.update(&buffer[..read]);
                far += read as u64;
                tally.up_to(far);
            }
        }
    }
}
