//! `--verify`: reads written files back, and compares the digest of each with the digest of what was read
//! from its source.
//!
//! Verification has rounds of its own, after all data was flushed to stable storage. So the processes that
//! read the files are not the processes that wrote them, and a single flush is enough for all files. A copier
//! drops a file from the page cache before it reads the file. (On a file system in memory that has no
//! effect.)
//!
//! A file that differs is written once more, into the same inode, because it may have other names by now. If
//! it differs again, it is removed, so that no wrong file remains under its final name.

use super::digest::wanted_algorithm;
use super::{CopyVisitor, CopyWalk};
use crate::copier::context::Context;
use crate::copier::dir_pair::c_name;
use crate::copier::entry::attributes::{OWNER_READ, OWNER_WRITE};
use crate::copier::entry::data::is_unchanged;
use crate::copier::entry::result::{Unfinished, changed};
use crate::copier::entry::{OpenFile, ReadMeter};
use crate::copier::report_writer::ParentGone;
use crate::copier::traverse::offer::hand_over;
use crate::error::Op;
use crate::hash::{Digest, Hasher};
use crate::ipc::inherited::digests::WrittenFile;
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::Event;
use crate::ipc::wire::task::{EntryPath, split_last};
use crate::plan::Operand;
use pcopy_sys::file::{self, Kind};
use pcopy_sys::{Errno, file_data};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

impl<'a> CopyVisitor<'a> {
    /// Reads back and compares the files with the numbers `first..end` in the list of digests.
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
            let Some(file) = walk.cx.job.digests.wave_file(number) else { break };
            self.one_written(walk, file)?;
            walk.reports.flush_if_old()?;
        }
        Ok(())
    }

    fn one_written(
        &mut self,
        walk: &mut CopyWalk<'a>,
        file: WrittenFile<'_>,
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
            return walk.report_names(&name, &made, Event::FailedLate(error), || ());
        }
        let place = walk.at.as_path();
        let written = WrittenCopy { cx: walk.cx, operand, place, names: (&name, &made) };
        match written.verify_or_rewrite(file.digest, &mut self.entry_copier.buffer) {
            Ok(digest) => {
                walk.cx.status.add(Count::Verified, 1);
                if digest == file.digest {
                    return Ok(());
                }
                // The source has changed since it was copied, and the file was written again from its new
                // contents.
                walk.report_names(&name, &made, Event::Digest(digest), || ())
            }
            Err(Unfinished::Failed(error)) if walk.is_lost(error) => {
                walk.report_failed(Some(&name), error)
            }
            Err(Unfinished::Failed(error)) => {
                let dir = walk.cx.job.plan.reach_target(operand, &walk.at.target);
                if dir.and_then(|dir| file::unlink(dir, &made)).is_err() {
                    // The file does not exist any more, or the error that is reported names it.
                }
                walk.report_names(&name, &made, Event::FailedLate(error), || ())
            }
            Err(_) => Ok(()), // the file was dropped, because the run ends
        }
    }
}

/// A file that this run has written.
struct WrittenCopy<'w, 'a> {
    cx: Context<'a>,
    operand: &'a Operand,
    /// The directory of the file.
    place: EntryPath<'w>,
    /// The name of the file in the source, and its current name in the target.
    names: (&'w CStr, &'w CStr),
}

impl WrittenCopy<'_, '_> {
    /// Reads the file back, and writes it once more if it differs. Returns the digest of what is on the disk.
    fn verify_or_rewrite(&self, wanted: Digest, buffer: &mut [u8]) -> Result<Digest, Unfinished> {
        let opened = self.cx.plan().open_target(self.operand, self.place.target);
        let dir = opened.map_err(Op::ReadBack.error())?;
        match self.read_back(dir.as_fd(), buffer) {
            Ok(digest) if digest == wanted => return Ok(digest),
            Err(Unfinished::Dropped) => return Err(Unfinished::Dropped),
            Ok(_) | Err(_) => {}
        }
        let wanted = self.write_again(dir.as_fd(), buffer)?;
        let digest = self.read_back(dir.as_fd(), buffer)?;
        if digest == wanted { Ok(digest) } else { Err(Op::Verify.error()(Errno::EBADMSG).into()) }
    }

    /// Reads the file from the disk.
    fn read_back(&self, dir: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Digest, Unfinished> {
        let error = Op::ReadBack.error();
        let file = self.open_to_read(dir).map_err(&error)?;
        let stat = file::stat_fd(&file).map_err(&error)?;
        if stat.kind() != Kind::File {
            return Err(error(Errno::ESTALE).into());
        }
        file_data::drop_from_cache(&file).map_err(&error)?;
        let tally = ReadMeter::new(self.cx.status, Some(Count::BytesReadBack));
        let opened =
            OpenFile { place: self.place, names: self.names, file: file.as_fd(), stat: &stat };
        opened.hash(self.cx, wanted_algorithm(&self.cx)?, tally, buffer)
    }

    /// Opens the file. If `--chmod` has taken the permission to read it from its owner, gives it for the time of the call.
    fn open_to_read(&self, dir: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
        let made = self.names.1;
        let opened = file::open_noatime(dir, made);
        let is_denied = matches!(opened, Err(Errno::EACCES));
        if !is_denied || self.cx.options().chmod.is_empty() {
            return opened;
        }
        let bits = file::stat_at(dir, made)?.permissions();
        file::set_permissions_at(dir, made, bits | OWNER_READ).map_err(|_| Errno::EACCES)?;
        let opened = file::open_noatime(dir, made);
        file::set_permissions_at(dir, made, bits)?;
        opened
    }

    /// Copies the data of a file once more, over the existing data, and flushes it to stable storage.
    fn write_again(&self, dir: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Digest, Unfinished> {
        let (plan, (name, made)) = (self.cx.plan(), self.names);
        let follow = plan.follows(self.place.source.is_empty().then_some(self.operand));
        let opened = plan.open_source(self.operand, self.place.source);
        let opened = opened.and_then(|dir| file::open_source(dir, name, follow));
        let from = opened.map_err(Op::OpenSource.error())?;
        let source = file::stat_fd(&from).map_err(Op::Stat.error())?;
        let old = file::stat_at(dir, made).map_err(Op::ReadBack.error())?;
        let closed = !self.cx.job.is_root && old.permissions() & OWNER_WRITE == 0;
        if closed {
            let bits = old.permissions() | OWNER_WRITE;
            file::set_permissions_at(dir, made, bits).map_err(Op::SetPermissions.error())?;
        }
        let to = file::open_shared_target(dir, made).map_err(Op::Write.error())?;
        let ends = (from.as_fd(), to.as_fd());
        let digest = write_over(&self.cx, ends, (source.size(), old.size()), buffer)?;
        let read = file::stat_fd(&from).map_err(Op::Stat.error())?;
        if !is_unchanged(&source, &read) {
            return Err(changed());
        }
        let keeps_times = plan.options.preserve.timestamps.is_wanted();
        if keeps_times && file::set_times(&to, read.accessed(), read.modified()).is_err() {
            // Ignored: if the target refuses times, the copier that made the file has reported it.
        }
        if closed {
            file::set_permissions(&to, old.permissions()).map_err(Op::SetPermissions.error())?;
        }
        file::sync(&to).map_err(Op::Sync.error())?;
        file::close(to).map_err(Op::Close.error())?;
        Ok(digest)
    }
}

/// Writes the data of one file over that of another, and returns the hash of the data. `bytes` and
/// `old_bytes` are the sizes of both files.
///
/// The target is not truncated first. So if the source cannot be read, the correct part of the target remains
/// under its other names, if it has any.
fn write_over(
    cx: &Context<'_>,
    (from, to): (BorrowedFd<'_>, BorrowedFd<'_>),
    (bytes, old_bytes): (u64, u64),
    buffer: &mut [u8],
) -> Result<Digest, Unfinished> {
    let mut hash = Hasher::new(wanted_algorithm(cx)?);
    let mut at = 0;
    loop {
        if cx.status.is_abandoned() {
            return Err(Unfinished::Dropped);
        }
        let read = file::read(from, buffer).map_err(Op::Read.error())?;
        let bytes_read = &buffer[..read];
        if bytes_read.is_empty() {
            break;
        }
        hash.update(bytes_read);
        file_data::write_all_at(to, bytes_read, at).map_err(Op::Write.error())?;
        at += read as u64;
    }
    if at != bytes {
        // the source does not have the size that it had when it was opened; the target is not truncated
        return Err(changed());
    }
    if at < old_bytes {
        file_data::set_size(to, at).map_err(Op::Write.error())?;
    }
    Ok(hash.finalize())
}
