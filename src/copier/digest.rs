//! The digests of files, for the manifest and for who reads them back: told as soon as a file is known to
//! be in the copy.

use super::chunks::Team;
use super::data::Unfinished;
use super::dir_pair::{DirPair, push_component};
use super::file::Done;
use super::meter::Tally;
use super::report_writer::ParentGone;
use super::walk::Walker;
use crate::error::Op;
use crate::hash::{Algorithm, Digest, Hasher};
use crate::ipc::wire::event::Event;
use crate::ipc::wire::task::EntryPath;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

impl Walker<'_> {
    /// Tells the digest of an entry that is in the copy, if it is a file and that is wanted;
    /// gives back what became of the entry, which is a failure if it cannot be hashed.
    pub(super) fn report_digest(
        &mut self,
        dirs: &DirPair,
        name: &CStr,
        target_name: &CStr,
        result: Result<Done, Unfinished>,
    ) -> Result<Result<Done, Unfinished>, ParentGone> {
        if self.job.plan.options.hash.is_none() {
            return Ok(result);
        }
        let digest = match (&result, self.files.digest) {
            (Ok(_), Some(digest)) => Some(digest),
            (Err(Unfinished::Failed(error)), digest) if error.op.leaves_it_whole() => digest,
            (Err(_), _) => None,
            (Ok(_), None) => match self.digest_of_standing(dirs, name, target_name) {
                Ok(digest) => digest,
                Err(unfinished) => return Ok(Err(unfinished)),
            },
        };
        self.files.digest = digest; // other names of the file want it, too
        if let Some(digest) = digest {
            self.report_name(name, target_name, Event::Hashed(digest), || ())?;
        }
        Ok(result)
    }

    /// The digest of what stands in the target and was not read; `None` if that is no file, or not
    /// what the source is (it stays there because the user wants it to).
    fn digest_of_standing(
        &mut self,
        dirs: &DirPair,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Option<Digest>, Unfinished> {
        let mut path = self.source.clone();
        push_component(&mut path, name.to_bytes());
        let known = self.job.hashed.get(self.operand, &path);
        if known.is_none() && self.job.plan.manifest.is_none() {
            return Ok(None); // only what this run has written is read back
        }
        let source = dirs.stat_source(name).map_err(Op::Stat.error())?;
        if !self.files.reads(&source) {
            return Ok(None);
        }
        let old = file::stat_at(&dirs.target, target_name).map_err(Op::ReadBack.error())?;
        let is_copy = old.kind() == Kind::File
            && self.files.is_same(dirs, &source, &old, name, target_name)?;
        if !is_copy {
            return Ok(None);
        }
        if known.is_some() {
            return Ok(known); // it was made by an earlier round of this run
        }
        let error = Op::ReadBack.error();
        let opened = file::open_untouched(&dirs.target, target_name).map_err(&error)?;
        let stat = file::stat_fd(&opened).map_err(&error)?;
        if stat.identity() != old.identity() {
            return Err(error(Errno::ESTALE).into());
        }
        let tally = Tally::new(self.status, None);
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
        let algorithm = self.job.plan.options.hash.ok_or(Errno::EINVAL);
        let algorithm = algorithm.map_err(Op::ReadBack.error())?;
        let (operand, staged) = (self.operand, self.staged);
        let place = EntryPath { operand, source: &self.source, target: &self.target, staged };
        let team = Team::to_hash(self.job, self.number, place, names, stat);
        hash_all((file, stat), algorithm, team, &mut self.files.buffer, tally)
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
