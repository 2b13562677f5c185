//! Lets several copiers work on one large file: they compare it with its copy, or hash it to compare the hash
//! with that in a manifest (a list of file hashes).

use super::Comparer;
use crate::copier::entry::OpenFile;
use crate::copier::entry::ReadMeter;
use crate::copier::entry::chunks::{BufferPair, Helper, LARGE_BYTES, Team, ours};
use crate::copier::entry::result::Unfinished;
use crate::hash::{Algorithm, Digest};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::task::{ChunkJob, EntryPath, HelpRequest};
use crate::plan::{Check, Plan};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Stat};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

impl Comparer<'_> {
    /// Returns whether two large files of the same size have the same contents, if other copiers help to
    /// compare them. Returns `None` if this copier must compare them alone.
    pub(super) fn same_with_helpers(
        &mut self,
        (at, name, target_name): (EntryPath<'_>, &CStr, &CStr),
        ends: (BorrowedFd<'_>, BorrowedFd<'_>),
        (source, target): (&Stat, &Stat),
        tally: &mut ReadMeter<'_>,
    ) -> Option<bool> {
        let size = source.size();
        if size < LARGE_BYTES || target.size() != size {
            return None;
        }
        let chunk_job = ChunkJob::Compare(source.identity(), target.identity());
        let team = Team::new(self.cx, at, (name, target_name), chunk_job);
        let buffers: BufferPair<'_> = (&mut self.theirs, &mut self.ours);
        team.and_then(|team| team.compare(ends, size, buffers, |far| tally.up_to(far)))
    }

    /// Returns the digest of a file that a manifest lists. The file was opened a moment ago, with the status
    /// `stat`, as `name` in `dir`.
    pub(super) fn digest(
        &mut self,
        (dir, name): (&[u8], &CStr),
        (file, stat): (BorrowedFd<'_>, &Stat),
        algorithm: Algorithm,
    ) -> Result<Digest, Unfinished> {
        let tally = ReadMeter::new(self.cx.status, Some(Count::Bytes));
        let place = EntryPath { operand: 0, source: dir, target: b"", staged: false };
        let opened = OpenFile { place, names: (name, name), file, stat };
        opened.hash(self.cx, algorithm, tally, &mut self.ours)
    }

    /// Helps another copier with a large file.
    pub(super) fn help(&mut self, request: &HelpRequest<'_>) {
        let Some(helper) = Helper::join(self.cx.job, request) else { return };
        let place = request.place;
        self.cx.status.enter(place.operand, place.source);
        self.cx.status.at(request.name);
        if let Ok(ends) = open_ends(self.cx.job.plan, request) {
            let buffers: BufferPair<'_> = (&mut self.theirs, &mut self.ours);
            helper.help(self.cx.status, ends, buffers);
        }
    }
}

/// Opens the files that the owning copier (the one that found them) has open. Fails if another file now has
/// one of the names.
fn open_ends(plan: &Plan, request: &HelpRequest<'_>) -> Result<(OwnedFd, Option<OwnedFd>), Errno> {
    let EntryPath { operand, source: path, .. } = request.place;
    let open = |root, path: &[u8], name, identity| {
        ours(file::open_noatime(file::open_dir_path_beneath(root, path)?, name)?, identity)
    };
    match (request.chunk_job, &plan.check) {
        (ChunkJob::HashTarget(identity), Some(Check::Manifest(listed))) => {
            Ok((open(listed.dir.as_fd(), path, request.name, identity)?, None))
        }
        (ChunkJob::Compare(source, target), _) => {
            let operand = plan.operands.get(operand as usize).ok_or(Errno::EINVAL)?;
            // If the path is empty, the file is the operand itself. Then it is directly in the directory that
            // contains the target.
            let there = if path.is_empty() { Vec::new() } else { operand.target_of(path) };
            let from = open(plan.source_dir(operand), path, request.name, source)?;
            let to = open(plan.target_dir(operand), &there, request.target_name, target)?;
            Ok((from, Some(to)))
        }
        _ => Err(Errno::EINVAL),
    }
}
