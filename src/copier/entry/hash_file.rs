//! The digest of a whole file.

use super::chunks::Team;
use super::meter::Tally;
use super::result::Unfinished;
use crate::error::Op;
use crate::hash::{Algorithm, Digest, Hasher};
use pcopy_sys::file::{self, Stat};
use std::os::fd::BorrowedFd;

/// The digest of a file that was opened a moment ago, when it was `stat`; with the help of other copiers, if
/// there is a `team`.
pub(in crate::copier) fn hash_file(
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
