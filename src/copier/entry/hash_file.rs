//! Computes the digest of a whole file.

use super::chunks::Team;
use super::meter::ReadMeter;
use super::result::Unfinished;
use crate::copier::context::Context;
use crate::error::Op;
use crate::hash::{Algorithm, Digest, Hasher};
use crate::ipc::wire::task::EntryPath;
use pcopy_sys::file::{self, Stat};
use std::ffi::CStr;
use std::os::fd::BorrowedFd;

/// An open file that is to be hashed.
pub(in crate::copier) struct OpenFile<'f> {
    /// The directory that contains the file.
    pub(in crate::copier) place: EntryPath<'f>,
    /// The name of the file in the source, and its current name in the target, which may be a staged name. The
    /// open file is one of the two.
    pub(in crate::copier) names: (&'f CStr, &'f CStr),
    pub(in crate::copier) file: BorrowedFd<'f>,
    /// The status of the file when it was opened.
    pub(in crate::copier) stat: &'f Stat,
}

impl OpenFile<'_> {
    /// Reads the file and returns its digest. If the file is large, other copiers help.
    pub(in crate::copier) fn hash(
        &self,
        cx: Context<'_>,
        algorithm: Algorithm,
        mut tally: ReadMeter<'_>,
        buffer: &mut [u8],
    ) -> Result<Digest, Unfinished> {
        let team =
            algorithm.is_tree().then(|| Team::to_hash(cx, self.place, self.names, self.stat));
        let (file, size) = (self.file, self.stat.size());
        let together =
            team.flatten().and_then(|team| team.hash(file, size, buffer, |far| tally.up_to(far)));
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
}
