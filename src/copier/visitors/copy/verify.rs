//! `--verify`: what was written is read back from the disk and compared with what was read.
//!
//! It is a round of its own, when the disks have taken all: so those who read are other processes
//! than those who wrote, and one wait for the disk serves all files. The memory is made to forget a file
//! before it is read. (On a file system in memory there is nothing else to ask.)
//!
//! A file that differs is written once more, into the same inode, because it may have other names
//! by now. If it differs again, it is removed: nobody must find it under its final name.

use super::{CopyVisitor, CopyWalk};
use crate::copier::dir_pair::c_name;
use crate::copier::entry::Tally;
use crate::copier::entry::attributes::OWNER_WRITE;
use crate::copier::entry::data::is_unchanged;
use crate::copier::entry::result::{Unfinished, changed};
use crate::copier::report_writer::ParentGone;
use crate::copier::traverse::offer::hand_over;
use crate::error::Op;
use crate::hash::{Digest, Hasher};
use crate::ipc::inherited::digests::Written;
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::Event;
use crate::ipc::wire::task::{EntryPath, split_last};
use crate::plan::Operand;
use pcopy_sys::file::{self, Kind};
use pcopy_sys::{Errno, bytes};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

impl<'a> CopyVisitor<'a> {
    /// Reads back the files `first..end`.
    pub(super) fn verify(
        &mut self,
        walk: &mut CopyWalk<'a>,
        first: u32,
        end: u32,
    ) -> Result<(), ParentGone> {
        walk.ranges.written = first..end;
        while let Some(number) = walk.ranges.written.next() {
            if walk.is_stopped() {
                break;
            }
            hand_over(walk, self, None)?;
            let Some(file) = walk.cx.job.hashed.written(number) else { break };
            self.one_written(walk, file)?;
            walk.reports.flush_if_old()?;
        }
        Ok(())
    }

    fn one_written(
        &mut self,
        walk: &mut CopyWalk<'a>,
        file: Written<'_>,
    ) -> Result<(), ParentGone> {
        let Some(operand) = walk.cx.job.plan.operands.get(file.operand as usize) else {
            return Ok(());
        };
        let ((dir, name), (target, made)) = (split_last(file.source), split_last(file.target));
        walk.at.go_to(EntryPath { operand: file.operand, source: dir, target, staged: false });
        walk.publish_place();
        let (name, made) = (c_name(name), c_name(made));
        walk.cx.status.at(&name);
        if walk.cx.is_passed_over(&name) {
            let error = Op::KillsCopiers.error()(Errno::EIO);
            return walk.report_names(&name, &made, Event::Unproven(error), || ());
        }
        match self.prove(walk, operand, &name, &made, file.digest) {
            Ok(digest) => {
                walk.cx.status.add(Count::Verified, 1);
                if digest == file.digest {
                    return Ok(());
                }
                // The source has changed since, and it is the new one that is there.
                walk.report_names(&name, &made, Event::Hashed(digest), || ())
            }
            Err(Unfinished::Failed(error)) => {
                let dir = walk.cx.job.plan.reach_target(operand, &walk.at.target);
                if dir.and_then(|dir| file::unlink(dir, &made)).is_err() {
                    // It is gone already, or the failure that is told names it.
                }
                walk.report_names(&name, &made, Event::Unproven(error), || ())
            }
            Err(_) => Ok(()), // the run ends
        }
    }

    /// The digest of what is on the disk, as it should be, once the file was written again if need be.
    fn prove(
        &mut self,
        walk: &mut CopyWalk<'a>,
        operand: &Operand,
        name: &CStr,
        made: &CStr,
        wanted: Digest,
    ) -> Result<Digest, Unfinished> {
        let opened = walk.cx.job.plan.open_target(operand, &walk.at.target);
        let dir = opened.map_err(Op::ReadBack.error())?;
        match self.read_back(walk, dir.as_fd(), name, made) {
            Ok(digest) if digest == wanted => return Ok(digest),
            Err(Unfinished::Dropped) => return Err(Unfinished::Dropped),
            Ok(_) | Err(_) => {}
        }
        let wanted = self.write_again(walk, operand, dir.as_fd(), name, made)?;
        let digest = self.read_back(walk, dir.as_fd(), name, made)?;
        if digest == wanted { Ok(digest) } else { Err(Op::Verify.error()(Errno::EBADMSG).into()) }
    }

    fn read_back(
        &mut self,
        walk: &mut CopyWalk<'a>,
        dir: BorrowedFd<'_>,
        name: &CStr,
        made: &CStr,
    ) -> Result<Digest, Unfinished> {
        let error = Op::ReadBack.error();
        let file = file::open_untouched(dir, made).map_err(&error)?;
        let stat = file::stat_fd(&file).map_err(&error)?;
        if stat.kind() != Kind::File {
            return Err(error(Errno::ESTALE).into());
        }
        bytes::forget(&file).map_err(&error)?;
        let tally = Tally::new(walk.cx.status, Some(Count::BytesReadBack));
        self.hash_open(walk, file.as_fd(), &stat, (name, made), tally)
    }

    /// Copies the bytes of a file once more, over those that are there, and waits for the disk.
    fn write_again(
        &mut self,
        walk: &mut CopyWalk<'a>,
        operand: &Operand,
        dir: BorrowedFd<'_>,
        name: &CStr,
        made: &CStr,
    ) -> Result<Digest, Unfinished> {
        let plan = walk.cx.job.plan;
        let follow = plan.follows(walk.at.source.is_empty().then_some(operand));
        let opened = plan.open_source(operand, &walk.at.source);
        let opened = opened.and_then(|dir| file::open_source(dir, name, follow));
        let from = opened.map_err(Op::OpenSource.error())?;
        let source = file::stat_fd(&from).map_err(Op::Stat.error())?;
        let old = file::stat_at(dir, made).map_err(Op::ReadBack.error())?;
        let closed = !walk.cx.job.root && old.permissions() & OWNER_WRITE == 0;
        if closed {
            let bits = old.permissions() | OWNER_WRITE;
            file::set_permissions_at(dir, made, bits).map_err(Op::SetPermissions.error())?;
        }
        let to = file::open_shared_target(dir, made).map_err(Op::Write.error())?;
        let digest =
            self.write_over(walk, (from.as_fd(), to.as_fd()), (source.size(), old.size()))?;
        let read = file::stat_fd(&from).map_err(Op::Stat.error())?;
        if !is_unchanged(&source, &read) {
            return Err(changed());
        }
        if plan.options.preserve.timestamps {
            file::set_times(&to, read.accessed(), read.modified()).map_err(Op::SetTimes.error())?;
        }
        if closed {
            file::set_permissions(&to, old.permissions()).map_err(Op::SetPermissions.error())?;
        }
        file::sync(&to).map_err(Op::Sync.error())?;
        file::close(to).map_err(Op::Close.error())?;
        Ok(digest)
    }

    /// Writes the bytes of one file over those of another, and hashes them; how many both have is known.
    ///
    /// Nothing is cut off before the end: should the source fail, what was right of the other, which may
    /// have further names, is right still.
    fn write_over(
        &mut self,
        walk: &mut CopyWalk<'a>,
        (from, to): (BorrowedFd<'_>, BorrowedFd<'_>),
        (bytes, old_bytes): (u64, u64),
    ) -> Result<Digest, Unfinished> {
        let algorithm = walk.cx.job.plan.options.hash.ok_or(Errno::EINVAL);
        let mut hash = Hasher::new(algorithm.map_err(Op::ReadBack.error())?);
        let mut at = 0;
        loop {
            if walk.cx.status.is_abandoned() {
                return Err(Unfinished::Dropped);
            }
            let read = file::read(from, &mut self.entry_copier.buffer).map_err(Op::Read.error())?;
            let piece = &self.entry_copier.buffer[..read];
            if piece.is_empty() {
                break;
            }
            hash.update(piece);
            bytes::write_all_at(to, piece, at).map_err(Op::Write.error())?;
            at += read as u64;
        }
        if at != bytes {
            return Err(changed()); // it ended before its size, and nothing is cut off
        }
        if at < old_bytes {
            bytes::set_size(to, at).map_err(Op::Write.error())?;
        }
        Ok(hash.finalize())
    }
}
